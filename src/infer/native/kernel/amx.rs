//! AMX for bf16: tiles of 16 pixels by 32 inputs times tiles of 32 inputs by 16 outputs.
//!
//! A tile of pixels is loaded as it lies, so nothing is rearranged; four tiles of sums hide how long a product takes.
//! The compiler never uses tiles, so they keep their values from one piece of assembly to the next.

use std::arch::asm;
use std::arch::x86_64::__cpuid_count;

use super::avx512::tiles::finish;
use super::tiles::{SIDE, TileRow, TileWeights};
use crate::simd::cpu::Avx512Bf16;

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
    Avx512Bf16::new().is_some() && leaf.edx & BITS == BITS
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
