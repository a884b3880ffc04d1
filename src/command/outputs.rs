//! Where a run may write: never over what it reads, and over nothing else that is there without leave.

use std::collections::HashSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::{folder_of, segment};
use crate::config::{Output, Overwrite, RunConfig};
use crate::error::{Error, Kind, Result};
use crate::sequence::Sequence;

/// Device and inode: a file by whatever name.
type Identity = (u64, u64);

fn identity(path: &Path) -> Option<Identity> {
    std::fs::metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

/// The files that a run reads; of a picture sequence, all.
fn inputs(config: &RunConfig) -> HashSet<Identity> {
    let input = Path::new(&config.input);
    let files = [Some(input), config.model_file(), config.model_config.as_deref()];
    let mut found: HashSet<Identity> = files.into_iter().flatten().chain(config.masks()).filter_map(identity).collect();
    if let Ok(sequence) = Sequence::parse(input)
        && let Ok(numbers) = sequence.numbers()
    {
        found.extend(numbers.into_iter().filter_map(|number| identity(&sequence.path(number))));
    }
    found
}

fn usage(path: &Path, message: &str) -> Error {
    Error::new(Kind::Usage, format!("{}: {message}", path.display()))
}

/// Refuses a file to be written, called `what`, that is one to be read, by whatever name.
fn check_not_input(inputs: &HashSet<Identity>, path: &Path, what: &str) -> Result<()> {
    match identity(path).is_some_and(|written| inputs.contains(&written)) {
        true => Err(usage(path, &format!("the {what} is the input itself; choose another name"))),
        false => Ok(()),
    }
}

/// Refuses two outputs in one file, and a report where no folder is.
fn check_apart(config: &RunConfig) -> Result<()> {
    let files = [
        (config.output.path(), "output"),
        (config.master.as_deref(), "master"),
        (config.report.as_deref(), "report"),
        (config.trace.as_deref(), "trace"),
    ];
    let place = |path: &Path| {
        std::fs::canonicalize(path)
            .or_else(|_| Ok(std::fs::canonicalize(folder_of(path))?.join(path.file_name().unwrap_or_default())))
    };
    let mut places: Vec<(PathBuf, &str)> = Vec::new();
    let is_file = |path: &Path| std::fs::metadata(path).map_or(true, |metadata| metadata.is_file());
    for (path, what) in files.into_iter().filter_map(|(path, what)| Some((path.filter(|path| is_file(path))?, what))) {
        let place: std::io::Result<PathBuf> = place(path);
        let Ok(place) = place else {
            if matches!(what, "report" | "trace") {
                return Err(usage(path, &format!("the folder of the {what} is not there; make it first")));
            }
            continue;
        };
        if let Some((_, other)) = places.iter().find(|(there, _)| *there == place) {
            return Err(usage(path, &format!("the {what} is the {other} itself; choose another name")));
        }
        places.push((place, what));
    }
    Ok(())
}

/// Refuses numbered pictures of which one is to be read too, and such as are there without leave.
fn check_sequence(config: &RunConfig, inputs: &HashSet<Identity>, pattern: &Path) -> Result<()> {
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

/// An output that exists, is the input, or has no folder is refused before any work is done.
pub fn check(config: &RunConfig) -> Result<()> {
    let inputs = inputs(config);
    for (path, what) in [(&config.report, "report"), (&config.trace, "trace")] {
        if let Some(path) = path {
            check_not_input(&inputs, path, what)?;
        }
    }
    check_apart(config)?;
    let Some(path) = config.output.path() else { return Ok(()) };
    check_not_input(&inputs, path, "output")?;
    if path.is_dir() {
        return Err(usage(path, "the output is a folder; add a file name"));
    }
    if matches!(config.output, Output::Images(_)) {
        return check_sequence(config, &inputs, path);
    }
    let folder = folder_of(path);
    if !folder.is_dir() {
        return Err(usage(path, &format!("the folder {} is not there; make it first", folder.display())));
    }
    let is_stream = std::fs::metadata(path).is_ok_and(|metadata| !metadata.is_file());
    if is_stream && matches!(config.output, Output::File(_)) {
        return Err(usage(path, "a container cannot be written to a pipe or a device; '-' and .y4m can"));
    }
    let is_regular = std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_file() || metadata.is_symlink());
    if is_regular && config.overwrite != Overwrite::Yes && !segment::is_complete(config) {
        return Err(usage(path, "the output is there already; -y replaces it once the new one is complete"));
    }
    Ok(())
}
