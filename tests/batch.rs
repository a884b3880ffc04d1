//! `vproc batch`: what is done stays done, what fails stops nothing, and whatever ends a call, the next one goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::program::{Dice, Ran, clips, is_slow, report, run, vproc};

const LIMIT: Duration = Duration::from_secs(300);

/// A y4m clip of noise that is the same for the same name.
fn clip(path: &Path, n_frames: usize) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut dice = Dice::new(path.file_name().unwrap().len() as u64);
    let mut bytes = b"YUV4MPEG2 W66 H50 F25:1 C420jpeg\n".to_vec();
    for _ in 0..n_frames {
        bytes.extend(b"FRAME\n");
        bytes.extend((0..66 * 50 + 2 * 33 * 25).map(|_| dice.below(200) as u8 + 20));
    }
    fs::write(path, bytes).unwrap();
}

/// `vproc batch ARGUMENTS` that copies frames into Matroska, losing nothing.
fn batch(folder: &Path, line: &str) -> Command {
    let mut command = vproc(folder);
    command.args(["batch", "-m", "identity", "--encoder", "ffv1", "--progress", "none"]);
    command.args(line.split_whitespace());
    command
}

fn ran(folder: &Path, line: &str, status: i32) -> Ran {
    let ran = run(&mut batch(folder, line), LIMIT);
    assert!(ran.is_sane() && ran.code == Some(status), "{line}: {ran:?}");
    ran
}

/// The entries of the list by output.
fn entries(folder: &Path) -> BTreeMap<String, Value> {
    let list = report(&folder.join("batch.json"));
    let files = list["files"].as_array().unwrap();
    files.iter().map(|entry| (entry["output"].as_str().unwrap().to_owned(), entry.clone())).collect()
}

fn statuses(folder: &Path) -> Vec<String> {
    entries(folder).iter().map(|(name, entry)| format!("{name} {}", entry["status"].as_str().unwrap())).collect()
}

/// What would tell that a file was written again.
fn state(folder: &Path) -> BTreeMap<PathBuf, (u64, i64, i64)> {
    let files = fs::read_dir(folder).unwrap().flatten();
    let facts = |path: &Path| fs::metadata(path).map(|facts| (facts.ino(), facts.mtime(), facts.mtime_nsec())).unwrap();
    files.map(|entry| (entry.path(), facts(&entry.path()))).collect()
}

/// The names whose files are not the same as before.
fn changed(before: &BTreeMap<PathBuf, (u64, i64, i64)>, folder: &Path) -> Vec<String> {
    let now = state(folder);
    let differs = now.iter().filter(|(path, facts)| before.get(*path) != Some(*facts));
    differs.map(|(path, _)| path.file_name().unwrap().to_string_lossy().into_owned()).collect()
}

fn is_same(folder: &Path, a: &str, b: &str) {
    let ran = run(vproc(folder).args(["compare", a, b]), LIMIT);
    assert_eq!(ran.code, Some(0), "{a} {b}: {ran:?}");
}

#[test]
fn good_files_are_done_broken_ones_named_and_a_second_call_does_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for name in ["a", "b"] {
        clip(&root.join(format!("in/{name}.y4m")), 3);
    }
    fs::write(root.join("in/bad.avi"), "this is no video").unwrap();
    fs::write(root.join("in/notes.txt"), "notes").unwrap();
    let line = "in -o out --name {stem}.mkv";
    let said = ran(root, line, 3).stderr;
    assert!(said.contains("passed over 1 file that is no video\n"), "{said}");
    assert!(said.contains("vproc: error: in/bad.avi: not a video"), "{said}");
    assert!(said.ends_with("3 files: 2 done, 1 failed; 6 frames\n"), "{said}");
    let out = root.join("out");
    assert_eq!(statuses(&out), ["a.mkv done", "b.mkv done", "bad.mkv failed"]);
    let entry = &entries(&out)["a.mkv"];
    assert_eq!((&entry["frames"], &entry["verified"]), (&Value::from(3), &Value::from(true)));
    assert!(entry["fps"].as_f64().unwrap() > 0.0 && entry["error"].is_null());
    is_same(root, "in/a.y4m", "out/a.mkv");

    let before = state(&out);
    let again = ran(root, line, 3).stderr;
    assert!(again.ends_with("3 files: 2 done (2 before), 1 failed; 0 frames\n"), "{again}");
    assert!(again.contains("bad.mkv  failed"), "{again}");
    assert_eq!(state(&out), before);
    // How it is told, and with how many threads, changes no output.
    ran(root, &format!("{line} --threads 1 --memory 4G -q"), 3);
    assert_eq!(state(&out), before);
    // Who insists has the broken one tried again.
    let insisted = ran(root, &format!("{line} -y"), 3).stderr;
    assert!(insisted.contains("vproc: error: in/bad.avi: not a video"), "{insisted}");
    assert!(insisted.ends_with("3 files: 2 done (2 before), 1 failed; 0 frames\n"), "{insisted}");
}

