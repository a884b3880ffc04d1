//! Two rows at once with AVX2 and FMA: blocks of up to 2 outputs by 3 registers of 8 pixels by 2 rows.

use std::arch::x86_64::*;

use super::{LANES, activated, chunk};
use crate::infer::native::kernel::pairs::{PairBlock, PairRows, PairWeights, SIDE, STRIDE};
use crate::simd::cpu::Avx2;

/// Sums of a block: of the upper row, then of the lower.
type Sums<const OUTPUTS: usize, const WIDE: usize> = [[[__m256; WIDE]; OUTPUTS]; 2];

pub(in super::super) fn conv_rows(_proof: Avx2, memory: &mut [f32], weights: &PairWeights, pair: &PairRows) {
    // SAFETY: the proof says that this CPU has it; the caller has checked that all rows and the scratch lie in `memory`.
    unsafe { whole_rows(memory.as_mut_ptr(), weights, pair) }
}

/// # Safety
/// `memory` holds all rows that `pair` names, up to a multiple of 16 samples and inputs as many more, and the
/// scratch.
#[target_feature(enable = "avx2,fma")]
unsafe fn whole_rows(memory: *mut f32, weights: &PairWeights, pair: &PairRows) {
    let mut x = 0;
    while x < pair.width {
        let step = (pair.width - x).div_ceil(LANES).min(3);
        // SAFETY: as promised by the caller; `step` registers from `x` end before the padded width.
        unsafe {
            prepare(memory, weights.n_inputs(), pair, x, step + 1);
            for block in weights.blocks() {
                // A block has more outputs than this machine has registers for.
                for first in (0..block.n).step_by(2) {
                    let part = Part { block: &block, first };
                    match ((block.n - first).min(2), step) {
                        (2, 3) => tile::<2, 3>(memory, part, pair, x),
                        (2, 2) => tile::<2, 2>(memory, part, pair, x),
                        (2, _) => tile::<2, 1>(memory, part, pair, x),
                        (_, 3) => tile::<1, 3>(memory, part, pair, x),
                        (_, 2) => tile::<1, 2>(memory, part, pair, x),
                        _ => tile::<1, 1>(memory, part, pair, x),
                    }
                }
            }
        }
        x += step * LANES;
    }
}

/// Writes what all outputs of a strip of `8 * n` pixels are made of: for each input the two sums in the middle, then
/// for each input the other two.
///
/// # Safety
/// As `whole_rows`; `8 * n` samples from `x` on lie in the inputs' memory, and `n` is at most 4.
#[target_feature(enable = "avx2,fma")]
unsafe fn prepare(memory: *mut f32, n_inputs: usize, pair: &PairRows, x: usize, n: usize) {
    for input in 0..n_inputs {
        let row = |row: usize| memory.wrapping_add(pair.inputs[row * n_inputs + input] + x).cast_const();
        let rows = [row(0), row(1), row(2), row(3)];
        let middle = memory.wrapping_add(pair.scratch + input * 2 * STRIDE);
        let rest = middle.wrapping_add(n_inputs * 2 * STRIDE);
        for at in (0..n * LANES).step_by(LANES) {
            // SAFETY: as promised by the caller; a row of the scratch holds more than 4 registers.
            unsafe {
                let [a, b, c, d] = rows.map(|row| _mm256_loadu_ps(row.add(at)));
                _mm256_storeu_ps(middle.add(at), _mm256_add_ps(b, c));
                _mm256_storeu_ps(middle.add(STRIDE + at), _mm256_sub_ps(c, b));
                _mm256_storeu_ps(rest.add(at), _mm256_sub_ps(a, c));
                _mm256_storeu_ps(rest.add(STRIDE + at), _mm256_sub_ps(b, d));
            }
        }
    }
}

/// Outputs of a block from `first` on.
#[derive(Clone, Copy)]
struct Part<'a> {
    block: &'a PairBlock<'a>,
    first: usize,
}

impl Part<'_> {
    fn n_inputs(self) -> usize {
        self.block.weights[0].len() / (SIDE * 2 * self.block.n)
    }
}

