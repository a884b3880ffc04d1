//! Every kernel over formats, sitings, elements, layouts, batches of windows and scales.

use half::f16;
use proptest::prelude::*;

use super::host::{Kernels, kernels};
use super::*;
use crate::simd;
use crate::simd::compare::BLOCK;

/// A case: a network and pictures for it.
#[derive(Clone, Debug)]
struct Case {
    format: &'static str,
    size: (usize, usize),
    color: ColorTags,
    rgb: Channels,
    ports: [(Element, Layout); 2],
    scale: usize,
    window: (usize, usize),
    /// How far the network's sizes are rounded up.
    multiple_of: usize,
    seed: u64,
}

/// Heads of R'G'B' pictures have no kernels yet.
const NO_COLORS: &str = "the formats of the cases have a kernel";

fn known_formats() -> Vec<&'static str> {
    FORMATS.into_iter().filter(|name| !PixelFormat::from_name(name).unwrap().is_rgb()).collect()
}

fn cases() -> impl Strategy<Value = Case> {
    let port = || {
        let elements = prop::sample::select(vec![Element::F32, Element::F16, Element::U8]);
        (elements, prop::sample::select(vec![Layout::Nchw, Layout::Nhwc]))
    };
    let color = (
        prop::sample::select(LOCATIONS.to_vec()),
        prop::sample::select(vec![ColorRange::Limited, ColorRange::Full]),
        prop::sample::select(vec![1, 5, 9]),
    );
    let channels = prop::sample::select(vec![Channels::Luma, Channels::Rgb, Channels::Bgr]);
    let what = (prop::sample::select(known_formats()), color, channels, [port(), port()], 1usize..5);
    let where_ = ((1usize..150, 1usize..90), (3usize..30, 3usize..20), 1usize..5, any::<u64>());
    (what, where_).prop_map(|((format, color, rgb, ports, scale), (size, window, multiple_of, seed))| Case {
        format,
        size,
        color: ColorTags { chroma_location: Some(color.0), range: Some(color.1), matrix: color.2, ..ColorTags::NONE },
        rgb,
        ports,
        scale,
        window,
        multiple_of,
        seed,
    })
}

/// A case with a head between, and a batch of windows of one size with their cores.
struct Setup {
    head: ImageHead,
    pictures: Vec<Picture>,
    windows: Vec<(Rect, Rect)>,
}

impl Case {
    fn setup(&self) -> Setup {
        let format = PixelFormat::from_name(self.format).unwrap();
        let (width, height) = self.size;
        let pictures: Vec<_> = (0..2).map(|i| picture(format, width, height, self.seed ^ i)).collect();
        let mut network = network(self.rgb, Layout::Nchw, Element::F32, self.scale);
        for (port, (element, layout)) in [&mut network.input, &mut network.output].into_iter().zip(self.ports) {
            (port.element, port.layout) = (element, layout);
            port.white = if element == Element::U8 { 255.0 } else { 1.0 };
        }
        network.multiple_of = self.multiple_of;
        let head = head(&network, &pictures[0], self.color);
        let whole = head.padded_size();
        let mut windows = vec![(Rect::new(0, 0, whole.0, whole.1), Rect::new(0, 0, width, height))];
        let step = head.alignment();
        let side = |window: usize| (window * step).max(step * (2 * head.window_halo() + 1));
        let (w, h) = (side(self.window.0), side(self.window.1));
        if w < width && h < height {
            // In each corner, and one in the middle.
            let (right, bottom) = ((width - w) / step * step, (height - h) / step * step);
            let places =
                [(0, 0), (right, 0), (0, bottom), (right, bottom), (right / 2 / step * step, bottom / 2 / step * step)];
            windows = places.map(|(x, y)| self.window_at(&head, Rect::new(x, y, w, h))).to_vec();
        }
        Setup { head, pictures, windows }
    }

