"""Builds the training set: `python training/data.py`. train.py reads what it writes.

A sequence is a few consecutive luma frames (8-bit codes, limited range) from a clip, a slow pan
over a photograph, or a rendered picture. For the x2 networks each is stored with its area-halved
version and decoded H.264/H.265 copies of that; for `restore` (a folder of its own, longer runs) with
copies at full size and with a second generation, so that the networks meet real coding errors.
The four clips of HELD_OUT and everything showing the same scenes are never read here.
Knows nothing of networks.
"""
import argparse
import glob
import os
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import av
import numpy as np
from PIL import Image, ImageDraw, ImageFont

HELD_OUT = ["deer_1080p24.mp4", "animation_1280x720.mp4", "people_static_768x432.mp4", "face_1080x720.mp4"]
# Same film as animation_1280x720, same man as face_1080x720: left out on both sides.
RELATED = ["animation_1080p60.mp4", "srt_subs_ac3.mkv"]
# clip: (runs of frames taken, also kept area-halved as a cleaner reference)
TRAIN_CLIPS = {
    "pan_outdoor_640x360.mp4": (14, False),
    "talking_head_176x144_sar.mp4": (6, False),
    "volleyball_606x1080.mp4": (6, True),
    "two_video_two_audio_two_subs.mp4": (8, False),
    "awesome movie.mov": (5, False),
    "vp9_10bit_bt2020.webm": (4, False),
    "hevc_10bit_hlg_1080p.mp4": (1, True),
    "rotated_90.mov": (4, False),
    "full_range_bt709_720p.mp4": (2, True),
    "mpeg4_mp3_960x400.avi": (4, False),
    "resolution_change.h264": (4, False),
    "corrupted.mp4": (1, False),
    "yuv422p.mp4": (1, False),
}
RUN = 4  # frames kept of a run of eight (x2) or twelve (restore), so that P and B frames are among them
RESTORE_RUNS = 2  # restore takes so many times the runs of TRAIN_CLIPS
# crf of x264 `medium` that restore learns from, one drawn of each: from hardly visible to clearly coded.
RESTORE_CRF = [(16, 19), (19, 23), (23, 28), (28, 31), (31, 34), (32, 37)]
PHOTOGRAPHS = ["astronaut", "brick", "camera", "chelsea", "coffee", "coins", "color", "grass", "gravel", "hubble_deep_field",
               "ihc", "moon", "motorcycle_left", "page", "retina", "rocket", "text", "logo", "horse"]


def halve(plane):
    """Area-halves planes [..., h, w] (even sizes) to 8-bit codes: the mean of 2x2, rounded."""
    p = plane.astype(np.uint16)
    return ((p[..., 0::2, 0::2] + p[..., 1::2, 0::2] + p[..., 0::2, 1::2] + p[..., 1::2, 1::2] + 2) >> 2).astype(np.uint8)


def planes(path, stream=None):
    """Yields (y, u, v) 8-bit limited-range planes of a clip's frames; 10 bit is rounded, full range narrowed."""
    with av.open(path) as box:
        video = box.streams[stream] if stream is not None else box.streams.video[0]
        for frame in box.decode(video):
            full = frame.format.name.startswith("yuvj") or frame.color_range == 2
            out = []
            for i, plane in enumerate(frame.planes[:3]):
                deep = frame.format.components[0].bits > 8
                a = np.frombuffer(plane, np.uint16 if deep else np.uint8).reshape(plane.height, -1)[:, : plane.width]
                a = a.astype(np.float32) / (1 << (frame.format.components[0].bits - 8))
                if full:
                    a = a * (219 / 255) + 16 if i == 0 else (a - 128) * (224 / 255) + 128
                out.append(np.clip(np.rint(a), 0, 255).astype(np.uint8))
            yield tuple(out)


