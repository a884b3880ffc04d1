//! What was computed when and where over a run, small enough for a report however long the run is.

use super::near::Kept;
use super::survey::{Need, Pixels};
use crate::tile::Rect;
use crate::tile::cover::Choice;

/// Shares that are kept at most; of longer runs each is the mean of 2, 4, ... frames.
const MAX_SHARES: usize = 512;

/// Columns and rows of the map of where things were computed, at most.
const MAP: (usize, usize) = (64, 36);

/// What a survey found over a run.
#[derive(Clone, Debug)]
pub struct History {
    /// All pixels by what became of them.
    pub pixels: Pixels,
    /// What the network's part of it costs by the survey's estimate, in whole frames.
    pub cost: f64,
    /// Computed pixels as a share of all.
    pub computed: Shares,
    /// Pixels that were not made anew as a share of all.
    pub reused: Shares,
    /// How often each part of the picture was computed, as a share of all frames, row by row.
    pub map: Vec<f64>,
    /// Columns of the map.
    pub map_columns: usize,
    /// The worst that near reuse accepted; `None` where everything is exact.
    pub kept: Option<Kept>,
    size: (usize, usize),
    n_frames: u64,
}

/// A share of every frame, or means of so many frames.
#[derive(Clone, Debug)]
pub struct Shares {
    /// In order; the last may be of fewer frames.
    pub means: Vec<f64>,
    /// Frames of a mean.
    pub n_frames: u64,
    /// Of the last mean, so far.
    open: (f64, u64),
}

impl Shares {
    fn new() -> Self {
        Shares { means: Vec::new(), n_frames: 1, open: (0.0, 0) }
    }

    fn add(&mut self, share: f64) {
        self.open = (self.open.0 + share, self.open.1 + 1);
        if self.open.1 < self.n_frames {
            return;
        }
        self.close();
        if self.means.len() == MAX_SHARES {
            self.means = self.means.as_chunks::<2>().0.iter().map(|[a, b]| (a + b) / 2.0).collect();
            self.n_frames *= 2;
        }
    }

    fn close(&mut self) {
        if self.open.1 > 0 {
            self.means.push(self.open.0 / self.open.1 as f64);
            self.open = (0.0, 0);
        }
    }
}

impl History {
    /// Nothing yet of pictures of this size.
    pub fn new(size: (usize, usize)) -> Self {
        let map_columns = MAP.0.min(size.0);
        History {
            pixels: Pixels::default(),
            cost: 0.0,
            computed: Shares::new(),
            reused: Shares::new(),
            map: vec![0.0; map_columns * MAP.1.min(size.1)],
            map_columns,
            kept: None,
            size,
            n_frames: 0,
        }
    }

    /// Adds a frame that needed this.
    pub fn add(&mut self, need: &Need, kept: Option<Kept>) {
        self.n_frames += 1;
        self.pixels.add(need.pixels);
        self.cost += need.cost;
        let share = |pixels: u64| pixels as f64 / need.pixels.total.max(1) as f64;
        self.computed.add(share(need.pixels.computed));
        self.reused.add(share(need.pixels.reused));
        match &need.network {
            Choice::Whole => self.add_area(Rect::new(0, 0, self.size.0, self.size.1)),
            Choice::Windows(windows) => windows.iter().for_each(|(_, tile)| self.add_area(tile.core)),
        }
        if let Some(kept) = kept {
            let before = self.kept.unwrap_or(kept);
            self.kept =
                Some(Kept { frame: before.frame.min(kept.frame), worst_tile: before.worst_tile.min(kept.worst_tile) });
        }
    }

    fn add_area(&mut self, area: Rect) {
        let rows = self.map.len() / self.map_columns;
        // Parts of the map whose middle lies in the area.
        let parts = |start: usize, end: usize, n: usize, length: usize| {
            // The middle of part i lies at (2 i + 1) length / 2 n.
            let first = |at: usize| (2 * at * n).saturating_sub(length).div_ceil(2 * length).min(n);
            first(start)..first(end)
        };
        let columns = parts(area.x, area.right(), self.map_columns, self.size.0);
        for row in parts(area.y, area.bottom(), rows, self.size.1) {
            let row = &mut self.map[row * self.map_columns..][..self.map_columns];
            row.get_mut(columns.clone()).into_iter().flatten().for_each(|count| *count += 1.0);
        }
    }

    /// The history at the end of the run.
    #[must_use]
    pub fn end(mut self) -> Self {
        self.computed.close();
        self.reused.close();
        let n_frames = self.n_frames.max(1) as f64;
        self.map.iter_mut().for_each(|count| *count /= n_frames);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tile::grid::Tile;

    fn need(core: Rect, computed: u64) -> Need {
        let network = Choice::Windows(vec![(0, Tile { window: core, core })]);
        let pixels = Pixels { total: 1280 * 720, computed, reused: 1280 * 720 - computed, ..Pixels::default() };
        Need { network, pixels, cost: computed as f64, ..Need::default() }
    }

    #[test]
    fn a_long_run_keeps_its_mean_and_its_places() {
        let mut history = History::new((1280, 720));
        for frame in 0..3000 {
            // The upper left quarter, in every other frame.
            let core = if frame % 2 == 0 { Rect::new(0, 0, 640, 360) } else { Rect::new(0, 0, 0, 0) };
            history.add(&need(core, core.width as u64 * 360), None);
        }
        let history = history.end();
        for (shares, mean) in [(&history.computed, 0.125), (&history.reused, 0.875)] {
            assert!(shares.means.len() <= MAX_SHARES && shares.n_frames == 8);
            assert!(shares.means.iter().all(|share| (share - mean).abs() < 1e-9));
        }
        assert_eq!(history.cost, 1500.0 * 640.0 * 360.0);
        for (index, share) in history.map.iter().enumerate() {
            let is_inside = index % 64 < 32 && index / 64 < 18;
            assert_eq!(*share, if is_inside { 0.5 } else { 0.0 }, "{index}");
        }
    }

    #[test]
    fn small_pictures_have_small_maps() {
        let mut history = History::new((5, 3));
        history.add(&need(Rect::new(0, 0, 5, 3), 15), Some(Kept { frame: 60.0, worst_tile: 50.0 }));
        history.add(&need(Rect::new(4, 2, 1, 1), 1), Some(Kept { frame: 55.0, worst_tile: 52.0 }));
        let history = history.end();
        assert_eq!((history.map.len(), history.map[14], history.map[0]), (15, 1.0, 0.5));
        assert_eq!(history.kept, Some(Kept { frame: 55.0, worst_tile: 50.0 }));
    }
}
