//! All threads and channels of the chain: one thread that takes frames, workers that process them, and the caller's
//! own thread that receives the results in order.
//!
//! Order is kept by an order queue: each item goes into it together with the one-shot reply that its worker will
//! fill, so no results are sorted. The queue's length, the window, bounds how many items are under way. Nothing says
//! stop: a closed channel does. Every thread is joined before [`ordered`] returns.

use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::error::{Error, Kind, Result};

/// What a stage did with its time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Clock {
    /// Working.
    pub busy: Duration,
    /// Waiting for something to work on.
    pub starved: Duration,
    /// Waiting for somebody to take its result.
    pub blocked: Duration,
    /// Items worked on.
    pub items: u64,
}

impl Clock {
    fn add(&mut self, other: Clock) {
        self.busy += other.busy;
        self.starved += other.starved;
        self.blocked += other.blocked;
        self.items += other.items;
    }
}

/// The clocks of the three kinds of stages.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Clocks {
    /// The thread that takes items from the source.
    pub take: Clock,
    /// All workers together.
    pub work: Clock,
    /// The thread that puts results away.
    pub put: Clock,
}

/// How many of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Width {
    /// Workers.
    pub workers: usize,
    /// Items under way at most.
    pub window: usize,
}

/// An item on its way to a worker, with where the result goes.
struct Job<A, B> {
    /// 0.. no holes, but workers take them in any order.
    item: A,
    reply: Sender<Result<B>>,
}

/// Runs `take` on a thread of its own until it gives `None`, `work` on `width.workers` threads, each with its own
/// state from `worker`, and `put` here, in the order of `take`. The first error in that order ends it all.
pub fn ordered<A: Send, B: Send, S>(
    width: Width,
    take: impl FnMut() -> Result<Option<A>> + Send,
    worker: impl Fn() -> Result<S> + Sync,
    work: impl Fn(&mut S, A) -> Result<B> + Sync,
    put: impl FnMut(B) -> Result<()>,
) -> (Result<()>, Clocks) {
    let shared = Mutex::new(Clocks::default());
    let (worker, work) = (&worker, &work);
    let result = thread::scope(|scope| {
        // The queue of replies is the window; the queue of jobs is never longer, so it needs no bound of its own.
        let (replies_in, replies_out) = bounded::<Receiver<Result<B>>>(width.window.max(1));
        let (jobs_in, jobs_out) = bounded::<Job<A, B>>(width.window.max(1));
        let spawn = |name: String| thread::Builder::new().name(name);
        let failed = |error| Error::io("start a thread", error);
        for number in 0..width.workers.max(1) {
            let jobs = jobs_out.clone();
            let clocks = &shared;
            spawn(format!("work-{number}"))
                .spawn_scoped(scope, move || {
                    let clock = serve(&jobs, worker, work);
                    lock(clocks).work.add(clock);
                })
                .map_err(failed)?;
        }
        drop(jobs_out);
        let clocks = &shared;
        spawn("take".to_owned())
            .spawn_scoped(scope, move || {
                let clock = feed(take, &replies_in, &jobs_in);
                lock(clocks).take = clock;
            })
            .map_err(failed)?;
        let (result, clock) = collect(&replies_out, put);
        lock(&shared).put = clock;
        result
    });
    let clocks = *lock(&shared);
    (result, clocks)
}

fn lock(clocks: &Mutex<Clocks>) -> std::sync::MutexGuard<'_, Clocks> {
    clocks.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// The taking thread: every item, or the error that ends them, gets its place in the order.
fn feed<A, B>(
    mut take: impl FnMut() -> Result<Option<A>>,
    replies: &Sender<Receiver<Result<B>>>,
    jobs: &Sender<Job<A, B>>,
) -> Clock {
    let mut clock = Clock::default();
    loop {
        let begun = Instant::now();
        let taken = take();
        let worked = Instant::now();
        clock.busy += worked - begun;
        let (reply, answer) = bounded(1);
        let is_last = match taken {
            Ok(None) => return clock,
            Ok(Some(item)) => {
                clock.items += 1;
                replies.send(answer).is_err() || jobs.send(Job { item, reply }).is_err()
            }
            Err(error) => {
                // The reply has room for one, so this cannot block; nobody listening means that the run has ended.
                let _ = reply.send(Err(error));
                let _ = replies.send(answer);
                true
            }
        };
        clock.blocked += worked.elapsed();
        if is_last {
            return clock;
        }
    }
}

