//! A source without the frames of finished segments.
//!
//! Where it can be proven that nothing differs, the source begins behind the segments that are finished from the first
//! on; else every frame is decoded from the beginning of the input, so that nothing depends on how well it can be sought,
//! and frames that are there already go no further. That they are the same ones is checked by their times: a damaged
//! input may be decoded differently.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use super::manifest::{Done, SourceEnd};
use super::mark::{self, Marker, Marks};
use super::packets::TimesHash;
use crate::error::{Error, Kind, Result};
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
    /// The finished segment that is being passed over, if one is.
    passing: Option<Passing>,
    marker: Marker,
    n_frames: u64,
    has_begun: bool,
}

/// How much of a finished segment has been passed over.
struct Passing {
    number: u64,
    frames: u64,
    times: TimesHash,
}

impl Resumed {
    /// The frames of `source` but for those of finished segments.
    pub fn new(source: Box<dyn Source>, past: Past) -> Resumed {
        let marker = Marker::new(past.segment_frames, past.marks.clone());
        Resumed { source, past, passing: None, marker, n_frames: 0, has_begun: false }
    }

    /// Begins behind the finished segments, if that can be done.
    fn begin(&mut self) -> Result<()> {
        self.has_begun = true;
        let done = &self.past.done;
        let n = (0..).take_while(|number| done.contains_key(number)).count() as u64;
        self.n_frames = mark::leap(self.source.as_mut(), self.past.segment_frames, done, n)?;
        Ok(())
    }

    /// The finished segment that is passed over is at its end: it must have been the one that was encoded.
    fn arrive(&mut self) -> Result<()> {
        let Some(passing) = self.passing.take() else { return Ok(()) };
        let done = self.past.done.get(&passing.number);
        if done.is_some_and(|done| done.frames == passing.frames && done.times == passing.times.value()) {
            return Ok(());
        }
        let message = format!(
            "segment {} has other frames than in the run before, as damaged inputs may; -y starts anew, --no-resume makes \
             the output in one go",
            passing.number
        );
        Err(Error::new(Kind::Decode, message))
    }

    fn pass(&mut self, number: u64, pts: i64) {
        let start = || Passing { number, frames: 0, times: TimesHash::default() };
        let passing = self.passing.get_or_insert_with(start);
        passing.frames += 1;
        passing.times.push(pts);
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
                self.arrive()?;
                let end = SourceEnd::of(self.source.as_ref(), self.n_frames);
                // It was empty a moment ago, and nobody else fills it.
                let _ = self.past.end.set(end);
                return Ok(None);
            };
            self.n_frames += 1;
            let number = frame.index / self.past.segment_frames;
            if self.passing.as_ref().is_some_and(|passing| passing.number != number) {
                self.arrive()?;
            }
            if !self.past.done.contains_key(&number) {
                self.marker.see(&frame, self.source.as_ref());
                return Ok(Some(frame));
            }
            self.pass(number, frame.pts);
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
