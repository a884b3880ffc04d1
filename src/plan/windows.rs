//! The windows of a plan: how a whole frame is run, and the few smaller shapes that changed areas are run in.

use super::cost::CostModel;
use super::memory::WindowBytes;
use crate::config::{Region, RunConfig, SkipMode, Tile};
use crate::error::{Error, Kind, Result};
use crate::head::image::ImageHead;
use crate::model::NetworkFacts;
use crate::simd::compare::BLOCK;
use crate::tile::Rect;
use crate::tile::cover::{Cover, Shape};
use crate::tile::grid::{Grid, Tile as Window};
use crate::tile::roi::pixels;

/// Bytes that a window's tensors and the engine's activations may take when nobody says a size: beyond it frames are
/// cut into windows.
const DEFAULT_WINDOW_BYTES: u64 = 4 << 30;

/// The side of the smallest core in pixels: smaller ones are mostly halo.
const SMALLEST: usize = 40;

/// The core of the window for what stands.
const TALL: (usize, usize) = (64, 128);

/// The core of the window for larger areas.
const WIDE: (usize, usize) = (224, 128);

/// The side of a tile that is judged as one where near is enough, about.
const NEAR_TILE: usize = 32;

/// The least rows of a band, in halos.
const LEAST_BAND: usize = 8;

/// How frames are cut.
#[derive(Clone, Debug, PartialEq)]
pub struct Windows {
    /// The windows of a frame that is run as a whole, all of one size.
    pub whole: Vec<Window>,
    /// Width and height of the windows that changed areas are run in; none where frames are always run as a whole.
    pub shapes: Vec<(usize, usize)>,
    /// How many of those go through the network at once, at most, where somebody said that.
    pub batch: Option<usize>,
    /// Pixels that a window holds around its core.
    pub halo: usize,
    /// How far a changed sample changes the output, in luma pixels; `None` for everywhere.
    pub reach: Option<usize>,
    /// The side of the cells that the picture is looked at in.
    pub cell: usize,
    /// Nobody said how frames are to be cut.
    is_free: bool,
    alignment: usize,
    picture: (usize, usize),
    padded: (usize, usize),
}

impl Windows {
    /// Decides for pictures that go through `head`.
    pub fn new(
        config: &RunConfig,
        head: &ImageHead,
        network: &NetworkFacts,
        of_window: WindowBytes,
        workers: usize,
    ) -> Result<Windows> {
        let halo = network.radius.map_or(0, |radius| radius + head.window_halo());
        let alignment = head.alignment();
        // Smaller cells than the blocks that are compared gain nothing.
        let multiple = alignment * (BLOCK / greatest_common_divisor(alignment, BLOCK));
        let cell = if config.skip == SkipMode::Near { NEAR_TILE.next_multiple_of(multiple) } else { multiple };
        let whole = whole(config, head, network, of_window, workers)?;
        let mut windows = Windows {
            shapes: Vec::new(),
            batch: config.batch,
            halo,
            reach: network.radius.map(|radius| radius + head.change_halo()),
            cell,
            is_free: config.tile == Tile::Auto,
            alignment,
            picture: (head.picture().width, head.picture().height),
            padded: head.padded_size(),
            whole,
        };
        windows.shapes = windows.choose_shapes(config, network);
        Ok(windows)
    }

