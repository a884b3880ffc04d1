//! A graph that finds things, written again to give all of it in one tensor: nodes are added behind its outputs, and
//! what is not needed any more stays for engines to leave out. Operators and settings are those of all opsets that are
//! read.

use super::{PARTS, Source};
use crate::error::{Error, Kind, Result};
use crate::model::onnx::Model;
use crate::model::onnx::facts::GraphFacts;
use crate::model::onnx::proto::*;
use crate::model::overrides::Overrides;

impl GraphFacts {
    /// Makes a graph that finds things give all of it in one output, a row a candidate: [1, 1, candidates, numbers].
    pub(in crate::model::onnx) fn write_again(&self, model: &mut Model, overrides: &Overrides) -> Result<()> {
        let Some((given, found)) = self.found(overrides)? else {
            return Err(Error::new(Kind::Internal, "a network that finds nothing was to be written again"));
        };
        let graph = model.proto.graph.as_mut().expect("a judged model has a graph");
        let name = |at: usize| self.outputs[at].name.clone();
        let mut writer = Writer { graph, prefix: &given.prefix, n_names: 0 };
        let (first, rows) = match &found.source {
            Source::Parts(all) => {
                let grid = |parts: &[usize]| parts.iter().map(|&part| name(part)).collect();
                let grids: Vec<Vec<String>> = all.chunks(PARTS.len()).map(grid).collect();
                let grids = grids.into_iter().map(|parts| writer.node("Concat", parts, vec![int("axis", 2)])).collect();
                (all[0], writer.node("Concat", grids, vec![int("axis", 1)]))
            }
            Source::Rows(at) => (*at, name(*at)),
            Source::Columns(at) => (*at, writer.node("Transpose", vec![name(*at)], vec![ints("perm", &[0, 2, 1])])),
        };
        let shape = writer.node("Constant", Vec::new(), vec![list("value", &[1, 1, -1, found.n_values as i64])]);
        match self.outputs[first].element {
            data_type::FLOAT16 => {
                let flat = writer.node("Reshape", vec![rows, shape], Vec::new());
                writer.push("Cast", vec![flat], given.name(), vec![int("to", i64::from(data_type::FLOAT))]);
            }
            _ => writer.push("Reshape", vec![rows, shape], given.name(), Vec::new()),
        }
        graph.output = vec![output(given.name(), found.n_values)];
        Ok(())
    }
}

/// Adds nodes to a graph.
struct Writer<'a> {
    graph: &'a mut GraphProto,
    prefix: &'a str,
    n_names: usize,
}

impl Writer<'_> {
    /// A node with a new name for what it gives, which is returned.
    fn node(&mut self, op: &str, input: Vec<String>, attribute: Vec<AttributeProto>) -> String {
        self.n_names += 1;
        let output = format!("{}.{}", self.prefix, self.n_names);
        self.push(op, input, output.clone(), attribute);
        output
    }

    /// A node that gives `output`.
    fn push(&mut self, op: &str, input: Vec<String>, output: String, attribute: Vec<AttributeProto>) {
        let (op_type, output) = (Some(op.to_owned()), vec![output]);
        self.graph.node.push(NodeProto { op_type, input, output, attribute, ..NodeProto::default() });
    }
}

fn attribute(name: &str, r#type: i32) -> AttributeProto {
    AttributeProto { name: Some(name.to_owned()), r#type: Some(r#type), ..AttributeProto::default() }
}

pub(super) fn int(name: &str, i: i64) -> AttributeProto {
    AttributeProto { i: Some(i), ..attribute(name, 2) }
}

pub(super) fn ints(name: &str, ints: &[i64]) -> AttributeProto {
    AttributeProto { ints: ints.to_vec(), ..attribute(name, 7) }
}

/// A tensor with these numbers: of a Constant, because old files list initialisers among their inputs.
pub(super) fn list(name: &str, numbers: &[i64]) -> AttributeProto {
    let (dims, int64_data) = (vec![numbers.len() as i64], numbers.to_vec());
    let tensor = TensorProto { dims, int64_data, data_type: Some(data_type::INT64), ..TensorProto::default() };
    AttributeProto { t: Some(tensor), ..attribute(name, 4) }
}

/// The one output: [1, 1, as many as there are, numbers].
fn output(name: String, n_values: usize) -> ValueInfoProto {
    let fixed = |size: usize| DimensionProto { dim_value: Some(size as i64), dim_param: None };
    let shape = TensorShapeProto { dim: vec![fixed(1), fixed(1), DimensionProto::default(), fixed(n_values)] };
    let tensor_type = TensorTypeProto { elem_type: Some(data_type::FLOAT), shape: Some(shape) };
    ValueInfoProto { name: Some(name), r#type: Some(TypeProto { tensor_type: Some(tensor_type) }) }
}
