"""Turns a checkpoint into `models/NAME.onnx`: `python training/export.py upscale-x2`.

The graph is written node by node (opset 17, IR 8), checked, and compared with PyTorch whole and in tiles.
evaluate.py --write puts the figures into the metadata afterwards.
"""
import argparse
import os

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper

from data import HELD_OUT, TRAIN_CLIPS
from nets import DEAD_ZONE, STRENGTH, Stack, bicubic_weights

ABOUT = {
    "upscale-x2": "luma x2, sharp and clean for film, animation and decoded H.264; default of vproc",
    "upscale-x2-fast": "luma x2 for slow machines: a quarter of the work of upscale-x2",
    "restore": "same size, removes compression artefacts and noise from luma; default of vproc bench",
}


def graph(net):
    """The ONNX graph of a Stack: Conv and Relu (restore: LeakyRelu, and Mul by a strength of 1 that can be given), plus Pad, Conv 5x5, Add and DepthToSpace around them."""
    nodes, weights, last = [], [], "input"

    def constant(name, array):
        weights.append(numpy_helper.from_array(array, name))
        return name

    for k, conv in enumerate(net.convs):
        kernel, bias = conv.weight.detach().numpy(), conv.bias.detach().numpy()
        if net.scale == 1 and k + 1 == len(net.convs):  # both signs, for the dead zone
            kernel, bias = np.concatenate([kernel, -kernel]), np.concatenate([bias, -bias]) - np.float32(DEAD_ZONE)
        inputs = [last, constant(f"conv{k}.weight", kernel), constant(f"conv{k}.bias", bias)]
        nodes.append(helper.make_node("Conv", inputs, [f"conv{k}"], f"conv{k}", kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[1, 1]))
        last = f"conv{k}"
        if k + 1 < len(net.convs):
            kind = ("LeakyRelu", {"alpha": net.slope}) if net.slope else ("Relu", {})
            nodes.append(helper.make_node(kind[0], [last], [f"relu{k}"], f"relu{k}", **kind[1]))
            last = f"relu{k}"
    if net.scale == 1:
        nodes.append(helper.make_node("Relu", [last], ["beyond"], "beyond"))
        signs = constant("signs", np.float32([1, -1]).reshape(1, 2, 1, 1))
        nodes.append(helper.make_node("Conv", ["beyond", signs], ["residual"], "residual", kernel_shape=[1, 1], pads=[0, 0, 0, 0], strides=[1, 1]))
        nodes.append(helper.make_node("Mul", ["residual", constant("strength", np.float32(1).reshape(()))], ["correction"], "scaled"))
        nodes.append(helper.make_node("Add", ["input", "correction"], ["output"], "add"))
    else:
        pads = constant("pads", np.array([0, 0, 2, 2, 0, 0, 2, 2], np.int64))
        nodes.append(helper.make_node("Pad", ["input", pads], ["padded"], "pad", mode="edge"))
        nodes.append(helper.make_node("Conv", ["padded", constant("base.weight", bicubic_weights())], ["base"], "base", kernel_shape=[5, 5], pads=[0, 0, 0, 0], strides=[1, 1]))
        nodes.append(helper.make_node("Add", ["base", last], ["phases"], "add"))
        nodes.append(helper.make_node("DepthToSpace", ["phases"], ["output"], "shuffle", blocksize=2, mode="CRD"))
    sides = ("h", "w") if net.scale == 1 else ("h2", "w2")
    given = [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["n", 1, "h", "w"])]
    if net.scale == 1:  # an input that has a value: who says nothing gets 1
        given.append(helper.make_tensor_value_info("strength", TensorProto.FLOAT, []))
    return helper.make_graph(
        nodes, "vproc", given,
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["n", 1, *sides])],
        weights)


def check_tiles(session, radius, scale):
    """Tiles with a halo of the radius must equal the whole picture bit for bit."""
    whole = np.random.default_rng(3).uniform(-0.07, 1.09, (1, 1, 96, 130)).astype(np.float32)
    answer = session.run(None, {"input": whole})[0]
    for y, x in ((0, 0), (17, 23), (96 - 48, 130 - 48), (31, 0)):
        part = session.run(None, {"input": np.ascontiguousarray(whole[..., y : y + 48, x : x + 48])})[0]
        cut = [(0 if at == 0 else radius, 48 if at + 48 == end else 48 - radius) for at, end in ((y, 96), (x, 130))]
        (y0, y1), (x0, x1) = cut
        a = part[..., y0 * scale : y1 * scale, x0 * scale : x1 * scale]
        b = answer[..., (y + y0) * scale : (y + y1) * scale, (x + x0) * scale : (x + x1) * scale]
        assert np.array_equal(a, b), f"tile at {y},{x} differs from the whole picture by {np.abs(a - b).max()}"


def main():
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("net", choices=ABOUT)
    ask.add_argument("--checkpoint", help="NAME.pt in .cache/training by default")
    ask.add_argument("--out", help="models/NAME.onnx by default")
    asked = ask.parse_args()
    held = torch.load(asked.checkpoint or f".cache/training/{asked.net}.pt", weights_only=True)
    net = Stack(asked.net).eval()
    net.load_state_dict(held["weights"])
    model = helper.make_model(graph(net), opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="vproc")
    about = {
        "name": asked.net, "description": ABOUT[asked.net], "author": "vproc", "license": "MIT", "scale": str(net.scale),
        "input_range": "limited, unclipped", "channels": "luma", "radius": str(net.radius()),
        "trained_on": f"frames of {', '.join(TRAIN_CLIPS)}; photographs of scikit-image and scikit-learn; rendered pictures; "
                      f"{held['steps']} steps; held out: {', '.join(HELD_OUT)}",
    }
    if net.scale == 1:
        about["strength"] = STRENGTH
    helper.set_model_props(model, about)
    onnx.checker.check_model(model, full_check=True)
    path = asked.out or os.path.join("models", asked.net + ".onnx")
    onnx.save(model, path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    x = np.random.default_rng(2).uniform(-0.07, 1.09, (2, 1, 37, 51)).astype(np.float32)
    with torch.no_grad():
        gap = np.abs(session.run(None, {"input": x})[0] - net(torch.from_numpy(x)).numpy()).max()
    assert gap < 1e-5, f"ONNX Runtime and PyTorch differ by {gap}"
    check_tiles(session, net.radius(), net.scale)
    print(f"{path}: {net.parameters_learnt()} parameters, radius {net.radius()}, {os.path.getsize(path)} bytes, "
          f"differs from PyTorch by at most {gap:.1e}, tiles bit-identical")


if __name__ == "__main__":
    main()
