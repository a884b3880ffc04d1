//! Puts the time stamps of decoded frames into order: the source's own wherever they are usable, repaired otherwise.
//!
//! A pts is never recomputed from a frame rate while the source gives one. It knows nothing of frames beyond their
//! times.

use crate::time::{Ratio, TimeBase};

/// Where a stream's time stamps come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// From the container.
    Container,
    /// The container has none (a raw elementary stream): frame k is shown at k ticks of one frame each.
    Counted,
}

/// Yields one strictly rising pts per frame.
pub struct Timeline {
    clock: Clock,
    /// A nominal frame in ticks, at least 1.
    step: i64,
    /// When the first frame is shown if it does not say so.
    first: i64,
    last: Option<i64>,
    n_missing: u64,
    n_repaired: u64,
}

impl Timeline {
    /// A timeline in ticks of `time_base` with frames of about `frame_rate`.
    pub fn new(clock: Clock, time_base: TimeBase, frame_rate: Ratio) -> Self {
        let step = match TimeBase::new(frame_rate.den, frame_rate.num) {
            Some(frame) if clock == Clock::Container => frame.rescale(1, time_base).max(1),
            _ => 1,
        };
        Timeline { clock, step, first: 0, last: None, n_missing: 0, n_repaired: 0 }
    }

    /// The first so many frames do not say when they are shown, and the next one says `pts`.
    pub fn begin_before(&mut self, pts: i64, n_frames: i64) {
        self.first = pts.saturating_sub(self.step.saturating_mul(n_frames));
    }

    /// When the first frame is shown if it does not say so; a counted one begins at 0.
    pub fn first(&self) -> i64 {
        self.first
    }

    /// Where its time stamps come from.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// The pts of the next frame, given what the decoder says.
    pub fn next(&mut self, pts: Option<i64>) -> i64 {
        let after = |last: i64, by: i64| last.saturating_add(by);
        let pts = match (self.clock, pts, self.last) {
            (Clock::Counted, _, last) => last.map_or(0, |last| after(last, 1)),
            (Clock::Container, Some(pts), Some(last)) if pts <= last => {
                self.n_repaired += 1;
                after(last, 1)
            }
            (Clock::Container, Some(pts), _) => pts,
            (Clock::Container, None, last) => {
                self.n_missing += 1;
                last.map_or(self.first, |last| after(last, self.step))
            }
        };
        self.last = Some(pts);
        pts
    }

    /// What had to be repaired, in words.
    pub fn warnings(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if self.n_missing > 0 {
            lines.push(format!(
                "{} frames had no time stamp; each was put one frame from the next to it",
                self.n_missing
            ));
        }
        if self.n_repaired > 0 {
            lines.push(format!(
                "{} frames had a time stamp not later than the last frame's; each was put one tick after it",
                self.n_repaired
            ));
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(clock: Clock, pts: &[Option<i64>]) -> (Vec<i64>, usize) {
        let base = TimeBase::new(1, 1000).unwrap();
        let mut timeline = Timeline::new(clock, base, Ratio::new(25, 1));
        (pts.iter().map(|pts| timeline.next(*pts)).collect(), timeline.warnings().len())
    }

    #[test]
    fn usable_time_stamps_pass_untouched() {
        let pts = [Some(-80), Some(0), Some(7), Some(1 << 40)];
        assert_eq!(run(Clock::Container, &pts), (vec![-80, 0, 7, 1 << 40], 0));
    }

    #[test]
    fn missing_and_falling_ones_are_repaired_and_told() {
        let pts = [Some(0), None, Some(10), Some(10), Some(200), Some(i64::MAX), Some(5)];
        let (times, warnings) = run(Clock::Container, &pts);
        assert_eq!(times[..5], [0, 40, 41, 42, 200]);
        assert_eq!(warnings, 2);
    }

    #[test]
    fn frames_before_the_first_time_stamp_are_counted_back_from_it() {
        let mut timeline = Timeline::new(Clock::Container, TimeBase::new(1, 1000).unwrap(), Ratio::new(25, 1));
        timeline.begin_before(30, 2);
        assert_eq!([None, None, Some(30), Some(70)].map(|pts| timeline.next(pts)), [-50, -10, 30, 70]);
        assert_eq!(timeline.first(), -50);
        timeline.begin_before(i64::MIN + 1, i64::MAX);
        assert_eq!(timeline.first(), i64::MIN);
    }

    #[test]
    fn a_raw_stream_is_counted() {
        assert_eq!(run(Clock::Counted, &[None, Some(9), None]), (vec![0, 1, 2], 0));
    }
}
