//! Tensors that do not depend on the picture, as numbers.

use std::sync::Arc;

use super::Refused;
use crate::model::onnx::proto::{NodeProto, TensorProto};

/// A tensor of numbers. Those of weights are exact; 64-bit integers and doubles go through f64.
#[derive(Clone, Debug, PartialEq)]
pub struct Constant {
    /// Its shape.
    pub dims: Vec<usize>,
    /// Its elements.
    pub numbers: Vec<f64>,
    /// What its elements may be, where their type is a whole number of 8 or 16 bits.
    pub range: Option<(f32, f32)>,
    /// What it was in steps, where it is multiples of them.
    pub steps: Option<Arc<InSteps>>,
}

/// A tensor of whole numbers of steps.
#[derive(Clone, Debug, PartialEq)]
pub struct InSteps {
    /// How many, without the number that stands for zero.
    pub numbers: Vec<i32>,
    /// A step for each element of the first axis, or one for all.
    pub scales: Vec<f32>,
}

impl Constant {
    /// The contents of a tensor; `None` for types that are not read.
    pub fn read(tensor: &TensorProto) -> Option<Constant> {
        let numbers = tensor.numbers()?;
        let dims: Vec<usize> = tensor.dims.iter().map(|&dim| dim as usize).collect();
        let range = super::quantized::range(tensor.data_type.unwrap_or(0));
        (numbers.len() == dims.iter().product::<usize>()).then_some(Constant { dims, numbers, range, steps: None })
    }

    /// What a node `Constant` holds.
    pub fn of_node(node: &NodeProto) -> Refused<Constant> {
        let tensor = node.tensor("value").and_then(Constant::read);
        let lists = || {
            let one = |number: f64| Constant { dims: Vec::new(), numbers: vec![number], range: None, steps: None };
            node.float("value_float")
                .map(|number| one(f64::from(number)))
                .or(node.int("value_int").map(|number| one(number as f64)))
                .or(node
                    .floats("value_floats")
                    .map(|list| Constant::list(list.iter().map(|&number| f64::from(number)))))
                .or(node.ints("value_ints").map(|list| Constant::list(list.iter().map(|&number| number as f64))))
        };
        tensor.or_else(lists).ok_or_else(|| "a constant of a type that is not read".to_owned())
    }

    /// A list of numbers.
    pub fn list(numbers: impl IntoIterator<Item = f64>) -> Constant {
        let numbers: Vec<f64> = numbers.into_iter().collect();
        Constant { dims: vec![numbers.len()], numbers, range: None, steps: None }
    }

    /// The elements as they are computed with.
    pub fn floats(&self) -> Vec<f32> {
        self.numbers.iter().map(|&number| number as f32).collect()
    }

    /// The elements as integers.
    pub fn integers(&self) -> Vec<i64> {
        self.numbers.iter().map(|&number| number as i64).collect()
    }

    /// A number for each of `n` channels, if this tensor broadcasts over rows and columns of NCHW.
    pub fn per_channel(&self, n: usize) -> Option<Vec<f32>> {
        if let [number] = *self.numbers {
            return (self.dims.len() <= 4).then(|| vec![number as f32; n]);
        }
        let channels = match *self.dims {
            [c, 1, 1] | [1, c, 1, 1] => c,
            _ => return None,
        };
        (channels == n).then(|| self.floats())
    }
}
