//! Y'CbCr to R'G'B' and back, a row at a time, chroma already on the luma grid.
//!
//! Called by the heads of RGB networks. RGB is in a network's own units: black is its `black`, white its `white`, and
//! nothing is clipped. On the way back a row of code values (or of their changes) is added to what the caller put
//! there: black and neutral codes for a picture, the source's codes for a change; equal rows make a change of exactly
//! zero. Equations: H.273, 8.3, by Kr and Kb. Errors are under 1e-6 of the range from black to white.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod scalar;

use super::Kernels;
use super::luma::{Addend, Codes, CodesMut, Samples, for_codes};
use super::resize::{RowSum, Sum, Sums, Taken};
use crate::frame::{ColorMatrix, ColorRange};
pub use scalar::{Change, Pixels, Whole};

/// What the code values of a picture mean.
#[derive(Clone, Copy, Debug)]
pub struct YuvCoding {
    /// The matrix.
    pub matrix: ColorMatrix,
    /// The range.
    pub range: ColorRange,
    /// Bits a sample.
    pub bit_depth: u8,
}

impl YuvCoding {
    /// The code of no chroma.
    pub fn neutral(self) -> f32 {
        (1u32 << (self.bit_depth - 1)) as f32
    }

    /// Chroma codes from -0.5 to 0.5.
    fn chroma_excursion(self) -> f64 {
        match self.range {
            ColorRange::Full => f64::from((1u32 << self.bit_depth) - 1),
            ColorRange::Limited => f64::from(224u32 << (self.bit_depth - 8)),
        }
    }

    /// Luma codes from black to white.
    fn luma_excursion(self) -> f64 {
        let (black, white) = self.range.luma_codes(self.bit_depth);
        f64::from(white - black)
    }
}

/// Codes to RGB. Laid out as in `kernels/gather.cu`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct ToRgb {
    code_black: f32,
    gain: f32,
    black: f32,
    r_cr: f32,
    g_cb: f32,
    g_cr: f32,
    b_cb: f32,
}

impl ToRgb {
    /// To a network whose input has these values for black and white.
    pub fn new(coding: YuvCoding, black: f32, white: f32) -> Self {
        let (kr, kb) = coding.matrix.weights();
        let kg = 1.0 - kr - kb;
        let range = f64::from(white) - f64::from(black);
        let chroma = range / coding.chroma_excursion();
        ToRgb {
            code_black: coding.range.luma_codes(coding.bit_depth).0,
            gain: (range / coding.luma_excursion()) as f32,
            black,
            r_cr: (2.0 * (1.0 - kr) * chroma) as f32,
            g_cb: (-2.0 * kb * (1.0 - kb) / kg * chroma) as f32,
            g_cr: (-2.0 * kr * (1.0 - kr) / kg * chroma) as f32,
            b_cb: (2.0 * (1.0 - kb) * chroma) as f32,
        }
    }
}

/// RGB to codes. Laid out as in `kernels/scatter.cu`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct FromRgb {
    /// Parts of red, green and blue in Y, in units of the network.
    weights: [f32; 3],
    /// Luma codes a unit.
    luma_gain: f32,
    /// Cb codes a unit of B - Y, Cr codes a unit of R - Y.
    chroma_gain: [f32; 2],
    /// What to add to luma where the rows hold a picture and not its change.
    luma_base: f32,
}

impl FromRgb {
    /// From a network whose output has these values for black and white.
    pub fn new(coding: YuvCoding, black: f32, white: f32) -> Self {
        let (kr, kb) = coding.matrix.weights();
        let range = f64::from(white) - f64::from(black);
        let luma_gain = coding.luma_excursion() / range;
        let chroma = coding.chroma_excursion() / range;
        let (code_black, _) = coding.range.luma_codes(coding.bit_depth);
        FromRgb {
            weights: [kr as f32, (1.0 - kr - kb) as f32, kb as f32],
            luma_gain: luma_gain as f32,
            chroma_gain: [(chroma / (2.0 * (1.0 - kb))) as f32, (chroma / (2.0 * (1.0 - kr))) as f32],
            luma_base: (f64::from(code_black) - f64::from(black) * luma_gain) as f32,
        }
    }

