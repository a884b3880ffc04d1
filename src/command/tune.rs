//! Finds settings that are fast for a video by running its first seconds with each, encoding included, and remembers
//! them; later runs of its like use them.
//!
//! Two grids, one after the other: what a worker does (engine, tiles), then how many threads there are of each kind. In
//! each the candidates take turns, and after every turn the slower half goes. What is left at the end has to beat the
//! built-in settings pair by pair.

use std::path::Path;

use super::prepare::{self, Prepared};
use super::process::{Runner, Steps};
use super::row::{Answer, Facts, Spec, Work};
use crate::config::{DeviceChoice, EngineChoice, Output, Precision, RunConfig, TuneConfig, Tuning};
use crate::error::{Error, Kind, Result};
use crate::measure;
use crate::measure::machine;
use crate::measure::tuned::{self, Remembered, Situation};
use crate::model::Network;
use crate::plan::container::Container;
use crate::plan::encoding::default_encoder;
use crate::report::bench::{Figure, Part};
use crate::source::SourceFacts;

/// Frames of the first look at how fast this machine is.
const PILOT_FRAMES: u64 = 8;
/// Frames of a measurement at most.
const MAX_FRAMES: u64 = 300;
/// Pairs of the last comparison.
const PAIRS: usize = 5;
/// What both grids and the last comparison take, in measurements, roughly.
const MEASUREMENTS: f64 = 40.0;
/// Seconds that a process needs to start, roughly.
const START: f64 = 0.5;
/// How many times faster settings must be to be remembered; and such that change the encoder's bits.
const WORTH: f64 = 1.02;
const WORTH_OTHER_BITS: f64 = 1.05;

/// Tunes; the exit status.
pub fn tune(config: &TuneConfig) -> Result<u8> {
    super::pin(&config.run)?;
    let Some(folder) = tuned::folder() else {
        return Err(Error::new(Kind::Usage, "there is no home folder to remember anything in; set HOME"));
    };
    let runner = Runner::new("vproc-tune")?;
    let mut spec = Spec {
        work: Work::Probe,
        frames: PILOT_FRAMES,
        folder: runner.folder().to_owned(),
        clip: None,
        tuning: Tuning::default(),
        warm: true,
    };
    let mut steps = Steps::new(config.run.quiet);
    steps.tell("the input");
    let Answer::Facts(facts) = runner.run(&spec)? else {
        return Err(Error::new(Kind::Internal, "a probe was answered with something else"));
    };
    spec.work = Work::Measure(Part::Chain);
    let mut tune = Tune { runner, spec, steps, n_measured: 0 };
    let Some(pilot) = tune.measure(&Tuning::default())? else {
        let mib = facts.memory >> 20;
        return Err(Error::new(
            Kind::Usage,
            format!("about {mib} MiB are needed and not free; try --memory or --tile"),
        ));
    };
    let each = config.seconds / MEASUREMENTS - START;
    // Two frames a worker at least, so that there is a middle between beginning and end.
    let least = PILOT_FRAMES.max(2 * facts.threads.0 as u64);
    tune.spec.frames = ((each / pilot.max(1e-6)) as u64).clamp(least, MAX_FRAMES.max(least));
    let affordable = (config.seconds / (pilot * tune.spec.frames as f64 + START)) as usize;

    let fastest = tune.halve(&Tuning::default(), works(&config.run, &facts, affordable / 5))?;
    let fastest = tune.halve(&fastest, threads(&config.run, &facts, &fastest, affordable / 4))?;
    let (settings, gain, fps) = tune.decide(fastest)?;
    tune.steps.clear();
    let remembered = Remembered { situation: facts.situation.clone(), date: machine::now(), settings, gain };
    let path = tuned::remember(&folder, &remembered)?;
    super::print(told(&facts, &remembered, fps, &path.to_string_lossy()).as_bytes())?;
    Ok(0)
}

/// What decides which settings are fast for a run.
pub fn situation(config: &RunConfig, network: &Network, source: &SourceFacts) -> Situation {
    let encoder = match &config.output {
        Output::File(path) => {
            let scale = network.facts.scale;
            let made = (source.width * scale, source.height * scale);
            let size = config.size.map_or(made, |size| size.of(made));
            let default = || default_encoder(Container::of(path), source.format, size).to_owned();
            let name = config.encoder.clone().unwrap_or_else(default);
            let preset = config.preset.as_ref().map_or_else(String::new, |preset| format!(" preset={preset}"));
            format!("{name}{preset}")
        }
        _ => "none".to_owned(),
    };
    let codec = source.kind.split(' ').next().unwrap_or_default();
    Situation {
        input: format!("{codec} {}x{} {}", source.width, source.height, source.format),
        encoder,
        ..Situation::of_network(network.origin, config.precision, measure::hardware())
    }
}

