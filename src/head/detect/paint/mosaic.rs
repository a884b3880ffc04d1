//! A part of a plane reduced to a few cells, and filled again from them alone.
//!
//! Each cell is the rounded mean of its samples. Exact integers throughout; what is between the centres of cells is
//! rounded once.

use std::ops::Range;

use crate::frame::{Packing, Picture, PlaneMut, PlaneView};
use crate::tile::Rect;

/// Cells along the longer side of an area, at most.
const MAX_CELLS: usize = 8;

/// The least side of a cell, in luma pixels; an area that is smaller is one cell.
const LEAST_SIDE: usize = 4;

/// What an area shows of its cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filling {
    /// Each is one colour.
    Flat,
    /// Colours go over into each other, from centre to centre.
    Smooth,
}

/// Cells beside each other and one below the other for an area of luma pixels: about square.
pub fn n_cells(area: Rect) -> (usize, usize) {
    let side = area.width.max(area.height).div_ceil(MAX_CELLS).max(LEAST_SIDE);
    let along = |length: usize| ((length + side / 2) / side).min(length / LEAST_SIDE).max(1);
    (along(area.width), along(area.height))
}

/// The samples of a component, wherever a format keeps them.
#[derive(Clone, Copy)]
pub struct Samples<'a> {
    plane: PlaneView<'a>,
    /// Where the first of a row is, and how far it is from one to the next.
    first: usize,
    step: usize,
    /// Bits below a value.
    shift: u8,
}

impl<'a> Samples<'a> {
    /// Those that are a plane of their own in the planar format.
    pub fn of(picture: &'a Picture, planar_plane: usize) -> Samples<'a> {
        let format = picture.format();
        let is_pair = format.packing != Packing::Planar && planar_plane > 0;
        let (plane, first, step) = if is_pair { (1, planar_plane - 1, 2) } else { (planar_plane, 0, 1) };
        let shift = if format.packing == Packing::SemiPlanarHigh { 16 - format.bit_depth } else { 0 };
        Samples { plane: picture.plane(plane), first, step, shift }
    }

    /// The sum of some of a row.
    fn sum(self, y: usize, columns: Range<usize>) -> u64 {
        let from = self.first + columns.start * self.step;
        let to = from + (columns.len() - 1) * self.step + 1;
        match self.plane.bytes_per_sample() {
            1 => sum(&self.plane.row_bytes(y)[from..to], self.step, 0),
            _ => sum(&self.plane.row_u16(y)[from..to], self.step, self.shift),
        }
    }
}

/// Fills the samples of `out` in these columns and rows from `n_cells` means of the same samples of `source`.
pub fn fill(
    source: Samples,
    (columns, rows): (Range<usize>, Range<usize>),
    n_cells: (usize, usize),
    filling: Filling,
    out: &mut PlaneMut,
) {
    let (columns, rows) = (edges(columns, n_cells.0), edges(rows, n_cells.1));
    let means = means(source, &columns, &rows);
    let (across, down) = (shares(&columns, filling), shares(&rows, filling));
    let mut line = vec![0; n_cells.0];
    for (y, share) in (rows[0]..).zip(down) {
        let (above, below) = (&means[share.cell * n_cells.0..], &means[share.next * n_cells.0..]);
        for (value, (above, below)) in line.iter_mut().zip(above.iter().zip(below)) {
            *value = above * (share.of - share.part) + below * share.part;
        }
        let values = across.iter().map(|x| {
            let sum = line[x.cell] * (x.of - x.part) + line[x.next] * x.part;
            let of = x.of * share.of;
            (sum + of / 2) / of
        });
        write(out, y, columns[0], values);
    }
}

/// A sample between two cells: `part / of` of the next one, the rest of the first.
struct Share {
    cell: usize,
    next: usize,
    part: u64,
    of: u64,
}

/// Where `n` cells begin, and where the last one ends. None is empty, since they are no more than the samples.
fn edges(range: Range<usize>, n: usize) -> Vec<usize> {
    (0..=n).map(|cell| range.start + cell * range.len() / n).collect()
}

/// Of which cells the samples between the first and the last edge consist.
fn shares(edges: &[usize], filling: Filling) -> Vec<Share> {
    // In halves of a sample, as the centre of sample `at` is 2 at + 1.
    let centre = |cell: usize| edges[cell] + edges[cell + 1];
    let last = edges.len() - 2;
    let mut cell = 0;
    let share = |at: usize| {
        let is_past = |cell: usize| match filling {
            Filling::Flat => at >= edges[cell + 1],
            Filling::Smooth => 2 * at + 1 >= centre(cell + 1),
        };
        while cell < last && is_past(cell) {
            cell += 1;
        }
        if filling == Filling::Flat || cell == last || 2 * at + 1 < centre(cell) {
            return Share { cell, next: cell, part: 0, of: 1 };
        }
        let (part, of) = (2 * at + 1 - centre(cell), centre(cell + 1) - centre(cell));
        Share { cell, next: cell + 1, part: part as u64, of: of as u64 }
    };
    (edges[0]..edges[last + 1]).map(share).collect()
}

/// The rounded means of the cells, row by row.
fn means(source: Samples, columns: &[usize], rows: &[usize]) -> Vec<u64> {
    let mut means = Vec::with_capacity((columns.len() - 1) * (rows.len() - 1));
    for rows in rows.windows(2) {
        for columns in columns.windows(2) {
            let sum: u64 = (rows[0]..rows[1]).map(|y| source.sum(y, columns[0]..columns[1])).sum();
            let n = ((rows[1] - rows[0]) * (columns[1] - columns[0])) as u64;
            means.push((sum + n / 2) / n);
        }
    }
    means
}

/// The sum of every `step`-th value, without the bits below it.
fn sum<T: Copy + Into<u64>>(row: &[T], step: usize, shift: u8) -> u64 {
    match step {
        1 => row.iter().map(|code| (*code).into() >> shift).sum(),
        _ => row.iter().step_by(step).map(|code| (*code).into() >> shift).sum(),
    }
}

/// Writes values, which are means of codes and fit, from column `x` on.
fn write(plane: &mut PlaneMut, y: usize, x: usize, values: impl Iterator<Item = u64>) {
    match plane.bytes_per_sample() {
        1 => plane.row_bytes(y)[x..].iter_mut().zip(values).for_each(|(to, value)| *to = value as u8),
        _ => plane.row_u16(y)[x..].iter_mut().zip(values).for_each(|(to, value)| *to = value as u16),
    }
}
