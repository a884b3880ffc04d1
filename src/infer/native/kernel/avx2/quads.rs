//! The convolution of whole numbers with AVX2: blocks of 4 outputs by 2 registers of 8 pixels.
//!
//! Bytes are multiplied as numbers of 16 bits, the even ones of an element and then the odd ones, because what AVX2
//! multiplies bytes with stops at the ends of 16 bits.

use std::arch::x86_64::*;

use crate::infer::native::kernel::quads::{After, DEPTH, QuadBlock, QuadRow, QuadWeights};
use crate::simd::cpu::Avx2;

const LANES: usize = 8;
/// Registers beside each other: half of what rows are padded to.
const WIDE: usize = 2;

pub(in super::super) fn conv_row(_proof: Avx2, memory: &mut [f32], weights: &QuadWeights, row: &QuadRow) {
    // SAFETY: the proof says that this CPU has it; the caller has checked that all rows lie in `memory`.
    unsafe { whole_row(memory.as_mut_ptr(), weights, row) }
}

/// # Safety
/// `memory` holds all rows that `row` names, up to a multiple of 16 elements.
#[target_feature(enable = "avx2")]
unsafe fn whole_row(memory: *mut f32, weights: &QuadWeights, row: &QuadRow) {
    for x in (0..row.width).step_by(WIDE * LANES) {
        for block in weights.blocks() {
            for quad in 0..block.outputs.len() {
                // SAFETY: as promised by the caller; the registers from `x` end before the padded width.
                unsafe { tile(memory, weights, &block, quad, row, x) };
            }
        }
    }
}

/// An element of results, of 16 pixels from column `x`.
///
/// # Safety
/// As `whole_row`; `x + 16` is inside the padded width; the block has more than `quad` elements.
#[target_feature(enable = "avx2")]
#[expect(clippy::needless_range_loop, reason = "iterators keep the sums in memory")]
unsafe fn tile(memory: *mut f32, all: &QuadWeights, block: &QuadBlock, quad: usize, row: &QuadRow, x: usize) {
    let outputs = &block.outputs[quad];
    let mut sums = [[_mm256_setzero_si256(); WIDE]; DEPTH];
    for at in 0..DEPTH {
        sums[at] = [_mm256_set1_epi32(outputs[at].bias); WIDE];
    }
    let step = block.outputs.len() * DEPTH;
    let bytes = _mm256_set1_epi16(0xff);
    let mut weights = block.weights.as_ptr().cast::<i32>().wrapping_add(quad * DEPTH);
    for input in row.inputs {
        // SAFETY: `inputs` rows hold the padded width and the kernel's reach from their place on; the weights are four
        // bytes for each output, input row and kernel column.
        unsafe {
            let mut pixels = memory.add(input + x).cast_const().cast::<i32>();
            for _ in 0..all.columns() {
                let (mut even, mut odd) = ([bytes; WIDE], [bytes; WIDE]);
                for lane in 0..WIDE {
                    let codes = _mm256_loadu_si256(pixels.add(lane * LANES).cast());
                    even[lane] = _mm256_and_si256(codes, bytes);
                    odd[lane] = _mm256_srli_epi16::<8>(codes);
                }
                for at in 0..DEPTH {
                    let weight = _mm256_set1_epi32(weights.add(at).read_unaligned());
                    let of_even = _mm256_srai_epi16::<8>(_mm256_slli_epi16::<8>(weight));
                    let of_odd = _mm256_srai_epi16::<8>(weight);
                    for lane in 0..WIDE {
                        let both = _mm256_add_epi32(
                            _mm256_madd_epi16(even[lane], of_even),
                            _mm256_madd_epi16(odd[lane], of_odd),
                        );
                        sums[at][lane] = _mm256_add_epi32(sums[at][lane], both);
                    }
                }
                // Wrapping, because after the last step they may point beyond what they are of.
                weights = weights.wrapping_add(step);
                pixels = pixels.wrapping_add(row.dilation);
            }
        }
    }
    let ends = all.ends();
    let (least, most) = (_mm256_set1_ps(ends.least), _mm256_set1_ps(ends.most));
    for at in 0..DEPTH {
        let factor = _mm256_set1_ps(outputs[at].factor);
        for lane in 0..WIDE {
            let steps = _mm256_mul_ps(_mm256_cvtepi32_ps(sums[at][lane]), factor);
            let steps = _mm256_min_ps(_mm256_max_ps(steps, least), most);
            sums[at][lane] = rounded(steps);
        }
    }
    if let Some(after) = all.after() {
        for lane in 0..WIDE {
            let residual = row.residual.get(block.first + quad);
            // SAFETY: rows of codes hold the padded width.
            let residual =
                residual.map(|place| unsafe { _mm256_loadu_si256(memory.add(place + x + lane * LANES).cast()) });
            for at in 0..DEPTH {
                sums[at][lane] = again(after, (block.first + quad) * DEPTH + at, sums[at][lane], residual);
            }
        }
    }
    let (zeros, zero) = (_mm256_set1_epi8(all.zero() as i8), _mm256_set1_ps(f32::from(all.zero()) + row.offset));
    for lane in 0..WIDE {
        if let Some(place) = row.quads.get(block.first + quad) {
            // Sums carry and borrow as if each byte had been one already.
            let [a, b, c, d] = [0, 1, 2, 3].map(|at| sums[at][lane]);
            let low = _mm256_add_epi32(a, _mm256_slli_epi32::<8>(b));
            let high = _mm256_add_epi32(c, _mm256_slli_epi32::<8>(d));
            let codes = _mm256_add_epi32(_mm256_add_epi32(low, _mm256_slli_epi32::<16>(high)), zeros);
            // SAFETY: rows of results hold the padded width.
            unsafe { _mm256_storeu_si256(memory.add(place + x + lane * LANES).cast(), codes) };
        }
        for at in 0..DEPTH {
            let Some(place) = row.planes.get((block.first + quad) * DEPTH + at) else { continue };
            let value = _mm256_add_ps(_mm256_cvtepi32_ps(sums[at][lane]), zero);
            // SAFETY: as above.
            unsafe { _mm256_storeu_ps(memory.add(place + x + lane * LANES), value) };
        }
    }
}

