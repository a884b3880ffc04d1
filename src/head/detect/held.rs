//! What is to be hidden stays hidden where a detector loses it for a moment: one frame in which a face is seen is one too
//! many.

use super::Detection;
use super::track::Tracker;

/// How long what is not found any more stays hidden.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Hold {
    /// Frames.
    pub n_frames: u32,
    /// At every frame whose index is a multiple of this nothing is known: it may be the first of a run that goes on.
    pub forgets_every: Option<u64>,
}

/// What was found in the last frames.
pub struct Held {
    hold: Hold,
    tracker: Tracker,
}

impl Held {
    /// Nothing yet.
    pub(super) fn new(hold: Hold) -> Held {
        Held { hold, tracker: Tracker::new() }
    }

    /// Takes what was found in the next frame, which has this index; what else is to be hidden in it.
    pub fn frame(&mut self, index: u64, found: &[Detection]) -> Vec<Detection> {
        if self.hold.forgets_every.is_some_and(|frames| index.is_multiple_of(frames)) {
            self.tracker = Tracker::new();
        }
        self.tracker.frame(found);
        self.tracker.missing(self.hold.n_frames)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thing_is_held_for_so_many_frames_but_not_beyond_a_segment() {
        let thing = Detection { area: [8.0, 8.0, 24.0, 24.0], score: 0.9, class: 0 };
        let held = |hold| {
            let mut held = Held::new(hold);
            let shown = [true, true, false, false, false, true, false];
            let of_frame = |(index, is_found): (usize, &bool)| {
                let found = if *is_found { &[thing][..] } else { &[] };
                held.frame(index as u64, found).len()
            };
            shown.iter().enumerate().map(of_frame).collect::<Vec<_>>()
        };
        assert_eq!(held(Hold { n_frames: 2, forgets_every: None }), [0, 0, 1, 1, 0, 0, 1]);
        assert_eq!(held(Hold { n_frames: 2, forgets_every: Some(3) }), [0, 0, 1, 0, 0, 0, 0]);
    }
}
