//! What was computed before makes no difference but in time: runs with a cold cache, with a warm one and without give
//! the same hashes of all frames, whatever happened to its files.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::support::{run, shared};

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
        ((222, 142), "nearest-x2", Some("off")),
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

/// Runs a job with a cache that has room for a third of its records' bytes: of the records that it asks for it must find
/// 0.9 times that share. Not of pixels: a frame that is run as a whole counts as computed in all of them, one that is
/// read only in those that have changed. Gives for each pass the share that was found, and by how much the network's
/// work became less, as shares of that third.
fn find_a_third(input: &Path, arguments: &[&str]) -> Vec<(f64, f64)> {
    let folder = tempfile::tempdir().unwrap();
    let run = |cache: &[&str]| hashes(input, folder.path(), cache, arguments);
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (expected, plain) = run(&["--no-cache"]);
    let (_, whole) = run(&["--cache", &path("large"), "--cache-size", "512M"]);
    fs::remove_dir_all(path("large")).unwrap();
    let count = |report: &Value, name: &str| report["cache"][name].as_u64().unwrap() as f64;
    let job = count(&whole, "stored_bytes");
    let (cache, size) = (path("small"), format!("{}", job as u64 / 3));
    let pass = |pass| {
        let (frames, report) = run(&["--cache", &cache, "--cache-size", &size]);
        assert_eq!(frames, expected);
        let share = count(&report, "capacity") / job;
        let found = count(&report, "found_records") / count(&report, "asked_records") / share;
        let spared = (1.0 - pixels(&report, "inferred") as f64 / pixels(&plain, "inferred") as f64) / share;
        eprintln!("{} pass {pass}: found {found:.2}, spared {spared:.2} of {share:.3}", input.display());
        assert!(share > 0.3, "{share}");
        // The first pass finds what the film itself repeats.
        assert!(pass == 0 || found >= 0.9, "{found} of the share of the records were found");
        (found, spared)
    };
    (0..3).map(pass).collect()
}

#[test]
fn a_job_three_times_the_cache_finds_as_much_as_the_cache_holds() {
    let room = Room::new((640, 368), 1);
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
    // All of it moves, so what is spared does not depend on which windows are chosen by the clock.
    let passes = find_a_third(&room.input, &["-m", "nearest-x2"]);
    assert!(passes[1..].iter().all(|(_, spared)| *spared >= 0.9), "{passes:?}");
}

#[test]
fn film_three_times_the_cache_finds_as_much_as_the_cache_holds() {
    let Some(shared) = shared() else { return };
    for (clip, frames) in
        [("pan_outdoor_640x360.mp4", "60"), ("people_static_768x432.mp4", "150"), ("face_1080x720.mp4", "15")]
    {
        find_a_third(&shared.join("data/clips").join(clip), &["-m", "nearest-x2", "--frames", frames]);
    }
}

/// Runs `program` over a test picture with a cache: the hashes of its frames, and how many pixels came from the cache.
fn cached_by(
    program: &Path,
    library: Option<&Path>,
    folder: &Path,
    arguments: &[&str],
) -> Result<(String, u64), String> {
    let (hashes, report) = (folder.join("out.md5"), folder.join("out.json"));
    let mut command = Command::new(program);
    command.arg("pattern:160x120,frames=6").arg("-o").arg(format!("md5:{}", hashes.display()));
    command.args(["-y", "-q", "--no-config", "--cache-size", "16M", "--cache"]).arg(folder.join("cache"));
    command.args(arguments).arg("--report").arg(&report);
    if let Some(library) = library {
        command.env("ORT_DYLIB_PATH", library);
    }
    let output = command.output().unwrap();
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let report: Value = serde_json::from_slice(&fs::read(report).unwrap()).unwrap();
    Ok((fs::read_to_string(hashes).unwrap(), pixels(&report, "cached")))
}

/// Asserts that `run` finds nothing the first time and all the second time, and that both give the same frames.
fn has_its_own(what: &str, run: &dyn Fn() -> Result<(String, u64), String>) {
    let (cold, found) = run().unwrap();
    assert_eq!(found, 0, "{what} found what it has not computed");
    let (warm, found) = run().unwrap();
    assert!(found > 0 && warm == cold, "{what} does not find its own");
}

#[test]
fn another_build_of_the_program_finds_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let built = Path::new(env!("CARGO_BIN_EXE_vproc"));
    let other = folder.path().join("vproc");
    // Written by other processes: a file that this one has open cannot be run while a test beside it starts a program.
    let ran = |command: &mut Command| assert!(command.status().unwrap().success());
    ran(Command::new("cp").arg(built).arg(&other));
    for network in ["nearest-x2", "upscale-x2-fast"] {
        let arguments = ["-m", network, "--engine", if network == "nearest-x2" { "auto" } else { "native" }];
        has_its_own("the program", &|| cached_by(built, None, folder.path(), &arguments));
        let copied = cached_by(&other, None, folder.path(), &arguments).unwrap();
        assert!(copied.1 > 0, "a copy is the same build");
    }
    // What lies behind an ELF file's sections changes nothing but the file.
    ran(Command::new("sh").args(["-c", "printf x >> \"$0\""]).arg(&other));
    let arguments = ["-m", "nearest-x2"];
    has_its_own("another build", &|| cached_by(&other, None, folder.path(), &arguments));
}

/// A copy of an ELF file in which one bit is other that nothing reads when it runs: of the build's identity.
fn twin(library: &Path, copy: &Path) -> bool {
    let mut bytes = fs::read(library).unwrap();
    let note = bytes.windows(8).take(1 << 16).position(|bytes| bytes == b"\x03\0\0\0GNU\0");
    let Some(at) = note else { return false };
    bytes[at + 8] ^= 1;
    fs::write(copy, bytes).unwrap();
    true
}

