//! Convolutions that give few channels, written so that they give blocks of pixels.
//!
//! On processors engines compute as many output channels at once as a register holds floats, and throw away those that a
//! network has not. Networks for pictures end in just such a convolution: to 1 or 3 channels, or to 4 that become 2x2
//! pixels. It is the same as one with strides that gives the channels of a block of pixels, each from its kernel moved
//! within a larger one of zeros, with a DepthToSpace behind it: the same products, with products by zero between
//! them, which change no finite sum. Where an engine sums them in the same order, as those do that are known, the values
//! are the same bit for bit.

use std::collections::{HashMap, HashSet};

use half::f16;
use prost::bytes::Bytes;

use super::proto::{AttributeProto, GraphProto, NodeProto, TensorProto, data_type};

/// Sides of blocks that are tried, in pixels.
const SIDES: [usize; 2] = [2, LARGEST];
/// The largest of them, a multiple of all.
pub const LARGEST: usize = 4;
/// Multiply-adds in whose time one value is moved.
const MOVE: usize = 256;
/// Bytes of all weights that are written; a network's last convolutions take a few thousand.
const MAX_BYTES: usize = 4 << 20;
/// What may stand between a convolution and its DepthToSpace: one number becomes one number, everywhere alike.
const POINTWISE: [&str; 7] = ["Clip", "Elu", "HardSigmoid", "LeakyRelu", "Relu", "Sigmoid", "Tanh"];
/// Types of attributes by their numbers in the format.
const INT: i32 = 2;
const INTS: i32 = 7;

/// A convolution that gains by being written so.
pub struct Candidate {
    /// Where it stands among the nodes.
    at: usize,
    /// The DepthToSpace that its output goes to, if nothing else reads it.
    shuffle: Option<usize>,
    /// What that makes of its channels; without one, each is a pixel.
    order: Order,
    weights: TensorProto,
    bias: Option<TensorProto>,
    kernel: [i64; 2],
    pads: [i64; 4],
    /// Pixels of its output along a block.
    pub side: usize,
}

/// The convolutions that gain, for an engine that computes `lanes` channels at once, with blocks of sides that divide
/// `size`. Whether they divide the convolution's own output is for the caller to say.
pub fn find(graph: &GraphProto, lanes: usize, size: (usize, usize)) -> Vec<Candidate> {
    let is_nested = |attribute: &AttributeProto| attribute.g.is_some() || !attribute.graphs.is_empty();
    if graph.node.iter().flat_map(|node| &node.attribute).any(is_nested) {
        return Vec::new();
    }
    let names = Names::new(graph);
    let mut room = MAX_BYTES;
    let candidate = |at: usize| Candidate::new(graph, &names, at, lanes, size);
    let has_room = |candidate: &Candidate| {
        let left = room.checked_sub(candidate.bytes());
        room = left.unwrap_or(room);
        left.is_some()
    };
    (0..graph.node.len()).filter_map(candidate).filter(has_room).collect()
}

/// Writes these convolutions so; `None` where what they need is not what it seemed.
pub fn apply(graph: &mut GraphProto, candidates: &[Candidate]) -> Option<()> {
    candidates.iter().try_for_each(|candidate| candidate.apply(graph))?;
    // From the last, so that positions stay what they were.
    for candidate in candidates.iter().rev() {
        candidate.shuffle_behind(graph);
    }
    graph.value_info.clear();
    let read: HashSet<&str> = graph.node.iter().flat_map(|node| &node.input).map(String::as_str).collect();
    let inputs = graph.input.iter().chain(&graph.output).filter_map(|port| port.name.as_deref());
    let kept: HashSet<&str> = read.into_iter().chain(inputs).collect();
    graph.initializer.retain(|tensor| tensor.name.as_deref().is_some_and(|name| kept.contains(name)));
    Some(())
}

/// What a graph's names stand for.
struct Names<'a> {
    /// Weights; one that is an input as well is given by nobody.
    constants: HashMap<&'a str, &'a TensorProto>,
    /// The nodes that read a name.
    readers: HashMap<&'a str, Vec<usize>>,
    outputs: HashSet<&'a str>,
}

