//! How an input, a program and its libraries are known again.
//!
//! A film is not read as a whole for it: its size, its time, the index its container keeps, and blocks spread over it
//! tell it from any other.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::Xxh3;

use super::packets::print_of;
use crate::av::{self, Input, InputOptions};
use crate::error::{Error, Result};
use crate::sequence::Sequence;

/// Blocks of an input that are looked at, evenly spread from its first byte to its last.
const BLOCKS: u64 = 64;

/// Bytes of a block.
const BLOCK: u64 = 64 << 10;

/// Beginnings of the names of libraries that decide the output's bits.
const DECIDING: [&str; 6] = ["libav", "libsw", "libx264", "libx265", "libSvtAv1", "libdav1d"];

/// The same of those that run a network.
const ENGINES: [&str; 4] = ["libonnxruntime", "libopenvino", "libcublas", "libcudnn"];

/// What a file is known by: bytes, time of change, and sampled content.
pub fn file(path: &Path) -> Result<String> {
    let failed = |error| Error::io(format!("read {}", path.display()), error);
    let (opened, facts) =
        File::open(path).and_then(|file| file.metadata().map(|facts| (file, facts))).map_err(failed)?;
    let hash = sample(&opened, facts.len()).map_err(failed)?;
    Ok(format!("{} bytes of {}.{:09} ({hash:016x})", facts.len(), facts.mtime(), facts.mtime_nsec()))
}

/// What the pictures of a sequence are known by: the number, bytes and time of change of each.
pub fn pictures(sequence: &Sequence) -> Result<String> {
    let mut hash = Xxh3::new();
    let numbers = sequence.numbers()?;
    for number in &numbers {
        let path = sequence.path(*number);
        let facts = path.metadata().map_err(|error| Error::io(format!("look at {}", path.display()), error))?;
        for fact in [*number, facts.len(), facts.mtime() as u64, facts.mtime_nsec() as u64] {
            hash.update(&fact.to_le_bytes());
        }
    }
    Ok(format!("{} pictures ({:016x})", numbers.len(), hash.digest()))
}

fn sample(file: &File, bytes: u64) -> io::Result<u64> {
    let mut hash = Xxh3::new();
    let mut block = vec![0; BLOCK as usize];
    let last = bytes.saturating_sub(BLOCK);
    for number in 0..BLOCKS {
        let mut at = (u128::from(last) * u128::from(number) / u128::from(BLOCKS - 1)) as u64;
        let end = (at + BLOCK).min(bytes);
        while at < end {
            match file.read_at(&mut block[..(end - at) as usize], at)? {
                0 => break,
                n => {
                    hash.update(&block[..n]);
                    at += n as u64;
                }
            }
        }
    }
    Ok(hash.digest())
}

/// A hash of what a container's index lists of all its streams.
pub fn index(path: &Path, options: &InputOptions) -> Result<String> {
    let input = Input::open(path, options)?;
    let mut hash = Xxh3::new();
    let mut count = 0;
    for stream in input.streams() {
        for entry in input.index(stream.index) {
            hash.update(&entry.position.to_le_bytes());
            hash.update(&entry.time.to_le_bytes());
            hash.update(&entry.size.to_le_bytes());
            count += 1;
        }
    }
    Ok(format!("{count} entries ({:016x})", hash.digest()))
}

/// This program: its version and a hash of its file.
pub fn program() -> String {
    let hash = print_of(&std::env::current_exe().unwrap_or_default()).map_or(0, |print| print.hash);
    format!("{} ({hash:032x})", env!("CARGO_PKG_VERSION"))
}

/// The open libraries that decide bits, a hash each of their files: the version in a name is not enough, distributions
/// mend libraries without changing it. Those that run networks count only where the network `is_run_by_one`; they may be
/// open because they were tried. The one that deinterlaces counts in any case: whether any picture will be interlaced
/// shows only on the way.
pub fn libraries(is_run_by_one: bool) -> String {
    let engines: &[&str] = if is_run_by_one { &ENGINES } else { &[] };
    let mut paths = open_libraries(|name| DECIDING.iter().chain(engines).any(|beginning| name.starts_with(beginning)));
    let is_ffmpegs =
        |path: &&PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("libavutil"));
    let beside = |path: &PathBuf| path.with_file_name(av::filters_name()).canonicalize().ok();
    match paths.iter().filter(is_ffmpegs).find_map(beside) {
        Some(filters) => paths.push(filters),
        // Elsewhere, where only the loader finds it.
        None => match av::open_filters() {
            Ok(_) => paths.extend(open_libraries(|name| name.starts_with("libavfilter"))),
            Err(error) => tracing::debug!("{error}"),
        },
    }
    paths.sort();
    paths.dedup();
    let mut hash = Xxh3::new();
    for path in &paths {
        let print = print_of(path).map_or(0, |print| print.hash);
        hash.update(&print.to_le_bytes());
    }
    format!("{} files ({:016x})", paths.len(), hash.digest())
}

/// Files of the open libraries with such names.
fn open_libraries(is_meant: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    maps.lines()
        .filter_map(|line| line.find('/').map(|at| PathBuf::from(&line[at..])))
        .filter(|path| path.file_name().is_some_and(|name| is_meant(&name.to_string_lossy())))
        .collect()
}
