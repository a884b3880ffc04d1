//! From what a run measured to what it tells: the report, the verdict, the rows of the trace.
//!
//! Used by the commands that run the chain. Nothing is measured and nothing is written here.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::config::RunConfig;
use crate::meter;
use crate::pipeline::Outcome;
use crate::pipeline::samples::{self, Sample};
use crate::pipeline::snapshot::{Crop, Snapshot};
use crate::pipeline::track::{Activity, Track};
use crate::pipeline::verify::Verified;
use crate::plan::Plan;
use crate::plan::container::StreamPlan;
use crate::report::html::{Pair, Shown};
use crate::report::trace::{Moment, Row, Span};
use crate::report::verdict::{self, Shares, StageShare};
use crate::report::{self, Action, Latency, Report, Stage, Stream};
use crate::sink::Finished;
use crate::source::Damage;

/// The source was damaged, and what could be saved was saved.
pub const STATUS_DAMAGED: u8 = 3;

/// A run that is over.
pub struct Account<'a> {
    /// What was asked.
    pub config: &'a RunConfig,
    /// What was decided.
    pub plan: &'a Plan,
    /// Where it went, for people.
    pub output: String,
    /// What the chain did.
    pub outcome: &'a Outcome,
    /// What the sink said at its end.
    pub finished: &'a Finished,
    /// What the source said at its end.
    pub damage: &'a Damage,
    /// What a person should hear about the source.
    pub source_warnings: Vec<String>,
    /// Frames that earlier runs of the same command have made.
    pub n_past: u64,
}

impl Account<'_> {
    /// The report; `wall` is the time from opening the output to its end.
    pub fn report(&self, wall: Duration) -> Report {
        let Account { plan, outcome, finished, damage, .. } = self;
        let wall = wall.as_secs_f64();
        let n = outcome.n_frames;
        let pixels = &outcome.history.pixels;
        let n_damaged = damage.n_frames.max(finished.missing);
        let mut warnings = plan.warnings.clone();
        warnings.extend(self.source_warnings.iter().cloned());
        warnings.extend(finished.warnings.clone());
        if finished.missing > damage.n_frames {
            warnings.push(format!("{} pictures that the input lists could not be decoded", finished.missing));
        }
        let untraced: u64 = self.tracks().map(|track| track.untraced).sum();
        if untraced > 0 {
            warnings.push(format!("the trace is full: the last {untraced} spans of the run are not in it"));
        }
        warnings.extend(outcome.remembered.as_ref().and_then(|remembered| remembered.trouble.clone()));
        let shares = self.shares();
        Report {
            input: self.config.input.to_string_lossy().into_owned(),
            output: self.output.clone(),
            exit_status: if n_damaged + finished.lost_packets > 0 { STATUS_DAMAGED } else { 0 },
            frames_in: self.n_past + outcome.tracks.take.as_ref().map_or(0, |track| track.items),
            frames_out: self.n_past + n,
            frames_resumed: self.n_past,
            frames_damaged: n_damaged,
            fps: n as f64 / wall.max(1e-9),
            wall_seconds: wall,
            cpu_seconds: meter::process_cpu().as_secs_f64(),
            peak_rss_bytes: meter::peak_rss_bytes(),
            device: plan.device.clone(),
            engine: plan.engine.clone(),
            strength: plan.strength.as_ref().map(|strength| strength.value),
            detections: plan.finding.as_ref().map(|_| outcome.n_found),
            plan_hash: plan.hash(),
            input_size: [plan.source.width, plan.source.height],
            pixels_total: pixels.total,
            pixels_inferred: pixels.inferred,
            pixels_reused: pixels.reused,
            pixels_cached: pixels.cached,
            pixels_outside_roi: pixels.outside,
            pixels_computed: pixels.computed,
            batches: outcome.tracks.work.iter().map(|track| track.calls).sum(),
            skip: self.skip(),
            cache: outcome.remembered.as_ref().map(|remembered| report::Cache {
                capacity: remembered.capacity,
                asked_records: remembered.asked,
                found_records: remembered.found,
                stored_records: remembered.stored,
                stored_bytes: remembered.stored_bytes,
                bad_records: remembered.bad,
            }),
            stages: self.stages(),
            latency_ms: Latency::of(outcome.latencies.clone()),
            bottleneck: if n > 0 { verdict::bound(&shares).name().to_owned() } else { String::new() },
            verdict: if n > 0 { verdict::sentence(&shares) } else { String::new() },
            steady_minor_faults: samples::steady_faults(&outcome.samples),
            timeline: moments(&outcome.samples),
            verified: finished.verified,
            warnings,
            streams: plan.streams.iter().map(stream).collect(),
        }
    }

    fn skip(&self) -> report::Skip {
        let Outcome { history, verified, .. } = self.outcome;
        let n_frames = self.outcome.n_frames.max(1) as f64;
        let work: Duration =
            self.outcome.tracks.work.iter().map(|track| track.cpu.saturating_sub(track.start_cpu)).sum();
        // What is identical has no figure.
        let finite = |psnr: f64| Some(psnr).filter(|psnr| psnr.is_finite());
        report::Skip {
            mode: self.config.skip.to_string(),
            input_psnr_worst_frame: history.kept.and_then(|kept| finite(kept.frame)),
            input_psnr_worst_block: history.kept.and_then(|kept| finite(kept.worst_tile)),
            verified_frames: verified.map_or(0, |verified| verified.n_frames),
            output_psnr_worst_frame: verified.and_then(|verified| finite(verified.worst_frame)),
            output_psnr_worst_block: verified.and_then(|verified| finite(verified.worst_block.0)),
            worst_block: verified
                .filter(|verified| verified.worst_block.0.is_finite())
                .map(|Verified { worst_block: (_, frame, x, y), .. }| [frame, x as u64, y as u64]),
            predicted_ms_per_frame: self.outcome.whole_seconds.map(|whole| whole * history.cost * 1000.0 / n_frames),
            worker_ms_per_frame: work.as_secs_f64() * 1000.0 / n_frames,
            computed_shares: history.computed.means.clone(),
            reused_shares: history.reused.means.clone(),
            frames_of_share: history.computed.n_frames,
            computed_map: history.map.chunks(history.map_columns).map(<[f64]>::to_vec).collect(),
        }
    }

    /// The rows of the trace: a thread each.
    pub fn rows(&self) -> Vec<Row> {
        let row = |track: &Track| Row { name: track.name.clone(), spans: track.spans.iter().map(span).collect() };
        self.tracks().map(row).collect()
    }

    /// The frames to look at.
    pub fn pairs(&self) -> Vec<Pair<'_>> {
        self.outcome.snapshots.iter().map(pair).collect()
    }

    fn tracks(&self) -> impl Iterator<Item = &Track> {
        let tracks = &self.outcome.tracks;
        tracks.take.iter().chain(&tracks.work).chain([&tracks.put])
    }

    fn stages(&self) -> BTreeMap<String, Stage> {
        let Outcome { tracks, cpu, .. } = self.outcome;
        let take: Vec<&Track> = tracks.take.iter().collect();
        let work: Vec<&Track> = tracks.work.iter().collect();
        [("decode", take, cpu.decode), ("infer", work, cpu.infer), ("encode", vec![&tracks.put], cpu.encode)]
            .into_iter()
            .map(|(name, tracks, cpu)| (name.to_owned(), stage(&tracks, cpu)))
            .collect()
    }

    fn shares(&self) -> Shares<'_> {
        let Outcome { tracks, cpu, wall, cpu_of_others, .. } = self.outcome;
        let wall = wall.as_secs_f64().max(1e-9);
        let share = |tracks: &[&Track], cpu: Duration| {
            let whole = wall * tracks.len().max(1) as f64;
            let sum = |of: fn(&Track) -> Duration| tracks.iter().map(|track| of(track).as_secs_f64()).sum::<f64>();
            StageShare {
                busy: sum(Track::busy) / whole,
                disk: sum(|track| track.disk) / whole,
                cpu_seconds: cpu.as_secs_f64(),
            }
        };
        let take: Vec<&Track> = tracks.take.iter().collect();
        let work: Vec<&Track> = tracks.work.iter().collect();
        Shares {
            decode: share(&take, cpu.decode),
            infer: share(&work, cpu.infer),
            encode: share(&[&tracks.put], cpu.encode),
            wall_seconds: wall,
            cores: self.plan.cores,
            window: self.plan.window,
            is_limited: self.plan.is_limited,
            others: cpu_of_others.as_secs_f64() / (wall * self.plan.cores.max(1) as f64),
            engine: &self.plan.engine,
            encoder: self.plan.encoding.as_ref().map(|encoding| encoding.encoder.as_str()),
        }
    }
}

