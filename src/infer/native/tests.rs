//! Whole networks against ONNX Runtime, and against themselves at other levels and windows.

mod speed;

use std::path::Path;

use super::*;
use crate::infer::{EngineChoice, ort};
use crate::model::onnx;
use crate::model::overrides::Overrides;
use crate::model::{NetworkCode, builtin};

fn shared(name: &str) -> Option<Network> {
    let named = std::env::var_os("VPROC_SHARED").map(std::path::PathBuf::from);
    let folder = named.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared"));
    let path = folder.join("data/models").join(name);
    if !path.is_file() {
        println!("skipped {name}: not at {}", path.display());
        return None;
    }
    let graph = onnx::load(&path).unwrap();
    let facts = graph.facts.picture_facts(&Overrides::default()).unwrap();
    Some(Network { name: name.to_owned(), hash: graph.hash, facts, code: NetworkCode::Onnx(graph.bytes) })
}

fn tensors(facts: &NetworkFacts, batch: usize, width: usize, height: usize) -> (Tensor, Tensor) {
    let shape = |port: &crate::model::Port, scale| {
        port.layout.shape(batch, port.channels.count(), height * scale, width * scale)
    };
    let mut input = Tensor::new(facts.input.element, shape(&facts.input, 1));
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
    (input, Tensor::new(facts.output.element, shape(&facts.output, facts.scale)))
}

fn values(tensor: &Tensor) -> Vec<f32> {
    match tensor.element() {
        Element::F32 => tensor.as_f32().to_vec(),
        Element::F16 => tensor.as_f16().iter().map(|value| value.to_f32()).collect(),
        Element::U8 => tensor.bytes().iter().map(|value| f32::from(*value)).collect(),
    }
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

#[test]
fn plain_networks_agree_with_onnx_runtime() {
    if let Err(error) = ort::library(EngineChoice::Ort) {
        println!("skipped: {error}");
        return;
    }
    for network in networks() {
        let settings = EngineSettings::default();
        let mut engine = NativeEngine::new(&network, &settings).unwrap();
        let mut reference = ort::OrtEngine::new(&network, &settings).unwrap();
        for (width, height) in [(64, 48), (1, 1), (2, 3), (17, 5), (5, 33), (101, 37)] {
            let (input, mut output) = tensors(&network.facts, 1, width, height);
            let (_, mut truth) = tensors(&network.facts, 1, width, height);
            engine.run(&input, &mut output).unwrap();
            reference.run(&input, &mut truth).unwrap();
            let (is, truth) = (values(&output), values(&truth));
            let largest = truth.iter().fold(0.0f32, |all, value| all.max(value.abs()));
            let error = is.iter().zip(&truth).fold(0.0f32, |all, (a, b)| all.max((a - b).abs()));
            // Halves are kept to three digits, by ONNX Runtime between the layers too.
            let bound = if network.facts.input.element == Element::F16 { 5e-3 } else { 1e-5 };
            println!("{:44} {width}x{height} {:.1e}", network.name, error / largest);
            assert!(error <= bound * largest, "{} {width}x{height}: {error} of {largest}", network.name);
        }
    }
}
