//! What is concluded from a graph, each conclusion with its reason.
//!
//! [`GraphFacts`] is there for every readable graph; [`GraphFacts::picture_facts`] gives what is needed to run a network
//! that turns a picture into a picture, or the reason why it is none, and `network_facts` (`detector`) also that for
//! networks that find things. The graph is traced
//! (`model/radius`) at two very different sizes when its size is free, and what differs between the two is not a fact;
//! with a batch of three, because a network that mixes its batch must be fed one picture at a time; and at a usual
//! size for what it costs. Colour order stands in no graph, and value range in few (`range`): they are assumed, unless
//! overridden.

use crate::error::{Error, Kind, Result};
use crate::model::overrides::Overrides;
use crate::model::{Channels, Dial, Element, Layout, NetworkFacts, Port};

use super::Model;
use super::detector::Given;
pub use super::ports::PortFacts;
use super::ports::{self, Dim};
use super::proto::{GraphProto, NodeProto, data_type, short};
use super::range::{self, WHITE};
use super::seen::{Picture, Seen, candidates, channel_axis, row_axis};
use super::strength;

/// Bytes of activations an input pixel.
const MAX_BYTES_PER_PIXEL: f64 = (1u64 << 20) as f64;
/// Multiply-adds an input pixel; the largest known upscalers take 20 million.
const MAX_MULTIPLY_ADDS: f64 = 1e9;
/// Output pixels per input pixel along a side.
const MAX_SCALE: i64 = 16;

/// A fact that was concluded, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conclusion {
    /// What it is about.
    pub fact: &'static str,
    /// What holds.
    pub value: String,
    /// Why.
    pub reason: String,
}

/// Everything concluded from a graph.
#[derive(Clone, Debug)]
pub struct GraphFacts {
    /// The inputs that are no weights.
    pub inputs: Vec<PortFacts>,
    /// The outputs.
    pub outputs: Vec<PortFacts>,
    /// The program that wrote the file.
    pub producer: String,
    /// The version of the format.
    pub ir_version: i64,
    /// The version of the standard operators.
    pub opset: i64,
    /// Keys and values that the exporter left in the file.
    pub metadata: Vec<(String, String)>,
    /// Elements of weights: initialisers and Constant nodes of floats and bytes; scalars and integers that only steer
    /// shapes do not count.
    pub parameters: u64,
    /// How strongly the network acts, if it can be told.
    pub dial: Option<Dial>,
    /// Operators with how often they occur, the most frequent first.
    pub operators: Vec<(String, usize)>,
    /// Multiply-adds of convolutions and matrix products, and what pooling looks at, for each input pixel.
    pub multiply_adds_per_pixel: Option<f64>,
    /// The most bytes of tensors alive at once for each input pixel, without engines' own scratch: rough.
    pub activation_bytes_per_pixel: Option<f64>,
    /// The order of the input's dimensions.
    pub layout: Layout,
    /// The channels of the input.
    pub channels: i64,
    /// The order of the output's dimensions and its channels, when it is a picture.
    pub output: Option<(Layout, i64)>,
    /// Output pixels per input pixel along a side, when it is a picture.
    pub scale: Option<usize>,
    /// The receptive radius in input pixels; `None` when the network looks at the whole picture or gives none.
    pub radius: Option<usize>,
    /// Offsets and sizes of windows must be multiples of this.
    pub multiple_of: usize,
    /// Width and height, if only one size is taken.
    pub fixed_size: Option<(usize, usize)>,
    /// The batch size, if only one is taken.
    pub fixed_batch: Option<usize>,
    /// Floating point that holds code values of 8 bits, as the graph itself shows: the input and the output.
    pub(super) is_code_value: (bool, bool),
    /// What the outputs look like, of a network that may find things.
    pub(super) given: Option<Given>,
    /// Each fact with its reason.
    pub conclusions: Vec<Conclusion>,
    /// Why this network cannot be run on pictures, if it cannot.
    pub(super) refusal: Option<String>,
    /// Whether `refusal` is only that the scale cannot be told, so that an override may give it.
    pub(super) wants_scale: bool,
}

/// An element type a picture can be given in.
pub(super) fn element(number: i32) -> Option<Element> {
    match number {
        data_type::FLOAT => Some(Element::F32),
        data_type::FLOAT16 => Some(Element::F16),
        data_type::UINT8 => Some(Element::U8),
        _ => None,
    }
}

