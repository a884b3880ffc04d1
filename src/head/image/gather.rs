//! From planes to rows of the network's picture, and to a tensor of them.

use std::ops::Range;

use super::colors::ColorRows;
use super::{ImageHead, Route, Scratch, misuse};
use crate::error::Result;
use crate::frame::{Packing, Picture};
use crate::head::tensor_row::{self, RowIndex, in_rgb_order};
use crate::model::Tensor;
use crate::simd::Kernels;
use crate::simd::luma::{Codes, Linear};
use crate::simd::resize::{Lines, Sums};
use crate::tile::Rect;

/// A window's way from planes to rows as the network takes them.
pub struct ToRows<'a> {
    head: &'a ImageHead,
    source: &'a Picture,
    window: Rect,
    /// Those of the window that the picture has.
    columns: Range<usize>,
    scratch: &'a mut ToScratch,
}

/// Working memory of [`ToRows`].
#[derive(Default)]
pub struct ToScratch {
    lines: Lines,
    /// Chroma rows on their way.
    rows: [Vec<f32>; 2],
    colors: ColorRows,
}

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
        let port = &self.network.input;
        self.check_tensor(tensor, port, item, window)?;
        let Scratch { to, input, .. } = scratch;
        let mut rows = ToRows::new(self, picture, window, to)?;
        for y in 0..window.height {
            tensor_row::write(tensor, port, RowIndex { item, y }, input, |channels| rows.read(y, channels));
        }
        Ok(())
    }
}

impl<'a> ToRows<'a> {
    /// The way of a window of `source`.
    pub fn new(head: &'a ImageHead, source: &'a Picture, window: Rect, scratch: &'a mut ToScratch) -> Result<Self> {
        head.check_picture(source)?;
        let inside = window.intersect(Rect::new(0, 0, source.width(), source.height()));
        if inside.width == 0 || inside.height == 0 {
            return Err(misuse(format!("{window:?} lies outside of the picture")));
        }
        let columns = inside.x..inside.right();
        // Gray pictures keep these zeros.
        for row in &mut scratch.rows {
            row.clear();
            row.resize(columns.len(), 0.0);
        }
        if let Some(chroma) = head.chroma_route() {
            chroma.up.begin::<2>(&mut scratch.lines, columns.clone());
        }
        Ok(ToRows { head, source, window, columns, scratch })
    }

    /// Width and height of the window.
    pub fn size(&self) -> (usize, usize) {
        (self.window.width, self.window.height)
    }

    /// Writes row `y` of the window, a slice a channel in the network's order. Where the window reaches beyond the
    /// picture, the last column and row are repeated. Rows are best asked for from top to bottom.
    pub fn read(&mut self, y: usize, channels: &mut [&mut [f32]]) {
        let ToRows { head, source, columns, .. } = self;
        let (kernels, inside) = (head.kernels, columns.len());
        let y = (self.window.y + y).min(source.height() - 1);
        let codes = Codes::of(&source.plane(0), source.format(), y, columns.clone());
        match (&head.route, &mut *channels) {
            (Route::Luma { there, .. }, [row]) => kernels.to_values(codes, *there, &mut row[..inside]),
            (Route::Rgb(route), [a, b, c]) => {
                let ToScratch { lines, rows: [cb, cr], .. } = &mut *self.scratch;
                let sums = match &route.chroma {
                    Some(chroma) => {
                        let line = Linear { from: route.neutral, ..Linear::IDENTITY };
                        chroma.up.advance(lines, y, |row, columns, planes| {
                            read_chroma(kernels, source, row, columns, line, planes);
                        });
                        chroma.up.sums(lines, y, [0, 1], columns.clone(), [cb, cr])
                    }
                    None => Sums::plain([cb, cr]),
                };
                let rgb = in_rgb_order(&head.network.input, [a, b, c]);
                kernels.to_rgb(&route.to_rgb, codes, sums, rgb.map(|row| &mut row[..inside]));
            }
            (Route::Colors(colors), [row]) => {
                let rows = &mut self.scratch.colors;
                colors.read_luma(head, source, (y, columns.clone()), rows, &mut row[..inside]);
            }
            (Route::Colors(colors), [a, b, c]) => {
                let rgb = in_rgb_order(&head.network.input, [a, b, c]).map(|row| &mut row[..inside]);
                colors.read_rgb(head, source, (y, columns.clone()), rgb);
            }
            (_, channels) => unreachable!("{} channels, unlike the network's", channels.len()),
        }
        for row in channels {
            let last = row[inside - 1];
            row[inside..].fill(last);
        }
    }
}

/// A row of both chroma planes, whichever way they lie.
pub(in crate::head) fn read_chroma(
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
