//! Which windows to run for what is dirty: the least costly of the plan's few shapes, or the whole frame.
//!
//! The dirty area, a map of cells, is halved by straight cuts until every part fits a window and cutting on would cost
//! more; each part is a core. So cores never overlap, and every dirty cell lies in one. A window holds its core and the
//! halo around it, and is slid inside where the picture ends, as in [`super::grid`]. Where no choice of windows is
//! clearly cheaper than the whole frame, the whole frame it is.

use std::ops::Range;

use super::Rect;
use super::cells::Cells;
use super::grid::Tile;

/// The share of the whole frame's cost that windows may come to at most: estimates are a few percent wrong, and where
/// everything moves nothing may be lost.
const WORTHWHILE: f64 = 0.95;

/// A window's size and what running it costs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    /// Width and height; multiples of what the network needs.
    pub size: (usize, usize),
    /// The cost, in any unit.
    pub cost: f64,
}

/// What every cover of a run has in common; sizes are (width, height).
#[derive(Clone, Debug, PartialEq)]
pub struct Cover {
    /// The picture's size after padding.
    padded: (usize, usize),
    /// Pixels that a window holds around its core.
    halo: usize,
    /// Offsets of windows that are not slid inside are multiples of this.
    alignment: usize,
    /// Smaller than the padded picture, the cheapest first.
    shapes: Vec<Shape>,
    whole_cost: f64,
}

/// How a frame is run.
#[derive(Clone, Debug, PartialEq)]
pub enum Choice {
    /// As a whole.
    Whole,
    /// In these windows, each with the index of its shape.
    Windows(Vec<(usize, Tile)>),
}

impl Cover {
    /// Covers of pictures that are `padded` in size, by windows of these shapes or as a whole for `whole_cost`. Shapes
    /// that leave no room for a cell of the maps, `cell` pixels a side, are not used.
    pub fn new(
        padded: (usize, usize),
        halo: usize,
        alignment: usize,
        cell: usize,
        mut shapes: Vec<Shape>,
        whole_cost: f64,
    ) -> Self {
        let margin = 2 * halo.next_multiple_of(alignment);
        let has_room = |side: usize, length: usize| side <= length && side >= cell + margin;
        shapes.retain(|shape| has_room(shape.size.0, padded.0) && has_room(shape.size.1, padded.1));
        shapes.sort_by(|a, b| a.cost.total_cmp(&b.cost));
        Cover { padded, halo, alignment, shapes, whole_cost }
    }

    /// The shapes that are used, by the indices in a [`Choice`].
    pub fn shapes(&self) -> &[Shape] {
        &self.shapes
    }

    /// What a frame costs that is run as a whole.
    pub fn whole_cost(&self) -> f64 {
        self.whole_cost
    }

    /// What a choice costs.
    pub fn cost(&self, choice: &Choice) -> f64 {
        match choice {
            Choice::Whole => self.whole_cost,
            Choice::Windows(windows) => windows.iter().map(|&(shape, _)| self.shapes[shape].cost).sum(),
        }
    }

    /// Whether windows for so many dirty pixels, in cells of this size, are surely dearer than the whole frame.
    pub fn is_too_much(&self, pixels: f64, cell: (usize, usize)) -> bool {
        let limit = self.whole_cost * WORTHWHILE;
        self.cheapest_pixel(cell).map_or(pixels > 0.0, |cheapest| pixels * cheapest > limit)
    }

    /// Windows for all dirty cells; none where nothing is dirty. `alignment` divides the sides of the cells.
    pub fn choose(&self, dirty: &Cells) -> Choice {
        let limit = self.whole_cost * WORTHWHILE;
        let Some(cheapest_pixel) = self.cheapest_pixel(dirty.side()) else {
            return if dirty.is_empty() { Choice::Windows(Vec::new()) } else { Choice::Whole };
        };
        if dirty.pixels() as f64 * cheapest_pixel > limit {
            return Choice::Whole;
        }
        let mut windows = Vec::new();
        let mut open = Vec::from_iter(bounds(dirty));
        let mut extents = Extents::default();
        let mut cost = 0.0;
        while let Some(part) = open.pop() {
            let one = self.fitting(dirty, &part);
            match self.cut(dirty, &part, &mut extents) {
                Some((halves, parts)) if one.is_none_or(|(shape, _)| halves < self.shapes[shape].cost) => {
                    open.extend(parts);
                }
                _ => {
                    // A part of one cell always fits, so whatever cannot be cut does.
                    let Some((shape, tile)) = one else { return Choice::Whole };
                    cost += self.shapes[shape].cost;
                    windows.push((shape, tile));
                }
            }
            if cost > limit {
                return Choice::Whole;
            }
        }
        Choice::Windows(windows)
    }

