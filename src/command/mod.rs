//! The commands, a file each and thin: they decide what is done with an invocation and which status comes of it.
//!
//! Also here: what each of them must be able to touch, and how they print.

mod account;
pub mod batch;
pub mod bench;
pub mod cache;
mod chain;
mod color;
pub mod compare;
pub mod inspect;
mod master;
pub mod models;
pub mod outputs;
pub mod prepare;
mod process;
mod remember;
pub mod row;
pub mod run;
pub mod segment;
pub mod tune;

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

pub use batch::Batch;
pub use bench::{bench, bench_compare};
pub use cache::{cache, cache_grants};
pub use compare::compare;
pub use inspect::inspect;
pub use models::models;
pub use row::Row;
pub use run::run;
pub use segment::{Join, OneSegment};
pub use tune::tune;

use crate::config::{DeviceChoice, Output, RunConfig};
use crate::error::{Error, Kind, Result};
use crate::measure::tuned;
use crate::pipe;
use crate::sandbox::Grants;

/// What a run touches: its inputs to be read, the folders of what it writes, the one where it keeps which engine was the
/// fastest and that of the cache, which are made if need be: only what is there can be granted.
pub fn run_grants(config: &RunConfig) -> Grants {
    let mut grants = named_grants(config);
    if config.tries_engines() && !config.dry_run {
        grants.write.extend(tuned::folder().filter(|folder| fs::create_dir_all(folder).is_ok()));
    }
    if !config.dry_run {
        grants.write.extend(config.cache_folder().filter(|folder| fs::create_dir_all(folder).is_ok()));
    }
    grants
}

/// What a run touches by its options.
fn named_grants(config: &RunConfig) -> Grants {
    let mut grants = input_grants(&config.input);
    grants.network = !config.protocols.is_empty();
    grants.gpu = config.device != DeviceChoice::Cpu;
    if let Some(model) = config.model_file() {
        grants.read.extend(model_grants(model));
    }
    grants.read.extend(config.model_config.clone());
    grants.read.extend(config.masks().map(Path::to_owned));
    if !config.dry_run {
        grants.write.extend(match &config.output {
            // The folder of pictures may not be there yet; then it is made in the nearest one that is.
            Output::Images(pattern) => {
                pattern.ancestors().skip(1).map(named).find(|folder| folder.is_dir()).map(Path::to_owned)
            }
            output => output.path().and_then(place_of),
        });
        let others = [&config.report, &config.trace, &config.detections, &config.master];
        grants.write.extend(others.into_iter().flatten().filter_map(|path| place_of(path)));
    }
    grants
}

/// Leaves this process, and all that it starts, the processors that were named.
fn pin(config: &RunConfig) -> Result<()> {
    let Some(wanted) = &config.cpu_affinity else { return Ok(()) };
    let failed = |error: rustix::io::Errno| Error::io("cannot choose processors", error.into());
    let there = sched_getaffinity(None).map_err(failed)?;
    if let Some(missing) = wanted.iter().find(|number| !there.is_set(**number)) {
        let last = (0..CpuSet::MAX_CPU).rev().find(|number| there.is_set(*number)).unwrap_or(0);
        let message = format!(
            "--cpu-affinity: got processor {missing}, expected some of the {} that this process may use, the last is {last}",
            there.count()
        );
        return Err(Error::new(Kind::Usage, message));
    }
    let mut chosen = CpuSet::new();
    wanted.iter().for_each(|number| chosen.set(*number));
    sched_setaffinity(None, &chosen).map_err(failed)
}

/// What inspecting `file` touches, a network's TOML included.
pub fn inspect_grants(file: &OsStr) -> Grants {
    Grants { read: model_grants(Path::new(file)), ..Grants::default() }
}

/// A network's file, with weights in other files its folder, and the TOML that may lie beside it.
fn model_grants(model: &Path) -> Vec<PathBuf> {
    let mut read = input_grants(model.as_os_str()).read;
    read.extend(Some(model.with_extension("toml")).filter(|beside| beside.is_file()));
    read
}

/// What reading `input` touches: the file, or the folder where it stands for several.
pub fn input_grants(input: &OsStr) -> Grants {
    let path = Path::new(input);
    let several = path.file_name().is_some_and(|name| name.to_string_lossy().contains('%')) || holds_outside_data(path);
    let read = if several && !path.is_dir() { folder_of(path) } else { path.to_owned() };
    Grants { read: vec![read], ..Grants::default() }
}

