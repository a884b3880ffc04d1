//! One segment alone, with its source and its sink: what a process makes that shares a run with others.

use super::folder::Folder;
use super::manifest::{Done, SourceEnd};
use super::mark::{self, Marker};
use super::passing::Passing;
use super::resumed::Past;
use super::sink::Segment;
use crate::av::Encoder;
use crate::error::Result;
use crate::frame::Frame;
use crate::interrupt;
use crate::sink::job::FileJob;
use crate::sink::{Finished, Sink};
use crate::source::{Damage, Source, SourceFacts};

/// The frames of one segment. All before them are decoded too, but where they are finished and it can be proven that
/// nothing differs; and the one after them, which tells whether the source ends here.
pub struct Excerpt {
    source: Box<dyn Source>,
    past: Past,
    number: u64,
    passing: Passing,
    marker: Marker,
    n_frames: u64,
    has_begun: bool,
}

impl Excerpt {
    /// The frames of segment `number` of `source`; the end in `past` is filled where the source ends.
    pub fn new(source: Box<dyn Source>, past: Past, number: u64) -> Excerpt {
        let marker = Marker::new(past.segment_frames, past.marks.clone());
        Excerpt { source, past, number, passing: Passing::default(), marker, n_frames: 0, has_begun: false }
    }
}

impl Source for Excerpt {
    fn facts(&self) -> &SourceFacts {
        self.source.facts()
    }

    fn next_frame(&mut self) -> Result<Option<Frame>> {
        let segment_frames = self.past.segment_frames;
        if !self.has_begun {
            self.has_begun = true;
            self.n_frames = mark::leap(self.source.as_mut(), segment_frames, &self.past.done, self.number)?;
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
            let number = frame.index / segment_frames;
            match number.cmp(&self.number) {
                std::cmp::Ordering::Less => self.passing.pass(&self.past.done, number, frame.pts)?,
                std::cmp::Ordering::Equal => {
                    self.passing.arrive(&self.past.done)?;
                    self.marker.see(&frame, self.source.as_ref());
                    return Ok(Some(frame));
                }
                std::cmp::Ordering::Greater => return Ok(None),
            }
        }
        Ok(None)
    }

    fn damage(&self) -> Damage {
        self.source.damage()
    }

    fn warnings(&self) -> Vec<String> {
        self.source.warnings()
    }
}

/// A segment being made alone.
pub struct ExcerptSink {
    job: FileJob,
    folder: Folder,
    /// What the segment is noted to be of.
    run: String,
    number: u64,
    /// Open, for the segment.
    encoder: Option<Encoder>,
    segment: Option<Segment>,
    past: Past,
}

impl ExcerptSink {
    /// For segment `number` of `run` in a folder that others work in too. `encoder` is one that is open; the source puts
    /// into `past` what it says at its end.
    pub fn new(job: FileJob, folder: Folder, run: String, number: u64, encoder: Encoder, past: Past) -> ExcerptSink {
        ExcerptSink { job, folder, run, number, encoder: Some(encoder), segment: None, past }
    }
}

impl Sink for ExcerptSink {
    fn write(&mut self, frame: &Frame) -> Result<()> {
        self.job.video.check(&frame.picture)?;
        let segment = match &mut self.segment {
            Some(segment) => segment,
            None => {
                let encoder = self.encoder.take();
                self.segment.insert(Segment::begin(&self.job, &self.folder, self.number, encoder)?)
            }
        };
        segment.take(frame)
    }

    fn finish(self: Box<Self>) -> Result<Finished> {
        let mut n_frames = 0;
        if let Some(segment) = self.segment {
            n_frames = segment.frames;
            let done = Done { mark: self.past.marks.take(self.number), ..segment.end()? };
            self.folder.note(&self.run, self.number, &done)?;
        }
        if let Some(end) = self.past.end.get() {
            self.folder.note_end(&self.run, end)?;
        }
        Ok(Finished { n_frames, ..Finished::default() })
    }

    fn stop(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}
