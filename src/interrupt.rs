//! Signals that ask the program to stop.
//!
//! The first SIGINT, SIGTERM or SIGHUP is kept where [`requested`] reads it, and the run ends in good order; the
//! second ends the process at once. The signals are blocked before any thread starts, so that all threads inherit
//! that, and a thread of ours waits for them: no code runs in a signal handler, and unlike with a handler of `ctrlc`
//! it is known which signal it was.

use std::io::Write;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;

use nix::sys::signal::{SigSet, Signal as System};

use crate::error::{Error, Kind, Result};

/// What the system asked, as the exit status tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGINT: a person pressed Ctrl-C.
    Int,
    /// SIGTERM, or SIGHUP, which means the same to a program without a terminal.
    Term,
}

impl Signal {
    /// 128 and the signal's number, as shells tell it.
    pub fn exit_status(self) -> u8 {
        match self {
            Signal::Int => 130,
            Signal::Term => 143,
        }
    }
}

/// 0, or the exit status of the first signal.
static REQUESTED: AtomicU8 = AtomicU8::new(0);

/// The first signal that came, if any.
pub fn requested() -> Option<Signal> {
    match REQUESTED.load(Ordering::Relaxed) {
        0 => None,
        130 => Some(Signal::Int),
        _ => Some(Signal::Term),
    }
}

/// Takes signals from now on, and says `notice` in one line at the first. Called once, before any other thread starts.
pub fn watch(notice: impl Fn() + Send + 'static) -> Result<()> {
    let failed = |what: &str, error: std::io::Error| {
        Error::new(Kind::Internal, format!("cannot {what}: {error}")).with_source(error)
    };
    let mut awaited = SigSet::empty();
    awaited.add(System::SIGINT);
    awaited.add(System::SIGTERM);
    if !hangup_is_ignored() {
        awaited.add(System::SIGHUP);
    }
    let mut blocked = awaited;
    // Blocked and never awaited: a file that grows over the limit of the shell is then an error to the writer.
    blocked.add(System::SIGXFSZ);
    blocked.thread_block().map_err(|errno| failed("block signals", errno.into()))?;
    // Detached on purpose: it waits for as long as the process lives.
    let waiting = thread::Builder::new().name("signals".into()).spawn(move || wait(awaited, notice));
    waiting.map(drop).map_err(|error| failed("start the thread for signals", error))
}

fn wait(awaited: SigSet, notice: impl Fn()) {
    while let Ok(system) = awaited.wait() {
        let signal = if system == System::SIGINT { Signal::Int } else { Signal::Term };
        if REQUESTED.compare_exchange(0, signal.exit_status(), Ordering::Relaxed, Ordering::Relaxed).is_err() {
            let _ = std::io::stderr().write_all(b"vproc: aborted\n");
            exit_now(signal.exit_status());
        }
        notice();
    }
}

/// Ends the process without running what libraries registered for the exit: their threads are still at work, and
/// taking the ground away from under them ends in a crash or a hang.
fn exit_now(status: u8) -> ! {
    // SAFETY: `_exit` takes any integer, does not return and touches no memory of ours. Neither std nor nix nor rustix
    // offers it as a safe function.
    unsafe { nix::libc::_exit(i32::from(status)) }
}

/// Whether whoever started us (`nohup`) wants the program to outlive its terminal.
fn hangup_is_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap_or_default();
    u64::from_str_radix(mask.trim(), 16).is_ok_and(|mask| mask & (1 << (System::SIGHUP as u32 - 1)) != 0)
}
