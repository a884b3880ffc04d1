//! A run in segments: whether what lies beside the output is of this run, and how it goes on from there.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use super::prepare::{self, Prepared};
use crate::config::{EngineChoice, Output, Overwrite, RunConfig};
use crate::error::{Error, Kind, Result};
use crate::infer;
use crate::plan::segments::Segments;
use crate::segment::disk::{Disk, System};
use crate::segment::identity;
use crate::segment::manifest::{FileIdentity, Folder, Manifest, SourceEnd};
use crate::segment::resumed::Past;
use crate::segment::sink::SegmentSink;
use crate::sink::Sink;
use crate::sink::part::PartFile;

/// How a run in segments begins.
pub enum Begun {
    /// Frames go into this sink, but for those that are there already.
    Sink(Box<dyn Sink>, Past),
    /// The output was complete when an earlier run was ended while it cleared up.
    Complete(SourceEnd),
}

/// The folder of segments beside an output.
fn folder(output: &Path) -> Folder {
    Folder::of(output, Arc::new(System))
}

/// The manifest that lies beside the output, if the run may use it; one that cannot be read is looked at later.
fn found(config: &RunConfig) -> Option<Manifest> {
    let Output::File(path) = &config.output else { return None };
    if config.no_resume { None } else { folder(path).load().ok().flatten() }
}

/// Whether the output that is there is that of a run which was ended while it cleared up.
pub fn is_complete(config: &RunConfig) -> bool {
    let identity = config.output.path().and_then(|path| std::fs::metadata(path).ok());
    let joined = found(config).and_then(|manifest| manifest.joined);
    joined.is_some() && joined == identity.as_ref().map(FileIdentity::from)
}

/// Decides everything as [`prepare::prepare`] does; what an interrupted run decided by trial, or by how long it would
/// take, stays as it was.
pub fn prepare(config: &RunConfig) -> Result<Prepared> {
    let Some(manifest) = found(config) else { return prepare::prepare(config) };
    let mut adopted = config.clone();
    if config.engine == EngineChoice::Auto
        && let Ok(engine) = EngineChoice::parse(&manifest.engine)
    {
        adopted.engine = engine;
    }
    adopted.segment_frames.get_or_insert(manifest.segment_frames);
    match prepare::prepare(&adopted) {
        Ok(prepared) if manifest.difference(&facts(config, &prepared)?).is_none() => Ok(prepared),
        // It is another run; that is said when it begins, or it starts anew as if nothing were there.
        _ => prepare::prepare(config),
    }
}

/// Begins a run in segments, or goes on with one; `None` where the output is made in one go. Takes the encoder.
pub fn begin(config: &RunConfig, prepared: &mut Prepared) -> Result<Option<Begun>> {
    begin_on(Arc::new(System), config, prepared)
}

/// [`begin`] with every durable write through `disk`, which may be one that fails.
pub fn begin_on(disk: Arc<dyn Disk>, config: &RunConfig, prepared: &mut Prepared) -> Result<Option<Begun>> {
    let Output::File(path) = &config.output else { return Ok(None) };
    let folder = Folder::of(path, disk);
    let Segments::Every(segment_frames) = prepared.plan.segments else {
        if is_complete(config) && config.overwrite != Overwrite::Yes {
            // It was let through as the output of a run like the interrupted one, and this is another.
            let message = "the output is there already; -y replaces it once the new one is complete";
            return Err(Error::new(Kind::Usage, message));
        }
        if folder.path().exists() {
            tracing::warn!("{} is of an earlier run and is not used; it can be removed", folder.path().display());
        }
        return Ok(None);
    };
    let Some(encoder) = prepared.encoder.take() else { return Ok(None) };
    let job = prepare::job(config, prepared)?;
    // From here on no other run touches the folder.
    let part = PartFile::create(path)?;
    let facts = facts(config, prepared)?;
    let mut manifest = match resumable(config, &folder, &facts)? {
        Some(manifest) => manifest,
        None => {
            folder.clear()?;
            folder.make()?;
            let engine = infer::facts(&prepared.network, &prepared.engine)?.name.to_owned();
            let manifest = Manifest::new(facts, engine, segment_frames);
            folder.save(&manifest)?;
            manifest
        }
    };
    if let Some(end) = manifest.end.clone().filter(|_| is_complete(config)) {
        folder.clear()?;
        part.discard()?;
        return Ok(Some(Begun::Complete(end)));
    }
    for number in folder.check(&mut manifest) {
        tracing::warn!("segment {number} is not what it was and is made again");
    }
    let end = Arc::new(OnceLock::new());
    let past = Past { segment_frames, done: manifest.segments.clone(), end: Arc::clone(&end) };
    let n_done = past.n_frames();
    if let Some(known) = manifest.end.clone().filter(|known| known.n_frames == n_done) {
        // It was made a moment ago, and nobody else knows it.
        let _ = end.set(known);
    }
    if n_done > 0 {
        tracing::warn!("going on with an interrupted run: {n_done} frames are there");
    }
    Ok(Some(Begun::Sink(Box::new(SegmentSink::new(job, part, folder, manifest, encoder, end)), past)))
}

