//! What is not computed again makes no difference: runs that skip and runs that compute everything give the same
//! hashes of all frames, whatever moves, stands still, flickers, repeats or cuts.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{run, shared};

/// A small generator of noise (Numerical Recipes' constants).
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n
    }
}

/// A clip whose frames are made from each other.
struct Clip {
    width: usize,
    height: usize,
    /// The name in a Y4M header, and log2 of the subsampling.
    format: (&'static str, usize, usize),
    frames: Vec<[Vec<u8>; 3]>,
}

impl Clip {
    fn new(random: &mut Random, width: usize, height: usize) -> Clip {
        let format = [("C420jpeg", 1, 1), ("C420mpeg2", 1, 1), ("C422", 1, 0), ("C444", 0, 0)][random.below(4)];
        let mut clip = Clip { width, height, format, frames: Vec::new() };
        let scene = clip.scene(random);
        clip.frames.push(scene);
        clip
    }

    fn size(&self, plane: usize) -> (usize, usize) {
        let (x, y) = if plane == 0 { (0, 0) } else { (self.format.1, self.format.2) };
        (self.width.div_ceil(1 << x), self.height.div_ceil(1 << y))
    }

    fn scene(&self, random: &mut Random) -> [Vec<u8>; 3] {
        let (a, b) = (random.below(7) + 1, random.below(7) + 1);
        [0, 1, 2].map(|plane| {
            let (width, height) = self.size(plane);
            (0..width * height).map(|i| (60 + (i % width * a + i / width * b) % 120 + random.below(9)) as u8).collect()
        })
    }

    /// Adds a frame that differs from the one before in some way.
    fn step(&mut self, random: &mut Random) {
        let mut next = self.frames.last().unwrap().clone();
        match random.below(8) {
            // Still.
            0 | 1 => {}
            // A rectangle changes, in luma, in chroma, or in both.
            2..=4 => {
                let planes = [&[0][..], &[1, 2], &[0, 1, 2]][random.below(3)];
                for &plane in planes {
                    let (width, height) = self.size(plane);
                    let (x, y) = (random.below(width), random.below(height));
                    let (w, h) = (random.below(width - x) + 1, random.below(height - y) + 1);
                    for i in (y..y + h.min(30)).flat_map(|y| (x..x + w.min(30)).map(move |x| y * width + x)) {
                        next[plane][i] = next[plane][i].wrapping_add(random.below(3) as u8 * 20);
                    }
                }
            }
            // A few samples flicker.
            5 => (0..4).for_each(|_| {
                let at = random.below(next[0].len());
                next[0][at] ^= 1;
            }),
            // Back to an earlier frame.
            6 => next = self.frames[random.below(self.frames.len())].clone(),
            // A cut.
            _ => next = self.scene(random),
        }
        self.frames.push(next);
    }

    fn write(&self, path: &Path) {
        let mut bytes = format!("YUV4MPEG2 W{} H{} F25:1 Ip {}\n", self.width, self.height, self.format.0).into_bytes();
        for frame in &self.frames {
            bytes.extend_from_slice(b"FRAME\n");
            frame.iter().for_each(|plane| bytes.extend_from_slice(plane));
        }
        fs::write(path, bytes).unwrap();
    }
}

/// Runs a clip; the hashes of all frames, and the report.
fn hashes(input: &Path, folder: &Path, arguments: &[&str]) -> (String, Value) {
    let (hashes, report) = (folder.join("out.md5"), folder.join("out.json"));
    // Which engine is faster is measured, and may come out either way.
    let mut all = vec!["-y", "-q", "--engine", "ort", "--report", report.to_str().unwrap()];
    all.extend(arguments);
    let ran = run(input, Path::new(&format!("md5:{}", hashes.display())), &all);
    assert!(ran.status == 0 || ran.status == 3, "{}: {}", input.display(), ran.stderr);
    let report = serde_json::from_slice(&fs::read(report).unwrap()).unwrap();
    (fs::read_to_string(hashes).unwrap(), report)
}

fn pixels(report: &Value, name: &str) -> u64 {
    report[format!("pixels_{name}")].as_u64().unwrap()
}

/// Checks that `exact` gives what `off` gives; the report of the former.
fn check(input: &Path, folder: &Path, arguments: &[&str]) -> Value {
    let (expected, _) = hashes(input, folder, &[arguments, &["--skip", "off"]].concat());
    let (got, report) = hashes(input, folder, &[arguments, &["--skip", "exact"]].concat());
    assert_eq!(got, expected, "{} {arguments:?}", input.display());
    let sum: u64 = ["inferred", "reused", "cached", "outside_roi"].iter().map(|name| pixels(&report, name)).sum();
    assert_eq!(sum, pixels(&report, "total"), "{report:#}");
    report
}

fn has_onnxruntime() -> bool {
    let ran = run(Path::new("pattern:32x32,frames=1"), Path::new("null:"), &["-q"]);
    if ran.status != 0 {
        eprintln!("skipped: {}", ran.stderr.trim());
    }
    ran.status == 0
}

/// A built-in network's file, and a TOML that asks for windows at multiples of `m`.
fn network(name: &str, m: usize, folder: &Path) -> [String; 4] {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("models/{name}.onnx"));
    let toml = folder.join(format!("{name}-{m}.toml"));
    fs::write(&toml, format!("multiple_of = {m}\n")).unwrap();
    let path = |path: PathBuf| path.to_str().unwrap().to_owned();
    ["-m".into(), path(file), "--model-config".into(), path(toml)]
}

