//! Rows of a tensor as f32, whatever its element, layout and channel order.
//!
//! A row of an f32 tensor is lent as it lies where its channels lie apart; anything else goes through scratch.

use std::ops::Range;

use half::f16;
use half::slice::HalfFloatSliceExt;

use crate::model::{Channels, Element, Layout, Port, Tensor};
use crate::simd::Kernels;
use crate::simd::luma::{Codes, CodesMut, Linear};

/// Which row: batch item and `y`.
#[derive(Clone, Copy)]
pub(super) struct RowIndex {
    pub(super) item: usize,
    pub(super) y: usize,
}

/// Width and height of the pictures in a tensor.
pub(super) fn picture_size(tensor: &Tensor, port: &Port) -> (usize, usize) {
    match (port.layout, tensor.shape()) {
        (Layout::Nchw, [_, _, height, width]) | (Layout::Nhwc, [_, height, width, _]) => (width, height),
    }
}

/// Whether a tensor can be this side of the network, for some batch and picture size.
pub(super) fn fits(tensor: &Tensor, port: &Port) -> bool {
    let channels = match (port.layout, tensor.shape()) {
        (Layout::Nchw, [_, channels, _, _]) | (Layout::Nhwc, [_, _, _, channels]) => channels,
    };
    channels == port.channels.count() && tensor.element() == port.element
}

/// Whether each channel of a row lies in one piece; with one channel both layouts are the same.
fn is_planar(port: &Port) -> bool {
    port.layout == Layout::Nchw || port.channels.count() == 1
}

/// Where the elements of a row lie: a run a channel, or one of all.
fn runs(tensor: &Tensor, port: &Port, at: RowIndex) -> impl Iterator<Item = Range<usize>> + use<> {
    let ((width, height), channels) = (picture_size(tensor, port), port.channels.count());
    let (n, start, length, step) = match is_planar(port) {
        true => (channels, (at.item * channels * height + at.y) * width, width, width * height),
        false => (1, (at.item * height + at.y) * width * channels, width * channels, 0),
    };
    (0..n).map(move |run| start + run * step..start + run * step + length)
}

/// Channels of a network in the order red, green, blue, and back.
pub(super) fn in_rgb_order<T>(port: &Port, [a, b, c]: [T; 3]) -> [T; 3] {
    if port.channels == Channels::Bgr { [c, b, a] } else { [a, b, c] }
}

fn read_elements(tensor: &Tensor, run: Range<usize>, out: &mut [f32]) {
    match tensor.element() {
        Element::F32 => out.copy_from_slice(&tensor.as_f32()[run]),
        Element::F16 => tensor.as_f16()[run].convert_to_f32_slice(out),
        Element::U8 => Kernels::best().to_values(Codes::U8(&tensor.bytes()[run]), Linear::IDENTITY, out),
    }
}

fn write_elements(tensor: &mut Tensor, run: Range<usize>, values: &[f32]) {
    match tensor.element() {
        Element::F32 => tensor.as_f32_mut()[run].copy_from_slice(values),
        Element::F16 => <[f16]>::convert_from_f32_slice(&mut tensor.as_f16_mut()[run], values),
        Element::U8 => {
            Kernels::best().to_codes(values, Linear::IDENTITY, 255, CodesMut::U8(&mut tensor.bytes_mut()[run]))
        }
    }
}

/// A whole row, a slice a channel in the tensor's order; channels that there are not are empty. `line` is applied to
/// every value.
pub(super) fn read<'a>(
    tensor: &'a Tensor,
    port: &Port,
    at: RowIndex,
    line: Option<Linear>,
    scratch: &'a mut Vec<f32>,
) -> [&'a [f32]; 3] {
    let ((width, _), n) = (picture_size(tensor, port), port.channels.count());
    if tensor.element() == Element::F32 && is_planar(port) && line.is_none() {
        let (mut runs, elements) = (runs(tensor, port, at), tensor.as_f32());
        return [(); 3].map(|()| runs.next().map_or(&[][..], |run| &elements[run]));
    }
    scratch.resize(2 * n * width, 0.0);
    let (planes, packed) = scratch.split_at_mut(n * width);
    if is_planar(port) {
        for (run, plane) in runs(tensor, port, at).zip(planes.chunks_exact_mut(width)) {
            read_elements(tensor, run, plane);
        }
    } else {
        for run in runs(tensor, port, at) {
            read_elements(tensor, run, packed);
        }
        let (a, rest) = planes.split_at_mut(width);
        let (b, c) = rest.split_at_mut(width);
        for (((pixel, a), b), c) in packed.as_chunks::<3>().0.iter().zip(a).zip(b).zip(c) {
            [*a, *b, *c] = *pixel;
        }
    }
    if let Some(line) = line {
        line.apply(planes);
    }
    let mut planes = planes.chunks_exact(width);
    [(); 3].map(|()| planes.next().unwrap_or(&[]))
}

/// Lets `fill` write a whole row, a slice a channel in the tensor's order.
pub(super) fn write(
    tensor: &mut Tensor,
    port: &Port,
    at: RowIndex,
    scratch: &mut Vec<f32>,
    fill: impl FnOnce(&mut [&mut [f32]]),
) {
    let ((width, height), n) = (picture_size(tensor, port), port.channels.count());
    if tensor.element() == Element::F32 && is_planar(port) {
        let start = at.item * n * width * height;
        let channels = tensor.as_f32_mut()[start..start + n * width * height].chunks_exact_mut(width * height);
        return fill_rows(channels.map(|channel| &mut channel[at.y * width..(at.y + 1) * width]), fill);
    }
    scratch.resize(2 * n * width, 0.0);
    let (planes, packed) = scratch.split_at_mut(n * width);
    fill_rows(planes.chunks_exact_mut(width), fill);
    if is_planar(port) {
        for (run, plane) in runs(tensor, port, at).zip(planes.chunks_exact(width)) {
            write_elements(tensor, run, plane);
        }
        return;
    }
    let (a, rest) = planes.split_at(width);
    let (b, c) = rest.split_at(width);
    for (((pixel, a), b), c) in packed.as_chunks_mut::<3>().0.iter_mut().zip(a).zip(b).zip(c) {
        *pixel = [*a, *b, *c];
    }
    for run in runs(tensor, port, at) {
        write_elements(tensor, run, packed);
    }
}

/// One row or three, without an allocation.
fn fill_rows<'a>(mut rows: impl Iterator<Item = &'a mut [f32]>, fill: impl FnOnce(&mut [&mut [f32]])) {
    match [(); 3].map(|()| rows.next()) {
        [Some(a), Some(b), Some(c)] => fill(&mut [a, b, c]),
        [Some(a), ..] => fill(&mut [a]),
        _ => fill(&mut []),
    }
}
