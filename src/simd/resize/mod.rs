//! Separable resizing of planes, by any ratio, with the sampling grid where the stream says it is.
//!
//! Called by the heads for the chroma and alpha of luma networks, and by way of [`Lines`], a row at a time, for the
//! chroma of RGB networks. Each source row is resized horizontally once and kept in a ring until no output row needs
//! it any more; the vertical pass sums rows of the ring. Sums are in f32 in the order of the taps, with an error under
//! 0.02 code values at 16 bits. An output sample depends on its own taps only, never on the rectangle asked for.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod lines;
mod scalar;
mod sums;
mod taps;

use std::array;
use std::ops::Range;

pub use lines::Lines;
pub use sums::Sums;
pub(super) use sums::{RowSum, Sum, Taken};
pub(crate) use taps::Taps;
pub use taps::{Axis, Filter, Siting};

use super::Kernels;
use super::luma::{Addend, Codes, CodesMut, Linear, for_codes};
use crate::frame::{PixelFormat, PlaneMut, PlaneView};

/// With more phases than this, outputs are summed one by one instead of a phase at a time.
const MAX_ROW_PHASES: usize = 8;

/// The taps of both axes.
pub struct Resizer {
    kernels: Kernels,
    pub(crate) horizontal: Taps,
    pub(crate) vertical: Taps,
}

impl Resizer {
    /// A resizer with the taps of two axes.
    pub fn new(kernels: Kernels, horizontal: Axis, vertical: Axis, filter: Filter) -> Self {
        Resizer { kernels, horizontal: Taps::new(horizontal, filter), vertical: Taps::new(vertical, filter) }
    }

    /// How far the taps of a sample reach outside the area it covers, in samples of the finer of both grids.
    pub fn reach(&self) -> usize {
        self.horizontal.reach().max(self.vertical.reach())
    }

    /// The source rows that output row `y` is made of.
    pub fn rows_of(&self, y: usize) -> Range<usize> {
        let row = self.source_row(y);
        row(0)..row(self.vertical.n_taps - 1) + 1
    }

    /// The source rows that output row `y` needs, by tap.
    fn source_row(&self, y: usize) -> impl Fn(usize) -> usize {
        let taps = &self.vertical;
        let first = taps.first[y % taps.n_phases] + (y / taps.n_phases * taps.stride) as isize;
        let last = taps.src_len - 1;
        move |k| usize::try_from(first + k as isize).unwrap_or(0).min(last)
    }

    /// Prepares `lines` for output columns `columns` of `P` planes.
    pub fn begin<const P: usize>(&self, lines: &mut Lines, columns: Range<usize>) {
        let taps = &self.horizontal;
        let periods = columns.start / taps.n_phases..columns.end.div_ceil(taps.n_phases);
        let lowest = taps.first.iter().min().copied().unwrap_or(0);
        let highest = taps.first.iter().max().copied().unwrap_or(0) + taps.n_taps as isize;
        let start = (periods.start * taps.stride) as isize + lowest;
        let end = ((periods.end - 1) * taps.stride) as isize + highest;
        let exists = |column: isize| usize::try_from(column).unwrap_or(0).min(taps.src_len);
        let first = exists(start).min(taps.src_len - 1);
        lines.needed = first..exists(end).max(first + 1);
        lines.pad = (first as isize - start).max(0) as usize;
        lines.raw_length = ((end - start) as usize).next_multiple_of(taps.stride);
        lines.width = periods.len() * taps.n_phases;
        lines.periods = periods;
        lines.n_planes = P;
        lines.clear(self.vertical.n_taps);
    }

    /// Makes sure that `lines` holds what output row `y` needs. `fetch(row, columns, planes)` reads samples of a
    /// source row; rows are asked for once as long as `y` rises.
    pub fn advance<const P: usize>(
        &self,
        lines: &mut Lines,
        y: usize,
        mut fetch: impl FnMut(usize, Range<usize>, [&mut [f32]; P]),
    ) {
        let n_slots = self.vertical.n_taps;
        for row in (0..n_slots).map(self.source_row(y)) {
            if lines.tags[row % n_slots] != Some(row) {
                self.put(lines, row, |columns, planes| fetch(row, columns, planes));
            }
        }
    }

