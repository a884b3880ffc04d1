//! The plan: everything decided before a run starts, printed by `--dry-run` and hashed.
//!
//! It is made from facts that were measured beforehand and opens nothing itself.

pub mod container;
pub mod encoding;
pub mod hdr;
pub mod memory;
mod rules;
pub mod segments;

use std::fmt;

use xxhash_rust::xxh3::xxh3_128;

use crate::config::{RunConfig, Said, Tile};
use crate::error::{Error, Kind, Result};
use crate::head::image::ImageHead;
use crate::model::{Network, NetworkFacts};
use crate::source::SourceFacts;
use crate::tile::Rect;
use crate::tile::grid::{Grid, Tile as Window};

use container::StreamPlan;
use encoding::EncodingPlan;
use memory::Needs;
use segments::Segments;

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
    pub fn new(config: &RunConfig, hardware: Hardware) -> Threads {
        let cores = config.threads.unwrap_or(hardware.cores).max(1);
        Threads { decoder: cores.min(8), workers: config.workers.unwrap_or(cores), encoder: cores.min(16) }
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
    /// What runs it.
    pub engine: String,
    /// Size of the output in luma samples.
    pub output_size: (usize, usize),
    /// The windows of a frame, all of one size.
    pub tiles: Vec<Window>,
    /// Processors this process may use.
    pub cores: usize,
    /// Threads of each kind.
    pub threads: Threads,
    /// Frames under way at most.
    pub window: usize,
    /// The memory allowed fewer workers than there would be.
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
    /// What was said, and where.
    pub said: Vec<(&'static str, Said)>,
}

/// What a plan is made from.
pub struct Facts<'a> {
    /// The source.
    pub source: &'a SourceFacts,
    /// The network.
    pub network: &'a Network,
    /// Between pictures and tensors.
    pub head: &'a ImageHead,
    /// What will run the network.
    pub engine: String,
    /// Where it goes, for people.
    pub output: String,
    /// How the video is encoded.
    pub encoding: Option<EncodingPlan>,
    /// How the output is cut.
    pub segments: Segments,
    /// What becomes of each stream of the input.
    pub streams: Vec<StreamPlan>,
    /// The machine.
    pub hardware: Hardware,
}

/// Bytes that a window's tensors and the engine's activations may take when nobody says a size: beyond it frames are
/// cut into windows.
const DEFAULT_WINDOW_BYTES: u64 = 4 << 30;

impl Plan {
    /// Decides the rest.
    pub fn new(config: &RunConfig, facts: Facts) -> Result<Plan> {
        let threads = Threads::new(config, facts.hardware);
        let (source, network) = (facts.source, &facts.network.facts);
        let mut warnings = Vec::new();
        let mut workers = threads.workers;
        let size = (source.width, source.height);
        let output_size = facts.head.output_size();
        let tiles = windows(config, facts.head, network, size, workers)?;
        let needs = Needs::new(
            source,
            network,
            &tiles,
            (facts.head.output_format(), output_size),
            &threads,
            facts.encoding.as_ref(),
        );
        let mut window = window(config, source, workers);
        if let Some(budget) = config.memory {
            while needs.total(workers, window) > budget && (workers > 1 || window > 1) {
                if window > workers + 1 || workers == 1 { window -= 1 } else { workers -= 1 }
            }
            needs.check(workers, window, budget)?;
        }
        let is_limited = workers < threads.workers;
        let threads = Threads { workers, ..threads };
        if let Some(encoding) = &facts.encoding {
            warnings.extend(encoding.notes.clone());
        }
        if let Segments::Impossible(why) = &facts.segments {
            warnings.push(format!("made in one go, so that an interrupted run begins anew: {why}"));
        }
        for stream in &facts.streams {
            let (action, detail) = stream.describe();
            if action == "dropped" || detail.contains("without") {
                warnings.push(format!(
                    "stream {} ({} {}) {action}: {detail}",
                    stream.input_index,
                    stream.codec,
                    stream.kind.name()
                ));
            }
        }
        Ok(Plan {
            source: source.clone(),
            network: (facts.network.name.clone(), facts.network.hash),
            facts: network.clone(),
            engine: facts.engine,
            output_size,
            tiles,
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
            said: config.in_order().map(|(name, said)| (name, said.clone())).collect(),
        })
    }

    /// Hash of all that decides the output's bits.
    pub fn hash(&self) -> String {
        let decided = format!(
            "{:032x} {:?} {} {:?} {:?} {:?} {:?} {:?}",
            self.network.1,
            self.facts,
            self.engine,
            self.tiles.first(),
            self.source,
            self.encoding,
            self.output_size,
            self.segments
        );
        format!("{:032x}", xxh3_128(decided.as_bytes()))
    }

