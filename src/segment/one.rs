//! One segment alone, with its source and its sink: what a process makes that shares a run with others.

use std::sync::{Arc, OnceLock};

use super::folder::Folder;
use super::manifest::SourceEnd;
use super::sink::Segment;
use crate::av::Encoder;
use crate::error::Result;
use crate::frame::Frame;
use crate::interrupt;
use crate::sink::job::FileJob;
use crate::sink::{Finished, Sink};
use crate::source::{Damage, Source, SourceFacts};

/// The frames of one segment. All before them are decoded too, so that nothing depends on how well the input can be
/// sought; and the one after them, which tells whether the source ends here.
pub struct Excerpt {
    source: Box<dyn Source>,
    segment_frames: u64,
    number: u64,
    n_frames: u64,
    /// What the source says at its end, if that is where the segment ends, or before it.
    end: Arc<OnceLock<SourceEnd>>,
}

impl Excerpt {
    /// The frames of segment `number` of `source`; `end` is filled where the source ends.
    pub fn new(source: Box<dyn Source>, segment_frames: u64, number: u64, end: Arc<OnceLock<SourceEnd>>) -> Excerpt {
        Excerpt { source, segment_frames, number, n_frames: 0, end }
    }
}

impl Source for Excerpt {
    fn facts(&self) -> &SourceFacts {
        self.source.facts()
    }

    fn next_frame(&mut self) -> Result<Option<Frame>> {
        // Passing over may take minutes in which nobody else looks.
        while interrupt::requested().is_none() {
            let Some(frame) = self.source.next_frame()? else {
                let end = SourceEnd::of(self.source.as_ref(), self.n_frames);
                // It was empty a moment ago, and nobody else fills it.
                let _ = self.end.set(end);
                return Ok(None);
            };
            self.n_frames += 1;
            match (frame.index / self.segment_frames).cmp(&self.number) {
                std::cmp::Ordering::Less => {}
                std::cmp::Ordering::Equal => return Ok(Some(frame)),
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
    end: Arc<OnceLock<SourceEnd>>,
}

impl ExcerptSink {
    /// For segment `number` of `run` in a folder that others work in too. `encoder` is one that is open; `end` is filled
    /// by the source.
    pub fn new(
        job: FileJob,
        folder: Folder,
        run: String,
        number: u64,
        encoder: Encoder,
        end: Arc<OnceLock<SourceEnd>>,
    ) -> ExcerptSink {
        ExcerptSink { job, folder, run, number, encoder: Some(encoder), segment: None, end }
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
            let done = segment.end()?;
            self.folder.note(&self.run, self.number, &done)?;
        }
        if let Some(end) = self.end.get() {
            self.folder.note_end(&self.run, end)?;
        }
        Ok(Finished { n_frames, ..Finished::default() })
    }

    fn stop(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}
