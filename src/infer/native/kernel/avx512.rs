//! The convolution with AVX-512: blocks of up to 8 outputs by 3 registers of 16 pixels, or 4 by 6.

pub(super) mod duos;
pub(super) mod pairs;
pub(super) mod quads;
pub(super) mod tiles;

use std::arch::x86_64::*;

use super::{Activation, Block, ConvRow, MAX_BLOCK, Weights};
use crate::simd::cpu::Avx512;

const LANES: usize = 16;

pub(super) fn conv_row(_proof: Avx512, memory: &mut [f32], weights: &Weights, row: &ConvRow) {
    // SAFETY: the proof says that this CPU has it; the caller has checked that all rows lie in `memory`.
    unsafe { whole_row(memory.as_mut_ptr(), weights, row) }
}

/// # Safety
/// `memory` holds all rows that `row` names, up to a multiple of [`LANES`] samples.
#[target_feature(enable = "avx512f")]
unsafe fn whole_row(memory: *mut f32, weights: &Weights, row: &ConvRow) {
    let mut x = 0;
    while x < row.width {
        let left = (row.width - x).div_ceil(LANES);
        // All outputs of a few pixels, then the next pixels: their inputs stay in the first-level cache.
        let step = if weights.n_outputs() > 4 { left.min(3) } else { left.min(6) };
        for block in weights.blocks() {
            // SAFETY: as promised by the caller; `step` registers from `x` end before the padded width.
            unsafe {
                match (block.n, step) {
                    (8, 3) => tile::<8, 3>(memory, &block, row, weights.kernel[1], x),
                    (7, 3) => tile::<7, 3>(memory, &block, row, weights.kernel[1], x),
                    (6, 3) => tile::<6, 3>(memory, &block, row, weights.kernel[1], x),
                    (5, 3) => tile::<5, 3>(memory, &block, row, weights.kernel[1], x),
                    (4, 6) => tile::<4, 6>(memory, &block, row, weights.kernel[1], x),
                    (3, 6) => tile::<3, 6>(memory, &block, row, weights.kernel[1], x),
                    (2, 6) => tile::<2, 6>(memory, &block, row, weights.kernel[1], x),
                    (1, 6) => tile::<1, 6>(memory, &block, row, weights.kernel[1], x),
                    _ => narrow(memory, &block, row, weights.kernel[1], x, step),
                }
            }
        }
        x += step * LANES;
    }
}

/// The few registers at the end of a row, one at a time.
///
/// # Safety
/// As `whole_row`; `x` and `step` registers more are inside the padded width.
#[target_feature(enable = "avx512f")]
unsafe fn narrow(memory: *mut f32, block: &Block, row: &ConvRow, columns: usize, x: usize, step: usize) {
    for x in (x..x + step * LANES).step_by(LANES) {
        // SAFETY: as promised by the caller.
        unsafe {
            match block.n {
                8 => tile::<8, 1>(memory, block, row, columns, x),
                7 => tile::<7, 1>(memory, block, row, columns, x),
                6 => tile::<6, 1>(memory, block, row, columns, x),
                5 => tile::<5, 1>(memory, block, row, columns, x),
                4 => tile::<4, 1>(memory, block, row, columns, x),
                3 => tile::<3, 1>(memory, block, row, columns, x),
                2 => tile::<2, 1>(memory, block, row, columns, x),
                _ => tile::<1, 1>(memory, block, row, columns, x),
            }
        }
    }
}

