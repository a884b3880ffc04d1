//! The main job: a network over every frame of a video.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Instant;

use crate::av::Encoder;
use crate::config::{EngineChoice, Output, Overwrite, Precision, RunConfig};
use crate::error::{Context, Error, Kind, Result};
use crate::frame::{ColorTags, Pool};
use crate::head::image::{ImageHead, PictureFacts};
use crate::infer::{self, EngineSettings};
use crate::interrupt;
use crate::measure::{self, Opened, Rest};
use crate::model::Network;
use crate::pipeline::progress::Progress;
use crate::pipeline::stage::Width;
use crate::pipeline::worker::Workshop;
use crate::pipeline::{self, Outcome};
use crate::plan::container::Container;
use crate::plan::encoding::{EncodingPlan, Pictures, Wishes, default_encoder, plan_encoding};
use crate::plan::{Facts, Plan, Threads};
use crate::report::{self, Action, Latency, Report};
use crate::sink::ffmpeg::{self, FfmpegSink, FileJob};
use crate::sink::hash::HashSink;
use crate::sink::images::ImagesSink;
use crate::sink::null::NullSink;
use crate::sink::y4m::Y4mSink;
use crate::sink::{Finished, Sink, VideoFacts};
use crate::source::Damage;

/// The source was damaged, and what could be saved was saved.
const STATUS_DAMAGED: u8 = 3;

/// A run with everything decided and nothing started.
struct Prepared {
    plan: Plan,
    network: Network,
    engine: EngineSettings,
    head: ImageHead,
    opened: Opened,
    rest: Rest,
    video: VideoFacts,
    /// Open already, for an output file.
    encoder: Option<Encoder>,
}

/// Runs a network over a video; the exit status.
pub fn run(config: &RunConfig) -> Result<u8> {
    check_output(config)?;
    let mut prepared = prepare(config)?;
    if let (Output::File(path), Some(encoding)) = (&config.output, &prepared.plan.encoding) {
        let job = job_of(config, &prepared, path, encoding)?;
        prepared.encoder = Some(ffmpeg::rehearse(&job).context(|| describe(&config.output))?);
    }
    if config.dry_run {
        super::print(prepared.plan.to_string().as_bytes())?;
        return Ok(0);
    }
    for warning in &prepared.plan.warnings {
        tracing::warn!("{warning}");
    }
    tracing::info!("plan\n{}", prepared.plan);
    execute(config, prepared)
}

/// Refuses a file to be written, called `what`, that is one to be read, by whatever name.
fn check_not_input(config: &RunConfig, path: &Path, what: &str) -> Result<()> {
    let inputs = [Some(Path::new(&config.input)), config.model_file(), config.model_config.as_deref()];
    let identity = |path: &Path| std::fs::metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()));
    if identity(path).is_some_and(|written| inputs.into_iter().flatten().any(|input| identity(input) == Some(written)))
    {
        let message = format!("{}: the {what} is the input itself; choose another name", path.display());
        return Err(Error::new(Kind::Usage, message));
    }
    Ok(())
}

/// An output that exists, is the input, or has no folder is refused before any work is done.
fn check_output(config: &RunConfig) -> Result<()> {
    if let Some(path) = &config.report {
        check_not_input(config, path, "report")?;
    }
    let Some(path) = config.output.path() else { return Ok(()) };
    let usage = |message: String| Err(Error::new(Kind::Usage, format!("{}: {message}", path.display())));
    check_not_input(config, path, "output")?;
    if path.is_dir() {
        return usage("the output is a folder; add a file name".to_owned());
    }
    if !matches!(config.output, Output::Images(_)) {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        if !folder.is_dir() {
            return usage(format!("the folder {} is not there; make it first", folder.display()));
        }
        let is_stream = std::fs::metadata(path).is_ok_and(|metadata| !metadata.is_file());
        if is_stream && matches!(config.output, Output::File(_)) {
            return usage("a container cannot be written to a pipe or a device; '-' and .y4m can".to_owned());
        }
        let is_regular =
            std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_file() || metadata.is_symlink());
        if is_regular && config.overwrite != Overwrite::Yes {
            return usage("the output is there already; -y replaces it once the new one is complete".to_owned());
        }
    }
    Ok(())
}