/// The manifest of a run like this one; `None`: there is none, or a person allows to start anew.
fn resumable(config: &RunConfig, folder: &Folder, facts: &[(String, String)]) -> Result<Option<Manifest>> {
    let may_replace = config.overwrite == Overwrite::Yes;
    let manifest = match folder.load() {
        Ok(None) => return Ok(None),
        Err(error) if may_replace && error.kind() == Kind::Usage => {
            tracing::warn!("starting anew: {error}");
            return Ok(None);
        }
        other => other?,
    };
    match manifest.as_ref().and_then(|manifest| manifest.difference(facts)) {
        None => Ok(manifest),
        Some(difference) if may_replace => {
            tracing::warn!("starting anew: {difference}");
            Ok(None)
        }
        Some(difference) => {
            let message = format!(
                "{} holds an unfinished run, but {difference}; -y starts anew, or choose another output",
                folder.path().display()
            );
            Err(Error::new(Kind::Usage, message))
        }
    }
}

/// All that decides the output's bits, by name.
fn facts(config: &RunConfig, prepared: &Prepared) -> Result<Vec<(String, String)>> {
    let Prepared { plan, network, opened, video, rest, .. } = prepared;
    let path = Path::new(&config.input);
    let mut facts = Vec::new();
    let mut add = |name: &str, value: String| facts.push((name.to_owned(), value));
    if path.is_file() {
        add("input", identity::file(path)?);
        if let Some(container) = &opened.container {
            let options = crate::av::InputOptions { protocols: config.protocols.clone() };
            add("input's index", identity::index(container, &options)?);
        }
    } else {
        add("input", config.input.to_string_lossy().into_owned());
    }
    let of_source = format!("{:?}", plan.source);
    let part = format!("stream {}, {:?}, deinterlaced {}", opened.video, opened.cut, config.deinterlace);
    add("part of the input", format!("{part} ({:016x})", xxh3_64(of_source.as_bytes())));
    let of_network = format!("{:032x} {:?}", network.hash, network.facts);
    add("network", format!("{:032x}", xxh3_128(of_network.as_bytes())));
    let engine = infer::facts(network, &prepared.engine)?;
    add("engine", format!("{engine} ({})", engine.isa));
    add("windows", format!("{} of {:?}", plan.tiles.len(), plan.tiles.first().map(|tile| tile.window)));
    if let Some(encoding) = &plan.encoding {
        let options: Vec<String> = encoding.options.iter().map(|(key, value)| format!("{key}={value}")).collect();
        add("encoder", format!("{} {} {}", encoding.encoder, encoding.pixel_format, options.join(" ")));
        add("number of encoder threads", encoding.threads.to_string());
    }
    let of_output = format!("{video:?} {:?} {:?} {:?}", rest.streams, rest.metadata, rest.chapters);
    add("output", format!("{}x{} ({:016x})", video.width, video.height, xxh3_64(of_output.as_bytes())));
    add("grid of segments", plan.segments.to_string());
    // Last of what a person can change, since it names nothing.
    add("plan", plan.hash());
    add("program", identity::program());
    add("libraries", identity::libraries());
    Ok(facts)
}

/// Says that the output was complete already; the exit status.
pub fn conclude(config: &RunConfig, end: &SourceEnd) -> u8 {
    tracing::info!("{} is complete", config.output);
    for line in &end.damage {
        tracing::warn!("damaged source: {line}");
    }
    if end.n_damaged > 0 { super::account::STATUS_DAMAGED } else { 0 }
}
