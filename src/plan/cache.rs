//! Whether a run keeps the network's results and uses those of other runs, and why.
//!
//! Reading a result back has to be clearly cheaper than computing it. Both are estimated from the network alone, so
//! that the answer is the same for every run and needs no measurement.

use std::fmt;
use std::path::PathBuf;

use crate::config::{RunConfig, SkipMode};
use crate::head::image::ImageHead;
use crate::model::Network;

/// Multiply-adds that one core does in a microsecond at best, on machines of today; most networks reach a half of it.
const WORK_PER_MICROSECOND: f64 = 100_000.0;

/// Bytes of output that one core packs, or reads and unpacks, in a microsecond.
const BYTES_PER_MICROSECOND: f64 = 200.0;

/// How many times cheaper reading must be. Storing costs as much as reading: a run that never reads was measured to lose
/// 4 to 5 % of its CPU time where this ratio is 14, and 3 % where it is 15.
const WORTHWHILE: f64 = 14.5;

/// What a run does about the cache.
#[derive(Clone, Debug, PartialEq)]
pub enum CachePlan {
    /// Results are kept and used.
    Used {
        /// Where.
        folder: PathBuf,
        /// The size asked for, in bytes.
        size: Option<u64>,
        /// Why, for people.
        why: String,
    },
    /// They are not, and why.
    Off(String),
}

impl CachePlan {
    /// Decides for pictures that go through `head`.
    pub fn new(config: &RunConfig, network: &Network, head: &ImageHead) -> CachePlan {
        let off = |why: &str| CachePlan::Off(why.to_owned());
        if config.no_cache {
            return off("not wanted");
        }
        match config.skip {
            SkipMode::Exact => {}
            SkipMode::Near => return off("results of near reuse depend on the frames before"),
            SkipMode::Off => return off("nothing is to be skipped"),
        }
        if network.facts.detector.is_some() {
            return off("what is found in pictures is not kept");
        }
        let Some(folder) = config.cache_folder() else { return off("there is no home folder; name one with --cache") };
        let (why, is_worth_it) = worth(network, head);
        match (is_worth_it, &config.cache) {
            (false, None) => CachePlan::Off(format!("{why}; --cache DIR uses one in any case")),
            _ => CachePlan::Used { folder, size: config.cache_size, why },
        }
    }

    /// Whether there is one.
    pub fn is_used(&self) -> bool {
        matches!(self, CachePlan::Used { .. })
    }
}

/// What computing and reading cost, for people, and whether reading is clearly cheaper.
fn worth(network: &Network, head: &ImageHead) -> (String, bool) {
    let Some(work) = network.work else { return ("what the network costs is not known".to_owned(), false) };
    let format = head.output_format();
    let planes = (0..format.n_planes()).filter(|plane| head.made_planes() >> plane & 1 == 1);
    // Bytes of the output for a block of input that all subsamplings divide.
    let samples: usize = planes.map(|plane| format.plane_size(plane, 4, 4)).map(|(width, height)| width * height).sum();
    let bytes = (samples * format.bytes_per_sample() * head.scale() * head.scale()) as f64 / 16.0;
    let (compute, read) = (work / WORK_PER_MICROSECOND * 1000.0, bytes / BYTES_PER_MICROSECOND * 1000.0);
    let why = format!("a megapixel takes a core about {compute:.0} ms to compute and {read:.0} ms to read back");
    (why, compute >= WORTHWHILE * read)
}

impl fmt::Display for CachePlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CachePlan::Used { folder, size: None, why } => write!(f, "{}: {why}", folder.display()),
            CachePlan::Used { folder, size: Some(size), why } => {
                write!(f, "{}, {} MiB: {why}", folder.display(), size >> 20)
            }
            CachePlan::Off(why) => write!(f, "off: {why}"),
        }
    }
}
