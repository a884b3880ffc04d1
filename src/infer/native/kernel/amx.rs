//! AMX for bf16: tiles of 16 pixels by 32 inputs times tiles of 32 inputs by 16 outputs.
//!
//! A tile of pixels is loaded as it lies, so nothing is rearranged; four tiles of sums hide how long a product takes.
//! The compiler never uses tiles, so they keep their values from one piece of assembly to the next.

use std::arch::asm;
use std::arch::x86_64::*;

use super::Activation;
use super::tiles::{SIDE, Target, TileRow, TileWeights};

/// Outputs beside each other, or pixels: all in all there are four sums.
const SUMS: usize = 4;

/// Whether the CPU has AMX for bf16, and the system lets this process use it, which is asked for here.
pub(super) fn is_there() -> bool {
    has_tiles() && is_permitted()
}

fn has_tiles() -> bool {
    // AMX-BF16 and AMX-TILE are bits 22 and 24 of EDX (Intel SDM, CPUID leaf 7).
    const BITS: u32 = 1 << 22 | 1 << 24;
    let leaf = __cpuid_count(7, 0);
    is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bf16") && leaf.edx & BITS == BITS
}

/// Asks Linux for the tiles' state, which it grants to a process once and for all (ARCH_REQ_XCOMP_PERM, XTILEDATA).
fn is_permitted() -> bool {
    let mut result: i64 = 158; // arch_prctl
    if !cfg!(target_os = "linux") {
        return false;
    }
    // SAFETY: the system call reads and writes no memory; it clobbers the registers named.
    unsafe {
        asm!("syscall", inlateout("rax") result, in("rdi") 0x1023, in("rsi") 18, out("rcx") _, out("r11") _,
             options(nostack));
    }
    result == 0
}

/// One row; the caller holds the proof that this machine has tiles, and has checked that all rows lie in `memory`.
pub(super) fn conv_row(memory: &mut [f32], weights: &TileWeights, row: &TileRow) {
    // SAFETY: see above.
    unsafe { whole_row(memory.as_mut_ptr(), weights, row) }
}

/// As `conv_row`, for packing.
pub(super) fn pack_row(memory: &mut [f32], channels: &[usize], place: usize, pixel: usize, width: usize) {
    // SAFETY: see above.
    unsafe { pack_whole_row(memory.as_mut_ptr(), channels, place, pixel, width) }
}

/// Four tiles of sums.
#[repr(C, align(64))]
struct Sums([[[f32; SIDE]; SIDE]; SUMS]);

/// All tiles of 16 rows of 64 bytes: palette 1, bytes a row from byte 16, rows from byte 48 (Intel SDM, LDTILECFG).
#[repr(C, align(64))]
struct Configuration([u8; 64]);

static CONFIGURATION: Configuration = {
    let mut bytes = [0; 64];
    bytes[0] = 1;
    let mut tile = 0;
    while tile < 8 {
        bytes[16 + 2 * tile] = 64;
        bytes[48 + tile] = 16;
        tile += 1;
    }
    Configuration(bytes)
};

/// # Safety
/// `memory` holds all rows that `row` names, as `tiles::conv_row` checks.
#[target_feature(enable = "avx512f,avx512bf16")]
unsafe fn whole_row(memory: *mut f32, weights: &TileWeights, row: &TileRow) {
    let (n_blocks, n_tiles) = (weights.bias.len() / SIDE, row.width.div_ceil(SIDE));
    let mut sums = Sums([[[0.0; SIDE]; SIDE]; SUMS]);
    // SAFETY: the configuration is one of palette 1; tiles are given back at the end.
    unsafe { asm!("ldtilecfg [{}]", in(reg) &raw const CONFIGURATION, options(nostack, readonly)) };
    for first in (0..n_tiles).step_by(SUMS) {
        // Tiles beyond the row repeat its last one; they are not stored.
        let column = |tile: usize| (first + tile).min(n_tiles - 1) * SIDE;
        for block in (0..n_blocks).step_by(2) {
            // SAFETY: as promised by the caller; every column is that of a tile inside the padded width.
            unsafe {
                if block + 1 < n_blocks {
                    for half in [0, 2].into_iter().filter(|half| first + half < n_tiles) {
                        let columns = [column(half), column(half + 1)];
                        two_by_two(memory, weights, row, columns, block, &mut sums);
                        for at in 0..SUMS {
                            if first + half + at / 2 < n_tiles {
                                finish(memory, weights, row, column(half + at / 2), block + at % 2, &sums.0[at]);
                            }
                        }
                    }
                } else {
                    let columns = [column(0), column(1), column(2), column(3)];
                    four_by_one(memory, weights, row, columns, block, &mut sums);
                    for at in (0..SUMS).filter(|at| first + at < n_tiles) {
                        finish(memory, weights, row, column(at), block, &sums.0[at]);
                    }
                }
            }
        }
    }
    // SAFETY: gives the tiles back, so that switching threads need not save them.
    unsafe { asm!("tilerelease", options(nostack, nomem)) };
}

