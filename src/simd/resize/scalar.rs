//! The truth of the resize kernels: weighted sums of rows, and taking rows apart and together.
//!
//! Both passes of a resize come down to [`combine`]: vertically over rows of the picture, horizontally over shifted
//! copies of one row. [`double`] and [`halve`] do in one pass over the row what chroma needs most.

use super::Sum;
use crate::simd::luma::{Base, Sample, round};

/// `out[i] = coefs[0] * row(0)[i] + coefs[1] * row(1)[i] + ...`, summed in this order.
#[inline(always)]
pub(super) fn combine<'a>(row: impl Fn(usize) -> &'a [f32], coefs: &[f32], out: &mut [f32]) {
    match coefs.len() {
        1 => combine_n::<1>(row, coefs, out),
        2 => combine_n::<2>(row, coefs, out),
        3 => combine_n::<3>(row, coefs, out),
        4 => combine_n::<4>(row, coefs, out),
        5 => combine_n::<5>(row, coefs, out),
        6 => combine_n::<6>(row, coefs, out),
        7 => combine_n::<7>(row, coefs, out),
        8 => combine_n::<8>(row, coefs, out),
        _ => {
            combine_n::<8>(&row, &coefs[..8], out);
            for (k, coef) in coefs.iter().enumerate().skip(8) {
                for (sum, sample) in out.iter_mut().zip(row(k)) {
                    *sum += coef * sample;
                }
            }
        }
    }
}

#[inline(always)]
fn combine_n<'a, const N: usize>(row: impl Fn(usize) -> &'a [f32], coefs: &[f32], out: &mut [f32]) {
    let length = out.len();
    let (mut rows, mut weights): ([&[f32]; N], _) = ([&[]; N], [0.0; N]);
    rows.iter_mut().enumerate().for_each(|(k, to)| *to = &row(k)[..length]);
    weights.copy_from_slice(&coefs[..N]);
    let sum = Sum { rows, weights };
    for (i, out) in out.iter_mut().enumerate() {
        *out = sum.at(i);
    }
}

/// The sum of rows, added to what they start from, as codes.
#[inline(always)]
pub(super) fn combine_to_codes<S: Sample, const N: usize>(sum: Sum<N>, base: impl Base, max: f32, out: &mut [S]) {
    let n = out.len();
    let (sum, base) = (sum.first(n), base.first(n));
    for (i, out) in out.iter_mut().enumerate() {
        *out = round(sum.at(i) + base.at(i), max);
    }
}

/// Two outputs for each sample: `out[2 * i + p] = sum of coefs[p][k] * rows[p][i + k]`.
#[inline(always)]
pub(super) fn double<'a, const N: usize>(rows: [&'a [f32]; 2], coefs: [[f32; N]; 2], out: &mut [f32]) {
    let pairs = out.as_chunks_mut::<2>().0;
    let shifted = |row: &'a [f32], weights| {
        let mut rows = [row; N];
        rows.iter_mut().enumerate().for_each(|(k, row)| *row = &row[k..k + pairs.len()]);
        Sum { rows, weights }
    };
    let (even, odd) = (shifted(rows[0], coefs[0]), shifted(rows[1], coefs[1]));
    for (i, pair) in pairs.iter_mut().enumerate() {
        *pair = [even.at(i), odd.at(i)];
    }
}

/// An output for every second sample: `out[i] = sum of coefs[k] * row[2 * i + k]`.
#[inline(always)]
pub(super) fn halve<const N: usize>(row: &[f32], coefs: [f32; N], out: &mut [f32]) {
    let length = out.len();
    let pairs = row.as_chunks::<2>().0;
    let mut shifted = [pairs; N];
    shifted.iter_mut().enumerate().for_each(|(k, pairs)| *pairs = &pairs[k / 2..k / 2 + length]);
    for (i, out) in out.iter_mut().enumerate() {
        let mut sum = coefs[0] * shifted[0][i][0];
        for k in 1..N {
            sum += coefs[k] * shifted[k][i][k % 2];
        }
        *out = sum;
    }
}

/// `out[i] = sum of coefs[i % n][k] * row[first[i % n] + i / n * stride + k]`, summed as [`combine`] does.
#[inline(always)]
pub(super) fn gather(row: &[f32], starts: impl Iterator<Item = usize>, coefs: &[f32], n_taps: usize, out: &mut [f32]) {
    for ((out, start), coefs) in out.iter_mut().zip(starts).zip(coefs.chunks_exact(n_taps).cycle()) {
        let row = &row[start..start + n_taps];
        let mut sum = coefs[0] * row[0];
        for (coef, sample) in coefs.iter().zip(row).skip(1) {
            sum += coef * sample;
        }
        *out = sum;
    }
}

/// `out[n * i + p] = rows[p * length + i]` for `n` rows.
#[inline(always)]
pub(super) fn interleave(rows: &[f32], n: usize, out: &mut [f32]) {
    let length = out.len() / n;
    if n == 2 {
        let (first, second) = rows.split_at(length);
        for ((pair, a), b) in out.as_chunks_mut::<2>().0.iter_mut().zip(first).zip(second) {
            *pair = [*a, *b];
        }
        return;
    }
    for (p, row) in rows.chunks_exact(length).take(n).enumerate() {
        for (out, sample) in out[p..].iter_mut().step_by(n).zip(row) {
            *out = *sample;
        }
    }
}

/// `out[p * length + i] = row[n * i + p]`, `row` being `n * length` long.
#[inline(always)]
pub(super) fn split(row: &[f32], n: usize, out: &mut [f32]) {
    let length = row.len() / n;
    if n == 2 {
        let (first, second) = out.split_at_mut(length);
        for ((pair, a), b) in row.as_chunks::<2>().0.iter().zip(first).zip(second) {
            [*a, *b] = *pair;
        }
        return;
    }
    for (p, out) in out.chunks_exact_mut(length).take(n).enumerate() {
        for (out, sample) in out.iter_mut().zip(row[p..].iter().step_by(n)) {
            *out = *sample;
        }
    }
}
