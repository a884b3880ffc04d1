//! What a graph does to places: how far an output pixel looks, what sizes must be multiples of, what it costs.
//!
//! The graph is traced without running it, at one concrete picture size, with the shape of every tensor and for each
//! axis the exact reach of its elements in the picture ([`map`]). What cannot be followed, and what looks at the whole
//! picture, says so with the name of the operator, and everything that reads it inherits that. So the radius is an
//! upper bound, exact for plain networks. `onnx/facts` traces at several sizes and concludes; nothing here knows files,
//! and no limit here is there for correctness, only against graphs built to cost time or memory.

mod fold;
pub mod map;
mod pointwise;
mod resize;
mod shape;
mod spatial;
pub mod value;

use std::collections::HashMap;
use std::rc::Rc;

use super::Layout;
use super::onnx::Model;
use super::onnx::proto::{GraphProto, NodeProto, TensorProto, data_type, short};
use map::{Map, Step, lcm};
use value::{Axis, Factor, Number, Origin, Place, Value};

/// A tensor that does not depend on the picture may take this much.
const MAX_CONSTANT_BYTES: f64 = (1u64 << 30) as f64;
/// Taps followed in one trace; a plain network needs a few thousand.
const MAX_WORK: u64 = 20_000_000;

/// The picture a trace is made for.
#[derive(Clone, Copy, Debug)]
pub struct Assumption {
    /// Pictures at once.
    pub batch: i64,
    /// Channels of a picture.
    pub channels: i64,
    /// Rows of a picture.
    pub rows: i64,
    /// Columns of a picture.
    pub columns: i64,
    /// The order of the input's dimensions.
    pub layout: Layout,
    /// Whether the network takes other sizes too: if not, what it computes from the size is constant.
    pub free: bool,
}

/// What a trace found.
pub struct Traced {
    /// The graph's outputs, in its order.
    pub outputs: Vec<Value>,
    /// What rows and columns must be multiples of.
    pub multiple_of: i64,
    /// Which operators ask for it.
    pub multiple_reasons: Vec<String>,
    /// Multiply-adds of convolutions and matrix products, and what pooling looks at, for the whole input.
    pub multiply_adds: f64,
    /// The most bytes that tensors between operators take at once, for the whole input.
    pub peak_bytes: f64,
    /// How many operators of a kind reach beyond one element.
    pub reaching: Vec<(String, usize)>,
}

/// Why an operator could not be followed.
enum Stop {
    /// The graph contradicts itself at this size.
    Impossible(String),
    /// The operator's output cannot be told from its input.
    Opaque,
}

type Rule<T> = Result<T, Stop>;

fn impossible<T>(what: impl Into<String>) -> Rule<T> {
    Err(Stop::Impossible(what.into()))
}

struct Trace<'a> {
    opset: i64,
    assumption: Assumption,
    values: HashMap<&'a str, Value>,
    multiple_of: i64,
    multiple_reasons: Vec<String>,
    multiply_adds: f64,
    reaching: Vec<(String, usize)>,
    drifting: Option<String>,
    work: u64,
}

/// Traces the graph with the picture at the input named `input`; an error says where the graph contradicts itself.
pub fn trace(model: &Model, input: &str, element: i32, assumption: Assumption) -> Result<Traced, String> {
    let graph = model.proto.graph.as_ref().ok_or("the file holds no graph")?;
    let trace = Trace::through(model, graph, input, element, assumption)?;
    let outputs = graph.output.iter().map(|output| {
        let name = output.name.as_deref().unwrap_or("");
        trace.values.get(name).cloned().ok_or_else(|| format!("nothing gives the output `{}`", short(name)))
    });
    let outputs = outputs.collect::<Result<_, _>>()?;
    let kept = graph.output.iter().filter_map(|output| output.name.as_deref());
    let peak_bytes = peak(&graph.node, &trace.values, input, kept);
    Ok(Traced {
        outputs,
        multiple_of: trace.multiple_of,
        multiple_reasons: trace.multiple_reasons,
        multiply_adds: trace.multiply_adds,
        peak_bytes,
        reaching: trace.reaching,
    })
}

