//! When the frames of a source are shown, as far as a cut in time needs it.

use std::path::Path;

use crate::av::{Fields, Input, InputOptions};
use crate::config::{Position, RunConfig};
use crate::error::{Error, Kind, Result};
use crate::source::SourceFacts;
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
    /// `video` is shown. What would be shown before it cannot be decoded: the file begins in mid-group. AVI tells only
    /// when packets are decoded, and frames are shown later by as much as the first.
    pub fn read(
        path: &Path,
        options: &InputOptions,
        config: &RunConfig,
        (video, first): (usize, Option<i64>),
    ) -> Result<Times> {
        let mut input = Input::open(path, options)?;
        let time_base = input.stream(video).map_or(TimeBase::MICROS, |stream| stream.time_base);
        let starts = input
            .streams()
            .iter()
            .filter_map(|stream| stream.start.map(|start| stream.time_base.rescale(start, time_base)));
        let origin = starts.min().unwrap_or(0);
        input.keep_only(|index| index == video);
        let mut enough = Enough::of(config, |micros| origin + TimeBase::MICROS.rescale(micros, time_base));
        let is_avi = input.format_name() == "avi";
        let is_before = |pts: Option<i64>| !is_avi && pts.zip(first).is_some_and(|(pts, first)| pts < first);
        let mut fields = input.stream(video).and_then(Fields::of);
        let mut pts = Vec::new();
        while !enough.is_reached()
            && let Some(packet) = input.next_readable()?
        {
            if packet.stream_index() != video {
                continue;
            }
            // The other field of a picture that is counted already.
            let is_second = fields.as_mut().is_some_and(|fields| fields.is_second(packet.data()));
            if !is_second && !packet.is_discarded() && !is_before(packet.pts()) {
                let shown = packet.pts().or(packet.dts());
                pts.extend(shown);
                shown.into_iter().for_each(|pts| enough.count(pts));
            }
        }
        pts.sort_unstable();
        pts.dedup();
        if let (true, Some(first), Some(&least)) = (is_avi, first, pts.first()) {
            pts.iter_mut().for_each(|pts| *pts += first - least);
        }
        Ok(Times { origin, pts: Some(pts), time_base })
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
            Position::Time(micros) => self.origin + TimeBase::MICROS.rescale(micros, self.time_base),
        }
    }

    /// First and last moment and the number of frames, as far as known.
    pub fn span(&self, config: &RunConfig, facts: &SourceFacts) -> Result<(Option<i64>, Option<i64>, Option<u64>)> {
        let start = config.start.map(|start| self.position(start));
        let mut end = config.end.map(|end| self.position(end));
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
            let limit = self.frame(before.saturating_add(frames));
            end = Some(end.map_or(limit, |end| end.min(limit)));
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

/// How many packets a cut needs: all up to its end, and those that codecs put into another order.
struct Enough {
    /// The end's pts, and how many more packets behind it are wanted.
    end: Option<(i64, usize)>,
    /// How many more packets are wanted that are shown at a pts or later.
    frames: Option<(i64, usize)>,
}

impl Enough {
    fn of(config: &RunConfig, ticks: impl Fn(i64) -> i64) -> Enough {
        let more = |frames: u64| usize::try_from(frames).unwrap_or(usize::MAX).saturating_add(REORDERED);
        let (mut from, mut before) = (i64::MIN, 0);
        match config.start {
            Some(Position::Time(micros)) => from = ticks(micros),
            Some(Position::Frame(index)) => before = index,
            None => {}
        }
        let frames = config.frames.map(|frames| (from, more(before.saturating_add(frames))));
        match config.end {
            None => Enough { end: None, frames },
            Some(Position::Time(micros)) => Enough { end: Some((ticks(micros), REORDERED)), frames },
            Some(Position::Frame(index)) => Enough { end: None, frames: frames.or(Some((i64::MIN, more(index)))) },
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