    /// A small square, a tall window for what stands and a wide one for the rest: of the sets that were tried on film
    /// and on screen recordings, the one with the least to compute. Larger ones, as a share of the picture, were worse.
    /// A large region of interest, which changes as a whole where everything moves, is a window instead of the wide one.
    fn choose_shapes(&self, config: &RunConfig, network: &NetworkFacts) -> Vec<(usize, usize)> {
        let is_always_whole = config.skip == SkipMode::Off && config.roi.is_empty();
        let Some(first) = self.whole.first().map(|tile| (tile.window.width, tile.window.height)) else {
            return Vec::new();
        };
        if self.reach.is_none() || is_always_whole || config.tile == Tile::Off {
            return Vec::new();
        }
        if network.fixed_size.is_some() || matches!(config.tile, Tile::Size(_)) {
            return if self.whole.len() > 1 { vec![first] } else { Vec::new() };
        }
        let smallest = SMALLEST / self.cell.min(SMALLEST) * self.cell;
        let margin = 2 * self.halo.next_multiple_of(self.alignment);
        // A window larger than the picture would show the network repeated pixels instead of the true edge.
        let side = |core: usize, padded: usize| {
            let side = (core.next_multiple_of(self.cell) + margin).next_multiple_of(self.alignment);
            side.min(padded)
        };
        let large = self.region(config).filter(|core| core.0 * core.1 > WIDE.0 * WIDE.1).unwrap_or(WIDE);
        let mut shapes: Vec<_> = [(smallest, smallest), TALL, large]
            .into_iter()
            .map(|core| (side(core.0, self.padded.0), side(core.1, self.padded.1)))
            .filter(|size| size.0 * size.1 < first.0 * first.1)
            .collect();
        shapes.dedup();
        shapes
    }

    /// The size of the largest rectangle of interest, with all cells that it touches.
    fn region(&self, config: &RunConfig) -> Option<(usize, usize)> {
        let areas = config.roi.iter().filter_map(|region| match region {
            Region::Area(area) => Some(pixels(*area, self.picture)),
            Region::Mask(_) => None,
        });
        let largest = areas.max_by_key(|area| area.width * area.height)?;
        let cells =
            |from: usize, length: usize| (from + length).next_multiple_of(self.cell) - from / self.cell * self.cell;
        Some((cells(largest.x, largest.width), cells(largest.y, largest.height)))
    }

    /// A window of a size around a place far from the picture's corner and off its middle, with the largest core it can
    /// have.
    pub fn sample(&self, size: (usize, usize)) -> Window {
        let margin = self.halo.next_multiple_of(self.alignment);
        let axis = |size: usize, padded: usize, length: usize| {
            let place = length * 5 / 8 / self.alignment * self.alignment;
            let last = (padded - size) / self.alignment * self.alignment;
            let start = place.saturating_sub(size / 2).next_multiple_of(self.alignment).min(last);
            let core = if start == 0 { 0 } else { start + margin };
            let end = if start + size == padded { length } else { start + size - margin };
            (start, core, end)
        };
        let x = axis(size.0, self.padded.0, self.picture.0);
        let y = axis(size.1, self.padded.1, self.picture.1);
        Window {
            window: Rect::new(x.0, y.0, size.0, size.1),
            core: Rect::new(x.1, y.1, x.2.saturating_sub(x.1), y.2.saturating_sub(y.1)),
        }
    }

    /// Of the windows of a frame that is run as a whole, the one that shares most with samples; none without shapes.
    pub fn whole_sample(&self) -> Option<Window> {
        let core = self.sample(*self.shapes.first()?).core;
        self.whole.iter().max_by_key(|tile| tile.core.intersect(core).n_pixels()).copied()
    }

    /// A frame that is run as a whole in at most `n` bands of full width instead, which are not much more to compute; none
    /// where it is run in windows, or the network looks everywhere.
    pub fn bands(&self, n: usize) -> Vec<Window> {
        let ([_], Some(_), true) = (self.whole.as_slice(), self.reach, self.is_free) else { return Vec::new() };
        let n = n.min(self.picture.1 / (LEAST_BAND * self.halo.max(self.alignment)));
        let cut = |at: usize| self.picture.1 * at / n / self.alignment * self.alignment;
        let band = |at: usize| {
            let (top, bottom) = (cut(at), if at + 1 == n { self.picture.1 } else { cut(at + 1) });
            let start = top.saturating_sub(self.halo) / self.alignment * self.alignment;
            let end = (bottom + self.halo).next_multiple_of(self.alignment).min(self.padded.1);
            Window {
                window: Rect::new(0, start, self.padded.0, end - start),
                core: Rect::new(0, top, self.picture.0, bottom - top),
            }
        };
        (0..n).map(band).collect()
    }

