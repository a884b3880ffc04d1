//! What is concluded from a network's file is what is true of it.
//!
//! The truth about the networks in `tests/models/data` was measured with ONNX Runtime by perturbing pixels and by
//! cutting crops (`tests/models/make_models.py`); the truth about the shared networks stands in their README.

use std::path::{Path, PathBuf};

use prost::Message;
use serde_json::Value;
use vproc::model::onnx::proto::*;
use vproc::model::onnx::{self, facts::GraphFacts};
use vproc::model::overrides::Overrides;
use vproc::model::{Channels, Layout};

use crate::support::run;

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/models/data").join(name)
}

/// The shared networks, or `None` with a printed reason.
fn shared(name: &str) -> Option<PathBuf> {
    let given = std::env::var_os("VPROC_SHARED").map(PathBuf::from);
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared");
    let place = given.into_iter().chain([beside, PathBuf::from("/work/shared")]);
    let found = place.map(|place| place.join("data/models").join(name)).find(|path| path.exists());
    if found.is_none() {
        println!("skipped: {name} is not here; set VPROC_SHARED to the folder that holds data/models");
    }
    found
}

fn facts(path: &Path) -> GraphFacts {
    onnx::load(path).unwrap_or_else(|error| panic!("{error}")).facts
}

#[test]
fn made_networks_are_concluded_as_measured() {
    let rows: Vec<Value> = serde_json::from_str(&std::fs::read_to_string(data("truth.json")).unwrap()).unwrap();
    assert!(rows.len() >= 40);
    println!("{:20} {:>14} {:>10} {:>12} concluded (true)", "network", "radius", "multiple", "batch");
    for row in rows {
        let name = row["name"].as_str().unwrap();
        let path = data(&format!("{name}.onnx"));
        if let Some(refused) = row["refused"].as_str() {
            let message = match onnx::load(&path) {
                Ok(graph) => graph.facts.picture_facts(&Overrides::default()).unwrap_err().to_string(),
                Err(error) => error.to_string(),
            };
            assert!(message.contains(refused), "{name}: {message}");
            println!("{name:20} refused: {message}");
            continue;
        }
        let facts = facts(&path);
        let run = facts.picture_facts(&Overrides::default()).unwrap_or_else(|error| panic!("{name}: {error}"));
        let number = |key: &str| row[key].as_u64().map(|value| value as usize);
        let size = row["fixed_size"]
            .as_array()
            .map(|size| (size[0].as_u64().unwrap() as usize, size[1].as_u64().unwrap() as usize));
        println!(
            "{name:20} {:>14} {:>10} {:>12}",
            format!("{:?} ({:?})", run.radius.map_or(-1, |r| r as i64), number("radius").map_or(-1, |r| r as i64)),
            format!("{} ({})", run.multiple_of, number("multiple_of").unwrap_or(0)),
            format!("{:?} ({:?})", run.fixed_batch.unwrap_or(0), number("fixed_batch").unwrap_or(0)),
        );
        assert_eq!(format!("{:?}", run.input.element), row["element"].as_str().unwrap(), "{name}");
        assert_eq!(format!("{:?}", run.input.layout), row["layout"].as_str().unwrap(), "{name}");
        assert_eq!(run.output.layout, run.input.layout, "{name}");
        assert_eq!(run.input.channels.count() as u64, row["channels"].as_u64().unwrap(), "{name}");
        assert_eq!(Some(run.scale), number("scale"), "{name}");
        assert_eq!(run.fixed_size, size, "{name}");
        // A network that looks at the whole picture is given one at a time, whether it minds or not.
        let batch = number("fixed_batch").or(run.radius.is_none().then_some(1));
        assert_eq!(run.fixed_batch, batch, "{name}");
        assert_eq!(facts.parameters, row["parameters"].as_u64().unwrap(), "{name}");
        match (number("radius"), run.radius) {
            (Some(truth), Some(radius)) if row["exact"] == true => assert_eq!(radius, truth, "{name}"),
            (Some(truth), Some(radius)) => {
                assert!(radius >= truth && radius <= truth + 8, "{name}: {radius}, true {truth}")
            }
            (truth, radius) => assert_eq!(radius, truth, "{name}"),
        }
        if let Some(truth) = number("multiple_of") {
            assert_eq!(run.multiple_of, truth, "{name}");
        }
        assert!(facts.conclusions.iter().all(|conclusion| !conclusion.reason.is_empty()), "{name}");
    }
}

