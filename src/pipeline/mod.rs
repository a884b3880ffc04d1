//! The chain from source to sink.
//!
//! A frame is taken from the source, and [`survey`] says what of it has to be made anew; workers make that, and
//! [`assemble`] puts it together with what is known, for the sink, in order. [`stage`] holds the only threads. What
//! every thread did with its time is kept in [`track`]s. Nothing is decided here.

pub mod assemble;
pub mod batch;
pub mod board;
pub mod change;
pub mod forecast;
pub mod history;
pub mod near;
pub mod overlay;
pub mod progress;
pub mod recall;
pub mod rehearsal;
pub mod samples;
pub mod snapshot;
pub mod stage;
mod store;
pub mod survey;
pub mod track;
pub mod verify;
mod waiting;
pub mod worker;
pub mod workshop;

use std::time::{Duration, Instant};

use crossbeam_channel::bounded;

use crate::error::Result;
use crate::frame::Frame;
use crate::head::detect::Detection;
use crate::head::fit::Fit;
use crate::meter;
use crate::sink::{Finished, Sink};
use crate::source::Source;
use crate::tile::cover;
use crate::tile::grid::Tile;
use assemble::{Assemble, Passed};
use batch::{Job, Piece};
use history::History;
use overlay::Areas;
use progress::Progress;
use recall::{Recall, Remembered};
use rehearsal::Trial;
use samples::{Sample, Samples};
use snapshot::{Choice, Snapshot};
use stage::{Hands, Order, Tracks, Watch, Width};
use survey::Survey;
use track::{Activity, Track};
use verify::Verified;
use worker::Worker;
use workshop::Workshop;

/// Latencies that are kept; of longer runs every second, fourth, ... is.
const MAX_LATENCIES: usize = 4096;

/// Names of the threads that decode: ours, those that FFmpeg starts under its name, and those that name themselves.
const DECODERS: &[&str] = &["decode", "dav1d"];

/// Told of each frame when it is shown, in seconds, and what was found in it, with the number of each.
pub type Told<'a> = Box<dyn FnMut(f64, &[Detection], &[u64]) -> Result<()> + 'a>;

/// How a chain is run.
pub struct Settings<'a> {
    /// Threads and frames under way.
    pub width: Width,
    /// Whether windows may be used, and what they cost.
    pub trial: &'a Trial,
    /// Every span of every thread is kept.
    pub traced: bool,
    /// Frames kept for people to look at.
    pub shown: Choice,
    /// One frame in so many is run in full as well and compared.
    pub verify_stride: Option<u64>,
    /// The output shows what was computed where.
    pub has_overlay: bool,
    /// Hears of all that is found.
    pub told: Option<Told<'a>>,
    /// What brings finished pictures to another size.
    pub fit: Option<Fit>,
    /// What the first frame is made in, so that all workers are at it and none keeps it waiting with the second.
    pub bands: Vec<Tile>,
}

/// CPU time by what it was for. Codecs' own threads count where they belong.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CpuShares {
    /// Taking frames from the source.
    pub decode: Duration,
    /// The workers.
    pub infer: Duration,
    /// The rest: encoding, muxing, the other streams.
    pub encode: Duration,
}

/// What came of a run of the chain.
#[derive(Debug)]
pub struct Outcome {
    /// Frames that the sink took.
    pub n_frames: u64,
    /// Things that were found in them, over all frames.
    pub n_found: u64,
    /// When the chain began.
    pub origin: Instant,
    /// From then until the last thread ended, and what [`finish`] took.
    pub wall: Duration,
    /// What the threads did with their time.
    pub tracks: Tracks,
    /// What the CPUs did.
    pub cpu: CpuShares,
    /// What the machine's CPUs did meanwhile for other programs.
    pub cpu_of_others: Duration,
    /// How it went.
    pub samples: Vec<Sample>,
    /// Milliseconds from taking to putting, a sample.
    pub latencies: Vec<f64>,
    /// What was computed.
    pub history: History,
    /// CPU seconds of a frame that is run as a whole, by the rehearsal; `None` where there was none.
    pub whole_seconds: Option<f64>,
    /// What was done with the cache; `None` without one.
    pub remembered: Option<Remembered>,
    /// How near sampled frames are to full runs; `None` where none were sampled.
    pub verified: Option<Verified>,
    /// Frames before and after.
    pub snapshots: Vec<Snapshot>,
    /// It was asked to stop before the end.
    pub stopped: bool,
}

/// A frame with its source's picture and the moment it was taken.
struct Passing {
    frame: Frame,
    taken: Instant,
    passed: Passed,
}