def recode(y, codec, crf, u=None, v=None, preset="medium"):
    """Encodes frames [n, h, w] (even sizes) with ffmpeg and returns the decoded planes: y, or (y, u, v) when chroma is given."""
    n, h, w = y.shape
    grey = u is None
    if grey:
        u = v = np.full((n, h // 2, w // 2), 128, np.uint8)
    raw = b"".join(p[i].tobytes() for i in range(n) for p in (y, u, v))
    form = ["-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", f"{w}x{h}"]
    quiet = ["-x265-params", "log-level=none:pools=1:frame-threads=1"] if codec == "libx265" else []
    coded = subprocess.run(["ffmpeg", "-v", "error", *form, "-r", "25", "-i", "-", "-c:v", codec, "-crf", str(crf), "-preset", preset,
                            "-threads", "1", *quiet, "-f", "matroska", "-"], input=raw, stdout=subprocess.PIPE, check=True).stdout
    back = subprocess.run(["ffmpeg", "-v", "error", "-threads", "1", "-i", "-", "-f", "rawvideo", "-pix_fmt", "yuv420p", "-"],
                          input=coded, stdout=subprocess.PIPE, check=True).stdout
    flat = np.frombuffer(back, np.uint8).reshape(n, -1)
    ny, nc = h * w, (h // 2) * (w // 2)
    ry = flat[:, :ny].reshape(n, h, w)
    if grey:
        return ry
    return ry, flat[:, ny : ny + nc].reshape(n, h // 2, w // 2), flat[:, ny + nc :].reshape(n, h // 2, w // 2)


def crop4(y):
    """Cuts to multiples of four, so that halves stay even."""
    return np.ascontiguousarray(y[..., : y.shape[-2] // 4 * 4, : y.shape[-1] // 4 * 4])


def clip_sequences(folder, length=8, times=1):
    """Runs of `length` frames spread evenly over each training clip, `times` as many as its count."""
    for name, (runs, also_half) in TRAIN_CLIPS.items():
        runs = runs * times if runs > 1 else 1
        path = os.path.join(folder, name)
        if not os.path.exists(path):
            print(f"skipped {name}: not in {folder}")
            continue
        frames = []
        try:
            for y, _, _ in planes(path, 3 if name.startswith("two_video") else None):
                if frames and y.shape != frames[0].shape:
                    break
                frames.append(y)
        except av.FFmpegError as error:
            print(f"{name}: reading stopped after {len(frames)} frames: {error}")
        for k in range(runs):
            start = max(0, (len(frames) - length) * k // max(1, runs - 1))
            run = crop4(np.stack(frames[start : start + length]))
            yield f"clip-{name}-{k}", run
            if also_half:
                yield f"clip-{name}-{k}-half", crop4(halve(run))


def luma_of(picture):
    """Luma codes of a PIL picture, BT.709, limited range."""
    rgb = np.asarray(picture.convert("RGB"), np.float32)
    return rgb @ np.float32([0.2126, 0.7152, 0.0722]) * (219 / 255) + 16


def pan(picture, rng, frames=8):
    """Slow pan over a still [h, w] float: whole-pixel steps, so no blur is added."""
    dy, dx = rng.integers(-2, 3, 2)
    m = 2 * frames
    h, w = picture.shape[0] - 2 * m, picture.shape[1] - 2 * m
    out = [picture[m + dy * i : m + dy * i + h, m + dx * i : m + dx * i + w] for i in range(frames)]
    return crop4(np.clip(np.rint(np.stack(out)), 0, 255).astype(np.uint8))


def photo_sequences(rng, frames=8):
    """The photographs that come inside scikit-image and scikit-learn, whole and (large ones) halved."""
    try:
        import skimage
        import sklearn
    except ImportError as error:
        print(f"skipped photographs: {error}")
        return
    paths = [p for n in PHOTOGRAPHS for p in glob.glob(os.path.join(os.path.dirname(skimage.__file__), "data", n + ".*"))]
    paths += sorted(glob.glob(os.path.join(os.path.dirname(sklearn.__file__), "datasets", "images", "*.jpg")))
    for path in paths:
        y = luma_of(Image.open(path))
        yield f"photo-{os.path.basename(path)}", pan(y, rng, frames)
        if min(y.shape) >= 400:
            y = y[: y.shape[0] // 2 * 2, : y.shape[1] // 2 * 2]
            yield f"photo-{os.path.basename(path)}-half", pan((y[0::2, 0::2] + y[1::2, 0::2] + y[0::2, 1::2] + y[1::2, 1::2]) / 4, rng, frames)


def noise_field(rng, h, w, slope):
    """Random field with a 1/f^slope spectrum, zero mean, unit deviation."""
    fy, fx = np.fft.fftfreq(h)[:, None], np.fft.rfftfreq(w)[None]
    f = np.sqrt(fy**2 + fx**2)
    f[0, 0] = 1
    a = np.fft.irfft2(np.fft.rfft2(rng.standard_normal((h, w))) / f**slope, (h, w))
    return (a - a.mean()) / a.std()


def rendered(rng, size=384, over=3):
    """One rendered picture: overlapping shapes with gradients and textures, lines and text, drawn at three times
    the size and area-reduced, so edges are anti-aliased the way rendered animation's are."""
    n = size * over
    ground = noise_field(rng, size, size, rng.uniform(1, 2)) * rng.uniform(2, 25) + rng.uniform(40, 200)
    ground = ground + np.linspace(-1, 1, size)[:, None] * rng.uniform(-40, 40)
    canvas = np.repeat(np.repeat(ground, over, 0), over, 1).astype(np.float32)
    grid = np.linspace(-1, 1, n, dtype=np.float32)
    fonts = sorted(glob.glob("/usr/share/fonts/truetype/dejavu/*.ttf"))
    for _ in range(rng.integers(15, 90)):
        mask = Image.new("1", (n, n))
        draw = ImageDraw.Draw(mask)
        x, y = rng.uniform(0, n, 2)
        r = over * min(160, 5 / rng.uniform(0.02, 1))
        kind = rng.integers(0, 6)
        if kind == 0:
            draw.ellipse([x - r, y - r * rng.uniform(0.3, 1), x + r, y + r * 0.3], fill=1)
        elif kind == 1:
            turn = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(3, 8)))
            draw.polygon([(x + r * np.cos(t) * rng.uniform(0.4, 1), y + r * np.sin(t)) for t in turn], fill=1)
        elif kind in (2, 3):
            points = [(x, y)] + [tuple(rng.uniform(0, n, 2) * 0.4 + np.array([x, y]) * 0.6) for _ in range(rng.integers(1, 4))]
            draw.line(points, fill=1, width=int(rng.uniform(0.6, 6) * over), joint="curve")
        elif kind == 4:
            draw.ellipse([x - r, y - r, x + r, y + r], outline=1, width=int(rng.uniform(0.7, 5) * over))
        else:
            height = int(over * rng.uniform(7, 48))
            font = ImageFont.truetype(fonts[rng.integers(len(fonts))], height) if fonts else ImageFont.load_default(height)
            text = "".join(chr(rng.integers(33, 126)) for _ in range(rng.integers(3, 16)))
            draw.text((x - n / 4, y), text, fill=1, font=font)
        box = mask.getbbox()
        if box is None:
            continue
        x0, y0, x1, y1 = box
        m = np.asarray(mask.crop(box))
        ink = rng.uniform(16, 235) + grid[y0:y1, None] * rng.uniform(-50, 50) + grid[None, x0:x1] * rng.uniform(-50, 50)
        if rng.random() < 0.3 and m.size > 400:
            fy, fx = rng.uniform(-40, 40, 2)
            ink = ink + rng.uniform(3, 40) * np.sin(np.pi * (fy * grid[y0:y1, None] + fx * grid[None, x0:x1]))
        canvas[y0:y1, x0:x1] = np.where(m, np.clip(ink, 16, 235), canvas[y0:y1, x0:x1])
    out = canvas.reshape(size, over, size, over).mean((1, 3))
    if rng.random() < 0.35:  # soft focus
        k = rng.uniform(0.1, 0.25)
        for axis in (0, 1):
            out = out * (1 - 2 * k) + k * (np.roll(out, 1, axis) + np.roll(out, -1, axis))
    if rng.random() < 0.3:
        out = out + noise_field(rng, size, size, rng.uniform(0.3, 1.2)) * rng.uniform(1, 8)
    return np.clip(out, 16, 235)


def store(out, name, run, seed):
    """Writes one sequence of the x2 networks: `hr`, its halves `lr`, and their coded copies `lr_*`."""
    rng = np.random.default_rng(seed)
    keep = slice(0, None, max(1, len(run) // RUN))
    low = halve(run)
    arrays = {"hr": run[keep], "lr": low[keep]}
    for crf in (int(rng.integers(14, 20)), int(rng.integers(19, 24)), int(rng.integers(23, 30))):
        arrays[f"lr_x264_{crf}"] = recode(low, "libx264", crf)[keep]
    crf = int(rng.integers(18, 28))
    arrays[f"lr_x265_{crf}"] = recode(low, "libx265", crf, preset="veryfast")[keep]
    np.savez(os.path.join(out, name + ".npz"), **arrays)


def store_restore(out, name, run, seed):
    """Writes one sequence of `restore`: `hr` with its coded copies `hr_*`, and `old` with `old_*`. `old` was coded once
    before and is a truth of its own: what an earlier encoder left in a source is not ours to take out of it."""
    rng = np.random.default_rng(seed)
    keep = np.sort(rng.choice(len(run), min(RUN, len(run)), replace=False))
    arrays = {"hr": run[keep]}
    for low, high in RESTORE_CRF:
        crf = int(rng.integers(low, high))
        arrays[f"hr_x264_{crf}"] = recode(run, "libx264", crf)[keep]
    crf = int(rng.integers(22, 36))
    arrays[f"hr_x265_{crf}"] = recode(run, "libx265", crf, preset="veryfast")[keep]
    old = recode(run, "libx264", int(rng.integers(22, 30)), preset=str(rng.choice(["veryfast", "medium"])))
    arrays["old"] = old[keep]
    for low, high in RESTORE_CRF[:2]:
        crf = int(rng.integers(low, high))
        arrays[f"old_x264_{crf}"] = recode(old, "libx264", crf)[keep]
    np.savez(os.path.join(out, name + ".npz"), **arrays)


def main():
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--clips", default="/work/shared/data/clips", help="folder of the clips")
    ask.add_argument("--out", default=".cache/training", help="folder of the two sets, data-x2 and data-restore")
    ask.add_argument("--only", choices=["x2", "restore"], help="build one of the two sets")
    ask.add_argument("--rendered", type=int, default=60, help="number of rendered pictures")
    ask.add_argument("--seed", type=int, default=1)
    asked = ask.parse_args()
    assert not set(TRAIN_CLIPS) & set(HELD_OUT + RELATED), "a held-out clip is in the training list"

    def sequences(length, times):
        rng = np.random.default_rng(asked.seed)
        yield from clip_sequences(asked.clips, length, times)
        yield from photo_sequences(rng, length)
        for k in range(asked.rendered):
            yield f"rendered-{k}", pan(rendered(rng), rng, length)

    for kind, write, length, times in (("x2", store, 8, 1), ("restore", store_restore, 12, RESTORE_RUNS)):
        if asked.only not in (None, kind):
            continue
        out = os.path.join(asked.out, "data-" + kind)
        os.makedirs(out, exist_ok=True)
        start, count = time.time(), 0
        with ThreadPoolExecutor(2) as pool:
            waiting = []
            for name, run in sequences(length, times):
                waiting.append(pool.submit(write, out, name.replace(" ", "_"), run, asked.seed * 100003 + count))
                count += 1
                while len(waiting) > 6:
                    waiting.pop(0).result()
            for job in waiting:
                job.result()
        print(f"{count} sequences in {out}, {time.time() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