/// Decides everything as [`prepare::prepare`] does, with the settings that were found for runs like this, for all that
/// nobody said.
pub fn prepare_tuned(config: &RunConfig) -> Result<(RunConfig, Prepared)> {
    // What is no file may not be opened again with other settings, and what is no container has no decoder worth tuning.
    let is_file = Path::new(&config.input).is_file();
    match tuned::folder().filter(|folder| is_file && tuned::is_any(folder)) {
        Some(folder) => prepare::prepare_recalled(config, |network, source| recalled(&folder, config, network, source)),
        None => Ok((config.clone(), prepare::prepare(config)?)),
    }
}

/// The same options with the settings that were found for runs like this; `None` if none were.
fn recalled(folder: &Path, config: &RunConfig, network: &Network, source: &SourceFacts) -> Option<RunConfig> {
    let found = tuned::recall(folder, &situation(config, network, source))?;
    let mut tuned = config.tuned(found.settings);
    let used = tuned.tuning.clone().unwrap_or_default();
    let day = found.date.split('T').next().unwrap_or_default();
    tuned.tuning_note = Some(match used == Tuning::default() {
        true => format!("{day}: the built-in settings, or those said here"),
        false => format!("{day}: {} ({:.2} times the speed of the built-in settings)", used.describe(), found.gain),
    });
    Some(tuned)
}

/// Settings of the first grid, most promising first, at most so many: engines and tiles.
fn works(config: &RunConfig, facts: &Facts, most: usize) -> Vec<Tuning> {
    let free = |tuning: &Tuning| tuning.clone().where_unsaid(config) == *tuning;
    let mut list = Vec::new();
    let has_choice = !facts.engine.is_empty() && !matches!(config.device, DeviceChoice::Cuda(_));
    if has_choice && config.precision != Precision::Bf16 {
        // By its name, ort may be a newer library than the one that holds OpenVINO too.
        let is_new = |name: &str| name != EngineChoice::Auto.to_string() && (name == "ort" || name != facts.engine);
        let named = EngineChoice::NAMES.iter().filter(|name| is_new(name));
        list.extend(named.map(|name| Tuning { engine: Some((*name).to_owned()), ..Tuning::default() }));
    }
    if facts.may_tile {
        let shorter = facts.size.0.min(facts.size.1);
        let sides = [256, 512, 128].into_iter().filter(|side| side * 4 <= shorter * 3);
        list.extend(sides.map(|side| Tuning { tile: Some(side), ..Tuning::default() }));
    }
    list.retain(free);
    list.truncate(most.max(2));
    list
}

/// Settings of the second grid around `best`, most promising first, at most so many: threads.
fn threads(config: &RunConfig, facts: &Facts, best: &Tuning, most: usize) -> Vec<Tuning> {
    let free = |tuning: &Tuning| tuning.clone().where_unsaid(config) == *tuning;
    let (workers, decoder, encoder) = facts.threads;
    let with = |workers: Option<usize>, decoder: Option<usize>, encoder: Option<usize>| Tuning {
        workers,
        decoder,
        encoder,
        ..best.clone()
    };
    let fewer = Some(workers - 1).filter(|n| *n > 0);
    let mut list = vec![
        with(None, Some(1), None),
        with(Some(workers + 1), None, None),
        with(None, None, Some(1)),
        with(None, Some(1), Some(1)),
        with(fewer, None, None),
        with(Some(workers + 1), Some(1), None),
        with(None, None, Some(encoder * 2)),
        with(fewer, None, Some(encoder + 1)),
    ];
    // With one thread already, one thread is nothing new.
    list.retain(|it| free(it) && *it != *best && !(it.decoder == Some(decoder) || it.encoder == Some(encoder)));
    list.truncate(most.max(2));
    list
}

struct Tune {
    runner: Runner,
    spec: Spec,
    steps: Steps,
    n_measured: usize,
}

/// Settings with the seconds a frame that each of their measurements took.
struct Candidate {
    tuning: Tuning,
    seconds: Vec<f64>,
}

