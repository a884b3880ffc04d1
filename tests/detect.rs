//! What is found in pictures, and what becomes of it.
//!
//! The network of these tests finds cells of 8, 16 and 32 pixels that are white. What real networks find in real clips
//! stands in the README of the shared files, as ONNX Runtime and another program's scaling gave it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use prost::Message;
use serde_json::Value;
use vproc::model::onnx::proto::*;

use crate::support::{Ran, has_onnx_runtime, has_tools, run, shared};

/// Side of the pictures.
const SIDE: usize = 64;

fn tensor(name: &str, dims: &[i64], values: Vec<f32>) -> TensorProto {
    let data_type = Some(data_type::FLOAT);
    TensorProto { name: Some(name.into()), dims: dims.to_vec(), data_type, float_data: values, ..Default::default() }
}

fn integers(name: &str, ints: &[i64]) -> AttributeProto {
    AttributeProto { name: Some(name.into()), r#type: Some(7), ints: ints.to_vec(), ..Default::default() }
}

fn integer(name: &str, value: i64) -> AttributeProto {
    AttributeProto { name: Some(name.into()), r#type: Some(2), i: Some(value), ..Default::default() }
}

fn node(op: &str, input: &[&str], output: &str, attribute: Vec<AttributeProto>) -> NodeProto {
    NodeProto {
        op_type: Some(op.into()),
        input: input.iter().map(|name| (*name).to_owned()).collect(),
        output: vec![output.into()],
        attribute,
        ..Default::default()
    }
}

fn port(name: &str, dims: &[i64]) -> ValueInfoProto {
    let dim = dims.iter().map(|size| DimensionProto { dim_value: Some(*size), dim_param: None }).collect();
    let tensor = TensorTypeProto { elem_type: Some(data_type::FLOAT), shape: Some(TensorShapeProto { dim }) };
    ValueInfoProto { name: Some(name.into()), r#type: Some(TypeProto { tensor_type: Some(tensor) }) }
}

/// A YOLOX of one layer: a cell is found by its mean of blue, green and red, and is of class 0 as far as it is.
fn white_cells() -> Vec<u8> {
    let (mut nodes, mut weights) = (Vec::new(), Vec::new());
    for side in [8i64, 16, 32] {
        let n = 3 * side * side;
        // Centre and logarithm of the size in cells, object score, two classes.
        let mut kernel = vec![0.0; (7 * n) as usize];
        kernel[(4 * n) as usize..(5 * n) as usize].fill(1.0 / (255.0 * n as f32));
        weights.push(tensor(&format!("w{side}"), &[7, 3, side, side], kernel));
        weights.push(tensor(&format!("b{side}"), &[7], vec![0.5, 0.5, 0.0, 0.0, 0.0, 1.0, 0.25]));
        let conv = vec![integers("kernel_shape", &[side, side]), integers("strides", &[side, side])];
        nodes.push(node("Conv", &["images", &format!("w{side}"), &format!("b{side}")], &format!("c{side}"), conv));
        nodes.push(node("Reshape", &[&format!("c{side}"), "rows"], &format!("r{side}"), vec![]));
    }
    let bytes = [1i64, 7, -1].iter().flat_map(|size| size.to_le_bytes()).collect::<Vec<u8>>();
    weights.push(TensorProto {
        name: Some("rows".into()),
        dims: vec![3],
        data_type: Some(data_type::INT64),
        raw_data: Some(bytes.into()),
        ..Default::default()
    });
    nodes.push(node("Concat", &["r8", "r16", "r32"], "all", vec![integer("axis", 2)]));
    nodes.push(node("Transpose", &["all"], "output", vec![integers("perm", &[0, 2, 1])]));
    let side = SIDE as i64;
    let graph = GraphProto {
        node: nodes,
        initializer: weights,
        input: vec![port("images", &[1, 3, side, side])],
        output: vec![port("output", &[1, 84, 7])],
        ..Default::default()
    };
    let opset = OperatorSetIdProto { domain: None, version: Some(13) };
    let model = ModelProto { ir_version: Some(8), graph: Some(graph), opset_import: vec![opset], ..Default::default() };
    model.encode_to_vec()
}

/// Frames of dark noise with a white square, whose left upper corner lies there, as far as it is in the frame.
fn film(corners: &[(usize, usize)], side: usize) -> Vec<u8> {
    let mut bytes = format!("YUV4MPEG2 W{SIDE} H{SIDE} F25:1 Ip C420jpeg XCOLORRANGE=FULL\n").into_bytes();
    for (left, top) in corners {
        let dark = |at: usize| ((at as u32).wrapping_mul(2_654_435_761) >> 28) as u8;
        let mut luma: Vec<u8> = (0..SIDE * SIDE).map(dark).collect();
        for y in (*top..*top + side).filter(|y| *y < SIDE) {
            luma[y * SIDE + left..][..side].fill(255);
        }
        bytes.extend_from_slice(b"FRAME\n");
        bytes.extend_from_slice(&luma);
        bytes.extend(std::iter::repeat_n(128, SIDE * SIDE / 2));
    }
    bytes
}

struct Place(tempfile::TempDir);

impl Place {
    /// A folder with the network and a film; `None` without ONNX Runtime.
    fn new(corners: &[(usize, usize)]) -> Option<Place> {
        if !has_onnx_runtime() {
            return None;
        }
        let place = Place(tempfile::tempdir().unwrap());
        fs::write(place.path("net.onnx"), white_cells()).unwrap();
        fs::write(place.path("net.toml"), "labels = [\"cell\", \"other\"]\n").unwrap();
        fs::write(place.path("in.y4m"), film(corners, 16)).unwrap();
        Some(place)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn run(&self, output: &Path, arguments: &[&str]) -> Ran {
        let network = self.path("net.onnx").display().to_string();
        let all = [&["-m", &network, "--progress", "none", "-y"], arguments].concat();
        run(&self.path("in.y4m"), output, &all)
    }

    /// The lines of what was found.
    fn found(&self, output: &Path, arguments: &[&str]) -> Vec<Value> {
        let lines = self.path("found.jsonl");
        let name = lines.display().to_string();
        let ran = self.run(output, &[&["--detections", &name], arguments].concat());
        assert_eq!(ran.status, 0, "{arguments:?}: {}", ran.stderr);
        lines_of(&lines)
    }
}

fn lines_of(path: &Path) -> Vec<Value> {
    fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

#[test]
fn every_frame_has_its_line_and_every_cell_its_box() {
    let Some(place) = Place::new(&[(16, 32), (24, 32), (24, 32), (24, 32)]) else { return };
    let lines = place.found(Path::new("null:"), &["--score", "0.9"]);
    assert_eq!(lines.len(), 4);
    for (index, (line, left)) in lines.iter().zip([16.0, 24.0, 24.0, 24.0]).enumerate() {
        assert_eq!((line["frame"].as_u64(), line["pts"].as_f64()), (Some(index as u64), Some(index as f64 / 25.0)));
        let found = line["detections"].as_array().unwrap();
        let mut boxes: Vec<_> = found.iter().map(|found| numbers(&found["box"])).collect();
        boxes.sort_by(|a, b| a.partial_cmp(b).unwrap());
        // Cells of 8; one of 16 where the square lies on their grid.
        let mut expected: Vec<_> = [(0.0, 0.0), (0.0, 8.0), (8.0, 0.0), (8.0, 8.0)]
            .map(|(x, y)| vec![left + x, 32.0 + y, left + x + 8.0, 40.0 + y])
            .to_vec();
        if left == 16.0 {
            expected.push(vec![16.0, 32.0, 32.0, 48.0]);
        }
        expected.sort_by(|a, b| a.partial_cmp(b).unwrap());
        assert_eq!(boxes, expected, "{line}");
        for found in found {
            assert_eq!((found["label"].as_str(), found["class"].as_u64()), (Some("cell"), Some(0)));
            assert!(found["score"].as_f64().unwrap() > 0.99, "{found}");
        }
    }
    let tracks = |line: &Value| -> Vec<u64> {
        line["detections"].as_array().unwrap().iter().map(|found| found["track"].as_u64().unwrap()).collect()
    };
    assert_eq!(tracks(&lines[1]), tracks(&lines[3]), "what stays has one number");
}

#[test]
fn what_is_found_does_not_depend_on_skipping_or_workers() {
    let corners: Vec<_> = (0..24).map(|n| (n / 3 % 6 * 8, n / 5 % 5 * 8)).collect();
    let Some(place) = Place::new(&corners) else { return };
    let result = |arguments: &[&str]| {
        let hashes = place.path("out.md5");
        let arguments = [&["--score", "0.5"], arguments].concat();
        let lines = place.found(&PathBuf::from(format!("md5:{}", hashes.display())), &arguments);
        (lines, fs::read_to_string(hashes).unwrap())
    };
    let expected = result(&["--skip", "off", "--workers", "1", "--task", "pixelate"]);
    for arguments in [&["--skip", "exact", "--workers", "3"], &["--skip", "near", "--workers", "2"]] {
        assert!(result(&[&arguments[..], &["--task", "pixelate"]].concat()) == expected, "{arguments:?}");
    }
    let report = place.path("r.json").display().to_string();
    place.found(Path::new("null:"), &["--report", &report, "--score", "0.5"]);
    let report: Value = serde_json::from_slice(&fs::read(&report).unwrap()).unwrap();
    let found: usize = expected.0.iter().map(|line| line["detections"].as_array().unwrap().len()).sum();
    assert_eq!((report["detections"].as_u64(), report["frames_out"].as_u64()), (Some(found as u64), Some(24)));
    assert!(report["pixels_reused"].as_u64() > Some(0), "a frame that comes again is not looked at again");
}

/// The frames of a y4m file: luma and chroma.
fn frames(path: &Path) -> Vec<Vec<u8>> {
    let bytes = fs::read(path).unwrap();
    let start = bytes.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    bytes[start..].chunks(6 + SIDE * SIDE * 3 / 2).map(|frame| frame[6..].to_vec()).collect()
}

#[test]
fn all_but_what_was_found_stays_as_it_is() {
    let Some(place) = Place::new(&[(16, 32), (40, 8)]) else { return };
    let source = frames(&place.path("in.y4m"));
    for task in ["auto", "detect", "blur", "pixelate"] {
        let output = place.path("out.y4m");
        let ran = place.run(&output, &["--task", task, "--score", "0.9"]);
        assert_eq!(ran.status, 0, "{task}: {}", ran.stderr);
        let made = frames(&output);
        assert_eq!(made.len(), 2, "{task}");
        // What was hidden stays hidden for a while.
        let is_hidden = ["blur", "pixelate"].contains(&task);
        let second = if is_hidden { &[(16, 32), (40, 8)][..] } else { &[(40, 8)] };
        for ((from, to), squares) in source.iter().zip(&made).zip([&[(16, 32)], second]) {
            // The largest cell that may be found, and a margin.
            let near = |x: usize, y: usize, (left, top): (usize, usize)| {
                (left.max(4) - 4..left + 20).contains(&x) && (top.max(4) - 4..top + 20).contains(&y)
            };
            let changed: Vec<_> =
                (0..SIDE * SIDE).filter(|at| from[*at] != to[*at]).map(|at| (at % SIDE, at / SIDE)).collect();
            assert!(
                changed.iter().all(|(x, y)| squares.iter().any(|square| near(*x, *y, *square))),
                "{task}: {changed:?}"
            );
            let is_there = |square: &(usize, usize)| changed.iter().any(|(x, y)| near(*x, *y, *square));
            assert!(squares.iter().all(is_there), "{task}: {changed:?}");
        }
    }
    let hidden = place.path("hidden.y4m");
    assert_eq!(place.run(&hidden, &["--classes", "other"]).status, 0);
    assert!(frames(&hidden) == source, "nothing of the other class is there");
}

/// Frames of a thing that is there, lost for some frames, and there again; in segments or not, in one go or in two.
#[test]
fn what_is_lost_for_a_moment_stays_hidden_the_same_however_it_is_run() {
    let corners: Vec<_> = (0..24).map(|n| if n % 11 < 4 { (16, 32) } else { (64, 64) }).collect();
    let Some(place) = Place::new(&[]) else { return };
    fs::write(place.path("in.y4m"), film(&corners, 16)).unwrap();
    let made = |name: &str, arguments: &[&str]| {
        let output = place.path(name);
        let all = [&["--task", "blur", "--score", "0.9", "--encoder", "ffv1"], arguments].concat();
        let ran = place.run(&output, &all);
        assert_eq!(ran.status, 0, "{arguments:?}: {}", ran.stderr);
        let hashes = place.path("out.md5");
        let ran = run(&output, &PathBuf::from(format!("md5:{}", hashes.display())), &["-m", "identity", "-y", "-q"]);
        assert_eq!(ran.status, 0, "{}", ran.stderr);
        fs::read_to_string(hashes).unwrap()
    };
    let segmented = made("a.mkv", &["--segment-frames", "6", "--workers", "1", "--skip", "off"]);
    assert_eq!(made("b.mkv", &["--segment-frames", "6", "--workers", "3"]), segmented);
    assert_eq!(made("c.mkv", &["--no-resume", "--skip", "off"]), made("d.mkv", &["--no-resume", "--workers", "2"]));
    let output = place.path("out.y4m");
    assert_eq!(place.run(&output, &["--task", "pixelate", "--score", "0.9"]).status, 0);
    let (source, made) = (frames(&place.path("in.y4m")), frames(&output));
    let is_changed: Vec<bool> = source.iter().zip(&made).map(|(from, to)| from != to).collect();
    // A quarter of a second at 25 frames, rounded up.
    assert!(is_changed.iter().all(|is_changed| *is_changed), "{is_changed:?}");
    let plan = place.run(Path::new("null:"), &["--task", "pixelate", "-v"]).stderr;
    assert!(plan.contains("all classes from a score of 0.2, made of large squares and for 7 frames more"), "{plan}");
    // A report of what was hidden shows none of it.
    for (task, is_shown) in [("detect", true), ("blur", false)] {
        let report = place.path("r.html");
        let ran = place.run(Path::new("null:"), &["--task", task, "--report", &report.display().to_string()]);
        assert_eq!(ran.status, 0, "{}", ran.stderr);
        assert_eq!(fs::read_to_string(report).unwrap().contains("data:image/png"), is_shown, "{task}");
    }
}

#[test]
fn what_goes_not_together_is_said_in_a_line() {
    let Some(place) = Place::new(&[(0, 0)]) else { return };
    let null = Path::new("null:");
    let cases: [(&[&str], &str); 11] = [
        (&["--classes", "2"], "knows no '2', there are cell, other"),
        (&["--detections", ""], "got nothing, expected the name of a file"),
        (&["--detections", "-"], "/dev/stdout is standard output"),
        (&["--detections", "f.jsonl", "--segment-frames", "8"], "leave one of them out"),
        (&["--report", "r.json", "--detections", "r.json.part"], "in each other's way"),
        (&["--task", "image"], "finds things; use detect, blur or pixelate"),
        (&["--classes", "cel"], "knows no 'cel', there are cell, other; did you mean 'cell'?"),
        (&["--roi", "0,0,8,8"], "looks at all of one"),
        (&["--score", "1.5"], "--score"),
        (&["--task", "blurr"], "a similar value exists: 'blur'"),
        (&["--engine", "native"], "finds things"),
    ];
    for (arguments, expected) in cases {
        let ran = place.run(null, arguments);
        assert!([2, 4].contains(&ran.status) && ran.stderr.contains(expected), "{arguments:?}: {}", ran.stderr);
        assert_eq!(ran.stderr.trim().lines().count(), 1, "{arguments:?}: {}", ran.stderr);
    }
    let lines = place.path("f.jsonl").display().to_string();
    for arguments in [&["--task", "blur"][..], &["--detections", &lines], &["--classes", "0"], &["--score", "0.5"]] {
        let all = [&["-m", "nearest-x2", "--progress", "none"], arguments].concat();
        let ran = run(&place.path("in.y4m"), null, &all);
        assert!(ran.status == 2 && ran.stderr.contains("is for networks that find things"), "{}", ran.stderr);
    }
    assert!(!place.path("f.jsonl").exists());
}

/// What is open already is written to, not replaced, and who does not read is waited for until a signal comes.
#[test]
fn a_stream_of_what_is_found_stays_what_it_is() {
    let Some(place) = Place::new(&[(0, 0), (8, 8)]) else { return };
    let command = |output: &Path, lines: &Path| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vproc"));
        command.env_remove("VPROC_SHARED").arg(place.path("in.y4m")).arg("-o").arg(output);
        command.arg("-m").arg(place.path("net.onnx")).args(["-q", "-y", "--detections"]).arg(lines);
        command
    };
    let link = place.path("stdout");
    std::os::unix::fs::symlink("/proc/self/fd/1", &link).unwrap();
    // Named from where it lies.
    let bare = place.0.path();
    // Nowhere near what the program may write to.
    let elsewhere = tempfile::tempdir().unwrap();
    let into = elsewhere.path().join("into.txt");
    for output in ["null:", "bare", "md5:stdout"] {
        let (output, lines) = match output {
            "null:" => (PathBuf::from("null:"), link.clone()),
            "bare" => (PathBuf::from("null:"), PathBuf::from("stdout")),
            _ => (PathBuf::from(format!("md5:{}", link.display())), place.path("l.jsonl")),
        };
        fs::write(&into, "# there before\n").unwrap();
        let behind = fs::OpenOptions::new().append(true).open(&into).unwrap();
        let status = command(&output, &lines).current_dir(bare).stdout(behind).status().unwrap();
        assert!(status.success() && link.is_symlink(), "{output:?}");
        let told = fs::read_to_string(&into).unwrap();
        assert!(told.starts_with("# there before\n"), "{told}");
        assert_eq!(told.lines().filter(|line| !line.starts_with('#')).count(), 2, "{told}");
    }
    let both = command(Path::new("-"), &link).stdout(fs::File::create(&into).unwrap()).status().unwrap();
    assert_eq!(both.code(), Some(2), "frames and lines in one stream");
    let pipe = place.path("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let mut waiting = command(Path::new("null:"), &pipe).spawn().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(700));
    let pid = rustix::process::Pid::from_raw(waiting.id() as i32).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(waiting.wait().unwrap().code(), Some(143));
}

/// Intersection over union.
fn overlap(a: &[f64], b: &[f64]) -> f64 {
    let area = |b: &[f64]| (b[2] - b[0]).max(0.0) * (b[3] - b[1]).max(0.0);
    let both = area(&[a[0].max(b[0]), a[1].max(b[1]), a[2].min(b[2]), a[3].min(b[3])]);
    both / (area(a) + area(b) - both)
}

/// Network, clip, frames to run, and of some frame the class, box and score: by the README of the shared files.
type Known = (&'static str, &'static str, u64, &'static [(usize, u64, [f64; 4], f64)]);

const KNOWN: [Known; 5] = [
    (
        "face_detection_yunet_2023mar",
        "face_1080x720.mp4",
        16,
        &[(0, 0, [447.0, 208.0, 717.0, 574.0], 0.950), (15, 0, [449.0, 208.0, 717.0, 569.0], 0.948)],
    ),
    ("face_detection_yunet_2023mar", "talking_head_176x144_sar.mp4", 1, &[(0, 0, [66.0, 35.0, 111.0, 99.0], 0.938)]),
    ("yunet_n_dynamic", "face_1080x720.mp4", 1, &[(0, 0, [438.0, 204.0, 713.0, 585.0], 0.948)]),
    ("yolox_nano_416", "people_static_768x432.mp4", 301, &[(300, 0, [382.0, 3.0, 544.0, 371.0], 0.896)]),
    ("yolox_nano_416", "deer_1080p24.mp4", 6, &[(5, 16, [1237.0, 155.0, 1727.0, 842.0], 0.692)]),
];

#[test]
fn real_networks_find_in_real_clips_what_they_are_known_to_find() {
    let Some(shared) = shared().filter(|_| has_onnx_runtime()) else { return };
    let folder = tempfile::tempdir().unwrap();
    for (network, clip, n_frames, known) in KNOWN {
        let lines = folder.path().join("found.jsonl");
        let (name, n) = (lines.display().to_string(), n_frames.to_string());
        let network = shared.join(format!("data/models/{network}.onnx")).display().to_string();
        let arguments = ["-m", &network, "--frames", &n, "--detections", &name, "--progress", "none"];
        let ran = run(&shared.join("data/clips").join(clip), Path::new("null:"), &arguments);
        assert_eq!(ran.status, 0, "{network} {clip}: {}", ran.stderr);
        let lines = lines_of(&lines);
        assert_eq!(lines.len() as u64, n_frames, "{network} {clip}");
        for (frame, class, area, score) in known {
            let found = lines[*frame]["detections"].as_array().unwrap();
            let [one] = found.as_slice() else { panic!("{network} {clip} {frame}: {found:?}") };
            let overlap = overlap(&numbers(&one["box"]), area);
            assert!(overlap > 0.97, "{network} {clip} {frame}: {one}, {overlap}");
            assert!((one["score"].as_f64().unwrap() - score).abs() < 0.03, "{network} {clip} {frame}: {one}");
            assert_eq!(one["class"].as_u64(), Some(*class));
        }
    }
}

#[test]
fn a_clip_on_its_side_is_looked_at_upright() {
    let Some(shared) = shared().filter(|_| has_onnx_runtime() && has_tools(&["ffmpeg"])) else { return };
    let folder = tempfile::tempdir().unwrap();
    // Stored 720 wide and 1080 high, turned counterclockwise by a quarter; a copy is told how it is to be shown.
    let clip = folder.path().join("side.mov");
    let ffmpeg = |from: &Path, arguments: &str, to: &Path| {
        let mut command = Command::new("ffmpeg");
        command.args(["-v", "error", "-i"]).arg(from).args(arguments.split(' ')).arg(to);
        assert!(command.status().unwrap().success());
    };
    let face = shared.join("data/clips/face_1080x720.mp4");
    ffmpeg(&face, "-frames:v 1 -vf transpose=cclock -c:v libx264 -qp 10 -an", &folder.path().join("plain.mov"));
    ffmpeg(&folder.path().join("plain.mov"), "-c copy -metadata:s:v rotate=270", &clip);
    let lines = folder.path().join("found.jsonl");
    let name = lines.display().to_string();
    for network in ["face_detection_yunet_2023mar", "yunet_n_dynamic"] {
        let network = shared.join(format!("data/models/{network}.onnx")).display().to_string();
        let ran = run(&clip, Path::new("null:"), &["-m", &network, "--detections", &name, "--progress", "none"]);
        assert_eq!(ran.status, 0, "{}", ran.stderr);
        let found = &lines_of(&lines)[0]["detections"];
        // What is 447 to 717 across and 208 to 574 down when it is upright.
        let area = numbers(&found[0]["box"]);
        assert!(overlap(&area, &[208.0, 1080.0 - 717.0, 574.0, 1080.0 - 447.0]) > 0.9, "{found}");
        assert!(found[0]["score"].as_f64() > Some(0.93), "upside down it is less sure: {found}");
    }
}
