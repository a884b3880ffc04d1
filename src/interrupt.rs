//! Signals that ask the program to stop.
//!
//! The first SIGINT, SIGTERM or SIGHUP is kept where [`requested`] reads it, and the run ends in good order; the
//! second ends the process at once. A thread of ours waits for signals, so no code of ours runs in a handler.
//! `signal-hook` and not `ctrlc`, which does not tell one signal from another.

use std::ffi::c_int;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::thread;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::iterator::Signals;

use crate::error::{Error, Result};

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

/// Takes signals from now on, and calls `notice`, which says how the run goes on, at the first. Called once.
pub fn watch(notice: impl Fn() + Send + 'static) -> Result<()> {
    let failed = |error| Error::io("cannot watch for signals", error);
    // Taken and never looked at: a file that grows over the limit of the shell is then an error to its writer.
    signal_hook::flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false))).map_err(failed)?;
    let awaited: &[c_int] = if hangup_is_ignored() { &[SIGINT, SIGTERM] } else { &[SIGINT, SIGTERM, SIGHUP] };
    let signals = Signals::new(awaited).map_err(failed)?;
    // Detached on purpose: it waits for as long as the process lives.
    thread::Builder::new().name("signals".into()).spawn(move || wait(signals, notice)).map(drop).map_err(failed)
}

fn wait(mut signals: Signals, notice: impl Fn()) {
    for number in signals.forever() {
        let signal = if number == SIGINT { Signal::Int } else { Signal::Term };
        let status = signal.exit_status();
        if REQUESTED.compare_exchange(0, status, Ordering::Relaxed, Ordering::Relaxed).is_err() {
            let _ = std::io::stderr().write_all(b"vproc: aborted\n");
            // Without what libraries registered for the exit: their threads are still at work, and taking the ground
            // away from under them ends in a crash or a hang.
            signal_hook::low_level::exit(status.into());
        }
        notice();
    }
}

/// Whether whoever started us (`nohup`) wants the program to outlive its terminal.
pub fn hangup_is_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap_or_default();
    u64::from_str_radix(mask.trim(), 16).is_ok_and(|mask| mask & (1 << (SIGHUP - 1)) != 0)
}
