//! Which found thing is which from frame to frame: a number for each that stays with it.
//!
//! A box goes on a track of its class by intersection over union, the best pair of a frame first; where a track was
//! moving, also by where it would be by now. Nothing here looks at pixels, so a thing that is hidden for long, or that
//! jumps by more than its own size, comes back under another number.

use super::{Detection, Edges, edges, overlap};

/// The least intersection over union for which two boxes are the same thing.
const LEAST_OVERLAP: f64 = 0.1;

/// Frames without a box after which a track has ended, at least.
const PATIENCE: u32 = 30;

/// Tracks that are kept; of more, those that were seen the longest ago end.
const MAX_TRACKS: usize = 2048;

/// Follows the things that are found in successive frames.
#[derive(Debug)]
pub struct Tracker {
    /// By number, rising.
    tracks: Vec<Track>,
    /// The last number given.
    last: u64,
    /// Frames without a box after which a track has ended.
    patience: u32,
}

#[derive(Debug)]
struct Track {
    number: u64,
    class: usize,
    /// Where it was seen last.
    area: Edges,
    /// How far it went right and down in a frame when it was seen last.
    step: [f64; 2],
    /// Frames since then that had no box of it.
    n_missed: u32,
}

/// A track and a box that may be the same thing.
struct Pair {
    overlap: f64,
    track: usize,
    found: usize,
}

impl Tracker {
    /// Of a video that has not begun, which can tell of what is missing for so many frames.
    pub fn new(missing: u32) -> Tracker {
        Tracker { tracks: Vec::new(), last: 0, patience: PATIENCE.max(missing + 1) }
    }

    /// The numbers of what the next frame shows, from 1 and never given to another thing, in the order of `found`.
    pub fn frame(&mut self, found: &[Detection]) -> Vec<u64> {
        let mut numbers = vec![0; found.len()];
        let mut is_seen = vec![false; self.tracks.len()];
        for Pair { track, found: index, .. } in self.pairs(found) {
            if numbers[index] == 0 && !is_seen[track] {
                is_seen[track] = true;
                self.tracks[track].see(edges(&found[index]));
                numbers[index] = self.tracks[track].number;
            }
        }
        for (track, _) in self.tracks.iter_mut().zip(is_seen).filter(|(_, is_seen)| !is_seen) {
            track.n_missed += 1;
        }
        let patience = self.patience;
        self.tracks.retain(|track| track.n_missed < patience);
        for (number, found) in numbers.iter_mut().zip(found).filter(|(number, _)| **number == 0) {
            self.last += 1;
            *number = self.last;
            let area = edges(found);
            // What lies nowhere is never found again.
            if area.iter().all(|edge| edge.is_finite()) {
                self.tracks.push(Track { number: self.last, class: found.class, area, step: [0.0; 2], n_missed: 0 });
            }
        }
        self.forget();
        numbers
    }

    /// What was found in one of so many frames before the last, and not in the last: all of where it was and where it is if
    /// it has gone on as it was going.
    pub fn missing(&self, n_frames: u32) -> Vec<Detection> {
        let missing = self.tracks.iter().filter(|track| (1..=n_frames).contains(&track.n_missed));
        let found = |track: &Track| {
            let area = around(track.area, track.after(track.n_missed)).map(|edge| edge as f32);
            Detection { area, score: 0.0, class: track.class }
        };
        missing.map(found).collect()
    }

    /// Tracks and boxes that may be the same, the likeliest first; equal ones in the order of tracks, then of boxes.
    ///
    /// Both go from left to right, and a box meets only tracks that reach as far as itself.
    fn pairs(&self, found: &[Detection]) -> Vec<Pair> {
        let reaches: Vec<Edges> = self.tracks.iter().map(Track::reach).collect();
        let areas: Vec<Edges> = found.iter().map(edges).collect();
        let from_left = |boxes: &[Edges]| {
            let mut order: Vec<usize> = (0..boxes.len()).collect();
            order.sort_by(|a, b| boxes[*a][0].total_cmp(&boxes[*b][0]));
            order
        };
        let mut coming = from_left(&reaches).into_iter().peekable();
        let mut near: Vec<usize> = Vec::new();
        let mut pairs = Vec::new();
        for found_index in from_left(&areas) {
            let (area, class) = (areas[found_index], found[found_index].class);
            while let Some(track) = coming.next_if(|track| reaches[*track][0] < area[2]) {
                near.push(track);
            }
            near.retain(|track| reaches[*track][2] > area[0]);
            for &track in near.iter().filter(|track| self.tracks[**track].class == class) {
                let overlap = self.tracks[track].overlap(area);
                if overlap >= LEAST_OVERLAP {
                    pairs.push(Pair { overlap, track, found: found_index });
                }
            }
        }
        pairs.sort_by(|a, b| b.overlap.total_cmp(&a.overlap).then((a.track, a.found).cmp(&(b.track, b.found))));
        pairs
    }

