//! The convolution of whole numbers with AVX-512 VNNI: blocks of 8 outputs by 3 registers of 16 pixels, or 4 by 6.

use std::arch::x86_64::*;

use crate::infer::native::kernel::quads::{After, DEPTH, QuadBlock, QuadRow, QuadWeights};
use crate::simd::cpu::Vnni;

const LANES: usize = 16;

pub(in super::super) fn conv_row(_proof: Vnni, memory: &mut [f32], weights: &QuadWeights, row: &QuadRow) {
    // SAFETY: the proof says that this CPU has it; the caller has checked that all rows lie in `memory`.
    unsafe { whole_row(memory.as_mut_ptr(), weights, row) }
}

/// # Safety
/// `memory` holds all rows that `row` names, up to a multiple of [`LANES`] elements.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
unsafe fn whole_row(memory: *mut f32, weights: &QuadWeights, row: &QuadRow) {
    let mut x = 0;
    while x < row.width {
        let left = (row.width - x).div_ceil(LANES);
        // All outputs of a few pixels, then the next pixels: their inputs stay in the first-level cache.
        let step = if weights.n_quads() > 1 { left.min(3) } else { left.min(6) };
        for block in weights.blocks() {
            // SAFETY: as promised by the caller; `step` registers from `x` end before the padded width.
            unsafe {
                match (block.outputs.len(), step) {
                    (2, 3) => tile::<2, 3>(memory, weights, &block, row, x),
                    (1, 6) => tile::<1, 6>(memory, weights, &block, row, x),
                    (1, 3) => tile::<1, 3>(memory, weights, &block, row, x),
                    (n, _) => {
                        for x in (x..x + step * LANES).step_by(LANES) {
                            match n {
                                2 => tile::<2, 1>(memory, weights, &block, row, x),
                                _ => tile::<1, 1>(memory, weights, &block, row, x),
                            }
                        }
                    }
                }
            }
        }
        x += step * LANES;
    }
}

