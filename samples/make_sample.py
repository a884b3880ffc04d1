#!/usr/bin/env python3
"""Makes samples/desk.mp4 anew: a rendered desk, a still camera, things that move.

    apt install povray ffmpeg python3-numpy python3-pil fonts-dejavu-core
    samples/make_sample.py --work /tmp/desk            # about half an hour of two cores
    samples/make_sample.py --work /tmp/desk --frames 60 61   # these frames only, as PNG

POV-Ray draws each frame at twice the size; the halving averages light, not code values,
so edges and fine print are as clean as they can be. Text, charts and textures are drawn
here, the sound is computed from the same motion as the picture. The README says more.
"""
import argparse
import math
import os
import subprocess
import sys
import wave
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

HERE = Path(__file__).resolve().parent
WIDTH, HEIGHT = 960, 540
RATE = (24000, 1001)
FRAMES = 144
FONTS = Path("/usr/share/fonts/truetype/dejavu")
SAMPLE_RATE = 48000

# ---- motion ---------------------------------------------------------------------
DROP = 0.75          # seconds; the ball is let go
HEIGHT_CM = 36.0
GRAVITY = 330.0      # a third of the earth's, so that the eye can follow
BOUNCE = 0.84
BALL_Z = -9.0
CLOCK = 10 * 3600 + 9 * 60 + 33.6   # what the clock shows at the first frame


def bounces():
    """Times, strengths (0..1) of the ball's touches of the desk."""
    out = []
    speed = math.sqrt(2 * GRAVITY * HEIGHT_CM)
    t, v = DROP + speed / GRAVITY, speed
    while v > 4.0:
        out.append((t, v / speed))
        v *= BOUNCE
        t += 2 * v / GRAVITY
    return out, t


def ball_x(t):
    """Runs at 11.5 cm/s from the left and rolls out slowly at the end."""
    return -31.0 + 11.5 * max(0.0, t - DROP + 0.2) * (1 - 0.027 * max(0.0, t - DROP))


def ball(t):
    hits, rest = bounces()
    if t <= hits[0][0]:
        fallen = max(0.0, t - DROP)
        y = HEIGHT_CM - GRAVITY * fallen * fallen / 2
    elif t >= rest:
        y = 0.0
    else:
        start, strength = [h for h in hits if h[0] <= t][-1]
        up = strength * BOUNCE * math.sqrt(2 * GRAVITY * HEIGHT_CM)
        s = t - start
        y = up * s - GRAVITY * s * s / 2
    return ball_x(t), max(0.0, y), BALL_Z


def seconds_of(frame):
    return frame * RATE[1] / RATE[0]


def second_hand(t):
    """Degrees; the hand steps, overshoots a little and settles."""
    now = CLOCK + t
    step, since = math.floor(now), now - math.floor(now)
    swing = math.exp(-since * 16) * math.cos(since * 60) if since < 0.5 else 0.0
    return 6 * (step - swing)


def ticks(length):
    first = math.ceil(CLOCK) - CLOCK
    return [first + k for k in range(int(length - first) + 1)]


def write_motion(path):
    rows = {"Ball": [], "Roll": [], "Globe": [], "Pinwheel": [], "Second": [], "Minute": []}
    for n in range(FRAMES):
        t = seconds_of(n)
        rows["Ball"].append("<%.5f, %.5f, %.5f>" % ball(t))
        rows["Roll"].append("%.4f" % math.degrees((ball_x(t) + 31.0) / 2.6))
        rows["Globe"].append("%.4f" % (-14.0 * t - 55))
        rows["Pinwheel"].append("%.4f" % (-66 * t - 9 * math.sin(1.1 * t)))
        rows["Second"].append("%.4f" % second_hand(t))
        rows["Minute"].append("%.4f" % ((CLOCK + t) / 10 % 4320))
    text = ""
    for name, values in rows.items():
        text += "#declare %s = array[%d] { %s }\n" % (name, FRAMES, ", ".join(values))
    path.write_text(text)


