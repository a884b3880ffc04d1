//! The kernels for GPUs (`kernels/*.cu`), compiled as C++, against what the CPU computes: the same bits, all of them.
//!
//! Skipped with a line where there is no C++ compiler, or one that knows no 16-bit floats. Whether they compile for
//! GPUs, `.ci/kernels-check` tells.

mod cases;
mod host;

use std::ffi::c_void;
use std::ptr;

use super::*;
use crate::simd::resize::Taps;

/// A window of a batch. This and what follows is laid out as in `kernels/*.cu`, where the fields are explained.
#[repr(C)]
struct Item {
    source: [*const u8; 4],
    out: [*mut u8; 4],
    window: [i32; 2],
    core: [i32; 4],
    corner: [i32; 2],
}

#[repr(C)]
struct Source {
    pitch: [i64; 4],
    size: [i32; 2],
    bytes: i32,
    shift: i32,
    step: i32,
    unused: i32,
}

#[repr(C)]
struct Target {
    pitch: [i64; 4],
    size: [i32; 2],
    bytes: i32,
    log2: [i32; 2],
    max: f32,
}

#[repr(C)]
struct DeviceTensor {
    data: *mut c_void,
    item: i64,
    row: i64,
    channel: [i64; 3],
    column: i32,
    element: i32,
    size: [i32; 2],
}

#[repr(C)]
struct DeviceTaps {
    src_len: i32,
    n_phases: i32,
    stride: i32,
    lowest: i32,
    highest: i32,
    first: [i32; 8],
    count: [i32; 8],
    coefs: [[f32; 16]; 8],
}

#[repr(C)]
struct Gather {
    items: *const Item,
    source: Source,
    tensor: DeviceTensor,
    across: DeviceTaps,
    down: DeviceTaps,
    m: ToRgb,
    neutral: f32,
    has_chroma: i32,
}

#[repr(C)]
struct LumaGather {
    items: *const Item,
    source: Source,
    tensor: DeviceTensor,
    line: Linear,
}

#[repr(C)]
struct LumaScatter {
    items: *const Item,
    target: Target,
    tensor: DeviceTensor,
    line: Linear,
    scale: i32,
}

#[repr(C)]
struct Scatter {
    items: *const Item,
    source: Source,
    target: Target,
    before: DeviceTensor,
    after: DeviceTensor,
    across: DeviceTaps,
    down: DeviceTaps,
    m: FromRgb,
    line: Linear,
    neutral: f32,
    scale: i32,
    has_chroma: i32,
    change_only: i32,
    has_line: i32,
}

#[repr(C)]
struct Resize {
    items: *const Item,
    source: Source,
    target: Target,
    across: DeviceTaps,
    down: DeviceTaps,
    first_plane: i32,
    n_planes: i32,
    log2: [i32; 2],
}

#[repr(C)]
struct ChangeMap {
    one: *const u8,
    other: *const u8,
    pitch_one: i64,
    pitch_other: i64,
    bits: *mut u64,
    sums: *mut u64,
    width: i32,
    height: i32,
    bytes: i32,
    block_width: i32,
    n_words: i32,
    unused: i32,
}

impl DeviceTaps {
    /// One tap that takes each sample as it is.
    fn none(src_len: usize) -> Self {
        let mut coefs = [[0.0; 16]; 8];
        coefs[0][0] = 1.0;
        let count = [1, 0, 0, 0, 0, 0, 0, 0];
        let src_len = src_len as i32;
        DeviceTaps { src_len, n_phases: 1, stride: 1, lowest: 0, highest: 0, first: [0; 8], count, coefs }
    }

