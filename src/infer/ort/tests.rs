//! Results against ONNX Runtime called from Python (`tests/oracle/infer.py`), parallel sessions, batches, stopping, and
//! what must be refused. Skipped with a line where the library or the shared networks are missing.

mod detectors;

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::*;
use crate::infer::{choose, facts, open, suited};
use crate::model::probe::probe;
use crate::model::{Channels, Layout, NetworkFacts, builtin};

/// The library, or a printed reason to skip.
fn library_or_skip(test: &str) -> Option<&'static LibraryFacts> {
    library(EngineChoice::Ort).map_err(|error| println!("skipped {test}: {error}")).ok()
}

fn bytes(path: impl AsRef<Path>) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// An ONNX network with the usual names and NCHW order, [0, 1] in and out.
fn network(code: Vec<u8>, element: Element, channels: Channels, scale: usize) -> Network {
    let mut network = builtin::find("identity").unwrap();
    network.facts.scale = scale;
    for port in [&mut network.facts.input, &mut network.facts.output] {
        (port.element, port.channels) = (element, channels);
    }
    network.code = NetworkCode::Onnx(code.into());
    network
}

/// Catmull-Rom as a network of three operators.
fn bicubic() -> Network {
    network(bytes("tests/data/networks/bicubic_x2.onnx"), Element::F32, Channels::Luma, 2)
}

/// A network of the shared folder, or a printed reason to skip.
fn shared(file: &str, element: Element, channels: Channels, scale: usize) -> Option<Network> {
    let folders = ["/work/shared/data/models", "../shared/data/models", "shared/data/models"];
    let path = folders.iter().map(|folder| Path::new(folder).join(file)).find(|path| path.is_file());
    if path.is_none() {
        println!("skipped {file}: the folder with the shared networks is missing");
    }
    Some(network(std::fs::read(path?).unwrap(), element, channels, scale))
}

fn settings(choice: EngineChoice) -> EngineSettings {
    EngineSettings { choice, ..EngineSettings::default() }
}

fn engine(network: &Network) -> OrtEngine {
    OrtEngine::new(network, &settings(EngineChoice::Ort)).unwrap()
}

fn tensors(facts: &NetworkFacts, batch: usize, width: usize, height: usize) -> (Tensor, Tensor) {
    let [taken, given] = facts.shapes(batch, (width, height));
    (Tensor::new(facts.input.element, taken), Tensor::new(facts.output.element, given))
}

/// Repeatable noise in [0, 1].
fn fill(tensor: &mut Tensor) {
    let mut state = 1u32;
    for value in tensor.as_f32_mut() {
        state = state.wrapping_mul(1664525).wrapping_add(1013904223);
        *value = (state >> 24) as f32 / 255.0;
    }
}

