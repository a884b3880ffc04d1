//! The truth of the RGB kernels.

use std::ops::Range;

use super::{FromRgb, ToRgb};
use crate::simd::luma::{Base, Sample, Samples, round};
use crate::simd::resize::Sum;

/// Pixels of a row, as red, green, blue.
pub trait Pixels: Copy {
    /// Some of the pixels; exactly as many as a loop runs over, it needs no further checks.
    #[must_use]
    fn part(self, pixels: Range<usize>) -> Self;
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
    fn part(self, pixels: Range<usize>) -> Self {
        Whole(self.0.map(|row| &row[pixels.clone()]))
    }

    #[inline(always)]
    fn at(self, i: usize) -> [f32; 3] {
        [self.0[0][i], self.0[1][i], self.0[2][i]]
    }
}

impl<'a> Pixels for Change<'a> {
    #[inline(always)]
    fn part(self, pixels: Range<usize>) -> Self {
        let part = |row: &'a [f32]| &row[pixels.clone()];
        Change(self.0.map(part), self.1.map(part))
    }

    #[inline(always)]
    fn at(self, i: usize) -> [f32; 3] {
        [self.0[0][i] - self.1[0][i], self.0[1][i] - self.1[1][i], self.0[2][i] - self.1[2][i]]
    }
}

#[inline(always)]
pub(super) fn to_rgb<S: Sample, const N: usize>(
    m: &ToRgb,
    luma: Samples<S>,
    chroma: [Sum<N>; 2],
    [r, g, b]: [&mut [f32]; 3],
) {
    to_rgb_rows(m, luma, chroma, r, g, b);
}

/// Slices in an array may overlap for all that the compiler knows, slices as arguments may not: so it vectorises.
#[inline(always)]
fn to_rgb_rows<S: Sample, const N: usize>(
    m: &ToRgb,
    luma: Samples<S>,
    chroma: [Sum<N>; 2],
    r: &mut [f32],
    g: &mut [f32],
    b: &mut [f32],
) {
    let n = r.len();
    let (luma, cb, cr) = (luma.first(n), chroma[0].first(n), chroma[1].first(n));
    let (g, b) = (&mut g[..n], &mut b[..n]);
    for i in 0..n {
        let (cb, cr) = (cb.at(i), cr.at(i));
        let y = (luma.at(i) - m.code_black) * m.gain + m.black;
        r[i] = y + m.r_cr * cr;
        g[i] = y + m.g_cb * cb + m.g_cr * cr;
        b[i] = y + m.b_cb * cb;
    }
}

impl FromRgb {
    /// Luma in units of the network.
    #[inline(always)]
    fn luma_of(&self, [r, g, b]: [f32; 3]) -> f32 {
        self.weights[0] * r + self.weights[1] * g + self.weights[2] * b
    }
}

#[inline(always)]
pub(super) fn to_luma<S: Sample>(m: &FromRgb, pixels: impl Pixels, base: impl Base, max: f32, luma: &mut [S]) {
    let n = luma.len();
    let (pixels, base) = (pixels.part(0..n), base.first(n));
    for (i, luma) in luma.iter_mut().enumerate() {
        *luma = round(base.at(i) + m.luma_of(pixels.at(i)) * m.luma_gain, max);
    }
}

#[inline(always)]
pub(super) fn to_chroma(m: &FromRgb, pixels: impl Pixels, cb: &mut [f32], cr: &mut [f32]) {
    let n = cb.len();
    let (pixels, cr) = (pixels.part(0..n), &mut cr[..n]);
    for i in 0..n {
        let [r, g, b] = pixels.at(i);
        let y = m.luma_of([r, g, b]);
        cb[i] = (b - y) * m.chroma_gain[0];
        cr[i] = (r - y) * m.chroma_gain[1];
    }
}

/// [`to_luma`] and [`to_chroma`] at once, reading the pixels once.
#[inline(always)]
pub(super) fn to_both<S: Sample>(
    m: &FromRgb,
    pixels: impl Pixels,
    base: impl Base,
    max: f32,
    luma: &mut [S],
    [cb, cr]: [&mut [f32]; 2],
) {
    to_both_rows(m, pixels, base, max, luma, cb, cr);
}

/// As [`to_rgb_rows`] is to [`to_rgb`].
#[inline(always)]
fn to_both_rows<S: Sample>(
    m: &FromRgb,
    pixels: impl Pixels,
    base: impl Base,
    max: f32,
    luma: &mut [S],
    cb: &mut [f32],
    cr: &mut [f32],
) {
    let n = luma.len();
    let (pixels, base) = (pixels.part(0..n), base.first(n));
    let (cb, cr) = (&mut cb[..n], &mut cr[..n]);
    for i in 0..n {
        let [r, g, b] = pixels.at(i);
        let y = m.luma_of([r, g, b]);
        luma[i] = round(base.at(i) + y * m.luma_gain, max);
        cb[i] = (b - y) * m.chroma_gain[0];
        cr[i] = (r - y) * m.chroma_gain[1];
    }
}
