//! Stopping engines from another thread: a person pressed Ctrl-C, or a network ran past its deadline.
//!
//! A [`Terminator`] is shared by all engines of a run. Once stopped it stays stopped, and so do they.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::error::{Error, Kind};

/// Something that runs long and can be told to give up, from any thread.
pub trait Interrupt: Send + Sync {
    /// Makes the current run, and every later one, end soon with an error.
    fn interrupt(&self);
}

/// Stops all engines made with it; cheap to clone, clones share it.
#[derive(Clone, Default)]
pub struct Terminator {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// Why it was stopped.
    reason: Option<(Kind, String)>,
    /// What runs; an engine that is gone leaves a dead entry until the next one comes.
    running: Vec<Weak<dyn Interrupt>>,
}

impl Terminator {
    /// Stops what runs and what will be made; engines then fail with this kind and message. The first reason stays.
    pub fn stop(&self, kind: Kind, why: impl Into<String>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.reason.get_or_insert_with(|| (kind, why.into()));
        for running in state.running.iter().filter_map(Weak::upgrade) {
            running.interrupt();
        }
    }

    /// The error to fail with, if it was stopped.
    pub fn reason(&self) -> Option<Error> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.reason.as_ref().map(|(kind, why)| Error::new(*kind, why.clone()))
    }

    /// Adds what shall be interrupted; at once, if it is stopped already.
    pub fn register(&self, running: &Arc<impl Interrupt + 'static>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.reason.is_some() {
            running.interrupt();
        }
        state.running.retain(|known| known.strong_count() > 0);
        let running: Arc<dyn Interrupt> = running.clone();
        state.running.push(Arc::downgrade(&running));
    }
}

impl fmt::Debug for Terminator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Terminator").field("reason", &self.reason()).finish_non_exhaustive()
    }
}
