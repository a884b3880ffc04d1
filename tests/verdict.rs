//! Runs that are bound by one part of the machine, and what the report and the trace say of them.

use std::io::Read;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;

use crate::program::{ffmpeg, has, report, run, vproc};

fn told(folder: &Path, arguments: &[&str]) -> Value {
    let mut command = vproc(folder);
    command.args(arguments).args(["-y", "--progress", "none", "--threads", "2", "--report", "r.json"]);
    let ran = run(&mut command, Duration::from_secs(120));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let report = report(&folder.join("r.json"));
    println!("{}", report["verdict"].as_str().unwrap());
    // The summary says the same.
    assert!(ran.stderr.contains(report["verdict"].as_str().unwrap()), "{}", ran.stderr);
    report
}

#[test]
fn a_heavy_network_is_inference_bound() {
    let folder = tempfile::tempdir().unwrap();
    let report = told(folder.path(), &["pattern:320x180@25,frames=40", "-o", "null:", "--workers", "2"]);
    assert_eq!(report["bottleneck"], "inference");
}

#[test]
fn a_slow_encoder_is_encode_bound() {
    let folder = tempfile::tempdir().unwrap();
    let input = "pattern:640x360@25,frames=60";
    let encoder = ["--encoder", "libx264", "--preset", "veryslow", "-o", "out.mkv", "-m", "identity"];
    let report = told(folder.path(), &[&[input][..], &encoder].concat());
    assert_eq!(report["bottleneck"], "encode");
    assert!(report["verdict"].as_str().unwrap().contains("libx264"));
}

#[test]
fn a_stream_hard_to_decode_is_decode_bound() {
    if !has("ffmpeg") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let clip = folder.path().join("noise.mkv");
    // Nearly lossless noise: some hundred megabits a second.
    let source = ["-f", "lavfi", "-i", "nullsrc=s=1280x720:r=25:d=1.6,geq=random(1)*255:128:128"];
    let encoder = ["-c:v", "libx264", "-preset", "ultrafast", "-qp", "4", "-x264-params", "cabac=1"];
    ffmpeg(&[&source[..], &encoder, &["-pix_fmt", "yuv420p", clip.to_str().unwrap()]].concat());
    let report = told(folder.path(), &["noise.mkv", "-o", "null:", "-m", "identity"]);
    assert_eq!(report["bottleneck"], "decode");
}

#[test]
fn a_reader_that_dawdles_is_disk_bound() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = vproc(folder.path());
    command.args(["pattern:320x180@25,frames=40", "-o", "-", "-m", "identity", "--progress", "none"]);
    command.args(["--report", "r.json"]).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let mut pipe = child.stdout.take().unwrap();
    let mut buffer = vec![0; 1 << 16];
    while pipe.read(&mut buffer).unwrap() > 0 {
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(child.wait().unwrap().success());
    let report = report(&folder.path().join("r.json"));
    assert_eq!(report["bottleneck"], "disk", "{}", report["verdict"]);
}

#[test]
fn one_frame_at_a_time_is_window_bound() {
    if std::thread::available_parallelism().map_or(1, |n| n.get()) < 2 {
        eprintln!("skipped: one processor is never idle");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let input = ["pattern:320x180@25,frames=40", "-o", "null:", "--workers", "2", "--latency", "0"];
    let report = told(folder.path(), &input);
    assert_eq!(report["bottleneck"], "window");
}

#[test]
fn the_trace_is_json_in_order_with_every_frame_in_every_stage() {
    let folder = tempfile::tempdir().unwrap();
    let input = ["pattern:320x180@25,frames=30", "-o", "out.mkv", "-m", "nearest-x2", "--trace", "t.json"];
    let report = told(folder.path(), &input);
    let trace = crate::program::report(&folder.path().join("t.json"));
    let events = trace["traceEvents"].as_array().unwrap();
    let number = |event: &Value, key: &str| event[key].as_f64().unwrap();
    assert!(events.windows(2).all(|pair| number(&pair[0], "ts") <= number(&pair[1], "ts")));
    // Complete events alone: there is nothing that could stay open, and the spans of a row do not overlap.
    assert!(events.iter().all(|event| ["M", "X", "C"].contains(&event["ph"].as_str().unwrap())));
    let rows: std::collections::BTreeSet<u64> = events.iter().filter_map(|event| event["tid"].as_u64()).collect();
    for row in rows.into_iter().filter(|row| *row > 0) {
        let spans: Vec<_> = events.iter().filter(|event| event["ph"] == "X" && event["tid"] == row).collect();
        for pair in spans.windows(2) {
            let (end, begun) = (number(pair[0], "ts") + number(pair[0], "dur"), number(pair[1], "ts"));
            assert!(end <= begun + 0.002, "row {row}: {} {}", pair[0], pair[1]);
        }
    }
    for stage in ["decode", "network", "encode"] {
        let mut frames: Vec<u64> = events
            .iter()
            .filter(|event| event["name"] == stage && event["ph"] == "X")
            .map(|event| event["args"]["frame"].as_u64().unwrap())
            .collect();
        frames.sort_unstable();
        frames.dedup();
        // Looking for a frame behind the last takes time too.
        assert_eq!(frames.iter().filter(|frame| **frame < 30).count(), 30, "{stage}");
    }
    let stages = report["stages"].as_object().unwrap();
    for (name, stage) in stages {
        assert_eq!(stage["items"], 30, "{name}");
        assert!(number(stage, "busy_seconds") > 0.0, "{name}");
    }
}
