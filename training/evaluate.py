"""Measures the networks on the held-out clips: `python training/evaluate.py`.

PSNR and SSIM of luma on 8-bit codes (peak 255), 8 px border left out, means over the frames of RUNS.
Scale 2: frames area-halved (clean), and halved then coded with x264 (medium) at crf 20, against the original.
Scale 1: files coded by x264 (medium), by x265 and without loss, given to vproc. --write stores the figures in the networks and in models/README.md.
"""
import argparse
import glob
import hashlib
import json
import os
import subprocess
import tempfile
import time

import numpy as np
import onnx
import onnxruntime
from onnx import helper
from skimage.metrics import structural_similarity

from data import HELD_OUT, halve, planes, recode
from nets import bicubic_weights

# clip: first frames of runs of twelve; the frames TAKEN of each run are measured.
RUNS = {"deer_1080p24.mp4": [6], "animation_1280x720.mp4": [24, 60, 100], "people_static_768x432.mp4": [300, 600, 1300], "face_1080x720.mp4": [10]}
TAKEN = {1: [2, 5, 8, 11], 3: [4, 9]}
BORDER = 8
PEERS = {"ArtCNN_R8F64": "ArtCNN_R8F64.onnx", "DigitalFlim": "DigitalFlim_SuperUltraCompact_x2_fp32.onnx"}


def psnr(a, b):
    """PSNR in dB of 8-bit luma codes, border left out; infinite when equal."""
    d = a[BORDER:-BORDER, BORDER:-BORDER].astype(np.float64) - b[BORDER:-BORDER, BORDER:-BORDER]
    error = (d * d).mean()
    return float("inf") if error == 0 else 10 * np.log10(255**2 / error)


def ssim(a, b):
    """Gaussian SSIM (sigma 1.5) of 8-bit luma codes, border left out."""
    cut = slice(BORDER, -BORDER)
    return structural_similarity(a[cut, cut], b[cut, cut], data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False)


def codes(x):
    """Rounds to 8-bit codes."""
    return np.clip(np.rint(x), 0, 255).astype(np.uint8)


