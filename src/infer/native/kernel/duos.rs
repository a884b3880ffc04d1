//! The convolution in bf16 on planes: of one row, or of two rows of a 3x3 kernel with two thirds of the multiplications.
//!
//! Two channels of a pixel are the two halves of one element of a row, so that rows of 32-bit elements hold all channels
//! in half of the memory, an instruction multiplies both at once, and all else is as in the convolution of f32: the lanes
//! of a register are pixels, and kernel columns are elements. Sums are f32 and always made in the same order, wherever a
//! pixel lies: kernel rows, elements of input, kernel columns, the second of two channels before the first.
//!
//! Two rows at once go the way of [`pairs`](super::pairs): what is made of four rows of an input is rounded to bf16 once
//! more, as are the sums of a kernel's rows. Only machines with AVX512-BF16 do this; what they do must be checked here,
//! once a row.

use half::bf16;

#[cfg(target_arch = "x86_64")]
use super::avx512;
use super::pairs::{ROWS, SIDE, STRIDE};
use super::{Activation, LANES, Weights, blocks};
use crate::simd::cpu::Avx512Bf16;

/// Channels of one element.
pub const DEPTH: usize = 2;
/// Elements of results that are computed together, of one row and of each of two.
const MAX_BLOCK: [usize; 2] = [4, 2];

/// The weights of a convolution, in the order in which they are used.
pub struct DuoWeights {
    /// For each block of outputs, of one row: kernel rows, elements of input, kernel columns, the block's outputs. Of two
    /// rows: first for the sums in the middle, then for the others: elements of input, kernel columns, the block's outputs
    /// of the first sum, those of the second.
    packed: Vec<[bf16; DEPTH]>,
    bias: Vec<f32>,
    n_inputs: usize,
    kernel: [usize; 2],
    is_paired: bool,
}

/// Outputs that are computed together.
pub(super) struct DuoBlock<'a> {
    /// The first of them, the first of an element.
    pub first: usize,
    /// How many.
    pub n: usize,
    pub weights: &'a [[bf16; DEPTH]],
    pub bias: &'a [f32],
}

impl DuoWeights {
    /// The same weights, rounded to bf16. `inputs` are, for each element, the inputs that its halves are. For two rows at
    /// once the kernel is 3x3.
    pub fn new(weights: &Weights, inputs: &[[Option<usize>; DEPTH]], is_paired: bool) -> DuoWeights {
        assert!(!is_paired || weights.kernel == [SIDE; 2]);
        let value = |output: usize, input: Option<usize>, tap: [usize; 2]| match input {
            Some(input) => f64::from(weights.value(output, input, tap)),
            None => 0.0,
        };
        let ([rows, columns], mut packed) = (weights.kernel, Vec::new());
        for (first, n) in outputs(weights.n_outputs(), is_paired) {
            let outputs = first..first + n;
            if is_paired {
                for middle in [true, false] {
                    for (duo, kx) in inputs.iter().flat_map(|duo| (0..columns).map(move |kx| (duo, kx))) {
                        let column = |output, input| [0, 1, 2].map(|ky| value(output, input, [ky, kx]));
                        for row in 0..2 {
                            packed.extend(outputs.clone().map(|output| {
                                duo.map(|input| match (middle, column(output, input)) {
                                    (true, [a, b, c]) => [(a + b + c) / 2.0, (a - b + c) / 2.0][row],
                                    (false, [a, _, c]) => [a, -c][row],
                                })
                            }));
                        }
                    }
                }
            } else {
                for (ky, duo) in (0..rows).flat_map(|ky| inputs.iter().map(move |duo| (ky, duo))) {
                    for kx in 0..columns {
                        packed.extend(outputs.clone().map(|output| duo.map(|input| value(output, input, [ky, kx]))));
                    }
                }
            }
        }
        DuoWeights {
            packed: packed.into_iter().map(|duo: [f64; DEPTH]| duo.map(bf16::from_f64)).collect(),
            bias: weights.bias.clone(),
            n_inputs: inputs.len(),
            kernel: weights.kernel,
            is_paired,
        }
    }

    /// Whether two rows are computed at once.
    pub fn is_paired(&self) -> bool {
        self.is_paired
    }

    /// Rows that are read for those computed at once.
    pub fn n_rows(&self) -> usize {
        if self.is_paired { ROWS } else { self.kernel[0] }
    }