    /// The largest core that a window has, a smaller one in the middle of the picture.
    fn window_at(&self, head: &ImageHead, window: Rect) -> (Rect, Rect) {
        let (step, halo) = (head.alignment(), head.window_halo());
        let start = |at: usize| if at == 0 { 0 } else { (at + halo).next_multiple_of(step) };
        let end = |at: usize, length: usize| if at == length { at } else { (at - halo) / step * step };
        let (left, top) = (start(window.x), start(window.y));
        let (right, bottom) = (end(window.right(), self.size.0), end(window.bottom(), self.size.1));
        (window, Rect::new(left, top, right - left, bottom - top))
    }
}

impl Setup {
    fn picture(&self, item: usize) -> &Picture {
        &self.pictures[item % self.pictures.len()]
    }

    /// A tensor for all windows.
    fn tensor(&self, port: &Port, scale: usize) -> Tensor {
        let window = self.windows[0].0;
        let size = (window.width * scale, window.height * scale);
        Tensor::new(port.element, port.layout.shape(self.windows.len(), port.channels.count(), size.1, size.0))
    }

    /// What the head gathers of all windows.
    fn gathered(&self) -> Tensor {
        let mut tensor = self.tensor(&self.head.network.input, 1);
        for (item, (window, _)) in self.windows.iter().enumerate() {
            self.head.gather(self.picture(item), *window, &mut tensor, item, &mut Scratch::default()).unwrap();
        }
        tensor
    }

    /// Blocks of 32 by `rows` over the largest of some rectangles, and the windows.
    fn grid(&self, sizes: impl Iterator<Item = (usize, usize)>, rows: usize) -> [usize; 3] {
        let (width, height) = sizes.fold((0, 0), |most, size| (most.0.max(size.0), most.1.max(size.1)));
        [width.div_ceil(32), height.div_ceil(rows), self.windows.len()]
    }

    fn gather(&self, kernels: &Kernels) -> Tensor {
        let head = &self.head;
        let mut tensor = self.tensor(&head.network.input, 1);
        tensor.bytes_mut().fill(0xA5);
        let items = self.windows.iter().enumerate();
        let items: Vec<_> =
            items.map(|(item, &(window, core))| Item::new(self.picture(item), window, core, (0, 0), None)).collect();
        let grid = self.grid(self.windows.iter().map(|(window, _)| (window.width, window.height)), 8);
        let source = Source::of(&self.pictures[0]);
        let device = DeviceTensor::of(&mut tensor, &head.network.input);
        match &head.route {
            Route::Luma { there, .. } => {
                let arguments = LumaGather { items: items.as_ptr(), source, tensor: device, line: *there };
                kernels.run("luma_gather", &arguments, grid);
            }
            Route::Rgb(route) => {
                let taps =
                    |of: fn(&ChromaRoute) -> DeviceTaps| route.chroma.as_ref().map_or_else(|| DeviceTaps::none(1), of);
                let arguments = Gather {
                    items: items.as_ptr(),
                    source,
                    tensor: device,
                    across: taps(|chroma| DeviceTaps::new(&chroma.up.horizontal, true)),
                    down: taps(|chroma| DeviceTaps::new(&chroma.up.vertical, false)),
                    m: route.to_rgb,
                    neutral: route.neutral,
                    has_chroma: route.chroma.is_some().into(),
                };
                kernels.run("gather", &arguments, grid);
            }
            Route::Colors(_) => unreachable!("{NO_COLORS}"),
        }
        tensor
    }

    /// Output pictures, or parts of them that hold a core, all of one value.
    fn papers(&self, whole: bool) -> Vec<PictureBuf> {
        let (head, scale) = (&self.head, self.head.scale());
        let size = |core: Rect| if whole { head.output_size() } else { (core.width * scale, core.height * scale) };
        let papers = self.windows.iter().map(|(_, core)| {
            let (width, height) = size(*core);
            let mut paper = Pool::new().picture(head.output_format(), width, height).unwrap();
            fill(&mut paper, 0xA5);
            paper
        });
        papers.collect()
    }

