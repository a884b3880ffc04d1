//! What a run opens and decides before its first frame: from what was asked to a [`Prepared`], which the run, the bench
//! and the tuning share.
//!
//! Nothing here starts a thread of the chain or writes an output.

use std::path::Path;
use std::sync::Arc;
use std::thread;

use super::color;
use crate::cache::Cache;
use crate::config::{DeviceChoice, EngineChoice, Origin, Output, PictureSize, Precision, RunConfig, Tuning, value};
use crate::error::{Context, Error, Kind, Result};
use crate::frame::FieldOrder;
use crate::gpu::{self, Devices};
use crate::head::fit::Fit;
use crate::head::image::{ImageHead, PictureFacts};
use crate::infer::{self, EngineSettings};
use crate::measure::tuned::{self, Remembered, Situation};
use crate::measure::{self, Opened, Rest, machine};
use crate::model::{Network, NetworkCode};
use crate::plan::container::{Container, StreamPlan, Treatment, fit_matrix};
use crate::plan::encoding::{EncodingPlan, Pictures, Wishes, default_encoder, plan_encoding};
use crate::plan::finding;
use crate::plan::segments::{self, Segments};
use crate::plan::strength::Strength;
use crate::plan::{Facts, Plan, Threads};
use crate::sequence;
use crate::sink::ffmpeg::FfmpegSink;
use crate::sink::hash::HashSink;
use crate::sink::images::ImagesSink;
use crate::sink::job::FileJob;
use crate::sink::mux::{self, Rehearsed};
use crate::sink::null::NullSink;
use crate::sink::y4m::Y4mSink;
use crate::sink::{Sink, VideoFacts};
use crate::source::SourceFacts;
use crate::time::Ratio;

/// A run with everything decided and nothing started.
pub struct Prepared {
    /// What was decided.
    pub plan: Plan,
    /// The network.
    pub network: Network,
    /// What runs it, and how.
    pub engine: EngineSettings,
    /// Between pictures and tensors.
    pub head: ImageHead,
    /// The source, open.
    pub opened: Opened,
    /// What else goes over from the input's container.
    pub rest: Rest,
    /// What the sink gets.
    pub video: VideoFacts,
    /// What [`rehearse`] opened, for an output file.
    pub rehearsed: Option<Rehearsed>,
}

impl Prepared {
    /// What brings pictures out of the network to the size that was asked for, if that is another one.
    pub fn fit(&self) -> Option<Fit> {
        let (head, size) = (&self.head, self.plan.output_size);
        let (width, height) = head.output_size();
        let made = PictureFacts { format: head.output_format(), width, height, color: self.video.color };
        ((width, height) != size).then(|| Fit::new(made, size))
    }
}

/// A run's network and source, open, of which nothing is decided yet.
struct Subject {
    network: Network,
    opened: Opened,
    /// Threads of the decoder.
    threads: usize,
}

