//! The chain from source to sink.
//!
//! A frame is taken from the source, processed by a worker, and put into the sink, in order; [`stage`] holds the only
//! threads. Nothing is decided here.

pub mod near;
pub mod progress;
pub mod stage;
pub mod survey;
pub mod worker;

use std::time::Instant;

use crate::error::Result;
use crate::frame::Frame;
use crate::sink::Sink;
use crate::source::Source;

use progress::Progress;
use stage::{Clocks, Width};
use worker::{Worker, Workshop};

/// Latencies that are kept; of longer runs every second, fourth, ... is.
const MAX_LATENCIES: usize = 4096;

/// What came of a run of the chain.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Frames that the sink took.
    pub n_frames: u64,
    /// What the stages did with their time.
    pub clocks: Clocks,
    /// Milliseconds from taking to putting, a sample.
    pub latencies: Vec<f64>,
    /// It was asked to stop before the end.
    pub stopped: bool,
}

/// A frame with the moment it was taken.
struct Passing {
    frame: Frame,
    taken: Instant,
}

/// Runs frames from `source` through the workers into `sink` until the source ends or `stop` says so; frames under
/// way are finished either way. The outcome is also there when it fails.
pub fn run(
    width: Width,
    shop: &Workshop,
    source: &mut dyn Source,
    sink: &mut dyn Sink,
    progress: &mut Progress,
    stop: &(dyn Fn() -> bool + Sync),
) -> (Result<()>, Outcome) {
    let mut outcome = Outcome::default();
    let time_base = source.facts().time_base;
    let mut latencies = Latencies::default();
    let take = || {
        if stop() {
            return Ok(None);
        }
        Ok(source.next_frame()?.map(|frame| Passing { frame, taken: Instant::now() }))
    };
    let work = |worker: &mut Worker, passing: Passing| {
        let frame = worker.work(shop, passing.frame)?;
        Ok(Passing { frame, ..passing })
    };
    let mut n_frames = 0;
    let put = |passing: Passing| {
        sink.write(&passing.frame)?;
        n_frames += 1;
        latencies.add(passing.taken.elapsed().as_secs_f64() * 1000.0);
        progress.tick(n_frames, time_base.seconds(passing.frame.pts));
        Ok(())
    };
    let (result, clocks) = stage::ordered(width, take, || Worker::new(shop), work, put);
    outcome.n_frames = n_frames;
    outcome.clocks = clocks;
    outcome.latencies = latencies.samples;
    outcome.stopped = stop();
    (result, outcome)
}

/// A sample of bounded size, spread evenly over the run.
struct Latencies {
    samples: Vec<f64>,
    seen: usize,
    /// One in so many is kept.
    stride: usize,
}

impl Default for Latencies {
    fn default() -> Self {
        Latencies { samples: Vec::new(), seen: 0, stride: 1 }
    }
}

impl Latencies {
    fn add(&mut self, milliseconds: f64) {
        if self.seen.is_multiple_of(self.stride) {
            if self.samples.len() == MAX_LATENCIES {
                let mut index = 0;
                self.samples.retain(|_| {
                    index += 1;
                    index % 2 == 1
                });
                self.stride *= 2;
            }
            self.samples.push(milliseconds);
        }
        self.seen += 1;
    }
}
