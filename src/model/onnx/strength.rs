//! The initialiser that says how strongly a network acts: one float that is an input of the graph as well.

use prost::bytes::Bytes;

use super::proto::{GraphProto, TensorProto, data_type};
use crate::model::strength::NAME;

/// Where it stands among the initialisers.
fn find(graph: &GraphProto) -> Option<usize> {
    let is_input = graph.input.iter().any(|input| input.name.as_deref() == Some(NAME));
    let is_it = |tensor: &TensorProto| {
        tensor.name.as_deref() == Some(NAME) && tensor.data_type == Some(data_type::FLOAT) && tensor.count() == 1
    };
    graph.initializer.iter().position(is_it).filter(|_| is_input)
}

/// Its value.
pub fn value(graph: &GraphProto) -> Option<f32> {
    let tensor = &graph.initializer[find(graph)?];
    match &tensor.raw_data {
        Some(raw) => Some(f32::from_le_bytes(raw.get(..4)?.try_into().ok()?)),
        None => tensor.float_data.first().copied(),
    }
}

/// Makes it a constant of this value, no input any more, so that engines may compute with it beforehand; `false` where
/// there is none.
pub fn fix(graph: &mut GraphProto, value: f32) -> bool {
    let Some(held) = find(graph) else { return false };
    graph.initializer[held].float_data.clear();
    graph.initializer[held].raw_data = Some(Bytes::copy_from_slice(&value.to_le_bytes()));
    graph.input.retain(|input| input.name.as_deref() != Some(NAME));
    true
}
