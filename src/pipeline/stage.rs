//! All threads and channels of the chain: one thread that takes frames, workers that process them, the caller's own
//! thread that receives the results in order, and one that looks now and then how full the queues are.
//!
//! Order is kept by an order queue: each item goes into it together with the one-shot reply that its worker will
//! fill, so no results are sorted. The window bounds how many items are under way: an item is taken only when there is
//! room, and makes room when it has been put away. Nothing says stop: a closed channel does. Every thread is joined
//! before [`ordered`] returns.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use super::track::{Activity, Track};
use crate::error::{Error, Kind, Result};

/// How many of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Width {
    /// Workers.
    pub workers: usize,
    /// Items under way at most.
    pub window: usize,
}

/// What every thread did, once all have ended.
#[derive(Debug)]
pub struct Tracks {
    /// The thread that takes items from the source; absent if it could not be started.
    pub take: Option<Track>,
    /// The workers.
    pub work: Vec<Track>,
    /// The thread that puts results away: the caller's.
    pub put: Track,
}

/// Items by how far they are, at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depths {
    /// Put away.
    pub put: u64,
    /// Taken, and no worker has begun.
    pub waiting: u64,
    /// With a worker.
    pub working: u64,
    /// Finished by a worker, and not put away.
    pub finished: u64,
}

/// How far items are; each is counted by one thread and read by another.
#[derive(Default)]
struct Counters {
    taken: AtomicU64,
    begun: AtomicU64,
    finished: AtomicU64,
    put: AtomicU64,
}

impl Counters {
    fn depths(&self) -> Depths {
        // From the end to the beginning, so that no difference is negative.
        let put = self.put.load(Ordering::Relaxed);
        let finished = self.finished.load(Ordering::Relaxed).max(put);
        let begun = self.begun.load(Ordering::Relaxed).max(finished);
        let taken = self.taken.load(Ordering::Relaxed).max(begun);
        Depths { put, waiting: taken - begun, working: begun - finished, finished: finished - put }
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// How the threads are watched.
pub struct Watch<'a> {
    /// When the chain began.
    pub origin: Instant,
    /// Every span is kept.
    pub traced: bool,
    /// Time between two looks at the queues.
    pub period: Duration,
    /// What is done with a look, on a thread of its own: once at the beginning, then every period, and at the end.
    pub look: Option<&'a mut (dyn FnMut(Depths) + Send)>,
}

impl Watch<'_> {
    /// Nobody looks.
    pub fn none() -> Self {
        Watch { origin: Instant::now(), traced: false, period: Duration::MAX, look: None }
    }
}

/// An item on its way to a worker, with where the result goes.
struct Job<A, B> {
    /// 0.. no holes, but workers take them in any order.
    number: u64,
    item: A,
    reply: Sender<Result<B>>,
}

