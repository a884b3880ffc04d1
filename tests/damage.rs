//! Damaged media: no crash, no hang, no panic, and no frame lost in silence.

use std::ffi::OsStr;
use std::path::Path;
use std::time::Duration;

use crate::program::{clips, count_frames, generate, in_pairs, is_slow, report, run, vproc};

/// Larger clips are left to the slow run.
const MOST_BYTES: u64 = 130_000;

#[test]
fn mutations_neither_crash_nor_hang_nor_lose_frames_in_silence() {
    let mut clips = clips();
    clips.retain(|clip| (1..if is_slow() { u64::MAX } else { MOST_BYTES }).contains(&clip.metadata().unwrap().len()));
    if clips.is_empty() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let count = if is_slow() { "200" } else { "40" };
    let mut arguments: Vec<&OsStr> = ["--seed", "1", "--count", count].map(OsStr::new).to_vec();
    arguments.extend(clips.iter().map(|clip| clip.as_os_str()));
    let Some(made) = generate("mutate.py", folder.path(), &arguments) else { return };
    in_pairs(&made, |mutation| check(folder.path(), Path::new(mutation["file"].as_str().unwrap())));
}

fn check(folder: &Path, file: &Path) -> Result<(), String> {
    let report_file = file.with_added_extension("json");
    let mut command = vproc(folder);
    command.arg(file).args(["-o", "null:", "-m", "identity", "--progress", "none", "--threads", "1", "--report"]);
    let ran = run(command.arg(&report_file), Duration::from_secs(if is_slow() { 60 } else { 20 }));
    let name = file.file_name().unwrap().to_string_lossy().into_owned();
    if !ran.is_sane() || !matches!(ran.code, Some(0 | 3 | 4)) {
        return Err(format!("{name}: {ran:?}"));
    }
    if ran.code == Some(4) && !ran.is_refusal(4) {
        return Err(format!("{name}: not refused in one line: {}", ran.stderr));
    }
    let written = if ran.code == Some(4) { 0 } else { report(&report_file)["frames_out"].as_u64().unwrap() };
    let there = count_frames(file);
    // Fewer frames must have been said: status 3.
    if written < there && ran.code != Some(3) {
        return Err(format!(
            "{name}: status {:?} with {written} frames, an independent decode gives {there}",
            ran.code
        ));
    }
    Ok(())
}
