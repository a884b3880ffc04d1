//! How two planes differ, a row of blocks at a time.
//!
//! Called by what decides whether a tile has to be computed again. A block is 8 rows high, fewer at the lower edge,
//! and [`BLOCK`] samples wide, or twice as many where the plane holds pairs of chroma; the last one of a row holds what
//! is left. Integers throughout, so all levels agree exactly. Read once, both planes stream at the speed of memory;
//! whatever follows from a difference is decided elsewhere.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod scalar;

use super::Kernels;
use crate::frame::PlaneView;

/// Rows of a block, and samples of its rows.
pub const BLOCK: usize = 8;

/// The same rows of two planes, to be compared in blocks of `N` samples.
#[derive(Clone, Copy)]
struct Rows<'a, T, const N: usize> {
    one: [&'a [T]; BLOCK],
    other: [&'a [T]; BLOCK],
    /// Rows that count, 1 to 8.
    n: usize,
}

impl<'a, T, const N: usize> Rows<'a, T, N> {
    /// Rows of a row of blocks, by what gives a row of a plane.
    fn new(planes: [&PlaneView<'a>; 2], block_row: usize, row: impl Fn(&PlaneView<'a>, usize) -> &'a [T]) -> Self {
        let first = block_row * BLOCK;
        let mut rows = Rows { one: [&[]; BLOCK], other: [&[]; BLOCK], n: BLOCK.min(planes[0].height() - first) };
        for y in 0..rows.n {
            (rows.one[y], rows.other[y]) = (row(planes[0], first + y), row(planes[1], first + y));
        }
        rows
    }

    /// Samples of a row.
    fn length(&self) -> usize {
        self.one[0].len()
    }

    fn n_blocks(&self) -> usize {
        self.length().div_ceil(N)
    }

    /// Row `y` of a block of both planes.
    fn of_block(&self, y: usize, block: usize) -> (&'a [T], &'a [T]) {
        let samples = block * N..((block + 1) * N).min(self.length());
        (&self.one[y][samples.clone()], &self.other[y][samples])
    }
}

fn check(one: &PlaneView, other: &PlaneView, block_row: usize, block_width: usize) -> usize {
    let size = |plane: &PlaneView| (plane.width(), plane.height(), plane.bytes_per_sample());
    assert_eq!(size(one), size(other), "planes of one size are compared");
    assert!(block_row * BLOCK < one.height(), "block row {block_row} of {} rows", one.height());
    assert!(block_width == BLOCK || block_width == 2 * BLOCK, "blocks of {block_width} samples");
    one.width().div_ceil(block_width)
}

impl Kernels {
    /// Sets a bit, from the lowest of the first word, for each block of a row in which two planes of one size differ,
    /// and clears all others. Blocks are `block_width` samples wide, 8 or 16.
    pub fn differing_blocks(
        self,
        one: &PlaneView,
        other: &PlaneView,
        block_row: usize,
        block_width: usize,
        bits: &mut [u64],
    ) {
        let n_blocks = check(one, other, block_row, block_width);
        assert!(bits.len() * 64 >= n_blocks, "{} words for {n_blocks} blocks", bits.len());
        bits.fill(0);
        let planes = [one, other];
        match block_width * one.bytes_per_sample() {
            8 => at_level!(self, differing(bytes::<8>(planes, block_row), bits)),
            16 => at_level!(self, differing(bytes::<16>(planes, block_row), bits)),
            _ => at_level!(self, differing(bytes::<32>(planes, block_row), bits)),
        }
    }

    /// The sum of the squared differences of each block of a row of two planes of one size. Blocks are `block_width`
    /// samples wide, 8 or 16; there is a sum for each.
    pub fn block_errors(
        self,
        one: &PlaneView,
        other: &PlaneView,
        block_row: usize,
        block_width: usize,
        sums: &mut [u64],
    ) {
        let n_blocks = check(one, other, block_row, block_width);
        assert_eq!(sums.len(), n_blocks, "a sum for each block");
        let planes = [one, other];
        match (one.bytes_per_sample(), block_width) {
            (1, BLOCK) => at_level!(self, errors_u8(bytes::<8>(planes, block_row), sums)),
            (1, _) => at_level!(self, errors_u8(bytes::<16>(planes, block_row), sums)),
            (_, BLOCK) => at_level!(self, errors_u16(words::<8>(planes, block_row), sums)),
            (_, _) => at_level!(self, errors_u16(words::<16>(planes, block_row), sums)),
        }
    }
}

fn bytes<'a, const N: usize>(planes: [&PlaneView<'a>; 2], block_row: usize) -> Rows<'a, u8, N> {
    Rows::new(planes, block_row, |plane, y| plane.row_bytes(y))
}

fn words<'a, const N: usize>(planes: [&PlaneView<'a>; 2], block_row: usize) -> Rows<'a, u16, N> {
    Rows::new(planes, block_row, |plane, y| plane.row_u16(y))
}
