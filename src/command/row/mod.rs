//! One measurement of `bench` or `tune`, in a process of its own: described by a [`Spec`] on the command line, answered
//! with one line of JSON on stdout.
//!
//! A process a measurement makes the peak of memory that of the part measured, gives every repeat the same cold start,
//! and keeps what a part does to the process (heaps, caches, threads) away from the next. What is measured begins when
//! everything is open and every worker has its engine and has run it once, and ends with the verified output.

mod alone;
mod gate;
mod stages;
mod whole;

use std::ffi::OsStr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::prepare::{self, Prepared};
use super::tune::situation;
use crate::config::{EngineChoice, Output, Overwrite, ProgressMode, RunConfig, Tile, Tuning};
use crate::error::{Error, Kind, Result};
use crate::interrupt;
use crate::measure::machine;
use crate::measure::tuned::Situation;
use crate::report::bench::{Part, Repeat};
use crate::sandbox::Grants;

/// Workers of a plain loop.
const ONE: usize = 1;

/// What runs the network in one, where nobody names OpenVINO: vproc's own engine has no threads inside.
const PLAIN_ENGINE: EngineChoice = EngineChoice::Ort;

/// What to do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Work {
    /// Make a clip of this size.
    Clip(usize, usize),
    /// Tell what a run would be like.
    Probe,
    /// Measure.
    Measure(Part),
}

/// A measurement.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spec {
    /// What to do.
    pub work: Work,
    /// How many frames at most, 1 or more.
    pub frames: u64,
    /// Where clips and outputs go.
    pub folder: PathBuf,
    /// The clip to make or to read; `None` reads the run's own input.
    pub clip: Option<PathBuf>,
    /// Settings to run with.
    pub tuning: Tuning,
    /// Every worker runs the network once before time is taken.
    pub warm: bool,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Answer {
    /// The clip is there.
    Made,
    /// What a run would be like.
    Facts(Box<Facts>),
    /// The measurement.
    Repeat(Repeat),
    /// It cannot be measured on this machine.
    Skipped(String),
}

/// What a run would be like.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// Luma samples a row, and rows.
    pub size: (usize, usize),
    /// The same of the output.
    pub output_size: (usize, usize),
    /// Frames of the input, where that is known.
    pub n_frames: Option<u64>,
    /// The source's kind and pixel format.
    pub source: String,
    /// The network's name and hash.
    pub network: (String, String),
    /// The engine by its name on the command line; empty for networks that need none.
    pub engine: String,
    /// The engine with its version.
    pub engine_text: String,
    /// The encoder with its options.
    pub encoder: String,
    /// Workers, threads of the decoder, threads of the encoder.
    pub threads: (usize, usize, usize),
    /// Frames are cut into windows only because nobody said otherwise.
    pub may_tile: bool,
    /// Windows a frame.
    pub windows: usize,
    /// Bytes, by the plan's estimate.
    pub memory: u64,
    /// What settings are remembered for.
    pub situation: Situation,
}

/// A measurement that is understood.
pub struct Row {
    spec: Spec,
    config: RunConfig,
}

impl Row {
    /// The measurement that `spec` describes, of a run with the options of `config`.
    pub fn new(config: &RunConfig, spec: &OsStr) -> Result<Row> {
        let spec: Spec = serde_json::from_str(&spec.to_string_lossy()).map_err(|error| {
            Error::new(Kind::Usage, format!("--row is how vproc starts itself, and this it would not say: {error}"))
        })?;
        let mut config = RunConfig {
            overwrite: Overwrite::Yes,
            progress: ProgressMode::None,
            dry_run: false,
            report: None,
            trace: None,
            ..config.clone()
        };
        if let Some(clip) = &spec.clip {
            config.input = clip.into();
        }
        config.frames = Some(config.frames.map_or(spec.frames, |frames| frames.min(spec.frames)));
        let name = match spec.work {
            Work::Measure(Part::Encode) => "encode",
            Work::Measure(Part::Plain) => "plain",
            _ => "chain",
        };
        config.output = match &config.output {
            Output::File(path) => {
                Output::File(spec.folder.join(name).with_extension(path.extension().unwrap_or_default()))
            }
            Output::Null => Output::File(spec.folder.join(name).with_extension("mkv")),
            _ => Output::Null,
        };
        match (&spec.work, &spec.clip) {
            (Work::Clip(width, height), Some(clip)) => {
                config.input = format!("pattern:{width}x{height}@24,frames={},grain=2", spec.frames).into();
                config.frames = None;
                config.output = Output::File(clip.clone());
                config.model = "identity".into();
                config.size = None;
                config.encoder = Some("libx264".to_owned());
                (config.preset, config.crf, config.pix_fmt) = (Some("veryfast".to_owned()), Some(20.0), None);
                config.encoder_options = Vec::new();
            }
            (Work::Measure(Part::Plain), _) => {
                (config.tile, config.workers) = (Tile::Off, Some(ONE));
                if config.engine != EngineChoice::OpenVino {
                    config.engine = PLAIN_ENGINE;
                }
            }
            (Work::Measure(Part::Encode), _) => {
                config.input = spec.chain_output(&config).into();
                config.model = "identity".into();
                // The chain's output begins where the cut began.
                (config.start, config.end) = (None, None);
            }
            _ => {}
        }
        // What is measured is computing.
        let config = RunConfig { no_cache: true, ..config.tuned(spec.tuning.clone()) };
        Ok(Row { spec, config })
    }

