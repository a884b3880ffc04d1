"""One frame through a network as vproc documents it, with numpy and ONNX Runtime called directly.

Usage: python tests/oracle/picture.py MODEL IN OUT WIDTH HEIGHT SCALE CHANNELS MATRIX RANGE

IN and OUT are raw planar 8-bit 4:2:0 with left-sited chroma (one frame each). CHANNELS is luma or rgb, MATRIX 601 or
709, RANGE limited or full. All arithmetic here is in float64 and nothing is shared with vproc: the formulas are those
of ITU-T H.273, the filters Catmull-Rom (B=0, C=1/2) and, for the change a size-keeping network makes, the triangle.
"""
import sys

import numpy as np
import onnxruntime as ort

KR_KB = {"601": (0.299, 0.114), "709": (0.2126, 0.0722)}


def catmull_rom(d):
    d = np.abs(d)
    near = 1.5 * d**3 - 2.5 * d**2 + 1
    far = -0.5 * d**3 + 2.5 * d**2 - 4 * d + 2
    return np.where(d < 1, near, np.where(d < 2, far, 0.0))


def triangle(d):
    return np.maximum(0.0, 1 - np.abs(d))


def matrix(n_in, n_out, ratio, site_in, site_out, kernel, reach):
    """Rows of weights: output sample i lies at (i + site_out) / ratio - site_in in input samples; edges repeat."""
    stretch = max(1.0, 1 / ratio)
    weights = np.zeros((n_out, n_in))
    for i in range(n_out):
        at = (i + site_out) / ratio - site_in
        taps = np.arange(int(np.floor(at - reach * stretch)), int(np.ceil(at + reach * stretch)) + 1)
        values = kernel((taps - at) / stretch)
        values /= values.sum()
        np.add.at(weights[i], np.clip(taps, 0, n_in - 1), values)
    return weights


def resize(plane, shape, ratio, sites_in, sites_out, kernel, reach):
    down = matrix(plane.shape[0], shape[0], ratio, sites_in[0], sites_out[0], kernel, reach)
    across = matrix(plane.shape[1], shape[1], ratio, sites_in[1], sites_out[1], kernel, reach)
    return down @ plane @ across.T


# Where samples lie (vertically, horizontally) inside the area they cover, in their own units: luma in the middle, a
# left-sited chroma sample in the middle of its two rows and on the left of its two columns.
LUMA, CHROMA = (0.5, 0.5), (0.5, 0.25)


def main():
    model, source, target, width, height, scale, channels, name, span = sys.argv[1:]
    width, height, scale = int(width), int(height), int(scale)
    cw, ch = (width + 1) // 2, (height + 1) // 2
    raw = np.frombuffer(open(source, "rb").read(), np.uint8)
    luma = raw[: width * height].reshape(height, width).astype(np.float64)
    chroma = [raw[width * height + k * cw * ch :][: cw * ch].reshape(ch, cw).astype(np.float64) for k in range(2)]
    black, luma_span, chroma_span = (0.0, 255.0, 255.0) if span == "full" else (16.0, 219.0, 224.0)
    kr, kb = KR_KB[name]
    kg = 1 - kr - kb
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    port = session.get_inputs()[0]
    kind = np.float16 if port.type == "tensor(float16)" else np.float32

    def run(tensor):
        return session.run(None, {port.name: tensor.astype(kind)})[0].astype(np.float64)[0]

    y = (luma - black) / luma_span
    if channels == "luma":
        out = run(y[None, None])[0] * luma_span + black
        big = (height * scale, width * scale)
        shape = ((big[0] + 1) // 2, (big[1] + 1) // 2)
        planes = [out] + [
            plane if scale == 1 else resize(plane, shape, scale, CHROMA, CHROMA, catmull_rom, 2) for plane in chroma
        ]
    else:
        up = [resize((c - 128) / chroma_span, (height, width), 2.0, CHROMA, LUMA, catmull_rom, 2) for c in chroma]
        red, blue = y + 2 * (1 - kr) * up[1], y + 2 * (1 - kb) * up[0]
        rgb = np.stack([red, (y - kr * red - kb * blue) / kg, blue])
        answer = run(rgb[None])
        if scale == 1:
            answer = answer - (rgb.astype(kind).astype(np.float64))
        luma_out = kr * answer[0] + kg * answer[1] + kb * answer[2]
        differences = [(answer[2] - luma_out) / (2 * (1 - kb)), (answer[0] - luma_out) / (2 * (1 - kr))]
        shape = ((luma_out.shape[0] + 1) // 2, (luma_out.shape[1] + 1) // 2)
        kernel, reach = (triangle, 1) if scale == 1 else (catmull_rom, 2)
        small = [resize(d, shape, 0.5, LUMA, CHROMA, kernel, reach) * chroma_span for d in differences]
        if scale == 1:
            planes = [luma + luma_out * luma_span, chroma[0] + small[0], chroma[1] + small[1]]
        else:
            planes = [luma_out * luma_span + black, small[0] + 128, small[1] + 128]
    codes = [np.clip(np.floor(plane + 0.5), 0, 255).astype(np.uint8).tobytes() for plane in planes]
    open(target, "wb").write(b"".join(codes))


main()
