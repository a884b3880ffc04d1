//! From the pieces that workers made, and those that are known, to the output frame.

use super::batch::Piece;
use super::overlay::Areas;
use super::recall::{Recalled, Shared};
use super::store;
use super::verify::Verified;
use super::workshop::Workshop;
use crate::error::{Error, Kind, Result};
use crate::frame::canvas::{Canvas, Patch};
use crate::frame::{Frame, Picture};
use crate::head::detect::track::Tracker;
use crate::head::detect::{DetectHead, Detection};

/// Puts the pieces of frames together, in order.
pub struct Assemble<'a> {
    shop: &'a Workshop<'a>,
    canvas: Canvas,
    /// What the network has found in the last frame that it was run for, which is what is in all since.
    found: Vec<Detection>,
    /// Which of it is which from frame to frame; absent for networks that give pictures.
    tracker: Option<Tracker>,
    /// The numbers of what was found.
    tracks: Vec<u64>,
    verified: Verified,
    scratch: store::Scratch,
}

/// What a frame needs beside its pieces.
pub struct Passed {
    /// What the cache says of it.
    pub recalled: Recalled,
    /// What was computed where, to be shown.
    pub areas: Option<Areas>,
    /// It is compared with a full run.
    pub is_sampled: bool,
}

impl<'a> Assemble<'a> {
    /// For the output pictures of a workshop.
    pub fn new(shop: &'a Workshop) -> Self {
        let canvas = Canvas::new(shop.head.output_format(), shop.head.output_size());
        Assemble {
            shop,
            canvas,
            found: Vec::new(),
            tracker: shop.detect.as_ref().map(DetectHead::tracker),
            tracks: Vec::new(),
            verified: Verified::default(),
            scratch: store::Scratch::default(),
        }
    }

    /// The frame with its output picture: that of the frame before, but for these pieces; tinted where that is asked
    /// for. What the cache does not have of it is stored.
    pub fn frame(&mut self, frame: Frame, pieces: Vec<Piece>, passed: Passed) -> Result<Frame> {
        let shop = self.shop;
        let mut patches = self.shared(&passed.recalled)?;
        let (mut whole, mut check) = (None, None);
        for piece in pieces {
            match piece {
                Piece::Whole(picture, found) => (whole, self.found) = (Some(picture), found),
                Piece::Parts(parts) => patches.extend(parts),
                Piece::Check(picture) => check = Some(picture),
            }
        }
        let mut picture = match whole {
            Some(picture) => self.canvas.replace(picture),
            None => self.canvas.patch(&patches, &shop.pool)?,
        };
        if let Some(recall) = &shop.recall {
            recall.store(shop.head, &frame.picture, &picture, &passed.recalled.missed, &mut self.scratch)?;
        }
        if passed.is_sampled {
            // A frame that was run as a whole is its own full run.
            self.verified.compare(frame.index, &picture, check.as_ref().unwrap_or(&picture));
        }
        if let Some(detect) = &shop.detect {
            picture = self.follow(detect, &frame, picture)?;
        }
        if let Some(areas) = passed.areas {
            picture = areas.draw(&picture, shop.head.scale(), &shop.pool)?;
        }
        Ok(Frame { picture, ..frame })
    }

    /// Follows what was found in a frame, and hides in its picture what was lost for a moment.
    fn follow(&mut self, detect: &DetectHead, frame: &Frame, picture: Picture) -> Result<Picture> {
        if detect.hold().is_some_and(|hold| hold.forgets(frame.index)) {
            self.tracker = Some(detect.tracker());
        }
        let Some(tracker) = &mut self.tracker else { return Ok(picture) };
        self.tracks = tracker.frame(&self.found);
        let lost = detect.hold().map_or_else(Vec::new, |hold| tracker.missing(hold.n_frames));
        if lost.is_empty() {
            return Ok(picture);
        }
        let mut out = self.shop.pool.copy(&picture)?;
        detect.paint(&frame.picture, &lost, &mut out);
        Ok(out.freeze())
    }

    /// What earlier frames were computed for.
    fn shared(&self, recalled: &Recalled) -> Result<Vec<Patch>> {
        let head = self.shop.head;
        let patch = |shared: &Shared| {
            let Some(picture) = shared.made.get() else {
                return Err(Error::new(Kind::Internal, "a frame came before one that it shares a tile with"));
            };
            store::cut(head, picture, shared.area)
        };
        recalled.shared.iter().map(patch).collect()
    }

    /// What was found in the frame that was put together last, and the number of each that stays with the thing.
    pub fn found(&self) -> (&[Detection], &[u64]) {
        (&self.found, &self.tracks)
    }

    /// What the frames that were run in full showed; `None` without any.
    pub fn verified(&self) -> Option<Verified> {
        (self.verified.n_frames > 0).then_some(self.verified)
    }
}
