//! A part of the input's time: what of it is kept, and how times move.

use std::fmt;

use crate::time::TimeBase;

/// A half-open span of the input's time in microseconds; with a start, what is kept moves so that it becomes 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The first moment kept; `None`: from the beginning, and nothing moves.
    pub start: Option<i64>,
    /// The first moment no longer kept; `None`: to the end.
    pub end: Option<i64>,
}

/// A packet's times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// Presentation time stamp.
    pub pts: Option<i64>,
    /// Decoding time stamp.
    pub dts: Option<i64>,
    /// Duration, 0 when unknown.
    pub duration: i64,
}

impl Cut {
    /// The times of a packet after the cut, all in ticks of `base`; `None` if it is not kept. With `overlapping` what
    /// began before the start and lasts into it is kept and shortened, and so is what lasts beyond the end (subtitles).
    pub fn apply(self, times: Times, base: TimeBase, overlapping: bool) -> Option<Times> {
        let ticks = |micros| TimeBase::MICROS.rescale(micros, base);
        let at = times.pts.or(times.dts)?;
        if self.end.is_some_and(|end| at >= ticks(end)) {
            return None;
        }
        // What is shown at the end is taken from the screen there.
        let left = self.end.filter(|_| overlapping).map_or(i64::MAX, |end| ticks(end) - at);
        let times = Times { duration: times.duration.min(left), ..times };
        let Some(start) = self.start.map(ticks) else { return Some(times) };
        let lasts_into = overlapping && at < start && at.saturating_add(times.duration) > start;
        if at < start && !lasts_into {
            return None;
        }
        let shift = |ticks: Option<i64>| ticks.map(|ticks| if lasts_into { ticks.max(start) } else { ticks } - start);
        let duration = if lasts_into { at + times.duration - start } else { times.duration };
        Some(Times { pts: shift(times.pts), dts: shift(times.dts), duration })
    }
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = |micros: i64| TimeBase::MICROS.seconds(micros);
        match (self.start, self.end) {
            (None, None) => f.write_str("all of it"),
            (Some(start), None) => write!(f, "{} s to the end", seconds(start)),
            (start, Some(end)) => write!(f, "{} s to {} s", seconds(start.unwrap_or(0)), seconds(end)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subtitle_that_lasts_into_the_cut_stays_shortened() {
        let base = TimeBase::new(1, 1000).unwrap();
        let cut = Cut { start: Some(1_000_000), end: Some(3_000_000) };
        let times = |pts, duration| Times { pts: Some(pts), dts: Some(pts), duration };
        assert_eq!(cut.apply(times(500, 700), base, true), Some(times(0, 200)));
        assert_eq!(cut.apply(times(500, 700), base, false), None);
        assert_eq!(cut.apply(times(500, 400), base, true), None);
        assert_eq!(cut.apply(times(1500, 20), base, false), Some(times(500, 20)));
        assert_eq!(cut.apply(times(3000, 20), base, true), None);
        assert_eq!(cut.apply(times(2900, 700), base, true), Some(times(1900, 100)));
        assert_eq!(cut.apply(times(2900, 700), base, false), Some(times(1900, 700)));
    }
}