/// The sizes of all tensors of the graph that can be followed, by name.
pub fn sizes<'a>(
    model: &'a Model,
    input: &'a str,
    element: i32,
    assumption: Assumption,
) -> Result<HashMap<&'a str, Vec<i64>>, String> {
    let graph = model.proto.graph.as_ref().ok_or("the file holds no graph")?;
    let trace = Trace::through(model, graph, input, element, assumption)?;
    let followed = trace.values.into_iter().filter(|(_, value)| value.axes.is_some());
    Ok(followed.map(|(name, value)| (name, value.sizes())).collect())
}

/// The first resize of the graph whose places in 32-bit floats hang on how far from the picture's corner they are, so
/// that engines that compute them so give other bits in windows than in whole pictures.
pub fn drifting(model: &Model, input: &str, element: i32, assumption: Assumption) -> Result<Option<String>, String> {
    let graph = model.proto.graph.as_ref().ok_or("the file holds no graph")?;
    Ok(Trace::through(model, graph, input, element, assumption)?.drifting)
}

/// The most bytes alive at once when the nodes run in order and each tensor goes after its last reader.
fn peak<'a>(
    nodes: &'a [NodeProto],
    values: &HashMap<&'a str, Value>,
    input: &'a str,
    kept: impl Iterator<Item = &'a str>,
) -> f64 {
    let bytes = |name: &str| match values.get(name) {
        Some(value) if value.origin != Origin::Constant => {
            value.count() * data_type::describe(value.element).map_or(4.0, |(size, _)| size as f64)
        }
        _ => 0.0,
    };
    let mut last: HashMap<&str, usize> = HashMap::new();
    for (at, node) in nodes.iter().enumerate() {
        last.extend(node.input.iter().map(|name| (name.as_str(), at)));
    }
    last.extend(kept.map(|name| (name, usize::MAX)));
    let (mut alive, mut peak) = (bytes(input), bytes(input));
    for (at, node) in nodes.iter().enumerate() {
        alive += node.output.iter().map(|name| bytes(name)).sum::<f64>();
        peak = f64::max(peak, alive);
        let mut read: Vec<&str> = node.input.iter().chain(&node.output).map(String::as_str).collect();
        read.sort_unstable();
        read.dedup();
        alive -= read
            .iter()
            .filter(|name| last.get(*name).is_none_or(|&last| last == at))
            .map(|name| bytes(name))
            .sum::<f64>();
    }
    peak
}

/// A weight or a Constant node's tensor.
fn constant(tensor: &TensorProto) -> Value {
    let axes = tensor.dims.iter().map(|&size| Axis::plain(size)).collect();
    let known = (tensor.count() as i64 <= fold::MAX_NUMBERS).then(|| tensor.numbers()).flatten();
    let known = known.map(|values| values.into_iter().map(|value| Number { value, divisor: 0 }).collect());
    Value { known, ..Value::constant(axes, tensor.data_type.unwrap_or(0)) }
}

