//! Picture to boxes: a frame becomes the picture that a detector takes, and what it gives becomes [`Detection`]s, which are
//! shown in the frame or hidden there.

mod boxes;
mod letterbox;
pub mod paint;
pub mod track;
mod turn;

use crate::error::{Error, Kind, Result};
use crate::frame::{Picture, PictureBuf};
use crate::head::image::PictureFacts;
use crate::model::{Detector, NetworkFacts, Tensor};
use letterbox::Letterbox;
pub use paint::Effect;
use paint::Painter;
pub use turn::Turn;

/// What counts as found.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    /// The least score, 0 to 1.
    pub score: f32,
    /// The numbers of the classes; all without any.
    pub classes: Option<Vec<usize>>,
}

impl Wanted {
    fn has_class(&self, class: usize) -> bool {
        self.classes.as_ref().is_none_or(|classes| classes.contains(&class))
    }
}

/// A thing that was found in a picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Detection {
    /// Left, top, right and bottom edge in luma pixels of the stored picture, within it; right and bottom lie behind the
    /// last pixel.
    pub area: [f32; 4],
    /// How sure the network is, 0 to 1.
    pub score: f32,
    /// The number of its class.
    pub class: usize,
}

/// The way between frames of one stream and a detector.
pub struct DetectHead {
    detector: Detector,
    wanted: Wanted,
    letterbox: Letterbox,
    painter: Painter,
    /// Width and height of a frame.
    frame: (usize, usize),
}

/// Working memory of a [`DetectHead`], owned by the caller and used again for every frame.
#[derive(Default)]
pub struct Scratch(letterbox::Scratch);

impl DetectHead {
    /// Between frames like `frame`, to be turned so to be upright, and a network that finds things, of which those
    /// `wanted` get this effect.
    pub fn new(
        network: &NetworkFacts,
        (frame, turn): (&PictureFacts, Turn),
        wanted: Wanted,
        effect: Effect,
    ) -> Result<DetectHead> {
        let Some(detector) = network.detector.clone() else {
            return Err(Error::new(Kind::Internal, "a network that finds nothing was given for one that does"));
        };
        Ok(DetectHead {
            letterbox: Letterbox::new(&detector, &network.input, frame, turn),
            detector,
            wanted,
            painter: Painter::new(effect, frame.format.planar(), frame.color, frame.height),
            frame: (frame.width, frame.height),
        })
    }

    /// Writes a frame into the tensor, whose shape must be the network's for it.
    pub fn gather(&self, frame: &Picture, tensor: &mut Tensor, scratch: &mut Scratch) -> Result<()> {
        self.letterbox.fill(frame, tensor, &mut scratch.0)
    }

    /// What the network has found, the surest first.
    pub fn found(&self, answer: &Tensor) -> Vec<Detection> {
        boxes::found(&self.detector, &self.wanted, &answer.values(), self.letterbox.place(), self.frame)
    }

    /// Shows or hides what was found in `out`, a copy of `frame`.
    pub fn paint(&self, frame: &Picture, found: &[Detection], out: &mut PictureBuf) {
        self.painter.paint(frame, found, out);
    }
}
