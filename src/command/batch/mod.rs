//! `vproc batch`: the main job over many files, as often as it takes.
//!
//! [`Batch::open`] finds the files and refuses what cannot be, before the program gives up its rights; [`Batch::run`]
//! then works through them. What is done stands in `batch.json` in the output folder, so that a second call does only
//! what is left, and what has changed. A file that fails stops no other.

mod find;
mod glob;
mod task;
mod watch;
mod work;

use std::collections::hash_map::Entry as Slot;
use std::collections::{HashMap, HashSet};
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use xxhash_rust::xxh3::xxh3_128;

use super::run_grants;
use crate::config::{BatchConfig, Names, OF_THE_RUN, Output, RunConfig, Template};
use crate::error::{Context, Error, Kind, Result};
use crate::measure;
use crate::model::Network;
use crate::pipeline::progress;
use crate::report::batch::{List, NAME, Tally};
use crate::sandbox::Grants;
use find::{Found, Input, Own, find};
use task::Task;

/// Some of the files failed, or their sources were damaged.
const STATUS_SOME: u8 = 3;

/// Options that are looked at otherwise than by what was said: the network by its content. A file made with other options
/// of the run, threads among them, is no less done.
const LOOKED_AT: &[&str] = &["input", "output", "model", "model-config", "protocol"];

/// A batch with its files found.
pub struct Batch {
    asked: BatchConfig,
    /// The output folder from the root without links.
    place: PathBuf,
    /// Names of reports and traces.
    report: Option<Template>,
    trace: Option<Template>,
    /// Which input each output, below the folder, belongs to.
    claims: HashMap<PathBuf, PathBuf>,
    /// Where inputs are, none of which may be written.
    sources: HashSet<PathBuf>,
    tasks: Vec<Task>,
    n_others: usize,
    n_own: usize,
    /// The links among the inputs lead here.
    links: Vec<PathBuf>,
    known: Mutex<Known>,
    /// Locked, so that no second batch works in the folder.
    _lock: Option<File>,
}

/// What is known of the files so far; shared by those that work.
struct Known {
    list: List,
    tally: Tally,
}

impl Batch {
    /// Finds the files, makes the output folder if need be, and keeps other batches out of it.
    pub fn open(mut asked: BatchConfig) -> Result<Batch> {
        if asked.watch && asked.name.counts() {
            let message = "--watch cannot count files that come in no order; name them with {stem} instead of {n}";
            return Err(Error::new(Kind::Usage, message));
        }
        if asked.run.master.is_some() {
            let message = "--master names one file, and batch has many outputs; use --encoder ffv1 for lossless ones";
            return Err(Error::new(Kind::Usage, message));
        }
        let template = |path: Option<PathBuf>, name: &str| {
            path.map(|path| Template::parse(path.as_os_str())).transpose().context(|| name.to_owned())
        };
        let report = template(asked.run.report.take(), "--report")?;
        let trace = template(asked.run.trace.take(), "--trace")?;
        let folder = &asked.folder;
        let was_there = folder.exists();
        let lock = if asked.run.dry_run { None } else { Some(take_folder(folder)?) };
        let place = folder.canonicalize().or_else(|_| std::path::absolute(folder));
        let place = place.map_err(|error| Error::io(format!("find {}", folder.display()), error))?;
        let known = Mutex::new(Known { list: List::read(folder)?, tally: Tally::default() });
        let claims = HashMap::from([(PathBuf::from(NAME), PathBuf::from("the list of the batch"))]);
        let mut batch = Batch {
            asked,
            place,
            report,
            trace,
            claims,
            sources: HashSet::new(),
            tasks: Vec::new(),
            n_others: 0,
            n_own: 0,
            links: Vec::new(),
            known,
            _lock: lock,
        };
        let Found { inputs, n_others, n_own } = batch.find()?;
        if inputs.is_empty() && !batch.asked.watch {
            if !was_there {
                // It stays if somebody has put something into it meanwhile.
                let _ = fs::remove_dir(&batch.place);
            }
            let message = match n_others {
                0 => "no video in what was named; name files, or folders of videos".to_owned(),
                n => format!("no video in what was named, but {}; name a file itself to take it for one", others(n)),
            };
            return Err(Error::new(Kind::Usage, message));
        }
        (batch.n_others, batch.n_own) = (n_others, n_own);
        batch.links = inputs.iter().filter(|input| input.path.is_symlink()).map(|input| input.place.clone()).collect();
        batch.guard(&inputs);
        batch.tasks = inputs.iter().zip(1..).map(|(input, number)| batch.task(input, number)).collect::<Result<_>>()?;
        // What is wrong with the options is wrong with every file.
        if let Some(first) = batch.tasks.first() {
            batch.config(first)?;
        }
        Ok(batch)
    }

    /// What the batch touches.
    pub fn grants(&self) -> Grants {
        let mut grants = run_grants(&RunConfig { output: Output::Null, ..self.asked.run.clone() });
        for raw in &self.asked.inputs {
            let path = Path::new(raw);
            let is_glob = fs::symlink_metadata(path).is_err() && glob::is_glob(path);
            grants.read.push(if is_glob { glob::base(path) } else { path.to_owned() });
        }
        grants.read.extend(self.links.iter().cloned());
        match self.asked.run.dry_run {
            true => grants.read.push(self.place.clone()),
            false => grants.write.push(self.place.clone()),
        }
        grants
    }

