//! Measures the chain and its parts on this machine: plans what fits the time, starts a process for each measurement,
//! and shows what came of it.
//!
//! The parts take turns, and every other turn goes backwards, so that what the machine does meanwhile meets all alike.
//! Nothing is decoded, computed or encoded in this process.

use std::collections::BTreeMap;
use std::path::Path;

use super::outputs;
use super::process::{Runner, Steps};
use super::row::{Answer, Facts, Spec, Work};
use crate::config::{BenchConfig, EngineChoice, Resolution, RunConfig, Tuning};
use crate::error::{Error, Kind, Result};
use crate::measure::machine;
use crate::report::bench::change;
use crate::report::bench::chart::chart;
use crate::report::bench::table::table;
use crate::report::bench::{Machine, Measured, Part, Results, Row};
use crate::report::json::write_whole;
use crate::{av, measure};

/// Frames of the first look at how fast this machine is.
const PILOT_FRAMES: u64 = 8;
/// Frames of a measurement at most; more tell nothing new.
const MAX_FRAMES: u64 = 240;
/// Frames of a measurement of what takes little time, at least.
const MANY_FRAMES: u64 = 24;
/// Repeats at most, and how many there should be at least.
const MAX_REPEATS: u64 = 7;
const GOOD_REPEATS: f64 = 3.0;
/// Seconds that a process needs to start, roughly.
const START: f64 = 0.5;
/// A frame that takes a core this long, in seconds, needs no warm-up: what the first one costs more is little of it.
const SLOW: f64 = 4.0;

/// Measures; the exit status.
pub fn bench(config: &BenchConfig) -> Result<u8> {
    super::pin(&config.run)?;
    outputs::check_bench(config)?;
    let runner = Runner::new("vproc-bench")?;
    let mut results = Results {
        vproc: env!("CARGO_PKG_VERSION").to_owned(),
        date: machine::now(),
        command: std::env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned()).collect(),
        machine: Machine {
            cpu: machine::cpu_name(),
            cores: measure::hardware().cores,
            memory_bytes: machine::memory().0,
            system: machine::system_name(),
        },
        versions: BTreeMap::from([("ffmpeg".to_owned(), av::version())]),
        seconds: config.seconds,
        ..Results::default()
    };
    let mut bench = Bench { config, runner, steps: Steps::new(config.run.quiet), pace: None };
    let rows: Vec<Option<&Resolution>> = match config.input {
        Some(_) => vec![None],
        None => config.resolutions.iter().map(Some).collect(),
    };
    for resolution in rows {
        let (row, facts) = bench.row(resolution)?;
        if let Some(facts) = facts {
            (results.network, results.network_hash) = facts.network;
            if let Some((name, version)) = facts.engine_text.split_once(' ') {
                results.versions.insert(name.to_owned(), version.to_owned());
            }
        }
        results.rows.push(row);
    }
    bench.steps.clear();
    super::print(table(&results).as_bytes())?;
    if let Some(path) = &config.json {
        let mut text = serde_json::to_vec_pretty(&results)
            .map_err(|error| Error::new(Kind::Internal, format!("the results are no JSON: {error}")))?;
        text.push(b'\n');
        write_whole(path, "results", |out| out.write_all(&text))?;
    }
    if let Some(path) = &config.plot {
        let svg = chart(&results);
        write_whole(path, "chart", |out| out.write_all(svg.as_bytes()))?;
    }
    Ok(0)
}

/// Tells what changed between two results; the exit status.
pub fn bench_compare(a: &Path, b: &Path) -> Result<u8> {
    let text = change::compare(&Results::read(a)?, &Results::read(b)?);
    super::print(text.as_bytes())?;
    Ok(0)
}

struct Bench<'a> {
    config: &'a BenchConfig,
    runner: Runner,
    steps: Steps,
    /// Seconds that the chain takes for a megapixel of input, as last seen.
    pace: Option<f64>,
}

