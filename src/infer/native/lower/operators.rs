//! Each operator's node.

use super::constant::Constant;
use super::{Lowering, Refused, Value};
use crate::infer::native::kernel::{Activation, Weights};
use crate::infer::native::program::{
    Arithmetic, Border, Channel, Conv, Coordinates, Extent, Form, Function, Group, Node, Op, Pair, Resize, Rounding,
    Sampling,
};
use crate::model::onnx::proto::{NodeProto, data_type};

/// Channels of one value; more is not a network over rows.
const MAX_CHANNELS: usize = 4096;

impl Lowering {
    /// Follows one node of the graph.
    pub(super) fn node(&mut self, node: &NodeProto) -> Refused<()> {
        let is_whole = node.input.iter().any(|name| self.whole.contains(name));
        if is_whole && !is_same_for_whole_numbers(node) {
            return Err("no operator of this engine on whole numbers".to_owned());
        }
        let values = match (node.op(), self.rows(node, 0)) {
            ("Constant", _) => vec![Value::Constant(Constant::of_node(node)?)],
            (_, Ok(rows)) => self.operator(node, rows)?,
            ("Add" | "Mul" | "Sub" | "Div" | "Max" | "Min", _) if self.rows(node, 1).is_ok() => {
                let operand = self.constant(node, 0)?.ok_or("its first input is missing")?.clone();
                let rows = self.rows(node, 1)?;
                vec![self.with_constant(arithmetic(node), rows, &operand, true)?]
            }
            (_, Err(why)) => match self.folded(node)? {
                Some(constant) => vec![Value::Constant(constant)],
                None => return Err(why),
            },
        };
        let gives_whole =
            if is_whole { !matches!(node.op(), "Cast" | "DequantizeLinear") } else { node.op() == "QuantizeLinear" };
        for (name, value) in node.output.iter().zip(values) {
            // What has no name is read by nobody, and stands for an input that is left out.
            if gives_whole && !name.is_empty() {
                self.whole.insert(name.clone());
            }
            self.values.insert(name.clone(), value);
        }
        match node.output.iter().skip(1).find(|name| !name.is_empty() && !self.values.contains_key(*name)) {
            Some(_) => Err("it gives more than one output".to_owned()),
            None => Ok(()),
        }
    }

    /// An operator on rows.
    fn operator(&mut self, node: &NodeProto, rows: Vec<Channel>) -> Refused<Vec<Value>> {
        let float = |name: &str, default: f32| node.float(name).unwrap_or(default);
        Ok(vec![match node.op() {
            "Identity" | "Dropout" => Value::Rows(rows),
            // All is computed in f32; what is rounded to halves on the way elsewhere is not here.
            "Cast" if matches!(node.int("to"), Some(to) if is_float(to)) => Value::Rows(rows),
            "Conv" => self.conv(node, rows)?,
            "Relu" => self.same(Op::Activation(Activation::Relu), rows)?,
            "LeakyRelu" => {
                let slopes = vec![float("alpha", 0.01); rows.len()];
                self.same(Op::Activation(Activation::Slope(slopes)), rows)?
            }
            "PRelu" => {
                let slopes = self.constant(node, 1)?.and_then(|slopes| slopes.per_channel(rows.len()));
                let slopes = slopes.ok_or("its slopes are no constants, one a channel")?;
                self.same(Op::Activation(Activation::Slope(slopes)), rows)?
            }
            "Clip" => {
                let low = self.scalar(node, 1, "min")?.unwrap_or(f32::NEG_INFINITY);
                let high = self.scalar(node, 2, "max")?.unwrap_or(f32::INFINITY);
                self.same(Op::Activation(Activation::Clip(low, high)), rows)?
            }
            "Sigmoid" => self.same(Op::Function(Function::Sigmoid), rows)?,
            "Tanh" => self.same(Op::Function(Function::Tanh), rows)?,
            "Swish" => self.same(Op::Function(Function::Silu(float("alpha", 1.0))), rows)?,
            "HardSwish" => self.same(Op::Function(Function::HardSwish), rows)?,
            "HardSigmoid" => {
                self.same(Op::Function(Function::HardSigmoid(float("alpha", 0.2), float("beta", 0.5))), rows)?
            }
            "Abs" => self.same(Op::Function(Function::Abs), rows)?,
            "Neg" => self.same(Op::Function(Function::Neg), rows)?,
            "Add" | "Sub" | "Mul" | "Div" | "Max" | "Min" if node.input.len() == 2 => self.binary(node, rows)?,
            "Concat" => self.concat(node)?,
            "Split" => return self.split(node, rows),
            "DepthToSpace" => self.depth_to_space(node, rows)?,
            "Resize" | "Upsample" => self.resize(node, rows)?,
            "Pad" => self.pad(node, rows)?,
            "QuantizeLinear" => self.quantized(node, rows)?,
            "DequantizeLinear" => self.dequantized(node, rows)?,
            _ => return Err("no operator of this engine".to_owned()),
        }])
    }

