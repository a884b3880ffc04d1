//! Operators that move elements between axes without computing: reshapes, transposes, slices, repeats, and those that
//! make tensors from sizes.
//!
//! A pixel shuffle written as reshape, transpose, reshape and windows of attention are followed exactly: rows split
//! into an outer factor that still lies along the picture and an inner one that does not, and may join again.

use super::map::Step;
use super::pointwise::everywhere;
use super::value::{Axis, Factor, Number, Origin, Place, Value};
use super::{Rule, Stop, Trace, constant, fold, impossible};
use crate::model::onnx::proto::{NodeProto, data_type};

/// A window of more rows than this is not followed.
const MAX_WINDOW: i64 = 4096;

/// A Constant node.
pub fn constant_node(node: &NodeProto) -> Rule<Vec<Value>> {
    if let Some(tensor) = node.tensor("value") {
        return Ok(vec![constant(tensor)]);
    }
    let number = |value: f64| Number { value, divisor: 0 };
    let (numbers, element, list): (Vec<Number>, _, _) = if let Some(value) = node.float("value_float") {
        (vec![number(f64::from(value))], data_type::FLOAT, false)
    } else if let Some(value) = node.int("value_int") {
        (vec![number(value as f64)], data_type::INT64, false)
    } else if let Some(values) = node.floats("value_floats") {
        (values.iter().map(|&value| number(f64::from(value))).collect(), data_type::FLOAT, true)
    } else if let Some(values) = node.ints("value_ints") {
        (values.iter().map(|&value| number(value as f64)).collect(), data_type::INT64, true)
    } else {
        return impossible("it holds no number");
    };
    let axes = if list { vec![Axis::plain(numbers.len() as i64)] } else { Vec::new() };
    Ok(vec![Value { known: Some(numbers.into()), ..Value::constant(axes, element) }])
}

/// ConstantOfShape and Range: tensors made from sizes.
pub fn generated(node: &NodeProto, inputs: &[Option<&Value>]) -> Rule<Vec<Value>> {
    let origin = inputs.iter().flatten().map(|value| value.origin).max().unwrap_or(Origin::Constant);
    let number = |at: usize| Some(inputs.get(at).copied()??.known.as_ref()?.first()?.value);
    let is_range = node.op() == "Range";
    let (sizes, element) = if is_range {
        let (Some(start), Some(limit), Some(step)) = (number(0), number(1), number(2)) else {
            return Err(Stop::Opaque);
        };
        let count = ((limit - start) / step).ceil();
        (vec![count.max(0.0) as i64], inputs[0].map_or(0, |start| start.element))
    } else {
        let sizes = inputs[0].and_then(Value::integers).ok_or(Stop::Opaque)?;
        let element = node.tensor("value").and_then(|tensor| tensor.data_type).unwrap_or(data_type::FLOAT);
        (sizes, element)
    };
    if sizes.len() > 8 || sizes.iter().any(|&size| size < 0) {
        return impossible(format!("a shape of {sizes:?} is asked for"));
    }
    let origin = if is_range { origin } else { sized(origin) };
    let axis = if is_range { Axis::plain } else { Axis::repeated };
    Ok(vec![Value { origin, ..Value::constant(sizes.into_iter().map(axis).collect(), element) }])
}

/// Where constants come from whose shape comes from there.
fn sized(shape: Origin) -> Origin {
    if shape == Origin::Size { Origin::Extent } else { shape }
}