/// Runs frames from `source` through `survey` and the workers into `sink` until the source ends or `stop` says so;
/// frames under way are finished either way. The outcome is also there when it fails.
pub fn run(
    mut settings: Settings,
    shop: &Workshop,
    mut survey: Survey,
    source: &mut dyn Source,
    sink: &mut dyn Sink,
    progress: &mut Progress,
    stop: &(dyn Fn() -> bool + Sync),
) -> (Result<()>, Outcome) {
    let time_base = source.facts().time_base;
    let (made, passed) = (shop.head.made_planes(), shop.head.passed_planes());
    let mut bands = std::mem::take(&mut settings.bands);
    // Closed once the first frame is out, which has the machine to itself where all workers make it.
    let (first, first_is_out) = bounded::<()>(0);
    let (mut first, mut first_is_out) = (Some(first), Some(first_is_out).filter(|_| bands.len() > 1));
    let mut history = History::new((shop.head.picture().width, shop.head.picture().height));
    let take = |track: &mut Track| {
        if stop() {
            return Ok(None);
        }
        if bands.is_empty()
            && let Some(first_is_out) = first_is_out.take()
        {
            let _closed = first_is_out.recv();
            track.lap(Activity::Blocked, 1);
        }
        let Some(frame) = source.next_frame()? else { return Ok(None) };
        let taken = Instant::now();
        track.lap(Activity::Decode, frame.index);
        let mut need = survey.look(frame.index, &frame.picture, shop.recall.as_ref())?;
        let bands = std::mem::take(&mut bands);
        if need.network == cover::Choice::Whole && bands.len() > 1 {
            need.pixels.computed = bands.iter().map(|band| band.window.n_pixels()).sum();
        }
        history.add(&need, survey.kept());
        let areas = settings.has_overlay.then(|| Areas::new(&need, shop.head.picture().area(), survey.inside()));
        let is_sampled = settings.verify_stride.is_some_and(|stride| verify::is_sampled(frame.index, stride));
        let mut recalled = std::mem::take(&mut need.recalled);
        let found = std::mem::take(&mut recalled.found);
        let jobs = batch::jobs(frame.index, &frame.picture, need, found, (made, passed), &bands, is_sampled);
        track.lap(Activity::Survey, frame.index);
        let passed = Passed { recalled, areas, is_sampled };
        Ok(Some(Order { item: Passing { frame, taken, passed }, jobs }))
    };
    let (mut n_frames, mut n_found) = (0, 0);
    let mut snapshots = Vec::new();
    let mut latencies = Latencies::default();
    let mut assemble = Assemble::new(shop);
    let (mut fit, mut told) = (settings.fit.take(), settings.told.take());
    let (assembled, shown) = (&mut assemble, &settings.shown);
    let (n_put, n_in_all, kept, spent) = (&mut n_frames, &mut n_found, &mut snapshots, &mut latencies);
    // Owns what the source waits for, so that a chain that ends in an error before the first frame is out ends at all.
    let put = move |track: &mut Track, passing: Passing, pieces: Vec<Piece>| {
        let source = shown.includes(passing.frame.index).then(|| passing.frame.picture.clone());
        let mut frame = assembled.frame(passing.frame, pieces, passing.passed)?;
        if let Some(fit) = &mut fit {
            frame.picture = fit.picture(frame.picture)?;
        }
        track.lap(Activity::Assemble, frame.index);
        sink.write(&frame)?;
        drop(first.take());
        let seconds = time_base.seconds(frame.pts);
        let (found, tracks) = assembled.found();
        *n_in_all += found.len() as u64;
        if let Some(told) = &mut told {
            told(seconds, found, tracks)?;
        }
        if let Some(source) = &source {
            kept.push(snapshot::take(source, &frame, seconds)?);
        }
        *n_put += 1;
        spent.add(passing.taken.elapsed().as_secs_f64() * 1000.0);
        progress.tick(*n_put, seconds);
        Ok(())
    };
    let hands = Hands {
        take,
        joins: |batch: &[&Job], job: &Job| batch::joins(settings.trial.limits(), batch, job),
        start: || Worker::new(shop),
        work: |worker: &mut Worker, track: &mut Track, jobs: Vec<Job>| worker.work(shop, track, &jobs),
        put,
    };
    let origin = Instant::now();
    let (cpu_before, decoders_before) = (meter::process_cpu(), meter::cpu_of_threads(DECODERS));
    let others_before = meter::machine_cpu().saturating_sub(cpu_before);
    let mut samples = Samples::begin(origin);
    let mut look = |depths| samples.take(depths);
    let watch = Watch { origin, traced: settings.traced, period: samples::PERIOD, look: Some(&mut look) };
    let (result, tracks) = stage::ordered(settings.width, watch, hands);
    let cpu = cpu_shares(&tracks, cpu_before, decoders_before);
    if let Some(recall) = &shop.recall {
        let [lost, computed] = recall.lost_pixels();
        history.pixels.lose(lost, computed);
    }
    let outcome = Outcome {
        n_frames,
        n_found,
        origin,
        wall: origin.elapsed(),
        tracks,
        cpu,
        cpu_of_others: meter::machine_cpu().saturating_sub(meter::process_cpu()).saturating_sub(others_before),
        samples: samples.into_vec(),
        latencies: latencies.samples,
        history: history.end(),
        whole_seconds: settings.trial.whole_seconds(),
        remembered: shop.recall.as_ref().map(Recall::remembered),
        verified: assemble.verified(),
        snapshots,
        stopped: stop(),
    };
    (result, outcome)
}

/// Completes the output, on the thread that gave it the frames.
pub fn finish(sink: Box<dyn Sink>, outcome: &mut Outcome) -> Result<Finished> {
    let begun = Instant::now();
    let cpu_before = meter::process_cpu();
    let traced = !outcome.tracks.put.spans.is_empty();
    let mut track = Track::begin(outcome.tracks.put.name.clone(), outcome.origin, traced);
    let finished = sink.finish();
    track.lap(Activity::Finish, outcome.n_frames);
    outcome.tracks.put.append(track.end());
    outcome.cpu.encode += meter::process_cpu().saturating_sub(cpu_before);
    outcome.wall += begun.elapsed();
    finished
}

/// What the CPUs did since then: threads of our own tell it at their end, the decoder's are still there to be asked.
fn cpu_shares(tracks: &Tracks, before: Duration, decoders_before: Duration) -> CpuShares {
    let threads = meter::cpu_of_threads(DECODERS).saturating_sub(decoders_before);
    let decode = threads + tracks.take.as_ref().map_or(Duration::ZERO, |track| track.cpu);
    let infer = tracks.work.iter().map(|track| track.cpu).sum();
    let all = meter::process_cpu().saturating_sub(before);
    CpuShares { decode, infer, encode: all.saturating_sub(decode + infer) }
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
