//! Going on in the middle of a video without decoding all before it, where nothing can tell the difference.
//!
//! Decoders that begin in the middle may lose frames, show broken ones, or number them otherwise, and demuxers may land
//! anywhere. So three things are proven for each leap, and without a proof everything is decoded from the beginning:
//! the packets list exactly the times that the frames before had when they were decoded; from a key frame on, a whole
//! group of pictures and more before the first frame that is wanted, the demuxer gives the listed packets; and all frames
//! from that key frame on come, undamaged, the last of them with the very samples that they had. Where nothing was decoded
//! before, the codec's own word that a key frame begins anew stands for the samples.

use std::ops::Range;

use super::index::PacketIndex;
use super::{FfmpegSource, State, Timeline};
use crate::av::{Decoder, Input};
use crate::config::Deinterlace;
use crate::error::{Kind, Result};
use crate::source::overlap::Overlap;
use crate::source::{Damage, Leap, Leapt, Source};

/// Names of containers that keep an index, so that a place in them can be gone to.
const INDEXED: [&str; 2] = ["mp4", "matroska"];

/// Why a container's packets are no list of its frames.
const NO_INDEX: &str = "packets are damaged or have no times of their own";

impl FfmpegSource {
    /// Goes on at the frame that `leap` names, or stays where it is.
    pub(super) fn try_leap(&mut self, leap: &Leap) -> Result<Leapt> {
        if let Some(why) = self.why_not() {
            return Leapt::not(why);
        }
        let start = leap.start.unwrap_or(i64::MIN);
        let Some(index) = PacketIndex::read(&mut self.reopened()?, self.stream, start, leap.to)? else {
            return Leapt::not(NO_INDEX);
        };
        let before = index.shown.partition_point(|pts| *pts < start);
        let to = usize::try_from(leap.to).unwrap_or(usize::MAX).saturating_add(before);
        if to >= index.shown.len() {
            return Leapt::not("the packets end before it");
        }
        let times: Vec<i64> = index.shown[before..to].iter().map(|pts| pts - leap.start.unwrap_or(0)).collect();
        if !(leap.is_known)(&times) {
            return Leapt::not("the packets list other times than the frames had");
        }
        let overlap = to.saturating_sub(usize::try_from(leap.n_overlap).unwrap_or(usize::MAX)).max(before);
        let Some(place) = index.key_before(index.shown[overlap]) else {
            return Leapt::not("no key frame lies well before it");
        };
        self.go(&index, place, overlap..to, Some(leap.overlap))
    }

    /// Goes on at the first frame that is shown at `pts` or later, or stays where it is. Nothing is known of frames
    /// before, so it goes where the codec says that they do not matter.
    pub(super) fn try_skip(&mut self, pts: i64) -> Result<Leapt> {
        if let Some(why) = self.why_not() {
            return Leapt::not(why);
        }
        let Some(index) = PacketIndex::read(&mut self.reopened()?, self.stream, pts, 0)? else {
            return Leapt::not(NO_INDEX);
        };
        let Some(place) = index.access_before(pts) else {
            return Leapt::not("no frame from which on nothing matters that lies before is there");
        };
        let to = index.shown.partition_point(|shown| *shown < pts);
        self.go(&index, place, to..to, None)
    }

    /// What stands against going anywhere.
    fn why_not(&self) -> Option<&'static str> {
        if self.n_frames > 0 {
            return Some("frames were given already");
        }
        if !self.input.format_name().split(',').any(|name| INDEXED.contains(&name)) || !self.path.is_file() {
            return Some("the container keeps no index");
        }
        (self.options.deinterlace == Deinterlace::Bwdif).then_some("deinterlacing looks at the frames before")
    }

    /// Decodes from the key frame at `place` or before it, up to the end of `overlap`, whose frames must have this hash;
    /// `None`: from a place where nothing before matters.
    fn go(&mut self, index: &PacketIndex, place: usize, overlap: Range<usize>, expected: Option<u64>) -> Result<Leapt> {
        let key = index.at(place).pts;
        let mut probe = self.reopened()?;
        let Some(begin) = probe.seek(self.stream, key).is_ok().then(|| index.begins(&mut probe, place)) else {
            return Leapt::not("the container cannot be sought");
        };
        let begin = begin?.filter(|begin| expected.is_some() || index.at(*begin).is_access);
        let Some(begin) = begin else { return Leapt::not("other packets come after seeking") };
        let mut other = FfmpegSource::open(&self.path, self.options.clone())?;
        other.input = self.reopened()?;
        other.input.seek(self.stream, key)?;
        match other.prove(index, begin, overlap, expected) {
            // A deinterlacer looks at the frames before, and only a hash tells that they were the same.
            Ok(Leapt::There) if expected.is_none() && other.deinterlacer.is_some() => {
                Leapt::not("interlaced frames lie before it")
            }
            Ok(Leapt::There) => {
                *self = other;
                Ok(Leapt::There)
            }
            Err(error) if matches!(error.kind(), Kind::Decode | Kind::Input) => Leapt::not(error.to_string()),
            other => other,
        }
    }

    /// The container from its beginning, with only the video's packets.
    pub(super) fn reopened(&self) -> Result<Input> {
        let mut input = Input::open(&self.path, &self.options.input)?;
        input.keep_only(|stream| stream == self.stream);
        Ok(input)
    }

    /// Decodes from the packet at `begin`, which the demuxer gives next, up to the end of `overlap`, whose frames must
    /// have this hash, if one is expected.
    fn prove(
        &mut self,
        index: &PacketIndex,
        begin: usize,
        overlap: Range<usize>,
        expected: Option<u64>,
    ) -> Result<Leapt> {
        let key = index.at(begin).pts;
        let Some(stream) = self.input.stream(self.stream) else { return Leapt::not("the stream is gone") };
        self.decoder = Decoder::new(stream, self.options.threads)?;
        self.timeline = Timeline::new(self.timeline.clock(), self.facts.time_base, self.facts.frame_rate);
        (self.first, self.state, self.n_packets) = (None, State::Reading, begin as u64);
        (self.first_key, self.damage) = (None, Damage::default());
        self.unseen.clear();
        // Pictures that are shown before the key frame and decoded after it may need what lies before.
        while self.first.is_none() {
            let Some(frame) = self.progressive()? else { return Leapt::not("no frame comes after seeking") };
            self.first = Some(frame).filter(|frame| frame.pts().is_none_or(|pts| pts >= key));
            if self.first.is_none() && expected.is_some() {
                // What is wrong with them says nothing; that nothing is wrong with those wanted, the hash tells.
                self.damage = Damage::default();
            }
        }
        let first = index.shown.partition_point(|pts| *pts < key);
        self.n_frames = first as u64;
        let mut hash = Overlap::default();
        for number in first..overlap.end {
            let frame = self.next_frame()?;
            let Some(frame) = frame.filter(|frame| frame.pts == index.shown[number]) else {
                return Leapt::not("frames are missing after seeking");
            };
            if overlap.contains(&number) {
                hash.push(&frame);
            }
        }
        if self.damage.n_frames > 0 || !self.warnings().is_empty() {
            return Leapt::not("frames are damaged after seeking");
        }
        if expected.is_some_and(|expected| hash.value() != expected) {
            return Leapt::not("frames come out otherwise after seeking");
        }
        self.unseen = self.unseen.split_off(&key);
        Ok(Leapt::There)
    }
}
