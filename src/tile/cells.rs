//! A map of cells over a picture, a bit each: which blocks changed, which area is dirty, which is asked for.
//!
//! Cells are rectangles of one size, those at the right and at the bottom cut where the picture ends. All positions
//! are luma pixels of the picture, so maps of planes with fewer samples go together with maps of luma.

use std::ops::Range;

use super::Rect;

/// A bit for every cell of a picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cells {
    picture: (usize, usize),
    side: (usize, usize),
    columns: usize,
    rows: usize,
    /// Words of 64 bits a row; bits beyond the last column are never set.
    stride: usize,
    words: Vec<u64>,
}

impl Cells {
    /// A map without a set bit, of cells of `side` (width, height) over a picture of this size.
    pub fn new(picture: (usize, usize), side: (usize, usize)) -> Self {
        let (columns, rows) = (picture.0.div_ceil(side.0), picture.1.div_ceil(side.1));
        let stride = columns.div_ceil(64);
        Cells { picture, side, columns, rows, stride, words: vec![0; stride * rows] }
    }

    /// Cells a row.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Rows of cells.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Width and height of a cell in pixels.
    pub fn side(&self) -> (usize, usize) {
        self.side
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.words.fill(0);
    }

    /// Sets all.
    pub fn fill(&mut self) {
        self.mark_cells(0..self.columns, 0..self.rows);
    }