/// The largest difference to what Python got for the same input.
fn difference(
    network: &Network,
    reference: &str,
    [batch, width, height]: [usize; 3],
    settings: &EngineSettings,
) -> f32 {
    let (mut input, mut output) = tensors(&network.facts, batch, width, height);
    let file = bytes(format!("tests/data/infer/{reference}.bin"));
    let (given, expected) = file.split_at(input.bytes().len());
    input.bytes_mut().copy_from_slice(given);
    let mut truth = Tensor::new(output.element(), output.shape());
    truth.bytes_mut().copy_from_slice(expected);
    OrtEngine::new(network, settings).unwrap().run(&input, &mut output).unwrap();
    let pairs = output.values().into_iter().zip(truth.values());
    pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

fn blur_u8() -> Network {
    let code = bytes("tests/data/networks/blur_u8_nhwc.onnx");
    let mut network = network(code, Element::U8, Channels::Rgb, 1);
    for port in [&mut network.facts.input, &mut network.facts.output] {
        port.layout = Layout::Nhwc;
    }
    network
}

/// Each network with a reference: name, sizes, and the bound, which is 0 on the CPU that made the references. Another
/// CPU sums in another order; 1/255 is a code value.
fn references() -> Vec<(Network, &'static str, [usize; 3], f32)> {
    let flim = |bits| format!("DigitalFlim_SuperUltraCompact_x2_{bits}.onnx");
    let mut artcnn = shared("ArtCNN_R8F64.onnx", Element::F32, Channels::Luma, 2);
    if let Some(network) = &mut artcnn {
        network.facts.output.name = "functional_1/depth_to_space_1/DepthToSpace:0".into();
        network.facts.fixed_batch = Some(1);
    }
    let hurr = shared("HurrDeblur_SuperUltraCompact_x1_fp32.onnx", Element::F32, Channels::Rgb, 1);
    let bench = shared("bench_luma_x2_random_weights.onnx", Element::F32, Channels::Luma, 2);
    let all = [
        (Some(bicubic()), "bicubic_x2", [2, 14, 9], 1e-5),
        (Some(blur_u8()), "blur_u8_nhwc", [2, 13, 11], 1.0),
        (bench, "bench_luma_x2", [1, 28, 20], 1e-5),
        (shared(&flim("fp32"), Element::F32, Channels::Rgb, 2), "digitalflim_fp32", [1, 20, 24], 1e-4),
        (shared(&flim("fp16"), Element::F16, Channels::Rgb, 2), "digitalflim_fp16", [1, 20, 24], 4e-3),
        (artcnn, "artcnn", [1, 28, 20], 1e-4),
        (hurr, "hurrdeblur", [1, 20, 24], 1e-4),
    ];
    all.into_iter().filter_map(|(network, name, sizes, bound)| Some((network?, name, sizes, bound))).collect()
}

#[test]
fn results_are_those_of_onnx_runtime_called_from_python() {
    if library_or_skip("results").is_none() {
        return;
    }
    for (network, name, sizes, bound) in references() {
        let difference = difference(&network, name, sizes, &settings(EngineChoice::Ort));
        println!("{name}: {difference:e}");
        assert!(difference <= bound, "{name}: {difference} > {bound}");
    }
}

/// The processors that each thread of this process may use, as the kernel writes them.
fn processors() -> Vec<String> {
    let threads = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    let status = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("status")).ok());
    let allowed =
        |text: String| Some(text.lines().find_map(|line| line.strip_prefix("Cpus_allowed:"))?.trim().to_owned());
    status.filter_map(allowed).collect()
}

#[test]
fn openvino_in_f32_gives_the_same_within_rounding() {
    let Some(library) = library_or_skip("openvino") else { return };
    if !library.openvino {
        println!("skipped openvino: {} has none; set ORT_DYLIB_PATH to a build with it", library.path.display());
        return;
    }
    // OpenVINO leaves graphs of so few operators to ONNX Runtime; that is refused, not hidden.
    let small = bicubic();
    let error = open(&small, &settings(EngineChoice::OpenVino)).err().unwrap();
    assert!(error.to_string().contains("use --engine ort"), "{error}");
    assert_ne!(choose(&small, &EngineSettings::default()).unwrap().choice, EngineChoice::OpenVino);

    let bf16 = EngineSettings { precision: Precision::Bf16, ..settings(EngineChoice::OpenVino) };
    for (network, name, sizes, bound) in references().into_iter().filter(|reference| reference.1 != "bicubic_x2") {
        let difference = difference(&network, name, sizes, &settings(EngineChoice::OpenVino));
        let low = self::difference(&network, name, sizes, &bf16);
        let chosen = choose(&network, &EngineSettings::default()).unwrap();
        println!("{name}: {difference:e}, bf16 {low:e}, auto takes {}", facts(&network, &chosen).unwrap());
        assert!(difference <= bound.max(1e-4), "{name}: {difference}");
        assert_eq!(chosen.precision, Precision::F32);
        let mut engine = OrtEngine::new(&network, &settings(EngineChoice::OpenVino)).unwrap();
        let (input, mut right) = tensors(&network.facts, sizes[0], 24, 20);
        let (_, mut small) = tensors(&network.facts, sizes[0], 20, 16);
        for _ in 0..2 {
            let error = engine.run(&input, &mut small).unwrap_err();
            assert!(error.to_string().contains("scale or layout"), "{error}");
            engine.run(&input, &mut right).unwrap();
        }
        // A thread that is bound to a processor would share it with that of the next session.
        let n_bound = thread::scope(|scope| {
            let running = scope.spawn(|| (0..200).try_for_each(|_| engine.run(&input, &mut right)));
            let mut n_bound = 0;
            while !running.is_finished() {
                let processors = processors();
                n_bound += processors.iter().filter(|of_thread| **of_thread != processors[0]).count();
            }
            running.join().unwrap().unwrap();
            n_bound
        });
        assert_eq!(n_bound, 0, "{name}");
    }
}

