//! `vproc inspect` on videos and networks, and `vproc models`.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::support;

fn vproc(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vproc"));
    command.args(arguments).output().unwrap()
}

fn json_of(arguments: &[&str]) -> Value {
    let output = vproc(&[arguments, &["--json"]].concat());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {said}"))
}

fn text_of(arguments: &[&str]) -> String {
    let output = vproc(arguments);
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A shared file, or `None` with a printed reason.
fn shared(name: &str) -> Option<String> {
    Some(support::shared()?.join("data").join(name).to_str().unwrap().to_owned())
}

#[test]
fn the_sample_is_described_with_its_plan() {
    let found = json_of(&["inspect", "samples/desk.mp4"]);
    let video = &found["streams"][found["video_stream"].as_u64().unwrap() as usize];
    assert_eq!((&video["kind"], &video["packets"]["variable_rate"]), (&json!("video"), &json!(false)), "{video}");
    assert_eq!(video["packets"]["count"], video["frames_listed"]);
    assert_eq!((&found["plan"]["encoder"], &found["plan"]["output"]), (&json!("libx264"), &json!(".mp4")));
    assert_eq!(found["plan"]["width"].as_u64(), video["video"]["width"].as_u64().map(|width| 2 * width));
    assert_eq!(found["plan"]["streams"].as_array().unwrap().len(), found["streams"].as_array().unwrap().len());
    let text = text_of(&["inspect", "samples/desk.mp4"]);
    for word in ["constant rate", "audio aac", "subtitle", "plan       to .mp4 by upscale-x2", ": copied", "colour "] {
        assert!(text.contains(word), "{word}: {text}");
    }
}

#[test]
fn what_skipping_would_bring_is_told_without_running_a_network() {
    let Some(clip) = shared("clips/mov_text_subs.mp4") else { return };
    let found = json_of(&["inspect", &clip]);
    let of = |way: &str, figure: &str| found["plan"]["skip"][way][figure].as_f64().unwrap();
    assert_eq!(found["plan"]["skip"]["exact"]["frames"], 40);
    assert!(of("exact", "predicted_gain") > 1.0 && of("near", "predicted_gain") > 1.0, "{found}");
    assert!(text_of(&["inspect", &clip]).contains("skip       exact: "));
    // The default network, run.
    let folder = tempfile::tempdir().unwrap();
    for way in ["exact", "near"] {
        let report = folder.path().join("report.json");
        let arguments = ["-q", "--skip", way, "--report", report.to_str().unwrap()];
        let ran = support::run(Path::new(&clip), Path::new("null:"), &arguments);
        assert_eq!(ran.status, 0, "{}", ran.stderr);
        let report: Value = serde_json::from_slice(&std::fs::read(report).unwrap()).unwrap();
        let share = |figure: &str| report[figure].as_f64().unwrap() / report["pixels_total"].as_f64().unwrap();
        // Windows cost what they cost here and now, so other ones may be chosen.
        let (dirty, computed) = (of(way, "dirty_share"), of(way, "computed_share"));
        assert!(dirty <= computed, "{way} {dirty} {computed}");
        assert!(
            (computed / share("pixels_computed") - 1.0).abs() < 0.15,
            "{way} {computed} {}",
            share("pixels_computed")
        );
    }
}

#[test]
fn what_the_shared_clips_hold_is_told() {
    let video = |found: &Value| {
        let index = found["video_stream"].as_u64().unwrap();
        found["streams"].as_array().unwrap().iter().find(|stream| stream["index"] == index).unwrap().clone()
    };
    // Frames, variable rate, and a field of the video with its value.
    let table = [
        ("awesome movie.mov", 123, true, "field_order", json!("progressive")),
        ("talking_head_176x144_sar.mp4", 120, false, "sample_aspect_ratio", json!("128:117")),
        ("rotated_90.mov", 0, false, "rotation", json!(90)),
        ("rotated_270_3frames.mov", 3, false, "rotation", json!(270)),
        ("hevc_10bit_hlg_1080p.mp4", 0, false, "pixel_format", json!("yuv420p10le")),
        ("telecined_hard_480i.mkv", 0, false, "field_order", json!("top first")),
        ("people_static_768x432.mp4", 1394, false, "pixel_format", json!("yuv420p")),
        ("sar_2_3.mp4", 0, false, "sample_aspect_ratio", json!("2:3")),
    ];
    for (name, n_frames, is_variable, field, value) in table {
        let Some(path) = shared(&format!("clips/{name}")) else { continue };
        let found = json_of(&["inspect", &path]);
        let stream = video(&found);
        println!("{name}: {} {} {}", stream["packets"], stream["video"][field], found["plan"]["output"]);
        if n_frames > 0 {
            assert_eq!(stream["packets"]["shown"], n_frames, "{name}");
        }
        assert_eq!(stream["packets"]["variable_rate"], is_variable, "{name}");
        assert_eq!(stream["video"][field], value, "{name}");
        assert!(found["plan"]["streams"].as_array().is_some_and(|streams| !streams.is_empty()), "{name}");
    }
    if let Some(path) = shared("clips/broken_no_moov.mp4") {
        assert_eq!(vproc(&["inspect", &path]).status.code(), Some(4));
    }
}

#[test]
fn a_truncated_file_is_flagged() {
    let folder = tempfile::tempdir().unwrap();
    let cut = folder.path().join("cut.mp4");
    let bytes = std::fs::read("samples/desk.mp4").unwrap();
    std::fs::write(&cut, &bytes[..bytes.len() * 2 / 3]).unwrap();
    let output = vproc(&["inspect", cut.to_str().unwrap()]);
    // Where the index stands at the end, nothing can be opened.
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    match output.status.code() {
        Some(3) => assert!(text.contains("damaged "), "{text}"),
        status => assert_eq!(status, Some(4), "{text}"),
    }
}

#[test]
fn a_network_is_told_with_reasons_and_tried() {
    let found = json_of(&["inspect", "tests/data/networks/bicubic_x2.onnx"]);
    assert_eq!((&found["scale"], &found["receptive_radius"]), (&json!(2), &json!(2)));
    assert_eq!((&found["tiling"], &found["refusal"]), (&json!("exact"), &Value::Null));
    assert_eq!(found["size_requirements"]["multiple_of"], 1);
    let facts = found["conclusions"].as_array().unwrap();
    assert!(facts.iter().any(|it| it["fact"] == "radius" && !it["reason"].as_str().unwrap().is_empty()));
    match found.get("not_measured") {
        Some(why) => println!("not run: {why}"),
        None => {
            assert!(found["measured"]["ms_per_megapixel"].as_f64().unwrap() > 0.0);
            assert_eq!(found["measured"]["tiling_exact"], true);
        }
    }
    let text = text_of(&["inspect", "upscale-x2"]);
    assert!(text.contains("exact tiles") && text.contains("multiply-adds per pixel"), "{text}");
    let text = text_of(&["inspect", "identity"]);
    assert!(text.contains("exact tiles") && text.contains("speed"), "{text}");
}

#[test]
fn without_a_library_the_facts_are_told_and_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let network = std::fs::canonicalize("tests/data/networks/blur_u8_nhwc.onnx").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_vproc"));
    command.env_clear().env("HOME", folder.path()).env("ORT_DYLIB_PATH", "/nonexistent/libonnxruntime.so");
    let output = command.arg("inspect").arg(network).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("not run ") && text.contains("yes by the graph: with a halo of 1"), "{text}");
}