/// Looks at everything and decides everything.
fn prepare(config: &RunConfig) -> Result<Prepared> {
    let hardware = measure::hardware();
    let threads = Threads::new(config, hardware);
    let network = measure::open_network(config)?;
    let opened = measure::open_source(config, threads.decoder)?;
    let source = opened.source.facts().clone();
    let engine = engine(config, &network)?;
    let picture =
        PictureFacts { format: source.format, width: source.width, height: source.height, color: source.color };
    let head = ImageHead::new(&network.facts, picture)?;
    let (width, height) = head.output_size();
    let mut video = VideoFacts {
        width,
        height,
        format: head.output_format(),
        color: source.color,
        sample_aspect_ratio: source.sample_aspect_ratio,
        field_order: source.field_order,
        time_base: source.time_base,
        frame_rate: source.frame_rate,
    };
    if source.format.subsampling().is_none() && source.color.matrix == 0 {
        // That of R'G'B', which no encoder of gray pictures takes.
        video.color = ColorTags { matrix: 2, ..video.color };
    }
    let (mut encoding, mut rest) = (None, Rest::default());
    if let Output::File(path) = &config.output {
        let container = Container::of(path);
        let name = config.encoder.as_deref().unwrap_or_else(|| default_encoder(container, source.format.bit_depth));
        let wishes = Wishes {
            crf: config.crf,
            preset: config.preset.clone(),
            options: config.encoder_options.clone(),
            pix_fmt: config.pix_fmt.clone(),
        };
        let facts = measure::encoder(name)?;
        let pictures = Pictures {
            format: video.format,
            size: (width, height),
            field_order: video.field_order,
            hdr: &source.side_data,
        };
        encoding = Some(plan_encoding(&facts, &wishes, container, pictures, threads.encoder)?);
        rest = measure::rest(config, &opened, container, &muxer(path)?)?;
    }
    let facts = Facts {
        source: &source,
        network: &network,
        head: &head,
        engine: infer::facts(&network, &engine)?.to_string(),
        output: describe(&config.output),
        encoding,
        streams: rest.streams.clone(),
        hardware,
    };
    let plan = Plan::new(config, facts)?;
    Ok(Prepared { plan, network, engine, head, opened, rest, video, encoder: None })
}

/// FFmpeg's name of the muxer for an output file.
fn muxer(path: &Path) -> Result<String> {
    let known = Container::of(path).muxer().map(str::to_owned);
    known.or_else(|| crate::av::Output::format_for(path)).ok_or_else(|| {
        Error::new(Kind::Usage, format!("{}: no container is known for this name; try .mkv or .mp4", path.display()))
    })
}

fn engine(config: &RunConfig, network: &Network) -> Result<EngineSettings> {
    let wanted = EngineSettings {
        choice: match config.engine {
            EngineChoice::Auto => infer::EngineChoice::Auto,
            EngineChoice::Native => infer::EngineChoice::Native,
            EngineChoice::Ort => infer::EngineChoice::Ort,
            EngineChoice::OpenVino => infer::EngineChoice::OpenVino,
        },
        precision: match config.precision {
            Precision::Auto | Precision::F32 => infer::Precision::F32,
            Precision::Bf16 => infer::Precision::Bf16,
        },
        threads: 1,
        ..EngineSettings::default()
    };
    infer::choose(network, &wanted)
}

fn describe(output: &Output) -> String {
    match output {
        Output::Stdout => "y4m on stdout".to_owned(),
        Output::Null => "nowhere".to_owned(),
        Output::Md5(None) => "a hash a frame on stdout".to_owned(),
        output => output.path().map(|path| path.display().to_string()).unwrap_or_default(),
    }
}

