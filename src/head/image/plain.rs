//! What comes out without the network: planes copied where the size is kept, and resized where not.
//!
//! It makes the planes that a network does not make, chroma of luma networks and alpha, and all planes outside of the
//! region of interest. A part gives the same bits as the same part of the whole.

use std::ops::Range;

use super::gather::read_chroma;
use super::scatter::Paper;
use super::{ImageHead, Route, Scratch};
use crate::error::Result;
use crate::frame::{Packing, Picture, PictureBuf};
use crate::simd::luma::{Addend, Codes, Linear};
use crate::simd::resize::Sums;
use crate::tile::Rect;

impl ImageHead {
    /// The planes that the network makes, by their bits.
    pub fn made_planes(&self) -> u8 {
        match &self.route {
            Route::Rgb(_) if self.picture.format.subsampling().is_some() => 0b111,
            Route::Colors(_) => 0b111,
            _ => 0b1,
        }
    }

    /// The planes of an output picture that the network does not make, by their bits.
    pub fn passed_planes(&self) -> u8 {
        !self.made_planes() & ((1 << self.output_format().n_planes()) - 1)
    }

    /// How many luma pixels of the input around an area can change what [`ImageHead::plain`] makes of it.
    pub fn plain_halo(&self) -> usize {
        let s = self.picture.format.subsampling().map_or(0, |s| s.x.max(s.y));
        let reach = |resizer: &Option<_>, log2: u8| {
            let reach = |resizer: &crate::simd::resize::Resizer| resizer.reach().div_ceil(self.network.scale) << log2;
            resizer.as_ref().map_or(0, reach)
        };
        reach(&self.luma, 0).max(reach(&self.chroma, s))
    }

    /// Writes the planes of `out` that the network does not make.
    pub fn finish_planes(&self, source: &Picture, out: &mut PictureBuf, scratch: &mut Scratch) -> Result<()> {
        let whole = Rect::new(0, 0, source.width(), source.height());
        self.plain(source, self.passed_planes(), whole, out, scratch)
    }

    /// Writes `planes`, by their bits, of an area of the input, its inner borders aligned ([`ImageHead::alignment`]).
    /// `out` is an output picture or, of the size of the area's output, a part of one.
    pub fn plain(
        &self,
        source: &Picture,
        planes: u8,
        area: Rect,
        out: &mut PictureBuf,
        scratch: &mut Scratch,
    ) -> Result<()> {
        self.check_picture(source)?;
        let out_area = area.scaled(self.network.scale);
        let mut paper = self.paper(out, out_area)?;
        let n_full = if source.format().is_rgb() { 3 } else { 1 };
        for plane in (0..n_full).filter(|plane| planes >> plane & 1 != 0) {
            self.plain_full(source, plane, out_area, &mut paper, scratch);
        }
        if let Some(subsampling) = source.format().subsampling().filter(|_| planes & 0b110 != 0) {
            let columns = out_area.x >> subsampling.x..out_area.right().div_ceil(1 << subsampling.x);
            let rows = out_area.y >> subsampling.y..out_area.bottom().div_ceil(1 << subsampling.y);
            self.plain_chroma(source, columns, rows, &mut paper, scratch);
        }
        let alpha = self.output_format().n_planes() - 1;
        if source.format().alpha && planes >> alpha & 1 != 0 {
            self.plain_full(source, alpha, out_area, &mut paper, scratch);
        }
        Ok(())
    }

    /// A plane of the picture's size: luma, alpha or a colour.
    fn plain_full(&self, source: &Picture, plane: usize, area: Rect, paper: &mut Paper, scratch: &mut Scratch) {
        let columns = area.x..area.right();
        let (view, format) = (source.plane(plane), source.format());
        let fetch = |y, columns, [row]: [&mut [f32]; 1]| {
            self.kernels.to_values(Codes::of(&view, format, y, columns), Linear::IDENTITY, row);
        };
        let Some(resizer) = &self.luma else {
            let [row, _] = &mut scratch.base;
            row.resize(columns.len(), 0.0);
            for y in area.y..area.bottom() {
                if format.packing != Packing::SemiPlanarHigh {
                    paper.copy(plane, y, columns.clone(), source);
                    continue;
                }
                // Codes move from the high bits to the low ones.
                fetch(y, columns.clone(), [row]);
                paper.write(plane, y, columns.clone(), |codes| {
                    self.kernels.to_codes(row, Linear::IDENTITY, format.max_code(), codes);
                });
            }
            return;
        };
        resizer.rect(columns.clone(), area.y..area.bottom(), &mut scratch.resize, fetch, |_, y, sums| {
            paper.write(plane, y, columns.clone(), |codes| {
                self.kernels.sums_to_codes(sums, Addend::Constant(0.0), format.max_code(), codes);
            });
        });
    }

    fn plain_chroma(
        &self,
        source: &Picture,
        columns: Range<usize>,
        rows: Range<usize>,
        paper: &mut Paper,
        scratch: &mut Scratch,
    ) {
        let format = source.format();
        if self.chroma.is_none() && format.packing == Packing::Planar {
            for y in rows {
                paper.copy(1, y, columns.clone(), source);
                paper.copy(2, y, columns.clone(), source);
            }
            return;
        }
        let fetch = |y, columns, planes: [&mut [f32]; 2]| {
            read_chroma(self.kernels, source, y, columns, Linear::IDENTITY, planes);
        };
        let mut emit = |plane: usize, y: usize, sums: Sums<1>| {
            paper.write(1 + plane, y, columns.clone(), |codes| {
                self.kernels.sums_to_codes(sums, Addend::Constant(0.0), format.max_code(), codes);
            });
        };
        if let Some(resizer) = &self.chroma {
            resizer.rect(columns.clone(), rows, &mut scratch.resize, fetch, emit);
            return;
        }
        let base = &mut scratch.base;
        base.iter_mut().for_each(|row| row.resize(columns.len(), 0.0));
        for y in rows {
            fetch(y, columns.clone(), base.each_mut().map(Vec::as_mut_slice));
            emit(0, y, Sums::plain([&base[0]]));
            emit(1, y, Sums::plain([&base[1]]));
        }
    }
}
