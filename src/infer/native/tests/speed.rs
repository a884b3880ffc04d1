//! Milliseconds of CPU a picture beside ONNX Runtime and OpenVINO on one core, printed, never asserted:
//! `VPROC_SLOW_TESTS=1 ORT_DYLIB_PATH=.../openvino/libonnxruntime.so cargo test --release --lib native::tests::speed --
//! --nocapture --test-threads=1`. `VPROC_SPEED=bench,960x540` picks networks and sizes by parts of their names;
//! `VPROC_SPEED_FILES=a.onnx:b.onnx` takes these instead and measures them in turn with each other.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use super::*;
use crate::infer::open;

/// What runs are shared among, in turn; of each the shortest run counts.
const TURNS: usize = 7;

/// What the process has computed so far: other programs on the machine do not count.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

#[test]
fn speed() {
    if std::env::var_os("VPROC_SLOW_TESTS").is_none() {
        return println!("skipped: set VPROC_SLOW_TESTS to measure");
    }
    let wanted = std::env::var("VPROC_SPEED").unwrap_or_else(|_| "480x270".to_owned());
    let peak = peak();
    println!("{:46} {:>8} {:>24} {:>10}", "network", "size", "ms", "of native");
    let sizes = [(480, 270), (960, 540)].into_iter();
    if let Some(files) = std::env::var_os("VPROC_SPEED_FILES") {
        let networks: Vec<Network> = std::env::split_paths(&files).filter_map(|path| network_in(&path)).collect();
        let is_wanted = |(width, height)| wanted.contains(&format!("{width}x{height}"));
        return sizes.filter(|size| is_wanted(*size)).for_each(|size| compare(&networks, size, peak));
    }
    for network in networks().iter().filter(|network| !network.name.contains("identity")) {
        for size in sizes.clone() {
            let name = format!("{} {}x{}", network.name, size.0, size.1);
            if wanted.split(',').all(|part| name.contains(part)) {
                compare(std::slice::from_ref(network), size, peak);
            }
        }
    }
}

fn compare(networks: &[Network], (width, height): (usize, usize), peak: f64) {
    let ways = [
        (EngineChoice::Native, Precision::F32),
        (EngineChoice::Native, Precision::Bf16),
        (EngineChoice::Ort, Precision::F32),
        (EngineChoice::OpenVino, Precision::F32),
        (EngineChoice::OpenVino, Precision::Bf16),
    ];
    let engine = |network, (choice, precision)| {
        let settings = EngineSettings { choice, precision, threads: 1, ..EngineSettings::default() };
        Some((network, choice, precision, open(network, &settings).ok()?, Duration::MAX))
    };
    let all = networks.iter().flat_map(|network| ways.into_iter().filter_map(move |way| engine(network, way)));
    let mut engines: Vec<_> = all.collect();
    for _ in 0..TURNS {
        for (network, _, _, engine, shortest) in &mut engines {
            let (input, mut output) = tensors(&network.facts, 1, width, height);
            let start = cpu_time();
            engine.run(&input, &mut output).unwrap();
            *shortest = (cpu_time() - start).min(*shortest);
        }
    }
    let native = engines[0].4.as_secs_f64();
    for (network, choice, precision, _, shortest) in &engines {
        let NetworkCode::Onnx(bytes) = &network.code else { return };
        let per_pixel = onnx::from_bytes(bytes.clone()).unwrap().facts.multiply_adds_per_pixel.unwrap_or(0.0);
        let (operations, seconds) = (per_pixel * 2.0 * (width * height) as f64, shortest.as_secs_f64());
        println!(
            "{:46} {width}x{height} {:9}{:5} {:9.2} {:9.2}x {:5.0} GFLOP/s, {:.0} % of the f32 peak",
            network.name,
            format!("{choice:?}"),
            format!("{precision:?}"),
            seconds * 1e3,
            seconds / native,
            operations / seconds / 1e9,
            operations / seconds / peak * 100.0,
        );
    }
}

/// Floating point operations a second of this core in a convolution that has all it reads in the first-level cache.
fn peak() -> f64 {
    let weights = kernel::Weights::new(&vec![0.5; 8 * 64 * 3], vec![0.0; 8], 64, [1, 3]);
    let mut memory = vec![0.25; 4096];
    let inputs: Vec<usize> = (0..64).map(|at| at * 16).collect();
    let outputs: Vec<usize> = (0..8).map(|at| 2048 + at * 64).collect();
    let row = kernel::ConvRow {
        inputs: &inputs,
        dilation: 16,
        outputs: &outputs,
        residual: &[],
        activation: &kernel::Activation::None,
        first_channel: 0,
        width: 48,
    };
    let mut best = Duration::MAX;
    for _ in 0..50 {
        let start = cpu_time();
        (0..100).for_each(|_| kernel::conv_row(Kernel::at(Level::detect()), &mut memory, &weights, &row));
        best = best.min(cpu_time() - start);
    }
    let peak = 100.0 * 2.0 * (8 * 64 * 3 * 48) as f64 / best.as_secs_f64();
    println!("peak of the kernel on this core: {:.0} GFLOP/s", peak / 1e9);
    peak
}
