//! From the pieces that workers made to the output frame.

use super::batch::Piece;
use crate::error::Result;
use crate::frame::canvas::Canvas;
use crate::frame::{Frame, Pool};

/// Puts the pieces of frames together, in order.
pub struct Assemble {
    canvas: Canvas,
    pool: Pool,
}

impl Assemble {
    /// For output pictures like those of `canvas`, in memory of `pool`.
    pub fn new(canvas: Canvas, pool: Pool) -> Self {
        Assemble { canvas, pool }
    }

    /// The frame with its output picture: that of the frame before, but for these pieces.
    pub fn frame(&mut self, frame: Frame, pieces: Vec<Piece>) -> Result<Frame> {
        let mut patches = Vec::new();
        let mut whole = None;
        for piece in pieces {
            match piece {
                Piece::Whole(picture) => whole = Some(picture),
                Piece::Parts(parts) => patches.extend(parts),
            }
        }
        let picture = match whole {
            Some(picture) => self.canvas.replace(picture),
            None => self.canvas.patch(&patches, &self.pool)?,
        };
        Ok(Frame { picture, ..frame })
    }
}
