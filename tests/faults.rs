//! Every durable act of a run in segments fails once, is the last one before the process dies, or the last one before
//! the power goes; the next run gives the bytes of one that was never disturbed.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use vproc::command::{prepare, segment};
use vproc::config::{Origin, RunConfig};
use vproc::error::Result;
use vproc::segment::resumed::Resumed;
use vproc::sink::disk::{Disk, System};
use vproc::source::Source;

use crate::program::{Dice, is_slow};

/// What happens at an act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// It fails with this number of the operating system's, and the process goes on.
    Fails(i32),
    /// It and all after it fail.
    FailsForEver(i32),
    /// The process dies before it: it is not done, and nothing after it.
    DiesBefore,
    /// The process dies after it.
    DiesAfter,
    /// The power goes after it: what no sync has brought to the disk may be lost.
    PowerGoes,
}

/// EIO, ENOSPC, EDQUOT, EMFILE, ENOMEM.
const ERRORS: [i32; 5] = [5, 28, 122, 24, 12];

/// What a disk may lose when the power goes.
#[derive(Debug)]
enum Loose {
    /// A file with content that was not synced.
    Content(PathBuf),
    /// A file made in a folder that was not synced.
    Made(PathBuf),
    /// A folder made in one that was not synced.
    Folder(PathBuf),
    /// A name given in a folder that was not synced, with what it had before.
    Name { from: PathBuf, to: PathBuf, before: Option<Vec<u8>> },
    /// A file removed from a folder that was not synced, with what it held.
    Removed(PathBuf, Vec<u8>),
}

impl Loose {
    /// What has to be synced to keep it, if it is a folder.
    fn folder(&self) -> Option<&Path> {
        match self {
            Loose::Content(_) => None,
            Loose::Made(path) | Loose::Folder(path) | Loose::Removed(path, _) => path.parent(),
            Loose::Name { to, .. } => to.parent(),
        }
    }
}

#[derive(Debug)]
struct State {
    n_acts: u64,
    at: u64,
    fault: Option<Fault>,
    is_dead: bool,
    loose: Vec<Loose>,
}

/// A disk on which act number `at`, from 1, goes wrong.
#[derive(Debug)]
struct Faulty(Mutex<State>);