#[test]
fn an_engine_that_the_library_lacks_is_refused_in_one_line() {
    let Some(library) = library_or_skip("refusals") else { return };
    let network = bicubic();
    if !library.openvino {
        let error = open(&network, &settings(EngineChoice::OpenVino)).err().unwrap();
        assert_eq!(error.kind(), Kind::Library);
        assert!(error.to_string().contains("has no OpenVINO; run `make openvino`"), "{error}");
    }
    let bf16 = EngineSettings { precision: Precision::Bf16, ..settings(EngineChoice::Ort) };
    assert_eq!(open(&network, &bf16).err().unwrap().kind(), Kind::Usage);
}

#[test]
fn a_device_without_its_libraries_is_refused_in_one_line() {
    let Some(library) = library_or_skip("cuda") else { return };
    if library.cuda && Path::new("/dev/nvidiactl").exists() {
        println!("skipped: {} is built for CUDA, and there is a driver", library.path.display());
        return;
    }
    let devices = Some(Arc::new(crate::gpu::Devices::imagined()));
    let error = OrtEngine::new(&bicubic(), &EngineSettings { devices, ..settings(EngineChoice::Ort) }).err().unwrap();
    assert_eq!(error.kind(), Kind::Library);
    let text = error.to_string();
    let expected = match library.cuda {
        true => "cannot run on cuda:0 (NVIDIA Imagined): ",
        false => "is no ONNX Runtime for CUDA, libonnxruntime_providers_cuda.so is not beside it; run `make cuda`",
    };
    assert!(text.contains(expected) && text.ends_with("use --device cpu") && !text.contains('\n'), "{text}");
    println!("{text}");
}

/// ONNX Runtime's own kernels in the place of a device's.
fn as_if_on(network: &Network, workers: usize) -> OrtEngine {
    let mut engine = engine(network);
    engine.on_device = Some(OnDevice::new(Arc::new(crate::gpu::Device::imagined(workers))).unwrap());
    engine
}

#[test]
fn windows_together_one_by_one_and_in_parts_give_the_same() {
    if library_or_skip("batches").is_none() {
        return;
    }
    let network = bicubic();
    let (mut input, mut truth) = tensors(&network.facts, 5, 24, 16);
    fill(&mut input);
    engine(&network).run(&input, &mut truth).unwrap();
    let mut engine = as_if_on(&network, 1);
    let (_, mut output) = tensors(&network.facts, 5, 24, 16);
    let mut check = |engine: &mut OrtEngine| {
        output.bytes_mut().fill(0xA5);
        engine.run(&input, &mut output).unwrap();
        assert!(output.bytes() == truth.bytes());
    };
    // Tried, then known.
    check(&mut engine);
    let shape = input.shape();
    let key = [shape[1], shape[2], shape[3]];
    assert_eq!(engine.on_device.as_ref().unwrap().may_join(5, key), Some(true));
    check(&mut engine);
    // As if they had not been the same.
    let mut engine = as_if_on(&network, 1);
    engine.on_device.as_mut().unwrap().joined(5, key, false);
    check(&mut engine);
}

#[test]
fn the_library_and_the_engine_are_named_for_the_report() {
    let Some(library) = library_or_skip("facts") else { return };
    assert!(library.path.is_absolute());
    assert!(library.version.starts_with("1."), "{}", library.version);
    let facts = facts(&bicubic(), &settings(EngineChoice::Ort)).unwrap();
    assert_eq!(facts.to_string(), format!("ort {} cpu", library.version));
    let test = super::super::facts(&builtin::find("identity").unwrap(), &EngineSettings::default()).unwrap();
    assert_eq!(test.to_string(), "test");
}

#[test]
fn networks_written_in_blocks_give_the_same_values() {
    let Some(library) = library_or_skip("blocks") else { return };
    for choice in [EngineChoice::Ort, EngineChoice::OpenVino] {
        if choice == EngineChoice::OpenVino && !library.openvino {
            println!("skipped blocks with OpenVINO: {} has none", library.path.display());
        } else {
            written_in_blocks(&settings(choice));
        }
    }
}

