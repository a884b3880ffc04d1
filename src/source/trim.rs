//! A part of another source's time.

use super::{Damage, Leap, Leapt, Source, SourceFacts};
use crate::error::{Error, Kind, Result};
use crate::frame::Frame;
use crate::interrupt;

/// Passes on the frames of a half-open span of pts; the first becomes frame 0, and times move by the span's start.
pub struct Trim {
    source: Box<dyn Source>,
    facts: SourceFacts,
    /// In the source's ticks; `None`: from the beginning, and times stay.
    start: Option<i64>,
    /// In the source's ticks; `None`: to the end.
    end: Option<i64>,
    /// How many frames there may be, whatever their times.
    most: u64,
    n_frames: u64,
    has_begun: bool,
    ended: bool,
}

impl Trim {
    /// The frames of `source` from `start` up to, not including, `end`, both in its ticks.
    pub fn new(source: Box<dyn Source>, start: Option<i64>, end: Option<i64>, n_frames: Option<u64>) -> Self {
        let facts = SourceFacts { n_frames, ..source.facts().clone() };
        Trim { source, facts, start, end, most: u64::MAX, n_frames: 0, has_begun: false, ended: false }
    }

    /// Ends after so many frames.
    #[must_use]
    pub fn at_most(self, most: Option<u64>) -> Self {
        Trim { most: most.unwrap_or(u64::MAX), ..self }
    }

    /// Begins shortly before the span, if that can be done.
    fn begin(&mut self) -> Result<()> {
        self.has_begun = true;
        if let Some(start) = self.start {
            match self.source.skip(start)? {
                Leapt::There => tracing::info!("beginning shortly before --start, at a frame that needs none before"),
                Leapt::Not(why) => tracing::info!("decoding from the beginning up to --start: {why}"),
            }
        }
        Ok(())
    }
}

impl Source for Trim {
    fn facts(&self) -> &SourceFacts {
        &self.facts
    }

    fn next_frame(&mut self) -> Result<Option<Frame>> {
        if !self.has_begun {
            self.begin()?;
        }
        while !self.ended && self.n_frames < self.most {
            let Some(frame) = self.source.next_frame()? else { break };
            if self.end.is_some_and(|end| frame.pts >= end) {
                break;
            }
            if self.start.is_some_and(|start| frame.pts < start) {
                // Passing over may take minutes in which nobody else looks, and is no end of the source.
                if interrupt::requested().is_some() {
                    return Err(Error::new(Kind::Interrupted, "stopped on the way to --start"));
                }
                continue;
            }
            let index = self.n_frames;
            self.n_frames += 1;
            return Ok(Some(Frame { index, pts: frame.pts - self.start.unwrap_or(0), ..frame }));
        }
        self.ended = true;
        Ok(None)
    }

    fn leap(&mut self, leap: &Leap) -> Result<Leapt> {
        let leapt = self.source.leap(&Leap { start: self.start, ..*leap })?;
        if leapt == Leapt::There {
            (self.n_frames, self.has_begun) = (leap.to, true);
        }
        Ok(leapt)
    }

    fn damage(&self) -> Damage {
        self.source.damage()
    }

    fn warnings(&self) -> Vec<String> {
        self.source.warnings()
    }
}
