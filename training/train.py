"""Trains one network: `python training/train.py upscale-x2`. Writes a checkpoint that export.py turns into ONNX.

Charbonnier loss (restore: squared error as a part of the input's own, so that every crf counts as it does in dB), Adam (restore: Muon) with a cosine to zero, averaged (EMA) weights, bf16 autocast where the processor gains by it.
With --teacher the loss is half against the truth, half against the teacher's answer.
Repeatable with --steps; --minutes ends the cosine by the clock instead, for a busy machine.
"""
import argparse
import copy
import math
import os
import time

import torch

from muon import Muon
from nets import NETS, Stack
from patches import Patches


def charbonnier(difference, border):
    """Mean of sqrt(d^2 + e^2), e about one code; pixels whose field meets the patch's edge count a quarter."""
    loss = torch.sqrt(difference**2 + 0.004**2)
    inner = loss[..., border:-border, border:-border]
    return 0.75 * inner.mean() + 0.25 * loss.mean()


def weighted_square(difference, border, weight):
    """Mean over patches of the squared error in codes times the patch's weight; edges as above."""
    squares = (difference * 219) ** 2
    each = 0.75 * squares[..., border:-border, border:-border].mean((1, 2, 3)) + 0.25 * squares.mean((1, 2, 3))
    return (each * weight).mean()


def main():
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("net", choices=NETS)
    ask.add_argument("--data", help="folder of the sequences, data-x2 or data-restore in --out by default")
    ask.add_argument("--out", default=".cache/training")
    ask.add_argument("--steps", type=int, default=16000)
    ask.add_argument("--minutes", type=float, help="end by the clock instead of --steps")
    ask.add_argument("--batch", type=int, default=12)
    ask.add_argument("--patch", type=int, default=64, help="side of an input patch")
    ask.add_argument("--rate", type=float, default=2e-3)
    ask.add_argument("--start", help="checkpoint to start from")
    ask.add_argument("--teacher", help="checkpoint of teacher-x2")
    ask.add_argument("--save", help="name of the checkpoint, the network's by default")
    ask.add_argument("--threads", type=int, default=1, help="two runs of one thread beat one run of two")
    ask.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    ask.add_argument("--full", action="store_true", help="f32 all through")
    ask.add_argument("--seed", type=int, default=1)
    asked = ask.parse_args()
    torch.manual_seed(asked.seed)
    torch.set_num_threads(asked.threads)
    net = Stack(asked.net).to(asked.device, memory_format=torch.channels_last)
    before = 0
    if asked.start:
        held = torch.load(asked.start, weights_only=True)
        before = held["steps"]
        net.load_state_dict(held["weights"])
    teacher = None
    if asked.teacher:
        teacher = Stack("teacher-x2").to(asked.device, memory_format=torch.channels_last).eval()
        teacher.load_state_dict(torch.load(asked.teacher, weights_only=True)["weights"])
    mean = copy.deepcopy(net).eval()
    patches = Patches(asked.data or os.path.join(asked.out, "data-x2" if net.scale == 2 else "data-restore"), net.scale, asked.seed)
    border = net.radius() * net.scale
    optimiser = Muon(net.parameters(), asked.rate) if net.scale == 1 else torch.optim.Adam(net.parameters(), lr=asked.rate, betas=(0.9, 0.99))
    path = os.path.join(asked.out, (asked.save or asked.net) + ".pt")
    # A dead zone in training stops it near an answer of zero; it is put around the trained network.
    net.zone = 0.0
    begin, step, shown, total = time.time(), 0, 0.0, 0.0
    print(f"{asked.net}: {net.parameters_learnt()} parameters, radius {net.radius()}, "
          f"{sum(map(len, patches.by_kind.values()))} sequences", flush=True)
    while True:
        done = (time.time() - begin) / (60 * asked.minutes) if asked.minutes else step / asked.steps
        if step % 500 == 0 or done >= 1:
            torch.save({"net": asked.net, "weights": mean.state_dict(), "steps": before + step}, path)
            print(f"step {step} {done:.0%} {time.time() - begin:.0f} s, cpu {time.process_time():.0f} s, "
                  f"loss {total / max(1, step - shown):.6f}", flush=True)
            shown, total = step, 0.0
        if done >= 1:
            break
        for group in optimiser.param_groups:
            group["lr"] = asked.rate * min(1, (step + 1) / 200) * (0.5 + 0.5 * math.cos(math.pi * done))
        low, high, weight = (torch.from_numpy(a).to(asked.device) for a in patches.batch(asked.batch, asked.patch))
        with torch.autocast(asked.device, torch.bfloat16, enabled=not asked.full):
            answer = net(low)
            if teacher is not None:
                with torch.no_grad():
                    taught = teacher(low)
        loss = charbonnier(answer - high, border) if net.scale == 2 else weighted_square(answer - high, border, weight)
        if teacher is not None:
            loss = 0.5 * loss + 0.5 * charbonnier(answer - taught, border)
        net.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        step += 1
        total += loss.item()
        keep = min(0.999, (step + 1) / (step + 10))
        with torch.no_grad():
            for m, p in zip(mean.parameters(), net.parameters()):
                m.lerp_(p, 1 - keep)


if __name__ == "__main__":
    main()