impl GraphFacts {
    /// Concludes what can be concluded.
    pub fn new(model: &Model) -> GraphFacts {
        let graph = model.proto.graph.as_ref().expect("a judged model has a graph");
        let metadata: Vec<_> = model
            .proto
            .metadata_props
            .iter()
            .map(|entry| (entry.key.clone().unwrap_or_default(), entry.value.clone().unwrap_or_default()))
            .collect();
        let tensors = graph.node.iter().filter(|node| node.op() == "Constant").filter_map(|node| node.tensor("value"));
        let mut facts = GraphFacts {
            inputs: ports::inputs(graph),
            outputs: ports::outputs(graph),
            producer: model.proto.producer_name.clone().unwrap_or_default(),
            ir_version: model.proto.ir_version.unwrap_or(0),
            opset: model.opset,
            dial: strength::value(graph).map(|own| Dial::new(own, &metadata)),
            metadata,
            parameters: graph
                .initializer
                .iter()
                .chain(tensors)
                .filter(|tensor| tensor.is_weight())
                .map(|tensor| tensor.count() as u64)
                .sum(),
            operators: census(&graph.node),
            multiply_adds_per_pixel: None,
            activation_bytes_per_pixel: None,
            layout: Layout::Nchw,
            channels: 0,
            output: None,
            scale: None,
            radius: None,
            multiple_of: 1,
            fixed_size: None,
            fixed_batch: None,
            is_code_value: (false, false),
            given: None,
            conclusions: Vec::new(),
            refusal: None,
            wants_scale: false,
        };
        facts.say("parameters", facts.parameters, "elements of the weights in the file");
        if let Some(own) = facts.dial.as_ref().map(|dial| dial.own) {
            facts.say("strength", own, "an input with a value of its own; --strength gives another");
        }
        facts.find_code_values(graph);
        if let Err(refusal) = facts.conclude(model) {
            facts.refusal.get_or_insert(refusal);
        }
        facts
    }

    /// Why the network cannot be run on pictures; `None` when it can, with the right overrides at least.
    pub fn refusal(&self) -> Option<&str> {
        self.refusal.as_deref()
    }

    /// What is needed to run the network on pictures, with what the user or the file's metadata know better.
    pub fn picture_facts(&self, overrides: &Overrides) -> Result<NetworkFacts> {
        let refuse = |what: String| Error::new(Kind::Network, what);
        let overrides = overrides.over(&Overrides::from_metadata(&self.metadata));
        let scale = self.scale.or(overrides.scale.filter(|_| self.wants_scale));
        if let Some(refusal) = self.refusal.as_ref().filter(|_| !self.wants_scale || scale.is_none()) {
            return Err(refuse(refusal.clone()));
        }
        let scale = scale.expect("a network that is not refused has a scale");
        if overrides.scale.is_some_and(|wanted| wanted != scale) {
            return Err(refuse(format!(
                "scale {} is set, the graph gives {scale}; correct the TOML",
                overrides.scale.unwrap_or(0)
            )));
        }
        let input_port = self.inputs.first().expect("a network that is not refused has one input");
        let output_port = self.outputs.first().expect("a network that is not refused has one output");
        let (output_layout, output_channels) = self.output.unwrap_or((self.layout, self.channels));
        let channels = overrides.channels.unwrap_or(if self.channels == 1 { Channels::Luma } else { Channels::Rgb });
        if channels.count() as i64 != self.channels || output_channels != self.channels {
            return Err(refuse(format!("{channels:?} has {} channels, the graph {}", channels.count(), self.channels)));
        }
        if overrides.layout.is_some_and(|layout| layout != self.layout) {
            return Err(refuse(format!(
                "layout {:?} is set, the graph is {:?}; correct the TOML",
                overrides.layout, self.layout
            )));
        }
        let kind = |port: &PortFacts| {
            element(port.element).ok_or_else(|| {
                refuse(format!(
                    "{port}: vproc reads and writes pictures in float32, float16 and uint8; cast it in the graph"
                ))
            })
        };
        let (input_element, output_element) = (kind(input_port)?, kind(output_port)?);
        // What is said of the input holds for an output of its type; what the graph shows, each by itself.
        let is_said = overrides.black.is_some() || overrides.white.is_some();
        let white = |element, shown| if element == Element::U8 || (shown && !is_said) { WHITE } else { 1.0 };
        let same = is_said && input_element == output_element;
        let black = overrides.black.unwrap_or(0.0);
        let white_in = overrides.white.unwrap_or(white(input_element, self.is_code_value.0));
        let output_black = overrides.output_black.unwrap_or(if same { black } else { 0.0 });
        let white_out = if same { white_in } else { white(output_element, self.is_code_value.1) };
        let output_white = overrides.output_white.unwrap_or(white_out);
        Ok(NetworkFacts {
            input: Port {
                name: input_port.name.clone(),
                element: input_element,
                layout: self.layout,
                channels,
                black,
                white: white_in,
            },
            output: Port {
                name: output_port.name.clone(),
                element: output_element,
                layout: output_layout,
                channels,
                black: output_black,
                white: output_white,
            },
            scale,
            radius: overrides.radius_over(self.radius)?,
            multiple_of: overrides.multiple_over(self.multiple_of)?,
            fixed_size: self.fixed_size,
            fixed_batch: overrides.batch_over(self.fixed_batch)?,
            detector: None,
        })
    }

