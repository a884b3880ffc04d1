//! The convolution of whole numbers with AVX-512 VNNI: blocks of 8 outputs by 3 registers of 16 pixels, or 4 by 6.

use std::arch::x86_64::*;
use std::mem::MaybeUninit;

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

/// The sums of an element of results, of a register of pixels.
type Four = [__m512i; DEPTH];

/// `QUADS` elements of results of `16 * WIDE` pixels from column `x`.
///
/// # Safety
/// As `whole_row`; `x + 16 * WIDE` is inside the padded width; the block has `QUADS` elements.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
unsafe fn tile<const QUADS: usize, const WIDE: usize>(
    memory: *mut f32,
    weights: &QuadWeights,
    block: &QuadBlock,
    row: &QuadRow,
    x: usize,
) {
    let mut sums = MaybeUninit::uninit();
    // SAFETY: as promised by the caller, also for each register of pixels; `sum` writes all of the sums.
    unsafe {
        sum::<QUADS, WIDE>(memory, weights.columns(), block, row, x, &mut sums);
        let sums = sums.assume_init_ref();
        for (quad, lanes) in sums.iter().enumerate() {
            for (lane, four) in lanes.iter().enumerate() {
                finish(memory, weights, block, row, (quad, x + lane * LANES), four);
            }
        }
    }
}

/// # Safety
/// As `tile`.
#[inline(never)]
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
#[expect(clippy::needless_range_loop, reason = "iterators keep the sums in memory")]
unsafe fn sum<const QUADS: usize, const WIDE: usize>(
    memory: *const f32,
    columns: usize,
    block: &QuadBlock,
    row: &QuadRow,
    x: usize,
    sums: &mut MaybeUninit<[[Four; WIDE]; QUADS]>,
) {
    let outputs = block.outputs.first_chunk::<QUADS>().expect("the block has as many");
    // Loops over all registers count to constants and reach into an array that nobody else sees: only so do sums stay
    // registers to the end, and it must not be what is returned.
    let mut all = [[[_mm512_setzero_si512(); DEPTH]; WIDE]; QUADS];
    for quad in 0..QUADS {
        for lane in 0..WIDE {
            for at in 0..DEPTH {
                all[quad][lane][at] = _mm512_set1_epi32(outputs[quad][at].bias);
            }
        }
    }
    let mut weights = block.weights.as_ptr().cast::<i32>();
    for input in row.inputs {
        // SAFETY: `inputs` rows hold the padded width and the kernel's reach from their place on; the weights are four
        // bytes for each output, input row and kernel column.
        unsafe {
            let mut pixels = memory.add(input + x).cast::<i32>();
            for _ in 0..columns {
                let mut lanes = [_mm512_setzero_si512(); WIDE];
                for lane in 0..WIDE {
                    lanes[lane] = _mm512_loadu_si512(pixels.add(lane * LANES).cast());
                }
                for quad in 0..QUADS {
                    for at in 0..DEPTH {
                        let weight = _mm512_set1_epi32(weights.add(quad * DEPTH + at).read_unaligned());
                        for lane in 0..WIDE {
                            all[quad][lane][at] = _mm512_dpbusd_epi32(all[quad][lane][at], lanes[lane], weight);
                        }
                    }
                }
                // Wrapping, because after the last step they may point beyond what they are of.
                weights = weights.wrapping_add(QUADS * DEPTH);
                pixels = pixels.wrapping_add(row.dilation);
            }
        }
    }
    sums.write(all);
}

/// What the sums of element `quad` of the block become, of 16 pixels from column `x`.
///
/// # Safety
/// As `whole_row`; `x + 16` is inside the padded width; the block has the element.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn finish(
    memory: *mut f32,
    weights: &QuadWeights,
    block: &QuadBlock,
    row: &QuadRow,
    (quad, x): (usize, usize),
    sums: &Four,
) {
    let (ends, outputs, quad) = (weights.ends(), &block.outputs[quad], block.first + quad);
    let (least, most) = (_mm512_set1_ps(ends.least), _mm512_set1_ps(ends.most));
    let mut steps = *sums;
    for at in 0..DEPTH {
        let some = _mm512_mul_ps(_mm512_cvtepi32_ps(steps[at]), _mm512_set1_ps(outputs[at].factor));
        steps[at] = rounded(_mm512_min_ps(_mm512_max_ps(some, least), most));
    }
    if let Some(after) = weights.after() {
        let mut residual = _mm512_setzero_si512();
        if let Some(place) = row.residual.get(quad) {
            // SAFETY: rows of codes hold the padded width.
            residual = unsafe { _mm512_loadu_si512(memory.add(place + x).cast()) };
        }
        for (at, steps) in steps.iter_mut().enumerate() {
            let code = _mm512_srl_epi32(residual, _mm_cvtsi32_si128(8 * at as i32));
            *steps = again(after, quad * DEPTH + at, *steps, _mm512_and_si512(code, _mm512_set1_epi32(0xff)));
        }
    }
    if let Some(place) = row.quads.get(quad) {
        // Sums carry and borrow as if each byte had been one already.
        let low = _mm512_add_epi32(steps[0], _mm512_slli_epi32::<8>(steps[1]));
        let high = _mm512_add_epi32(steps[2], _mm512_slli_epi32::<8>(steps[3]));
        let codes = _mm512_add_epi32(low, _mm512_slli_epi32::<16>(high));
        let codes = _mm512_add_epi32(codes, _mm512_set1_epi8(weights.zero() as i8));
        // SAFETY: rows of results hold the padded width.
        unsafe { _mm512_storeu_si512(memory.add(place + x).cast(), codes) };
    }
    let zero = _mm512_set1_ps(f32::from(weights.zero()) + row.offset);
    for (place, steps) in row.planes.iter().skip(quad * DEPTH).zip(&steps) {
        // SAFETY: as above.
        unsafe { _mm512_storeu_ps(memory.add(place + x), _mm512_add_ps(_mm512_cvtepi32_ps(*steps), zero)) };
    }
}

/// To whole numbers, halves to even.
#[inline]
#[target_feature(enable = "avx512f")]
fn rounded(steps: __m512) -> __m512i {
    _mm512_cvt_roundps_epi32::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(steps)
}

/// What becomes of steps of an output, `code` being that of what is added.
#[inline]
#[target_feature(enable = "avx512f")]
fn again(after: &After, output: usize, steps: __m512i, code: __m512i) -> __m512i {
    let mut x = _mm512_mul_ps(_mm512_cvtepi32_ps(steps), _mm512_set1_ps(after.from));
    if let Some(slope) = after.slopes.get(output) {
        let below = _mm512_cmp_ps_mask::<_CMP_LT_OQ>(x, _mm512_setzero_ps());
        x = _mm512_mask_mul_ps(x, below, x, _mm512_set1_ps(*slope));
    }
    if let Some((scale, zero)) = after.residual {
        let steps = _mm512_sub_ps(_mm512_cvtepi32_ps(code), _mm512_set1_ps(zero));
        x = _mm512_add_ps(x, _mm512_mul_ps(steps, _mm512_set1_ps(scale)));
    }
    let steps = _mm512_div_ps(x, _mm512_set1_ps(after.to));
    let steps = _mm512_max_ps(steps, _mm512_set1_ps(after.ends.least));
    rounded(_mm512_min_ps(steps, _mm512_set1_ps(after.ends.most)))
}
