//! The truth of the resize kernels: weighted sums of rows, and taking rows apart and together.
//!
//! Both passes of a resize come down to [`combine`]: vertically over rows of the picture, horizontally over shifted
//! copies of one row. [`double`] and [`halve`] do in one pass over the row what chroma needs most.

use super::{RowSum, Sum};
use crate::simd::luma::{Base, Sample, round};

/// `out[i] = coefs[0] * row(0)[i] + coefs[1] * row(1)[i] + ...`, summed in this order.
#[inline(always)]
pub(super) fn combine<'a>(row: impl Fn(usize) -> &'a [f32], coefs: &[f32], out: &mut [f32]) {
    let n = match *coefs {
        [] => return out.fill(0.0),
        [u] => sum(Sum { rows: [row(0)], weights: [u] }, out),
        [u, v] => sum(Sum { rows: [row(0), row(1)], weights: [u, v] }, out),
        [u, v, w] => sum(Sum { rows: [row(0), row(1), row(2)], weights: [u, v, w] }, out),
        [u, v, w, x, ..] => sum(Sum { rows: [row(0), row(1), row(2), row(3)], weights: [u, v, w, x] }, out),
    };
    for (k, coef) in coefs.iter().enumerate().skip(n) {
        for (sum, sample) in out.iter_mut().zip(row(k)) {
            *sum += coef * sample;
        }
    }
}

/// Writes sums, and says of how many rows.
#[inline(always)]
fn sum<const N: usize>(sum: Sum<N>, out: &mut [f32]) -> usize
where
    for<'a> Sum<'a, N>: RowSum,
{
    out.iter_mut().zip(sum.sums()).for_each(|(out, sum)| *out = sum);
    N
}

/// The sum of rows, added to what they start from, as codes.
#[inline(always)]
pub(super) fn combine_to_codes<S: Sample>(sum: impl RowSum, base: impl Base, max: f32, out: &mut [S]) {
    for ((sum, base), out) in sum.sums().zip(base.values(out.len())).zip(out) {
        *out = round(sum + base, max);
    }
}

/// Sums by turns: `out[2 * i] = even(i)`, `out[2 * i + 1] = odd(i)`.
#[inline(always)]
pub(super) fn double(even: Sum<4>, odd: Sum<4>, out: &mut [f32]) {
    for ((even, odd), pair) in even.sums().zip(odd.sums()).zip(out.as_chunks_mut::<2>().0) {
        *pair = [even, odd];
    }
}

/// An output for every second sample: `out[i] = sum of coefs[k] * row[2 * i + k]`, with at most 8 taps.
#[inline(always)]
pub(super) fn halve<const N: usize>(row: &[f32], coefs: [f32; N], out: &mut [f32]) {
    let pairs = row.as_chunks::<2>().0;
    let next = |n: usize| &pairs[n.min(pairs.len())..];
    if N <= 4 {
        for ((a, b), out) in pairs.iter().zip(next(1)).zip(out) {
            *out = weighted([*a, *b].as_flattened(), coefs);
        }
    } else {
        for ((((a, b), c), d), out) in pairs.iter().zip(next(1)).zip(next(2)).zip(next(3)).zip(out) {
            *out = weighted([*a, *b, *c, *d].as_flattened(), coefs);
        }
    }
}

#[inline(always)]
fn weighted<const N: usize>(samples: &[f32], coefs: [f32; N]) -> f32 {
    let mut sum = coefs[0] * samples[0];
    for k in 1..N {
        sum += coefs[k] * samples[k];
    }
    sum
}

/// `out[n * i + p] = sum of coefs[p][k] * row[i * stride + offsets[p] + k]` for `n` offsets, summed as [`combine`] does.
#[inline(always)]
pub(super) fn gather(row: &[f32], stride: usize, offsets: &[usize], coefs: &[f32], out: &mut [f32]) {
    let n_taps = coefs.len() / offsets.len();
    for (i, out) in out.chunks_exact_mut(offsets.len()).enumerate() {
        let row = &row[i * stride..];
        for ((out, offset), coefs) in out.iter_mut().zip(offsets).zip(coefs.chunks_exact(n_taps)) {
            let row = &row[*offset..][..n_taps];
            let mut sum = coefs[0] * row[0];
            for (coef, sample) in coefs.iter().zip(row).skip(1) {
                sum += coef * sample;
            }
            *out = sum;
        }
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
    if n == 3 {
        let (first, rest) = out.split_at_mut(length);
        let (second, third) = rest.split_at_mut(length);
        for (((of, a), b), c) in row.as_chunks::<3>().0.iter().zip(first).zip(second).zip(third) {
            [*a, *b, *c] = *of;
        }
        return;
    }
    for (p, out) in out.chunks_exact_mut(length).take(n).enumerate() {
        for (out, sample) in out.iter_mut().zip(row[p..].iter().step_by(n)) {
            *out = *sample;
        }
    }
}