/// Everything that a run would decide about its output file; for those who write or check one without the chain.
pub fn file_job(config: &RunConfig) -> Result<FileJob> {
    let prepared = prepare(config)?;
    match (&config.output, &prepared.plan.encoding) {
        (Output::File(path), Some(encoding)) => job_of(config, &prepared, path, encoding),
        _ => Err(Error::new(Kind::Usage, format!("{} is no file of a container", config.output))),
    }
}

fn job_of(config: &RunConfig, prepared: &Prepared, path: &Path, encoding: &EncodingPlan) -> Result<FileJob> {
    let (opened, rest) = (&prepared.opened, &prepared.rest);
    Ok(FileJob {
        input: opened.container.clone(),
        input_options: crate::av::InputOptions { protocols: config.protocols.clone() },
        output: path.to_owned(),
        container: Container::of(path),
        muxer: muxer(path)?,
        streams: rest.streams.clone(),
        metadata: rest.metadata.clone(),
        chapters: rest.chapters.clone(),
        video: prepared.video.clone(),
        encoding: encoding.clone(),
        cut: opened.cut,
        has_input_pts: opened.has_input_pts,
    })
}

fn open_sink(config: &RunConfig, prepared: &mut Prepared) -> Result<Box<dyn Sink>> {
    let encoder = prepared.encoder.take();
    let video = &prepared.video;
    Ok(match (&config.output, &prepared.plan.encoding, encoder) {
        (Output::File(path), Some(encoding), Some(encoder)) => {
            Box::new(FfmpegSink::with_encoder(job_of(config, prepared, path, encoding)?, encoder)?)
        }
        (Output::Y4m(path), _, _) => Box::new(Y4mSink::create(path, video)?),
        (Output::Stdout, _, _) => Box::new(Y4mSink::create(Path::new("-"), video)?),
        (Output::Images(pattern), _, _) => Box::new(ImagesSink::create(pattern, video)?),
        (Output::Md5(path), _, _) => Box::new(HashSink::create(path.as_deref().unwrap_or(Path::new("-")), video)?),
        (Output::Null | Output::File(_), _, _) => Box::new(NullSink::default()),
    })
}

/// Runs the chain, finishes the output, reports.
fn execute(config: &RunConfig, mut prepared: Prepared) -> Result<u8> {
    let begun = Instant::now();
    let mut sink = open_sink(config, &mut prepared).context(|| describe(&config.output))?;
    let Prepared { plan, network, engine, head, opened, .. } = &mut prepared;
    let shop = Workshop { network, engine: engine.clone(), head, tiles: plan.tiles.clone(), pool: Pool::new() };
    let width = Width { workers: plan.threads.workers, window: plan.window };
    let mut progress = Progress::new(config.progress, config.quiet, plan.source.n_frames);
    let stop = || interrupt::requested().is_some();
    let source = opened.source.as_mut();
    let (result, outcome) = pipeline::run(width, &shop, source, sink.as_mut(), &mut progress, &stop);
    progress.finish();
    result.context(|| config.input.to_string_lossy())?;
    if outcome.stopped {
        sink.stop().context(|| describe(&config.output))?;
        let part = config
            .output
            .path()
            .map_or_else(String::new, |path| format!("; what is done is in {}.part", path.display()));
        return Err(Error::new(Kind::Interrupted, format!("stopped after {} frames{part}", outcome.n_frames)));
    }
    let finished = sink.finish().context(|| describe(&config.output))?;
    let damage = prepared.opened.source.damage();
    let report = report_of(config, &prepared, &outcome, &finished, &damage, begun);
    conclude(config, &report, &damage, prepared.plan.warnings.len())?;
    Ok(report.exit_status)
}

