//! The truth of the RGB kernels.

use std::ops::Range;

use super::{FromRgb, ToRgb};
use crate::simd::luma::{Base, Sample, round};
use crate::simd::resize::RowSum;

/// Pixels of a row, as red, green, blue.
pub trait Pixels: Copy {
    /// How many there are.
    fn length(self) -> usize;
    /// Some of the pixels.
    #[must_use]
    fn part(self, pixels: Range<usize>) -> Self;
    /// The pixels.
    fn pixels(self) -> impl Iterator<Item = [f32; 3]>;
}

/// A row of a picture: red, green, blue.
#[derive(Clone, Copy)]
pub struct Whole<'a>(pub [&'a [f32]; 3]);

/// What a network changed: the first less the second.
#[derive(Clone, Copy)]
pub struct Change<'a>(pub [&'a [f32]; 3], pub [&'a [f32]; 3]);

impl Pixels for Whole<'_> {
    fn length(self) -> usize {
        self.0.map(<[f32]>::len).into_iter().min().unwrap_or(0)
    }

    #[inline(always)]
    fn part(self, pixels: Range<usize>) -> Self {
        Whole(self.0.map(|row| &row[pixels.clone()]))
    }

    #[inline(always)]
    fn pixels(self) -> impl Iterator<Item = [f32; 3]> {
        let [r, g, b] = self.0;
        r.iter().zip(g).zip(b).map(|((r, g), b)| [*r, *g, *b])
    }
}

impl<'a> Pixels for Change<'a> {
    fn length(self) -> usize {
        Whole(self.0).length().min(Whole(self.1).length())
    }

    #[inline(always)]
    fn part(self, pixels: Range<usize>) -> Self {
        let part = |row: &'a [f32]| &row[pixels.clone()];
        Change(self.0.map(part), self.1.map(part))
    }

    #[inline(always)]
    fn pixels(self) -> impl Iterator<Item = [f32; 3]> {
        let pairs = Whole(self.0).pixels().zip(Whole(self.1).pixels());
        pairs.map(|([r, g, b], [was_r, was_g, was_b])| [r - was_r, g - was_g, b - was_b])
    }
}

#[inline(always)]
pub(super) fn to_rgb(m: &ToRgb, luma: impl Base, [cb, cr]: [impl RowSum; 2], [r, g, b]: [&mut [f32]; 3]) {
    to_rgb_rows(m, luma, cb, cr, r, g, b);
}

/// Slices in an array may overlap for all that the compiler knows, slices as arguments may not: so it vectorises.
#[inline(always)]
fn to_rgb_rows<C: RowSum>(m: &ToRgb, luma: impl Base, cb: C, cr: C, r: &mut [f32], g: &mut [f32], b: &mut [f32]) {
    let rows = luma.values(r.len()).zip(cb.sums()).zip(cr.sums());
    for (((luma, cb), cr), ((r, g), b)) in rows.zip(r.iter_mut().zip(g).zip(b)) {
        let y = (luma - m.code_black) * m.gain + m.black;
        *r = y + m.r_cr * cr;
        *g = y + m.g_cb * cb + m.g_cr * cr;
        *b = y + m.b_cb * cb;
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
    let rows = base.values(luma.len()).zip(pixels.pixels());
    for ((base, pixel), luma) in rows.zip(luma) {
        *luma = round(base + m.luma_of(pixel) * m.luma_gain, max);
    }
}

#[inline(always)]
pub(super) fn to_chroma(m: &FromRgb, pixels: impl Pixels, cb: &mut [f32], cr: &mut [f32]) {
    for ([r, g, b], (cb, cr)) in pixels.pixels().zip(cb.iter_mut().zip(cr)) {
        let y = m.luma_of([r, g, b]);
        *cb = (b - y) * m.chroma_gain[0];
        *cr = (r - y) * m.chroma_gain[1];
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
    let rows = base.values(luma.len()).zip(pixels.pixels());
    for ((base, [r, g, b]), ((luma, cb), cr)) in rows.zip(luma.iter_mut().zip(cb).zip(cr)) {
        let y = m.luma_of([r, g, b]);
        *luma = round(base + y * m.luma_gain, max);
        *cb = (b - y) * m.chroma_gain[0];
        *cr = (r - y) * m.chroma_gain[1];
    }
}
