//! The luma kernels for AVX2: the compiler vectorises the truth.

use super::Linear;
use super::scalar::Sample;

compiled_for_avx2! {
    fn to_values[S: Sample](samples: &[S], shift: u8, line: Linear, values: &mut [f32]);
    fn pairs_to_values[S: Sample](samples: &[S], shift: u8, line: Linear, values: [&mut [f32]; 2]);
    fn to_codes[S: Sample](values: &[f32], line: Linear, max: f32, samples: &mut [S]);
}
