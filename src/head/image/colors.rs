//! Pictures of R'G'B': their planes are what RGB networks take, so that nothing is rounded but what a network makes.
//!
//! RGB networks get and give the planes by their range, those that keep the size only their change. Luma networks get
//! the luma of H.273; what they make of it less the luma that was there is added to all three planes, brought up to the
//! size of the output first. That is what leaving chroma alone means, for R' = Y' + 2 (1 - KR) Pr and so on.

use std::ops::Range;

use super::scatter::Paper;
use super::{ImageHead, PictureFacts};
use crate::frame::{ColorRange, Picture, RGB_PLANES};
use crate::model::{Channels, Port};
use crate::simd::Kernels;
use crate::simd::luma::{Addend, Codes, Linear};
use crate::simd::resize::{Lines, Resizer, Sums};

/// The way of R'G'B' pictures.
pub(super) struct Colors {
    /// From codes to values of the input.
    there: Linear,
    /// From values of the output to codes.
    back: Linear,
    /// The parts of red, green and blue in the luma that the network takes; `None`: it takes all three.
    luma: Option<[f32; 3]>,
    /// Only the change is written back, the size being kept.
    pub(super) change_only: bool,
    /// From the values of the input to those of the output, where they differ.
    pub(super) input_to_output: Option<Linear>,
}

/// Rows of red, green and blue.
#[derive(Default)]
pub(super) struct ColorRows([Vec<f32>; 3]);

impl ColorRows {
    fn of_length(&mut self, n: usize) -> [&mut [f32]; 3] {
        self.0.each_mut().map(|row| {
            row.resize(n, 0.0);
            row.as_mut_slice()
        })
    }
}

/// Reads columns of row `y` of red, green and blue, put through `line`.
pub(in crate::head) fn read_colors(
    kernels: Kernels,
    source: &Picture,
    (y, columns): (usize, Range<usize>),
    line: Linear,
    rows: [&mut [f32]; 3],
) {
    for (plane, row) in RGB_PLANES.into_iter().zip(rows) {
        kernels.to_values(Codes::of(&source.plane(plane), source.format(), y, columns.clone()), line, row);
    }
}

impl Colors {
    /// The way between `picture` and a network with these ports that makes it `scale` times as large.
    pub(super) fn new(picture: &PictureFacts, input: &Port, output: &Port, scale: usize) -> Colors {
        let codes = ColorRange::Full.luma_codes(picture.format.bit_depth);
        let values = |port: &Port| (port.black, port.white);
        let (kr, kb) = picture.color.matrix_for(picture.height).weights();
        let is_luma = input.channels == Channels::Luma;
        Colors {
            there: Linear::between(codes, values(input)),
            back: Linear::between(values(output), codes),
            luma: is_luma.then(|| [kr, 1.0 - kr - kb, kb].map(|weight| weight as f32)),
            change_only: !is_luma && scale == 1,
            input_to_output: (values(input) != values(output)).then(|| Linear::between(values(input), values(output))),
        }
    }

    /// What brings the source's planes up to the size of the output, where its luma alone is made anew.
    pub(super) fn resizer<'a>(&self, head: &'a ImageHead) -> Option<&'a Resizer> {
        head.luma.as_ref().filter(|_| self.luma.is_some())
    }

    /// Makes `lines` ready for columns of the output.
    pub(super) fn begin(&self, head: &ImageHead, lines: &mut Lines, columns: Range<usize>) {
        if let Some(resizer) = self.resizer(head) {
            resizer.begin::<3>(lines, columns);
        }
    }

    /// Columns of row `y` of the source as a luma network takes them.
    pub(super) fn read_luma(
        &self,
        head: &ImageHead,
        source: &Picture,
        at: (usize, Range<usize>),
        rows: &mut ColorRows,
        to: &mut [f32],
    ) {
        let [r, g, b] = rows.of_length(at.1.len());
        read_colors(head.kernels, source, at, Linear::IDENTITY, [&mut *r, &mut *g, &mut *b]);
        self.luma_of([r, g, b], to);
        self.there.apply(to);
    }

    /// Columns of row `y` of the source as an RGB network takes them, in the order red, green, blue.
    pub(super) fn read_rgb(&self, head: &ImageHead, source: &Picture, at: (usize, Range<usize>), rgb: [&mut [f32]; 3]) {
        read_colors(head.kernels, source, at, self.there, rgb);
    }

    fn luma_of(&self, [r, g, b]: [&[f32]; 3], to: &mut [f32]) {
        let [of_r, of_g, of_b] = self.luma.unwrap_or_default();
        for (to, ((r, g), b)) in to.iter_mut().zip(r.iter().zip(g).zip(b)) {
            *to = of_r * r + of_g * g + of_b * b;
        }
    }

    /// Writes columns of row `y` of the output from the luma that the network made of them.
    pub(super) fn write_luma(
        &self,
        head: &ImageHead,
        source: &Picture,
        (y, columns): (usize, Range<usize>),
        made: &[f32],
        (lines, change, rows): (&mut Lines, &mut Vec<f32>, &mut ColorRows),
        paper: &mut Paper,
    ) {
        let (kernels, max) = (head.kernels, head.output_format().max_code());
        let [r, g, b] = rows.of_length(columns.len());
        let codes = |at, rows: [&mut [f32]; 3]| read_colors(kernels, source, at, Linear::IDENTITY, rows);
        match self.resizer(head) {
            None => codes((y, columns.clone()), [&mut *r, &mut *g, &mut *b]),
            Some(resizer) => {
                resizer.advance(lines, y, |row, columns, planes| codes((row, columns), planes));
                for (color, row) in [&mut *r, &mut *g, &mut *b].into_iter().enumerate() {
                    resizer.finish(lines, y, color, columns.clone(), row);
                }
            }
        }
        change.resize(columns.len(), 0.0);
        self.luma_of([&*r, &*g, &*b], change);
        for (change, made) in change.iter_mut().zip(made) {
            *change = (made - self.back.from) * self.back.gain + self.back.to - *change;
        }
        for (plane, row) in RGB_PLANES.into_iter().zip([r, g, b]) {
            row.iter_mut().zip(change.iter()).for_each(|(value, change)| *value += change);
            paper.write(plane, y, columns.clone(), |codes| kernels.to_codes(row, Linear::IDENTITY, max, codes));
        }
    }

    /// Writes columns of row `y` of the output from red, green and blue that the network made of them; only the change
    /// where what they were `before` comes along, in values of the output.
    pub(super) fn write_rgb(
        &self,
        head: &ImageHead,
        source: &Picture,
        (y, columns): (usize, Range<usize>),
        (made, before): ([&[f32]; 3], Option<[&[f32]; 3]>),
        change: &mut Vec<f32>,
        paper: &mut Paper,
    ) {
        let (kernels, max) = (head.kernels, head.output_format().max_code());
        for (color, plane) in RGB_PLANES.into_iter().enumerate() {
            let Some(before) = before else {
                paper.write(plane, y, columns.clone(), |codes| kernels.to_codes(made[color], self.back, max, codes));
                continue;
            };
            change.clear();
            change.extend(made[color].iter().zip(before[color]).map(|(made, before)| (made - before) * self.back.gain));
            let view = source.plane(plane);
            let addend = Addend::Codes(Codes::of(&view, source.format(), y, columns.clone()));
            paper.write(plane, y, columns.clone(), |codes| {
                kernels.sums_to_codes(Sums::plain([change.as_slice()]), addend, max, codes);
            });
        }
    }
}
