//! The chain as it is run and as it is measured: one way from what was prepared to the pipeline.

use super::prepare::Prepared;
use super::remember::pixel_hash;
use crate::cache::Cache;
use crate::error::Result;
use crate::interrupt;
use crate::pipeline::progress::Progress;
use crate::pipeline::recall::{Recall, Scope};
use crate::pipeline::rehearsal::{Rehearsal, rehearse};
use crate::pipeline::snapshot::Choice;
use crate::pipeline::stage::Width;
use crate::pipeline::survey::{Survey, SurveyPlan};
use crate::pipeline::worker::{Start, Workshop};
use crate::pipeline::{self, Outcome, Settings};
use crate::plan::Skip;
use crate::plan::cost::CostModel;
use crate::sink::Sink;

/// What runs differ in; by default nothing is asked for.
#[derive(Default)]
pub struct How<'a> {
    /// What was computed before.
    pub cache: Option<Cache>,
    /// Every span of every thread is kept.
    pub traced: bool,
    /// Frames kept for people to look at.
    pub shown: Choice,
    /// One frame in so many is run in full as well and compared.
    pub verify_stride: Option<u64>,
    /// The output shows what was computed where.
    pub has_overlay: bool,
    /// For those who measure.
    pub start: Option<Start<'a>>,
}

/// Runs the frames of what was prepared into `sink`, which is not finished, until the source ends or a signal comes.
/// Fails before that if windows cannot be tried.
pub fn run_chain(
    prepared: &mut Prepared,
    how: How,
    sink: &mut dyn Sink,
    progress: &mut Progress,
) -> Result<(Result<()>, Outcome)> {
    let pictures = how.cache.is_some().then(|| pixel_hash(prepared)).transpose()?;
    let Prepared { plan, network, engine, head, opened, .. } = prepared;
    let mut shop = Workshop {
        roi: plan.roi.as_ref(),
        start: how.start,
        ..Workshop::new(network, engine.clone(), head, plan.windows.whole.clone())
    };
    let Rehearsal { cost, is_exact } = rehearse(&shop, &plan.windows)?;
    if !is_exact {
        let warning = format!("{} gives other results in windows than in whole frames, so none are used", plan.engine);
        tracing::warn!("{warning}");
        plan.warnings.push(warning);
        plan.windows.shapes.clear();
    }
    // Near results depend on which windows are chosen; they are to be the same in every run, so no clock decides it.
    let choosing = if let Skip::Near(_) = plan.skip { CostModel::UNMEASURED } else { cost };
    let survey_plan = SurveyPlan::new(plan, choosing);
    if let (Some(cache), Some(pictures)) = (how.cache, pictures) {
        shop.recall =
            Some(Recall::new(cache, Scope { pictures, reach: survey_plan.recall_reach(head) }, head, survey_plan.cell));
    }
    let settings = Settings {
        width: Width { workers: plan.threads.workers, window: plan.window },
        traced: how.traced,
        batch_limits: survey_plan.cover.shapes().iter().map(|shape| cost.joined(shape.size)).collect(),
        shown: how.shown,
        verify_stride: how.verify_stride,
        has_overlay: how.has_overlay,
    };
    let survey = Survey::new(survey_plan, head);
    let stop = || interrupt::requested().is_some();
    let outcome = pipeline::run(settings, &shop, survey, opened.source.as_mut(), sink, progress, &stop);
    plan.warnings.extend(shop.nan_warning());
    Ok(outcome)
}
