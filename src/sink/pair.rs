//! Two outputs of the same frames: the one that was asked for and a master copy beside it.

use super::{Finished, Sink};
use crate::error::{Context, Result};
use crate::frame::Frame;

/// Gives every frame to both.
pub struct PairSink {
    main: Box<dyn Sink>,
    master: Box<dyn Sink>,
    /// The master's name, for people.
    name: String,
}

impl PairSink {
    /// The output itself, and its master copy with its name for people.
    pub fn new(main: Box<dyn Sink>, master: Box<dyn Sink>, name: String) -> Self {
        PairSink { main, master, name }
    }
}

impl Sink for PairSink {
    fn write(&mut self, frame: &Frame) -> Result<()> {
        self.master.write(frame).context(|| self.name.clone())?;
        self.main.write(frame)
    }

    /// The master first: with it, the output can be made again.
    fn finish(self: Box<Self>) -> Result<Finished> {
        let PairSink { main, master, name } = *self;
        let master = master.finish().context(|| name.clone())?;
        let mut finished = main.finish()?;
        finished.verified &= master.verified;
        finished.warnings.extend(master.warnings.into_iter().map(|warning| format!("{name}: {warning}")));
        Ok(finished)
    }

    fn stop(self: Box<Self>) -> Result<()> {
        let PairSink { main, master, name } = *self;
        let stopped = master.stop().context(|| name);
        main.stop().and(stopped)
    }
}
