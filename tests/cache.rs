//! What was computed before makes no difference but in time: runs with a cold cache, with a warm one and without give
//! the same hashes of all frames, whatever happened to its files.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

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
        for (columns, rows) in
            [(width, height), (width.div_ceil(2), height.div_ceil(2)), (width.div_ceil(2), height.div_ceil(2))]
        {
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
        // Whole frames, as of a network that looks at everything.
        ((222, 142), "upscale-x2-fast", Some("off")),
    ] {
        let room = Room::new(size, 30);
        let mut arguments = vec!["-m", network, "--engine", "native"];
        arguments.extend(roi.iter().flat_map(|text| [if *text == "off" { "--tile" } else { "--roi" }, text]));
        let (expected, plain) = room.without(&arguments);
        let (cold, first) = room.run(&arguments);
        let (warm, second) = room.run(&[&arguments[..], &["--workers", "3"]].concat());
        assert_eq!(cold, expected, "{network} cold");
        assert_eq!(warm, expected, "{network} warm");
        for report in [&plain, &first, &second] {
            let sum: u64 =
                ["inferred", "reused", "cached", "outside_roi"].iter().map(|name| pixels(report, name)).sum();
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

#[test]
fn what_is_under_way_is_not_computed_twice() {
    let room = Room::new((320, 240), 1);
    let bytes = fs::read(&room.input).unwrap();
    let at = bytes.iter().position(|&byte| byte == b'\n').unwrap() + 1;
    let mut other = bytes[at..].to_vec();
    other[6..320 * 240 + 6].iter_mut().for_each(|sample| *sample = 255 - *sample);
    let frames = (0..200).flat_map(|n| if n % 2 == 0 { bytes[at..].to_vec() } else { other.clone() });
    fs::write(&room.input, bytes[..at].iter().copied().chain(frames).collect::<Vec<_>>()).unwrap();
    let arguments = ["-m", "upscale-x2-fast", "--engine", "native", "--workers", "2"];
    let (expected, plain) = room.without(&arguments);
    let (cold, report) = room.run(&arguments);
    assert_eq!(cold, expected);
    assert_eq!(pixels(&plain, "inferred"), 200 * 320 * 240);
    assert_eq!(pixels(&report, "inferred"), 2 * 320 * 240, "{report:#}");
    assert_eq!(report["cache"]["stored_records"], 2 * 3 * 2);
}

#[test]
fn records_that_are_found_and_damaged_are_computed_again() {
    for tile in ["auto", "off"] {
        let room = Room::new((322, 242), 24);
        let arguments = ["-m", "upscale-x2-fast", "--engine", "native", "--tile", tile];
        let (expected, _) = room.without(&arguments);
        let (_, first) = room.run(&arguments);
        let used = first["cache"]["stored_bytes"].as_u64().unwrap();
        let payload =
            fs::File::options().read(true).write(true).open(Path::new(&room.cache()).join("payload")).unwrap();
        for at in (0..used).step_by(30_000) {
            let mut byte = [0];
            payload.read_exact_at(&mut byte, at).unwrap();
            payload.write_all_at(&[byte[0] ^ 16], at).unwrap();
        }
        let (hurt, second) = room.run(&arguments);
        assert_eq!(hurt, expected, "{tile}");
        assert!(second["cache"]["bad_records"].as_u64().unwrap() > 3, "{second:#}");
        assert!(pixels(&second, "inferred") > 0 && pixels(&second, "cached") > 0, "{second:#}");
        let sum: u64 = ["inferred", "reused", "cached"].iter().map(|name| pixels(&second, name)).sum();
        assert_eq!(sum, pixels(&second, "total"));
        // What was damaged is missed the next time, and stored; then all is there.
        assert_eq!(room.run(&arguments).0, expected);
        let (healed, fourth) = room.run(&arguments);
        assert_eq!((healed, pixels(&fourth, "inferred")), (expected, 0), "{fourth:#}");
    }
}

#[test]
fn nothing_is_found_that_something_else_computed() {
    let room = Room::new((160, 120), 1);
    let input = Path::new("pattern:160x120,frames=6");
    let cache = room.cache();
    let toml = room.folder.path().join("range.toml");
    fs::write(&toml, "white = 0.5\n").unwrap();
    let model = |name: &str| format!("{}/models/{name}.onnx", env!("CARGO_MANIFEST_DIR"));
    let (fast, restore) = (model("upscale-x2-fast"), model("restore"));
    let mut variants = vec![
        vec!["-m", &fast, "--engine", "native"],
        vec!["-m", &restore, "--engine", "native"],
        vec!["-m", &restore, "--engine", "native", "--roi", "0,0,80,60"],
        vec!["-m", &fast, "--engine", "native", "--model-config", toml.to_str().unwrap()],
    ];
    // What this machine does not have is told by the program.
    for more in [["--engine", "ort", "--precision", "f32"], ["--engine", "native", "--precision", "bf16"]] {
        let variant = [&["-m", fast.as_str()][..], &more].concat();
        let ran = run(input, Path::new("null:"), &[&["-q", "--frames", "1"][..], &variant].concat());
        if ran.status == 0 { variants.push(variant) } else { eprintln!("skipped: {}", ran.stderr.trim()) }
    }
    for variant in &variants {
        let (expected, _) = hashes(input, room.folder.path(), &["--no-cache"], variant);
        let named = ["--cache", &cache, "--cache-size", "16M"];
        let (cold, first) = hashes(input, room.folder.path(), &named, variant);
        assert_eq!(pixels(&first, "cached"), 0, "{variant:?}: {first:#}");
        let (warm, second) = hashes(input, room.folder.path(), &named, variant);
        assert_eq!((&cold, &warm), (&expected, &expected), "{variant:?}");
        assert_eq!(pixels(&second, "inferred"), 0, "{variant:?}: {second:#}");
    }
}

#[test]
fn a_job_three_times_the_cache_finds_as_much_as_the_cache_holds() {
    let room = Room::new((640, 368), 1);
    // Noise takes what it takes, so that records are as long as those of film.
    let mut bytes = b"YUV4MPEG2 W640 H368 F25:1 Ip Cmono\n".to_vec();
    let mut state = 1u32;
    for _ in 0..12 {
        bytes.extend_from_slice(b"FRAME\n");
        bytes.extend((0..640 * 368).map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            100 + (state >> 27) as u8
        }));
    }
    fs::write(&room.input, bytes).unwrap();
    let arguments = ["-m", "nearest-x2"];
    let cached = |size: &str| {
        let (frames, report) =
            hashes(&room.input, room.folder.path(), &["--cache", &room.cache(), "--cache-size", size], &arguments);
        (frames, pixels(&report, "cached"), report["cache"]["stored_bytes"].as_u64().unwrap(), pixels(&report, "total"))
    };
    let (expected, _, job, total) = cached("256M");
    let size = job / 3;
    let size_text = size.to_string();
    assert_eq!(cached(&size_text).1, 0);
    for _ in 0..3 {
        let (frames, found, stored, _) = cached(&size_text);
        assert_eq!(frames, expected);
        let share = found as f64 / total as f64;
        assert!(share >= 0.9 / 3.0, "{share} of the pixels were found, {stored} bytes were stored");
    }
}

