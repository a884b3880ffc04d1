//! Every allocation and every request for memory of a small job is refused once, or once and for ever after: the run
//! gives the same bytes, or one line, and then the next run gives them.
//!
//! Allocations are those of the whole process from `main` on, libraries among them, by a library of our own that is
//! loaded before the program; requests are the calls of `mmap`, by `strace`, and whatever a limit of the shell's refuses.
//! (A `brk` that `strace` lets fail is none that a kernel would: glibc crashes of what it is told.) What cannot be mended
//! here is told apart and counted: glibc, Rust's library and x264 may die of it by themselves, and FFmpeg may take what
//! it could not hold for damage of the source, or forget it, which is said. In none of these is the output silently
//! another one.
//!
//! The film is raw, since decoders hide from their callers what they were refused: of 3762 allocations of a job over an
//! H.264 film ten gave a film with a picture less, told as damage, and one in some hundred a concealed picture without a
//! word; of 2,865 over an FFV1 film one gave a wrong picture. A single small allocation that fails between others that
//! succeed is what no kernel does; where memory is refused for ever from some point on, no decoder comes so far.
//!
//! The quick form takes every 307th allocation in ten seconds; the full form all of the job's 8,300 both ways, in six
//! slices of four to eight minutes on two cores.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::program::{Ran, ffmpeg, has, in_pairs, is_slow, run, vproc};

const LIMIT: Duration = Duration::from_secs(60);

const OUTPUT: &str = "out.mkv";

/// A film of five frames with sound, which becomes three segments.
struct Job {
    folder: tempfile::TempDir,
    input: PathBuf,
    whole: Vec<u8>,
}

impl Job {
    /// `None`, with a printed reason, where a tool is missing.
    fn new() -> Option<Job> {
        if !has("ffmpeg") {
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let input = folder.path().join("in.mkv");
        let sources = ["-f", "lavfi", "-i", "testsrc2=s=64x64:r=25", "-f", "lavfi", "-i", "sine"];
        let codecs = ["-c:v", "rawvideo", "-pix_fmt", "yuv420p", "-c:a", "pcm_s16le"];
        ffmpeg(&[&sources[..], &["-frames:v", "5", "-t", "0.2"], &codecs, &[input.to_str().unwrap()]].concat());
        let mut job = Job { folder, input, whole: Vec::new() };
        let ran = run(&mut job.command(job.folder.path()), LIMIT);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        job.whole = fs::read(job.folder.path().join(OUTPUT)).unwrap();
        Some(job)
    }

    fn command(&self, folder: &Path) -> Command {
        let mut command = vproc(folder);
        command.arg(&self.input).args(["-o", OUTPUT, "--progress", "none", "--segment-frames", "2", "-m", "identity"]);
        command.args(["--encoder", "libx264", "--preset", "ultrafast", "--threads", "1"]);
        command
    }

    /// Runs it where memory is refused, as `refuse` arranges, and then as often as it takes; what came of the first.
    fn attempt(&self, what: &str, refuse: impl FnOnce(Command) -> Command) -> Result<&'static str, String> {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let ran = run(&mut refuse(self.command(root)), LIMIT);
        let output = || fs::read(root.join(OUTPUT)).ok();
        let is_whole = || output().is_some_and(|bytes| bytes == self.whole);
        let outcome = judge(&ran, output().is_some(), is_whole());
        let outcome = outcome.ok_or_else(|| format!("{what}: {ran:?}"))?;
        let is_untouched = || fs::read_dir(root).unwrap().next().is_none();
        if is_whole() || is_untouched() {
            return Ok(outcome);
        }
        let again = run(&mut self.command(root), LIMIT);
        let again = match again.code {
            Some(0) => again,
            // What FFmpeg took for damage of the source was said, and is complete; another output is asked for.
            Some(2) if ran.code == Some(3) && again.errors().len() == 1 && again.stderr.contains("-y ") => {
                run(self.command(root).arg("-y"), LIMIT)
            }
            _ => return Err(format!("{what}, {ran:?}, then {again:?}")),
        };
        let is_left = root.join(format!("{OUTPUT}.vproc")).exists();
        if is_whole() && !is_left { Ok(outcome) } else { Err(format!("{what}, {ran:?}, then other bytes: {again:?}")) }
    }
}