    /// Works through the files; the exit status.
    pub fn run(mut self) -> Result<u8> {
        let network = measure::open_network(&self.asked.run)?;
        let settings = settings(&self.asked.run, &network);
        let tasks = std::mem::take(&mut self.tasks);
        if self.asked.run.dry_run {
            return self.tell(&tasks, &settings);
        }
        if self.n_others > 0 {
            self.say(&others(self.n_others));
        }
        if self.n_own > 0 {
            self.say(&format!("passed over {} outputs of this batch", self.n_own));
        }
        let is_over = if self.asked.watch {
            drop(tasks);
            // Stopping it while it waits is how it ends.
            self.watch(&settings)?
        } else {
            self.work(tasks, &settings)?
        };
        let known = self.known();
        self.say(known.tally.table().trim_end());
        if !is_over {
            return Err(Error::new(Kind::Interrupted, "stopped; the same command goes on from here"));
        }
        Ok(if known.tally.is_clean() { 0 } else { STATUS_SOME })
    }

    /// What would be done with each file.
    fn tell(&self, tasks: &[Task], settings: &str) -> Result<u8> {
        let mut text = String::new();
        for task in tasks {
            let verdict = self.judge(task, settings, &self.known().list);
            text += &format!("{} -> {}: {verdict}\n", task.input.path.display(), self.output(task).display());
        }
        super::print(text.as_bytes())?;
        Ok(0)
    }

    fn find(&self) -> Result<Found> {
        let known = self.known();
        find(&self.asked.inputs, self.asked.recursive, &Own { place: &self.place, list: &known.list })
    }

    /// Keeps these from being written.
    fn guard(&mut self, inputs: &[Input]) {
        self.sources.extend(inputs.iter().map(|input| input.place.clone()));
    }

    /// What is to be done with an input, the so-many-th from 1; refused if its output is another's.
    fn task(&mut self, input: &Input, number: usize) -> Result<Task> {
        let names = Names { input: &input.path, folder: &input.folder, number };
        let fill = |template: &Option<Template>| template.as_ref().map(|template| template.fill(names)).transpose();
        let (output, report, trace) = (self.asked.name.fill(names)?, fill(&self.report)?, fill(&self.trace)?);
        if !matches!(Output::parse(self.asked.folder.join(&output).as_os_str())?, Output::File(_) | Output::Y4m(_)) {
            let message = format!("a batch writes a file each, and {} is none; see --name", output.display());
            return Err(Error::new(Kind::Usage, message));
        }
        for written in [Some(&output), report.as_ref(), trace.as_ref()].into_iter().flatten() {
            if self.sources.contains(&self.place.join(written)) {
                let message = format!(
                    "{}: its output would replace the input {}; choose another folder, or a --name such as {{stem}}_new.mkv",
                    input.path.display(),
                    self.asked.folder.join(written).display()
                );
                return Err(Error::new(Kind::Usage, message));
            }
            match self.claims.entry(written.clone()) {
                Slot::Occupied(claim) if *claim.get() != input.place => {
                    let message = format!(
                        "{} and {} would both become {}; name them apart, such as --name '{{dir}}/{{stem}}.{{ext}}'",
                        claim.get().display(),
                        input.path.display(),
                        self.asked.folder.join(written).display()
                    );
                    return Err(Error::new(Kind::Usage, message));
                }
                Slot::Occupied(_) => {}
                Slot::Vacant(free) => {
                    free.insert(input.place.clone());
                }
            }
        }
        Ok(Task { input: input.clone(), output, report, trace })
    }

    fn output(&self, task: &Task) -> PathBuf {
        self.asked.folder.join(&task.output)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says a line or more to a person, above the progress.
    fn say(&self, text: &str) {
        if !self.asked.run.quiet {
            let _stderr = io::stderr().lock();
            progress::clear();
            eprintln!("{text}");
        }
    }
}

/// Makes the folder and locks it.
fn take_folder(folder: &Path) -> Result<File> {
    let failed = |error| Error::io(format!("make the output folder {}", folder.display()), error);
    fs::create_dir_all(folder).map_err(failed)?;
    let opened = File::open(folder).map_err(failed)?;
    match opened.try_lock() {
        Err(TryLockError::WouldBlock) => {
            let message =
                format!("another batch is at work in {}; wait for it or choose another folder", folder.display());
            Err(Error::new(Kind::Io, message))
        }
        // A file system without locks: each output has a guard of its own.
        _ => Ok(opened),
    }
}

/// Hash of what decides the outputs beside the inputs.
fn settings(config: &RunConfig, network: &Network) -> String {
    let said: Vec<_> = config
        .in_order()
        .filter(|(name, _)| !LOOKED_AT.contains(name) && !OF_THE_RUN.contains(name))
        .map(|(name, said)| (name, said.text.as_str()))
        .collect();
    format!("{:032x}", xxh3_128(format!("{:032x} {:?} {said:?}", network.hash, network.facts).as_bytes()))
}

fn others(n: usize) -> String {
    if n == 1 {
        "passed over 1 file that is no video".to_owned()
    } else {
        format!("passed over {n} files that are no videos")
    }
}
