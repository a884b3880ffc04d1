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
use crate::config::{BatchConfig, Names, OF_THE_RUN, Origin, Output, RunConfig, Template};
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

/// Options that are looked at otherwise than by what was said: the network by its content, as masks are beside their
/// names. A file made with other options of the run, threads among them, is no less done.
const LOOKED_AT: &[&str] = &["input", "output", "model", "model-config", "protocol"];

/// A batch with its files found.
pub struct Batch {
    asked: BatchConfig,
    /// The output folder from the root without links.
    place: PathBuf,
    /// Names of reports, traces and lists of what was found.
    report: Option<Template>,
    trace: Option<Template>,
    detections: Option<Template>,
    /// Which input each output, below the folder, belongs to.
    claims: HashMap<PathBuf, PathBuf>,
    /// Where inputs are, none of which may be written.
    sources: HashSet<PathBuf>,
    tasks: Vec<Task>,
    n_others: usize,
    n_own: usize,
    /// Folders that cannot be listed, and why.
    unread: Vec<(PathBuf, Error)>,
    /// Inputs that lie outside what was named, where links lead.
    outside: Vec<PathBuf>,
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
        if asked.run.master.take().is_some() && asked.run.origin("master") == Origin::CommandLine {
            let message = "--master names one file, and batch has many outputs; use --encoder ffv1 for lossless ones";
            return Err(Error::new(Kind::Usage, message));
        }
        let (report, trace, detections) =
            (asked.run.report.take(), asked.run.trace.take(), asked.run.detections.take());
        let report = template(&asked.run, "report", report)?;
        let trace = template(&asked.run, "trace", trace)?;
        let detections = template(&asked.run, "detections", detections)?;
        let folder = &asked.folder;
        check_folder(folder)?;
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
            detections,
            claims,
            sources: HashSet::new(),
            tasks: Vec::new(),
            n_others: 0,
            n_own: 0,
            unread: Vec::new(),
            outside: Vec::new(),
            known,
            _lock: lock,
        };
        let Found { inputs, n_others, n_own, unread } = batch.find()?;
        if inputs.is_empty() && !batch.asked.watch {
            if !was_there {
                // It stays if somebody has put something into it meanwhile.
                let _ = fs::remove_dir(&batch.place);
            }
            if let Some((_, error)) = unread.into_iter().next() {
                return Err(error);
            }
            let message = match n_others {
                0 => "no video in what was named; name files, or folders of videos".to_owned(),
                n => format!("no video in what was named, but {}; name a file itself to take it for one", others(n)),
            };
            return Err(Error::new(Kind::Usage, message));
        }
        (batch.n_others, batch.n_own, batch.unread) = (n_others, n_own, unread);
        let places: Vec<PathBuf> = batch.named().iter().filter_map(|path| path.canonicalize().ok()).collect();
        let is_outside = |input: &&Input| !places.iter().any(|place| input.place.starts_with(place));
        batch.outside = inputs.iter().filter(is_outside).map(|input| input.place.clone()).collect();
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
        grants.read.extend(self.named());
        grants.read.extend(self.outside.iter().cloned());
        match self.asked.run.dry_run {
            true => grants.read.push(self.place.clone()),
            false => grants.write.push(self.place.clone()),
        }
        grants
    }

    /// The files and folders that were named; of a glob, the folder that all it matches lies in.
    fn named(&self) -> Vec<PathBuf> {
        let place = |path: &Path| {
            let is_glob = fs::symlink_metadata(path).is_err() && glob::is_glob(path);
            if is_glob { glob::base(path) } else { path.to_owned() }
        };
        self.asked.inputs.iter().map(|raw| place(Path::new(raw))).collect()
    }

    /// Works through the files; the exit status.
    pub fn run(mut self) -> Result<u8> {
        let network = measure::open_network(&self.asked.run)?;
        let settings = settings(&self.asked.run, &network)?;
        let tasks = std::mem::take(&mut self.tasks);
        // Who watches looks again, and tells then.
        let unread = if self.asked.watch { Vec::new() } else { std::mem::take(&mut self.unread) };
        unread.iter().for_each(|(folder, error)| self.refuse(folder, error));
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
        let detections = fill(&self.detections)?;
        if !matches!(Output::parse(self.asked.folder.join(&output).as_os_str())?, Output::File(_) | Output::Y4m(_)) {
            let message = format!("a batch writes a file each, and {} is none; see --name", output.display());
            return Err(Error::new(Kind::Usage, message));
        }
        for written in [Some(&output), report.as_ref(), trace.as_ref(), detections.as_ref()].into_iter().flatten() {
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
        Ok(Task { input: input.clone(), output, report, trace, detections })
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

/// Refuses a name that no folder can have, or that is a file's.
fn check_folder(folder: &Path) -> Result<()> {
    let why = match fs::metadata(folder) {
        Ok(there) if !there.is_dir() => "is a file, and a batch writes into a folder",
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => "lies below a file, expected folders",
        Err(error) if error.kind() == io::ErrorKind::InvalidFilename => "is too long a name",
        _ => return Ok(()),
    };
    Err(Error::new(Kind::Usage, format!("-o {} {why}; choose another one", folder.display())))
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

/// What reports, traces or lists of what was found are called. What was not said here but for all runs may name one file,
/// which is not meant for many.
fn template(run: &RunConfig, name: &str, path: Option<PathBuf>) -> Result<Option<Template>> {
    let is_meant = |path: &PathBuf| run.origin(name) == Origin::CommandLine || Template::has_place(path.as_os_str());
    let path = path.filter(is_meant);
    path.map(|path| Template::parse(path.as_os_str())).transpose().context(|| format!("--{name}"))
}

/// Hash of what decides the outputs beside the inputs.
fn settings(config: &RunConfig, network: &Network) -> Result<String> {
    let said: Vec<_> = config
        .in_order()
        .filter(|(name, _)| !LOOKED_AT.contains(name) && !OF_THE_RUN.contains(name))
        .map(|(name, said)| (name, said.text.as_str()))
        .collect();
    let mut decided = format!("{:032x} {:?} {said:?}", network.hash, network.facts);
    for mask in config.masks() {
        let bytes = fs::read(mask).map_err(|error| Error::open(mask.display(), error)).context(|| "--roi")?;
        decided += &format!(" {:032x}", xxh3_128(&bytes));
    }
    Ok(format!("{:032x}", xxh3_128(decided.as_bytes())))
}

fn others(n: usize) -> String {
    if n == 1 {
        "passed over 1 file that is no video".to_owned()
    } else {
        format!("passed over {n} files that are no videos")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_that_was_edited_is_another_setting() {
        let folder = tempfile::tempdir().unwrap();
        let mask = folder.path().join("m.png");
        let mut config = RunConfig { model: "identity".into(), ..RunConfig::default() };
        let network = measure::open_network(&config).unwrap();
        config.set("roi", &[mask.clone().into()], &Origin::CommandLine).unwrap();
        let with = |picture: &str| {
            fs::write(&mask, picture).unwrap();
            settings(&config, &network).unwrap()
        };
        assert_ne!(with("one"), with("two"));
        assert_eq!(with("one"), with("one"));
        fs::remove_file(&mask).unwrap();
        assert!(settings(&config, &network).unwrap_err().to_string().starts_with("--roi: open "));
    }
}
