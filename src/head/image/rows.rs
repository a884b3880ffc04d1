//! The way without tensors: rows of a window straight from the source's planes and straight into the output's, for
//! engines that go row by row. The values are those of `gather` and `scatter`.
//!
//! Where only what the network changed is written, what it was given is kept until the answer comes: as many rows as
//! the engine is behind, which stay in the core's cache.

use std::collections::VecDeque;
use std::mem;
use std::ops::Range;

use half::f16;
use half::slice::HalfFloatSliceExt;

use super::scatter::InputToOutput;
use super::{FromRows, ImageHead, Scratch, ToRows};
use crate::error::Result;
use crate::frame::pool::{ALIGNMENT, AlignedBytes};
use crate::frame::{Picture, PictureBuf};
use crate::model::Element;
use crate::tile::Rect;

/// A window's way through the network, row by row.
pub struct Rows<'a> {
    to: ToRows<'a>,
    from: FromRows<'a>,
    /// Present where only the change is written.
    change: Option<InputToOutput>,
    /// The rows that are kept: those of the window whose change is written.
    needed: Range<usize>,
    kept: &'a mut Kept,
    /// Whether the network's input and output are 16-bit floats, to which values are then rounded.
    half: [bool; 2],
}

/// Rows that the network was given and whose answers have not come yet.
#[derive(Default)]
pub(super) struct Kept {
    rows: VecDeque<KeptRow>,
    /// The row of the window that the first of them is, or the next will be.
    first: usize,
    spare: Vec<KeptRow>,
    /// Rows on their way through 16 bits.
    halves: Vec<f16>,
    rounded: [Vec<f32>; 3],
}

/// A row of three channels.
struct KeptRow(AlignedBytes);

impl ImageHead {
    /// Whether windows can go without tensors.
    pub fn has_rows(&self) -> bool {
        let is_float = |element| matches!(element, Element::F32 | Element::F16);
        is_float(self.network.input.element) && is_float(self.network.output.element)
    }

    /// The way of one window without tensors, where there is one ([`ImageHead::has_rows`]): `core` of `window`, both in
    /// input pixels, into `out`, a whole output picture or a part of the size of the core's output.
    pub fn rows<'a>(
        &'a self,
        source: &'a Picture,
        out: &'a mut PictureBuf,
        window: Rect,
        core: Rect,
        scratch: &'a mut Scratch,
    ) -> Result<Rows<'a>> {
        let Scratch { to, from, kept, .. } = scratch;
        let to = ToRows::new(self, source, window, to)?;
        let from = FromRows::new(self, source, out, window, core, from)?;
        let (change, needed) = (self.change(), from.needed());
        kept.begin(needed.start);
        let half = [&self.network.input, &self.network.output].map(|port| port.element == Element::F16);
        Ok(Rows { to, from, change, needed, kept, half })
    }
}

impl Rows<'_> {
    /// Width and height of the window.
    pub fn size(&self) -> (usize, usize) {
        self.to.size()
    }

    /// Writes row `y` of the window as the network takes it, a slice a channel in its order.
    pub fn read(&mut self, y: usize, channels: &mut [&mut [f32]]) {
        self.fetch(y, channels);
        if let (Some(change), [a, b, c]) = (self.change, channels)
            && self.needed.contains(&y)
            && y == self.kept.end()
        {
            let mut row = self.kept.spare(a.len());
            row.channels_mut().into_iter().zip([a, b, c]).for_each(|(to, from)| to[..from.len()].copy_from_slice(from));
            self.kept.push(row, change);
        }
    }

    /// Puts row `y` of what the network made of the window into the output picture, as far as it is wanted there.
    pub fn write(&mut self, y: usize, channels: &[&[f32]]) {
        let Some(change) = self.change.filter(|_| self.needed.contains(&y)) else {
            return self.put(y, channels, None);
        };
        // Networks that shift their picture answer before they were asked.
        let width = self.to.size().0;
        while self.kept.end() <= y {
            let mut row = self.kept.spare(width);
            self.fetch(self.kept.end(), &mut row.channels_mut().map(|row| &mut row[..width]));
            self.kept.push(row, change);
        }
        // Answers come in order, so the oldest row is the one of this answer.
        if let Some(row) = self.kept.pop() {
            self.put(y, channels, Some(row.channels().map(|row| &row[..width])));
            self.kept.spare.push(row);
        }
    }

    fn fetch(&mut self, y: usize, channels: &mut [&mut [f32]]) {
        self.to.read(y, channels);
        if self.half[0] {
            channels.iter_mut().for_each(|row| self.kept.round(row));
        }
    }

    fn put(&mut self, y: usize, channels: &[&[f32]], before: Option<[&[f32]; 3]>) {
        if !self.half[1] {
            return self.from.write(y, channels, before);
        }
        let mut rounded = mem::take(&mut self.kept.rounded);
        for (to, from) in rounded.iter_mut().zip(channels) {
            to.clear();
            to.extend_from_slice(from);
            self.kept.round(to);
        }
        self.from.write(y, &rounded.each_ref().map(Vec::as_slice)[..channels.len()], before);
        self.kept.rounded = rounded;
    }
}

impl Kept {
    /// Lets go of all rows; the next is row `first`.
    fn begin(&mut self, first: usize) {
        self.spare.extend(self.rows.drain(..));
        self.first = first;
    }

    /// The row after the last.
    fn end(&self) -> usize {
        self.first + self.rows.len()
    }

    /// Memory for a row of `width` samples a channel.
    fn spare(&mut self, width: usize) -> KeptRow {
        let length = 3 * (width * size_of::<f32>()).next_multiple_of(ALIGNMENT);
        self.spare.retain(|row| row.0.len() == length);
        self.spare.pop().unwrap_or_else(|| KeptRow(AlignedBytes::new(length)))
    }

    fn push(&mut self, mut row: KeptRow, change: InputToOutput) {
        if let Some(line) = change.line {
            line.apply(bytemuck::cast_slice_mut(&mut row.0));
        }
        self.rows.push_back(row);
    }

    fn pop(&mut self) -> Option<KeptRow> {
        let row = self.rows.pop_front()?;
        self.first += 1;
        Some(row)
    }

    /// Rounds values to 16-bit floats, as a tensor of those would.
    fn round(&mut self, row: &mut [f32]) {
        self.halves.resize(row.len(), f16::ZERO);
        self.halves.convert_from_f32_slice(row);
        self.halves.convert_to_f32_slice(row);
    }
}

impl KeptRow {
    fn channels(&self) -> [&[f32]; 3] {
        let samples: &[f32] = bytemuck::cast_slice(&self.0);
        let (a, rest) = samples.split_at(samples.len() / 3);
        let (b, c) = rest.split_at(samples.len() / 3);
        [a, b, c]
    }

    fn channels_mut(&mut self) -> [&mut [f32]; 3] {
        let samples: &mut [f32] = bytemuck::cast_slice_mut(&mut self.0);
        let n = samples.len() / 3;
        let (a, rest) = samples.split_at_mut(n);
        let (b, c) = rest.split_at_mut(n);
        [a, b, c]
    }
}
