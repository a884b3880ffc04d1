//! Sinks: where frames go.
//!
//! A sink takes frames in presentation order and makes the output; `finish` runs only after all went well. A sink
//! that is dropped without `finish` leaves nothing under the final name.

pub mod copier;
pub mod cut;
mod decodes;
pub mod disk;
pub mod dts;
pub mod encode;
pub mod ffmpeg;
pub mod fingerprint;
mod full;
pub mod hash;
pub mod images;
pub mod job;
pub mod mux;
pub mod null;
pub mod pair;
mod pairing;
pub mod part;
pub mod planar;
mod seen;
mod tags;
pub mod verify;
pub mod y4m;

use crate::error::{Error, Kind, Result};
use crate::frame::{ColorTags, FieldOrder, Frame, Picture, PixelFormat};
use crate::time::{Ratio, TimeBase};

/// What a sink must know of the video before its first frame.
#[derive(Clone, Debug)]
pub struct VideoFacts {
    /// Luma samples a row; every frame has this size.
    pub width: usize,
    /// Luma rows.
    pub height: usize,
    /// The pixel format of every frame, but for how the chroma planes are packed.
    pub format: PixelFormat,
    /// The tags to write.
    pub color: ColorTags,
    /// Sample aspect ratio; unknown when a part is 0.
    pub sample_aspect_ratio: Ratio,
    /// Whether, and how, the video is interlaced.
    pub field_order: FieldOrder,
    /// What pts and durations count.
    pub time_base: TimeBase,
    /// The nominal frame rate; unknown when a part is 0.
    pub frame_rate: Ratio,
}

impl VideoFacts {
    /// An error unless `picture` has the size, components and depth that were announced.
    pub fn check(&self, picture: &Picture) -> Result<()> {
        let same = (picture.width(), picture.height()) == (self.width, self.height)
            && picture.format().planar() == self.format.planar();
        if same {
            return Ok(());
        }
        let got = format!("{}x{} {}", picture.width(), picture.height(), picture.format());
        let message =
            format!("the sink got a picture of {got}, expected {}x{} {}", self.width, self.height, self.format);
        Err(Error::new(Kind::Internal, message))
    }
}

/// What a finished sink tells.
#[derive(Clone, Debug, Default)]
pub struct Finished {
    /// Frames written.
    pub n_frames: u64,
    /// What a person should hear about the output.
    pub warnings: Vec<String>,
    /// The output was read again and is what it should be.
    pub verified: bool,
    /// Pictures that the input's container lists and nobody got: lost before us.
    pub missing: u64,
    /// Packets of the other streams that the input's container lists and does not hold: lost before us.
    pub lost_packets: u64,
}

/// Where frames go.
pub trait Sink {
    /// Takes the next frame.
    fn write(&mut self, frame: &Frame) -> Result<()>;

    /// All frames were written: completes the output and gives it its name.
    fn finish(self: Box<Self>) -> Result<Finished>;

    /// The run ends early: what was written becomes playable under its temporary name and gets no other.
    fn stop(self: Box<Self>) -> Result<()>;
}
