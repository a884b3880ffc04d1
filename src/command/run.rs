//! The main job: a network over every frame of a video.

use std::time::Instant;

use super::account::Account;
use super::prepare::{self, Prepared, describe, open_sink};
use super::segment::{self, Begun};
use crate::config::RunConfig;
use crate::error::{Context, Error, Kind, Result};
use crate::frame::Pool;
use crate::interrupt;
use crate::pipeline::progress::Progress;
use crate::pipeline::snapshot::Choice;
use crate::pipeline::stage::Width;
use crate::pipeline::worker::Workshop;
use crate::pipeline::{self, Settings};
use crate::report::{self, Report, html, trace};
use crate::segment::resumed::{Past, Resumed};
use crate::source::Damage;

/// Runs a network over a video; the exit status.
pub fn run(config: &RunConfig) -> Result<u8> {
    prepare::check_output(config)?;
    let mut prepared = segment::prepare(config)?;
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
    let (mut sink, past) = match segment::begin(config, &mut prepared).context(|| describe(&config.output))? {
        Some(Begun::Sink(sink, past)) => (sink, Some(past)),
        Some(Begun::Complete(end)) => return Ok(segment::conclude(config, &end)),
        None => (open_sink(config, &mut prepared).context(|| describe(&config.output))?, None),
    };
    let Prepared { plan, network, engine, head, opened, .. } = prepared;
    let mut source = opened.source;
    let n_past = past.as_ref().map_or(0, Past::n_frames);
    let is_segmented = past.is_some();
    if let Some(past) = past {
        source = Box::new(Resumed::new(source, past));
    }
    let (tiles, pool) = (plan.tiles.clone(), Pool::new());
    let shop = Workshop { network: &network, engine, head: &head, tiles, pool };
    let width = Width { workers: plan.threads.workers, window: plan.window };
    let shown = if config.wants_page() { Choice::Spread(plan.source.n_frames) } else { Choice::None };
    let settings = Settings { width, traced: config.trace.is_some(), shown };
    let n_left = plan.source.n_frames.map(|n| n.saturating_sub(n_past));
    let mut progress = Progress::new(config.progress, config.quiet, n_left);
    let stop = || interrupt::requested().is_some();
    let (result, mut outcome) = pipeline::run(settings, &shop, source.as_mut(), sink.as_mut(), &mut progress, &stop);
    progress.finish();
    result.context(|| config.input.to_string_lossy())?;
    if outcome.stopped {
        sink.stop().context(|| describe(&config.output))?;
        let rest = match config.output.path() {
            Some(_) if is_segmented => "; the same command continues".to_owned(),
            Some(path) => format!("; what is done is in {}.part", path.display()),
            None => String::new(),
        };
        let n_frames = n_past + outcome.n_frames;
        return Err(Error::new(Kind::Interrupted, format!("stopped after {n_frames} frames{rest}")));
    }
    let finished = pipeline::finish(sink, &mut outcome).context(|| describe(&config.output))?;
    let damage = source.damage();
    let account = Account {
        config,
        plan: &plan,
        output: describe(&config.output),
        outcome: &outcome,
        finished: &finished,
        damage: &damage,
        source_warnings: source.warnings(),
        n_past,
    };
    let report = account.report(begun.elapsed());
    match &config.report {
        Some(path) if config.wants_page() => html::write_html(path, &report, &account.pairs())?,
        Some(path) => report::write_json(path, &report)?,
        None => {}
    }
    if let Some(path) = &config.trace {
        trace::write_trace(path, &account.rows(), &report.timeline)?;
    }
    conclude(config, &report, &damage, plan.warnings.len())?;
    Ok(report.exit_status)
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
    if !config.quiet {
        eprint!("{}", report::summary(report));
    }
    Ok(())
}
