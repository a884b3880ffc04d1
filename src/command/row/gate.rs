//! Where time begins: a gate that opens once every worker is ready, and the clock that starts there.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crate::error::Result;
use crate::frame::Frame;
use crate::measure::{Opened, machine};
use crate::meter;
use crate::report::bench::Repeat;
use crate::source::{Source, SourceFacts};

/// What had been spent when time began.
#[derive(Clone, Copy)]
pub struct Start {
    at: Instant,
    cpu: Duration,
    busy: Duration,
    minor_faults: u64,
}

impl Start {
    /// Time begins now.
    pub fn now() -> Start {
        Start {
            minor_faults: meter::minor_faults(),
            busy: machine::busy(),
            cpu: meter::process_cpu(),
            at: Instant::now(),
        }
    }

    /// What `frames` frames took from then until now.
    pub fn end(self, frames: u64) -> Repeat {
        let wall_seconds = self.at.elapsed().as_secs_f64();
        let cpu_seconds = meter::process_cpu().saturating_sub(self.cpu).as_secs_f64();
        let busy = machine::busy().saturating_sub(self.busy).as_secs_f64();
        Repeat {
            frames,
            wall_seconds,
            cpu_seconds,
            // The machine counts in hundredths of a second.
            others_cpu_seconds: (busy - cpu_seconds).max(0.0),
            peak_rss_bytes: meter::peak_rss_bytes(),
            minor_faults: meter::minor_faults() - self.minor_faults,
        }
    }
}

/// Opens when so many workers have arrived.
pub struct Gate {
    awaited: Mutex<usize>,
    changed: Condvar,
    start: OnceLock<Start>,
}

impl Gate {
    /// A gate for `workers` workers.
    pub fn new(workers: usize) -> Gate {
        Gate { awaited: Mutex::new(workers), changed: Condvar::new(), start: OnceLock::new() }
    }

    /// One more is ready, or never will be.
    pub fn arrive(&self) {
        let mut awaited = self.lock();
        *awaited = awaited.saturating_sub(1);
        self.changed.notify_all();
    }

    /// Waits for the last worker, and starts the clock the first time.
    pub fn pass(&self) {
        if self.start.get().is_some() {
            return;
        }
        let waited = self.changed.wait_while(self.lock(), |awaited| *awaited > 0);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
        self.start.get_or_init(Start::now);
    }

    /// When it was passed; now, if nobody has passed it.
    pub fn start(&self) -> Start {
        *self.start.get_or_init(Start::now)
    }

    fn lock(&self) -> MutexGuard<'_, usize> {
        self.awaited.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A source whose first frame waits for the gate. What lies before a cut is decoded before.
pub struct Gated {
    source: Box<dyn Source>,
    gate: Arc<Gate>,
    /// The first frame, where it was taken before.
    first: Option<Frame>,
}

impl Gated {
    /// Puts the source of what was prepared behind `gate`; `is_cut` says that frames are dropped before its first.
    pub fn put(opened: Opened, gate: &Arc<Gate>, is_cut: bool) -> Result<Opened> {
        let mut source = opened.source;
        let first = if is_cut { source.next_frame()? } else { None };
        Ok(Opened { source: Box::new(Gated { source, gate: Arc::clone(gate), first }), ..opened })
    }
}

impl Source for Gated {
    fn facts(&self) -> &SourceFacts {
        self.source.facts()
    }

    fn next_frame(&mut self) -> Result<Option<Frame>> {
        self.gate.pass();
        match self.first.take() {
            Some(frame) => Ok(Some(frame)),
            None => self.source.next_frame(),
        }
    }
}