impl Candidate {
    fn figure(&self) -> f64 {
        Figure::of(self.seconds.clone()).median
    }
}

impl Tune {
    /// Seconds a frame; `None` if the machine has no room for it.
    fn measure(&mut self, tuning: &Tuning) -> Result<Option<f64>> {
        self.n_measured += 1;
        self.steps.tell(&format!("settings: measurement {}, {}", self.n_measured, tuning.describe()));
        self.spec.tuning = tuning.clone();
        match self.runner.run(&self.spec)? {
            Answer::Repeat(repeat) => Ok(Some(repeat.wall_seconds / repeat.frames.max(1) as f64)),
            _ => Ok(None),
        }
    }

    /// The fastest of `base` and `others`; those that fail are out.
    fn halve(&mut self, base: &Tuning, others: Vec<Tuning>) -> Result<Tuning> {
        let all = std::iter::once(base.clone()).chain(others);
        let mut left: Vec<_> = all.map(|tuning| Candidate { tuning, seconds: Vec::new() }).collect();
        while left.len() > 1 {
            let mut fit = Vec::new();
            for mut candidate in left {
                match self.measure(&candidate.tuning) {
                    Ok(Some(seconds)) => {
                        candidate.seconds.push(seconds);
                        fit.push(candidate);
                    }
                    Err(error) if error.kind() == Kind::Interrupted => return Err(error),
                    Ok(None) | Err(_) => tracing::debug!("{} is out", candidate.tuning.describe()),
                }
            }
            fit.sort_by(|a, b| a.figure().total_cmp(&b.figure()));
            fit.truncate(fit.len().div_ceil(2));
            left = fit;
        }
        Ok(left.pop().map_or_else(|| base.clone(), |candidate| candidate.tuning))
    }

    /// The settings to remember, how many times faster they are than the built-in ones, and frames a second of both.
    fn decide(&mut self, best: Tuning) -> Result<(Tuning, f64, (f64, f64))> {
        let built_in = Tuning::default();
        let (mut ratios, mut of_built_in, mut of_best) = (Vec::new(), Vec::new(), Vec::new());
        for pair in 0..PAIRS {
            let mut seconds = [0.0; 2];
            let order: [usize; 2] = if pair % 2 == 0 { [0, 1] } else { [1, 0] };
            for which in order {
                let tuning = if which == 0 { &built_in } else { &best };
                let Some(measured) = self.measure(tuning)? else { continue };
                seconds[which] = measured;
            }
            of_built_in.push(seconds[0]);
            of_best.push(seconds[1]);
            ratios.push(seconds[0] / seconds[1].max(1e-12));
            if best == built_in {
                break;
            }
        }
        let fps = |seconds: Vec<f64>| 1.0 / Figure::of(seconds).median.max(1e-12);
        let fps = (fps(of_built_in), fps(of_best));
        let gain = Figure::of(ratios.clone()).median;
        let worth = if best.encoder.is_some() { WORTH_OTHER_BITS } else { WORTH };
        let agree = ratios.iter().filter(|ratio| **ratio > 1.0).count();
        if best == built_in || gain < worth || agree * 4 < ratios.len() * 3 {
            return Ok((built_in, 1.0, (fps.0, fps.0)));
        }
        Ok((best, gain, fps))
    }
}

fn told(facts: &Facts, remembered: &Remembered, fps: (f64, f64), path: &str) -> String {
    let Remembered { situation, settings, gain, .. } = remembered;
    let mut text = format!("{} on {} with {}\n", facts.network.0, situation.input, situation.encoder);
    let (workers, decoder, encoder) = facts.threads;
    text += &format!(
        "built-in settings: {:.2} fps (workers {workers}, decoder threads {decoder}, encoder threads {encoder}, {})\n",
        fps.0, facts.engine_text
    );
    text += &match settings == &Tuning::default() {
        true => "nothing tried is faster by enough to be worth it\n".to_owned(),
        false => format!("fastest: {:.2} fps, {gain:.2} times as fast: {}\n", fps.1, settings.describe()),
    };
    if settings.encoder.is_some() {
        text += "the number of encoder threads changes the bits of the video, not its quality\n";
    }
    if settings.engine.is_some() {
        text += "another engine rounds differently in the last bits\n";
    }
    text + &format!("later runs like this use it: {path}\n")
}