def bicubic(y):
    """x2 bicubic (a = -0.5, half-pixel centred, edges replicated) of a plane, as float codes."""
    e = np.pad(y.astype(np.float32), 2, mode="edge")
    h, w = y.shape
    out = np.zeros((h, 2, w, 2), np.float32)
    for phase, k in enumerate(bicubic_weights()[:, 0]):
        out[:, phase // 2, :, phase % 2] = sum(k[i, j] * e[i : i + h, j : j + w] for i in range(5) for j in range(5) if k[i, j])
    return out.reshape(2 * h, 2 * w)


def session(path):
    """One-thread CPU session."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def scale_of(path):
    return int({p.key: p.value for p in onnx.load(path).metadata_props}["scale"])


def content(path):
    """Hash of all of a network that decides its figures."""
    model = onnx.load(path)
    advice = [p.value for p in model.metadata_props if p.key == "strength"]
    return hashlib.sha256(model.graph.SerializeToString(deterministic=True) + "".join(advice).encode()).hexdigest()[:16]


def parameters(path):
    """Learnt weights and biases; the fixed bicubic base and the dead zone's signs are not counted."""
    held = onnx.load(path).graph.initializer
    return sum(int(np.prod(w.dims)) for w in held if w.data_type == onnx.TensorProto.FLOAT and w.name not in ("base.weight", "signs", "strength"))


def run(net, x):
    return net.run(None, {net.get_inputs()[0].name: np.ascontiguousarray(x, np.float32)})[0]


def luma_net(net):
    """A network of this folder: luma by its limited range, unclipped."""
    return lambda y, u, v, matrix: run(net, ((y.astype(np.float32) - 16) / 219)[None, None])[0, 0] * 219 + 16


def artcnn(net):
    """Full-scale luma, as its authors feed it."""
    return lambda y, u, v, matrix: run(net, (y.astype(np.float32) / 255)[None, None])[0, 0] * 255


def rgb_net(net):
    """RGB network: planes to RGB by the clip's matrix, chroma bicubic, unclipped; its luma is compared."""
    def answer(y, u, v, matrix):
        kr, kb = matrix
        kg = 1 - kr - kb
        luma = (y.astype(np.float32) - 16) / 219
        cb, cr = ((bicubic(p) - 128) / 224 for p in (u, v))
        r, b = luma + 2 * (1 - kr) * cr, luma + 2 * (1 - kb) * cb
        g = (luma - kr * r - kb * b) / kg
        out = run(net, np.stack([r, g, b])[None])[0]
        return (kr * out[0] + kg * out[1] + kb * out[2]) * 219 + 16
    return answer


def runs_of(folder):
    """Yields (clip, matrix, y, u, v, taken) for every run of the held-out clips that are there."""
    for name in HELD_OUT:
        path = os.path.join(folder, name)
        if not os.path.exists(path):
            print(f"skipped {name}: not in {folder}")
            continue
        starts = RUNS[name]
        frames = {}
        for i, f in enumerate(planes(path)):
            if any(s <= i < s + 12 for s in starts):
                frames[i] = f
            if i >= max(starts) + 12:
                break
        matrix = (0.299, 0.114) if name.startswith("people") else (0.2126, 0.0722)
        for s in starts:
            y, u, v = (np.stack([frames[s + i][p] for i in range(12)]) for p in range(3))
            yield name.split(".")[0], matrix, y, u, v, TAKEN[len(starts)]


def milliseconds_a_megapixel(nets):
    """{name: CPU time of one thread for a megapixel of input}, least of five interleaved runs on 320x180.
    nets: {name: (path, input channels)}."""
    rng = np.random.default_rng(1)
    ready = {n: (session(path), rng.uniform(0, 1, (1, channels, 180, 320)).astype(np.float32)) for n, (path, channels) in nets.items()}
    best = {n: float("inf") for n in nets}
    for _ in range(5):
        for name, (net, x) in ready.items():
            begin = time.process_time()
            run(net, x)
            best[name] = min(best[name], time.process_time() - begin)
    return {n: seconds * 1e3 / (180 * 320 / 1e6) for n, seconds in best.items()}


def means(found):
    return {condition: {clip: np.mean(values, 0).tolist() for clip, values in clips.items()} for condition, clips in found.items()}


def measure_upscaler(net, folder, crf):
    """{condition: {clip: [psnr, ssim]}}."""
    found = {}
    for clip, matrix, y, u, v, taken in runs_of(folder):
        low = [halve(p) for p in (y, u, v)]
        for condition, (ly, lu, lv) in (("clean", low), (f"crf{crf}", recode(low[0], "libx264", crf, low[1], low[2]))):
            for i in taken:
                out = codes(net(ly[i], lu[i], lv[i], matrix))
                found.setdefault(condition, {}).setdefault(clip, []).append((psnr(out, y[i]), ssim(out, y[i])))
    return means(found)


def written(path, frames, codec):
    """Encodes planes (y, u, v), each [n, h, w], into a file; `codec` is ffmpeg's options."""
    n, h, w = frames[0].shape
    raw = b"".join(p[i].tobytes() for i in range(n) for p in frames)
    form = ["-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", f"{w}x{h}", "-r", "25", "-i", "-"]
    subprocess.run(["ffmpeg", "-v", "error", "-y", *form, *codec, "-threads", "1", path], input=raw, check=True)


def decoded(path, like):
    """Luma of a file's frames, [n, h, w] as `like`."""
    n, h, w = like.shape
    raw = subprocess.run(["ffmpeg", "-v", "error", "-i", path, "-f", "rawvideo", "-pix_fmt", "yuv420p", "-"], stdout=subprocess.PIPE, check=True).stdout
    return np.frombuffer(raw, np.uint8).reshape(n, -1)[:, : h * w].reshape(n, h, w)


def measure_restorer(path, folder, vproc):
    """{condition: {clip: [psnr, ssim, gain in dB, strength]}}, of what vproc makes of files: it chooses the strength by how
    they were coded. The gain is against the file as it is; `crf18, strength 1`: what its choice is worth."""
    found = {}
    x264 = lambda crf: ["-c:v", "libx264", "-preset", "medium", "-crf", str(crf)]
    x265 = ["-c:v", "libx265", "-preset", "medium", "-crf", "28", "-x265-params", "log-level=none:pools=1:frame-threads=1"]
    conditions = {f"crf{crf}": (x264(crf), []) for crf in (36, 32, 28, 24, 18)}
    conditions |= {"crf18, strength 1": (x264(18), ["--strength", "1"]), "x265 crf28": (x265, []), "clean": (["-c:v", "ffv1"], [])}
    with tempfile.TemporaryDirectory() as here:
        given, made, report = (os.path.join(here, name) for name in ("given.mkv", "made.mkv", "report.json"))
        for clip, _, y, u, v, taken in runs_of(folder):
            for condition, (codec, options) in conditions.items():
                written(given, (y, u, v), codec)
                subprocess.run([vproc, given, "-o", made, "-m", path, "--encoder", "ffv1", "--no-cache", "-y", "-q", "--report", report, *options], check=True)
                without, out, strength = decoded(given, y), decoded(made, y), json.load(open(report))["strength"]
                for i in taken:
                    p, before = min(psnr(out[i], y[i]), 99.0), min(psnr(without[i], y[i]), 99.0)
                    found.setdefault(condition, {}).setdefault(clip, []).append((p, ssim(out[i], y[i]), p - before, strength))
    return means(found)


def mean(clips, field):
    return float(np.mean([v[field] for v in clips.values()]))


def upscale_tables(figures):
    """Markdown: PSNR per clip with the gain over bicubic, and quality against cost."""
    base = figures["bicubic"]["found"]
    lines = []
    for condition in base:
        clips = list(base[condition])
        lines += ["", f"x2, {condition}: PSNR-Y in dB (gain over bicubic) / SSIM", "", "| | " + " | ".join(clips) + " | mean |", "|---" * (len(clips) + 2) + "|"]
        for name, figure in figures.items():
            values = figure["found"][condition]
            cells = [f"{p:.2f} ({p - base[condition][c][0]:+.2f}) / {s:.4f}" for c, (p, s) in values.items()]
            gain = mean(values, 0) - mean(base[condition], 0)
            lines.append(f"| {name} | " + " | ".join(cells) + f" | {mean(values, 0):.2f} ({gain:+.2f}) / {mean(values, 1):.4f} |")
    names = list(base)
    lines += ["", "Quality against cost (one thread, onnxruntime " + onnxruntime.__version__ + ", CPU time, 320x180):", "",
              "| | parameters | CPU ms per input megapixel | " + " | ".join(f"gain {c}, dB" for c in names) + " |", "|---" * (len(names) + 3) + "|"]
    for name, figure in figures.items():
        if name != "bicubic":
            gains = " | ".join(f"{mean(figure['found'][c], 0) - mean(base[c], 0):+.2f}" for c in names)
            lines.append(f"| {name} | {figure['parameters']} | {figure['ms']:.0f} | {gains} |")
    return lines


def restore_tables(figures):
    """Markdown: gain per clip of each condition."""
    lines = []
    for name, figure in figures.items():
        clips = list(figure["found"]["clean"])
        lines += ["", f"{name}: {figure['parameters']} parameters, {figure['ms']:.0f} CPU ms per megapixel; PSNR-Y in dB (gain over its input) / SSIM at the mean strength; 99 is identical", "",
                  "| input | " + " | ".join(clips) + " | mean gain |", "|---" * (len(clips) + 2) + "|"]
        for condition, values in figure["found"].items():
            cells = [f"{p:.2f} ({g:+.2f}) / {s:.4f} at {strength:.2f}" for p, s, g, strength in values.values()]
            lines.append(f"| {condition} | " + " | ".join(cells) + f" | {mean(values, 2):+.2f} |")
    return lines


def write(tables, figures, folder):
    """Puts the figures into each network's metadata and the tables between the marks of README.md."""
    for name, figure in figures.items():
        path = os.path.join(folder, name + ".onnx")
        model = onnx.load(path)
        props = {p.key: p.value for p in model.metadata_props}
        props["figures"] = json.dumps(figure, separators=(",", ":"))
        del model.metadata_props[:]
        helper.set_model_props(model, props)
        onnx.save(model, path)
    path = os.path.join(folder, "README.md")
    text = open(path).read()
    head, rest = text.split("<!-- figures -->", 1)
    tail = rest.split("<!-- /figures -->", 1)[1]
    open(path, "w").write(head + "<!-- figures -->\n" + "\n".join(tables).strip() + "\n<!-- /figures -->" + tail)


def rounded(tree, digits=3):
    if isinstance(tree, dict):
        return {k: rounded(v) for k, v in tree.items()}
    return [round(x, digits) for x in tree]


def main():
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("nets", nargs="*", help="ONNX files; those of models/ by default")
    ask.add_argument("--clips", default="/work/shared/data/clips")
    ask.add_argument("--peers", default="/work/shared/data/models", help="folder of ArtCNN and DigitalFlim")
    ask.add_argument("--vproc", default="target/release/vproc", help="the program that restorers are measured with")
    ask.add_argument("--crf", type=int, default=20)
    ask.add_argument("--quick", action="store_true", help="our networks only")
    ask.add_argument("--cache", default=".cache/training/figures.json", help="figures by hash of the graph, so that only new networks are measured")
    ask.add_argument("--write", action="store_true", help="store the figures in models/")
    asked = ask.parse_args()
    kept = json.load(open(asked.cache)) if os.path.exists(asked.cache) else {}

    timed = {}

    def figures_of(name, path, wrap, channels=1):
        """Figures of one network, from the cache where this very file was measured before."""
        if path and not os.path.exists(path):
            print(f"skipped {name}: no {path}")
            return None
        key = f"{name} {content(path) if path else ''} crf{asked.crf}"
        if key not in kept:
            answer = wrap(session(path) if path else None)
            figure = measure_restorer(path, asked.clips, asked.vproc) if wrap is luma_net and scale_of(path) == 1 else measure_upscaler(answer, asked.clips, asked.crf)
            kept[key] = {"found": figure, "parameters": parameters(path) if path else 0}
            os.makedirs(os.path.dirname(asked.cache) or ".", exist_ok=True)
            with open(asked.cache, "w") as file:
                json.dump(kept, file)
        if path:
            timed[name] = (path, channels)
        return dict(kept[key])

    upscalers, restorers = {"bicubic": figures_of("bicubic", None, lambda net: lambda y, u, v, m: bicubic(y))}, {}
    for path in asked.nets or sorted(glob.glob("models/*.onnx"), key=os.path.getsize, reverse=True):
        (upscalers if scale_of(path) == 2 else restorers)[os.path.basename(path)[:-5]] = figures_of(os.path.basename(path)[:-5], path, luma_net)
    if not asked.quick:
        upscalers["ArtCNN_R8F64"] = figures_of("ArtCNN_R8F64", os.path.join(asked.peers, PEERS["ArtCNN_R8F64"]), artcnn)
        upscalers["DigitalFlim"] = figures_of("DigitalFlim", os.path.join(asked.peers, PEERS["DigitalFlim"]), rgb_net, 3)
    upscalers = {n: f for n, f in upscalers.items() if f}
    for name, ms in milliseconds_a_megapixel(timed).items():
        (upscalers if name in upscalers else restorers)[name]["ms"] = ms
    tables, figures = [], {}
    if len(upscalers) > 1:
        tables += upscale_tables(upscalers)
    if restorers:
        tables += restore_tables(restorers)
    for name, f in {**upscalers, **restorers}.items():
        if name not in PEERS and name != "bicubic":
            figures[name] = {"held_out": rounded(f["found"]), "fields": "psnr, ssim" if name in upscalers else "psnr, ssim, gain, strength", "cpu_ms_per_megapixel": round(f["ms"], 1)}
            if name in upscalers:
                figures[name]["bicubic"] = rounded(upscalers["bicubic"]["found"])
    print("\n".join(tables))
    if asked.write:
        write(tables, figures, "models")


if __name__ == "__main__":
    main()
