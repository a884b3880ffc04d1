//! Operators that keep places: elementwise ones with broadcasting, matrix products over channels, concatenation of
//! channels, and those that normalise or reduce, which keep places only while they leave rows and columns alone.

use super::value::{Axis, Factor, Origin, Place, Value};
use super::{Rule, Stop, Trace, fold, impossible};
use crate::model::onnx::proto::{NodeProto, data_type};

/// Elementwise operators of any number of inputs, broadcast against each other.
const BROADCAST: &str = "Add Sub Mul Div Pow Max Min Mean Sum And Or Xor Equal Less Greater LessOrEqual GreaterOrEqual \
    Where Mod BitShift BitwiseAnd BitwiseOr BitwiseXor PRelu BiasGelu";
/// Elementwise operators whose further inputs are settings.
const FIRST: &str = "Relu LeakyRelu Elu Selu Celu Sigmoid HardSigmoid HardSwish Tanh Softplus Softsign ThresholdedRelu \
    Gelu FastGelu QuickGelu Mish Swish Abs Neg Exp Log Sqrt Reciprocal Floor Ceil Round Sign Sin Cos Tan Asin \
    Acos Atan Sinh Cosh Asinh Acosh Atanh Erf Not BitwiseNot IsNaN IsInf Clip Cast CastLike Identity Dropout Shrink \
    QuantizeLinear DequantizeLinear BatchNormalization LRN";
/// Operators over one axis, or from one axis on.
const ALONG: &str = "Softmax LogSoftmax Hardmax LpNormalization CumSum LayerNormalization RMSNormalization";
/// Operators over all rows and columns whatever their settings.
const EVERYWHERE: &str =
    "InstanceNormalization GroupNormalization MeanVarianceNormalization DynamicQuantizeLinear Trilu";

fn listed(list: &str, op: &str) -> bool {
    list.split_ascii_whitespace().any(|name| name == op)
}

/// Operators that move constants or make more of them.
const MOVING: &str = "Concat ConstantOfShape Expand Tile Reshape Flatten Squeeze Unsqueeze Transpose Slice Split";

/// Whether constants of the picture's size come out of an operator without that size in their values, and where they
/// repeat they still do.
pub fn keeps_constants(op: &str) -> bool {
    let per_axis = matches!(op, "BatchNormalization" | "LRN" | "QuantizeLinear" | "DequantizeLinear");
    listed(BROADCAST, op) || listed(MOVING, op) || (listed(FIRST, op) && !per_axis)
}

/// The reason of an operator that looks at the whole picture.
pub fn everywhere(node: &NodeProto) -> String {
    format!("{} looks at the whole picture", node.label())
}