#[test]
fn random_clips_are_the_same_with_and_without_skipping() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    if !has_onnxruntime() {
        return;
    }
    let mut random = Random(7);
    let (mut reused, mut told) = (0, String::new());
    for case in 0..24 {
        let (width, height) = [(5, 3), (40, 31), (97, 64), (150, 121), (322, 242), (400, 161)][random.below(6)];
        let (width, height) = (width + random.below(3), height + random.below(3));
        let mut clip = Clip::new(&mut random, width, height);
        (0..9).for_each(|_| clip.step(&mut random));
        let input = folder.join(format!("{case}.y4m"));
        clip.write(&input);
        let name = ["upscale-x2-fast", "restore"][case % 2];
        let mut arguments = network(name, [1, 2, 4][random.below(3)], folder).to_vec();
        if random.below(3) == 0 {
            arguments.extend(["--workers".into(), "3".into()]);
        }
        if random.below(4) == 0 {
            arguments.extend(["--roi".into(), "20%,10%,50%,60%".into()]);
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let report = check(&input, folder, &arguments);
        reused += pixels(&report, "reused");
        writeln!(told, "{name} {width}x{height} {}", pixels(&report, "reused")).unwrap();
        fs::remove_file(input).unwrap();
    }
    assert!(reused > 500_000, "hardly anything was reused:\n{told}");
}

#[test]
fn networks_in_code_skip_without_any_library() {
    let folder = tempfile::tempdir().unwrap();
    let mut random = Random(3);
    for case in 0..12 {
        let mut clip = Clip::new(&mut random, 60 + 41 * (case % 3), 50 + 37 * (case % 4));
        (0..9).for_each(|_| clip.step(&mut random));
        let input = folder.path().join(format!("{case}.y4m"));
        clip.write(&input);
        check(&input, folder.path(), &["-m", ["identity", "nearest-x2"][case % 2]]);
    }
}

#[test]
fn thousands_of_identical_frames_cost_next_to_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut clip = Clip::new(&mut Random(1), 48, 32);
    let mut second = clip.frames[0].clone();
    second[0][40] ^= 0x40;
    clip.frames.extend(std::iter::repeat_n(second, 10_000));
    let input = folder.path().join("still.y4m");
    clip.write(&input);
    let (_, report) = hashes(&input, folder.path(), &["-m", "nearest-x2"]);
    assert_eq!(report["frames_out"], 10_001);
    let computed = pixels(&report, "computed");
    assert!(computed <= 2 * 48 * 32, "{computed} pixels were computed");
    assert!(report["batches"].as_u64().unwrap() <= 4);
}

#[test]
fn real_clips_are_the_same_with_and_without_skipping() {
    let Some(shared) = shared() else { return };
    let folder = tempfile::tempdir().unwrap();
    if !has_onnxruntime() {
        return;
    }
    let clips = [
        ("people_static_768x432.mp4", "upscale-x2-fast"),
        ("odd_161x121_vp9.webm", "restore"),
        ("hevc_10bit_200x200.mp4", "restore"),
        ("resolution_change.h264", "upscale-x2-fast"),
        ("mov_text_subs.mp4", "restore"),
    ];
    for (clip, network) in clips {
        let input = shared.join("data/clips").join(clip);
        check(&input, folder.path(), &["-m", network, "--frames", "60"]);
    }
}
