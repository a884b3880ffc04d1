//! The region of interest: how much each pixel of the input wants the network, from 0 (not at all) to 255.
//!
//! It is the union of rectangles and of masks, whose gray values are weights and which are stretched to the picture.
//! Towards its border the region fades over [`FEATHER`] pixels, inwards, so that nothing outside is touched and
//! everything further inside is the network's alone. Where the picture ends nothing fades.

use xxhash_rust::xxh3::xxh3_128;

use super::Rect;
use super::cells::Cells;
use crate::error::{Error, Kind, Result};

/// Pixels over which a region fades, counted from the first pixel outside.
pub const FEATHER: usize = 8;

/// A length in pixels, or as a share of the picture's side.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Length {
    /// Pixels.
    Pixels(f64),
    /// Percent.
    Percent(f64),
}

impl Length {
    fn of(self, side: usize) -> f64 {
        match self {
            Length::Pixels(pixels) => pixels,
            Length::Percent(percent) => percent / 100.0 * side as f64,
        }
    }
}

/// A rectangle as a person says it: left, top, width, height.
pub type Area = [Length; 4];

/// The pixels that an area of a picture touches; of size 0 if none.
pub fn pixels(area: Area, picture: (usize, usize)) -> Rect {
    let [left, top] = [area[0].of(picture.0), area[1].of(picture.1)];
    let [right, bottom] = [left + area[2].of(picture.0), top + area[3].of(picture.1)];
    // Ten percent of 640 is 64 and not 64.00000001.
    let down = |position: f64| (position + 1e-6).floor() as usize;
    let up = |position: f64| (position - 1e-6).ceil().max(0.0) as usize;
    let (x, y) = (down(left), down(top));
    Rect { x, y, width: up(right).saturating_sub(x), height: up(bottom).saturating_sub(y) }
        .intersect(Rect::new(0, 0, picture.0, picture.1))
}

/// Gray values of any size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mask {
    /// Pixels a row, 1 or more.
    pub width: usize,
    /// Rows, 1 or more.
    pub height: usize,
    /// Row by row, 255 for all of the network.
    pub values: Vec<u8>,
}

/// The weights of all pixels of a picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roi {
    size: (usize, usize),
    weights: Vec<u8>,
}

impl Roi {
    /// The union of rectangles and masks over a picture; an error if nothing of it is left.
    pub fn new(size: (usize, usize), rects: &[Rect], masks: &[Mask]) -> Result<Roi> {
        let mut weights = vec![0; size.0 * size.1];
        for rect in rects {
            let rect = rect.intersect(Rect::new(0, 0, size.0, size.1));
            (rect.y..rect.bottom()).for_each(|y| weights[y * size.0..][rect.x..rect.right()].fill(255));
        }
        for mask in masks {
            stretch(mask, size, &mut weights);
        }
        feather(&mut weights, size);
        if weights.iter().all(|&weight| weight == 0) {
            let message =
                format!("no pixel of the {}x{} picture lies in the region; name a part of it", size.0, size.1);
            return Err(Error::new(Kind::Usage, message));
        }
        Ok(Roi { size, weights })
    }

    /// The share of the picture's pixels that lie in the region.
    pub fn share(&self) -> f64 {
        self.weights.iter().filter(|&&weight| weight > 0).count() as f64 / self.weights.len() as f64
    }

    /// A hash of all weights.
    pub fn hash(&self) -> u128 {
        xxh3_128(&self.weights)
    }

    /// The weights of a row of pixels.
    pub fn row(&self, y: usize) -> &[u8] {
        &self.weights[y * self.size.0..][..self.size.0]
    }

    /// Whether an area is the network's alone.
    pub fn is_inside(&self, area: Rect) -> bool {
        (area.y..area.bottom()).all(|y| self.row(y)[area.x..area.right()].iter().all(|&weight| weight == 255))
    }

    /// The cells, `side` pixels wide and high, that hold any pixel of the region.
    pub fn cells(&self, side: usize) -> Cells {
        self.cells_where(side, |weight| weight > 0)
    }

    /// The cells that hold any pixel that is not the network's alone.
    pub fn rest(&self, side: usize) -> Cells {
        self.cells_where(side, |weight| weight < 255)
    }

    fn cells_where(&self, side: usize, is_meant: impl Fn(u8) -> bool) -> Cells {
        let mut cells = Cells::new(self.size, (side, side));
        for y in 0..self.size.1 {
            for (column, weights) in self.row(y).chunks(side).enumerate() {
                if weights.iter().any(|&weight| is_meant(weight)) {
                    cells.mark_cells(column..column + 1, y / side..y / side + 1);
                }
            }
        }
        cells
    }
}

