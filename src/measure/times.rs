//! When the frames of a source are shown, as far as a cut in time needs it.

use std::path::Path;

use crate::av::{Fields, Input, Stream};
use crate::config::{Position, RunConfig};
use crate::error::{Error, Kind, Result};
use crate::interrupt;
use crate::meter;
use crate::source::ffmpeg::access::Access;
use crate::source::ffmpeg::{FfmpegOptions, FfmpegSource};
use crate::source::{Source, SourceFacts};
use crate::time::TimeBase;

/// Packets that are read behind a cut's end: more than any codec puts into another order.
const REORDERED: usize = 64;

/// When frames are shown, as far as a cut needs it.
pub struct Times {
    /// The beginning of the file, in ticks: times are counted from here.
    origin: i64,
    /// All pts, rising, where the container has them.
    pts: Option<Vec<i64>>,
    time_base: TimeBase,
}

impl Times {
    /// Of a source whose frames are counted: frame k is shown at k ticks.
    pub fn counted(time_base: TimeBase) -> Times {
        Times { origin: 0, pts: None, time_base }
    }

    /// A pass over the container's packets, as far as the cut needs them. `first` is when the first frame of the stream
    /// `video` is shown. A cut that counts frames decodes them where packets do not tell how many there are.
    pub fn read(
        path: &Path,
        options: &FfmpegOptions,
        config: &RunConfig,
        (video, first): (usize, Option<i64>),
    ) -> Result<Times> {
        let mut input = Input::open(path, &options.input)?;
        let time_base = input.stream(video).map_or(TimeBase::MICROS, |stream| stream.time_base);
        let starts = input
            .streams()
            .iter()
            .filter_map(|stream| stream.start.map(|start| stream.time_base.rescale(start, time_base)));
        let origin = starts.min().unwrap_or(0);
        let ticks = |micros| origin.saturating_add(tick_from(micros, time_base));
        input.keep_only(|index| index == video);
        let mut listed = Listed::read(&mut input, (video, first), Enough::of(config, REORDERED, ticks))?;
        if counts_frames(config) && !listed.are_frames {
            tracing::info!("decoding all up to the cut's end to count frames: the packets are no list of them");
            listed.pts = decoded(path, options, Enough::of(config, 1, ticks).at_start(config), &listed.pts)?;
        }
        Ok(Times { origin, pts: Some(listed.pts), time_base })
    }

    /// The pts of frame `index`; one beyond the last for what lies behind the end.
    fn frame(&self, index: u64) -> i64 {
        match &self.pts {
            None => i64::try_from(index).unwrap_or(i64::MAX),
            Some(pts) => {
                let index = usize::try_from(index).unwrap_or(usize::MAX);
                pts.get(index).copied().unwrap_or_else(|| pts.last().map_or(0, |last| last + 1))
            }
        }
    }

    fn position(&self, position: Position) -> i64 {
        match position {
            Position::Frame(index) => self.frame(index),
            Position::Time(micros) => self.origin.saturating_add(tick_from(micros, self.time_base)),
        }
    }

    /// Whether a position is not behind all frames by their number: then nothing is cut off, neither of the sound.
    fn is_inside(&self, position: Position) -> bool {
        match (position, &self.pts) {
            (Position::Frame(index), Some(pts)) => usize::try_from(index).is_ok_and(|index| index < pts.len()),
            _ => true,
        }
    }

    /// First and last moment and the number of frames, as far as known.
    pub fn span(&self, config: &RunConfig, facts: &SourceFacts) -> Result<(Option<i64>, Option<i64>, Option<u64>)> {
        let start = config.start.map(|start| self.position(start));
        let mut end = config.end.filter(|end| self.is_inside(*end)).map(|end| self.position(end));
        let count = |from: Option<i64>, to: Option<i64>| {
            let inside = |pts: i64| from.is_none_or(|from| pts >= from) && to.is_none_or(|to| pts < to);
            match &self.pts {
                Some(pts) => Some(pts.iter().filter(|pts| inside(**pts)).count() as u64),
                None => facts.n_frames.map(|n| (0..n as i64).filter(|pts| inside(*pts)).count() as u64),
            }
        };
        if let Some(frames) = config.frames {
            let before = match start {
                Some(start) => match &self.pts {
                    Some(pts) => pts.iter().filter(|pts| **pts < start).count() as u64,
                    None => u64::try_from(start).unwrap_or(0),
                },
                None => 0,
            };
            let last = Position::Frame(before.saturating_add(frames));
            let limit = Some(self.position(last)).filter(|_| self.is_inside(last));
            end = [end, limit].into_iter().flatten().min();
        }
        let n_frames = count(start, end);
        if n_frames == Some(0) {
            return Err(Error::new(
                Kind::Usage,
                "no frame lies between --start and --end; `vproc inspect` tells the length",
            ));
        }
        Ok((start, end, n_frames))
    }
}

/// The first tick at a moment or later. One that is the moment rounded to microseconds is at it: that is how times are
/// told to people.
fn tick_from(micros: i64, base: TimeBase) -> i64 {
    let nearest = TimeBase::MICROS.rescale(micros, base);
    nearest.saturating_add(i64::from(base.rescale(nearest, TimeBase::MICROS) < micros))
}

/// Whether the cut is given in frames, so that their number matters and not only when they are shown.
fn counts_frames(config: &RunConfig) -> bool {
    let is_number = |position| matches!(position, Some(Position::Frame(_)));
    config.frames.is_some() || is_number(config.start) || is_number(config.end)
}

/// What the packets of a video say of its frames.
struct Listed {
    /// When they are shown, rising.
    pts: Vec<i64>,
    /// Each of these is one frame, as far as packets can tell.
    are_frames: bool,
}

