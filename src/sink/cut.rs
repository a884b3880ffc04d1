//! A part of the input's time: what of it is kept, and how times move.

use crate::time::TimeBase;

/// A half-open span of the input's time in microseconds; what is kept moves so that its start becomes 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The first moment kept.
    pub start: i64,
    /// The first moment no longer kept; `i64::MAX` for the end of the input.
    pub end: i64,
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
    /// began before the start and lasts into it is kept and shortened (subtitles).
    pub fn apply(self, times: Times, base: TimeBase, overlapping: bool) -> Option<Times> {
        let start = TimeBase::MICROS.rescale(self.start, base);
        let end = if self.end == i64::MAX { i64::MAX } else { TimeBase::MICROS.rescale(self.end, base) };
        let at = times.pts.or(times.dts)?;
        let lasts_into = overlapping && at < start && at.saturating_add(times.duration) > start;
        if at >= end || (at < start && !lasts_into) {
            return None;
        }
        let shift = |ticks: Option<i64>| ticks.map(|ticks| ticks.max(if lasts_into { start } else { i64::MIN }) - start);
        let duration = if lasts_into { at + times.duration - start } else { times.duration };
        Some(Times { pts: shift(times.pts), dts: shift(times.dts), duration })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subtitle_that_lasts_into_the_cut_stays_shortened() {
        let base = TimeBase::new(1, 1000).unwrap();
        let cut = Cut { start: 1_000_000, end: 3_000_000 };
        let times = |pts, duration| Times { pts: Some(pts), dts: Some(pts), duration };
        assert_eq!(cut.apply(times(500, 700), base, true), Some(times(0, 200)));
        assert_eq!(cut.apply(times(500, 700), base, false), None);
        assert_eq!(cut.apply(times(500, 400), base, true), None);
        assert_eq!(cut.apply(times(1500, 20), base, false), Some(times(500, 20)));
        assert_eq!(cut.apply(times(3000, 20), base, true), None);
    }
}