/// Elementwise and normalising operators; opaque for all that have no rule.
pub fn rule(node: &NodeProto, inputs: &[Option<&Value>], opset: i64) -> Rule<Vec<Value>> {
    let op = node.op();
    let data = inputs[0].ok_or(Stop::Opaque)?;
    if listed(BROADCAST, op) {
        let operands: Vec<&Value> = inputs.iter().copied().flatten().collect();
        let mut value = broadcast(node, &operands)?;
        value.element = match op {
            "And" | "Or" | "Xor" | "Equal" | "Less" | "Greater" | "LessOrEqual" | "GreaterOrEqual" => data_type::BOOL,
            "Where" => operands.get(1).map_or(0, |value| value.element),
            _ => data.element,
        };
        return Ok(vec![value]);
    }
    if listed(FIRST, op) {
        let mut value = data.reshaped(data.axes().to_vec());
        let second = |at: usize, none: i32| inputs.get(at).copied().flatten().map_or(none, |value| value.element);
        value.element = match op {
            "Cast" => node.int("to").unwrap_or(0) as i32,
            "CastLike" => second(1, 0),
            "QuantizeLinear" => second(2, data_type::UINT8),
            "DequantizeLinear" => second(1, data_type::FLOAT),
            "Not" | "IsNaN" | "IsInf" => data_type::BOOL,
            _ => data.element,
        };
        value.origin = inputs.iter().flatten().map(|value| value.origin).max().unwrap_or(data.origin);
        // A setting computed from the picture or its size acts on every pixel at once.
        if op != "CastLike" && inputs[1..].iter().flatten().any(|setting| setting.origin != Origin::Constant) {
            value = value.looking_everywhere(format!("{} is set from the whole picture or its size", node.label()));
        }
        let random =
            op == "Dropout" && inputs.get(2).copied().flatten().is_some_and(|mode| mode.integers() != Some(vec![0]));
        if random || node.int("training_mode") == Some(1) {
            return impossible("it is set to training; export the network for inference");
        }
        let per_axis = match op {
            "BatchNormalization" | "LRN" => true,
            "QuantizeLinear" | "DequantizeLinear" => {
                inputs.get(1).copied().flatten().is_some_and(|scale| scale.count() > 1.0)
            }
            _ => false,
        };
        let axis = fold::resolve(node.int("axis").unwrap_or(1), value.axes().len());
        if per_axis && axis.is_some_and(|axis| !value.axes()[axis].is_plain()) {
            value = value.looking_everywhere(format!("{} treats places of the picture differently", node.label()));
        }
        return Ok(vec![value; if op == "Dropout" { 2 } else { 1 }]);
    }
    let value = data.reshaped(data.axes().to_vec());
    if listed(ALONG, op) {
        let rank = value.axes().len();
        let first_only = op == "LpNormalization" || op == "CumSum" || (op.ends_with("max") && opset >= 13);
        let default = if first_only || op.ends_with("Normalization") { -1 } else { 1 };
        let axis = match op {
            "CumSum" => inputs.get(1).copied().flatten().and_then(|axis| axis.integers()?.first().copied()),
            _ => node.int("axis").or(Some(default)),
        };
        let axis = axis.and_then(|axis| fold::resolve(axis, rank)).ok_or(Stop::Opaque)?;
        let axes = &value.axes()[axis..if first_only { axis + 1 } else { rank }];
        let settings = inputs[1..].iter().flatten().all(|setting| setting.origin == Origin::Constant);
        let local = settings && axes.iter().all(Axis::is_plain);
        return Ok(vec![if local { value } else { value.looking_everywhere(everywhere(node)) }]);
    }
    if listed(EVERYWHERE, op) {
        let mut values = vec![value.looking_everywhere(everywhere(node))];
        if op == "DynamicQuantizeLinear" {
            let scalar = values[0].reshaped(Vec::new());
            values[0].element = data_type::UINT8;
            values.extend([scalar.clone(), Value { element: data_type::UINT8, ..scalar }]);
        }
        return Ok(values);
    }
    Err(Stop::Opaque)
}

/// One axis of two tensors that meet elementwise, and whether places got mixed.
fn meet(a: &Axis, b: &Axis) -> Rule<(Axis, bool)> {
    let (n, m) = (a.size(), b.size());
    if n != m {
        return match (n, m) {
            (1, _) => Ok((b.clone(), a.is_spatial())),
            (_, 1) => Ok((a.clone(), b.is_spatial())),
            _ => impossible(format!("sizes {n} and {m} do not go together")),
        };
    }
    if a == b || b.is_repeated() {
        return Ok((a.clone(), false));
    }
    if a.is_repeated() {
        return Ok((b.clone(), false));
    }
    let same_sizes = |a: &[Factor], b: &[Factor]| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.size == b.size);
    let merge = |a: &[Factor], b: &[Factor]| {
        let mut mixed = false;
        let factors = a.iter().zip(b).map(|(a, b)| match (&a.place, &b.place) {
            (Place::Rows(left), Place::Rows(right)) | (Place::Columns(left), Place::Columns(right)) => {
                let joined = left.join(right);
                mixed |= joined.is_none();
                joined.map_or_else(|| a.clone(), |map| a.moved(a.size, map))
            }
            (Place::Repeated, _) => b.clone(),
            (_, Place::Repeated) => a.clone(),
            (left, right) => {
                mixed |= left != right;
                if *left == Place::Plain { b.clone() } else { a.clone() }
            }
        });
        (Axis::of(factors.collect()), mixed)
    };
    if same_sizes(a.factors(), b.factors()) {
        return Ok(merge(a.factors(), b.factors()));
    }
    match (a.as_spatial(), b.as_spatial()) {
        (Some(left), Some(right)) => Ok(merge(&[left], &[right])),
        _ => Ok((if a.is_spatial() { a.varied() } else { b.varied() }, true)),
    }
}

