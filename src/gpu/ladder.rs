//! How much of a device is used at once: less after it ran out of memory, and again more when that went well for long.
//!
//! A state machine that knows nothing of devices. Going down, what costs least is given up first: windows at once, then
//! slots, then workers, then the size of windows; going up it is the other way round.

/// What is used at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Windows that a worker runs at once.
    pub batch: usize,
    /// Batches of a worker that are under way.
    pub slots: usize,
    /// Workers that run at once.
    pub workers: usize,
    /// Pixels of a window.
    pub window: usize,
}

/// Good runs before more is tried again, the first time.
const PATIENCE: u32 = 64;

/// The same at most, after many refusals.
const MAX_PATIENCE: u32 = 1 << 14;

/// Where a run stands between all that it could use and the least that it can do with.
#[derive(Debug)]
pub struct Ladder {
    full: Share,
    least: Share,
    now: Share,
    /// Good runs since the share changed.
    calm: u32,
    /// Good runs before more is tried.
    patience: u32,
    /// The last step was up, so a refusal means that it was one too many.
    grew: bool,
}

impl Ladder {
    /// At the top. What cannot be given up is the same in both.
    pub fn new(full: Share, least: Share) -> Ladder {
        Ladder { full, least, now: full, calm: 0, patience: PATIENCE, grew: false }
    }

    /// What may be used.
    pub fn share(&self) -> Share {
        self.now
    }

    /// Something was given up and is not yet used again.
    pub fn is_below_top(&self) -> bool {
        self.now != self.full
    }

    /// There was too little memory for `used`. Steps down, unless another has since then; `false` when there is no step
    /// left.
    pub fn refuse(&mut self, used: Share) -> bool {
        let Share { batch, slots, workers, window } = self.now;
        if slots < used.slots || workers < used.workers || window < used.window || batch < used.batch {
            return true;
        }
        // A run may have fewer windows than it is allowed.
        let batch = batch.min(used.batch);
        let least = self.least;
        self.now = match () {
            () if batch > least.batch => Share { batch: (batch / 2).max(least.batch), ..self.now },
            () if slots > least.slots => Share { batch, slots: slots - 1, ..self.now },
            () if workers > least.workers => Share { batch, workers: least.workers, ..self.now },
            () if window > least.window => Share { batch, window: (window / 2).max(least.window), ..self.now },
            () => return false,
        };
        if self.grew {
            self.patience = (self.patience * 2).min(MAX_PATIENCE);
        }
        (self.calm, self.grew) = (0, false);
        true
    }

    /// A run went well. Steps up after enough of them.
    pub fn accept(&mut self) {
        if self.now == self.full {
            return;
        }
        self.calm += 1;
        if self.calm < self.patience {
            return;
        }
        let (full, now) = (self.full, self.now);
        self.now = match () {
            () if now.window < full.window => Share { window: (now.window * 2).min(full.window), ..now },
            () if now.workers < full.workers => Share { workers: full.workers, ..now },
            () if now.slots < full.slots => Share { slots: now.slots + 1, ..now },
            () => Share { batch: (now.batch * 2).min(full.batch), ..now },
        };
        (self.calm, self.grew) = (0, true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FULL: Share = Share { batch: 8, slots: 3, workers: 2, window: 4096 };
    const LEAST: Share = Share { batch: 1, slots: 2, workers: 1, window: 1024 };

    fn shares(ladder: &mut Ladder) -> Vec<(usize, usize, usize, usize)> {
        let mut all = Vec::new();
        while ladder.refuse(ladder.share()) {
            let Share { batch, slots, workers, window } = ladder.share();
            all.push((batch, slots, workers, window));
        }
        all
    }

    #[test]
    fn what_costs_least_is_given_up_first() {
        let expected = [
            (4, 3, 2, 4096),
            (2, 3, 2, 4096),
            (1, 3, 2, 4096),
            (1, 2, 2, 4096),
            (1, 2, 1, 4096),
            (1, 2, 1, 2048),
            (1, 2, 1, 1024),
        ];
        assert_eq!(shares(&mut Ladder::new(FULL, LEAST)), expected);
        assert_eq!(shares(&mut Ladder::new(LEAST, LEAST)), []);
    }

    #[test]
    fn a_small_batch_is_halved_itself() {
        let mut ladder = Ladder::new(FULL, LEAST);
        assert!(ladder.refuse(Share { batch: 3, ..FULL }));
        assert_eq!(ladder.share().batch, 1);
    }

    #[test]
    fn two_workers_that_fail_at_once_step_down_once() {
        let mut ladder = Ladder::new(FULL, LEAST);
        assert!(ladder.refuse(FULL) && ladder.refuse(FULL));
        assert_eq!(ladder.share(), Share { batch: 4, ..FULL });
    }

    #[test]
    fn it_grows_back_and_waits_longer_where_that_was_too_much() {
        let mut ladder = Ladder::new(FULL, LEAST);
        let calm = |ladder: &mut Ladder| {
            let before = ladder.share();
            (1..).find(|_| {
                ladder.accept();
                ladder.share() != before
            })
        };
        assert_eq!(shares(&mut ladder).len(), 7);
        let mut grown = Vec::new();
        while ladder.share() != FULL {
            assert_eq!(calm(&mut ladder), Some(PATIENCE));
            grown.push(ladder.share());
        }
        assert_eq!(grown.len(), 7);
        assert_eq!(grown[0], Share { window: 2048, ..LEAST });
        // The top is too much, again and again.
        for turn in 1..=20 {
            assert!(ladder.refuse(FULL));
            assert_eq!(calm(&mut ladder), Some((PATIENCE << turn.min(10)).min(MAX_PATIENCE)));
            assert_eq!(ladder.share(), FULL);
        }
    }

    proptest! {
        /// Whatever a device holds, runs end with what fits, or at the least.
        #[test]
        fn any_amount_of_memory_is_found(holds in 1usize..200_000, runs in 1usize..2000) {
            let mut ladder = Ladder::new(FULL, LEAST);
            let needs = |share: Share| share.batch * share.slots * share.workers * share.window;
            for _ in 0..runs {
                let share = ladder.share();
                prop_assert!(LEAST.batch <= share.batch && share.batch <= FULL.batch);
                prop_assert!(LEAST.window <= share.window && share.window <= FULL.window);
                if needs(share) <= holds {
                    ladder.accept();
                } else if !ladder.refuse(share) {
                    prop_assert_eq!(share, LEAST);
                    break;
                }
            }
        }
    }
}