    /// Whether the graph shows that its ports hold code values.
    fn find_code_values(&mut self, graph: &GraphProto) {
        let ([input], [output]) = (self.inputs.as_slice(), self.outputs.as_slice()) else { return };
        let is_float = |port: &PortFacts| port.element != data_type::UINT8;
        let divided = is_float(input) && range::is_divided(graph, &input.name);
        let multiplied = is_float(output) && range::is_multiplied(graph, &output.name);
        self.is_code_value = (divided, multiplied);
        if divided {
            self.say("white", WHITE, "the graph divides its input by 255 before anything else");
        }
        if multiplied {
            self.say("output white", WHITE, "the graph multiplies its output by 255 after all else");
        }
    }

    fn say(&mut self, fact: &'static str, value: impl ToString, reason: impl Into<String>) {
        self.conclusions.push(Conclusion { fact, value: value.to_string(), reason: reason.into() });
    }

    fn refuse(&mut self, what: String) {
        self.refusal.get_or_insert(what);
    }

    fn conclude(&mut self, model: &Model) -> std::result::Result<(), String> {
        let [input] = self.inputs.as_slice() else {
            let names: Vec<String> =
                self.inputs.iter().take(4).map(|input| format!("`{}`", short(&input.name))).collect();
            return Err(format!(
                "{} inputs ({}), vproc feeds one picture; make the others constants",
                self.inputs.len(),
                names.join(", ")
            ));
        };
        let input = input.clone();
        if element(input.element).is_none() {
            self.refuse(format!("input {input}: vproc feeds float32, float16 and uint8; cast it in the graph"));
        }
        let dims = input.dims.clone().unwrap_or_else(|| vec![Dim::Free; 4]);
        if dims.len() != 4 {
            return Err(format!(
                "input {input} has {} dimensions, a picture has 4 (NCHW or NHWC); reshape it in the graph",
                dims.len()
            ));
        }
        if dims.contains(&Dim::Fixed(0)) {
            return Err(format!("input {input} is empty; export it with a free size"));
        }
        let mut problem = None;
        for (layout, channels) in candidates(&dims) {
            match Seen::new(model, &input, &dims, layout, channels) {
                Ok(seen) => return self.seen(model, &input, &dims, seen),
                Err(what) => drop(problem.get_or_insert(what)),
            }
        }
        Err(problem.unwrap_or_else(|| format!("input {input}: no dimension can be the channels")))
    }

    fn seen(&mut self, model: &Model, input: &PortFacts, dims: &[Dim], seen: Seen) -> std::result::Result<(), String> {
        let Seen { layout, channels, fixed, .. } = seen;
        (self.layout, self.channels) = (layout, channels);
        let declared = if matches!(dims[channel_axis(layout)], Dim::Fixed(_)) {
            "declared"
        } else {
            "the first that fits the weights"
        };
        self.say("input", input, "the only input that is no weight");
        self.say(
            "layout",
            format!("{layout:?}"),
            format!("{channels} channels at dimension {}, {declared}", channel_axis(layout)),
        );
        let pixels = (seen.usual.0 * seen.usual.1 * seen.batch) as f64;
        self.multiply_adds_per_pixel = Some(seen.cost.multiply_adds / pixels);
        self.activation_bytes_per_pixel = Some(seen.cost.peak_bytes / pixels);
        let at = format!("counted at {}x{}", seen.usual.1, seen.usual.0);
        self.say("multiply-adds per pixel", format!("{:.0}", seen.cost.multiply_adds / pixels), at.clone());
        self.say(
            "activation bytes per pixel",
            format!("{:.0}", seen.cost.peak_bytes / pixels),
            format!("{at}, tensors alive at once"),
        );
        self.fixed_size = fixed.map(|(rows, columns)| (columns as usize, rows as usize));
        if let Some((width, height)) = self.fixed_size {
            let free = [dims[row_axis(layout)].clone(), dims[row_axis(layout) + 1].clone()];
            let reason = if free.iter().all(|dim| matches!(dim, Dim::Fixed(_))) {
                "declared"
            } else {
                "one side is declared, the other set to the same"
            };
            self.say("fixed size", format!("{width}x{height}"), reason);
        }
        self.fixed_batch = seen.fixed_batch.map(|batch| batch as usize);
        if let Some(batch) = self.fixed_batch {
            self.say("fixed batch", batch, seen.batch_reason);
        }
        self.multiple_of = seen.multiple_of as usize;
        let reasons = &seen.runs[0].multiple_reasons;
        self.say(
            "multiple of",
            seen.multiple_of,
            if reasons.is_empty() { "no operator strides or shrinks".into() } else { reasons.join("; ") },
        );
        if !matches!(channels, 1 | 3) {
            self.refuse(format!("input {input} has {channels} channels, vproc feeds 1 (luma) or 3 (RGB)"));
        }
        let bytes = seen.cost.peak_bytes / pixels;
        if bytes > MAX_BYTES_PER_PIXEL {
            self.refuse(format!(
                "it needs {bytes:.0} bytes for each input pixel, at most {MAX_BYTES_PER_PIXEL:.0} are allowed"
            ));
        }
        let work = seen.cost.multiply_adds / pixels;
        if work > MAX_MULTIPLY_ADDS {
            self.refuse(format!(
                "it takes {work:.0} multiply-adds for each input pixel, at most {MAX_MULTIPLY_ADDS:.0} are allowed"
            ));
        }
        // What is refused already is so whatever it gives, and what gives a picture finds nothing.
        let may_find = self.refusal.is_none() && channels == 3;
        let pictures = self.pictures(&seen);
        if may_find && (pictures.is_err() || self.refusal.is_some()) {
            self.given = Some(Given::new(model, input, &self.outputs, &seen));
        }
        pictures
    }

