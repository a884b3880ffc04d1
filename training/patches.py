"""Serves training patches from the sequences that data.py wrote; train.py is the only caller.

Knows nothing of networks: it yields (input, target) float arrays of luma in (code - 16) / 219.
"""
import glob
import os

import numpy as np

KINDS = {"clip": 0.5, "photo": 0.25, "rendered": 0.25}


class Patches:
    """Random patches of one task: scale 2 pairs half with full size, scale 1 pairs coded or noisy with untouched."""

    def __init__(self, folder, scale, seed):
        self.rng = np.random.default_rng(seed)
        self.scale = scale
        self.by_kind = {kind: [] for kind in KINDS}
        for path in sorted(glob.glob(os.path.join(folder, "*.npz"))):
            held = np.load(path)
            source = "lr" if scale == 2 else "hr"
            entry = {"target": held["hr"], "clean": held[source], "coded": [held[k] for k in sorted(held) if k.startswith(source + "_")]}
            if min(entry["clean"].shape[1:]) >= 64:
                self.by_kind[os.path.basename(path).split("-")[0]].append(entry)
        self.kinds = [k for k in KINDS if self.by_kind[k]]
        if not self.kinds:
            raise SystemExit(f"no sequences in {folder}: run training/data.py first")
        share = np.array([KINDS[k] for k in self.kinds])
        self.share = share / share.sum()

    def pick(self, size):
        """One (input, target) pair of codes; of two random places the busier one is taken more often."""
        rng = self.rng
        entries = self.by_kind[self.kinds[rng.choice(len(self.kinds), p=self.share)]]
        entry = entries[rng.integers(len(entries))]
        way = rng.random()
        coded = way < (0.5 if self.scale == 2 else 0.62)
        source = entry["clean"]
        if coded:  # the first is x264 at the lowest crf: where restore has most to spoil
            spare = self.scale == 1 and rng.random() < 0.25
            source = entry["coded"][0 if spare else rng.integers(len(entry["coded"]))]
        n, h, w = source.shape
        s = self.scale
        places = [(rng.integers(n), rng.integers(h - size + 1), rng.integers(w - size + 1)) for _ in range(2)]
        busy = [float(np.abs(np.diff(entry["clean"][i, y : y + size : 2, x : x + size].astype(np.int16))).mean()) for i, y, x in places]
        i, y, x = places[int(busy[1] > busy[0]) if rng.random() < 0.7 else 0]
        low = source[i, y : y + size, x : x + size].astype(np.float32)
        high = entry["target"][i, y * s : (y + size) * s, x * s : (x + size) * s].astype(np.float32)
        if s == 2 and way > 0.97:
            low = soften(high, rng.uniform(0.02, 0.1))  # a little more blur than the area filter's
            low = np.rint((low[0::2, 0::2] + low[1::2, 0::2] + low[0::2, 1::2] + low[1::2, 1::2]) / 4)
        if s == 1 and way > 0.84:
            low = np.rint(low + noise(low.shape, rng))
        return low, high

    def batch(self, count, size):
        """Arrays [count, 1, size, size] and [count, 1, size * scale, ...]: turned, flipped and, half of the time,
        stretched in contrast and shifted so that values reach about -0.07 and 1.09."""
        low = np.empty((count, 1, size, size), np.float32)
        high = np.empty((count, 1, size * self.scale, size * self.scale), np.float32)
        for k in range(count):
            a, b = self.pick(size)
            turns, flip = self.rng.integers(4), self.rng.integers(2)
            a, b = (np.rot90(p, turns)[:, :: 1 - 2 * flip] for p in (a, b))
            gain, shift = (self.rng.uniform(0.7, 1.16), self.rng.uniform(-0.08, 0.09)) if self.rng.random() < 0.5 else (1, 0)
            low[k, 0], high[k, 0] = ((p - 16) / 219 for p in (a, b))
            if gain != 1:
                for p in (low[k], high[k]):
                    p[...] = (p - 0.5) * gain + 0.5 + shift
        return low, high


def soften(p, k):
    """3x3 blur with side weight k, edges replicated."""
    for axis in (0, 1):
        e = np.pad(p, [(1, 1) if a == axis else (0, 0) for a in (0, 1)], mode="edge")
        p = p * (1 - 2 * k) + k * (np.take(e, range(0, p.shape[axis]), axis) + np.take(e, range(2, p.shape[axis] + 2), axis))
    return p


def noise(shape, rng):
    """Sensor noise or film grain in codes: white, or slightly smoothed."""
    n = rng.standard_normal(shape).astype(np.float32)
    if rng.random() < 0.4:
        n = soften(n, rng.uniform(0.05, 0.25))
        n /= n.std()
    return n * rng.uniform(1, 8)
