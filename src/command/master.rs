//! The master copy: what came out of the network, without loss, in a file of its own beside the output.

use std::path::Path;

use super::outputs;
use super::prepare;
use crate::config::{Output, RunConfig};
use crate::error::{Context, Error, Kind, Result};
use crate::plan::memory::MASTER_ENCODER;
use crate::sink::Sink;
use crate::sink::ffmpeg::FfmpegSink;
use crate::sink::pair::PairSink;

/// Every frame stands alone and is checked by itself, in slices that several threads decode.
const OPTIONS: &[(&str, &str)] = &[("level", "3"), ("g", "1"), ("slicecrc", "1")];

/// Refuses a master that cannot be, before any work is done. A run that makes one is made in one go: segments hold the
/// output alone.
pub fn checked(config: &RunConfig) -> Result<RunConfig> {
    let Some(path) = &config.master else { return Ok(config.clone()) };
    let usage = |message: &str| Err(Error::new(Kind::Usage, format!("--master {}: {message}", path.display())));
    if path.extension().is_none_or(|extension| !extension.eq_ignore_ascii_case("mkv")) {
        return usage("a master is a Matroska file; give it a name that ends in .mkv");
    }
    if config.output.path() == Some(path) {
        return usage("the master is the output itself; choose another name");
    }
    let is_file = std::fs::metadata(Path::new(&config.input)).is_ok_and(|metadata| !metadata.is_file());
    if config.input == "-" || is_file {
        return usage("a master needs an input that can be opened twice, such as a file");
    }
    if config.segment_frames.is_some() || config.manifest_only {
        return usage("a run in segments makes no master; leave one of the two out");
    }
    outputs::check(&of(config, path)).context(|| "--master")?;
    Ok(RunConfig { no_resume: true, ..config.clone() })
}

/// The run that would make the master alone.
fn of(config: &RunConfig, path: &Path) -> RunConfig {
    RunConfig {
        output: Output::File(path.to_owned()),
        encoder: Some(MASTER_ENCODER.to_owned()),
        encoder_options: OPTIONS.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        crf: None,
        preset: None,
        pix_fmt: None,
        master: None,
        no_resume: true,
        ..config.clone()
    }
}

/// The sink with the master copy beside it, if one is wanted.
pub fn beside(config: &RunConfig, sink: Box<dyn Sink>) -> Result<Box<dyn Sink>> {
    let Some(path) = &config.master else { return Ok(sink) };
    let name = path.display().to_string();
    let job = prepare::file_job(&of(config, path)).context(|| name.clone())?;
    let master = FfmpegSink::create(job).context(|| name.clone())?;
    Ok(Box::new(PairSink::new(sink, Box::new(master), name)))
}