#[test]
fn shared_networks_are_concluded_as_documented() {
    type Truth = (&'static str, u64, Channels, usize, usize, Option<usize>);
    let table: [Truth; 7] = [
        ("bench_luma_x2_random_weights", 10_020, Channels::Luma, 2, 6, None),
        ("ArtCNN_R8F64", 926_149, Channels::Luma, 2, 27, Some(1)),
        ("DigitalFlim_SuperUltraCompact_x2_fp32", 45_160, Channels::Rgb, 2, 10, None),
        ("DigitalFlim_SuperUltraCompact_x2_fp16", 45_160, Channels::Rgb, 2, 10, None),
        ("HurrDeblur_SuperUltraCompact_x1_fp32", 43_207, Channels::Rgb, 1, 10, None),
        ("identity_luma", 0, Channels::Luma, 1, 0, None),
        ("identity_rgb", 0, Channels::Rgb, 1, 0, None),
    ];
    for (name, parameters, channels, scale, radius, batch) in table {
        let Some(path) = shared(&format!("{name}.onnx")) else { continue };
        let facts = facts(&path);
        let run = facts.picture_facts(&Overrides::default()).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!((run.input.channels, run.scale, run.radius), (channels, scale, Some(radius)), "{name}");
        assert_eq!((run.multiple_of, run.fixed_size, run.fixed_batch), (1, None, batch), "{name}");
        assert_eq!(run.input.element == vproc::model::Element::F16, name.ends_with("fp16"), "{name}");
        assert_eq!((run.input.layout, facts.parameters), (Layout::Nchw, parameters), "{name}");
        assert_eq!((run.input.black, run.input.white), (0.0, 1.0), "{name}");
        if name.starts_with("bench") {
            // 10.3 GFLOP per 960x540 frame, two for a multiply-add.
            let gigaflops = facts.multiply_adds_per_pixel.unwrap() * 2.0 * 960.0 * 540.0 / 1e9;
            assert!((gigaflops - 10.3).abs() < 0.05, "{gigaflops}");
        }
    }
}

#[test]
fn networks_that_give_no_picture_are_refused_but_described() {
    // The README counts four scalars of VballNet's formulas (0.225, 0.45, ...) as parameters too.
    let table = [
        ("face_detection_yunet_2023mar", "12 outputs", 53_112, 32, Some((640, 640))),
        ("yunet_n_dynamic", "12 outputs", 73_848, 32, None),
        ("yolox_nano_416", "[1, 3549, 85] is not a picture", 904_467, 32, Some((416, 416))),
        ("VballNetV1_seq9_gray_288x512", "9 channels", 35_738, 4, Some((512, 288))),
    ];
    for (name, refusal, parameters, multiple_of, size) in table {
        let Some(path) = shared(&format!("{name}.onnx")) else { continue };
        let facts = facts(&path);
        let message = facts.picture_facts(&Overrides::default()).unwrap_err().to_string();
        assert!(message.contains(refusal), "{name}: {message}");
        assert_eq!((facts.parameters, facts.multiple_of, facts.fixed_size), (parameters, multiple_of, size), "{name}");
        assert!(facts.multiply_adds_per_pixel.unwrap() > 500.0, "{name}");
    }
    if let Some(path) = shared("lfs_pointer_not_a_model.onnx") {
        let message = onnx::load(&path).err().expect("a pointer is refused").to_string();
        assert!(message.contains("Git LFS pointer"), "{message}");
    }
}

/// A network that enlarges luma three times, by the two elements around each place.
fn thirds() -> Vec<u8> {
    let port = |name: &str| {
        let dim = [None, Some(1), None, None].map(|dim_value| DimensionProto { dim_value, dim_param: None }).to_vec();
        let tensor = TensorTypeProto { elem_type: Some(data_type::FLOAT), shape: Some(TensorShapeProto { dim }) };
        ValueInfoProto { name: Some(name.into()), r#type: Some(TypeProto { tensor_type: Some(tensor) }) }
    };
    let scales = TensorProto {
        name: Some("scales".into()),
        dims: vec![4],
        data_type: Some(data_type::FLOAT),
        float_data: vec![1.0, 1.0, 3.0, 3.0],
        ..Default::default()
    };
    let mode = AttributeProto {
        name: Some("mode".into()),
        r#type: Some(3),
        s: Some(b"linear".to_vec().into()),
        ..Default::default()
    };
    let resize = NodeProto {
        op_type: Some("Resize".into()),
        input: ["x", "", "scales"].map(str::to_owned).to_vec(),
        output: vec!["y".into()],
        attribute: vec![mode],
        ..Default::default()
    };
    let graph = GraphProto {
        node: vec![resize],
        initializer: vec![scales],
        input: vec![port("x")],
        output: vec![port("y")],
        ..Default::default()
    };
    let opset = OperatorSetIdProto { domain: None, version: Some(17) };
    let model = ModelProto { ir_version: Some(8), graph: Some(graph), opset_import: vec![opset], ..Default::default() };
    model.encode_to_vec()
}

/// Frames of grey noise in which a small square changes, as Y4M.
fn noise_with_a_square(width: usize, height: usize, n_frames: usize) -> Vec<u8> {
    let noise = |at: usize| ((at as u32).wrapping_mul(2_654_435_761) ^ 0x5bd1_e995).wrapping_mul(0x27d4_eb2f) >> 24;
    let mut bytes = format!("YUV4MPEG2 W{width} H{height} F25:1 Ip Cmono\n").into_bytes();
    let mut frame: Vec<u8> = (0..width * height).map(|at| noise(at) as u8).collect();
    for number in 0..n_frames {
        let (left, top) = (width / 2 + 11 * number, height / 3 + 7 * number);
        for y in top..top + 12 {
            frame[y * width + left..][..12].iter_mut().for_each(|sample| *sample = sample.wrapping_add(77));
        }
        bytes.extend_from_slice(b"FRAME\n");
        bytes.extend_from_slice(&frame);
    }
    bytes
}

#[test]
fn enlarged_by_three_frames_are_the_same_with_and_without_skipping() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("thirds.onnx"), thirds()).unwrap();
    std::fs::write(path("in.y4m"), noise_with_a_square(640, 360, 8)).unwrap();
    let network = path("thirds.onnx").display().to_string();
    for engine in ["native", "ort"] {
        let hashes = |name: &str, skip: &str| {
            let output = path(&format!("{engine}-{name}.md5"));
            let to = PathBuf::from(format!("md5:{}", output.display()));
            let arguments = ["-m", &network, "--engine", engine, "--skip", skip, "--progress", "none"];
            let ran = run(&path("in.y4m"), &to, &arguments);
            (ran.status, std::fs::read_to_string(output).unwrap_or_default(), ran.stderr)
        };
        let (status, expected, message) = hashes("off", "off");
        if engine == "ort" && status == 1 {
            println!("skipped: {message}");
            continue;
        }
        assert_eq!(status, 0, "{engine}: {message}");
        let (status, is, message) = hashes("exact", "exact");
        assert_eq!((status, is), (0, expected), "{engine}: {message}");
        // ONNX Runtime's places are rounded by how far out they are.
        let n_told = message.matches("gives other results in windows than in whole frames").count();
        assert_eq!(n_told, usize::from(engine == "ort"), "{engine}: {message}");
    }
}
