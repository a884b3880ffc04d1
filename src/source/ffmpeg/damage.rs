//! What is broken in a video: counted, and told in a few lines.

use super::{FfmpegSource, extent};
use crate::av::Stream;
use crate::error::{Error, Kind, Result};
use crate::time::TimeBase;

/// Lines of damage that are kept; more are only counted.
const MAX_LINES: usize = 8;

impl FfmpegSource {
    /// Asks the decoder for damaged frames, of which the one at `pts` may be the first.
    pub(super) fn note_damaged_frames(&mut self, pts: Option<i64>) -> Result<()> {
        let n_frames = self.decoder.take_damaged();
        if n_frames == 0 {
            return Ok(());
        }
        let at = pts.map_or_else(|| "the end".to_owned(), |_| self.seconds(pts));
        let frames = if n_frames == 1 { "a frame".to_owned() } else { format!("{n_frames} frames") };
        self.note_damage(n_frames, format!("{frames} at about {at} came out damaged"))
    }

    pub(super) fn note_damage(&mut self, n_frames: u64, line: String) -> Result<()> {
        self.damage.n_frames += n_frames;
        if self.damage.lines.len() < MAX_LINES {
            tracing::info!("{}: {line}", self.path.display());
            self.damage.lines.push(line.clone());
        }
        if self.options.strict {
            return Err(Error::new(Kind::Input, format!("{line}; without --strict the rest would be processed")));
        }
        Ok(())
    }

    pub(super) fn seconds(&self, pts: Option<i64>) -> String {
        let base = self.input.stream(self.stream).map_or(TimeBase::MICROS, |stream| stream.time_base);
        pts.map_or_else(|| "an unknown time".to_owned(), |pts| format!("{:.3} s", base.seconds(pts)))
    }

    /// What only the end shows: packets without a picture, and files that hold less than they say.
    pub(super) fn look_back(&mut self) -> Result<()> {
        let is_field_coded = self.n_packets > self.n_frames + self.n_frames / 2;
        let shows_all = self.input.stream(self.stream).is_some_and(Stream::shows_every_packet);
        if shows_all && !is_field_coded {
            let known = usize::try_from(self.damage.n_frames).unwrap_or(usize::MAX);
            let lost = self.unseen.len().saturating_sub(known);
            if lost > 0 {
                let at = self.seconds(self.unseen.first().copied());
                self.note_damage(lost as u64, format!("{lost} packets gave no picture, the first at {at}"))?;
            }
        }
        self.unseen.clear();
        if self.input.format_name().contains("mp4") {
            let listed = self.input.index_entries(self.stream) as u64;
            if listed > self.n_packets {
                let lost = listed - self.n_packets;
                let line =
                    format!("the file ends early: its index lists {listed} packets, {} are there", self.n_packets);
                self.note_damage(lost, line)?;
            }
        }
        if let Some(missing) = extent::missing(&self.path, &self.input.format_name()) {
            let lost = self.facts.n_frames.map_or(1, |frames| frames.saturating_sub(self.n_frames).max(1));
            self.note_damage(lost, format!("the file ends early: {missing} bytes that it tells of are not there"))?;
        }
        Ok(())
    }
}
