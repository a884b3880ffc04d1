//! From rows of what the network made, or a tensor of them, back to planes.

use std::ops::Range;

use super::colors::{ColorRows, Colors};
use super::gather::read_chroma;
use super::{ChromaRoute, ImageHead, RgbRoute, Route, Scratch, misuse};
use crate::error::Result;
use crate::frame::{Packing, Picture, PictureBuf};
use crate::head::tensor_row::{self, RowIndex, in_rgb_order};
use crate::model::{Port, Tensor};
use crate::simd::luma::{Addend, Codes, CodesMut, Linear};
use crate::simd::resize::Lines;
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

/// How what went into a network becomes comparable to what came out.
#[derive(Clone, Copy)]
pub(super) struct InputToOutput {
    /// From the values of the input to those of the output, where they differ.
    pub(super) line: Option<Linear>,
}

/// A window's way from rows of what the network made to planes.
///
/// Chroma comes row by row too: as soon as the last luma row that goes into one was written. Every row of the core goes
/// into the chroma row that covers it, whatever the siting.
pub struct FromRows<'a> {
    head: &'a ImageHead,
    source: &'a Picture,
    paper: Paper<'a>,
    /// In output pixels.
    window: Rect,
    /// In output pixels.
    core: Rect,
    /// Rows of the output picture that are made use of.
    rows: Range<usize>,
    /// Chroma rows that have not been written.
    chroma_rows: Range<usize>,
    chroma_columns: Range<usize>,
    scratch: &'a mut FromScratch,
}

/// Working memory of [`FromRows`].
#[derive(Default)]
pub struct FromScratch {
    lines: Lines,
    /// A chroma row on its way.
    row: Vec<f32>,
    /// A row of the source's chroma.
    base: [Vec<f32>; 2],
    colors: ColorRows,
    /// Some value was NaN, as far as a look at every 64th tells.
    has_nan: bool,
}

/// Of so many rows, and of so many values of a row, one is looked at: a convolution spreads what is no number at least
/// as far in a few layers.
const LOOKED_AT: usize = 8;

