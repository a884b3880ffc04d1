//! What holds for the head as a whole: helpers here, a question a file.

mod kernels;
mod reference;
mod rows;
mod speed;
mod windows;
mod zscale;

use super::scatter::Answer;
use super::*;
use crate::frame::{ChromaLocation, ColorMatrix, ColorRange, Packing, Picture, PictureBuf, PlaneMemory, Pool};
use crate::model::{Element, Layout, Tensor};
use crate::tile::Rect;

const FORMATS: [&str; 26] = [
    "gray",
    "gray10le",
    "gbrp",
    "gbrp10le",
    "gbrap",
    "gbrap16le",
    "yuv420p",
    "yuv422p",
    "yuv444p",
    "yuv440p",
    "yuv411p",
    "yuv410p",
    "yuv420p10le",
    "yuv422p10le",
    "yuv444p12le",
    "yuv420p16le",
    "yuva420p",
    "yuva444p10le",
    "nv12",
    "nv16",
    "nv24",
    "p010le",
    "p016le",
    "p210le",
    "p410le",
    "yuv420p9le",
];

const LOCATIONS: [ChromaLocation; 6] = [
    ChromaLocation::Left,
    ChromaLocation::Center,
    ChromaLocation::TopLeft,
    ChromaLocation::Top,
    ChromaLocation::BottomLeft,
    ChromaLocation::Bottom,
];

/// Planes with rows further apart than needed, and noise between them.
struct Planes(Vec<Vec<u16>>, usize);

impl PlaneMemory for Planes {
    fn plane(&self, plane: usize) -> &[u8] {
        &bytemuck::cast_slice(&self.0[plane])[self.1..]
    }
}

/// A small generator of noise (Numerical Recipes' constants).
fn noise(state: &mut u64) -> u16 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 40) as u16
}

/// A picture of noise over all codes, extremes included, with padded strides.
fn picture(format: PixelFormat, width: usize, height: usize, seed: u64) -> Picture {
    let mut state = seed;
    let mut strides = [0; 4];
    let mut planes = Vec::new();
    for (plane, stride) in strides.iter_mut().enumerate().take(format.n_planes()) {
        let (columns, rows) = format.plane_size(plane, width, height);
        *stride = (columns * format.bytes_per_sample() + 6).next_multiple_of(2);
        let shift = if format.packing == Packing::SemiPlanarHigh { 16 - format.bit_depth } else { 0 };
        let samples = (0..*stride * rows / 2 + 2).map(|_| match (format.bytes_per_sample(), noise(&mut state)) {
            (1, value) => value,
            (_, value) => (value & format.max_code()) << shift,
        });
        planes.push(samples.collect());
    }
    let offset = 2;
    let mut memory = Planes(planes, offset);
    memory.0.iter_mut().for_each(|plane| plane.push(0));
    Picture::new(format, width, height, strides, std::sync::Arc::new(memory)).unwrap()
}

/// The code of a component at a place of its own grid, by the format's description.
fn code(picture: &Picture, component: usize, x: usize, y: usize) -> f64 {
    let format = picture.format();
    let (plane, x) = match (component, format.packing) {
        (1 | 2, Packing::SemiPlanar | Packing::SemiPlanarHigh) => (1, 2 * x + component - 1),
        _ => (component, x),
    };
    let view = picture.plane(plane);
    let shift = if format.packing == Packing::SemiPlanarHigh { 16 - format.bit_depth } else { 0 };
    if format.bit_depth == 8 { view.row_bytes(y)[x].into() } else { (view.row_u16(y)[x] >> shift).into() }
}

fn network(channels: Channels, layout: Layout, element: Element, scale: usize) -> NetworkFacts {
    let white = if element == Element::U8 { 255.0 } else { 1.0 };
    let port = Port { name: "x".into(), element, layout, channels, black: 0.0, white };
    NetworkFacts {
        input: port.clone(),
        output: port,
        scale,
        radius: Some(0),
        multiple_of: 1,
        fixed_size: None,
        fixed_batch: None,
        detector: None,
    }
}

fn head(network: &NetworkFacts, picture: &Picture, color: ColorTags) -> ImageHead {
    let (format, width, height) = (picture.format(), picture.width(), picture.height());
    ImageHead::new(network, PictureFacts { format, width, height, color }).unwrap()
}

