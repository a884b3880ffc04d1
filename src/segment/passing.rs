//! Finished segments that are passed over. That they are the ones that were encoded is told by their times: a damaged
//! input may be decoded differently.

use std::collections::BTreeMap;

use super::manifest::Done;
use super::packets::TimesHash;
use crate::error::{Error, Kind, Result};

/// What passes over finished segments.
#[derive(Default)]
pub struct Passing {
    under_way: Option<UnderWay>,
}

/// How much of a segment has been passed over.
struct UnderWay {
    number: u64,
    frames: u64,
    times: TimesHash,
}

impl Passing {
    /// A frame of segment `number`, which may be finished or not. Fails if the segment before was another one when it
    /// was made.
    pub fn pass(&mut self, done: &BTreeMap<u64, Done>, number: u64, pts: i64) -> Result<()> {
        if self.under_way.as_ref().is_some_and(|under_way| under_way.number != number) {
            self.arrive(done)?;
        }
        if done.contains_key(&number) {
            let start = || UnderWay { number, frames: 0, times: TimesHash::default() };
            let under_way = self.under_way.get_or_insert_with(start);
            under_way.frames += 1;
            under_way.times.push(pts);
        }
        Ok(())
    }

    /// The segment that is passed over is at its end.
    pub fn arrive(&mut self, done: &BTreeMap<u64, Done>) -> Result<()> {
        let Some(UnderWay { number, frames, times }) = self.under_way.take() else { return Ok(()) };
        if done.get(&number).is_some_and(|done| done.frames == frames && done.times == times.value()) {
            return Ok(());
        }
        let message = format!(
            "segment {number} has other frames than when it was made, as damaged inputs may; -y starts anew, --no-resume \
             makes the output in one go"
        );
        Err(Error::new(Kind::Decode, message))
    }
}
