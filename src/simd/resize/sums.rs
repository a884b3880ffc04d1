//! Weighted sums of rows that have not been summed yet, so that a kernel can do it on the way to something else.

use crate::simd::Kernels;
use crate::simd::luma::{Addend, CodesMut};

/// `weights[0] * rows[0][i] + weights[1] * rows[1][i] + ...`, summed in this order.
#[derive(Clone, Copy)]
pub(in crate::simd) struct Sum<'a, const N: usize> {
    pub(in crate::simd) rows: [&'a [f32]; N],
    pub(in crate::simd) weights: [f32; N],
}

/// What makes a row of sums. Zipped iterators of slices are loops without checks, so the compiler vectorises them; an
/// index into an array of slices is checked at each step.
pub(in crate::simd) trait RowSum: Copy {
    /// The sums, as many as the shortest row has samples.
    fn sums(self) -> impl Iterator<Item = f32>;
}

impl RowSum for Sum<'_, 1> {
    #[inline(always)]
    fn sums(self) -> impl Iterator<Item = f32> {
        let [w] = self.weights;
        self.rows[0].iter().map(move |a| w * a)
    }
}

impl RowSum for Sum<'_, 2> {
    #[inline(always)]
    fn sums(self) -> impl Iterator<Item = f32> {
        let ([a, b], [u, v]) = (self.rows, self.weights);
        a.iter().zip(b).map(move |(a, b)| u * a + v * b)
    }
}

impl RowSum for Sum<'_, 3> {
    #[inline(always)]
    fn sums(self) -> impl Iterator<Item = f32> {
        let ([a, b, c], [u, v, w]) = (self.rows, self.weights);
        a.iter().zip(b).zip(c).map(move |((a, b), c)| u * a + v * b + w * c)
    }
}

impl RowSum for Sum<'_, 4> {
    #[inline(always)]
    fn sums(self) -> impl Iterator<Item = f32> {
        let ([a, b, c, d], [u, v, w, x]) = (self.rows, self.weights);
        a.iter().zip(b).zip(c).zip(d).map(move |(((a, b), c), d)| u * a + v * b + w * c + x * d)
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

    /// Sums in a row.
    pub(in crate::simd) fn length(&self) -> usize {
        fn shortest<const N: usize>(planes: &[Sum<N>]) -> usize {
            planes.iter().flat_map(|sum| sum.rows).map(<[f32]>::len).min().unwrap_or(0)
        }
        match &self.0 {
            Taken::One(planes) => shortest(planes),
            Taken::Two(planes) => shortest(planes),
            Taken::Three(planes) => shortest(planes),
            Taken::Four(planes) => shortest(planes),
        }
    }
}

impl Kernels {
    /// The sums of a plane, each added to `addend`, as codes from 0 to `max`; as many as there are codes to write.
    pub fn sums_to_codes(self, sums: Sums<1>, addend: Addend, max: u16, codes: CodesMut) {
        let (n_sums, n) = (sums.length().min(addend.n_values()), codes.n_samples());
        assert!(n_sums >= n, "{n_sums} sums for {n} codes");
        match sums.0 {
            Taken::One([sum]) => super::sum_to_codes(self, sum, addend, max, codes),
            Taken::Two([sum]) => super::sum_to_codes(self, sum, addend, max, codes),
            Taken::Three([sum]) => super::sum_to_codes(self, sum, addend, max, codes),
            Taken::Four([sum]) => super::sum_to_codes(self, sum, addend, max, codes),
        }
    }
}