    /// Ends tracks that are too many.
    fn forget(&mut self) {
        if self.tracks.len() > MAX_TRACKS {
            self.tracks.sort_by_key(|track| (track.n_missed, track.number));
            self.tracks.truncate(MAX_TRACKS);
            self.tracks.sort_by_key(|track| track.number);
        }
    }
}

impl Track {
    /// It is seen here now.
    fn see(&mut self, area: Edges) {
        let n_frames = f64::from(self.n_missed + 1);
        let moved = |low: usize| (area[low] + area[low + 2] - self.area[low] - self.area[low + 2]) / 2.0 / n_frames;
        (self.step, self.area, self.n_missed) = ([moved(0), moved(1)], area, 0);
    }

    /// Where it is so many frames after it was seen if it has gone on as it was going.
    fn after(&self, n_frames: u32) -> Edges {
        let [x, y] = self.step.map(|step| step * f64::from(n_frames));
        [self.area[0] + x, self.area[1] + y, self.area[2] + x, self.area[3] + y]
    }

    /// Where it is expected in the next frame.
    fn expected(&self) -> Edges {
        self.after(self.n_missed + 1)
    }

    /// Holds all places where it may be.
    fn reach(&self) -> Edges {
        around(self.area, self.expected())
    }

    /// How well a box fits, by where it was or by where it is expected.
    fn overlap(&self, area: Edges) -> f64 {
        overlap(self.area, area).max(overlap(self.expected(), area))
    }
}