    /// The least cost of a pixel of a core.
    fn cheapest_pixel(&self, cell: (usize, usize)) -> Option<f64> {
        let cost = |shape: &Shape| {
            let (width, height) = self.room(shape.size, cell);
            shape.cost / (width * height) as f64
        };
        self.shapes.iter().map(cost).min_by(f64::total_cmp)
    }

    /// The largest core that fits a window wherever it lies, in whole cells.
    fn room(&self, size: (usize, usize), cell: (usize, usize)) -> (usize, usize) {
        let margin = 2 * self.halo.next_multiple_of(self.alignment);
        ((size.0 - margin) / cell.0 * cell.0, (size.1 - margin) / cell.1 * cell.1)
    }

    /// The cheapest window for a part, with the part as its core.
    fn fitting(&self, dirty: &Cells, part: &Part) -> Option<(usize, Tile)> {
        let core = dirty.rect(part.columns.clone(), part.rows.clone());
        let found = self.shapes.iter().enumerate().find_map(|(index, shape)| {
            let x = self.offset(core.x, core.right(), shape.size.0, self.padded.0)?;
            let y = self.offset(core.y, core.bottom(), shape.size.1, self.padded.1)?;
            Some((index, Rect::new(x, y, shape.size.0, shape.size.1)))
        });
        found.map(|(index, window)| (index, Tile { window, core }))
    }

    /// Where a window of this length begins so that it holds a core from `start` to `end` with the halo.
    fn offset(&self, start: usize, end: usize, window: usize, padded: usize) -> Option<usize> {
        let offset = start.saturating_sub(self.halo) / self.alignment * self.alignment;
        let offset = offset.min(padded - window);
        (offset + window >= (end + self.halo).min(padded)).then_some(offset)
    }

    /// About what a part will cost: by the cheapest shape that it fits or can be tiled with.
    fn estimate(&self, dirty: &Cells, part: &Part) -> f64 {
        if let Some((shape, _)) = self.fitting(dirty, part) {
            return self.shapes[shape].cost;
        }
        let (width, height) = (part.columns.len() * dirty.side().0, part.rows.len() * dirty.side().1);
        let tiled = self.shapes.iter().map(|shape| {
            let room = self.room(shape.size, dirty.side());
            (width.div_ceil(room.0) * height.div_ceil(room.1)) as f64 * shape.cost
        });
        tiled.min_by(f64::total_cmp).unwrap_or(self.whole_cost)
    }

    /// The best straight cut through a part: what both halves cost by estimate, and the halves.
    fn cut(&self, dirty: &Cells, part: &Part, extents: &mut Extents) -> Option<(f64, [Part; 2])> {
        extents.measure(dirty, part);
        let mut best: Option<(f64, [Part; 2])> = None;
        let mut consider = |halves: [Part; 2]| {
            let cost = halves.iter().map(|half| self.estimate(dirty, half)).sum();
            if best.as_ref().is_none_or(|(least, _)| cost < *least) {
                best = Some((cost, halves));
            }
        };
        cuts(&extents.columns, part.columns.start, |[a, b]| {
            consider([a, b].map(|half| Part { columns: half.along, rows: half.across }));
        });
        cuts(&extents.rows, part.rows.start, |[a, b]| {
            consider([a, b].map(|half| Part { columns: half.across, rows: half.along }));
        });
        best
    }
}

/// A block of cells with dirty cells at all four sides.
#[derive(Clone, Debug, PartialEq)]
struct Part {
    columns: Range<usize>,
    rows: Range<usize>,
}

/// All dirty cells.
fn bounds(dirty: &Cells) -> Option<Part> {
    let mut part: Option<Part> = None;
    for row in 0..dirty.rows() {
        let Some((first, last)) = dirty.extent(row, 0..dirty.columns()) else { continue };
        part = Some(match part {
            None => Part { columns: first..last + 1, rows: row..row + 1 },
            Some(part) => Part {
                columns: part.columns.start.min(first)..part.columns.end.max(last + 1),
                rows: part.rows.start..row + 1,
            },
        });
    }
    part
}

