//! Networks that find things, written again to give one tensor: all numbers are those of the graph as it was.

use super::*;
use crate::infer::{native, trial};
use crate::model::onnx::proto::{AttributeProto, NodeProto, TensorProto, data_type};
use crate::model::onnx::{self, parse};
use crate::model::overrides::Overrides;

/// The file of a shared network and the network itself, or a printed reason to skip.
fn found_in(file: &str) -> Option<(Vec<u8>, Network)> {
    library_or_skip(file)?;
    let network = shared(file, Element::F32, Channels::Rgb, 1)?;
    let NetworkCode::Onnx(bytes) = network.code else { return None };
    let graph = onnx::from_bytes(bytes.clone()).unwrap();
    Some((bytes.to_vec(), graph.network(file.into(), &Overrides::default()).unwrap()))
}

/// The graph in `code` with this output alone, of three dimensions, as the only picture of a batch.
fn only(network: &Network, code: &[u8], output: &str, n_values: usize) -> Network {
    let mut model = parse(code.to_vec().into()).unwrap();
    let graph = model.proto.graph.as_mut().unwrap();
    let value = TensorProto {
        dims: vec![4],
        data_type: Some(data_type::INT64),
        int64_data: vec![1, 1, -1, n_values as i64],
        ..TensorProto::default()
    };
    let value = AttributeProto { name: Some("value".into()), t: Some(value), r#type: Some(4), ..Default::default() };
    let node = |op: &str, input: &[&str], output: &str, attribute| NodeProto {
        op_type: Some(op.into()),
        input: input.iter().map(|name| (*name).to_owned()).collect(),
        output: vec![output.into()],
        attribute,
        ..NodeProto::default()
    };
    graph.node.push(node("Constant", &[], "the shape", vec![value]));
    graph.node.push(node("Reshape", &[output, "the shape"], "the output", Vec::new()));
    let mut port = graph.output.swap_remove(0);
    port.name = Some("the output".into());
    if let Some(tensor) = port.r#type.as_mut().and_then(|kind| kind.tensor_type.as_mut()) {
        tensor.shape = None;
    }
    graph.output = vec![port];
    let mut network = network.clone();
    network.facts.output.name = "the output".into();
    network.code = NetworkCode::Onnx(model.to_bytes());
    network
}

/// Noise in the range that the network takes.
fn picture(network: &Network, size: (usize, usize)) -> (Tensor, Tensor) {
    let [taken, given] = network.facts.shapes(1, size);
    let (mut input, output) = (Tensor::new(Element::F32, taken), Tensor::new(Element::F32, given));
    fill(&mut input);
    input.as_f32_mut().iter_mut().for_each(|value| *value *= network.facts.input.white);
    (input, output)
}

#[test]
fn the_parts_of_yunet_lie_side_by_side() {
    for (file, frame) in [("face_detection_yunet_2023mar.onnx", (640, 640)), ("yunet_n_dynamic.onnx", (300, 170))] {
        let Some((code, network)) = found_in(file) else { return };
        let (input, mut all) = picture(&network, frame);
        engine(&network).run(&input, &mut all).unwrap();
        let [width, height] = [input.shape()[3], input.shape()[2]];
        let (mut first, mut n_compared) = (0, 0);
        for stride in [8, 16, 32] {
            let cells = (width / stride) * (height / stride);
            let mut column = 0;
            for (part, n) in [("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10)] {
                let only = only(&network, &code, &format!("{part}_{stride}"), n);
                let mut given = Tensor::new(Element::F32, [1, 1, cells, n]);
                engine(&only).run(&input, &mut given).unwrap();
                for (row, expected) in given.as_f32().chunks(n).enumerate() {
                    let at = (first + row) * 16 + column;
                    assert_eq!(&all.as_f32()[at..at + n], expected, "{file}: {part}_{stride} {row}");
                    n_compared += n;
                }
                column += n;
            }
            first += cells;
        }
        assert_eq!((n_compared, first), (all.as_f32().len(), all.shape()[2]), "{file}");
    }
}

#[test]
fn the_rows_of_yolox_stay_as_they_are() {
    let Some((code, network)) = found_in("yolox_nano_416.onnx") else { return };
    let (input, mut all) = picture(&network, (1, 1));
    engine(&network).run(&input, &mut all).unwrap();
    let mut given = Tensor::new(Element::F32, all.shape());
    engine(&only(&network, &code, "output", 85)).run(&input, &mut given).unwrap();
    assert!(all.bytes() == given.bytes());
}

#[test]
fn engines_for_detectors_are_tried_and_ours_is_none() {
    for file in ["face_detection_yunet_2023mar.onnx", "yunet_n_dynamic.onnx", "yolox_nano_416.onnx"] {
        let Some((_, network)) = found_in(file) else { return };
        let error = native::check(&network, Precision::F32).err().unwrap().to_string();
        assert!(error.ends_with("it finds things and gives no picture; use --engine ort"), "{error}");
        assert!(open(&network, &settings(EngineChoice::Native)).is_err());
        let chosen = choose(&network, &EngineSettings::default()).unwrap();
        println!("{file}: auto takes {}", facts(&network, &chosen).unwrap());
        assert_ne!(chosen.choice, EngineChoice::Native);
        trial::check(&network, &chosen).unwrap();
        let written = suited(network.clone(), &chosen, (640, 640)).unwrap();
        assert_eq!((written.hash, written.facts), (network.hash, network.facts.clone()));
        assert!(network.drifting((640, 640)).is_none());
        assert!(network.clone().with_strength(0.5).is_err());
        if library(EngineChoice::Ort).is_ok_and(|library| library.openvino) {
            let settings = settings(EngineChoice::OpenVino);
            let (input, mut output) = picture(&network, (640, 640));
            let mut truth = Tensor::new(Element::F32, output.shape());
            engine(&network).run(&input, &mut truth).unwrap();
            OrtEngine::new(&network, &settings).unwrap().run(&input, &mut output).unwrap();
            let pairs = output.as_f32().iter().zip(truth.as_f32());
            let difference = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            println!("{file}: openvino {difference:e}");
            assert!(difference < 1e-2, "{file}: {difference}");
        }
    }
}