#[test]
fn what_has_changed_is_done_again_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for name in ["a", "b", "c"] {
        clip(&root.join(format!("in/{name}.y4m")), 2);
    }
    let (line, out) = ("in -o out --name {stem}.mkv", root.join("out"));
    ran(root, line, 0);
    let before = state(&out);
    fs::remove_file(out.join("a.mkv")).unwrap();
    fs::write(out.join("b.mkv"), "spoilt").unwrap();
    let said = ran(root, line, 0).stderr;
    assert!(said.ends_with("3 files: 3 done (1 before); 4 frames\n"), "{said}");
    assert_eq!(changed(&before, &out), ["a.mkv", "b.mkv", "batch.json"]);
    is_same(root, "in/b.y4m", "out/b.mkv");
    let before = state(&out);
    clip(&root.join("in/c.y4m"), 4);
    ran(root, line, 0);
    assert_eq!(changed(&before, &out), ["batch.json", "c.mkv"]);
    let before = state(&out);
    // An input that was moved is the same one.
    fs::rename(root.join("in"), root.join("moved")).unwrap();
    ran(root, "moved -o out --name {stem}.mkv", 0);
    assert_eq!(state(&out), before);
    ran(root, "moved -o out --name {stem}.mkv --frames 1", 0);
    assert_eq!(changed(&before, &out), ["a.mkv", "b.mkv", "batch.json", "c.mkv"]);
    // A file that comes into the batch without having been there fails nobody.
    ran(root, "moved/a.y4m none.mp4 -o out --name {stem}.mkv --frames 1", 3);
    assert_eq!(statuses(&out), ["a.mkv done", "b.mkv done", "c.mkv done", "none.mkv failed"]);
}

#[test]
fn what_cannot_be_is_refused_in_one_line_before_anything_is_run() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for name in ["in/a.y4m", "in/sub/a.y4m", "in/b.y4m"] {
        clip(&root.join(name), 1);
    }
    fs::create_dir(root.join("none")).unwrap();
    for (line, words) in [
        ("in -o out --recursive", "in/a.y4m and in/sub/a.y4m would both become out/a.y4m; name them apart"),
        ("in -o out --name all.mkv", "would both become out/all.mkv"),
        ("in/a.y4m in/b.y4m -o out --report r.json", "would both become out/r.json"),
        ("in/a.y4m -o out --report batch.json", "would both become out/batch.json"),
        ("in -o in", "its output would replace the input in/a.y4m"),
        ("in -o out --name ../{stem}.mkv", "--name: got '../{stem}.mkv'"),
        ("in -o out --name {stm}.mkv", "{stm}"),
        ("in -o out --name {stem}.avi", "unknown extension"),
        ("in -o out --name {stem}/%06d.png", "a batch writes a file each"),
        ("in -o out --watch --name {n}.mkv", "--watch cannot count"),
        ("in -o out --jobs 0", "--jobs: got '0'"),
        ("in -o out --start 9 --end 3", "--end"),
        ("none -o out", "no video in what was named"),
        ("in/*.none -o out", "no video in what was named"),
        ("- -o out", "'-' is none"),
        ("in -o in/a.y4m", "is a file, and a batch writes into a folder"),
    ] {
        let refused = run(&mut batch(root, line), LIMIT);
        assert!(matches!(refused.code, Some(1 | 2)) && refused.stderr.lines().count() == 1, "{line}: {refused:?}");
        assert!(refused.stderr.contains(words), "{line}: {}", refused.stderr);
        assert!(fs::read_dir(root.join("out")).map_or(0, Iterator::count) == 0, "{line}");
    }
    ran(root, "in -o out --recursive --dry-run --name {dir}/{n}.mkv", 0);
    assert!(fs::read_dir(root.join("out")).map_or(0, Iterator::count) == 0);
    // A network that is none is one failure and not one for every file.
    let network = run(vproc(root).args(["batch", "in", "-o", "out", "-m", "none.onnx"]), LIMIT);
    assert!(network.stderr.lines().count() == 1 && network.stderr.contains("none.onnx"), "{network:?}");
}