#[test]
fn a_cache_that_cannot_be_is_one_warning() {
    let room = Room::new((160, 120), 6);
    let (expected, _) = room.without(&["-m", "nearest-x2"]);
    let check = |cache: &str, size: &str| {
        let report = room.folder.path().join("r.json");
        let frames = room.folder.path().join("f.md5");
        let output = format!("md5:{}", frames.display());
        let arguments =
            ["-y", "-m", "nearest-x2", "--cache", cache, "--cache-size", size, "--report", report.to_str().unwrap()];
        let ran = run(&room.input, Path::new(&output), &arguments);
        assert_eq!((ran.status, fs::read_to_string(&frames).unwrap()), (0, expected.clone()), "{}", ran.stderr);
        assert_eq!(ran.stderr.matches("vproc: warning: ").count(), 1, "{}", ran.stderr);
        assert!(ran.stderr.contains("no cache is used"), "{}", ran.stderr);
        let report: Value = serde_json::from_slice(&fs::read(report).unwrap()).unwrap();
        assert_eq!(report["warnings"].as_array().unwrap().len(), 1);
    };
    check("/proc/self/none", "16M");
    check(&room.cache(), "16T");
    fs::write(room.folder.path().join("file"), "x").unwrap();
    check(room.folder.path().join("file").to_str().unwrap(), "16M");
    // Refused at once: no size at all.
    let ran = run(&room.input, Path::new("null:"), &["--cache-size", "1K"]);
    assert!(ran.status == 2 && ran.stderr.contains("expected a size from 1M"), "{}", ran.stderr);
}

