//! From a tensor back to planes, and the planes a network does not make.

use std::ops::Range;

use super::gather::read_chroma;
use super::{ChromaRoute, ImageHead, RgbRoute, Route, Scratch, misuse};
use crate::error::Result;
use crate::frame::{Packing, Picture, PictureBuf};
use crate::head::tensor_row::{self, RowIndex};
use crate::model::{Port, Tensor};
use crate::simd::luma::{Addend, Codes, CodesMut, Linear};
use crate::simd::rgb::{Change, Pixels, Whole};
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

/// A row of pixels on its way back.
struct Row {
    y: usize,
    /// The columns there are, in output pixels.
    columns: Range<usize>,
    /// Those of them that are in the core, if the row is.
    luma: Option<Range<usize>>,
}

impl RgbRoute {
    /// What the luma of columns of row `y` of the output picture is added to.
    fn addend<'a>(&self, source: &'a Picture, y: usize, columns: Range<usize>) -> Addend<'a> {
        match self.change_only {
            true => Addend::Codes(Codes::of(&source.plane(0), source.format(), y, columns)),
            false => Addend::Constant(self.from_rgb.luma_base()),
        }
    }
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
                    out.write(0, y, core.x..core.right(), |codes| self.kernels.to_codes(row, *back, max, codes));
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
        let corner = self.corner(picture, area)?;
        Ok(Paper { picture, corner })
    }

    /// Where the top left corner of an output picture, or of a part that holds just `area`, lies in the whole.
    pub(super) fn corner(&self, picture: &PictureBuf, area: Rect) -> Result<(usize, usize)> {
        let (width, height) = self.output_size();
        if picture.format() == self.output_format() {
            if (picture.width(), picture.height()) == (width, height) {
                return Ok((0, 0));
            }
            if (picture.width(), picture.height()) == (area.width, area.height) {
                return Ok((area.x, area.y));
            }
        }
        let got = format!("{}x{} {}", picture.width(), picture.height(), picture.format());
        let format = self.output_format();
        Err(misuse(format!("an output picture of {got}, expected {width}x{height} {format}, or {area:?} of it")))
    }

    /// Row of chroma by row of chroma. The luma rows that go into one are written on the way, so that the tensors'
    /// rows are read once; every row of the core goes into the chroma row that covers it, whatever the siting.
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
        chroma.down.begin::<2>(&mut scratch.lines, columns.clone());
        for y in rows {
            let Scratch { lines, output, input, .. } = &mut *scratch;
            chroma.down.advance(lines, y, |luma_y, columns, rows| {
                let luma = (core.y..core.bottom()).contains(&luma_y).then_some(core.x..core.right());
                let (network, before) = self.rgb_rows(route, answer, luma_y, columns.clone(), output, input);
                let row = Row { y: luma_y, columns, luma };
                match before {
                    Some(before) => self.row_from_rgb(route, answer, row, Change(network, before), rows, out),
                    None => self.row_from_rgb(route, answer, row, Whole(network), rows, out),
                }
            });
            self.chroma_row(route, chroma, answer, y, columns.clone(), out, scratch);
        }
    }

    /// The chroma of a row of pixels, and the luma of those in the core.
    fn row_from_rgb(
        &self,
        route: &RgbRoute,
        answer: &Answer,
        row: Row,
        pixels: impl Pixels,
        [cb, cr]: [&mut [f32]; 2],
        out: &mut Paper,
    ) {
        let Some(luma) = row.luma else { return self.kernels.to_chroma(&route.from_rgb, pixels, [cb, cr]) };
        let inner = luma.start - row.columns.start..luma.end - row.columns.start;
        for outer in [0..inner.start, inner.end..cb.len()] {
            let rows = [&mut cb[outer.clone()], &mut cr[outer.clone()]];
            self.kernels.to_chroma(&route.from_rgb, pixels.part(outer), rows);
        }
        let max = self.output_format().max_code();
        let addend = route.addend(answer.source, row.y, luma.clone());
        let chroma = [&mut cb[inner.clone()], &mut cr[inner.clone()]];
        out.write(0, row.y, luma, |codes| {
            self.kernels.to_luma_and_chroma(&route.from_rgb, pixels.part(inner), addend, max, codes, chroma);
        });
    }

    /// Pictures without chroma.
    fn luma_rows(&self, route: &RgbRoute, answer: &Answer, area: Rect, out: &mut Paper, scratch: &mut Scratch) {
        let max = self.output_format().max_code();
        let Scratch { output, input, .. } = scratch;
        let columns = area.x..area.right();
        for y in area.y..area.bottom() {
            let addend = route.addend(answer.source, y, columns.clone());
            let (network, before) = self.rgb_rows(route, answer, y, columns.clone(), output, input);
            out.write(0, y, columns.clone(), |codes| match before {
                Some(before) => {
                    self.kernels.to_luma(&route.from_rgb, Change(network, before), addend, max, codes);
                }
                None => self.kernels.to_luma(&route.from_rgb, Whole(network), addend, max, codes),
            });
        }
    }

    #[expect(clippy::too_many_arguments, reason = "one call, the second half of `scatter_rgb`")]
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
        let Scratch { lines, rows: [row, _], base, .. } = scratch;
        let (format, max) = (answer.source.format(), self.output_format().max_code());
        let planar = format.packing == Packing::Planar;
        if route.change_only && !planar {
            let base = base.each_mut().map(|row| {
                row.resize(columns.len(), 0.0);
                row.as_mut_slice()
            });
            read_chroma(self.kernels, answer.source, y, columns.clone(), Linear::IDENTITY, base);
        }
        for (index, base) in base.iter().enumerate() {
            let source = answer.source.plane(if planar { 1 + index } else { 1 });
            let addend = match (route.change_only, planar) {
                (false, _) => Addend::Constant(route.neutral),
                (true, true) => Addend::Codes(Codes::of(&source, format, y, columns.clone())),
                (true, false) => Addend::Values(base),
            };
            let sums = chroma.down.sums(lines, y, [index], columns.clone(), [&mut *row]);
            out.write(1 + index, y, columns.clone(), |codes| self.kernels.sums_to_codes(sums, addend, max, codes));
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
