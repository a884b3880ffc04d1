//! The inputs and outputs of a graph as the file declares them, before anything is concluded.
//!
//! Weights listed among the inputs (as files of IR version 3 must) are not inputs. A negative dimension, which some
//! exporters write for "any", is read as free; what an output declares is only shown, never trusted.

use std::collections::HashSet;
use std::fmt;

use super::proto::{GraphProto, ValueInfoProto, data_type, short};

/// A declared dimension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dim {
    /// This size and no other.
    Fixed(i64),
    /// Free, with a name.
    Symbol(String),
    /// Free.
    Free,
}

/// An input or output as declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortFacts {
    /// Its name in the graph.
    pub name: String,
    /// The number of its element type in the format, 0 when it is no tensor.
    pub element: i32,
    /// Its dimensions; `None` when the file does not even say how many.
    pub dims: Option<Vec<Dim>>,
}

impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Dim::Fixed(size) => write!(f, "{size}"),
            Dim::Symbol(name) => f.write_str(&short(name)),
            Dim::Free => f.write_str("?"),
        }
    }
}

impl fmt::Display for PortFacts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` {} ", short(&self.name), self.element_name())?;
        let Some(dims) = &self.dims else { return f.write_str("of any shape") };
        let shown: Vec<String> = dims.iter().take(8).map(Dim::to_string).collect();
        write!(f, "[{}{}]", shown.join(", "), if dims.len() > 8 { ", ..." } else { "" })
    }
}

impl PortFacts {
    fn new(port: &ValueInfoProto) -> PortFacts {
        let tensor = port.r#type.as_ref().and_then(|kind| kind.tensor_type.as_ref());
        let dims = tensor.and_then(|tensor| tensor.shape.as_ref()).map(|shape| {
            let dims = shape.dim.iter().map(|dim| match (dim.dim_value, dim.dim_param.as_deref()) {
                (Some(size), _) if size >= 0 => Dim::Fixed(size),
                (None, Some(name)) if !name.is_empty() => Dim::Symbol(name.to_owned()),
                _ => Dim::Free,
            });
            dims.collect()
        });
        let name = port.name.clone().unwrap_or_default();
        PortFacts { name, element: tensor.and_then(|tensor| tensor.elem_type).unwrap_or(0), dims }
    }

    /// The name of the element type.
    pub fn element_name(&self) -> String {
        match data_type::describe(self.element) {
            Some((_, name)) => name.to_owned(),
            None => format!("type {}", self.element),
        }
    }
}

/// The inputs that are no weights.
pub fn inputs(graph: &GraphProto) -> Vec<PortFacts> {
    let weights: HashSet<&str> = graph.initializer.iter().filter_map(|tensor| tensor.name.as_deref()).collect();
    let real = graph.input.iter().filter(|input| !weights.contains(input.name.as_deref().unwrap_or("")));
    real.map(PortFacts::new).collect()
}

/// The outputs.
pub fn outputs(graph: &GraphProto) -> Vec<PortFacts> {
    graph.output.iter().map(PortFacts::new).collect()
}
