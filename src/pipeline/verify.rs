//! How near the output is to that of full runs, for the frames that `--verify-skip` samples.

use crate::frame::Picture;
use crate::frame::PlaneView;
use crate::quality::{psnr, squared_error};

/// The side of the blocks whose worst is told, in samples.
pub const BLOCK: usize = 32;

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
