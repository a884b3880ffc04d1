//! The main job: a network over every frame of a video.

use std::time::Instant;

use super::account::Account;
use super::chain::{How, run_chain};
use super::outputs;
use super::prepare::{self, Prepared, describe, open_sink};
use super::{master, remember, segment};
use crate::config::{ProgressMode, RunConfig};
use crate::error::{Context, Error, Kind, Result};
use crate::head::detect::Detection;
use crate::measure::Opened;
use crate::pipeline::progress::Progress;
use crate::pipeline::snapshot::Choice;
use crate::pipeline::{self, Told};
use crate::plan::finding::Finding;
use crate::report::detections::Lines;
use crate::report::{self, Report, html, trace};
use crate::segment::resumed::Resumed;
use crate::sink::Sink;
use crate::source::Damage;

/// Runs a network over a video; the exit status.
pub fn run(config: &RunConfig) -> Result<u8> {
    let progress = |n_frames| Progress::new(config.progress, config.quiet, n_frames);
    let Some(report) = process(config, progress)? else { return Ok(0) };
    // A program that reads objects gets no lines for people between them.
    if !config.quiet && config.progress != ProgressMode::Json {
        eprint!("{}", report::summary(&report));
    }
    Ok(report.exit_status)
}

/// Runs a network over a video, or only prints the plan if no more is asked. `progress` is told the number of frames,
/// where it is known, and makes what tells how far the run is.
pub fn process(config: &RunConfig, progress: impl FnOnce(Option<u64>) -> Progress) -> Result<Option<Report>> {
    super::pin(config)?;
    outputs::check(config)?;
    let config = &master::checked(config)?;
    let (config, mut prepared) = segment::prepare(config)?;
    let config = &config;
    prepare::rehearse(config, &mut prepared)?;
    if config.dry_run {
        super::print(prepared.plan.to_string().as_bytes())?;
        return Ok(None);
    }
    for warning in &prepared.plan.warnings {
        tracing::warn!("{warning}");
    }
    tracing::info!("plan\n{}", prepared.plan);
    if config.manifest_only {
        let manifest = segment::make_manifest(config, &mut prepared).context(|| describe(&config.output))?;
        super::print(format!("{}\n", manifest.display()).as_bytes())?;
        return Ok(None);
    }
    let begun = Instant::now();
    let (prepared, output) = open_output(config, prepared).context(|| describe(&config.output))?;
    let progress = progress(prepared.plan.source.n_frames).behind(output.n_past);
    execute(config, prepared, output, progress, begun).map(Some)
}

/// Where the frames go, and what is there already.
struct Output {
    sink: Box<dyn Sink>,
    /// Frames that earlier runs of the same command have made; the source gives the others.
    n_past: u64,
    /// An interrupted run can be continued.
    is_segmented: bool,
}

/// Opens the output, in segments if that was decided, and lets the source pass over what is there.
fn open_output(config: &RunConfig, mut prepared: Prepared) -> Result<(Prepared, Output)> {
    let Some((sink, past)) = segment::begin(config, &mut prepared)? else {
        let sink = master::beside(config, open_sink(config, &mut prepared)?)?;
        return Ok((prepared, Output { sink, n_past: 0, is_segmented: false }));
    };
    let n_past = past.n_frames();
    let source = Box::new(Resumed::new(prepared.opened.source, past));
    prepared.opened = Opened { source, ..prepared.opened };
    Ok((prepared, Output { sink, n_past, is_segmented: true }))
}

/// Runs the chain, finishes the output, reports.
fn execute(
    config: &RunConfig,
    mut prepared: Prepared,
    output: Output,
    mut progress: Progress,
    begun: Instant,
) -> Result<Report> {
    let Output { mut sink, n_past, is_segmented } = output;
    let n_frames = prepared.plan.source.n_frames;
    let mut lines = match (&config.detections, &prepared.plan.finding) {
        (Some(path), Some(finding)) => Some(Lines::create(path, finding.labels.clone())?),
        _ => None,
    };
    let told = lines.as_mut().map(|lines| {
        Box::new(|seconds, found: &[Detection], tracks: &[u64]| lines.frame(seconds, found, tracks)) as Told
    });
    let finding = prepared.plan.finding.as_ref();
    let hides = finding.is_some_and(Finding::hides);
    let verify_skip = config.verify_skip.filter(|_| finding.is_none());
    let how = How {
        cache: remember::open(&mut prepared),
        traced: config.trace.is_some(),
        // What is hidden is not to be seen in the report either.
        shown: if config.wants_page() && !hides { Choice::Spread(n_frames) } else { Choice::None },
        // Spread over the video; of one of unknown length, one frame in a hundred.
        verify_stride: verify_skip.map(|n| n_frames.map_or(100, |frames| (frames / n).max(1))),
        has_overlay: config.debug_overlay,
        told,
        start: None,
    };
    let (result, mut outcome) = run_chain(&mut prepared, how, sink.as_mut(), &mut progress)?;
    progress.finish();
    result.context(|| config.input.to_string_lossy())?;
    if outcome.stopped {
        sink.stop().context(|| describe(&config.output))?;
        let rest = match config.output.path() {
            Some(_) if is_segmented => "; the same command continues".to_owned(),
            Some(path) => format!("; what the encoder had finished is in {}.part", path.display()),
            None => String::new(),
        };
        let n_frames = n_past + outcome.n_frames;
        return Err(Error::new(Kind::Interrupted, format!("stopped after {n_frames} frames{rest}")));
    }
    let finished = pipeline::finish(sink, &mut outcome).context(|| describe(&config.output))?;
    lines.map_or(Ok(()), Lines::finish)?;
    let damage = prepared.opened.source.damage();
    let account = Account {
        config,
        plan: &prepared.plan,
        output: describe(&config.output),
        outcome: &outcome,
        finished: &finished,
        damage: &damage,
        source_warnings: prepared.opened.source.warnings(),
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
    warn(&report, &damage, prepared.plan.warnings.len());
    Ok(report)
}

/// Says what a person should hear at the end; `n_said` warnings have been said.
fn warn(report: &Report, damage: &Damage, n_said: usize) {
    // The plan's own were said before the run.
    for warning in &report.warnings[n_said..] {
        tracing::warn!("{warning}");
    }
    for line in &damage.lines {
        tracing::warn!("damaged source: {line}");
    }
}
