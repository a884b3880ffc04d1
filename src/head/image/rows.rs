//! The way without tensors: rows of a window straight from the source's plane and straight into the output's.
//!
//! For luma networks of f32 and engines that go row by row. The values are those of `gather` and `scatter`, which use
//! the same two functions.

use super::{ImageHead, Route, misuse};
use crate::error::Result;
use crate::frame::{Picture, PictureBuf};
use crate::model::Element;
use crate::simd::luma::{self, Codes, CodesMut, Linear};
use crate::tile::Rect;

/// A window's way through the network, row by row.
pub struct Rows<'a> {
    head: &'a ImageHead,
    lines: [Linear; 2],
    /// In input pixels.
    window: Rect,
    /// In input pixels.
    core: Rect,
}

impl ImageHead {
    /// The way of one window without tensors; `None` where the network needs tensors. Pictures are checked here, once.
    pub fn rows<'a>(
        &'a self,
        source: &Picture,
        out: &PictureBuf,
        window: Rect,
        core: Rect,
    ) -> Result<Option<Rows<'a>>> {
        let Route::Luma { there, back } = self.route else { return Ok(None) };
        if self.network.input.element != Element::F32 || self.network.output.element != Element::F32 {
            return Ok(None);
        }
        self.check_picture(source)?;
        self.check_output(out)?;
        self.check_core(window, core)?;
        if window.intersect(Rect::new(0, 0, source.width(), source.height())).area() == 0 {
            return Err(misuse(format!("{window:?} lies outside of the picture")));
        }
        Ok(Some(Rows { head: self, lines: [there, back], window, core }))
    }
}

impl Rows<'_> {
    /// Writes row `y` of the window as the network takes it.
    pub fn read(&self, source: &Picture, y: usize, row: &mut [f32]) {
        read_luma(source, self.window, y, self.lines[0], row);
    }

    /// Puts row `y` of what the network made of the window into `out`, as far as it lies in the core.
    pub fn write(&self, out: &mut PictureBuf, y: usize, row: &[f32]) {
        let scale = self.head.network.scale;
        let (window, core) = (self.window.scaled(scale), self.core.scaled(scale));
        let y = window.y + y;
        if (core.y..core.bottom()).contains(&y) {
            write_luma(out, core, y, self.lines[1], &row[core.x - window.x..core.right() - window.x]);
        }
    }
}

/// Row `y` of a window; where it reaches beyond the picture, the last column and row are repeated.
pub(super) fn read_luma(picture: &Picture, window: Rect, y: usize, line: Linear, row: &mut [f32]) {
    let columns = window.x..window.right().min(picture.width());
    let inside = columns.len();
    let y = (window.y + y).min(picture.height() - 1);
    luma::to_values(Codes::of(&picture.plane(0), picture.format(), y, columns), line, &mut row[..inside]);
    let last = row[inside - 1];
    row[inside..].fill(last);
}

/// Columns of `core` in row `y` of the output picture.
pub(super) fn write_luma(out: &mut PictureBuf, core: Rect, y: usize, line: Linear, row: &[f32]) {
    let max = out.format().max_code();
    luma::to_codes(row, line, max, CodesMut::of(&mut out.plane_mut(0), y, core.x..core.right()));
}