/// What holds both.
fn around(a: Edges, b: Edges) -> Edges {
    [a[0].min(b[0]), a[1].min(b[1]), a[2].max(b[2]), a[3].max(b[3])]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn square(x: f32, y: f32, side: f32) -> Detection {
        Detection { area: [x, y, x + side, y + side], score: 0.9, class: 0 }
    }

    #[test]
    fn boxes_that_cross_keep_their_numbers() {
        let mut tracker = Tracker::new(0);
        for frame in 0..40 {
            let x = frame as f32 * 5.0;
            let (right, left) = (square(x, 50.0, 40.0), square(200.0 - x, 52.0, 40.0));
            // The order in which they are found tells nothing.
            match frame % 2 {
                0 => assert_eq!(tracker.frame(&[right, left]), [1, 2], "{frame}"),
                _ => assert_eq!(tracker.frame(&[left, right]), [2, 1], "{frame}"),
            }
        }
    }

    #[test]
    fn a_thing_comes_back_under_its_number_unless_it_was_away_for_long() {
        for (n_away, expected) in [(5, 1), (29, 1), (30, 2), (40, 2)] {
            let mut tracker = Tracker::new(0);
            assert_eq!(tracker.frame(&[square(10.0, 10.0, 30.0)]), [1]);
            (0..n_away).for_each(|_| assert!(tracker.frame(&[]).is_empty()));
            assert_eq!(tracker.frame(&[square(12.0, 11.0, 30.0)]), [expected], "{n_away}");
        }
    }

    #[test]
    fn a_moving_thing_is_expected_where_it_went() {
        let mut tracker = Tracker::new(0);
        let at = |frame: u8| square(f32::from(frame) * 12.0, 0.0, 30.0);
        (0..4).for_each(|frame| assert_eq!(tracker.frame(&[at(frame)]), [1]));
        (4..9).for_each(|_| assert!(tracker.frame(&[]).is_empty()));
        // Six steps on, far from where it was; something new stands in its old place.
        assert_eq!(tracker.frame(&[square(200.0, 0.0, 30.0), at(9)]), [2, 1]);
        // Its step is still one frame's.
        assert_eq!(tracker.frame(&[at(10)]), [1]);
        let at = tracker.tracks[0].step[0];
        assert!((at - 12.0).abs() < 1e-6, "{at}");
    }

    #[test]
    fn classes_are_kept_apart_and_numbers_are_not_given_again() {
        let mut tracker = Tracker::new(0);
        let other = Detection { class: 1, ..square(0.0, 0.0, 20.0) };
        assert_eq!(tracker.frame(&[square(0.0, 0.0, 20.0), other]), [1, 2]);
        assert_eq!(tracker.frame(&[other, square(0.0, 0.0, 20.0)]), [2, 1]);
        assert_eq!(tracker.frame(&[square(500.0, 0.0, 20.0)]), [3]);
        assert_eq!(tracker.frame(&[Detection { class: 2, ..other }]), [4]);
        (0..50).for_each(|_| assert!(tracker.frame(&[]).is_empty()));
        assert!(tracker.tracks.is_empty());
        assert_eq!(tracker.frame(&[other]), [5]);
    }

    #[test]
    fn of_equal_overlaps_the_older_track_and_the_first_box_count() {
        let twins = [square(0.0, 0.0, 20.0), square(0.0, 0.0, 20.0)];
        let mut tracker = Tracker::new(0);
        (0..5).for_each(|_| assert_eq!(tracker.frame(&twins), [1, 2]));
        assert_eq!(tracker.frame(&twins[..1]), [1]);
        assert_eq!(tracker.frame(&[square(2.0, 0.0, 20.0), square(-2.0, 0.0, 20.0)]), [1, 2]);
    }

    #[test]
    fn boxes_without_sense_get_numbers_and_no_track() {
        let mut tracker = Tracker::new(0);
        let odd = Detection { area: [f32::NAN, 0.0, f32::INFINITY, 1.0], score: 0.5, class: 0 };
        let empty = square(5.0, 5.0, 0.0);
        assert_eq!(tracker.frame(&[odd, square(0.0, 0.0, 9.0), empty]), [1, 2, 3]);
        assert_eq!(tracker.frame(&[odd, square(0.0, 0.0, 9.0), empty]), [4, 2, 5]);
    }

    #[test]
    fn a_thousand_boxes_a_frame_take_bounded_memory_and_time() {
        let mut tracker = Tracker::new(0);
        let grid = |shift: f32| -> Vec<Detection> {
            let place = |i: u16| (f32::from(i % 40) * 45.0 + shift, f32::from(i / 40) * 40.0);
            (0..1000).map(place).map(|(x, y)| square(x, y, 30.0)).collect()
        };
        let begun = std::time::Instant::now();
        let first: Vec<u64> = (1..=1000).collect();
        (0..50).for_each(|frame| assert_eq!(tracker.frame(&grid(frame as f32)), first));
        // New things every frame.
        for frame in 0..50 {
            tracker.frame(&grid(20_000.0 + 5000.0 * frame as f32));
            assert!(tracker.tracks.len() <= MAX_TRACKS && tracker.tracks.is_sorted_by_key(|track| track.number));
        }
        // All in one place.
        (0..3).for_each(|_| assert_eq!(tracker.frame(&[square(0.0, 0.0, 9.0); 1000]).len(), 1000));
        assert!(begun.elapsed().as_secs() < 30, "{:?}", begun.elapsed());
    }

    #[test]
    fn what_was_just_lost_is_where_it_was_going() {
        let mut tracker = Tracker::new(0);
        for frame in 0..5 {
            tracker.frame(&[square(frame as f32 * 10.0, 50.0, 40.0), square(300.0, 0.0, 40.0)]);
            assert_eq!(tracker.missing(3), []);
        }
        assert_eq!(Tracker::new(60).patience, 61);
        for n in 1..=4 {
            tracker.frame(&[square(300.0, 0.0, 40.0)]);
            let missing = tracker.missing(3);
            if n > 3 {
                assert_eq!(missing, []);
                continue;
            }
            // Last seen at 40; it may have stopped.
            assert_eq!(missing[0].area, [40.0, 50.0, 80.0 + 10.0 * n as f32, 90.0]);
            assert_eq!(missing.len(), 1);
        }
    }
}
