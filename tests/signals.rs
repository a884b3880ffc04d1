//! How a process that watches for signals stops: in good order at the first, at once at the second.
//!
//! The process is this test program, started again for one test and told by a variable that it is the child.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal as System, kill_process};
use vproc::interrupt;

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