    /// The items that write to `papers`.
    fn items(&self, papers: &mut [PictureBuf], whole: bool) -> Vec<Item> {
        let windows = self.windows.iter().zip(papers).enumerate();
        let items = windows.map(|(item, (&(window, core), paper))| {
            let core = core.scaled(self.head.scale());
            let corner = if whole { (0, 0) } else { (core.x, core.y) };
            Item::new(self.picture(item), window, core, corner, Some(paper))
        });
        items.collect()
    }

    /// What a kernel makes: of whole pictures in one launch, of parts each by itself, as their rows may lie differently
    /// far apart. `run` is given items, the largest core and how many items there are, and which is the first.
    fn on_papers(&self, whole: bool, run: impl Fn(&[Item], Target, [usize; 3], usize)) -> Vec<Vec<u16>> {
        let mut papers = self.papers(whole);
        let items = self.items(&mut papers, whole);
        let at_once = if whole { items.len() } else { 1 };
        for (launch, items) in items.chunks(at_once).enumerate() {
            let first = launch * at_once;
            let target = Target::of(&self.head, &mut papers[first]);
            let most = |index: usize| items.iter().map(|item| item.core[index] as usize).max().unwrap_or(0);
            run(items, target, [most(2), most(3), items.len()], first);
        }
        papers.into_iter().map(|paper| samples(&paper.freeze())).collect()
    }

    fn scatter(&self, kernels: &Kernels, before: &mut Tensor, after: &mut Tensor, whole: bool) -> Vec<Vec<u16>> {
        let (network, scale) = (&self.head.network, self.head.scale());
        let device = |tensor: &mut Tensor, port: &Port| DeviceTensor::of(tensor, port);
        let ports = (&network.input, &network.output);
        let (before, after) = (device(before, ports.0), device(after, ports.1));
        let moved = |tensor: &DeviceTensor, index: usize| {
            let bytes = [4, 2, 1][tensor.element as usize] * tensor.item * index as i64;
            DeviceTensor { data: tensor.data.wrapping_byte_add(bytes as usize), ..*tensor }
        };
        self.on_papers(whole, |items, target, [width, height, n], first| match &self.head.route {
            Route::Luma { back, .. } => {
                let (tensor, line, scale) = (moved(&after, first), *back, scale as i32);
                let arguments = LumaScatter { items: items.as_ptr(), target, tensor, line, scale };
                kernels.run("luma_scatter", &arguments, [width.div_ceil(32), height.div_ceil(8), n]);
            }
            Route::Rgb(route) => {
                let taps =
                    |of: fn(&ChromaRoute) -> DeviceTaps| route.chroma.as_ref().map_or_else(|| DeviceTaps::none(1), of);
                let arguments = Scatter {
                    items: items.as_ptr(),
                    source: Source::of(&self.pictures[0]),
                    target,
                    before: moved(&before, first),
                    after: moved(&after, first),
                    across: taps(|chroma| DeviceTaps::new(&chroma.down.horizontal, true)),
                    down: taps(|chroma| DeviceTaps::new(&chroma.down.vertical, false)),
                    m: route.from_rgb,
                    line: route.input_to_output.unwrap_or(Linear::IDENTITY),
                    neutral: route.neutral,
                    scale: scale as i32,
                    has_chroma: route.chroma.is_some().into(),
                    change_only: route.change_only.into(),
                    has_line: route.input_to_output.is_some().into(),
                };
                kernels.run("scatter", &arguments, [width.div_ceil(32), height.div_ceil(16), n]);
            }
            Route::Colors(_) => unreachable!("{NO_COLORS}"),
        })
    }

