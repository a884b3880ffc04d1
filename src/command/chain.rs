//! The chain as it is run and as it is measured: one way from what was prepared to the pipeline.

use super::prepare::Prepared;
use crate::error::Result;
use crate::frame::Pool;
use crate::interrupt;
use crate::pipeline::progress::Progress;
use crate::pipeline::snapshot::Choice;
use crate::pipeline::stage::Width;
use crate::pipeline::worker::{Start, Workshop};
use crate::pipeline::{self, Outcome, Settings};
use crate::sink::Sink;

/// What runs differ in.
pub struct How<'a> {
    /// Every span of every thread is kept.
    pub traced: bool,
    /// Frames kept for people to look at.
    pub shown: Choice,
    /// For those who measure.
    pub start: Option<Start<'a>>,
}

/// Runs the frames of what was prepared into `sink`, which is not finished, until the source ends or a signal comes.
pub fn run_chain(
    prepared: &mut Prepared,
    how: How,
    sink: &mut dyn Sink,
    progress: &mut Progress,
) -> (Result<()>, Outcome) {
    let Prepared { plan, network, engine, head, opened, .. } = prepared;
    let (engine, tiles) = (engine.clone(), plan.tiles.clone());
    let shop = Workshop { network, engine, head, tiles, pool: Pool::new(), start: how.start };
    let width = Width { workers: plan.threads.workers, window: plan.window };
    let settings = Settings { width, traced: how.traced, shown: how.shown };
    let stop = || interrupt::requested().is_some();
    pipeline::run(settings, &shop, opened.source.as_mut(), sink, progress, &stop)
}