impl<'a> Trace<'a> {
    fn through(
        model: &Model,
        graph: &'a GraphProto,
        input: &'a str,
        element: i32,
        assumption: Assumption,
    ) -> Result<Trace<'a>, String> {
        let mut trace = Trace {
            opset: model.opset,
            assumption,
            values: HashMap::new(),
            multiple_of: 1,
            multiple_reasons: Vec::new(),
            multiply_adds: 0.0,
            reaching: Vec::new(),
            drifting: None,
            work: 0,
        };
        for tensor in &graph.initializer {
            trace.values.insert(tensor.name.as_deref().unwrap_or(""), constant(tensor));
        }
        trace.values.insert(input, trace.picture(element));
        for node in &graph.node {
            trace.node(node)?;
        }
        Ok(trace)
    }

    fn picture(&self, element: i32) -> Value {
        let Assumption { batch, channels, rows, columns, layout, .. } = self.assumption;
        let map = || Rc::new(Map::identity());
        let batch = Axis::of(vec![Factor { size: batch, place: Place::Batch }]);
        let rows = Axis::of(vec![Factor { size: rows, place: Place::Rows(map()) }]);
        let columns = Axis::of(vec![Factor { size: columns, place: Place::Columns(map()) }]);
        let axes = match layout {
            Layout::Nchw => vec![batch, Axis::plain(channels), rows, columns],
            Layout::Nhwc => vec![batch, rows, columns, Axis::plain(channels)],
        };
        Value { origin: Origin::Picture, ..Value::constant(axes, element) }
    }

    fn node(&mut self, node: &'a NodeProto) -> Result<(), String> {
        let read: Vec<Option<Value>> = node.input.iter().map(|name| self.values.get(name.as_str()).cloned()).collect();
        let inputs: Vec<Option<&Value>> = read.iter().map(Option::as_ref).collect();
        let mut given = match self.rule(node, &inputs) {
            Ok(given) => given,
            // A list from the file may be of any length.
            Err(Stop::Impossible(what)) => return Err(format!("{}: {what:.300}", node.label())),
            Err(Stop::Opaque) => Vec::new(),
        };
        let origin = inputs.iter().flatten().map(|value| value.origin).max().unwrap_or(Origin::Constant);
        // A subgraph may read any tensor of the graph around it.
        let nested = node.attribute.iter().any(|attribute| attribute.g.is_some() || !attribute.graphs.is_empty());
        let origin = if nested { Origin::Picture } else { origin };
        let whole = inputs.iter().flatten().find_map(|value| value.whole.clone());
        for (at, name) in node.output.iter().enumerate().filter(|(_, name)| !name.is_empty()) {
            let mut value = if at < given.len() {
                std::mem::replace(&mut given[at], Value::constant(Vec::new(), 0))
            } else {
                let opaque = Value { axes: None, origin, ..Value::constant(Vec::new(), 0) };
                opaque.looking_everywhere(format!("{} cannot be followed to a place in the picture", node.label()))
            };
            if value.origin == Origin::Picture && whole.is_some() {
                value.whole = whole.clone();
            }
            self.settle(node, &inputs, at, &mut value)?;
            self.values.insert(name, value);
        }
        Ok(())
    }

    /// Holds a node's output to the rules that all have in common, and computes it when it is a small constant.
    fn settle(
        &mut self,
        node: &NodeProto,
        inputs: &[Option<&Value>],
        at: usize,
        value: &mut Value,
    ) -> Result<(), String> {
        let keeps = value.origin != Origin::Picture && pointwise::keeps_constants(node.op());
        if let Some(axes) = value.axes.as_mut().filter(|_| !keeps) {
            axes.iter_mut().for_each(|axis| *axis = axis.varied());
        }
        if value.origin == Origin::Extent && !keeps {
            value.origin = Origin::Size;
        }
        if value.origin != Origin::Picture {
            if value.count() * 8.0 > MAX_CONSTANT_BYTES && value.origin == Origin::Constant {
                return Err(format!("{}: a constant of {:.0} elements, too large to run", node.label(), value.count()));
            }
            let mut needs = Vec::new();
            if value.known.is_none() {
                value.known = fold::fold(node, inputs, value, at, &mut needs);
            }
            if let Some(known) = &value.known {
                let sized = known.iter().any(|number| number.divisor > 0);
                value.origin = if sized { Origin::Size } else { Origin::Constant };
            }
            needs.into_iter().try_for_each(|needed| self.need(needed, node))?;
            return Ok(());
        }
        let Some(axes) = &value.axes else { return Ok(()) };
        let factors = || axes.iter().flat_map(Axis::factors);
        let rows = factors().filter(|factor| matches!(factor.place, Place::Rows(_))).count();
        let columns = factors().filter(|factor| matches!(factor.place, Place::Columns(_))).count();
        let proportional = factors().all(|factor| {
            let picture = self.side(factor);
            factor.map().is_none_or(|map| {
                let (expected, size) = (picture as f64 * map.up() as f64, factor.size as f64 * map.down() as f64);
                (expected - size).abs() <= expected / 4.0 + (4 * map.down()) as f64
            })
        });
        if value.whole.is_none() && (rows != 1 || columns != 1 || !proportional) {
            value.whole = Some(format!("{} looks at the whole picture", node.label()).into());
        }
        Ok(())
    }

    /// The picture's size along a factor.
    fn side(&self, factor: &Factor) -> i64 {
        if matches!(factor.place, Place::Rows(_)) { self.assumption.rows } else { self.assumption.columns }
    }

    /// Records that rows and columns must be multiples of `multiple`.
    fn need(&mut self, multiple: i64, node: &NodeProto) -> Result<(), String> {
        if multiple > 1 {
            let all = lcm(self.multiple_of, multiple)
                .filter(|&all| all <= 4096)
                .ok_or_else(|| format!("{}: sizes would have to be multiples of more than 4096", node.label()))?;
            if all > self.multiple_of {
                self.multiple_of = all;
                self.multiple_reasons.push(format!("{} cuts it into {multiple}s", node.label()));
            }
        }
        Ok(())
    }

    /// An operator's `step` along an axis: the new axis of `size`; `None` when it cannot be followed exactly.
    fn step(&mut self, node: &NodeProto, factor: &Factor, step: &Step, size: i64) -> Rule<Option<Axis>> {
        let Some(map) = factor.map() else { return Ok(Some(Axis::plain(size))) };
        self.need(map.multiple_for(step.down), node).map_err(Stop::Impossible)?;
        self.work += step.cost() * map.up() as u64;
        if self.work > MAX_WORK {
            return Ok(None);
        }
        Ok(map.after(step).map(|map| Axis::of(vec![factor.moved(size, map)])))
    }

    /// Counts an operator that reaches beyond one element.
    fn reaches(&mut self, node: &NodeProto, how: &str) {
        let kind = format!("{} {how}", node.op());
        match self.reaching.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, count)) => *count += 1,
            None => self.reaching.push((kind, 1)),
        }
    }

    fn rule(&mut self, node: &NodeProto, inputs: &[Option<&Value>]) -> Rule<Vec<Value>> {
        let label = node.op();
        if label == "Constant" {
            return shape::constant_node(node);
        }
        if inputs.iter().flatten().any(|value| value.axes.is_none()) {
            return Err(Stop::Opaque);
        }
        if matches!(label, "ConstantOfShape" | "Range") {
            return shape::generated(node, inputs);
        }
        let data = inputs.first().copied().flatten().ok_or(Stop::Opaque)?;
        match label {
            "Conv" | "FusedConv" => self.convolution(node, inputs, 1),
            "QLinearConv" => self.convolution(node, inputs, 3),
            "ConvInteger" => self.convolution(node, inputs, 1),
            "ConvTranspose" => self.transposed(node, inputs),
            "MaxPool" | "AveragePool" | "LpPool" => self.pool(node, data),
            "DepthToSpace" => self.depth_to_space(node, data),
            "SpaceToDepth" => self.space_to_depth(node, data),
            "Pad" => self.pad(node, inputs),
            "Resize" | "Upsample" => self.resize(node, inputs),
            "Shape" | "Size" => Ok(vec![shape::shape_of(node, data, self.assumption.free)]),
            "Reshape" | "Flatten" => self.reshape(node, inputs),
            "Squeeze" | "Unsqueeze" => shape::squeeze(node, inputs),
            "Transpose" => shape::transpose(node, data),
            "Slice" => self.slice(node, inputs),
            "Split" => shape::split(node, inputs),
            "Gather" => shape::gather(node, inputs),
            "Concat" => pointwise::concat(node, inputs),
            "Expand" | "Tile" => shape::spread(node, inputs),
            "MatMul" | "MatMulInteger" | "QLinearMatMul" | "Gemm" => self.product(node, inputs),
            "ArgMax" | "ArgMin" => pointwise::reduce(node, inputs, self.opset),
            _ if label.starts_with("Reduce") => pointwise::reduce(node, inputs, self.opset),
            _ if label.starts_with("Global") => pointwise::global(node, data),
            _ => pointwise::rule(node, inputs, self.opset),
        }
    }
}