/// Runs `take` on a thread of its own until it gives `None`, `work` on `width.workers` threads, each with its own
/// state from `worker`, and `put` here, in the order of `take`. The first error in that order ends it all. What `work`
/// does not lap itself counts as [`Activity::Network`].
pub fn ordered<A: Send, B: Send, S>(
    width: Width,
    watch: Watch,
    take: impl FnMut() -> Result<Option<A>> + Send,
    worker: impl Fn() -> Result<S> + Sync,
    work: impl Fn(&mut S, &mut Track, A) -> Result<B> + Sync,
    put: impl FnMut(B) -> Result<()>,
) -> (Result<()>, Tracks) {
    let Watch { origin, traced, period, look } = watch;
    let (worker, work) = (&worker, &work);
    let counters = &Counters::default();
    thread::scope(|scope| {
        // One place for each item under way; the other two queues are never longer, so they need no bound of their own.
        let (room_in, room_out) = bounded::<()>(width.window.max(1));
        let (replies_in, replies_out) = bounded::<Receiver<Result<B>>>(width.window.max(1));
        let (jobs_in, jobs_out) = bounded::<Job<A, B>>(width.window.max(1));
        let spawn = |name: String| thread::Builder::new().name(name);
        let track = move |name: String| Track::begin(name, origin, traced);
        let start = || -> std::io::Result<_> {
            let mut workers = Vec::new();
            for number in 0..width.workers.max(1) {
                let jobs = jobs_out.clone();
                let name = format!("work-{number}");
                workers.push(
                    spawn(name.clone())
                        .spawn_scoped(scope, move || serve(track(name), &jobs, counters, worker, work))?,
                );
            }
            let feeder = spawn("decode".to_owned()).spawn_scoped(scope, move || {
                feed(track("decode".to_owned()), take, counters, &room_in, &replies_in, &jobs_in)
            })?;
            // Holds nothing that is sent through: its end is the end of the watch.
            let (done, is_done) = bounded::<()>(0);
            if let Some(look) = look {
                spawn("watch".to_owned()).spawn_scoped(scope, move || observe(counters, period, &is_done, look))?;
            }
            Ok((workers, feeder, done))
        };
        let started = start();
        drop(jobs_out);
        let begun = track("encode".to_owned());
        let (workers, feeder, done) = match started {
            Ok(started) => started,
            Err(error) => {
                let tracks = Tracks { take: None, work: Vec::new(), put: begun.end() };
                return (Err(Error::io("start a thread", error)), tracks);
            }
        };
        let (result, put) = collect(begun, &replies_out, &room_out, counters, put);
        // What is still on its way finds nobody listening, and the threads end.
        drop((replies_out, room_out));
        let take = Some(join(feeder));
        let work = workers.into_iter().map(join).collect();
        drop(done);
        (result, Tracks { take, work, put })
    })
}

