//! The chain as it is run and as it is measured: one way from what was prepared to the pipeline.

use super::prepare::Prepared;
use super::remember::pixel_hash;
use crate::cache::Cache;
use crate::error::Result;
use crate::head::detect::DetectHead;
use crate::interrupt;
use crate::pipeline::progress::Progress;
use crate::pipeline::recall::{Recall, Scope};
use crate::pipeline::rehearsal::{Trial, is_by_caller};
use crate::pipeline::snapshot::Choice;
use crate::pipeline::stage::Width;
use crate::pipeline::survey::{Survey, SurveyPlan};
use crate::pipeline::workshop::{Start, Workshop};
use crate::pipeline::{self, Outcome, Settings, Told};
use crate::plan::finding::Finding;
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
    /// Hears of all that is found.
    pub told: Option<Told<'a>>,
    /// For those who measure.
    pub start: Option<Start<'a>>,
}

/// Runs the frames of what was prepared into `sink`, which is not finished, until the source ends or a signal comes.
/// Fails before that if windows have to be tried first and cannot be.
pub fn run_chain(
    prepared: &mut Prepared,
    how: How,
    sink: &mut dyn Sink,
    progress: &mut Progress,
) -> Result<(Result<()>, Outcome)> {
    let pictures = how.cache.is_some().then(|| pixel_hash(prepared)).transpose()?;
    let fit = prepared.fit();
    let Prepared { plan, network, engine, head, opened, .. } = prepared;
    // Tiles that the cache has lost are computed in windows, and who measures begins when all is ready.
    let may_wait = how.cache.is_none() && how.start.is_none();
    let detect = |finding: &Finding| DetectHead::new(&network.facts, &head.picture(), finding.task.clone());
    let mut shop = Workshop {
        detect: plan.finding.as_ref().map(detect).transpose()?,
        roi: plan.roi.as_ref(),
        start: how.start,
        ..Workshop::new(network, engine.clone(), head, plan.windows.whole.clone())
    };
    let trial = Trial::new(plan);
    let waits = may_wait && is_by_caller(&shop);
    if !waits {
        trial.hold(&shop)?;
    }
    let survey_plan = SurveyPlan::new(plan, trial.priced());
    if let (Some(cache), Some(pictures)) = (how.cache, pictures) {
        shop.recall =
            Some(Recall::new(cache, Scope { pictures, reach: survey_plan.recall_reach(head) }, head, survey_plan.cell));
    }
    let settings = Settings {
        width: Width { workers: plan.threads.workers, window: plan.window },
        trial: &trial,
        traced: how.traced,
        shown: how.shown,
        verify_stride: how.verify_stride,
        has_overlay: how.has_overlay,
        told: how.told,
        fit,
        bands: if is_by_caller(&shop) { plan.windows.bands(plan.threads.workers) } else { Vec::new() },
    };
    let survey = Survey::new(survey_plan, head);
    let price = || trial.hold(&shop).map(|()| trial.priced());
    let survey = if waits { survey.priced_by(price) } else { survey };
    let stop = || interrupt::requested().is_some();
    let outcome = pipeline::run(settings, &shop, survey, opened.source.as_mut(), sink, progress, &stop);
    if let Some(warning) = trial.warning() {
        plan.warnings.push(warning);
        plan.windows = plan.windows.without_shapes();
    }
    plan.warnings.extend(shop.nan_warning());
    Ok(outcome)
}
