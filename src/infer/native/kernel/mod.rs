//! The convolution of one row: scalar truth, AVX2 and AVX-512, all with the same bits.
//!
//! Channels lie in planes and the lanes of a register are pixels, so channel counts need no padding, any network's
//! first and last layer are as fast as the others, and a block of outputs by pixels shares each load. Every output is
//! `bias`, then one fused multiply-add for each kernel row, input channel and kernel column, in this order, then the
//! residual, then the activation. A fused multiply-add rounds once on every machine, so all levels agree bit for bit.

#[cfg(target_arch = "x86_64")]
mod amx;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
pub mod bf16;
pub mod duos;
pub mod pairs;
pub mod quads;
mod scalar;
#[cfg(test)]
mod tests;
pub mod tiles;

use crate::simd::cpu::{Avx2, Avx512, Level};

/// Samples that a row is written in at once: rows need room up to a multiple of it.
pub const LANES: usize = 16;
/// Outputs of one block.
const MAX_BLOCK: usize = 8;

/// Which instructions convolutions use; holds the proof that the CPU has them.
#[derive(Clone, Copy, Debug)]
pub enum Kernel {
    /// Plain code.
    Scalar,
    /// AVX2 with FMA.
    Avx2(Avx2),
    /// AVX-512.
    Avx512(Avx512),
}

impl Kernel {
    /// The best of `level` that this CPU has.
    pub fn at(level: Level) -> Kernel {
        match (level, Avx512::new(), Avx2::new()) {
            (Level::Avx512, Some(proof), _) => Kernel::Avx512(proof),
            (Level::Avx512 | Level::Avx2, _, Some(proof)) => Kernel::Avx2(proof),
            _ => Kernel::Scalar,
        }
    }
}

/// What is applied to a sum at once.
#[derive(Clone, Debug, PartialEq)]
pub enum Activation {
    /// Nothing.
    None,
    /// `max(0, x)`
    Relu,
    /// `x` above zero, else `x` times the channel's slope.
    Slope(Vec<f32>),
    /// `min(high, max(low, x))`
    Clip(f32, f32),
}

impl Activation {
    /// Of a value of channel `channel`. Not-a-number stays.
    pub fn apply(&self, channel: usize, x: f32) -> f32 {
        match self {
            Activation::None => x,
            Activation::Relu => larger(0.0, x),
            Activation::Slope(slopes) => {
                if x < 0.0 {
                    x * slopes[channel]
                } else {
                    x
                }
            }
            Activation::Clip(low, high) => smaller(*high, larger(*low, x)),
        }
    }
}

/// `maxps`: the second where they do not compare.
pub fn larger(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

/// `minps`: the second where they do not compare.
pub fn smaller(a: f32, b: f32) -> f32 {
    if a < b { a } else { b }
}

/// The weights of a convolution's group, in the order in which they are used.
pub struct Weights {
    /// For each block of outputs: kernel rows, inputs, kernel columns, outputs of the block.
    packed: Vec<f32>,
    bias: Vec<f32>,
    n_inputs: usize,
    kernel: [usize; 2],
}

/// Outputs that are computed together.
struct Block<'a> {
    /// The first of them.
    first: usize,
    /// How many; 1 to [`MAX_BLOCK`].
    n: usize,
    weights: &'a [f32],
    bias: &'a [f32],
}

impl Weights {
    /// Packs weights in the order outputs, inputs, kernel rows, kernel columns; one bias an output.
    pub fn new(weights: &[f32], bias: Vec<f32>, n_inputs: usize, kernel: [usize; 2]) -> Weights {
        let [rows, columns] = kernel;
        assert_eq!(weights.len(), bias.len() * n_inputs * rows * columns);
        let mut packed = Vec::with_capacity(weights.len());
        for (first, n) in blocks(bias.len(), MAX_BLOCK) {
            for ky in 0..rows {
                for input in 0..n_inputs {
                    for kx in 0..columns {
                        let at = |output: usize| ((output * n_inputs + input) * rows + ky) * columns + kx;
                        packed.extend((first..first + n).map(|output| weights[at(output)]));
                    }
                }
            }
        }
        Weights { packed, bias, n_inputs, kernel }
    }

    /// Outputs.
    pub fn n_outputs(&self) -> usize {
        self.bias.len()
    }

    /// Inputs.
    pub fn n_inputs(&self) -> usize {
        self.n_inputs
    }

    /// The weight of an output and an input at a row and column of the kernel.
    fn value(&self, output: usize, input: usize, [ky, kx]: [usize; 2]) -> f32 {
        let block = self.blocks().find(|block| (block.first..block.first + block.n).contains(&output));
        let block = block.expect("every output is in a block");
        block.weights[((ky * self.n_inputs + input) * self.kernel[1] + kx) * block.n + output - block.first]
    }

    fn blocks(&self) -> impl Iterator<Item = Block<'_>> {
        let taps = self.n_inputs * self.kernel[0] * self.kernel[1];
        blocks(self.bias.len(), MAX_BLOCK).map(move |(first, n)| Block {
            first,
            n,
            weights: &self.packed[first * taps..(first + n) * taps],
            bias: &self.bias[first..first + n],
        })
    }
}

/// Cuts outputs into as few blocks as possible, of about one size and at most `most`: first output and number.
fn blocks(n_outputs: usize, most: usize) -> impl Iterator<Item = (usize, usize)> {
    let n_blocks = n_outputs.div_ceil(most);
    let start = move |block: usize| block * n_outputs / n_blocks;
    (0..n_blocks).map(move |block| (start(block), start(block + 1) - start(block)))
}

/// Where a row of a convolution's group lies in memory; all places are indices of the first sample.
pub struct ConvRow<'a> {
    /// For each kernel row and input: the sample that the first column of the kernel meets for output column 0.
    pub inputs: &'a [usize],
    /// Samples between the kernel's columns.
    pub dilation: usize,
    /// For each output, its row.
    pub outputs: &'a [usize],
    /// For each output, what is added; empty for nothing.
    pub residual: &'a [usize],
    /// Of the whole convolution.
    pub activation: &'a Activation,
    /// The group's first output among the convolution's.
    pub first_channel: usize,
    /// Samples to compute.
    pub width: usize,
}

/// Computes one row of one group. Up to the next multiple of [`LANES`] samples of each output row are overwritten.
pub fn conv_row(kernel: Kernel, memory: &mut [f32], weights: &Weights, row: &ConvRow) {
    let padded = row.width.next_multiple_of(LANES);
    let reach = padded + (weights.kernel[1] - 1) * row.dilation;
    assert_eq!(row.inputs.len(), weights.n_inputs * weights.kernel[0]);
    assert_eq!(row.outputs.len(), weights.bias.len());
    assert!(row.residual.is_empty() || row.residual.len() == row.outputs.len());
    assert!(row.inputs.iter().all(|&place| place <= memory.len() && reach <= memory.len() - place));
    let rows = row.outputs.iter().chain(row.residual);
    assert!(rows.into_iter().all(|&place| place <= memory.len() && padded <= memory.len() - place));
    if let Activation::Slope(slopes) = row.activation {
        assert!(slopes.len() >= row.first_channel + row.outputs.len());
    }
    match kernel {
        #[cfg(target_arch = "x86_64")]
        Kernel::Avx512(proof) => avx512::conv_row(proof, memory, weights, row),
        #[cfg(target_arch = "x86_64")]
        Kernel::Avx2(proof) => avx2::conv_row(proof, memory, weights, row),
        _ => scalar::conv_row(memory, weights, row),
    }
}
