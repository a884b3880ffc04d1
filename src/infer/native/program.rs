//! A network as a program over rows: what each node computes, from which channels, and which rows it needs for one.
//!
//! A value of the graph is a list of [`Channel`]s, so that Concat, Split and Identity cost nothing: they only name other
//! channels. Nodes stand after all that they read. Nothing here knows the picture's size; [`Extent`] says how a node's
//! size follows from it, and `layout` puts numbers in.

use super::kernel::duos::DuoWeights;
use super::kernel::pairs::PairWeights;
use super::kernel::quads::QuadWeights;
use super::kernel::tiles::TileWeights;
use super::kernel::{Activation, Weights};

/// One channel of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Channel {
    /// The node.
    pub node: usize,
    /// Which of its channels.
    pub index: usize,
}

/// A length in terms of the picture's: `length * up + extra`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Times the picture's length.
    pub up: usize,
    /// This many more.
    pub extra: isize,
}

impl Extent {
    /// The picture's own.
    pub const PICTURE: Extent = Extent { up: 1, extra: 0 };

    /// This many longer.
    pub fn grown(self, by: isize) -> Extent {
        Extent { extra: self.extra + by, ..self }
    }

    /// This many times as long.
    pub fn times(self, factor: usize) -> Extent {
        Extent { up: self.up * factor, extra: self.extra * factor as isize }
    }

    /// Whether it leaves what a picture can be enlarged or continued to.
    pub fn is_absurd(&self) -> bool {
        self.up > 64 || self.extra.unsigned_abs() > 1 << 20
    }

    /// The length for a picture of `length`; `None` if nothing is left.
    pub fn of(self, length: usize) -> Option<usize> {
        usize::try_from((length * self.up) as isize + self.extra).ok().filter(|&length| length > 0)
    }
}

/// Rows and columns, in this order wherever both stand in an array.
pub type Pair<T> = [T; 2];

/// A convolution with stride 1 and what follows it at once.
pub struct Conv {
    /// Its groups, each with the range of `Node::inputs` it sums over; outputs follow each other.
    pub groups: Vec<Group>,
    /// Height and width of the kernel.
    pub kernel: Pair<usize>,
    /// Steps between taps.
    pub dilation: Pair<usize>,
    /// Zeros above and left.
    pub before: Pair<usize>,
    /// Added to the sums: a channel for each output, of the node's own size; empty for none.
    pub residual: Vec<Channel>,
    /// Applied last.
    pub activation: Activation,
    /// The weights of its only group once more, where it is computed in bf16.
    pub half: Option<Half>,
    /// What the weights of its only group are in steps, where the network says so.
    pub steps: Option<Box<Steps>>,
}

/// The weights of a convolution in bf16.
pub enum Half {
    /// For packed rows.
    Tiles(TileWeights),
    /// For planes of two channels.
    Duos(DuoWeights),
}

/// The weights of a convolution in steps of 8 bits.
pub struct Steps {
    /// In the order outputs, inputs, kernel rows, kernel columns.
    pub weights: Vec<i8>,
    /// One for each output.
    pub scales: Vec<f32>,
    /// For each output, how many steps of which size; empty for nothing.
    pub bias: Vec<(i32, f32)>,
}

/// A convolution from codes of 8 bits to codes, with stride 1.
pub struct QuadConv {
    /// Its weights.
    pub weights: QuadWeights,
    /// Height and width of the kernel.
    pub kernel: Pair<usize>,
    /// Steps between taps.
    pub dilation: Pair<usize>,
    /// Codes of zero above and left.
    pub before: Pair<usize>,
    /// What its results stand for.
    pub coding: Coding,
    /// Added to what its codes stand for: a channel for each output, of the node's own size; empty for none.
    pub residual: Vec<Channel>,
}

/// How numbers become codes of 8 bits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Coding {
    /// A step.
    pub scale: f32,
    /// The whole number of steps that stands for zero.
    pub zero: f32,
    /// The least whole number, whose code is 0.
    pub low: f32,
}

impl Coding {
    /// The code of zero.
    pub fn zero_code(self) -> u8 {
        (self.zero - self.low) as u8
    }
}

/// Channels that lie beside each other, each the longest possible run of them.
pub fn neighbours(channels: &[Channel]) -> impl Iterator<Item = &[Channel]> {
    channels.chunk_by(|a, b| a.node == b.node && a.index + 1 == b.index)
}

/// A group of a convolution.
pub struct Group {
    /// The first of its inputs.
    pub first_input: usize,
    /// Its weights.
    pub weights: Weights,
    /// The same for two rows at once, where that pays.
    pub pairs: Option<PairWeights>,
}

