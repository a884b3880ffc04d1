//! The RGB kernels for AVX2: the compiler vectorises the truth.

use super::{FromRgb, Pixels, ToRgb};
use crate::simd::luma::{Base, Sample};
use crate::simd::resize::RowSum;

compiled_for_avx2! {
    fn to_rgb[B: Base, C: RowSum](m: &ToRgb, luma: B, chroma: [C; 2], rgb: [&mut [f32]; 3]);
    fn to_luma[S: Sample, P: Pixels, B: Base](m: &FromRgb, pixels: P, base: B, max: f32, luma: &mut [S]);
    fn to_chroma[P: Pixels](m: &FromRgb, pixels: P, cb: &mut [f32], cr: &mut [f32]);
    fn to_both[S: Sample, P: Pixels, B: Base](
        m: &FromRgb,
        pixels: P,
        base: B,
        max: f32,
        luma: &mut [S],
        chroma: [&mut [f32]; 2],
    );
}