#[test]
fn a_toml_beside_a_network_counts_and_a_network_without_a_picture_is_still_told() {
    let folder = tempfile::tempdir().unwrap();
    let network = folder.path().join("n.onnx");
    std::fs::copy("tests/data/networks/bicubic_x2.onnx", &network).unwrap();
    std::fs::write(folder.path().join("n.toml"), "radius = 9").unwrap();
    let found = json_of(&["inspect", network.to_str().unwrap()]);
    assert_eq!(found["receptive_radius"], 9);
    std::fs::write(folder.path().join("n.toml"), "radius = 1").unwrap();
    assert_eq!(vproc(&["inspect", network.to_str().unwrap()]).status.code(), Some(2));
    if let Some(path) = shared("models/face_detection_yunet_2023mar.onnx") {
        let found = json_of(&["inspect", &path]);
        let detector = &found["detector"];
        assert_eq!((detector["family"].as_str(), detector["labels"][0].as_str()), (Some("yunet"), Some("face")));
        assert_eq!(found["parameters"], 53112);
    }
    if let Some(path) = shared("models/VballNetV1_seq9_gray_288x512.onnx") {
        let output = vproc(&["inspect", &path]);
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(0));
        assert!(text.contains("not for pictures") && text.contains("9 channels"), "{text}");
    }
    if let Some(path) = shared("models/lfs_pointer_not_a_model.onnx") {
        assert_eq!(vproc(&["inspect", &path]).status.code(), Some(4));
    }
}

#[test]
fn the_built_in_networks_are_listed() {
    let models = json_of(&["models"]);
    let models = models["models"].as_array().unwrap();
    let text = text_of(&["models"]);
    for name in ["identity", "identity-rgb", "nearest-x2", "upscale-x2", "upscale-x2-fast", "restore"] {
        let model = models.iter().find(|model| model["name"] == name).unwrap();
        assert!(model["scale"].as_u64().is_some_and(|scale| scale >= 1), "{model}");
        assert!(text.lines().any(|line| line.split_whitespace().next() == Some(name)), "{text}");
    }
    let trained = models.iter().find(|model| model["name"] == "upscale-x2").unwrap();
    assert!(trained["parameters"].as_u64().unwrap() > 1000 && trained["receptive_radius"].as_u64().unwrap() > 1);
    assert_eq!(trained["metadata"]["license"], "MIT");
}
