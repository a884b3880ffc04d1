//! A part of the input's time: what of it is kept, and how times move. A [`Cut`] is what the user asked for, an [`Edit`]
//! what the input's own edit list asks for.

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
        if lasts_into {
            return Some(self.clamp(Times { duration: at + times.duration - start, ..times }, base));
        }
        let shift = |ticks: Option<i64>| ticks.map(|ticks| ticks - start);
        (at >= start).then(|| Times { pts: shift(times.pts), dts: shift(times.dts), ..times })
    }

    /// The times after the cut of what is kept together with something else: never before the start.
    pub fn clamp(self, times: Times, base: TimeBase) -> Times {
        let Some(start) = self.start.map(|micros| TimeBase::MICROS.rescale(micros, base)) else { return times };
        let shift = |ticks: Option<i64>| ticks.map(|ticks| ticks.max(start) - start);
        Times { pts: shift(times.pts), dts: shift(times.dts), ..times }
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

/// What an edit list of the input leaves of a stream, for an output that cannot hide the rest.
pub struct Edit<T> {
    /// Packets lie over into the next: without the hidden one before it the first shown one is decoded wrongly.
    overlaps: bool,
    /// The last packet, if it was hidden and none was shown yet.
    run_in: Option<T>,
    has_shown: bool,
    n_left_out: u64,
}

impl<T> Edit<T> {
    /// Nothing was seen yet. Where packets of the stream overlap, one hidden packet before the first shown one stays.
    pub fn new(overlaps: bool) -> Edit<T> {
        Edit { overlaps, run_in: None, has_shown: false, n_left_out: 0 }
    }

    /// What goes over, in order, when the next packet comes.
    pub fn apply(&mut self, packet: T, is_hidden: bool) -> [Option<T>; 2] {
        if is_hidden {
            self.n_left_out += 1;
            self.run_in = Some(packet).filter(|_| self.overlaps && !self.has_shown);
            return [None, None];
        }
        self.has_shown = true;
        let run_in = self.run_in.take();
        self.n_left_out -= u64::from(run_in.is_some());
        [run_in, Some(packet)]
    }

    /// How many packets were left out so far.
    pub fn n_left_out(&self) -> u64 {
        self.n_left_out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_packets_are_left_out_but_the_one_that_the_first_shown_one_needs() {
        let all = [(1, true), (2, true), (3, false), (4, true), (5, false), (6, true)];
        let left = |overlaps, packets: &[(i32, bool)]| {
            let mut edit = Edit::new(overlaps);
            let left: Vec<i32> =
                packets.iter().flat_map(|&(packet, is_hidden)| edit.apply(packet, is_hidden)).flatten().collect();
            (left, edit.n_left_out())
        };
        assert_eq!(left(true, &all), (vec![2, 3, 5], 3));
        assert_eq!(left(false, &all), (vec![3, 5], 4));
        assert_eq!(left(true, &all[..2]), (vec![], 2));
        assert_eq!(left(true, &all[4..5]), (vec![5], 0));
    }

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
