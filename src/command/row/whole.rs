//! The whole work: as a run does it, and as a plain loop would.

use std::time::Instant;

use super::super::prepare::{Prepared, open_sink};
use super::gate::{Gate, Gated, Start};
use crate::config::{ProgressMode, RunConfig};
use crate::error::{Error, Kind, Result};
use crate::frame::Pool;
use crate::infer::EngineSettings;
use crate::interrupt;
use crate::pipeline::progress::Progress;
use crate::pipeline::stage::Width;
use crate::pipeline::track::Track;
use crate::pipeline::worker::{Worker, Workshop};
use crate::pipeline::{self, Settings};
use crate::report::bench::Repeat;

/// Runs the chain, and counts nothing.
pub fn make(config: &RunConfig, prepared: Prepared) -> Result<()> {
    chain(config, prepared, false).map(drop)
}

/// The chain from the first frame to the verified output.
pub fn chain(config: &RunConfig, mut prepared: Prepared, warm: bool) -> Result<Repeat> {
    let mut sink = open_sink(config, &mut prepared)?;
    let Prepared { plan, network, engine, head, opened, .. } = &mut prepared;
    let gate = Gate::new(plan.threads.workers);
    let ready = |worker: Option<&mut Worker>| {
        if let Some(worker) = worker.filter(|_| warm) {
            // What fails here fails again in the run, and is told there.
            let _ = worker.warm_up();
        }
        gate.arrive();
    };
    let shop = Workshop {
        network,
        engine: engine.clone(),
        head,
        tiles: plan.tiles.clone(),
        pool: Pool::new(),
        ready: Some(&ready),
    };
    let width = Width { workers: plan.threads.workers, window: plan.window };
    let mut source = Gated::new(opened.source.as_mut(), &gate, config.start.is_some())?;
    let mut progress = Progress::new(ProgressMode::None, true, None);
    let settings = Settings { width, traced: false };
    let stop = || interrupt::requested().is_some();
    let (result, mut outcome) = pipeline::run(settings, &shop, &mut source, sink.as_mut(), &mut progress, &stop);
    result?;
    if outcome.stopped {
        return Err(Error::new(Kind::Interrupted, "stopped"));
    }
    pipeline::finish(sink, &mut outcome)?;
    Ok(gate.start().end(outcome.n_frames))
}

/// Decode a frame, run the network on all of it, encode, one after the other on this thread; the engine has a thread
/// a core, and the codecs those that the chain gives them.
pub fn plain(config: &RunConfig, mut prepared: Prepared, warm: bool) -> Result<Repeat> {
    let mut sink = open_sink(config, &mut prepared)?;
    let Prepared { plan, network, engine, head, opened, .. } = &mut prepared;
    let engine = EngineSettings { threads: plan.cores, ..engine.clone() };
    let shop = Workshop { network, engine, head, tiles: plan.tiles.clone(), pool: Pool::new(), ready: None };
    let mut worker = Worker::new(&shop)?;
    if warm {
        worker.warm_up()?;
    }
    let gate = Gate::new(0);
    let mut source = Gated::new(opened.source.as_mut(), &gate, config.start.is_some())?;
    let mut track = Track::begin("plain".to_owned(), Instant::now(), false);
    let start = Start::now();
    let mut n_frames = 0;
    while let Some(frame) = crate::source::Source::next_frame(&mut source)? {
        sink.write(&worker.work(&shop, &mut track, frame)?)?;
        n_frames += 1;
        if interrupt::requested().is_some() {
            return Err(Error::new(Kind::Interrupted, "stopped"));
        }
    }
    sink.finish()?;
    Ok(start.end(n_frames))
}