    /// What it touches.
    pub fn grants(&self) -> Grants {
        super::run_grants(&self.config)
    }

    /// Measures, and tells what came of it; the exit status.
    pub fn run(self) -> Result<u8> {
        super::pin(&self.config)?;
        let answer = self.answer()?;
        let text = serde_json::to_string(&answer)
            .map_err(|error| Error::new(Kind::Internal, format!("the answer is no JSON: {error}")))?;
        super::print(format!("{text}\n").as_bytes())?;
        Ok(0)
    }

    fn answer(&self) -> Result<Answer> {
        let Row { spec, config } = self;
        let mut prepared = prepare::prepare(config)?;
        if spec.work == Work::Probe {
            return Ok(Answer::Facts(Box::new(facts(config, &prepared))));
        }
        let (_, available) = machine::memory();
        if prepared.plan.memory > available && available > 0 {
            let mib = |bytes: u64| bytes >> 20;
            let (needs, free) = (mib(prepared.plan.memory), mib(available));
            return Ok(Answer::Skipped(format!("about {needs} MiB are needed, {free} are free")));
        }
        prepare::rehearse(config, &mut prepared)?;
        match &spec.work {
            Work::Clip(..) => whole::chain(config, prepared, false).map(|_| Answer::Made),
            Work::Probe => Err(Error::new(Kind::Internal, "a probe measures nothing")),
            Work::Measure(part) => {
                let repeat = match part {
                    Part::Chain => whole::chain(config, prepared, spec.warm)?,
                    Part::Plain => whole::plain(config, prepared, spec.warm)?,
                    Part::Decode => alone::decode(config, prepared)?,
                    Part::Encode => alone::encode(config, prepared)?,
                    Part::Preprocess | Part::Inference | Part::Postprocess => alone::in_workers(*part, prepared, spec)?,
                };
                Ok(Answer::Repeat(repeat))
            }
        }
    }
}

impl Spec {
    fn chain_output(&self, config: &RunConfig) -> PathBuf {
        let extension = config.output.path().and_then(|path| path.extension()).unwrap_or(OsStr::new("mkv"));
        self.folder.join("chain").with_extension(extension)
    }
}

fn facts(config: &RunConfig, prepared: &Prepared) -> Facts {
    let plan = &prepared.plan;
    let encoder = plan.encoding.as_ref().map_or_else(String::new, |encoding| {
        let said = ["preset", "crf", "qp", "b"];
        let options = encoding.options.iter().filter(|(key, _)| said.contains(&key.as_str()));
        let options: Vec<_> = options.map(|(key, value)| format!(" {key}={value}")).collect();
        format!("{} {}{}", encoding.encoder, encoding.pixel_format, options.concat())
    });
    Facts {
        size: (plan.source.width, plan.source.height),
        output_size: plan.output_size,
        n_frames: plan.source.n_frames,
        source: format!("{} {}", plan.source.kind, plan.source.format),
        network: (plan.network.0.clone(), format!("{:032x}", prepared.network.origin)),
        engine: prepare::engine_name(&prepared.engine).map_or_else(String::new, |engine| engine.to_string()),
        engine_text: plan.engine.clone(),
        encoder,
        threads: (plan.threads.workers, plan.threads.decoder, plan.threads.encoder),
        may_tile: config.tile == Tile::Auto && plan.facts.radius.is_some() && plan.facts.fixed_size.is_none(),
        windows: plan.windows.whole.len(),
        memory: plan.memory,
        situation: situation(config, &prepared.network, &plan.source),
    }
}

fn check_interrupt() -> Result<()> {
    match interrupt::requested() {
        Some(_) => Err(Error::new(Kind::Interrupted, "stopped")),
        None => Ok(()),
    }
}