    /// The channels of an input.
    fn rows(&self, node: &NodeProto, at: usize) -> Refused<Vec<Channel>> {
        match node.input.get(at).and_then(|name| self.values.get(name)) {
            Some(Value::Rows(rows)) => Ok(rows.clone()),
            _ => Err("no operator of this engine on what does not depend on the picture".to_owned()),
        }
    }

    /// An input that must be constant if it is there.
    pub(super) fn constant(&self, node: &NodeProto, at: usize) -> Refused<Option<&Constant>> {
        let Some(name) = node.input.get(at).filter(|name| !name.is_empty()) else { return Ok(None) };
        match self.values.get(name) {
            Some(Value::Constant(constant)) => Ok(Some(constant)),
            _ => Err(format!("its input {at} is no constant")),
        }
    }

    /// A number that is an input, or an attribute in older opsets.
    fn scalar(&self, node: &NodeProto, at: usize, attribute: &str) -> Refused<Option<f32>> {
        let input = self.constant(node, at)?.and_then(|constant| constant.floats().first().copied());
        Ok(input.or(node.float(attribute)))
    }

    /// Integers that are an input, or an attribute in older opsets.
    fn integers(&self, node: &NodeProto, at: usize, attribute: &str) -> Refused<Option<Vec<i64>>> {
        let input = self.constant(node, at)?.map(Constant::integers);
        Ok(input.or(node.ints(attribute).map(<[i64]>::to_vec)))
    }

    /// Operators on constants, as far as exporters leave them in networks of this kind.
    fn folded(&self, node: &NodeProto) -> Refused<Option<Constant>> {
        let Some(input) = self.constant(node, 0)? else { return Ok(None) };
        let numbers = input.numbers.clone();
        let range = input.range;
        let shaped = |dims: Vec<usize>| Some(Constant { dims, numbers: numbers.clone(), range, steps: None });
        Ok(match node.op() {
            "Identity" => shaped(input.dims.clone()),
            "DequantizeLinear" => self.dequantized_constant(node)?,
            "Cast" if matches!(node.int("to"), Some(to) if is_float(to)) => shaped(input.dims.clone()),
            "Reshape" | "Unsqueeze" | "Squeeze" | "Flatten" => {
                let dims = self.integers(node, 1, "shape")?.filter(|_| node.op() == "Reshape");
                let dims = dims.and_then(|dims| dims.iter().map(|&dim| usize::try_from(dim).ok()).collect());
                dims.filter(|dims: &Vec<usize>| dims.iter().product::<usize>() == numbers.len()).and_then(shaped)
            }
            "Concat" => {
                let mut all = Vec::new();
                for at in 0..node.input.len() {
                    let part = self.constant(node, at)?.filter(|part| part.dims.len() <= 1);
                    let Some(part) = part else { return Ok(None) };
                    all.extend_from_slice(&part.numbers);
                }
                Some(Constant::list(all))
            }
            _ => None,
        })
    }

    /// A node of the size and the channels of its input.
    pub(super) fn same(&mut self, op: Op, rows: Vec<Channel>) -> Refused<Value> {
        let extent = self.extent(&rows)?;
        Ok(self.push(Node { op, channels: rows.len(), inputs: rows, extent, form: Form::PLANES }))
    }

