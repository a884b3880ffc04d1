//! Networks made to do harm are refused in one line, quickly and in little memory, before any library sees them.
//!
//! Each case is made here with the same messages that read it; the weights of the path cases lie in a temporary folder
//! beside links, pipes and folders of the same names.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, Instant};

use prost::Message;
use vproc::model::onnx::{self, proto::*};
use vproc::model::overrides::Overrides;

use crate::program::{report, run, vproc};

/// What one refusal may take; generous, for a loaded machine.
const MAX_TIME: Duration = Duration::from_secs(10);
/// What all of them together may add to the peak of resident memory.
const MAX_MEMORY_KB: u64 = 700_000;

fn tensor_port(name: &str, element: i32, dims: &[i64]) -> ValueInfoProto {
    // A dimension of 0 stands for a free one here.
    let dim =
        dims.iter().map(|&size| DimensionProto { dim_value: (size != 0).then_some(size), dim_param: None }).collect();
    let tensor = TensorTypeProto { elem_type: Some(element), shape: Some(TensorShapeProto { dim }) };
    ValueInfoProto { name: Some(name.into()), r#type: Some(TypeProto { tensor_type: Some(tensor) }) }
}

fn attribute(name: &str, kind: i32) -> AttributeProto {
    AttributeProto { name: Some(name.into()), r#type: Some(kind), ..Default::default() }
}

fn ints(name: &str, values: &[i64]) -> AttributeProto {
    AttributeProto { ints: values.to_vec(), ..attribute(name, 7) }
}

fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto { i: Some(value), ..attribute(name, 2) }
}

fn text(name: &str, value: &str) -> AttributeProto {
    AttributeProto { s: Some(value.to_owned().into()), ..attribute(name, 3) }
}

fn body(name: &str, graph: GraphProto) -> AttributeProto {
    AttributeProto { g: Some(graph), ..attribute(name, 5) }
}

fn node(op: &str, inputs: &[&str], output: &str, attribute: Vec<AttributeProto>) -> NodeProto {
    NodeProto {
        op_type: Some(op.into()),
        input: inputs.iter().map(|&name| name.to_owned()).collect(),
        output: vec![output.into()],
        attribute,
        ..Default::default()
    }
}

fn custom(op: &str, domain: &str) -> NodeProto {
    NodeProto { domain: Some(domain.into()), ..node(op, &["x"], "y", vec![]) }
}

fn floats(name: &str, dims: &[i64]) -> TensorProto {
    let count = dims.iter().product::<i64>().clamp(0, 1 << 20) as usize;
    TensorProto {
        name: Some(name.into()),
        dims: dims.to_vec(),
        data_type: Some(1),
        raw_data: Some(vec![0; 4 * count].into()),
        ..Default::default()
    }
}

fn scales(name: &str, values: &[f32]) -> TensorProto {
    TensorProto {
        name: Some(name.into()),
        dims: vec![values.len() as i64],
        data_type: Some(1),
        float_data: values.to_vec(),
        ..Default::default()
    }
}

fn integers(name: &str, values: &[i64]) -> TensorProto {
    TensorProto {
        name: Some(name.into()),
        dims: vec![values.len() as i64],
        data_type: Some(7),
        int64_data: values.to_vec(),
        ..Default::default()
    }
}

/// A graph from `x` (float32, [free, 3, free, free]) to `y`.
fn graph(nodes: Vec<NodeProto>, weights: Vec<TensorProto>) -> GraphProto {
    GraphProto {
        node: nodes,
        initializer: weights,
        input: vec![tensor_port("x", 1, &[0, 3, 0, 0])],
        output: vec![tensor_port("y", 1, &[0, 3, 0, 0])],
        ..Default::default()
    }
}

fn model(graph: GraphProto) -> ModelProto {
    let opset = OperatorSetIdProto { domain: None, version: Some(17) };
    ModelProto { ir_version: Some(8), graph: Some(graph), opset_import: vec![opset], ..Default::default() }
}

fn bytes(nodes: Vec<NodeProto>, weights: Vec<TensorProto>) -> Vec<u8> {
    model(graph(nodes, weights)).encode_to_vec()
}

fn one(op: &str, inputs: &[&str], attributes: Vec<AttributeProto>, weights: Vec<TensorProto>) -> Vec<u8> {
    bytes(vec![node(op, inputs, "y", attributes)], weights)
}

fn with_input(dims: &[i64]) -> Vec<u8> {
    let mut graph = graph(vec![node("Relu", &["x"], "y", vec![])], vec![]);
    graph.input = vec![tensor_port("x", 1, dims)];
    model(graph).encode_to_vec()
}

fn field(tag: u8, inner: &[u8]) -> Vec<u8> {
    let mut out = vec![tag << 3 | 2];
    prost::encoding::encode_varint(inner.len() as u64, &mut out);
    out.extend_from_slice(inner);
    out
}

fn conv(weights: &[i64], attributes: Vec<AttributeProto>) -> Vec<u8> {
    one("Conv", &["x", "w"], attributes, vec![floats("w", weights)])
}

/// An If whose branches hold an If and so on.
fn nested(depth: usize) -> GraphProto {
    let inner = if depth == 0 {
        node("Relu", &["x"], "y", vec![])
    } else {
        node("If", &["c"], "y", vec![body("then_branch", nested(depth - 1)), body("else_branch", nested(depth - 1))])
    };
    GraphProto { node: vec![inner], output: vec![tensor_port("y", 1, &[0, 3, 0, 0])], ..Default::default() }
}

/// A single chain of Ifs, so that depth costs no width.
fn chain(depth: usize) -> GraphProto {
    (0..depth).fold(nested(0), |inner, _| GraphProto {
        node: vec![node("If", &["c"], "y", vec![body("then_branch", inner)])],
        output: vec![tensor_port("y", 1, &[0, 3, 0, 0])],
        ..Default::default()
    })
}

fn looping(op: &str) -> Vec<u8> {
    let step = GraphProto {
        node: vec![node("Identity", &["going"], "on", vec![]), node("Relu", &["state"], "next", vec![])],
        input: vec![tensor_port("i", 7, &[]), tensor_port("going", 9, &[]), tensor_port("state", 1, &[0, 3, 0, 0])],
        output: vec![tensor_port("on", 9, &[]), tensor_port("next", 1, &[0, 3, 0, 0])],
        ..Default::default()
    };
    let yes = TensorProto { name: Some("c".into()), data_type: Some(9), int32_data: vec![1], ..Default::default() };
    bytes(vec![node(op, &["", "c", "x"], "y", vec![body("body", step)])], vec![yes])
}

/// Every case: its name, its bytes and a word of the refusal.
fn cases() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let relu = || node("Relu", &["x"], "y", vec![]);
    let good = bytes(vec![relu()], vec![]);
    let resize = |output: &str, input: &str, weights: &str| node("Resize", &[input, "", weights], output, vec![]);
    let with = |change: &dyn Fn(&mut GraphProto)| {
        let mut graph = graph(vec![relu()], vec![]);
        change(&mut graph);
        model(graph).encode_to_vec()
    };
    let versions = |ir_version, opset_import| {
        ModelProto { ir_version: Some(ir_version), opset_import, ..model(graph(vec![relu()], vec![])) }.encode_to_vec()
    };
    let opset = |version| vec![OperatorSetIdProto { domain: None, version: Some(version) }];
    let identities: Vec<NodeProto> = (0..100_000)
        .map(|i| {
            node(
                "Identity",
                &[&if i == 0 { "x".into() } else { format!("t{i}") }],
                &if i == 99_999 { "y".into() } else { format!("t{}", i + 1) },
                vec![],
            )
        })
        .collect();
    let doublings: Vec<NodeProto> = (0..12)
        .map(|i| resize(&format!("t{}", i + 1), &if i == 0 { "x".into() } else { format!("t{i}") }, "s"))
        .chain([node(
            "AveragePool",
            &["t12"],
            "y",
            vec![ints("kernel_shape", &[4096, 4096]), ints("strides", &[4096, 4096])],
        )])
        .collect();
    let stretched: Vec<NodeProto> = (0..5000)
        .map(|i| {
            let (from, to) = (
                if i == 0 { "x".into() } else { format!("t{i}") },
                if i == 4999 { "y".into() } else { format!("t{}", i + 1) },
            );
            node("MaxPool", &[&from], &to, vec![ints("kernel_shape", &[4095, 4095]), ints("pads", &[2047; 4])])
        })
        .collect();
    let mut conditional = graph(
        vec![node("If", &["c"], "y", vec![body("then_branch", nested(2)), body("else_branch", nested(2))])],
        vec![],
    );
    conditional.initializer =
        vec![TensorProto { name: Some("c".into()), data_type: Some(9), int32_data: vec![1], ..Default::default() }];
    let mut deep = conditional.clone();
    deep.node[0].attribute = vec![body("then_branch", chain(10))];
    let mut deeper = conditional.clone();
    deeper.node[0].attribute = vec![body("then_branch", chain(60))];
    let mut sparse = graph(vec![relu()], vec![]);
    sparse.sparse_initializer = vec![vec![].into()];
    vec![
        ("huge input", with_input(&[1, 3, 1 << 31, 1 << 31]), "too large"),
        ("large input", with_input(&[1, 3, 100_000, 100_000]), "too large"),
        ("overflowing input", with_input(&[1, 3, i64::MAX, i64::MAX]), "too large"),
        ("huge batch", with_input(&[1 << 40, 3, 64, 64]), "at once"),
        ("many channels", with_input(&[1, i64::MAX, 64, 64]), "too large"),
        ("rank 1000", with_input(&[1; 1000]), "dimensions"),
        ("rank 0", with_input(&[]), "dimensions"),
        ("weights that overflow", bytes(vec![relu()], vec![floats("w", &[1 << 32, 1 << 32])]), "too large"),
        ("weights without bytes", bytes(vec![relu()], vec![floats("w", &[1 << 40])]), "needs"),
        ("weights of negative size", bytes(vec![relu()], vec![floats("w", &[-1, 3])]), "negative"),
        ("weights of rank 100", bytes(vec![relu()], vec![floats("w", &[1; 100])]), "dimensions"),
        (
            "weights of strings",
            bytes(vec![relu()], vec![TensorProto { data_type: Some(8), ..floats("w", &[1]) }]),
            "element type",
        ),
        ("sparse weights", model(sparse).encode_to_vec(), "sparse"),
        (
            "segmented weights",
            bytes(vec![relu()], vec![TensorProto { segment: Some(vec![1].into()), ..floats("w", &[1]) }]),
            "segments",
        ),
        (
            "huge ConstantOfShape",
            bytes(
                vec![node("ConstantOfShape", &["s"], "c", vec![]), node("Add", &["x", "c"], "y", vec![])],
                vec![integers("s", &[1 << 20, 1 << 20])],
            ),
            "too large",
        ),
        (
            "negative ConstantOfShape",
            bytes(
                vec![node("ConstantOfShape", &["s"], "c", vec![]), node("Add", &["x", "c"], "y", vec![])],
                vec![integers("s", &[-5])],
            ),
            "is asked for",
        ),
        (
            "huge Expand",
            bytes(
                vec![node("Expand", &["o", "s"], "c", vec![]), node("Add", &["x", "c"], "y", vec![])],
                vec![floats("o", &[1]), integers("s", &[1 << 45])],
            ),
            "too large",
        ),
        (
            "huge Tile",
            bytes(
                vec![node("Tile", &["o", "s"], "c", vec![]), node("Add", &["x", "c"], "y", vec![])],
                vec![floats("o", &[2]), integers("s", &[i64::MAX])],
            ),
            "too large",
        ),
        (
            "huge Range",
            bytes(
                vec![node("Range", &["a", "b", "d"], "c", vec![]), node("Add", &["x", "c"], "y", vec![])],
                vec![integers("a", &[0]), integers("b", &[i64::MAX]), integers("d", &[1])],
            ),
            "too large",
        ),
        (
            "Resize x4000",
            bytes(vec![resize("y", "x", "s")], vec![scales("s", &[1.0, 1.0, 4000.0, 4000.0])]),
            "bytes for each input pixel",
        ),
        (
            "Resize by infinity",
            bytes(vec![resize("y", "x", "s")], vec![scales("s", &[1.0, 1.0, f32::INFINITY, 1.0])]),
            "it makes",
        ),
        (
            "Resize by nothing",
            bytes(vec![resize("y", "x", "s")], vec![scales("s", &[1.0, 1.0, f32::NAN, -1.0])]),
            "it makes",
        ),
        (
            "up and down by 4096",
            bytes(doublings, vec![scales("s", &[1.0, 1.0, 2.0, 2.0])]),
            "bytes for each input pixel",
        ),
        ("huge Pad", one("Pad", &["x", "p"], vec![], vec![integers("p", &[0, 0, 1 << 50, 0, 0, 0, 0, 0])]), "it pads"),
        (
            "stride 4096 upwards",
            one("ConvTranspose", &["x", "w"], vec![ints("strides", &[4096, 4096])], vec![floats("w", &[3, 3, 1, 1])]),
            "bytes for each input pixel",
        ),
        ("strides of 10^9", conv(&[3, 3, 3, 3], vec![ints("strides", &[1_000_000_000; 2])]), "strides"),
        ("stride 0", conv(&[3, 3, 3, 3], vec![ints("strides", &[0, 0])]), "strides"),
        ("negative pads", conv(&[3, 3, 3, 3], vec![ints("pads", &[-1; 4])]), "pads"),
        (
            "pads of another rank",
            conv(&[3, 3, 3, 3], vec![ints("pads", &[1; 6]), ints("kernel_shape", &[3, 3])]),
            "pads",
        ),
        ("kernel unlike its weights", conv(&[3, 3, 3, 3], vec![ints("kernel_shape", &[9, 9])]), "kernel_shape"),
        ("weights of another rank", conv(&[3, 3], vec![]), "weights"),
        ("group 0", conv(&[3, 3, 3, 3], vec![int("group", 0)]), "group"),
        ("group -3", conv(&[3, 3, 3, 3], vec![int("group", -3)]), "group"),
        ("5000 wide pools", bytes(stretched, vec![]), "multiply-adds"),
        ("blocks of 2^40", one("DepthToSpace", &["x"], vec![int("blocksize", 1 << 40)], vec![]), "blocks"),
        ("reshape to -1 and -1", one("Reshape", &["x", "s"], vec![], vec![integers("s", &[-1, -1])]), "reshaped"),
        ("perm out of range", one("Transpose", &["x"], vec![ints("perm", &[0, 9, -2, 1])], vec![]), "perm"),
        (
            "slice by 0",
            one(
                "Slice",
                &["x", "a", "b", "c", "a"],
                vec![],
                vec![integers("a", &[0]), integers("b", &[i64::MIN]), integers("c", &[2])],
            ),
            "cannot be",
        ),
        (
            "slice by the least step",
            one(
                "Slice",
                &["x", "a", "b", "c", "b"],
                vec![],
                vec![integers("a", &[0]), integers("b", &[i64::MIN]), integers("c", &[2])],
            ),
            "cannot be",
        ),
        (
            "split into negatives",
            one("Split", &["x", "s"], vec![int("axis", 1)], vec![integers("s", &[i64::MIN, i64::MAX])]),
            "split",
        ),
        ("endless Loop", looping("Loop"), "cannot be"),
        ("endless Scan", looping("Scan"), "cannot be"),
        ("If in If in If", model(conditional).encode_to_vec(), "cannot be"),
        ("graphs ten deep", model(deep).encode_to_vec(), "deep"),
        ("graphs sixty deep", model(deeper).encode_to_vec(), "deep"),
        ("100000 nodes", bytes(identities, vec![]), "nodes"),
        ("a million empty nodes", field(7, &[0x0a, 0x00].repeat(1_000_000)), "500000"),
        ("a million empty weights", field(7, &[0x2a, 0x00].repeat(1_000_000)), "500000"),
        ("ten million dimensions", field(7, &field(5, &[0x08, 0x01].repeat(10_000_000))), "fields"),
        ("custom operator", bytes(vec![custom("Anything", "com.evil")], vec![]), "custom operator Anything"),
        ("EPContext", bytes(vec![custom("EPContext", "com.microsoft")], vec![]), "custom operator EPContext"),
        ("PyOp", bytes(vec![custom("PyOp", "pyopmulti")], vec![]), "custom operator PyOp"),
        (
            "machine learning domain",
            bytes(vec![custom("TreeEnsembleRegressor", "ai.onnx.ml")], vec![]),
            "custom operator TreeEns",
        ),
        ("unknown operator", bytes(vec![custom("Unheard\nof", "")], vec![]), "Unheard?of"),
        ("no operator", bytes(vec![custom("", "")], vec![]), "not one that vproc runs"),
        ("random numbers", one("RandomUniformLike", &["x"], vec![], vec![]), "run to run"),
        ("training", one("Dropout", &["x", "", "t"], vec![], vec![integers("t", &[1])]), "training"),
        ("sequences", one("SequenceConstruct", &["x"], vec![], vec![]), "not one that vproc runs"),
        ("a node that reads itself", one("Add", &["x", "y"], vec![], vec![]), "nothing before it gives"),
        ("a tensor given twice", bytes(vec![relu(), relu()], vec![]), "given twice"),
        ("an output nobody gives", with(&|graph| graph.node.clear()), "nothing gives"),
        ("no input", with(&|graph| graph.input.clear()), "nothing before it gives"),
        ("no output", with(&|graph| graph.output.clear()), "0 outputs"),
        ("a name of a megabyte", with(&|graph| graph.input[0].name = Some("x".repeat(1 << 20))), "name"),
        ("opset 999", versions(8, opset(999)), "opset 999"),
        ("no opset", versions(8, vec![]), "opset 0"),
        ("IR 999", versions(999, opset(17)), "IR version 999"),
        ("strings of bytes", one("Resize", &["x"], vec![text("mode", "\u{0}\u{1b}[31m")], vec![]), "cannot be"),
        ("cut short", good[..good.len() - 7].to_vec(), "cut short"),
        ("noise", (0..4096u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect(), "ONNX"),
        ("endless number", vec![0xff; 4096], "ten bytes"),
        ("a length of 2^63", vec![0x3a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f], "bytes has only"),
        ("names that are not text", field(7, &field(1, &field(1, &[0xff, 0xfe]))), "decode"),
        ("a graph of the wrong kind", vec![0x38, 0x01], "no graph"),
        ("empty file", vec![], "empty"),
        ("LFS pointer", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n".to_vec(), "LFS"),
        ("web page", b"<!DOCTYPE html><html></html>".to_vec(), "web page"),
        ("PyTorch", b"PK\x03\x04archive/data.pkl".to_vec(), "PyTorch"),
        ("pickle", b"\x80\x02}q\x00.".to_vec(), "PyTorch"),
    ]
}

/// Peak resident memory of this process in KiB.
fn peak_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}

/// Loads the network and gives the refusal; a network that may run is a failure.
fn refusal(name: &str, path: &Path) -> String {
    let start = Instant::now();
    let message = match onnx::load(path) {
        Err(error) => error.to_string(),
        Ok(graph) => match graph.facts.picture_facts(&Overrides::default()) {
            Err(error) => error.to_string(),
            Ok(facts) => format!("it may run: {facts:?}"),
        },
    };
    assert!(start.elapsed() < MAX_TIME, "{name} took {:?}", start.elapsed());
    assert!(!message.chars().any(char::is_control) && message.len() < 700, "{name}: {message:?}");
    println!("{name:28} {:>5} ms  {message}", start.elapsed().as_millis());
    message
}

#[test]
fn hostile_graphs_are_refused_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net.onnx");
    let cases = cases();
    let (before, mut wrong) = (peak_memory(), Vec::new());
    for (name, bytes, word) in cases {
        fs::write(&path, &bytes).unwrap();
        let message = refusal(name, &path);
        if !message.contains(word) {
            wrong.push(format!("{name}: {message}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let grown = peak_memory() - before;
    assert!(grown < MAX_MEMORY_KB, "{grown} KiB");
}

#[test]
fn a_network_that_gives_nan_is_told() {
    let folder = tempfile::tempdir().unwrap();
    for (factor, is_told) in [(f32::NAN, true), (1.0, false)] {
        let network = one("Mul", &["x", "w"], vec![], vec![scales("w", &[factor])]);
        fs::write(folder.path().join("net.onnx"), network).unwrap();
        let line = "pattern:64x48,frames=3 -o null: -m net.onnx --engine native --progress none --report r.json";
        let ran = run(vproc(folder.path()).args(line.split(' ')), MAX_TIME);
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        let report = report(&folder.path().join("r.json"));
        let in_report = report["warnings"].as_array().unwrap().iter().filter(|line| line.to_string().contains("NaN"));
        assert_eq!((ran.stderr.matches("gives NaN").count(), in_report.count()), (is_told.into(), is_told.into()));
    }
}

/// A network that adds four floats which lie at `location`.
fn external(entries: &[(&str, &str)]) -> Vec<u8> {
    let entry =
        |(key, value): &(&str, &str)| StringStringEntryProto { key: Some((*key).into()), value: Some((*value).into()) };
    let weights = TensorProto {
        raw_data: None,
        external_data: entries.iter().map(entry).collect(),
        data_location: Some(1),
        ..floats("w", &[1, 1, 1, 1])
    };
    one("Add", &["x", "w"], vec![], vec![weights])
}

#[test]
fn external_data_is_read_from_the_models_folder_only() {
    let outer = tempfile::tempdir().unwrap();
    let folder = outer.path().join("net");
    fs::create_dir_all(folder.join("sub")).unwrap();
    let write = |path: &Path| fs::write(path, 1.5f32.to_le_bytes()).unwrap();
    write(&outer.path().join("outside.bin"));
    write(&folder.join("plain.bin"));
    write(&folder.join("sub/inner.bin"));
    write(&folder.join("twin.bin"));
    fs::hard_link(folder.join("twin.bin"), folder.join("hard.bin")).unwrap();
    symlink("plain.bin", folder.join("soft.bin")).unwrap();
    symlink("sub", folder.join("soft")).unwrap();
    symlink("/dev/zero", folder.join("zero")).unwrap();
    let pipe = std::process::Command::new("mkfifo").arg(folder.join("pipe")).status().unwrap();
    assert!(pipe.success());
    let absolute = folder.join("plain.bin").display().to_string();
    let path = folder.join("net.onnx");
    type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str);
    let cases: [Case; 18] = [
        ("parent", &[("location", "../outside.bin")], "not inside"),
        ("hidden parent", &[("location", "sub/../../outside.bin")], "not inside"),
        ("parent and back", &[("location", "sub/../plain.bin")], "not inside"),
        ("absolute", &[("location", &absolute)], "not inside"),
        ("system file", &[("location", "/etc/passwd")], "not inside"),
        ("symbolic link", &[("location", "soft.bin")], "symbolic link"),
        ("linked folder", &[("location", "soft/inner.bin")], "symbolic link"),
        ("linked device", &[("location", "zero")], "symbolic link"),
        ("hard link", &[("location", "hard.bin")], "hard link"),
        ("pipe", &[("location", "pipe")], "not a regular file"),
        ("folder", &[("location", "sub")], "not a regular file"),
        ("missing", &[("location", "nothing.bin")], "missing"),
        ("nowhere", &[], "names no file"),
        ("empty location", &[("location", "")], "not inside"),
        ("beyond the end", &[("location", "plain.bin"), ("offset", "1")], "asked for"),
        ("offset that overflows", &[("location", "plain.bin"), ("offset", "18446744073709551615")], "asked for"),
        ("negative offset", &[("location", "plain.bin"), ("offset", "-4")], "not a number"),
        ("too long", &[("location", "plain.bin"), ("length", "4096")], "needs 4"),
    ];
    for (name, entries, word) in cases {
        fs::write(&path, external(entries)).unwrap();
        let message = refusal(name, &path);
        assert!(message.contains(word), "{name}: {message}");
    }
    let mut hashes = Vec::new();
    for location in ["plain.bin", "./sub/inner.bin", "plain.bin"] {
        fs::write(&path, external(&[("location", location)])).unwrap();
        let graph = onnx::load(&path).unwrap();
        let inline = onnx::parse(graph.bytes).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(inline.proto.graph.unwrap().initializer[0].numbers(), Some(vec![1.5]));
        assert_eq!(graph.facts.picture_facts(&Overrides::default()).unwrap().radius, Some(0));
        hashes.push(graph.hash);
        fs::write(folder.join("plain.bin"), 1.5f32.to_le_bytes()).unwrap();
    }
    fs::write(folder.join("plain.bin"), 2.5f32.to_le_bytes()).unwrap();
    hashes.push(onnx::load(&path).unwrap().hash);
    assert_eq!(hashes[0], hashes[2]);
    assert_ne!(hashes[2], hashes[3], "what lies outside the file is in the hash");
}