#[test]
fn folders_keep_their_shape_and_outputs_are_no_inputs() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for name in ["in/a.y4m", "in/sub/a.y4m", "in/sub/deep/b.y4m"] {
        clip(&root.join(name), 1);
    }
    let line = "in -o in/out --recursive --name {dir}/{stem}_x.mkv --report {dir}/{stem}.json";
    ran(root, line, 0);
    let expected = ["a_x.mkv done", "sub/a_x.mkv done", "sub/deep/b_x.mkv done"];
    assert_eq!(statuses(&root.join("in/out")), expected);
    assert_eq!(report(&root.join("in/out/sub/deep/b.json"))["frames_out"], 1);
    let before = state(&root.join("in/out/sub"));
    let said = ran(root, line, 0).stderr;
    assert!(said.ends_with("3 files: 3 done (3 before); 0 frames\n"), "{said}");
    assert_eq!(state(&root.join("in/out/sub")), before);
    // Outputs beside their inputs.
    for _ in 0..2 {
        ran(root, "in/sub in/sub/* -o in/sub --name {stem}_new.mkv", 0);
        assert_eq!(statuses(&root.join("in/sub")), ["a_new.mkv done", "b_new.mkv done"]);
    }
}

#[test]
fn what_is_not_of_the_batch_is_not_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for name in ["in/a.y4m", "in/b.y4m", "other/a.y4m"] {
        clip(&root.join(name), name.len());
    }
    let (line, out) = ("in -o out --name {stem}.mkv", root.join("out"));
    fs::create_dir(&out).unwrap();
    fs::write(out.join("a.mkv"), "precious").unwrap();
    for _ in 0..2 {
        let said = ran(root, line, 3).stderr;
        assert!(said.contains("a.mkv is there already and not of this batch; -y replaces it"), "{said}");
        assert_eq!(fs::read(out.join("a.mkv")).unwrap(), b"precious");
    }
    let said = ran(root, &format!("{line} -n"), 0).stderr;
    assert!(said.ends_with("2 files: 1 done (1 before), 1 skipped; 0 frames\n"), "{said}");
    assert_eq!(fs::read(out.join("a.mkv")).unwrap(), b"precious");
    ran(root, &format!("{line} -y"), 0);
    is_same(root, "in/a.y4m", "out/a.mkv");
    let said = ran(root, "other -o out --name {stem}.mkv", 3).stderr;
    assert!(said.contains("is made from"), "{said}");
    is_same(root, "in/a.y4m", "out/a.mkv");
    fs::write(out.join("batch.json"), "{\"mine\": 1}").unwrap();
    assert!(ran(root, line, 2).is_refusal(2));
    assert_eq!(fs::read(out.join("batch.json")).unwrap(), b"{\"mine\": 1}");
}

#[test]
fn every_name_is_taken_and_links_are_followed() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let names: [&[u8]; 9] = [
        b"line\nfeed",
        b"\xff\xfe not utf-8",
        b"-dash",
        b"%06d",
        b"glob*[a]",
        b"{stem}",
        b"pattern:64x64",
        b"back\\slash\"",
        b"escape\x1b[31m",
    ];
    for name in names {
        clip(&root.join("in").join(OsStr::from_bytes(&[name, b".y4m"].concat())), 1);
    }
    clip(&root.join("elsewhere/linked.y4m"), 1);
    symlink(root.join("elsewhere/linked.y4m"), root.join("in/link.y4m")).unwrap();
    let line = "in -o out --name {stem}.mkv";
    let said = ran(root, line, 0).stderr;
    assert_eq!(said.lines().count(), 21, "{said}");
    assert!(!said.contains('\x1b'), "{said}");
    for name in names {
        assert!(root.join("out").join(OsStr::from_bytes(&[name, b".mkv"].concat())).is_file());
    }
    let said = ran(root, line, 0).stderr;
    assert_eq!(said, "10 files: 10 done (10 before); 0 frames\n");
    // Named one by one they are the same files.
    let mut command = batch(&root.join("in"), "-o ../out --name {stem}.mkv --");
    for name in names {
        command.arg(OsStr::from_bytes(&[name, b".y4m"].concat()));
    }
    let named = run(&mut command, LIMIT);
    assert_eq!(named.stderr, "9 files: 9 done (9 before); 0 frames\n");
}