/// `QUADS` elements of results of `16 * WIDE` pixels from column `x`.
///
/// # Safety
/// As `whole_row`; `x + 16 * WIDE` is inside the padded width; the block has `QUADS` elements.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
#[expect(clippy::needless_range_loop, reason = "iterators keep the sums in memory")]
unsafe fn tile<const QUADS: usize, const WIDE: usize>(
    memory: *mut f32,
    all: &QuadWeights,
    block: &QuadBlock,
    row: &QuadRow,
    x: usize,
) {
    let outputs = block.outputs.first_chunk::<QUADS>().expect("the block has as many");
    // Loops over all registers count to constants and reach into arrays: only so do sums stay registers to the end.
    let mut sums = [[[_mm512_setzero_si512(); WIDE]; DEPTH]; QUADS];
    for quad in 0..QUADS {
        for at in 0..DEPTH {
            sums[quad][at] = [_mm512_set1_epi32(outputs[quad][at].bias); WIDE];
        }
    }
    let mut weights = block.weights.as_ptr().cast::<i32>();
    for input in row.inputs {
        // SAFETY: `inputs` rows hold the padded width and the kernel's reach from their place on; the weights are four
        // bytes for each output, input row and kernel column.
        unsafe {
            let mut pixels = memory.add(input + x).cast_const().cast::<i32>();
            for _ in 0..all.columns() {
                let mut lanes = [_mm512_setzero_si512(); WIDE];
                for lane in 0..WIDE {
                    lanes[lane] = _mm512_loadu_si512(pixels.add(lane * LANES).cast());
                }
                for quad in 0..QUADS {
                    for at in 0..DEPTH {
                        let weight = _mm512_set1_epi32(weights.add(quad * DEPTH + at).read_unaligned());
                        for lane in 0..WIDE {
                            sums[quad][at][lane] = _mm512_dpbusd_epi32(sums[quad][at][lane], lanes[lane], weight);
                        }
                    }
                }
                // Wrapping, because after the last step they may point beyond what they are of.
                weights = weights.wrapping_add(QUADS * DEPTH);
                pixels = pixels.wrapping_add(row.dilation);
            }
        }
    }
    let ends = all.ends();
    let (least, most) = (_mm512_set1_ps(ends.least), _mm512_set1_ps(ends.most));
    for quad in 0..QUADS {
        for at in 0..DEPTH {
            let factor = _mm512_set1_ps(outputs[quad][at].factor);
            for lane in 0..WIDE {
                let steps = _mm512_mul_ps(_mm512_cvtepi32_ps(sums[quad][at][lane]), factor);
                let steps = _mm512_min_ps(_mm512_max_ps(steps, least), most);
                sums[quad][at][lane] = rounded(steps);
            }
        }
    }
    if let Some(after) = all.after() {
        for quad in 0..QUADS {
            for lane in 0..WIDE {
                let residual = row.residual.get(block.first + quad);
                // SAFETY: rows of codes hold the padded width.
                let residual =
                    residual.map(|place| unsafe { _mm512_loadu_si512(memory.add(place + x + lane * LANES).cast()) });
                for at in 0..DEPTH {
                    let output = (block.first + quad) * DEPTH + at;
                    sums[quad][at][lane] = again(after, output, sums[quad][at][lane], residual);
                }
            }
        }
    }
    if !row.quads.is_empty() {
        let places =
            row.quads[block.first..].first_chunk::<QUADS>().expect("`conv_row` checked that there are as many");
        let zeros = _mm512_set1_epi8(all.zero() as i8);
        for quad in 0..QUADS {
            for lane in 0..WIDE {
                // Sums carry and borrow as if each byte had been one already.
                let [a, b, c, d] = [0, 1, 2, 3].map(|at| sums[quad][at][lane]);
                let low = _mm512_add_epi32(a, _mm512_slli_epi32::<8>(b));
                let high = _mm512_add_epi32(c, _mm512_slli_epi32::<8>(d));
                let codes = _mm512_add_epi32(_mm512_add_epi32(low, _mm512_slli_epi32::<16>(high)), zeros);
                // SAFETY: rows of results hold the padded width.
                unsafe { _mm512_storeu_si512(memory.add(places[quad] + x + lane * LANES).cast(), codes) };
            }
        }
    }
    if !row.planes.is_empty() {
        let zero = _mm512_set1_ps(f32::from(all.zero()) + row.offset);
        let planes = &row.planes[block.first * DEPTH..];
        for quad in 0..QUADS {
            for at in 0..DEPTH {
                let Some(place) = planes.get(quad * DEPTH + at) else { continue };
                for lane in 0..WIDE {
                    let value = _mm512_add_ps(_mm512_cvtepi32_ps(sums[quad][at][lane]), zero);
                    // SAFETY: as above.
                    unsafe { _mm512_storeu_ps(memory.add(place + x + lane * LANES), value) };
                }
            }
        }
    }
}

/// To whole numbers, halves to even.
#[inline]
#[target_feature(enable = "avx512f")]
fn rounded(steps: __m512) -> __m512i {
    _mm512_cvt_roundps_epi32::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(steps)
}

/// What becomes of steps of an output, whose codes of the residual are in each element of `residual`.
#[inline]
#[target_feature(enable = "avx512f")]
fn again(after: &After, output: usize, steps: __m512i, residual: Option<__m512i>) -> __m512i {
    let mut x = _mm512_mul_ps(_mm512_cvtepi32_ps(steps), _mm512_set1_ps(after.from));
    if let Some(slope) = after.slopes.get(output) {
        let below = _mm512_cmp_ps_mask::<_CMP_LT_OQ>(x, _mm512_setzero_ps());
        x = _mm512_mask_mul_ps(x, below, x, _mm512_set1_ps(*slope));
    }
    if let (Some((scale, zero)), Some(residual)) = (after.residual, residual) {
        let code = _mm512_srl_epi32(residual, _mm_cvtsi32_si128(output as i32 % DEPTH as i32 * 8));
        let code = _mm512_cvtepi32_ps(_mm512_and_si512(code, _mm512_set1_epi32(0xff)));
        let other = _mm512_mul_ps(_mm512_sub_ps(code, _mm512_set1_ps(zero)), _mm512_set1_ps(scale));
        x = _mm512_add_ps(x, other);
    }
    let steps = _mm512_div_ps(x, _mm512_set1_ps(after.to));
    let steps = _mm512_max_ps(steps, _mm512_set1_ps(after.ends.least));
    rounded(_mm512_min_ps(steps, _mm512_set1_ps(after.ends.most)))
}
