//! A run in segments: whether what lies beside the output is of this run, and how it goes on from there. Also `vproc
//! segment` and `vproc join`, which make the same output piece by piece, on one machine or on many.

mod asked;
mod join;
mod one;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use super::prepare::{self, Prepared};
use super::tune::prepare_tuned;
pub use join::Join;
pub use one::OneSegment;

use crate::config::{EngineChoice, Output, Overwrite, RunConfig, Tile, Tuning};
use crate::error::{Error, Kind, Result};
use crate::infer;
use crate::measure;
use crate::plan::segments::Segments;
use crate::segment::folder::Folder;
use crate::segment::identity;
use crate::segment::manifest::{FileIdentity, Manifest};
use crate::segment::mark::Marks;
use crate::segment::resumed::Past;
use crate::segment::sink::{CompleteSink, SegmentSink};
use crate::sequence::Sequence;
use crate::sink::Sink;
use crate::sink::disk::{Disk, System};
use crate::sink::mux::Rehearsed;
use crate::sink::part::PartFile;

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
    if let Output::File(path) = &config.output {
        // An empty folder is what is left if it was ended at the very last.
        let _ = std::fs::remove_dir(folder(path).path());
    }
    found(config).is_some_and(|manifest| is_joined(config, &manifest))
}

/// Decides everything as [`prepare::prepare`] does, with the settings that were found to be fast. What an interrupted run
/// found out by trial, or decided by how long it would take, stays as it was.
pub fn prepare(config: &RunConfig) -> Result<(RunConfig, Prepared)> {
    if let Some(manifest) = found(config) {
        let adopted = adopt(config, &manifest)?;
        if let Ok(prepared) = prepare::prepare(&adopted)
            && manifest.difference(&facts(&adopted, &prepared)?).is_none()
        {
            return Ok((adopted, prepared));
        }
        // It is another run; that is said when it begins, or it starts anew as if nothing were there.
    }
    prepare_tuned(config)
}

/// The same options with what `manifest` says of what nobody said.
fn adopt(config: &RunConfig, manifest: &Manifest) -> Result<RunConfig> {
    let mut adopted = config.tuned(manifest.settings.clone());
    if config.engine == EngineChoice::Auto {
        // Who names a device or a precision has not named the engine.
        let remembered = manifest.settings.engine.as_deref().and_then(|name| EngineChoice::parse(name).ok());
        adopted.engine = remembered.unwrap_or_default();
    }
    adopted.segment_frames.get_or_insert(manifest.segment_frames);
    // There nothing is tried, and the library is another one.
    let is_on_device = manifest.facts.iter().any(|(name, value)| name == "engine" && value.contains(" cuda:"));
    let is_tried = manifest.is_engine_tried && !is_on_device;
    if is_tried && config.engine != adopted.engine && adopted.engine != EngineChoice::Native {
        // The trial's library, which is not the first choice of an engine that was asked for by name.
        infer::ort::library(infer::EngineChoice::Auto)?;
    }
    Ok(adopted)
}

/// A manifest by its path or that of its folder, with its folder and the output it is for.
fn open_manifest(path: &Path) -> Result<(Folder, Manifest, PathBuf)> {
    let none = |why: &str| {
        let message = format!("{}: {why}; 'vproc INPUT -o OUTPUT --manifest-only' makes one", path.display());
        Error::new(Kind::Usage, message)
    };
    let output = Folder::output_of(path).ok_or_else(|| none("expected OUTPUT.vproc/manifest.json"))?;
    let folder = folder(&output);
    let manifest = folder.load()?.ok_or_else(|| none("no such manifest"))?;
    Ok((folder, manifest, output))
}

/// Refuses to take part in a run whose bits would be others here.
fn check_same(config: &RunConfig, prepared: &Prepared, manifest: &Manifest) -> Result<()> {
    let here = facts(config, prepared)?;
    let Some(difference) = manifest.difference(&here) else { return Ok(()) };
    let ours = Manifest::new(here, manifest.settings.clone(), manifest.segment_frames).run();
    let message = format!("{difference}, so segments made here would not fit (run {}, here {ours})", manifest.run());
    Err(Error::new(Kind::Input, message))
}

/// Whether the output is there as the manifest says it was joined.
fn is_joined(config: &RunConfig, manifest: &Manifest) -> bool {
    let identity = config.output.path().and_then(|path| std::fs::metadata(path).ok());
    manifest.joined.is_some() && manifest.joined == identity.as_ref().map(FileIdentity::from)
}

/// Numbers of the segments that are not finished, as far as it is known how many there are.
fn missing(manifest: &Manifest) -> Vec<u64> {
    let n = manifest.n_segments().unwrap_or(0);
    (0..n).filter(|number| !manifest.segments.contains_key(number)).collect()
}

