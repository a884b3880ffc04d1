"""Draws contact sheets of crops: `python training/sheet.py`. Columns: source, bicubic, ours, ArtCNN; rows: held-out clips.

--coded halves and codes at x264 crf 20 first. Made to be looked at: ringing, colour shift, grid and seams do not show in dB.
"""
import argparse
import os

import numpy as np
from PIL import Image, ImageDraw

from data import halve, planes, recode
from evaluate import PEERS, artcnn, bicubic, codes, luma_net, session

# clip, frame, left, top of the crop in the source
CROPS = [("deer_1080p24.mp4", 10, 1290, 190), ("animation_1280x720.mp4", 60, 380, 60), ("people_static_768x432.mp4", 305, 390, 20), ("face_1080x720.mp4", 14, 512, 330)]


def rgb(y, u, v, matrix):
    """8-bit RGB of limited-range planes; chroma of half size is resized bicubically, for all columns alike."""
    kr, kb = matrix
    luma = (y.astype(np.float32) - 16) / 219
    cb, cr = ((bicubic(p)[: y.shape[0], : y.shape[1]] - 128) / 224 for p in (u, v))
    r, b = luma + 2 * (1 - kr) * cr, luma + 2 * (1 - kb) * cb
    return codes(np.stack([r, (luma - kr * r - kb * b) / (1 - kr - kb), b], -1) * 255)


def main():
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--net", default="models/upscale-x2.onnx")
    ask.add_argument("--clips", default="/work/shared/data/clips")
    ask.add_argument("--peers", default="/work/shared/data/models")
    ask.add_argument("--out", default="models/upscale-x2.png")
    ask.add_argument("--coded", action="store_true")
    ask.add_argument("--rows", type=int, default=3)
    ask.add_argument("--width", type=int, default=136, help="of a crop in source pixels")
    ask.add_argument("--zoom", type=int, default=2)
    asked = ask.parse_args()
    width, height = asked.width, asked.width * 3 // 4
    nets = [("bicubic", lambda y, u, v, m: bicubic(y)), (os.path.basename(asked.net)[:-5], luma_net(session(asked.net)))]
    peer = os.path.join(asked.peers, PEERS["ArtCNN_R8F64"])
    if os.path.exists(peer):
        nets.append(("ArtCNN_R8F64", artcnn(session(peer))))
    else:
        print(f"skipped ArtCNN: no {peer}")
    rows = []
    for name, number, left, top in CROPS[: asked.rows]:
        path = os.path.join(asked.clips, name)
        if not os.path.exists(path):
            print(f"skipped {name}: not in {asked.clips}")
            continue
        frames = [f for i, f in zip(range(number + 1), planes(path))][-4:]
        y, u, v = (np.stack(p) for p in zip(*frames))
        ly, lu, lv = (halve(p) for p in (y, u, v))
        if asked.coded:
            ly, lu, lv = recode(ly, "libx264", 20, lu, lv)
        matrix = (0.299, 0.114) if name.startswith("people") else (0.2126, 0.0722)
        # A window around the crop is enough: 32 px are more than any radius here.
        t, l = max(0, top // 4 * 4 - 32), max(0, left // 4 * 4 - 32)
        b, r = min(y.shape[1], top + height + 36) // 4 * 4, min(y.shape[2], left + width + 36) // 4 * 4
        cut = lambda p, s: p[-1, t // s : b // s, l // s : r // s]
        pictures = [rgb(cut(y, 1), cut(u, 2), cut(v, 2), matrix)]
        low = cut(ly, 2), cut(lu, 4), cut(lv, 4)
        chroma = [codes(bicubic(p)) for p in low[1:]]
        pictures += [rgb(codes(net(*low, matrix)), *chroma, matrix) for _, net in nets]
        rows.append([p[top - t : top - t + height, left - l : left - l + width] for p in pictures])
    gap, head, z = 4, 16, asked.zoom
    sheet = Image.new("RGB", ((width * z + gap) * (len(nets) + 1) - gap, (height * z + gap) * len(rows) - gap + head), "white")
    draw = ImageDraw.Draw(sheet)
    for k, title in enumerate(["source"] + [n for n, _ in nets]):
        draw.text((k * (width * z + gap) + 4, 2), title, fill="black")
        for j, row in enumerate(rows):
            sheet.paste(Image.fromarray(row[k]).resize((width * z, height * z), Image.NEAREST), (k * (width * z + gap), head + j * (height * z + gap)))
    sheet.save(asked.out, optimize=True)
    print(f"{asked.out}: {sheet.width}x{sheet.height}, {os.path.getsize(asked.out)} bytes")


if __name__ == "__main__":
    main()
