"""What ONNX Runtime gives when Python calls it: tests/data/infer/NAME.bin, and the small networks the tests need.

Usage: python tests/oracle/infer.py MODELS    (the folder with the shared networks; needs onnx, onnxruntime, numpy)

A .bin is the input and then the output, raw and dense, in the network's own element type and order; the sizes stand in
src/infer/ort/tests.rs. Inputs are whole code values between black and white, as a video gives them.
"""
import os
import sys

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto as T, helper, numpy_helper

NETWORKS, OUT = "tests/data/networks", "tests/data/infer"


def save(name, nodes, inputs, outputs, initializers=()):
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes, name, [info(*i) for i in inputs], [info(*o) for o in outputs],
        [numpy_helper.from_array(np.asarray(v), k) for k, v in initializers],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, f"{NETWORKS}/{name}.onnx")


def catmull_rom(distance):
    d = abs(distance)
    if d < 1:
        return 1.5 * d**3 - 2.5 * d**2 + 1
    return -0.5 * d**3 + 2.5 * d**2 - 4 * d + 2 if d < 2 else 0.0


def small_networks():
    # u8 NHWC: swaps the order inside, blurs 3x3, and back.
    save(
        "blur_u8_nhwc",
        [
            helper.make_node("Cast", ["input"], ["float"], to=T.FLOAT),
            helper.make_node("Transpose", ["float"], ["planes"], perm=[0, 3, 1, 2]),
            helper.make_node("Conv", ["planes", "weight"], ["blurred"], pads=[1, 1, 1, 1], group=3),
            helper.make_node("Transpose", ["blurred"], ["pixels"], perm=[0, 2, 3, 1]),
            helper.make_node("Round", ["pixels"], ["rounded"]),
            helper.make_node("Cast", ["rounded"], ["output"], to=T.UINT8),
        ],
        [("input", T.UINT8, ["n", "h", "w", 3])],
        [("output", T.UINT8, ["n", "h", "w", 3])],
        [("weight", np.full((3, 1, 3, 3), 1 / 16, np.float32))],
    )
    # Catmull-Rom x2. An output pixel lies at +-1/4 of an input pixel: the two grids share their outer edges, which repeat.
    taps = [[catmull_rom(k - 2 - shift) for k in range(5)] for shift in (-0.25, 0.25)]
    save(
        "bicubic_x2",
        [
            helper.make_node("Pad", ["input", "pads"], ["padded"], mode="edge"),
            helper.make_node("Conv", ["padded", "weight"], ["phases"], kernel_shape=[5, 5]),
            helper.make_node("DepthToSpace", ["phases"], ["output"], blocksize=2),
        ],
        [("input", T.FLOAT, ["n", 1, "h", "w"])],
        [("output", T.FLOAT, ["n", 1, "h2", "w2"])],
        [
            ("pads", np.array([0, 0, 2, 2, 0, 0, 2, 2], np.int64)),
            ("weight", np.array([[np.outer(taps[p], taps[q])] for p in range(2) for q in range(2)], np.float32)),
        ],
    )
    # A loop that never ends on its own (its condition is always true, its trip count the largest there is).
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["go_on"]),
            helper.make_node("Add", ["state", "state"], ["next"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", T.INT64, []),
            helper.make_tensor_value_info("go", T.BOOL, []),
            helper.make_tensor_value_info("state", T.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("go_on", T.BOOL, []),
            helper.make_tensor_value_info("next", T.FLOAT, None),
        ],
    )
    save(
        "endless_loop",
        [helper.make_node("Loop", ["trips", "condition", "input"], ["output"], body=body)],
        [("input", T.FLOAT, ["n", 1, "h", "w"])],
        [("output", T.FLOAT, ["n", 1, "h", "w"])],
        [("trips", np.array(2**63 - 1, np.int64)), ("condition", np.array(True))],
    )
    # Only one size, only one picture.
    save(
        "fixed_16x16",
        [helper.make_node("Relu", ["input"], ["output"])],
        [("input", T.FLOAT, [1, 1, 16, 16])],
        [("output", T.FLOAT, [1, 1, 16, 16])],
    )


def reference(name, path, shape, dtype):
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    values = np.random.default_rng(7).integers(0, 256, shape)
    x = values.astype(np.uint8) if dtype == np.uint8 else (values / 255).astype(dtype)
    (y,) = session.run(None, {session.get_inputs()[0].name: x})
    with open(f"{OUT}/{name}.bin", "wb") as f:
        f.write(x.tobytes() + y.tobytes())
    print(name, x.shape, y.shape, y.dtype, session.get_inputs()[0].name, session.get_outputs()[0].name)


if __name__ == "__main__":
    shared = sys.argv[1]
    os.makedirs(NETWORKS, exist_ok=True)
    os.makedirs(OUT, exist_ok=True)
    small_networks()
    reference("bicubic_x2", f"{NETWORKS}/bicubic_x2.onnx", (2, 1, 9, 14), np.float32)
    reference("blur_u8_nhwc", f"{NETWORKS}/blur_u8_nhwc.onnx", (2, 11, 13, 3), np.uint8)
    reference("bench_luma_x2", f"{shared}/bench_luma_x2_random_weights.onnx", (1, 1, 20, 28), np.float32)
    flim = f"{shared}/DigitalFlim_SuperUltraCompact_x2_"
    reference("digitalflim_fp32", f"{flim}fp32.onnx", (1, 3, 24, 20), np.float32)
    reference("digitalflim_fp16", f"{flim}fp16.onnx", (1, 3, 24, 20), np.float16)
    reference("artcnn", f"{shared}/ArtCNN_R8F64.onnx", (1, 1, 20, 28), np.float32)
    reference("hurrdeblur", f"{shared}/HurrDeblur_SuperUltraCompact_x1_fp32.onnx", (1, 3, 24, 20), np.float32)
