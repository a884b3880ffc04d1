//! The convolution with AVX2 and FMA: blocks of up to 4 outputs by 3 registers of 8 pixels.

pub(super) mod pairs;
pub(super) mod quads;

use std::arch::x86_64::*;

use super::{Activation, Block, ConvRow, Weights};
use crate::simd::cpu::Avx2;

const LANES: usize = 8;

pub(super) fn conv_row(_proof: Avx2, memory: &mut [f32], weights: &Weights, row: &ConvRow) {
    // SAFETY: the proof says that this CPU has it; the caller has checked that all rows lie in `memory`.
    unsafe { whole_row(memory.as_mut_ptr(), weights, row) }
}

/// # Safety
/// `memory` holds all rows that `row` names, up to a multiple of [`super::LANES`] samples.
#[target_feature(enable = "avx2,fma")]
unsafe fn whole_row(memory: *mut f32, weights: &Weights, row: &ConvRow) {
    let columns = weights.kernel[1];
    let mut x = 0;
    while x < row.width {
        let step = (row.width - x).div_ceil(LANES).min(3);
        for block in weights.blocks() {
            // A block has more outputs than this machine has registers for.
            for first in (0..block.n).step_by(4) {
                let part = Part { block: &block, first };
                // SAFETY: as promised by the caller; `step` registers from `x` end before the padded width.
                unsafe {
                    match ((block.n - first).min(4), step) {
                        (4, 3) => tile::<4, 3>(memory, part, row, columns, x),
                        (4, 2) => tile::<4, 2>(memory, part, row, columns, x),
                        (4, _) => tile::<4, 1>(memory, part, row, columns, x),
                        (3, 3) => tile::<3, 3>(memory, part, row, columns, x),
                        (3, 2) => tile::<3, 2>(memory, part, row, columns, x),
                        (3, _) => tile::<3, 1>(memory, part, row, columns, x),
                        (2, 3) => tile::<2, 3>(memory, part, row, columns, x),
                        (2, 2) => tile::<2, 2>(memory, part, row, columns, x),
                        (2, _) => tile::<2, 1>(memory, part, row, columns, x),
                        (_, 3) => tile::<1, 3>(memory, part, row, columns, x),
                        (_, 2) => tile::<1, 2>(memory, part, row, columns, x),
                        _ => tile::<1, 1>(memory, part, row, columns, x),
                    }
                }
            }
        }
        x += step * LANES;
    }
}

/// Outputs of a block from `first` on.
#[derive(Clone, Copy)]
struct Part<'a> {
    block: &'a Block<'a>,
    first: usize,
}

/// `OUTPUTS` outputs of `8 * WIDE` pixels from column `x`.
///
/// # Safety
/// As `whole_row`; `x + 8 * WIDE` is inside the padded width; the part has at least `OUTPUTS` outputs.
#[target_feature(enable = "avx2,fma")]
#[expect(clippy::needless_range_loop, reason = "iterators keep the sums in memory")]
unsafe fn tile<const OUTPUTS: usize, const WIDE: usize>(
    memory: *mut f32,
    part: Part,
    row: &ConvRow,
    columns: usize,
    x: usize,
) {
    let first = part.block.first + part.first;
    let bias: &[f32; OUTPUTS] = chunk(&part.block.bias[part.first..]);
    let outputs: &[usize; OUTPUTS] = chunk(&row.outputs[first..]);
    // Loops over all registers count to constants and reach into arrays: only so do sums stay registers to the end.
    let mut sums = [[_mm256_setzero_ps(); WIDE]; OUTPUTS];
    for output in 0..OUTPUTS {
        sums[output] = [_mm256_set1_ps(bias[output]); WIDE];
    }
    let mut weights = part.block.weights[part.first..].as_ptr();
    for input in row.inputs {
        // SAFETY: `inputs` rows hold the padded width and the kernel's reach from their place on; the weights are
        // `block.n` for each input row and kernel column, of which the part's are read.
        unsafe {
            let mut pixels = memory.add(input + x).cast_const();
            for _ in 0..columns {
                let mut lanes = [_mm256_setzero_ps(); WIDE];
                for lane in 0..WIDE {
                    lanes[lane] = _mm256_loadu_ps(pixels.add(lane * LANES));
                }
                for output in 0..OUTPUTS {
                    let weight = _mm256_set1_ps(*weights.add(output));
                    for lane in 0..WIDE {
                        sums[output][lane] = _mm256_fmadd_ps(weight, lanes[lane], sums[output][lane]);
                    }
                }
                // Wrapping, because after the last step they may point beyond what they are of.
                weights = weights.wrapping_add(part.block.n);
                pixels = pixels.wrapping_add(row.dilation);
            }
        }
    }
    if !row.residual.is_empty() {
        let residual: &[usize; OUTPUTS] = chunk(&row.residual[first..]);
        for output in 0..OUTPUTS {
            for lane in 0..WIDE {
                // SAFETY: residual rows hold the padded width.
                let other = unsafe { _mm256_loadu_ps(memory.add(residual[output] + x + lane * LANES)) };
                sums[output][lane] = _mm256_add_ps(sums[output][lane], other);
            }
        }
    }
    let zero = _mm256_setzero_ps();
    match row.activation {
        Activation::None => {}
        Activation::Relu => {
            for output in 0..OUTPUTS {
                for lane in 0..WIDE {
                    sums[output][lane] = _mm256_max_ps(zero, sums[output][lane]);
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
            let (low, high) = (_mm256_set1_ps(*low), _mm256_set1_ps(*high));
            for output in 0..OUTPUTS {
                for lane in 0..WIDE {
                    sums[output][lane] = _mm256_min_ps(high, _mm256_max_ps(low, sums[output][lane]));
                }
            }
        }
    }
    for output in 0..OUTPUTS {
        for lane in 0..WIDE {
            // SAFETY: output rows hold the padded width.
            unsafe { _mm256_storeu_ps(memory.add(outputs[output] + x + lane * LANES), sums[output][lane]) };
        }
    }
}

/// The first `N` of a slice that holds as many.
#[inline(always)]
fn chunk<T, const N: usize>(slice: &[T]) -> &[T; N] {
    slice.first_chunk().expect("`conv_row` checked that there is one for each output")
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn sloped(x: __m256, slope: f32) -> __m256 {
    let below = _mm256_cmp_ps::<_CMP_LT_OQ>(x, _mm256_setzero_ps());
    _mm256_blendv_ps(x, _mm256_mul_ps(x, _mm256_set1_ps(slope)), below)
}

/// What a sum of channel `channel` becomes.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn activated(activation: &Activation, channel: usize, x: __m256) -> __m256 {
    match activation {
        Activation::None => x,
        Activation::Relu => _mm256_max_ps(_mm256_setzero_ps(), x),
        Activation::Slope(slopes) => sloped(x, slopes[channel]),
        Activation::Clip(low, high) => _mm256_min_ps(_mm256_set1_ps(*high), _mm256_max_ps(_mm256_set1_ps(*low), x)),
    }
}