/// A worker thread. If its state cannot be made, every job it takes fails with the reason.
fn serve<A, B, S>(
    jobs: &Receiver<Job<A, B>>,
    worker: &(impl Fn() -> Result<S> + Sync),
    work: &(impl Fn(&mut S, A) -> Result<B> + Sync),
) -> Clock {
    let mut clock = Clock::default();
    let begun = Instant::now();
    let mut state = worker();
    let mut idle_since = Instant::now();
    clock.busy += idle_since - begun;
    while let Ok(Job { item, reply }) = jobs.recv() {
        let begun = Instant::now();
        clock.starved += begun - idle_since;
        let result = match &mut state {
            Ok(state) => work(state, item),
            Err(error) => Err(std::mem::replace(error, Error::new(Kind::Internal, "the worker did not start"))),
        };
        idle_since = Instant::now();
        clock.busy += idle_since - begun;
        clock.items += 1;
        // The reply has room for one; nobody listening means that the run has ended.
        let _ = reply.send(result);
    }
    clock.starved += idle_since.elapsed();
    clock
}

/// The caller's thread: results in order, until there are no more or one is an error.
fn collect<B>(replies: &Receiver<Receiver<Result<B>>>, mut put: impl FnMut(B) -> Result<()>) -> (Result<()>, Clock) {
    let mut clock = Clock::default();
    loop {
        let idle_since = Instant::now();
        let Ok(reply) = replies.recv() else {
            clock.starved += idle_since.elapsed();
            return (Ok(()), clock);
        };
        let result = reply.recv();
        let begun = Instant::now();
        clock.starved += begun - idle_since;
        let outcome = match result {
            Ok(Ok(item)) => put(item),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(Error::new(Kind::Internal, "a worker ended without an answer")),
        };
        clock.busy += begun.elapsed();
        clock.items += 1;
        if outcome.is_err() {
            return (outcome, clock);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn run(n: usize, width: Width, fail_at: Option<(usize, &str)>) -> (Result<()>, Vec<usize>) {
        let mut next = 0;
        let take = move || {
            if fail_at == Some((next, "take")) {
                return Err(Error::new(Kind::Decode, "take"));
            }
            next += 1;
            Ok((next <= n).then_some(next - 1))
        };
        let work = |_: &mut (), item: usize| {
            // Later items finish earlier, so that order is not given by luck.
            thread::sleep(Duration::from_micros(((item * 7) % 5) as u64 * 50));
            if fail_at == Some((item, "work")) { Err(Error::new(Kind::Infer, "work")) } else { Ok(item) }
        };
        let mut got = Vec::new();
        let (result, clocks) = ordered(
            width,
            take,
            || Ok(()),
            work,
            |item| {
                if fail_at == Some((item, "put")) {
                    return Err(Error::new(Kind::Encode, "put"));
                }
                got.push(item);
                Ok(())
            },
        );
        if fail_at.is_none() {
            assert_eq!((clocks.take.items, clocks.work.items, clocks.put.items), (n as u64, n as u64, n as u64));
        }
        (result, got)
    }

    #[test]
    fn every_count_arrives_in_order() {
        for workers in 1..=3 {
            for window in [1, 2, 5] {
                for n in 0..=2 * window + 3 {
                    let (result, got) = run(n, Width { workers, window }, None);
                    assert!(result.is_ok());
                    assert_eq!(got, (0..n).collect::<Vec<_>>());
                }
            }
        }
    }

    #[test]
    fn a_failure_anywhere_ends_the_run_after_what_came_before() {
        for stage in ["take", "work", "put"] {
            for at in [0, 1, 7, 19] {
                let (result, got) = run(20, Width { workers: 3, window: 4 }, Some((at, stage)));
                assert_eq!(result.unwrap_err().to_string(), stage);
                assert_eq!(got, (0..at).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn no_more_items_are_under_way_than_the_window_allows() {
        let (out, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let mut n = 0;
        let take = || {
            n += 1;
            let under_way = out.fetch_add(1, Ordering::SeqCst) + 1;
            most.fetch_max(under_way, Ordering::SeqCst);
            Ok((n <= 200).then_some(n))
        };
        let (result, _) = ordered(
            Width { workers: 2, window: 3 },
            take,
            || Ok(()),
            |_, item| Ok(item),
            |_| {
                out.fetch_sub(1, Ordering::SeqCst);
                Ok(())
            },
        );
        assert!(result.is_ok());
        // The window, one in the taker's hand and one in the collector's.
        assert!(most.into_inner() <= 3 + 2);
    }

    #[test]
    fn a_worker_that_cannot_start_fails_the_run() {
        let mut n = 0;
        let take = || {
            n += 1;
            Ok((n < 100).then_some(n))
        };
        let worker = || -> Result<()> { Err(Error::new(Kind::Library, "no engine")) };
        let (result, _) = ordered(Width { workers: 2, window: 3 }, take, worker, |_, item| Ok(item), |_| Ok(()));
        assert_eq!(result.unwrap_err().to_string(), "no engine");
    }
}
