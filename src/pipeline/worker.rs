//! One worker's work on one frame: planes to tensor, the network, tensor to planes, window by window. An engine that
//! goes row by row takes the rows from the planes and gives them back there, with no tensor between.
//!
//! A worker owns its engine, tensors and scratch memory; a frame goes through it from beginning to end, so its data
//! stays in the core's cache.

use super::track::{Activity, Track};
use crate::error::{Context, Error, Kind, Result};
use crate::frame::{Frame, Picture, PictureBuf, Pool};
use crate::head::image::{Answer, ImageHead, Scratch};
use crate::infer::{self, Engine, EngineSettings};
use crate::model::{Network, Tensor};
use crate::tile::grid::Tile;

/// How workers begin for those who measure them.
pub struct Start<'a> {
    /// Each runs its network once, so that its first frame finds everything there.
    pub warm: bool,
    /// Called by each worker that is ready, or could not be made.
    pub arrived: &'a (dyn Fn() + Sync),
}

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
    /// For those who measure.
    pub start: Option<Start<'a>>,
}

/// One worker.
pub struct Worker {
    engine: Box<dyn Engine>,
    /// Input and output, where windows go through tensors.
    tensors: Option<[Tensor; 2]>,
    scratch: Scratch,
}

impl Worker {
    /// A worker with an engine of its own.
    pub fn new(shop: &Workshop) -> Result<Worker> {
        let Some(start) = &shop.start else { return Worker::make(shop) };
        let worker = Worker::make(shop).and_then(|mut worker| {
            if start.warm {
                worker.warm_up(shop)?;
            }
            Ok(worker)
        });
        (start.arrived)();
        worker
    }

    fn make(shop: &Workshop) -> Result<Worker> {
        let facts = &shop.network.facts;
        let window = shop.tiles.first().map_or((0, 0), |tile| (tile.window.width, tile.window.height));
        let batch = facts.fixed_batch.unwrap_or(1);
        let shape = |port: &crate::model::Port, scale: usize| {
            port.layout.shape(batch, port.channels.count(), window.1 * scale, window.0 * scale)
        };
        let mut engine = infer::open(shop.network, &shop.engine)?;
        let by_rows = shop.head.has_rows() && engine.rows().is_some();
        let tensors = || {
            [
                Tensor::new(facts.input.element, shape(&facts.input, 1)),
                Tensor::new(facts.output.element, shape(&facts.output, facts.scale)),
            ]
        };
        Ok(Worker { engine, tensors: (!by_rows).then(tensors), scratch: Scratch::default() })
    }

    /// Runs the network on nothing in particular, and keeps nothing of it.
    fn warm_up(&mut self, shop: &Workshop) -> Result<()> {
        let size = shop.tiles.first().map_or((0, 0), |tile| (tile.window.width, tile.window.height));
        match (&mut self.tensors, self.engine.rows()) {
            (None, Some(engine)) => engine.run_rows(size, &mut |_, _| (), &mut |_, _| ()),
            (Some([input, output]), _) => self.engine.run(input, output),
            (None, None) => Ok(()),
        }
    }

    /// The frame with the network's picture in the place of its own.
    pub fn work(&mut self, shop: &Workshop, track: &mut Track, frame: Frame) -> Result<Frame> {
        let source = &frame.picture;
        let (width, height) = shop.head.output_size();
        let mut out = shop.pool.picture(shop.head.output_format(), width, height)?;
        for tile in &shop.tiles {
            let Some([input, output]) = &mut self.tensors else {
                by_rows(self.engine.as_mut(), shop.head, source, &mut out, tile)
                    .context(|| format!("frame {}", frame.index))?;
                track.lap(Activity::Network, frame.index);
                continue;
            };
            shop.head.gather(source, tile.window, input, 0, &mut self.scratch)?;
            track.lap(Activity::Gather, frame.index);
            self.engine.run(input, output).context(|| format!("frame {}", frame.index))?;
            track.lap(Activity::Network, frame.index);
            let answer = Answer { source, input, output, item: 0, window: tile.window, core: tile.core };
            shop.head.scatter(answer, &mut out, &mut self.scratch)?;
            track.lap(Activity::Scatter, frame.index);
        }
        shop.head.finish_planes(source, &mut out, &mut self.scratch)?;
        track.lap(Activity::Planes, frame.index);
        Ok(Frame { picture: out.freeze(), ..frame })
    }
}

/// One window without tensors; head and engine have that way.
fn by_rows(
    engine: &mut dyn Engine,
    head: &ImageHead,
    source: &Picture,
    out: &mut PictureBuf,
    tile: &Tile,
) -> Result<()> {
    let (Some(rows), Some(engine)) = (head.rows(source, out, tile.window, tile.core)?, engine.rows()) else {
        return Err(Error::new(Kind::Internal, "the way without tensors has gone"));
    };
    let mut read = |y: usize, channels: &mut [&mut [f32]]| rows.read(source, y, channels[0]);
    let mut write = |y: usize, channels: &[&[f32]]| rows.write(out, y, channels[0]);
    engine.run_rows(rows.size(), &mut read, &mut write)
}
