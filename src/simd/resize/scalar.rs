//! The truth of the resize kernels: weighted sums of rows, and taking rows apart and together.
//!
//! Both passes of a resize come down to [`combine`]: vertically over rows of the picture, horizontally over shifted
//! copies of one row.

use std::array;

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
    let rows: [&[f32]; N] = array::from_fn(|k| &row(k)[..length]);
    let coefs: [f32; N] = array::from_fn(|k| coefs[k]);
    for (i, out) in out.iter_mut().enumerate() {
        let mut sum = coefs[0] * rows[0][i];
        for k in 1..N {
            sum += coefs[k] * rows[k][i];
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
