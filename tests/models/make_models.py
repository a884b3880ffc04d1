"""Makes the small networks under tests/models/data and truth.json with what is true of each.

Radius, multiple-of and scale are measured by running the networks with ONNX Runtime, never read from the graph: an
input pixel is perturbed and the outputs that change are looked for, and a crop at an offset must give what the whole
gives. Run with onnx, onnxruntime 1.31.1 and numpy: python make_models.py
"""

import json
import pathlib

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper as nh

HERE = pathlib.Path(__file__).parent / "data"
FREE = ["n", 3, "h", "w"]


class Net:
    """A graph under construction; weights are positive so that no path is cut by a zero."""

    def __init__(self, shape=FREE, element=T.FLOAT, inputs=1, name="input"):
        self.rng = np.random.default_rng(7)
        self.nodes, self.weights, self.n = [], [], 0
        self.inputs = [h.make_tensor_value_info(name if i == 0 else f"{name}{i}", element, shape) for i in range(inputs)]
        self.at, self.element = name, element

    def const(self, array):
        self.n += 1
        self.weights.append(nh.from_array(np.asarray(array), f"w{self.n}"))
        return f"w{self.n}"

    def ints(self, *values):
        return self.const(np.array(values, np.int64))

    def op(self, op, *inputs, outputs=1, **attributes):
        self.n += 1
        names = [f"t{self.n}_{i}" for i in range(outputs)]
        self.nodes.append(h.make_node(op, list(inputs), names, name=f"{op}_{self.n}", **attributes))
        self.at = names[0]
        return names[0] if outputs == 1 else names

    def then(self, op, *more, **attributes):
        return self.op(op, self.at, *more, **attributes)

    def random(self, *shape):
        kind = np.float16 if self.element == T.FLOAT16 else np.float32
        fan = int(np.prod(shape[1:])) or 1
        return (self.rng.uniform(0.5, 1.5, shape) / fan).astype(kind)

    def conv(self, before, after, k=3, pads=None, group=1, dilation=1, stride=1, **more):
        reach = (k - 1) * dilation // 2
        weights = self.const(self.random(after, before // group, k, k))
        bias = self.const(self.random(after))
        return self.then("Conv", weights, bias, kernel_shape=[k, k], pads=[reach] * 4 if pads is None else pads, group=group,
                         dilations=[dilation] * 2, strides=[stride] * 2, **more)

    def size(self, axis, of=None):
        shape = self.op("Shape", of or self.at)
        return self.op("Gather", shape, self.ints(axis), axis=0)

    def shape(self, *parts):
        parts = [part if isinstance(part, str) else self.ints(part) for part in parts]
        return self.op("Concat", *parts, axis=0)

    def model(self, outputs=None, shape=("n", "c", "oh", "ow"), element=None, opset=17, ir=8, list_weights=False):
        outputs = outputs or [self.at]
        given = [h.make_tensor_value_info(name, element or self.element, list(shape)) for name in outputs]
        listed = [h.make_tensor_value_info(w.name, w.data_type, w.dims) for w in self.weights] if list_weights else []
        graph = h.make_graph(self.nodes, "g", self.inputs + listed, given, self.weights)
        model = h.make_model(graph, opset_imports=[h.make_opsetid("", opset)], producer_name="make_models")
        model.ir_version = ir
        return model


def attention(net, tokens):
    """Self-attention over the last axis but one of `tokens` (channels last, 4 wide)."""
    q, k, v = (net.op("MatMul", tokens, net.const(net.random(4, 4) * 4)) for _ in range(3))
    axes = [0, 2, 1]
    scores = net.op("Softmax", net.op("MatMul", q, net.op("Transpose", k, perm=axes)), axis=-1)
    return net.op("MatMul", scores, v)


def nhwc():
    net = Net(["n", "h", "w", 3])
    net.then("Transpose", perm=[0, 3, 1, 2])
    net.conv(3, 8), net.then("Relu"), net.conv(8, 3)
    net.then("Transpose", perm=[0, 2, 3, 1])
    return net.model()


def nhwc_matmul():
    net = Net(["n", "h", "w", 3])
    net.then("MatMul", net.const(net.random(3, 8)))
    net.then("Add", net.const(net.random(8)))
    net.then("LayerNormalization", net.const(net.random(8)), axis=-1)
    net.then("MatMul", net.const(net.random(8, 3)))
    return net.model()


def u8():
    net = Net(element=T.UINT8)
    net.then("Cast", to=T.FLOAT)
    net.element = T.FLOAT
    net.conv(3, 3)
    net.then("Clip", net.const(np.float32(0)), net.const(np.float32(255)))
    net.then("Cast", to=T.UINT8)
    return net.model(element=T.UINT8)


def f16():
    net = Net(element=T.FLOAT16)
    net.conv(3, 8), net.conv(8, 3, k=5)
    return net.model()


def fixed():
    net = Net([1, 3, 48, 64])
    net.conv(3, 8), net.conv(8, 3)
    return net.model(shape=[1, 3, 48, 64])


def half_fixed():
    net = Net(["n", 1, 40, "w"])
    net.conv(1, 4), net.conv(4, 1)
    return net.model()


def multiple4():
    net = Net()
    net.then("SpaceToDepth", blocksize=4)
    net.conv(48, 48)
    net.then("DepthToSpace", blocksize=4)
    return net.model()


def reflect():
    net = Net()
    for before, after in [(3, 4), (4, 4), (4, 3)]:
        net.then("Pad", net.ints(0, 0, 1, 1, 0, 0, 1, 1), mode="reflect")
        net.conv(before, after, pads=[0] * 4)
    return net.model()


def reflect_unet():
    net = Net()
    net.then("Pad", net.ints(0, 0, 1, 1, 0, 0, 1, 1), mode="reflect")
    net.conv(3, 4, pads=[0] * 4, stride=2)
    net.then("Pad", net.ints(0, 0, 1, 1, 0, 0, 1, 1), mode="reflect")
    net.conv(4, 12, pads=[0] * 4)
    net.then("DepthToSpace", blocksize=2)
    return net.model()


def edge_asymmetric():
    """Reads to the right, then replicates at the left: the reach at the edge is on the other side."""
    net = Net()
    net.conv(3, 3, pads=[0, 0, 2, 2])
    net.then("Pad", net.ints(0, 0, 1, 1, 0, 0, 0, 0), mode="reflect")
    net.conv(3, 3, k=2, pads=[0] * 4)
    return net.model()


def nearest_edge():
    """Reads behind, then one ahead by a nearest resize, which the far edge moves back: the reach doubles there."""
    net = Net()
    net.conv(3, 3, pads=[2, 2, 0, 0])
    net.then("Resize", "", net.const(np.array([1, 1, 2, 2], np.float32)), mode="nearest", nearest_mode="ceil")
    net.then("Slice", net.ints(1, 1), net.ints(2**62, 2**62), net.ints(2, 3), net.ints(2, 2))
    return net.model()


def dilated():
    net = Net()
    net.conv(3, 4), net.conv(4, 4, dilation=2), net.conv(4, 3, dilation=4)
    return net.model()


def unet():
    net = Net()
    top = net.conv(3, 4)
    net.conv(4, 8, stride=2), net.then("Relu"), net.conv(8, 8, stride=2), net.then("Relu"), net.conv(8, 8)
    for _ in range(2):
        net.then("ConvTranspose", net.const(net.random(8, 8, 2, 2)), kernel_shape=[2, 2], strides=[2, 2])
    net.conv(8, 4)
    net.op("Add", net.at, top)
    net.conv(4, 3)
    return net.model()


def pool_unet():
    net = Net(["n", 1, "h", "w"])
    top = net.conv(1, 4)
    net.then("MaxPool", kernel_shape=[2, 2], strides=[2, 2])
    net.conv(4, 4)
    net.then("AveragePool", kernel_shape=[2, 2], strides=[2, 2])
    net.conv(4, 4)
    net.then("Resize", "", net.const(np.array([1, 1, 4, 4], np.float32)), mode="linear", coordinate_transformation_mode="half_pixel")
    net.op("Concat", net.at, top, axis=1)
    net.conv(8, 1)
    return net.model()


def global_pool():
    net = Net()
    net.conv(3, 3)
    kept = net.at
    net.then("GlobalAveragePool"), net.conv(3, 3, k=1), net.then("Sigmoid")
    net.op("Mul", kept, net.at)
    return net.model()


def reduce_mean():
    net = Net()
    kept = net.conv(3, 3)
    net.then("ReduceMean", axes=[2, 3], keepdims=1)
    net.op("Sub", kept, net.at)
    return net.model()


def instance_norm():
    net = Net()
    net.conv(3, 4)
    net.then("InstanceNormalization", net.const(net.random(4)), net.const(net.random(4)))
    net.conv(4, 3)
    return net.model()


def whole_attention():
    net = Net()
    net.conv(3, 4)
    source = net.at
    b, r, c = (net.size(axis, source) for axis in (0, 2, 3))
    net.op("Reshape", source, net.shape(b, 4, -1))
    tokens = net.then("Transpose", perm=[0, 2, 1])
    attention(net, tokens)
    at = net.then("Transpose", perm=[0, 2, 1])
    net.op("Reshape", at, net.shape(b, 4, r, c))
    net.conv(4, 3)
    return net.model()


def window_attention():
    """Attention in windows of 4x4, cut by reshapes."""
    net = Net()
    net.conv(3, 4)
    source = net.at
    b, r, c = (net.size(axis, source) for axis in (0, 2, 3))
    four = net.ints(4)
    rows, columns = net.op("Div", r, four), net.op("Div", c, four)
    net.op("Transpose", source, perm=[0, 2, 3, 1])
    at = net.at
    shape = net.shape(b, rows, 4, columns, 4, 4)
    net.op("Reshape", at, shape)
    net.then("Transpose", perm=[0, 1, 3, 2, 4, 5])
    tokens = net.then("Reshape", net.ints(-1, 16, 4))
    out = attention(net, tokens)
    back = net.shape(b, rows, columns, 4, 4, 4)
    net.op("Reshape", out, back)
    net.then("Transpose", perm=[0, 1, 3, 2, 4, 5])
    at = net.at
    net.op("Reshape", at, net.shape(b, r, c, 4))
    net.then("Transpose", perm=[0, 3, 1, 2])
    net.conv(4, 3)
    return net.model()


def two_inputs():
    net = Net(inputs=2)
    net.op("Add", "input", "input1")
    return net.model()


def transposed_x2():
    net = Net()
    net.conv(3, 4)
    net.then("ConvTranspose", net.const(net.random(4, 3, 4, 4)), kernel_shape=[4, 4], strides=[2, 2], pads=[1] * 4)
    return net.model()


def shuffle_by_reshape():
    net = Net()
    source = net.conv(3, 12)
    b, r, c = (net.size(axis, source) for axis in (0, 2, 3))
    two = net.ints(2)
    shape = net.shape(b, 3, 2, 2, r, c)
    net.op("Reshape", source, shape)
    at = net.then("Transpose", perm=[0, 1, 4, 2, 5, 3])
    shape = net.shape(b, 3, net.op("Mul", r, two), net.op("Mul", c, two))
    net.op("Reshape", at, shape)
    return net.model()


def nearest_x2():
    net = Net()
    net.conv(3, 4)
    net.then("Resize", "", net.const(np.array([1, 1, 2, 2], np.float32)), mode="nearest", nearest_mode="floor",
             coordinate_transformation_mode="asymmetric")
    net.conv(4, 3)
    return net.model()


def bilinear_x4():
    net = Net()
    net.conv(3, 3)
    net.then("Resize", "", net.const(np.array([1, 1, 4, 4], np.float32)), mode="linear")
    return net.model()


def cubic_by_size():
    net = Net()
    source = net.at
    two = net.ints(1, 1, 2, 2)
    sizes = net.op("Mul", net.op("Shape", source), two)
    net.op("Resize", source, "", "", sizes, mode="cubic")
    return net.model()


def align_corners():
    net = Net()
    net.then("Resize", "", net.const(np.array([1, 1, 2, 2], np.float32)), mode="linear", coordinate_transformation_mode="align_corners")
    return net.model()


def half_and_back():
    net = Net()
    for scale in (0.5, 2):
        net.then("Resize", "", net.const(np.array([1, 1, scale, scale], np.float32)), mode="linear", coordinate_transformation_mode="pytorch_half_pixel")
        net.conv(3, 3)
    return net.model()


def constant_nodes():
    net = Net()
    net.conv(3, 4), net.conv(4, 3)
    model = net.model()
    for weight in list(model.graph.initializer):
        model.graph.node.insert(0, h.make_node("Constant", [], [weight.name], value=weight))
    del model.graph.initializer[:]
    return model


def weights_as_inputs():
    net = Net()
    net.conv(3, 4), net.conv(4, 3)
    return net.model(opset=8, ir=3, list_weights=True)


def negative_dims():
    net = Net([-1, 3, -1, -1])
    net.conv(3, 3)
    return net.model()


def nameless_dims():
    net = Net([None, None, None, None])
    net.conv(3, 3, auto_pad="SAME_UPPER", pads=[0] * 4)
    del net.nodes[-1].attribute[:]
    net.nodes[-1].attribute.extend([h.make_attribute("auto_pad", "SAME_UPPER"), h.make_attribute("kernel_shape", [3, 3])])
    return net.model()


def prelu_depthwise():
    net = Net()
    net.conv(3, 6, k=1), net.then("PRelu", net.const(net.random(6, 1, 1)))
    net.conv(6, 6, k=5, group=6), net.conv(6, 3, k=1)
    return net.model()


def qdq():
    net = Net()
    scale, zero = net.const(np.float32(0.01)), net.const(np.uint8(0))
    net.then("QuantizeLinear", scale, zero), net.then("DequantizeLinear", scale, zero)
    weights = net.const(net.rng.integers(20, 90, (3, 3, 3, 3)).astype(np.int8))
    at = net.at
    dequantized = net.op("DequantizeLinear", weights, net.const(np.float32(0.001)), net.const(np.int8(0)))
    net.op("Conv", at, dequantized, kernel_shape=[3, 3], pads=[1] * 4)
    return net.model()


def focus():
    net = Net()
    source = net.at
    parts = [net.op("Slice", source, net.ints(y, x), net.ints(2**62, 2**62), net.ints(2, 3), net.ints(2, 2)) for y in (0, 1) for x in (0, 1)]
    net.op("Concat", *parts, axis=1)
    net.conv(12, 12)
    net.then("DepthToSpace", blocksize=2, mode="CRD")
    return net.model()


def batch_of_one():
    net = Net()
    net.conv(3, 4)
    net.then("Reshape", net.ints(1, 2, -1)), net.then("Relu")
    source = net.at
    r, c = net.size(2, "input"), net.size(3, "input")
    net.op("Reshape", source, net.shape(1, 4, r, c))
    net.conv(4, 3)
    return net.model()


def position_constant():
    net = Net([1, 3, 32, 32])
    net.conv(3, 3)
    net.then("Add", net.const(net.random(1, 3, 32, 32)))
    return net.model(shape=[1, 3, 32, 32])


def four_channels():
    net = Net(["n", 4, "h", "w"])
    net.conv(4, 4)
    return net.model()


def shrinks():
    net = Net()
    net.conv(3, 3, pads=[0] * 4)
    return net.model()


def mask():
    net = Net()
    net.conv(3, 1)
    return net.model()


def two_outputs():
    net = Net()
    first = net.conv(3, 3)
    net.conv(3, 3)
    return net.model(outputs=[first, net.at])


def classifier():
    net = Net()
    net.conv(3, 8), net.then("GlobalAveragePool"), net.then("Flatten")
    return net.model(shape=("n", "classes"))


def float64():
    net = Net(element=T.DOUBLE)
    net.then("Relu")
    return net.model()


def random_noise():
    net = Net()
    noise = net.op("RandomNormalLike", net.at)
    net.op("Add", "input", noise)
    return net.model()


def custom():
    net = Net()
    net.nodes.append(h.make_node("MMCVModulatedDeformConv2d", [net.at], ["out"], domain="mmcv"))
    net.at = "out"
    return net.model()


# Which are plain, so that the computed radius must be exact; the others may be larger.
EXACT = [nhwc, nhwc_matmul, u8, f16, fixed, half_fixed, multiple4, reflect, dilated, unet, pool_unet, transposed_x2,
         shuffle_by_reshape, nearest_x2, bilinear_x4, cubic_by_size, constant_nodes, weights_as_inputs, negative_dims,
         nameless_dims, prelu_depthwise, qdq, focus, batch_of_one, window_attention]
BOUND = [nearest_edge, reflect_unet, edge_asymmetric, half_and_back]
WHOLE = [global_pool, reduce_mean, instance_norm, whole_attention, align_corners, position_constant]
REFUSED = {two_inputs: "2 inputs", four_channels: "4 channels", shrinks: "loses 2 rows", mask: "3 channels in, 1 out",
           two_outputs: "2 outputs", classifier: "not a picture", float64: "float64", random_noise: "changes from run to run",
           custom: "custom operator MMCVModulatedDeformConv2d"}

KINDS = {T.FLOAT: "F32", T.FLOAT16: "F16", T.UINT8: "U8"}
TYPES = {T.FLOAT: np.float32, T.FLOAT16: np.float16, T.UINT8: np.uint8}


class Runner:
    """The network as a function of planar pictures (channels, rows, columns)."""

    def __init__(self, model):
        options = ort.SessionOptions()
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        self.session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        port = model.graph.input[0]
        dims = [d.dim_value if d.dim_value > 0 else None for d in port.type.tensor_type.shape.dim]
        self.nhwc = dims[3] in (1, 3) and dims[1] not in (1, 3)
        self.channels = (dims[3] if self.nhwc else dims[1]) or 3
        self.fixed = (dims[1:3] if self.nhwc else dims[2:4])
        self.batch = dims[0]
        self.name, self.element = port.name, port.type.tensor_type.elem_type

    def __call__(self, picture, batch=1):
        tensor = np.stack([picture] * batch) if picture.ndim == 3 else picture
        tensor = tensor.transpose(0, 2, 3, 1) if self.nhwc else tensor
        out = self.session.run(None, {self.name: tensor.astype(TYPES[self.element])})[0]
        out = out.transpose(0, 3, 1, 2) if self.nhwc else out
        return out.astype(np.float64)


def picture(run, rows, columns, seed=3):
    rng = np.random.default_rng(seed)
    values = rng.integers(40, 90, (run.channels, rows, columns)) if run.element == T.UINT8 else rng.uniform(0.4, 0.6, (run.channels, rows, columns))
    return values.astype(TYPES[run.element])


def measure(run):
    """Scale, radius (None: everything) and the least multiple-of, by running."""
    fixed = [side for side in run.fixed if side]
    rows, columns = (run.fixed[0] or fixed[0], run.fixed[1] or fixed[0]) if fixed else (48, 48)
    base = picture(run, rows, columns)
    before = run(base)[0]
    scale = before.shape[1] // rows
    assert before.shape[1:] == (rows * scale, columns * scale)
    reach = 0
    middle = [(rows // 2 // 8 * 8 + y, columns // 2 // 8 * 8 + x) for y in range(8) for x in range(8)]
    edges = [(y, x) for y in range(4) for x in range(4)] + [(rows - 1 - y, columns - 1 - x) for y in range(4) for x in range(4)]
    for y, x in middle + edges:
        changed = base.copy()
        changed[:, y, x] = 255 if run.element == T.UINT8 else changed[:, y, x] + 1000 if run.element == T.FLOAT else 60
        where = np.argwhere(run(changed)[0] != before)[:, 1:] // scale
        if len(where):
            reach = max(reach, np.abs(where - [y, x]).max())
    if 2 * reach >= min(rows, columns):
        return scale, None, None
    reach = int(reach)
    if fixed:
        return scale, *(fixed_multiple(run, rows, columns, reach) or (None, None))
    whole = picture(run, 96, 96)
    full = run(whole)[0]
    for m in range(1, 17):
        if 96 % m:
            continue
        size = (48 + m - 1) // m * m
        try:
            offsets = [(m, 2 * m), (m * 3, m), (96 - size, 0), (0, 96 - size)]
            good = all(same(run, whole, full, y, x, size, reach, scale) for y, x in offsets if y + size <= 96 and x + size <= 96)
        except Exception:
            good = False
        if good:
            return scale, reach, m
    return scale, None, None


def fixed_multiple(run, rows, columns, reach):
    """Radius and least multiple-of of a network of one size: two windows must agree where they overlap."""
    whole = picture(run, rows + 16, columns + 16)
    first = run(whole[:, :rows, :columns])[0]
    for m in range(1, 9):
        good = True
        for y, x in [(m, 2 * m), (m, m), (2 * m, m)]:
            second = run(whole[:, y:y + rows, x:x + columns])[0]
            a, b = first[:, y + reach:rows - reach, x + reach:columns - reach], second[:, reach:rows - y - reach, reach:columns - x - reach]
            good &= close(run, a, b)
        if good:
            return reach, m


def close(run, a, b):
    """Equal but for rounding; a shifted sample of a smoothed picture is off by more."""
    return np.allclose(a, b, rtol={T.FLOAT: 1e-5, T.FLOAT16: 4e-3, T.UINT8: 0}[run.element], atol=0 if run.element == T.FLOAT else 1e-3)


def same(run, whole, full, y, x, size, reach, scale):
    part = run(whole[:, y:y + size, x:x + size])[0]
    inner = slice(reach * scale, (size - reach) * scale)
    expected = full[:, y * scale:(y + size) * scale, x * scale:(x + size) * scale]
    return part.shape == expected.shape and close(run, part[:, inner, inner], expected[:, inner, inner])


def batches(run):
    """The batch size, None when any number of pictures is treated like one alone."""
    if run.batch:
        return run.batch
    pictures = [picture(run, 48 if not run.fixed[0] else run.fixed[0], run.fixed[1] or (run.fixed[0] or 48), seed) for seed in (1, 2, 3)]
    try:
        together = run(np.stack(pictures))
    except Exception:
        return 1
    alone = np.concatenate([run(one) for one in pictures])
    return None if together.shape == alone.shape and close(run, together, alone) else 1


def main():
    ort.set_default_logger_severity(4)
    HERE.mkdir(exist_ok=True)
    truth = []
    for make in EXACT + BOUND + WHOLE + list(REFUSED):
        model, name = make(), make.__name__
        onnx.save(model, HERE / f"{name}.onnx")
        if make in REFUSED:
            truth.append({"name": name, "refused": REFUSED[make]})
            continue
        run = Runner(model)
        scale, radius, multiple = measure(run)
        assert (radius is None) == (make in WHOLE), (name, radius)
        fixed = [side for side in run.fixed if side]
        size = [run.fixed[1] or fixed[0], run.fixed[0] or fixed[0]] if fixed else None
        floats = [w for w in model.graph.initializer] + [n.attribute[0].t for n in model.graph.node if n.op_type == "Constant"]
        parameters = sum(int(np.prod(w.dims)) for w in floats if w.data_type in (T.FLOAT, T.FLOAT16, T.INT8) and len(w.dims))
        truth.append({
            "name": name, "exact": make in EXACT, "element": KINDS[run.element], "layout": "Nhwc" if run.nhwc else "Nchw",
            "channels": run.channels, "scale": scale, "radius": radius, "multiple_of": multiple, "fixed_size": size,
            "fixed_batch": batches(run), "parameters": parameters,
        })
        print(truth[-1])
    (HERE / "truth.json").write_text("[\n" + ",\n".join(json.dumps(row) for row in truth) + "\n]\n")


main()
