//! What is done with found things in a picture: they are outlined, blurred, or made of a few squares.
//!
//! Called with a copy of the picture, whose planes are changed in place; opacity is never touched. Blurring and squares
//! are for what must not be recognised: a thing, with a tenth of its size around it, is reduced to a [`mosaic`] of at
//! most 64 means a plane, and nothing else of it goes into the result, so what was there cannot be told from it beyond
//! those numbers. All is done in integers but for the edges of areas, so the same areas give the same bits.

mod mosaic;
#[cfg(test)]
mod tests;

use std::ops::Range;

use super::Detection;
use crate::frame::{ColorRange, ColorTags, Picture, PictureBuf, PixelFormat, PlaneMut, RGB_PLANES};
use crate::tile::Rect;
use mosaic::{Filling, Samples};

/// Colours of outlines, by class: red, green and blue of 255.
const PALETTE: [[u8; 3]; 10] = [
    [255, 48, 48],
    [0, 220, 90],
    [40, 120, 255],
    [255, 210, 0],
    [230, 60, 230],
    [0, 220, 230],
    [255, 130, 0],
    [140, 80, 255],
    [170, 240, 20],
    [255, 110, 170],
];

/// Lines of a picture for each pixel that an outline is thick.
const LINES_A_PIXEL: usize = 360;

/// The least that an outline is thick, in luma pixels.
const LEAST_THICKNESS: usize = 2;

/// Pixels beyond any picture, in whose place infinite edges are taken.
const FAR: f64 = 1e7;

/// What is done with a found thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// A rectangle around it, in a colour of its class.
    Outline,
    /// It becomes a smooth patch of colours.
    Blur,
    /// It becomes a few squares.
    Pixelate,
}

impl Effect {
    /// What is found is not to be seen.
    pub fn hides(self) -> bool {
        self != Effect::Outline
    }
}

/// Paints into pictures of one format.
pub struct Painter {
    effect: Effect,
    format: PixelFormat,
    /// Luma pixels that an outline is thick.
    thickness: usize,
    /// Codes by plane of each colour.
    palette: [[u16; 3]; PALETTE.len()],
}

impl Painter {
    /// For pictures of a planar `format` with `height` luma rows whose codes mean what `color` says.
    pub fn new(effect: Effect, format: PixelFormat, color: ColorTags, height: usize) -> Painter {
        assert_eq!(format, format.planar(), "pictures are painted plane by plane");
        let thickness = ((height + LINES_A_PIXEL / 2) / LINES_A_PIXEL).max(LEAST_THICKNESS);
        Painter { effect, format, thickness, palette: PALETTE.map(|rgb| codes(format, color, height, rgb)) }
    }

    /// Paints what was found into `out`, a planar copy of `source`, whose chroma may be interleaved. Later things lie on
    /// earlier ones; what is hidden is hidden by what `source` shows, whatever else lies there. An area that is empty, lies
    /// outside or is no number does nothing.
    pub fn paint(&self, source: &Picture, found: &[Detection], out: &mut PictureBuf) {
        let size = (out.width(), out.height());
        assert_eq!(
            (source.format().planar(), out.format()),
            (self.format, self.format),
            "another format was announced"
        );
        assert_eq!((source.width(), source.height()), size, "the copy has the size of its source");
        for thing in found {
            let edges = thing.area.map(|edge| f64::from(edge).clamp(-FAR, FAR));
            if !touches(edges, size) {
                continue;
            }
            match self.effect {
                Effect::Outline => self.outline(pixels(edges, size), thing.class, out),
                Effect::Blur => self.hide(source, pixels(grown(edges), size), Filling::Smooth, out),
                Effect::Pixelate => self.hide(source, pixels(grown(edges), size), Filling::Flat, out),
            }
        }
    }

    /// Planes that are painted: all but opacity.
    fn planes(&self) -> Range<usize> {
        0..self.format.n_planes() - usize::from(self.format.alpha)
    }

    /// The base-2 logarithms of how many luma samples a sample of the plane covers.
    fn log2(&self, plane: usize) -> (u8, u8) {
        self.format.subsampling().filter(|_| self.format.is_chroma(plane)).map_or((0, 0), |s| (s.x, s.y))
    }