impl Scratch {
    /// Whether the network has given NaN since this was asked, which comes out black. A look at every 64th value tells.
    pub fn take_nan(&mut self) -> bool {
        std::mem::take(&mut self.from.has_nan)
    }
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
        let (input, output) = (&self.network.input, &self.network.output);
        self.check_tensor(answer.output, output, answer.item, answer.window.scaled(self.network.scale))?;
        let change = self.change();
        if change.is_some() {
            self.check_tensor(answer.input, input, answer.item, answer.window)?;
        }
        let Scratch { from, output: made, input: given, .. } = scratch;
        let mut rows = FromRows::new(self, answer.source, out, answer.window, answer.core, from)?;
        for y in rows.needed() {
            let at = RowIndex { item: answer.item, y };
            let before = change.map(|change| tensor_row::read(answer.input, input, at, change.line, given));
            let network = tensor_row::read(answer.output, output, at, None, made);
            rows.write(y, &network[..output.channels.count()], before);
        }
        Ok(())
    }

    /// Present where only what the network changed is written.
    pub(super) fn change(&self) -> Option<InputToOutput> {
        match &self.route {
            Route::Rgb(route) if route.change_only => Some(InputToOutput { line: route.input_to_output }),
            Route::Colors(colors) if colors.change_only => Some(InputToOutput { line: colors.input_to_output }),
            _ => None,
        }
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

    /// A core must lie in its window with what its chroma is made of.
    fn check_core(&self, window: Rect, core: Rect) -> Result<()> {
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

impl<'a> FromRows<'a> {
    /// The way of a window, of which `core` is kept, both in input pixels, into `out`: an output picture or, of the size
    /// of the core's output, a part of one.
    pub fn new(
        head: &'a ImageHead,
        source: &'a Picture,
        out: &'a mut PictureBuf,
        window: Rect,
        core: Rect,
        scratch: &'a mut FromScratch,
    ) -> Result<Self> {
        head.check_picture(source)?;
        let (window, core) = (window.scaled(head.network.scale), core.scaled(head.network.scale));
        head.check_core(window, core)?;
        let paper = head.paper(out, core)?;
        let (mut rows, mut chroma_rows, mut chroma_columns) = (core.y..core.bottom(), 0..0, 0..0);
        if let (Some(chroma), Some(subsampling)) = (head.chroma_route(), head.output_format().subsampling()) {
            chroma_rows = core.y >> subsampling.y..core.bottom().div_ceil(1 << subsampling.y);
            chroma_columns = core.x >> subsampling.x..core.right().div_ceil(1 << subsampling.x);
            let (first, last) = (chroma.down.rows_of(chroma_rows.start), chroma.down.rows_of(chroma_rows.end - 1));
            rows = rows.start.min(first.start)..rows.end.max(last.end);
            chroma.down.begin::<2>(&mut scratch.lines, chroma_columns.clone());
        }
        if let Route::Colors(colors) = &head.route {
            colors.begin(head, &mut scratch.lines, core.x..core.right());
        }
        Ok(FromRows { head, source, paper, window, core, rows, chroma_rows, chroma_columns, scratch })
    }

    /// The rows of the output's window that are made use of.
    pub fn needed(&self) -> Range<usize> {
        self.rows.start - self.window.y..self.rows.end - self.window.y
    }

    /// Takes row `y` of what the network made of the window, a slice a channel in its order, from top to bottom. Where
    /// only the change counts `before` is what that was made of, in the output's values.
    pub fn write(&mut self, y: usize, network: &[&[f32]], before: Option<[&[f32]; 3]>) {
        let y = self.window.y + y;
        if !self.rows.contains(&y) {
            return;
        }
        if y.is_multiple_of(LOOKED_AT) {
            let is_nan = |row: &&[f32]| row.iter().step_by(LOOKED_AT).any(|value| value.is_nan());
            self.scratch.has_nan |= network.iter().any(is_nan);
        }
        let head = self.head;
        match (&head.route, network) {
            (Route::Luma { back, .. }, [row]) => {
                let (columns, max) = (self.core.x..self.core.right(), head.output_format().max_code());
                let row = &row[columns.start - self.window.x..columns.end - self.window.x];
                self.paper.write(0, y, columns, |codes| head.kernels.to_codes(row, *back, max, codes));
            }
            (Route::Rgb(route), [a, b, c]) => {
                let network = in_rgb_order(&head.network.output, [*a, *b, *c]);
                match before.map(|before| in_rgb_order(&head.network.input, before)) {
                    Some(before) => self.write_rgb(route, y, Change(network, before)),
                    None => self.write_rgb(route, y, Whole(network)),
                }
            }
            (Route::Colors(colors), network) => self.write_colors(colors, y, network, before),
            (_, network) => unreachable!("{} channels, unlike the network's", network.len()),
        }
    }

    /// A row of a picture of R'G'B'.
    fn write_colors(&mut self, route: &Colors, y: usize, network: &[&[f32]], before: Option<[&[f32]; 3]>) {
        let FromRows { head, source, paper, window, core, scratch, .. } = self;
        let FromScratch { lines, row: change, colors, .. } = &mut **scratch;
        let columns = core.x..core.right();
        let inner = columns.start - window.x..columns.end - window.x;
        match network {
            [row] => {
                route.write_luma(head, source, (y, columns), &row[inner], (lines, change, colors), paper);
            }
            [a, b, c] => {
                let made = in_rgb_order(&head.network.output, [*a, *b, *c]);
                let before = before.map(|rows| in_rgb_order(&head.network.input, rows).map(|row| &row[inner.clone()]));
                route.write_rgb(
                    head,
                    source,
                    (y, columns),
                    (made.map(|row| &row[inner.clone()]), before),
                    change,
                    paper,
                );
            }
            network => unreachable!("{} channels, unlike the network's", network.len()),
        }
    }

    /// A row of the window's pixels.
    fn write_rgb(&mut self, route: &RgbRoute, y: usize, pixels: impl Pixels) {
        let FromRows { head, source, paper, window, core, .. } = self;
        let left = window.x;
        let from_window = |columns: &Range<usize>| columns.start - left..columns.end - left;
        let (kernels, max, kept) = (head.kernels, head.output_format().max_code(), core.x..core.right());
        let luma_is_kept = (core.y..core.bottom()).contains(&y);
        let addend = || route.addend(source, y, kept.clone());
        let Some(chroma) = &route.chroma else {
            let pixels = pixels.part(from_window(&kept));
            return paper.write(0, y, kept.clone(), |codes| {
                kernels.to_luma(&route.from_rgb, pixels, addend(), max, codes);
            });
        };
        chroma.down.put(&mut self.scratch.lines, y, |columns, [cb, cr]| {
            let pixels = pixels.part(from_window(&columns));
            if !luma_is_kept {
                return kernels.to_chroma(&route.from_rgb, pixels, [cb, cr]);
            }
            let inner = kept.start - columns.start..kept.end - columns.start;
            for outer in [0..inner.start, inner.end..cb.len()] {
                let rows = [&mut cb[outer.clone()], &mut cr[outer.clone()]];
                kernels.to_chroma(&route.from_rgb, pixels.part(outer), rows);
            }
            let chroma = [&mut cb[inner.clone()], &mut cr[inner.clone()]];
            paper.write(0, y, kept.clone(), |codes| {
                kernels.to_luma_and_chroma(&route.from_rgb, pixels.part(inner), addend(), max, codes, chroma);
            });
        });
        while !self.chroma_rows.is_empty() && chroma.down.rows_of(self.chroma_rows.start).end <= y + 1 {
            self.write_chroma(route, chroma, self.chroma_rows.start);
            self.chroma_rows.start += 1;
        }
    }

    /// A row of both chroma planes.
    fn write_chroma(&mut self, route: &RgbRoute, chroma: &ChromaRoute, y: usize) {
        let FromRows { head, source, paper, chroma_columns: columns, .. } = self;
        let FromScratch { lines, row, base, .. } = &mut *self.scratch;
        let (kernels, format, max) = (head.kernels, source.format(), head.output_format().max_code());
        let planar = format.packing == Packing::Planar;
        if route.change_only && !planar {
            let base = base.each_mut().map(|row| {
                row.resize(columns.len(), 0.0);
                row.as_mut_slice()
            });
            read_chroma(kernels, source, y, columns.clone(), Linear::IDENTITY, base);
        }
        for (index, base) in base.iter().enumerate() {
            let plane = source.plane(if planar { 1 + index } else { 1 });
            let addend = match (route.change_only, planar) {
                (false, _) => Addend::Constant(route.neutral),
                (true, true) => Addend::Codes(Codes::of(&plane, format, y, columns.clone())),
                (true, false) => Addend::Values(base),
            };
            let sums = chroma.down.sums(lines, y, [index], columns.clone(), [&mut *row]);
            paper.write(1 + index, y, columns.clone(), |codes| kernels.sums_to_codes(sums, addend, max, codes));
        }
    }
}
