//! The plan: everything decided before a run starts, printed by `--dry-run` and hashed.
//!
//! It is made from facts that were measured beforehand and opens nothing itself.

pub mod cache;
pub mod container;
pub mod cost;
pub mod encoding;
pub mod finding;
mod format;
pub mod hdr;
pub mod memory;
mod rules;
pub mod segments;
pub mod strength;
pub mod windows;

use std::fmt;

use xxhash_rust::xxh3::xxh3_128;

use crate::config::{RunConfig, Said, SkipMode};
use crate::error::Result;
use crate::head::detect::Turn;
use crate::head::image::ImageHead;
use crate::infer::Working;
use crate::model::{Network, NetworkFacts};
use crate::source::SourceFacts;
use crate::tile::roi::Roi;

use cache::CachePlan;
use container::StreamPlan;
use encoding::EncodingPlan;
use finding::{Finding, Video};
use memory::{Kept, Needs, WindowBytes};
use segments::Segments;
use strength::Strength;
use windows::Windows;

/// What counts as known already, so that it is not computed again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Skip {
    /// Nothing: every frame is made anew.
    Off,
    /// What depends only on samples that are the same as in the frame before.
    Exact,
    /// What depends only on samples that are within this PSNR, in dB, of those it was made from.
    Near(f64),
}

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Skip::Off => f.write_str("off"),
            Skip::Exact => f.write_str("exact"),
            Skip::Near(psnr) => write!(f, "near, from {psnr} dB"),
        }
    }
}

/// What the machine has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hardware {
    /// Processors this process may use.
    pub cores: usize,
}

/// How many threads of each kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Threads {
    /// Inside the decoder.
    pub decoder: usize,
    /// Workers, each with an engine of one thread.
    pub workers: usize,
    /// Inside the encoder; part of what decides its bits.
    pub encoder: usize,
}

impl Threads {
    /// As asked, else by the cores: all of them for the network, which costs most; the decoder gains little beyond
    /// eight, and the encoder, whose bits depend on it, nothing beyond sixteen.
    ///
    /// What was found to be fast comes before the cores.
    pub fn new(config: &RunConfig, hardware: Hardware) -> Threads {
        let cores = config.threads.unwrap_or(hardware.cores).max(1);
        let tuned = config.tuning.clone().unwrap_or_default();
        Threads {
            decoder: tuned.decoder.unwrap_or(cores.min(8)),
            workers: config.workers.or(tuned.workers).unwrap_or(cores),
            encoder: tuned.encoder.unwrap_or(cores.min(16)),
        }
    }
}

/// Everything decided.
pub struct Plan {
    /// The source.
    pub source: SourceFacts,
    /// The network's name and hash.
    pub network: (String, u128),
    /// What is known of it.
    pub facts: NetworkFacts,
    /// How strongly it acts, where it can be told.
    pub strength: Option<Strength>,
    /// What runs it.
    pub engine: String,
    /// On what.
    pub device: String,
    /// Why not on a CUDA device, where that was left open.
    pub no_gpu: Option<String>,
    /// Size in luma samples of what comes out of the network.
    pub made_size: (usize, usize),
    /// Size of the output in luma samples.
    pub output_size: (usize, usize),
    /// How frames are cut.
    pub windows: Windows,
    /// What counts as known.
    pub skip: Skip,
    /// What becomes of what the network finds; `None` where it gives pictures.
    pub finding: Option<Finding>,
    /// The region of interest; all of the picture without one.
    pub roi: Option<Roi>,
    /// Whether results are kept and those of other runs used.
    pub cache: CachePlan,
    /// Processors this process may use.
    pub cores: usize,
    /// Threads of each kind.
    pub threads: Threads,
    /// Frames under way at most.
    pub window: usize,
    /// Memory or latency allowed fewer workers or frames under way than there would be.
    pub is_limited: bool,
    /// What a run will take, in bytes, by estimate.
    pub memory: u64,
    /// Where it goes, for people.
    pub output: String,
    /// How the video is encoded; `None` when it is not.
    pub encoding: Option<EncodingPlan>,
    /// How the output is cut.
    pub segments: Segments,
    /// What becomes of each stream of the input.
    pub streams: Vec<StreamPlan>,
    /// What a person should hear before the run.
    pub warnings: Vec<String>,
    /// What was found to be fast and is used, and when it was found.
    pub tuned: Option<String>,
    /// What was said, and where.
    pub said: Vec<(&'static str, Said)>,
}

/// What a plan is made from.
pub struct Facts<'a> {
    /// The source.
    pub source: &'a SourceFacts,
    /// The network.
    pub network: &'a Network,
    /// How strongly it acts, where it can be told.
    pub strength: Option<Strength>,
    /// Between pictures and tensors.
    pub head: &'a ImageHead,
    /// What will run the network.
    pub engine: String,
    /// On what.
    pub device: String,
    /// Why not on a CUDA device, where that was left open.
    pub no_gpu: Option<String>,
    /// Workers that it is best used by, where cores do not decide that.
    pub workers: Option<usize>,
    /// What that takes in memory.
    pub working: Working,
    /// What the cache would take in memory, in bytes.
    pub cache_memory: u64,
    /// Where it goes, for people.
    pub output: String,
    /// Size of the output in luma samples.
    pub size: (usize, usize),
    /// The region of interest.
    pub roi: Option<Roi>,
    /// How the video is encoded.
    pub encoding: Option<EncodingPlan>,
    /// How the output is cut.
    pub segments: Segments,
    /// What becomes of each stream of the input.
    pub streams: Vec<StreamPlan>,
    /// The machine.
    pub hardware: Hardware,
}

