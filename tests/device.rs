//! Where a network runs, on a machine without a CUDA device; with one these skip.

use std::path::Path;
use std::process::Command;

use crate::support::run;

/// Whether the machine has an NVIDIA driver, for which what is said here does not hold; prints a reason to skip.
fn has_driver() -> bool {
    let is_there = Path::new("/dev/nvidiactl").exists();
    if is_there {
        eprintln!("skipped: there is an NVIDIA driver");
    }
    is_there
}

/// What `vproc ARGUMENTS` writes to its standard output and error.
fn said(arguments: &[&str]) -> (String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vproc"));
    let output = command.env_remove("VPROC_SHARED").env("VPROC_NO_CACHE", "true").args(arguments).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

const INPUT: &str = "pattern:64x48@25,frames=3";

#[test]
fn a_device_that_was_asked_for_and_is_not_there_is_refused_before_any_work() {
    if has_driver() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("out.mkv");
    for device in ["cuda", "cuda:0", "cuda:0,1"] {
        let ran = run(Path::new(INPUT), &output, &["--device", device]);
        assert_eq!(ran.status, 1, "{}", ran.stderr);
        let lines: Vec<_> = ran.stderr.lines().collect();
        assert_eq!(lines.len(), 1, "{}", ran.stderr);
        assert!(lines[0].contains("CUDA") || lines[0].contains("NVIDIA driver"), "{}", lines[0]);
        assert!(lines[0].ends_with("use --device cpu"), "{}", lines[0]);
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn where_it_is_left_open_the_processor_takes_over_and_the_plan_says_why() {
    if has_driver() {
        return;
    }
    let plan = |device: &str| said(&[INPUT, "-o", "null:", "--device", device, "--dry-run"]).0;
    let line = |plan: &str| plan.lines().find(|line| line.starts_with("device")).map(str::to_owned).unwrap();
    assert!(line(&plan("auto")).starts_with("device    cpu, not cuda: "), "{}", plan("auto"));
    assert_eq!(line(&plan("cpu")), "device    cpu");
    let hashes = |device: &str| said(&[INPUT, "-o", "md5:", "-q", "--device", device]).0;
    assert!(!hashes("auto").is_empty());
    assert_eq!(hashes("auto"), hashes("cpu"));
}

#[test]
fn what_only_devices_compute_is_refused_on_the_processor() {
    let ran = run(Path::new(INPUT), Path::new("null:"), &["--device", "cpu", "--precision", "tf32"]);
    assert_eq!(ran.status, 2, "{}", ran.stderr);
    assert!(ran.stderr.contains("tf32 is computed by CUDA devices only"), "{}", ran.stderr);
    for device in ["gpu", "cuda:", "cuda:x", "cuda:0,0", "cuda:-1"] {
        let ran = run(Path::new(INPUT), Path::new("null:"), &["--device", device]);
        assert_eq!(ran.status, 2, "{}", ran.stderr);
        assert!(ran.stderr.contains("expected one of auto, cpu, cuda:0, cuda:0,1"), "{}", ran.stderr);
    }
}
