//! The truth of the RGB kernels.

use super::{FromRgb, ToRgb};
use crate::simd::luma::Sample;

/// Luma samples of a row, and how far right their codes are to be shifted.
#[derive(Clone, Copy)]
pub(super) struct Luma<'a, S> {
    pub(super) samples: &'a [S],
    pub(super) shift: u8,
}

/// Pixels of a row, as red, green, blue.
pub trait Pixels: Copy {
    /// The first `length` pixels, so that the loops need no further checks.
    #[must_use]
    fn first(self, length: usize) -> Self;
    /// A pixel.
    fn at(self, i: usize) -> [f32; 3];
}

/// A row of a picture: red, green, blue.
#[derive(Clone, Copy)]
pub struct Whole<'a>(pub [&'a [f32]; 3]);

/// What a network changed: the first less the second.
#[derive(Clone, Copy)]
pub struct Change<'a>(pub [&'a [f32]; 3], pub [&'a [f32]; 3]);

impl Pixels for Whole<'_> {
    #[inline(always)]
    fn first(self, length: usize) -> Self {
        Whole(self.0.map(|row| &row[..length]))
    }

    #[inline(always)]
    fn at(self, i: usize) -> [f32; 3] {
        [self.0[0][i], self.0[1][i], self.0[2][i]]
    }
}

impl Pixels for Change<'_> {
    #[inline(always)]
    fn first(self, length: usize) -> Self {
        Change(self.0.map(|row| &row[..length]), self.1.map(|row| &row[..length]))
    }

    #[inline(always)]
    fn at(self, i: usize) -> [f32; 3] {
        [self.0[0][i] - self.1[0][i], self.0[1][i] - self.1[1][i], self.0[2][i] - self.1[2][i]]
    }
}

#[inline(always)]
pub(super) fn to_rgb<S: Sample>(m: &ToRgb, luma: Luma<S>, [cb, cr]: [&[f32]; 2], [r, g, b]: [&mut [f32]; 3]) {
    to_rgb_rows(m, luma, cb, cr, r, g, b);
}

/// Slices in an array may overlap for all that the compiler knows, slices as arguments may not; only so it vectorises.
#[inline(always)]
fn to_rgb_rows<S: Sample>(
    m: &ToRgb,
    luma: Luma<S>,
    cb: &[f32],
    cr: &[f32],
    r: &mut [f32],
    g: &mut [f32],
    b: &mut [f32],
) {
    let n = luma.samples.len();
    let (cb, cr) = (&cb[..n], &cr[..n]);
    let (r, g, b) = (&mut r[..n], &mut g[..n], &mut b[..n]);
    for i in 0..n {
        let y = (luma.samples[i].code(luma.shift) - m.code_black) * m.gain + m.black;
        r[i] = y + m.r_cr * cr[i];
        g[i] = y + m.g_cb * cb[i] + m.g_cr * cr[i];
        b[i] = y + m.b_cb * cb[i];
    }
}

#[inline(always)]
pub(super) fn add_luma(m: &FromRgb, pixels: impl Pixels, luma: &mut [f32]) {
    let pixels = pixels.first(luma.len());
    for (i, luma) in luma.iter_mut().enumerate() {
        let [r, g, b] = pixels.at(i);
        *luma += (m.weights[0] * r + m.weights[1] * g + m.weights[2] * b) * m.luma_gain;
    }
}

#[inline(always)]
pub(super) fn chroma(m: &FromRgb, pixels: impl Pixels, cb: &mut [f32], cr: &mut [f32]) {
    let n = cb.len();
    let (pixels, cr) = (pixels.first(n), &mut cr[..n]);
    for i in 0..n {
        let [r, g, b] = pixels.at(i);
        let y = m.weights[0] * r + m.weights[1] * g + m.weights[2] * b;
        cb[i] = (b - y) * m.chroma_gain[0];
        cr[i] = (r - y) * m.chroma_gain[1];
    }
}