    fn binary(&mut self, node: &NodeProto, mut rows: Vec<Channel>) -> Refused<Value> {
        let operation = arithmetic(node);
        let Ok(mut other) = self.rows(node, 1) else {
            let operand = self.constant(node, 1)?.ok_or("its second input is missing")?.clone();
            return self.with_constant(operation, rows, &operand, false);
        };
        // One channel stands for all.
        let channels = rows.len().max(other.len());
        for side in [&mut rows, &mut other] {
            if side.len() == 1 {
                side.resize(channels, side[0]);
            }
        }
        if rows.len() != other.len() {
            return Err(format!("{} and {} channels", rows.len(), other.len()));
        }
        rows.extend(other);
        let extent = self.extent(&rows)?;
        Ok(self.push(Node { op: Op::Binary(operation), inputs: rows, channels, extent, form: Form::PLANES }))
    }

    fn with_constant(&mut self, op: Arithmetic, rows: Vec<Channel>, operand: &Constant, left: bool) -> Refused<Value> {
        let Some(numbers) = operand.per_channel(rows.len()) else {
            return Err(format!("a constant of shape {:?} is not one number a channel", operand.dims));
        };
        self.same(Op::Constant(op, numbers, left), rows)
    }

    fn conv(&mut self, node: &NodeProto, rows: Vec<Channel>) -> Refused<Value> {
        let weights = self.constant(node, 1)?.ok_or("it has no weights")?;
        let [n_outputs, n_inputs, height, width] = *weights.dims else {
            return Err(format!("weights of shape {:?} are not those of a picture", weights.dims));
        };
        let n_groups = node.int("group").unwrap_or(1) as usize;
        if n_inputs * n_groups != rows.len() || n_outputs % n_groups != 0 || n_outputs == 0 || n_outputs > MAX_CHANNELS
        {
            return Err(format!("weights of shape {:?} for {} channels", weights.dims, rows.len()));
        }
        if node.ints("strides").is_some_and(|strides| strides.iter().any(|&stride| stride != 1)) {
            return Err("its stride is not 1".to_owned());
        }
        let dilation = match node.ints("dilations") {
            Some(&[rows, columns]) => [rows as usize, columns as usize],
            _ => [1, 1],
        };
        let reach = [(height - 1) * dilation[0], (width - 1) * dilation[1]];
        let pads = node.picture_pads(reach.map(|reach| reach as i64)).ok_or("its padding is not that of a picture")?;
        let [top, left, bottom, right] = pads.map(|pad| pad as usize);
        let (before, after) = ([top, left], [bottom, right]);
        let floats = weights.floats();
        let bias = match self.constant(node, 2)? {
            Some(bias) if bias.numbers.len() == n_outputs => bias.floats(),
            Some(bias) => return Err(format!("{} biases for {n_outputs} outputs", bias.numbers.len())),
            None => vec![0.0; n_outputs],
        };
        let steps = if n_groups == 1 { self.steps_of(node, n_outputs)? } else { None };
        let n = n_outputs / n_groups;
        let size = n * n_inputs * height * width;
        let group = |group: usize| Group {
            first_input: group * n_inputs,
            weights: Weights::new(
                &floats[group * size..(group + 1) * size],
                bias[group * n..(group + 1) * n].to_vec(),
                n_inputs,
                [height, width],
            ),
            pairs: None,
        };
        let extent = self.extent(&rows)?;
        let grown =
            |axis: usize| extent[axis].grown(before[axis] as isize + after[axis] as isize - reach[axis] as isize);
        let conv = Conv {
            groups: (0..n_groups).map(group).collect(),
            kernel: [height, width],
            dilation,
            before,
            residual: Vec::new(),
            activation: Activation::None,
            half: None,
            steps,
        };
        let extent = [grown(0), grown(1)];
        Ok(self.push(Node {
            op: Op::Conv(Box::new(conv)),
            inputs: rows,
            channels: n_outputs,
            extent,
            form: Form::PLANES,
        }))
    }