#[test]
fn files_behind_links_to_other_folders_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    fs::create_dir(root.join("clips")).unwrap();
    for card in ["a", "b"] {
        clip(&root.join(format!("mnt/card_{card}/{card}.y4m")), 1);
        symlink(root.join(format!("mnt/card_{card}")), root.join(format!("clips/{card}"))).unwrap();
    }
    ran(root, "clips/*/*.y4m -o out --name {stem}.mkv", 0);
    assert_eq!(statuses(&root.join("out")), ["a.mkv done", "b.mkv done"]);
}

#[test]
fn what_the_sandbox_keeps_out_is_not_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    clip(&root.join("elsewhere/late.y4m"), 1);
    fs::create_dir(root.join("in")).unwrap();
    let line = "in -o out --name {stem}.mkv";
    let mut child = batch(root, &format!("{line} --watch")).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap());
    let mut first = String::new();
    said.read_line(&mut first).unwrap();
    assert!(first.starts_with("watching"), "{first}");
    symlink(root.join("elsewhere/late.y4m"), root.join("in/late.y4m")).unwrap();
    let begun = Instant::now();
    let is_over = || statuses(&root.join("out")).iter().any(|status| !status.ends_with("unfinished"));
    while !(root.join("out/batch.json").exists() && is_over()) {
        std::thread::sleep(Duration::from_millis(20));
        assert!(begun.elapsed() < LIMIT && child.try_wait().unwrap().is_none());
    }
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    child.wait().unwrap();
    if statuses(&root.join("out")) == ["late.mkv done"] {
        println!("skipped: this kernel keeps nothing out");
        return;
    }
    // Another call knows of the link before it gives up its rights.
    ran(root, line, 0);
    assert_eq!(statuses(&root.join("out")), ["late.mkv done"]);
}

#[test]
fn what_a_file_says_of_reports_is_a_template_or_not_meant_for_many() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for name in ["a", "b"] {
        clip(&root.join(format!("in/{name}.y4m")), 1);
    }
    fs::create_dir(root.join("settings")).unwrap();
    let text = "report = \"{stem}.json\"\ntrace = \"trace.json\"\nmaster = \"master.mkv\"\n";
    fs::write(root.join("settings/all.toml"), text).unwrap();
    ran(root, "in -o out --name {stem}.mkv --config settings/all.toml", 0);
    let left: BTreeSet<_> = fs::read_dir(root.join("out")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["a.json", "a.mkv", "b.json", "b.mkv", "batch.json"].map(OsString::from).into());
    assert_eq!(fs::read_dir(root.join("settings")).unwrap().count(), 1);
}

#[test]
fn several_at_once_give_the_same_files() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for number in 0..7 {
        clip(&root.join(format!("in/{number}.y4m")), 1 + number % 3);
    }
    fs::write(root.join("in/4.y4m"), "YUV4MPEG2 W0").unwrap();
    ran(root, "in -o one --name {stem}.mkv --threads 2", 3);
    ran(root, "in -o three --name {stem}.mkv --threads 2 --jobs 3", 3);
    assert_eq!(statuses(&root.join("one")), statuses(&root.join("three")));
    assert_eq!(statuses(&root.join("one")).iter().filter(|status| status.ends_with("done")).count(), 6);
    is_same(root, "one/2.mkv", "three/2.mkv");
    is_same(root, "in/6.y4m", "three/6.mkv");
}

/// A batch whose files take a while, and how many there are.
fn slow_batch(root: &Path) -> (Command, usize) {
    for number in 0..6 {
        clip(&root.join(format!("in/{number}.y4m")), 40);
    }
    (batch(root, "in -o out --name {stem}.mkv --jobs 2"), 6)
}

