//! What differs between two pictures, by plane and block of 8x8 samples.
//!
//! The survey compares each frame with its reference; nothing here decides what follows from a difference. Maps are
//! laid out in luma pixels, so that a block of chroma in 4:2:0 is a cell of 16x16.

use crate::frame::{Packing, Picture, PixelFormat};
use crate::simd::Kernels;
use crate::simd::compare::BLOCK;
use crate::tile::cells::Cells;

/// A sample holds one row of blocks of so many.
const SAMPLED: usize = 8;

/// The blocks of each plane that differ.
#[derive(Clone, Debug)]
pub struct Changes {
    kernels: Kernels,
    planes: Vec<Cells>,
}

impl Changes {
    /// Room for the changes of pictures of a format and size.
    pub fn new(format: PixelFormat, width: usize, height: usize) -> Self {
        let side = |plane| match format.subsampling().filter(|_| format.is_chroma(plane)) {
            Some(subsampling) => (BLOCK << subsampling.x, BLOCK << subsampling.y),
            None => (BLOCK, BLOCK),
        };
        let planes = (0..format.n_planes()).map(|plane| Cells::new((width, height), side(plane))).collect();
        Changes { kernels: Kernels::best(), planes }
    }

    /// Finds what differs between two pictures of the format and size.
    pub fn compare(&mut self, one: &Picture, other: &Picture) {
        let format = one.format();
        assert_eq!((format, one.width(), one.height()), (other.format(), other.width(), other.height()));
        for (plane, blocks) in self.planes.iter_mut().enumerate() {
            // The chroma plane of a semi-planar format holds two samples at each place.
            let pair = if format.is_chroma(plane) && format.packing != Packing::Planar { 2 } else { 1 };
            let (a, b) = (one.plane(plane), other.plane(plane));
            for row in 0..blocks.rows() {
                self.kernels.differing_blocks(&a, &b, row, pair * BLOCK, blocks.row_mut(row));
            }
        }
    }

    /// The share of the luma blocks that differ, by a look at every eighth row of them.
    pub fn sample(&mut self, one: &Picture, other: &Picture) -> f64 {
        let (a, b, blocks) = (one.plane(0), other.plane(0), &mut self.planes[0]);
        let rows = (SAMPLED / 2..blocks.rows()).step_by(SAMPLED);
        let n_seen = rows.len() * blocks.columns();
        let mut n_different = 0;
        for row in rows {
            self.kernels.differing_blocks(&a, &b, row, BLOCK, blocks.row_mut(row));
            n_different += blocks.row(row).iter().map(|bits| bits.count_ones()).sum::<u32>();
        }
        f64::from(n_different) / n_seen.max(1) as f64
    }

    /// Says of every block that it differs.
    pub fn fill(&mut self) {
        self.planes.iter_mut().for_each(Cells::fill);
    }

    /// The blocks of a plane.
    pub fn plane(&self, plane: usize) -> &Cells {
        &self.planes[plane]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{PictureBuf, Pool};
    use proptest::prelude::*;

    fn filled(format: PixelFormat, width: usize, height: usize) -> PictureBuf {
        let mut picture = Pool::new().picture(format, width, height).unwrap();
        for plane in 0..format.n_planes() {
            let mut plane = picture.plane_mut(plane);
            for y in 0..plane.height() {
                plane.row_bytes(y).iter_mut().enumerate().for_each(|(x, byte)| *byte = (x * 7 + y * 3) as u8);
            }
        }
        picture
    }

    proptest! {
        #[test]
        fn a_block_is_marked_when_one_of_its_samples_differs(
            format in prop::sample::select(vec!["gray", "yuv420p", "yuv422p10le", "yuva444p", "yuv410p", "nv12", "p010le"]),
            width in 1usize..150, height in 1usize..50, changes in prop::collection::vec(any::<(usize, usize, usize)>(), 0..5),
        ) {
            let format = PixelFormat::from_name(format).unwrap();
            let one = filled(format, width, height).freeze();
            let mut other = filled(format, width, height);
            let mut expected: Vec<_> = Changes::new(format, width, height).planes;
            for (plane, x, y) in changes {
                let plane = plane % format.n_planes();
                let mut view = other.plane_mut(plane);
                let y = y % view.height();
                let row = view.row_bytes(y);
                let x = x % row.len();
                row[x] = row[x].wrapping_add(1);
                let bytes = if format.is_chroma(plane) && format.packing != Packing::Planar { 2 } else { 1 };
                let (column, row) = (x / (bytes * format.bytes_per_sample() * BLOCK), y / BLOCK);
                expected[plane].mark_cells(column..column + 1, row..row + 1);
            }
            let other = other.freeze();
            let mut changes = Changes::new(format, width, height);
            changes.fill();
            changes.compare(&one, &other);
            // A byte changed 256 times is back, but not in so few changes.
            prop_assert_eq!(&changes.planes, &expected);
        }
    }
}