    /// A line inside `area`, which is first grown to whole chroma samples; where there is no inside, all of it.
    fn outline(&self, area: Rect, class: usize, out: &mut PictureBuf) {
        let (x, y) = self.format.subsampling().map_or((1, 1), |s| (1 << s.x, 1 << s.y));
        let columns = area.x / x * x..area.right().next_multiple_of(x);
        let rows = area.y / y * y..area.bottom().next_multiple_of(y);
        let inner = |outer: &Range<usize>, unit: usize| {
            let thickness = self.thickness.next_multiple_of(unit);
            outer.start + thickness..outer.end.saturating_sub(thickness)
        };
        let (inner_columns, inner_rows) = (inner(&columns, x), inner(&rows, y));
        for plane in self.planes() {
            let (log2, code) = (self.log2(plane), self.palette[class % PALETTE.len()][plane]);
            let mut plane = out.plane_mut(plane);
            // At the right and bottom edge the last chroma sample may cover fewer pixels than others.
            let (width, height) = (plane.width(), plane.height());
            let of_plane =
                |range: &Range<usize>, log2: u8, end: usize| range.start >> log2..(range.end >> log2).min(end);
            let (columns, inside) = (of_plane(&columns, log2.0, width), of_plane(&inner_columns, log2.0, width));
            let inner_rows = of_plane(&inner_rows, log2.1, height);
            for row in of_plane(&rows, log2.1, height) {
                if inner_rows.contains(&row) && !inside.is_empty() {
                    fill(&mut plane, row, columns.start..inside.start, code);
                    fill(&mut plane, row, inside.end..columns.end, code);
                } else {
                    fill(&mut plane, row, columns.clone(), code);
                }
            }
        }
    }

    /// Makes a mosaic of `area`; chroma samples that lie in it with a part do so as a whole.
    fn hide(&self, source: &Picture, area: Rect, filling: Filling, out: &mut PictureBuf) {
        let n_cells = mosaic::n_cells(area);
        for plane in self.planes() {
            let (x, y) = self.log2(plane);
            let columns = area.x >> x..area.right().div_ceil(1 << x);
            let rows = area.y >> y..area.bottom().div_ceil(1 << y);
            mosaic::fill(Samples::of(source, plane), (columns, rows), n_cells, filling, &mut out.plane_mut(plane));
        }
    }
}

/// Whether left, top, right and bottom hold anything of a picture of a width and height; never if one is no number.
fn touches([left, top, right, bottom]: [f64; 4], (width, height): (usize, usize)) -> bool {
    let within = |from: f64, to: f64, length: usize| length > 0 && from < to && to > 0.0 && from < length as f64;
    within(left, right, width) && within(top, bottom, height)
}

/// The edges with a tenth of the area's size more on each side, so that those of faces are covered.
fn grown([left, top, right, bottom]: [f64; 4]) -> [f64; 4] {
    let (x, y) = ((right - left) / 10.0, (bottom - top) / 10.0);
    [left - x, top - y, right + x, bottom + y]
}

/// The pixels of a picture of a width and height that an area touches.
fn pixels([left, top, right, bottom]: [f64; 4], (width, height): (usize, usize)) -> Rect {
    let place = |edge: f64, length: usize| edge.clamp(0.0, length as f64) as usize;
    let (x, y) = (place(left.floor(), width), place(top.floor(), height));
    Rect::new(x, y, place(right.ceil(), width) - x, place(bottom.ceil(), height) - y)
}

/// A colour as codes by plane (H.273, 8.3); of gray pictures the first counts, and R'G'B' is full range.
fn codes(format: PixelFormat, color: ColorTags, height: usize, rgb: [u8; 3]) -> [u16; 3] {
    let max = f64::from(format.max_code());
    let code = |value: f64| value.round().clamp(0.0, max) as u16;
    let rgb = rgb.map(|value| f64::from(value) / 255.0);
    if format.is_rgb() {
        let mut by_plane = [0; 3];
        RGB_PLANES.into_iter().zip(rgb).for_each(|(plane, value)| by_plane[plane] = code(value * max));
        return by_plane;
    }
    let (range, (kr, kb)) = (color.range_or_limited(), color.matrix_for(height).weights());
    let (black, white) = range.luma_codes(format.bit_depth);
    let (black, white) = (f64::from(black), f64::from(white));
    let excursion = match range {
        ColorRange::Full => max,
        ColorRange::Limited => f64::from(224_u32 << (format.bit_depth - 8)),
    };
    let neutral = f64::from(1_u32 << (format.bit_depth - 1));
    let [red, green, blue] = rgb;
    let luma = kr * red + (1.0 - kr - kb) * green + kb * blue;
    let chroma = |value: f64, weight: f64| neutral + (value - luma) / (2.0 * (1.0 - weight)) * excursion;
    [black + luma * (white - black), chroma(blue, kb), chroma(red, kr)].map(code)
}

/// Gives samples of a row this code, which fits them.
fn fill(plane: &mut PlaneMut, row: usize, columns: Range<usize>, code: u16) {
    match plane.bytes_per_sample() {
        1 => plane.row_bytes(row)[columns].fill(code as u8),
        _ => plane.row_u16(row)[columns].fill(code),
    }
}