/// The end of a thread; its panic goes on here.
fn join<T>(thread: ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// The watching thread.
fn observe(counters: &Counters, period: Duration, done: &Receiver<()>, look: &mut (dyn FnMut(Depths) + Send)) {
    loop {
        look(counters.depths());
        if done.recv_timeout(period) != Err(RecvTimeoutError::Timeout) {
            return look(counters.depths());
        }
    }
}

/// The taking thread: every item, or the error that ends them, gets its place in the order.
fn feed<A, B>(
    mut track: Track,
    mut take: impl FnMut() -> Result<Option<A>>,
    counters: &Counters,
    room: &Sender<()>,
    replies: &Sender<Receiver<Result<B>>>,
    jobs: &Sender<Job<A, B>>,
) -> Track {
    loop {
        let number = track.items;
        let is_wanted = room.send(()).is_ok();
        track.lap(Activity::Blocked, number);
        if !is_wanted {
            return track.end();
        }
        let taken = take();
        track.lap(Activity::Decode, number);
        let (reply, answer) = bounded(1);
        let is_last = match taken {
            Ok(None) => true,
            Ok(Some(item)) => {
                track.items += 1;
                count(&counters.taken);
                replies.send(answer).is_err() || jobs.send(Job { number, item, reply }).is_err()
            }
            Err(error) => {
                // The reply has room for one, so this cannot block; nobody listening means that the run has ended.
                let _ = reply.send(Err(error));
                let _ = replies.send(answer);
                true
            }
        };
        if is_last {
            return track.end();
        }
    }
}

/// A worker thread. If its state cannot be made, every job it takes fails with the reason.
fn serve<A, B, S>(
    mut track: Track,
    jobs: &Receiver<Job<A, B>>,
    counters: &Counters,
    worker: &(impl Fn() -> Result<S> + Sync),
    work: &(impl Fn(&mut S, &mut Track, A) -> Result<B> + Sync),
) -> Track {
    let mut state = worker();
    track.lap(Activity::Start, 0);
    while let Ok(Job { number, item, reply }) = jobs.recv() {
        track.lap(Activity::Starved, number);
        count(&counters.begun);
        let result = match &mut state {
            Ok(state) => work(state, &mut track, item),
            Err(error) => Err(std::mem::replace(error, Error::new(Kind::Internal, "the worker did not start"))),
        };
        track.lap(Activity::Network, number);
        track.items += 1;
        count(&counters.finished);
        // The reply has room for one; nobody listening means that the run has ended.
        let _ = reply.send(result);
    }
    track.lap(Activity::Starved, 0);
    track.end()
}

/// The caller's thread: results in order, until there are no more or one is an error.
fn collect<B>(
    mut track: Track,
    replies: &Receiver<Receiver<Result<B>>>,
    room: &Receiver<()>,
    counters: &Counters,
    mut put: impl FnMut(B) -> Result<()>,
) -> (Result<()>, Track) {
    loop {
        let number = track.items;
        let Ok(reply) = replies.recv() else {
            track.lap(Activity::Starved, number);
            return (Ok(()), track.end());
        };
        let result = reply.recv();
        track.lap(Activity::Starved, number);
        let outcome = match result {
            Ok(Ok(item)) => put(item),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(Error::new(Kind::Internal, "a worker ended without an answer")),
        };
        track.lap(Activity::Encode, number);
        track.items += 1;
        count(&counters.put);
        // Its own place is there to be given back.
        let _ = room.try_recv();
        if outcome.is_err() {
            return (outcome, track.end());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    /// Runs a chain, looks at its queues as often as can be, and gives what was seen too.
    fn watched<A: Send, B: Send, S>(
        width: Width,
        take: impl FnMut() -> Result<Option<A>> + Send,
        worker: impl Fn() -> Result<S> + Sync,
        work: impl Fn(&mut S, &mut Track, A) -> Result<B> + Sync,
        put: impl FnMut(B) -> Result<()>,
    ) -> (Result<()>, Tracks, Vec<Depths>) {
        let mut seen = Vec::new();
        let mut look = |depths| seen.push(depths);
        let period = Duration::from_micros(50);
        let watch = Watch { origin: Instant::now(), traced: true, period, look: Some(&mut look) };
        let (result, tracks) = ordered(width, watch, take, worker, work, put);
        (result, tracks, seen)
    }

    fn run(n: usize, width: Width, fail_at: Option<(usize, &str)>) -> (Result<()>, Vec<usize>) {
        let mut next = 0;
        let take = move || {
            if fail_at == Some((next, "take")) {
                return Err(Error::new(Kind::Decode, "take"));
            }
            next += 1;
            Ok((next <= n).then_some(next - 1))
        };
        let work = |_: &mut (), _: &mut Track, item: usize| {
            // Later items finish earlier, so that order is not given by luck.
            thread::sleep(Duration::from_micros(((item * 7) % 5) as u64 * 50));
            if fail_at == Some((item, "work")) { Err(Error::new(Kind::Infer, "work")) } else { Ok(item) }
        };
        let mut got = Vec::new();
        let (result, tracks, seen) = watched(
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
            let worked: u64 = tracks.work.iter().map(|track| track.items).sum();
            let items = (tracks.take.map_or(0, |track| track.items), worked, tracks.put.items);
            assert_eq!(items, (n as u64, n as u64, n as u64));
            let last = seen.last().unwrap();
            assert_eq!((last.put, last.waiting, last.working, last.finished), (n as u64, 0, 0, 0));
            let limit = width.window as u64;
            assert!(seen.iter().all(|seen| seen.waiting + seen.working + seen.finished <= limit));
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
        let (result, ..) = watched(
            Width { workers: 2, window: 3 },
            take,
            || Ok(()),
            |_, _, item| Ok(item),
            |_| {
                out.fetch_sub(1, Ordering::SeqCst);
                Ok(())
            },
        );
        assert!(result.is_ok());
        assert!(most.into_inner() <= 3);
    }

    #[test]
    fn a_worker_that_cannot_start_fails_the_run() {
        let mut n = 0;
        let take = || {
            n += 1;
            Ok((n < 100).then_some(n))
        };
        let worker = || -> Result<()> { Err(Error::new(Kind::Library, "no engine")) };
        let (result, ..) = watched(Width { workers: 2, window: 3 }, take, worker, |_, _, item| Ok(item), |_| Ok(()));
        assert_eq!(result.unwrap_err().to_string(), "no engine");
    }
}