# ---- pictures ---------------------------------------------------------------------
def font(size, name="DejaVuSans"):
    return ImageFont.truetype(str(FONTS / f"{name}.ttf"), size)


def centred(draw, xy, text, fill, face):
    draw.text(xy, text, fill=fill, font=face, anchor="mm")


def chart():
    """A test chart: a star, line pairs and a text that gets smaller."""
    w, h = 2400, 1600
    im = Image.new("RGB", (w, h), (240, 236, 224))
    d = ImageDraw.Draw(im)
    ink = (28, 26, 30)
    d.rectangle((40, 40, w - 41, h - 41), outline=ink, width=8)
    d.text((110, 90), "STILL LIFE", fill=(150, 32, 24), font=font(190, "DejaVuSerif-Bold"))
    y = 345
    lines = [
        ("The quick brown fox jumps over the lazy dog.", 60),
        ("Pack my box with five dozen liquor jugs. 0123456789", 50),
        ("Sphinx of black quartz, judge my vow: 24000/1001, 4:2:0", 44),
        ("How vexingly quick daft zebras jump! ABCDEFGHIJKLMNOPQRSTUVW", 37),
        ("Waltz, bad nymph, for quick jigs vex. abcdefghijklmnopqrstuvwxyz 0123456789", 30),
    ]
    for text, size in lines:
        d.text((112, y), text, fill=ink, font=font(size))
        y += int(size * 1.62)
    # line pairs, upright and lying
    x = 112
    for period in (48, 40, 34, 28, 24, 20):
        for k in range(5):
            d.rectangle((x + k * period, 850, x + k * period + period // 2 - 1, 1070), fill=ink)
        x += 5 * period + 40
    x = 112
    for period in (48, 40, 34, 28, 24, 20):
        for k in range(5):
            d.rectangle((x, 1130 + k * period, x + 200, 1130 + k * period + period // 2 - 1), fill=ink)
        x += 240
    # patches of colour
    for k, c in enumerate([(176, 34, 30), (214, 128, 28), (226, 196, 52), (52, 128, 60), (34, 92, 150), (86, 52, 128)]):
        d.rectangle((112 + 240 * k, 1420, 312 + 240 * k, 1520), fill=c)
    # the star, drawn large and reduced
    n, s = 36, 2400
    yy, xx = np.mgrid[0:s, 0:s].astype(np.float32) - s / 2 + 0.5
    star = (np.sin(np.arctan2(yy, xx) * n) > 0).astype(np.float32)
    r = np.hypot(xx, yy)
    star[r < 60] = 0
    a = star[..., None] * np.array([240, 236, 224], np.float32) + (1 - star[..., None]) * np.array(ink, np.float32)
    a[r > s / 2] = (240, 236, 224)
    size = 720
    im.paste(Image.fromarray(a.astype(np.uint8)).resize((size, size), Image.LANCZOS), (1600, 850 - 30))
    # greys under the title
    for k in range(11):
        v = int(round(255 * (k / 10)))
        d.rectangle((1560 + 66 * k, 130, 1560 + 66 * k + 65, 260), fill=(v, v, v))
    d.rectangle((1558, 128, 1560 + 66 * 11, 262), outline=ink, width=3)
    return im


def clock_face():
    s = 1600
    im = Image.new("RGB", (s, s), (246, 242, 230))
    d = ImageDraw.Draw(im)
    c = s / 2
    for k in range(60):
        a = math.radians(6 * k)
        inner = 0.84 if k % 5 == 0 else 0.90
        d.line((c + math.sin(a) * c * inner, c - math.cos(a) * c * inner,
                c + math.sin(a) * c * 0.955, c - math.cos(a) * c * 0.955), fill=(24, 24, 28), width=22 if k % 5 == 0 else 9)
    for k in range(1, 13):
        a = math.radians(30 * k)
        centred(d, (c + math.sin(a) * c * 0.70, c - math.cos(a) * c * 0.70), str(k), (24, 24, 28), font(170, "DejaVuSerif-Bold"))
    centred(d, (c, c * 0.62), "VPROC", (150, 32, 24), font(92, "DejaVuSans-Bold"))
    centred(d, (c, c * 1.36), "twenty-four a second", (60, 60, 66), font(54, "DejaVuSerif"))
    return im


def book(title, author, ground, ink, bands):
    """A spine, the title running up it."""
    w, h = 400, 2200
    lying = Image.new("RGB", (h, w), ground)
    d = ImageDraw.Draw(lying)
    for x in bands:
        d.rectangle((x, 0, x + 18, w), fill=ink)
        d.rectangle((x + 30, 0, x + 36, w), fill=ink)
    size = 200
    while d.textlength(title, font=font(size, "DejaVuSerif-Bold")) > 1640 - d.textlength(author, font=font(104)):
        size -= 4
    d.text((240, w / 2), title, fill=ink, font=font(size, "DejaVuSerif-Bold"), anchor="lm")
    d.text((h - 240, w / 2), author, fill=ink, font=font(104, "DejaVuSans"), anchor="rm")
    rng = np.random.default_rng(len(title))
    a = np.asarray(lying, np.float32)
    cloth = 1 + 0.05 * rng.standard_normal(a.shape[:2])[..., None]
    a = np.clip(a * cloth * (0.93 + 0.07 * np.sin(np.arange(w) / w * math.pi))[:, None, None], 0, 255)
    return Image.fromarray(a.astype(np.uint8)).transpose(Image.ROTATE_270)


def globe():
    """Continents from smooth noise, coasts, a net of lines."""
    w, h = 4096, 2048
    lon, lat = np.meshgrid(np.linspace(-math.pi, math.pi, w, endpoint=False), np.linspace(math.pi / 2, -math.pi / 2, h))
    p = np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], -1)
    rng = np.random.default_rng(20)
    field = np.zeros((h, w))
    for octave in range(6):
        for _ in range(7):
            k = rng.standard_normal(3) * 1.7 * 1.9 ** octave
            field += np.sin(p @ k + rng.uniform(0, 2 * math.pi)) / 1.75 ** octave
    land = field > 1.6
    depth = np.clip((field - 1.6) / 6, -1, 1)[..., None]
    sea = np.array([60, 116, 150]) + depth * np.array([50, 60, 50])
    green = np.array([186, 170, 106]) - depth * np.array([90, 40, 60])
    a = np.where(land[..., None], green, sea)
    coast = land ^ np.roll(land, 6, 0) | land ^ np.roll(land, 6, 1)
    a[coast] = (58, 44, 30)
    line = np.zeros((h, w), bool)
    for k in range(24):
        x = int(k * w / 24)
        half = np.minimum(60, 3.5 / np.maximum(0.06, np.cos(lat[:, 0]))).astype(int)
        for y in range(h):
            line[y, max(0, x - half[y]):x + half[y] + 1] = True
    for k in range(1, 12):
        y = int(k * h / 12)
        line[y - 4:y + 4] = True
    a[line] = a[line] * 0.45 + np.array([245, 240, 220]) * 0.55
    im = Image.fromarray(np.clip(a, 0, 255).astype(np.uint8))
    d = ImageDraw.Draw(im)
    names = ["OCEANUS", "TERRA NOVA", "MARE", "INSULA", "AUSTRALIS", "SINUS", "BOREA", "LACUS"]
    for k, name in enumerate(names):
        d.text((k * 512 + 250, 760 + 330 * (k % 3)), name, fill=(40, 26, 16), font=font(92, "DejaVuSerif-Bold"), anchor="mm")
    return im


def ball_skin():
    w, h = 2048, 1024
    x, y = np.meshgrid(np.arange(w) / w, np.arange(h) / h)
    a = np.empty((h, w, 3), np.float32)
    colours = np.array([(214, 40, 30), (244, 238, 220), (238, 170, 30), (244, 238, 220), (30, 108, 168), (244, 238, 220)], np.float32)
    a[:] = colours[(x * 6).astype(int) % 6]
    dots = (np.hypot((x * 48) % 1 - 0.5, ((y * 24) % 1 - 0.5)) < 0.22) & ((x * 6).astype(int) % 2 == 1)
    a[dots] = (60, 60, 66)
    a[(y < 0.09) | (y > 0.91)] = (38, 40, 48)
    return Image.fromarray(a.astype(np.uint8))


def mat():
    """A basket weave of two yarns."""
    cells_x, cells_y, c = 108, 50, 24
    rng = np.random.default_rng(5)
    tile = np.zeros((cells_y * c, cells_x * c, 3), np.float32)
    round_ = np.sin((np.arange(c) + 0.5) / c * math.pi)
    for j in range(cells_y):
        for i in range(cells_x):
            over = (i + j) % 2
            shade = (0.45 + 0.55 * (round_[:, None] if over else round_[None, :])) * np.ones((c, c))
            edge = 3 if i in (3, 4, 103, 104) or j in (3, 4, 45, 46) else over
            yarn = np.array([(200, 176, 128), (150, 96, 56), 0, (52, 92, 104)][edge] if edge != 2 else 0, np.float32)
            block = shade[..., None] * yarn * (1 + 0.07 * rng.standard_normal())
            tile[j * c:(j + 1) * c, i * c:(i + 1) * c] = block
    return Image.fromarray(np.clip(tile, 0, 255).astype(np.uint8))


def ruler():
    w, h = 3720, 396      # 120 px a centimetre
    im = Image.new("RGB", (w, h), (226, 190, 96))
    d = ImageDraw.Draw(im)
    for mm in range(0, 301):
        x = 60 + mm * 12
        length = 170 if mm % 10 == 0 else 125 if mm % 5 == 0 else 85
        d.rectangle((x - 2, 0, x + 1, length), fill=(40, 26, 12))
        if mm % 10 == 0:
            centred(d, (x, 240), str(mm // 10), (40, 26, 12), font(78, "DejaVuSans-Bold"))
    d.text((90, 340), "made of numbers", fill=(40, 26, 12), font=font(70), anchor="lm")
    return im


def mug():
    w, h = 2400, 800
    im = Image.new("RGB", (w, h), (236, 230, 214))
    d = ImageDraw.Draw(im)
    for k in range(5):
        d.rectangle((0, 40 + 22 * k, w, 50 + 22 * k), fill=(34, 84, 110))
        d.rectangle((0, h - 150 + 22 * k, w, h - 140 + 22 * k), fill=(34, 84, 110))
    for k in range(2):
        centred(d, (600 + 1200 * k, h / 2), "PIXELS", (150, 32, 24), font(230, "DejaVuSans-Bold"))
        centred(d, (600 + 1200 * k, h / 2 + 170), "handle with care", (60, 60, 66), font(84, "DejaVuSans"))
    return im


def wallpaper():
    """Repeats: a trellis with a small flower, muted."""
    s = 384
    y, x = np.mgrid[0:s, 0:s] / s
    a = np.ones((s, s, 3), np.float32) * np.array([126, 142, 132], np.float32)
    for sign in (1, -1):
        d = np.abs(((x + sign * y) * 2 + 0.5) % 1 - 0.5)
        a[d < 0.035] = (150, 164, 150)
    for cx, cy in ((0.25, 0.0), (0.25, 1.0), (0.75, 0.0), (0.75, 1.0), (0.0, 0.25), (1.0, 0.25), (0.5, 0.25),
                   (0.0, 0.75), (1.0, 0.75), (0.5, 0.75), (0.25, 0.5), (0.75, 0.5)):
        r, phi = np.hypot(x - cx, y - cy), np.arctan2(y - cy, x - cx)
        a[r < 0.055 + 0.03 * np.cos(6 * phi)] = (186, 184, 156)
        a[r < 0.02] = (150, 96, 70)
    return Image.fromarray(a.astype(np.uint8))


def draw_pictures(work):
    books = [
        ("FRAMES & FIELDS", "Odd, Even", (116, 22, 22), (232, 204, 140), (90, 150, 2040)),
        ("On Time Bases", "A. Tick", (24, 52, 98), (226, 226, 214), (70, 2090)),
        ("A Natural History of Chroma", "U. & V.", (20, 68, 42), (236, 210, 132), (60, 130, 1990, 2060)),
        ("GAMMA", "L. Inear", (176, 122, 32), (40, 22, 14), (120, 180, 2000)),
        ("The Nearest Neighbour", "B. Icubic", (50, 38, 72), (222, 196, 232), (80, 2060)),
        ("Noise", "S. Eed", (206, 198, 176), (60, 40, 32), (150, 1960)),
    ]
    made = {"chart": chart(), "clock": clock_face(), "globe": globe(), "ball": ball_skin(), "mat": mat(),
            "ruler": ruler(), "mug": mug(), "wallpaper": wallpaper()}
    made.update({f"book{k}": book(*spine) for k, spine in enumerate(books)})
    for name, im in made.items():
        im.save(work / f"{name}.png")


# ---- frames ---------------------------------------------------------------------
def render(work, n):
    big = work / f"big_{n:04d}.png"
    small = work / f"frame_{n:04d}.png"
    if small.exists():
        return
    subprocess.run(
        ["povray", f"+I{HERE / 'desk.pov'}", f"+O{big}", f"+W{2 * WIDTH}", f"+H{2 * HEIGHT}", "+FN8", f"+K{n}", "+WT1",
         "+A0.3", "+AM1", "+R2", "-J", "-D", "-GA", "+L.", "Work_Threads=1"],
        cwd=work, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    codes = np.asarray(Image.open(big).convert("RGB"), np.float64) / 255
    light = np.where(codes <= 0.04045, codes / 12.92, ((codes + 0.055) / 1.055) ** 2.4)
    light = light.reshape(HEIGHT, 2, WIDTH, 2, 3).mean((1, 3))
    codes = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    part = small.with_suffix(".tmp.png")
    Image.fromarray(np.rint(codes * 255).astype(np.uint8)).save(part)
    os.replace(part, small)
    big.unlink()


# ---- sound ----------------------------------------------------------------------
def bar(pitch, strength, length=1.1):
    """A struck wooden bar: a fundamental, its fourth and tenth partial, a knock."""
    t = np.arange(int(length * SAMPLE_RATE)) / SAMPLE_RATE
    s = np.sin(2 * math.pi * pitch * t) * np.exp(-t * 6)
    s += 0.35 * strength * np.sin(2 * math.pi * pitch * 3.93 * t) * np.exp(-t * 16)
    s += 0.12 * strength * np.sin(2 * math.pi * pitch * 9.2 * t) * np.exp(-t * 40)
    knock = np.random.default_rng(1).standard_normal(t.size) * np.exp(-t * 260)
    return (s + 0.25 * strength * knock) * np.minimum(1, t * 2000) * strength


def sound(path):
    length = FRAMES * RATE[1] / RATE[0]
    n = int(round(length * SAMPLE_RATE))
    out = np.zeros((n + 2 * SAMPLE_RATE, 2))

    def add(t, s, pan):
        i = int(round(t * SAMPLE_RATE))
        out[i:i + s.size] += s[:, None] * np.array([math.cos((pan + 1) * math.pi / 4), math.sin((pan + 1) * math.pi / 4)])

    # a soft chord under all of it
    t = np.arange(n) / SAMPLE_RATE
    swell = np.sin(math.pi * np.clip(t / length, 0, 1)) ** 0.7
    for k, pitch in enumerate((110.0, 164.81, 220.0, 277.18, 329.63)):
        wave_ = np.sin(2 * math.pi * pitch * t) + 0.3 * np.sin(2 * math.pi * (pitch * 1.003) * t + k)
        add(0, 0.018 * swell * wave_ * (1 + 0.3 * np.sin(2 * math.pi * (0.2 + 0.07 * k) * t + k)), (k - 2) / 4)
    # the clock
    click = np.arange(int(0.03 * SAMPLE_RATE)) / SAMPLE_RATE
    click = np.sin(2 * math.pi * 3200 * click) * np.exp(-click * 420)
    for k, at in enumerate(ticks(length)):
        if at < length - 0.05:
            add(at, click * 0.05, 0.6)
    # the ball: each touch a note, stronger ones lower
    scale = [440.0, 493.88, 554.37, 659.26, 739.99, 880.0, 987.77, 1108.73, 1318.51, 1479.98, 1760.0]
    for k, (at, strength) in enumerate(bounces()[0]):
        if at < length - 0.02:
            note = bar(scale[min(k, len(scale) - 1)], strength, 1.1 if k < 9 else 0.4)
            add(at, 0.30 * note, max(-0.8, min(0.8, ball_x(at) / 34)))
    out = out[:n]
    fade = int(0.15 * SAMPLE_RATE)
    out[-fade:] *= np.linspace(1, 0, fade)[:, None]
    with wave.open(str(path), "wb") as f:
        f.setnchannels(2)
        f.setsampwidth(2)
        f.setframerate(SAMPLE_RATE)
        f.writeframes(np.clip(np.rint(out * 32767), -32768, 32767).astype("<i2").tobytes())


# ---- the file -------------------------------------------------------------------
def clock_time(t):
    return "%02d:%02d:%02d,%03d" % (t // 3600, t // 60 % 60, t % 60, round(t % 1 * 1000))


def encode(work, out):
    hits, _ = bounces()
    length = FRAMES * RATE[1] / RATE[0]
    sound(work / "sound.wav")
    cues = [(0.1, DROP - 0.05, "A desk. Nothing has happened yet."),
            (DROP, hits[0][0], "A ball is let go,"),
            (hits[0][0], hits[1][0], "touches the desk,"),
            (hits[1][0], hits[3][0], "again and again,"),
            (hits[3][0], length - 0.4, "and each touch is a little softer.")]
    (work / "cues.srt").write_text("".join(
        f"{k}\n{clock_time(a)} --> {clock_time(b)}\n{text}\n\n" for k, (a, b, text) in enumerate(cues, 1)))
    split = int(hits[0][0] * 1000)
    (work / "chapters.txt").write_text(
        ";FFMETADATA1\ntitle=The desk\nartist=vproc\ncomment=Rendered for this project by samples/make_sample.py\n"
        f"[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND={split}\ntitle=Before the ball\n"
        f"[CHAPTER]\nTIMEBASE=1/1000\nSTART={split}\nEND={int(length * 1000)}\ntitle=The ball\n")
    subprocess.run(
        ["ffmpeg", "-y", "-loglevel", "error", "-framerate", "%d/%d" % RATE, "-i", work / "frame_%04d.png", "-i", work / "sound.wav",
         "-i", work / "cues.srt", "-i", work / "chapters.txt", "-map", "0:v", "-map", "1:a", "-map", "2:s", "-map_metadata", "3", "-map_chapters", "3",
         "-vf", "scale=out_color_matrix=bt709:out_range=tv:flags=accurate_rnd+full_chroma_int+lanczos,format=yuv420p,setsar=1",
         "-c:v", "libx264", "-preset", "veryslow", "-crf", "19", "-threads", "1", "-x264-params", "cpu-independent=1:keyint=96:aq-mode=3",
         "-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709", "-color_range", "tv", "-chroma_sample_location", "left",
         "-c:a", "aac", "-b:a", "96k", "-c:s", "mov_text", "-metadata:s:a", "language=zxx", "-metadata:s:s", "language=eng",
         "-disposition:s:0", "default", "-fflags", "+bitexact", "-flags", "+bitexact", "-movflags", "+faststart", out], check=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for the pictures in between; finished frames in it are kept")
    parser.add_argument("--out", type=Path, default=HERE / "desk.mp4")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--frames", type=int, nargs="*", help="only these frames, no file")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    write_motion(args.work / "motion.inc")
    draw_pictures(args.work)
    wanted = args.frames or range(FRAMES)
    with ThreadPoolExecutor(args.jobs) as pool:
        for done, _ in enumerate(pool.map(lambda n: render(args.work, n), wanted), 1):
            print(f"\r{done} of {len(wanted)} frames", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    if not args.frames:
        encode(args.work, args.out)
        print(args.out)


if __name__ == "__main__":
    main()
