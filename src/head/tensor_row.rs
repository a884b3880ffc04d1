//! Rows of a tensor as f32, whatever its element, layout and channel order.
//!
//! A row of an f32 NCHW tensor is lent as it lies; anything else goes through scratch.

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

/// Where the elements of a row's columns lie: `n` runs, in the order of the tensor.
fn runs(
    tensor: &Tensor,
    port: &Port,
    at: RowIndex,
    columns: Range<usize>,
) -> impl Iterator<Item = Range<usize>> + use<> {
    let (width, height) = picture_size(tensor, port);
    let channels = port.channels.count();
    let (n, row, step, scale) = match port.layout {
        Layout::Nchw => (channels, (at.item * channels * height + at.y) * width, width * height, 1),
        Layout::Nhwc => (1, (at.item * height + at.y) * width * channels, 0, channels),
    };
    (0..n).map(move |run| row + run * step + columns.start * scale..row + run * step + columns.end * scale)
}

/// Channels of the tensor in the order red, green, blue, and back.
fn in_rgb_order<T>(port: &Port, [a, b, c]: [T; 3]) -> [T; 3] {
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

/// Columns of a row of one channel.
pub(super) fn read_luma<'a>(
    tensor: &'a Tensor,
    port: &Port,
    at: RowIndex,
    columns: Range<usize>,
    scratch: &'a mut Vec<f32>,
) -> &'a [f32] {
    // With one channel both layouts have one run.
    let run = runs(tensor, port, at, columns).next().expect("one channel makes one run");
    if tensor.element() == Element::F32 {
        return &tensor.as_f32()[run];
    }
    scratch.resize(run.len(), 0.0);
    read_elements(tensor, run, scratch);
    scratch
}

/// Columns of a row as red, green, blue; `line` is applied to every value.
pub(super) fn read_rgb<'a>(
    tensor: &'a Tensor,
    port: &Port,
    at: RowIndex,
    columns: Range<usize>,
    line: Option<Linear>,
    scratch: &'a mut Vec<f32>,
) -> [&'a [f32]; 3] {
    let n = columns.len();
    if tensor.element() == Element::F32 && port.layout == Layout::Nchw && line.is_none() {
        let mut runs = runs(tensor, port, at, columns);
        let elements = tensor.as_f32();
        return in_rgb_order(port, [(); 3].map(|()| &elements[runs.next().expect("three channels make three runs")]));
    }
    scratch.resize(6 * n, 0.0);
    let (planes, packed) = scratch.split_at_mut(3 * n);
    match port.layout {
        Layout::Nchw => {
            for (run, plane) in runs(tensor, port, at, columns).zip(planes.chunks_exact_mut(n)) {
                read_elements(tensor, run, plane);
            }
        }
        Layout::Nhwc => {
            for run in runs(tensor, port, at, columns) {
                read_elements(tensor, run, packed);
            }
            let (a, rest) = planes.split_at_mut(n);
            let (b, c) = rest.split_at_mut(n);
            for (((pixel, a), b), c) in packed.as_chunks::<3>().0.iter().zip(a).zip(b).zip(c) {
                [*a, *b, *c] = *pixel;
            }
        }
    }
    if let Some(line) = line {
        planes.iter_mut().for_each(|value| *value = (*value - line.from) * line.gain + line.to);
    }
    let (a, rest) = planes.split_at(n);
    let (b, c) = rest.split_at(n);
    in_rgb_order(port, [a, b, c])
}

/// Lets `fill` write a whole row of one channel.
pub(super) fn write_luma(
    tensor: &mut Tensor,
    port: &Port,
    at: RowIndex,
    scratch: &mut Vec<f32>,
    fill: impl FnOnce(&mut [f32]),
) {
    let (width, _) = picture_size(tensor, port);
    let run = runs(tensor, port, at, 0..width).next().expect("one channel makes one run");
    if tensor.element() == Element::F32 {
        return fill(&mut tensor.as_f32_mut()[run]);
    }
    scratch.resize(width, 0.0);
    fill(scratch);
    write_elements(tensor, run, scratch);
}

/// Lets `fill` write a whole row as red, green, blue.
pub(super) fn write_rgb(
    tensor: &mut Tensor,
    port: &Port,
    at: RowIndex,
    scratch: &mut Vec<f32>,
    fill: impl FnOnce([&mut [f32]; 3]),
) {
    let (width, height) = picture_size(tensor, port);
    if tensor.element() == Element::F32 && port.layout == Layout::Nchw {
        let start = at.item * 3 * width * height;
        let mut channels = tensor.as_f32_mut()[start..start + 3 * width * height].chunks_exact_mut(width * height);
        let rows =
            [(); 3].map(|()| &mut channels.next().expect("three channels were cut")[at.y * width..(at.y + 1) * width]);
        return fill(in_rgb_order(port, rows));
    }
    scratch.resize(6 * width, 0.0);
    let (planes, packed) = scratch.split_at_mut(3 * width);
    let (a, rest) = planes.split_at_mut(width);
    let (b, c) = rest.split_at_mut(width);
    fill(in_rgb_order(port, [&mut *a, &mut *b, &mut *c]));
    match port.layout {
        Layout::Nchw => {
            for (run, plane) in runs(tensor, port, at, 0..width).zip([a, b, c]) {
                write_elements(tensor, run, plane);
            }
        }
        Layout::Nhwc => {
            for (((pixel, a), b), c) in packed.as_chunks_mut::<3>().0.iter_mut().zip(a).zip(b).zip(c) {
                *pixel = [*a, *b, *c];
            }
            for run in runs(tensor, port, at, 0..width) {
                write_elements(tensor, run, packed);
            }
        }
    }
}
