//! Reuse of what changed so little that nobody sees it: `--skip near`.
//!
//! Every tile keeps its own copy of the window that its result was computed from, and is reused as long as the frame's
//! window is within a PSNR of that copy, over the window and, more loosely, in each block of 8x8 samples. As the copy
//! changes only when the tile is computed, errors never add up. This bounds what the network gets to see; what comes
//! out is measured by `--verify-skip`.

use std::ops::Range;

use crate::frame::change::BLOCK;
use crate::frame::{Packing, Picture, PlaneView};
use crate::head::image::PictureFacts;
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
}

#[derive(Clone, Default)]
struct Tile {
    /// The window's samples, plane by plane and row by row; empty before the first result.
    copy: Vec<u8>,
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
            tiles: vec![Tile::default(); cells.columns() * cells.rows()],
        }
    }

    /// Gives the copies up: no tile can be reused before its next result.
    pub fn forget(&mut self) {
        self.tiles.iter_mut().for_each(|tile| tile.copy.clear());
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
            let tile = &mut self.tiles[row * self.columns + column];
            tile.error = 0;
            tile.copy.clear();
            for &plane in &self.planes {
                let (bytes, rows) = span(self.picture, plane, window);
                let view = picture.plane(plane);
                rows.for_each(|y| tile.copy.extend_from_slice(&view.row_bytes(y)[bytes.clone()]));
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
        let tile = &mut self.tiles[index];
        let mut copy = tile.copy.as_slice();
        if copy.is_empty() {
            return false;
        }
        let mut own = 0;
        for &plane in &self.planes {
            let (bytes, rows) = span(self.picture, plane, window);
            let (here, rest) = copy.split_at(bytes.len() * rows.len());
            copy = rest;
            let view = picture.plane(plane);
            if !is_within(view, here, (bytes.clone(), rows.clone()), self.limits) {
                return false;
            }
            if plane == 0 {
                let (own_bytes, own_rows) = span(self.picture, plane, area);
                own = own_rows
                    .map(|y| {
                        let kept = &here[(y - rows.start) * bytes.len()..][..bytes.len()];
                        let kept = &kept[own_bytes.start - bytes.start..][..own_bytes.len()];
                        squared_error(&view.row_bytes(y)[own_bytes.clone()], kept, view.bytes_per_sample())
                    })
                    .sum();
            }
        }
        tile.error = own;
        true
    }
}

/// The largest value of a sample as the planes hold it.
fn peak(picture: PictureFacts) -> f64 {
    let format = picture.format;
    let shift = if format.packing == Packing::SemiPlanarHigh { 16 - format.bit_depth } else { 0 };
    f64::from(format.max_code()) * f64::from(1u32 << shift)
}

/// Bytes of a row, and rows, of the samples of a plane that an area of luma pixels touches.
pub(super) fn span(picture: PictureFacts, plane: usize, area: Rect) -> (Range<usize>, Range<usize>) {
    let format = picture.format;
    let s = format.subsampling().filter(|_| format.is_chroma(plane)).map_or((0, 0), |s| (s.x, s.y));
    let pair = if format.is_chroma(plane) && format.packing != Packing::Planar { 2 } else { 1 };
    let sample = pair * format.bytes_per_sample();
    let bytes = (area.x >> s.0) * sample..area.right().div_ceil(1 << s.0) * sample;
    (bytes, area.y >> s.1..area.bottom().div_ceil(1 << s.1))
}

/// Whether bytes of rows of a plane are as near to a copy of them as the limits say.
fn is_within(
    view: PlaneView,
    copy: &[u8],
    (bytes, rows): (Range<usize>, Range<usize>),
    (limit, block_limit): (f64, f64),
) -> bool {
    let size = view.bytes_per_sample();
    let n_samples = bytes.len() / size;
    let mut errors = vec![0u64; n_samples.div_ceil(BLOCK)];
    let mut sum = 0;
    for (index, copied) in copy.chunks(bytes.len() * BLOCK).enumerate() {
        errors.fill(0);
        for (y, copied) in copied.chunks_exact(bytes.len()).enumerate() {
            let row = &view.row_bytes(rows.start + index * BLOCK + y)[bytes.clone()];
            let blocks = row.chunks(BLOCK * size).zip(copied.chunks(BLOCK * size));
            for (error, (a, b)) in errors.iter_mut().zip(blocks) {
                *error += squared_error(a, b, size);
            }
        }
        let n_rows = copied.len() / bytes.len();
        for (block, &error) in errors.iter().enumerate() {
            let n = n_rows * (n_samples - block * BLOCK).min(BLOCK);
            if error as f64 > block_limit * n as f64 {
                return false;
            }
            sum += error;
        }
    }
    sum as f64 <= limit * (n_samples * rows.len()) as f64
}

fn squared_error(a: &[u8], b: &[u8], bytes_per_sample: usize) -> u64 {
    if bytes_per_sample == 1 {
        let square = |(a, b): (&u8, &u8)| u32::from(a.abs_diff(*b)).pow(2);
        return a.iter().zip(b).map(square).sum::<u32>().into();
    }
    let sample = |bytes: &[u8; 2]| u16::from_ne_bytes(*bytes);
    let square = |(a, b): (&[u8; 2], &[u8; 2])| u64::from(sample(a).abs_diff(sample(b))).pow(2);
    a.as_chunks().0.iter().zip(b.as_chunks().0).map(square).sum()
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