/// Writes one JSON object to stdout.
pub fn print_json(value: &serde_json::Value) -> Result<()> {
    print(format!("{value:#}\n").as_bytes())
}

/// Writes `text` to stdout; a reader that has gone away has seen enough.
pub fn print(text: &[u8]) -> Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Error::io("cannot write to stdout", error)),
        _ => Ok(()),
    }
}

/// The folder that `path` is written into, or `path` itself where it is a device or a pipe. Our own standard output is
/// open and needs no leave.
fn place_of(path: &Path) -> Option<PathBuf> {
    let is_device = fs::metadata(path).is_ok_and(|facts| !facts.is_file() && !facts.is_dir());
    match pipe::open_already(path) {
        _ if is_device => Some(path.to_owned()),
        Some(open) => fs::canonicalize(open).ok(),
        None => Some(folder_of(path)),
    }
}

fn folder_of(path: &Path) -> PathBuf {
    named(path.parent().unwrap_or(Path::new("/"))).to_owned()
}

/// The working folder has a name too.
fn named(folder: &Path) -> &Path {
    if folder.as_os_str().is_empty() { Path::new(".") } else { folder }
}

/// Whether an ONNX file keeps weights in other files of its folder: a tensor then has an entry with the key `location`
/// (field 1 of `StringStringEntryProto`), which stands early in files that hold no weights themselves.
fn holds_outside_data(path: &Path) -> bool {
    const ENTRY: &[u8] = b"\x0a\x08location";
    const LOOKED_AT: u64 = 64 << 20;
    if path.extension() != Some(OsStr::new("onnx")) || !path.is_file() {
        return false;
    }
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(LOOKED_AT).read_to_end(&mut bytes));
    read.is_ok() && bytes.windows(ENTRY.len()).any(|window| window == ENTRY)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grants(input: &str, output: &str) -> Grants {
        let output = Output::parse(OsStr::new(output)).unwrap();
        named_grants(&RunConfig { input: input.into(), output, ..RunConfig::default() })
    }

    #[test]
    fn a_run_touches_its_input_and_the_folder_of_its_output() {
        let expected = |read: &str, write: &[&str]| Grants {
            read: vec![read.into()],
            write: write.iter().map(PathBuf::from).collect(),
            gpu: true,
            ..Grants::default()
        };
        assert_eq!(grants("dir/a.mp4", "b.mkv"), expected("dir/a.mp4", &["."]));
        assert_eq!(grants("dir/%d.png", "out/b.mkv"), expected("dir", &["out"]));
        assert_eq!(grants("-", "null:"), expected("-", &[]));
        assert_eq!(grants("a.mp4", "/none/such/%d.png"), expected("a.mp4", &["/"]));
        let report = RunConfig { report: Some("/dev/full".into()), ..RunConfig::default() };
        assert_eq!(named_grants(&report).write, [PathBuf::from("/dev/full")]);
        let dry = RunConfig { output: Output::File("a/b.mkv".into()), dry_run: true, ..RunConfig::default() };
        assert!(named_grants(&dry).write.is_empty());
    }

    #[test]
    fn a_network_brings_the_toml_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let (network, beside) = (folder.path().join("a.onnx"), folder.path().join("a.toml"));
        fs::write(&network, b"\x08\x07").unwrap();
        let config = RunConfig { model: network.clone().into(), ..RunConfig::default() };
        assert_eq!(named_grants(&config).read[1..], *std::slice::from_ref(&network));
        fs::write(&beside, "scale = 2").unwrap();
        assert_eq!(named_grants(&config).read[1..], [network, beside]);
    }

    #[test]
    fn a_network_with_outside_data_brings_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        let network = folder.path().join("a.onnx");
        fs::write(&network, b"\x08\x07 weights").unwrap();
        assert_eq!(input_grants(network.as_os_str()).read, std::slice::from_ref(&network));
        fs::write(&network, b"\x08\x07..\x0a\x08location\x12\x06w.data").unwrap();
        assert_eq!(input_grants(network.as_os_str()).read, [folder.path()]);
    }
}
