//! The arithmetic of shapes: operators on small constants, done on the numbers themselves.
//!
//! A graph of free size computes the sizes of its reshapes and resizes from the picture's; the trace runs at a concrete
//! size, so plain arithmetic is enough. Each number remembers whether the picture's size is in it, and by what it was
//! divided: such a division tells what the size must be a multiple of. What is not handled is simply not known.

use std::rc::Rc;

use super::value::{Number, Value};
use crate::model::onnx::proto::{NodeProto, data_type};

/// More numbers than this are not followed.
pub const MAX_NUMBERS: i64 = 4096;

/// The values of `output` (its shape is known), if `node` can be done on the numbers of its inputs. Divisors of the
/// picture's size that the result relies on are pushed to `needs`.
pub fn fold(
    node: &NodeProto,
    inputs: &[Option<&Value>],
    output: &Value,
    output_index: usize,
    needs: &mut Vec<i64>,
) -> Option<Rc<[Number]>> {
    let sizes: Vec<i64> = output.axes.as_ref()?.iter().map(|axis| axis.size()).collect();
    let count = sizes.iter().try_fold(1i64, |count, &size| count.checked_mul(size))?;
    if !(0..=MAX_NUMBERS).contains(&count) {
        return None;
    }
    let known = |at: usize| inputs.get(at).copied().flatten().and_then(|value| value.known.as_ref());
    let fixed = |value: f64| Number { value, divisor: 0 };
    let integer = is_integer(output.element);
    let unary = |f: &dyn Fn(f64) -> f64| -> Option<Vec<Number>> {
        Some(known(0)?.iter().map(|n| Number { value: f(n.value), ..*n }).collect())
    };
    let numbers: Vec<Number> = match node.op() {
        "Identity" | "Reshape" | "Squeeze" | "Unsqueeze" | "Flatten" | "Dropout" => known(0)?.to_vec(),
        "Cast" | "CastLike" if integer => unary(&f64::trunc)?,
        "Cast" | "CastLike" => known(0)?.to_vec(),
        "Neg" => unary(&|a| -a)?,
        "Abs" => unary(&f64::abs)?,
        "Floor" => unary(&f64::floor)?,
        "Ceil" => unary(&f64::ceil)?,
        "Round" => unary(&f64::round_ties_even)?,
        "Not" => unary(&|a| f64::from(a == 0.0))?,
        "Concat" => concat(inputs, node.int("axis")?, &sizes)?,
        "Gather" => gather(inputs, node.int("axis").unwrap_or(0))?,
        "Slice" => pick(inputs[0]?, &sizes, &slice_places(node, inputs)?)?,
        "Split" => split(node, inputs[0]?, &sizes, output_index, inputs)?,
        "Transpose" => transpose(inputs[0]?, node, &sizes)?,
        "Expand" => broadcast(inputs[0]?, &sizes)?,
        "ConstantOfShape" => {
            let value = node.tensor("value").and_then(|tensor| tensor.numbers()?.first().copied()).unwrap_or(0.0);
            vec![fixed(value); count as usize]
        }
        "Range" => {
            let (start, step) = (known(0)?.first()?, known(2)?.first()?);
            let divisor = known(1)?.first()?.divisor;
            (0..count).map(|i| Number { value: start.value + i as f64 * step.value, divisor }).collect()
        }
        "ReduceProd" | "ReduceSum" | "ReduceMax" | "ReduceMin" if count == 1 => {
            let numbers = known(0)?;
            let f: fn(f64, f64) -> f64 = match node.op() {
                "ReduceProd" => |a, b| a * b,
                "ReduceSum" => |a, b| a + b,
                "ReduceMax" => f64::max,
                _ => f64::min,
            };
            let value = numbers.iter().map(|number| number.value).reduce(f)?;
            vec![Number { value, divisor: numbers.iter().map(|number| number.divisor).max()? }]
        }
        "Where" => {
            let [condition, yes, no] = [0, 1, 2].map(|at| inputs.get(at).copied().flatten());
            let (condition, yes, no) =
                (broadcast(condition?, &sizes)?, broadcast(yes?, &sizes)?, broadcast(no?, &sizes)?);
            let chosen = yes.iter().zip(&no);
            condition.iter().zip(chosen).map(|(c, (yes, no))| if c.value != 0.0 { *yes } else { *no }).collect()
        }
        op => {
            let f: fn(f64, f64) -> f64 = match op {
                "Add" => |a, b| a + b,
                "Sub" => |a, b| a - b,
                "Mul" => |a, b| a * b,
                "Div" if integer => |a, b| if b == 0.0 { 0.0 } else { (a / b).trunc() },
                "Div" => |a, b| a / b,
                "Mod" => |a, b| if b == 0.0 { 0.0 } else { a - b * (a / b).floor() },
                "Min" => f64::min,
                "Max" => f64::max,
                "Pow" => f64::powf,
                "Equal" => |a, b| f64::from(a == b),
                "Less" => |a, b| f64::from(a < b),
                "Greater" => |a, b| f64::from(a > b),
                "And" => |a, b| f64::from(a != 0.0 && b != 0.0),
                "Or" => |a, b| f64::from(a != 0.0 || b != 0.0),
                _ => return None,
            };
            let (a, b) = (broadcast(inputs.first().copied()??, &sizes)?, broadcast(inputs.get(1).copied()??, &sizes)?);
            if inputs.len() > 2 {
                return None;
            }
            a.iter().zip(&b).map(|(a, b)| combine(op, f, *a, *b, needs)).collect()
        }
    };
    (numbers.len() as i64 == count).then(|| numbers.into())
}

