#!/usr/bin/env python3
"""The loop that one writes first: decode a frame, run the network, encode, one after the other. Audio is left out.

    python3 -m venv target/bench-python
    target/bench-python/bin/pip install av==18.1.0 numpy==2.4.6 onnxruntime==1.31.1
    target/bench-python/bin/python benches/plain.py IN.mp4 OUT.mp4 NETWORK.onnx

PyAV decodes, ONNX Runtime runs the network in one session with two threads, PyAV encodes with libx264. Luma networks get
the luma plane, and swscale resizes the chroma; RGB networks get and give RGB.
"""

import argparse
import json
import resource
import time

import av
import numpy as np
import onnxruntime


def session_of(network, threads, provider):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(network, options, providers=[provider])


def plane_of(frame, index):
    """A plane as an array without the padding behind its rows; writing to it writes the frame."""
    plane = frame.planes[index]
    return np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)[:, : plane.width]


def to_codes(values):
    return np.clip(values * 255.0 + 0.5, 0, 255).astype(np.uint8)


def through_luma(frame, run):
    luma = plane_of(frame, 0).astype(np.float32)[None, None] / 255.0
    result = to_codes(run(luma)[0, 0])
    height, width = result.shape
    out = frame.reformat(width=width, height=height, format="yuv420p", interpolation="BICUBIC")
    plane_of(out, 0)[:] = result
    return out


def through_rgb(frame, run):
    rgb = frame.to_ndarray(format="rgb24").astype(np.float32).transpose(2, 0, 1)[None] / 255.0
    result = to_codes(run(np.ascontiguousarray(rgb))[0].transpose(1, 2, 0))
    out = av.VideoFrame.from_ndarray(np.ascontiguousarray(result), format="rgb24")
    return out.reformat(format="yuv420p")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("input")
    parser.add_argument("output")
    parser.add_argument("network")
    parser.add_argument("--threads", type=int, default=2, help="threads of ONNX Runtime")
    parser.add_argument("--provider", default="CPUExecutionProvider", help="ONNX Runtime's name of what runs it")
    parser.add_argument("--preset", default="fast")
    parser.add_argument("--crf", default="18")
    arguments = parser.parse_args()

    session = session_of(arguments.network, arguments.threads, arguments.provider)
    given = session.get_inputs()[0]
    through = through_luma if given.shape[1] == 1 else through_rgb

    def run(tensor):
        return session.run(None, {given.name: tensor})[0]

    begun, n_frames, stream = time.perf_counter(), 0, None
    with av.open(arguments.input) as source, av.open(arguments.output, "w") as sink:
        video = source.streams.video[0]
        for frame in source.decode(video):
            if frame.format.name != "yuv420p":
                frame = frame.reformat(format="yuv420p")
            out = through(frame, run)
            if stream is None:
                stream = sink.add_stream("libx264", rate=video.average_rate)
                stream.width, stream.height, stream.pix_fmt = out.width, out.height, "yuv420p"
                stream.time_base = video.time_base
                stream.options = {"preset": arguments.preset, "crf": arguments.crf}
            out.pts, out.time_base = frame.pts, frame.time_base
            sink.mux(stream.encode(out))
            n_frames += 1
        if stream is not None:
            sink.mux(stream.encode(None))
    used = resource.getrusage(resource.RUSAGE_SELF)
    told = {
        "frames": n_frames,
        "wall_seconds": round(time.perf_counter() - begun, 3),
        "cpu_seconds": round(used.ru_utime + used.ru_stime, 3),
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