fn tensor(port: &Port, width: usize, height: usize) -> Tensor {
    Tensor::new(port.element, port.layout.shape(1, port.channels.count(), height, width))
}

/// Repeats every pixel of an f32 NCHW tensor and bends its values, so that identity does not hide mistakes.
fn bent(input: &Tensor, scale: usize) -> Tensor {
    let [n, channels, height, width] = input.shape();
    let mut output = Tensor::new(Element::F32, [n, channels, height * scale, width * scale]);
    for (i, out) in output.as_f32_mut().iter_mut().enumerate() {
        let (x, y) = (i % (width * scale) / scale, i / (width * scale) % (height * scale) / scale);
        let value = input.as_f32()[(i / (width * height * scale * scale) * height + y) * width + x];
        *out = value * value * 0.7 + 0.1;
    }
    output
}

/// All output samples, plane by plane.
fn samples(picture: &Picture) -> Vec<u16> {
    let mut all = Vec::new();
    for plane in 0..picture.format().n_planes() {
        let view = picture.plane(plane);
        for y in 0..view.height() {
            match view.bytes_per_sample() {
                1 => all.extend(view.row_bytes(y).iter().map(|&sample| u16::from(sample))),
                _ => all.extend(view.row_u16(y)),
            }
        }
    }
    all
}

fn fill(out: &mut PictureBuf, value: u8) {
    for plane in 0..out.format().n_planes() {
        let mut plane = out.plane_mut(plane);
        (0..plane.height()).for_each(|y| plane.row_bytes(y).fill(value));
    }
}

/// The way of a picture through the head and a network, in windows.
fn through(head: &ImageHead, picture: &Picture, tiles: &[(Rect, Rect)], run: impl Fn(&Tensor) -> Tensor) -> Picture {
    let mut scratch = Scratch::default();
    let (width, height) = head.output_size();
    let mut out = Pool::new().picture(head.output_format(), width, height).unwrap();
    fill(&mut out, 0xA5);
    for &(window, core) in tiles {
        let mut input = tensor(&head.network.input, window.width, window.height);
        head.gather(picture, window, &mut input, 0, &mut scratch).unwrap();
        let output = run(&input);
        let answer = Answer { source: picture, input: &input, output: &output, item: 0, window, core };
        head.scatter(answer, &mut out, &mut scratch).unwrap();
    }
    head.finish_planes(picture, &mut out, &mut scratch).unwrap();
    out.freeze()
}

fn whole(picture: &Picture) -> Vec<(Rect, Rect)> {
    let all = Rect::new(0, 0, picture.width(), picture.height());
    vec![(all, all)]
}

fn copy(input: &Tensor) -> Tensor {
    let mut output = Tensor::new(input.element(), input.shape());
    output.bytes_mut().copy_from_slice(input.bytes());
    output
}

/// The codes of a picture in its planar form.
fn planar_codes(picture: &Picture) -> Vec<u16> {
    let format = picture.format();
    let mut all = Vec::new();
    for component in 0..format.planar().n_planes() {
        let (columns, rows) = format.planar().plane_size(component, picture.width(), picture.height());
        all.extend((0..rows * columns).map(|i| code(picture, component, i % columns, i / columns) as u16));
    }
    all
}

#[test]
fn an_identity_network_changes_no_sample_of_any_format() {
    for name in FORMATS {
        let format = PixelFormat::from_name(name).unwrap();
        for (width, height) in [(161, 121), (1, 1), (3, 2), (16, 8)] {
            let picture = picture(format, width, height, 7);
            let expected = planar_codes(&picture);
            for channels in [Channels::Luma, Channels::Rgb, Channels::Bgr] {
                for layout in [Layout::Nchw, Layout::Nhwc] {
                    for element in [Element::F32, Element::F16, Element::U8] {
                        if channels == Channels::Luma && format.is_rgb() && element == Element::U8 {
                            // The luma of colours is no whole number.
                            continue;
                        }
                        if channels == Channels::Luma && (element == Element::U8 || format.bit_depth > 10) {
                            // U8 holds no codes below black; binary16 has 11 bits.
                            if element != Element::F32 {
                                continue;
                            }
                        }
                        let head = head(&network(channels, layout, element, 1), &picture, ColorTags::NONE);
                        let out = through(&head, &picture, &whole(&picture), copy);
                        let same = samples(&out) == expected;
                        assert!(same, "{name} {width}x{height} {channels:?} {layout:?} {element:?}");
                    }
                }
            }
        }
    }
}

