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
    /// It fails, and the process goes on.
    Fails,
    /// The process dies before it: it is not done, and nothing after it.
    DiesBefore,
    /// The process dies after it.
    DiesAfter,
    /// The power goes after it: what no sync has brought to the disk may be lost.
    PowerGoes,
}

/// What a disk may lose when the power goes.
#[derive(Debug)]
enum Loose {
    /// A file with content that was not synced.
    Content(PathBuf),
    /// A name given in a folder that was not synced, with what it had before.
    Name { from: PathBuf, to: PathBuf, before: Option<Vec<u8>> },
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
        let error = || Err(io::Error::from_raw_os_error(5));
        let mut state = self.state();
        state.n_acts += 1;
        if state.is_dead {
            return error();
        }
        match state.fault.filter(|_| state.n_acts == state.at) {
            None => act(&mut state),
            Some(Fault::Fails) => error(),
            Some(Fault::DiesBefore) => {
                state.is_dead = true;
                error()
            }
            Some(Fault::DiesAfter | Fault::PowerGoes) => {
                state.is_dead = true;
                act(&mut state)?;
                error()
            }
        }
    }

    /// Loses some of what was not synced.
    fn lose(&self, dice: &mut Dice) {
        for loose in self.state().loose.drain(..).rev() {
            match loose {
                Loose::Content(path) => {
                    let Ok(mut bytes) = fs::read(&path) else { continue };
                    match dice.below(4) {
                        0 => continue,
                        1 => bytes.clear(),
                        2 => bytes.truncate(dice.below(bytes.len() as u64 / 512 + 1) as usize * 512),
                        _ => bytes.fill(0),
                    }
                    fs::write(&path, bytes).unwrap();
                }
                Loose::Name { from, to, before } if dice.below(2) == 0 => {
                    let Ok(bytes) = fs::read(&to) else { continue };
                    fs::write(&from, bytes).unwrap();
                    match before {
                        Some(before) => fs::write(&to, before).unwrap(),
                        None => fs::remove_file(&to).unwrap(),
                    }
                }
                Loose::Name { .. } => {}
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
        self.act(|_| System.make_folder(path))
    }

    fn open(&self, path: &Path) -> io::Result<File> {
        self.act(|_| System.open(path))
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
                if let Loose::Content(path) = loose
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
            let is_in = |loose: &Loose| matches!(loose, Loose::Name { to, .. } if to.parent() == Some(path));
            state.loose.retain(|loose| !is_in(loose));
            System.sync_folder(path)
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.act(|_| System.remove(path))
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

#[test]
fn every_act_may_fail_or_be_the_last() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["out.mkv", "out.mp4"] {
        let output = folder.path().join(name);
        let counting = Faulty::new(0, None);
        go(&output, counting.clone()).unwrap();
        let whole = fs::read(&output).unwrap();
        fs::remove_file(&output).unwrap();
        let n_acts = counting.state().n_acts;
        assert!(n_acts > 40, "{n_acts} acts");
        let mut dice = Dice::new(5);
        let mut n_states = 0;
        for at in 1..=n_acts {
            for fault in [Fault::Fails, Fault::DiesBefore, Fault::DiesAfter] {
                let what = format!("{name}, act {at} of {n_acts}, {fault:?}");
                let _ = go(&output, Faulty::new(at, Some(fault)));
                recover(&output, &whole, &what);
                n_states += 1;
            }
            for round in 0..if is_slow() { 40 } else { 2 } {
                let what = format!("{name}, act {at} of {n_acts}, power, round {round}");
                let disk = Faulty::new(at, Some(Fault::PowerGoes));
                let _ = go(&output, disk.clone());
                disk.lose(&mut dice);
                recover(&output, &whole, &what);
                n_states += 1;
            }
            for _ in 0..if is_slow() { 5 } else { 1 } {
                let again = 1 + dice.below(n_acts);
                let what = format!("{name}, act {at} of {n_acts}, then {again}");
                let _ = go(&output, Faulty::new(at, Some(Fault::DiesAfter)));
                let _ = go(&output, Faulty::new(again, Some(Fault::DiesBefore)));
                recover(&output, &whole, &what);
                n_states += 1;
            }
        }
        println!("{name}: {n_acts} acts, {n_states} states");
    }
}
