//! The convolution of one row in whole numbers of 8 bits: scalar truth, AVX2 and AVX-512 VNNI, all with the same bits.
//!
//! Four channels of a pixel are the four bytes of one element of a row, so that rows of 32-bit elements hold all channels
//! in a quarter of the memory, an instruction multiplies four of them at once, and all else is as in the convolution of
//! floats: the lanes of a register are pixels, and kernel columns are elements. Sums are of 32 bits and exact; whoever
//! makes the weights has seen to it that they do not overflow.
//!
//! What is written is `zero + round(sum * factor)`, halves to even, between two ends: one multiplication and one rounding
//! in f32, which is how ONNX Runtime's QLinearConv defines it, so the codes are the same as there. Codes that are made
//! numbers again for an activation or a sum, and codes once more, are so on the way: [`After`].

use super::LANES;
use crate::simd::cpu::{Avx2, Level, Vnni};

/// Channels of one element.
pub const DEPTH: usize = 4;
/// Elements of results that are computed together.
pub(super) const MAX_BLOCK: usize = 2;

/// Which instructions convolutions of whole numbers use; holds the proof that the CPU has them.
#[derive(Clone, Copy, Debug)]
pub enum QuadKernel {
    /// Plain code.
    Scalar,
    /// AVX2.
    Avx2(Avx2),
    /// AVX-512 with VNNI.
    Vnni(Vnni),
}

impl QuadKernel {
    /// The best of `level` that this CPU has.
    pub fn at(level: Level) -> QuadKernel {
        match (level, Vnni::new(), Avx2::new()) {
            (Level::Avx512, Some(proof), _) => QuadKernel::Vnni(proof),
            (Level::Avx512 | Level::Avx2, _, Some(proof)) => QuadKernel::Avx2(proof),
            _ => QuadKernel::Scalar,
        }
    }
}

/// How an output's sum becomes a code.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ends {
    /// The code of zero.
    pub zero: u8,
    /// The least that is added to it.
    pub least: f32,
    /// The most.
    pub most: f32,
}

/// What is done with codes before they are written: `x = (code - zero) * from`, the activation, the sum, and
/// `zero + round(x / to)`, all in f32 by the definition of each.
#[derive(Clone, Debug, PartialEq)]
pub struct After {
    /// A step of the codes that there were.
    pub from: f32,
    /// For each output, what numbers below zero are multiplied with; empty for no activation.
    pub slopes: Vec<f32>,
    /// A step of what is added and its zero, where something is.
    pub residual: Option<(f32, f32)>,
    /// A step of the codes that become of it.
    pub to: f32,
    /// Where those end.
    pub ends: Ends,
}

/// An output of a convolution of whole numbers.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Output {
    /// The sum begins with it.
    pub bias: i32,
    /// Steps of the result in one of the sum.
    pub factor: f32,
}

/// The weights of a convolution, in the order in which they are used.
pub struct QuadWeights {
    /// For each block of results: kernel rows, elements of input, kernel columns, the block's outputs.
    packed: Vec<[i8; DEPTH]>,
    /// The same as numbers of 16 bits, the even ones before the odd ones.
    wide: Vec<[i16; DEPTH]>,
    /// Four for each element of results.
    outputs: Vec<[Output; DEPTH]>,
    n_outputs: usize,
    n_inputs: usize,
    kernel: [usize; 2],
    ends: Ends,
    after: Option<After>,
}

/// Elements of results that are computed together.
pub(super) struct QuadBlock<'a> {
    /// The first of them.
    pub first: usize,
    /// For each kernel row, element of input and kernel column: four outputs for each element of results.
    pub weights: &'a [[i8; DEPTH]],
    /// The same as numbers of 16 bits, the even ones before the odd ones.
    pub wide: &'a [[i16; DEPTH]],
    pub outputs: &'a [[Output; DEPTH]],
}

