//! What is done around tiles with AVX-512: packing, and what becomes of tiles of sums.

use std::arch::x86_64::*;

use crate::infer::native::kernel::Activation;
use crate::infer::native::kernel::tiles::{SIDE, Target, TileRow, TileWeights};

/// Packs a row; the caller holds the proof that this machine has tiles, and has checked that all rows lie in `memory`.
pub(in crate::infer::native::kernel) fn pack_row(
    memory: &mut [f32],
    channels: &[usize],
    place: usize,
    pixel: usize,
    width: usize,
) {
    // SAFETY: see above; who has tiles has AVX512-BF16.
    unsafe { pack_whole_row(memory.as_mut_ptr(), channels, place, pixel, width) }
}

/// Bias, residual and activation of a tile of sums, and its place among the results.
///
/// # Safety
/// `memory` holds all rows that `row` names, as `tiles::conv_row` checks; `x` is the column of a tile inside the padded
/// width, the block is there.
#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
pub(in crate::infer::native::kernel) unsafe fn finish(
    memory: *mut f32,
    weights: &TileWeights,
    row: &TileRow,
    x: usize,
    block: usize,
    sums: &[[f32; SIDE]; SIDE],
) {
    let first = block * SIDE;
    match &row.target {
        Target::Packed { place, pixel } => {
            let mut slopes = [1.0; SIDE];
            if let Activation::Slope(all) = row.activation {
                let some = &all[first..all.len().min(first + SIDE)];
                slopes[..some.len()].copy_from_slice(some);
            }
            // SAFETY: `bias` has 16 for each block; `slopes` has 16.
            let (bias, slopes) =
                unsafe { (_mm512_loadu_ps(weights.bias[first..].as_ptr()), _mm512_loadu_ps(slopes.as_ptr())) };
            for (at, sums) in sums.iter().enumerate().take(row.width - x) {
                // SAFETY: a row of sums is 16; a pixel inside the width has room for all blocks.
                unsafe {
                    let sum = _mm512_add_ps(_mm512_load_ps(sums.as_ptr()), bias);
                    let value = _mm512_cvtneps_pbh(activated(row.activation, slopes, sum));
                    memory.add(place + (x + at) * pixel + first / 2).cast::<__m256bh>().write_unaligned(value);
                }
            }
        }
        Target::Planar(rows) => {
            let column = _mm512_mullo_epi32(
                _mm512_set1_epi32(SIDE as i32),
                _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
            );
            for (at, place) in rows[first..].iter().enumerate().take(SIDE) {
                let slope = if let Activation::Slope(all) = row.activation { all[first + at] } else { 1.0 };
                // SAFETY: the gathered column lies in the 16 by 16 sums; the rows hold the padded width.
                unsafe {
                    let sum = _mm512_i32gather_ps::<4>(column, sums.as_flattened()[at..].as_ptr());
                    let mut sum = _mm512_add_ps(sum, _mm512_set1_ps(weights.bias[first + at]));
                    if let Some(residual) = row.residual.get(first + at) {
                        sum = _mm512_add_ps(sum, _mm512_loadu_ps(memory.add(residual + x)));
                    }
                    _mm512_storeu_ps(memory.add(place + x), activated(row.activation, _mm512_set1_ps(slope), sum));
                }
            }
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn activated(activation: &Activation, slopes: __m512, x: __m512) -> __m512 {
    match activation {
        Activation::None => x,
        Activation::Relu => _mm512_max_ps(_mm512_setzero_ps(), x),
        Activation::Slope(_) => {
            let below = _mm512_cmp_ps_mask::<_CMP_LT_OQ>(x, _mm512_setzero_ps());
            _mm512_mask_mul_ps(x, below, x, slopes)
        }
        Activation::Clip(low, high) => _mm512_min_ps(_mm512_set1_ps(*high), _mm512_max_ps(_mm512_set1_ps(*low), x)),
    }
}

/// # Safety
/// As `tiles::pack_row` checks.
#[target_feature(enable = "avx512f,avx512bf16")]
unsafe fn pack_whole_row(memory: *mut f32, channels: &[usize], place: usize, pixel: usize, width: usize) {
    for x in (0..width).step_by(SIDE) {
        for (block, channels) in channels.chunks(SIDE).enumerate() {
            let mut rows = [_mm512_setzero_ps(); SIDE];
            for (row, channel) in rows.iter_mut().zip(channels) {
                // SAFETY: rows hold the padded width.
                *row = unsafe { _mm512_loadu_ps(memory.add(channel + x)) };
            }
            for (at, pixels) in transposed(rows).into_iter().enumerate().take(width - x) {
                let value = _mm512_cvtneps_pbh(pixels);
                // SAFETY: a pixel inside the width has room for all blocks.
                unsafe {
                    memory.add(place + (x + at) * pixel + block * SIDE / 2).cast::<__m256bh>().write_unaligned(value)
                };
            }
        }
    }
}

/// Sixteen rows become sixteen columns.
#[inline]
#[target_feature(enable = "avx512f")]
fn transposed(rows: [__m512; SIDE]) -> [__m512; SIDE] {
    // Pairs of rows, then pairs of pairs, inside the four 128-bit lanes; then the lanes themselves.
    let mut pairs = rows;
    for at in (0..SIDE).step_by(2) {
        pairs[at] = _mm512_unpacklo_ps(rows[at], rows[at + 1]);
        pairs[at + 1] = _mm512_unpackhi_ps(rows[at], rows[at + 1]);
    }
    let mut fours = pairs;
    for at in (0..SIDE).step_by(4) {
        let [a, b, c, d] = [0, 1, 2, 3].map(|part| _mm512_castps_pd(pairs[at + part]));
        fours[at] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, c));
        fours[at + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, c));
        fours[at + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(b, d));
        fours[at + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(b, d));
    }
    // `fours[4 * group + part]` holds in lane `l` column `4 * l + part` of rows `4 * group` and on.
    let mut columns = rows;
    for part in 0..4 {
        let [a, b, c, d] = [0, 1, 2, 3].map(|group| fours[4 * group + part]);
        let (ab_low, cd_low) = (_mm512_shuffle_f32x4::<0x88>(a, b), _mm512_shuffle_f32x4::<0x88>(c, d));
        let (ab_high, cd_high) = (_mm512_shuffle_f32x4::<0xdd>(a, b), _mm512_shuffle_f32x4::<0xdd>(c, d));
        columns[part] = _mm512_shuffle_f32x4::<0x88>(ab_low, cd_low);
        columns[4 + part] = _mm512_shuffle_f32x4::<0x88>(ab_high, cd_high);
        columns[8 + part] = _mm512_shuffle_f32x4::<0xdd>(ab_low, cd_low);
        columns[12 + part] = _mm512_shuffle_f32x4::<0xdd>(ab_high, cd_high);
    }
    columns
}
