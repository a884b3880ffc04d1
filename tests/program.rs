//! The program as a process: started in a folder of its own, ended when its time is up, its words kept. Also the
//! media that tests feed it: shared clips, made ones, and the generators in Python.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{STRENGTH, shared};

/// How a process ended.
#[derive(Debug)]
pub struct Ran {
    /// The exit status; `None`: a signal ended it, or its time was up.
    pub code: Option<i32>,
    pub signal: Option<i32>,
    pub timed_out: bool,
    pub stdout: Vec<u8>,
    pub stderr: String,
    pub took: Duration,
    /// The most memory it was seen to hold, in bytes; looked at every two milliseconds.
    pub peak_rss: u64,
}

impl Ran {
    /// The program neither crashed nor hung nor found a defect of its own.
    pub fn is_sane(&self) -> bool {
        !self.timed_out && self.signal.is_none() && !self.stderr.contains("internal error")
    }

    /// It ended with `status` and one line.
    pub fn is_refusal(&self, status: i32) -> bool {
        self.code == Some(status) && self.errors().len() == 1 && self.stderr.starts_with("vproc: ")
    }

    /// The lines that say an error.
    pub fn errors(&self) -> Vec<&str> {
        self.stderr.lines().filter(|line| line.starts_with("vproc: error: ")).collect()
    }
}

/// The program in `folder`, with no configuration of anybody's.
pub fn vproc(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_vproc"));
    command.current_dir(folder).env_clear().env("HOME", folder).env("VPROC_NO_CACHE", "true");
    command.env("VPROC_STRENGTH", STRENGTH).stdin(Stdio::null());
    command
}

/// Runs a command for at most `limit`.
pub fn run(command: &mut Command, limit: Duration) -> Ran {
    let folder = tempfile::tempdir().unwrap();
    let (out, err) = (folder.path().join("out"), folder.path().join("err"));
    command.stdout(File::create(&out).unwrap()).stderr(File::create(&err).unwrap());
    let begun = Instant::now();
    let mut child = command.spawn().unwrap();
    let (mut peak_rss, mut timed_out) = (0, false);
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        peak_rss = peak_rss.max(peak_of(&child));
        if begun.elapsed() > limit && !timed_out {
            timed_out = true;
            child.kill().unwrap();
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    Ran {
        code: status.code(),
        signal: status.signal().filter(|_| !timed_out),
        timed_out,
        stdout: fs::read(&out).unwrap(),
        stderr: String::from_utf8_lossy(&fs::read(&err).unwrap()).into_owned(),
        took: begun.elapsed(),
        peak_rss,
    }
}

fn peak_of(child: &Child) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.trim().trim_end_matches("kB").trim().parse().unwrap_or(0) * 1024
}

/// A report, which must be JSON whatever the names in it are.
pub fn report(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// Whether the tests that take minutes are wanted.
pub fn is_slow() -> bool {
    std::env::var_os("VPROC_SLOW_TESTS").is_some_and(|value| value == "1")
}

/// Whether a program can be started; if not, says that the test is skipped.
pub fn has(tool: &str) -> bool {
    let started =
        Command::new(tool).arg("-h").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if started.is_err() {
        println!("skipped: {tool} is not installed");
    }
    started.is_ok()
}

/// Runs `ffmpeg`, which must succeed.
pub fn ffmpeg<S: AsRef<OsStr>>(arguments: &[S]) {
    let mut command = Command::new("ffmpeg");
    let output = command.args(["-v", "error", "-nostdin", "-y"]).args(arguments).output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// The frames that `ffmpeg` gets out of a file with one thread.
pub fn count_frames(path: &Path) -> u64 {
    let mut command = Command::new("ffmpeg");
    command.args(["-v", "quiet", "-nostdin", "-threads", "1", "-i"]).arg(path);
    command.args(["-an", "-sn", "-dn", "-fps_mode", "passthrough", "-progress", "-", "-f", "null", "-"]);
    let said = run(&mut command, Duration::from_secs(60)).stdout;
    let said = String::from_utf8_lossy(&said);
    said.lines().rev().find_map(|line| line.strip_prefix("frame=")?.trim().parse().ok()).unwrap_or(0)
}

/// The files that a generator of this folder makes in `folder`, and what it says of each; `None`, with a printed
/// reason, where it cannot run.
pub fn generate(script: &str, folder: &Path, arguments: &[&OsStr]) -> Option<Vec<Value>> {
    if !has("python3") || !has("ffmpeg") {
        return None;
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(script);
    let mut command = Command::new("python3");
    let output = command.arg("-B").arg(script).arg("--out").arg(folder).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

/// The clips that are shared between projects; empty, with a printed reason, where they are not here.
pub fn clips() -> Vec<PathBuf> {
    let Some(shared) = shared() else { return Vec::new() };
    let mut clips: Vec<_> =
        fs::read_dir(shared.join("data/clips")).unwrap().flatten().map(|entry| entry.path()).collect();
    clips.retain(|clip| clip.is_file());
    clips.sort();
    clips
}

/// Does `act` for every item, two at a time, and fails with all that it complains of.
pub fn in_pairs<T: Sync>(items: &[T], act: impl Fn(&T) -> Result<(), String> + Sync) {
    let (next, complaints) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(complaint) = act(item) {
                        complaints.lock().unwrap().push(complaint);
                    }
                }
            });
        }
    });
    let complaints = complaints.into_inner().unwrap();
    assert!(complaints.is_empty(), "{} of {}:\n{}", complaints.len(), items.len(), complaints.join("\n"));
}

/// Numbers that are spread and always the same.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Dice(seed)
    }

    /// One of `0..n` (Knuth's multiplier, the upper bits).
    pub fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

/// A file system in memory that is gone with this value.
pub struct Mount(PathBuf);

impl Mount {
    /// `None`, with a printed reason, where mounting is not permitted.
    pub fn tmpfs(at: &Path, options: &str) -> Option<Mount> {
        fs::create_dir_all(at).unwrap();
        let output = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(at).output();
        if output.is_ok_and(|output| output.status.success()) {
            return Some(Mount(at.to_owned()));
        }
        println!("skipped: this user may not mount a file system");
        None
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
