//! Files whose numbers no sane writer would write: exact, or refused in one line; within memory and time.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::program::{Ran, count_frames, generate, in_pairs, is_slow, run, vproc};

/// What `--memory 1G` and a tenth allow.
const MOST_MEMORY: u64 = (1 << 30) / 10 * 11;

/// These take seconds each; the slow run takes them whole.
const LARGE: [&str; 2] = ["grows_to_8k", "edits_without_end"];

/// These take so long that only the slow run has them.
const SLOW: [&str; 2] = ["black_8k", "thousands_of_tags"];

#[test]
fn absurd_files_come_out_exact_or_are_refused_within_their_memory() {
    let folder = tempfile::tempdir().unwrap();
    let mut arguments = Vec::new();
    if !is_slow() {
        arguments.extend(["--without"].iter().chain(&SLOW).map(OsStr::new));
    }
    let Some(made) = generate("absurd.py", folder.path(), &arguments) else { return };
    in_pairs(&made, |case| {
        check_hashes(folder.path(), case)?;
        if is_large(case) { Ok(()) } else { check_file(folder.path(), case) }
    });
}

/// A few of its frames do.
fn is_large(case: &Value) -> bool {
    !is_slow() && LARGE.contains(&text(case, "kind"))
}

fn text<'a>(case: &'a Value, key: &str) -> &'a str {
    case[key].as_str().unwrap()
}

fn process(folder: &Path, case: &Value, output: &OsStr, more: &[&str]) -> Result<Ran, String> {
    let mut command = vproc(folder);
    command.arg(text(case, "file")).arg("-o").arg(output).args(more);
    command.args(["-m", "identity", "--memory", "1G", "--progress", "none"]);
    if is_large(case) {
        command.args(["--frames", "13"]);
    }
    let ran = run(&mut command, Duration::from_secs(if is_slow() { 180 } else { 60 }));
    let kind = text(case, "kind");
    if ran.took > Duration::from_secs(3) {
        println!("{kind}: {:.1} s, {} MiB", ran.took.as_secs_f64(), ran.peak_rss >> 20);
    }
    match () {
        () if !ran.is_sane() => Err(format!("{kind}: {ran:?}")),
        () if ran.peak_rss > MOST_MEMORY => Err(format!("{kind}: {} MiB were held", ran.peak_rss >> 20)),
        () if matches!(ran.code, Some(2 | 4)) && !ran.is_refusal(ran.code.unwrap_or(0)) => {
            Err(format!("{kind}: not refused in one line: {}", ran.stderr))
        }
        () if ran.code == Some(1) && ran.errors().len() != 1 => Err(format!("{kind}: {}", ran.stderr)),
        () => Ok(ran),
    }
}

/// The frames as the source gives them, each with its time.
fn check_hashes(folder: &Path, case: &Value) -> Result<(), String> {
    let kind = text(case, "kind");
    let hashes = folder.join(format!("{kind}.md5"));
    let mut output = std::ffi::OsString::from("md5:");
    output.push(&hashes);
    let ran = process(folder, case, &output, &[])?;
    let complain = |what: String| Err(format!("{kind} ({}): {what}; {}", text(case, "what"), ran.stderr));
    let expect = text(case, "expect");
    match (expect, ran.code) {
        ("exact", Some(0)) => {}
        ("refused" | "either", Some(4)) if !hashes.exists() => return Ok(()),
        ("either", Some(0 | 3)) => {}
        (_, code) => return complain(format!("expected {expect}, got status {code:?}")),
    }
    let said = fs::read_to_string(&hashes).unwrap();
    let base = said.lines().find_map(|line| line.strip_prefix("#tb 0: ")).unwrap();
    let frames: Vec<i128> = said
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.split(',').nth(2).unwrap().trim().parse().unwrap())
        .collect();
    if frames.windows(2).any(|pair| pair[0] >= pair[1]) {
        return complain(format!("the time stamps do not rise: {frames:?}"));
    }
    // A reader that acts on absurd edits drops or repeats pictures; then an independent one must agree.
    let n_frames = frames.len() as u64;
    let agrees = || expect == "either" && count_frames(Path::new(text(case, "file"))) == n_frames;
    if ran.code == Some(0) && case["frames"].as_u64() != Some(n_frames) && !agrees() && !is_large(case) {
        return complain(format!("{n_frames} frames, expected {}", case["frames"]));
    }
    let (num, den) = ratio(base);
    for (key, pts) in [("first", frames.first()), ("last", frames.last())] {
        let (Some(expected), Some(pts)) = (case[key].as_str(), pts) else { continue };
        let (n, d) = ratio(expected);
        if pts * num * d != n * den {
            return complain(format!("the {key} frame is at {pts} * {base}, expected {expected}"));
        }
    }
    Ok(())
}

fn ratio(text: &str) -> (i128, i128) {
    let (num, den) = text.split_once('/').unwrap();
    (num.parse().unwrap(), den.parse().unwrap())
}

/// The same into a real container, whose ticks may be too coarse or too few for it; then one line says so.
fn check_file(folder: &Path, case: &Value) -> Result<(), String> {
    let kind = text(case, "kind");
    for (extension, options) in [("mkv", &["--encoder", "ffv1"][..]), ("mp4", &["--preset", "ultrafast"])] {
        // By turns, where time is short.
        if !is_slow() && kind.len().is_multiple_of(2) != (extension == "mkv") {
            continue;
        }
        let output = folder.join(format!("{kind}.out.{extension}"));
        let report = folder.join(format!("{kind}.{extension}.json"));
        let options = [options, &["--report", report.to_str().unwrap()]].concat();
        let ran = process(folder, case, output.as_os_str(), &options)?;
        let done = matches!(ran.code, Some(0 | 3));
        if done != output.exists() {
            return Err(format!(
                "{kind}.{extension}: status {:?}, but the output's being there is {}",
                ran.code, !done
            ));
        }
        if !done && ran.errors().len() != 1 {
            return Err(format!("{kind}.{extension}: {}", ran.stderr));
        }
        if text(case, "expect") == "refused" && ran.code != Some(4) {
            return Err(format!("{kind}.{extension}: status {:?}; {}", ran.code, ran.stderr));
        }
        let frames =
            fs::read(&report).ok().map(|text| serde_json::from_slice::<BTreeMap<String, Value>>(&text).unwrap());
        let frames = frames.map(|report| report["frames_out"].clone());
        let is_exact = text(case, "expect") == "exact";
        if ran.code == Some(0) && is_exact && frames.as_ref() != Some(&case["frames"]) {
            return Err(format!("{kind}.{extension}: {frames:?} frames, expected {}", case["frames"]));
        }
        if !matches!(ran.code, Some(0)) {
            println!("{kind}.{extension}: status {:?}: {}", ran.code, ran.errors().join("; "));
        }
    }
    Ok(())
}
