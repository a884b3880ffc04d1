//! What was computed before makes no difference but in time: runs with a cold cache, with a warm one and without give
//! the same hashes of all frames, whatever happened to its files.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::run;

/// A run over `input` with a cache in `folder`: the hashes of all frames, and the report.
fn hashes(input: &Path, folder: &Path, cache: &[&str], arguments: &[&str]) -> (String, Value) {
    let (hashes, report) = (folder.join("out.md5"), folder.join("out.json"));
    let all = [&["-y", "-q", "--report", report.to_str().unwrap()], cache, arguments].concat();
    let ran = run(input, Path::new(&format!("md5:{}", hashes.display())), &all);
    assert!(ran.status == 0 || ran.status == 3, "{}: {}", input.display(), ran.stderr);
    (fs::read_to_string(hashes).unwrap(), serde_json::from_slice(&fs::read(report).unwrap()).unwrap())
}

fn pixels(report: &Value, name: &str) -> u64 {
    report[format!("pixels_{name}")].as_u64().unwrap()
}

/// Planes of 4:2:0 that move a little, flicker between two pictures, and come back after a cut.
fn clip(path: &Path, (width, height): (usize, usize), n: usize) {
    let mut bytes = format!("YUV4MPEG2 W{width} H{height} F25:1 Ip C420jpeg\n").into_bytes();
    for frame in 0..n {
        bytes.extend_from_slice(b"FRAME\n");
        let scene = [3, 11, 3][frame * 3 / n];
        let shift = match frame % 8 {
            0..=3 => frame % 2,
            step => step,
        };
        for (columns, rows) in [(width, height), (width.div_ceil(2), height.div_ceil(2)), (width.div_ceil(2), height.div_ceil(2))] {
            for y in 0..rows {
                bytes.extend((0..columns).map(|x| {
                    let at = if y < rows / 2 { x + shift * 3 } else { x };
                    (40 + (at * scene + y * 5 + at * y / 16) % 170) as u8
                }));
            }
        }
    }
    fs::write(path, bytes).unwrap();
}

struct Room {
    folder: tempfile::TempDir,
    input: PathBuf,
}

impl Room {
    fn new(size: (usize, usize), n: usize) -> Room {
        let folder = tempfile::tempdir().unwrap();
        let input = folder.path().join("in.y4m");
        clip(&input, size, n);
        Room { folder, input }
    }

    fn cache(&self) -> String {
        self.folder.path().join("cache").to_str().unwrap().to_owned()
    }

    fn run(&self, arguments: &[&str]) -> (String, Value) {
        let cache = self.cache();
        hashes(&self.input, self.folder.path(), &["--cache", &cache, "--cache-size", "16M"], arguments)
    }

    fn without(&self, arguments: &[&str]) -> (String, Value) {
        hashes(&self.input, self.folder.path(), &["--no-cache"], arguments)
    }
}

#[test]
fn cold_warm_and_no_cache_give_the_same_frames() {
    for (size, network, roi) in [
        ((322, 242), "upscale-x2-fast", None),
        ((401, 161), "restore", None),
        ((150, 121), "restore", Some("20%,10%,50%,60%")),
        ((64, 48), "nearest-x2", None),
        ((300, 200), "identity", Some("100,50,120,100")),
    ] {
        let room = Room::new(size, 30);
        let mut arguments = vec!["-m", network, "--engine", "native"];
        arguments.extend(roi.iter().flat_map(|roi| ["--roi", roi]));
        let (expected, plain) = room.without(&arguments);
        let (cold, first) = room.run(&arguments);
        let (warm, second) = room.run(&[&arguments[..], &["--workers", "3"]].concat());
        assert_eq!(cold, expected, "{network} cold");
        assert_eq!(warm, expected, "{network} warm");
        for report in [&plain, &first, &second] {
            let sum: u64 = ["inferred", "reused", "cached", "outside_roi"].iter().map(|name| pixels(report, name)).sum();
            assert_eq!(sum, pixels(report, "total"), "{report:#}");
        }
        assert_eq!(pixels(&plain, "cached"), 0);
        // The first scene comes back, so the first run finds it as well.
        assert!(pixels(&first, "cached") > 0, "{network}: {first:#}");
        assert_eq!(pixels(&second, "inferred"), 0, "{network}: {second:#}");
        assert!(pixels(&second, "cached") >= pixels(&plain, "inferred") / 2, "{network}: {second:#}");
        assert_eq!(second["cache"]["bad_records"], 0);
    }
}
