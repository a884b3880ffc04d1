//! The range of values, where a graph shows it: one that divides its input by 255 before anything else takes code
//! values of 8 bits in floating point, and one that multiplies by 255 after all else gives them.

use std::collections::{HashMap, HashSet};

use super::proto::{GraphProto, NodeProto, TensorProto};

/// White of code values of 8 bits.
pub const WHITE: f32 = 255.0;

/// Constants of more elements are not looked into.
const MAX_ELEMENTS: usize = 64;

/// Operators that give values of their first input, rounded at most.
const PASSING: &str = "Cast Ceil DepthToSpace Flatten Floor Gather Identity Pad Relu Reshape Round Slice SpaceToDepth \
    Split Squeeze Transpose Unsqueeze";

/// Whether all that reads the graph's input `name` divides it by 255.
pub fn is_divided(graph: &GraphProto, name: &str) -> bool {
    let constants = Constants::new(graph);
    let (mut same, mut is_divided) = (HashSet::from([name]), false);
    // Every tensor is given before it is read.
    for node in &graph.node {
        // A graph in a graph may read any tensor around it.
        if node.attribute.iter().any(|attribute| attribute.g.is_some() || !attribute.graphs.is_empty()) {
            return false;
        }
        let Some(read) = node.input.iter().find(|read| same.contains(read.as_str())) else { continue };
        if constants.factor(node, read).is_some_and(|factor| is_white(1.0 / factor)) {
            is_divided = true;
        } else if constants.passed(node) == Some(read) {
            same.extend(node.output.iter().map(String::as_str));
        } else if !matches!(node.op(), "Shape" | "Size") {
            return false;
        }
    }
    is_divided
}

/// Whether the graph's output `name` is a product with 255.
pub fn is_multiplied(graph: &GraphProto, name: &str) -> bool {
    let constants = Constants::new(graph);
    let outputs = graph.node.iter().flat_map(|node| node.output.iter().map(move |name| (name.as_str(), node)));
    let given: HashMap<&str, &NodeProto> = outputs.collect();
    let mut name = name;
    while let Some(node) = given.get(name) {
        if node.input.iter().any(|read| constants.factor(node, read).is_some_and(is_white)) {
            return true;
        }
        let Some(passed) = constants.passed(node) else { return false };
        name = passed;
    }
    false
}

/// 255, as far as the reciprocal of a half float can tell.
fn is_white(factor: f64) -> bool {
    (factor - f64::from(WHITE)).abs() < 0.5
}

/// Constants by name, each with the number that all its elements are, if they are one.
struct Constants<'a>(HashMap<&'a str, Option<f64>>);

impl<'a> Constants<'a> {
    fn new(graph: &'a GraphProto) -> Constants<'a> {
        let weights = graph.initializer.iter().map(|tensor| (tensor.name.as_deref().unwrap_or(""), only(tensor)));
        let nodes = graph.node.iter().filter(|node| node.op() == "Constant");
        let nodes = nodes.filter_map(|node| {
            let number = || node.float("value_float").map(f64::from);
            Some((node.output.first()?.as_str(), node.tensor("value").and_then(only).or_else(number)))
        });
        Constants(weights.chain(nodes).collect())
    }

    /// What the node multiplies its input `read` by, if that is one number.
    fn factor(&self, node: &NodeProto, read: &str) -> Option<f64> {
        let [first, second] = node.input.as_slice() else { return None };
        let other = if first == read { second } else { first };
        let number = *self.0.get(other.as_str())?;
        match node.op() {
            "Mul" => number,
            "Div" if first == read => number.map(|number| 1.0 / number),
            _ => None,
        }
    }

    /// The input that the node gives on in the same range: as it is, cut to that of code values or without its mean.
    fn passed<'n>(&self, node: &'n NodeProto) -> Option<&'n String> {
        let is_constant = |name: &String| self.0.contains_key(name.as_str());
        match (node.op(), node.input.as_slice()) {
            ("Clip", [data, ..]) if self.bounds(node) == (0.0, f64::from(WHITE)) => Some(data),
            ("Add" | "Sub", [data, mean]) if is_constant(mean) => Some(data),
            ("Add", [mean, data]) if is_constant(mean) => Some(data),
            (op, [data, ..]) if PASSING.split_ascii_whitespace().any(|passing| passing == op) => Some(data),
            _ => None,
        }
    }

    /// What a Clip cuts to; where it does not cut, that of code values.
    fn bounds(&self, node: &NodeProto) -> (f64, f64) {
        let bound = |at: usize, name: &str, none: f64| match node.input.get(at).filter(|input| !input.is_empty()) {
            Some(input) => self.0.get(input.as_str()).copied().flatten().unwrap_or(f64::NAN),
            None => node.float(name).map_or(none, f64::from),
        };
        (bound(1, "min", 0.0), bound(2, "max", f64::from(WHITE)))
    }
}

/// The number that all elements of a small tensor are.
fn only(tensor: &TensorProto) -> Option<f64> {
    let numbers = tensor.numbers().filter(|_| tensor.count() <= MAX_ELEMENTS)?;
    let (first, rest) = numbers.split_first()?;
    rest.iter().all(|number| number == first).then_some(*first)
}