#[test]
fn planes_that_pass_the_network_by_keep_every_code() {
    for name in FORMATS {
        let picture = picture(PixelFormat::from_name(name).unwrap(), 161, 121, 5);
        let head = head(&network(Channels::Rgb, Layout::Nchw, Element::F32, 1), &picture, ColorTags::NONE);
        let mut out = Pool::new().picture(head.output_format(), 161, 121).unwrap();
        let all = Rect::new(0, 0, 161, 121);
        head.plain(&picture, 0b1111, all, &mut out, &mut Scratch::default()).unwrap();
        assert!(samples(&out.freeze()) == planar_codes(&picture), "{name}");
    }
}

#[test]
fn elements_layouts_and_channel_orders_hold_the_same_pixels() {
    let picture = picture(PixelFormat::yuv(1, 1, 8), 33, 17, 3);
    let window = Rect::new(2, 3, 40, 20);
    let make = |channels, layout, element| {
        let network = network(channels, layout, element, 1);
        let head = head(&network, &picture, ColorTags::NONE);
        let mut input = tensor(&network.input, 40, 20);
        head.gather(&picture, window, &mut input, 0, &mut Scratch::default()).unwrap();
        input
    };
    let truth = make(Channels::Rgb, Layout::Nchw, Element::F32);
    for channels in [Channels::Rgb, Channels::Bgr] {
        for layout in [Layout::Nchw, Layout::Nhwc] {
            for element in [Element::F32, Element::F16, Element::U8] {
                let got = make(channels, layout, element);
                for (i, truth) in truth.as_f32().iter().enumerate() {
                    let (c, pixel) = (i / 800, i % 800);
                    let c = if channels == Channels::Bgr { 2 - c } else { c };
                    let at = if layout == Layout::Nchw { c * 800 + pixel } else { pixel * 3 + c };
                    match element {
                        Element::F32 => assert_eq!(got.as_f32()[at], *truth),
                        Element::F16 => assert_eq!(got.as_f16()[at], half::f16::from_f32(*truth)),
                        // Scaled by 255 before rounding, in another order than here.
                        Element::U8 => {
                            let truth = (truth * 255.0).clamp(0.0, 255.0);
                            assert!((f32::from(got.bytes()[at]) - truth).abs() < 0.5001);
                        }
                    }
                }
            }
        }
    }
    // Beyond the picture its last column and row go on.
    let rows: Vec<&[f32]> = truth.as_f32()[..800].chunks_exact(40).collect();
    assert!(rows.iter().all(|row| row[31..].iter().all(|value| *value == row[30])));
    assert!(rows[14..].iter().all(|row| row == &rows[13]));
}

#[test]
fn misuse_is_an_error_and_not_a_panic() {
    let picture = picture(PixelFormat::yuv(1, 1, 8), 32, 32, 1);
    let network = network(Channels::Rgb, Layout::Nchw, Element::F32, 1);
    let head = head(&network, &picture, ColorTags::NONE);
    let mut input = tensor(&network.input, 16, 16);
    let mut scratch = Scratch::default();
    let window = Rect::new(8, 8, 16, 16);
    head.gather(&picture, window, &mut input, 0, &mut scratch).unwrap();
    assert!(head.gather(&picture, window, &mut input, 1, &mut scratch).is_err());
    assert!(head.gather(&picture, Rect::new(32, 0, 16, 16), &mut input, 0, &mut scratch).is_err());
    assert!(head.gather(&picture, Rect::new(0, 0, 8, 16), &mut input, 0, &mut scratch).is_err());
    let mut out = Pool::new().picture(head.output_format(), 32, 32).unwrap();
    for core in [window, Rect::new(11, 12, 4, 4), Rect::new(0, 0, 4, 4)] {
        let answer = Answer { source: &picture, input: &input, output: &input, item: 0, window, core };
        assert!(head.scatter(answer, &mut out, &mut scratch).is_err(), "{core:?}");
    }
    let core = Rect::new(12, 12, 8, 8);
    let answer = Answer { source: &picture, input: &input, output: &input, item: 0, window, core };
    head.scatter(answer, &mut out, &mut scratch).unwrap();
}
