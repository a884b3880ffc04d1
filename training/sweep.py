"""Shows which strength suits which quantiser: `python training/sweep.py`, where `STRENGTH` in nets.py comes from.

Held-out clips are coded with x264 (medium) at many crf; for each the mean quantiser is read from the decoder and the
correction of `restore` is added in several strengths. A line a clip and crf: gain in dB (PSNR-Y) for each strength.
"""
import argparse
import os
import struct
import tempfile

import av
import numpy as np

from evaluate import codes, decoded, luma_net, psnr, runs_of, session, written

STRENGTHS = [0.25, 0.5, 0.75, 1, 1.25, 1.5, 2]
CRFS = [14, 18, 20, 22, 24, 26, 28, 30, 32, 36]


def mean_quantiser(path):
    """Mean H.264 QP over blocks and frames, from FFmpeg's AVVideoEncParams (libavutil/video_enc_params.h)."""
    found = []
    with av.open(path) as box:
        video = box.streams.video[0]
        video.codec_context.options = {"export_side_data": "venc_params"}
        for frame in box.decode(video):
            for data in frame.side_data:
                if "ENC_PARAMS" in str(data.type):
                    told = bytes(data)
                    n, first, size, qp = *struct.unpack_from("I4xQQ", told), struct.unpack_from("i", told, 28)[0]
                    blocks = np.frombuffer(told, np.uint8, count=n * size, offset=first).reshape(n, size)
                    found.append(qp + (blocks[:, 16:20].copy().view(np.int32).mean() if n else 0))
    return np.mean(found)


def main():
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--net", default="models/restore.onnx")
    ask.add_argument("--clips", default="/work/shared/data/clips")
    asked = ask.parse_args()
    restore = luma_net(session(asked.net))
    print("clip          crf   QP     " + "".join(f"{s:8}" for s in STRENGTHS))
    with tempfile.TemporaryDirectory() as here:
        path = os.path.join(here, "coded.mkv")
        for clip, matrix, y, u, v, taken in runs_of(asked.clips):
            for crf in CRFS:
                written(path, (y, u, v), ["-c:v", "libx264", "-preset", "medium", "-crf", str(crf)])
                x, gains = decoded(path, y), []
                for i in taken[1::2]:
                    correction = restore(x[i], None, None, matrix) - x[i]
                    gains.append([psnr(codes(x[i] + s * correction), y[i]) - psnr(x[i], y[i]) for s in STRENGTHS])
                print(f"{clip[:12]:12} {crf:4} {mean_quantiser(path):6.1f}  " + "".join(f"{g:+8.3f}" for g in np.mean(gains, 0)), flush=True)


if __name__ == "__main__":
    main()