/// What decides bits and was not said by a person, for a run that goes on.
fn settings(config: &RunConfig, prepared: &Prepared) -> Tuning {
    Tuning {
        encoder: Some(prepared.plan.threads.encoder),
        tile: config.tuning.as_ref().and_then(|tuning| tuning.tile),
        band: prepared.plan.windows.whole.first().filter(|_| config.tile == Tile::Auto).map(|tile| tile.window.height),
        engine: prepare::engine_name(&prepared.engine).map(|engine| engine.to_string()),
        ..Tuning::default()
    }
}

/// Begins a run in segments, or goes on with one: where frames go, and which are there already. `None` where the output
/// is made in one go. Takes the encoder.
pub fn begin(config: &RunConfig, prepared: &mut Prepared) -> Result<Option<(Box<dyn Sink>, Past)>> {
    begin_on(Arc::new(System), config, prepared)
}

/// [`begin`] with every durable write through `disk`, which may be one that fails.
pub fn begin_on(
    disk: Arc<dyn Disk>,
    config: &RunConfig,
    prepared: &mut Prepared,
) -> Result<Option<(Box<dyn Sink>, Past)>> {
    let Output::File(path) = &config.output else { return Ok(None) };
    let folder = Folder::of(path, Arc::clone(&disk));
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
    let Some(Rehearsed { encoder, .. }) = prepared.rehearsed.take() else { return Ok(None) };
    let job = prepare::job(config, prepared)?;
    let facts = facts(config, prepared)?;
    // From here on no other run touches the folder.
    let part = PartFile::create_on(disk, path)?;
    let known = match resumable(config, &folder, &facts) {
        Ok(known) => known,
        Err(error) => {
            part.discard()?;
            return Err(error);
        }
    };
    let mut manifest = match known {
        Some(mut manifest) => {
            if config.manifest_only && !manifest.is_for_others {
                manifest.is_for_others = true;
                folder.save(&manifest)?;
            }
            manifest
        }
        None => {
            folder.clear()?;
            folder.make()?;
            let manifest = Manifest {
                asked: asked::asked(config),
                n_frames: prepared.plan.source.n_frames,
                is_engine_tried: config.engine == EngineChoice::Auto,
                is_for_others: config.manifest_only,
                ..Manifest::new(facts, settings(config, prepared), segment_frames)
            };
            folder.save(&manifest)?;
            manifest
        }
    };
    if manifest.end.is_some() && is_complete(config) {
        let past = past(&manifest);
        // Nothing else has it yet.
        let _ = past.end.set(manifest.end.clone().unwrap_or_default());
        folder.clear()?;
        part.discard()?;
        return Ok(Some((Box::new(CompleteSink::of(&manifest)), past)));
    }
    for number in folder.check(&mut manifest) {
        tracing::warn!("segment {number} is not what it was and is made again");
    }
    let past = past(&manifest);
    let n_done = past.n_frames();
    if let Some(known) = manifest.end.clone().filter(|known| known.n_frames == n_done) {
        // It was made a moment ago, and nobody else knows it.
        let _ = past.end.set(known);
    }
    if n_done > 0 {
        tracing::warn!("going on with an interrupted run: {n_done} frames are there");
    }
    let sink = SegmentSink::new(job, part, folder, manifest, encoder, past.clone());
    Ok(Some((Box::new(sink), past)))
}

/// Makes the manifest of a run and nothing else; where it lies.
pub fn make_manifest(config: &RunConfig, prepared: &mut Prepared) -> Result<PathBuf> {
    let why = match &prepared.plan.segments {
        Segments::Off(why) | Segments::Impossible(why) => format!("no segments are made, because {why}"),
        Segments::None => "segments are made of containers only".to_owned(),
        Segments::Every(_) => String::new(),
    };
    match (begin(config, prepared)?, config.output.path()) {
        (Some((sink, _)), Some(path)) => {
            sink.stop()?;
            Ok(folder(path).manifest())
        }
        _ => Err(Error::new(Kind::Usage, format!("{why}; --segment-frames N asks for them"))),
    }
}

/// What earlier runs have done, and the places for what the source says.
fn past(manifest: &Manifest) -> Past {
    let (segment_frames, done) = (manifest.segment_frames, manifest.segments.clone());
    Past { segment_frames, done, end: Arc::default(), marks: Marks::default() }
}

