//! Operators that reach along rows and columns: convolutions, pooling, pixel shuffles and padding.

use super::map::Step;
use super::pointwise::everywhere;
use super::value::{Axis, Origin, Value};
use super::{Rule, Stop, Trace, impossible};
use crate::model::onnx::proto::{NodeProto, data_type};

/// One axis of a kernel.
#[derive(Clone, Copy)]
struct Window {
    kernel: i64,
    stride: i64,
    dilation: i64,
    pads: (i64, i64),
}

impl Window {
    /// The elements from the first tap to the last.
    fn extent(self) -> i64 {
        (self.kernel - 1) * self.dilation + 1
    }
}

/// The windows of a node's attributes over `kernel`, one for each axis.
fn windows(node: &NodeProto, kernel: &[i64]) -> Rule<Vec<Window>> {
    let rank = kernel.len();
    let ones = vec![1; rank];
    let none = vec![0; 2 * rank];
    let strides = node.ints("strides").filter(|list| !list.is_empty()).unwrap_or(&ones);
    let dilations = node.ints("dilations").filter(|list| !list.is_empty()).unwrap_or(&ones);
    let pads = node.ints("pads").filter(|list| !list.is_empty()).unwrap_or(&none);
    if strides.len() != rank || dilations.len() != rank || pads.len() != 2 * rank || kernel.iter().any(|&k| k < 1) {
        return impossible(format!("a kernel {kernel:?} does not go with strides {strides:?} and pads {pads:?}"));
    }
    let axis = |at: usize| Window {
        kernel: kernel[at],
        stride: strides[at],
        dilation: dilations[at],
        pads: (pads[at], pads[at + rank]),
    };
    Ok((0..rank).map(axis).collect())
}

/// The size of an axis of `size` after a window has run over it, with the padding that is used.
fn slide(node: &NodeProto, size: i64, mut window: Window) -> Rule<(i64, Window)> {
    let Window { stride, .. } = window;
    match node.string("auto_pad").unwrap_or("NOTSET") {
        side @ ("SAME_UPPER" | "SAME_LOWER") => {
            let out = (size + stride - 1) / stride;
            let total = ((out - 1) * stride + window.extent() - size).max(0);
            let less = total / 2;
            window.pads = if side == "SAME_UPPER" { (less, total - less) } else { (total - less, less) };
            return Ok((out, window));
        }
        "VALID" => window.pads = (0, 0),
        _ => {}
    }
    let (before, after) = window.pads;
    let room = size + before + after - window.extent();
    if room < 0 {
        return impossible(format!("a kernel that reaches over {} does not fit into {size}", window.extent()));
    }
    let mut out = room / stride + 1;
    if node.int("ceil_mode") == Some(1) && room % stride != 0 && out * stride < size + before {
        out += 1;
    }
    Ok((out, window))
}