    /// Whether the output is a picture, and if so its scale and how far it looks.
    fn pictures(&mut self, seen: &Seen) -> std::result::Result<(), String> {
        let shown: Vec<String> = self.outputs.iter().take(3).map(PortFacts::to_string).collect();
        let shown = format!("{}{}", shown.join(", "), if self.outputs.len() > 3 { ", ..." } else { "" });
        if self.outputs.len() != 1 {
            return Err(format!(
                "{} outputs ({shown}), vproc runs picture-to-picture networks, which have one",
                self.outputs.len()
            ));
        }
        let mut found: Vec<Picture> = Vec::new();
        for (at, run) in seen.runs.iter().enumerate() {
            let value = &run.outputs[0];
            let Some(axes) = &value.axes else {
                let why = value.whole.as_deref().unwrap_or("it does not depend on the picture").to_owned();
                if self.refusal.is_none() && matches!(self.channels, 1 | 3) {
                    self.wants_scale = true;
                }
                self.say("radius", "whole picture", why.clone());
                return Err(format!(
                    "the size of the output {shown} cannot be told from the graph ({why}); give `scale` in a TOML"
                ));
            };
            found.push(seen.picture(at, axes, &shown)?);
        }
        let first = found[0].clone();
        if found
            .iter()
            .any(|other| (other.layout, other.channels, other.scale) != (first.layout, first.channels, first.scale))
        {
            return Err(format!(
                "the size of the output {shown} is no fixed multiple of the input's; export it with a fixed size"
            ));
        }
        let same_radius = found.iter().all(|other| other.radius == first.radius);
        let radius =
            if same_radius { first.radius } else { Err("what an output depends on changes with the size".to_owned()) };
        self.output = Some((first.layout, first.channels));
        if first.channels != self.channels {
            self.refuse(format!(
                "{} channels in, {} out ({shown}); vproc runs picture-to-picture networks, which keep them",
                self.channels, first.channels
            ));
        }
        if first.scale > MAX_SCALE {
            return Err(format!(
                "output {shown} is {} times larger than the input, at most {MAX_SCALE} is allowed",
                first.scale
            ));
        }
        self.scale = Some(first.scale as usize);
        self.say("scale", first.scale, "sizes followed through the graph");
        let reaching: Vec<String> =
            seen.runs[0].reaching.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        match radius {
            Ok(radius) => {
                let reason =
                    if reaching.is_empty() { "no operator reaches beyond a pixel".into() } else { reaching.join(", ") };
                self.say("radius", radius, reason);
                self.radius = Some(radius);
            }
            Err(reason) => {
                self.say("radius", "whole picture", reason);
                // What mixes a picture might mix a batch too, and whole frames gain nothing from being batched.
                if self.fixed_batch.is_none() {
                    self.fixed_batch = Some(1);
                    self.say("fixed batch", 1, "a network that looks at whole pictures gets one at a time");
                }
            }
        }
        Ok(())
    }
}

/// Operators with how often they occur, the most frequent first.
fn census(nodes: &[NodeProto]) -> Vec<(String, usize)> {
    let mut counts = std::collections::BTreeMap::new();
    nodes.iter().for_each(|node| *counts.entry(node.op().to_owned()).or_insert(0) += 1);
    let mut operators: Vec<(String, usize)> = counts.into_iter().collect();
    operators.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    operators
}

#[cfg(test)]
mod tests;
