//! From the pieces that workers made to the output frame.

use super::batch::Piece;
use super::overlay::Areas;
use super::verify::Verified;
use crate::error::Result;
use crate::frame::canvas::Canvas;
use crate::frame::{Frame, Pool};

/// Puts the pieces of frames together, in order.
pub struct Assemble {
    canvas: Canvas,
    pool: Pool,
    scale: usize,
    verified: Verified,
}

impl Assemble {
    /// For output pictures like those of `canvas`, `scale` times the input's size, in memory of `pool`.
    pub fn new(canvas: Canvas, pool: Pool, scale: usize) -> Self {
        Assemble { canvas, pool, scale, verified: Verified::default() }
    }

    /// The frame with its output picture: that of the frame before, but for these pieces; tinted where `areas` say.
    pub fn frame(&mut self, frame: Frame, pieces: Vec<Piece>, areas: Option<Areas>, is_sampled: bool) -> Result<Frame> {
        let mut patches = Vec::new();
        let (mut whole, mut check) = (None, None);
        for piece in pieces {
            match piece {
                Piece::Whole(picture) => whole = Some(picture),
                Piece::Parts(parts) => patches.extend(parts),
                Piece::Check(picture) => check = Some(picture),
            }
        }
        let mut picture = match whole {
            Some(picture) => self.canvas.replace(picture),
            None => self.canvas.patch(&patches, &self.pool)?,
        };
        if is_sampled {
            // A frame that was run as a whole is its own full run.
            self.verified.compare(frame.index, &picture, check.as_ref().unwrap_or(&picture));
        }
        if let Some(areas) = areas {
            picture = areas.draw(&picture, self.scale, &self.pool)?;
        }
        Ok(Frame { picture, ..frame })
    }

    /// What the frames that were run in full showed; `None` without any.
    pub fn verified(&self) -> Option<Verified> {
        (self.verified.n_frames > 0).then_some(self.verified)
    }
}