impl Listed {
    /// Reads the packets of the stream `video`, which is the only one that `input` gives, until that is enough. What
    /// would be shown before the first frame cannot be decoded: the file begins in mid-group. AVI tells only when
    /// packets are decoded, and frames are shown later by as much as the first.
    fn read(input: &mut Input, (video, first): (usize, Option<i64>), mut enough: Enough) -> Result<Listed> {
        let is_avi = input.format_name() == "avi";
        let is_before = |pts: Option<i64>| !is_avi && pts.zip(first).is_some_and(|(pts, first)| pts < first);
        let mut fields = input.stream(video).and_then(Fields::of);
        let access = input.stream(video).map_or(Access::Unknown, Access::of);
        let mut are_frames = input.stream(video).is_some_and(tells_frames);
        let mut pts = Vec::new();
        while !enough.is_reached()
            && let Some(packet) = input.next_readable()?
        {
            if packet.stream_index() != video {
                continue;
            }
            // The other field of a picture that is counted already.
            let is_second = fields.as_mut().is_some_and(|fields| fields.is_second(packet.data()));
            let is_shown = !packet.is_discarded() && !packet.data().is_empty() && !access.hides(&packet);
            if !is_second && is_shown && !is_before(packet.pts()) {
                are_frames &= packet.pts().is_some() || is_avi && packet.dts().is_some();
                let shown = packet.pts().or(packet.dts());
                pts.extend(shown);
                shown.into_iter().for_each(|pts| enough.count(pts));
            }
        }
        let n_packets = pts.len();
        pts.sort_unstable();
        pts.dedup();
        are_frames &= pts.len() == n_packets;
        if let (true, Some(first), Some(&least)) = (is_avi, first, pts.first()) {
            pts.iter_mut().for_each(|pts| *pts += first - least);
        }
        Ok(Listed { pts, are_frames })
    }
}

/// Whether every packet of a stream shows one picture, but those whose headers say otherwise.
fn tells_frames(stream: &Stream) -> bool {
    let is_told = matches!(stream.codec.as_str(), "vp8" | "vp9");
    is_told || stream.shows_every_packet() || stream.is_intra_only()
}

/// When the frames of a video are shown, by decoding it until that is enough, and behind that what packets list.
fn decoded(path: &Path, options: &FfmpegOptions, mut enough: Enough, listed: &[i64]) -> Result<Vec<i64>> {
    let mut source = meter::named(c"decode", || FfmpegSource::open(path, options.clone()))?;
    let mut pts = Vec::new();
    while !enough.is_reached() {
        // This may take minutes in which nobody else looks.
        if interrupt::requested().is_some() {
            return Err(Error::new(Kind::Interrupted, "stopped while frames were counted"));
        }
        let Some(frame) = source.next_frame()? else { return Ok(pts) };
        enough.count(frame.pts);
        pts.push(frame.pts);
    }
    let last = pts.last().copied();
    pts.extend(listed.iter().filter(|pts| Some(**pts) > last));
    Ok(pts)
}

/// How many packets, or frames, a cut needs: all up to its end, and some behind it.
struct Enough {
    /// The end's pts, and how many more behind it are wanted.
    end: Option<(i64, usize)>,
    /// How many more are wanted that are shown at a pts or later.
    frames: Option<(i64, usize)>,
}

impl Enough {
    /// Up to the cut's end and `behind` more; to the end of all where the cut has none.
    fn of(config: &RunConfig, behind: usize, ticks: impl Fn(i64) -> i64) -> Enough {
        let more = |frames: u64| usize::try_from(frames).unwrap_or(usize::MAX).saturating_add(behind);
        let (mut from, mut before) = (i64::MIN, 0);
        match config.start {
            Some(Position::Time(micros)) => from = ticks(micros),
            Some(Position::Frame(index)) => before = index,
            None => {}
        }
        let frames = config.frames.map(|frames| (from, more(before.saturating_add(frames))));
        match config.end {
            None => Enough { end: None, frames },
            Some(Position::Time(micros)) => Enough { end: Some((ticks(micros), behind)), frames },
            Some(Position::Frame(index)) => Enough { end: None, frames: frames.or(Some((i64::MIN, more(index)))) },
        }
    }

    /// Of a cut without an end no more than its first frame.
    fn at_start(self, config: &RunConfig) -> Enough {
        match (self.end, self.frames, config.start) {
            (None, None, Some(Position::Frame(index))) => {
                let n_frames = usize::try_from(index).unwrap_or(usize::MAX).saturating_add(1);
                Enough { frames: Some((i64::MIN, n_frames)), ..self }
            }
            _ => self,
        }
    }

    fn count(&mut self, pts: i64) {
        for (from, wanted) in [&mut self.end, &mut self.frames].into_iter().flatten() {
            *wanted -= usize::from(pts >= *from && *wanted > 0);
        }
    }

    fn is_reached(&self) -> bool {
        [self.end, self.frames].into_iter().flatten().any(|(_, wanted)| wanted == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_between_two_ticks_is_the_later_one() {
        let ticks = |micros, den| tick_from(micros, TimeBase::new(1, den).unwrap());
        assert_eq!([440_000, 440_001, 441_000, 459_999, 480_000].map(|micros| ticks(micros, 25)), [11, 12, 12, 12, 12]);
        // 2002 ticks are 83416.67 microseconds, and people are told six digits.
        assert_eq!([83_416, 83_417, 83_418].map(|micros| ticks(micros, 24_000)), [2002, 2002, 2003]);
        assert_eq!(ticks(1, 2_000_000_000), 2000);
        assert_eq!(ticks(i64::MAX, 2_000_000_000), i64::MAX);
    }
}
