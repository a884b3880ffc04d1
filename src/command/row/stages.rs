//! What a worker does with a window, taken apart, so that each piece can be done alone, and all one after the other.

use crate::error::{Error, Kind, Result};
use crate::frame::{Picture, PictureBuf};
use crate::head::image::{Answer, FromRows, FromScratch, Scratch, ToRows, ToScratch};
use crate::infer::{self, Engine};
use crate::model::Tensor;
use crate::pipeline::workshop::Workshop;
use crate::tile::grid::Tile;

/// An engine with what goes through it.
pub struct Stages<'a> {
    shop: &'a Workshop<'a>,
    engine: Box<dyn Engine>,
    /// Input and output, where windows go through tensors.
    tensors: Option<[Tensor; 2]>,
    /// Where they go row by row: a row of the network's picture, a channel after the other.
    row: Vec<f32>,
    scratch: Scratch,
    to: ToScratch,
    from: FromScratch,
}

impl<'a> Stages<'a> {
    /// The way that the chain goes: row by row where head and engine can.
    pub fn new(shop: &'a Workshop<'a>) -> Result<Stages<'a>> {
        let mut stages = Stages::through_tensors(shop)?;
        if shop.head.has_rows() && stages.engine.rows().is_some() {
            stages.tensors = None;
            let facts = &shop.network.facts;
            stages.row = vec![0.5; stages.window().0 * facts.scale * facts.output.channels.count()];
        }
        Ok(stages)
    }

    /// The way of every engine.
    pub fn through_tensors(shop: &'a Workshop<'a>) -> Result<Stages<'a>> {
        let facts = &shop.network.facts;
        if facts.detector.is_some() {
            let message =
                format!("{} finds things: only its whole chain can be measured, with tune", shop.network.name);
            return Err(Error::new(Kind::Usage, message));
        }
        let mut stages = Stages {
            shop,
            engine: infer::open(shop.network, &shop.engine)?,
            tensors: None,
            row: Vec::new(),
            scratch: Scratch::default(),
            to: ToScratch::default(),
            from: FromScratch::default(),
        };
        let (width, height) = stages.window();
        let batch = facts.fixed_batch.unwrap_or(1);
        let [input, output] = facts.shapes(batch, (width, height));
        stages.tensors = Some([Tensor::new(facts.input.element, input), Tensor::new(facts.output.element, output)]);
        Ok(stages)
    }

    fn window(&self) -> (usize, usize) {
        self.shop.tiles.first().map_or((0, 0), |tile| (tile.window.width, tile.window.height))
    }

    /// A picture for the results.
    pub fn picture(&self) -> Result<PictureBuf> {
        let (width, height) = self.shop.head.output_size();
        self.shop.pool.picture(self.shop.head.output_format(), width, height)
    }

    /// From planes to what the network takes.
    pub fn gather(&mut self, source: &Picture, tile: &Tile) -> Result<()> {
        if let Some([input, _]) = &mut self.tensors {
            return self.shop.head.gather(source, tile.window, input, 0, &mut self.scratch);
        }
        let mut rows = ToRows::new(self.shop.head, source, tile.window, &mut self.to)?;
        let (width, height) = rows.size();
        let n = self.shop.network.facts.input.channels.count();
        let mut channels: Vec<_> = self.row[..n * width].chunks_exact_mut(width).collect();
        (0..height).for_each(|y| rows.read(y, &mut channels));
        Ok(())
    }

    /// The network on whatever there is.
    pub fn infer(&mut self) -> Result<()> {
        let size = self.window();
        match (&mut self.tensors, self.engine.rows()) {
            (Some([input, output]), _) => self.engine.run(input, output),
            (None, Some(engine)) => {
                let row = &self.row;
                let read = |_: usize, channels: &mut [&mut [f32]]| {
                    channels.iter_mut().for_each(|channel| channel.copy_from_slice(&row[..channel.len()]));
                };
                engine.run_rows(size, 0, &mut (read, |_: usize, _: &[&[f32]]| ()))
            }
            (None, None) => Ok(()),
        }
    }

    /// From what the network gave to planes.
    pub fn scatter(&mut self, source: &Picture, tile: &Tile, out: &mut PictureBuf) -> Result<()> {
        let head = self.shop.head;
        if let Some([input, output]) = &self.tensors {
            let answer = Answer { source, input, output, item: 0, window: tile.window, core: tile.core };
            return head.scatter(answer, out, &mut self.scratch);
        }
        let width = tile.window.width * self.shop.network.facts.scale;
        let channels: Vec<_> = self.row.chunks_exact(width).collect();
        let mut rows = FromRows::new(head, source, out, tile.window, tile.core, &mut self.from)?;
        // What came out stands for what went in, where that is looked at.
        let before = match *channels.as_slice() {
            [a, b, c] if head.scale() == 1 => Some([a, b, c]),
            _ => None,
        };
        rows.needed().for_each(|y| rows.write(y, &channels, before));
        Ok(())
    }

    /// The planes that the network does not make.
    pub fn finish(&mut self, source: &Picture, out: &mut PictureBuf) -> Result<()> {
        self.shop.head.finish_planes(source, out, &mut self.scratch)
    }
}
