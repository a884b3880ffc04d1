//! Work that waits for a worker, in order; what is alike may be joined into one batch while it waits.
//!
//! A batch is never held back to grow: any worker that is free takes it as it is. So nothing has to be flushed, and
//! work that nobody adds to cannot wait for ever. Batches grow only while all workers are busy.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// How many of the newest batches are looked at for one to join.
const LOOK_BACK: usize = 8;

/// The queue of waiting batches; its length is bounded by whoever fills it.
pub struct Waiting<J> {
    state: Mutex<State<J>>,
    changed: Condvar,
    /// Batches that wait before any grows: one for each worker.
    n_workers: usize,
}

struct State<J> {
    waiting: VecDeque<Vec<J>>,
    is_closed: bool,
}

impl<J> Waiting<J> {
    /// An empty queue for so many workers.
    pub fn new(n_workers: usize) -> Self {
        let state = State { waiting: VecDeque::new(), is_closed: false };
        Waiting { state: Mutex::new(state), changed: Condvar::new(), n_workers }
    }

    fn lock(&self) -> MutexGuard<'_, State<J>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a job, to a waiting batch that it `joins`, else as a batch of its own. Gone if the queue is closed.
    pub fn add(&self, job: J, joins: impl Fn(&[J], &J) -> bool) {
        let mut state = self.lock();
        if state.is_closed {
            return;
        }
        let may_grow = state.waiting.len() >= self.n_workers;
        let batches = state.waiting.iter_mut().rev().take(LOOK_BACK);
        match batches.filter(|_| may_grow).find(|batch| joins(batch, &job)) {
            Some(batch) => batch.push(job),
            None => {
                state.waiting.push_back(vec![job]);
                drop(state);
                self.changed.notify_one();
            }
        }
    }

    /// The oldest batch, as soon as there is one; `None` once the queue is closed and empty.
    pub fn take(&self) -> Option<Vec<J>> {
        let mut state = self.lock();
        loop {
            if let Some(batch) = state.waiting.pop_front() {
                return Some(batch);
            }
            if state.is_closed {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// No more will be added.
    pub fn close(&self) {
        self.lock().is_closed = true;
        self.changed.notify_all();
    }

    /// No more will be added, and nobody wants what waits.
    pub fn abandon(&self) {
        let waiting = {
            let mut state = self.lock();
            state.is_closed = true;
            std::mem::take(&mut state.waiting)
        };
        self.changed.notify_all();
        drop(waiting);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Up to three of one kind.
    fn joins(batch: &[(char, u32)], job: &(char, u32)) -> bool {
        batch.len() < 3 && batch[0].0 == job.0
    }

    #[test]
    fn batches_grow_only_behind_one_for_each_worker() {
        let queue = Waiting::new(2);
        for (number, kind) in "aababbaaa".chars().enumerate() {
            queue.add((kind, number as u32), joins);
        }
        queue.close();
        queue.add(('a', 99), joins);
        let batches: Vec<_> = std::iter::from_fn(|| queue.take()).collect();
        let numbers: Vec<Vec<u32>> = batches.iter().map(|batch| batch.iter().map(|job| job.1).collect()).collect();
        assert_eq!(numbers, [vec![0, 7, 8], vec![1, 3, 6], vec![2, 4, 5]]);
    }

    #[test]
    fn an_abandoned_queue_is_empty() {
        let queue = Waiting::new(1);
        queue.add(('a', 0), joins);
        queue.abandon();
        assert!(queue.take().is_none());
    }
}