    fn scattered(&self, before: &Tensor, after: &Tensor, whole: bool) -> Vec<Vec<u16>> {
        let papers = self.papers(whole).into_iter().zip(&self.windows).enumerate();
        let papers = papers.map(|(item, (mut paper, &(window, core)))| {
            let answer = Answer { source: self.picture(item), input: before, output: after, item, window, core };
            self.head.scatter(answer, &mut paper, &mut Scratch::default()).unwrap();
            samples(&paper.freeze())
        });
        papers.collect()
    }

    /// The planes `planes`, by their bits, without the network.
    fn resize(&self, kernels: &Kernels, planes: u8, whole: bool) -> Vec<Vec<u16>> {
        let format = self.head.output_format();
        self.on_papers(whole, |items, target, [width, height, n], _| {
            let source = &self.pictures[0];
            let chroma = planes & 0b110 != 0;
            let log2 = if chroma { log2(format) } else { [0, 0] };
            let resizer = if chroma { &self.head.chroma } else { &self.head.luma };
            let length =
                source.format().planar().plane_size(if chroma { 1 } else { 0 }, source.width(), source.height());
            let taps = |axis: fn(&Resizer) -> &Taps, across, length| {
                resizer.as_ref().map_or_else(|| DeviceTaps::none(length), |r| DeviceTaps::new(axis(r), across))
            };
            let n_planes = planes.count_ones() as usize;
            let arguments = Resize {
                items: items.as_ptr(),
                source: Source::of(source),
                target,
                across: taps(|resizer| &resizer.horizontal, true, length.0),
                down: taps(|resizer| &resizer.vertical, false, length.1),
                first_plane: planes.trailing_zeros() as i32,
                n_planes: n_planes as i32,
                log2,
            };
            let columns = width.div_ceil(1 << log2[0]) + 1;
            let rows = height.div_ceil(1 << log2[1]) + 1;
            kernels.run("resize", &arguments, [columns.div_ceil(32), rows.div_ceil(8), n * n_planes]);
        })
    }

    fn resized(&self, planes: u8, whole: bool) -> Vec<Vec<u16>> {
        let papers = self.papers(whole).into_iter().zip(&self.windows).enumerate();
        let papers = papers.map(|(item, (mut paper, (_, core)))| {
            self.head.plain(self.picture(item), planes, *core, &mut paper, &mut Scratch::default()).unwrap();
            samples(&paper.freeze())
        });
        papers.collect()
    }
}

