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
        if case % 3 == 0 {
            arguments.extend(["--batch".into(), ["1", "5", "64"][random.below(3)].into()]);
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
        check(&input, folder.path(), &["-m", ["identity", "nearest-x2", "identity-rgb"][case % 3]]);
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

/// Luma and chroma planes of a Y4M file's frames.
fn frames(path: &Path) -> (usize, usize, Vec<Vec<u8>>) {
    let bytes = fs::read(path).unwrap();
    let end = bytes.iter().position(|&byte| byte == b'\n').unwrap();
    let header = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let number = |key: char| header.split(' ').find_map(|word| word.strip_prefix(key)).unwrap().parse().unwrap();
    let (width, height): (usize, usize) = (number('W'), number('H'));
    let size = width * height + 2 * width.div_ceil(2) * height.div_ceil(2);
    let frames = bytes[end + 1..].chunks_exact(size + 6).map(|frame| frame[6..].to_vec()).collect();
    (width, height, frames)
}

#[test]
fn outside_of_the_region_is_resized_and_inside_is_the_network() {
    if !has_onnxruntime() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mut random = Random(5);
    let mut clip = Clip::new(&mut random, 160, 120);
    clip.format = ("C420jpeg", 1, 1);
    clip.frames = vec![clip.scene(&mut random)];
    (0..5).for_each(|_| clip.step(&mut random));
    let input = folder.join("in.y4m");
    clip.write(&input);
    let out = |name: &str, arguments: &[&str]| {
        let path = folder.join(format!("{name}.y4m"));
        let ran = run(&input, &path, &[&["-y", "-q", "--engine", "ort"], arguments].concat());
        assert_eq!(ran.status, 0, "{}", ran.stderr);
        frames(&path)
    };
    for (network, scale) in [("upscale-x2-fast", 2), ("restore", 1)] {
        let (width, height, full) = out("full", &["-m", network]);
        // A region of one pixel leaves a picture that is resized everywhere else.
        let (.., plain) = out("plain", &["-m", network, "--roi", "158,118,1,1"]);
        let (.., mixed) = out("mixed", &["-m", network, "--roi", "20,30,64,40", "--skip", "exact"]);
        assert_eq!((width, height, full.len()), (160 * scale, 120 * scale, 6));
        // The region and its inner part behind the fade, in output samples.
        let within = |x: usize, y: usize, margin: usize| {
            (20 + margin..84 - margin).contains(&(x / scale)) && (30 + margin..70 - margin).contains(&(y / scale))
        };
        for ((full, plain), mixed) in full.iter().zip(&plain).zip(&mixed) {
            for i in 0..full.len() {
                let (x, y) = match i.checked_sub(width * height) {
                    None => (i % width, i / width),
                    Some(i) => {
                        let i = i % (width / 2 * (height / 2));
                        (i % (width / 2) * 2, i / (width / 2) * 2)
                    }
                };
                if (x / scale) >= 156 && (y / scale) >= 116 {
                    continue;
                }
                if within(x, y, 8) {
                    assert_eq!(mixed[i], full[i], "{network} inside at {x}, {y}");
                } else if !within(x, y, 0) {
                    assert_eq!(mixed[i], plain[i], "{network} outside at {x}, {y}");
                }
            }
        }
    }
}

#[test]
fn a_mask_is_a_region_and_nonsense_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mask = folder.path().join("mask.png");
    image::GrayImage::from_fn(8, 8, |x, _| image::Luma([if x < 4 { 255 } else { 0 }])).save(&mask).unwrap();
    let input = Path::new("pattern:160x120,frames=3");
    let (_, report) = hashes(input, folder.path(), &["-m", "nearest-x2", "--roi", mask.to_str().unwrap()]);
    let share = pixels(&report, "outside_roi") as f64 / pixels(&report, "total") as f64;
    assert!((0.4..0.5).contains(&share), "{share}");
    for (region, message) in [("170,0,5,5", "no pixel of the 160x120 picture"), ("1,2,3", "expected X,Y,W,H")] {
        let ran = run(input, Path::new("null:"), &["-m", "identity", "--roi", region]);
        assert!(ran.status == 2 && ran.stderr.contains(message), "{}", ran.stderr);
    }
}

#[test]
fn a_screen_recording_costs_an_eighth() {
    let folder = tempfile::tempdir().unwrap();
    let mut random = Random(2);
    let mut clip = Clip::new(&mut random, 640, 360);
    let desk = clip.frames[0].clone();
    let page: Vec<u8> = (0..200 * 2000).map(|_| if random.below(3) == 0 { 30 } else { 235 }).collect();
    clip.frames.clear();
    for n in 0..60 {
        let mut frame = desk.clone();
        // Text that scrolls for a moment, and a pointer that moves half of the time.
        let scrolled = 8 * n.clamp(20, 25);
        for y in 0..100 {
            frame[0][(y + 60) * 640 + 300..][..200].copy_from_slice(&page[(scrolled + y) * 200..][..200]);
        }
        let pointer = if n % 20 < 10 { n } else { n / 20 * 20 + 10 };
        for y in 0..12 {
            frame[0][(y + 100 + pointer * 3) * 640 + 40 + pointer * 4..][..12 - y].fill(255);
        }
        clip.frames.push(frame);
    }
    let input = folder.path().join("screen.y4m");
    clip.write(&input);
    if !has_onnxruntime() {
        return;
    }
    let report = check(&input, folder.path(), &["-m", "upscale-x2-fast"]);
    assert!(pixels(&report, "computed") * 8 < pixels(&report, "total"), "{report:#}");
}