impl<'a> Names<'a> {
    fn new(graph: &'a GraphProto) -> Names<'a> {
        let mut constants: HashMap<_, _> =
            graph.initializer.iter().filter_map(|tensor| Some((tensor.name.as_deref()?, tensor))).collect();
        for node in graph.node.iter().filter(|node| node.op() == "Constant") {
            constants.extend(node.output.first().map(String::as_str).zip(node.tensor("value")));
        }
        let mut readers: HashMap<_, Vec<usize>> = HashMap::new();
        for (at, node) in graph.node.iter().enumerate() {
            // An empty name is nobody's.
            for name in node.input.iter().filter(|name| !name.is_empty()) {
                readers.entry(name.as_str()).or_default().push(at);
            }
        }
        let outputs = graph.output.iter().filter_map(|output| output.name.as_deref()).collect();
        Names { constants, readers, outputs }
    }

    /// The DepthToSpace that alone reads `name`, with nothing in between but what acts on each number alike.
    fn shuffle_behind(&self, nodes: &'a [NodeProto], mut name: &'a str) -> Option<usize> {
        loop {
            let [reader] = self.readers.get(name)?[..] else { return None };
            let node = &nodes[reader];
            let is_read_first = node.input.first().is_some_and(|input| input == name);
            if self.outputs.contains(name) || !is_read_first {
                return None;
            }
            match node.op() {
                "DepthToSpace" => return Some(reader),
                op if POINTWISE.contains(&op) => name = node.output.first()?,
                _ => return None,
            }
        }
    }
}

impl Candidate {
    fn new(graph: &GraphProto, names: &Names<'_>, at: usize, lanes: usize, size: (usize, usize)) -> Option<Candidate> {
        let node = &graph.node[at];
        let is_all = |name, value| node.ints(name).is_none_or(|values| values.iter().all(|&given| given == value));
        let is_plain = node.op() == "Conv"
            && node.domain.as_deref().unwrap_or("").is_empty()
            && node.int("group").unwrap_or(1) == 1
            && is_all("strides", 1)
            && is_all("dilations", 1);
        if !is_plain {
            return None;
        }
        let weights = names.constants.get(node.input.get(1)?.as_str()).copied()?;
        let bias = match node.input.get(2).filter(|name| !name.is_empty()) {
            Some(name) => Some(names.constants.get(name.as_str()).copied()?),
            None => None,
        };
        let [channels, depth, height, width] = weights.dims[..] else { return None };
        let [channels, depth] = [channels, depth].map(|size| size as usize);
        let shuffle = names.shuffle_behind(&graph.node, node.output.first()?);
        let order = match shuffle {
            Some(shuffle) => Order::of(&graph.node[shuffle], channels)?,
            None => Order { channels, factor: 1, is_depth_first: true },
        };
        let cost = |side: usize| {
            let computed = (channels * side * side).next_multiple_of(lanes);
            let taps = (height as usize + side - 1) * (width as usize + side - 1);
            let moved = if side > 1 && shuffle.is_none() { MOVE * channels } else { 0 };
            computed * taps * depth / (side * side) + moved
        };
        let fits = |side: &usize| size.0.is_multiple_of(*side) && size.1.is_multiple_of(*side);
        let side =
            SIDES.into_iter().filter(fits).min_by_key(|&side| cost(side)).filter(|&side| cost(side) < cost(1))?;
        Some(Candidate {
            at,
            shuffle,
            order,
            // Their values stay where they are.
            weights: weights.clone(),
            bias: bias.cloned(),
            kernel: [height, width].map(|size| size + side as i64 - 1),
            pads: node.picture_pads([height - 1, width - 1])?,
            side,
        })
    }

    /// The name of the tensor that keeps its size, behind the DepthToSpace where there is one.
    pub fn output<'a>(&self, graph: &'a GraphProto) -> &'a str {
        &graph.node[self.at].output[0]
    }

    /// Bytes of the weights for blocks, as floats.
    fn bytes(&self) -> usize {
        let channels = self.weights.dims.first().map_or(0, |&channels| channels as usize) * self.side * self.side;
        let depth = self.weights.dims.get(1).map_or(0, |&depth| depth as usize);
        let taps: i64 = self.kernel.iter().product();
        size_of::<f32>().saturating_mul(channels).saturating_mul(depth).saturating_mul(taps as usize)
    }

    /// Changes the convolution, and the DepthToSpace behind it if it is its own.
    fn apply(&self, graph: &mut GraphProto) -> Option<()> {
        let blocks = Blocks { side: self.side, order: self.order };
        let node = &mut graph.node[self.at];
        node.attribute.retain(|attribute| {
            let name = attribute.name.as_deref().unwrap_or("");
            !matches!(name, "kernel_shape" | "strides" | "pads" | "auto_pad")
        });
        node.attribute.push(ints("kernel_shape", &self.kernel));
        node.attribute.push(ints("strides", &[self.side as i64; 2]));
        node.attribute.push(ints("pads", &self.pads));
        for (input, tensor) in [(1, Some(&self.weights)), (2, self.bias.as_ref())] {
            let Some(tensor) = tensor else { continue };
            node.input[input] = format!("{}/blocks/{input}", node.output[0]);
            let name = Some(node.input[input].clone());
            graph.initializer.push(TensorProto { name, ..blocks.spread(tensor)? });
        }
        if let Some(shuffle) = self.shuffle {
            let attributes = &mut graph.node[shuffle].attribute;
            attributes.retain(|attribute| attribute.name.as_deref() != Some("blocksize"));
            attributes.push(int("blocksize", (self.order.factor * self.side) as i64));
        }
        Some(())
    }

    /// Puts a DepthToSpace behind the convolution if it has none of its own.
    fn shuffle_behind(&self, graph: &mut GraphProto) {
        if self.shuffle.is_some() {
            return;
        }
        let output = &mut graph.node[self.at].output[0];
        let channels = format!("{output}/blocks");
        let pixels = std::mem::replace(output, channels.clone());
        let shuffle = NodeProto {
            name: Some(format!("{channels}/pixels")),
            op_type: Some("DepthToSpace".to_owned()),
            input: vec![channels],
            output: vec![pixels],
            attribute: vec![int("blocksize", self.side as i64)],
            ..NodeProto::default()
        };
        graph.node.insert(self.at + 1, shuffle);
    }
}

