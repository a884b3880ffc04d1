//! One worker's work: planes to tensor, the network, tensor to planes, window by window. An engine that goes row by row
//! takes the rows from the planes and gives them back there, with no tensor between.
//!
//! A worker owns its engine, tensors and scratch memory; a batch goes through it from beginning to end, so its data
//! stays in the core's cache.

use super::batch::{Job, Piece, Task};
use super::recall::Found;
use super::store;
use super::track::{Activity, Track};
use super::workshop::Workshop;
use crate::error::{Context, Error, Kind, Result};
use crate::frame::canvas::Patch;
use crate::frame::{Picture, PictureBuf, Pool};
use crate::head::detect::{self, DetectHead, Detection};
use crate::head::image::{Answer, ImageHead, Rows, Scratch};
use crate::infer::{self, Engine, NoRows, RowPort};
use crate::model::{NetworkFacts, Tensor};
use crate::tile::Rect;
use crate::tile::grid::Tile;

/// One worker.
pub struct Worker {
    engine: Box<dyn Engine>,
    /// Windows go without tensors.
    by_rows: bool,
    /// By the size and number of the windows that they hold.
    tensors: Vec<Tensors>,
    scratch: Scratch,
    letterbox: detect::Scratch,
    store: store::Scratch,
}

/// What goes into a network and what comes out.
struct Tensors {
    window: (usize, usize),
    batch: usize,
    input: Tensor,
    output: Tensor,
}

impl Tensors {
    fn new(facts: &NetworkFacts, window: (usize, usize), batch: usize) -> Self {
        let [input, output] = facts.shapes(batch, window);
        Tensors {
            window,
            batch,
            input: Tensor::new(facts.input.element, input),
            output: Tensor::new(facts.output.element, output),
        }
    }
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

    /// A worker for whoever does not count it among the chain's.
    pub fn make(shop: &Workshop) -> Result<Worker> {
        let mut engine = infer::open(shop.network, &shop.engine)?;
        let by_rows = shop.head.has_rows() && engine.rows().is_some();
        Ok(Worker {
            engine,
            by_rows,
            tensors: Vec::new(),
            scratch: Scratch::default(),
            letterbox: detect::Scratch::default(),
            store: store::Scratch::default(),
        })
    }

    /// Runs the network on nothing in particular, and keeps nothing of it.
    fn warm_up(&mut self, shop: &Workshop) -> Result<()> {
        let Some(window) = shop.tiles.first().map(|tile| tile.window) else { return Ok(()) };
        let size = shop.detect.as_ref().map_or((window.width, window.height), DetectHead::shown_size);
        if let Some(engine) = self.engine.rows().filter(|_| self.by_rows) {
            return engine.run_rows((window.width, window.height), window.y, &mut NoRows);
        }
        let tensors = self.tensors(&shop.network.facts, size, 1);
        let Tensors { input, output, .. } = &mut self.tensors[tensors];
        self.engine.run(input, output)
    }

    /// Does the jobs of a batch; an error belongs to the first.
    pub fn work(&mut self, shop: &Workshop, track: &mut Track, jobs: &[Job]) -> Vec<Result<Piece>> {
        let frame = jobs.first().map_or(0, |job| job.frame);
        let pieces = self.pieces(shop, track, jobs).context(|| format!("frame {frame}"));
        if self.scratch.take_nan() {
            shop.see_nan(frame);
        }
        match pieces {
            Ok(pieces) => pieces.into_iter().map(Ok).collect(),
            Err(error) => vec![Err(error)],
        }
    }

    fn pieces(&mut self, shop: &Workshop, track: &mut Track, jobs: &[Job]) -> Result<Vec<Piece>> {
        let window = |job: &Job| match &job.task {
            Task::Window { tile, .. } | Task::Band(tile) => Some((job.source.clone(), *tile)),
            _ => None,
        };
        match jobs {
            [Job { task: Task::Whole, source, frame }] => {
                let (picture, found) = self.whole(shop, track, source, *frame)?;
                Ok(vec![Piece::Whole(picture, found)])
            }
            [Job { task: Task::Check, source, frame }] => {
                Ok(vec![Piece::Check(self.whole(shop, track, source, *frame)?.0)])
            }
            [Job { task: Task::Recall(found), source, frame }] => {
                Ok(vec![self.recall(shop, track, source, found, *frame)?])
            }
            [Job { task: Task::Plain(areas), source, frame }] => {
                let piece = self.plain(shop, source, areas).map(Piece::Parts);
                track.lap(Activity::Planes, *frame);
                Ok(vec![piece?])
            }
            _ => {
                let windows: Vec<_> = jobs.iter().filter_map(window).collect();
                let parts = self.windows(shop, track, &windows, jobs[0].frame)?;
                Ok(parts.into_iter().map(|part| Piece::Parts(vec![part])).collect())
            }
        }
    }

