//! Whole networks against ONNX Runtime, and against themselves at other levels and windows.

mod random;
mod speed;

use std::path::Path;

use super::*;
use crate::infer::{EngineChoice, NoRows, ort};
use crate::model::onnx;
use crate::model::overrides::Overrides;
use crate::model::{NetworkCode, builtin, shared};

/// A network in a file; `None` for what is no picture network.
fn network_in(path: &Path) -> Option<Network> {
    let graph = onnx::load(path).ok()?;
    let facts = graph.facts.picture_facts(&Overrides::default()).ok()?;
    let name = path.file_name()?.to_string_lossy().into_owned();
    let (hash, code) = (graph.hash, NetworkCode::Onnx(graph.bytes));
    Some(Network { name, hash, origin: hash, facts, work: None, dial: None, code })
}

fn shared(name: &str) -> Option<Network> {
    shared::path(name).map(|path| network_in(&path).unwrap())
}

fn tensors(facts: &NetworkFacts, batch: usize, width: usize, height: usize) -> (Tensor, Tensor) {
    let [taken, given] = facts.shapes(batch, (width, height));
    let mut input = Tensor::new(facts.input.element, taken);
    let mut state = 1u32;
    let mut next = || {
        state = state.wrapping_mul(1664525).wrapping_add(1013904223);
        (state >> 24) as f32 / 255.0
    };
    match facts.input.element {
        Element::F32 => input.as_f32_mut().iter_mut().for_each(|value| *value = next()),
        Element::F16 => input.as_f16_mut().iter_mut().for_each(|value| *value = half::f16::from_f32(next())),
        Element::U8 => input.bytes_mut().iter_mut().for_each(|value| *value = (next() * 255.0) as u8),
    }
    (input, Tensor::new(facts.output.element, given))
}

fn networks() -> Vec<Network> {
    let files = [
        "bench_luma_x2_random_weights.onnx",
        "ArtCNN_R8F64.onnx",
        "DigitalFlim_SuperUltraCompact_x2_fp32.onnx",
        "DigitalFlim_SuperUltraCompact_x2_fp16.onnx",
        "HurrDeblur_SuperUltraCompact_x1_fp32.onnx",
        "identity_luma.onnx",
        "identity_rgb.onnx",
    ];
    let builtins = builtin::list().iter().map(builtin::Builtin::network);
    let builtins = builtins.filter(|network| matches!(network.code, NetworkCode::Onnx(_)));
    builtins.chain(files.into_iter().filter_map(shared)).collect()
}

/// The largest difference and the largest value, or `None` where ONNX Runtime does not run it.
fn difference(
    network: &Network,
    engine: &mut dyn Engine,
    reference: &mut ort::OrtEngine,
    size: (usize, usize),
) -> Option<(f32, f32)> {
    let batch = network.facts.fixed_batch.unwrap_or(1);
    let (input, mut output) = tensors(&network.facts, batch, size.0, size.1);
    let (_, mut truth) = tensors(&network.facts, batch, size.0, size.1);
    reference.run(&input, &mut truth).ok()?;
    engine.run(&input, &mut output).unwrap_or_else(|error| panic!("{error}"));
    let (is, truth) = (output.values(), truth.values());
    let largest = truth.iter().fold(0.0f32, |all, value| all.max(value.abs()));
    Some((is.iter().zip(&truth).fold(0.0f32, |all, (a, b)| all.max((a - b).abs())), largest))
}

fn has_runtime() -> bool {
    ort::library(EngineChoice::Ort).map_err(|error| println!("skipped: {error}")).is_ok()
}

/// Halves are kept to three digits, by ONNX Runtime between the layers too.
fn bound(network: &Network) -> f32 {
    let is_half = [network.facts.input.element, network.facts.output.element].contains(&Element::F16);
    if is_half { 5e-3 } else { 1e-5 }
}

#[test]
fn plain_networks_agree_with_onnx_runtime() {
    if !has_runtime() {
        return;
    }
    for network in networks() {
        let settings = EngineSettings::default();
        let mut engine = NativeEngine::new(&network, &settings).unwrap();
        let mut reference = ort::OrtEngine::new(&network, &settings).unwrap();
        for size in [(64, 48), (1, 1), (2, 3), (17, 5), (5, 33), (101, 37)] {
            let (error, largest) = difference(&network, &mut engine, &mut reference, size).unwrap();
            println!("{:44} {size:?} {:.1e}", network.name, error / largest);
            assert!(error <= bound(&network) * largest, "{} {size:?}: {error} of {largest}", network.name);
        }
    }
}

