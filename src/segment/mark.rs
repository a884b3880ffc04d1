//! What is remembered of a segment's last frames, so that a later run can begin behind them; and how it does.
//!
//! The source's wrapper makes a mark as the frames go by, long before they come to the sink, which notes it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::manifest::Done;
use super::packets::TimesHash;
use crate::error::Result;
use crate::frame::Frame;
use crate::source::overlap::Overlap;
use crate::source::{Leap, Leapt, Source};

/// Marks by the numbers of their segments, on their way from the source to the sink.
#[derive(Clone, Debug, Default)]
pub struct Marks(Arc<Mutex<BTreeMap<u64, u64>>>);

impl Marks {
    /// The mark of a segment whose last frame has come.
    pub fn take(&self, number: u64) -> Option<u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&number)
    }
}

/// Makes marks.
pub struct Marker {
    segment_frames: u64,
    marks: Marks,
    overlap: Overlap,
}

impl Marker {
    /// Of segments of so many frames.
    pub fn new(segment_frames: u64, marks: Marks) -> Marker {
        Marker { segment_frames, marks, overlap: Overlap::default() }
    }

    /// Looks at a frame that `source` has given. Segments that end after damage or a warning get no mark: a run that
    /// begins behind them would not know of it.
    pub fn see(&mut self, frame: &Frame, source: &dyn Source) {
        let place = frame.index % self.segment_frames;
        let first = self.segment_frames - n_overlap(self.segment_frames);
        if place < first {
            return;
        }
        if place == first {
            self.overlap = Overlap::default();
        }
        self.overlap.push(frame);
        if place + 1 == self.segment_frames && source.damage().n_frames == 0 && source.warnings().is_empty() {
            let number = frame.index / self.segment_frames;
            self.marks.0.lock().unwrap_or_else(PoisonError::into_inner).insert(number, self.overlap.value());
        }
    }
}

/// Frames at the end of a segment that its mark is of.
fn n_overlap(segment_frames: u64) -> u64 {
    segment_frames.min(Overlap::FRAMES)
}

/// Lets `source`, which has given nothing yet, begin behind the first `n` segments, if they are all among those `done`
/// and it can be proven that nothing differs; the number of frames that it passes over.
pub fn leap(source: &mut dyn Source, segment_frames: u64, done: &BTreeMap<u64, Done>, n: u64) -> Result<u64> {
    let before: Vec<&Done> = done.range(..n).map(|(_, done)| done).collect();
    let Some(last) = before.last().filter(|_| before.len() as u64 == n) else { return Ok(0) };
    let is_known = |times: &[i64]| {
        let chunks = times.chunks(usize::try_from(segment_frames).unwrap_or(usize::MAX));
        chunks.len() == before.len()
            && chunks.zip(&before).all(|(chunk, done)| {
                let mut hash = TimesHash::default();
                chunk.iter().for_each(|pts| hash.push(*pts));
                done.frames == chunk.len() as u64 && done.times == hash.value()
            })
    };
    let to = n * segment_frames;
    let leapt = match last.mark {
        Some(overlap) => {
            let n_overlap = n_overlap(segment_frames);
            source.leap(&Leap { to, start: None, is_known: &is_known, n_overlap, overlap })?
        }
        None => Leapt::Not("nothing is known of the last frames there".to_owned()),
    };
    match leapt {
        Leapt::There => {
            tracing::info!("going on at frame {to} without decoding those before it");
            Ok(to)
        }
        Leapt::Not(why) => {
            tracing::info!("decoding from the beginning, not from frame {to}: {why}");
            Ok(0)
        }
    }
}
