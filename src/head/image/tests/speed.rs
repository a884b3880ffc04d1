//! How long the conversions take.

use rustix::time::{ClockId, clock_gettime};

use super::*;

/// Small enough for the L2 cache, and whole frames.
const SIZES: [(usize, usize); 3] = [(320, 180), (1920, 1080), (3840, 2160)];

/// Milliseconds a megapixel of the ways there and back, on one core; run with `--ignored --nocapture`.
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
        for (width, height) in SIZES {
            let picture = picture(PixelFormat::from_name(name).unwrap(), width, height, 1);
            let network = network(channels, Layout::Nchw, element, scale);
            let [gather, scatter, rest, rows] = best_times(&network, &picture);
            println!(
                "{name} {channels:?} x{scale} {element:?} {width}x{height}: \
                 gather {gather:.2}, scatter {scatter:.2}, rest {rest:.2}, both by rows {rows:.2} ms/Mpx"
            );
        }
    }
}

/// Milliseconds that this thread has computed, whoever else wants the core.
fn cpu_milliseconds() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e3 + time.tv_nsec as f64 / 1e6
}

/// The shortest times of gathering, scattering and finishing a whole picture, and of reading and writing its rows, a
/// megapixel: of the input for gathering, else of the output.
fn best_times(network: &NetworkFacts, picture: &Picture) -> [f64; 4] {
    let (width, height) = (picture.width(), picture.height());
    let head = head(network, picture, ColorTags::NONE);
    let window = Rect::new(0, 0, width, height);
    let mut input = tensor(&network.input, width, height);
    let output = tensor(&network.output, width * network.scale, height * network.scale);
    let mut scratch = Scratch::default();
    let mut out = Pool::new().picture(head.output_format(), head.output_size().0, head.output_size().1).unwrap();
    let mut best = [f64::MAX; 4];
    let n = network.input.channels.count();
    let mut row = vec![0.5; n * width * network.scale];
    for _ in 0..(1 << 22) / (width * height) + 5 {
        let start = cpu_milliseconds();
        head.gather(picture, window, &mut input, 0, &mut scratch).unwrap();
        let gathered = cpu_milliseconds();
        let answer = Answer { source: picture, input: &input, output: &output, item: 0, window, core: window };
        head.scatter(answer, &mut out, &mut scratch).unwrap();
        let scattered = cpu_milliseconds();
        head.finish_planes(picture, &mut out, &mut scratch).unwrap();
        let finished = cpu_milliseconds();
        let mut rows = head.rows(picture, &mut out, window, window, &mut scratch).unwrap();
        for y in 0..height {
            rows.read(y, &mut row.chunks_exact_mut(width).take(n).collect::<Vec<_>>());
            let answer: Vec<_> = row.chunks_exact(width * network.scale).collect();
            (0..network.scale).for_each(|below| rows.write(y * network.scale + below, &answer));
        }
        let spans = [gathered - start, scattered - gathered, finished - scattered, cpu_milliseconds() - finished];
        for (best, span) in best.iter_mut().zip(spans) {
            *best = best.min(span);
        }
    }
    let src = (width * height) as f64 / 1e6;
    let dst = src * (network.scale * network.scale) as f64;
    [best[0] / src, best[1] / dst, best[2] / dst, best[3] / dst]
}