    /// Input luma pixels that the network is run on per frame, halos and padding included.
    pub fn pixels_computed(&self) -> u64 {
        self.tiles.iter().map(|tile| (tile.window.width * tile.window.height) as u64).sum()
    }
}

/// How many frames may be under way: enough that no worker waits while another is at work, and two at either end, but
/// not more than come in the time a frame may take.
fn window(config: &RunConfig, source: &SourceFacts, workers: usize) -> usize {
    let enough = workers + 5;
    let Some(latency) = config.latency else { return enough };
    let rate = if source.frame_rate.is_known() { source.frame_rate.as_f64() } else { 25.0 };
    ((latency * rate).ceil() as usize).clamp(1, enough)
}

/// The windows that a frame is run in: the whole frame where the network and the memory allow it.
fn windows(
    config: &RunConfig,
    head: &ImageHead,
    network: &NetworkFacts,
    size: (usize, usize),
    workers: usize,
) -> Result<Vec<Window>> {
    let padded = head.padded_size();
    let whole = vec![Window { window: Rect::new(0, 0, padded.0, padded.1), core: Rect::new(0, 0, size.0, size.1) }];
    let halo = network.radius.map(|radius| radius + head.window_halo());
    let alignment = head.alignment();
    let side = |core: usize, halo: usize| (core + 2 * halo).next_multiple_of(alignment);
    let window = match (network.fixed_size, config.tile, halo) {
        (Some(fixed), ..) if fixed.0 >= size.0 && fixed.1 >= size.1 => return Ok(whole),
        (Some(fixed), _, Some(_)) => fixed,
        (Some(fixed), _, None) => {
            let message = format!(
                "the network takes {}x{} only and looks at the whole picture, so {}x{} cannot be cut; resize the video",
                fixed.0, fixed.1, size.0, size.1
            );
            return Err(Error::new(Kind::Network, message));
        }
        (None, Tile::Off, _) | (None, Tile::Auto, None) => return Ok(whole),
        (None, Tile::Size(_), None) => {
            let message =
                "--tile needs a network of known reach, and this one looks at the whole picture; leave it out";
            return Err(Error::new(Kind::Usage, message));
        }
        (None, Tile::Size(core), Some(halo)) => {
            // A window larger than the picture would show the network repeated pixels instead of the true edge.
            (side(core, halo).min(padded.0), side(core, halo).min(padded.1))
        }
        (None, Tile::Auto, Some(halo)) => {
            let budget = config.memory.map_or(DEFAULT_WINDOW_BYTES, |memory| memory / 3) / workers.max(1) as u64;
            let mut parts = 1;
            // Bands of full width: few halos, and rows lie together in memory.
            let mut window = padded;
            while memory::tensor_bytes(network, Rect::new(0, 0, window.0, window.1)) > budget
                && window.1 > 4 * halo.max(16)
            {
                parts += 1;
                window.1 = side(padded.1.div_ceil(parts), halo).min(padded.1);
            }
            window
        }
    };
    Grid { picture: size, window, halo: halo.unwrap_or(0), multiple_of: network.multiple_of.max(1), alignment }.tiles()
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let source = &self.source;
        writeln!(f, "source    {}: {}x{} {}", source.kind, source.width, source.height, source.format)?;
        if let Some(from) = &source.converted_from {
            writeln!(f, "          converted once from {from}")?;
        }
        let color = source.color;
        writeln!(
            f,
            "colour    computed as {:?}, {:?}{}",
            color.matrix_for(source.height),
            color.range_or_limited(),
            if color.matrix == 2 || color.range.is_none() {
                " (in part assumed; tags are left as they are)"
            } else {
                ""
            }
        )?;
        let frames = source.n_frames.map_or_else(|| "unknown".to_owned(), |n| n.to_string());
        writeln!(f, "time      {} s a tick, about {} fps, {frames} frames", source.time_base, source.frame_rate)?;
        let radius =
            self.facts.radius.map_or_else(|| "the whole picture".to_owned(), |radius| format!("radius {radius}"));
        writeln!(f, "network   {}: x{}, {radius}, run by {}", self.network.0, self.facts.scale, self.engine)?;
        if let Some(tile) = self.tiles.first() {
            let (n, window) = (self.tiles.len(), tile.window);
            writeln!(f, "windows   {n} of {}x{} a frame", window.width, window.height)?;
        }
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
        writeln!(f, "output    {}: {}x{}", self.output, self.output_size.0, self.output_size.1)?;
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
