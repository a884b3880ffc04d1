//! The way without tensors: rows of a window straight from the source's plane and straight into the output's.
//!
//! For luma networks of f32, and engines that go row by row. The values are those of `gather` and `scatter`.

use super::{ImageHead, Route, misuse};
use crate::error::Result;
use crate::frame::{Picture, PictureBuf};
use crate::model::Element;
use crate::simd::Kernels;
use crate::simd::luma::{Codes, CodesMut, Linear};
use crate::tile::Rect;

/// A window's way through the network, row by row.
pub struct Rows {
    kernels: Kernels,
    there: Linear,
    back: Linear,
    /// In input pixels.
    window: Rect,
    /// Where the top left corner of what is written lies in the output picture.
    corner: (usize, usize),
    /// In output pixels.
    output_window: Rect,
    /// In output pixels.
    output_core: Rect,
}

impl ImageHead {
    /// Whether windows go without tensors.
    pub fn has_rows(&self) -> bool {
        let floats = self.network.input.element == Element::F32 && self.network.output.element == Element::F32;
        floats && matches!(self.route, Route::Luma { .. })
    }

    /// The way of one window without tensors, for pictures like these, `out` a whole one or of the size of the core's
    /// output; `None` where the network needs tensors.
    pub fn rows(&self, source: &Picture, out: &PictureBuf, window: Rect, core: Rect) -> Result<Option<Rows>> {
        let Route::Luma { there, back } = self.route else { return Ok(None) };
        if !self.has_rows() {
            return Ok(None);
        }
        self.check_picture(source)?;
        let picture = Rect::new(0, 0, source.width(), source.height());
        if !(picture.contains(core) && window.contains(core)) || core.width == 0 || core.height == 0 {
            return Err(misuse(format!("core {core:?} does not lie in window {window:?} and the picture")));
        }
        let scale = self.network.scale;
        let corner = self.corner(out, core.scaled(scale))?;
        Ok(Some(Rows {
            kernels: self.kernels,
            there,
            back,
            window,
            corner,
            output_window: window.scaled(scale),
            output_core: core.scaled(scale),
        }))
    }
}

impl Rows {
    /// Width and height of the window.
    pub fn size(&self) -> (usize, usize) {
        (self.window.width, self.window.height)
    }

    /// Writes row `y` of the window as the network takes it. Where the window reaches beyond the picture, the last
    /// column and row are repeated.
    pub fn read(&self, source: &Picture, y: usize, row: &mut [f32]) {
        let columns = self.window.x..self.window.right().min(source.width());
        let inside = columns.len();
        let y = (self.window.y + y).min(source.height() - 1);
        let codes = Codes::of(&source.plane(0), source.format(), y, columns);
        self.kernels.to_values(codes, self.there, &mut row[..inside]);
        let last = row[inside - 1];
        row[inside..].fill(last);
    }

    /// Puts row `y` of what the network made of the window into `out`, as far as it lies in the core.
    pub fn write(&self, out: &mut PictureBuf, y: usize, row: &[f32]) {
        let (window, core) = (self.output_window, self.output_core);
        let y = window.y + y;
        if (core.y..core.bottom()).contains(&y) {
            let row = &row[core.x - window.x..core.right() - window.x];
            let (max, (left, top)) = (out.format().max_code(), self.corner);
            let mut plane = out.plane_mut(0);
            self.kernels.to_codes(
                row,
                self.back,
                max,
                CodesMut::of(&mut plane, y - top, core.x - left..core.right() - left),
            );
        }
    }
}
