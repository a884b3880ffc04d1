//! Small graphs of each family, and the shared networks, whose interfaces their README tells.

use std::sync::Arc;

use prost::Message;

use super::write::{int, ints, list};
use super::*;
use crate::model::onnx::proto::*;
use crate::model::onnx::{LoadedGraph, from_bytes, load, parse};
use crate::model::{Network, NetworkCode, shared};

/// A graph under way: its input is `images`.
struct Maker(GraphProto);

fn port(name: &str, dims: &[Option<i64>], element: i32) -> ValueInfoProto {
    let dim = dims.iter().map(|dim| DimensionProto { dim_value: *dim, dim_param: None }).collect();
    let tensor_type = TensorTypeProto { elem_type: Some(element), shape: Some(TensorShapeProto { dim }) };
    ValueInfoProto { name: Some(name.into()), r#type: Some(TypeProto { tensor_type: Some(tensor_type) }) }
}

fn fixed<const N: usize>(dims: [i64; N]) -> [Option<i64>; N] {
    dims.map(Some)
}

impl Maker {
    /// Takes pictures of this side, or of any.
    fn new(side: Option<i64>) -> Maker {
        Maker::of([Some(1), Some(3), side, side])
    }

    fn of(dims: [Option<i64>; 4]) -> Maker {
        Maker(GraphProto { input: vec![port("images", &dims, data_type::FLOAT)], ..GraphProto::default() })
    }

    fn node(&mut self, op: &str, input: &[&str], attribute: Vec<AttributeProto>) -> String {
        let output = format!("t{}", self.0.node.len());
        self.named(op, input, &output, attribute);
        output
    }

    fn named(&mut self, op: &str, input: &[&str], output: &str, attribute: Vec<AttributeProto>) {
        let (input, output) = (input.iter().map(|name| (*name).into()).collect(), vec![output.into()]);
        self.0.node.push(NodeProto { op_type: Some(op.into()), input, output, attribute, ..NodeProto::default() });
    }

    fn list(&mut self, numbers: &[i64]) -> String {
        self.node("Constant", &[], vec![list("value", numbers)])
    }

    /// So many numbers for each cell of a grid, in so many channels.
    fn grid(&mut self, stride: i64, channels: i64) -> String {
        let name = format!("w{}", self.0.initializer.len());
        let dims = vec![channels, 3, 1, 1];
        let float_data = (0..3 * channels).map(|at| at as f32 / 100.0).collect();
        let data_type = Some(data_type::FLOAT);
        let weights = TensorProto { name: Some(name.clone()), dims, data_type, float_data, ..TensorProto::default() };
        self.0.initializer.push(weights);
        self.node("Conv", &["images", &name], vec![ints("strides", &[stride; 2])])
    }

    fn reshape(&mut self, from: &str, shape: &[i64]) -> String {
        let shape = self.list(shape);
        self.node("Reshape", &[from, &shape], Vec::new())
    }

    /// [1, numbers, cells] of all grids.
    fn columns(&mut self, strides: &[i64], k: i64) -> String {
        let grids: Vec<String> = strides.iter().map(|stride| self.grid(*stride, k)).collect();
        let flat: Vec<String> = grids.iter().map(|grid| self.reshape(grid, &[1, k, -1])).collect();
        self.node("Concat", &flat.iter().map(String::as_str).collect::<Vec<_>>(), vec![int("axis", 2)])
    }

    /// [1, 3 x cells, numbers] of all grids, and what it was put together from.
    fn anchors(&mut self, k: i64) -> (String, Vec<String>) {
        let (mut raw, mut flat) = (Vec::new(), Vec::new());
        for stride in [8, 16, 32] {
            let grid = self.grid(stride, 3 * k);
            let side = 64 / stride;
            let grid = self.reshape(&grid, &[1, 3, k, side, side]);
            raw.push(self.node("Transpose", &[&grid], vec![ints("perm", &[0, 1, 3, 4, 2])]));
            flat.push(self.reshape(&raw[raw.len() - 1].clone(), &[1, -1, k]));
        }
        let names: Vec<&str> = flat.iter().map(String::as_str).collect();
        (self.node("Concat", &names, vec![int("axis", 1)]), raw)
    }

    fn transposed(&mut self, from: &str) -> String {
        self.node("Transpose", &[from], vec![ints("perm", &[0, 2, 1])])
    }

    /// With what it gives, which is declared so.
    fn give(mut self, outputs: &[(&str, &[Option<i64>])]) -> ModelProto {
        self.0.output = outputs.iter().map(|(name, dims)| port(name, dims, data_type::FLOAT)).collect();
        ModelProto {
            ir_version: Some(8),
            opset_import: vec![OperatorSetIdProto { domain: None, version: Some(17) }],
            graph: Some(self.0),
            ..ModelProto::default()
        }
    }
}

/// With nothing declared of three dimensions.
const FREE: [Option<i64>; 3] = [None; 3];

fn yolo_v8(side: Option<i64>, k: i64) -> ModelProto {
    let mut maker = Maker::new(side);
    let given = maker.columns(&[8, 16, 32], k);
    maker.give(&[(&given, &FREE)])
}

fn yolox(strides: &[i64], k: i64) -> ModelProto {
    let mut maker = Maker::new(Some(64));
    let columns = maker.columns(strides, k);
    let given = maker.transposed(&columns);
    maker.give(&[(&given, &FREE)])
}

fn yolo_v5(with_raw: bool) -> ModelProto {
    let mut maker = Maker::new(Some(64));
    let (given, raw) = maker.anchors(7);
    let mut outputs: Vec<(&str, &[Option<i64>])> = vec![(&given, &FREE)];
    outputs.extend(raw.iter().filter(|_| with_raw).map(|raw| (raw.as_str(), &[][..])));
    // As the numbers of the raw ones are followed, what is declared of them does not matter.
    maker.give(&outputs)
}

fn yunet(side: Option<i64>) -> ModelProto {
    let mut maker = Maker::new(side);
    let mut names = Vec::new();
    for (part, k) in PARTS {
        for stride in [8, 16, 32] {
            let grid = maker.grid(stride, k as i64);
            let turned = maker.node("Transpose", &[&grid], vec![ints("perm", &[0, 2, 3, 1])]);
            let (shape, name) = (maker.list(&[1, -1, k as i64]), format!("{part}_{stride}"));
            maker.named("Reshape", &[&turned, &shape], &name, Vec::new());
            names.push(name);
        }
    }
    maker.give(&names.iter().map(|name| (name.as_str(), &FREE[..])).collect::<Vec<_>>())
}

/// Of which the best 20 are taken, in a way that cannot be followed.
fn sorted(side: Option<i64>, declared: &[Option<i64>]) -> ModelProto {
    let mut maker = Maker::new(side);
    let columns = maker.columns(&[8, 16, 32], 6);
    let rows = maker.transposed(&columns);
    let n = maker.list(&[20]);
    let best = maker.node("TopK", &[&rows, &n], vec![int("axis", 1)]);
    maker.0.node.last_mut().unwrap().output.push("places".into());
    maker.give(&[(&best, declared)])
}

fn loaded(model: &ModelProto) -> LoadedGraph {
    from_bytes(model.encode_to_vec().into()).unwrap_or_else(|error| panic!("{error}"))
}

fn network(model: &ModelProto, toml: &str) -> Result<Network> {
    loaded(model).network("made".into(), &Overrides::parse(toml).unwrap())
}

fn detector(network: &Network) -> &Detector {
    network.facts.detector.as_ref().unwrap()
}

fn refusal(model: &ModelProto, toml: &str) -> String {
    let message = network(model, toml).err().expect("it is refused").to_string();
    assert!(!message.contains('\n'), "{message}");
    message
}

/// The graph written again is judged, and followed to give what the facts say at this size.
fn check_written(network: &Network, size: (usize, usize)) {
    let NetworkCode::Onnx(bytes) = &network.code else { panic!() };
    let model = parse(Arc::clone(bytes)).unwrap_or_else(|error| panic!("{error}"));
    let graph = model.proto.graph.as_ref().unwrap();
    let names: Vec<_> = graph.output.iter().map(|output| output.name.as_deref().unwrap()).collect();
    assert_eq!(names, [network.facts.output.name.as_str()]);
    let (input, free) = (&network.facts.input, matches!(detector(network).size, DetectorSize::Free { .. }));
    let (rows, columns) = (size.1 as i64, size.0 as i64);
    let assumption = Assumption { batch: 1, channels: 3, rows, columns, layout: input.layout, free };
    let traced = trace(&model, &input.name, data_type::of(input.element), assumption).unwrap();
    let [_, expected] = network.facts.shapes(1, size);
    if let Some(shape) = &sizes(&traced)[0] {
        assert_eq!(shape.iter().map(|size| size.unwrap()).collect::<Vec<_>>(), expected);
        assert_eq!(traced.outputs[0].element, data_type::FLOAT);
    }
}

#[test]
fn each_family_is_known_by_its_shapes_and_written_again() {
    let (raw, plain) = ((Channels::Bgr, 255.0), (Channels::Rgb, 1.0));
    let three = &[8, 16, 32][..];
    let table = [
        (yunet(Some(64)), Family::Yunet, three, 16, 84, Some(1), raw),
        (yolox(&[8, 16, 32], 8), Family::Yolox, three, 8, 84, Some(3), raw),
        (yolox(&[8, 16, 32, 64], 8), Family::Yolox, &[8, 16, 32, 64][..], 8, 85, Some(3), raw),
        (yolo_v5(false), Family::YoloV5, three, 7, 252, Some(2), plain),
        (yolo_v5(true), Family::YoloV5, three, 7, 252, Some(2), plain),
        (yolo_v8(Some(64), 5), Family::YoloV8, three, 5, 84, Some(1), plain),
        (sorted(Some(64), &fixed([1, 20, 6])), Family::Sorted(20), &[][..], 6, 20, None, plain),
    ];
    for (model, family, strides, n_values, n_candidates, n_classes, (channels, white)) in table {
        let network = network(&model, "").unwrap_or_else(|error| panic!("{family:?}: {error}"));
        let (facts, found) = (&network.facts, detector(&network));
        assert_eq!((found.family, &*found.strides, found.n_values), (family, strides, n_values));
        assert_eq!((found.n_classes(), found.size), (n_classes, DetectorSize::Fixed(64, 64)), "{family:?}");
        let shapes = [[1, 3, 64, 64], [1, 1, n_candidates, n_values]];
        assert_eq!(facts.shapes(1, (1920, 1080)), shapes, "{family:?}");
        assert_eq!((facts.input.channels, facts.input.black, facts.input.white), (channels, 0.0, white), "{family:?}");
        assert_eq!((&*facts.input.name, &*facts.output.name), ("images", "vproc.detections"));
        assert_eq!((facts.output.channels, facts.output.element), (channels, Element::F32));
        assert_eq!((facts.scale, facts.radius, facts.multiple_of), (1, None, 1));
        assert_eq!((facts.fixed_size, facts.fixed_batch), (None, Some(1)));
        assert!(network.hash != network.origin && network.origin == loaded(&model).hash && network.dial.is_none());
        check_written(&network, (64, 64));
        assert!(loaded(&model).facts.picture_facts(&Overrides::default()).is_err(), "{family:?}");
        // Named, it is the same.
        let named = self::network(&model, &format!("detector = '{}'", family.name())).unwrap();
        assert_eq!((named.hash, &named.facts), (network.hash, facts));
    }
}

#[test]
fn networks_of_free_size_are_followed_at_one() {
    let mut turned = yolo_v8(None, 84);
    let graph = turned.graph.as_mut().unwrap();
    graph.input = vec![port("images", &[None, Some(3), None, None], data_type::FLOAT)];
    for (model, family, n_values) in [(turned, FamilyName::YoloV8, 84), (yunet(None), FamilyName::Yunet, 16)] {
        let network = network(&model, "").unwrap_or_else(|error| panic!("{family}: {error}"));
        assert_eq!(
            (detector(&network).size, detector(&network).n_values),
            (DetectorSize::Free { multiple_of: 32, side: None }, n_values)
        );
        assert_eq!(network.facts.shapes(1, (100, 60)), [[1, 3, 64, 128], [1, 1, 128 + 32 + 8, n_values]]);
        check_written(&network, (128, 64));
    }
    // How many boxes are sorted out does not hang on the size.
    let network = network(&sorted(None, &fixed([1, 20, 6])), "multiple_of = 64").unwrap();
    assert_eq!(
        (detector(&network).family, detector(&network).size),
        (Family::Sorted(20), DetectorSize::Free { multiple_of: 64, side: None })
    );
    let coco = self::network(&yolo_v8(None, 84), "").unwrap();
    assert_eq!((detector(&coco).labels.len(), &*detector(&coco).labels[16]), (80, "dog"));
}

/// Numbers that cannot be followed, of which so much is declared.
fn unknown(side: Option<i64>, declared: &[Option<i64>]) -> ModelProto {
    let mut model = sorted(side, declared);
    let graph = model.graph.as_mut().unwrap();
    graph.node.last_mut().unwrap().output[0] = "best".into();
    graph.output[0].name = Some("best".into());
    model
}

#[test]
fn what_cannot_be_followed_must_be_declared_or_named() {
    let declared = unknown(Some(64), &fixed([1, 84, 9]));
    assert_eq!(detector(&network(&declared, "").unwrap()).family, Family::Yolox);
    let message = refusal(&unknown(None, &[None, Some(9), None]), "");
    let expected = "the output `best` float32 [?, 9, ?] may be what a detector finds, but the graph does not tell how \
                    much of it; export it with a fixed size, or name the family with `detector` in a TOML";
    assert_eq!(message, expected);
    // Declared for another size, or for one that the graph does not take.
    assert!(refusal(&unknown(None, &fixed([1, 9, 8400])), "").contains("give `scale` in a TOML"));
    let named = network(&unknown(None, &[None, Some(9), None]), "detector = 'yolov8'").unwrap();
    assert_eq!(
        (detector(&named).size, detector(&named).n_values),
        (DetectorSize::Free { multiple_of: 32, side: None }, 9)
    );
    assert_eq!(named.facts.shapes(1, (64, 64))[1], [1, 1, 84, 9]);
    // Turned already, which only its name tells from another family.
    assert_eq!(detector(&network(&declared, "detector = 'yolov8'").unwrap()).n_classes(), Some(5));
    for (toml, expected) in [
        ("detector = 'yunet'", "twelve outputs cls_8 [1, cells, 1] to kps_32 [1, cells, 10]"),
        ("detector = 'yolov5'", "one of [1, 3 x cells, 5 + classes]"),
        ("detector = 'sorted'", "one of [1, at most 1000, 6]"),
    ] {
        let message = refusal(&declared, toml);
        let start =
            format!("{} is set, the outputs are `best` float32 [1, 84, 9], expected ", toml.replace('\'', "\""));
        assert_eq!(message, format!("{start}{expected}; correct the TOML"));
    }
}

#[test]
fn what_finds_nothing_known_is_refused_as_no_picture() {
    let mut halves = yunet(Some(64));
    halves.graph.as_mut().unwrap().output.pop();
    assert!(refusal(&halves, "").starts_with("11 outputs ("));
    let mut maker = Maker::new(Some(64));
    let few = maker.columns(&[8, 16], 9);
    let few = maker.give(&[(&few, &FREE)]);
    assert!(refusal(&few, "").contains("is not a picture"));
    let mut many = yolo_v8(Some(64), 9);
    many.graph.as_mut().unwrap().input = vec![port("images", &fixed([4, 3, 64, 64]), data_type::FLOAT)];
    // A batch of four in graphs that are written for one is none.
    assert!(network(&many, "").is_err());
    // Points of bodies beside the box look like classes.
    let task = |task: &str| {
        let entry = StringStringEntryProto { key: Some("task".into()), value: Some(task.into()) };
        ModelProto { metadata_props: vec![entry], ..yolo_v8(Some(64), 56) }
    };
    assert!(refusal(&task("pose"), "").contains("its task is `pose`, vproc runs `detect` only"));
    assert!(network(&task("detect"), "").is_ok() && network(&task("pose"), "detector = 'yolov8'").is_ok());
    // Pictures stay pictures, and say so when they are called otherwise.
    let mut maker = Maker::new(None);
    let picture = maker.grid(1, 3);
    let picture = maker.give(&[(&picture, &[])]);
    assert!(network(&picture, "").unwrap().facts.detector.is_none());
    assert!(refusal(&picture, "detector = 'yolox'").contains("expected one of [1, cells, 5 + classes]"));
}

#[test]
fn what_the_toml_and_the_metadata_say_stands_above() {
    let entry = |key: &str, value: &str| StringStringEntryProto { key: Some(key.into()), value: Some(value.into()) };
    let mut model = yolo_v8(Some(64), 6);
    model.metadata_props = vec![entry("names", "{0: 'cat', 1: \"dog\"}"), entry("color_order", "BGR")];
    let found = network(&model, "").unwrap();
    let mut points = yolo_v8(Some(64), 56);
    points.metadata_props = vec![entry("names", "{0: 'person'}")];
    assert!(refusal(&points, "").contains("names 1 classes, and as YoloV8 its output tells of 52"));
    assert_eq!((&*detector(&found).labels[1], found.facts.input.channels), ("dog", Channels::Bgr));
    let said = network(&model, "channels = 'rgb'\nblack = -1.0\nwhite = 3.0\nlabels = ['a']").unwrap();
    let input = &said.facts.input;
    assert_eq!((input.channels, input.black, input.white), (Channels::Rgb, -1.0, 3.0));
    assert_eq!(detector(&said).labels, ["a"]);
    assert!(refusal(&model, "channels = 'luma'").contains("1 channels, the graph 3"));
    assert!(refusal(&model, "layout = 'nhwc'").contains("layout"));
    assert!(refusal(&model, "batch = 4").contains("batch 4 is set, the graph takes 1"));
    // White of these is 255 unless it is said.
    assert!(refusal(&yunet(Some(64)), "black = 255.0").contains("do not span a range"));
}

#[test]
fn names_that_are_taken_are_left_alone() {
    let mut model = yolo_v8(Some(64), 6);
    let graph = model.graph.as_mut().unwrap();
    let given = graph.output[0].name.clone().unwrap();
    let taken = |input: &str, output: &str| NodeProto {
        op_type: Some("Identity".into()),
        input: vec![input.into()],
        output: vec![output.into()],
        ..NodeProto::default()
    };
    graph.node.extend([taken(&given, "vproc.1"), taken("vproc.1", "vproc2")]);
    graph.output[0].name = Some("vproc2".into());
    let network = network(&model, "").unwrap();
    assert_eq!(network.facts.output.name, "vproc3.detections");
    check_written(&network, (64, 64));
}

#[test]
fn half_floats_are_cast() {
    let mut model = yolo_v8(Some(64), 6);
    let graph = model.graph.as_mut().unwrap();
    let given = graph.output[0].name.clone().unwrap();
    let cast = NodeProto {
        op_type: Some("Cast".into()),
        input: vec![given],
        output: vec!["half".into()],
        attribute: vec![int("to", i64::from(data_type::FLOAT16))],
        ..NodeProto::default()
    };
    graph.node.push(cast);
    graph.output = vec![port("half", &FREE, data_type::FLOAT16)];
    check_written(&network(&model, "").unwrap(), (64, 64));
    // Whole numbers are no family's.
    let graph = model.graph.as_mut().unwrap();
    graph.node.last_mut().unwrap().attribute = vec![int("to", i64::from(data_type::INT32))];
    graph.output = vec![port("half", &FREE, data_type::INT32)];
    assert!(network(&model, "").is_err());
}

/// A network of the shared folder, or a printed reason to skip.
fn shared(name: &str) -> Option<Network> {
    let path = shared::path(name)?;
    Some(load(&path).unwrap().network(name.into(), &Overrides::default()).unwrap_or_else(|error| panic!("{error}")))
}

#[test]
fn shared_networks_are_what_is_told_of_them() {
    let table = [
        ("face_detection_yunet_2023mar.onnx", Family::Yunet, DetectorSize::Fixed(640, 640), 16, 8400, 1),
        ("yunet_n_dynamic.onnx", Family::Yunet, DetectorSize::Free { multiple_of: 32, side: None }, 16, 8400, 1),
        ("yolox_nano_416.onnx", Family::Yolox, DetectorSize::Fixed(416, 416), 85, 3549, 80),
    ];
    for (name, family, size, n_values, n_candidates, n_labels) in table {
        let Some(network) = shared(name) else { continue };
        let (facts, found) = (&network.facts, detector(&network));
        assert_eq!((found.family, found.size, &*found.strides), (family, size, &[8, 16, 32][..]), "{name}");
        assert_eq!(facts.shapes(1, (640, 640))[1], [1, 1, n_candidates, n_values], "{name}");
        assert_eq!((found.n_classes(), found.labels.len()), (Some(n_labels), n_labels), "{name}");
        let input = &facts.input;
        assert_eq!((input.channels, input.black, input.white), (Channels::Bgr, 0.0, 255.0), "{name}");
        check_written(&network, found.input_size((640, 640)));
    }
    if let Some(free) = shared("yunet_n_dynamic.onnx") {
        check_written(&free, detector(&free).input_size((1080, 720)));
    }
}