/// What tensors become that meet elementwise, broadcast by the rules of ONNX (aligned at the last axis).
fn broadcast(node: &NodeProto, operands: &[&Value]) -> Rule<Value> {
    let rank = operands.iter().map(|value| value.axes().len()).max().unwrap_or(0);
    let mut axes = vec![Axis::default(); rank];
    let mut mixed = false;
    for value in operands {
        let skip = rank - value.axes().len();
        for (axis, other) in axes[skip..].iter_mut().zip(value.axes()) {
            let (met, lost) = meet(axis, other)?;
            // Two constants may meet any way they like: only a picture has places to lose.
            (*axis, mixed) = (met, mixed | lost);
        }
    }
    let origin = operands.iter().map(|value| value.origin).max().unwrap_or(Origin::Constant);
    let whole = operands.iter().find_map(|value| value.whole.clone());
    let value = Value { axes: Some(axes), element: operands[0].element, known: None, origin, whole };
    if mixed {
        return Ok(value.looking_everywhere(format!("{} treats places of the picture differently", node.label())));
    }
    if operands.iter().any(|value| value.origin == Origin::Size) {
        return Ok(value.looking_everywhere(format!("{} computes with the picture's size", node.label())));
    }
    Ok(value)
}

/// Concatenation: of channels it keeps places, of rows or columns it does not.
pub fn concat(node: &NodeProto, inputs: &[Option<&Value>]) -> Rule<Vec<Value>> {
    let operands: Vec<&Value> = inputs.iter().copied().flatten().collect();
    let rank = operands[0].axes().len();
    let axis = node.int("axis").and_then(|axis| fold::resolve(axis, rank)).ok_or(Stop::Opaque)?;
    if operands.iter().any(|value| value.axes().len() != rank) {
        return impossible("tensors of different ranks do not go together");
    }
    if operands.len() == 1 {
        return Ok(vec![operands[0].clone()]);
    }
    let without: Vec<Value> = operands
        .iter()
        .map(|value| {
            let mut axes = value.axes().to_vec();
            axes[axis] = Axis::default();
            value.reshaped(axes)
        })
        .collect();
    let sizes = || without[0].axes().iter().map(Axis::size);
    if without.iter().any(|value| !value.axes().iter().map(Axis::size).eq(sizes())) {
        return impossible("tensors of different sizes do not go together");
    }
    let mut value = broadcast(node, &without.iter().collect::<Vec<_>>())?;
    let total = operands.iter().fold(0i64, |total, value| total.saturating_add(value.axes()[axis].size()));
    let mut axes = value.axes().to_vec();
    axes[axis] = Axis::plain(total);
    value.axes = Some(axes);
    let local = operands.iter().all(|value| value.axes()[axis].is_plain());
    Ok(vec![if local { value } else { value.looking_everywhere(everywhere(node)) }])
}

