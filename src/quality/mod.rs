//! How alike two pictures are, plane by plane: PSNR and SSIM as FFmpeg's filters of these names compute them.
//!
//! Planes come as views; nothing here knows of frames, time or files. Only planes of one size and depth can be compared.

pub mod pooled;
pub mod psnr;
pub mod ssim;

use crate::frame::{Packing, Picture};
pub use pooled::{Pool, Pooled};
pub use psnr::{psnr, squared_error};
pub use ssim::ssim;

/// How alike two planes are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Likeness {
    /// The sum of squared differences; 0 for identical planes.
    pub squared_error: u64,
    /// Samples of a plane.
    pub n_samples: u64,
    /// The highest code value.
    pub peak: u16,
    /// Structural similarity, 1 for identical planes.
    pub ssim: f64,
}

impl Likeness {
    /// In dB; infinite for identical planes.
    pub fn psnr(&self) -> f64 {
        psnr(self.squared_error, self.n_samples, self.peak)
    }

    /// The same for where a number must stand: identical planes have that of one sample off by one, the highest that
    /// their size allows, as in libvmaf's psnr with `min_sse=1`.
    pub fn finite_psnr(&self) -> f64 {
        psnr(self.squared_error.max(1), self.n_samples, self.peak)
    }
}

/// The planes of two planar pictures compared; `None` for a plane that only one has, or that differs in size or depth.
pub fn compare(a: &Picture, b: &Picture) -> Vec<Option<Likeness>> {
    let (formats, peak) = ((a.format(), b.format()), a.format().max_code());
    assert!(formats.0.packing == Packing::Planar && formats.1.packing == Packing::Planar, "planes hold one component");
    let n = formats.0.n_planes().max(formats.1.n_planes());
    let role = |picture: &Picture, plane: usize| {
        let format = picture.format();
        (plane < format.n_planes()).then(|| (format.is_chroma(plane), format.alpha && plane + 1 == format.n_planes()))
    };
    (0..n)
        .map(|plane| {
            let same_role = role(a, plane)? == role(b, plane)?;
            let (one, other) = (a.plane(plane), b.plane(plane));
            let same_size = (one.width(), one.height()) == (other.width(), other.height());
            (same_role && same_size && formats.0.bit_depth == formats.1.bit_depth).then(|| {
                let squared_error = squared_error(&one, &other);
                // Identical planes are common, and their similarity is known.
                let ssim = if squared_error == 0 { 1.0 } else { ssim(&one, &other, peak) };
                Likeness { squared_error, n_samples: (one.width() * one.height()) as u64, peak, ssim }
            })
        })
        .collect()
}
