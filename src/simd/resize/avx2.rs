//! The resize kernels for AVX2: the compiler vectorises the truth.

use super::{RowSum, Sum};
use crate::simd::luma::{Base, Sample};

compiled_for_avx2! {
    fn combine['a, R: Fn(usize) -> &'a [f32]](row: R, coefs: &[f32], out: &mut [f32]);
    fn combine_to_codes[S: Sample, B: Base, R: RowSum](sum: R, base: B, max: f32, out: &mut [S]);
    fn double(even: Sum<4>, odd: Sum<4>, out: &mut [f32]);
    fn halve[const N: usize](row: &[f32], coefs: [f32; N], out: &mut [f32]);
    fn gather(row: &[f32], stride: usize, offsets: &[usize], coefs: &[f32], out: &mut [f32]);
    fn interleave(rows: &[f32], n: usize, out: &mut [f32]);
    fn split(row: &[f32], n: usize, out: &mut [f32]);
}
