//! What `vproc bench` found: every repeat of every part at every resolution, and the figures concluded from them.
//!
//! The JSON file is [`Results`] as it stands; field names are a contract and only grow. The table, the chart and the
//! comparison are made from it alone. Nothing is measured here.

pub mod change;
pub mod chart;
pub mod table;

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind, Result};

/// A whole bench.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// This program's version.
    pub vproc: String,
    /// When it began, in UTC: `2026-01-31T12:00:00Z`.
    pub date: String,
    /// The command line, without the program.
    pub command: Vec<String>,
    /// The machine.
    pub machine: Machine,
    /// Versions of the libraries, by name.
    pub versions: BTreeMap<String, String>,
    /// The network's name.
    pub network: String,
    /// Its hash, in hexadecimal digits.
    pub network_hash: String,
    /// Roughly the seconds that were to be spent on a resolution.
    pub seconds: f64,
    /// A resolution each.
    pub rows: Vec<Row>,
}

/// The machine that was measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// The processor's name.
    pub cpu: String,
    /// Processors that the program may use.
    pub cores: usize,
    /// Memory in bytes.
    pub memory_bytes: u64,
    /// The operating system and its version.
    pub system: String,
}

/// What was measured at one resolution.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The resolution's name.
    pub name: String,
    /// Luma samples a row of the input.
    pub width: usize,
    /// Luma rows of the input.
    pub height: usize,
    /// Luma samples a row of the output.
    pub output_width: usize,
    /// Luma rows of the output.
    pub output_height: usize,
    /// What the input is.
    pub input: String,
    /// What ran the network.
    pub engine: String,
    /// The encoder with its options.
    pub encoder: String,
    /// Workers that ran the network.
    pub workers: usize,
    /// Threads inside the decoder.
    pub decoder_threads: usize,
    /// Threads inside the encoder.
    pub encoder_threads: usize,
    /// What ran the network in the plain loop, with a thread a core; empty where that was not measured.
    pub plain_engine: String,
    /// Windows that a frame was run in.
    pub windows: usize,
    /// What the plan says that a run takes, in bytes.
    pub memory_bytes: u64,
    /// Why nothing was measured.
    pub skipped: Option<String>,
    /// What was measured.
    pub parts: Vec<Measured>,
}

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Part {
    /// Everything, as a run does it.
    Chain,
    /// Taking frames from the source.
    Decode,
    /// From planes to tensors.
    Preprocess,
    /// Running the network.
    Inference,
    /// From tensors to planes.
    Postprocess,
    /// Encoding, muxing and verifying.
    Encode,
    /// Everything, one after the other on one thread.
    Plain,
}

impl Part {
    /// The parts that the chain is made of.
    pub const STAGES: [Part; 5] = [Part::Decode, Part::Preprocess, Part::Inference, Part::Postprocess, Part::Encode];

    /// The name in tables and files.
    pub fn name(self) -> &'static str {
        match self {
            Part::Chain => "chain",
            Part::Decode => "decode",
            Part::Preprocess => "preprocess",
            Part::Inference => "inference",
            Part::Postprocess => "postprocess",
            Part::Encode => "encode",
            Part::Plain => "plain loop",
        }
    }
}

/// All repeats of one part.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// What was measured.
    pub part: Part,
    /// Why there are no repeats, or fewer.
    pub skipped: Option<String>,
    /// In the order they were made, in turns with those of the other parts.
    pub repeats: Vec<Repeat>,
}

/// One measurement, in a process of its own; the start of the process, of the engine and of the codecs is not in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Repeat {
    /// Frames that went through.
    pub frames: u64,
    /// From the first frame to the end of the last.
    pub wall_seconds: f64,
    /// CPU time of all threads of the process in that time.
    pub cpu_seconds: f64,
    /// CPU time that other programs took from this machine meanwhile.
    pub others_cpu_seconds: f64,
    /// The most memory that the process had at once, its start included.
    pub peak_rss_bytes: u64,
    /// Pages that it touched for the first time in that time.
    pub minor_faults: u64,
}

/// A figure with how far its repeats lie apart.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Figure {
    /// The median of the repeats.
    pub median: f64,
    /// Half the way from the least to the greatest, as a share of the median; `None` for a single repeat.
    pub spread: Option<f64>,
}

impl Figure {
    /// The figure of these values; zero without any.
    pub fn of(mut values: Vec<f64>) -> Figure {
        values.sort_by(f64::total_cmp);
        let (Some(least), Some(greatest)) = (values.first(), values.last()) else { return Figure::default() };
        let middle = values.len() / 2;
        let median = if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 };
        let spread = (values.len() > 1 && median > 0.0).then(|| (greatest - least) / 2.0 / median);
        Figure { median, spread }
    }
}

impl Measured {
    /// Wall time a frame, in seconds.
    pub fn wall(&self) -> Figure {
        Figure::of(self.repeats.iter().map(|it| it.wall_seconds / it.frames.max(1) as f64).collect())
    }

    /// CPU time a frame, in seconds.
    pub fn cpu(&self) -> Figure {
        Figure::of(self.repeats.iter().map(|it| it.cpu_seconds / it.frames.max(1) as f64).collect())
    }

    /// The most memory of all repeats, in bytes.
    pub fn peak_rss_bytes(&self) -> u64 {
        self.repeats.iter().map(|it| it.peak_rss_bytes).max().unwrap_or(0)
    }
}

/// What the machine could do at best.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limit {
    /// Wall time a frame, in seconds.
    pub wall: f64,
    /// The part that is slower alone than all of them on all cores; `None` when the cores are the limit.
    pub slowest: Option<Part>,
}

impl Row {
    /// The repeats of a part, if there are any.
    pub fn part(&self, part: Part) -> Option<&Measured> {
        self.parts.iter().find(|measured| measured.part == part && !measured.repeats.is_empty())
    }

