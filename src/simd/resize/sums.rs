//! Weighted sums of rows that have not been summed yet, so that a kernel can do it on the way to something else.

use crate::simd::Kernels;
use crate::simd::luma::{Addend, CodesMut};

/// `weights[0] * rows[0][i] + weights[1] * rows[1][i] + ...`, summed in this order.
#[derive(Clone, Copy)]
pub(in crate::simd) struct Sum<'a, const N: usize> {
    pub(in crate::simd) rows: [&'a [f32]; N],
    pub(in crate::simd) weights: [f32; N],
}

impl<const N: usize> Sum<'_, N> {
    /// The first `length` sums, so that loops need no further checks.
    #[inline(always)]
    pub(in crate::simd) fn first(mut self, length: usize) -> Self {
        self.rows.iter_mut().for_each(|row| *row = &row[..length]);
        self
    }

    /// Sum `i`.
    #[inline(always)]
    pub(in crate::simd) fn at(&self, i: usize) -> f32 {
        let mut sum = self.weights[0] * self.rows[0][i];
        for k in 1..N {
            sum += self.weights[k] * self.rows[k][i];
        }
        sum
    }
}

/// An output row of each of `P` planes, as sums of as many rows as the filter has taps.
#[derive(Clone, Copy)]
pub struct Sums<'a, const P: usize>(pub(in crate::simd) Taken<'a, P>);

/// Sums by the number of their rows; longer ones are made in advance and count as one row.
#[derive(Clone, Copy)]
pub(in crate::simd) enum Taken<'a, const P: usize> {
    One([Sum<'a, 1>; P]),
    Two([Sum<'a, 2>; P]),
    Three([Sum<'a, 3>; P]),
    Four([Sum<'a, 4>; P]),
}

impl<'a, const P: usize> Sums<'a, P> {
    /// Rows as they are.
    pub fn plain(rows: [&'a [f32]; P]) -> Self {
        Sums(Taken::One(rows.map(|row| Sum { rows: [row], weights: [1.0] })))
    }
}

impl Kernels {
    /// The sums of a plane, each added to `addend`, as codes from 0 to `max`.
    pub fn sums_to_codes(self, sums: Sums<1>, addend: Addend, max: u16, codes: CodesMut) {
        match sums.0 {
            Taken::One([sum]) => super::sum_to_codes(self, sum, addend, max, codes),
            Taken::Two([sum]) => super::sum_to_codes(self, sum, addend, max, codes),
            Taken::Three([sum]) => super::sum_to_codes(self, sum, addend, max, codes),
            Taken::Four([sum]) => super::sum_to_codes(self, sum, addend, max, codes),
        }
    }
}