/// Shape and Size: numbers that remember that the picture's size is in them, unless that is fixed.
pub fn shape_of(node: &NodeProto, data: &Value, free: bool) -> Value {
    let number = |axis: &Axis| {
        let divisors = axis.factors().iter().filter_map(Factor::map).map(|map| map.multiple_for(1));
        let least = i64::from(data.origin == Origin::Extent && axis.size() > 1);
        let divisor = if free { divisors.max().unwrap_or(least) } else { 0 };
        Number { value: axis.size() as f64, divisor }
    };
    let all: Vec<Number> = data.axes().iter().map(number).collect();
    let rank = all.len() as i64;
    let place = |value: i64| (if value < 0 { value + rank } else { value }).clamp(0, rank) as usize;
    let (numbers, axes) = if node.op() == "Size" {
        let value = all.iter().map(|number| number.value).product();
        let divisor = all.iter().map(|number| number.divisor).max().unwrap_or(0);
        (vec![Number { value, divisor }], Vec::new())
    } else {
        let (start, end) = (place(node.int("start").unwrap_or(0)), place(node.int("end").unwrap_or(rank)));
        let numbers = all[start..end.max(start)].to_vec();
        let axes = vec![Axis::plain(numbers.len() as i64)];
        (numbers, axes)
    };
    Value { known: Some(numbers.into()), ..Value::constant(axes, data_type::INT64) }
}

/// The integers of an input, or of an attribute where older opsets had one.
fn setting(node: &NodeProto, inputs: &[Option<&Value>], at: usize, name: &str) -> Rule<Option<Vec<i64>>> {
    match inputs.get(at).copied().flatten() {
        Some(value) => value.integers().map(Some).ok_or(Stop::Opaque),
        None => Ok(node.ints(name).map(<[i64]>::to_vec)),
    }
}

/// Squeeze and Unsqueeze.
pub fn squeeze(node: &NodeProto, inputs: &[Option<&Value>]) -> Rule<Vec<Value>> {
    let data = inputs[0].ok_or(Stop::Opaque)?;
    let (listed, rank) = (setting(node, inputs, 1, "axes")?, data.axes().len());
    if node.op() == "Unsqueeze" {
        let listed = listed.ok_or(Stop::Opaque)?;
        let total = rank + listed.len();
        let places: Option<Vec<usize>> = listed.iter().map(|&axis| fold::resolve(axis, total)).collect();
        let mut places = places.ok_or(Stop::Opaque)?;
        places.sort_unstable();
        places.dedup();
        if places.len() != listed.len() {
            return impossible("an axis is listed twice");
        }
        let mut axes = data.axes().to_vec();
        places.into_iter().for_each(|place| axes.insert(place, Axis::default()));
        return Ok(vec![data.reshaped(axes)]);
    }
    let places: Vec<usize> = match listed {
        Some(listed) => {
            listed.iter().map(|&axis| fold::resolve(axis, rank)).collect::<Option<_>>().ok_or(Stop::Opaque)?
        }
        None => (0..rank).filter(|&at| data.axes()[at].size() == 1).collect(),
    };
    if places.iter().any(|&at| data.axes()[at].size() != 1) {
        return impossible("it drops an axis that is not of size one");
    }
    let axes = data.axes().iter().enumerate().filter(|(at, _)| !places.contains(at)).map(|(_, axis)| axis.clone());
    Ok(vec![data.reshaped(axes.collect())])
}

/// Transpose.
pub fn transpose(node: &NodeProto, data: &Value) -> Rule<Vec<Value>> {
    let rank = data.axes().len();
    let reversed: Vec<i64> = (0..rank as i64).rev().collect();
    let order = node.ints("perm").unwrap_or(&reversed);
    let mut sorted = order.to_vec();
    sorted.sort_unstable();
    if !sorted.into_iter().eq(0..rank as i64) {
        return impossible(format!("perm {order:?} does not order {rank} axes"));
    }
    Ok(vec![data.reshaped(order.iter().map(|&at| data.axes()[at as usize].clone()).collect())])
}

