//! Two rows of a 3x3 convolution at once, with two thirds of the multiplications.
//!
//! Winograd's F(2, 3) down the columns: from four rows of an input, `r0` to `r3`, come `r0 - r2`, `r1 + r2`, `r2 - r1`
//! and `r1 - r3`, made once for all outputs; each is multiplied with one of four sums of a kernel's three rows, and what
//! is in the middle serves both output rows. Columns are gone through as in any other convolution. The upper row is made
//! of `r0` to `r2` alone and the lower one of `r1` to `r3`, so nothing of a row beyond the kernel's reach gets into it;
//! but the two round differently, so which row of a picture is an upper one must not depend on its window.
//!
//! Every output is the sum over inputs and kernel columns of what is in the middle, first of `r1 + r2`, then of
//! `r2 - r1`; bias and their sum (or difference); one fused multiply-add for each input and kernel column of the rest;
//! the residual; the activation.

use super::{Activation, Kernel, LANES, Weights, blocks};

/// Rows and columns of the kernels.
pub const SIDE: usize = 3;
/// Rows that are read for two.
pub const ROWS: usize = SIDE + 1;
/// Outputs of one block, for each of two rows.
pub(super) const MAX_BLOCK: usize = 4;
/// Samples from one row of the scratch to the next: room for a strip, and an odd number of cache lines.
pub(super) const STRIDE: usize = 5 * LANES;

/// The weights of a convolution's group, in the order in which they are used.
pub struct PairWeights {
    /// For each block of outputs, first for the sums in the middle, then for the others: inputs, kernel columns, the
    /// block's outputs of the first sum, those of the second.
    packed: Vec<f32>,
    bias: Vec<f32>,
    n_inputs: usize,
}

/// Outputs that are computed together.
pub(super) struct PairBlock<'a> {
    /// The first of them.
    pub first: usize,
    /// How many; 1 to [`MAX_BLOCK`].
    pub n: usize,
    /// For the sums in the middle, and for the others.
    pub weights: [&'a [f32]; 2],
    pub bias: &'a [f32],
}

impl PairWeights {
    /// The same weights for two rows at once; `None` for kernels that are not 3x3.
    pub fn new(weights: &Weights) -> Option<PairWeights> {
        if weights.kernel != [SIDE; 2] {
            return None;
        }
        let mut packed = Vec::with_capacity(weights.n_outputs() * weights.n_inputs * SIDE * ROWS);
        for (first, n) in blocks(weights.n_outputs(), MAX_BLOCK) {
            for middle in [true, false] {
                for (input, kx) in (0..weights.n_inputs).flat_map(|input| (0..SIDE).map(move |kx| (input, kx))) {
                    let column = |output: usize| [0, 1, 2].map(|ky| f64::from(weights.value(output, input, [ky, kx])));
                    let sums = (first..first + n).map(|output| match (middle, column(output)) {
                        (true, [a, b, c]) => [(a + b + c) / 2.0, (a - b + c) / 2.0],
                        (false, [a, _, c]) => [a, -c],
                    });
                    let sums: Vec<[f64; 2]> = sums.collect();
                    packed.extend([0, 1].into_iter().flat_map(|row| sums.iter().map(move |sum| sum[row] as f32)));
                }
            }
        }
        Some(PairWeights { packed, bias: weights.bias.clone(), n_inputs: weights.n_inputs })
    }

    /// Samples of scratch memory that convolutions of `n_inputs` need.
    pub fn scratch(n_inputs: usize) -> usize {
        n_inputs * ROWS * STRIDE
    }

    pub(super) fn n_inputs(&self) -> usize {
        self.n_inputs
    }

    pub(super) fn blocks(&self) -> impl Iterator<Item = PairBlock<'_>> {
        let half = self.n_inputs * SIDE * 2;
        blocks(self.bias.len(), MAX_BLOCK).map(move |(first, n)| {
            let (middle, rest) = self.packed[first * 2 * half..(first + n) * 2 * half].split_at(n * half);
            PairBlock { first, n, weights: [middle, rest], bias: &self.bias[first..first + n] }
        })
    }
}

/// Where two rows of a convolution's group lie in memory; all places are indices of the first sample.
pub struct PairRows<'a> {
    /// For each of the four rows and each input: the sample that the first column of the kernel meets for output
    /// column 0.
    pub inputs: &'a [usize],
    /// For each output, its place in the upper row and in the lower one; a row that nobody wants is empty.
    pub outputs: [&'a [usize]; 2],
    /// For each output, what is added; empty for nothing.
    pub residual: [&'a [usize]; 2],
    /// Of the whole convolution.
    pub activation: &'a Activation,
    /// The group's first output among the convolution's.
    pub first_channel: usize,
    /// Samples to compute.
    pub width: usize,
    /// Where [`PairWeights::scratch`] samples begin that are nobody's.
    pub scratch: usize,
}

/// Computes two rows of one group, or one of them. Up to the next multiple of [`LANES`] samples of each output row are
/// overwritten.
pub fn conv_rows(kernel: Kernel, memory: &mut [f32], weights: &PairWeights, pair: &PairRows) {
    let padded = pair.width.next_multiple_of(LANES);
    let fits = |place: usize, length: usize| place <= memory.len() && length <= memory.len() - place;
    assert_eq!(pair.inputs.len(), ROWS * weights.n_inputs);
    // Inputs are read in whole registers, the last two columns of a kernel too.
    assert!(pair.inputs.iter().all(|&place| fits(place, padded + LANES)));
    for (outputs, residual) in pair.outputs.iter().zip(&pair.residual) {
        assert!(outputs.is_empty() || outputs.len() == weights.bias.len());
        assert!(residual.is_empty() || residual.len() == outputs.len());
        assert!(outputs.iter().chain(*residual).all(|&place| fits(place, padded)));
    }
    assert!(fits(pair.scratch, PairWeights::scratch(weights.n_inputs)));
    if let Activation::Slope(slopes) = pair.activation {
        assert!(slopes.len() >= pair.first_channel + weights.bias.len());
    }
    match kernel {
        #[cfg(target_arch = "x86_64")]
        Kernel::Avx512(proof) => super::avx512::pairs::conv_rows(proof, memory, weights, pair),
        #[cfg(target_arch = "x86_64")]
        Kernel::Avx2(proof) => super::avx2::pairs::conv_rows(proof, memory, weights, pair),
        _ => super::scalar::conv_rows(memory, weights, pair),
    }
}