/// Reductions: the axes that are reduced go; the trace notices when rows or columns went with them.
pub fn reduce(node: &NodeProto, inputs: &[Option<&Value>], opset: i64) -> Rule<Vec<Value>> {
    let data = inputs[0].ok_or(Stop::Opaque)?;
    let rank = data.axes().len();
    let arg = node.op().starts_with("Arg");
    let listed = match inputs.get(1).copied().flatten() {
        Some(axes) => Some(axes.integers().ok_or(Stop::Opaque)?),
        None if arg => Some(vec![node.int("axis").unwrap_or(0)]),
        None => node.ints("axes").map(<[i64]>::to_vec),
    };
    let listed = listed.filter(|axes| !axes.is_empty());
    if listed.is_none() && node.int("noop_with_empty_axes") == Some(1) && opset >= 13 {
        return Ok(vec![data.clone()]);
    }
    let reduced: Vec<usize> = match listed {
        None => (0..rank).collect(),
        Some(axes) => axes.iter().map(|&axis| fold::resolve(axis, rank)).collect::<Option<_>>().ok_or(Stop::Opaque)?,
    };
    let keep = node.int("keepdims").unwrap_or(1) == 1;
    let axes = data.axes().iter().enumerate().filter_map(|(at, axis)| match reduced.contains(&at) {
        false => Some(axis.clone()),
        true => keep.then(Axis::default),
    });
    let mut value = data.reshaped(axes.collect());
    if arg {
        value.element = data_type::INT64;
    }
    let local = reduced.iter().all(|&axis| data.axes()[axis].is_plain());
    Ok(vec![if local { value } else { value.looking_everywhere(everywhere(node)) }])
}

/// Pooling over all rows and columns.
pub fn global(node: &NodeProto, data: &Value) -> Rule<Vec<Value>> {
    let axes = data.axes().iter().enumerate();
    let axes = axes.map(|(at, axis)| if at < 2 { axis.clone() } else { Axis::default() }).collect();
    Ok(vec![data.reshaped(axes).looking_everywhere(everywhere(node))])
}

impl Trace<'_> {
    /// Matrix products: local while the axis that is summed over lies nowhere in the picture.
    pub(super) fn product(&mut self, node: &NodeProto, inputs: &[Option<&Value>]) -> Rule<Vec<Value>> {
        let gemm = node.op() == "Gemm";
        let second = if node.op() == "QLinearMatMul" { 3 } else { 1 };
        let (a, b) = (inputs[0].ok_or(Stop::Opaque)?, inputs.get(second).copied().flatten().ok_or(Stop::Opaque)?);
        let (mut left, mut right) = (a.axes().to_vec(), b.axes().to_vec());
        if left.len() < 2 || right.len() < 2 {
            return Err(Stop::Opaque);
        }
        let (rank, other) = (left.len(), right.len());
        if gemm && node.int("transA") == Some(1) {
            left.swap(rank - 1, rank - 2);
        }
        if gemm && node.int("transB") == Some(1) {
            right.swap(other - 1, other - 2);
        }
        let (summed, summed_too) = (left.remove(rank - 1), right.remove(other - 2));
        if summed.size() != summed_too.size() {
            return impossible(format!("{} columns times {} rows", summed.size(), summed_too.size()));
        }
        let (rows, columns) = (left.remove(rank - 2), right.remove(other - 2));
        let stacked = broadcast(node, &[&a.reshaped(left), &b.reshaped(right)])?;
        let mut axes = stacked.axes().to_vec();
        axes.extend([rows, columns]);
        let mut value = stacked.reshaped(axes);
        if node.op() == "MatMulInteger" {
            value.element = data_type::INT32;
        }
        if !summed.is_plain() || !summed_too.is_plain() {
            value = value.looking_everywhere(everywhere(node));
        }
        if let Some(added) = inputs.get(2).copied().flatten().filter(|_| gemm) {
            value = broadcast(node, &[&value, added])?;
        }
        let settings = inputs.iter().enumerate().filter(|(at, _)| *at != 0 && *at != second && !gemm);
        if settings.filter_map(|(_, value)| *value).any(|setting| setting.origin != Origin::Constant) {
            value = value.looking_everywhere(format!("{} is set from the picture", node.label()));
        }
        if value.origin == Origin::Picture {
            self.multiply_adds += value.count() * summed.size() as f64;
        }
        Ok(vec![value])
    }
}
