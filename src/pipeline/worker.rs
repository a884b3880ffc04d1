//! One worker's work on one frame: planes to tensor, the network, tensor to planes, window by window.
//!
//! A worker owns its engine, tensors and scratch memory; a frame goes through it from beginning to end, so its data
//! stays in the core's cache.

use super::track::{Activity, Track};
use crate::error::{Context, Result};
use crate::frame::{Frame, Pool};
use crate::head::image::{Answer, ImageHead, Scratch};
use crate::infer::{self, Engine, EngineSettings};
use crate::model::{Network, Tensor};
use crate::tile::grid::Tile;

/// What all workers of a run share.
pub struct Workshop<'a> {
    /// The network.
    pub network: &'a Network,
    /// How engines are made; the choice is decided.
    pub engine: EngineSettings,
    /// Between pictures and tensors.
    pub head: &'a ImageHead,
    /// The windows of a frame, all of one size.
    pub tiles: Vec<Tile>,
    /// Memory for finished pictures.
    pub pool: Pool,
}

/// One worker.
pub struct Worker {
    engine: Box<dyn Engine>,
    input: Tensor,
    output: Tensor,
    scratch: Scratch,
}

impl Worker {
    /// A worker with an engine of its own.
    pub fn new(shop: &Workshop) -> Result<Worker> {
        let facts = &shop.network.facts;
        let window = shop.tiles.first().map_or((0, 0), |tile| (tile.window.width, tile.window.height));
        let batch = facts.fixed_batch.unwrap_or(1);
        let shape = |port: &crate::model::Port, scale: usize| {
            port.layout.shape(batch, port.channels.count(), window.1 * scale, window.0 * scale)
        };
        Ok(Worker {
            engine: infer::open(shop.network, &shop.engine)?,
            input: Tensor::new(facts.input.element, shape(&facts.input, 1)),
            output: Tensor::new(facts.output.element, shape(&facts.output, facts.scale)),
            scratch: Scratch::default(),
        })
    }

    /// The frame with the network's picture in the place of its own.
    pub fn work(&mut self, shop: &Workshop, track: &mut Track, frame: Frame) -> Result<Frame> {
        let source = &frame.picture;
        let (width, height) = shop.head.output_size();
        let mut out = shop.pool.picture(shop.head.output_format(), width, height)?;
        for tile in &shop.tiles {
            shop.head.gather(source, tile.window, &mut self.input, 0, &mut self.scratch)?;
            track.lap(Activity::Gather, frame.index);
            self.engine.run(&self.input, &mut self.output).context(|| format!("frame {}", frame.index))?;
            track.lap(Activity::Network, frame.index);
            let answer = Answer {
                source,
                input: &self.input,
                output: &self.output,
                item: 0,
                window: tile.window,
                core: tile.core,
            };
            shop.head.scatter(answer, &mut out, &mut self.scratch)?;
            track.lap(Activity::Scatter, frame.index);
        }
        shop.head.finish_planes(source, &mut out, &mut self.scratch)?;
        track.lap(Activity::Planes, frame.index);
        Ok(Frame { picture: out.freeze(), ..frame })
    }
}