impl Subject {
    /// Opens both. The decoder's threads are busy with the first frame meanwhile, so there is time for something `beside`
    /// it that only needs the network.
    fn open<T: Send>(config: &RunConfig, beside: impl FnOnce(&Network) -> T + Send) -> Result<(Subject, T)> {
        let threads = Threads::new(config, measure::hardware()).decoder;
        let network = measure::open_network(config)?;
        let (opened, beside) = thread::scope(|scope| {
            let beside = scope.spawn(|| beside(&network));
            let opened = measure::open_source(config, threads);
            (opened, beside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        });
        Ok((Subject { opened: opened?, network, threads }, beside))
    }
}

/// Looks at everything and decides everything.
pub fn prepare(config: &RunConfig) -> Result<Prepared> {
    let (subject, engine) = Subject::open(config, |network| engine(config, network))?;
    decide(config, subject, engine?)
}

/// The same with the settings that `recall` knows for such a network and source, where it knows any.
pub fn prepare_recalled(
    config: &RunConfig,
    recall: impl FnOnce(&Network, &SourceFacts) -> Option<RunConfig>,
) -> Result<(RunConfig, Prepared)> {
    let (mut subject, ()) = Subject::open(config, |_| gpu::look())?;
    let config = recall(&subject.network, subject.opened.source.facts()).unwrap_or_else(|| config.clone());
    let threads = Threads::new(&config, measure::hardware()).decoder;
    if threads != subject.threads {
        subject.opened = measure::open_source(&config, threads)?;
    }
    let engine = engine(&config, &subject.network)?;
    let prepared = decide(&config, subject, engine)?;
    Ok((config, prepared))
}

/// Decides everything about what is open. With the engine comes why it is not on a CUDA device, where that was left open.
fn decide(config: &RunConfig, subject: Subject, engine: (EngineSettings, Option<String>)) -> Result<Prepared> {
    let hardware = measure::hardware();
    let threads = Threads::new(config, hardware);
    let (Subject { network, opened, .. }, (engine, no_gpu)) = (subject, engine);
    let source = opened.source.facts().clone();
    let (network, strength) = strength(config, network, &opened)?;
    let network_bytes = match &network.code {
        NetworkCode::Onnx(bytes) => bytes.len() as u64,
        NetworkCode::Identity | NetworkCode::NearestX2 => 0,
    };
    let network = infer::suited(network, &engine, (source.width, source.height))?;
    let picture =
        PictureFacts { format: source.format, width: source.width, height: source.height, color: source.color };
    let head = ImageHead::new(&network.facts, picture)?;
    let made = head.output_size();
    let (width, height) = size(config, made)?;
    let mut video = VideoFacts {
        width,
        height,
        format: head.output_format(),
        color: source.color,
        sample_aspect_ratio: shape(config.size, source.sample_aspect_ratio, made, (width, height)),
        field_order: source.field_order,
        time_base: source.time_base,
        frame_rate: source.frame_rate,
    };
    let (mut encoding, mut rest) = (None, Rest { streams: opened.streams.clone(), ..Rest::default() });
    if let Output::File(path) = &config.output {
        let container = Container::of(path);
        let default = || default_encoder(container, video.format, (width, height));
        let name = config.encoder.as_deref().unwrap_or_else(default);
        let wishes = Wishes::of(config);
        let facts = measure::encoder(name)?;
        let pictures = Pictures {
            format: video.format,
            size: (width, height),
            field_order: video.field_order,
            hdr: &source.side_data,
        };
        encoding = Some(plan_encoding(&facts, &wishes, container, pictures, threads.encoder)?);
        rest = measure::rest(config, &opened, container, &muxer(path)?)?;
        fit_matrix(&mut rest.streams, (source.width, source.height), (width, height));
    }
    video.color = color::of_output(&config.output, &source, encoding.as_ref())?;
    let opaque = lost_opacity(&mut rest);
    let size_in = (source.width, source.height);
    let (columns, rows) = network.facts.detector.as_ref().map_or(size_in, |detector| detector.input_size(size_in));
    let pixels_in = columns * rows;
    let segments = match &encoding {
        None => Segments::None,
        Some(encoding) => {
            let run = segments::Run {
                encoding,
                is_repeatable: is_repeatable(config),
                has_overlay: config.debug_overlay,
                tells_found: config.detections.is_some() && network.facts.detector.is_some(),
                hides: network.facts.detector.is_some() && finding::effect(config.task).hides(),
                n_frames: source.n_frames,
                frame_rate: source.frame_rate,
                pixels_in: pixels_in as u64,
                pixels_out: (width * height) as u64,
                network_bytes,
                cores: hardware.cores,
            };
            Segments::new(config.segment_frames, config.no_resume, &run)
        }
    };
    let engine_facts = infer::facts(&network, &engine)?;
    let facts = Facts {
        source: &source,
        network: &network,
        strength,
        head: &head,
        engine: engine_facts.to_string(),
        device: engine_facts.device,
        no_gpu,
        workers: engine.devices.as_ref().map(|devices| devices.count() * gpu::WORKERS),
        working: infer::working(&network, &engine)?,
        cache_memory: config.cache_folder().map_or(0, |folder| Cache::memory(&folder, config.cache_size)),
        output: describe(&config.output),
        size: (width, height),
        roi: measure::roi(config, (source.width, source.height))?,
        encoding,
        segments,
        streams: rest.streams.clone(),
        hardware,
    };
    let mut plan = Plan::new(config, facts)?;
    plan.warnings.extend(opaque);
    if plan.windows.whole.len() > 1
        && engine.choice != infer::EngineChoice::Native
        && let Some(resize) = network.drifting((source.width, source.height))
    {
        let how = "which this engine rounds otherwise in windows than in whole frames";
        plan.warnings
            .push(format!("frames are run in windows, and the network has {resize}, {how}: a code here and there"));
    }
    plan.warnings.extend(plan.encoding.as_ref().and_then(|encoding| color::warning(&source, encoding)));
    if height != made.1 && source.field_order != FieldOrder::Progressive {
        plan.warnings
            .push("--size mixes the fields of interlaced frames; --deinterlace auto parts them first".to_owned());
    }
    Ok(Prepared { plan, network, engine, head, opened, rest, video, rehearsed: None })
}

/// WebM keeps opacity beside the pictures, where FFmpeg's own decoders do not look: then the output has none and does not
/// say that it has; what a person should hear of it.
fn lost_opacity(rest: &mut Rest) -> Option<String> {
    let of_webm = |codec: &str| matches!(codec, "vp8" | "vp9");
    let is_video = |plan: &&mut StreamPlan| plan.treatment == Treatment::Process && of_webm(&plan.codec);
    let video = rest.streams.iter_mut().find(is_video)?;
    let n_said = video.about.metadata.len();
    video.about.metadata.retain(|(key, value)| !(key.eq_ignore_ascii_case("alpha_mode") && value == "1"));
    let is_lost = video.about.metadata.len() < n_said;
    is_lost.then(|| format!("the opacity of the {} pictures is not decoded; the output is opaque", video.codec))
}

/// The size of the output's pictures, of which the network makes those of size `made`.
fn size(config: &RunConfig, made: (usize, usize)) -> Result<(usize, usize)> {
    let Some(wanted) = config.size else { return Ok(made) };
    let (width, height) = wanted.of(made);
    if width.max(height) <= value::MAX_SIDE {
        return Ok((width, height));
    }
    let (from, most) = (format!("{}x{}", made.0, made.1), value::MAX_SIDE);
    let message = format!("--size: {from} becomes {width}x{height}, expected sides up to {most}; name both sides");
    Err(Error::new(Kind::Usage, message))
}

/// The sample aspect ratio with which pictures are shown in their shape. Where one side follows from the other it is
/// theirs, unless rounding has changed it by more than anybody would overlook.
fn shape(wanted: Option<PictureSize>, theirs: Ratio, made: (usize, usize), size: (usize, usize)) -> Ratio {
    let bent = (made.0 * size.1) as f64 / (made.1 * size.0) as f64 - 1.0;
    match wanted {
        Some(PictureSize::Exact(..)) => theirs.reshaped(made, size),
        Some(_) if bent.abs() > 0.01 => theirs.reshaped(made, size),
        _ => theirs,
    }
}

/// Tells the network how strongly to act, where it can be told: as asked, or by how the source was coded. What a file
/// says for all networks is not meant for those that cannot be told.
fn strength(config: &RunConfig, network: Network, opened: &Opened) -> Result<(Network, Option<Strength>)> {
    let strength = match (config.strength, &network.dial) {
        (None, Some(dial)) if dial.has_advice() => Strength::suited(dial, &measure::coding(config, opened)?),
        (Some(_), None) if config.origin("strength") != Origin::CommandLine => return Ok((network, None)),
        (None, _) => return Ok((network, None)),
        (Some(value), _) => Strength::asked(value),
    };
    Ok((network.with_strength(strength.value)?, Some(strength)))
}

/// Opens the encoder of an output file, and tries whether the container takes what comes out of it.
pub fn rehearse(config: &RunConfig, prepared: &mut Prepared) -> Result<()> {
    if let (Output::File(path), Some(encoding)) = (&config.output, &prepared.plan.encoding) {
        let job = job_of(config, prepared, path, encoding)?;
        let input = prepared.rest.input.take();
        prepared.rehearsed = Some(mux::rehearse(&job, input).context(|| describe(&config.output))?);
    }
    Ok(())
}

/// Whether the input gives the same frames when it is read again: a file, pictures or a test picture, not a pipe.
fn is_repeatable(config: &RunConfig) -> bool {
    let path = Path::new(&config.input);
    let is_named = || sequence::is_pattern(path) || config.input.to_string_lossy().starts_with("pattern:");
    path.is_file() || !path.exists() && is_named()
}

/// FFmpeg's name of the muxer for an output file.
fn muxer(path: &Path) -> Result<String> {
    let known = Container::of(path).muxer().map(str::to_owned);
    known.or_else(|| crate::av::Output::format_for(path)).ok_or_else(|| {
        Error::new(Kind::Usage, format!("{}: no container is known for this name; try .mkv or .mp4", path.display()))
    })
}

/// What runs the network, and why not a CUDA device where that was left open.
fn engine(config: &RunConfig, network: &Network) -> Result<(EngineSettings, Option<String>)> {
    let wanted = EngineSettings {
        choice: match config.engine {
            EngineChoice::Auto => infer::EngineChoice::Auto,
            EngineChoice::Native => infer::EngineChoice::Native,
            EngineChoice::Ort => infer::EngineChoice::Ort,
            EngineChoice::OpenVino => infer::EngineChoice::OpenVino,
        },
        precision: match config.precision {
            Precision::Auto | Precision::F32 => infer::Precision::F32,
            Precision::Tf32 => infer::Precision::Tf32,
            Precision::Bf16 => infer::Precision::Bf16,
        },
        threads: 1,
        ..EngineSettings::default()
    };
    let on_devices = |numbers: &[usize]| {
        let workers = config.workers.map_or(gpu::WORKERS, |workers| workers.div_ceil(numbers.len().max(1)));
        let devices = Some(Arc::new(Devices::open(numbers, workers)?));
        infer::choose(network, &EngineSettings { devices, ..wanted.clone() })
    };
    let is_for_processors = matches!(config.engine, EngineChoice::Native | EngineChoice::OpenVino)
        || config.precision == Precision::Bf16
        || !matches!(network.code, NetworkCode::Onnx(_));
    match &config.device {
        DeviceChoice::Cuda(numbers) => Ok((on_devices(numbers)?, None)),
        DeviceChoice::Auto if !is_for_processors => match on_devices(&[0]) {
            Ok(engine) => Ok((engine, None)),
            Err(why) => Ok((on_processor(config, network, wanted)?, Some(why.to_string()))),
        },
        DeviceChoice::Auto | DeviceChoice::Cpu => Ok((on_processor(config, network, wanted)?, None)),
    }
}

/// What runs the network on the processor. Which engine is the fastest is tried once and remembered, so that runs of one
/// network do not differ by what else the machine did meanwhile.
fn on_processor(config: &RunConfig, network: &Network, wanted: EngineSettings) -> Result<EngineSettings> {
    let folder = tuned::folder().filter(|_| config.tries_engines());
    let Some(folder) = folder else {
        let chosen = infer::choose(network, &wanted)?;
        if chosen.choice == infer::EngineChoice::OpenVino
            && let Err(why) = infer::trial::check(network, &chosen)
        {
            tracing::warn!("OpenVINO may not run {} rightly: {why}; try --engine ort", network.name);
        }
        return Ok(chosen);
    };
    let situation = Situation::of_network(network.origin, config.precision, measure::hardware());
    if let Some(remembered) = tuned::recall(&folder, &situation)
        && let Some(choice) = remembered.settings.engine.as_deref().and_then(named_engine)
    {
        tracing::debug!("engine remembered from {}: {choice:?}", remembered.date);
        if choice != infer::EngineChoice::Native {
            // The trial's library, which is not the first choice of an engine that was asked for by name.
            infer::ort::library(infer::EngineChoice::Auto)?;
        }
        return infer::choose(network, &EngineSettings { choice, ..wanted });
    }
    let chosen = infer::choose(network, &wanted)?;
    if !config.dry_run {
        let settings = Tuning { engine: engine_name(&chosen).map(|name| name.to_string()), ..Tuning::default() };
        let remembered = Remembered { situation, date: machine::now(), settings, gain: 1.0 };
        if let Err(error) = tuned::remember(&folder, &remembered) {
            tracing::debug!("the engine's trial is not remembered: {error}");
        }
    }
    Ok(chosen)
}

/// The engine of this name on the command line.
fn named_engine(name: &str) -> Option<infer::EngineChoice> {
    match EngineChoice::parse(name).ok()? {
        EngineChoice::Auto => None,
        EngineChoice::Native => Some(infer::EngineChoice::Native),
        EngineChoice::Ort => Some(infer::EngineChoice::Ort),
        EngineChoice::OpenVino => Some(infer::EngineChoice::OpenVino),
    }
}

/// The engine by its name on the command line, once it is decided.
pub fn engine_name(engine: &EngineSettings) -> Option<EngineChoice> {
    match engine.choice {
        infer::EngineChoice::Auto => None,
        infer::EngineChoice::Native => Some(EngineChoice::Native),
        infer::EngineChoice::Ort => Some(EngineChoice::Ort),
        infer::EngineChoice::OpenVino => Some(EngineChoice::OpenVino),
    }
}

/// An output for people.
pub fn describe(output: &Output) -> String {
    match output {
        Output::Stdout => "y4m on stdout".to_owned(),
        Output::Null => "nowhere".to_owned(),
        Output::Md5(None) => "a hash a frame on stdout".to_owned(),
        output => output.path().map(|path| path.display().to_string()).unwrap_or_default(),
    }
}

/// Everything that a run would decide about its output file; for those who write or check one without the chain.
pub fn file_job(config: &RunConfig) -> Result<FileJob> {
    job(config, &prepare(config)?)
}

/// What was decided about the output file.
pub fn job(config: &RunConfig, prepared: &Prepared) -> Result<FileJob> {
    match (&config.output, &prepared.plan.encoding) {
        (Output::File(path), Some(encoding)) => job_of(config, prepared, path, encoding),
        _ => Err(Error::new(Kind::Usage, format!("{} is no file of a container", config.output))),
    }
}

fn job_of(config: &RunConfig, prepared: &Prepared, path: &Path, encoding: &EncodingPlan) -> Result<FileJob> {
    let (opened, rest) = (&prepared.opened, &prepared.rest);
    Ok(FileJob {
        input: opened.container.clone(),
        input_options: measure::input_options(config),
        output: path.to_owned(),
        container: Container::of(path),
        muxer: muxer(path)?,
        streams: rest.streams.clone(),
        metadata: rest.metadata.clone(),
        chapters: rest.chapters.clone(),
        video: prepared.video.clone(),
        frame_color: prepared.plan.source.color.settled(prepared.plan.source.height),
        encoding: encoding.clone(),
        cut: opened.cut,
        has_input_pts: opened.has_input_pts,
    })
}

/// The sink that the output asks for; takes what was rehearsed.
pub fn open_sink(config: &RunConfig, prepared: &mut Prepared) -> Result<Box<dyn Sink>> {
    let rehearsed = prepared.rehearsed.take();
    let video = &prepared.video;
    Ok(match (&config.output, &prepared.plan.encoding, rehearsed) {
        (Output::File(path), Some(encoding), Some(rehearsed)) => {
            Box::new(FfmpegSink::rehearsed(job_of(config, prepared, path, encoding)?, rehearsed)?)
        }
        (Output::Y4m(path), _, _) => Box::new(Y4mSink::create(path, video)?),
        (Output::Stdout, _, _) => Box::new(Y4mSink::create(Path::new("-"), video)?),
        (Output::Images(pattern), _, _) => {
            let color = video.color.settled(prepared.opened.source.facts().height);
            Box::new(ImagesSink::create(pattern, &VideoFacts { color, ..video.clone() })?)
        }
        (Output::Md5(path), _, _) => Box::new(HashSink::create(path.as_deref().unwrap_or(Path::new("-")), video)?),
        (Output::Null | Output::File(_), _, _) => Box::new(NullSink::default()),
    })
}