    /// The same where frames are only ever run as a whole.
    #[must_use]
    pub fn without_shapes(&self) -> Windows {
        Windows { shapes: Vec::new(), ..self.clone() }
    }

    /// The choice among these windows at these costs.
    pub fn cover(&self, cost: CostModel) -> Cover {
        let shapes = self.shapes.iter().map(|&size| Shape { size, cost: cost.of(size) }).collect();
        let whole = self.whole.iter().map(|tile| cost.of((tile.window.width, tile.window.height))).sum();
        Cover::new(self.padded, self.halo, self.alignment, self.cell, shapes, whole)
    }
}

fn greatest_common_divisor(a: usize, b: usize) -> usize {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

/// The windows that a frame is run in: the whole frame where the network and the memory allow it.
fn whole(
    config: &RunConfig,
    head: &ImageHead,
    network: &NetworkFacts,
    of_window: WindowBytes,
    workers: usize,
) -> Result<Vec<Window>> {
    let size = (head.picture().width, head.picture().height);
    let padded = head.padded_size();
    let whole = vec![Window { window: Rect::new(0, 0, padded.0, padded.1), core: Rect::new(0, 0, size.0, size.1) }];
    let halo = network.radius.map(|radius| radius + head.window_halo());
    let alignment = head.alignment();
    let side = |core: usize, halo: usize| (core + 2 * halo).next_multiple_of(alignment);
    let window = match (network.fixed_size, config.tile, halo) {
        (Some(fixed), ..) if fixed.0 >= size.0 && fixed.1 >= size.1 => return Ok(whole),
        (Some(fixed), _, Some(_)) => fixed,
        (Some(fixed), _, None) => {
            let message = format!(
                "the network takes {}x{} only and looks at the whole picture, so {}x{} cannot be cut; resize the video",
                fixed.0, fixed.1, size.0, size.1
            );
            return Err(Error::new(Kind::Network, message));
        }
        (None, Tile::Off, _) | (None, Tile::Auto, None) => return Ok(whole),
        (None, Tile::Size(_), None) => {
            let message =
                "--tile needs a network of known reach, and this one looks at the whole picture; leave it out";
            return Err(Error::new(Kind::Usage, message));
        }
        (None, Tile::Size(core), Some(halo)) => {
            // A window larger than the picture would show the network repeated pixels instead of the true edge.
            (side(core, halo).min(padded.0), side(core, halo).min(padded.1))
        }
        (None, Tile::Auto, Some(halo)) => {
            let budget = config.memory.map_or(DEFAULT_WINDOW_BYTES, |memory| memory / 3) / workers.max(1) as u64;
            let fits = |rows: usize| of_window.of((padded.0, rows)) <= budget;
            let known = config.tuning.as_ref().and_then(|tuning| tuning.band).map(|rows| rows.min(padded.1));
            // Bands of full width: few halos, and rows lie together in memory. What was decided before holds, unless this
            // run was told to do with less memory.
            let rows = known.filter(|rows| config.memory.is_none() || fits(*rows)).unwrap_or_else(|| {
                let (mut parts, mut rows) = (1, padded.1);
                while !fits(rows) && rows > 4 * halo.max(16) {
                    parts += 1;
                    rows = side(padded.1.div_ceil(parts), halo).min(padded.1);
                }
                rows
            });
            (padded.0, rows)
        }
    };
    let halo = halo.unwrap_or(0);
    let grid = Grid { picture: size, window, halo, multiple_of: network.multiple_of.max(1), alignment };
    // Nobody can enlarge windows of one size, and the others are somebody's wish.
    grid.tiles().map_err(|error| match network.fixed_size {
        None if matches!(config.tile, Tile::Size(_)) => Error::new(Kind::Usage, error.to_string()),
        Some((width, height)) => {
            let message = format!(
                "the network takes {width}x{height} only, and {halo} pixels on all sides are needed around what is \
                 kept, which leaves too little to cut {}x{}; export it with a free or larger size, or resize the video",
                size.0, size.1
            );
            Error::new(Kind::Network, message)
        }
        None => error,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Tuning;
    use crate::frame::{ColorTags, PixelFormat};
    use crate::head::image::PictureFacts;
    use crate::infer::Working;
    use crate::model::builtin;

    fn windows(config: &RunConfig, network: &NetworkFacts, size: (usize, usize), workers: usize) -> Result<Windows> {
        let format = PixelFormat::from_name("yuv420p").unwrap();
        let facts = PictureFacts { format, width: size.0, height: size.1, color: ColorTags::NONE };
        let head = ImageHead::new(network, facts).unwrap();
        let working = Working { by_rows: false, per_pixel: 300, per_column: 0 };
        Windows::new(config, &head, network, WindowBytes::new(network, &head, working), workers)
    }

    /// Rows of the windows of a 4K frame.
    fn rows(config: &RunConfig, workers: usize) -> usize {
        let network = builtin::find("upscale-x2").unwrap().facts;
        windows(config, &network, (3840, 2160), workers).unwrap().whole[0].window.height
    }

    #[test]
    fn samples_share_much_with_a_window_of_the_whole_frame() {
        let network = builtin::find("upscale-x2").unwrap().facts;
        for multiple_of in [1, 2, 3, 64] {
            let network = NetworkFacts { multiple_of, ..network.clone() };
            for (size, tile) in [((640, 360), Tile::Auto), ((641, 363), Tile::Size(128)), ((270, 290), Tile::Auto)] {
                let windows = windows(&RunConfig { tile, ..RunConfig::default() }, &network, size, 1).unwrap();
                let whole = windows.whole_sample().unwrap();
                assert_eq!(windows.whole.len() > 1, tile != Tile::Auto);
                for &shape in &windows.shapes {
                    let Window { window, core } = windows.sample(shape);
                    assert_eq!((window.width, window.height), shape);
                    assert!(window.contains(core), "{size:?} {shape:?}");
                    assert!(window.right() <= windows.padded.0 && window.bottom() <= windows.padded.1);
                    assert!(window.x.is_multiple_of(windows.alignment) && window.y.is_multiple_of(windows.alignment));
                    let shared = core.intersect(whole.core).n_pixels();
                    assert!(4 * shared >= core.n_pixels(), "{size:?} {shape:?}: {shared} of {core:?}");
                }
            }
        }
    }

    #[test]
    fn nobody_is_told_to_enlarge_windows_of_one_size() {
        let facts = builtin::find("identity").unwrap().facts;
        let network = NetworkFacts { radius: Some(15), fixed_size: Some((16, 16)), ..facts };
        let message = windows(&RunConfig::default(), &network, (64, 64), 1).unwrap_err().to_string();
        assert!(message.starts_with("the network takes 16x16 only, and 15 pixels"), "{message}");
    }

    #[test]
    fn bands_that_were_decided_hold_for_any_number_of_workers() {
        let config = RunConfig::default();
        let (few, many) = (rows(&config, 1), rows(&config, 32));
        assert_eq!(few, 2160);
        assert!(many < 500, "{many}");
        for band in [few, many] {
            let known = config.tuned(Tuning { band: Some(band), ..Tuning::default() });
            assert_eq!([1, 4, 32].map(|workers| rows(&known, workers)), [band; 3]);
        }
        // A person who says how much memory there is has it so.
        let small = RunConfig { memory: Some(1 << 30), ..config.clone() };
        let known = small.tuned(Tuning { band: Some(few), ..Tuning::default() });
        assert_eq!(rows(&known, 4), rows(&small, 4));
        assert!(rows(&small, 4) < few);
    }
}
