//! One part of the chain alone, with the threads that it has in the chain.

use super::super::prepare::{Prepared, open_sink};
use super::gate::{Gate, Start};
use super::stages::Stages;
use super::{Spec, check_interrupt};
use crate::config::RunConfig;
use crate::error::{Error, Kind, Result};
use crate::frame::{Frame, Picture};
use crate::measure;
use crate::pipeline::stage::{self, Hands, Order, Watch, Width};
use crate::pipeline::track::Track;
use crate::pipeline::workshop::Workshop;
use crate::report::bench::{Part, Repeat};
use crate::source::Source;
use crate::tile::grid::Tile;

/// Pictures that are kept to be worked on again and again, and the bytes they may take.
const MAX_KEPT: usize = 16;
const MAX_KEPT_BYTES: usize = 1 << 30;

/// Opens the input, for the first frames are decoded there, takes every frame and lets it go.
pub fn decode(config: &RunConfig, prepared: Prepared) -> Result<Repeat> {
    let threads = prepared.plan.threads.decoder;
    drop(prepared);
    let start = Start::now();
    let mut opened = measure::open_source(config, threads)?;
    let mut n_frames = 0;
    while opened.source.next_frame()?.is_some() {
        n_frames += 1;
        check_interrupt()?;
    }
    Ok(start.end(n_frames))
}

/// Encodes, muxes and verifies what the chain made, its pictures decoded beforehand.
///
/// So many are kept as memory allows, and shown forwards and backwards, so that motion stays what it is.
pub fn encode(config: &RunConfig, mut prepared: Prepared) -> Result<Repeat> {
    let mut frames: Vec<Frame> = Vec::new();
    let mut kept: Vec<Picture> = Vec::new();
    let source = prepared.opened.source.as_mut();
    let most = kept_at_most(source);
    while let Some(frame) = source.next_frame()? {
        if kept.len() < most {
            kept.push(frame.picture.clone());
        }
        // The memory of a picture that is not kept must go.
        frames.push(Frame { picture: kept[there_and_back(frames.len(), kept.len())].clone(), ..frame });
        check_interrupt()?;
    }
    let mut sink = open_sink(config, &mut prepared)?;
    let start = Start::now();
    for frame in &frames {
        sink.write(frame)?;
        check_interrupt()?;
    }
    sink.finish()?;
    Ok(start.end(frames.len() as u64))
}

/// 0 1 2 3 2 1 0 1 2 ... for four.
fn there_and_back(index: usize, n: usize) -> usize {
    if n <= 1 {
        return 0;
    }
    let at = index % (2 * n - 2);
    if at < n { at } else { 2 * n - 2 - at }
}

fn kept_at_most(source: &dyn Source) -> usize {
    let facts = source.facts();
    let bytes = facts.width * facts.height * 3 * facts.format.bytes_per_sample();
    (MAX_KEPT_BYTES / bytes.max(1)).clamp(2, MAX_KEPT)
}

/// A picture from the first part to the last, so that every part has something sensible to work on.
fn warm_up(stages: &mut Stages, tiles: &[Tile], picture: &Picture, warm: bool) -> Result<()> {
    act(Part::Preprocess, stages, tiles, picture)?;
    if warm {
        act(Part::Inference, stages, tiles, picture)?;
    }
    act(Part::Postprocess, stages, tiles, picture)
}

fn act(part: Part, stages: &mut Stages, tiles: &[Tile], picture: &Picture) -> Result<()> {
    match part {
        Part::Preprocess => tiles.iter().try_for_each(|tile| stages.gather(picture, tile)),
        Part::Inference => tiles.iter().try_for_each(|_| stages.infer()),
        Part::Postprocess => {
            let mut out = stages.picture()?;
            tiles.iter().try_for_each(|tile| stages.scatter(picture, tile, &mut out))?;
            stages.finish(picture, &mut out)
        }
        other => Err(Error::new(Kind::Internal, format!("{} is no part of a worker", other.name()))),
    }
}

/// One part of a worker's work, by as many workers as the chain has.
pub fn in_workers(part: Part, mut prepared: Prepared, spec: &Spec) -> Result<Repeat> {
    let mut kept = Vec::new();
    let source = prepared.opened.source.as_mut();
    let most = kept_at_most(source).min(usize::try_from(spec.frames).unwrap_or(MAX_KEPT));
    while kept.len() < most
        && let Some(frame) = source.next_frame()?
    {
        kept.push(frame.picture);
    }
    let Some(first) = kept.first() else {
        return Err(Error::new(Kind::Input, "the input has no frames"));
    };
    let Prepared { plan, network, engine, head, .. } = &prepared;
    let width = Width { workers: plan.threads.workers, window: plan.window };
    let (engine, tiles) = (engine.clone(), plan.windows.whole.clone());
    let shop = &Workshop::new(network, engine, head, tiles);
    let gate = Gate::new(width.workers);
    let mut index = 0;
    let take = |_: &mut Track| {
        gate.pass();
        check_interrupt()?;
        index += 1;
        let picture = |index: u64| kept[there_and_back(index as usize - 1, kept.len())].clone();
        Ok((index <= spec.frames).then(|| Order { item: (), jobs: vec![picture(index)] }))
    };
    let start = || {
        let made = Stages::new(shop).and_then(|mut stages| {
            warm_up(&mut stages, &shop.tiles, first, spec.warm)?;
            Ok(stages)
        });
        gate.arrive();
        made
    };
    let hands = Hands {
        take,
        joins: |_: &[&_], _: &_| false,
        start,
        work: |stages: &mut Stages, _: &mut Track, pictures: Vec<Picture>| {
            pictures.iter().map(|picture| act(part, stages, &shop.tiles, picture)).collect()
        },
        put: |_: &mut Track, (), _: Vec<()>| Ok(()),
    };
    let (result, _) = stage::ordered(width, Watch::none(), hands);
    result?;
    Ok(gate.start().end(spec.frames))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_go_there_and_back() {
        let order: Vec<_> = (0..9).map(|index| there_and_back(index, 4)).collect();
        assert_eq!(order, [0, 1, 2, 3, 2, 1, 0, 1, 2]);
        assert!((0..5).all(|index| there_and_back(index, 1) == 0));
        assert_eq!((0..4).map(|index| there_and_back(index, 2)).collect::<Vec<_>>(), [0, 1, 0, 1]);
    }
}
