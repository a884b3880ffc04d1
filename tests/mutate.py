#!/usr/bin/env python3
"""Damages media files in repeatable ways, for the robustness tests.

    tests/mutate.py --seed 1 --count 200 --out DIR CLIP...

Writes COUNT files into DIR, going round the kinds of damage and the clips, and prints a JSON list
of them. The same seed, clips and Python version or not: the same bytes. What vproc owes on each:
no crash, no hang, and never exit status 0 with fewer frames than an independent decode gives.
Standard library only.
"""
import argparse
import json
import random
import sys
from pathlib import Path


class Dice:
    """Draws from random(), whose stream Python promises to keep; randrange's it does not."""

    def __init__(self, *seed):
        self.random = random.Random("/".join(map(str, seed))).random

    def below(self, n):
        return int(self.random() * n)

    def between(self, low, high):
        return low + self.below(high - low + 1)

    def pick(self, items):
        return items[self.below(len(items))]

    def size(self, low, high):
        """Small sizes as often as large ones."""
        return min(high, int(low * (high / low) ** self.random()))

    def span(self, data, longest):
        length = min(self.size(1, longest), len(data))
        start = self.below(len(data) - length + 1)
        return start, start + length


def truncate(data, dice):
    """Cuts the end off: anywhere, near the start, near the end."""
    keep = dice.pick([dice.below(len(data)), dice.below(min(len(data), 4096)), len(data) - 1 - dice.below(min(len(data), 4096))])
    return data[:keep], f"{keep} of {len(data)} bytes"


def flip(data, dice):
    """Changes single bytes anywhere."""
    out = bytearray(data)
    n = dice.pick([1, 4, 16, 64, 256])
    for _ in range(n):
        out[dice.below(len(out))] ^= dice.between(1, 255)
    return bytes(out), f"{n} bytes"


def zero(data, dice):
    """Blanks ranges, as a bad sector or a sparse copy does."""
    out = bytearray(data)
    spans = [dice.span(data, 65536) for _ in range(dice.between(1, 4))]
    for start, end in spans:
        out[start:end] = bytes(end - start)
    return bytes(out), spans


def cut(data, dice):
    """Takes ranges out, whole packets among them, so that all behind moves up."""
    spans = [dice.span(data, 32768) for _ in range(dice.between(1, 4))]
    for start, end in sorted(spans, reverse=True):
        data = data[:start] + data[end:]
    return data, spans


def double(data, dice):
    """Writes a range twice."""
    start, end = dice.span(data, 32768)
    return data[:end] + data[start:], [(start, end)]


def header(data, dice):
    """Damages what describes the rest: fields at the start, or in an mp4's moov wherever it is."""
    out = bytearray(data)
    start, end = 0, min(4096, len(out))
    moov = data.find(b"moov")
    if moov >= 4:
        size = int.from_bytes(data[moov - 4:moov], "big")
        start, end = moov + 4, min(len(out), moov - 4 + max(size, 64))
    words = [b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x80\0\0\0", b"\0\0\0\1", b"\0\xff\xff\xff"]
    done = []
    for _ in range(dice.between(1, 8)):
        at = dice.between(start, max(start, end - 4))
        if dice.below(2):
            word = dice.pick(words)[:max(0, len(out) - at)]
            out[at:at + len(word)] = word
        elif at < len(out):
            out[at] ^= dice.between(1, 255)
        done.append(at)
    return bytes(out), done


KINDS = [truncate, flip, zero, cut, double, header]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("clips", type=Path, nargs="+", metavar="CLIP")
    args = parser.parse_args()
    clips = sorted(args.clips, key=lambda clip: clip.name)
    empty = [clip for clip in clips if clip.stat().st_size == 0]
    if empty:
        sys.exit(f"mutate: {empty[0]} is empty, there is nothing to damage")
    args.out.mkdir(parents=True, exist_ok=True)

    made = []
    for index in range(args.count):
        # Each round of kinds starts with another clip, so every pair is met.
        turn = index // len(KINDS)
        kind, clip = KINDS[index % len(KINDS)], clips[(index + turn) % len(clips)]
        data, what = kind(clip.read_bytes(), Dice(args.seed, clip.name, kind.__name__, index))
        file = args.out / f"{index:04d}_{kind.__name__}_{clip.name}"
        file.write_bytes(data)
        made.append({"file": str(file), "clip": str(clip), "kind": kind.__name__, "index": index, "seed": args.seed,
                     "what": what, "bytes": len(data)})
    json.dump(made, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