/// Starts a batch and waits until it is at work.
fn started(command: &mut Command, list: &Path) -> Child {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    while !list.exists() && child.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(1));
    }
    child
}

#[test]
fn killed_at_any_moment_it_goes_on_and_completes() {
    let mut dice = Dice::new(11);
    for round in 0..if is_slow() { 50 } else { 6 } {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let (mut command, n_files) = slow_batch(root);
        for _ in 0..3 {
            let mut child = started(&mut command, &root.join("out/batch.json"));
            std::thread::sleep(Duration::from_millis(dice.below(150)));
            let signal = if round % 2 == 0 { Signal::KILL } else { Signal::INT };
            let _ = kill_process(Pid::from_child(&child), signal);
            let status = child.wait().unwrap();
            assert!(matches!(status.code(), None | Some(0 | 130)), "{status}");
            // The list is whole at every moment.
            entries(&root.join("out"));
        }
        let last = run(&mut command, LIMIT);
        assert_eq!(last.code, Some(0), "{last:?}");
        assert_eq!(statuses(&root.join("out")).iter().filter(|status| status.ends_with(" done")).count(), n_files);
        for number in 0..n_files {
            is_same(root, &format!("in/{number}.y4m"), &format!("out/{number}.mkv"));
        }
        let left = fs::read_dir(root.join("out")).unwrap().count();
        assert_eq!(left, n_files + 1, "round {round}");
    }
}

#[test]
fn a_file_that_was_killed_in_the_middle_goes_on_from_its_segments() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    clip(&root.join("in/a.y4m"), 1000);
    clip(&root.join("in/b.y4m"), 3);
    let mut command = batch(root, "in -o out --name {stem}.mkv --segment-frames 20");
    let mut child = command.stderr(Stdio::null()).spawn().unwrap();
    let begun = Instant::now();
    while !root.join("out/a.mkv.vproc/000003.seg").exists() {
        assert!(begun.elapsed() < LIMIT && child.try_wait().unwrap().is_none(), "it does not get that far");
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!root.join("out/a.mkv").exists(), "it was over before it could be killed");
    let said = ran(root, "in -o out --name {stem}.mkv --segment-frames 20", 0).stderr;
    assert!(said.contains("a.y4m: going on with an interrupted run") && said.contains("2 files: 2 done"), "{said}");
    is_same(root, "in/a.y4m", "out/a.mkv");
    let left: BTreeSet<_> = fs::read_dir(root.join("out")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["a.mkv", "b.mkv", "batch.json"].map(OsString::from).into());
    // Whether and how it is cut makes no other file.
    let again = ran(root, "in -o out --name {stem}.mkv --no-resume", 0).stderr;
    assert!(again.contains("2 done (2 before)"), "{again}");
}

#[test]
fn stopped_by_a_person_it_says_so_and_a_second_batch_waits_its_turn() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    clip(&root.join("in/a.y4m"), 3000);
    clip(&root.join("in/b.y4m"), 1);
    let mut command = batch(root, "in -o out --name {stem}.mkv");
    let child = started(&mut command, &root.join("out/batch.json"));
    let send = |signal| kill_process(Pid::from_child(&child), signal).unwrap();
    // Held, so that it does not end meanwhile.
    send(Signal::STOP);
    let second = run(&mut batch(root, "in -o out --name {stem}.mkv"), LIMIT);
    assert!(second.is_refusal(1) && second.stderr.contains("another batch is at work in out"), "{second:?}");
    send(Signal::INT);
    send(Signal::CONT);
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{said}");
    assert!(said.ends_with("vproc: error: stopped; the same command goes on from here\n"), "{said}");
    assert_eq!(statuses(&root.join("out")), ["a.mkv unfinished"]);
    ran(root, "in -o out --name {stem}.mkv --frames 5", 0);
}

