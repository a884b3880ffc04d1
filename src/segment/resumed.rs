//! A source without the frames of finished segments.
//!
//! Where it can be proven that nothing differs, the source begins behind the segments that are finished from the first
//! on; else every frame is decoded from the beginning of the input, so that nothing depends on how well it can be sought,
//! and frames that are there already go no further.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use super::manifest::{Done, SourceEnd};
use super::mark::{self, Marker, Marks};
use super::passing::Passing;
use crate::error::Result;
use crate::frame::Frame;
use crate::interrupt;
use crate::source::{Damage, Source, SourceFacts};

/// What earlier runs have done.
#[derive(Clone, Debug)]
pub struct Past {
    /// A segment begins at every frame whose index is a multiple of this.
    pub segment_frames: u64,
    /// The finished segments by number.
    pub done: BTreeMap<u64, Done>,
    /// What the source says at its end. Where an earlier run has put it here, nothing is decoded.
    pub end: Arc<OnceLock<SourceEnd>>,
    /// What is remembered of the segments that are made now.
    pub marks: Marks,
}

impl Past {
    /// Frames that need not be made again.
    pub fn n_frames(&self) -> u64 {
        self.done.values().map(|done| done.frames).sum()
    }
}

/// The frames of segments that are not finished.
pub struct Resumed {
    source: Box<dyn Source>,
    past: Past,
    passing: Passing,
    marker: Marker,
    n_frames: u64,
    has_begun: bool,
}

impl Resumed {
    /// The frames of `source` but for those of finished segments.
    pub fn new(source: Box<dyn Source>, past: Past) -> Resumed {
        let marker = Marker::new(past.segment_frames, past.marks.clone());
        Resumed { source, past, passing: Passing::default(), marker, n_frames: 0, has_begun: false }
    }

    /// Begins behind the finished segments, if that can be done.
    fn begin(&mut self) -> Result<()> {
        self.has_begun = true;
        let done = &self.past.done;
        let n = (0..).take_while(|number| done.contains_key(number)).count() as u64;
        self.n_frames = mark::leap(self.source.as_mut(), self.past.segment_frames, done, n)?;
        Ok(())
    }
}

impl Source for Resumed {
    fn facts(&self) -> &SourceFacts {
        self.source.facts()
    }

    fn next_frame(&mut self) -> Result<Option<Frame>> {
        if self.past.end.get().is_some() {
            return Ok(None);
        }
        if !self.has_begun {
            self.begin()?;
        }
        // Passing over may take minutes in which nobody else looks.
        while interrupt::requested().is_none() {
            let Some(frame) = self.source.next_frame()? else {
                self.passing.arrive(&self.past.done)?;
                let end = SourceEnd::of(self.source.as_ref(), self.n_frames);
                // It was empty a moment ago, and nobody else fills it.
                let _ = self.past.end.set(end);
                return Ok(None);
            };
            self.n_frames += 1;
            let number = frame.index / self.past.segment_frames;
            self.passing.pass(&self.past.done, number, frame.pts)?;
            if !self.past.done.contains_key(&number) {
                self.marker.see(&frame, self.source.as_ref());
                return Ok(Some(frame));
            }
        }
        Ok(None)
    }

    fn damage(&self) -> Damage {
        match self.past.end.get() {
            Some(end) => Damage { n_frames: end.n_damaged, lines: end.damage.clone() },
            None => self.source.damage(),
        }
    }

    fn warnings(&self) -> Vec<String> {
        self.past.end.get().map_or_else(|| self.source.warnings(), |end| end.warnings.clone())
    }
}