/// Compares what networks give as they are and written in blocks.
fn written_in_blocks(settings: &EngineSettings) {
    let run = |network: &Network, input: &Tensor, output: &mut Tensor| {
        OrtEngine::new(network, settings).unwrap().run(input, output).unwrap();
    };
    let of_the_program = ["upscale-x2", "upscale-x2-fast", "restore"].map(|name| (builtin::find(name).unwrap(), name));
    // OpenVINO refuses graphs of so few operators.
    let is_small = |name: &str| settings.choice == EngineChoice::OpenVino && name == "bicubic_x2";
    let referenced = references().into_iter().map(|(network, name, _, _)| (network, name));
    let referenced = referenced.filter(|(_, name)| !is_small(name));
    let mut n_written = 0;
    for (network, name) in of_the_program.into_iter().chain(referenced) {
        for (width, height) in [(40, 24), (42, 26), (4, 8), (2, 2)] {
            let written = suited(network.clone(), settings, (width, height)).unwrap();
            let multiple = written.facts.multiple_of;
            if written.hash == network.hash {
                continue;
            }
            n_written += 1;
            assert!(multiple > 1 && width % multiple == 0 && height % multiple == 0, "{name}: {multiple}");
            let (mut input, mut expected) =
                tensors(&network.facts, network.facts.fixed_batch.unwrap_or(2), width, height);
            let mut output = Tensor::new(expected.element(), expected.shape());
            match input.element() {
                Element::F32 => fill(&mut input),
                _ => input.bytes_mut().iter_mut().enumerate().for_each(|(at, byte)| *byte = (at * 37 % 51) as u8),
            }
            run(&network, &input, &mut expected);
            run(&written, &input, &mut output);
            let pairs = output.values().into_iter().zip(expected.values());
            let difference = pairs.map(|(a, b)| (a - b).abs() / b.abs().max(1.0)).fold(0.0, f32::max);
            println!("{name} {width}x{height}, multiples of {multiple}: {difference:e}");
            assert!(difference <= 1e-6, "{name}: {difference:e}");
        }
        let odd = suited(network.clone(), settings, (41, 24)).unwrap();
        assert_eq!((odd.hash, odd.facts), (network.hash, network.facts), "{name}");
    }
    assert!(n_written >= 12, "{n_written}");
}

#[test]
fn sessions_in_parallel_threads_give_the_same_bits() {
    if library_or_skip("parallel sessions").is_none() {
        return;
    }
    let network = bicubic();
    let (mut input, mut expected) = tensors(&network.facts, 1, 161, 121);
    fill(&mut input);
    engine(&network).run(&input, &mut expected).unwrap();
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut engine = engine(&network);
                for _ in 0..10 {
                    let mut output = Tensor::new(Element::F32, expected.shape());
                    engine.run(&input, &mut output).unwrap();
                    assert_eq!(output.bytes(), expected.bytes());
                }
            });
        }
    });
}

#[test]
fn each_picture_of_a_batch_is_what_it_is_alone() {
    if library_or_skip("batches").is_none() {
        return;
    }
    for (network, name, _, _) in references() {
        if network.facts.input.element != Element::F32 || network.facts.fixed_batch.is_some() {
            continue;
        }
        let (mut input, mut output) = tensors(&network.facts, 5, 40, 33);
        let (mut one, mut alone) = tensors(&network.facts, 1, 40, 33);
        fill(&mut input);
        let mut engine = engine(&network);
        engine.run(&input, &mut output).unwrap();
        let (from, to) = (one.bytes().len(), alone.bytes().len());
        for (given, expected) in input.bytes().chunks_exact(from).zip(output.bytes().chunks_exact(to)) {
            one.bytes_mut().copy_from_slice(given);
            engine.run(&one, &mut alone).unwrap();
            assert_eq!(alone.bytes(), expected, "{name}");
        }
    }
}

#[test]
fn the_probe_confirms_the_radius_of_plain_convolution_networks() {
    if library_or_skip("probe").is_none() {
        return;
    }
    for (mut network, name, _, _) in references() {
        let radius = match name {
            "bicubic_x2" => 2,
            "blur_u8_nhwc" => 1,
            "bench_luma_x2" => 6,
            "artcnn" => 27,
            _ => 10,
        };
        network.facts.radius = Some(radius);
        if network.facts.input.element == Element::U8 {
            (network.facts.input.white, network.facts.output.white) = (255.0, 255.0);
        }
        let start = Instant::now();
        let mut engine = engine(&network);
        let report = probe(&mut |input, _, output| engine.run(input, output), &network.facts).unwrap();
        println!("{name}: {report:?} in {:?}", start.elapsed());
        assert!(report.tiling_exact, "{name}: {report:?}");
        assert!(report.observed_radius <= radius && report.observed_radius + 3 >= radius, "{name}: {report:?}");
    }
}

