//! How a process that watches for signals stops: in good order at the first, at once at the second.
//!
//! Where only the watching matters, the process is this test program, started again for one test and told by a variable that it is the child.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal as System, kill_process};
use vproc::interrupt;

use crate::program::{Dice, count_frames, ffmpeg, has, is_slow, vproc};

const CHILD: &str = "VPROC_TEST_SIGNALS";

/// The child: says that it is ready, then ends with the signal's status, or takes its time as `CHILD` says.
#[test]
fn child() {
    let Ok(how) = std::env::var(CHILD) else { return };
    let (tell, told) = std::sync::mpsc::channel();
    interrupt::watch(move || {
        eprintln!("noticed");
        let _ = tell.send(());
    })
    .unwrap();
    eprintln!("ready");
    // A run would go on working; all that matters here is that it looks for the signal now and then.
    let _ = told.recv_timeout(Duration::from_secs(20));
    if how == "goes on" {
        std::thread::sleep(Duration::from_secs(20));
    }
    std::process::exit(interrupt::requested().map_or(1, |signal| signal.exit_status().into()));
}

fn start(how: &str) -> (Child, BufReader<std::process::ChildStderr>) {
    start_as(Command::new(std::env::current_exe().unwrap()), how)
}

fn start_as(mut command: Command, how: &str) -> (Child, BufReader<std::process::ChildStderr>) {
    command.args(["--exact", "signals::child", "--nocapture", "--test-threads=1"]).env(CHILD, how);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap());
    await_line(&mut said, "ready");
    (child, said)
}

fn await_line(said: &mut impl BufRead, word: &str) {
    let mut line = String::new();
    while !line.contains(word) {
        line.clear();
        assert!(said.read_line(&mut line).unwrap() > 0, "the child ended without saying '{word}'");
    }
}

fn send(child: &Child, signal: System) {
    kill_process(Pid::from_child(child), signal).unwrap();
}

#[test]
fn the_first_signal_is_told_and_names_the_status() {
    for (signal, status) in [(System::INT, 130), (System::TERM, 143), (System::HUP, 143)] {
        if signal == System::HUP && interrupt::hangup_is_ignored() {
            println!("skipped: whoever started the tests has hangups ignored");
            continue;
        }
        let (mut child, mut said) = start("obeys");
        send(&child, signal);
        await_line(&mut said, "noticed");
        assert_eq!(child.wait().unwrap().code(), Some(status), "{signal:?}");
    }
}

#[test]
fn a_hangup_is_left_alone_under_nohup() {
    let mut command = Command::new("nohup");
    command.arg(std::env::current_exe().unwrap());
    let (mut child, mut said) = start_as(command, "obeys");
    send(&child, System::HUP);
    std::thread::sleep(Duration::from_millis(50));
    send(&child, System::TERM);
    await_line(&mut said, "noticed");
    assert_eq!(child.wait().unwrap().code(), Some(143));
    let mut rest = String::new();
    said.read_line(&mut rest).unwrap();
    assert!(!rest.contains("noticed"));
}

#[test]
fn the_second_signal_ends_at_once() {
    for (signal, status) in [(System::INT, 130), (System::TERM, 143)] {
        let (mut child, mut said) = start("goes on");
        send(&child, System::INT);
        await_line(&mut said, "noticed");
        let begun = Instant::now();
        send(&child, signal);
        assert_eq!(child.wait().unwrap().code(), Some(status));
        assert!(begun.elapsed() < Duration::from_millis(200), "{:?}", begun.elapsed());
    }
}

/// The program stopped at some moment of a run, with how long it took to end.
fn stopped(folder: &Path, signal: System, after: Duration) -> (Output, Duration) {
    let mut command = vproc(folder);
    command.args(["long.mkv", "-o", "out.mkv", "-y", "-m", "identity", "--progress", "none", "--threads", "2"]);
    command.args(["--encoder", "libx264", "--preset", "medium"]).stdout(Stdio::null()).stderr(Stdio::piped());
    let part = folder.join("out.mkv.part");
    let _ = std::fs::remove_file(&part);
    let mut child = command.spawn().unwrap();
    // Before that, it has not begun to watch for signals, or there is nothing to play.
    while !part.exists() && child.try_wait().unwrap().is_none() {
        std::thread::sleep(Duration::from_millis(5));
    }
    std::thread::sleep(after);
    let begun = Instant::now();
    send(&child, signal);
    (child.wait_with_output().unwrap(), begun.elapsed())
}

#[test]
fn a_run_that_is_stopped_leaves_a_part_that_plays() {
    if !has("ffmpeg") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let sources = ["-f", "lavfi", "-i", "testsrc2=s=320x180:r=25:d=120", "-f", "lavfi", "-i", "sine=d=120"];
    let clip = folder.path().join("long.mkv");
    let codecs = ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-c:a", "pcm_s16le"];
    ffmpeg(&[&sources[..], &codecs, &[clip.to_str().unwrap()]].concat());
    let mut dice = Dice::new(3);
    let mut n_played = 0;
    for round in 0..if is_slow() { 60 } else { 10 } {
        let (signal, status) = if round % 2 == 0 { (System::INT, 130) } else { (System::TERM, 143) };
        let (output, took) = stopped(folder.path(), signal, Duration::from_millis(dice.below(1500)));
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{said}");
        assert!(took < Duration::from_secs(2), "{took:?}");
        assert!(!folder.path().join("out.mkv").exists());
        let n_said = said.split_once("stopped after ").map(|(_, rest)| rest.split_whitespace().next().unwrap());
        let n_said: u64 = n_said.map_or(0, |n| n.parse().unwrap());
        let part = folder.path().join("out.mkv.part");
        if n_said > 0 {
            // On a busy machine the encoder may not get all out in time.
            let n = count_frames(&part);
            assert!((1..=n_said).contains(&n), "{n} frames: {said}");
            n_played += 1;
        }
    }
    println!("{n_played} parts played");
    assert!(n_played > 0);
}

#[test]
fn a_reader_that_has_seen_enough_ends_the_run_quietly() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = vproc(folder.path());
    command.args(["pattern:320x180@25,frames=100000", "-o", "-", "-m", "identity", "--progress", "none"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = Vec::new();
    BufReader::new(child.stdout.take().unwrap()).read_until(b'\n', &mut line).unwrap();
    assert!(line.starts_with(b"YUV4MPEG2"));
    let begun = Instant::now();
    let output = child.wait_with_output().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(2));
    assert_eq!((String::from_utf8_lossy(&output.stderr).as_ref(), output.status.code()), ("", Some(1)));
}