    /// Whether no cell is set.
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|&word| word == 0)
    }

    /// How many cells are set.
    pub fn count(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// How many pixels of the picture lie in set cells.
    pub fn pixels(&self) -> usize {
        (0..self.rows).map(|row| self.runs(row).map(|run| self.area(run, row..row + 1)).sum::<usize>()).sum()
    }

    /// How many pixels of a rectangle, made of whole cells, lie in set ones.
    pub fn pixels_in(&self, area: Rect) -> usize {
        let (columns, rows) = self.touched(area);
        let within = |run: Range<usize>| run.start.max(columns.start)..run.end.min(columns.end);
        let of_row = |row| self.runs(row).map(within).filter(|run| !run.is_empty()).map(move |run| (run, row));
        rows.flat_map(of_row).map(|(run, row)| self.area(run, row..row + 1)).sum()
    }

    fn area(&self, columns: Range<usize>, rows: Range<usize>) -> usize {
        let rect = self.rect(columns, rows);
        rect.width * rect.height
    }

    /// Whether a cell is set.
    pub fn get(&self, column: usize, row: usize) -> bool {
        assert!(column < self.columns && row < self.rows, "cell {column}, {row} of {}x{}", self.columns, self.rows);
        self.words[row * self.stride + column / 64] >> (column % 64) & 1 == 1
    }

    /// The bits of a row of cells, the first column in the lowest bit of the first word.
    pub fn row(&self, row: usize) -> &[u64] {
        &self.words[row * self.stride..][..self.stride]
    }

    /// The bits of a row of cells, to write; bits beyond the last column must stay 0.
    pub fn row_mut(&mut self, row: usize) -> &mut [u64] {
        &mut self.words[row * self.stride..][..self.stride]
    }

    /// Runs of set cells in a row, from left to right.
    pub fn runs(&self, row: usize) -> impl Iterator<Item = Range<usize>> + '_ {
        let words = self.row(row);
        let mut at = 0;
        std::iter::from_fn(move || {
            let start = next(words, at, false)?;
            let end = next(words, start, true).unwrap_or(self.columns).min(self.columns);
            at = end;
            Some(start..end)
        })
    }

    /// The pixels of a block of cells, as far as the picture goes.
    pub fn rect(&self, columns: Range<usize>, rows: Range<usize>) -> Rect {
        let (x, y) = (columns.start * self.side.0, rows.start * self.side.1);
        let right = (columns.end * self.side.0).min(self.picture.0);
        let bottom = (rows.end * self.side.1).min(self.picture.1);
        Rect { x, y, width: right.saturating_sub(x), height: bottom.saturating_sub(y) }
    }

    /// The columns and rows of the cells that a rectangle of pixels touches.
    pub fn touched(&self, area: Rect) -> (Range<usize>, Range<usize>) {
        if area.width == 0 || area.height == 0 {
            return (0..0, 0..0);
        }
        let columns = area.x / self.side.0..area.right().div_ceil(self.side.0).min(self.columns);
        let rows = area.y / self.side.1..area.bottom().div_ceil(self.side.1).min(self.rows);
        (columns, rows)
    }

    /// Sets a block of cells.
    pub fn mark_cells(&mut self, columns: Range<usize>, rows: Range<usize>) {
        for row in rows {
            set(self.row_mut(row), columns.clone());
        }
    }

    /// Clears a cell.
    pub fn unmark(&mut self, column: usize, row: usize) {
        self.row_mut(row)[column / 64] &= !(1 << (column % 64));
    }

    /// Clears every cell that a rectangle of pixels touches.
    pub fn unmark_area(&mut self, area: Rect) {
        let (columns, rows) = self.touched(area);
        rows.for_each(|row| columns.clone().for_each(|column| self.unmark(column, row)));
    }

    /// Sets every cell that a rectangle of pixels touches.
    pub fn mark(&mut self, area: Rect) {
        let (columns, rows) = self.touched(area);
        self.mark_cells(columns, rows);
    }

    /// Sets every cell that a set cell of `other`, grown by `reach` pixels on each side, touches. Both maps are of the
    /// same picture.
    pub fn mark_grown(&mut self, other: &Cells, reach: usize) {
        assert_eq!(self.picture, other.picture, "maps of two pictures");
        let mut line = vec![0; self.stride];
        for row in 0..other.rows {
            line.fill(0);
            let mut touched = 0..0;
            for run in other.runs(row) {
                let area = other.rect(run, row..row + 1).grown(reach);
                let (columns, rows) = self.touched(area);
                set(&mut line, columns);
                touched = rows;
            }
            for row in touched {
                self.row_mut(row).iter_mut().zip(&line).for_each(|(to, from)| *to |= from);
            }
        }
    }

    /// The set cells as rectangles of pixels that do not overlap: runs, joined where rows have the same one.
    pub fn rects(&self) -> Vec<Rect> {
        let mut done = Vec::new();
        // Of the row before: columns and the first row that has them.
        let mut open: Vec<(Range<usize>, usize)> = Vec::new();
        for row in 0..=self.rows {
            let runs: Vec<_> = if row < self.rows { self.runs(row).collect() } else { Vec::new() };
            let mut next = Vec::with_capacity(runs.len());
            for run in runs {
                let begun = open.iter().position(|(columns, _)| *columns == run);
                next.push(begun.map_or((run, row), |index| open.swap_remove(index)));
            }
            done.extend(open.into_iter().map(|(columns, first)| self.rect(columns, first..row)));
            open = next;
        }
        done
    }

    /// Keeps only what is not set in `other`, a map of the same cells.
    pub fn remove(&mut self, other: &Cells) {
        assert_eq!((self.picture, self.side), (other.picture, other.side), "maps of different cells");
        self.words.iter_mut().zip(&other.words).for_each(|(to, from)| *to &= !from);
    }

    /// Keeps only what is set in `other` as well, a map of the same cells.
    pub fn keep(&mut self, other: &Cells) {
        assert_eq!((self.picture, self.side), (other.picture, other.side), "maps of different cells");
        self.words.iter_mut().zip(&other.words).for_each(|(to, from)| *to &= from);
    }

    /// The first and last column of set cells among `columns` of a row.
    pub(super) fn extent(&self, row: usize, columns: Range<usize>) -> Option<(usize, usize)> {
        let words = self.row(row);
        let first = next(words, columns.start, false).filter(|&first| first < columns.end)?;
        let mut at = columns.end - 1;
        loop {
            let below = words[at / 64] << (63 - at % 64);
            if below != 0 {
                return Some((first, at - below.leading_zeros() as usize));
            }
            // There is a set bit at `first`, so this does not pass the row's beginning.
            at = at / 64 * 64 - 1;
        }
    }
}

/// The first bit from `at` on that is set, or clear if `inverted`.
fn next(words: &[u64], at: usize, inverted: bool) -> Option<usize> {
    let flip = if inverted { u64::MAX } else { 0 };
    let mut index = at / 64;
    let mut word = (words.get(index)? ^ flip) & (u64::MAX << (at % 64));
    while word == 0 {
        index += 1;
        word = words.get(index)? ^ flip;
    }
    Some(index * 64 + word.trailing_zeros() as usize)
}