/// Split.
pub fn split(node: &NodeProto, inputs: &[Option<&Value>]) -> Rule<Vec<Value>> {
    let data = inputs[0].ok_or(Stop::Opaque)?;
    let axis = fold::resolve(node.int("axis").unwrap_or(0), data.axes().len()).ok_or(Stop::Opaque)?;
    let (whole, parts) = (&data.axes()[axis], node.output.len() as i64);
    let size = whole.size();
    let sizes = setting(node, inputs, 1, "split")?.unwrap_or_else(|| {
        let each = (size + parts - 1) / parts;
        (0..parts).map(|part| (size - part * each).clamp(0, each)).collect()
    });
    let total = sizes.iter().try_fold(0i64, |total, &size| total.checked_add(size));
    if sizes.len() as i64 != parts || total != Some(size) || sizes.iter().any(|&size| size < 0) {
        return impossible(format!("{size} elements do not split into {sizes:?}"));
    }
    let part = |size: i64| {
        let mut axes = data.axes().to_vec();
        axes[axis] = if parts == 1 { whole.clone() } else { Axis::plain(size) };
        let value = data.reshaped(axes);
        if whole.is_plain() { value } else { value.looking_everywhere(everywhere(node)) }
    };
    Ok(sizes.into_iter().map(part).collect())
}

/// Gather: a choice of channels, or a table looked up with each pixel.
pub fn gather(node: &NodeProto, inputs: &[Option<&Value>]) -> Rule<Vec<Value>> {
    let (data, indices) = (inputs[0].ok_or(Stop::Opaque)?, inputs.get(1).copied().flatten().ok_or(Stop::Opaque)?);
    let axis = fold::resolve(node.int("axis").unwrap_or(0), data.axes().len()).ok_or(Stop::Opaque)?;
    let mut axes = data.axes().to_vec();
    let chosen = axes[axis].clone();
    axes.splice(axis..=axis, indices.axes().iter().cloned());
    let mut value = data.reshaped(axes);
    value.origin = data.origin.max(indices.origin);
    let local = chosen.is_plain() && (data.origin == Origin::Constant || indices.origin == Origin::Constant);
    Ok(vec![if local { value } else { value.looking_everywhere(everywhere(node)) }])
}

/// Expand and Tile: axes of size one grow, others are repeated as blocks.
pub fn spread(node: &NodeProto, inputs: &[Option<&Value>]) -> Rule<Vec<Value>> {
    let data = inputs[0].ok_or(Stop::Opaque)?;
    let shape = inputs.get(1).copied().flatten().ok_or(Stop::Opaque)?;
    let wanted = shape.integers().ok_or(Stop::Opaque)?;
    let tile = node.op() == "Tile";
    let mut axes = data.axes().to_vec();
    if wanted.len() > axes.len() {
        axes.splice(0..0, vec![Axis::default(); wanted.len() - axes.len()]);
    }
    let skip = axes.len() - wanted.len();
    if (tile && skip > 0) || axes.len() > 8 || wanted.iter().any(|&wanted| wanted < 0) {
        return impossible(format!("it asks for {wanted:?}"));
    }
    for (axis, &wanted) in axes[skip..].iter_mut().zip(&wanted) {
        let repeats = match (tile, axis.size()) {
            (true, _) => wanted,
            (false, 1) => wanted,
            (false, size) if wanted == 1 || wanted == size => 1,
            (false, size) => return impossible(format!("{size} does not expand to {wanted}")),
        };
        if repeats != 1 {
            let repeated = Factor { size: repeats, place: Place::Repeated };
            *axis = Axis::of([repeated].into_iter().chain(axis.factors().iter().cloned()).collect());
        }
    }
    Ok(vec![Value { origin: data.origin.max(sized(shape.origin)), ..data.reshaped(axes) }])
}