    fn concat(&mut self, node: &NodeProto) -> Refused<Value> {
        if !matches!(node.int("axis"), Some(1 | -3)) {
            return Err("it does not join channels".to_owned());
        }
        let mut all = Vec::new();
        for at in 0..node.input.len() {
            all.extend(self.rows(node, at)?);
        }
        if all.len() > MAX_CHANNELS {
            return Err(format!("over {MAX_CHANNELS} channels"));
        }
        self.extent(&all)?;
        Ok(Value::Rows(all))
    }

    fn split(&mut self, node: &NodeProto, rows: Vec<Channel>) -> Refused<Vec<Value>> {
        if !matches!(node.int("axis"), Some(1 | -3)) {
            return Err("it does not part channels".to_owned());
        }
        let n = node.output.len();
        let even = || vec![rows.len().div_ceil(n) as i64; n];
        let mut rest = rows.as_slice();
        let parts = self.integers(node, 1, "split")?.unwrap_or_else(even);
        let parts = parts.iter().map(|&part| {
            let (part, others) = rest.split_at(usize::try_from(part).unwrap_or(0).min(rest.len()));
            rest = others;
            Value::Rows(part.to_vec())
        });
        let parts: Vec<Value> = parts.collect();
        if !rest.is_empty()
            || parts.len() != n
            || parts.iter().any(|part| matches!(part, Value::Rows(r) if r.is_empty()))
        {
            return Err(format!("{} channels do not part into what it says", rows.len()));
        }
        Ok(parts)
    }

    fn depth_to_space(&mut self, node: &NodeProto, rows: Vec<Channel>) -> Refused<Value> {
        let block = node.int("blocksize").and_then(|block| usize::try_from(block).ok()).unwrap_or(0);
        if !(1..=16).contains(&block) || !rows.len().is_multiple_of(block * block) {
            return Err(format!("blocks of {block} from {} channels", rows.len()));
        }
        let channels = rows.len() / (block * block);
        let columns_first = node.string("mode") == Some("CRD");
        let order = (0..rows.len()).map(|to| {
            let (channel, place) = (to / (block * block), to % (block * block));
            if columns_first { channel * block * block + place } else { place * channels + channel }
        });
        let extent = self.extent(&rows)?.map(|extent| extent.times(block));
        Ok(self.push(Node {
            op: Op::Shuffle { block, order: order.collect() },
            inputs: rows,
            channels,
            extent,
            form: Form::PLANES,
        }))
    }

    fn resize(&mut self, node: &NodeProto, rows: Vec<Channel>) -> Refused<Value> {
        // Resize of opset 10 and Upsample: input, scales; later: input, region, scales, sizes.
        let at = if node.op() == "Upsample" || self.opset < 11 { 1 } else { 2 };
        if self.constant(node, 3)?.is_some_and(|sizes| !sizes.numbers.is_empty()) {
            return Err("it asks for a size, not for a factor".to_owned());
        }
        let given = self.constant(node, at)?.map(Constant::floats).filter(|scales| !scales.is_empty());
        let scales = given.or(node.floats("scales").map(<[f32]>::to_vec)).ok_or("it has no factors")?;
        let whole = |factor: f32| ((1.0..=16.0).contains(&factor) && factor.fract() == 0.0).then_some(factor as usize);
        let factor = match (scales.as_slice(), node.ints("axes")) {
            (&[1.0, 1.0, rows, columns], None) => [whole(rows), whole(columns)],
            (&[rows, columns], Some(&[2, 3] | &[-2, -1])) => [whole(rows), whole(columns)],
            _ => [None, None],
        };
        let [Some(rows_factor), Some(columns_factor)] = factor else {
            return Err(format!("{scales:?} are no whole factors of rows and columns"));
        };
        let old = at == 1;
        let coordinates = match node.string("coordinate_transformation_mode") {
            None if old => Coordinates::Asymmetric,
            None | Some("half_pixel") => Coordinates::HalfPixel,
            // They differ in outputs of one element, which are no enlargement but of one element.
            Some("pytorch_half_pixel") if rows_factor > 1 && columns_factor > 1 => Coordinates::HalfPixel,
            Some("asymmetric") => Coordinates::Asymmetric,
            Some("align_corners") => Coordinates::AlignCorners,
            Some(other) => return Err(format!("coordinates {other}")),
        };
        let sampling = match node.string("mode").unwrap_or("nearest") {
            "nearest" => Sampling::Nearest(match node.string("nearest_mode") {
                None if old => Rounding::Floor,
                None | Some("round_prefer_floor") => Rounding::HalfDown,
                Some("round_prefer_ceil") => Rounding::HalfUp,
                Some("floor") => Rounding::Floor,
                Some("ceil") => Rounding::Ceil,
                Some(other) => return Err(format!("rounding {other}")),
            }),
            "linear" | "bilinear" if node.int("antialias").unwrap_or(0) == 0 => Sampling::Linear,
            other => return Err(format!("mode {other}")),
        };
        let extent = self.extent(&rows)?;
        if extent.iter().any(|extent| extent.extra != 0) && coordinates == Coordinates::AlignCorners {
            return Err("corners of a padded picture".to_owned());
        }
        let resize = Resize { factor: [rows_factor, columns_factor], sampling, coordinates };
        let extent = [extent[0].times(rows_factor), extent[1].times(columns_factor)];
        Ok(self.push(Node { op: Op::Resize(resize), channels: rows.len(), inputs: rows, extent, form: Form::PLANES }))
    }