/// The manifest of a run like this one; `None`: there is none, or nothing is lost by starting anew, or a person allows it.
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
    let is_idle = manifest.as_ref().is_some_and(|manifest| manifest.is_idle() || is_spent(config, folder, manifest));
    match manifest.as_ref().and_then(|manifest| manifest.difference(facts)) {
        None => Ok(manifest),
        Some(difference) if may_replace || is_idle => {
            tracing::warn!("starting anew: {difference}");
            Ok(None)
        }
        Some(difference) => {
            let message = match manifest.as_ref().filter(|manifest| is_joined(config, manifest)) {
                Some(_) => format!("the output is there already, but {difference}; -y replaces it"),
                None => format!(
                    "{} holds an unfinished run, but {difference}; -y starts anew, or choose another output",
                    folder.path().display()
                ),
            };
            Err(Error::new(Kind::Usage, message))
        }
    }
}

/// Whether nothing is left of a joined run: neither its output nor a segment.
fn is_spent(config: &RunConfig, folder: &Folder, manifest: &Manifest) -> bool {
    let mut left = manifest.clone();
    folder.look(&mut left);
    let is_there = config.output.path().is_some_and(|path| path.try_exists().unwrap_or(true));
    manifest.joined.is_some() && left.segments.is_empty() && !is_there
}

/// All that decides the output's bits, by name.
fn facts(config: &RunConfig, prepared: &Prepared) -> Result<Vec<(String, String)>> {
    let Prepared { plan, network, opened, video, .. } = prepared;
    let path = Path::new(&config.input);
    let mut facts = Vec::new();
    let mut add = |name: &str, value: String| facts.push((name.to_owned(), value));
    if path.is_file() {
        add("input", identity::file(path)?);
        if let Some(container) = &opened.container {
            add("input's index", identity::index(container, &measure::input_options(config))?);
        }
    } else if let Ok(sequence) = Sequence::parse(path) {
        add("input", identity::pictures(&sequence)?);
    } else {
        add("input", config.input.to_string_lossy().into_owned());
    }
    add("video stream", opened.video.to_string());
    add("part of the input", opened.cut.map_or_else(|| "all of it".to_owned(), |cut| cut.to_string()));
    add("deinterlacing", config.deinterlace.to_string());
    add("hash of the source's description", format!("{:016x}", xxh3_64(format!("{:?}", plan.source).as_bytes())));
    let engine = infer::facts(network, &prepared.engine)?;
    // Before the network, which is written for the engine.
    add("engine", format!("{engine} ({})", engine.isa));
    let of_network = format!("{:032x} {:?}", network.hash, network.facts);
    add("network", format!("{:032x}", xxh3_128(of_network.as_bytes())));
    if let Some(finding) = &plan.finding {
        add("task on what is found", finding.to_string());
    }
    let whole = &plan.windows.whole;
    let size =
        whole.first().map_or_else(String::new, |tile| format!(" of {}x{}", tile.window.width, tile.window.height));
    add("windows of a whole frame", format!("{}{size}", whole.len()));
    add("skipping", plan.skip.to_string());
    if let Some(encoding) = &plan.encoding {
        let options: Vec<String> = encoding.options.iter().map(|(key, value)| format!("{key}={value}")).collect();
        add("encoder", format!("{} {} {}", encoding.encoder, encoding.pixel_format, options.join(" ")));
        add("number of encoder threads", encoding.threads.to_string());
    }
    // Of the video alone: segments hold nothing else, and the join looks at the rest anew.
    add("output", format!("{}x{} ({:016x})", video.width, video.height, xxh3_64(format!("{video:?}").as_bytes())));
    if let Segments::Every(frames) = plan.segments {
        add("grid of segments", format!("{frames} frames"));
    }
    // Last of what a person can change, since it names nothing.
    add("plan", plan.hash());
    add("program", identity::program());
    let is_run_by_one = matches!(prepared.engine.choice, infer::EngineChoice::Ort | infer::EngineChoice::OpenVino);
    add("libraries", identity::libraries(is_run_by_one));
    Ok(facts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Origin;

    #[test]
    fn the_remembered_engine_holds_unless_another_is_named() {
        let settings = Tuning { engine: Some("native".to_owned()), ..Tuning::default() };
        let manifest = Manifest::new(Vec::new(), settings, 20);
        for (name, value, expected) in [
            ("device", "cpu", EngineChoice::Native),
            ("precision", "f32", EngineChoice::Native),
            ("engine", "auto", EngineChoice::Native),
            ("engine", "openvino", EngineChoice::OpenVino),
        ] {
            let mut config = RunConfig::default();
            config.set(name, &[value.into()], &Origin::CommandLine).unwrap();
            let adopted = adopt(&config, &manifest).unwrap();
            assert_eq!((adopted.engine, adopted.segment_frames), (expected, Some(20)), "{name} {value}");
        }
    }
}
