#!/usr/bin/env python3
"""Makes files with sound in which pictures and sound lie well mixed, and the same with all sound at the end.

    tests/interleaved.py --out DIR

Prints a JSON list of pairs: `well` and `badly` (files), `kind`, `frames`. The sound is 80 seconds of
16-bit stereo, 15 MB: a program that keeps it in memory shows it. Standard library and ffmpeg.
"""
import argparse
import json
import struct
import subprocess
from pathlib import Path

from boxes import Mp4, cluster, element, matroska, video_track

SECONDS, RATE, SIZE = 80, 25, 64


def sound_track():
    return element(0xAE, [element(0xD7, 2), element(0x73C5, 2), element(0x83, 2), element(0x86, "A_PCM/INT/LIT"),
                          element(0xE1, [element(0xB5, 48000.0), element(0x9F, 2), element(0x6264, 16)])])


def mkv(out, mixed):
    frame, tenth = bytes([100]) * (SIZE * SIZE * 3 // 2), bytes(48000 // 10 * 4)
    pictures = [cluster(1000 * s, [(1000 * n // RATE, frame) for n in range(RATE)]) for s in range(SECONDS)]
    sounds = [cluster(1000 * s, [(100 * n, tenth) for n in range(10)], track=2) for s in range(SECONDS)]
    clusters = [c for pair in zip(pictures, sounds) for c in pair] if mixed else pictures + sounds
    out.write_bytes(matroska([video_track(SIZE, SIZE), sound_track()], clusters, duration=1000.0 * SECONDS))


def mov(out):
    subprocess.run(["ffmpeg", "-y", "-nostdin", "-loglevel", "error", "-f", "lavfi", "-i", f"testsrc2=s={SIZE}x{SIZE}:r={RATE}:d={SECONDS}",
                    "-f", "lavfi", "-i", f"sine=r=48000:d={SECONDS}", "-ac", "2", "-c:v", "libx264", "-preset", "ultrafast",
                    "-pix_fmt", "yuv420p", "-c:a", "pcm_s16le", "-bitexact", out], check=True)


def chunks(stbl):
    """(offset, size) of each chunk of a track."""
    offsets = struct.unpack(f">{(len(stbl.find('stco').data) - 8) // 4}I", stbl.find("stco").data[8:])
    runs = list(struct.iter_unpack(">III", stbl.find("stsc").data[8:]))
    stsz = stbl.find("stsz").data
    one, count = struct.unpack_from(">II", stsz, 4)
    sizes = [one] * count if one else list(struct.unpack(f">{count}I", stsz[12:]))
    found, sample = [], 0
    for number, offset in enumerate(offsets, 1):
        many = [r[1] for r in runs if r[0] <= number][-1]
        found.append((offset, sum(sizes[sample:sample + many])))
        sample += many
    return found


def sound_last(data):
    """The same file with its chunks put one track behind the other."""
    mp4 = Mp4(data)
    place = mp4.root.children.index(mp4.root.find("mdat"))
    at = sum(len(box.to_bytes()) for box in mp4.root.children[:place]) + 8
    body = bytearray()
    for track in [c for c in mp4.moov.children if c.kind == b"trak"]:
        stbl = track.find("mdia/minf/stbl")
        for number, (offset, size) in enumerate(chunks(stbl)):
            stbl.find("stco").put(8 + 4 * number, ">I", at + len(body))
            body += data[offset:offset + size]
    assert len(body) == len(mp4.root.find("mdat").data), "every byte has its chunk"
    mp4.root.find("mdat").data = body
    return mp4.to_bytes()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    out = parser.parse_args().out
    mkv(out / "well.mkv", True)
    mkv(out / "badly.mkv", False)
    mov(out / "well.mov")
    (out / "badly.mov").write_bytes(sound_last((out / "well.mov").read_bytes()))
    print(json.dumps([{"kind": kind, "well": str(out / f"well.{kind}"), "badly": str(out / f"badly.{kind}"), "frames": SECONDS * RATE}
                      for kind in ("mkv", "mov")]))


if __name__ == "__main__":
    main()
