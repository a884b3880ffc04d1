//! A plain grid of windows of one size that covers a picture.
//!
//! Cores partition the picture. Each window holds its core and a halo around it, except where the picture ends: there
//! the window is slid inside, so that a network's own padding meets the true edge and nothing else. A picture whose
//! size is not a multiple of what the network needs counts as padded up to it on the right and at the bottom, by whoever reads
//! the window's pixels.

use super::Rect;
use crate::error::{Error, Kind, Result};

/// A window and the part of it whose output is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tile {
    /// What the network is run on; may reach past the right and bottom of a picture that is padded.
    pub window: Rect,
    /// What is kept; inside the window and inside the picture.
    pub core: Rect,
}

/// What decides a grid; sizes are (width, height).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Grid {
    /// The picture's size.
    pub picture: (usize, usize),
    /// The windows' size; multiples of `multiple_of`.
    pub window: (usize, usize),
    /// Pixels that a window holds around its core, except beyond the picture's edges.
    pub halo: usize,
    /// Window offsets are multiples of this, and so is the picture's size after padding.
    pub multiple_of: usize,
    /// Borders between cores are multiples of this, and so are the offsets of windows that are not slid inside.
    pub alignment: usize,
}

impl Grid {
    /// The windows, row by row.
    pub fn tiles(&self) -> Result<Vec<Tile>> {
        let columns = self.spans(self.picture.0, self.window.0)?;
        let rows = self.spans(self.picture.1, self.window.1)?;
        let tile = |row: &Span, column: &Span| Tile {
            window: Rect::new(column.start, row.start, self.window.0, self.window.1),
            core: Rect::new(column.core, row.core, column.core_length, row.core_length),
        };
        Ok(rows.iter().flat_map(|row| columns.iter().map(move |column| tile(row, column))).collect())
    }

    fn spans(&self, length: usize, window: usize) -> Result<Vec<Span>> {
        let padded = length.next_multiple_of(self.multiple_of);
        if window >= padded {
            return Ok(vec![Span { start: 0, core: 0, core_length: length }]);
        }
        let down = |position: usize| position / self.alignment * self.alignment;
        let mut spans = Vec::new();
        let mut core = 0;
        while core < length {
            let start = down(core.saturating_sub(self.halo)).min(padded - window);
            let at_end = start + window >= padded;
            let end = if at_end { length } else { down((start + window).saturating_sub(self.halo)) };
            if end <= core || !window.is_multiple_of(self.multiple_of) {
                let message = format!(
                    "windows of {window} pixels leave nothing of a side of {length} with a halo of {} and an \
                     alignment of {}; try larger windows (--tile)",
                    self.halo, self.alignment
                );
                return Err(Error::new(Kind::Network, message));
            }
            spans.push(Span { start, core, core_length: end - core });
            core = end;
        }
        Ok(spans)
    }
}

/// A window and its core along one axis.
struct Span {
    start: usize,
    core: usize,
    core_length: usize,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn cores_partition_the_picture_and_windows_hold_them(
            width in 1usize..200, height in 1usize..200, multiple_of in prop::sample::select(vec![1usize, 2, 3, 4, 8]),
            columns in 1usize..20, rows in 1usize..20, halo in 0usize..12, chroma in 1usize..3,
        ) {
            let (window_width, window_height) = (columns * multiple_of, rows * multiple_of);
            let alignment = if multiple_of.is_multiple_of(chroma) { multiple_of } else { multiple_of * chroma };
            let picture = (width, height);
            let grid = Grid { picture, window: (window_width, window_height), halo, multiple_of, alignment };
            let Ok(tiles) = grid.tiles() else {
                // A refusal is right only where a window of two halos and the rounding leaves no core.
                prop_assert!(window_width.min(window_height) < 2 * halo + 3 * alignment);
                return Ok(());
            };
            let padded = Rect::new(0, 0, width.next_multiple_of(multiple_of), height.next_multiple_of(multiple_of));
            let mut covered = vec![0u8; width * height];
            for Tile { window, core } in tiles {
                prop_assert_eq!((window.width, window.height), (window_width, window_height));
                prop_assert!(Rect::new(0, 0, width, height).contains(core));
                prop_assert!(window.contains(core.grown(halo).intersect(padded)));
                prop_assert!(window.right() <= padded.right() || window.x == 0);
                prop_assert!(window.bottom() <= padded.bottom() || window.y == 0);
                prop_assert!(window.x.is_multiple_of(multiple_of) && window.y.is_multiple_of(multiple_of));
                prop_assert!(core.x.is_multiple_of(alignment) && core.y.is_multiple_of(alignment));
                for y in core.y..core.bottom() {
                    for x in core.x..core.right() {
                        covered[y * width + x] += 1;
                    }
                }
            }
            prop_assert!(covered.iter().all(|&n| n == 1));
        }
    }

    #[test]
    fn a_window_without_room_for_a_core_is_refused() {
        let grid = Grid { picture: (100, 100), window: (16, 16), halo: 8, multiple_of: 1, alignment: 2 };
        let error = grid.tiles().unwrap_err();
        assert!(error.to_string().contains("windows of 16 pixels"), "{error}");
    }
}
