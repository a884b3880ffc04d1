//! From a tensor back to planes.

use std::ops::Range;

use super::gather::read_chroma;
use super::{ChromaRoute, ImageHead, RgbRoute, Route, Scratch, misuse};
use crate::error::Result;
use crate::frame::{Picture, PictureBuf};
use crate::head::tensor_row::{self, RowIndex};
use crate::model::{Port, Tensor};
use crate::simd::luma::{self, Codes, CodesMut, Linear};
use crate::simd::rgb::{Change, Whole};
use crate::tile::Rect;

/// A window's way through the network.
#[derive(Clone, Copy)]
pub struct Answer<'a> {
    /// The picture the window was cut from.
    pub source: &'a Picture,
    /// What went in.
    pub input: &'a Tensor,
    /// What came out.
    pub output: &'a Tensor,
    /// The window's place in the batch.
    pub item: usize,
    /// The window, in input pixels.
    pub window: Rect,
    /// What of it is kept, in input pixels; inside the picture, its inner borders aligned ([`ImageHead::alignment`]).
    pub core: Rect,
}

/// The output picture that is written to: a whole one, or a part of it.
pub(super) struct Paper<'a> {
    picture: &'a mut PictureBuf,
    /// Where its top left corner lies in the whole, in luma samples.
    corner: (usize, usize),
}

impl Paper<'_> {
    /// Writes columns of row `y` of a plane, both counted in the whole plane.
    pub(super) fn write(&mut self, plane: usize, y: usize, columns: Range<usize>, write: impl FnOnce(CodesMut)) {
        let format = self.picture.format();
        let log2 = format.subsampling().filter(|_| format.is_chroma(plane)).map_or((0, 0), |s| (s.x, s.y));
        let (left, top) = (self.corner.0 >> log2.0, self.corner.1 >> log2.1);
        let mut plane = self.picture.plane_mut(plane);
        write(CodesMut::of(&mut plane, y - top, columns.start - left..columns.end - left));
    }

    /// Copies columns of row `y` of a plane from a planar picture of the same format and the size of the whole.
    pub(super) fn copy(&mut self, plane: usize, y: usize, columns: Range<usize>, source: &Picture) {
        let format = self.picture.format();
        let log2 = format.subsampling().filter(|_| format.is_chroma(plane)).map_or((0, 0), |s| (s.x, s.y));
        let (left, top, bytes) = (self.corner.0 >> log2.0, self.corner.1 >> log2.1, format.bytes_per_sample());
        let row = &source.plane(plane).row_bytes(y)[columns.start * bytes..columns.end * bytes];
        let mut to = self.picture.plane_mut(plane);
        to.row_bytes(y - top)[(columns.start - left) * bytes..(columns.end - left) * bytes].copy_from_slice(row);
    }
}

impl ImageHead {
    /// Writes the core of an answer into the planes of `out` that the network makes; no other sample is touched. `out`
    /// is an output picture or, of the size of the core's output, a part of one.
    pub fn scatter(&self, answer: Answer, out: &mut PictureBuf, scratch: &mut Scratch) -> Result<()> {
        self.check_answer(&answer)?;
        let core = answer.core.scaled(self.network.scale);
        let window = answer.window.scaled(self.network.scale);
        let max = out.format().max_code();
        let out = &mut self.paper(out, core)?;
        match &self.route {
            Route::Luma { back, .. } => {
                let columns = core.x - window.x..core.right() - window.x;
                let port = &self.network.output;
                for y in core.y..core.bottom() {
                    let at = RowIndex { item: answer.item, y: y - window.y };
                    let row = tensor_row::read_luma(answer.output, port, at, columns.clone(), &mut scratch.output);
                    out.write(0, y, core.x..core.right(), |codes| luma::to_codes(row, *back, max, codes));
                }
            }
            Route::Rgb(route) => match &route.chroma {
                Some(chroma) => self.scatter_rgb(route, chroma, &answer, core, out, scratch),
                None => self.luma_rows(route, &answer, core, out, scratch),
            },
        }
        Ok(())
    }