#[test]
fn another_library_finds_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_vproc"));
    let network = format!("{}/models/upscale-x2-fast.onnx", env!("CARGO_MANIFEST_DIR"));
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default().join(".local/share/vproc");
    let library = std::env::var_os("ORT_DYLIB_PATH").map_or(home.join("libonnxruntime.so"), PathBuf::from);
    if !library.is_file() {
        eprintln!("skipped: no ONNX Runtime at {}", library.display());
        return;
    }
    let library = library.canonicalize().unwrap();
    let arguments = ["-m", network.as_str(), "--engine", "ort"];
    let run = |library: &Path| cached_by(program, Some(library), folder.path(), &arguments);
    has_its_own("the library", &|| run(&library));
    // Under another name it is the same.
    let copy = folder.path().join("libonnxruntime.so");
    fs::copy(&library, &copy).unwrap();
    assert!(run(&copy).unwrap().1 > 0, "a copy is the same library");
    match twin(&library, &copy) {
        true => has_its_own("a library of the same version and size", &|| run(&copy)),
        false => eprintln!("skipped: {} does not say what build it is", library.display()),
    }
    let openvino = home.join("openvino/libonnxruntime.so");
    if !openvino.is_file() {
        eprintln!("skipped: no other ONNX Runtime at {}", openvino.display());
        return;
    }
    has_its_own("another version", &|| run(&openvino));
    // Nor does an engine find what another engine of the same library made, or one whose plug-in is another.
    let engine = ["-m", network.as_str(), "--engine", "openvino"];
    let with = |library: &Path| cached_by(program, Some(library), folder.path(), &engine);
    has_its_own("another engine", &|| with(&openvino));
    let beside = folder.path().join("openvino");
    fs::create_dir(&beside).unwrap();
    for file in fs::read_dir(openvino.parent().unwrap()).unwrap().flatten().filter(|file| file.path().is_file()) {
        fs::copy(file.path(), beside.join(file.file_name())).unwrap();
    }
    let openvino = beside.join("libonnxruntime.so");
    assert!(with(&openvino).unwrap().1 > 0, "a copy of all is the same engine");
    let plugin = beside.join("libopenvino_intel_cpu_plugin.so");
    if plugin.is_file() && twin(&plugin.clone(), &plugin) {
        has_its_own("another plug-in", &|| with(&openvino));
    }
    assert!(run(&library).unwrap().1 > 0, "the first finds its own again");
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
fn a_plan_counts_the_memory_of_the_cache_and_the_master() {
    let folder = tempfile::tempdir().unwrap();
    let (cache, output) = (folder.path().join("cache"), folder.path().join("out.mkv"));
    let planned = |arguments: &[&str]| {
        let ran = Command::new(env!("CARGO_BIN_EXE_vproc"))
            .args(["pattern:640x480,frames=6", "--dry-run", "-y", "--no-config", "--threads", "1", "-o"])
            .arg(&output)
            .args(arguments)
            .output()
            .unwrap();
        let (text, told) = (String::from_utf8(ran.stdout).unwrap(), String::from_utf8(ran.stderr).unwrap());
        let line = |start: &str| text.lines().find_map(|line| line.strip_prefix(start)).unwrap_or_default().to_owned();
        let mib = line("threads ").rsplit(' ').nth(1).and_then(|number| number.parse::<u64>().ok());
        (mib, line("cache     "), told)
    };
    let mib = |arguments: &[&str]| planned(arguments).0.unwrap();
    let cache = cache.to_str().unwrap();
    let plain = mib(&["-m", "identity", "--no-cache"]);
    // Four words for every 2048 bytes, and a page.
    let with = mib(&["-m", "identity", "--cache", cache, "--cache-size", "4G"]);
    assert!((64..=65).contains(&(with - plain)), "{plain} MiB without a cache, {with} with one of 4 GiB");
    // 105 pictures of 640x480 in 4:2:0, and about as much is really taken.
    let master = folder.path().join("m.mkv");
    let master = ["-m", "identity", "--no-cache", "--master", master.to_str().unwrap()];
    let with = mib(&master);
    assert!((46..=47).contains(&(with - plain)), "{plain} MiB without a master, {with} with one");
    let peak = |arguments: &[&str]| {
        let report = folder.path().join("r.json");
        let named = ["-q", "-y", "--no-resume", "--no-config", "--threads", "1", "--report", report.to_str().unwrap()];
        let ran = run(Path::new("pattern:640x480,frames=60"), &output, &[&named[..], arguments].concat());
        assert_eq!(ran.status, 0, "{}", ran.stderr);
        let report: Value = serde_json::from_slice(&fs::read(report).unwrap()).unwrap();
        report["peak_rss_bytes"].as_u64().unwrap() >> 20
    };
    let (alone, both) = (peak(&master[..3]), peak(&master));
    let (taken, counted) = (both.saturating_sub(alone), with - plain);
    assert!((counted / 2..=counted * 5 / 4).contains(&taken), "{taken} MiB were taken, {counted} were counted");
    // Where the memory is too little for it, a run goes without a cache, unless one was asked for.
    let memory = format!("{}M", plain + 40);
    let (_, said, told) = planned(&["-m", "restore", "--cache-size", "4G", "--memory", &memory]);
    assert!(said.starts_with("off: its index needs more than --memory leaves"), "{said}{told}");
    let (none, _, told) = planned(&["-m", "restore", "--cache", cache, "--cache-size", "4G", "--memory", &memory]);
    assert!(none.is_none() && told.contains("cache 65"), "{told}");
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