    /// What luma rows start with for a picture, so that RGB black comes out as the black code.
    pub fn luma_base(&self) -> f32 {
        self.luma_base
    }
}

impl Kernels {
    /// A row to RGB: luma codes, and chroma codes less the neutral one. As many pixels as
    /// `rgb` has room for.
    pub fn to_rgb(self, m: &ToRgb, luma: Codes, chroma: Sums<2>, rgb: [&mut [f32]; 3]) {
        let (n, lengths) = (luma.n_samples().min(chroma.length()), rgb.each_ref().map(|row| row.len()));
        assert!(lengths.iter().all(|length| *length == lengths[0] && *length <= n), "{n} codes to RGB of {lengths:?}");
        match chroma.0 {
            Taken::One(chroma) => self.to_rgb_of(m, luma, chroma, rgb),
            Taken::Two(chroma) => self.to_rgb_of(m, luma, chroma, rgb),
            Taken::Three(chroma) => self.to_rgb_of(m, luma, chroma, rgb),
            Taken::Four(chroma) => self.to_rgb_of(m, luma, chroma, rgb),
        }
    }

    /// The same of a row whose luma was resized too: luma in codes, chroma in codes less the neutral one. As many pixels as
    /// `rgb` has room for.
    pub fn values_to_rgb(self, m: &ToRgb, luma: &[f32], chroma: [&[f32]; 2], rgb: [&mut [f32]; 3]) {
        let n = chroma.iter().map(|row| row.len()).fold(luma.len(), usize::min);
        let lengths = rgb.each_ref().map(|row| row.len());
        assert!(lengths.iter().all(|length| *length == lengths[0] && *length <= n), "{n} values to RGB of {lengths:?}");
        let chroma = chroma.map(|row| Sum { rows: [row], weights: [1.0] });
        at_level!(self, to_rgb(m, luma, chroma, rgb));
    }

    fn to_rgb_of(self, m: &ToRgb, luma: Codes, chroma: [impl RowSum; 2], rgb: [&mut [f32]; 3]) {
        match luma {
            Codes::U8(samples) => at_level!(self, to_rgb(m, Samples { samples, shift: 0 }, chroma, rgb)),
            Codes::U16 { samples, shift } => at_level!(self, to_rgb(m, Samples { samples, shift }, chroma, rgb)),
        }
    }

    /// The luma of a row of pixels added to `addend`, as codes from 0 to `max`.
    pub fn to_luma(self, m: &FromRgb, pixels: impl Pixels, addend: Addend, max: u16, luma: CodesMut) {
        let (n_pixels, n) = (pixels.length().min(addend.n_values()), luma.n_samples());
        assert!(n_pixels >= n, "{n_pixels} pixels for {n} codes");
        for_codes!(addend, luma, max, |base, max, luma| at_level!(self, to_luma(m, pixels, base, max, luma)));
    }

    /// The chroma of a row of pixels, in codes less the neutral one.
    pub fn to_chroma(self, m: &FromRgb, pixels: impl Pixels, [cb, cr]: [&mut [f32]; 2]) {
        let (n, lengths) = (pixels.length(), [cb.len(), cr.len()]);
        assert!(lengths[0] == lengths[1] && lengths[0] <= n, "{n} pixels for chroma of {lengths:?}");
        at_level!(self, to_chroma(m, pixels, cb, cr));
    }

    /// [`Kernels::to_luma`] and [`Kernels::to_chroma`] in one.
    pub fn to_luma_and_chroma(
        self,
        m: &FromRgb,
        pixels: impl Pixels,
        addend: Addend,
        max: u16,
        luma: CodesMut,
        chroma: [&mut [f32]; 2],
    ) {
        let (n_pixels, n) = (pixels.length().min(addend.n_values()), luma.n_samples());
        let chroma_fits = chroma.iter().all(|row| row.len() == n);
        assert!(n_pixels >= n && chroma_fits, "{n_pixels} pixels for {n} codes of luma, or chroma of another length");
        for_codes!(addend, luma, max, |base, max, luma| {
            at_level!(self, to_both(m, pixels, base, max, luma, chroma))
        });
    }
}