fn report_of(
    config: &RunConfig,
    prepared: &Prepared,
    outcome: &Outcome,
    finished: &Finished,
    damage: &Damage,
    begun: Instant,
) -> Report {
    let plan = &prepared.plan;
    let wall = begun.elapsed().as_secs_f64();
    let n = outcome.n_frames;
    let pixels = n * (plan.source.width * plan.source.height) as u64;
    let n_damaged = damage.n_frames.max(finished.missing);
    let mut warnings = plan.warnings.clone();
    warnings.extend(prepared.opened.source.warnings());
    warnings.extend(finished.warnings.clone());
    if finished.missing > damage.n_frames {
        warnings.push(format!("{} pictures that the input lists could not be decoded", finished.missing));
    }
    let seconds = |clock: &pipeline::stage::Clock| report::Stage {
        busy_seconds: clock.busy.as_secs_f64(),
        starved_seconds: clock.starved.as_secs_f64(),
        blocked_seconds: clock.blocked.as_secs_f64(),
        items: clock.items,
    };
    let clocks = &outcome.clocks;
    let stages = [("decode", &clocks.take), ("infer", &clocks.work), ("encode", &clocks.put)];
    Report {
        input: config.input.to_string_lossy().into_owned(),
        output: describe(&config.output),
        exit_status: if n_damaged > 0 { STATUS_DAMAGED } else { 0 },
        frames_in: clocks.take.items,
        frames_out: n,
        frames_damaged: n_damaged,
        fps: n as f64 / wall.max(1e-9),
        wall_seconds: wall,
        cpu_seconds: report::cpu_seconds(),
        peak_rss_bytes: report::peak_rss_bytes(),
        device: "cpu".to_owned(),
        engine: plan.engine.clone(),
        plan_hash: plan.hash(),
        pixels_total: pixels,
        pixels_inferred: pixels,
        pixels_reused: 0,
        pixels_cached: 0,
        pixels_outside_roi: 0,
        pixels_computed: n * plan.pixels_computed(),
        batches: n * plan.tiles.len() as u64,
        stages: stages.into_iter().map(|(name, clock)| (name.to_owned(), seconds(clock))).collect(),
        latency_ms: Latency::of(outcome.latencies.clone()),
        bottleneck: bottleneck(outcome, plan.threads.workers).to_owned(),
        verified: finished.verified,
        warnings,
        streams: plan.streams.iter().map(stream_report).collect(),
    }
}

fn stream_report(stream: &crate::plan::container::StreamPlan) -> report::Stream {
    let (action, detail) = stream.describe();
    report::Stream {
        index: stream.input_index,
        kind: stream.kind.name().to_owned(),
        codec: stream.codec.clone(),
        action: match action {
            "processed" => Action::Encoded,
            "copied" => Action::Copied,
            "dropped" => Action::Dropped,
            _ => Action::Converted,
        },
        detail,
    }
}

/// The stage whose threads were busy for the largest share of their time.
fn bottleneck(outcome: &Outcome, workers: usize) -> &'static str {
    let clocks = &outcome.clocks;
    let shares = [
        ("decode", clocks.take.busy.as_secs_f64()),
        ("inference", clocks.work.busy.as_secs_f64() / workers.max(1) as f64),
        ("encode", clocks.put.busy.as_secs_f64()),
    ];
    shares.into_iter().max_by(|a, b| a.1.total_cmp(&b.1)).map_or("", |(name, _)| name)
}

/// Says what came of the run.
fn conclude(config: &RunConfig, report: &Report, damage: &Damage, n_said: usize) -> Result<()> {
    // The plan's own were said before the run.
    for warning in &report.warnings[n_said..] {
        tracing::warn!("{warning}");
    }
    for line in &damage.lines {
        tracing::warn!("damaged source: {line}");
    }
    if let Some(path) = &config.report {
        report::write_json(path, report)?;
    }
    if !config.quiet {
        eprint!("{}", report::summary(report));
    }
    Ok(())
}