impl Conv {
    /// Whether two rows are computed at once.
    pub fn is_paired(&self) -> bool {
        match &self.half {
            None => self.groups.iter().all(|group| group.pairs.is_some()),
            Some(Half::Tiles(_)) => false,
            Some(Half::Duos(weights)) => weights.is_paired(),
        }
    }
}

/// What is done with two operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arithmetic {
    /// `a + b`
    Add,
    /// `a - b`
    Sub,
    /// `a * b`
    Mul,
    /// `a / b`
    Div,
    /// The larger.
    Max,
    /// The smaller.
    Min,
}

/// Functions of one number that are no [`Activation`] of a convolution.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Function {
    /// `1 / (1 + exp(-x))`
    Sigmoid,
    /// `tanh(x)`
    Tanh,
    /// `x / (1 + exp(-alpha x))`
    Silu(f32),
    /// `x max(0, min(1, x / 6 + 1 / 2))`
    HardSwish,
    /// `max(0, min(1, alpha x + beta))`
    HardSigmoid(f32, f32),
    /// `|x|`
    Abs,
    /// `-x`
    Neg,
    /// The whole number nearest to `x / scale`, halves to even, plus `zero`, from `low` to `high`.
    Quantize {
        /// A step.
        scale: f32,
        /// The number of steps that stands for zero.
        zero: f32,
        /// The least number.
        low: f32,
        /// The largest.
        high: f32,
    },
}

/// What a picture is continued with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Border {
    /// A number.
    Constant(f32),
    /// The picture mirrored, the edge not repeated.
    Reflect,
    /// The edge repeated.
    Edge,
}

/// Which input element an output element of an enlarged axis is made of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sampling {
    /// One element.
    Nearest(Rounding),
    /// The two around it.
    Linear,
}

/// How a position between elements becomes one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rounding {
    /// To the nearest, halves down.
    HalfDown,
    /// To the nearest, halves up.
    HalfUp,
    /// Down.
    Floor,
    /// Up.
    Ceil,
}

/// Where the output's elements lie among the input's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coordinates {
    /// `(x + 1/2) / factor - 1/2`
    HalfPixel,
    /// `x / factor`
    Asymmetric,
    /// Corner on corner.
    AlignCorners,
}

/// An enlargement by whole factors.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Resize {
    /// Of rows and columns.
    pub factor: Pair<usize>,
    /// What elements are made of.
    pub sampling: Sampling,
    /// Where they lie.
    pub coordinates: Coordinates,
}

/// What a node computes.
pub enum Op {
    /// The picture.
    Input,
    /// A convolution.
    Conv(Box<Conv>),
    /// A convolution of codes.
    Quads(Box<QuadConv>),
    /// An activation that no convolution took up.
    Activation(Activation),
    /// A function of each element.
    Function(Function),
    /// Two operands: the first half of the inputs with the second.
    Binary(Arithmetic),
    /// Each input with a number of its own; `true` when the number is the left operand.
    Constant(Arithmetic, Vec<f32>, bool),
    /// The picture continued at its ends, below and right to the node's size.
    Pad {
        /// Rows above and columns left.
        before: Pair<usize>,
        /// With what.
        border: Border,
    },
    /// Channels to blocks of pixels: output channel `c` at `(dy, dx)` of a block comes from input
    /// `order[(c * block + dy) * block + dx]`.
    Shuffle {
        /// Pixels of a block, both ways.
        block: usize,
        /// The inputs.
        order: Vec<usize>,
    },
    /// An enlargement.
    Resize(Resize),
}

/// A node: its output is `channels` planes.
pub struct Node {
    /// What it computes.
    pub op: Op,
    /// What from.
    pub inputs: Vec<Channel>,
    /// How many channels come out.
    pub channels: usize,
    /// Rows and columns that come out.
    pub extent: Pair<Extent>,
    /// How its rows are kept.
    pub form: Form,
}

/// How rows are kept: as planes of f32, in bf16 packed with room for so many channels or as planes of two channels, as
/// codes of a byte, or several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Form {
    /// As planes.
    pub planes: bool,
    /// Packed.
    pub packed: Option<usize>,
    /// As planes of two channels.
    pub duos: bool,
    /// As codes, of which this one is zero.
    pub codes: Option<u8>,
}

impl Form {
    /// As planes alone.
    pub const PLANES: Form = Form { planes: true, packed: None, duos: false, codes: None };
}

impl Node {
    /// What is read of the row that is computed, whatever else is.
    pub fn residual(&self) -> &[Channel] {
        match &self.op {
            Op::Conv(conv) => &conv.residual,
            Op::Quads(conv) => &conv.residual,
            _ => &[],
        }
    }

