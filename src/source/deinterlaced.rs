//! Frames of a source that FFmpeg does not read, deinterlaced as those of containers are. For y4m, which tells of its
//! fields too.

use std::collections::VecDeque;

use super::{Damage, Source, SourceFacts};
use crate::av::{AvFrame, Deinterlacer};
use crate::error::{Context, Error, Kind, Result};
use crate::frame::{FieldOrder, Frame, Pool};

/// Another source's frames, one for each.
pub struct Deinterlaced {
    source: Box<dyn Source>,
    facts: SourceFacts,
    /// Also frames that are not flagged interlaced.
    all: bool,
    /// From the first frame on that wants it.
    filter: Option<Deinterlacer>,
    /// The frames that the filter holds.
    held: VecDeque<Frame>,
    pool: Pool,
    ended: bool,
    warning: Option<String>,
}

impl Deinterlaced {
    /// Deinterlaces the frames of `source` that are flagged interlaced, or `all`.
    pub fn new(source: Box<dyn Source>, all: bool) -> Self {
        let facts = SourceFacts { field_order: FieldOrder::Progressive, ..source.facts().clone() };
        let (filter, held, pool) = (None, VecDeque::new(), Pool::new());
        Deinterlaced { source, facts, all, filter, held, pool, ended: false, warning: None }
    }

    fn send(&mut self, frame: Frame) -> Result<()> {
        let woven = AvFrame::with_fields(&frame, &self.pool)?;
        let filter = match &mut self.filter {
            Some(filter) => filter,
            None => {
                self.warning = Some(warning(frame.index));
                self.filter.insert(Deinterlacer::new(&woven, self.facts.time_base, self.all)?)
            }
        };
        self.held.push_back(frame);
        filter.send(Some(woven))
    }

    fn receive(&mut self) -> Result<Option<Frame>> {
        let Some(filter) = &mut self.filter else { return Ok(None) };
        let Some(made) = filter.receive()? else { return Ok(None) };
        let held = self.held.pop_front();
        let held = held.ok_or_else(|| Error::new(Kind::Internal, "the deinterlacing filter gives a frame too many"))?;
        Ok(Some(Frame { picture: made.into_picture()?, field_order: FieldOrder::Progressive, ..held }))
    }
}

impl Source for Deinterlaced {
    fn facts(&self) -> &SourceFacts {
        &self.facts
    }

    fn next_frame(&mut self) -> Result<Option<Frame>> {
        loop {
            if let Some(frame) = self.receive()? {
                return Ok(Some(frame));
            }
            if self.ended {
                return Ok(None);
            }
            match self.source.next_frame()? {
                Some(frame) => {
                    let is_wanted = self.all || frame.field_order != FieldOrder::Progressive;
                    if self.filter.is_none() && !is_wanted {
                        return Ok(Some(frame));
                    }
                    let index = frame.index;
                    self.send(frame).context(|| format!("frame {index}"))?;
                }
                None => {
                    self.ended = true;
                    if let Some(filter) = &mut self.filter {
                        filter.send(None)?;
                    }
                }
            }
        }
    }

    fn damage(&self) -> Damage {
        self.source.damage()
    }

    fn warnings(&self) -> Vec<String> {
        let mut warnings = self.source.warnings();
        warnings.extend(self.warning.clone());
        warnings
    }
}

/// What a person hears of it, once.
pub(super) fn warning(first: u64) -> String {
    let how = "deinterlaced with bwdif at the same rate; --deinterlace off runs them woven";
    format!("interlaced frames, from frame {first} on, are {how}")
}
