//! Rows of code values to rows of numbers and back, by a straight line.
//!
//! Used for the luma of luma networks, and by the other kernels to read and write planes. Values are not clipped on
//! the way there, so codes below black and above white survive; on the way back they are rounded to the nearest code
//! and clamped to what the bit depth holds. Within ranges like [0, 1], [-1, 1] or [0, 255] the error of a round trip
//! is under 0.05 code values at 16 bits, so every code comes back as it was.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod scalar;

pub(super) use scalar::{Base, Sample, Samples, round};

use std::ops::Range;

use super::Kernels;
use crate::frame::{Packing, PixelFormat, PlaneMut, PlaneView};

/// A straight line: `(value - from) * gain + to`. Laid out as in `kernels/vproc.cuh`.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C)]
pub struct Linear {
    /// What becomes `to`.
    pub from: f32,
    /// The slope.
    pub gain: f32,
    /// What `from` becomes.
    pub to: f32,
}

impl Linear {
    /// What changes nothing.
    pub const IDENTITY: Linear = Linear { from: 0.0, gain: 1.0, to: 0.0 };

    /// The line that takes the first `(black, white)` to the second.
    pub fn between(from: (f32, f32), to: (f32, f32)) -> Self {
        let gain = (f64::from(to.1) - f64::from(to.0)) / (f64::from(from.1) - f64::from(from.0));
        Linear { from: from.0, gain: gain as f32, to: to.0 }
    }

    /// Puts values through the line.
    pub fn apply(self, values: &mut [f32]) {
        values.iter_mut().for_each(|value| *value = (*value - self.from) * self.gain + self.to);
    }
}

/// Samples of a row to read.
#[derive(Clone, Copy)]
pub enum Codes<'a> {
    /// 8 bits each.
    U8(&'a [u8]),
    /// 9 to 16 bits each; the code is the sample shifted right.
    U16 {
        /// The samples.
        samples: &'a [u16],
        /// 0, or `16 - bit_depth` where the code stands in the high bits.
        shift: u8,
    },
}