impl QuadWeights {
    /// Packs what `weight` says of an output, an input and a row and column of the kernel. `inputs` are, for each element,
    /// the inputs that its bytes are; `outputs` have a bias and a factor each.
    pub fn new(
        inputs: &[[Option<usize>; DEPTH]],
        outputs: &[(i32, f32)],
        kernel: [usize; 2],
        ends: Ends,
        weight: impl Fn(usize, usize, [usize; 2]) -> i8,
    ) -> QuadWeights {
        let n_outputs = outputs.len();
        let one = |&(bias, factor): &(i32, f32)| Output { bias, factor };
        let quad = |four: &[(i32, f32)]| std::array::from_fn(|at| four.get(at).map(one).unwrap_or_default());
        let quads: Vec<[Output; DEPTH]> = outputs.chunks(DEPTH).map(quad).collect();
        let mut packed = Vec::with_capacity(quads.len() * DEPTH * inputs.len() * kernel[0] * kernel[1]);
        for first in (0..quads.len()).step_by(MAX_BLOCK) {
            let block = first * DEPTH..quads.len().min(first + MAX_BLOCK) * DEPTH;
            for ky in 0..kernel[0] {
                for four in inputs {
                    for kx in 0..kernel[1] {
                        packed.extend(block.clone().map(|output| {
                            four.map(|input| match input {
                                Some(input) if output < n_outputs => weight(output, input, [ky, kx]),
                                _ => 0,
                            })
                        }));
                    }
                }
            }
        }
        let wide = packed.iter().map(|&[a, b, c, d]: &[i8; DEPTH]| [a, c, b, d].map(i16::from)).collect();
        QuadWeights { packed, wide, outputs: quads, n_outputs, n_inputs: inputs.len(), kernel, ends, after: None }
    }

    /// The same, and something is done with the codes.
    pub fn followed_by(mut self, mut after: After) -> QuadWeights {
        if !after.slopes.is_empty() {
            after.slopes.resize(self.outputs.len() * DEPTH, 1.0);
        }
        self.after = Some(after);
        self
    }

    /// What is done with codes.
    pub fn after(&self) -> Option<&After> {
        self.after.as_ref()
    }

    /// How sums become codes.
    pub(super) fn ends(&self) -> Ends {
        self.ends
    }

    /// The code of zero in what is written.
    pub(super) fn zero(&self) -> u8 {
        self.after.as_ref().map_or(self.ends, |after| after.ends).zero
    }

    /// Columns of the kernel.
    pub(super) fn columns(&self) -> usize {
        self.kernel[1]
    }

    /// Elements of results.
    pub(super) fn n_quads(&self) -> usize {
        self.outputs.len()
    }

    pub(super) fn blocks(&self) -> impl Iterator<Item = QuadBlock<'_>> {
        let taps = self.n_inputs * self.kernel[0] * self.kernel[1] * DEPTH;
        (0..self.outputs.len()).step_by(MAX_BLOCK).map(move |first| {
            let end = self.outputs.len().min(first + MAX_BLOCK);
            let (weights, wide) = (&self.packed[first * taps..end * taps], &self.wide[first * taps..end * taps]);
            QuadBlock { first, weights, wide, outputs: &self.outputs[first..end] }
        })
    }
}

/// Where a row of a convolution lies in memory; all places are indices of the first element.
pub struct QuadRow<'a> {
    /// For each kernel row and element of input: what the first column of the kernel meets for output column 0.
    pub inputs: &'a [usize],
    /// Elements between the kernel's columns.
    pub dilation: usize,
    /// For each four outputs, where their codes go; empty for nowhere.
    pub quads: &'a [usize],
    /// For each output, where it goes as a float; empty for nowhere.
    pub planes: &'a [usize],
    /// For each four outputs, the codes of what is added; empty for nothing.
    pub residual: &'a [usize],
    /// What is added to a code that becomes a float.
    pub offset: f32,
    /// Pixels to compute.
    pub width: usize,
}

/// Computes one row. Up to the next multiple of [`LANES`] elements of each row of results are overwritten.
pub fn conv_row(kernel: QuadKernel, memory: &mut [f32], weights: &QuadWeights, row: &QuadRow) {
    let padded = row.width.next_multiple_of(LANES);
    let reach = padded + (weights.kernel[1] - 1) * row.dilation;
    let fits = |place: usize, length: usize| place <= memory.len() && length <= memory.len() - place;
    assert_eq!(row.inputs.len(), weights.n_inputs * weights.kernel[0]);
    assert!(row.inputs.iter().all(|&place| fits(place, reach)));
    assert!(row.quads.is_empty() || row.quads.len() == weights.outputs.len());
    assert!(row.planes.is_empty() || row.planes.len() == weights.n_outputs);
    let is_sum = weights.after.as_ref().is_some_and(|after| after.residual.is_some());
    assert_eq!(row.residual.len(), if is_sum { weights.outputs.len() } else { 0 });
    assert!(row.quads.iter().chain(row.planes).chain(row.residual).all(|&place| fits(place, padded)));
    match kernel {
        #[cfg(target_arch = "x86_64")]
        QuadKernel::Vnni(proof) => super::avx512::quads::conv_row(proof, memory, weights, row),
        #[cfg(target_arch = "x86_64")]
        QuadKernel::Avx2(proof) => super::avx2::quads::conv_row(proof, memory, weights, row),
        _ => truth::conv_row(memory, weights, row),
    }
}

