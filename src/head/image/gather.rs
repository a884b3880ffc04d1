//! From planes to a tensor.

use std::ops::Range;

use super::{ImageHead, RgbRoute, Route, Scratch, misuse};
use crate::error::Result;
use crate::frame::{Packing, Picture};
use crate::head::tensor_row::{self, RowIndex};
use crate::model::Tensor;
use crate::simd::Kernels;
use crate::simd::luma::{Codes, Linear};
use crate::simd::resize::Sums;
use crate::tile::Rect;

impl ImageHead {
    /// Writes a window of `picture` into item `item` of the tensor, whose pictures must have the window's size. Where
    /// the window reaches beyond the picture, the last column and row are repeated.
    pub fn gather(
        &self,
        picture: &Picture,
        window: Rect,
        tensor: &mut Tensor,
        item: usize,
        scratch: &mut Scratch,
    ) -> Result<()> {
        self.check_picture(picture)?;
        let port = &self.network.input;
        self.check_tensor(tensor, port, item, window)?;
        let inside = window.intersect(Rect::new(0, 0, picture.width(), picture.height()));
        if inside.width == 0 || inside.height == 0 {
            return Err(misuse(format!("{window:?} lies outside of the picture")));
        }
        match &self.route {
            Route::Luma { there, .. } => {
                let plane = picture.plane(0);
                for y in 0..window.height {
                    let source_y = (window.y + y).min(picture.height() - 1);
                    let codes = Codes::of(&plane, picture.format(), source_y, inside.x..inside.right());
                    tensor_row::write_luma(tensor, port, RowIndex { item, y }, &mut scratch.input, |row| {
                        self.kernels.to_values(codes, *there, &mut row[..inside.width]);
                        repeat_last(row, inside.width);
                    });
                }
            }
            Route::Rgb(route) => self.gather_rgb(route, picture, window, inside, tensor, item, scratch),
        }
        Ok(())
    }

    #[expect(clippy::too_many_arguments, reason = "one call, the second half of `gather`")]
    fn gather_rgb(
        &self,
        route: &RgbRoute,
        picture: &Picture,
        window: Rect,
        inside: Rect,
        tensor: &mut Tensor,
        item: usize,
        scratch: &mut Scratch,
    ) {
        let columns = inside.x..inside.right();
        let plane = picture.plane(0);
        let Scratch { lines, rows: [cb, cr], input, .. } = scratch;
        // Gray pictures keep these zeros.
        for row in [&mut *cb, &mut *cr] {
            row.clear();
            row.resize(inside.width, 0.0);
        }
        if let Some(chroma) = &route.chroma {
            chroma.up.begin::<2>(lines, columns.clone());
        }
        for y in 0..window.height {
            let source_y = (window.y + y).min(picture.height() - 1);
            if let Some(chroma) = &route.chroma {
                let line = Linear { from: route.neutral, ..Linear::IDENTITY };
                chroma.up.advance(lines, source_y, |row, columns, planes| {
                    read_chroma(self.kernels, picture, row, columns, line, planes);
                });
            }
            let sums = match &route.chroma {
                Some(chroma) => chroma.up.sums(lines, source_y, [0, 1], columns.clone(), [&mut *cb, &mut *cr]),
                None => Sums::plain([cb, cr]),
            };
            let codes = Codes::of(&plane, picture.format(), source_y, columns.clone());
            tensor_row::write_rgb(tensor, &self.network.input, RowIndex { item, y }, input, |mut rgb| {
                self.kernels.to_rgb(&route.to_rgb, codes, sums, rgb.each_mut().map(|row| &mut row[..inside.width]));
                for row in rgb {
                    repeat_last(row, inside.width);
                }
            });
        }
    }
}

fn repeat_last(row: &mut [f32], length: usize) {
    let last = row[length - 1];
    row[length..].fill(last);
}

/// A row of both chroma planes, whichever way they lie.
pub(super) fn read_chroma(
    kernels: Kernels,
    picture: &Picture,
    y: usize,
    columns: Range<usize>,
    line: Linear,
    [cb, cr]: [&mut [f32]; 2],
) {
    let format = picture.format();
    if format.packing == Packing::Planar {
        kernels.to_values(Codes::of(&picture.plane(1), format, y, columns.clone()), line, cb);
        kernels.to_values(Codes::of(&picture.plane(2), format, y, columns), line, cr);
    } else {
        let pairs = Codes::of(&picture.plane(1), format, y, 2 * columns.start..2 * columns.end);
        kernels.pairs_to_values(pairs, line, [cb, cr]);
    }
}