impl Trace<'_> {
    /// Slice: a step along rows or columns, any choice of channels.
    pub(super) fn slice(&mut self, node: &NodeProto, inputs: &[Option<&Value>]) -> Rule<Vec<Value>> {
        let data = inputs[0].ok_or(Stop::Opaque)?;
        let cuts = fold::cuts(node, inputs).ok_or(Stop::Opaque)?;
        let (mut axes, mut local) = (data.axes().to_vec(), true);
        for (axis, cut) in axes.iter_mut().zip(cuts) {
            if cut == (fold::Cut { start: 0, step: 1, size: axis.size() }) {
                continue;
            }
            let factor = axis.as_spatial().filter(|_| (1..=MAX_WINDOW).contains(&cut.step));
            let stepped = match factor {
                Some(factor) => self.step(node, &factor, &Step::window(cut.step, vec![cut.start]), cut.size)?,
                None => axis.is_plain().then(|| Axis::plain(cut.size)),
            };
            local &= stepped.is_some();
            *axis = stepped.unwrap_or_else(|| Axis::plain(cut.size));
        }
        let value = data.reshaped(axes);
        Ok(vec![if local { value } else { value.looking_everywhere(everywhere(node)) }])
    }

    /// Reshape and Flatten: factors are grouped anew in their order, split where they must be.
    pub(super) fn reshape(&mut self, node: &NodeProto, inputs: &[Option<&Value>]) -> Rule<Vec<Value>> {
        let data = inputs[0].ok_or(Stop::Opaque)?;
        let sizes = data.sizes();
        let product = |sizes: &[i64]| sizes.iter().try_fold(1i64, |all, &size| all.checked_mul(size));
        let Some(total) = product(&sizes) else { return impossible("the tensor is too large") };
        let wanted = if node.op() == "Flatten" {
            let axis = node.int("axis").unwrap_or(1);
            let axis = if axis < 0 { axis + sizes.len() as i64 } else { axis };
            let axis = usize::try_from(axis).ok().filter(|&axis| axis <= sizes.len()).ok_or(Stop::Opaque)?;
            vec![product(&sizes[..axis]).unwrap_or(0), product(&sizes[axis..]).unwrap_or(0)]
        } else {
            let mut wanted = setting(node, inputs, 1, "shape")?.ok_or(Stop::Opaque)?;
            if node.int("allowzero") != Some(1) {
                for (at, size) in wanted.iter_mut().enumerate().filter(|(_, size)| **size == 0) {
                    *size = sizes.get(at).copied().unwrap_or(0);
                }
            }
            let rest = product(&wanted.iter().copied().filter(|&size| size != -1).collect::<Vec<_>>()).unwrap_or(0);
            for size in wanted.iter_mut().filter(|size| **size == -1) {
                *size = if rest > 0 { total / rest } else { 0 };
            }
            wanted
        };
        if wanted.len() > 8 || wanted.iter().any(|&size| size < 0) || product(&wanted) != Some(total) {
            return impossible(format!("{sizes:?} cannot be reshaped to {wanted:?}"));
        }
        let factors = data.axes().iter().flat_map(|axis| axis.factors().iter().cloned()).collect();
        Ok(vec![match self.regroup(node, Axis::of(factors), &wanted)? {
            Some(axes) => data.reshaped(axes),
            None => data.reshaped(wanted.into_iter().map(Axis::plain).collect()).looking_everywhere(everywhere(node)),
        }])
    }

    fn regroup(&mut self, node: &NodeProto, all: Axis, wanted: &[i64]) -> Rule<Option<Vec<Axis>>> {
        let mut rest: Vec<Factor> = all.factors().iter().rev().cloned().collect();
        let mut axes = Vec::new();
        for &size in wanted {
            let (mut missing, mut factors) = (size, Vec::new());
            while missing > 1 {
                let Some(factor) = rest.pop() else { return Ok(None) };
                if factor.size <= 0 {
                    return Ok(None);
                }
                if missing % factor.size == 0 {
                    missing /= factor.size;
                    factors.push(factor);
                    continue;
                }
                let inner = factor.size / missing;
                if factor.size % missing != 0 || factor.place == Place::Batch {
                    return Ok(None);
                }
                if factor.map().is_none() {
                    factors.push(Factor { size: missing, place: Place::Plain });
                } else {
                    if inner > MAX_WINDOW {
                        return Ok(None);
                    }
                    let step = Step::window(inner, (0..inner).collect());
                    let Some(outer) = self.step(node, &factor, &step, missing)? else { return Ok(None) };
                    factors.extend_from_slice(outer.factors());
                }
                rest.push(Factor { size: inner, place: Place::Plain });
                missing = 1;
            }
            axes.push(Axis::of(factors));
        }
        Ok(rest.iter().all(|factor| factor.size == 1).then_some(axes))
    }
}
