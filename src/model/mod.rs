//! Networks: the file, what can be concluded from it, and the tensors it takes and gives.
//!
//! [`NetworkFacts`] is all the rest of the program knows of a network. Nothing here runs one.

pub mod builtin;
pub mod detector;
pub mod onnx;
pub mod overrides;
pub mod probe;
pub mod radius;
#[cfg(test)]
pub(crate) mod shared;
pub mod strength;
pub mod tensor;

use std::sync::Arc;

use serde::Deserialize;

pub use detector::{Detector, DetectorSize, Family, FamilyName};
pub use strength::Dial;
pub use tensor::{Element, Tensor};

use crate::error::Result;
use radius::map::lcm;

/// Which components of a picture a network takes and gives, in which order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Channels {
    /// Luma alone; chroma is resized beside it.
    Luma,
    /// Red, green, blue.
    Rgb,
    /// Blue, green, red.
    Bgr,
}

impl Channels {
    /// 1 or 3.
    pub fn count(self) -> usize {
        match self {
            Channels::Luma => 1,
            Channels::Rgb | Channels::Bgr => 3,
        }
    }
}

/// The order of a tensor's dimensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// Batch, channels, height, width.
    Nchw,
    /// Batch, height, width, channels.
    Nhwc,
}

impl Layout {
    /// A shape in this order.
    pub fn shape(self, batch: usize, channels: usize, height: usize, width: usize) -> [usize; 4] {
        match self {
            Layout::Nchw => [batch, channels, height, width],
            Layout::Nhwc => [batch, height, width, channels],
        }
    }
}

/// One side of a network: its input or its output.
#[derive(Clone, Debug, PartialEq)]
pub struct Port {
    /// The name in the graph.
    pub name: String,
    /// The type of its elements.
    pub element: Element,
    /// The order of its dimensions.
    pub layout: Layout,
    /// The components.
    pub channels: Channels,
    /// The tensor's value for black (code value of black in the stream's range).
    pub black: f32,
    /// The tensor's value for white.
    pub white: f32,
}

/// What is known of a network that turns a picture into a picture, or finds things in it: then what holds of the output's
/// pictures is that they are the input's.
#[derive(Clone, Debug, PartialEq)]
pub struct NetworkFacts {
    /// What goes in.
    pub input: Port,
    /// What comes out.
    pub output: Port,
    /// Output pixels per input pixel, the same both ways.
    pub scale: usize,
    /// The receptive radius in input pixels; `None` when the network looks at the whole picture.
    pub radius: Option<usize>,
    /// Offsets and sizes of windows must be multiples of this.
    pub multiple_of: usize,
    /// Width and height, if the network takes one size only.
    pub fixed_size: Option<(usize, usize)>,
    /// The batch size, if it is fixed.
    pub fixed_batch: Option<usize>,
    /// What it finds, for a network that gives no picture.
    pub detector: Option<Detector>,
}

impl NetworkFacts {
    /// The shapes of what goes in and what comes out for `batch` windows of this width and height.
    pub fn shapes(&self, batch: usize, (width, height): (usize, usize)) -> [[usize; 4]; 2] {
        let of = |port: &Port, (width, height)| port.layout.shape(batch, port.channels.count(), height, width);
        match &self.detector {
            Some(detector) => {
                let size = detector.input_size((width, height));
                [of(&self.input, size), [batch, 1, detector.n_candidates(size), detector.n_values]]
            }
            None => [of(&self.input, (width, height)), of(&self.output, (width * self.scale, height * self.scale))],
        }
    }
}

/// What runs a network.
#[derive(Clone)]
pub enum NetworkCode {
    /// Gives back what it gets; needs no library.
    Identity,
    /// Repeats each pixel twice both ways; needs no library.
    NearestX2,
    /// An ONNX graph in memory, checked by us before any library sees it.
    Onnx(Arc<[u8]>),
}

/// A network ready to be run by an engine.
#[derive(Clone)]
pub struct Network {
    /// How the user named it.
    pub name: String,
    /// Hash of all that decides its results.
    pub hash: u128,
    /// Hash of the network as it was read, whatever it was told and however it was written since.
    pub origin: u128,
    /// What is known of it.
    pub facts: NetworkFacts,
    /// Multiply-adds for each input pixel; `None` where the graph does not tell.
    pub work: Option<f64>,
    /// How strongly it acts, if it can be told.
    pub dial: Option<Dial>,
    /// What runs it.
    pub code: NetworkCode,
}

impl Network {
    /// The same network told to act so strongly, which makes it another one.
    pub fn with_strength(self, strength: f32) -> Result<Network> {
        match (&self.code, &self.dial) {
            (NetworkCode::Onnx(bytes), Some(_)) if self.facts.detector.is_none() => {
                let (bytes, hash) = onnx::with_strength(bytes, strength)?;
                Ok(Network { hash, code: NetworkCode::Onnx(bytes), ..self })
            }
            _ => Err(strength::refused(&self.name)),
        }
    }

    /// The resize, if there is one, for which general engines give other bits in windows than in whole pictures of this
    /// width and height, by so little that a picture of noise may not show it.
    pub fn drifting(&self, size: (usize, usize)) -> Option<String> {
        match &self.code {
            // Those that find things get no windows.
            NetworkCode::Onnx(_) if self.facts.detector.is_some() => None,
            NetworkCode::Onnx(bytes) => onnx::drifting(bytes, &self.facts, size),
            NetworkCode::Identity | NetworkCode::NearestX2 => None,
        }
    }

    /// The network with convolutions that give blocks of pixels, for engines that compute `lanes` channels at once and
    /// pictures of this width and height; as it is where nothing is gained. What it gives is the same up to rounding,
    /// and it wants sizes of larger multiples, of which the pictures' are.
    pub fn in_blocks(self, lanes: usize, (width, height): (usize, usize)) -> Result<Network> {
        let NetworkCode::Onnx(bytes) = &self.code else { return Ok(self) };
        if self.facts.detector.is_some() {
            return Ok(self);
        }
        let of = self.facts.multiple_of.max(1);
        let size = (width.next_multiple_of(of), height.next_multiple_of(of));
        let window = self.facts.fixed_size.unwrap_or(size);
        let Some((graph, side)) = onnx::in_blocks(bytes, &self.facts, lanes, window)? else { return Ok(self) };
        // Windows of one size are what they are.
        let multiple_of = if self.facts.fixed_size.is_some() { Some(of as i64) } else { lcm(of as i64, side as i64) };
        let Some(multiple_of) = multiple_of else { return Ok(self) };
        let facts = NetworkFacts { multiple_of: multiple_of as usize, ..self.facts };
        Ok(Network { hash: graph.hash, facts, code: NetworkCode::Onnx(graph.bytes), ..self })
    }
}
