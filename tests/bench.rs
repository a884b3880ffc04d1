//! `bench` and `tune`: what they measure is there, what they write can be read, and what is remembered is used and
//! changes nothing that was not said.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::program::{Ran, run, vproc};
use crate::support::shared;

fn ran(folder: &Path, arguments: &[&str]) -> Ran {
    run(vproc(folder).args(arguments), Duration::from_secs(600))
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn stdout(ran: &Ran) -> String {
    String::from_utf8(ran.stdout.clone()).unwrap()
}

/// Files that are remembered of this kind.
fn remembered(folder: &Path, kind: &str) -> Vec<PathBuf> {
    let files = fs::read_dir(folder.join(".cache/vproc")).into_iter().flatten().flatten().map(|entry| entry.path());
    files.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with(kind)).collect()
}

#[test]
fn every_part_is_measured_and_what_is_written_can_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let line = "bench -q --resolutions 64x36,96x64 -m nearest-x2 --seconds 1 --baseline plain --json a.json --plot a.svg \
        --preset ultrafast";
    let bench = ran(folder, &line.split_whitespace().collect::<Vec<_>>());
    assert_eq!((bench.code, bench.stderr.as_str()), (Some(0), ""), "{bench:?}");
    let text = stdout(&bench);
    assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");

    let results = json(&folder.join("a.json"));
    assert_eq!((&results["network"], &results["command"][0]), (&"nearest-x2".into(), &"bench".into()));
    assert!(results["machine"]["cores"].as_u64().unwrap() > 0 && results["versions"]["ffmpeg"].is_string());
    let rows = results["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 2);
    for (row, (width, height)) in rows.iter().zip([(64, 36), (96, 64)]) {
        assert_eq!((row["width"].as_u64(), row["height"].as_u64()), (Some(width), Some(height)));
        assert_eq!((row["output_width"].as_u64(), row["engine"].as_str()), (Some(2 * width), Some("test")));
        assert!(row["encoder"].as_str().unwrap().contains("preset=ultrafast"));
        let parts: Vec<_> = row["parts"].as_array().unwrap().iter().map(|it| it["part"].as_str().unwrap()).collect();
        assert_eq!(parts, ["chain", "plain", "decode", "preprocess", "inference", "postprocess", "encode"]);
        for repeat in row["parts"].as_array().unwrap().iter().flat_map(|it| it["repeats"].as_array().unwrap()) {
            assert!(repeat["frames"].as_u64().unwrap() > 1 && repeat["wall_seconds"].as_f64().unwrap() > 0.0, "{row}");
            assert!(repeat["peak_rss_bytes"].as_u64().unwrap() > 1 << 20, "{row}");
        }
        for part in row["parts"].as_array().unwrap() {
            assert!(!part["repeats"].as_array().unwrap().is_empty() && part["skipped"].is_null(), "{part}");
        }
    }
    let svg = fs::read_to_string(folder.join("a.svg")).unwrap();
    assert!(svg.starts_with("<svg") && svg.contains("64x36 to 128x72") && svg.contains("inference"), "{svg}");

    let compared = ran(folder, &["bench", "--compare", "a.json", "a.json"]);
    assert_eq!(compared.code, Some(0), "{compared:?}");
    assert!(stdout(&compared).contains("96x64: no difference"), "{compared:?}");
    // Nothing is left of clips and outputs.
    let names: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(names.iter().all(|name| ["a.json", "a.svg", ".cache"].contains(&name.to_str().unwrap())), "{names:?}");
}

#[test]
fn a_video_of_ones_own_is_measured_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let made = ran(folder, &["pattern:64x48@25,frames=9", "-o", "a b.mkv", "-m", "identity", "-q"]);
    assert_eq!(made.code, Some(0), "{made:?}");
    let line = ["bench", "-q", "-i", "a b.mkv", "-m", "identity", "--seconds", "1", "--json", "r.json"];
    let bench = ran(folder, &line);
    assert_eq!(bench.code, Some(0), "{bench:?}");
    let results = json(&folder.join("r.json"));
    let row = &results["rows"][0];
    assert_eq!((row["name"].as_str(), row["width"].as_u64()), (Some("input"), Some(64)));
    assert!(row["input"].as_str().unwrap().starts_with("a b.mkv, h264"));
    for part in row["parts"].as_array().unwrap() {
        // Those in workers go over the frames again and again.
        let once = ["chain", "decode", "encode"].contains(&part["part"].as_str().unwrap());
        // A slow machine takes fewer of them.
        assert!(!once || (1..=9).contains(&part["repeats"][0]["frames"].as_u64().unwrap()), "{part}");
    }
    // More workers than half the frames that a measurement has at most.
    let many = ran(folder, &[&line[..], &["--workers", "125"]].concat());
    assert_eq!(many.code, Some(0), "{many:?}");
}