/// What a network might make: mostly within the range, some far beyond, some no numbers.
fn answer(setup: &Setup, seed: u64) -> Tensor {
    let port = &setup.head.network.output;
    let mut tensor = setup.tensor(port, setup.head.scale());
    let mut state = seed;
    let mut value = || match noise(&mut state) % 64 {
        0 => f32::NAN,
        1 => -3.0,
        2 => f32::INFINITY,
        _ => f32::from(noise(&mut state)) / 65535.0 * 1.3 - 0.15,
    };
    match tensor.element() {
        Element::F32 => tensor.as_f32_mut().iter_mut().for_each(|out| *out = value()),
        Element::F16 => tensor.as_f16_mut().iter_mut().for_each(|out| *out = f16::from_f32(value())),
        Element::U8 => tensor.bytes_mut().iter_mut().for_each(|out| *out = (value() * 255.0) as u8),
    }
    tensor
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn gathering_gives_the_same_tensor(case in cases()) {
        let Some(kernels) = kernels() else { return Ok(()) };
        let setup = case.setup();
        let (truth, got) = (setup.gathered(), setup.gather(kernels));
        let different = truth.bytes().iter().zip(got.bytes()).position(|(a, b)| a != b);
        prop_assert_eq!(different, None, "of {}", truth.bytes().len());
    }

    #[test]
    fn scattering_gives_the_same_planes_and_touches_nothing_else(case in cases(), whole in any::<bool>()) {
        let Some(kernels) = kernels() else { return Ok(()) };
        let setup = case.setup();
        let (mut before, mut after) = (setup.gathered(), answer(&setup, case.seed));
        let truth = setup.scattered(&before, &after, whole);
        prop_assert!(setup.scatter(kernels, &mut before, &mut after, whole) == truth);
    }

    #[test]
    fn resizing_gives_the_same_planes_and_touches_nothing_else(case in cases(), whole in any::<bool>()) {
        let Some(kernels) = kernels() else { return Ok(()) };
        let setup = case.setup();
        let alpha = if setup.pictures[0].format().alpha { vec![0b1000] } else { vec![] };
        let chroma = if setup.pictures[0].format().subsampling().is_some() { vec![0b110] } else { vec![] };
        for planes in [vec![0b1], chroma, alpha].concat() {
            let truth = setup.resized(planes, whole);
            prop_assert!(setup.resize(kernels, planes, whole) == truth, "planes {planes:b}");
        }
    }

    #[test]
    fn changes_are_the_same_bits_and_sums(
        format in prop::sample::select(FORMATS.to_vec()), size in (1usize..900, 1usize..90), seed in any::<u64>(),
        changes in prop::collection::vec(any::<(usize, usize)>(), 0..9),
    ) {
        let Some(kernels) = kernels() else { return Ok(()) };
        let format = PixelFormat::from_name(format).unwrap();
        let (one, all_noise) = (picture(format, size.0, size.1, seed), picture(format, size.0, size.1, !seed));
        for plane in 0..format.n_planes() {
            let view = one.plane(plane);
            // A copy in which a few samples are those of another picture.
            let (stride, mut copy) = (view.stride() + 10, Vec::new());
            for y in 0..view.height() {
                copy.extend_from_slice(view.row_bytes(y));
                copy.resize((y + 1) * stride, 0x5A);
            }
            for (x, y) in &changes {
                let (y, x) = (y % view.height(), x % (view.width() * view.bytes_per_sample()));
                copy[y * stride + x] = all_noise.plane(plane).row_bytes(y)[x];
            }
            let pair = if format.is_chroma(plane) && format.packing != Packing::Planar { 2 } else { 1 };
            let (columns, rows) = (view.width().div_ceil(pair * BLOCK), view.height().div_ceil(BLOCK));
            let n_words = columns.div_ceil(64);
            let aligned: Vec<u16> = bytemuck::pod_collect_to_vec(&copy);
            let bytes = view.bytes_per_sample();
            let other = crate::frame::PlaneView::new(bytemuck::cast_slice(&aligned), stride, view.width(), view.height(), bytes);
            let other = other.unwrap();
            let (mut bits, mut sums) = (vec![0; n_words * rows], vec![0; columns * rows]);
            for row in 0..rows {
                simd::Kernels::SCALAR.differing_blocks(&view, &other, row, pair * BLOCK, &mut bits[row * n_words..][..n_words]);
                simd::Kernels::SCALAR.block_errors(&view, &other, row, pair * BLOCK, &mut sums[row * columns..][..columns]);
            }
            let (mut got_bits, mut got_sums) = (vec![u64::MAX; bits.len()], vec![u64::MAX; sums.len()]);
            let arguments = ChangeMap {
                one: view.row_bytes(0).as_ptr(),
                other: other.row_bytes(0).as_ptr(),
                pitch_one: view.stride() as i64,
                pitch_other: stride as i64,
                bits: got_bits.as_mut_ptr(),
                sums: got_sums.as_mut_ptr(),
                width: view.width() as i32,
                height: view.height() as i32,
                bytes: bytes as i32,
                block_width: (pair * BLOCK) as i32,
                n_words: 2 * n_words as i32,
                unused: 0,
            };
            kernels.run("change", &arguments, [2 * n_words, rows.div_ceil(8), 1]);
            prop_assert_eq!((got_bits, got_sums), (bits, sums), "plane {}", plane);
        }
    }
}