/// `OUTPUTS` outputs of `8 * WIDE` pixels from column `x`.
///
/// # Safety
/// As `whole_rows`; the scratch is prepared for `8 * (WIDE + 1)` pixels from `x`, `x + 16 * WIDE` is inside the padded
/// width and the part has at least `OUTPUTS` outputs.
#[target_feature(enable = "avx2,fma")]
#[expect(clippy::needless_range_loop, reason = "iterators keep the sums in memory")]
unsafe fn tile<const OUTPUTS: usize, const WIDE: usize>(memory: *mut f32, part: Part, pair: &PairRows, x: usize) {
    let first = part.block.first + part.first;
    let bias: &[f32; OUTPUTS] = chunk(&part.block.bias[part.first..]);
    let mut sums = [[[_mm256_setzero_ps(); WIDE]; OUTPUTS]; 2];
    let middle = memory.wrapping_add(pair.scratch).cast_const();
    let rest = middle.wrapping_add(part.n_inputs() * 2 * STRIDE);
    // SAFETY: the scratch holds two rows for each input, twice.
    unsafe { accumulate(&mut sums, middle, part, 0) };
    for output in 0..OUTPUTS {
        let bias = _mm256_set1_ps(bias[output]);
        for lane in 0..WIDE {
            let (a, b) = (sums[0][output][lane], sums[1][output][lane]);
            sums[0][output][lane] = _mm256_add_ps(bias, _mm256_add_ps(a, b));
            sums[1][output][lane] = _mm256_add_ps(bias, _mm256_sub_ps(a, b));
        }
    }
    // SAFETY: as above.
    unsafe { accumulate(&mut sums, rest, part, 1) };
    for row in 0..2 {
        if pair.outputs[row].is_empty() {
            continue;
        }
        let outputs: &[usize; OUTPUTS] = chunk(&pair.outputs[row][first..]);
        let residual = (!pair.residual[row].is_empty()).then(|| chunk::<usize, OUTPUTS>(&pair.residual[row][first..]));
        for output in 0..OUTPUTS {
            for lane in 0..WIDE {
                let mut value = sums[row][output][lane];
                // SAFETY: output rows and residual rows hold the padded width.
                unsafe {
                    if let Some(residual) = residual {
                        value = _mm256_add_ps(value, _mm256_loadu_ps(memory.add(residual[output] + x + lane * LANES)));
                    }
                    let value = activated(pair.activation, pair.first_channel + first + output, value);
                    _mm256_storeu_ps(memory.add(outputs[output] + x + lane * LANES), value);
                }
            }
        }
    }
}

/// Adds the products of all inputs and kernel columns.
///
/// # Safety
/// From `rows` on there are two rows of the scratch for every input, prepared for `8 * (WIDE + 1)` pixels; the part has
/// at least `OUTPUTS` outputs.
#[inline]
#[target_feature(enable = "avx2,fma")]
#[expect(clippy::needless_range_loop, reason = "iterators keep the sums in memory")]
unsafe fn accumulate<const OUTPUTS: usize, const WIDE: usize>(
    sums: &mut Sums<OUTPUTS, WIDE>,
    mut rows: *const f32,
    part: Part,
    half: usize,
) {
    let mut all = *sums;
    let mut weights = part.block.weights[half][part.first..].as_ptr();
    for _ in 0..part.n_inputs() {
        for column in 0..SIDE {
            for row in 0..2 {
                // SAFETY: as promised by the caller.
                unsafe {
                    let mut lanes = [_mm256_setzero_ps(); WIDE];
                    for lane in 0..WIDE {
                        lanes[lane] = _mm256_loadu_ps(rows.add(row * STRIDE + column + lane * LANES));
                    }
                    for output in 0..OUTPUTS {
                        let weight = _mm256_set1_ps(*weights.add(row * part.block.n + output));
                        for lane in 0..WIDE {
                            all[row][output][lane] = _mm256_fmadd_ps(weight, lanes[lane], all[row][output][lane]);
                        }
                    }
                }
            }
            // Wrapping, because after the last step it may point beyond what it is of.
            weights = weights.wrapping_add(2 * part.block.n);
        }
        rows = rows.wrapping_add(2 * STRIDE);
    }
    *sums = all;
}
