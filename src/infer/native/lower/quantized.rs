//! QuantizeLinear and DequantizeLinear, by their definition: whole numbers are kept as f32, which holds those of 8 and 16
//! bits exactly, so a quantised network is computed on the very values that it names. What of it can be computed in whole
//! numbers, `quads` finds afterwards.

use std::sync::Arc;

use super::constant::{Constant, InSteps};
use super::{Lowering, Refused, Value};
use crate::infer::native::program::{Arithmetic, Channel, Function, Op};
use crate::model::onnx::proto::{NodeProto, data_type};

impl Lowering {
    /// From numbers to whole numbers of steps.
    pub(super) fn quantized(&mut self, node: &NodeProto, rows: Vec<Channel>) -> Refused<Value> {
        let (scale, zero) = self.steps(node)?;
        let [scale] = *scale.floats() else { return Err("it has a scale for each channel of rows".to_owned()) };
        let (low, high) = match zero {
            Some(zero) => zero.range.ok_or("it gives numbers that are not of 8 or 16 bits")?,
            None if node.int("output_dtype").unwrap_or(0) == 0 => (0.0, 255.0),
            None => return Err("its type stands in output_dtype".to_owned()),
        };
        let zero = zero.and_then(|zero| zero.floats().first().copied()).unwrap_or(0.0);
        self.same(Op::Function(Function::Quantize { scale, zero, low, high }), rows)
    }

    /// Back from steps, with one scale or one a channel.
    pub(super) fn dequantized(&mut self, node: &NodeProto, rows: Vec<Channel>) -> Refused<Value> {
        let (scale, zero) = self.steps(node)?;
        let per_channel = |constant: &Constant| match constant.numbers.len() {
            1 => Some(vec![constant.floats()[0]; rows.len()]),
            n => (n == rows.len() && matches!(node.int("axis"), None | Some(1 | -3))).then(|| constant.floats()),
        };
        let scales = per_channel(scale).ok_or("its scales are not one a channel")?;
        let zeros = match zero {
            Some(zero) => per_channel(zero).ok_or("its zero points are not one a channel")?,
            None => vec![0.0; rows.len()],
        };
        let mut value = Value::Rows(rows);
        for (operation, numbers, nothing) in [(Arithmetic::Sub, zeros, 0.0), (Arithmetic::Mul, scales, 1.0)] {
            if let Value::Rows(rows) = &value
                && numbers.iter().any(|number| *number != nothing)
            {
                value = self.same(Op::Constant(operation, numbers, false), rows.clone())?;
            }
        }
        Ok(value)
    }

    /// Constants, mostly weights with a scale for each output.
    pub(super) fn dequantized_constant(&self, node: &NodeProto) -> Refused<Option<Constant>> {
        let Some(input) = self.constant(node, 0)? else { return Ok(None) };
        let (scale, zero) = self.steps(node)?;
        let rank = input.dims.len() as i64;
        let axis = node.int("axis").unwrap_or(1);
        let axis = usize::try_from(if axis < 0 { axis + rank } else { axis }).unwrap_or(usize::MAX);
        let n = scale.numbers.len();
        let fits = n == 1 || (input.dims.get(axis) == Some(&n) && node.int("block_size").unwrap_or(0) == 0);
        if !fits || zero.is_some_and(|zero| zero.numbers.len() != n) {
            return Err(format!("{n} scales for a constant of shape {:?}", input.dims));
        }
        let inner: usize = if n == 1 { 1 } else { input.dims[axis + 1..].iter().product() };
        let scales = scale.floats();
        let part = |at: usize| at / inner.max(1) % n;
        let without_zero = |(at, number): (usize, &f64)| number - zero.map_or(0.0, |zero| zero.numbers[part(at)]);
        let whole: Vec<f64> = input.numbers.iter().enumerate().map(without_zero).collect();
        let numbers = whole.iter().enumerate().map(|(at, &steps)| f64::from(steps as f32 * scales[part(at)]));
        let numbers = numbers.collect();
        let in_steps =
            || InSteps { numbers: whole.iter().map(|&steps| steps as i32).collect(), scales: scales.clone() };
        let steps = (n == 1 || axis == 0).then(|| Arc::new(in_steps()));
        Ok(Some(Constant { dims: input.dims.clone(), numbers, range: None, steps }))
    }

    /// The scale and the zero point of a node.
    fn steps(&self, node: &NodeProto) -> Refused<(&Constant, Option<&Constant>)> {
        let scale = self.constant(node, 1)?.ok_or("it has no scale")?;
        let zero = self.constant(node, 2)?.filter(|zero| !zero.numbers.is_empty());
        match scale.numbers.is_empty() {
            true => Err("it has no scale".to_owned()),
            false => Ok((scale, zero)),
        }
    }
}

/// The least and the largest number of an element type of 8 or 16 bits.
pub(super) fn range(kind: i32) -> Option<(f32, f32)> {
    Some(match kind {
        data_type::UINT8 => (0.0, 255.0),
        data_type::INT8 => (-128.0, 127.0),
        data_type::UINT16 => (0.0, 65535.0),
        data_type::INT16 => (-32768.0, 32767.0),
        _ => return None,
    })
}
