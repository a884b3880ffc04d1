//! Files that point at other files and at the network: nothing outside is opened, seen from outside by `strace`.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::program::{generate, has, in_pairs, run, vproc};

/// Libraries and what they read about the machine.
const SYSTEM: [&str; 8] =
    ["/usr/", "/lib", "/etc/ld.so", "/etc/gcrypt/", "/proc/", "/sys/", "/dev/null", "/dev/urandom"];

#[test]
fn what_a_file_points_at_is_not_opened() {
    if !has("strace") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().canonicalize().unwrap();
    let Some(made) = generate("playlists.py", &root, &[]) else { return };
    let traced = run(vproc_under_strace(&root, Path::new("/dev/null"), &[]).arg("--version"), Duration::from_secs(60));
    if traced.code != Some(0) {
        println!("skipped: strace may not trace here: {}", traced.stderr);
        return;
    }
    in_pairs(&made, |case| check(&root, case));
}

fn vproc_under_strace(home: &Path, trace: &Path, more: &[&str]) -> std::process::Command {
    let program = vproc(home);
    let mut command = std::process::Command::new("strace");
    command.args(["-f", "-qq", "-s", "4096", "-e", "trace=openat,open,openat2,connect,socket", "-e", "signal=none"]);
    command.args(more).arg("-o").arg(trace).arg(program.get_program());
    command.current_dir(home).env_clear().env("HOME", home).env("PATH", "/usr/bin:/bin");
    command
}

fn check(root: &Path, case: &Value) -> Result<(), String> {
    let (kind, expect) = (case["kind"].as_str().unwrap(), case["expect"].as_str().unwrap());
    let input = PathBuf::from(case["file"].as_str().unwrap());
    let place = root.join(format!("out of {}", kind.replace(['%', '*'], "_")));
    fs::create_dir(&place).unwrap();
    let (trace, output) = (place.join("trace"), place.join("out.mkv"));
    let mut command = vproc_under_strace(root, &trace, &[]);
    command.arg(&input).arg("-o").arg(&output).args(["-m", "identity", "--progress", "none", "--encoder", "ffv1"]);
    let ran = run(&mut command, Duration::from_secs(60));
    let right = match (expect, ran.code) {
        ("refused" | "either", Some(4)) => ran.is_refusal(4) && !output.exists(),
        ("itself" | "either", Some(0 | 3)) => output.exists(),
        _ => false,
    };
    if !right || !ran.is_sane() {
        return Err(format!("{kind}: expected {expect}, got {ran:?}"));
    }
    for line in fs::read_to_string(&trace).unwrap().lines() {
        let own = line.replace(input.to_str().unwrap(), "INPUT");
        if case["canaries"].as_array().unwrap().iter().any(|canary| own.contains(canary.as_str().unwrap())) {
            return Err(format!("{kind}: opened what it points at: {line}"));
        }
        if line.contains("connect(") || line.contains("socket(AF_INET") {
            return Err(format!("{kind}: spoke to the network: {line}"));
        }
        let Some(path) = opened(line) else { continue };
        let beside =
            [root.join("in"), root.to_owned(), PathBuf::from(env!("CARGO_BIN_EXE_vproc")).parent().unwrap().into()];
        let allowed = path == input.to_string_lossy()
            // The program itself, which is known again by its content and part of what results are kept under.
            || path == env!("CARGO_BIN_EXE_vproc")
            || SYSTEM.iter().any(|prefix| path.starts_with(prefix))
            || Path::new(&path).starts_with(&place)
            // The folders that the sandbox is told of, and where settings would be.
            || line.contains("O_PATH")
            || path.contains("vproc.toml")
            || path.contains("/.config/")
            // What was found to be fast here.
            || path.contains("/.cache/vproc")
            || line.contains("O_DIRECTORY") && beside.iter().any(|folder| Path::new(&path) == folder);
        if !allowed {
            return Err(format!("{kind}: opened {line}"));
        }
    }
    Ok(())
}

/// The path in a line of the trace that opens one.
fn opened(line: &str) -> Option<String> {
    let call = line.split_once("open")?.1;
    let path = call.split_once('"')?.1.rsplit_once('"')?.0;
    Some(path.to_owned())
}
