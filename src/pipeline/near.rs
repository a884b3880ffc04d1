//! Reuse of what changed so little that nobody sees it: `--skip near`.
//!
//! Every tile keeps its own copy of the window that its result was computed from, and is reused as long as the frame's
//! window is within a PSNR of that copy, over the window and, more loosely, in each block of 8x8 samples. As the copy
//! changes only when the tile is computed, errors never add up. This bounds what the network gets to see; what comes
//! out is measured by `--verify-skip`.

use crate::frame::pool::AlignedBytes;
use crate::frame::{Packing, Picture, PlaneView};
use crate::head::image::PictureFacts;
use crate::simd::Kernels;
use crate::simd::compare::BLOCK;
use crate::tile::Rect;
use crate::tile::cells::Cells;

/// How much worse than the window a single block may be, in dB: a small thing that moves is not lost in a large still
/// window.
const BLOCK_ALLOWANCE: f64 = 12.0;

/// The copies of all tiles, which are the cells of the survey's map.
pub struct Near {
    picture: PictureFacts,
    /// Planes that the network sees.
    planes: Vec<usize>,
    /// How far a window reaches beyond its tile.
    reach: usize,
    /// Mean squared error allowed over a window and in a block, in squares of what the planes hold.
    limits: (f64, f64),
    columns: usize,
    tiles: Vec<Tile>,
    kernels: Kernels,
    /// Room for the squared errors of a row of blocks.
    errors: Vec<u64>,
}

#[derive(Default)]
struct Tile {
    /// The window's samples, plane by plane and row by row; none before the first result.
    copy: Option<AlignedBytes>,
    /// Squared errors of the tile's own luma samples in the newest frame.
    error: u64,
}

/// How far reused input is from what its results were computed from, in luma.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Kept {
    /// PSNR of the frame; infinite without an error.
    pub frame: f64,
    /// PSNR of the worst tile.
    pub worst_tile: f64,
}

impl Near {
    /// No copies yet; windows reach `reach` pixels beyond their tiles, and must be within `psnr` dB in each of
    /// `planes`.
    pub fn new(picture: PictureFacts, planes: Vec<usize>, cells: &Cells, reach: usize, psnr: f64) -> Self {
        let limit = |psnr: f64| peak(picture).powi(2) / 10f64.powf(psnr / 10.0);
        Near {
            picture,
            planes,
            reach,
            limits: (limit(psnr), limit(psnr - BLOCK_ALLOWANCE)),
            columns: cells.columns(),
            tiles: std::iter::repeat_with(Tile::default).take(cells.columns() * cells.rows()).collect(),
            kernels: Kernels::best(),
            errors: Vec::new(),
        }
    }

    /// Gives the copies up: no tile can be reused before its next result.
    pub fn forget(&mut self) {
        self.tiles.iter_mut().for_each(|tile| tile.copy = None);
    }

    /// Clears those of the dirty tiles that can be reused.
    pub fn judge(&mut self, picture: &Picture, dirty: &mut Cells) {
        for row in 0..dirty.rows() {
            let columns: Vec<usize> = dirty.runs(row).flatten().collect();
            for column in columns {
                let area = dirty.rect(column..column + 1, row..row + 1);
                if self.is_near(picture, row * self.columns + column, area) {
                    dirty.unmark(column, row);
                }
            }
        }
    }

    /// Takes copies for the tiles of an area that is computed from this picture.
    pub fn keep(&mut self, picture: &Picture, cells: &Cells, area: Rect) {
        let (columns, rows) = cells.touched(area);
        for (row, column) in rows.flat_map(|row| columns.clone().map(move |column| (row, column))) {
            let window = self.window(cells.rect(column..column + 1, row..row + 1));
            let parts = self.planes.iter().map(|&plane| part(picture, plane, window));
            let length = parts.clone().map(|part| part_bytes(&part)).sum();
            let tile = &mut self.tiles[row * self.columns + column];
            tile.error = 0;
            let mut copy = &mut tile.copy.get_or_insert_with(|| AlignedBytes::new(length))[..];
            for part in parts {
                for y in 0..part.height() {
                    let row = part.row_bytes(y);
                    let (to, rest) = copy.split_at_mut(row.len());
                    to.copy_from_slice(row);
                    copy = rest;
                }
            }
        }
    }