fn stage(tracks: &[&Track], cpu: Duration) -> Stage {
    let sum = |of: &dyn Fn(&Track) -> Duration| tracks.iter().map(|track| of(track).as_secs_f64()).sum::<f64>();
    let of = |activity: Activity| sum(&|track: &Track| track.sum(activity));
    Stage {
        busy_seconds: sum(&Track::busy),
        starved_seconds: of(Activity::Starved),
        blocked_seconds: of(Activity::Blocked),
        disk_seconds: sum(&|track: &Track| track.disk),
        cpu_seconds: cpu.as_secs_f64(),
        items: tracks.iter().map(|track| track.items).sum(),
        parts: Activity::ALL
            .into_iter()
            .filter(|activity| activity.is_busy())
            .map(|activity| (activity.name(), of(activity)))
            .filter(|(_, seconds)| *seconds > 0.0)
            .collect(),
    }
}

fn pair(snapshot: &Snapshot) -> Pair<'_> {
    Pair {
        frame: snapshot.frame,
        seconds: snapshot.seconds,
        before: shown(&snapshot.before),
        after: shown(&snapshot.after),
    }
}

fn shown(crop: &Crop) -> Shown<'_> {
    Shown { width: crop.width, height: crop.height, pixels: &crop.pixels }
}

fn span(span: &crate::pipeline::track::Span) -> Span {
    let microseconds = |nanoseconds: u64| nanoseconds as f64 / 1000.0;
    Span {
        name: span.activity.name(),
        waits: !span.activity.is_busy(),
        begun: microseconds(span.begun),
        lasted: microseconds(span.lasted),
        frame: span.item,
    }
}

fn moments(samples: &[Sample]) -> Vec<Moment> {
    let mut before = Sample::default();
    let moment = |sample: &Sample| {
        let (used, time) = (sample.cpu.saturating_sub(before.cpu), sample.at.saturating_sub(before.at));
        before = *sample;
        Moment {
            seconds: sample.at.as_secs_f64(),
            frames: sample.depths.put,
            waiting: sample.depths.waiting,
            working: sample.depths.working,
            finished: sample.depths.finished,
            cpus: if time.is_zero() { 0.0 } else { used.as_secs_f64() / time.as_secs_f64() },
            rss_bytes: sample.rss_bytes,
        }
    };
    samples.iter().map(moment).collect()
}

fn stream(stream: &StreamPlan) -> Stream {
    let (action, detail) = stream.describe();
    Stream {
        index: stream.input_index,
        kind: stream.kind.name().to_owned(),
        codec: stream.codec.clone(),
        action: match action {
            "processed" => Action::Encoded,
            "copied" => Action::Copied,
            "dropped" => Action::Dropped,
            _ => Action::Converted,
        },
        detail,
    }
}
