"""Writes models/upscale-x2.onnx: Catmull-Rom x2 as a network, the stand-in until a trained one takes its name.

The interface is the final one: `input` float32 [n, 1, h, w] to `output` [n, 1, 2h, 2w]. An output pixel lies at +-1/4 of
an input pixel (the two grids share their outer edges), so the taps are Catmull-Rom's at 0.25 and 0.75; edges repeat.
"""
import sys

import numpy as np
import onnx
from onnx import TensorProto as T, helper, numpy_helper


def catmull_rom(distance):
    d = abs(distance)
    if d < 1:
        return 1.5 * d**3 - 2.5 * d**2 + 1
    return -0.5 * d**3 + 2.5 * d**2 - 4 * d + 2 if d < 2 else 0.0


# taps[p][k]: weight of input pixel i + k - 2 for output pixel 2i + p
taps = [[catmull_rom(k - 2 - shift) for k in range(5)] for shift in (-0.25, 0.25)]
assert all(abs(sum(row) - 1) < 1e-12 for row in taps)
weight = np.array([[np.outer(taps[p], taps[q])] for p in range(2) for q in range(2)], np.float32)
graph = helper.make_graph(
    [
        helper.make_node("Pad", ["input", "pads"], ["padded"], mode="edge"),
        helper.make_node("Conv", ["padded", "weight"], ["phases"], kernel_shape=[5, 5]),
        helper.make_node("DepthToSpace", ["phases"], ["output"], blocksize=2),
    ],
    "upscale_x2",
    [helper.make_tensor_value_info("input", T.FLOAT, ["n", 1, "h", "w"])],
    [helper.make_tensor_value_info("output", T.FLOAT, ["n", 1, "h2", "w2"])],
    [
        numpy_helper.from_array(np.array([0, 0, 2, 2, 0, 0, 2, 2], np.int64), "pads"),
        numpy_helper.from_array(weight, "weight"),
    ],
)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
onnx.checker.check_model(model, full_check=True)
onnx.save(model, sys.argv[1] if len(sys.argv) > 1 else "models/upscale-x2.onnx")