/// What came of a run, by what it said and whether its output is there, as it should be; `None`: what may not be.
fn judge(ran: &Ran, is_there: bool, is_whole: bool) -> Option<&'static str> {
    let n_errors = ran.errors().len();
    let has_trace = ran.stderr.contains("panicked") || ran.stderr.contains("stack backtrace");
    match (ran.code, ran.signal) {
        _ if ran.timed_out || has_trace => None,
        // All was done, whatever could not be said or freed afterwards.
        _ if is_whole && n_errors <= 1 => Some("done"),
        (Some(3), _) if n_errors == 0 && ran.stderr.contains("damaged: ") => Some("taken for damage, and said"),
        _ if is_there => None,
        (Some(1), _) if n_errors == 1 => Some("failed in one line"),
        // FFmpeg gives another reason than memory.
        (Some(2 | 4), _) if n_errors == 1 => Some("failed in one line that blames something else"),
        // A thread that begins cannot have its variables, and glibc or Rust's library ends the process in its own way.
        (_, Some(6)) if ran.stderr.contains("Fatal glibc error") => Some("ended by glibc"),
        (_, Some(6)) if ran.stderr.starts_with("memory allocation of ") => Some("ended by Rust's library"),
        // It frees what it was not given.
        (_, Some(6 | 11)) if ran.stderr.starts_with("x264 [error]: malloc") => Some("x264 crashed"),
        _ => None,
    }
}

/// Tries all that are given, and says what came of how many.
fn try_all(job: &Job, what: &str, numbers: &[u64], attempt: impl Fn(u64) -> Result<&'static str, String> + Sync) {
    let (begun, outcomes) = (Instant::now(), Mutex::new(BTreeMap::<_, u64>::new()));
    in_pairs(numbers, |number| {
        let outcome = attempt(*number)?;
        *outcomes.lock().unwrap().entry(outcome).or_default() += 1;
        Ok(())
    });
    let (outcomes, took) = (outcomes.into_inner().unwrap(), begun.elapsed());
    println!("{what}: {} tried in {took:.1?}, none bad: {outcomes:?}", numbers.len());
    assert!(outcomes.keys().any(|outcome| *outcome != "done"), "nothing was refused");
    assert!(!job.whole.is_empty());
}

/// Every so-many-th of `1..=n`; each of them where all are wanted.
fn chosen(n: u64, quick_step: usize) -> impl Iterator<Item = u64> {
    (1..=n).step_by(if is_slow() { 1 } else { quick_step })
}

/// How an allocation is refused.
#[derive(Clone, Copy, PartialEq)]
enum Refusal {
    Once,
    ForEver,
}

/// The slices that all allocations are dealt into, a test each.
const SLICES: u64 = 3;

/// Each allocation of a slice is refused, or all from it on.
fn refuse_allocations(slice: u64, refusal: Refusal) {
    let Some(job) = Job::new() else { return };
    if !has("cc") {
        return;
    }
    let library = job.folder.path().join("failing_malloc.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/failing_malloc.c");
    let mut compiler = Command::new("cc");
    compiler.args(["-O2", "-Wall", "-Werror", "-shared", "-fPIC", "-o"]).arg(&library).arg(source).arg("-ldl");
    assert!(compiler.status().unwrap().success());
    let elsewhere = tempfile::tempdir().unwrap();
    let mut counting = job.command(elsewhere.path());
    let ran = run(counting.env("LD_PRELOAD", &library).env("FAILING_MALLOC_COUNT", "1"), LIMIT);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let n: u64 = ran.stderr.lines().find_map(|line| line.strip_prefix("allocations ")).unwrap().parse().unwrap();
    assert!(n > 1000, "{n} allocations");
    let numbers: Vec<u64> = chosen(n, 307).filter(|number| number % SLICES == slice).collect();
    let what = format!("allocations of {n}, {}", if refusal == Refusal::Once { "once" } else { "for ever" });
    try_all(&job, &what, &numbers, |number| {
        job.attempt(&format!("allocation {number}"), |mut command| {
            command.env("LD_PRELOAD", &library).env("FAILING_MALLOC_AT", number.to_string());
            if refusal == Refusal::ForEver {
                command.env("FAILING_MALLOC_EVER", "1");
            }
            command
        })
    });
}