    /// The last of the rows that are computed together with row `y`, the next one, of a picture that begins at row
    /// `top` of what it is a window of. Which rows those are must not depend on the window.
    pub fn last_of(&self, y: usize, height: usize, top: usize) -> usize {
        let is_upper = (y + top * self.extent[0].up).is_multiple_of(2);
        match &self.op {
            Op::Conv(conv) if conv.is_paired() && is_upper => (y + 1).min(height - 1),
            _ => y,
        }
    }
}

/// A network.
pub struct Program {
    /// In an order in which they can be computed; the first is the picture.
    pub nodes: Vec<Node>,
    /// What comes out.
    pub output: Vec<Channel>,
}

/// Inclusive; `None` when no row inside the input is needed.
pub type Rows = Option<(usize, usize)>;

impl Op {
    /// The rows of the inputs (of `height` rows) that row `y` of the output is made of.
    pub fn reads(&self, y: usize, height: usize) -> Rows {
        match self {
            Op::Input => None,
            Op::Conv(conv) => taps(y, conv.before[0], (conv.kernel[0] - 1) * conv.dilation[0], height),
            Op::Quads(conv) => taps(y, conv.before[0], (conv.kernel[0] - 1) * conv.dilation[0], height),
            Op::Activation(_) | Op::Function(_) | Op::Binary(_) | Op::Constant(..) => Some((y, y)),
            Op::Pad { before, border, .. } => border.source(y, before[0], height).map(|y| (y, y)),
            Op::Shuffle { block, .. } => Some((y / block, y / block)),
            Op::Resize(resize) => {
                let (first, last, _) = resize.source(0, y, height);
                Some((first, last))
            }
        }
    }
}

/// The rows of `height` that a kernel that reaches `reach` rows down from `before` above row `y` meets.
fn taps(y: usize, before: usize, reach: usize, height: usize) -> Rows {
    let first = y as isize - before as isize;
    let last = (first + reach as isize).min(height as isize - 1);
    let first = first.max(0);
    (first <= last).then_some((first as usize, last as usize))
}

impl Border {
    /// The input element that element `at` of the continued axis is; `None` for the constant.
    pub fn source(self, at: usize, before: usize, length: usize) -> Option<usize> {
        let (place, last) = (at as isize - before as isize, length as isize - 1);
        let inside = match self {
            Border::Constant(_) => return usize::try_from(place).ok().filter(|&place| place < length),
            Border::Edge => place.clamp(0, last),
            Border::Reflect if place < 0 => -place,
            Border::Reflect if place > last => 2 * last - place,
            Border::Reflect => place,
        };
        Some(inside.clamp(0, last) as usize)
    }
}

impl Resize {
    /// The two elements of an input axis of `length` that element `at` of the output axis lies between, and how far
    /// towards the second.
    pub fn source(&self, axis: usize, at: usize, length: usize) -> (usize, usize, f32) {
        let last = length - 1;
        let (element, part) = self.place(axis, at, length);
        let inside = |element: isize| usize::try_from(element).unwrap_or(0).min(last);
        match self.sampling {
            Sampling::Nearest(rounding) => {
                let is_next = match rounding {
                    Rounding::HalfDown => part > 0.5,
                    Rounding::HalfUp => part >= 0.5,
                    Rounding::Floor => false,
                    Rounding::Ceil => part > 0.0,
                };
                let element = inside(element + isize::from(is_next));
                (element, element, 0.0)
            }
            Sampling::Linear => {
                let first = inside(element);
                // Beyond the ends there is nothing to go towards.
                let part = if first as isize == element && first < last { part } else { 0.0 };
                (first, inside(first as isize + 1), part)
            }
        }
    }

    /// The element at or before the place of element `at` of the output axis, and how far the place is towards the
    /// next. By whole factors that is a whole number and a phase, which is the same wherever a window begins.
    fn place(&self, axis: usize, at: usize, length: usize) -> (isize, f32) {
        let (at, factor) = (at as isize, self.factor[axis] as isize);
        let (steps, of) = match self.coordinates {
            Coordinates::HalfPixel => (2 * at + 1 - factor, 2 * factor),
            Coordinates::Asymmetric => (at, factor),
            // These hang on the length of the axis, so there are no windows of them; in f32 as ONNX Runtime has them.
            Coordinates::AlignCorners => {
                let last = length - 1;
                let end = (length as f32 * factor as f32 - 1.0).max(1.0);
                let place = at as f32 * last as f32 / end;
                return (place.floor() as isize, place.fract());
            }
        };
        (steps.div_euclid(of), steps.rem_euclid(of) as f32 / of as f32)
    }
}

#[cfg(test)]
mod tests;