#[test]
fn made_networks_agree_or_are_refused_by_name() {
    if !has_runtime() {
        return;
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/models/data");
    let (mut n_run, mut n_refused) = (0, 0);
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let Some(network) = network_in(&path) else { continue };
        let settings = EngineSettings::default();
        let mut engine = match NativeEngine::new(&network, &settings) {
            Ok(engine) => engine,
            Err(error) => {
                println!("{error}");
                assert!(error.to_string().starts_with("the engine native does not run "), "{error}");
                n_refused += 1;
                continue;
            }
        };
        let mut reference = ort::OrtEngine::new(&network, &settings).unwrap();
        let m = network.facts.multiple_of;
        let size = network.facts.fixed_size.unwrap_or((20usize.next_multiple_of(m), 12usize.next_multiple_of(m)));
        let (error, largest) = difference(&network, &mut engine, &mut reference, size).unwrap();
        println!("{:44} {size:?} {:.1e}", network.name, error / largest);
        assert!(error <= bound(&network) * largest, "{}: {error} of {largest}", network.name);
        n_run += 1;
    }
    assert!(n_run >= 8 && n_refused >= 8, "{n_run} run, {n_refused} refused");
}

/// All bits of what comes out.
fn bits(engine: &mut NativeEngine, facts: &NetworkFacts, input: &Tensor) -> Vec<u32> {
    bits_at(engine, facts, input, 0)
}

/// All bits of what comes out of a window that begins at row `top`.
fn bits_at(engine: &mut NativeEngine, facts: &NetworkFacts, input: &Tensor, top: usize) -> Vec<u32> {
    let [n, c, h, w] = input.shape();
    let mut output = Tensor::new(Element::F32, [n, c, h * facts.scale, w * facts.scale]);
    engine.run_windows(input, &vec![top; n], &mut output).unwrap();
    output.as_f32().iter().map(|value| value.to_bits()).collect()
}

#[test]
fn windows_rows_batches_and_levels_give_the_same_bits() {
    networks().iter().for_each(check_bits);
}

/// A second run, other levels, windows and batches give the bits of the whole picture.
fn check_bits(network: &Network) {
    let facts = &network.facts;
    if let Some(radius) = facts.radius.filter(|_| facts.input.element == Element::F32) {
        let engine = |level| NativeEngine::at(network, &EngineSettings::default(), level, None).unwrap();
        let (width, height) = (2 * radius + 29, 2 * radius + 21);
        let (input, _) = tensors(facts, 1, width, height);
        let mut best = engine(Level::detect());
        let whole = bits(&mut best, facts, &input);
        assert_eq!(whole, bits(&mut best, facts, &input), "{}: a second run", network.name);
        if width * height < 3000 {
            for level in [Level::Scalar, Level::Avx2] {
                assert!(whole == bits(&mut engine(level), facts, &input), "{} {level}", network.name);
            }
        }
        let channels = facts.input.channels.count();
        // Windows of other sizes at odd places, their cores a radius inside or at the picture's edge.
        for (x, y, w, h) in [
            (0, 0, radius + 5, radius + 3),
            (3, 1, 2 * radius + 7, 2 * radius + 9),
            (width - radius - 9, height - radius - 4, radius + 9, radius + 4),
        ] {
            let mut window = Tensor::new(Element::F32, [1, channels, h, w]);
            for row in 0..channels * h {
                let from = (row / h * height + y + row % h) * width + x;
                window.as_f32_mut()[row * w..][..w].copy_from_slice(&input.as_f32()[from..from + w]);
            }
            let part = bits_at(&mut best, facts, &window, y);
            let s = facts.scale;
            let kept = |at: usize, length: usize, whole: usize| {
                let end = if at + length == whole { length } else { length - radius };
                (if at == 0 { 0 } else { radius }) * s..end * s
            };
            for (channel, row) in (0..channels).flat_map(|c| kept(y, h, height).map(move |row| (c, row))) {
                for column in kept(x, w, width) {
                    let inside = part[(channel * h * s + row) * w * s + column];
                    let outside = whole[(channel * height * s + y * s + row) * width * s + x * s + column];
                    assert_eq!(inside, outside, "{} at {x},{y} {w}x{h}: {column},{row}", network.name);
                }
            }
        }
        if facts.fixed_batch.is_none() {
            let (two, _) = tensors(facts, 2, 9, 7);
            let mut one = Tensor::new(Element::F32, [1, channels, 7, 9]);
            one.as_f32_mut().copy_from_slice(&two.as_f32()[channels * 63..]);
            let both = bits(&mut best, facts, &two);
            assert_eq!(both[both.len() / 2..], bits(&mut best, facts, &one), "{}: in a batch", network.name);
        }
    }
}

