//! The main job: a network over every frame of a video.

use std::time::Instant;

use super::account::Account;
use super::prepare::{self, Prepared, describe, open_sink};
use crate::config::RunConfig;
use crate::error::{Context, Error, Kind, Result};
use crate::frame::Pool;
use crate::interrupt;
use crate::pipeline::progress::Progress;
use crate::pipeline::rehearsal::{Rehearsal, rehearse};
use crate::pipeline::snapshot::Choice;
use crate::pipeline::stage::Width;
use crate::pipeline::survey::{Survey, SurveyPlan};
use crate::pipeline::worker::Workshop;
use crate::pipeline::{self, Settings};
use crate::report::{self, Report, html, trace};
use crate::source::Damage;

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
    let shop = Workshop {
        network,
        engine: engine.clone(),
        head,
        tiles: plan.windows.whole.clone(),
        roi: plan.roi.as_ref(),
        pool: Pool::new(),
    };
    let Rehearsal { cost, is_exact } = rehearse(&shop, &plan.windows)?;
    if !is_exact {
        let warning = format!("{} gives other results in windows than in whole frames, so none are used", plan.engine);
        tracing::warn!("{warning}");
        plan.warnings.push(warning);
        plan.windows.shapes.clear();
    }
    let survey_plan = SurveyPlan::new(plan, cost);
    let width = Width { workers: plan.threads.workers, window: plan.window };
    let batch_limits = survey_plan.cover.shapes().iter().map(|shape| cost.joined(shape.size)).collect();
    let shown = if config.wants_page() { Choice::Spread(plan.source.n_frames) } else { Choice::None };
    let settings = Settings {
        width,
        traced: config.trace.is_some(),
        batch_limits,
        shown,
        // Spread over the video; of one of unknown length, one frame in a hundred.
        verify_stride: config.verify_skip.map(|n| plan.source.n_frames.map_or(100, |frames| (frames / n).max(1))),
        has_overlay: config.debug_overlay,
    };
    let mut progress = Progress::new(config.progress, config.quiet, plan.source.n_frames);
    let stop = || interrupt::requested().is_some();
    let source = opened.source.as_mut();
    let survey = Survey::new(survey_plan, head);
    let (result, mut outcome) = pipeline::run(settings, &shop, survey, source, sink.as_mut(), &mut progress, &stop);
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
    let finished = pipeline::finish(sink, &mut outcome).context(|| describe(&config.output))?;
    let damage = prepared.opened.source.damage();
    let account = Account {
        config,
        plan: &prepared.plan,
        output: describe(&config.output),
        outcome: &outcome,
        finished: &finished,
        damage: &damage,
        source_warnings: prepared.opened.source.warnings(),
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
    conclude(config, &report, &damage, prepared.plan.warnings.len())?;
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