impl Plan {
    /// Decides the rest.
    pub fn new(config: &RunConfig, facts: Facts) -> Result<Plan> {
        let mut threads = Threads::new(config, facts.hardware);
        if config.workers.is_none() {
            threads.workers = facts.workers.unwrap_or(threads.workers);
        }
        let (source, network) = (facts.source, &facts.network.facts);
        let finding = {
            let video = Video { streams: &facts.streams, frame_rate: source.frame_rate, segments: &facts.segments };
            Finding::new(config, facts.network, video)?
        };
        let mut warnings = Vec::new();
        let mut workers = threads.workers;
        let (made_size, output_size) = (facts.head.output_size(), facts.size);
        let of_window = WindowBytes::new(network, facts.head, facts.working);
        let windows = Windows::new(config, facts.head, network, of_window, workers)?;
        let mut cache = CachePlan::new(config, facts.network, facts.head);
        let kept = Kept {
            encoding: facts.encoding.as_ref(),
            has_master: config.master.is_some(),
            cache: if cache.is_used() { facts.cache_memory } else { 0 },
        };
        let output = (facts.head.output_format(), made_size, output_size);
        let mut needs = Needs::new(source, of_window, &windows, output, &threads, kept);
        let mut window = window(config, source, workers);
        if let Some(budget) = config.memory {
            if needs.total(1, 1) > budget && config.cache.is_none() && cache.is_used() {
                needs = needs.without_cache();
                cache = CachePlan::Off("its index needs more than --memory leaves; see --cache-size".to_owned());
            }
            while needs.total(workers, window) > budget && (workers > 1 || window > 1) {
                if window > workers + 1 || workers == 1 { window -= 1 } else { workers -= 1 }
            }
            needs.check(workers, window, budget)?;
        }
        let is_limited = workers < threads.workers || window < enough_frames(workers);
        let threads = Threads { workers, ..threads };
        if let Some(finding) = finding.as_ref().filter(|finding| finding.hides()) {
            warnings.extend(finding.exposed(&facts.streams, &facts.segments));
        }
        if config.skip == SkipMode::Near && finding.is_some() {
            warnings.push("frames that are only near are all looked at, for what is found may differ".to_owned());
        }
        if let Some(encoding) = &facts.encoding {
            warnings.extend(encoding.notes.clone());
        }
        warnings.extend(facts.strength.as_ref().and_then(|strength| strength.warning(&facts.network.name)));
        if let Segments::Impossible(why) = &facts.segments {
            warnings.push(format!("made in one go, so that an interrupted run begins anew: {why}"));
        }
        // Who asks for pictures alone need not be told that sound is none.
        for stream in facts.streams.iter().filter(|_| facts.encoding.is_some()) {
            let (action, detail) = stream.describe();
            if matches!(action, "dropped" | "converted") {
                warnings.push(format!("{} {action}: {detail}", stream.name()));
            }
        }
        Ok(Plan {
            source: source.clone(),
            network: (facts.network.name.clone(), facts.network.hash),
            facts: network.clone(),
            strength: facts.strength,
            engine: facts.engine,
            device: facts.device,
            no_gpu: facts.no_gpu,
            made_size,
            output_size,
            windows,
            skip: match config.skip {
                SkipMode::Off => Skip::Off,
                SkipMode::Exact => Skip::Exact,
                // What is found depends on all of a frame.
                SkipMode::Near if finding.is_some() => Skip::Exact,
                SkipMode::Near => Skip::Near(config.skip_psnr),
            },
            finding,
            roi: facts.roi,
            cache,
            memory: needs.total(workers, window),
            cores: facts.hardware.cores,
            threads,
            window,
            is_limited,
            output: facts.output,
            encoding: facts.encoding,
            segments: facts.segments,
            streams: facts.streams,
            warnings,
            tuned: config.tuning_note.clone(),
            said: config.in_order().map(|(name, said)| (name, said.clone())).collect(),
        })
    }

    /// Hash of all that decides the output's bits.
    pub fn hash(&self) -> String {
        let decided = format!(
            "{:032x} {:?} {} {:?} {:?} {:?} {:?} {:?} {:?} {:?} {:032x}",
            self.network.1,
            self.facts,
            self.engine,
            self.windows.whole.first(),
            self.source,
            self.encoding,
            self.output_size,
            self.segments,
            // Without it the bits are the same.
            if let Skip::Near(_) = self.skip { Some((self.skip, &self.windows)) } else { None },
            self.finding,
            self.roi.as_ref().map_or(0, Roi::hash),
        );
        format!("{:032x}", xxh3_128(decided.as_bytes()))
    }
}