    /// Samples of scratch memory that are needed.
    pub fn scratch(&self) -> usize {
        if self.is_paired { self.n_inputs * ROWS * STRIDE } else { 0 }
    }

    pub(super) fn n_inputs(&self) -> usize {
        self.n_inputs
    }

    pub(super) fn n_outputs(&self) -> usize {
        self.bias.len()
    }

    /// Columns of the kernel.
    pub(super) fn columns(&self) -> usize {
        self.kernel[1]
    }

    pub(super) fn blocks(&self) -> impl Iterator<Item = DuoBlock<'_>> {
        let taps = self.packed.len() / self.bias.len();
        outputs(self.bias.len(), self.is_paired).map(move |(first, n)| DuoBlock {
            first,
            n,
            weights: &self.packed[first * taps..(first + n) * taps],
            bias: &self.bias[first..first + n],
        })
    }
}

/// The blocks of so many outputs, of whole elements: first output and number.
fn outputs(n_outputs: usize, is_paired: bool) -> impl Iterator<Item = (usize, usize)> {
    blocks(n_outputs.div_ceil(DEPTH), MAX_BLOCK[usize::from(is_paired)])
        .map(move |(first, n)| (first * DEPTH, (n * DEPTH).min(n_outputs - first * DEPTH)))
}

/// Where the results of a row go; all places are indices of the first element.
#[derive(Clone, Copy, Default)]
pub struct Target<'a> {
    /// For each two outputs; empty for nowhere.
    pub duos: &'a [usize],
    /// For each output, as f32; empty for nowhere.
    pub planes: &'a [usize],
    /// For each output, what is added, in f32; empty for nothing.
    pub residual: &'a [usize],
}

/// Where a row of a convolution lies in memory, or two rows; all places are indices of the first element.
pub struct DuoRows<'a> {
    /// For each row that is read and element of input: what the first column of the kernel meets for output column 0.
    pub inputs: &'a [usize],
    /// Elements between the kernel's columns.
    pub dilation: usize,
    /// Of the row, or of the upper row and of the lower one.
    pub targets: [Target<'a>; 2],
    /// Applied last.
    pub activation: &'a Activation,
    /// Pixels to compute.
    pub width: usize,
    /// Where [`DuoWeights::scratch`] samples begin that are nobody's.
    pub scratch: usize,
}

/// Computes one row, or two, or one of them. Up to the next multiple of [`LANES`] elements of each row of results are
/// overwritten.
pub fn conv_rows(_proof: Avx512Bf16, memory: &mut [f32], weights: &DuoWeights, rows: &DuoRows) {
    let padded = rows.width.next_multiple_of(LANES);
    // Of two rows inputs are read in whole registers, the last two columns of a kernel too.
    let reach = padded + if weights.is_paired { LANES } else { (weights.kernel[1] - 1) * rows.dilation };
    let fits = |place: usize, length: usize| place <= memory.len() && length <= memory.len() - place;
    assert_eq!(rows.inputs.len(), weights.n_inputs * weights.n_rows());
    assert!(rows.inputs.iter().all(|&place| fits(place, reach)));
    for Target { duos, planes, residual } in &rows.targets {
        let n_outputs = weights.bias.len();
        assert!(duos.is_empty() || duos.len() == n_outputs.div_ceil(DEPTH));
        assert!([planes, residual].into_iter().all(|rows| rows.is_empty() || rows.len() == n_outputs));
        assert!([duos, planes, residual].into_iter().flat_map(|rows| rows.iter()).all(|&place| fits(place, padded)));
    }
    assert!(fits(rows.scratch, weights.scratch()));
    if let Activation::Slope(slopes) = rows.activation {
        assert_eq!(slopes.len(), weights.bias.len());
    }
    #[cfg(target_arch = "x86_64")]
    avx512::duos::conv_rows(memory, weights, rows);
}

/// Packs a row of planes: `channels` are where each begins, two go to each of `duos`. Up to the next multiple of [`LANES`]
/// elements are overwritten.
pub fn pack_row(_proof: Avx512Bf16, memory: &mut [f32], channels: &[usize], duos: &[usize], width: usize) {
    let padded = width.next_multiple_of(LANES);
    let fits = |place: usize| place <= memory.len() && padded <= memory.len() - place;
    assert!(channels.len().div_ceil(DEPTH) == duos.len() && channels.iter().chain(duos).all(|&place| fits(place)));
    #[cfg(target_arch = "x86_64")]
    avx512::duos::pack_row(memory, channels, duos, width);
}