/// Packs a row of whole numbers: `channels` are where each begins, four go to each of `quads`, from `low` up.
pub fn pack_row(memory: &mut [f32], channels: &[usize], quads: &[usize], low: f32, width: usize) {
    // Added to a whole number below it, its last bits are that number.
    const WHOLE: f32 = 8_388_608.0;
    for (channels, to) in channels.chunks(DEPTH).zip(quads) {
        for (at, from) in channels.iter().enumerate() {
            let [to, from] = memory
                .get_disjoint_mut([*to..to + width, *from..from + width])
                .expect("codes lie apart from the rows that they are made of");
            for (to, from) in to.iter_mut().zip(from) {
                let byte = ((*from - low + WHOLE).to_bits() & 0xff) << (8 * at);
                *to = f32::from_bits(if at == 0 { byte } else { to.to_bits() | byte });
            }
        }
    }
}

/// The truth: one output of one pixel at a time.
mod truth {
    use super::{After, DEPTH, Ends, QuadBlock, QuadRow, QuadWeights};

    pub(super) fn conv_row(memory: &mut [f32], weights: &QuadWeights, row: &QuadRow) {
        for block in weights.blocks() {
            for output in 0..block.outputs.len() * DEPTH {
                let (quad, at) = (block.first + output / DEPTH, output % DEPTH);
                let kind = block.outputs[output / DEPTH][at];
                for x in 0..row.width {
                    let sum = sum(memory, &block, row, weights.kernel[1], output, x);
                    let mut steps = within(sum as f32 * kind.factor, weights.ends);
                    let mut zero = weights.ends.zero;
                    if let Some(after) = &weights.after {
                        let residual =
                            row.residual.get(quad).map(|place| memory[place + x].to_bits().to_le_bytes()[at]);
                        steps = again(after, quad * DEPTH + at, steps, residual);
                        zero = after.ends.zero;
                    }
                    let code = (i32::from(zero) + steps as i32) as u8;
                    if let Some(place) = row.quads.get(quad) {
                        let mut bytes = memory[place + x].to_bits().to_le_bytes();
                        bytes[at] = code;
                        memory[place + x] = f32::from_bits(u32::from_le_bytes(bytes));
                    }
                    if let Some(place) = row.planes.get(quad * DEPTH + at) {
                        memory[place + x] = f32::from(code) + row.offset;
                    }
                }
            }
        }
    }

    fn sum(memory: &[f32], block: &QuadBlock, row: &QuadRow, columns: usize, output: usize, x: usize) -> i32 {
        let mut weights = block.weights.iter().skip(output).step_by(block.outputs.len() * DEPTH);
        let mut sum = block.outputs[output / DEPTH][output % DEPTH].bias;
        for input in row.inputs {
            for (column, weights) in weights.by_ref().take(columns).enumerate() {
                let codes = memory[input + x + column * row.dilation].to_bits().to_le_bytes();
                for (code, weight) in codes.iter().zip(weights) {
                    // On the way to a sum that fits, part of it may not.
                    sum = sum.wrapping_add(i32::from(*code) * i32::from(*weight));
                }
            }
        }
        sum
    }

    fn within(steps: f32, ends: Ends) -> f32 {
        steps.max(ends.least).min(ends.most).round_ties_even()
    }

    fn again(after: &After, output: usize, steps: f32, residual: Option<u8>) -> f32 {
        let mut x = steps * after.from;
        if let Some(slope) = after.slopes.get(output).filter(|_| x < 0.0) {
            x *= slope;
        }
        if let (Some((scale, zero)), Some(code)) = (after.residual, residual) {
            x += (f32::from(code) - zero) * scale;
        }
        within(x / after.to, after.ends)
    }
}