#[test]
fn rows_of_the_bench_network_at_1080p_take_under_4_megabytes() {
    let Some(network) = shared("bench_luma_x2_random_weights.onnx") else { return };
    let mut engine = NativeEngine::new(&network, &EngineSettings::default()).unwrap();
    engine.run_rows((1920, 16), 0, &mut NoRows).unwrap();
    println!("{} bytes", engine.row_bytes());
    assert!(engine.row_bytes() < 4 << 20);
    // What is planned with is what is taken.
    let planned = bytes_per_column(&network, Precision::F32).unwrap() as f64 * 1920.0;
    assert!((planned / engine.row_bytes() as f64 - 1.0).abs() < 0.1, "{planned}");
}

#[test]
fn bf16_is_near_f32_and_the_same_in_windows() {
    let all = Bf16::all();
    if all.is_empty() {
        return println!("skipped: neither AMX nor AVX512-BF16 here");
    }
    let networks = networks();
    let networks = networks.iter().filter(|network| network.facts.input.element == Element::F32);
    for (network, bf16) in networks.flat_map(|network| all.iter().map(move |bf16| (network, *bf16))) {
        let facts = &network.facts;
        let engine = |bf16| NativeEngine::at(network, &EngineSettings::default(), Level::detect(), bf16).unwrap();
        let (mut exact, mut near) = (engine(None), engine(Some(bf16)));
        for (width, height) in [(1, 1), (3, 2), (15, 4), (16, 9), (17, 5), (63, 6), (64, 3), (65, 20), (130, 33)] {
            let (input, mut truth) = tensors(facts, 1, width, height);
            let (_, mut output) = tensors(facts, 1, width, height);
            exact.run(&input, &mut truth).unwrap();
            near.run(&input, &mut output).unwrap();
            let (is, truth) = (output.values(), truth.values());
            let largest = truth.iter().fold(0.0f32, |all, value| all.max(value.abs()));
            let error = is.iter().zip(&truth).fold(0.0f32, |all, (a, b)| all.max((a - b).abs()));
            println!("{:44} {} {width}x{height} {:.1e}", network.name, bf16.name(), error / largest);
            assert!(error <= 0.05 * largest, "{} {width}x{height}: {error} of {largest}", network.name);
            // The upper rows of a picture do not see its last ones.
            let radius = facts.radius.unwrap_or(height);
            if height > 2 * radius + 3 {
                let (channels, rows) = (facts.input.channels.count(), height - 3);
                let mut upper = Tensor::new(Element::F32, [1, channels, rows, width]);
                for channel in 0..channels {
                    let from = &input.as_f32()[channel * height * width..][..rows * width];
                    upper.as_f32_mut()[channel * rows * width..][..rows * width].copy_from_slice(from);
                }
                let kept = (rows - radius) * facts.scale * width * facts.scale;
                let (part, whole) = (bits(&mut near, facts, &upper), bits(&mut near, facts, &input));
                assert_eq!(part[..kept], whole[..kept], "{} {width}x{height}", network.name);
            }
        }
    }
}

#[test]
fn a_stopped_engine_stays_stopped_and_says_why() {
    let network = builtin::find("upscale-x2").unwrap();
    let settings = EngineSettings::default();
    let mut engine = NativeEngine::new(&network, &settings).unwrap();
    settings.stop.stop(Kind::Interrupted, "enough");
    for _ in 0..2 {
        let error = engine.run_rows((8, 8), 0, &mut NoRows).unwrap_err();
        assert_eq!((error.kind(), error.to_string().as_str()), (Kind::Interrupted, "enough"));
    }
}

#[test]
fn tensors_of_the_wrong_shape_are_refused() {
    let network = builtin::find("upscale-x2").unwrap();
    let mut engine = NativeEngine::new(&network, &EngineSettings::default()).unwrap();
    let input = Tensor::new(Element::F32, [1, 1, 4, 4]);
    for shape in [[1, 1, 4, 4], [1, 1, 8, 9], [2, 1, 8, 8], [1, 2, 8, 8]] {
        assert!(engine.run(&input, &mut Tensor::new(Element::F32, shape)).is_err(), "{shape:?}");
    }
    let wide = Tensor::new(Element::F32, [1, 3, 4, 4]);
    assert!(engine.run(&wide, &mut Tensor::new(Element::F32, [1, 1, 8, 8])).is_err());
}
