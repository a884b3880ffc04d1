//! Sinks: where frames go.
//!
//! A sink takes frames in presentation order and makes the output; `finish` runs only after all went well. A sink
//! that is dropped without `finish` leaves nothing under the final name.

use crate::error::Result;
use crate::frame::Frame;

/// What a finished sink tells.
#[derive(Clone, Debug, Default)]
pub struct Finished {
    /// Frames written.
    pub n_frames: u64,
    /// What a person should hear about the output.
    pub warnings: Vec<String>,
}

/// Where frames go.
pub trait Sink {
    /// Takes the next frame.
    fn write(&mut self, frame: &Frame) -> Result<()>;

    /// All frames were written: completes the output and gives it its name.
    fn finish(self: Box<Self>) -> Result<Finished>;
}
