//! The main job: a network over every frame of a video.

use std::time::Instant;

use super::prepare::{self, Prepared, describe, open_sink};
use crate::config::RunConfig;
use crate::error::{Context, Error, Kind, Result};
use crate::frame::Pool;
use crate::interrupt;
use crate::pipeline::progress::Progress;
use crate::pipeline::stage::Width;
use crate::pipeline::worker::Workshop;
use crate::pipeline::{self, Outcome};
use crate::report::{self, Action, Latency, Report};
use crate::sink::Finished;
use crate::source::Damage;

/// The source was damaged, and what could be saved was saved.
const STATUS_DAMAGED: u8 = 3;

/// Runs a network over a video; the exit status.
pub fn run(config: &RunConfig) -> Result<u8> {
    prepare::check_output(config)?;
    let mut prepared = prepare::prepare(config)?;
    prepare::rehearse(config, &mut prepared)?;
    if config.dry_run {
        super::print(prepared.plan.to_string().as_bytes())?;
        return Ok(0);
    }
    for warning in &prepared.plan.warnings {
        tracing::warn!("{warning}");
    }
    tracing::info!("plan\n{}", prepared.plan);
    execute(config, prepared)
}

/// Runs the chain, finishes the output, reports.
fn execute(config: &RunConfig, mut prepared: Prepared) -> Result<u8> {
    let begun = Instant::now();
    let mut sink = open_sink(config, &mut prepared).context(|| describe(&config.output))?;
    let Prepared { plan, network, engine, head, opened, .. } = &mut prepared;
    let shop = Workshop { network, engine: engine.clone(), head, tiles: plan.tiles.clone(), pool: Pool::new() };
    let width = Width { workers: plan.threads.workers, window: plan.window };
    let mut progress = Progress::new(config.progress, config.quiet, plan.source.n_frames);
    let stop = || interrupt::requested().is_some();
    let source = opened.source.as_mut();
    let (result, outcome) = pipeline::run(width, &shop, source, sink.as_mut(), &mut progress, &stop);
    progress.finish();
    result.context(|| config.input.to_string_lossy())?;
    if outcome.stopped {
        sink.stop().context(|| describe(&config.output))?;
        let part = config
            .output
            .path()
            .map_or_else(String::new, |path| format!("; what is done is in {}.part", path.display()));
        return Err(Error::new(Kind::Interrupted, format!("stopped after {} frames{part}", outcome.n_frames)));
    }
    let finished = sink.finish().context(|| describe(&config.output))?;
    let damage = prepared.opened.source.damage();
    let report = report_of(config, &prepared, &outcome, &finished, &damage, begun);
    conclude(config, &report, &damage, prepared.plan.warnings.len())?;
    Ok(report.exit_status)
}

fn report_of(
    config: &RunConfig,
    prepared: &Prepared,
    outcome: &Outcome,
    finished: &Finished,
    damage: &Damage,
    begun: Instant,
) -> Report {
    let plan = &prepared.plan;
    let wall = begun.elapsed().as_secs_f64();
    let n = outcome.n_frames;
    let pixels = n * (plan.source.width * plan.source.height) as u64;
    let n_damaged = damage.n_frames.max(finished.missing);
    let mut warnings = plan.warnings.clone();
    warnings.extend(prepared.opened.source.warnings());
    warnings.extend(finished.warnings.clone());
    if finished.missing > damage.n_frames {
        warnings.push(format!("{} pictures that the input lists could not be decoded", finished.missing));
    }
    let seconds = |clock: &pipeline::stage::Clock| report::Stage {
        busy_seconds: clock.busy.as_secs_f64(),
        starved_seconds: clock.starved.as_secs_f64(),
        blocked_seconds: clock.blocked.as_secs_f64(),
        items: clock.items,
    };
    let clocks = &outcome.clocks;
    let stages = [("decode", &clocks.take), ("infer", &clocks.work), ("encode", &clocks.put)];
    Report {
        input: config.input.to_string_lossy().into_owned(),
        output: describe(&config.output),
        exit_status: if n_damaged > 0 { STATUS_DAMAGED } else { 0 },
        frames_in: clocks.take.items,
        frames_out: n,
        frames_damaged: n_damaged,
        fps: n as f64 / wall.max(1e-9),
        wall_seconds: wall,
        cpu_seconds: report::cpu_seconds(),
        peak_rss_bytes: report::peak_rss_bytes(),
        device: "cpu".to_owned(),
        engine: plan.engine.clone(),
        plan_hash: plan.hash(),
        pixels_total: pixels,
        pixels_inferred: pixels,
        pixels_reused: 0,
        pixels_cached: 0,
        pixels_outside_roi: 0,
        pixels_computed: n * plan.pixels_computed(),
        batches: n * plan.tiles.len() as u64,
        stages: stages.into_iter().map(|(name, clock)| (name.to_owned(), seconds(clock))).collect(),
        latency_ms: Latency::of(outcome.latencies.clone()),
        bottleneck: bottleneck(outcome, plan.threads.workers).to_owned(),
        verified: finished.verified,
        warnings,
        streams: plan.streams.iter().map(stream_report).collect(),
    }
}

fn stream_report(stream: &crate::plan::container::StreamPlan) -> report::Stream {
    let (action, detail) = stream.describe();
    report::Stream {
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

/// The stage whose threads were busy for the largest share of their time.
fn bottleneck(outcome: &Outcome, workers: usize) -> &'static str {
    let clocks = &outcome.clocks;
    let shares = [
        ("decode", clocks.take.busy.as_secs_f64()),
        ("inference", clocks.work.busy.as_secs_f64() / workers.max(1) as f64),
        ("encode", clocks.put.busy.as_secs_f64()),
    ];
    shares.into_iter().max_by(|a, b| a.1.total_cmp(&b.1)).map_or("", |(name, _)| name)
}

/// Says what came of the run.
fn conclude(config: &RunConfig, report: &Report, damage: &Damage, n_said: usize) -> Result<()> {
    // The plan's own were said before the run.
    for warning in &report.warnings[n_said..] {
        tracing::warn!("{warning}");
    }
    for line in &damage.lines {
        tracing::warn!("damaged source: {line}");
    }
    if let Some(path) = &config.report {
        report::write_json(path, report)?;
    }
    if !config.quiet {
        eprint!("{}", report::summary(report));
    }
    Ok(())
}