    /// Tensors for so many windows of a size; made once and kept.
    fn tensors(&mut self, facts: &NetworkFacts, size: (usize, usize), n: usize) -> usize {
        let batch = facts.fixed_batch.unwrap_or(n);
        let found = self.tensors.iter().position(|tensors| (tensors.window, tensors.batch) == (size, batch));
        found.unwrap_or_else(|| {
            self.tensors.push(Tensors::new(facts, size, batch));
            self.tensors.len() - 1
        })
    }

    /// The whole output picture, window after window, and what was found in it.
    fn whole(
        &mut self,
        shop: &Workshop,
        track: &mut Track,
        source: &Picture,
        frame: u64,
    ) -> Result<(Picture, Vec<Detection>)> {
        let head = shop.head;
        let (width, height) = head.output_size();
        let mut out = shop.pool.picture(head.output_format(), width, height)?;
        if let Some(detect) = &shop.detect {
            let found = self.detect((shop, detect), track, source, &mut out, frame)?;
            return Ok((out.freeze(), found));
        }
        for tile in &shop.tiles {
            if self.by_rows {
                by_rows(self.engine.as_mut(), head, source, &mut out, tile, &mut self.scratch)?;
                track.called(frame);
                continue;
            }
            let tensors = self.tensors(&shop.network.facts, tile.window.size(), 1);
            let Tensors { input, output, .. } = &mut self.tensors[tensors];
            head.gather(source, tile.window, input, 0, &mut self.scratch)?;
            track.lap(Activity::Gather, frame);
            self.engine.run_windows(input, &[tile.window.y], output)?;
            track.called(frame);
            let answer = Answer { source, input, output, item: 0, window: tile.window, core: tile.core };
            head.scatter(answer, &mut out, &mut self.scratch)?;
            track.lap(Activity::Scatter, frame);
        }
        self.blend(shop, source, head.picture().area(), &mut out)?;
        head.finish_planes(source, &mut out, &mut self.scratch)?;
        track.lap(Activity::Planes, frame);
        Ok((out.freeze(), Vec::new()))
    }

    /// What the network finds in a picture; `out` becomes the picture with it shown or hidden.
    fn detect(
        &mut self,
        (shop, detect): (&Workshop, &DetectHead),
        track: &mut Track,
        source: &Picture,
        out: &mut PictureBuf,
        frame: u64,
    ) -> Result<Vec<Detection>> {
        let area = shop.head.picture().area();
        let tensors = self.tensors(&shop.network.facts, detect.shown_size(), 1);
        let Tensors { input, output, .. } = &mut self.tensors[tensors];
        detect.gather(source, input, &mut self.letterbox)?;
        track.lap(Activity::Gather, frame);
        self.engine.run(input, output)?;
        track.called(frame);
        if output.as_f32().iter().any(|value| value.is_nan()) {
            detect.allow_nan()?;
            shop.see_nan(frame);
        }
        let found = detect.found(output);
        let planes = shop.head.made_planes() | shop.head.passed_planes();
        shop.head.plain(source, planes, area, out, &mut self.scratch)?;
        detect.paint(source, &found, out);
        track.lap(Activity::Scatter, frame);
        Ok(found)
    }

    /// The cores of windows of one size, of any frames, run together.
    pub fn windows(
        &mut self,
        shop: &Workshop,
        track: &mut Track,
        windows: &[(Picture, Tile)],
        frame: u64,
    ) -> Result<Vec<Patch>> {
        let head = shop.head;
        let Some((_, first)) = windows.first() else { return Ok(Vec::new()) };
        let mut patches = Vec::with_capacity(windows.len());
        if self.by_rows {
            for (source, tile) in windows {
                let mut out = part(head, tile.core)?;
                by_rows(self.engine.as_mut(), head, source, &mut out, tile, &mut self.scratch)?;
                track.called(frame);
                self.blend(shop, source, tile.core, &mut out)?;
                patches.push(patch(head, tile.core, head.made_planes(), out));
            }
            return Ok(patches);
        }
        // A network of a fixed batch may take fewer at once than there are.
        let at_once = shop.network.facts.fixed_batch.unwrap_or(windows.len()).max(1);
        for windows in windows.chunks(at_once) {
            let tensors = self.tensors(&shop.network.facts, first.window.size(), windows.len());
            let Tensors { input, output, .. } = &mut self.tensors[tensors];
            for (item, (source, tile)) in windows.iter().enumerate() {
                head.gather(source, tile.window, input, item, &mut self.scratch)?;
            }
            track.lap(Activity::Gather, frame);
            let tops: Vec<usize> = windows.iter().map(|(_, tile)| tile.window.y).collect();
            self.engine.run_windows(input, &tops, output)?;
            track.called(frame);
            let mut cores = Vec::with_capacity(windows.len());
            for (item, (source, tile)) in windows.iter().enumerate() {
                let mut out = part(head, tile.core)?;
                let answer = Answer { source, input, output, item, window: tile.window, core: tile.core };
                head.scatter(answer, &mut out, &mut self.scratch)?;
                cores.push(out);
            }
            for ((source, tile), mut out) in windows.iter().zip(cores) {
                self.blend(shop, source, tile.core, &mut out)?;
                patches.push(patch(head, tile.core, head.made_planes(), out));
            }
            track.lap(Activity::Scatter, frame);
        }
        Ok(patches)
    }