/// Applies `f`; a division of the picture's size (also as a product with a fraction) is written down.
fn combine(op: &str, f: fn(f64, f64) -> f64, a: Number, b: Number, needs: &mut Vec<i64>) -> Number {
    let mut divisor = a.divisor.max(b.divisor);
    let by = match op {
        "Div" | "Mod" => b.value.abs(),
        "Mul" if a.divisor > 0 => 1.0 / b.value.abs(),
        "Mul" => 1.0 / a.value.abs(),
        _ => 1.0,
    };
    let whole = by.round();
    if divisor > 0
        && (a.divisor == 0 || b.divisor == 0)
        && (2.0..=65_536.0).contains(&whole)
        && (by - whole).abs() < 1e-4
    {
        let needed = divisor.saturating_mul(whole as i64);
        needs.push(needed);
        if op != "Mod" {
            divisor = needed;
        }
    }
    Number { value: f(a.value, b.value), divisor }
}

/// Whether elements of this type are integers.
pub fn is_integer(element: i32) -> bool {
    use data_type::*;
    matches!(element, UINT8 | INT8 | UINT16 | INT16 | INT32 | INT64 | UINT32 | UINT64 | BOOL)
}

/// The element at each place of `sizes`, where `places[axis]` maps output to input positions.
fn pick(input: &Value, sizes: &[i64], places: &[Vec<i64>]) -> Option<Vec<Number>> {
    let (known, from) = (input.known.as_ref()?, input.sizes());
    let count: i64 = sizes.iter().product();
    (0..count)
        .map(|index| {
            let (mut rest, mut stride, mut at) = (index, 1, 0);
            for axis in (0..sizes.len()).rev() {
                at += stride * places.get(axis)?.get((rest % sizes[axis]) as usize)?;
                rest /= sizes[axis];
                stride *= from.get(axis)?;
            }
            known.get(usize::try_from(at).ok()?).copied()
        })
        .collect()
}

fn broadcast(input: &Value, sizes: &[i64]) -> Option<Vec<Number>> {
    let known = input.known.as_ref()?;
    if known.len() == 1 {
        return Some(vec![known[0]; sizes.iter().product::<i64>() as usize]);
    }
    (input.sizes() == sizes).then(|| known.to_vec())
}

fn concat(inputs: &[Option<&Value>], axis: i64, sizes: &[i64]) -> Option<Vec<Number>> {
    let axis = resolve(axis, sizes.len())?;
    let inner: i64 = sizes[axis + 1..].iter().product();
    let outer: i64 = sizes[..axis].iter().product();
    let mut all = Vec::new();
    for row in 0..outer {
        for input in inputs.iter().flatten() {
            let length = (inner * input.sizes().get(axis)?) as usize;
            let start = row as usize * length;
            all.extend_from_slice(input.known.as_ref()?.get(start..start + length)?);
        }
    }
    Some(all)
}