    /// The sum of the stages' own CPU time, spread over all cores, or the slowest stage alone where that takes longer;
    /// `None` unless every stage was measured.
    pub fn limit(&self, cores: usize) -> Option<Limit> {
        let stages: Vec<_> = Part::STAGES.into_iter().map(|part| self.part(part)).collect::<Option<_>>()?;
        let cpu: f64 = stages.iter().map(|stage| stage.cpu().median).sum();
        let even = cpu / cores.max(1) as f64;
        let slowest = stages.iter().map(|stage| (stage.wall().median, stage.part)).max_by(|a, b| a.0.total_cmp(&b.0));
        match slowest {
            Some((wall, part)) if wall > even => Some(Limit { wall, slowest: Some(part) }),
            _ => Some(Limit { wall: even, slowest: None }),
        }
    }

    /// How near the chain comes to the limit: 1 is there.
    pub fn efficiency(&self, cores: usize) -> Option<f64> {
        let chain = self.part(Part::Chain)?.wall().median;
        self.limit(cores).filter(|_| chain > 0.0).map(|limit| limit.wall / chain)
    }

    /// How many times faster than the plain loop the chain is, each repeat held against the one beside it.
    pub fn ratio_to_plain(&self) -> Option<Figure> {
        let (chain, plain) = (self.part(Part::Chain)?, self.part(Part::Plain)?);
        let per_frame = |it: &Repeat| it.wall_seconds / it.frames.max(1) as f64;
        let pairs = chain.repeats.iter().zip(&plain.repeats);
        Some(Figure::of(pairs.map(|(chain, plain)| per_frame(plain) / per_frame(chain).max(1e-12)).collect()))
    }

    /// The share of the machine that other programs took while this row was measured.
    pub fn others(&self, cores: usize) -> f64 {
        let repeats = || self.parts.iter().flat_map(|part| &part.repeats);
        let others: f64 = repeats().map(|it| it.others_cpu_seconds).sum();
        let wall: f64 = repeats().map(|it| it.wall_seconds).sum();
        if wall > 0.0 { others / (wall * cores.max(1) as f64) } else { 0.0 }
    }
}

impl Results {
    /// Reads a file of earlier results.
    pub fn read(path: &Path) -> Result<Results> {
        let text = std::fs::read(path).map_err(|error| Error::open(path.display(), error))?;
        serde_json::from_slice(&text).map_err(|error| {
            let message = format!("{} is no result of `vproc bench --json`: {error}", path.display());
            Error::new(Kind::Input, message)
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub fn measured(part: Part, wall: &[f64], cpu: f64) -> Measured {
        let repeat = |wall: &f64| Repeat {
            frames: 10,
            wall_seconds: wall * 10.0,
            cpu_seconds: cpu * 10.0,
            others_cpu_seconds: 0.0,
            peak_rss_bytes: 100 << 20,
            minor_faults: 0,
        };
        Measured { part, skipped: None, repeats: wall.iter().map(repeat).collect() }
    }

    /// Stages of 0.02 + 0.01 + 0.5 + 0.01 + 0.06 = 0.6 CPU seconds, a chain of 0.32 s, a plain loop of 0.48 s.
    pub fn row() -> Row {
        Row {
            name: "1080p".to_owned(),
            width: 1920,
            height: 1080,
            plain_engine: "ort".to_owned(),
            parts: vec![
                measured(Part::Chain, &[0.32, 0.31, 0.33], 0.62),
                measured(Part::Decode, &[0.01; 3], 0.02),
                measured(Part::Preprocess, &[0.005; 3], 0.01),
                measured(Part::Inference, &[0.25; 3], 0.5),
                measured(Part::Postprocess, &[0.005; 3], 0.01),
                measured(Part::Encode, &[0.03; 3], 0.06),
                measured(Part::Plain, &[0.48, 0.465, 0.495], 0.66),
            ],
            ..Row::default()
        }
    }

    #[test]
    fn a_figure_is_the_median_with_half_the_range() {
        assert_eq!(Figure::of(vec![3.0, 1.0, 2.0]), Figure { median: 2.0, spread: Some(0.5) });
        assert_eq!(Figure::of(vec![1.0, 3.0]), Figure { median: 2.0, spread: Some(0.5) });
        assert_eq!(Figure::of(vec![7.0]), Figure { median: 7.0, spread: None });
        assert_eq!(Figure::of(Vec::new()), Figure::default());
    }

    #[test]
    fn the_limit_is_the_cores_or_the_slowest_stage() {
        let near = |a: f64, b: f64| (a - b).abs() < 1e-9;
        let mut row = row();
        let limit = row.limit(2).unwrap();
        assert!(near(limit.wall, 0.3) && limit.slowest.is_none());
        assert!(near(row.efficiency(2).unwrap(), 0.3 / 0.32));
        let limit = row.limit(16).unwrap();
        assert!(near(limit.wall, 0.25));
        assert_eq!(limit.slowest, Some(Part::Inference));
        let ratio = row.ratio_to_plain().unwrap();
        assert!(near(ratio.median, 1.5) && near(ratio.spread.unwrap(), 0.0));
        row.parts.retain(|part| part.part != Part::Encode);
        assert_eq!(row.limit(2), None);
    }

    #[test]
    fn results_are_read_back_as_they_were_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        let results = Results { rows: vec![row()], ..Results::default() };
        std::fs::write(&path, serde_json::to_vec(&results).unwrap()).unwrap();
        assert_eq!(Results::read(&path).unwrap(), results);
        std::fs::write(&path, "{}").unwrap();
        assert_eq!(Results::read(&path).unwrap_err().kind(), Kind::Input);
    }
}
