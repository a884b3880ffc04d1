//! The sink that only counts, for measuring everything before it.

use super::{Finished, Sink};
use crate::error::Result;
use crate::frame::Frame;

/// Counts frames and lets them go.
#[derive(Default)]
pub struct NullSink {
    n_frames: u64,
}

impl Sink for NullSink {
    fn write(&mut self, _frame: &Frame) -> Result<()> {
        self.n_frames += 1;
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Finished> {
        Ok(Finished { n_frames: self.n_frames, ..Finished::default() })
    }

    fn stop(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}
