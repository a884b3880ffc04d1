//! Two rows at once with AVX-512: blocks of up to 4 outputs by 3 registers of 16 pixels by 2 rows.

use std::arch::x86_64::*;

use super::{LANES, activated, chunk};
use crate::infer::native::kernel::pairs::{PairBlock, PairRows, PairWeights, SIDE, STRIDE};
use crate::simd::cpu::Avx512;

/// Sums of a block: of the upper row, then of the lower.
type Sums<const OUTPUTS: usize, const WIDE: usize> = [[[__m512; WIDE]; OUTPUTS]; 2];

pub(in super::super) fn conv_rows(_proof: Avx512, memory: &mut [f32], weights: &PairWeights, pair: &PairRows) {
    // SAFETY: the proof says that this CPU has it; the caller has checked that all rows and the scratch lie in `memory`.
    unsafe { whole_rows(memory.as_mut_ptr(), weights, pair) }
}

/// # Safety
/// `memory` holds all rows that `pair` names, up to a multiple of [`LANES`] samples and inputs as many more, and the
/// scratch.
#[target_feature(enable = "avx512f")]
unsafe fn whole_rows(memory: *mut f32, weights: &PairWeights, pair: &PairRows) {
    let mut x = 0;
    while x < pair.width {
        let step = (pair.width - x).div_ceil(LANES).min(3);
        // SAFETY: as promised by the caller; `step` registers from `x` end before the padded width.
        unsafe {
            prepare(memory, weights.n_inputs(), pair, x, step + 1);
            for block in weights.blocks() {
                match (block.n, step) {
                    (4, 3) => tile::<4, 3>(memory, &block, pair, x),
                    (4, 2) => tile::<4, 2>(memory, &block, pair, x),
                    (4, _) => tile::<4, 1>(memory, &block, pair, x),
                    (3, 3) => tile::<3, 3>(memory, &block, pair, x),
                    (3, 2) => tile::<3, 2>(memory, &block, pair, x),
                    (3, _) => tile::<3, 1>(memory, &block, pair, x),
                    (2, 3) => tile::<2, 3>(memory, &block, pair, x),
                    (2, 2) => tile::<2, 2>(memory, &block, pair, x),
                    (2, _) => tile::<2, 1>(memory, &block, pair, x),
                    (_, 3) => tile::<1, 3>(memory, &block, pair, x),
                    (_, 2) => tile::<1, 2>(memory, &block, pair, x),
                    _ => tile::<1, 1>(memory, &block, pair, x),
                }
            }
        }
        x += step * LANES;
    }
}

/// Writes what all outputs of a strip of `16 * n` pixels are made of: for each input the two sums in the middle, then
/// for each input the other two.
///
/// # Safety
/// As `whole_rows`; `16 * n` samples from `x` on lie in the inputs' memory, and `n` is at most 4.
#[target_feature(enable = "avx512f")]
unsafe fn prepare(memory: *mut f32, n_inputs: usize, pair: &PairRows, x: usize, n: usize) {
    for input in 0..n_inputs {
        let row = |row: usize| memory.wrapping_add(pair.inputs[row * n_inputs + input] + x).cast_const();
        let rows = [row(0), row(1), row(2), row(3)];
        let middle = memory.wrapping_add(pair.scratch + input * 2 * STRIDE);
        let rest = middle.wrapping_add(n_inputs * 2 * STRIDE);
        for at in (0..n * LANES).step_by(LANES) {
            // SAFETY: as promised by the caller; a row of the scratch holds more than 4 registers.
            unsafe {
                let [a, b, c, d] = rows.map(|row| _mm512_loadu_ps(row.add(at)));
                _mm512_storeu_ps(middle.add(at), _mm512_add_ps(b, c));
                _mm512_storeu_ps(middle.add(STRIDE + at), _mm512_sub_ps(c, b));
                _mm512_storeu_ps(rest.add(at), _mm512_sub_ps(a, c));
                _mm512_storeu_ps(rest.add(STRIDE + at), _mm512_sub_ps(b, d));
            }
        }
    }
}