    /// Takes source row `row`, the samples of whose columns `fill` writes, in the place of the oldest. Whoever puts rows
    /// one after the other may ask for an output row when it has put the last of [`Resizer::rows_of`].
    pub fn put<const P: usize>(&self, lines: &mut Lines, row: usize, fill: impl FnOnce(Range<usize>, [&mut [f32]; P])) {
        let slot = row % self.vertical.n_taps;
        lines.tags[slot] = Some(row);
        let inner = lines.pad..lines.pad + lines.needed.len();
        fill(lines.needed.clone(), lines.raw_rows(inner.clone()));
        for plane in 0..P {
            let (raw, work, out) = lines.parts(slot, plane);
            let (first, last) = (raw[inner.start], raw[inner.end - 1]);
            raw[..inner.start].fill(first);
            raw[inner.end..].fill(last);
            self.row(raw, work, out);
        }
    }

    /// Output row `y` of some planes at the columns that `begin` was told, to be summed by a kernel; `advance` came
    /// before. `rows` holds what a kernel cannot sum.
    pub fn sums<'a, const P: usize>(
        &self,
        lines: &'a Lines,
        y: usize,
        planes: [usize; P],
        columns: Range<usize>,
        rows: [&'a mut Vec<f32>; P],
    ) -> Sums<'a, P> {
        let weights = self.vertical.phase(y % self.vertical.n_phases);
        match *weights {
            [a] => Sums(Taken::One(self.sums_of(lines, y, planes, columns, [a]))),
            [a, b] => Sums(Taken::Two(self.sums_of(lines, y, planes, columns, [a, b]))),
            [a, b, c] => Sums(Taken::Three(self.sums_of(lines, y, planes, columns, [a, b, c]))),
            [a, b, c, d] => Sums(Taken::Four(self.sums_of(lines, y, planes, columns, [a, b, c, d]))),
            _ => {
                let mut planes = planes.into_iter();
                Sums::plain(rows.map(|row| {
                    row.resize(columns.len(), 0.0);
                    let plane = planes.next().expect("there are as many rows as planes");
                    self.finish(lines, y, plane, columns.clone(), row);
                    row.as_slice()
                }))
            }
        }
    }

    fn sums_of<'a, const N: usize, const P: usize>(
        &self,
        lines: &'a Lines,
        y: usize,
        planes: [usize; P],
        columns: Range<usize>,
        weights: [f32; N],
    ) -> [Sum<'a, N>; P] {
        let row = self.ring_rows(lines, y, columns);
        planes.map(|plane| {
            let mut rows: [&[f32]; N] = [&[]; N];
            rows.iter_mut().enumerate().for_each(|(k, to)| *to = row(plane, k));
            Sum { rows, weights }
        })
    }

    /// The rows of the ring that output row `y` sums, by plane and tap.
    fn ring_rows<'a>(&self, lines: &'a Lines, y: usize, columns: Range<usize>) -> impl Fn(usize, usize) -> &'a [f32] {
        let n_slots = self.vertical.n_taps;
        let start = columns.start - lines.periods.start * self.horizontal.n_phases;
        let source_row = self.source_row(y);
        move |plane, k| &lines.ring_row(source_row(k) % n_slots, plane)[start..start + columns.len()]
    }

    /// Output row `y` of plane `plane` at the columns that `begin` was told; `advance` came before.
    pub fn finish(&self, lines: &Lines, y: usize, plane: usize, columns: Range<usize>, out: &mut [f32]) {
        let n = columns.len();
        let row = self.ring_rows(lines, y, columns);
        let row = |k| row(plane, k);
        let weights = self.vertical.phase(y % self.vertical.n_phases);
        at_level!(self.kernels, combine(row, weights, &mut out[..n]));
    }

    /// A padded source row, resized horizontally to whole periods.
    fn row(&self, raw: &[f32], work: &mut [f32], out: &mut [f32]) {
        let taps = &self.horizontal;
        let offset = |p: usize| taps.offsets[p];
        let n_periods = out.len() / taps.n_phases;
        match (taps.n_phases, taps.stride) {
            (1, 2) if self.halve(raw, out) => {}
            (2, 1) if taps.n_taps == 4 => {
                let sum = |p| {
                    let raw = &raw[offset(p)..];
                    let weights = array::from_fn(|k| taps.coefs[4 * p + k]);
                    Sum { rows: [raw, &raw[1..], &raw[2..], &raw[3..]], weights }
                };
                at_level!(self.kernels, double(sum(0), sum(1), out));
            }
            (n_phases @ ..=MAX_ROW_PHASES, stride) => {
                let (split, phases) = work.split_at_mut(raw.len());
                if stride > 1 {
                    at_level!(self.kernels, split(raw, stride, split));
                }
                let (length, split) = (raw.len() / stride, if stride > 1 { &*split } else { raw });
                let row = |at: usize| &split[at % stride * length..][at / stride..length];
                if n_phases == 1 {
                    return at_level!(self.kernels, combine(row, taps.phase(0), out));
                }
                for (p, out) in phases.chunks_exact_mut(n_periods).take(n_phases).enumerate() {
                    at_level!(self.kernels, combine(|k| row(offset(p) + k), taps.phase(p), out));
                }
                at_level!(self.kernels, interleave(phases, n_phases, out));
            }
            (_, stride) => at_level!(self.kernels, gather(raw, stride, &taps.offsets, &taps.coefs, out)),
        }
    }

    /// Half a row, in one pass, if the filter has a number of taps that there is a kernel for.
    fn halve(&self, raw: &[f32], out: &mut [f32]) -> bool {
        match *self.horizontal.phase(0) {
            [a, b, c] => at_level!(self.kernels, halve(raw, [a, b, c], out)),
            [a, b, c, d] => at_level!(self.kernels, halve(raw, [a, b, c, d], out)),
            [a, b, c, d, e, f, g] => at_level!(self.kernels, halve(raw, [a, b, c, d, e, f, g], out)),
            [a, b, c, d, e, f, g, h] => at_level!(self.kernels, halve(raw, [a, b, c, d, e, f, g, h], out)),
            _ => return false,
        }
        true
    }

    /// Resizes the output columns and rows of `P` planes: `fetch` reads, `emit(plane, y, row)` takes what comes out.
    pub fn rect<const P: usize>(
        &self,
        columns: Range<usize>,
        rows: Range<usize>,
        scratch: &mut Scratch,
        mut fetch: impl FnMut(usize, Range<usize>, [&mut [f32]; P]),
        mut emit: impl FnMut(usize, usize, Sums<1>),
    ) {
        let Scratch { lines, row } = scratch;
        self.begin::<P>(lines, columns.clone());
        for y in rows {
            self.advance(lines, y, &mut fetch);
            for plane in 0..P {
                emit(plane, y, self.sums(lines, y, [plane], columns.clone(), [row]));
            }
        }
    }

    /// Resizes a whole plane, of one component, of a picture of `format`; codes come out in the low bits.
    pub fn plane(&self, src: PlaneView, format: PixelFormat, mut dst: PlaneMut, scratch: &mut Scratch) {
        let (width, height) = (dst.width(), dst.height());
        let fetch = |y, columns, [row]: [&mut [f32]; 1]| {
            self.kernels.to_values(Codes::of(&src, format, y, columns), Linear::IDENTITY, row);
        };
        self.rect(0..width, 0..height, scratch, fetch, |_, y, sums| {
            let codes = CodesMut::of(&mut dst, y, 0..width);
            self.kernels.sums_to_codes(sums, Addend::Constant(0.0), format.max_code(), codes);
        });
    }
}

/// What [`Resizer::rect`] works in.
#[derive(Default)]
pub struct Scratch {
    lines: Lines,
    row: Vec<f32>,
}

/// [`Kernels::sums_to_codes`] of a plane.
fn sum_to_codes(kernels: Kernels, sum: impl RowSum, addend: Addend, max: u16, codes: CodesMut) {
    for_codes!(addend, codes, max, |base, max, codes| at_level!(kernels, combine_to_codes(sum, base, max, codes)));
}

#[cfg(test)]
mod tests;
