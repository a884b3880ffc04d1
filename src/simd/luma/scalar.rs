//! The truth of the luma kernels.

use super::Linear;

/// A sample as it lies in memory.
pub(in crate::simd) trait Sample: Copy {
    /// The code value.
    fn code(self, shift: u8) -> f32;
    /// A sample from the low bits.
    fn from_bits(bits: u32) -> Self;
}

impl Sample for u8 {
    #[inline(always)]
    fn code(self, _: u8) -> f32 {
        f32::from(self)
    }

    #[inline(always)]
    fn from_bits(bits: u32) -> Self {
        bits as u8
    }
}

impl Sample for u16 {
    #[inline(always)]
    fn code(self, shift: u8) -> f32 {
        f32::from(self >> shift)
    }

    #[inline(always)]
    fn from_bits(bits: u32) -> Self {
        bits as u16
    }
}

/// What something is added to before it is rounded.
pub(in crate::simd) trait Base: Copy {
    /// The values of `length` samples, or fewer if there are fewer.
    fn values(self, length: usize) -> impl Iterator<Item = f32>;
}

/// The same for all samples.
impl Base for f32 {
    #[inline(always)]
    fn values(self, length: usize) -> impl Iterator<Item = f32> {
        (0..length).map(move |_| self)
    }
}

impl Base for &[f32] {
    #[inline(always)]
    fn values(self, _: usize) -> impl Iterator<Item = f32> {
        self.iter().copied()
    }
}

/// Samples of a row, and how far right their codes are to be shifted.
#[derive(Clone, Copy)]
pub(in crate::simd) struct Samples<'a, S> {
    pub(in crate::simd) samples: &'a [S],
    pub(in crate::simd) shift: u8,
}

impl<S: Sample> Base for Samples<'_, S> {
    #[inline(always)]
    fn values(self, _: usize) -> impl Iterator<Item = f32> {
        self.samples.iter().map(move |sample| sample.code(self.shift))
    }
}

#[inline(always)]
pub(super) fn to_values<S: Sample>(samples: &[S], shift: u8, line: Linear, values: &mut [f32]) {
    for (value, sample) in values.iter_mut().zip(samples) {
        *value = (sample.code(shift) - line.from) * line.gain + line.to;
    }
}

#[inline(always)]
pub(super) fn pairs_to_values<S: Sample>(samples: &[S], shift: u8, line: Linear, [first, second]: [&mut [f32]; 2]) {
    pair_rows(samples, shift, line, first, second);
}

/// Slices in an array may overlap for all that the compiler knows, slices as arguments may not: so it vectorises.
#[inline(always)]
fn pair_rows<S: Sample>(samples: &[S], shift: u8, line: Linear, first: &mut [f32], second: &mut [f32]) {
    for ((pair, a), b) in samples.as_chunks::<2>().0.iter().zip(first).zip(second) {
        *a = (pair[0].code(shift) - line.from) * line.gain + line.to;
        *b = (pair[1].code(shift) - line.from) * line.gain + line.to;
    }
}

/// Adding 1.5 * 2^23 leaves a float no room for fractions: the sum is rounded to nearest by the adder itself and the
/// integer stands in the low bits. Without SSE4.1 this is many times faster than `round` and a saturating cast.
const ROUNDER: f32 = 12_582_912.0;

/// The nearest code from 0 to `max`; ties go to even, and what is not a number becomes 0.
#[inline(always)]
pub(in crate::simd) fn round<S: Sample>(code: f32, max: f32) -> S {
    // Written so that not-a-number becomes 0, and as one `maxps` and one `minps`.
    let code = if code > 0.0 { code } else { 0.0 };
    let code = if code < max { code } else { max };
    S::from_bits((code + ROUNDER).to_bits())
}

#[inline(always)]
pub(super) fn to_codes<S: Sample>(values: &[f32], line: Linear, max: f32, samples: &mut [S]) {
    for (sample, value) in samples.iter_mut().zip(values) {
        *sample = round((*value - line.from) * line.gain + line.to, max);
    }
}
