"""The networks: plain stacks of 3x3 convolutions with ReLU (restore: leaky) that predict a residual over a fixed base.

`upscale-*` adds it to a bicubic x2 (Catmull-Rom, half-pixel centred) written as edge padding and one 5x5
convolution of four outputs, before the pixel shuffle; `restore` adds it to its input after shrinking it by
DEAD_ZONE, so that what needs no change gets none. Nothing is clipped.
Luma goes in as (code - 16) / 219. Knows nothing of data or files.
"""
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

# name: (scale, channels between the convolutions); a width list of n entries is n + 1 convolutions of radius 1.
NETS = {
    "upscale-x2": (2, [32, 32, 32, 16, 16, 16]),
    "upscale-x2-fast": (2, [16, 16, 16, 16]),
    "restore": (1, [16, 32, 32, 16, 16, 16, 16]),
    "teacher-x2": (2, [64, 64, 64, 64, 64, 64]),
}

# `restore` lets no residual smaller than this through and takes it off the rest: a tenth of a code, before the half that
# falls to rounding. More of it harms light coding less and helps strong coding less. Two ReLUs, so it stays a plain graph.
DEAD_ZONE = 0.1 / 219

# How strongly `restore` is to act on a source with this mean quantiser, in H.264's scale: vproc reads it in the metadata.
# sweep.py shows where it comes from.
STRENGTH = "22:0 28:1 31:1.5 unknown:0"

# What `restore`'s rectifiers let through below zero. With none, a whole layer of 16 dies sooner or later (at a rate of 3e-3
# within 7000 steps, at 2e-3 within 8000), and the answer is zero from then on.
SLOPE = 0.1


def bicubic_weights():
    """5x5 weights of the four phases of x2 bicubic (a = -0.5): output phase 0 lies at x - 1/4, phase 1 at x + 1/4."""
    def cubic(t, a=-0.5):
        t = abs(t)
        if t <= 1:
            return (a + 2) * t**3 - (a + 3) * t**2 + 1
        return a * t**3 - 5 * a * t**2 + 8 * a * t - 4 * a if t < 2 else 0.0
    taps = [np.array([cubic(k - at) for k in range(-2, 3)]) for at in (-0.25, 0.25)]
    return np.stack([np.outer(taps[i], taps[j]) for i in (0, 1) for j in (0, 1)])[:, None].astype(np.float32)


def pass_on(convs):
    """Weakens random weights by half and adds 0.7 from each channel to its like, so that all layers see the picture from the first step."""
    for conv in convs:
        conv.weight.mul_(0.5)
        for i in range(max(conv.in_channels, conv.out_channels)):
            conv.weight[i % conv.out_channels, i % conv.in_channels, 1, 1] += 0.7


class Stack(nn.Module):
    """A base plus the residual of a stack of 3x3 convolutions."""

    def __init__(self, name):
        super().__init__()
        self.scale, widths = NETS[name]
        self.zone = DEAD_ZONE
        self.slope = SLOPE if self.scale == 1 else 0.0
        ends = [1, *widths, self.scale**2]
        self.convs = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in zip(ends, ends[1:]))
        for conv in self.convs:
            nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
            nn.init.zeros_(conv.bias)
        with torch.no_grad():
            self.convs[-1].weight.mul_(0.05)
            if self.scale == 1:
                pass_on(self.convs[1:-1])
        self.register_buffer("base", torch.from_numpy(bicubic_weights()), persistent=False)

    def radius(self):
        """Exact receptive radius in input pixels."""
        return max(len(self.convs), 2 if self.scale == 2 else 0)

    def parameters_learnt(self):
        """Number of learnt weights and biases; the fixed 5x5 base of 100 weights is not counted."""
        return sum(p.numel() for p in self.parameters())

    def forward(self, x):
        y = x
        for conv in self.convs[:-1]:
            y = F.leaky_relu(conv(y), self.slope)
        y = self.convs[-1](y).float()
        if self.scale == 1:
            return x + F.relu(y - self.zone) - F.relu(-y - self.zone)
        return F.pixel_shuffle(y + F.conv2d(F.pad(x, (2, 2, 2, 2), mode="replicate"), self.base), 2)