#[test]
fn each_allocation_may_be_refused_0_of_3() {
    refuse_allocations(0, Refusal::Once);
}

#[test]
fn each_allocation_may_be_refused_1_of_3() {
    refuse_allocations(1, Refusal::Once);
}

#[test]
fn each_allocation_may_be_refused_2_of_3() {
    refuse_allocations(2, Refusal::Once);
}

#[test]
fn all_allocations_may_be_refused_from_each_on_0_of_3() {
    refuse_allocations(0, Refusal::ForEver);
}

#[test]
fn all_allocations_may_be_refused_from_each_on_1_of_3() {
    refuse_allocations(1, Refusal::ForEver);
}

#[test]
fn all_allocations_may_be_refused_from_each_on_2_of_3() {
    refuse_allocations(2, Refusal::ForEver);
}

/// `command` started by another program, which gets these arguments before it.
fn through(program: &str, arguments: &[&str], command: &Command) -> Command {
    let mut outer = Command::new(program);
    outer.args(arguments).arg(command.get_program()).args(command.get_args());
    outer.current_dir(command.get_current_dir().unwrap());
    outer.env_clear().envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    // Where programs find themselves.
    outer.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    outer
}

#[test]
fn each_request_for_memory_may_be_refused_by_the_system() {
    let Some(job) = Job::new() else { return };
    if !has("strace") {
        return;
    }
    let log = job.folder.path().join("log");
    // The main thread's calls until it does nothing, and until its end.
    let count = |command: Command| -> u64 {
        let arguments = ["-f", "-qq", "--seccomp-bpf", "-e", "trace=mmap", "-o", log.to_str().unwrap()];
        let ran = run(&mut through("strace", &arguments, &command), LIMIT);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        let text = fs::read_to_string(&log).unwrap();
        let thread = |line: &str| line.split(' ').next().map(str::to_owned);
        let first = text.lines().next().and_then(thread);
        text.lines().filter(|line| thread(line) == first).count() as u64
    };
    let elsewhere = tempfile::tempdir().unwrap();
    let (n_before, n) = (count(nothing(elsewhere.path())), count(job.command(elsewhere.path())));
    assert!(n > n_before, "{n_before} of {n} calls are the loader's");
    let numbers: Vec<u64> = chosen(n - n_before, 5).map(|number| n_before + number).collect();
    for more in ["", "+"] {
        try_all(&job, &format!("mmap {n_before} to {n}{more}"), &numbers, |number| {
            let inject = format!("inject=mmap:error=ENOMEM:when={number}{more}");
            let arguments = ["-f", "-qq", "--seccomp-bpf", "-o", "/dev/null", "-e", "trace=mmap", "-e", &inject];
            job.attempt(&inject, |command| through("strace", &arguments, &command))
        });
    }
}

/// A command that does nothing but begin.
fn nothing(folder: &Path) -> Command {
    let mut command = vproc(folder);
    command.arg("--version");
    command
}

/// `command` with this many KiB of addresses, as the shell limits them.
fn within(kib: u64, command: &Command) -> Command {
    through("sh", &["-c", &format!("ulimit -v {kib}; exec \"$@\""), "sh"], command)
}

#[test]
fn every_size_of_memory_is_enough_or_said_to_be_too_little() {
    let Some(job) = Job::new() else { return };
    // The least with which a command succeeds, to a MiB.
    let least = |make: &dyn Fn(&Path) -> Command| -> u64 {
        let (mut too_little, mut enough) = (0, 1 << 23);
        while enough - too_little > 1 << 10 {
            let elsewhere = tempfile::tempdir().unwrap();
            let middle = (too_little + enough) / 2;
            match run(&mut within(middle, &make(elsewhere.path())), LIMIT).code {
                Some(0) => enough = middle,
                _ => too_little = middle,
            }
        }
        enough
    };
    let (from, to) = (least(&nothing), least(&|folder| job.command(folder)));
    assert!(from < to, "{from} and {to} KiB");
    let steps = if is_slow() { 400 } else { 12 };
    let sizes: Vec<u64> = (0..steps).map(|step| from + (to - from) * step / steps).collect();
    try_all(&job, &format!("{from} to {to} KiB"), &sizes, |kib| {
        job.attempt(&format!("{kib} KiB"), |command| within(kib, &command))
    });
}