#[test]
fn new_files_are_taken_once_they_have_stopped_growing() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    clip(&root.join("first.y4m"), 1);
    clip(&root.join("whole.y4m"), 8);
    fs::create_dir(root.join("in")).unwrap();
    fs::rename(root.join("first.y4m"), root.join("in/first.y4m")).unwrap();
    let mut child = batch(root, "in -o out --watch --name {stem}.mkv").stderr(Stdio::piped()).spawn().unwrap();
    // It grows for longer than it takes to believe a file that does not.
    let bytes = fs::read(root.join("whole.y4m")).unwrap();
    for part in 1..=8 {
        fs::write(root.join("in/grows.y4m"), &bytes[..bytes.len() * part / 8]).unwrap();
        std::thread::sleep(Duration::from_secs(1));
    }
    let begun = Instant::now();
    while !root.join("out/grows.mkv").exists() && begun.elapsed() < LIMIT {
        std::thread::sleep(Duration::from_millis(20));
        assert!(child.try_wait().unwrap().is_none());
    }
    while statuses(&root.join("out")) != ["first.mkv done", "grows.mkv done"] && begun.elapsed() < LIMIT {
        std::thread::sleep(Duration::from_millis(20));
    }
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let mut said = String::new();
    std::io::Read::read_to_string(&mut child.stderr.take().unwrap(), &mut said).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{said}");
    assert!(said.ends_with("2 files: 2 done; 9 frames\n") && !said.contains("error"), "{said}");
    is_same(root, "whole.y4m", "out/grows.mkv");
}

#[test]
fn programs_hear_which_file_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    clip(&root.join("in/a.y4m"), 2);
    let mut command = vproc(root);
    command.args(["batch", "in", "-o", "out", "-m", "identity", "--progress", "json", "-q"]);
    let said = run(&mut command, LIMIT).stderr;
    let last: Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
    assert_eq!((&last["file"], &last["progress"]), (&Value::from("in/a.y4m"), &Value::from("end")), "{said}");
}

/// The full form takes the clips as a whole, and is killed in the middle before.
#[test]
fn the_shared_clips_are_done_or_named() {
    let clips = clips();
    let Some(named) = clips.first().and_then(|clip| clip.parent()) else { return };
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let mut command = batch(root, "-o out --name {stem}.mkv --jobs 2");
    command.arg(named);
    let out = root.join("out");
    if is_slow() {
        let killed = run(&mut command, Duration::from_secs(10));
        let begun = entries(&out).len();
        assert!(killed.timed_out && begun < clips.len(), "{begun} of {} files in ten seconds", clips.len());
    } else {
        command.args(["--frames", "4"]);
    }
    let first = run(&mut command, LIMIT);
    assert!(first.is_sane() && first.code == Some(3), "{first:?}");
    for (name, entry) in entries(&out) {
        let expected = match name.as_str() {
            "broken_no_moov.mkv" | "empty.mkv" => "failed",
            "corrupted.mkv" => "damaged",
            _ => "done",
        };
        // The damage of the damaged clip may lie behind the frames that are taken.
        let may_be_done = name == "corrupted.mkv" && entry["status"] == "done" && !is_slow();
        assert!(entry["status"] == expected || may_be_done, "{name}: {entry}");
        assert!(expected == "failed" || entry["verified"] == true, "{name}: {entry}");
    }
    assert_eq!(entries(&out).len(), clips.len());
    let before = state(&out);
    let second = run(&mut command, LIMIT);
    assert_eq!((second.code, state(&out)), (Some(3), before), "{second:?}");
    println!("{} clips took {:.1?}, a second call {:.3?}", clips.len(), first.took, second.took);
}

#[test]
fn what_failed_for_good_is_told_again() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    fs::create_dir(root.join("in")).unwrap();
    fs::write(root.join("in/a.y4m"), "YUV4MPEG2 W0").unwrap();
    for words in ["a picture of 0x0", "an earlier call found it"] {
        let told = ran(root, "in -o out --name {stem}.mkv -q", 3);
        assert!(told.errors().len() == 1 && told.stderr.contains(words), "{told:?}");
    }
}

#[test]
fn what_can_never_be_a_folder_is_wrong_usage() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    clip(&root.join("in/a.y4m"), 1);
    fs::write(root.join("file"), "precious").unwrap();
    let long = "x".repeat(300);
    for line in ["in -o file", "in -o file/out", &format!("in -o {long}")] {
        let refused = run(&mut batch(root, line), LIMIT);
        assert!(refused.is_refusal(2), "{line}: {refused:?}");
    }
    assert_eq!(fs::read(root.join("file")).unwrap(), b"precious");
}
