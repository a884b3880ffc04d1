//! Waiting for new files, which are taken once they have stopped growing.
//!
//! Folders are looked at again and again: watches of the system say nothing about network shares, and that a file has
//! its whole length nobody tells anyway.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use super::Batch;
use super::task::Verdict;
use crate::error::{Error, Result};
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
    /// When it, or the leave to read it, was last changed.
    changed: (i64, i64),
    /// It has not changed since.
    since: Instant,
    /// Nothing is to be done with it until it changes.
    is_over: bool,
}

impl Sight {
    /// Of a plain file, now; `None` for all else.
    fn of(path: &Path) -> Option<Sight> {
        let facts = fs::metadata(path).ok().filter(fs::Metadata::is_file)?;
        let changed = (facts.ctime(), facts.ctime_nsec());
        Some(Sight { identity: Identity::from(&facts), changed, since: Instant::now(), is_over: false })
    }
}

impl Batch {
    /// Works through what is there and what comes, until a signal does; whether it came between two files.
    pub(super) fn watch(&mut self, settings: &str) -> Result<bool> {
        self.say("watching; Ctrl-C ends it");
        let mut sights: HashMap<PathBuf, Sight> = HashMap::new();
        let mut troubles = BTreeSet::new();
        while interrupt::requested().is_none() {
            let (inputs, unread): (Vec<_>, Vec<Error>) = match self.find() {
                Ok(found) => (found.inputs, found.unread.into_iter().map(|(_, error)| error).collect()),
                Err(error) => (Vec::new(), vec![error]),
            };
            // A share that is away comes back; once is enough to hear of it.
            let now: BTreeSet<String> = unread.iter().map(Error::to_string).collect();
            now.difference(&troubles).for_each(|trouble| tracing::warn!("{trouble}"));
            troubles = now;
            self.guard(&inputs);
            let mut still = HashMap::new();
            let mut tasks = Vec::new();
            for input in inputs {
                let Some(seen) = Sight::of(&input.path) else { continue };
                let is_same = |sight: &Sight| (sight.identity, sight.changed) == (seen.identity, seen.changed);
                let before = sights.remove(&input.place).filter(is_same);
                let mut sight = before.unwrap_or(seen);
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
                            self.refuse(&input.place, &error);
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