    /// How near the newest frame is, with all that is reused in it.
    pub fn kept(&self, cells: &Cells) -> Kept {
        let peak = peak(self.picture).powi(2);
        let psnr = |error: u64, pixels: usize| 10.0 * (peak * pixels as f64 / error as f64).log10();
        let worst = self.tiles.iter().enumerate().filter(|(_, tile)| tile.error > 0).map(|(index, tile)| {
            let (row, column) = (index / self.columns, index % self.columns);
            let area = cells.rect(column..column + 1, row..row + 1);
            psnr(tile.error, area.width * area.height)
        });
        Kept {
            worst_tile: worst.fold(f64::INFINITY, f64::min),
            frame: psnr(self.tiles.iter().map(|tile| tile.error).sum(), self.picture.width * self.picture.height),
        }
    }

    fn window(&self, area: Rect) -> Rect {
        area.grown(self.reach).intersect(Rect::new(0, 0, self.picture.width, self.picture.height))
    }

    fn is_near(&mut self, picture: &Picture, index: usize, area: Rect) -> bool {
        let window = self.window(area);
        let Some(copy) = &self.tiles[index].copy else { return false };
        let mut copy = &copy[..];
        let mut own = 0;
        for &plane in &self.planes {
            let here = part(picture, plane, window);
            let (kept, rest) = copy.split_at(part_bytes(&here));
            copy = rest;
            let kept = packed(kept, &here);
            if !is_within(self.kernels, &here, &kept, self.limits, &mut self.errors) {
                return false;
            }
            if plane == 0 {
                let (left, top) = (area.x - window.x, area.y - window.y);
                let (columns, rows) = (left..left + area.width, top..top + area.height);
                let [here, kept] = [here, kept].map(|plane| plane.part(columns.clone(), rows.clone()));
                own = squared_error(self.kernels, &here, &kept, &mut self.errors);
            }
        }
        self.tiles[index].error = own;
        true
    }
}

/// The largest value of a sample as the planes hold it.
fn peak(picture: PictureFacts) -> f64 {
    let format = picture.format;
    let shift = if format.packing == Packing::SemiPlanarHigh { 16 - format.bit_depth } else { 0 };
    f64::from(format.max_code()) * f64::from(1u32 << shift)
}

/// The samples of a plane that an area of luma pixels touches.
fn part(picture: &Picture, plane: usize, area: Rect) -> PlaneView<'_> {
    let format = picture.format();
    let s = format.subsampling().filter(|_| format.is_chroma(plane)).map_or((0, 0), |s| (s.x, s.y));
    let pair = if format.is_chroma(plane) && format.packing != Packing::Planar { 2 } else { 1 };
    let columns = (area.x >> s.0) * pair..area.right().div_ceil(1 << s.0) * pair;
    picture.plane(plane).part(columns, area.y >> s.1..area.bottom().div_ceil(1 << s.1))
}

/// Bytes of the samples alone.
fn part_bytes(part: &PlaneView) -> usize {
    part.width() * part.height() * part.bytes_per_sample()
}

/// A copy of a part's samples without anything between its rows.
fn packed<'a>(bytes: &'a [u8], part: &PlaneView) -> PlaneView<'a> {
    let (width, size) = (part.width(), part.bytes_per_sample());
    PlaneView::new(bytes, width * size, width, part.height(), size).expect("copies are aligned and hold their samples")
}

/// Whether a part is as near to a copy of it as the limits say.
fn is_within(
    kernels: Kernels,
    here: &PlaneView,
    kept: &PlaneView,
    (limit, block_limit): (f64, f64),
    errors: &mut Vec<u64>,
) -> bool {
    let (width, height) = (here.width(), here.height());
    let mut sum = 0;
    for row in 0..height.div_ceil(BLOCK) {
        block_errors(kernels, here, kept, row, errors);
        let n_rows = BLOCK.min(height - row * BLOCK);
        for (block, &error) in errors.iter().enumerate() {
            let n = n_rows * (width - block * BLOCK).min(BLOCK);
            if error as f64 > block_limit * n as f64 {
                return false;
            }
            sum += error;
        }
    }
    sum as f64 <= limit * (width * height) as f64
}

fn squared_error(kernels: Kernels, one: &PlaneView, other: &PlaneView, errors: &mut Vec<u64>) -> u64 {
    let rows = 0..one.height().div_ceil(BLOCK);
    rows.map(|row| {
        block_errors(kernels, one, other, row, errors);
        errors.iter().sum::<u64>()
    })
    .sum()
}

