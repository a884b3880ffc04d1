//! Figures of many frames as one, pooled as libvmaf does.

use super::{Likeness, psnr};

/// One plane over all frames.
#[derive(Clone, Debug, Default)]
pub struct Pooled {
    /// In dB, identical planes by [`Likeness::finite_psnr`].
    pub psnr: Pool,
    /// Structural similarity.
    pub ssim: Pool,
    squared_error: u64,
    n_samples: u64,
    peak: u16,
}

/// One figure over all frames.
#[derive(Clone, Debug, Default)]
pub struct Pool {
    /// Frames.
    pub n: u64,
    /// The least, and the first frame that has it.
    pub min: (f64, u64),
    /// The greatest.
    pub max: f64,
    sum: f64,
    reciprocals: f64,
}

impl Pooled {
    /// The figures of a frame.
    pub fn add(&mut self, likeness: &Likeness, frame: u64) {
        self.squared_error = self.squared_error.saturating_add(likeness.squared_error);
        self.n_samples += likeness.n_samples;
        self.peak = likeness.peak;
        self.psnr.add(likeness.finite_psnr(), frame);
        self.ssim.add(likeness.ssim, frame);
    }

    /// No sample of any frame differs.
    pub fn is_identical(&self) -> bool {
        self.squared_error == 0
    }

    /// The PSNR of the mean squared error of all frames, as FFmpeg's filter sums up; finite for identical planes too.
    pub fn overall(&self) -> f64 {
        psnr(self.squared_error.max(1), self.n_samples, self.peak)
    }
}

impl Pool {
    fn add(&mut self, value: f64, frame: u64) {
        if self.n == 0 || value < self.min.0 {
            self.min = (value, frame);
        }
        self.max = if self.n == 0 { value } else { self.max.max(value) };
        self.sum += value;
        self.reciprocals += 1.0 / (value + 1.0);
        self.n += 1;
    }

    /// The arithmetic mean.
    pub fn mean(&self) -> f64 {
        self.sum / self.n.max(1) as f64
    }

    /// `n / sum(1 / (x + 1)) - 1`, in which bad frames weigh more.
    pub fn harmonic_mean(&self) -> f64 {
        self.n as f64 / self.reciprocals - 1.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pools_are_those_of_libvmaf() {
        let mut pooled = Pooled::default();
        for (frame, squared_error) in [64, 256, 0].into_iter().enumerate() {
            let likeness = Likeness { squared_error, n_samples: 64, peak: 255, ssim: 1.0 };
            pooled.add(&likeness, frame as u64);
        }
        let (psnr, dbs) = (&pooled.psnr, [48.1308, 42.1102, 66.1926]);
        assert_eq!((psnr.n, psnr.min.1), (3, 1));
        assert!((psnr.min.0 - dbs[1]).abs() < 1e-4 && (psnr.max - dbs[2]).abs() < 1e-4);
        assert!((psnr.mean() - dbs.iter().sum::<f64>() / 3.0).abs() < 1e-4);
        let harmonic = 3.0 / dbs.iter().map(|db| 1.0 / (db + 1.0)).sum::<f64>() - 1.0;
        assert!((psnr.harmonic_mean() - harmonic).abs() < 1e-4);
        assert!((pooled.overall() - 10.0 * (65_025.0_f64 * 192.0 / 320.0).log10()).abs() < 1e-9);
        assert!((pooled.ssim.harmonic_mean() - 1.0).abs() < 1e-12 && !pooled.is_identical());
    }
}
