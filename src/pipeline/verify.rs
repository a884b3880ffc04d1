//! How near the output is to that of full runs, for the frames that `--verify-skip` samples.

use crate::frame::Picture;
use crate::quality::psnr;
use crate::simd::{Kernels, compare};

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
        let (kernels, peak) = (Kernels::best(), output.format().max_code());
        let of = |error: u64, n: usize| psnr(error, n as u64, peak);
        let mut errors = vec![0; one.width().div_ceil(compare::BLOCK)];
        let mut in_all = 0;
        for y in (0..one.height()).step_by(BLOCK) {
            let height = BLOCK.min(one.height() - y);
            let mut of_blocks = vec![0; one.width().div_ceil(BLOCK)];
            for row in y / compare::BLOCK..(y + height).div_ceil(compare::BLOCK) {
                kernels.block_errors(&one, &other, row, compare::BLOCK, &mut errors);
                for (block, errors) in of_blocks.iter_mut().zip(errors.chunks(BLOCK / compare::BLOCK)) {
                    *block += errors.iter().sum::<u64>();
                }
            }
            for (column, error) in of_blocks.into_iter().enumerate() {
                let x = column * BLOCK;
                let psnr = of(error, BLOCK.min(one.width() - x) * height);
                if psnr < self.worst_block.0 {
                    self.worst_block = (psnr, frame, x, y);
                }
                in_all += error;
            }
        }
        self.n_frames += 1;
        self.worst_frame = self.worst_frame.min(of(in_all, one.width() * one.height()));
    }
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
