//! The convolution with AVX2 and FMA: blocks of up to 4 outputs by 3 registers of 8 pixels.

use std::arch::x86_64::*;

use super::{Activation, Block, ConvRow, Weights};

const LANES: usize = 8;

pub(super) fn conv_row(memory: &mut [f32], weights: &Weights, row: &ConvRow) {
    // SAFETY: the level was detected on this CPU; the caller has checked that all rows lie in `memory`.
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
unsafe fn tile<const OUTPUTS: usize, const WIDE: usize>(
    memory: *mut f32,
    part: Part,
    row: &ConvRow,
    columns: usize,
    x: usize,
) {
    let mut sums = [[_mm256_setzero_ps(); WIDE]; OUTPUTS];
    for (sums, bias) in sums.iter_mut().zip(&part.block.bias[part.first..]) {
        *sums = [_mm256_set1_ps(*bias); WIDE];
    }
    let mut weights = part.block.weights[part.first..].as_ptr();
    for input in row.inputs {
        // SAFETY: `inputs` rows hold the padded width and the kernel's reach from their place on; the weights are
        // `block.n` for each input row and kernel column, of which the part's are read.
        unsafe {
            let mut pixels = memory.add(input + x).cast_const();
            for _ in 0..columns {
                let mut lanes = [_mm256_setzero_ps(); WIDE];
                for (at, lanes) in lanes.iter_mut().enumerate() {
                    *lanes = _mm256_loadu_ps(pixels.add(at * LANES));
                }
                for (output, sums) in sums.iter_mut().enumerate() {
                    let weight = _mm256_set1_ps(*weights.add(output));
                    for (sum, lanes) in sums.iter_mut().zip(&lanes) {
                        *sum = _mm256_fmadd_ps(weight, *lanes, *sum);
                    }
                }
                // Wrapping, because after the last step they may point beyond what they are of.
                weights = weights.wrapping_add(part.block.n);
                pixels = pixels.wrapping_add(row.dilation);
            }
        }
    }
    // Each step a loop of its own over all registers, which then stay registers.
    let first = part.block.first + part.first;
    if !row.residual.is_empty() {
        for (sums, residual) in sums.iter_mut().zip(&row.residual[first..]) {
            for (lane, sum) in sums.iter_mut().enumerate() {
                // SAFETY: residual rows hold the padded width.
                *sum = _mm256_add_ps(*sum, unsafe { _mm256_loadu_ps(memory.add(residual + x + lane * LANES)) });
            }
        }
    }
    let (zero, first_channel) = (_mm256_setzero_ps(), row.first_channel + first);
    match row.activation {
        Activation::None => {}
        Activation::Relu => sums.as_flattened_mut().iter_mut().for_each(|sum| *sum = _mm256_max_ps(zero, *sum)),
        Activation::Slope(slopes) => {
            for output in 0..OUTPUTS {
                let slope = _mm256_set1_ps(slopes[first_channel + output]);
                for sum in &mut sums[output] {
                    let below = _mm256_cmp_ps::<_CMP_LT_OQ>(*sum, zero);
                    *sum = _mm256_blendv_ps(*sum, _mm256_mul_ps(*sum, slope), below);
                }
            }
        }
        Activation::Clip(low, high) => {
            let (low, high) = (_mm256_set1_ps(*low), _mm256_set1_ps(*high));
            for sum in sums.as_flattened_mut() {
                *sum = _mm256_min_ps(high, _mm256_max_ps(low, *sum));
            }
        }
    }
    for (sums, output) in sums.iter().zip(&row.outputs[first..]) {
        for (lane, sum) in sums.iter().enumerate() {
            // SAFETY: output rows hold the padded width.
            unsafe { _mm256_storeu_ps(memory.add(output + x + lane * LANES), *sum) };
        }
    }
}
