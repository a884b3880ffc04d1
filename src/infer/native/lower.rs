//! From an ONNX graph to a [`Program`]: constants are folded, names are followed to channels, operators become nodes.
//!
//! What this engine does not run is refused here, with the operator's name, before anything is allocated for a picture.
//! The graph has been judged when it was read; what is checked here is only what the rows rely on.

mod constant;
mod fuse;
mod operators;
mod pack;
mod pair;
mod quads;
mod quantized;

use std::collections::{HashMap, HashSet};

use super::kernel::bf16::Bf16;
use super::program::{Channel, Extent, Form, Node, Op, Pair, Program, neighbours};
use crate::error::{Error, Kind, Result};
use crate::model::onnx::{self, Model};
use crate::model::{Element, Layout, Network, NetworkCode, NetworkFacts};
use constant::Constant;

/// Nodes a program may have: the depth of its recursion is bounded by it.
const MAX_NODES: usize = 1000;

/// A tensor of the graph.
#[derive(Clone)]
enum Value {
    Constant(Constant),
    Rows(Vec<Channel>),
}

/// The graph read so far.
struct Lowering {
    opset: i64,
    values: HashMap<String, Value>,
    /// The names of values of the picture that are of a type of whole numbers, with which arithmetic is another one.
    whole: HashSet<String>,
    nodes: Vec<Node>,
}

/// What is not run, and why.
type Refused<T> = std::result::Result<T, String>;

/// The program of an ONNX network, where it is asked for with convolutions in bf16.
pub fn lower(network: &Network, bf16: Option<Bf16>) -> Result<Program> {
    let NetworkCode::Onnx(bytes) = &network.code else {
        return Err(Error::new(Kind::Internal, format!("{} is not an ONNX graph", network.name)));
    };
    let model = onnx::parse(bytes.clone())?;
    let mut program = lower_model(&model, &network.facts).map_err(|why| {
        Error::new(Kind::Network, format!("the engine native does not run {}: {why}; use --engine ort", network.name))
    })?;
    if let Some(bf16) = bf16 {
        pack::pack(&mut program, bf16);
    }
    pair::pair(&mut program);
    quads::place(&mut program);
    Ok(program)
}

fn lower_model(model: &Model, facts: &NetworkFacts) -> Refused<Program> {
    let graph = model.proto.graph.as_ref().ok_or("it has no graph")?;
    if facts.input.layout != Layout::Nchw || facts.output.layout != Layout::Nchw {
        return Err("its tensors are not in the order NCHW".to_owned());
    }
    if facts.output.element == Element::U8 {
        return Err("its output is of bytes".to_owned());
    }
    let n_channels = facts.input.channels.count();
    let picture = Node {
        op: Op::Input,
        inputs: Vec::new(),
        channels: n_channels,
        extent: [Extent::PICTURE; 2],
        form: Form::PLANES,
    };
    let mut lowering =
        Lowering { opset: model.opset, values: HashMap::new(), whole: HashSet::new(), nodes: Vec::new() };
    let rows = lowering.push(picture);
    for tensor in &graph.initializer {
        // A type that is not read stays unknown, and whoever reads it is refused.
        if let Some(constant) = Constant::read(tensor) {
            lowering.values.insert(tensor.name.clone().unwrap_or_default(), Value::Constant(constant));
        }
    }
    lowering.values.insert(facts.input.name.clone(), rows);
    if facts.input.element == Element::U8 {
        lowering.whole.insert(facts.input.name.clone());
    }
    for node in &graph.node {
        lowering.node(node).map_err(|why| format!("{}: {why}", node.label()))?;
        if lowering.nodes.len() > MAX_NODES {
            return Err(format!("over {MAX_NODES} operators"));
        }
        if lowering.nodes.last().is_some_and(|node| node.extent.iter().any(Extent::is_absurd)) {
            return Err(format!("{}: its output is far larger than the picture", node.label()));
        }
    }
    let Some(Value::Rows(output)) = lowering.values.remove(&facts.output.name) else {
        return Err("its output does not depend on the picture".to_owned());
    };
    let extent = lowering.extent(&output)?;
    let wanted = Extent { up: facts.scale, extra: 0 };
    if extent != [wanted; 2] || output.len() != facts.output.channels.count() {
        return Err(format!("its output is no picture {} times the size of its input", facts.scale));
    }
    Ok(quads::joined(fuse::fused(Program { nodes: lowering.nodes, output })))
}

/// For each element of `DEPTH` channels that inputs are read in, which of them its channels are.
fn elements<const DEPTH: usize>(inputs: &[Channel]) -> Vec<[Option<usize>; DEPTH]> {
    let mut first = 0;
    let mut all = Vec::new();
    for run in neighbours(inputs) {
        let end = first + run.len();
        let channels = |at: usize| std::array::from_fn(|channel| Some(at + channel).filter(|at| *at < end));
        all.extend((first..end).step_by(DEPTH).map(channels));
        first = end;
    }
    all
}

impl Lowering {
    /// Adds a node; its channels.
    fn push(&mut self, node: Node) -> Value {
        let at = self.nodes.len();
        let channels = (0..node.channels).map(|index| Channel { node: at, index });
        let value = Value::Rows(channels.collect());
        self.nodes.push(node);
        value
    }

    /// The size that all of these channels have.
    fn extent(&self, channels: &[Channel]) -> Refused<Pair<Extent>> {
        let mut extents = channels.iter().map(|channel| self.nodes[channel.node].extent);
        let first = extents.next().ok_or("it has no channels")?;
        match extents.all(|extent| extent == first) {
            true => Ok(first),
            false => Err("its inputs differ in size".to_owned()),
        }
    }
}
