//! One file of a batch: what is to be done with it, and with what options.

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::path::PathBuf;

use super::Batch;
use super::find::Input;
use crate::config::{Origin, Overwrite, RunConfig};
use crate::error::Result;
use crate::measure;
use crate::report::batch::{Entry, Identity, List, Status, text_of};

/// An input with where its output goes, below the output folder.
#[derive(Debug)]
pub struct Task {
    pub input: Input,
    pub output: PathBuf,
    pub report: Option<PathBuf>,
    pub trace: Option<PathBuf>,
    pub detections: Option<PathBuf>,
}

impl Task {
    /// What people know it by, on one line.
    pub fn name(&self) -> String {
        self.input.path.to_string_lossy().replace(char::is_control, " ")
    }

    /// The name that its entry in the list has.
    pub fn key(&self) -> String {
        text_of(self.output.as_os_str())
    }

    /// An entry for the list, as the file is before anything is done.
    pub fn entry(&self, settings: &str) -> Entry {
        Entry {
            output: self.key(),
            input: text_of(self.input.place.as_os_str()),
            input_file: Identity::of(&self.input.path),
            settings: settings.to_owned(),
            ..Entry::default()
        }
    }
}

/// What is to be done with a file.
#[derive(Debug)]
pub enum Verdict {
    /// Nothing: an earlier call did it, or found that it cannot be done.
    Before(Box<Entry>),
    /// Nothing: the person wants what is there to stay.
    Keep,
    /// Nothing: what is there may be somebody's; why.
    Refuse(String),
    /// To be done.
    Run {
        /// What is there now, if anything, is of this batch and may be replaced.
        is_own: bool,
    },
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verdict::Before(entry) => write!(f, "{} before", entry.status),
            Verdict::Keep => f.write_str("skipped, the output is there already"),
            Verdict::Refuse(why) => write!(f, "refused, {why}"),
            Verdict::Run { .. } => f.write_str("to do"),
        }
    }
}

impl Batch {
    /// What is to be done with a file, by the list and by what is there.
    pub(super) fn judge(&self, task: &Task, settings: &str, list: &List) -> Verdict {
        let entry = task.entry(settings);
        let path = self.output(task);
        let known = list.get(&entry.output);
        if let Some(known) = known
            && known.input_file.is_some()
            && (known.input_file, known.settings.as_str()) == (entry.input_file, settings)
        {
            // Who asks for what was found is not served by the output alone.
            let is_told = |list: &PathBuf| self.asked.folder.join(list).exists();
            let is_there = known.output_file.is_some()
                && Identity::of(&path) == known.output_file
                && task.detections.as_ref().is_none_or(is_told);
            let is_over = match known.status {
                Status::Done | Status::Damaged => is_there,
                // An input that cannot be used is not worth another try, unless a person thinks so.
                Status::Failed => known.exit_status == 4 && self.asked.run.overwrite != Overwrite::Yes,
                Status::Skipped | Status::Unfinished => false,
            };
            if is_over {
                return Verdict::Before(Box::new(known.clone()));
            }
        }
        let is_own = known.is_some_and(|known| known.output_file.is_some() || known.status == Status::Unfinished);
        if fs::symlink_metadata(&path).is_err() {
            return Verdict::Run { is_own };
        }
        let is_others = known.is_some_and(|known| known.input != entry.input && known.input_file != entry.input_file);
        match (self.asked.run.overwrite, known) {
            (Overwrite::Never, _) => Verdict::Keep,
            (Overwrite::Refuse, Some(known)) if is_own && is_others => {
                Verdict::Refuse(format!("{} is made from {}; -y replaces it", path.display(), known.input))
            }
            (Overwrite::Refuse, _) if !is_own => {
                Verdict::Refuse(format!("{} is there already and not of this batch; -y replaces it", path.display()))
            }
            _ => Verdict::Run { is_own },
        }
    }

    /// The options of a run over one file, with its share of the machine.
    pub(super) fn config(&self, task: &Task) -> Result<RunConfig> {
        let mut config = self.asked.run.clone();
        let said = Origin::CommandLine;
        config.set("input", &[task.input.path.clone().into()], &said)?;
        config.set("output", &[self.output(task).into()], &said)?;
        let below = |path: &Option<PathBuf>| path.as_ref().map(|path| self.asked.folder.join(path));
        (config.report, config.trace) = (below(&task.report), below(&task.trace));
        config.detections = below(&task.detections);
        let jobs = self.asked.jobs;
        if jobs > 1 {
            let threads = config.threads.unwrap_or_else(|| measure::hardware().cores);
            let share = |n: usize| [OsString::from((n / jobs).max(1).to_string())];
            config.set("threads", &share(threads), &said)?;
            if let Some(workers) = config.workers {
                config.set("workers", &share(workers), &said)?;
            }
            config.memory = config.memory.map(|memory| memory / jobs as u64);
        }
        config.check()?;
        Ok(config)
    }
}