/// To whole numbers, halves to even.
#[inline]
#[target_feature(enable = "avx2")]
fn rounded(steps: __m256) -> __m256i {
    _mm256_cvttps_epi32(_mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(steps))
}

/// What becomes of steps of an output, whose codes of the residual are in each element of `residual`.
#[inline]
#[target_feature(enable = "avx2")]
fn again(after: &After, output: usize, steps: __m256i, residual: Option<__m256i>) -> __m256i {
    let mut x = _mm256_mul_ps(_mm256_cvtepi32_ps(steps), _mm256_set1_ps(after.from));
    if let Some(slope) = after.slopes.get(output) {
        let below = _mm256_cmp_ps::<_CMP_LT_OQ>(x, _mm256_setzero_ps());
        x = _mm256_blendv_ps(x, _mm256_mul_ps(x, _mm256_set1_ps(*slope)), below);
    }
    if let (Some((scale, zero)), Some(residual)) = (after.residual, residual) {
        let code = _mm256_srl_epi32(residual, _mm_cvtsi32_si128(output as i32 % DEPTH as i32 * 8));
        let code = _mm256_cvtepi32_ps(_mm256_and_si256(code, _mm256_set1_epi32(0xff)));
        let other = _mm256_mul_ps(_mm256_sub_ps(code, _mm256_set1_ps(zero)), _mm256_set1_ps(scale));
        x = _mm256_add_ps(x, other);
    }
    let steps = _mm256_div_ps(x, _mm256_set1_ps(after.to));
    let steps = _mm256_max_ps(steps, _mm256_set1_ps(after.ends.least));
    rounded(_mm256_min_ps(steps, _mm256_set1_ps(after.ends.most)))
}