impl Faulty {
    fn new(at: u64, fault: Option<Fault>) -> Arc<Faulty> {
        Arc::new(Faulty(Mutex::new(State { n_acts: 0, at, fault, is_dead: false, loose: Vec::new() })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    fn act<T>(&self, act: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        let error = |number| Err(io::Error::from_raw_os_error(number));
        let mut state = self.state();
        state.n_acts += 1;
        if state.is_dead {
            return error(5);
        }
        let is_at = state.n_acts == state.at;
        match state.fault {
            Some(Fault::FailsForEver(number)) if state.n_acts >= state.at => error(number),
            Some(Fault::Fails(number)) if is_at => error(number),
            Some(Fault::DiesBefore) if is_at => {
                state.is_dead = true;
                error(5)
            }
            Some(Fault::DiesAfter | Fault::PowerGoes) if is_at => {
                state.is_dead = true;
                act(&mut state)?;
                error(5)
            }
            _ => act(&mut state),
        }
    }

    /// Loses some of what was not synced, the newest first.
    fn lose(&self, dice: &mut Dice) {
        for loose in self.state().loose.drain(..).rev() {
            match loose {
                Loose::Content(path) => {
                    let Ok(mut bytes) = fs::read(&path) else { continue };
                    match dice.below(5) {
                        0 => continue,
                        1 => bytes.clear(),
                        2 => bytes.truncate(dice.below(bytes.len() as u64 / 512 + 1) as usize * 512),
                        // A sector in the middle never came.
                        3 if !bytes.is_empty() => {
                            let at = dice.below(bytes.len() as u64) as usize / 512 * 512;
                            let end = (at + 512).min(bytes.len());
                            bytes[at..end].fill(0);
                        }
                        _ => bytes.fill(0),
                    }
                    fs::write(&path, bytes).unwrap();
                }
                _ if dice.below(2) == 0 => {}
                Loose::Made(path) => drop(fs::remove_file(path)),
                Loose::Folder(path) => drop(fs::remove_dir_all(path)),
                Loose::Removed(path, bytes) => {
                    if !path.exists() && path.parent().is_some_and(Path::exists) {
                        fs::write(path, bytes).unwrap();
                    }
                }
                Loose::Name { from, to, before } => {
                    let Ok(bytes) = fs::read(&to) else { continue };
                    fs::write(&from, bytes).unwrap();
                    match before {
                        Some(before) => fs::write(&to, before).unwrap(),
                        None => fs::remove_file(&to).unwrap(),
                    }
                }
            }
        }
    }
}

fn path_of(file: &File) -> PathBuf {
    use std::os::fd::AsRawFd;
    fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).unwrap()
}

impl Disk for Faulty {
    fn make_folder(&self, path: &Path) -> io::Result<()> {
        self.act(|state| {
            if !path.exists() {
                state.loose.push(Loose::Folder(path.into()));
            }
            System.make_folder(path)
        })
    }

    fn open(&self, path: &Path) -> io::Result<File> {
        self.act(|state| {
            if !path.exists() {
                state.loose.push(Loose::Made(path.into()));
            }
            System.open(path)
        })
    }

    fn empty(&self, file: &File) -> io::Result<()> {
        self.act(|state| {
            state.loose.push(Loose::Content(path_of(file)));
            System.empty(file)
        })
    }

    fn write(&self, file: &File, bytes: &[u8]) -> io::Result<()> {
        self.act(|state| {
            state.loose.push(Loose::Content(path_of(file)));
            System.write(file, bytes)
        })
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        let path = path_of(file);
        self.act(|state| {
            state.loose.retain(|loose| !matches!(loose, Loose::Content(other) if *other == path));
            System.sync(file)
        })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.act(|state| {
            for loose in &mut state.loose {
                if let Loose::Content(path) | Loose::Made(path) = loose
                    && *path == from
                {
                    *path = to.to_owned();
                }
            }
            state.loose.push(Loose::Name { from: from.into(), to: to.into(), before: fs::read(to).ok() });
            System.rename(from, to)
        })
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        self.act(|state| {
            state.loose.retain(|loose| loose.folder() != Some(path));
            System.sync_folder(path)
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.act(|state| {
            if let Ok(bytes) = fs::read(path) {
                state.loose.push(Loose::Removed(path.into(), bytes));
            }
            System.remove(path)
        })
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        self.act(|_| System.remove_folder(path))
    }
}

fn config(output: &Path) -> RunConfig {
    let mut config = RunConfig::default();
    for (name, value) in [
        ("input", "pattern:64x64@25,frames=22"),
        ("output", output.to_str().unwrap()),
        ("model", "identity"),
        ("encoder", "libx264"),
        ("preset", "ultrafast"),
        ("threads", "1"),
        ("segment-frames", "8"),
    ] {
        config.set(name, &[value.into()], &Origin::CommandLine).unwrap();
    }
    config
}

/// A run without threads: frames go straight from the source into the sink.
fn go(output: &Path, disk: Arc<dyn Disk>) -> Result<()> {
    let config = config(output);
    prepare::check_output(&config)?;
    let (config, mut prepared) = segment::prepare(&config)?;
    prepare::rehearse(&config, &mut prepared)?;
    let (mut sink, past) = segment::begin_on(disk, &config, &mut prepared)?.expect("it is a run in segments");
    let mut source = Resumed::new(prepared.opened.source, past);
    while let Some(frame) = source.next_frame()? {
        sink.write(&frame)?;
    }
    sink.finish().map(drop)
}

/// Goes on until a run ends well, and checks what it gave.
fn recover(output: &Path, whole: &[u8], what: &str) {
    let folder = PathBuf::from(format!("{}.vproc", output.display()));
    if !output.exists() || folder.exists() {
        match go(output, Arc::new(System)) {
            // Nothing was left to be done but to remove the empty folder.
            Err(error) if error.to_string().contains("there already") => {}
            other => other.unwrap_or_else(|error| panic!("{what}: {error}")),
        }
    }
    assert!(fs::read(output).unwrap() == whole, "{what}: other bytes");
    assert!(!folder.exists(), "{what}: {} is left", folder.display());
    fs::remove_file(output).unwrap();
    let _ = fs::remove_file(format!("{}.part", output.display()));
}

/// A run on a disk that goes wrong says one line, or has done all that matters.
fn go_wrong(output: &Path, disk: Arc<Faulty>, whole: &[u8], what: &str) {
    match go(output, disk) {
        Err(error) => assert!(!error.to_string().contains('\n'), "{what}: {error}"),
        Ok(()) => assert!(fs::read(output).unwrap() == whole, "{what}: other bytes, and nothing said"),
    }
}

/// What is tried at an act.
#[derive(Clone, Copy, PartialEq)]
enum Trial {
    /// It fails, or the process dies there, once or again while it recovers.
    Process,
    /// The power goes.
    Power,
}

/// Tries every act of a run that makes `name`; without slow tests every fifth.
fn try_all(name: &str, trial: Trial) {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join(name);
    let counting = Faulty::new(0, None);
    go(&output, counting.clone()).unwrap();
    let whole = fs::read(&output).unwrap();
    fs::remove_file(&output).unwrap();
    let n_acts = counting.state().n_acts;
    assert!(n_acts > 60, "{n_acts} acts");
    let mut dice = Dice::new(5);
    let mut n_states = 0;
    for at in (1..=n_acts).step_by(if is_slow() { 1 } else { 5 }) {
        if trial == Trial::Power {
            for round in 0..if is_slow() { 34 } else { 2 } {
                let what = format!("{name}, act {at} of {n_acts}, power, round {round}");
                let disk = Faulty::new(at, Some(Fault::PowerGoes));
                go_wrong(&output, disk.clone(), &whole, &what);
                disk.lose(&mut dice);
                recover(&output, &whole, &what);
                n_states += 1;
            }
            continue;
        }
        let errors = if is_slow() { &ERRORS[..] } else { &[ERRORS[at as usize % ERRORS.len()]] };
        let failing = errors.iter().flat_map(|number| [Fault::Fails(*number), Fault::FailsForEver(*number)]);
        for fault in failing.chain([Fault::DiesBefore, Fault::DiesAfter]) {
            let what = format!("{name}, act {at} of {n_acts}, {fault:?}");
            go_wrong(&output, Faulty::new(at, Some(fault)), &whole, &what);
            recover(&output, &whole, &what);
            n_states += 1;
        }
        for _ in 0..if is_slow() { 5 } else { 1 } {
            let again = 1 + dice.below(n_acts);
            let what = format!("{name}, act {at} of {n_acts}, then {again}");
            go_wrong(&output, Faulty::new(at, Some(Fault::DiesAfter)), &whole, &what);
            go_wrong(&output, Faulty::new(again, Some(Fault::DiesBefore)), &whole, &what);
            recover(&output, &whole, &what);
            n_states += 1;
        }
    }
    println!("{name}: {n_acts} acts, {n_states} states, none bad");
}

#[test]
fn every_act_may_fail_or_be_the_last_of_a_matroska() {
    try_all("out.mkv", Trial::Process);
}

#[test]
fn every_act_may_fail_or_be_the_last_of_an_mp4() {
    try_all("out.mp4", Trial::Process);
}

#[test]
fn after_every_act_of_a_matroska_the_power_may_go() {
    try_all("out.mkv", Trial::Power);
}

#[test]
fn after_every_act_of_an_mp4_the_power_may_go() {
    try_all("out.mp4", Trial::Power);
}