    /// Areas as they come out without the network.
    fn plain(&mut self, shop: &Workshop, source: &Picture, areas: &[(Rect, u8)]) -> Result<Vec<Patch>> {
        let mut patches = Vec::with_capacity(areas.len());
        for &(area, planes) in areas {
            let mut out = part(shop.head, area)?;
            shop.head.plain(source, planes, area, &mut out, &mut self.scratch)?;
            patches.push(patch(shop.head, area, planes, out));
        }
        Ok(patches)
    }

    /// Tiles that the cache has; what it has not any more is computed.
    fn recall(
        &mut self,
        shop: &Workshop,
        track: &mut Track,
        source: &Picture,
        found: &[Found],
        frame: u64,
    ) -> Result<Piece> {
        let Some(recall) = &shop.recall else {
            return Err(Error::new(Kind::Internal, "the cache has gone"));
        };
        let mut patches = Vec::with_capacity(found.len());
        for tile in found {
            let loaded = recall.load(shop.head, source, tile, &mut self.store)?;
            track.lap(Activity::Recall, frame);
            if let Some(out) = loaded {
                patches.push(patch(shop.head, tile.area, shop.head.made_planes(), out));
                continue;
            }
            let Some(window) = tile.window else {
                recall.lose(tile.n_pixels, shop.tiles.iter().map(|tile| tile.window.n_pixels()).sum());
                return self.whole(shop, track, source, frame).map(|(picture, found)| Piece::Whole(picture, found));
            };
            recall.lose(tile.n_pixels, window.window.n_pixels());
            patches.extend(self.windows(shop, track, &[(source.clone(), window)], frame)?);
        }
        Ok(Piece::Parts(patches))
    }

    /// Mixes the plain picture into an area of the network's, where the region of interest says so.
    fn blend(&mut self, shop: &Workshop, source: &Picture, area: Rect, out: &mut PictureBuf) -> Result<()> {
        let Some(roi) = shop.roi.filter(|roi| !roi.is_inside(area)) else { return Ok(()) };
        let mut plain = part(shop.head, area)?;
        shop.head.plain(source, shop.head.made_planes(), area, &mut plain, &mut self.scratch)?;
        shop.head.blend(roi, area, &plain.freeze(), out);
        Ok(())
    }
}

/// One window without tensors; head and engine have that way.
fn by_rows(
    engine: &mut dyn Engine,
    head: &ImageHead,
    source: &Picture,
    out: &mut PictureBuf,
    tile: &Tile,
    scratch: &mut Scratch,
) -> Result<()> {
    let Some(engine) = engine.rows() else {
        return Err(Error::new(Kind::Internal, "the way without tensors has gone"));
    };
    let mut way = Way(head.rows(source, out, tile.window, tile.core, scratch)?);
    engine.run_rows(way.0.size(), tile.window.y, &mut way)
}

/// A window's rows for an engine.
struct Way<'a>(Rows<'a>);

impl RowPort for Way<'_> {
    fn read(&mut self, y: usize, channels: &mut [&mut [f32]]) {
        self.0.read(y, channels);
    }

    fn write(&mut self, y: usize, channels: &[&[f32]]) {
        self.0.write(y, channels);
    }
}

/// Memory for the output of an area of the input. Parts have many sizes, so no pool keeps them.
fn part(head: &ImageHead, area: Rect) -> Result<PictureBuf> {
    let area = area.scaled(head.scale());
    Pool::new().picture(head.output_format(), area.width, area.height)
}

fn patch(head: &ImageHead, area: Rect, planes: u8, out: PictureBuf) -> Patch {
    let area = area.scaled(head.scale());
    Patch { picture: out.freeze(), place: (area.x, area.y), planes }
}