#[test]
fn what_cannot_be_measured_is_said_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("x.json"), "{}").unwrap();
    for (line, status, word) in [
        ("bench --resolutions 9k", 2, "1080p"),
        ("bench --resolutions 4k -i a.mp4", 2, "cannot be used with"),
        ("bench --baseline fancy", 2, "fancy"),
        ("bench --seconds 0", 2, "seconds"),
        ("bench -q --resolutions 64x36 -m nonsense", 2, "no built-in network"),
        ("bench -q -i missing.mp4", 4, "missing.mp4"),
        ("bench --compare x.json", 2, "2 values"),
        ("bench --compare x.json missing.json", 4, "no result"),
        ("bench --row {}", 2, "starts itself"),
        ("bench -q --resolutions 64x36 -m identity --encoder nonsense", 2, "nonsense"),
        ("bench --cpu-affinity 1-0", 2, "0-3,8"),
        ("tune", 2, "no input"),
        ("tune -q missing.mp4 -m identity", 4, "missing.mp4"),
        ("pattern:64x36 -o null: -m identity --cpu-affinity 1023", 2, "processor 1023"),
    ] {
        let ran = ran(folder.path(), &line.split_whitespace().collect::<Vec<_>>());
        assert_eq!(ran.code, Some(status), "{line}: {ran:?}");
        assert!(ran.is_refusal(status) && ran.stderr.contains(word), "{line}: {}", ran.stderr);
    }
}

#[test]
fn processors_that_are_named_are_all_there_are() {
    let folder = tempfile::tempdir().unwrap();
    let plan = ran(
        folder.path(),
        &["pattern:64x36,frames=3", "-o", "null:", "-m", "identity", "--dry-run", "--cpu-affinity", "0"],
    );
    assert_eq!(plan.code, Some(0), "{plan:?}");
    let text = stdout(&plan);
    assert!(text.contains("decoder 1, workers 1, encoder 1") && text.contains("cpu-affinity = 0"), "{text}");
}

/// A clip of 64x48 with so many frames.
fn clip(folder: &Path, frames: u64) {
    let made = ran(folder, &[&format!("pattern:64x48@25,frames={frames}"), "-o", "a.mkv", "-m", "identity", "-q"]);
    assert_eq!(made.code, Some(0), "{made:?}");
}

fn hashes(folder: &Path, output: &str) -> String {
    stdout(&ran(folder, &[output, "-o", "md5:", "-m", "identity", "-q"]))
}