impl Trace<'_> {
    /// An operator with steps along the axes from the third on; the others are given.
    fn along(
        &mut self,
        node: &NodeProto,
        data: &Value,
        mut axes: Vec<Axis>,
        steps: impl IntoIterator<Item = Rule<(Step, i64)>>,
    ) -> Rule<Value> {
        let mut local = true;
        for (axis, step) in data.axes()[2..].iter().zip(steps) {
            let (step, size) = step?;
            let stepped = match axis.as_spatial() {
                Some(factor) => self.step(node, &factor, &step, size)?,
                None if axis.is_plain() => Some(Axis::plain(size)),
                None => None,
            };
            local &= stepped.is_some();
            axes.push(stepped.unwrap_or_else(|| Axis::plain(size)));
        }
        let value = data.reshaped(axes);
        Ok(if local { value } else { value.looking_everywhere(everywhere(node)) })
    }

    /// Conv and its kin; the kernel is input number `weights`.
    pub(super) fn convolution(
        &mut self,
        node: &NodeProto,
        inputs: &[Option<&Value>],
        weights: usize,
    ) -> Rule<Vec<Value>> {
        let data = inputs[0].ok_or(Stop::Opaque)?;
        let weights = inputs.get(weights).copied().flatten().ok_or(Stop::Opaque)?;
        let (axes, shape) = (data.axes(), weights.sizes());
        if axes.len() < 3 || shape.len() != axes.len() {
            return impossible(format!("weights of shape {shape:?} over {} dimensions", axes.len()));
        }
        let (channels, group) = (axes[1].size(), node.int("group").unwrap_or(1));
        if Some(channels) != shape[1].checked_mul(group) || shape[0] % group != 0 {
            return impossible(format!("{channels} channels, its weights {shape:?} in {group} groups want others"));
        }
        if node.ints("kernel_shape").is_some_and(|kernel| !kernel.is_empty() && kernel != &shape[2..]) {
            return impossible(format!("kernel_shape differs from its weights {shape:?}"));
        }
        let windows = windows(node, &shape[2..])?;
        let steps = windows.iter().zip(&axes[2..]).map(|(&window, axis)| {
            let (size, used) = slide(node, axis.size(), window)?;
            Ok((Step::kernel(used.stride, used.kernel, used.dilation, used.pads.0), size))
        });
        let mut value = self.along(node, data, vec![axes[0].clone(), Axis::plain(shape[0])], steps)?;
        value.element = match node.op() {
            "ConvInteger" => data_type::INT32,
            _ => data.element,
        };
        Ok(vec![self.weighted(node, data, weights, value, &shape)])
    }

    /// ConvTranspose.
    pub(super) fn transposed(&mut self, node: &NodeProto, inputs: &[Option<&Value>]) -> Rule<Vec<Value>> {
        let data = inputs[0].ok_or(Stop::Opaque)?;
        let weights = inputs.get(1).copied().flatten().ok_or(Stop::Opaque)?;
        let (axes, shape) = (data.axes(), weights.sizes());
        if axes.len() < 3 || shape.len() != axes.len() || axes[1].size() != shape[0] {
            return impossible(format!("weights of shape {shape:?} over {:?}", data.sizes()));
        }
        let windows = windows(node, &shape[2..])?;
        if windows.iter().any(|window| window.stride * window.kernel > 1 << 16) {
            return Err(Stop::Opaque);
        }
        let extra = node.ints("output_padding").unwrap_or(&[]).to_vec();
        let asked = node.ints("output_shape").unwrap_or(&[]).to_vec();
        let same = matches!(node.string("auto_pad"), Some("SAME_UPPER" | "SAME_LOWER"));
        let steps = windows.iter().zip(&axes[2..]).enumerate().map(|(at, (&window, axis))| {
            let Window { kernel, stride, dilation, pads } = window;
            let full =
                (axis.size().saturating_sub(1)).saturating_mul(stride) + window.extent() + extra.get(at).unwrap_or(&0);
            let wanted = asked.get(at).copied().or(same.then(|| axis.size().saturating_mul(stride)));
            // Where a size is asked for, which side gets the odd pad differs between versions: both are allowed for.
            let (size, begins) = match wanted {
                Some(wanted) => (wanted, vec![(full - wanted) / 2, (full - wanted + 1) / 2]),
                None => (full - pads.0 - pads.1, vec![pads.0]),
            };
            if size < 1 {
                return impossible("its output is empty");
            }
            let taps = |phase: i64| {
                let places = begins.iter().flat_map(|pad| (0..kernel).map(move |k| phase + pad - k * dilation));
                places.filter(|place| place % stride == 0).map(|place| place / stride).collect()
            };
            Ok((Step { up: stride, down: 1, taps: (0..stride).map(taps).collect() }, size))
        });
        let channels = shape[1].saturating_mul(node.int("group").unwrap_or(1));
        let steps: Vec<_> = steps.collect();
        let value = self.along(node, data, vec![axes[0].clone(), Axis::plain(channels)], steps)?;
        let places = data.count() / shape[0] as f64;
        let value = self.judged(node, data, weights, value, &shape[2..]);
        if value.origin == Origin::Picture {
            self.multiply_adds += places * shape.iter().map(|&size| size as f64).product::<f64>();
        }
        Ok(vec![value])
    }

    fn weighted(&mut self, node: &NodeProto, data: &Value, weights: &Value, value: Value, shape: &[i64]) -> Value {
        let value = self.judged(node, data, weights, value, &shape[2..]);
        if value.origin == Origin::Picture {
            self.multiply_adds += value.count() * shape[1..].iter().map(|&size| size as f64).product::<f64>();
        }
        value
    }

    /// Sums over channels and has fixed weights, or else looks everywhere.
    fn judged(&mut self, node: &NodeProto, data: &Value, weights: &Value, mut value: Value, kernel: &[i64]) -> Value {
        let sides: Vec<String> = kernel.iter().map(i64::to_string).collect();
        self.reaches(node, &sides.join("x"));
        value.origin = value.origin.max(weights.origin);
        if weights.origin == Origin::Constant && data.axes()[1].is_plain() {
            value
        } else {
            value.looking_everywhere(everywhere(node))
        }
    }

    /// Pooling in windows.
    pub(super) fn pool(&mut self, node: &NodeProto, data: &Value) -> Rule<Vec<Value>> {
        let kernel = node.ints("kernel_shape").unwrap_or(&[]);
        let axes = data.axes();
        if axes.len() < 3 || kernel.len() != axes.len() - 2 {
            return impossible(format!("a kernel {kernel:?} over {} dimensions", axes.len()));
        }
        let windows = windows(node, kernel)?;
        let sides: Vec<String> = kernel.iter().map(i64::to_string).collect();
        self.reaches(node, &sides.join("x"));
        let steps = windows.iter().zip(&axes[2..]).map(|(&window, axis)| {
            let (size, used) = slide(node, axis.size(), window)?;
            Ok((Step::kernel(used.stride, used.kernel, used.dilation, used.pads.0), size))
        });
        let value = self.along(node, data, axes[..2].to_vec(), steps)?;
        if value.origin == Origin::Picture {
            self.multiply_adds += value.count() * kernel.iter().map(|&size| size as f64).product::<f64>();
        }
        Ok(vec![value])
    }

    /// DepthToSpace: each element becomes a block of them.
    pub(super) fn depth_to_space(&mut self, node: &NodeProto, data: &Value) -> Rule<Vec<Value>> {
        let (axes, block) = (data.axes(), node.int("blocksize").unwrap_or(0));
        if axes.len() != 4 || !(1..=64).contains(&block) || axes[1].size() % (block * block) != 0 {
            return impossible(format!("blocks of {block} from {:?}", data.sizes()));
        }
        self.reaches(node, &format!("by {block}"));
        let channels = Axis::plain(axes[1].size() / (block * block));
        let steps = axes[2..].iter().map(|axis| Ok((Step::repeat(block), axis.size().saturating_mul(block))));
        let value = self.along(node, data, vec![axes[0].clone(), channels], steps)?;
        Ok(vec![if axes[1].is_plain() { value } else { value.looking_everywhere(everywhere(node)) }])
    }

    /// SpaceToDepth: each block of elements becomes one.
    pub(super) fn space_to_depth(&mut self, node: &NodeProto, data: &Value) -> Rule<Vec<Value>> {
        let (axes, block) = (data.axes(), node.int("blocksize").unwrap_or(0));
        if axes.len() != 4 || !(1..=64).contains(&block) || axes[2..].iter().any(|axis| axis.size() % block != 0) {
            return impossible(format!("blocks of {block} from {:?}", data.sizes()));
        }
        self.reaches(node, &format!("by {block}"));
        let channels = Axis::plain(axes[1].size().saturating_mul(block * block));
        let steps = axes[2..].iter().map(|axis| Ok((Step::window(block, (0..block).collect()), axis.size() / block)));
        let value = self.along(node, data, vec![axes[0].clone(), channels], steps)?;
        Ok(vec![if axes[1].is_plain() { value } else { value.looking_everywhere(everywhere(node)) }])
    }

    /// Pad; negative padding crops.
    pub(super) fn pad(&mut self, node: &NodeProto, inputs: &[Option<&Value>]) -> Rule<Vec<Value>> {
        let data = inputs[0].ok_or(Stop::Opaque)?;
        let rank = data.axes().len();
        let integers = |at: usize| match inputs.get(at).copied().flatten() {
            Some(value) => value.integers().map(Some).ok_or(Stop::Opaque),
            None => Ok(None),
        };
        let pads = integers(1)?.or_else(|| node.ints("pads").map(<[i64]>::to_vec)).ok_or(Stop::Opaque)?;
        let listed = integers(3)?.unwrap_or_else(|| (0..rank as i64).collect());
        if pads.len() != 2 * listed.len() {
            return impossible(format!("{} pads for {} axes", pads.len(), listed.len()));
        }
        let mode = node.string("mode").unwrap_or("constant");
        let (mut axes, mut local) = (data.axes().to_vec(), true);
        for (at, &axis) in listed.iter().enumerate() {
            let axis = super::fold::resolve(axis, rank).ok_or(Stop::Opaque)?;
            let (before, after) = (pads[at], pads[at + listed.len()]);
            if (before, after) == (0, 0) {
                continue;
            }
            let size = axes[axis].size().saturating_add(before).saturating_add(after);
            if size < 1 || before.abs() > 65_535 {
                return impossible(format!("it pads {} by {before} and {after}", axes[axis].size()));
            }
            let folded = mode != "constant";
            let stepped = match axes[axis].as_spatial() {
                Some(_) if mode == "wrap" => None,
                Some(mut factor) => {
                    if let Some(map) = factor.map().filter(|_| folded) {
                        factor = factor.moved(factor.size, map.folded(factor.size, self.side(&factor)));
                    }
                    self.step(node, &factor, &Step::window(1, vec![-before]), size)?
                }
                None => axes[axis].is_plain().then(|| Axis::plain(size)),
            };
            local &= stepped.is_some();
            axes[axis] = stepped.unwrap_or_else(|| Axis::plain(size));
        }
        // A border value that is computed would be the picture's, or its size's.
        let constant = inputs.get(2).copied().flatten().is_none_or(|value| value.origin == Origin::Constant);
        let value = data.reshaped(axes);
        Ok(vec![if local && constant { value } else { value.looking_everywhere(everywhere(node)) }])
    }
}