/// Frames under way with which no worker waits while another is at work, and two at either end.
fn enough_frames(workers: usize) -> usize {
    workers + 5
}

/// How many frames may be under way: enough, but not more than come in the time a frame may take.
fn window(config: &RunConfig, source: &SourceFacts, workers: usize) -> usize {
    let enough = enough_frames(workers);
    let Some(latency) = config.latency else { return enough };
    let rate = if source.frame_rate.is_known() { source.frame_rate.as_f64() } else { 25.0 };
    ((latency * rate).ceil() as usize).clamp(1, enough)
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let source = &self.source;
        writeln!(f, "source    {}: {}x{} {}", source.kind, source.width, source.height, source.format)?;
        if let Some(from) = &source.converted_from {
            writeln!(f, "          converted once from {from}")?;
        }
        let (color, matrix) = (source.color, source.color.matrix_for(source.height));
        if source.format.is_rgb() {
            writeln!(f, "colour    R'G'B'; {matrix:?} where luma is wanted")?;
        } else {
            let is_assumed = color.matrix == 2 || color.range.is_none();
            let how = if is_assumed { " (in part assumed; tags are left as they are)" } else { "" };
            writeln!(f, "colour    computed as {matrix:?}, {:?}{how}", color.range_or_limited())?;
        }
        let frames = source.n_frames.map_or_else(|| "unknown".to_owned(), |n| n.to_string());
        writeln!(f, "time      {} s a tick, about {} fps, {frames} frames", source.time_base, source.frame_rate)?;
        let radius =
            self.facts.radius.map_or_else(|| "the whole picture".to_owned(), |radius| format!("radius {radius}"));
        let (name, engine) = (&self.network.0, &self.engine);
        match &self.facts.detector {
            Some(detector) => {
                let turn = self.finding.as_ref().map_or(Turn::None, |finding| finding.task.turn);
                let (width, height) = detector.input_size(turn.size((source.width, source.height)));
                writeln!(f, "network   {name}: finds things in {width}x{height}, run by {engine}")?;
            }
            None => writeln!(f, "network   {name}: x{}, {radius}, run by {engine}", self.facts.scale)?,
        }
        let no_gpu = self.no_gpu.as_ref().map_or_else(String::new, |why| format!(", not cuda: {why}"));
        writeln!(f, "device    {}{no_gpu}", self.device)?;
        if let Some(strength) = &self.strength {
            writeln!(f, "strength  {strength}")?;
        }
        if self.finding.is_some() {
            writeln!(f, "windows   none, frames are looked at as a whole; skip {}", self.skip)?;
        } else if let Some(tile) = self.windows.whole.first() {
            let (n, window) = (self.windows.whole.len(), tile.window);
            write!(f, "windows   {n} of {}x{} a frame", window.width, window.height)?;
            let shapes: Vec<_> = self.windows.shapes.iter().map(|(w, h)| format!("{w}x{h}")).collect();
            let parts =
                if shapes.is_empty() { String::new() } else { format!(", or parts of it in {}", shapes.join(", ")) };
            writeln!(f, "{parts}; skip {}", self.skip)?;
        }
        if let Some(finding) = &self.finding {
            writeln!(f, "finds     {finding}")?;
        }
        if let Some(roi) = &self.roi {
            writeln!(f, "region    {:.1} % of the picture", roi.share() * 100.0)?;
        }
        writeln!(f, "cache     {}", self.cache)?;
        let threads = self.threads;
        writeln!(
            f,
            "threads   decoder {}, workers {}, encoder {}; at most {} frames under way, about {} MiB",
            threads.decoder,
            threads.workers,
            threads.encoder,
            self.window,
            self.memory >> 20
        )?;
        if let Some(tuned) = &self.tuned {
            writeln!(f, "tuned     {tuned}")?;
        }
        let (width, height) = self.output_size;
        let fitted = if self.made_size == self.output_size { "" } else { ", brought there by Lanczos" };
        writeln!(f, "output    {}: {width}x{height}{fitted}", self.output)?;
        if let Some(encoding) = &self.encoding {
            let options: Vec<_> = encoding.options.iter().map(|(key, value)| format!("{key}={value}")).collect();
            writeln!(f, "encoder   {} {} {}", encoding.encoder, encoding.pixel_format, options.join(" "))?;
        }
        if self.segments != Segments::None {
            writeln!(f, "segments  {}", self.segments)?;
        }
        for stream in &self.streams {
            let (action, detail) = stream.describe();
            let detail = if detail.is_empty() { detail } else { format!(", {detail}") };
            writeln!(f, "stream {:2} {} {}: {action}{detail}", stream.input_index, stream.codec, stream.kind.name())?;
        }
        for warning in &self.warnings {
            writeln!(f, "warning   {warning}")?;
        }
        for (name, said) in &self.said {
            writeln!(f, "said      {name} = {} ({})", said.text, said.origin)?;
        }
        writeln!(f, "plan hash {}", self.hash())
    }
}