#[test]
fn what_was_tuned_is_used_until_something_else_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    clip(folder, 12);
    let tune = ran(folder, &["tune", "a.mkv", "-m", "identity", "-q", "--seconds", "3", "--preset", "ultrafast"]);
    assert_eq!((tune.code, tune.stderr.as_str()), (Some(0), ""), "{tune:?}");
    assert!(stdout(&tune).contains("identity on h264 64x48 yuv420p with libx264 preset=ultrafast"), "{tune:?}");
    let [file] = remembered(folder, "tuned-").try_into().unwrap();
    assert!(stdout(&tune).contains(file.file_name().unwrap().to_str().unwrap()), "{tune:?}");

    // Whatever was the fastest: from here on it is this.
    let mut kept = json(&file);
    kept["settings"] = serde_json::json!({ "workers": 3, "decoder": 1, "encoder": null, "tile": 32, "engine": null });
    kept["gain"] = 1.25.into();
    fs::write(&file, kept.to_string()).unwrap();
    let plan_of = |preset: &str, more: &[&str]| {
        let line = ["a.mkv", "-o", "b.mkv", "-m", "identity", "--preset", preset, "--dry-run"];
        let ran = ran(folder, &[&line[..], more].concat());
        assert_eq!(ran.code, Some(0), "{ran:?}");
        (stdout(&ran), ran.stderr)
    };
    let plan = |more: &[&str]| plan_of("ultrafast", more);
    let (text, _) = plan(&[]);
    assert!(text.contains("workers 3, decoder threads 1, tiles of 32 (1.25 times"), "{text}");
    assert!(text.contains("decoder 1, workers 3") && text.contains("windows   4 of 32x"), "{text}");
    // What is said wins.
    let (text, _) = plan(&["--workers", "1", "--tile", "off"]);
    assert!(text.contains(": decoder threads 1 (1.25") && text.contains("decoder 1, workers 1"), "{text}");
    assert!(text.contains("windows   1 of 64x48"), "{text}");
    // In another situation nothing is known.
    let (text, _) = plan_of("superfast", &[]);
    assert!(!text.contains("tuned  "), "{text}");

    let line = ["a.mkv", "-o", "tuned.mkv", "-m", "identity", "--preset", "ultrafast", "-q"];
    assert_eq!(ran(folder, &line).code, Some(0));
    // A damaged file is ignored, aloud, and the pictures are the same without it.
    fs::write(&file, "{\"situation\"").unwrap();
    let (text, warning) = plan(&[]);
    assert!(!text.contains("tuned  ") && warning.contains("damaged and is ignored"), "{text}{warning}");
    fs::remove_file(&file).unwrap();
    assert!(!plan(&[]).0.contains("tuned  "));
    let line = ["a.mkv", "-o", "plain.mkv", "-m", "identity", "--preset", "ultrafast", "-q"];
    assert_eq!(ran(folder, &line).code, Some(0));
    assert_eq!(hashes(folder, "tuned.mkv"), hashes(folder, "plain.mkv"));
}

#[test]
fn the_engine_is_tried_once_and_remembered() {
    let Some(shared) = shared() else { return };
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let network = shared.join("data/models/bench_luma_x2_random_weights.onnx");
    let run_once = |more: &[&str]| {
        let line = ["pattern:64x36,frames=2", "-o", "null:", "-m", network.to_str().unwrap(), "-vv"];
        let mut command = vproc(folder);
        let real = std::env::var_os("HOME").unwrap_or_default();
        command.env("XDG_DATA_HOME", Path::new(&real).join(".local/share")).args(line).args(more);
        run(&mut command, Duration::from_secs(300))
    };
    let dry = run_once(&["--dry-run"]);
    if dry.code != Some(0) {
        println!("skipped: no engine runs this: {}", dry.stderr);
        return;
    }
    assert!(remembered(folder, "engine-").is_empty(), "a dry run writes nothing");
    assert_eq!(run_once(&["--engine", "native"]).code, Some(0));
    assert!(remembered(folder, "engine-").is_empty(), "nothing was tried");
    let first = run_once(&[]);
    assert_eq!(first.code, Some(0), "{first:?}");
    let [file] = remembered(folder, "engine-").try_into().unwrap();
    let engine = json(&file)["settings"]["engine"].as_str().unwrap().to_owned();
    let second = run_once(&[]);
    assert!(second.stderr.contains("engine remembered") && !second.stderr.contains("engine trial"), "{second:?}");
    assert_eq!(json(&file)["settings"]["engine"].as_str(), Some(engine.as_str()));
    fs::write(&file, [0xff; 100]).unwrap();
    let third = run_once(&[]);
    assert_eq!(third.code, Some(0), "{third:?}");
    assert!(third.stderr.contains("damaged and is ignored"), "{third:?}");
    assert_eq!(json(&file)["settings"]["engine"].as_str().map(str::is_empty), Some(false));
}

#[test]
fn what_cannot_be_written_is_refused_before_anything_is_measured() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for name in ["a.mkv", "notes.txt"] {
        fs::write(folder.join(name), "precious").unwrap();
    }
    for line in [
        "-i a.mkv --json a.mkv",
        "-i a.mkv --plot ./a.mkv",
        "--json x.json --plot ./x.json",
        "--json nowhere/x.json",
        "--plot nowhere/x.svg",
        "--json notes.txt",
    ] {
        let words: Vec<_> = ["bench"].into_iter().chain(line.split_whitespace()).collect();
        let refused = ran(folder, &words);
        assert!(refused.is_refusal(2), "{line}: {refused:?}");
    }
    for name in ["a.mkv", "notes.txt"] {
        assert_eq!(fs::read(folder.join(name)).unwrap(), b"precious");
    }
}
