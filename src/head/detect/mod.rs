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
use track::Tracker;
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

/// What is done with what a detector gives.
#[derive(Clone, Debug, PartialEq)]
pub struct DetectTask {
    /// What counts as found.
    pub wanted: Wanted,
    /// What becomes of it.
    pub effect: Effect,
    /// How frames are turned to be upright.
    pub turn: Turn,
    /// How long things stay hidden that are not found any more; without it they are shown at once.
    pub hold: Option<Hold>,
}

/// How long what is hidden stays so when it is not found any more: one frame in which a face is seen is one too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Hold {
    /// Frames.
    pub n_frames: u32,
    /// At every frame whose index is a multiple of this nothing is known: it may be the first of a run that goes on.
    pub forgets_every: Option<u64>,
}

impl Hold {
    /// Whether nothing is known at the frame of this index.
    pub fn forgets(self, index: u64) -> bool {
        self.forgets_every.is_some_and(|frames| index.is_multiple_of(frames))
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

/// Left, top, right and bottom.
type Edges = [f64; 4];

fn edges(found: &Detection) -> Edges {
    found.area.map(f64::from)
}

/// Intersection over union, 0 to 1; 0 where a box has no size.
fn overlap(a: Edges, b: Edges) -> f64 {
    let width = a[2].min(b[2]) - a[0].max(b[0]);
    let height = a[3].min(b[3]) - a[1].max(b[1]);
    if !(width > 0.0 && height > 0.0) {
        return 0.0;
    }
    let size = |of: Edges| (of[2] - of[0]) * (of[3] - of[1]);
    width * height / (size(a) + size(b) - width * height)
}

/// The way between frames of one stream and a detector.
pub struct DetectHead {
    detector: Detector,
    task: DetectTask,
    letterbox: Letterbox,
    painter: Painter,
    /// Width and height of a frame.
    frame: (usize, usize),
}

/// Working memory of a [`DetectHead`], owned by the caller and used again for every frame.
#[derive(Default)]
pub struct Scratch(letterbox::Scratch);

impl DetectHead {
    /// Between frames like `frame` and a network that finds things, with which this is to be done.
    pub fn new(network: &NetworkFacts, frame: &PictureFacts, task: DetectTask) -> Result<DetectHead> {
        let Some(detector) = network.detector.clone() else {
            return Err(Error::new(Kind::Internal, "a network that finds nothing was given for one that does"));
        };
        Ok(DetectHead {
            letterbox: Letterbox::new(&detector, &network.input, frame, task.turn),
            detector,
            painter: Painter::new(task.effect, frame.format.planar(), frame.color, frame.height),
            task,
            frame: (frame.width, frame.height),
        })
    }

    /// An error where things are to be hidden: nobody knows what a network has overlooked that gives NaN.
    pub fn allow_nan(&self) -> Result<()> {
        if !self.task.effect.hides() {
            return Ok(());
        }
        let message = "the network gives NaN, so that things stay unhidden; try --precision f32 or mend it";
        Err(Error::new(Kind::Network, message))
    }

    /// How long what is hidden stays so; `None` where nothing is.
    pub fn hold(&self) -> Option<Hold> {
        self.task.hold
    }

    /// What follows things through a video that has not begun.
    pub fn tracker(&self) -> Tracker {
        Tracker::new(self.task.hold.map_or(0, |hold| hold.n_frames))
    }

    /// Width and height of a frame as the network is shown it, upright.
    pub fn shown_size(&self) -> (usize, usize) {
        self.task.turn.size(self.frame)
    }

    /// Writes a frame into the tensor, whose shape must be the network's for it.
    pub fn gather(&self, frame: &Picture, tensor: &mut Tensor, scratch: &mut Scratch) -> Result<()> {
        self.letterbox.fill(frame, tensor, &mut scratch.0)
    }

    /// What the network has found, the surest first.
    pub fn found(&self, answer: &Tensor) -> Vec<Detection> {
        boxes::found(&self.detector, &self.task.wanted, answer.as_f32(), self.letterbox.place(), self.frame)
    }

    /// Shows or hides what was found in `out`, a copy of `frame`.
    pub fn paint(&self, frame: &Picture, found: &[Detection], out: &mut PictureBuf) {
        self.painter.paint(frame, found, out);
    }
}
