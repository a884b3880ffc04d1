//! The convolution of whole numbers with AVX2: blocks of 4 outputs by 2 registers of 8 pixels.
//!
//! Bytes are multiplied as numbers of 16 bits, the even ones of an element and then the odd ones, because what AVX2
//! multiplies bytes with stops at the ends of 16 bits.

use std::arch::x86_64::*;
use std::mem::MaybeUninit;

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

/// The sums of an element of results, of a register of pixels.
type Four = [__m256i; DEPTH];

/// An element of results, of 16 pixels from column `x`.
///
/// # Safety
/// As `whole_row`; `x + 16` is inside the padded width; the block has more than `quad` elements.
#[target_feature(enable = "avx2")]
unsafe fn tile(memory: *mut f32, weights: &QuadWeights, block: &QuadBlock, quad: usize, row: &QuadRow, x: usize) {
    let mut sums = MaybeUninit::uninit();
    // SAFETY: as promised by the caller, also for each register of pixels; `sum` writes all of the sums.
    unsafe {
        sum(memory, weights.columns(), block, quad, row, x, &mut sums);
        let sums = sums.assume_init_ref();
        for (lane, four) in sums.iter().enumerate() {
            finish(memory, weights, block, row, (quad, x + lane * LANES), four);
        }
    }
}

/// # Safety
/// As `tile`.
#[inline(never)]
#[target_feature(enable = "avx2")]
#[expect(clippy::needless_range_loop, reason = "iterators keep the sums in memory")]
unsafe fn sum(
    memory: *const f32,
    columns: usize,
    block: &QuadBlock,
    quad: usize,
    row: &QuadRow,
    x: usize,
    sums: &mut MaybeUninit<[Four; WIDE]>,
) {
    let outputs = &block.outputs[quad];
    // As in AVX-512: an array that nobody else sees stays registers.
    let mut all = [[_mm256_setzero_si256(); DEPTH]; WIDE];
    for lane in 0..WIDE {
        for at in 0..DEPTH {
            all[lane][at] = _mm256_set1_epi32(outputs[at].bias);
        }
    }
    let step = block.outputs.len() * DEPTH;
    let bytes = _mm256_set1_epi16(0xff);
    let mut weights = block.wide.as_ptr().wrapping_add(quad * DEPTH);
    for input in row.inputs {
        // SAFETY: `inputs` rows hold the padded width and the kernel's reach from their place on; the weights are four
        // numbers of 16 bits for each output, input row and kernel column.
        unsafe {
            let mut pixels = memory.add(input + x).cast::<i32>();
            for _ in 0..columns {
                let (mut even, mut odd) = ([bytes; WIDE], [bytes; WIDE]);
                for lane in 0..WIDE {
                    let codes = _mm256_loadu_si256(pixels.add(lane * LANES).cast());
                    even[lane] = _mm256_and_si256(codes, bytes);
                    odd[lane] = _mm256_srli_epi16::<8>(codes);
                }
                for at in 0..DEPTH {
                    let pairs = weights.add(at).cast::<i32>();
                    let of_even = _mm256_set1_epi32(pairs.read_unaligned());
                    let of_odd = _mm256_set1_epi32(pairs.add(1).read_unaligned());
                    for lane in 0..WIDE {
                        let both = _mm256_add_epi32(
                            _mm256_madd_epi16(even[lane], of_even),
                            _mm256_madd_epi16(odd[lane], of_odd),
                        );
                        all[lane][at] = _mm256_add_epi32(all[lane][at], both);
                    }
                }
                // Wrapping, because after the last step they may point beyond what they are of.
                weights = weights.wrapping_add(step);
                pixels = pixels.wrapping_add(row.dilation);
            }
        }
    }
    sums.write(all);
}

/// What the sums of element `quad` of the block become, of 8 pixels from column `x`.
///
/// # Safety
/// As `whole_row`; `x + 8` is inside the padded width; the block has the element.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn finish(
    memory: *mut f32,
    weights: &QuadWeights,
    block: &QuadBlock,
    row: &QuadRow,
    (quad, x): (usize, usize),
    sums: &Four,
) {
    let (ends, outputs, quad) = (weights.ends(), &block.outputs[quad], block.first + quad);
    let (least, most) = (_mm256_set1_ps(ends.least), _mm256_set1_ps(ends.most));
    let mut steps = *sums;
    for at in 0..DEPTH {
        let some = _mm256_mul_ps(_mm256_cvtepi32_ps(steps[at]), _mm256_set1_ps(outputs[at].factor));
        steps[at] = rounded(_mm256_min_ps(_mm256_max_ps(some, least), most));
    }
    if let Some(after) = weights.after() {
        let mut residual = _mm256_setzero_si256();
        if let Some(place) = row.residual.get(quad) {
            // SAFETY: rows of codes hold the padded width.
            residual = unsafe { _mm256_loadu_si256(memory.add(place + x).cast()) };
        }
        for (at, steps) in steps.iter_mut().enumerate() {
            let code = _mm256_srl_epi32(residual, _mm_cvtsi32_si128(8 * at as i32));
            *steps = again(after, quad * DEPTH + at, *steps, _mm256_and_si256(code, _mm256_set1_epi32(0xff)));
        }
    }
    if let Some(place) = row.quads.get(quad) {
        // Sums carry and borrow as if each byte had been one already.
        let low = _mm256_add_epi32(steps[0], _mm256_slli_epi32::<8>(steps[1]));
        let high = _mm256_add_epi32(steps[2], _mm256_slli_epi32::<8>(steps[3]));
        let codes = _mm256_add_epi32(low, _mm256_slli_epi32::<16>(high));
        let codes = _mm256_add_epi32(codes, _mm256_set1_epi8(weights.zero() as i8));
        // SAFETY: rows of results hold the padded width.
        unsafe { _mm256_storeu_si256(memory.add(place + x).cast(), codes) };
    }
    let zero = _mm256_set1_ps(f32::from(weights.zero()) + row.offset);
    for (place, steps) in row.planes.iter().skip(quad * DEPTH).zip(&steps) {
        // SAFETY: as above.
        unsafe { _mm256_storeu_ps(memory.add(place + x), _mm256_add_ps(_mm256_cvtepi32_ps(*steps), zero)) };
    }
}

/// To whole numbers, halves to even.
#[inline]
#[target_feature(enable = "avx2")]
fn rounded(steps: __m256) -> __m256i {
    _mm256_cvttps_epi32(_mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(steps))
}

/// What becomes of steps of an output, `code` being that of what is added.
#[inline]
#[target_feature(enable = "avx2")]
fn again(after: &After, output: usize, steps: __m256i, code: __m256i) -> __m256i {
    let mut x = _mm256_mul_ps(_mm256_cvtepi32_ps(steps), _mm256_set1_ps(after.from));
    if let Some(slope) = after.slopes.get(output) {
        let below = _mm256_cmp_ps::<_CMP_LT_OQ>(x, _mm256_setzero_ps());
        x = _mm256_blendv_ps(x, _mm256_mul_ps(x, _mm256_set1_ps(*slope)), below);
    }
    if let Some((scale, zero)) = after.residual {
        let steps = _mm256_sub_ps(_mm256_cvtepi32_ps(code), _mm256_set1_ps(zero));
        x = _mm256_add_ps(x, _mm256_mul_ps(steps, _mm256_set1_ps(scale)));
    }
    let steps = _mm256_div_ps(x, _mm256_set1_ps(after.to));
    let steps = _mm256_max_ps(steps, _mm256_set1_ps(after.ends.least));
    rounded(_mm256_min_ps(steps, _mm256_set1_ps(after.ends.most)))
}