#[test]
fn wrong_shapes_are_errors_that_name_both_and_the_session_stays_usable() {
    if library_or_skip("wrong shapes").is_none() {
        return;
    }
    let network = bicubic();
    let mut engine = engine(&network);
    let input = Tensor::new(Element::F32, [1, 1, 8, 10]);
    for shape in [[1, 1, 8, 10], [1, 1, 20, 16], [1, 4, 16, 20], [2, 1, 16, 20], [1, 1, 0, 0]] {
        let error = engine.run(&input, &mut Tensor::new(Element::F32, shape)).unwrap_err();
        let expected = format!("gives 1x1x16x20 for an input of 1x1x8x10, expected {}", shape_text(&shape));
        assert!(error.to_string().contains(&expected), "{error}");
    }
    let channels = Tensor::new(Element::F32, [1, 3, 8, 10]);
    let error = engine.run(&channels, &mut Tensor::new(Element::F32, [1, 3, 16, 20])).unwrap_err();
    println!("{error}");
    assert_eq!(error.kind(), Kind::Network);
    engine.run(&input, &mut Tensor::new(Element::F32, [1, 1, 16, 20])).unwrap();
}

#[test]
fn a_fixed_size_is_named_when_another_is_given() {
    if library_or_skip("fixed size").is_none() {
        return;
    }
    let network = network(bytes("tests/data/networks/fixed_16x16.onnx"), Element::F32, Channels::Luma, 1);
    let (input, mut output) = tensors(&network.facts, 1, 17, 16);
    let error = engine(&network).run(&input, &mut output).unwrap_err();
    println!("{error}");
    assert!(error.to_string().contains("17") && !error.to_string().contains('\n'), "{error}");
    assert_eq!(error.kind(), Kind::Network);
}

#[test]
fn what_a_graph_asks_for_in_vain_is_the_networks_fault() {
    if library_or_skip("kinds of errors").is_none() {
        return;
    }
    let of = |code, message: &str| kind(&::ort::Error::new_with_code(code, message));
    for code in [ErrorCode::InvalidArgument, ErrorCode::NotImplemented, ErrorCode::InvalidGraph] {
        assert_eq!(of(code, "Dilation not supported for AutoPadType"), Kind::Network);
        assert_eq!(of(code, "Failed to allocate memory for requested buffer"), Kind::Infer);
    }
    for code in [ErrorCode::GenericFailure, ErrorCode::RuntimeException, ErrorCode::ExecutionProviderFailure] {
        assert_eq!(of(code, "it broke"), Kind::Infer);
    }
}

#[test]
fn facts_that_do_not_fit_the_graph_are_refused() {
    if library_or_skip("facts against graph").is_none() {
        return;
    }
    let good = bicubic();
    let refused = |change: fn(&mut Network)| {
        let mut network = good.clone();
        change(&mut network);
        let error = OrtEngine::new(&network, &settings(EngineChoice::Ort)).err().unwrap();
        println!("{error}");
        assert_eq!(error.kind(), Kind::Network);
        assert!(!error.to_string().contains('\n'));
    };
    refused(|network| network.facts.input.name = "picture".into());
    refused(|network| network.facts.output.name = "picture".into());
    refused(|network| network.facts.input.element = Element::F16);
    refused(|network| network.facts.output.element = Element::U8);
    refused(|network| network.code = NetworkCode::Onnx(Arc::from(&b"not a network"[..])));
    refused(|network| network.code = NetworkCode::Onnx(Arc::from(&b""[..])));
}

#[test]
fn an_endless_network_is_stopped_from_another_thread() {
    if library_or_skip("stopping").is_none() {
        return;
    }
    let network = network(bytes("tests/data/networks/endless_loop.onnx"), Element::F32, Channels::Luma, 1);
    let settings = settings(EngineChoice::Ort);
    let mut engine = OrtEngine::new(&network, &settings).unwrap();
    let (input, mut output) = tensors(&network.facts, 1, 8, 8);
    let start = Instant::now();
    thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(Duration::from_millis(200));
            settings.stop.stop(Kind::Network, "the network ran longer than 0.2 s");
        });
        let error = engine.run(&input, &mut output).unwrap_err();
        assert_eq!(error.to_string(), "the network ran longer than 0.2 s");
        assert_eq!(error.kind(), Kind::Network);
    });
    assert!(start.elapsed() < Duration::from_secs(5));
    let error = OrtEngine::new(&network, &settings).and_then(|mut engine| engine.run(&input, &mut output));
    assert_eq!(error.unwrap_err().kind(), Kind::Network);
}
