//! The RGB kernels for AVX2: the compiler vectorises the truth.

use super::scalar::Luma;
use super::{FromRgb, Pixels, ToRgb};
use crate::simd::luma::Sample;

compiled_for_avx2! {
    fn to_rgb[S: Sample](m: &ToRgb, luma: Luma<S>, chroma: [&[f32]; 2], rgb: [&mut [f32]; 3]);
    fn add_luma[P: Pixels](m: &FromRgb, pixels: P, luma: &mut [f32]);
    fn chroma[P: Pixels](m: &FromRgb, pixels: P, cb: &mut [f32], cr: &mut [f32]);
}