    /// `across` a row the CPU sums some taps that are zero, which shows in the sign of a zero.
    fn new(taps: &Taps, across: bool) -> Self {
        let mut device = DeviceTaps { n_phases: taps.n_phases as i32, ..DeviceTaps::none(taps.src_len) };
        device.stride = taps.stride as i32;
        let ends = (0..taps.n_phases).map(|p| taps.first[p] as i32 + taps.phase(p).len() as i32 - 1);
        device.highest = ends.max().unwrap();
        device.lowest = *taps.first.iter().min().unwrap() as i32;
        for p in 0..taps.n_phases {
            let all = across && (taps.n_phases, taps.stride, taps.n_taps) == (2, 1, 4);
            let coefs = if all { &taps.coefs[4 * p..4 * p + 4] } else { taps.phase(p) };
            device.first[p] = taps.first[p] as i32;
            device.count[p] = coefs.len() as i32;
            device.coefs[p][..coefs.len()].copy_from_slice(coefs);
        }
        device
    }
}

impl Source {
    fn of(picture: &Picture) -> Self {
        let format = picture.format();
        let mut pitch = [0; 4];
        (0..format.n_planes()).for_each(|plane| pitch[plane] = picture.plane(plane).stride() as i64);
        let semi_planar = format.packing != Packing::Planar;
        if semi_planar {
            pitch[2] = pitch[1];
        }
        let shift = if format.packing == Packing::SemiPlanarHigh { 16 - format.bit_depth } else { 0 };
        Source {
            pitch,
            size: [picture.width() as i32, picture.height() as i32],
            bytes: format.bytes_per_sample() as i32,
            shift: shift.into(),
            step: if semi_planar { 2 } else { 1 },
            unused: 0,
        }
    }
}

fn log2(format: PixelFormat) -> [i32; 2] {
    format.subsampling().map_or([0, 0], |s| [s.x.into(), s.y.into()])
}

impl Target {
    fn of(head: &ImageHead, out: &mut PictureBuf) -> Self {
        let format = out.format();
        let mut pitch = [0; 4];
        (0..format.n_planes()).for_each(|plane| pitch[plane] = out.plane_mut(plane).stride() as i64);
        let (width, height) = head.output_size();
        Target {
            pitch,
            size: [width as i32, height as i32],
            bytes: format.bytes_per_sample() as i32,
            log2: log2(format),
            max: format.max_code().into(),
        }
    }
}

impl Item {
    fn new(picture: &Picture, window: Rect, core: Rect, corner: (usize, usize), out: Option<&mut PictureBuf>) -> Self {
        let format = picture.format();
        let mut source = [ptr::null(); 4];
        let all = 0..format.n_planes();
        all.for_each(|plane| source[plane] = picture.plane(plane).row_bytes(0).as_ptr());
        if format.packing != Packing::Planar {
            source[2] = source[1].wrapping_add(format.bytes_per_sample());
        }
        let mut planes = [ptr::null_mut(); 4];
        if let Some(out) = out {
            (0..out.format().n_planes())
                .for_each(|plane| planes[plane] = out.plane_mut(plane).row_bytes(0).as_mut_ptr());
        }
        Item {
            source,
            out: planes,
            window: [window.x as i32, window.y as i32],
            core: [core.x, core.y, core.width, core.height].map(|n| n as i32),
            corner: [corner.0 as i32, corner.1 as i32],
        }
    }
}

impl DeviceTensor {
    fn of(tensor: &mut Tensor, port: &Port) -> Self {
        let n = port.channels.count() as i64;
        let (shape, element) = (tensor.shape().map(|n| n as i64), tensor.element());
        let data = tensor.bytes_mut().as_mut_ptr().cast();
        let (width, height) = match port.layout {
            Layout::Nchw => (shape[3], shape[2]),
            Layout::Nhwc => (shape[2], shape[1]),
        };
        let (step, row, column) = match port.layout {
            Layout::Nchw => (width * height, width, 1),
            Layout::Nhwc => (1, width * n, n as i32),
        };
        let channel = match port.channels {
            Channels::Luma => [0; 3],
            Channels::Rgb => [0, step, 2 * step],
            Channels::Bgr => [2 * step, step, 0],
        };
        let element = match element {
            Element::F32 => 0,
            Element::F16 => 1,
            Element::U8 => 2,
        };
        let size = [width as i32, height as i32];
        DeviceTensor { data, item: n * width * height, row, channel, column, element, size }
    }
}