    fn pad(&mut self, node: &NodeProto, rows: Vec<Channel>) -> Refused<Value> {
        let pads = self.integers(node, 1, "pads")?.ok_or("it has no pads")?;
        let axes = self.constant(node, 3)?.map_or(vec![0, 1, 2, 3], Constant::integers);
        let value = self.scalar(node, 2, "value")?.unwrap_or(0.0);
        let mut ends: Pair<Pair<usize>> = [[0; 2]; 2];
        for (at, axis) in axes.iter().map(|axis| axis.rem_euclid(4) as usize).enumerate() {
            for (end, pads_of_end) in ends.iter_mut().enumerate() {
                let pad = pads.get(at + end * axes.len()).copied().unwrap_or(-1);
                let Some(pad) = usize::try_from(pad).ok().filter(|&pad| pad <= 4096 && (axis >= 2 || pad == 0)) else {
                    return Err(format!("pads {pads:?} do not only continue rows and columns"));
                };
                if axis >= 2 {
                    pads_of_end[axis - 2] = pad;
                }
            }
        }
        let border = match node.string("mode").unwrap_or("constant") {
            "constant" => Border::Constant(value),
            "reflect" => Border::Reflect,
            "edge" => Border::Edge,
            other => return Err(format!("mode {other}")),
        };
        let [before, after] = ends;
        let grown = |extent: Extent, axis: usize| extent.grown((before[axis] + after[axis]) as isize);
        let extent = self.extent(&rows)?;
        let extent = [grown(extent[0], 0), grown(extent[1], 1)];
        Ok(self.push(Node {
            op: Op::Pad { before, border },
            channels: rows.len(),
            inputs: rows,
            extent,
            form: Form::PLANES,
        }))
    }
}

/// Whether an operator gives for whole numbers of 8 and 16 bits what it gives for the same numbers in floats: where
/// none wraps, is rounded or is cut.
fn is_same_for_whole_numbers(node: &NodeProto) -> bool {
    match node.op() {
        "Identity" | "Cast" | "DequantizeLinear" => true,
        "Concat" | "Split" | "DepthToSpace" | "Pad" => true,
        "Clip" | "Max" | "Min" | "Relu" => true,
        "Resize" | "Upsample" => node.string("mode").unwrap_or("nearest") == "nearest",
        _ => false,
    }
}

fn is_float(to: i64) -> bool {
    to == i64::from(data_type::FLOAT) || to == i64::from(data_type::FLOAT16)
}

fn arithmetic(node: &NodeProto) -> Arithmetic {
    match node.op() {
        "Add" => Arithmetic::Add,
        "Sub" => Arithmetic::Sub,
        "Mul" => Arithmetic::Mul,
        "Div" => Arithmetic::Div,
        "Max" => Arithmetic::Max,
        _ => Arithmetic::Min,
    }
}