/// Raises weights to those of a mask that is stretched over the picture, bilinearly, centre on centre.
fn stretch(mask: &Mask, size: (usize, usize), weights: &mut [u8]) {
    // The two nearest samples, and the second one's share.
    let place = |at: usize, length: usize, mask: usize| {
        let position = ((at as f64 + 0.5) * mask as f64 / length as f64 - 0.5).clamp(0.0, (mask - 1) as f64);
        let first = position as usize;
        (first, (first + 1).min(mask - 1), position - first as f64)
    };
    let columns: Vec<_> = (0..size.0).map(|x| place(x, size.0, mask.width)).collect();
    for (y, row) in weights.chunks_exact_mut(size.0).enumerate() {
        let (top, bottom, down) = place(y, size.1, mask.height);
        let value = |x: usize, y: usize| f64::from(mask.values[y * mask.width + x]);
        for (weight, &(left, right, along)) in row.iter_mut().zip(&columns) {
            let across = |y| value(left, y) * (1.0 - along) + value(right, y) * along;
            let value = across(top) * (1.0 - down) + across(bottom) * down;
            *weight = (*weight).max(value.round() as u8);
        }
    }
}

/// Fades weights by their Chebyshev distance from the nearest pixel outside, in two passes (Rosenfeld and Pfaltz 1966).
fn feather(weights: &mut [u8], (width, height): (usize, usize)) {
    let mut distance: Vec<u8> = weights.iter().map(|&weight| if weight == 0 { 0 } else { FEATHER as u8 }).collect();
    for pass in 0..2 {
        for i in 0..width * height {
            let i = if pass == 0 { i } else { width * height - 1 - i };
            let (x, y) = (i % width, i / width);
            let mut least = distance[i];
            // In the second pass the picture is seen turned around.
            let (left, right) = if pass == 0 { (x > 0, x + 1 < width) } else { (x + 1 < width, x > 0) };
            let above = if pass == 0 { y > 0 } else { y + 1 < height };
            let neighbour = |back: usize| distance[if pass == 0 { i - back } else { i + back }].saturating_add(1);
            if left {
                least = least.min(neighbour(1));
            }
            if above {
                least = least.min(neighbour(width));
                if left {
                    least = least.min(neighbour(width + 1));
                }
                if right {
                    least = least.min(neighbour(width - 1));
                }
            }
            distance[i] = least;
        }
    }
    for (weight, distance) in weights.iter_mut().zip(distance) {
        *weight = (usize::from(*weight) * usize::from(distance) / FEATHER) as u8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_fades_inwards_but_not_at_the_edge_of_the_picture() {
        let size = (64, 48);
        let roi = Roi::new(size, &[Rect::new(0, 20, 40, 28), Rect::new(50, 0, 3, 3)], &[]).unwrap();
        let outside = |x: usize, y: usize| !((x < 40 && y >= 20) || ((50..53).contains(&x) && y < 3));
        for y in 0..48_usize {
            for x in 0..64_usize {
                let distance = (0..48).flat_map(|v| (0..64).map(move |u| (u, v))).filter(|&(u, v)| outside(u, v));
                let distance = distance.map(|(u, v)| x.abs_diff(u).max(y.abs_diff(v))).min().unwrap();
                assert_eq!(usize::from(roi.row(y)[x]), 255 * distance.min(FEATHER) / FEATHER, "{x} {y}");
            }
        }
        assert!(roi.is_inside(Rect::new(0, 27, 33, 21)) && !roi.is_inside(Rect::new(0, 26, 33, 21)));
        assert_eq!(roi.cells(4).pixels(), 40 * 28 + 8 * 4);
        assert!(!roi.rest(4).get(0, 8) && roi.rest(4).get(9, 5));
    }

    #[test]
    fn a_mask_is_stretched_over_the_picture() {
        let mask = Mask { width: 2, height: 1, values: vec![255, 0] };
        let roi = Roi::new((101, 7), &[], &[mask]).unwrap();
        let row = roi.row(3);
        assert_eq!((row[0], row[24], row[76], row[100]), (255, 255, 0, 0));
        assert!(row.windows(2).all(|pair| pair[0] >= pair[1]));
        assert!((120..135).contains(&row[50]));
    }

    #[test]
    fn areas_are_said_in_pixels_or_percent() {
        use Length::{Percent, Pixels};
        let area = [Percent(10.0), Pixels(5.0), Percent(50.0), Percent(100.0)];
        assert_eq!(pixels(area, (640, 360)), Rect::new(64, 5, 320, 355));
        assert_eq!(pixels([Percent(33.4), Pixels(0.0), Percent(0.1), Pixels(1.0)], (100, 9)), Rect::new(33, 0, 1, 1));
        assert_eq!(pixels([Pixels(700.0), Pixels(0.0), Pixels(9.0), Pixels(9.0)], (640, 360)).width, 0);
        let error = Roi::new((640, 360), &[Rect::new(640, 0, 0, 9)], &[]).unwrap_err().to_string();
        assert!(error.contains("no pixel of the 640x360 picture"), "{error}");
    }
}
