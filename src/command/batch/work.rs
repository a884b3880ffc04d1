//! Working through the files: some at once, each as it would run alone, and the list written as each begins and ends.
//!
//! Files are independent and take their time, so threads take them from a queue and keep no order; the chain of each
//! has its own threads. With several at once, the CPU times in a file's report are those of the whole process.

use std::collections::VecDeque;
use std::error::Error as _;
use std::fs;
use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use super::Batch;
use super::task::{Task, Verdict};
use crate::command::run::process;
use crate::config::Overwrite;
use crate::error::{Error, Kind, Result};
use crate::interrupt;
use crate::pipeline::board::Board;
use crate::pipeline::progress::{self, Part, Progress};
use crate::report::Report;
use crate::report::batch::{Entry, Identity, Status, text_of};

/// The line of a board that tells of all files.
const HEAD: usize = 0;

/// Files waiting, and what those that work share.
struct Shop<'a> {
    settings: &'a str,
    queue: Mutex<VecDeque<Task>>,
    n_files: usize,
    board: Arc<Board>,
}

impl Shop<'_> {
    fn queue(&self) -> MutexGuard<'_, VecDeque<Task>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Batch {
    /// Works through these files, until all have ended or a signal comes; whether all have.
    pub(super) fn work(&self, tasks: Vec<Task>, settings: &str) -> Result<bool> {
        let run = &self.asked.run;
        let jobs = self.asked.jobs.min(tasks.len());
        let board = Arc::new(Board::new(progress::is_rewritten(run.progress, run.quiet), jobs + 1));
        // With those that were told before: of what is over they are a part.
        let n_files = self.known().tally.len() + tasks.len();
        let shop = Shop { settings, n_files, queue: Mutex::new(tasks.into()), board };
        let result: Result<()> = thread::scope(|scope| {
            let mut threads = Vec::new();
            for line in 1..=jobs {
                let shop = &shop;
                let thread = thread::Builder::new().name(format!("file-{line}"));
                let started = thread.spawn_scoped(scope, move || self.serve(shop, line));
                threads.push(started.map_err(|error| Error::io("start a thread", error))?);
            }
            // All are joined, whatever the first says.
            let results: Vec<_> = threads.into_iter().map(thread::ScopedJoinHandle::join).collect();
            results.into_iter().try_for_each(|result| result.unwrap_or_else(|panic| panic::resume_unwind(panic)))
        });
        shop.board.take(HEAD);
        result?;
        let is_over = shop.queue().is_empty() && self.known().tally.count(Status::Unfinished) == 0;
        Ok(is_over)
    }

    /// A thread: one file after the other.
    fn serve(&self, shop: &Shop, line: usize) -> Result<()> {
        let mut ended = None;
        loop {
            let next = self.next(shop, ended.take());
            if next.is_err() {
                // What cannot be noted would be done in vain.
                shop.queue().clear();
            }
            let Some((task, is_own)) = next? else { return Ok(()) };
            ended = Some(self.attempt(shop, &task, is_own, line));
        }
    }

    /// The next file to be run, and whether what is in its place is of this batch; `ended` is the one before. The list
    /// is on the disk when this returns.
    fn next(&self, shop: &Shop, ended: Option<Entry>) -> Result<Option<(Task, bool)>> {
        let mut known = self.known();
        let mut is_changed = ended.is_some();
        if let Some(entry) = ended {
            known.list.put(entry.clone());
            known.tally.put(entry, false);
        }
        let next = loop {
            if interrupt::requested().is_some() {
                break None;
            }
            let Some(task) = shop.queue().pop_front() else { break None };
            let mut entry = task.entry(shop.settings);
            match self.judge(&task, shop.settings, &known.list) {
                Verdict::Before(before) => {
                    if let Some(error) = before.error.as_ref().filter(|_| before.status == Status::Failed) {
                        tracing::error!("{error} (an earlier call found it; -y tries again)");
                    }
                    known.tally.put(*before, true);
                }
                Verdict::Run { is_own } => {
                    known.list.put(entry);
                    is_changed = true;
                    break Some((task, is_own));
                }
                Verdict::Keep => {
                    entry.status = Status::Skipped;
                    entry.error = Some("the output is there already, and -n keeps it".to_owned());
                    known.tally.put(entry, false);
                }
                Verdict::Refuse(why) => {
                    let error = Error::new(Kind::Usage, why);
                    tracing::error!("{}: {error}", task.name());
                    entry.fail(&error);
                    // Only where nothing else is known of that output.
                    if known.list.get(&entry.output).is_none() {
                        known.list.put(entry.clone());
                        is_changed = true;
                    }
                    known.tally.put(entry, false);
                }
            }
        };
        let n_over = known.tally.len();
        let n_failed = known.tally.count(Status::Failed);
        let failed = if n_failed > 0 { format!(", {n_failed} failed") } else { String::new() };
        shop.board.put(HEAD, format!("{n_over}/{} files{failed}", shop.n_files));
        if is_changed {
            known.list.write()?;
        }
        Ok(next)
    }

    /// Tells of an input, or of a folder of inputs, that is nothing for this batch.
    pub(super) fn refuse(&self, place: &Path, error: &Error) {
        tracing::error!("{error}");
        let mut entry = Entry { input: text_of(place.as_os_str()), ..Entry::default() };
        entry.fail(error);
        self.known().tally.put(entry, false);
    }

    /// Runs a file; what came of it.
    fn attempt(&self, shop: &Shop, task: &Task, is_own: bool, line: usize) -> Entry {
        let name = task.name();
        let mut entry = task.entry(shop.settings);
        let result = {
            // Warnings say which file they are about.
            let _file = tracing::error_span!("file", message = %name).entered();
            let run = AssertUnwindSafe(|| self.run_one(shop, task, is_own, line));
            panic::catch_unwind(run).unwrap_or_else(|_| Err(Error::new(Kind::Internal, "internal error, told above")))
        };
        let made = Identity::of(&self.output(task));
        match result {
            Ok(report) => {
                entry.conclude(report);
                entry.output_file = made;
                self.say(&format!("{name}: {}, {}", entry.status, entry.outcome()));
            }
            Err(error) if error.kind() == Kind::Interrupted => {
                entry.error = Some(error.to_string());
            }
            Err(error) => {
                let is_named = error.to_string().contains(&*task.input.path.to_string_lossy());
                let error = if is_named { error } else { error.context(name) };
                tracing::error!("{error}");
                entry.fail(&error);
                if is_denied(&error) {
                    // Whoever gives leave to read it changes neither its size nor its time.
                    entry.input_file = None;
                }
                // What was there before is still there, and may be replaced by the next call.
                entry.output_file = made.filter(|_| is_own);
            }
        }
        entry
    }

    fn run_one(&self, shop: &Shop, task: &Task, is_own: bool, line: usize) -> Result<Report> {
        let mut config = self.config(task)?;
        if is_own {
            config.overwrite = Overwrite::Yes;
        }
        let others = [&config.report, &config.trace, &config.detections].map(Option::as_deref);
        for path in others.into_iter().chain([config.output.path()]).flatten() {
            if let Some(folder) = path.parent() {
                let failed = |error| Error::io(format!("make the folder {}", folder.display()), error);
                fs::create_dir_all(folder).map_err(failed)?;
            }
        }
        let part = Part { name: task.name(), board: Arc::clone(&shop.board), line };
        let progress = |n_frames| Progress::of_part(config.progress, config.quiet, n_frames, part);
        process(&config, progress)?.ok_or_else(|| Error::new(Kind::Internal, "a file of a batch was only planned"))
    }
}

/// Whether the system, or our own sandbox, gave no leave.
fn is_denied(error: &Error) -> bool {
    let cause = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    cause.is_some_and(|cause| cause.kind() == io::ErrorKind::PermissionDenied)
}