/// `OUTPUTS` outputs of `16 * WIDE` pixels from column `x`.
///
/// # Safety
/// As `whole_row`; `x + 16 * WIDE` is inside the padded width; the block has `OUTPUTS` outputs.
#[target_feature(enable = "avx512f")]
#[expect(clippy::needless_range_loop, reason = "iterators keep the sums in memory")]
unsafe fn tile<const OUTPUTS: usize, const WIDE: usize>(
    memory: *mut f32,
    block: &Block,
    row: &ConvRow,
    columns: usize,
    x: usize,
) {
    let first = block.first;
    let bias: &[f32; OUTPUTS] = chunk(block.bias);
    let outputs: &[usize; OUTPUTS] = chunk(&row.outputs[first..]);
    // Loops over all registers count to constants and reach into arrays: only so do sums stay registers to the end.
    let mut sums = [[_mm512_setzero_ps(); WIDE]; OUTPUTS];
    for output in 0..OUTPUTS {
        sums[output] = [_mm512_set1_ps(bias[output]); WIDE];
    }
    let mut weights = block.weights.as_ptr();
    for input in row.inputs {
        // SAFETY: `inputs` rows hold the padded width and the kernel's reach from their place on; the weights are
        // `OUTPUTS` for each input row and kernel column.
        unsafe {
            let mut pixels = memory.add(input + x).cast_const();
            // The next pixels' inputs, a line for each block of outputs, before the first of them needs it: 4 to 9 %
            // of networks of 32 to 64 channels. The address may lie beyond the row, which a prefetch does not mind.
            let ahead = x + (WIDE + 1 + block.first / MAX_BLOCK % WIDE) * LANES;
            _mm_prefetch::<_MM_HINT_T0>(memory.wrapping_add(input + ahead).cast_const().cast());
            for _ in 0..columns {
                let mut lanes = [_mm512_setzero_ps(); WIDE];
                for lane in 0..WIDE {
                    lanes[lane] = _mm512_loadu_ps(pixels.add(lane * LANES));
                }
                for output in 0..OUTPUTS {
                    let weight = _mm512_set1_ps(*weights.add(output));
                    for lane in 0..WIDE {
                        sums[output][lane] = _mm512_fmadd_ps(weight, lanes[lane], sums[output][lane]);
                    }
                }
                // Wrapping, because after the last step they may point beyond what they are of.
                weights = weights.wrapping_add(OUTPUTS);
                pixels = pixels.wrapping_add(row.dilation);
            }
        }
    }
    if !row.residual.is_empty() {
        let residual: &[usize; OUTPUTS] = chunk(&row.residual[first..]);
        for output in 0..OUTPUTS {
            for lane in 0..WIDE {
                // SAFETY: residual rows hold the padded width.
                let other = unsafe { _mm512_loadu_ps(memory.add(residual[output] + x + lane * LANES)) };
                sums[output][lane] = _mm512_add_ps(sums[output][lane], other);
            }
        }
    }
    let zero = _mm512_setzero_ps();
    match row.activation {
        Activation::None => {}
        Activation::Relu => {
            for output in 0..OUTPUTS {
                for lane in 0..WIDE {
                    sums[output][lane] = _mm512_max_ps(zero, sums[output][lane]);
                }
            }
        }
        Activation::Slope(slopes) => {
            let slopes: &[f32; OUTPUTS] = chunk(&slopes[row.first_channel + first..]);
            for output in 0..OUTPUTS {
                for lane in 0..WIDE {
                    sums[output][lane] = sloped(sums[output][lane], slopes[output]);
                }
            }
        }
        Activation::Clip(low, high) => {
            let (low, high) = (_mm512_set1_ps(*low), _mm512_set1_ps(*high));
            for output in 0..OUTPUTS {
                for lane in 0..WIDE {
                    sums[output][lane] = _mm512_min_ps(high, _mm512_max_ps(low, sums[output][lane]));
                }
            }
        }
    }
    for output in 0..OUTPUTS {
        for lane in 0..WIDE {
            // SAFETY: output rows hold the padded width.
            unsafe { _mm512_storeu_ps(memory.add(outputs[output] + x + lane * LANES), sums[output][lane]) };
        }
    }
}

/// The first `N` of a slice that holds as many.
#[inline(always)]
fn chunk<T, const N: usize>(slice: &[T]) -> &[T; N] {
    slice.first_chunk().expect("`conv_row` checked that there is one for each output")
}

#[inline]
#[target_feature(enable = "avx512f")]
fn sloped(x: __m512, slope: f32) -> __m512 {
    let below = _mm512_cmp_ps_mask::<_CMP_LT_OQ>(x, _mm512_setzero_ps());
    _mm512_mask_mul_ps(x, below, x, _mm512_set1_ps(slope))
}

/// What a sum of channel `channel` becomes.
#[inline]
#[target_feature(enable = "avx512f")]
fn activated(activation: &Activation, channel: usize, x: __m512) -> __m512 {
    match activation {
        Activation::None => x,
        Activation::Relu => _mm512_max_ps(_mm512_setzero_ps(), x),
        Activation::Slope(slopes) => sloped(x, slopes[channel]),
        Activation::Clip(low, high) => _mm512_min_ps(_mm512_set1_ps(*high), _mm512_max_ps(_mm512_set1_ps(*low), x)),
    }
}
