//! How near the output is to that of full runs, for the frames that `--verify-skip` samples.

use crate::frame::Picture;
use crate::frame::PlaneView;
use crate::quality::{psnr, squared_error};

/// The side of the blocks whose worst is told, in samples.
pub const BLOCK: usize = 32;

/// Whether the frame of this index is one of those sampled: one in `stride`, at places that no rhythm of the video
/// keeps step with.
pub fn is_sampled(index: u64, stride: u64) -> bool {
    index % stride == (index / stride * 7 + 3) % stride
}

/// The worst of what was compared, in luma; infinite where all was the same.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Verified {
    /// Frames compared.
    pub n_frames: u64,
    /// PSNR of the worst frame.
    pub worst_frame: f64,
    /// PSNR of the worst block of 32x32 samples, and where it is: frame, column and row of its first sample.
    pub worst_block: (f64, u64, usize, usize),
}

impl Default for Verified {
    fn default() -> Self {
        Verified { n_frames: 0, worst_frame: f64::INFINITY, worst_block: (f64::INFINITY, 0, 0, 0) }
    }
}

impl Verified {
    /// Compares the luma of an output picture with that of a full run.
    pub fn compare(&mut self, frame: u64, output: &Picture, full: &Picture) {
        let (one, other) = (output.plane(0), full.plane(0));
        let peak = output.format().max_code();
        let of = |error: u64, n: usize| psnr(error, n as u64, peak);
        self.n_frames += 1;
        self.worst_frame = self.worst_frame.min(of(squared_error(&one, &other), one.width() * one.height()));
        for y in (0..one.height()).step_by(BLOCK) {
            for x in (0..one.width()).step_by(BLOCK) {
                let (width, height) = (BLOCK.min(one.width() - x), BLOCK.min(one.height() - y));
                let rows = y..y + height;
                let error = rows.map(|y| row_error(&one, &other, y, x, width)).sum();
                let psnr = of(error, width * height);
                if psnr < self.worst_block.0 {
                    self.worst_block = (psnr, frame, x, y);
                }
            }
        }
    }
}

fn row_error(one: &PlaneView, other: &PlaneView, y: usize, x: usize, width: usize) -> u64 {
    let square = |a: u16, b: u16| u64::from(a.abs_diff(b)).pow(2);
    if one.bytes_per_sample() == 1 {
        let rows = one.row_bytes(y)[x..x + width].iter().zip(&other.row_bytes(y)[x..x + width]);
        return rows.map(|(a, b)| square((*a).into(), (*b).into())).sum();
    }
    one.row_u16(y)[x..x + width].iter().zip(&other.row_u16(y)[x..x + width]).map(|(a, b)| square(*a, *b)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{PixelFormat, Pool};

    #[test]
    fn one_frame_in_so_many_is_sampled() {
        for stride in [1, 2, 20, 33] {
            let sampled: Vec<u64> = (0..stride * 10).filter(|&index| is_sampled(index, stride)).collect();
            assert_eq!(sampled.iter().map(|index| index / stride).collect::<Vec<_>>(), (0..10).collect::<Vec<_>>());
            assert!(stride < 20 || sampled.iter().any(|index| index % 10 != sampled[0] % 10));
        }
    }

    #[test]
    fn the_worst_block_is_found() {
        for depth in [8, 10] {
            let gray = |spot: bool| {
                let mut picture = Pool::new().picture(PixelFormat::gray(depth), 100, 70).unwrap();
                let mut plane = picture.plane_mut(0);
                for y in 0..70 {
                    for x in 0..100 {
                        let code = if spot && x == 99 && y == 69 { 250 } else { 60 };
                        if depth == 8 { plane.row_bytes(y)[x] = code } else { plane.row_u16(y)[x] = code.into() }
                    }
                }
                picture.freeze()
            };
            let mut verified = Verified::default();
            verified.compare(7, &gray(false), &gray(false));
            assert_eq!(verified, Verified { n_frames: 1, ..Verified::default() });
            verified.compare(9, &gray(true), &gray(false));
            let peak = f64::from((1 << depth) - 1);
            let of = |n: f64| 10.0 * (peak * peak * n / (190.0 * 190.0)).log10();
            assert!((verified.worst_frame - of(7000.0)).abs() < 1e-9);
            // The last block is 4 wide and 6 high.
            assert!((verified.worst_block.0 - of(24.0)).abs() < 1e-9);
            assert_eq!((verified.worst_block.1, verified.worst_block.2, verified.worst_block.3), (9, 96, 64));
        }
    }
}