/// Samples of a row to write, codes in the low bits.
pub enum CodesMut<'a> {
    /// 8 bits each.
    U8(&'a mut [u8]),
    /// 9 to 16 bits each.
    U16(&'a mut [u16]),
}

/// What values are added to before they become codes.
#[derive(Clone, Copy)]
pub enum Addend<'a> {
    /// The same for all.
    Constant(f32),
    /// A code for each.
    Codes(Codes<'a>),
    /// A value for each.
    Values(&'a [f32]),
}

impl Addend<'_> {
    /// For how many values there is one.
    pub(super) fn n_values(self) -> usize {
        match self {
            Addend::Constant(_) => usize::MAX,
            Addend::Codes(codes) => codes.n_samples(),
            Addend::Values(values) => values.len(),
        }
    }
}

/// Evaluates `$call` with `$base` the addend, `$max` the largest code that is to be and fits, and `$out` the samples,
/// whichever types they have.
macro_rules! for_codes {
    ($addend:expr, $codes:expr, $largest:expr, |$base:ident, $max:ident, $out:ident| $call:expr) => {{
        use $crate::simd::luma::{Addend, Codes, CodesMut, Samples};
        match $codes {
            CodesMut::U8($out) => {
                let $max = f32::from($largest.min(255));
                for_codes!($addend, |$base| $call)
            }
            CodesMut::U16($out) => {
                let $max = f32::from($largest);
                for_codes!($addend, |$base| $call)
            }
        }
    }};
    ($addend:expr, |$base:ident| $call:expr) => {
        match $addend {
            Addend::Constant($base) => $call,
            Addend::Values($base) => $call,
            Addend::Codes(Codes::U8(samples)) => {
                let $base = Samples { samples, shift: 0 };
                $call
            }
            Addend::Codes(Codes::U16 { samples, shift }) => {
                let $base = Samples { samples, shift };
                $call
            }
        }
    };
}
pub(super) use for_codes;

impl<'a> Codes<'a> {
    /// How many samples there are.
    pub(super) fn n_samples(self) -> usize {
        match self {
            Codes::U8(samples) => samples.len(),
            Codes::U16 { samples, .. } => samples.len(),
        }
    }

    /// Elements `columns` of row `y` of a plane of a picture of `format`.
    pub fn of(plane: &PlaneView<'a>, format: PixelFormat, y: usize, columns: Range<usize>) -> Self {
        let shift = if format.packing == Packing::SemiPlanarHigh { 16 - format.bit_depth } else { 0 };
        match plane.bytes_per_sample() {
            1 => Codes::U8(&plane.row_bytes(y)[columns]),
            _ => Codes::U16 { samples: &plane.row_u16(y)[columns], shift },
        }
    }
}

impl<'a> CodesMut<'a> {
    /// How many samples there are.
    pub(super) fn n_samples(&self) -> usize {
        match self {
            CodesMut::U8(samples) => samples.len(),
            CodesMut::U16(samples) => samples.len(),
        }
    }

    /// Samples `columns` of row `y` of a plane.
    pub fn of(plane: &'a mut PlaneMut<'_>, y: usize, columns: Range<usize>) -> Self {
        match plane.bytes_per_sample() {
            1 => CodesMut::U8(&mut plane.row_bytes(y)[columns]),
            _ => CodesMut::U16(&mut plane.row_u16(y)[columns]),
        }
    }
}

impl Kernels {
    /// Codes to values, as many as there are values.
    pub fn to_values(self, codes: Codes, line: Linear, values: &mut [f32]) {
        assert!(codes.n_samples() >= values.len(), "{} codes for {} values", codes.n_samples(), values.len());
        match codes {
            Codes::U8(samples) => at_level!(self, to_values(samples, 0, line, values)),
            Codes::U16 { samples, shift } => at_level!(self, to_values(samples, shift, line, values)),
        }
    }

    /// Interleaved codes to two rows of values, as many as there are values.
    pub fn pairs_to_values(self, codes: Codes, line: Linear, values: [&mut [f32]; 2]) {
        let (n, lengths) = (codes.n_samples() / 2, values.each_ref().map(|row| row.len()));
        assert!(lengths[0] == lengths[1] && n >= lengths[0], "{n} pairs of codes for rows of {lengths:?} values");
        match codes {
            Codes::U8(samples) => at_level!(self, pairs_to_values(samples, 0, line, values)),
            Codes::U16 { samples, shift } => at_level!(self, pairs_to_values(samples, shift, line, values)),
        }
    }

    /// Values to codes from 0 to `max`, rounded to nearest (ties to even), as many as there are codes to write; not a
    /// number becomes 0.
    pub fn to_codes(self, values: &[f32], line: Linear, max: u16, codes: CodesMut) {
        assert!(values.len() >= codes.n_samples(), "{} values for {} codes", values.len(), codes.n_samples());
        match codes {
            CodesMut::U8(samples) => at_level!(self, to_codes(values, line, f32::from(max.min(255)), samples)),
            CodesMut::U16(samples) => at_level!(self, to_codes(values, line, f32::from(max), samples)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::ColorRange;

    #[test]
    fn every_code_of_every_depth_and_range_comes_back() {
        for bit_depth in 8..=16u8 {
            let max = ((1u32 << bit_depth) - 1) as u16;
            let codes: Vec<u16> = (0..=max).collect();
            for range in [ColorRange::Limited, ColorRange::Full] {
                for values in [(0.0, 1.0), (-1.0, 1.0), (0.0, 255.0), (1.0, 0.0), (-0.5, 0.5)] {
                    let there = Linear::between(range.luma_codes(bit_depth), values);
                    let back = Linear::between(values, range.luma_codes(bit_depth));
                    let (black, white) = range.luma_codes(bit_depth);
                    let mut row = vec![0.0; codes.len()];
                    Kernels::best().to_values(Codes::U16 { samples: &codes, shift: 0 }, there, &mut row);
                    for (code, value) in codes.iter().zip(&row) {
                        let unit = (f64::from(*code) - f64::from(black)) / f64::from(white - black);
                        let truth = unit * f64::from(values.1 - values.0) + f64::from(values.0);
                        let bound = 2e-7 * f64::from((values.1 - values.0).abs()).max(truth.abs());
                        assert!((f64::from(*value) - truth).abs() <= bound, "{code} {value} {truth}");
                    }
                    let mut again = vec![0u16; codes.len()];
                    Kernels::best().to_codes(&row, back, max, CodesMut::U16(&mut again));
                    assert_eq!(codes, again, "{bit_depth} bits {range:?} {values:?}");
                }
            }
        }
    }

    #[test]
    fn rounding_is_to_nearest_and_clamps() {
        let values = [-3.0, -0.4, 0.4, 0.6, 1.5, 2.5, 254.6, 255.4, 300.0, 1e30, f32::NAN, f32::INFINITY];
        let mut codes = [7u8; 13];
        Kernels::best().to_codes(&values, Linear::IDENTITY, 255, CodesMut::U8(&mut codes[..12]));
        assert_eq!(codes, [0, 0, 0, 1, 2, 2, 255, 255, 255, 255, 0, 255, 7]);
    }

    #[test]
    fn semi_planar_pairs_come_apart() {
        let samples = [1u16 << 6, 2 << 6, 3 << 6, 1023 << 6];
        let (mut first, mut second) = ([0.0; 2], [0.0; 2]);
        let codes = Codes::U16 { samples: &samples, shift: 6 };
        Kernels::best().pairs_to_values(codes, Linear::IDENTITY, [&mut first, &mut second]);
        assert_eq!((first, second), ([1.0, 3.0], [2.0, 1023.0]));
    }
}