/// Sets a range of bits.
fn set(words: &mut [u64], range: Range<usize>) {
    if range.is_empty() {
        return;
    }
    let (first, last) = (range.start / 64, (range.end - 1) / 64);
    let head = u64::MAX << (range.start % 64);
    let tail = u64::MAX >> (63 - (range.end - 1) % 64);
    if first == last {
        words[first] |= head & tail;
        return;
    }
    words[first] |= head;
    words[first + 1..last].fill(u64::MAX);
    words[last] |= tail;
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn random(picture: (usize, usize), side: (usize, usize), bits: &[usize]) -> Cells {
        let mut cells = Cells::new(picture, side);
        let (columns, rows) = (cells.columns(), cells.rows());
        for bit in bits {
            let (column, row) = (bit % columns, bit / columns % rows);
            cells.mark_cells(column..column + 1, row..row + 1);
        }
        cells
    }

    proptest! {
        #[test]
        fn growing_marks_what_a_set_cell_reaches(
            picture in (1usize..700, 1usize..60), from in (1usize..20, 1usize..20), to in (1usize..20, 1usize..20),
            reach in 0usize..20, bits in prop::collection::vec(any::<usize>(), 0..12),
        ) {
            let other = random(picture, from, &bits);
            let mut grown = Cells::new(picture, to);
            grown.mark_grown(&other, reach);
            for row in 0..grown.rows() {
                for column in 0..grown.columns() {
                    let cell = grown.rect(column..column + 1, row..row + 1);
                    let reached = (0..other.rows()).any(|y| (0..other.columns()).any(|x| {
                        let area = other.rect(x..x + 1, y..y + 1).grown(reach).intersect(cell);
                        other.get(x, y) && area.width > 0 && area.height > 0
                    }));
                    prop_assert_eq!(grown.get(column, row), reached, "{} {}", column, row);
                }
            }
        }

        #[test]
        fn rectangles_cover_every_set_cell_once(
            picture in (1usize..90, 1usize..60), side in (1usize..20, 1usize..20),
            blocks in prop::collection::vec((0usize..90, 0usize..60, 1usize..40, 1usize..40), 0..5),
        ) {
            let mut cells = Cells::new(picture, side);
            let whole = Rect::new(0, 0, picture.0, picture.1);
            blocks.into_iter().for_each(|(x, y, w, h)| cells.mark(Rect::new(x, y, w, h).intersect(whole)));
            let mut again = Cells::new(picture, side);
            let mut pixels = 0;
            for rect in cells.rects() {
                pixels += rect.width * rect.height;
                again.mark(rect);
            }
            prop_assert_eq!(&again, &cells);
            prop_assert_eq!(pixels, cells.pixels());
            prop_assert_eq!(cells.pixels_in(whole), pixels);
            again.remove(&cells);
            prop_assert!(again.is_empty());
        }

        #[test]
        fn runs_and_extents_are_those_of_the_bits(
            width in 1usize..300, bits in prop::collection::vec(any::<usize>(), 0..40), from in 0usize..300, n in 1usize..300,
        ) {
            let cells = random((width, 1), (1, 1), &bits);
            let mut found = vec![false; width];
            for run in cells.runs(0) {
                prop_assert!(run.start == 0 || !cells.get(run.start - 1, 0));
                prop_assert!(run.end == width || !cells.get(run.end, 0));
                found[run].fill(true);
            }
            prop_assert!((0..width).all(|x| cells.get(x, 0) == found[x]));
            prop_assert_eq!(cells.pixels(), cells.count());
            let columns = from.min(width - 1)..(from.min(width - 1) + n).min(width);
            let set: Vec<_> = columns.clone().filter(|&x| cells.get(x, 0)).collect();
            prop_assert_eq!(cells.extent(0, columns), set.first().copied().zip(set.last().copied()));
        }
    }

    #[test]
    fn cells_are_cut_where_the_picture_ends() {
        let mut cells = Cells::new((161, 121), (16, 16));
        assert_eq!((cells.columns(), cells.rows()), (11, 8));
        cells.fill();
        assert_eq!((cells.count(), cells.pixels()), (88, 161 * 121));
        assert_eq!(cells.rect(10..11, 7..8), Rect::new(160, 112, 1, 9));
    }
}