/// Where dirty cells lie along each line of a part: the first, and the one after the last.
#[derive(Default)]
struct Extents {
    columns: Vec<Range<usize>>,
    rows: Vec<Range<usize>>,
    seen: Vec<u64>,
}

impl Extents {
    fn measure(&mut self, dirty: &Cells, part: &Part) {
        self.rows.clear();
        self.rows.extend(
            part.rows
                .clone()
                .map(|row| dirty.extent(row, part.columns.clone()).map_or(0..0, |(first, last)| first..last + 1)),
        );
        self.columns.clear();
        self.columns.resize(part.columns.len(), 0..0);
        for row in part.rows.clone() {
            self.new_bits(dirty, part, row, row == part.rows.start, |range| *range = row..row + 1);
        }
        for row in part.rows.clone().rev() {
            self.new_bits(dirty, part, row, row + 1 == part.rows.end, |range| range.end = row + 1);
        }
    }

    /// Tells of each column that is dirty in this row for the first time since `is_first`.
    fn new_bits(
        &mut self,
        dirty: &Cells,
        part: &Part,
        row: usize,
        is_first: bool,
        mut tell: impl FnMut(&mut Range<usize>),
    ) {
        let first_word = part.columns.start / 64;
        let words = &dirty.row(row)[first_word..(part.columns.end - 1) / 64 + 1];
        if is_first {
            self.seen.clear();
            self.seen.resize(words.len(), 0);
        }
        for (index, (word, seen)) in words.iter().zip(&mut self.seen).enumerate() {
            let mut new = word & !*seen;
            *seen |= word;
            while new != 0 {
                let column = (first_word + index) * 64 + new.trailing_zeros() as usize;
                new &= new - 1;
                if part.columns.contains(&column) {
                    tell(&mut self.columns[column - part.columns.start]);
                }
            }
        }
    }
}

/// A half of a part, seen along the axis that is cut.
#[derive(Clone)]
struct Half {
    along: Range<usize>,
    across: Range<usize>,
}

