//! The convolution with AVX-512: blocks of up to 8 outputs by 3 registers of 16 pixels, or 4 by 6.

use std::arch::x86_64::*;

use super::{Activation, Block, ConvRow, Weights};

const LANES: usize = 16;

pub(super) fn conv_row(memory: &mut [f32], weights: &Weights, row: &ConvRow) {
    // SAFETY: the level was detected on this CPU; the caller has checked that all rows lie in `memory`.
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
unsafe fn tile<const OUTPUTS: usize, const WIDE: usize>(
    memory: *mut f32,
    block: &Block,
    row: &ConvRow,
    columns: usize,
    x: usize,
) {
    let mut sums = [[_mm512_setzero_ps(); WIDE]; OUTPUTS];
    for (sums, bias) in sums.iter_mut().zip(block.bias) {
        *sums = [_mm512_set1_ps(*bias); WIDE];
    }
    let mut weights = block.weights.as_ptr();
    for input in row.inputs {
        // SAFETY: `inputs` rows hold the padded width and the kernel's reach from their place on; the weights are
        // `OUTPUTS` for each input row and kernel column.
        unsafe {
            let mut pixels = memory.add(input + x).cast_const();
            for _ in 0..columns {
                let mut lanes = [_mm512_setzero_ps(); WIDE];
                for (at, lanes) in lanes.iter_mut().enumerate() {
                    *lanes = _mm512_loadu_ps(pixels.add(at * LANES));
                }
                for (output, sums) in sums.iter_mut().enumerate() {
                    let weight = _mm512_set1_ps(*weights.add(output));
                    for (sum, lanes) in sums.iter_mut().zip(&lanes) {
                        *sum = _mm512_fmadd_ps(weight, *lanes, *sum);
                    }
                }
                // Wrapping, because after the last step they may point beyond what they are of.
                weights = weights.wrapping_add(OUTPUTS);
                pixels = pixels.wrapping_add(row.dilation);
            }
        }
    }
    // Each step a loop of its own over all registers, which then stay registers.
    let first = block.first;
    if !row.residual.is_empty() {
        for (sums, residual) in sums.iter_mut().zip(&row.residual[first..]) {
            for (lane, sum) in sums.iter_mut().enumerate() {
                // SAFETY: residual rows hold the padded width.
                *sum = _mm512_add_ps(*sum, unsafe { _mm512_loadu_ps(memory.add(residual + x + lane * LANES)) });
            }
        }
    }
    let (zero, first_channel) = (_mm512_setzero_ps(), row.first_channel + first);
    match row.activation {
        Activation::None => {}
        Activation::Relu => sums.as_flattened_mut().iter_mut().for_each(|sum| *sum = _mm512_max_ps(zero, *sum)),
        Activation::Slope(slopes) => {
            for output in 0..OUTPUTS {
                let slope = _mm512_set1_ps(slopes[first_channel + output]);
                for sum in &mut sums[output] {
                    let below = _mm512_cmp_ps_mask::<_CMP_LT_OQ>(*sum, zero);
                    *sum = _mm512_mask_mul_ps(*sum, below, *sum, slope);
                }
            }
        }
        Activation::Clip(low, high) => {
            let (low, high) = (_mm512_set1_ps(*low), _mm512_set1_ps(*high));
            for sum in sums.as_flattened_mut() {
                *sum = _mm512_min_ps(high, _mm512_max_ps(low, *sum));
            }
        }
    }
    for (sums, output) in sums.iter().zip(&row.outputs[first..]) {
        for (lane, sum) in sums.iter().enumerate() {
            // SAFETY: output rows hold the padded width.
            unsafe { _mm512_storeu_ps(memory.add(output + x + lane * LANES), *sum) };
        }
    }
}
