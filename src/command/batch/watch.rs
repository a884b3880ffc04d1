//! Waiting for new files, which are taken once they have stopped growing.
//!
//! Folders are looked at again and again: watches of the system say nothing about network shares, and that a file has
//! its whole length nobody tells anyway.

use std::collections::HashMap;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use super::Batch;
use super::task::Verdict;
use crate::error::Result;
use crate::interrupt;
use crate::report::batch::Identity;

/// Between two looks.
const PERIOD: Duration = Duration::from_secs(1);

/// How long a file stays as it is before it is taken for whole.
const STILL: Duration = Duration::from_secs(5);

/// How often a signal is looked for.
const STEP: Duration = Duration::from_millis(50);

/// A file as it was seen.
struct Sight {
    identity: Identity,
    /// It has not changed since.
    since: Instant,
    /// Nothing is to be done with it until it changes.
    is_over: bool,
}

impl Batch {
    /// Works through what is there and what comes, until a signal does; whether it came between two files.
    pub(super) fn watch(&mut self, settings: &str) -> Result<bool> {
        self.say("watching; Ctrl-C ends it");
        let mut sights: HashMap<PathBuf, Sight> = HashMap::new();
        let mut trouble = String::new();
        while interrupt::requested().is_none() {
            let inputs = match self.find() {
                Ok(found) => found.inputs,
                Err(error) => {
                    // A share that is away comes back; once is enough to hear of it.
                    if trouble != error.to_string() {
                        trouble = error.to_string();
                        tracing::warn!("{trouble}");
                    }
                    Vec::new()
                }
            };
            self.guard(&inputs);
            let mut still = HashMap::new();
            let mut tasks = Vec::new();
            for input in inputs {
                let Some(identity) = Identity::of(&input.path) else { continue };
                let before = sights.remove(&input.place).filter(|sight| sight.identity == identity);
                let mut sight = before.unwrap_or(Sight { identity, since: Instant::now(), is_over: false });
                let place = input.place.clone();
                if !sight.is_over {
                    match self.task(&input, 0) {
                        Ok(task) => {
                            let verdict = self.judge(&task, settings, &self.known().list);
                            if sight.since.elapsed() >= STILL || matches!(verdict, Verdict::Before(_)) {
                                sight.is_over = true;
                                tasks.push(task);
                            }
                        }
                        Err(error) => {
                            sight.is_over = true;
                            self.refuse(&input, &error);
                        }
                    }
                }
                still.insert(place, sight);
            }
            sights = still;
            if !tasks.is_empty() && !self.work(tasks, settings)? {
                return Ok(false);
            }
            let begun = Instant::now();
            while begun.elapsed() < PERIOD && interrupt::requested().is_none() {
                thread::sleep(STEP);
            }
        }
        Ok(true)
    }
}