/// Sums of two tiles of pixels for each of two blocks of outputs.
///
/// # Safety
/// As `whole_row`; the columns are those of tiles inside the padded width, blocks `block` and `block + 1` are there.
unsafe fn two_by_two(
    memory: *mut f32,
    weights: &TileWeights,
    row: &TileRow,
    [first, second]: [usize; 2],
    block: usize,
    sums: &mut Sums,
) {
    let n_steps = weights.steps.len();
    let tiles = &weights.tiles[block * n_steps..(block + 2) * n_steps];
    let (upper, lower) = tiles.split_at(n_steps);
    // SAFETY: 16 pixels from each column on, and 64 bytes of each, lie in memory; a tile of weights is 16 rows of 64
    // bytes, as is each tile of `sums`. Only tiles are changed, which nothing else uses.
    unsafe {
        asm!("tilezero tmm0", "tilezero tmm1", "tilezero tmm2", "tilezero tmm3", options(nostack, nomem));
        for ((input, upper), lower) in row.inputs.iter().zip(upper).zip(lower) {
            asm!(
                "tileloadd tmm6, [{upper} + {line}]",
                "tileloadd tmm4, [{first} + {pixel}]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tileloadd tmm7, [{lower} + {line}]",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tileloadd tmm5, [{second} + {pixel}]",
                "tdpbf16ps tmm2, tmm5, tmm6",
                "tdpbf16ps tmm3, tmm5, tmm7",
                first = in(reg) memory.add(input + first * row.pixel),
                second = in(reg) memory.add(input + second * row.pixel),
                upper = in(reg) upper,
                lower = in(reg) lower,
                pixel = in(reg) row.pixel * size_of::<f32>(),
                line = in(reg) 64_usize,
                options(nostack, readonly),
            );
        }
        store(sums);
    }
}

/// Sums of four tiles of pixels for a block of outputs.
///
/// # Safety
/// As `whole_row`; the columns are those of tiles inside the padded width, the block is there.
unsafe fn four_by_one(
    memory: *mut f32,
    weights: &TileWeights,
    row: &TileRow,
    columns: [usize; SUMS],
    block: usize,
    sums: &mut Sums,
) {
    let n_steps = weights.steps.len();
    let tiles = &weights.tiles[block * n_steps..(block + 1) * n_steps];
    // SAFETY: as in `two_by_two`.
    unsafe {
        asm!("tilezero tmm0", "tilezero tmm1", "tilezero tmm2", "tilezero tmm3", options(nostack, nomem));
        for (input, tile) in row.inputs.iter().zip(tiles) {
            let [a, b, c, d] = columns.map(|column| memory.add(input + column * row.pixel));
            asm!(
                "tileloadd tmm6, [{tile} + {line}]",
                "tileloadd tmm4, [{a} + {pixel}]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tileloadd tmm5, [{b} + {pixel}]",
                "tdpbf16ps tmm1, tmm5, tmm6",
                "tileloadd tmm4, [{c} + {pixel}]",
                "tdpbf16ps tmm2, tmm4, tmm6",
                "tileloadd tmm5, [{d} + {pixel}]",
                "tdpbf16ps tmm3, tmm5, tmm6",
                a = in(reg) a,
                b = in(reg) b,
                c = in(reg) c,
                d = in(reg) d,
                tile = in(reg) tile,
                pixel = in(reg) row.pixel * size_of::<f32>(),
                line = in(reg) 64_usize,
                options(nostack, readonly),
            );
        }
        store(sums);
    }
}

/// # Safety
/// Tiles are configured.
unsafe fn store(sums: &mut Sums) {
    // SAFETY: four tiles of 1024 bytes are what `sums` holds.
    unsafe {
        asm!(
            "tilestored [{sums} + {line}], tmm0",
            "tilestored [{sums} + {line} + 1024], tmm1",
            "tilestored [{sums} + {line} + 2048], tmm2",
            "tilestored [{sums} + {line} + 3072], tmm3",
            sums = in(reg) sums,
            line = in(reg) 64_usize,
            options(nostack),
        );
    }
}

/// Bias, residual and activation of a tile of sums, and its place among the results.
///
/// # Safety
/// As `whole_row`; `x` is the column of a tile inside the padded width, the block is there.
#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
unsafe fn finish(
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
