use std::time::Instant;

use proptest::prelude::*;

use super::scatter::Answer;
use super::*;
use crate::frame::PictureBuf;
use crate::frame::{ChromaLocation, ColorMatrix, ColorRange, Packing, Picture, PlaneMemory, Pool};
use crate::model::{Element, Layout, Tensor};
use crate::tile::Rect;
use crate::tile::grid::Grid;

const FORMATS: [&str; 22] = [
    "gray",
    "gray10le",
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

/// Catmull-Rom as its textbook has it (a = -1/2), independent of the kernel's form.
fn catmull_rom(x: f64) -> f64 {
    match x.abs() {
        x if x < 1.0 => (1.5 * x - 2.5) * x * x + 1.0,
        x if x < 2.0 => ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0,
        _ => 0.0,
    }
}

/// RGB of a pixel in [0, 1] by the words of H.273, in f64.
fn reference_rgb(picture: &Picture, color: ColorTags, x: usize, y: usize) -> [f64; 3] {
    let format = picture.format();
    let step = f64::from(1u32 << (format.bit_depth - 8));
    let top = f64::from(format.max_code());
    let (black, luma_range, chroma_range) = match color.range_or_limited() {
        ColorRange::Limited => (16.0 * step, 219.0 * step, 224.0 * step),
        ColorRange::Full => (0.0, top, top),
    };
    let luma = (code(picture, 0, x, y) - black) / luma_range;
    let Some(subsampling) = format.subsampling() else { return [luma; 3] };
    let (nx, ny) = (f64::from(1u32 << subsampling.x), f64::from(1u32 << subsampling.y));
    // Luma coordinates of the first chroma sample.
    let location = color.chroma_location.unwrap_or(ChromaLocation::Left);
    use ChromaLocation::{Bottom, BottomLeft, Center, Left, Top, TopLeft};
    let x0 = if matches!(location, Left | TopLeft | BottomLeft) { 0.0 } else { (nx - 1.0) / 2.0 };
    let y0 = match location {
        TopLeft | Top => 0.0,
        Left | Center => (ny - 1.0) / 2.0,
        BottomLeft | Bottom => ny - 1.0,
    };
    let (columns, rows) = format.planar().plane_size(1, picture.width(), picture.height());
    let (cx, cy) = ((x as f64 - x0) / nx, (y as f64 - y0) / ny);
    let mut chroma = [0.0; 2];
    for j in cy.floor() as i64 - 2..=cy.floor() as i64 + 3 {
        for i in cx.floor() as i64 - 2..=cx.floor() as i64 + 3 {
            let weight = catmull_rom(i as f64 - cx) * catmull_rom(j as f64 - cy);
            let at = (i.clamp(0, columns as i64 - 1) as usize, j.clamp(0, rows as i64 - 1) as usize);
            for (component, sum) in chroma.iter_mut().enumerate() {
                *sum += weight * (code(picture, 1 + component, at.0, at.1) - 128.0 * step) / chroma_range;
            }
        }
    }
    let (kr, kb) = match color.matrix_for(picture.height()) {
        ColorMatrix::Bt601 => (0.299, 0.114),
        ColorMatrix::Bt709 => (0.2126, 0.0722),
        ColorMatrix::Bt2020 => (0.2627, 0.0593),
        ColorMatrix::Smpte240 => (0.212, 0.087),
        ColorMatrix::Fcc => (0.30, 0.11),
    };
    let red = luma + 2.0 * (1.0 - kr) * chroma[1];
    let blue = luma + 2.0 * (1.0 - kb) * chroma[0];
    [red, (luma - kr * red - kb * blue) / (1.0 - kr - kb), blue]
}

#[test]
fn rgb_is_what_h273_says_for_every_format_matrix_range_and_siting() {
    for (index, name) in FORMATS.into_iter().enumerate() {
        let format = PixelFormat::from_name(name).unwrap();
        for (width, height) in [(37, 29), (1, 1), (3, 2)] {
            let picture = picture(format, width, height, index as u64);
            for (k, location) in LOCATIONS.into_iter().enumerate() {
                let matrix = [1, 4, 5, 7, 9, 2][(k + index) % 6];
                let range = if (k + index) % 2 == 0 { ColorRange::Full } else { ColorRange::Limited };
                let color =
                    ColorTags { matrix, range: Some(range), chroma_location: Some(location), ..ColorTags::NONE };
                let network = network(Channels::Rgb, Layout::Nchw, Element::F32, 1);
                let head = head(&network, &picture, color);
                let mut input = tensor(&network.input, width, height);
                let window = Rect::new(0, 0, width, height);
                head.gather(&picture, window, &mut input, 0, &mut Scratch::default()).unwrap();
                for i in 0..width * height {
                    let truth = reference_rgb(&picture, color, i % width, i / width);
                    for (c, truth) in truth.into_iter().enumerate() {
                        let got = f64::from(input.as_f32()[c * width * height + i]);
                        assert!((got - truth).abs() < 2e-6, "{name} {location:?} {matrix} {range:?} {got} {truth}");
                    }
                }
            }
        }
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]
    #[test]
    fn windows_give_the_same_bits_as_the_whole(
        format in prop::sample::select(FORMATS.to_vec()), location in prop::sample::select(LOCATIONS.to_vec()),
        width in 1usize..90, height in 1usize..70, scale in 1usize..4, rgb in any::<bool>(),
        window in (3usize..12, 3usize..12), m in 1usize..5, seed in any::<u64>(),
    ) {
        let format = PixelFormat::from_name(format).unwrap();
        let picture = picture(format, width, height, seed);
        let channels = if rgb { Channels::Rgb } else { Channels::Luma };
        let mut network = network(channels, Layout::Nchw, Element::F32, scale);
        network.multiple_of = m;
        let color = ColorTags { chroma_location: Some(location), ..ColorTags::NONE };
        let head = head(&network, &picture, color);
        let grid = Grid {
            picture: (width, height),
            window: (window.0 * 4 * m, window.1 * 4 * m),
            halo: head.window_halo(),
            multiple_of: m,
            alignment: head.alignment(),
        };
        let tiles: Vec<_> = grid.tiles().unwrap().into_iter().map(|tile| (tile.window, tile.core)).collect();
        let padded = head.padded_size();
        let whole = [(Rect::new(0, 0, padded.0, padded.1), Rect::new(0, 0, width, height))];
        let expected = samples(&through(&head, &picture, &whole, |input| bent(input, scale)));
        prop_assert_eq!(samples(&through(&head, &picture, &tiles, |input| bent(input, scale))), expected);
    }

    #[test]
    fn nothing_changes_beyond_the_change_halo(
        format in prop::sample::select(FORMATS.to_vec()), location in prop::sample::select(LOCATIONS.to_vec()),
        scale in 1usize..3, x in 0usize..64, y in 0usize..48, seed in any::<u64>(),
    ) {
        let format = PixelFormat::from_name(format).unwrap();
        let before = picture(format, 64, 48, seed);
        let network = network(Channels::Rgb, Layout::Nchw, Element::F32, scale);
        let color = ColorTags { chroma_location: Some(location), ..ColorTags::NONE };
        let head = head(&network, &before, color);
        // One sample of each component changes.
        let mut after = Pool::new().picture(format, 64, 48).unwrap();
        for plane in 0..format.n_planes() {
            let mut to = after.plane_mut(plane);
            for row in 0..to.height() {
                to.row_bytes(row).copy_from_slice(before.plane(plane).row_bytes(row));
            }
            let (s, pair) = format.subsampling().filter(|_| format.is_chroma(plane)).map_or(((0, 0), 1), |s| {
                ((s.x, s.y), if format.packing == Packing::Planar { 1 } else { 2 })
            });
            let bytes = to.bytes_per_sample();
            for i in 0..pair * bytes {
                to.row_bytes(y >> s.1)[(x >> s.0) * pair * bytes + i] ^= if bytes == 2 && i % 2 == 1 { 0 } else { 0xC0 };
            }
        }
        let after = after.freeze();
        let run = |picture| through(&head, picture, &whole(&before), |input| bent(input, scale));
        let (one, two) = (run(&before), run(&after));
        let halo = head.change_halo() as isize;
        // Alpha passes the network by.
        for plane in 0..one.format().n_planes() - usize::from(format.alpha) {
            let s = one.format().subsampling().filter(|_| one.format().is_chroma(plane)).map_or((0, 0), |s| (s.x, s.y));
            let size = one.format().plane_size(plane, one.width(), one.height());
            for (i, j) in (0..size.1).flat_map(|j| (0..size.0).map(move |i| (i, j))) {
                let bytes = one.plane(plane).bytes_per_sample();
                let at = |picture: &Picture| picture.plane(plane).row_bytes(j)[i * bytes..(i + 1) * bytes].to_vec();
                if at(&one) != at(&two) {
                    // The aligned block around the output sample, in input pixels.
                    let a = head.alignment();
                    let block = |i: usize, s: u8| ((i << s) / scale / a * a) as isize;
                    let far = |block: isize, at: usize| (at as isize) < block - halo || (at as isize) >= block + a as isize + halo;
                    prop_assert!(!far(block(i, s.0), x) && !far(block(j, s.1), y), "{plane} {i} {j} {x} {y} {halo}");
                }
            }
        }
    }
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

const SIZE: (usize, usize) = (320, 180);

/// Milliseconds a megapixel of both ways together, on one core; run with `--ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn speed() {
    for (name, channels, scale, element) in [
        ("yuv420p", Channels::Luma, 1, Element::F32),
        ("yuv420p", Channels::Luma, 2, Element::F32),
        ("yuv420p10le", Channels::Luma, 1, Element::F32),
        ("yuv420p", Channels::Rgb, 1, Element::F32),
        ("yuv420p", Channels::Rgb, 2, Element::F32),
        ("nv12", Channels::Rgb, 1, Element::F32),
        ("yuv420p10le", Channels::Rgb, 1, Element::F32),
        ("yuv444p", Channels::Rgb, 1, Element::F32),
        ("yuv420p", Channels::Rgb, 1, Element::F16),
    ] {
        let picture = picture(PixelFormat::from_name(name).unwrap(), SIZE.0, SIZE.1, 1);
        let network = network(channels, Layout::Nchw, element, scale);
        let head = head(&network, &picture, ColorTags::NONE);
        let window = Rect::new(0, 0, SIZE.0, SIZE.1);
        let mut input = tensor(&network.input, SIZE.0, SIZE.1);
        let output = tensor(&network.output, SIZE.0 * scale, SIZE.1 * scale);
        let mut scratch = Scratch::default();
        let mut out = Pool::new().picture(head.output_format(), SIZE.0 * scale, SIZE.1 * scale).unwrap();
        let mut best = [f64::MAX; 3];
        for _ in 0..15 {
            let start = Instant::now();
            head.gather(&picture, window, &mut input, 0, &mut scratch).unwrap();
            let gathered = Instant::now();
            let answer = Answer { source: &picture, input: &input, output: &output, item: 0, window, core: window };
            head.scatter(answer, &mut out, &mut scratch).unwrap();
            let scattered = Instant::now();
            head.finish_planes(&picture, &mut out, &mut scratch).unwrap();
            let spans = [gathered - start, scattered - gathered, scattered.elapsed()];
            for (best, span) in best.iter_mut().zip(spans) {
                *best = best.min(span.as_secs_f64() * 1e3);
            }
        }
        let (src, dst) = ((SIZE.0 * SIZE.1) as f64 / 1e6, (SIZE.0 * SIZE.1) as f64 / 1e6 * (scale * scale) as f64);
        let [gather, scatter, finish] = [best[0] / src, best[1] / dst, best[2] / dst];
        println!(
            "{name} {channels:?} x{scale} {element:?}: gather {gather:.2}, scatter {scatter:.2}, rest {finish:.2} ms/Mpx"
        );
    }
}