/// Tells of the halves for every place to cut: before each dirty line but the first. `lines` are the extents of the
/// lines from `start` on.
fn cuts(lines: &[Range<usize>], start: usize, mut tell: impl FnMut([Half; 2])) {
    let join = |a: &Range<usize>, b: &Range<usize>| match (a.is_empty(), b.is_empty()) {
        (true, _) => b.clone(),
        (_, true) => a.clone(),
        _ => a.start.min(b.start)..a.end.max(b.end),
    };
    // What lies across in all lines from each one on.
    let mut behind = vec![0..0; lines.len() + 1];
    for index in (0..lines.len()).rev() {
        behind[index] = join(&lines[index], &behind[index + 1]);
    }
    let (mut before, mut before_end) = (0..0, 0);
    for (index, line) in lines.iter().enumerate() {
        if line.is_empty() {
            continue;
        }
        if before_end > 0 {
            let first = Half { along: start..start + before_end, across: before.clone() };
            let second = Half { along: start + index..start + lines.len(), across: behind[index].clone() };
            tell([first, second]);
        }
        before = join(&before, line);
        before_end = index + 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Cost as time goes: a little a call, the rest by the pixel.
    fn shape(width: usize, height: usize) -> Shape {
        Shape { size: (width, height), cost: 500.0 + (width * height) as f64 }
    }

    fn area(rect: Rect) -> usize {
        rect.width * rect.height
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]
        #[test]
        fn every_dirty_pixel_lies_in_one_core_and_every_window_holds_its_halo(
            width in 1usize..400, height in 1usize..300, multiple_of in prop::sample::select(vec![1usize, 2, 3, 4, 8]),
            chroma in 1usize..3, halo in 0usize..30, sides in prop::collection::vec((1usize..90, 1usize..90), 0..3),
            rects in prop::collection::vec((0usize..400, 0usize..300, 1usize..60, 1usize..60), 0..6),
        ) {
            let alignment = if multiple_of.is_multiple_of(chroma) { multiple_of } else { multiple_of * chroma };
            let cell = if alignment.is_multiple_of(4) { alignment } else { alignment * 4 };
            let padded = (width.next_multiple_of(multiple_of), height.next_multiple_of(multiple_of));
            let mut dirty = Cells::new((width, height), (cell, cell));
            for (x, y, w, h) in rects {
                dirty.mark(Rect::new(x % width, y % height, w, h).intersect(Rect::new(0, 0, width, height)));
            }
            let shapes = sides.into_iter().map(|(w, h)| shape(w * 4 * multiple_of, h * 4 * multiple_of)).collect();
            let whole_cost = shape(padded.0, padded.1).cost;
            let cover = Cover::new(padded, halo, alignment, cell, shapes, whole_cost);
            let choice = cover.choose(&dirty);
            prop_assert!(cover.cost(&choice) <= whole_cost);
            let Choice::Windows(windows) = choice else {
                prop_assert!(!dirty.is_empty());
                return Ok(());
            };
            let mut covered = vec![0u8; width * height];
            for (index, Tile { window, core }) in windows {
                prop_assert_eq!((window.width, window.height), cover.shapes()[index].size);
                let (picture, padded) = (Rect::new(0, 0, width, height), Rect::new(0, 0, padded.0, padded.1));
                prop_assert!(picture.contains(core) && area(core) > 0);
                prop_assert!(padded.contains(window) && window.contains(core.grown(halo).intersect(padded)));
                prop_assert!(window.x.is_multiple_of(multiple_of) && window.y.is_multiple_of(multiple_of));
                let aligned = |at: usize, end: usize| at == end || at.is_multiple_of(alignment);
                prop_assert!(aligned(core.x, 0) && aligned(core.y, 0));
                prop_assert!(aligned(core.right(), width) && aligned(core.bottom(), height));
                for y in core.y..core.bottom() {
                    covered[y * width + core.x..][..core.width].iter_mut().for_each(|n| *n += 1);
                }
            }
            prop_assert!(covered.iter().all(|&n| n <= 1));
            for row in 0..dirty.rows() {
                for run in dirty.runs(row) {
                    let rect = dirty.rect(run, row..row + 1);
                    for y in rect.y..rect.bottom() {
                        prop_assert!(covered[y * width + rect.x..][..rect.width].iter().all(|&n| n == 1));
                    }
                }
            }
        }
    }

    fn cover(picture: (usize, usize), halo: usize) -> Cover {
        let sides = [32, 96, 224].map(|core| core + 2 * halo.next_multiple_of(2));
        let whole = shape(picture.0, picture.1).cost;
        Cover::new(picture, halo, 2, 4, sides.map(|side| shape(side, side)).to_vec(), whole)
    }

    #[test]
    fn nothing_dirty_costs_nothing_and_all_dirty_is_the_whole() {
        let mut dirty = Cells::new((1280, 720), (4, 4));
        let cover = cover((1280, 720), 12);
        assert_eq!(cover.choose(&dirty), Choice::Windows(Vec::new()));
        dirty.fill();
        assert_eq!(cover.choose(&dirty), Choice::Whole);
    }

    #[test]
    fn areas_far_apart_get_a_window_each_and_large_ones_large_windows() {
        let mut dirty = Cells::new((1280, 720), (4, 4));
        let cover = cover((1280, 720), 12);
        dirty.mark(Rect::new(100, 100, 20, 20));
        dirty.mark(Rect::new(1270, 710, 10, 10));
        dirty.mark(Rect::new(600, 300, 200, 200));
        let Choice::Windows(mut windows) = cover.choose(&dirty) else { panic!("the whole frame for three spots") };
        windows.sort_by_key(|(shape, tile)| (*shape, tile.window.x));
        let shapes: Vec<_> = windows.iter().map(|(shape, _)| *shape).collect();
        assert_eq!(shapes, [0, 0, 2]);
        assert_eq!(windows[1].1, Tile { window: Rect::new(1224, 664, 56, 56), core: Rect::new(1268, 708, 12, 12) });
    }

    #[test]
    fn a_network_that_sees_everything_runs_on_the_whole() {
        let mut dirty = Cells::new((64, 48), (4, 4));
        let cover = Cover::new((64, 48), 0, 1, 4, Vec::new(), 1.0);
        assert_eq!(cover.choose(&dirty), Choice::Windows(Vec::new()));
        dirty.mark(Rect::new(5, 5, 1, 1));
        assert_eq!(cover.choose(&dirty), Choice::Whole);
    }
}
