//! How long the conversions take.

use std::time::Instant;

use super::*;

/// Small enough for the L2 cache, as a worker's windows are.
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
