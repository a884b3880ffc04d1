#!/usr/bin/env python3
"""What vproc expects a frame to cost, from a few windows run before the first frame, against what it then costs.

    python3 benches/cost.py [--frames 60] [--skip exact] [--network NAME...] [--clip FILE...]

Each clip goes through each network into nothing. `predicted` and `measured` are milliseconds of one core that the
workers take for a frame (`skip.predicted_ms_per_frame` and `skip.worker_ms_per_frame` of the report), the start of the
workers left out; `computed` is the share of the picture that the network ran on, halos included. Exit status 1 if a
prediction is further off than `--within`.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
SHARED = pathlib.Path(os.environ.get("VPROC_SHARED", HERE.parent.parent / "shared"))
CLIPS = [
    "people_static_768x432.mp4",
    "pan_outdoor_640x360.mp4",
    "talking_head_176x144_sar.mp4",
    "two_video_two_audio_two_subs.mp4",
    "mpeg4_mp3_960x400.avi",
    "volleyball_606x1080.mp4",
]
NETWORKS = ["upscale-x2", "restore", str(SHARED / "data/models/DigitalFlim_SuperUltraCompact_x2_fp32.onnx")]


def arguments_of():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--skip", default="exact")
    parser.add_argument("--network", nargs="+", default=NETWORKS)
    parser.add_argument("--clip", nargs="+", default=[SHARED / "data/clips" / name for name in CLIPS])
    parser.add_argument("--within", type=float, default=10, help="percent")
    parser.add_argument("--vproc", default=HERE.parent / "target/release/vproc")
    parser.add_argument("--options", default="", help="more options of vproc")
    return parser.parse_args()


def report_of(arguments, clip, network):
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "report.json"
        command = [arguments.vproc, clip, "-o", "null:", "-q", "--no-cache", "-m", network, "--report", path]
        command += ["--frames", arguments.frames, "--skip", arguments.skip, *arguments.options.split()]
        result = subprocess.run([str(part) for part in command], stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if result.returncode not in (0, 3):
            sys.exit(f"{clip} with {network}: {result.stderr.strip()}")
        return json.loads(path.read_text())


def main():
    arguments = arguments_of()
    print(f"{'clip':<34}{'network':<22}{'computed':>9}{'predicted':>11}{'measured':>10}{'error':>9}")
    errors = []
    for clip in arguments.clip:
        for network in arguments.network:
            report = report_of(arguments, clip, network)
            skip = report["skip"]
            name, network = pathlib.Path(clip).name, pathlib.Path(network).stem.split("_")[0]
            computed = report["pixels_computed"] / report["pixels_total"]
            if skip["predicted_ms_per_frame"] is None:
                print(f"{name:<34}{network:<22}{computed:>8.1%}{'none':>11}")
                continue
            predicted, measured = skip["predicted_ms_per_frame"], skip["worker_ms_per_frame"]
            error = predicted / measured - 1
            errors.append(100 * abs(error))
            print(f"{name:<34}{network:<22}{computed:>9.1%}{predicted:>11.2f}{measured:>10.2f}{error:>+9.1%}", flush=True)
    if errors:
        worst = max(errors)
        print(f"{len(errors)} predictions, off by {statistics.median(errors):.1f} % in the middle, {worst:.1f} % at worst")
        sys.exit(worst > arguments.within)


main()
