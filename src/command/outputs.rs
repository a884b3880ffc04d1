//! Where a run may write: never over what it reads, and over nothing else that is there without leave.

use std::collections::HashMap;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::{folder_of, segment};
use crate::config::{BenchConfig, Origin, Output, Overwrite, RunConfig};
use crate::error::{Error, Kind, Result};
use crate::pipe;
use crate::sequence::Sequence;
use crate::sink::part::part_of;

/// Endings of files that tell of a run or of a measurement: nothing of another name is replaced by one of them.
const OF_ACCOUNTS: &[&str] = &["json", "jsonl", "html", "svg"];

/// What is found, for people.
const DETECTIONS: &str = "list of detections";

/// How they begin, whatever they are called.
const BEGINNINGS: [u8; 2] = *b"{<";

/// Device and inode: a file by whatever name.
type Identity = (u64, u64);

/// Files that are read, each with what it is for people.
type Inputs = HashMap<Identity, &'static str>;

/// A file to be written, if it was asked for, and what it is for people.
type Named<'a> = (Option<&'a Path>, &'static str);

fn identity(path: &Path) -> Option<Identity> {
    std::fs::metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

/// The files that a run reads; of a picture sequence, all.
fn inputs(config: &RunConfig) -> Inputs {
    let input = Path::new(&config.input);
    let of_configuration = config.said.values().filter_map(|said| match &said.origin {
        Origin::File(path) => Some((identity(path)?, "configuration")),
        _ => None,
    });
    let mut found: Inputs = of_configuration.collect();
    let files = [Some(input), config.model_file(), config.model_config.as_deref()];
    let named = files.into_iter().flatten().chain(config.masks()).filter_map(identity);
    found.extend(named.map(|identity| (identity, "input")));
    if let Ok(sequence) = Sequence::parse(input)
        && let Ok(numbers) = sequence.numbers()
    {
        let pictures = numbers.into_iter().filter_map(|number| identity(&sequence.path(number)));
        found.extend(pictures.map(|identity| (identity, "input")));
    }
    found
}

fn usage(path: &Path, message: &str) -> Error {
    Error::new(Kind::Usage, format!("{}: {message}", path.display()))
}

/// Refuses a file to be written, called `what`, that is one to be read, by whatever name.
fn check_not_input(inputs: &Inputs, path: &Path, what: &str) -> Result<()> {
    match identity(path).and_then(|written| inputs.get(&written)) {
        Some(read) => Err(usage(path, &format!("the {what} is the {read} itself; choose another name"))),
        None => Ok(()),
    }
}

/// Refuses a name that has no room for what stands behind it until the file is complete.
fn check_length(path: &Path, behind: &str) -> Result<()> {
    let mut longer = path.as_os_str().to_owned();
    longer.push(behind);
    match std::fs::symlink_metadata(&longer) {
        Err(error) if error.kind() == ErrorKind::InvalidFilename => {
            let n = behind.len();
            let message = format!("the name is too long, it needs {n} bytes more for '{behind}'; choose a shorter one");
            Err(usage(path, &message))
        }
        _ => Ok(()),
    }
}

/// Refuses what tells of a run, called `what`, in the place of a file that is read, or of one that tells of nothing.
fn check_account(inputs: &Inputs, path: &Path, what: &str) -> Result<()> {
    check_not_input(inputs, path, what)?;
    check_length(path, ".part")?;
    let is_account = || {
        let mut first = [0];
        path.extension().is_some_and(|extension| OF_ACCOUNTS.iter().any(|other| extension.eq_ignore_ascii_case(other)))
            || File::open(path).and_then(|mut file| file.read_exact(&mut first)).is_ok()
                && BEGINNINGS.contains(&first[0])
    };
    match std::fs::metadata(path) {
        Ok(there) if there.is_dir() => Err(usage(path, &format!("the {what} is a folder; add a file name"))),
        Ok(there) if there.is_file() && there.len() > 0 && !is_account() && !pipe::is_stream(path) => {
            let ending = if what == DETECTIONS { "jsonl" } else { "json" };
            let message = format!("the {what} would replace a file that is none; choose a name that ends in .{ending}");
            Err(usage(path, &message))
        }
        _ => Ok(()),
    }
}

/// Refuses two of these files, called so, in one, and one that tells of a run where no folder is.
fn check_apart(files: &[Named]) -> Result<()> {
    let place = |path: &Path| {
        std::fs::canonicalize(path)
            .or_else(|_| Ok(std::fs::canonicalize(folder_of(path))?.join(path.file_name().unwrap_or_default())))
    };
    let mut places: Vec<(PathBuf, &str)> = Vec::new();
    let named = files.iter().filter_map(|(path, what)| Some(((*path)?, *what)));
    for (path, what) in named.filter(|(path, _)| !pipe::is_stream(path)) {
        let place: std::io::Result<PathBuf> = place(path);
        let Ok(place) = place else {
            // The folders of the others are looked at with all else about them.
            if !matches!(what, "output" | "master") {
                return Err(usage(path, &format!("the folder of the {what} is not there; make it first")));
            }
            continue;
        };
        if let Some((_, other)) = places.iter().find(|(there, _)| *there == place) {
            return Err(usage(path, &format!("the {what} is the {other} itself; choose another name")));
        }
        let is_in_its_way = |there: &PathBuf| place == part_of(there) || *there == part_of(&place);
        if let Some((_, other)) = places.iter().find(|(there, _)| is_in_its_way(there)) {
            let message = format!("the {what} and the {other} would be in each other's way until both are complete");
            return Err(usage(path, &format!("{message}; choose another name")));
        }
        places.push((place, what));
    }
    Ok(())
}

/// Refuses what tells of a run in the midst of the frames on standard output.
fn check_stdout(config: &RunConfig, accounts: &[Named]) -> Result<()> {
    if !matches!(config.output, Output::Stdout | Output::Md5(None)) {
        return Ok(());
    }
    let stdout = rustix::fs::fstat(std::io::stdout()).map(|facts| (facts.st_dev, facts.st_ino)).ok();
    let is_device = |path: &Path| std::fs::metadata(path).is_ok_and(|facts| facts.file_type().is_char_device());
    let named = accounts.iter().filter_map(|(path, what)| Some(((*path)?, what)));
    for (path, what) in named.filter(|(path, _)| !is_device(path)) {
        if identity(path).is_some_and(|there| Some(there) == stdout) {
            return Err(usage(path, &format!("the {what} would lie among the frames; choose another place")));
        }
    }
    Ok(())
}

/// Refuses numbered pictures of which one is to be read too, and such as are there without leave.
fn check_sequence(config: &RunConfig, inputs: &Inputs, pattern: &Path) -> Result<()> {
    let sequence = Sequence::parse(pattern)?;
    let there = if sequence.folder().is_dir() { sequence.numbers()? } else { Vec::new() };
    for number in &there {
        check_not_input(inputs, &sequence.path(*number), "output")?;
    }
    match there.split_first() {
        Some((first, others)) if config.overwrite != Overwrite::Yes => {
            let others = if others.is_empty() { String::new() } else { format!(" and {} more", others.len()) };
            let message = format!("this picture{others} of the output are there already; -y replaces them one by one");
            Err(usage(&sequence.path(*first), &message))
        }
        _ => Ok(()),
    }
}

/// Checks those of these files that were asked for.
fn check_accounts(inputs: &Inputs, files: &[Named]) -> Result<()> {
    for (path, what) in files {
        if let Some(path) = path {
            check_account(inputs, path, what)?;
        }
    }
    Ok(())
}

/// What a measurement would write is refused before it begins where it cannot be.
pub fn check_bench(config: &BenchConfig) -> Result<()> {
    let files = [(config.json.as_deref(), "result"), (config.plot.as_deref(), "chart")];
    check_accounts(&inputs(&config.run), &files)?;
    check_apart(&files)
}

/// An output that exists, is the input, or has no folder is refused before any work is done.
pub fn check(config: &RunConfig) -> Result<()> {
    let inputs = inputs(config);
    let accounts = [
        (config.report.as_deref(), "report"),
        (config.trace.as_deref(), "trace"),
        (config.detections.as_deref(), DETECTIONS),
    ];
    check_accounts(&inputs, &accounts)?;
    check_stdout(config, &accounts)?;
    let videos = [(config.output.path(), "output"), (config.master.as_deref(), "master")];
    check_apart(&[&videos[..], &accounts].concat())?;
    let Some(path) = config.output.path() else { return Ok(()) };
    check_not_input(&inputs, path, "output")?;
    if path.is_dir() {
        return Err(usage(path, "the output is a folder; add a file name"));
    }
    if matches!(config.output, Output::Images(_)) {
        return check_sequence(config, &inputs, path);
    }
    let has_segments = matches!(config.output, Output::File(_)) && config.segment_frames.is_some();
    check_length(path, if has_segments { ".vproc" } else { ".part" })?;
    let folder = folder_of(path);
    if !folder.is_dir() {
        return Err(usage(path, &format!("the folder {} is not there; make it first", folder.display())));
    }
    let is_stream = pipe::is_stream(path);
    if is_stream && matches!(config.output, Output::File(_)) {
        return Err(usage(path, "a container cannot be written to a pipe or a device; '-' and .y4m can"));
    }
    let is_regular = std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_file() || metadata.is_symlink());
    if is_regular && config.overwrite != Overwrite::Yes && !segment::is_complete(config) {
        return Err(usage(path, "the output is there already; -y replaces it once the new one is complete"));
    }
    Ok(())
}
