//! The whole work: as a run does it, and as a plain loop would.

use std::sync::Arc;

use super::super::chain::{How, run_chain};
use super::super::prepare::{Prepared, open_sink};
use super::check_interrupt;
use super::gate::{Gate, Gated};
use super::stages::Stages;
use crate::config::{ProgressMode, RunConfig};
use crate::error::Result;
use crate::frame::Frame;
use crate::infer::EngineSettings;
use crate::pipeline;
use crate::pipeline::progress::Progress;
use crate::pipeline::workshop::{Start, Workshop};
use crate::report::bench::Repeat;

/// The chain from the first frame to the verified output.
pub fn chain(config: &RunConfig, mut prepared: Prepared, warm: bool) -> Result<Repeat> {
    let mut sink = open_sink(config, &mut prepared)?;
    let gate = Arc::new(Gate::new(prepared.plan.threads.workers));
    prepared.opened = Gated::put(prepared.opened, &gate, config.start.is_some())?;
    let arrived = || gate.arrive();
    let how = How { start: Some(Start { warm, arrived: &arrived }), ..How::default() };
    let mut progress = Progress::new(ProgressMode::None, true, None);
    let (result, mut outcome) = run_chain(&mut prepared, how, sink.as_mut(), &mut progress)?;
    result?;
    check_interrupt()?;
    pipeline::finish(sink, &mut outcome)?;
    Ok(gate.start().end(outcome.n_frames))
}

/// Decode a frame, run the network on all of it, encode, one after the other on this thread; the engine has a thread
/// a core, and the codecs those that the chain gives them.
pub fn plain(config: &RunConfig, mut prepared: Prepared, warm: bool) -> Result<Repeat> {
    let mut sink = open_sink(config, &mut prepared)?;
    let gate = Arc::new(Gate::new(0));
    prepared.opened = Gated::put(prepared.opened, &gate, config.start.is_some())?;
    let mut fit = prepared.fit();
    let Prepared { plan, network, engine, head, opened, .. } = &mut prepared;
    let engine = EngineSettings { threads: plan.cores, ..engine.clone() };
    let tiles = plan.windows.whole.clone();
    let shop = Workshop::new(network, engine, head, tiles);
    let mut stages = Stages::through_tensors(&shop)?;
    if warm {
        stages.infer()?;
    }
    let mut n_frames = 0;
    while let Some(frame) = opened.source.next_frame()? {
        let mut out = stages.picture()?;
        for tile in &shop.tiles {
            stages.gather(&frame.picture, tile)?;
            stages.infer()?;
            stages.scatter(&frame.picture, tile, &mut out)?;
        }
        stages.finish(&frame.picture, &mut out)?;
        let mut picture = out.freeze();
        if let Some(fit) = &mut fit {
            picture = fit.picture(picture)?;
        }
        sink.write(&Frame { picture, ..frame })?;
        n_frames += 1;
        check_interrupt()?;
    }
    sink.finish()?;
    Ok(gate.start().end(n_frames))
}