    /// An output picture, or a part of one that holds just `area`, given in output samples.
    pub(super) fn paper<'a>(&self, picture: &'a mut PictureBuf, area: Rect) -> Result<Paper<'a>> {
        let (width, height) = self.output_size();
        if picture.format() == self.output_format() {
            if (picture.width(), picture.height()) == (width, height) {
                return Ok(Paper { picture, corner: (0, 0) });
            }
            if (picture.width(), picture.height()) == (area.width, area.height) {
                return Ok(Paper { picture, corner: (area.x, area.y) });
            }
        }
        let got = format!("{}x{} {}", picture.width(), picture.height(), picture.format());
        let format = self.output_format();
        Err(misuse(format!("an output picture of {got}, expected {width}x{height} {format}, or {area:?} of it")))
    }

    /// Row of chroma by row of chroma, each after the luma rows it covers, while the tensor's rows are in the cache.
    fn scatter_rgb(
        &self,
        route: &RgbRoute,
        chroma: &ChromaRoute,
        answer: &Answer,
        core: Rect,
        out: &mut Paper,
        scratch: &mut Scratch,
    ) {
        let Some(subsampling) = self.output_format().subsampling() else { return };
        let columns = core.x >> subsampling.x..core.right().div_ceil(1 << subsampling.x);
        let rows = core.y >> subsampling.y..core.bottom().div_ceil(1 << subsampling.y);
        for row in &mut scratch.base {
            row.clear();
            row.resize(columns.len(), route.neutral);
        }
        scratch.rows[1].resize(columns.len(), 0.0);
        chroma.down.begin::<2>(&mut scratch.lines, columns.clone());
        for y in rows {
            let covered = Rect { y: y << subsampling.y, height: 1 << subsampling.y, ..core };
            self.luma_rows(route, answer, covered.intersect(core), out, scratch);
            self.chroma_row(route, chroma, answer, y, columns.clone(), out, scratch);
        }
    }

    fn luma_rows(&self, route: &RgbRoute, answer: &Answer, area: Rect, out: &mut Paper, scratch: &mut Scratch) {
        let (source, source_plane) = (answer.source, answer.source.plane(0));
        let max = self.output_format().max_code();
        let Scratch { rows: [row, _], output, input, .. } = scratch;
        row.resize(area.width, 0.0);
        for y in area.y..area.bottom() {
            let columns = area.x..area.right();
            if route.change_only {
                let codes = Codes::of(&source_plane, source.format(), y, columns.clone());
                luma::to_values(codes, Linear::IDENTITY, row);
            } else {
                row.fill(route.from_rgb.luma_base());
            }
            let (network, before) = self.rgb_rows(route, answer, y, columns.clone(), output, input);
            match before {
                Some(before) => route.from_rgb.add_luma(Change(network, before), row),
                None => route.from_rgb.add_luma(Whole(network), row),
            }
            out.write(0, y, columns, |codes| luma::to_codes(row, Linear::IDENTITY, max, codes));
        }
    }

    #[expect(clippy::too_many_arguments, reason = "one call, the inner half of `scatter_rgb`")]
    fn chroma_row(
        &self,
        route: &RgbRoute,
        chroma: &ChromaRoute,
        answer: &Answer,
        y: usize,
        columns: Range<usize>,
        out: &mut Paper,
        scratch: &mut Scratch,
    ) {
        let Scratch { lines, rows: [_, row], base, output, input, .. } = scratch;
        chroma.down.advance(lines, y, |luma_y, luma_columns, [cb, cr]: [&mut [f32]; 2]| {
            let (network, before) = self.rgb_rows(route, answer, luma_y, luma_columns, output, input);
            match before {
                Some(before) => route.from_rgb.chroma(Change(network, before), cb, cr),
                None => route.from_rgb.chroma(Whole(network), cb, cr),
            }
        });
        if route.change_only {
            let base = base.each_mut().map(Vec::as_mut_slice);
            read_chroma(answer.source, y, columns.clone(), Linear::IDENTITY, base);
        }
        let max = self.output_format().max_code();
        for (index, base) in base.iter().enumerate() {
            chroma.down.finish::<2>(lines, y, index, columns.clone(), row);
            row.iter_mut().zip(base).for_each(|(value, base)| *value += base);
            out.write(1 + index, y, columns.clone(), |codes| luma::to_codes(row, Linear::IDENTITY, max, codes));
        }
    }

    /// What the network made of columns of row `y` of the output picture, and what it was made of if only the change
    /// counts; red, green, blue, both in the output's values.
    fn rgb_rows<'a>(
        &self,
        route: &RgbRoute,
        answer: &Answer<'a>,
        y: usize,
        columns: Range<usize>,
        output: &'a mut Vec<f32>,
        input: &'a mut Vec<f32>,
    ) -> ([&'a [f32]; 3], Option<[&'a [f32]; 3]>) {
        let window = answer.window.scaled(self.network.scale);
        let at = RowIndex { item: answer.item, y: y - window.y };
        let columns = columns.start - window.x..columns.end - window.x;
        let ports = (&self.network.input, &self.network.output);
        let network = tensor_row::read_rgb(answer.output, ports.1, at, columns.clone(), None, output);
        let before = route
            .change_only
            .then(|| tensor_row::read_rgb(answer.input, ports.0, at, columns, route.input_to_output, input));
        (network, before)
    }

    pub(super) fn check_picture(&self, picture: &Picture) -> Result<()> {
        let expected = &self.picture;
        if (picture.format(), picture.width(), picture.height()) == (expected.format, expected.width, expected.height) {
            return Ok(());
        }
        let got = format!("{}x{} {}", picture.width(), picture.height(), picture.format());
        Err(misuse(format!("a picture of {got}, expected {}x{} {}", expected.width, expected.height, expected.format)))
    }

    pub(super) fn check_tensor(&self, tensor: &Tensor, port: &Port, item: usize, window: Rect) -> Result<()> {
        let size = tensor_row::picture_size(tensor, port);
        if tensor_row::fits(tensor, port) && size == (window.width, window.height) && item < tensor.shape()[0] {
            return Ok(());
        }
        let (element, shape) = (tensor.element(), tensor.shape());
        Err(misuse(format!("a tensor of {element:?} {shape:?}, expected item {item} of {window:?} for {port:?}")))
    }

    fn check_answer(&self, answer: &Answer) -> Result<()> {
        self.check_picture(answer.source)?;
        let scale = self.network.scale;
        let (window, core) = (answer.window.scaled(scale), answer.core.scaled(scale));
        self.check_tensor(answer.output, &self.network.output, answer.item, window)?;
        if matches!(&self.route, Route::Rgb(route) if route.change_only) {
            self.check_tensor(answer.input, &self.network.input, answer.item, answer.window)?;
        }
        let (width, height) = self.output_size();
        let picture = Rect::new(0, 0, width, height);
        let reach = self.chroma_route().map_or(0, |chroma| chroma.down.reach());
        let log2 = self.output_format().subsampling().map_or((0, 0), |s| (s.x, s.y));
        let aligned = |edge: usize, end: usize, log2: u8| edge == end || edge.is_multiple_of(1 << log2);
        if picture.contains(core)
            && window.contains(core.grown(reach).intersect(picture))
            && aligned(core.x, 0, log2.0)
            && aligned(core.y, 0, log2.1)
            && aligned(core.right(), width, log2.0)
            && aligned(core.bottom(), height, log2.1)
        {
            return Ok(());
        }
        Err(misuse(format!("core {core:?} does not lie in window {window:?} with {reach} pixels around it, aligned")))
    }
}
