"""Serves training patches from the sequences that data.py wrote; train.py is the only caller.

Knows nothing of networks: it yields (input, target, weight) arrays, luma in (code - 16) / 219.
"""
import glob
import os

import numpy as np

KINDS = {"clip": 0.5, "photo": 0.25, "rendered": 0.25}
# What `restore` is fed: coded; coded a second time, where the first coding is the truth; noisy; untouched.
WAYS = {"coded": 0.72, "again": 0.18, "noisy": 0.05, "untouched": 0.05}
# Squared codes added to an input's own error before dividing by it, or an untouched patch would count without bound.
FLOOR = 3.0
# How much more an error weighs where the truth is coded already: the gain there is little, and harm shows first.
AGAIN = 3.0


class Patches:
    """Random patches of one task: scale 2 pairs half with full size, scale 1 pairs coded or noisy with untouched."""

    def __init__(self, folder, scale, seed):
        self.rng = np.random.default_rng(seed)
        self.scale = scale
        self.by_kind = {kind: [] for kind in KINDS}
        for path in sorted(glob.glob(os.path.join(folder, "*.npz"))):
            held = np.load(path)
            held = {k: held[k] for k in held.files}
            if min(held["lr" if scale == 2 else "hr"].shape[1:]) >= 80:
                self.by_kind[os.path.basename(path).split("-")[0]].append(sequence(held, scale))
        self.kinds = [k for k in KINDS if self.by_kind[k]]
        if not self.kinds:
            raise SystemExit(f"no sequences in {folder}: run training/data.py first")
        share = np.array([KINDS[k] for k in self.kinds])
        self.share = share / share.sum()

    def place(self, clean, size):
        """Frame and corner of a patch; of two random places the busier one is taken more often."""
        rng = self.rng
        n, h, w = clean.shape
        places = [(rng.integers(n), rng.integers(h - size + 1), rng.integers(w - size + 1)) for _ in range(2)]
        busy = [float(np.abs(np.diff(clean[i, y : y + size : 2, x : x + size].astype(np.int16))).mean()) for i, y, x in places]
        return places[int(busy[1] > busy[0]) if rng.random() < 0.7 else 0]

    def pick(self, size):
        """(input, target, weight): codes, and what an error of this patch weighs (1 for scale 2)."""
        rng = self.rng
        entries = self.by_kind[self.kinds[rng.choice(len(self.kinds), p=self.share)]]
        entry = entries[rng.integers(len(entries))]
        return self.pick_half(entry, size) if self.scale == 2 else self.pick_coded(entry, size)

    def pick_half(self, entry, size):
        rng = self.rng
        way = rng.random()
        source = entry["coded"][rng.integers(len(entry["coded"]))] if way < 0.5 else entry["clean"]
        i, y, x = self.place(entry["clean"], size)
        low = source[i, y : y + size, x : x + size].astype(np.float32)
        high = entry["target"][i, y * 2 : (y + size) * 2, x * 2 : (x + size) * 2].astype(np.float32)
        if way > 0.97:
            low = soften(high, rng.uniform(0.02, 0.1))  # a little more blur than the area filter's
            low = np.rint((low[0::2, 0::2] + low[1::2, 0::2] + low[0::2, 1::2] + low[1::2, 1::2]) / 4)
        return low, high, 1.0

    def pick_coded(self, entry, size):
        """An error weighs by the mean squared error of the whole coded sequence, so that a part of it less counts the
        same at every crf, as it does in dB."""
        rng = self.rng
        way = rng.choice(list(WAYS), p=list(WAYS.values()))
        pairs = entry["again" if way == "again" else "coded"]
        # Of the coded, the strongest is drawn most: light coding is put right easily, and a little there is enough.
        chosen = rng.random() ** (1 if way == "again" else 0.5)
        source, target, error = pairs[int(chosen * len(pairs))]
        i, y, x = self.place(target, size)
        low, high = (p[i, y : y + size, x : x + size].astype(np.float32) for p in (source, target))
        if way in ("noisy", "untouched"):
            low, error = high, 0.0
        if way == "noisy":
            low = np.rint(high + noise(high.shape, rng))
            error = float(((low - high) ** 2).mean())
        return low, high, (AGAIN if way == "again" else 1) / (error + FLOOR)

    def batch(self, count, size):
        """Arrays [count, 1, size, size], [count, 1, size * scale, ...] and weights [count]: turned, flipped and, a part of
        the time, stretched in contrast and shifted so that values reach about -0.07 and 1.09."""
        low = np.empty((count, 1, size, size), np.float32)
        high = np.empty((count, 1, size * self.scale, size * self.scale), np.float32)
        weight = np.empty(count, np.float32)
        for k in range(count):
            a, b, weight[k] = self.pick(size)
            turns, flip = self.rng.integers(4), self.rng.integers(2)
            a, b = (np.rot90(p, turns)[:, :: 1 - 2 * flip] for p in (a, b))
            # A stretch makes one crf look like another, so restore, which must tell them apart, gets fewer.
            gain, shift = (self.rng.uniform(0.7, 1.16), self.rng.uniform(-0.08, 0.09)) if self.rng.random() < self.scale / 4 else (1, 0)
            low[k, 0], high[k, 0] = ((p - 16) / 219 for p in (a, b))
            weight[k] /= gain**2
            if gain != 1:
                for p in (low[k], high[k]):
                    p[...] = (p - 0.5) * gain + 0.5 + shift
        return low, high, weight


def sequence(held, scale):
    """What a sequence's file holds, by use. Scale 1: lists of (coded, truth, mean squared error in codes),
    least error first."""
    def of(prefix):
        return [held[k] for k in sorted(held) if k.startswith(prefix)]
    if scale == 2:
        return {"target": held["hr"], "clean": held["lr"], "coded": of("lr_")}
    def pairs(truth):
        made = [(c, held[truth], float(((c.astype(np.float32) - held[truth]) ** 2).mean())) for c in of(truth + "_")]
        return sorted(made, key=lambda pair: pair[2])
    return {"coded": pairs("hr"), "again": pairs("old")}


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