#[test]
fn a_plan_says_whether_a_cache_is_used_and_why() {
    let said = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_vproc"))
            .args(["pattern:160x120,frames=6", "-o", "null:", "--dry-run", "--no-config"])
            .args(arguments)
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().find_map(|line| line.strip_prefix("cache     ")).unwrap().to_owned()
    };
    assert!(said(&["-m", "nearest-x2"]).starts_with("off: a megapixel takes a core about 0 ms"));
    assert!(said(&["-m", "nearest-x2", "--cache", "/x"]).starts_with("/x: a megapixel"));
    assert_eq!(said(&["-m", "restore", "--skip", "near"]), "off: results of near reuse depend on the frames before");
    assert_eq!(said(&["-m", "restore", "--no-cache"]), "off: not wanted");
    assert!(!said(&["-m", "restore"]).starts_with("off"));
}

#[test]
fn a_cache_is_told_of_checked_and_emptied() {
    let room = Room::new((160, 120), 6);
    let cache = room.cache();
    let act = |act: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_vproc"))
            .args(["cache", act, "--json", "--cache", &cache])
            .output()
            .unwrap();
        let value: Value = serde_json::from_slice(&output.stdout).unwrap();
        (output.status.code().unwrap(), value)
    };
    assert_eq!(act("stat").1["capacity"], 0);
    let (_, report) = room.run(&["-m", "nearest-x2"]);
    let stored = report["cache"]["stored_records"].as_u64().unwrap();
    let (status, stat) = act("stat");
    assert_eq!((status, stat["capacity"].as_u64(), stat["records"].as_u64()), (0, Some(16 << 20), Some(stored)));
    assert_eq!(act("verify"), (0, serde_json::json!({ "good": stored, "bad": 0, "folder": cache })));
    let payload = fs::File::options().write(true).open(Path::new(&cache).join("payload")).unwrap();
    payload.write_all_at(b"x", 300).unwrap();
    let (status, verified) = act("verify");
    assert_eq!((status, verified["bad"].as_u64(), verified["good"].as_u64()), (1, Some(1), Some(stored - 1)));
    assert_eq!(act("verify").0, 0);
    assert_eq!((act("clear").0, act("stat").1["records"].as_u64()), (0, Some(0)));
}

#[test]
fn a_master_holds_what_came_out_and_the_output_can_be_made_of_it() {
    let room = Room::new((160, 120), 6);
    let path = |name: &str| room.folder.path().join(name);
    let (master, delivery) = (path("master.mkv"), path("out.mp4"));
    let with = |more: &[&str]| {
        let master = master.to_str().unwrap();
        run(&room.input, &delivery, &[&["-q", "-m", "nearest-x2", "--master", master], more].concat())
    };
    let ran = with(&[]);
    assert_eq!(ran.status, 0, "{}", ran.stderr);
    let (expected, _) = room.without(&["-m", "nearest-x2"]);
    let (kept, _) = hashes(&master, room.folder.path(), &["--no-cache"], &["-m", "identity"]);
    let frames = |hashes: &str| -> Vec<String> {
        hashes
            .lines()
            .filter(|line| !line.starts_with('#'))
            .map(|line| line.rsplit(',').next().unwrap().into())
            .collect()
    };
    assert_eq!(frames(&kept), frames(&expected));
    assert!(!path("master.mkv.part").exists());
    let again = with(&["-n"]);
    assert!(again.status == 2, "{}", again.stderr);
    for (bad, message) in [("m.mp4", "ends in .mkv"), (room.input.to_str().unwrap(), ".mkv")] {
        let ran = run(&room.input, &path("x.mp4"), &["--master", bad]);
        assert!(ran.status == 2 && ran.stderr.contains(message), "{}", ran.stderr);
    }
}