/// `OUTPUTS` outputs of `16 * WIDE` pixels from column `x`.
///
/// # Safety
/// As `whole_rows`; the scratch is prepared for `16 * (WIDE + 1)` pixels from `x`, `x + 16 * WIDE` is inside the padded
/// width and the block has `OUTPUTS` outputs.
#[target_feature(enable = "avx512f")]
#[expect(clippy::needless_range_loop, reason = "iterators keep the sums in memory")]
unsafe fn tile<const OUTPUTS: usize, const WIDE: usize>(
    memory: *mut f32,
    block: &PairBlock,
    pair: &PairRows,
    x: usize,
) {
    let bias: &[f32; OUTPUTS] = chunk(block.bias);
    let mut sums = [[[_mm512_setzero_ps(); WIDE]; OUTPUTS]; 2];
    let middle = memory.wrapping_add(pair.scratch).cast_const();
    let rest = middle.wrapping_add(block.weights[0].len() / (SIDE * 2 * OUTPUTS) * 2 * STRIDE);
    // SAFETY: the scratch holds two rows for each input, twice.
    unsafe { accumulate(&mut sums, middle, block.weights[0]) };
    for output in 0..OUTPUTS {
        let bias = _mm512_set1_ps(bias[output]);
        for lane in 0..WIDE {
            let (a, b) = (sums[0][output][lane], sums[1][output][lane]);
            sums[0][output][lane] = _mm512_add_ps(bias, _mm512_add_ps(a, b));
            sums[1][output][lane] = _mm512_add_ps(bias, _mm512_sub_ps(a, b));
        }
    }
    // SAFETY: as above.
    unsafe { accumulate(&mut sums, rest, block.weights[1]) };
    for row in 0..2 {
        if pair.outputs[row].is_empty() {
            continue;
        }
        let outputs: &[usize; OUTPUTS] = chunk(&pair.outputs[row][block.first..]);
        let residual =
            (!pair.residual[row].is_empty()).then(|| chunk::<usize, OUTPUTS>(&pair.residual[row][block.first..]));
        for output in 0..OUTPUTS {
            for lane in 0..WIDE {
                let mut value = sums[row][output][lane];
                // SAFETY: output rows and residual rows hold the padded width.
                unsafe {
                    if let Some(residual) = residual {
                        value = _mm512_add_ps(value, _mm512_loadu_ps(memory.add(residual[output] + x + lane * LANES)));
                    }
                    let value = activated(pair.activation, pair.first_channel + block.first + output, value);
                    _mm512_storeu_ps(memory.add(outputs[output] + x + lane * LANES), value);
                }
            }
        }
    }
}

/// Adds the products of all inputs and kernel columns.
///
/// # Safety
/// From `rows` on there are two rows of the scratch for every `6 * OUTPUTS` weights, prepared for `16 * (WIDE + 1)`
/// pixels.
#[inline]
#[target_feature(enable = "avx512f")]
#[expect(clippy::needless_range_loop, reason = "iterators keep the sums in memory")]
unsafe fn accumulate<const OUTPUTS: usize, const WIDE: usize>(
    sums: &mut Sums<OUTPUTS, WIDE>,
    mut rows: *const f32,
    weights: &[f32],
) {
    let mut all = *sums;
    let n_inputs = weights.len() / (SIDE * 2 * OUTPUTS);
    let mut weights = weights.as_ptr();
    for _ in 0..n_inputs {
        for column in 0..SIDE {
            for row in 0..2 {
                // SAFETY: as promised by the caller.
                unsafe {
                    let mut lanes = [_mm512_setzero_ps(); WIDE];
                    for lane in 0..WIDE {
                        lanes[lane] = _mm512_loadu_ps(rows.add(row * STRIDE + column + lane * LANES));
                    }
                    for output in 0..OUTPUTS {
                        let weight = _mm512_set1_ps(*weights.add(row * OUTPUTS + output));
                        for lane in 0..WIDE {
                            all[row][output][lane] = _mm512_fmadd_ps(weight, lanes[lane], all[row][output][lane]);
                        }
                    }
                }
            }
            // Wrapping, because after the last step it may point beyond what it is of.
            weights = weights.wrapping_add(2 * OUTPUTS);
        }
        rows = rows.wrapping_add(2 * STRIDE);
    }
    *sums = all;
}