/// What a DepthToSpace makes of channels.
#[derive(Clone, Copy)]
struct Order {
    /// Channels behind it.
    channels: usize,
    /// Pixels that a pixel becomes, along a side.
    factor: usize,
    /// The channels of a pixel lie together (DCR), not those of its pixels (CRD).
    is_depth_first: bool,
}

impl Order {
    fn of(shuffle: &NodeProto, channels: usize) -> Option<Order> {
        let factor = usize::try_from(shuffle.int("blocksize")?).ok().filter(|factor| (1..=16).contains(factor))?;
        let is_depth_first = match shuffle.string("mode") {
            None | Some("DCR") => true,
            Some("CRD") => false,
            Some(_) => return None,
        };
        let is_whole = channels.is_multiple_of(factor * factor);
        is_whole.then_some(Order { channels: channels / (factor * factor), factor, is_depth_first })
    }

    /// Where the channel lies that becomes `channel` of the pixel in `row` and `column` of a block.
    fn place(self, channel: usize, row: usize, column: usize) -> usize {
        let pixel = row * self.factor + column;
        if self.is_depth_first { pixel * self.channels + channel } else { channel * self.factor * self.factor + pixel }
    }
}

/// Blocks of `side` pixels of a convolution, whose channels mean `order`.
#[derive(Clone, Copy)]
struct Blocks {
    side: usize,
    order: Order,
}

impl Blocks {
    /// Weights OIHW or a bias O for blocks.
    fn spread(self, tensor: &TensorProto) -> Option<TensorProto> {
        let values = tensor.numbers()?;
        let Blocks { side, order } = self;
        let in_block = Order { factor: order.factor * side, ..order };
        let (depth, height, width) = match tensor.dims[..] {
            [_, depth, height, width] => (depth as usize, height as usize, width as usize),
            _ => (1, 1, 1),
        };
        // A bias has no place in a kernel.
        let grown = if tensor.dims.len() == 4 { side - 1 } else { 0 };
        let (tall, wide) = (height + grown, width + grown);
        let n_channels = order.channels * in_block.factor * in_block.factor;
        let mut spread = vec![0.0; n_channels * depth * tall * wide];
        for channel in 0..order.channels {
            for (row, column) in grid(in_block.factor, in_block.factor) {
                let from = order.place(channel, row % order.factor, column % order.factor);
                let to = in_block.place(channel, row, column);
                let moved = (grown.min(row / order.factor), grown.min(column / order.factor));
                for (plane, (y, x)) in (0..depth).flat_map(|plane| grid(height, width).map(move |at| (plane, at))) {
                    let value = *values.get(((from * depth + plane) * height + y) * width + x)?;
                    spread[((to * depth + plane) * tall + y + moved.0) * wide + x + moved.1] = value;
                }
            }
        }
        let mut dims = tensor.dims.clone();
        dims[0] = n_channels as i64;
        if let [_, _, height, width] = &mut dims[..] {
            (*height, *width) = (tall as i64, wide as i64);
        }
        let raw: Vec<u8> = match tensor.data_type? {
            data_type::FLOAT => spread.iter().flat_map(|&value| (value as f32).to_le_bytes()).collect(),
            data_type::FLOAT16 => spread.iter().flat_map(|&value| f16::from_f64(value).to_le_bytes()).collect(),
            _ => return None,
        };
        let raw_data = Some(Bytes::from(raw));
        Some(TensorProto { dims, data_type: tensor.data_type, raw_data, ..TensorProto::default() })
    }
}

/// Rows and columns.
fn grid(height: usize, width: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..height).flat_map(move |y| (0..width).map(move |x| (y, x)))
}

fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto { name: Some(name.to_owned()), i: Some(value), r#type: Some(INT), ..AttributeProto::default() }
}

fn ints(name: &str, values: &[i64]) -> AttributeProto {
    let (name, ints) = (Some(name.to_owned()), values.to_vec());
    AttributeProto { name, ints, r#type: Some(INTS), ..AttributeProto::default() }
}

#[cfg(test)]
mod tests;