impl Bench<'_> {
    /// Measures at one resolution, or the input as it is.
    fn row(&mut self, resolution: Option<&Resolution>) -> Result<(Row, Option<Facts>)> {
        let name = resolution.map_or("input", |resolution| resolution.name.as_str()).to_owned();
        let clip = resolution.map(|_| self.runner.folder().join(format!("clip-{name}.mkv")));
        let mut spec = Spec {
            work: Work::Probe,
            frames: PILOT_FRAMES,
            folder: self.runner.folder().to_owned(),
            clip,
            tuning: Tuning::default(),
            warm: false,
        };
        self.steps.tell(&format!("{name}: looking"));
        let make = |bench: &Self, spec: &Spec| match resolution {
            None => Ok(()),
            Some(size) => {
                bench.runner.run(&Spec { work: Work::Clip(size.width, size.height), ..spec.clone() }).map(drop)
            }
        };
        make(self, &spec)?;
        let Answer::Facts(facts) = self.runner.run(&spec)? else {
            return Err(Error::new(Kind::Internal, "a probe was answered with something else"));
        };
        let mut row = row_of(name, &facts, resolution, &self.config.run);
        if self.config.plain {
            row.plain_engine = plain_engine(&self.config.run, &facts);
        }
        let megapixels = (facts.size.0 * facts.size.1) as f64 / 1e6;
        // Where that is cheap, rather look than conclude from another size.
        let expected = self.pace.map(|pace| pace * megapixels * PILOT_FRAMES as f64);
        if expected.is_none_or(|seconds| seconds < self.config.seconds / 10.0) {
            spec.work = Work::Measure(Part::Chain);
            match self.runner.run(&spec)? {
                Answer::Repeat(pilot) => {
                    self.pace = Some(pilot.wall_seconds / pilot.frames.max(1) as f64 / megapixels);
                }
                Answer::Skipped(reason) => {
                    row.skipped = Some(reason);
                    return Ok((row, Some(*facts)));
                }
                _ => return Err(Error::new(Kind::Internal, "a measurement was answered with something else")),
            }
        }
        let frame = self.pace.unwrap_or(0.0) * megapixels;
        let (frames, repeats) = self.budget(frame, &facts);
        spec.frames = frames;
        spec.warm = frame * (facts.threads.0 as f64) < SLOW;
        let clip = Spec { frames: frames.max(MANY_FRAMES), ..spec.clone() };
        self.steps.tell(&format!("{}: making a clip of {} frames", row.name, clip.frames));
        make(self, &clip)?;
        self.measure(&mut row, spec, repeats)?;
        if let Some(chain) = row.part(Part::Chain) {
            self.pace = Some(chain.wall().median / megapixels);
        }
        Ok((row, Some(*facts)))
    }

    fn parts(&self) -> Vec<Part> {
        let plain = Some(Part::Plain).filter(|_| self.config.plain);
        [Part::Chain].into_iter().chain(plain).chain(Part::STAGES).collect()
    }

    /// How many frames a measurement has, and how many there are of it, when a frame takes the chain so many seconds.
    fn budget(&self, frame: f64, facts: &Facts) -> (u64, u64) {
        // The parts together take what the chain takes, and half as much again to get ready; the plain loop takes more.
        let share = if self.config.plain { 4.0 } else { 2.5 };
        let start = START * self.parts().len() as f64;
        let seconds = (self.config.seconds - GOOD_REPEATS * start).max(self.config.seconds / 2.0);
        // Two frames a worker, so that there is a middle between beginning and end.
        let least = (2 * facts.threads.0 as u64).max(2);
        let frames = (seconds / (GOOD_REPEATS * frame * share).max(1e-9)) as u64;
        let available = facts.n_frames.filter(|_| self.config.input.is_some()).unwrap_or(u64::MAX).max(1);
        let frames = frames.clamp(least, MAX_FRAMES.max(least)).min(available);
        let turn = frames as f64 * frame * share + start;
        (frames, ((self.config.seconds / turn) as u64).clamp(1, MAX_REPEATS))
    }

    /// Makes the measurements of a row.
    fn measure(&mut self, row: &mut Row, mut spec: Spec, repeats: u64) -> Result<()> {
        let mut parts = self.parts();
        row.parts = parts.iter().map(|part| Measured { part: *part, skipped: None, repeats: Vec::new() }).collect();
        let n = repeats * parts.len() as u64;
        for turn in 0..repeats {
            for (index, part) in parts.iter().enumerate() {
                let Some(measured) = row.parts.iter_mut().find(|it| it.part == *part && it.skipped.is_none()) else {
                    continue;
                };
                let number = turn * parts.len() as u64 + index as u64 + 1;
                self.steps.tell(&format!("{}: {number} of {n}, {}, {} frames", row.name, part.name(), spec.frames));
                spec.work = Work::Measure(*part);
                let is_cheap = matches!(part, Part::Decode | Part::Preprocess | Part::Postprocess);
                let frames = if is_cheap { spec.frames.max(MANY_FRAMES) } else { spec.frames };
                match self.runner.run(&Spec { frames, ..spec.clone() })? {
                    Answer::Repeat(repeat) => measured.repeats.push(repeat),
                    Answer::Skipped(reason) => {
                        measured.skipped = Some(reason.clone());
                        if *part == Part::Chain {
                            row.skipped = Some(reason);
                            row.parts.clear();
                            return Ok(());
                        }
                    }
                    _ => return Err(Error::new(Kind::Internal, "a measurement was answered with something else")),
                }
            }
            parts.reverse();
        }
        Ok(())
    }
}

/// What the plain loop's row runs the network with.
fn plain_engine(config: &RunConfig, facts: &Facts) -> String {
    let is_code = facts.engine_text == "test";
    let named = if config.engine == EngineChoice::OpenVino { EngineChoice::OpenVino } else { EngineChoice::Ort };
    if is_code { facts.engine_text.clone() } else { named.to_string() }
}

fn row_of(name: String, facts: &Facts, resolution: Option<&Resolution>, config: &RunConfig) -> Row {
    let input = match resolution {
        Some(_) => format!("made here, {} at {}x{}", facts.source, facts.size.0, facts.size.1),
        None => format!("{}, {}", config.input.to_string_lossy(), facts.source),
    };
    Row {
        name,
        width: facts.size.0,
        height: facts.size.1,
        output_width: facts.output_size.0,
        output_height: facts.output_size.1,
        input,
        engine: facts.engine_text.clone(),
        encoder: facts.encoder.clone(),
        workers: facts.threads.0,
        decoder_threads: facts.threads.1,
        encoder_threads: facts.threads.2,
        plain_engine: String::new(),
        windows: facts.windows,
        memory_bytes: facts.memory,
        skipped: None,
        parts: Vec::new(),
    }
}