fn gather(inputs: &[Option<&Value>], axis: i64) -> Option<Vec<Number>> {
    let (data, indices) = (inputs.first().copied()??, inputs.get(1).copied()??);
    if data.sizes().len() != 1 || resolve(axis, 1)? != 0 {
        return None;
    }
    let known = data.known.as_ref()?;
    indices.integers()?.iter().map(|&index| known.get(resolve(index, known.len())?).copied()).collect()
}

fn transpose(input: &Value, node: &NodeProto, sizes: &[i64]) -> Option<Vec<Number>> {
    let rank = sizes.len();
    let reversed: Vec<i64> = (0..rank as i64).rev().collect();
    let order = node.ints("perm").unwrap_or(&reversed);
    let (known, from) = (input.known.as_ref()?, input.sizes());
    let strides: Vec<i64> = (0..rank).map(|axis| from[axis + 1..].iter().product()).collect();
    (0..sizes.iter().product::<i64>())
        .map(|index| {
            let (mut rest, mut at) = (index, 0);
            for axis in (0..rank).rev() {
                at += rest % sizes[axis] * strides.get(usize::try_from(*order.get(axis)?).ok()?)?;
                rest /= sizes[axis];
            }
            known.get(at as usize).copied()
        })
        .collect()
}

fn split(
    node: &NodeProto,
    input: &Value,
    sizes: &[i64],
    output_index: usize,
    inputs: &[Option<&Value>],
) -> Option<Vec<Number>> {
    if input.sizes().len() != 1 {
        return None;
    }
    let parts = inputs.get(1).copied().flatten().and_then(Value::integers).or(node.ints("split").map(<[i64]>::to_vec));
    let size = *sizes.first()?;
    let start = match parts {
        Some(parts) => parts.get(..output_index)?.iter().sum(),
        None => size * output_index as i64,
    };
    Some(input.known.as_ref()?.get(start as usize..(start + size) as usize)?.to_vec())
}

/// An axis or index counted from the end when negative.
pub fn resolve(axis: i64, rank: usize) -> Option<usize> {
    let axis = if axis < 0 { axis + rank as i64 } else { axis };
    usize::try_from(axis).ok().filter(|&axis| axis < rank)
}

/// A Slice along one axis: first element, step and number of elements.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cut {
    /// The first element taken.
    pub start: i64,
    /// From one to the next.
    pub step: i64,
    /// How many.
    pub size: i64,
}

/// What a Slice takes of each axis of its input, `None` when its settings are not known.
pub fn cuts(node: &NodeProto, inputs: &[Option<&Value>]) -> Option<Vec<Cut>> {
    let sizes = inputs.first().copied()??.sizes();
    let setting = |at: usize, name: &str| match inputs.get(at).copied().flatten() {
        Some(value) => value.integers().map(Some),
        None => Some(node.ints(name).map(<[i64]>::to_vec)),
    };
    let (starts, ends) = (setting(1, "starts")??, setting(2, "ends")??);
    let axes = setting(3, "axes")?.unwrap_or_else(|| (0..starts.len() as i64).collect());
    let steps = setting(4, "steps")?.unwrap_or_else(|| vec![1; starts.len()]);
    let mut cuts: Vec<Cut> = sizes.iter().map(|&size| Cut { start: 0, step: 1, size }).collect();
    for (at, &axis) in axes.iter().enumerate() {
        let axis = resolve(axis, sizes.len())?;
        let (size, step) = (sizes[axis], *steps.get(at)?);
        if step == 0 || step == i64::MIN {
            return None;
        }
        let place = |value: i64| if value < 0 { value.saturating_add(size) } else { value };
        let (low, high) = if step > 0 { (0, size) } else { (-1, size - 1) };
        let start = place(*starts.get(at)?).clamp(low.max(0), high.max(0));
        let end = place(*ends.get(at)?).clamp(low, high);
        let span = if step > 0 { end.saturating_sub(start) } else { start.saturating_sub(end) };
        cuts[axis] = Cut { start, step, size: span.max(0).saturating_add(step.abs() - 1) / step.abs() };
    }
    Some(cuts)
}

fn slice_places(node: &NodeProto, inputs: &[Option<&Value>]) -> Option<Vec<Vec<i64>>> {
    let cuts = cuts(node, inputs)?;
    let cuts = cuts.iter().filter(|cut| cut.size <= MAX_NUMBERS);
    Some(cuts.map(|cut| (0..cut.size).map(|i| cut.start + i * cut.step).collect()).collect())
}
