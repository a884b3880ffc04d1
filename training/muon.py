"""Muon beside Adam: the optimiser of `restore`; train.py is the only caller.

A hidden convolution's step is its momentum made orthogonal (all singular values near one), as in K. Jordan et al., Muon,
2024, so a direction of small gradient moves as far as one of large: narrow stacks of 16 channels learn in about half
the steps. The first and the last convolution and the biases take Adam. Knows nothing of networks or data.
"""
import torch

# A hidden convolution's rate in units of Adam's: a step's singular values against a step's single weights.
HIDDEN = 5.0
MOMENTUM = 0.95


def orthogonal(step):
    """The nearest matrix [out, rest] with singular values near one, by five rounds of Newton-Schulz (Jordan's coefficients)."""
    flat = step.reshape(step.shape[0], -1)
    tall = flat.shape[0] > flat.shape[1]
    x = flat.T if tall else flat
    x = x / (x.norm() + 1e-7)
    for _ in range(5):
        square = x @ x.T
        x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x
    return (x.T if tall else x).reshape(step.shape)


class Muon:
    """Steps of Muon for the hidden convolutions among `parameters`, of Adam for the others; the rate is Adam's, in `param_groups`."""

    def __init__(self, parameters, rate):
        parameters = list(parameters)
        self.hidden = [p for p in parameters if p.dim() == 4 and min(p.shape[:2]) > 1]
        chosen = set(map(id, self.hidden))
        self.adam = torch.optim.Adam([p for p in parameters if id(p) not in chosen], lr=rate, betas=(0.9, 0.99))
        self.param_groups = self.adam.param_groups
        self.moments = [torch.zeros_like(p) for p in self.hidden]

    @torch.no_grad()
    def step(self):
        """One step; gradients must be there."""
        self.adam.step()
        rate = HIDDEN * self.param_groups[0]["lr"]
        for p, moment in zip(self.hidden, self.moments):
            moment.mul_(MOMENTUM).add_(p.grad)
            along = orthogonal(p.grad.add(moment, alpha=MOMENTUM))
            p.add_(along, alpha=-rate * max(1, p.shape[0] / p.shape[1]) ** 0.5)
