#!/usr/bin/env python3
"""vproc against the bare parts and against the plain loop in Python, in interleaved turns, start-up taken out.

    target/bench-python/bin/python benches/compare.py --pairs 15

(For the interpreter see the head of plain.py.) A real clip is brought to 960x540, and its first frames are repeated to a
short and a long video. Every tool runs both in every turn; the difference of the two, divided by the difference of
their frames, is what a frame takes without the start. What is compared:

    vproc       the whole program, once for each --engine
    plain       plain.py
    decode      ffmpeg decoding into nothing
    encode      ffmpeg encoding the pictures that vproc made, raw, with vproc's settings
    network     the network alone in onnxruntime, a session with one thread for each core, all at work at once

CPU time is that of the process with all its threads. The tables hold medians over the turns and, of the ratios, what
lies in the middle and the ends; a ratio compares what was measured in the same turn.
"""

import argparse
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
SHARED = pathlib.Path(os.environ.get("VPROC_SHARED", HERE.parent.parent / "shared"))
BASE = 100
"""Frames of the clip that are repeated: a whole number of times in the short and in the long video."""


def arguments_of():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--pairs", type=int, default=5, help="turns")
    parser.add_argument("--short", type=int, default=100, help=f"frames, a multiple of {BASE}")
    parser.add_argument("--long", type=int, default=700, help=f"frames, a multiple of {BASE}")
    parser.add_argument("--engine", action="append", help="of vproc; may be repeated [default: ort]")
    parser.add_argument("--clip", default=SHARED / "data/clips/pan_outdoor_640x360.mp4")
    parser.add_argument("--network", default=SHARED / "data/models/bench_luma_x2_random_weights.onnx")
    parser.add_argument("--vproc", default=HERE.parent / "target/release/vproc")
    parser.add_argument("--preset", default="fast")
    parser.add_argument("--crf", default="18")
    parser.add_argument("--options", default="", help="more options of vproc")
    parser.add_argument("--only", help="tools to run, separated by commas; vproc is always run")
    parser.add_argument("--network-alone", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.short % BASE or arguments.long % BASE or arguments.short >= arguments.long:
        parser.error(f"--short and --long are multiples of {BASE}, the short one less")
    return arguments


def quietly(command):
    result = subprocess.run([str(part) for part in command], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if result.returncode:
        sys.exit(f"{command[0]} failed: {result.stderr.strip()[-500:]}")


def timed(command):
    """CPU and wall seconds of a command."""
    begun = time.perf_counter()
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            [str(part) for part in command], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors
        )
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            errors.seek(0)
            sys.exit(f"{command[0]} failed: {errors.read().decode(errors='replace').strip()[-500:]}")
    return used.ru_utime + used.ru_stime, time.perf_counter() - begun


def network_alone(network, n_frames):
    """Runs the network on so many 960x540 frames, a session with one thread for each core."""
    import numpy as np
    import onnxruntime

    frames = iter(range(n_frames))
    lock = threading.Lock()

    def work():
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        session = onnxruntime.InferenceSession(network, options, providers=["CPUExecutionProvider"])
        given = session.get_inputs()[0]
        channels = given.shape[1]
        tensor = np.random.default_rng(1).random((1, channels, 540, 960), dtype=np.float32)
        while True:
            with lock:
                if next(frames, None) is None:
                    return
            session.run(None, {given.name: tensor})

    threads = [threading.Thread(target=work) for _ in range(len(os.sched_getaffinity(0)))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def make_clips(arguments, folder):
    """The short and the long video, and the raw pictures that vproc makes of the frames they repeat."""
    encode = ["-an", "-c:v", "libx264", "-preset", "fast", "-crf", "18"]
    ffmpeg = ["ffmpeg", "-v", "error", "-nostdin", "-y"]
    raw = folder / "base.y4m"
    scale = ["-vf", "scale=960:540,format=yuv420p", "-frames:v", BASE, "-f", "yuv4mpegpipe", raw]
    quietly([*ffmpeg, "-i", arguments.clip, *scale])
    clips = {}
    for n_frames in (arguments.short, arguments.long):
        clips[n_frames] = folder / f"clip-{n_frames}.mp4"
        quietly([*ffmpeg, "-stream_loop", n_frames // BASE - 1, "-i", raw, *encode, clips[n_frames]])
    made = folder / "made.y4m"
    quietly([*vproc_of(arguments, arguments.engine[0], raw, made, encodes=False)])
    return clips, made


def vproc_of(arguments, engine, source, output, encodes=True):
    options = ["--preset", arguments.preset, "--crf", arguments.crf] if encodes else []
    command = [arguments.vproc, source, "-o", output, "-y", "-q", "--no-config", "--no-cache", "-m", arguments.network]
    return [*command, "--engine", engine, *options, *arguments.options.split()]


def tools_of(arguments, clips, made, folder):
    """Each tool's command for so many frames."""
    cores = len(os.sched_getaffinity(0))
    out = folder / "out.mp4"
    ffmpeg = ["ffmpeg", "-v", "error", "-nostdin", "-y"]
    settings = ["-c:v", "libx264", "-preset", arguments.preset, "-crf", arguments.crf, "-threads", cores]
    settings += ["-x264-params", "cpu-independent=1"]
    me = [sys.executable, HERE / "compare.py", "--network", arguments.network]
    plain = [sys.executable, HERE / "plain.py"]
    more = ["--threads", cores, "--preset", arguments.preset, "--crf", arguments.crf]
    tools = {
        f"vproc {engine}": lambda n, engine=engine: vproc_of(arguments, engine, clips[n], out)
        for engine in arguments.engine
    }
    tools |= {
        "plain": lambda n: [*plain, clips[n], out, arguments.network, *more],
        "decode": lambda n: [*ffmpeg, "-threads", cores, "-i", clips[n], "-f", "null", "-"],
        "encode": lambda n: [*ffmpeg, "-stream_loop", n // BASE - 1, "-i", made, *settings, out],
        "network": lambda n: [*me, "--network-alone", n],
    }
    wanted = arguments.only.split(",") if arguments.only is not None else list(tools)
    return {name: command for name, command in tools.items() if name.startswith("vproc") or name in wanted}


def turns_of(arguments, tools):
    """For each tool a list over the turns of (CPU, wall) seconds a frame."""
    found = {name: [] for name in tools}
    names = list(tools)
    n_frames = arguments.long - arguments.short
    for turn in range(arguments.pairs):
        for name in names:
            short = timed(tools[name](arguments.short))
            long = timed(tools[name](arguments.long))
            found[name].append(tuple((b - a) / n_frames for a, b in zip(short, long)))
            print(f"turn {turn + 1} of {arguments.pairs}: {name}", file=sys.stderr)
        names.reverse()
    return found


def spread(values):
    middle = statistics.median(values)
    return f"{middle:6.3f}  ({min(values):.3f} to {max(values):.3f})"


def tell(arguments, found):
    cores = len(os.sched_getaffinity(0))
    print(f"{arguments.pairs} turns, {arguments.long - arguments.short} frames of 960x540, {cores} cores")
    print(f"{'':18} {'CPU ms a frame':>16} {'wall ms a frame':>16} {'fps':>8} {'wall x cores / CPU':>19}")
    for name, turns in found.items():
        cpu, wall = (statistics.median(turn[index] for turn in turns) for index in (0, 1))
        print(f"{name:18} {cpu * 1e3:16.2f} {wall * 1e3:16.2f} {1 / wall:8.2f} {wall * cores / cpu:19.3f}")
    parts = [name for name in ("decode", "encode", "network") if name in found]
    for name in [name for name in found if name.startswith("vproc")]:
        own = found[name]
        if len(parts) == 3:
            sums = [sum(found[part][turn][0] for part in parts) for turn in range(len(own))]
            print(f"{name}: CPU / sum of the bare parts   {spread([a[0] / b for a, b in zip(own, sums)])}")
        print(f"{name}: wall x cores / CPU            {spread([wall * cores / cpu for cpu, wall in own])}")
        if "plain" in found:
            for index, what in ((0, "CPU "), (1, "wall")):
                ratios = [b[index] / a[index] for a, b in zip(own, found["plain"])]
                print(f"{name}: {what} of the plain loop / its own {spread(ratios)}")


def main():
    arguments = arguments_of()
    arguments.network = str(arguments.network)
    if arguments.network_alone:
        return network_alone(arguments.network, arguments.network_alone)
    arguments.engine = arguments.engine or ["ort"]
    if not shutil.which("ffmpeg"):
        sys.exit("ffmpeg is not installed")
    with tempfile.TemporaryDirectory(prefix="vproc-compare-") as name:
        folder = pathlib.Path(name)
        clips, made = make_clips(arguments, folder)
        tell(arguments, turns_of(arguments, tools_of(arguments, clips, made, folder)))


if __name__ == "__main__":
    main()