fn block_errors(kernels: Kernels, one: &PlaneView, other: &PlaneView, row: usize, errors: &mut Vec<u64>) {
    errors.clear();
    errors.resize(one.width().div_ceil(BLOCK), 0);
    kernels.block_errors(one, other, row, BLOCK, errors);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{ColorTags, PixelFormat, Pool};

    const SIZE: (usize, usize) = (100, 70);

    fn facts(format: &str) -> PictureFacts {
        let format = PixelFormat::from_name(format).unwrap();
        PictureFacts { format, width: SIZE.0, height: SIZE.1, color: ColorTags::NONE }
    }

    /// A textured picture with something added to the luma codes at some places.
    fn picture(facts: PictureFacts, add: impl Fn(usize, usize) -> u16) -> Picture {
        let mut picture = Pool::new().picture(facts.format, SIZE.0, SIZE.1).unwrap();
        let (size, shift) = (facts.format.bytes_per_sample(), (peak(facts) as u64).trailing_zeros());
        for plane in 0..facts.format.n_planes() {
            let mut to = picture.plane_mut(plane);
            for y in 0..to.height() {
                for x in 0..to.width() {
                    let code = 50 + (x * y) as u16 % 60 + if plane == 0 { add(x, y) } else { 0 };
                    to.row_bytes(y)[x * size..][..size].copy_from_slice(&(code << shift).to_ne_bytes()[..size]);
                }
            }
        }
        picture.freeze()
    }

    fn dirty_of(near: &mut Near, cells: &Cells, picture: &Picture) -> Vec<(usize, usize)> {
        let mut dirty = cells.clone();
        dirty.fill();
        near.judge(picture, &mut dirty);
        (0..dirty.rows()).flat_map(|y| dirty.runs(y).flatten().map(move |x| (x, y)).collect::<Vec<_>>()).collect()
    }

    #[test]
    fn a_tile_is_dirty_when_its_window_is_further_than_allowed() {
        for (format, unit) in [("yuv420p", 1), ("yuv444p10le", 4), ("nv12", 1), ("p010le", 4)] {
            let facts = facts(format);
            let cells = Cells::new(SIZE, (32, 32));
            let planes = (0..facts.format.n_planes()).collect();
            let mut near = Near::new(facts, planes, &cells, 10, 48.0);
            let still = picture(facts, |_, _| 0);
            assert_eq!(dirty_of(&mut near, &cells, &still).len(), 12, "{format}: nothing is known at first");
            near.keep(&still, &cells, Rect::new(0, 0, SIZE.0, SIZE.1));
            assert_eq!(dirty_of(&mut near, &cells, &still), [], "{format}");
            assert_eq!(near.kept(&cells).frame, f64::INFINITY);
            // One code everywhere is 48.13 dB (20 log10 255; at 10 bits four codes are 48.16 dB).
            let one = picture(facts, |_, _| unit);
            assert_eq!(dirty_of(&mut near, &cells, &one), [], "{format}");
            let kept = near.kept(&cells);
            assert!((kept.frame - 48.13).abs() < 0.04 && (kept.worst_tile - 48.13).abs() < 0.04, "{kept:?}");
            // A block of 8x8 that is 5 codes off, 34 dB, in the tiles whose windows hold it; the whole is far nearer.
            let spot = picture(facts, |x, y| if (64..72).contains(&x) && (8..16).contains(&y) { 5 * unit } else { 0 });
            assert_eq!(dirty_of(&mut near, &cells, &spot), [(1, 0), (2, 0)], "{format}");
        }
    }

    #[test]
    fn errors_do_not_add_up() {
        let facts = facts("gray");
        let cells = Cells::new(SIZE, (32, 32));
        let mut near = Near::new(facts, vec![0], &cells, 10, 45.0);
        near.keep(&picture(facts, |_, _| 0), &cells, Rect::new(0, 0, SIZE.0, SIZE.1));
        // 45 dB is 1.43 codes: a fade of a code a frame is followed every second frame, and never falls behind.
        for step in 1..20 {
            let frame = picture(facts, |_, _| step);
            let dirty = dirty_of(&mut near, &cells, &frame);
            assert_eq!(dirty.len(), if step % 2 == 0 { 12 } else { 0 }, "{step}");
            if !dirty.is_empty() {
                near.keep(&frame, &cells, Rect::new(0, 0, SIZE.0, SIZE.1));
            }
            assert!(near.kept(&cells).worst_tile > 45.0);
        }
    }
}
