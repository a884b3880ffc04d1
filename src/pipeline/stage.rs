//! All threads and channels of the chain: one thread that takes items, workers that do the jobs they consist of, the
//! caller's own thread that puts the items away in order, and one that looks now and then how full the queues are.
//!
//! An item needs any number of jobs, also none. Order is kept by an order queue: each item goes into it together with
//! the channel that its workers will fill, so no results are sorted. Jobs wait on a [`Waiting`], where those of several
//! items may be joined into a batch. The window bounds how many items are under way: an item is taken only when there
//! is room, and makes room when it has been put away. Nothing says stop: a closed channel or queue does. Every thread
//! is joined before [`ordered`] returns.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use super::track::{Activity, Track};
use super::waiting::Waiting;
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

/// Looks at the counters at most, until nothing has been put away meanwhile.
const MAX_LOOKS: usize = 100;

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
        let mut depths = self.look();
        // Items that were put away during a look would count as under way with those that took their place.
        for _ in 0..MAX_LOOKS {
            if self.put.load(Ordering::Acquire) == depths.put {
                break;
            }
            depths = self.look();
        }
        depths
    }

    fn look(&self) -> Depths {
        // From the end to the beginning, so that no difference is negative.
        let put = self.put.load(Ordering::Acquire);
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

/// An item with the jobs it needs.
pub struct Order<T, J> {
    /// What is put away, with the results of the jobs.
    pub item: T,
    /// What workers do for it.
    pub jobs: Vec<J>,
}

/// The result of a job, by its index among those of its item.
type Reply<R> = (usize, Result<R>);

/// A job on its way to a worker, with where the result goes.
struct Job<J, R> {
    job: J,
    /// Its index among those of its item.
    index: usize,
    item: Arc<Progress>,
    reply: Sender<Reply<R>>,
}

/// How far the jobs of an item are.
struct Progress {
    /// 0.. no holes, but workers take them in any order.
    number: u64,
    is_begun: AtomicBool,
    left: AtomicUsize,
}

/// An item in its place, with where the results of its jobs come from.
struct Place<T, R> {
    item: Result<T>,
    n_jobs: usize,
    replies: Receiver<Reply<R>>,
}

/// What is done by whom.
pub struct Hands<Take, Joins, Start, Work, Put> {
    /// Takes the next item, on a thread of its own, until it gives `None`. What it does not lap itself counts as
    /// [`Activity::Decode`].
    pub take: Take,
    /// Whether a job may join a batch of waiting ones.
    pub joins: Joins,
    /// Makes what a worker owns, on its thread.
    pub start: Start,
    /// Does the jobs of a batch, on a worker's thread, and gives a result for each, or an error for the first if it
    /// failed as a whole. What it does not lap itself counts as [`Activity::Network`].
    pub work: Work,
    /// Puts an item away, here, in the order of `take`, with the results of its jobs in their order. What it does not
    /// lap itself counts as [`Activity::Encode`].
    pub put: Put,
}

/// Runs a chain until there are no more items. The first error in their order ends it all.
pub fn ordered<T, J, R, S, Take, Joins, Start, Work, Put>(
    width: Width,
    watch: Watch,
    hands: Hands<Take, Joins, Start, Work, Put>,
) -> (Result<()>, Tracks)
where
    T: Send,
    J: Send,
    R: Send,
    Take: FnMut(&mut Track) -> Result<Option<Order<T, J>>> + Send,
    Joins: Fn(&[&J], &J) -> bool + Send,
    Start: Fn() -> Result<S> + Sync,
    Work: Fn(&mut S, &mut Track, Vec<J>) -> Vec<Result<R>> + Sync,
    Put: FnMut(&mut Track, T, Vec<R>) -> Result<()>,
{
    let Watch { origin, traced, period, look } = watch;
    let Hands { take, joins, start, work, put } = hands;
    let (worker, work) = (&start, &work);
    let counters = &Counters::default();
    let waiting = &Waiting::new(width.workers.max(1));
    thread::scope(|scope| {
        // One place for each item under way; the order queue is never longer, so it needs no bound of its own.
        let (room_in, room_out) = bounded::<()>(width.window.max(1));
        let (places_in, places_out) = bounded::<Place<T, R>>(width.window.max(1) + 1);
        let spawn = |name: String| thread::Builder::new().name(name);
        let track = move |name: String| Track::begin(name, origin, traced);
        let start = || -> std::io::Result<_> {
            let mut workers = Vec::new();
            for number in 0..width.workers.max(1) {
                let name = format!("work-{number}");
                workers.push(
                    spawn(name.clone())
                        .spawn_scoped(scope, move || serve(track(name), waiting, counters, worker, work))?,
                );
            }
            let feeder = spawn("decode".to_owned()).spawn_scoped(scope, move || {
                // Also when it panics, so that nobody waits for it.
                let _closed = Closing(waiting);
                feed(track("decode".to_owned()), take, joins, counters, &room_in, &places_in, waiting)
            })?;
            // Holds nothing that is sent through: its end is the end of the watch.
            let (done, is_done) = bounded::<()>(0);
            if let Some(look) = look {
                spawn("watch".to_owned()).spawn_scoped(scope, move || observe(counters, period, &is_done, look))?;
            }
            Ok((workers, feeder, done))
        };
        let started = start();
        let begun = track("encode".to_owned());
        let (workers, feeder, done) = match started {
            Ok(started) => started,
            Err(error) => {
                waiting.abandon();
                let tracks = Tracks { take: None, work: Vec::new(), put: begun.end() };
                return (Err(Error::io("start a thread", error)), tracks);
            }
        };
        let (result, put) = collect(begun, &places_out, &room_out, counters, put);
        // What is still on its way finds nobody listening, and the threads end.
        drop((places_out, room_out));
        if result.is_err() {
            waiting.abandon();
        }
        let take = Some(join(feeder));
        let work = workers.into_iter().map(join).collect();
        drop(done);
        (result, Tracks { take, work, put })
    })
}

/// Closes a waiting when it goes.
struct Closing<'a, J>(&'a Waiting<J>);

impl<J> Drop for Closing<'_, J> {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Abandons a waiting when its thread panics: what waits for that thread's work would wait for ever.
struct Abandoning<'a, J>(&'a Waiting<J>);

impl<J> Drop for Abandoning<'_, J> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.abandon();
        }
    }
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
fn feed<T, J, R>(
    mut track: Track,
    mut take: impl FnMut(&mut Track) -> Result<Option<Order<T, J>>>,
    joins: impl Fn(&[&J], &J) -> bool,
    counters: &Counters,
    room: &Sender<()>,
    places: &Sender<Place<T, R>>,
    waiting: &Waiting<Job<J, R>>,
) -> Track {
    let joins =
        |batch: &[Job<J, R>], job: &Job<J, R>| joins(&batch.iter().map(|job| &job.job).collect::<Vec<_>>(), &job.job);
    loop {
        let number = track.items;
        let is_wanted = room.send(()).is_ok();
        track.lap(Activity::Blocked, number);
        if !is_wanted {
            return track.end();
        }
        let taken = take(&mut track);
        track.lap(Activity::Decode, number);
        let (item, jobs) = match taken {
            Ok(None) => return track.end(),
            Ok(Some(Order { item, jobs })) => (Ok(item), jobs),
            Err(error) => (Err(error), Vec::new()),
        };
        let is_last = item.is_err();
        let n_jobs = jobs.len();
        let (reply, replies) = bounded(n_jobs);
        if !is_last {
            track.items += 1;
            count(&counters.taken);
            if n_jobs == 0 {
                count(&counters.begun);
                count(&counters.finished);
            }
        }
        // There is room; nobody listening means that the run has ended.
        if places.send(Place { item, n_jobs, replies }).is_err() || is_last {
            return track.end();
        }
        let item = Arc::new(Progress { number, is_begun: AtomicBool::new(false), left: AtomicUsize::new(n_jobs) });
        for (index, job) in jobs.into_iter().enumerate() {
            waiting.add(Job { job, index, item: Arc::clone(&item), reply: reply.clone() }, joins);
        }
    }
}

/// A worker thread. If its state cannot be made, every batch it takes fails with the reason.
fn serve<J, R, S>(
    mut track: Track,
    waiting: &Waiting<Job<J, R>>,
    counters: &Counters,
    worker: &(impl Fn() -> Result<S> + Sync),
    work: &(impl Fn(&mut S, &mut Track, Vec<J>) -> Vec<Result<R>> + Sync),
) -> Track {
    let _abandoning = Abandoning(waiting);
    let mut state = worker();
    track.started();
    while let Some(batch) = waiting.take() {
        let number = batch.first().map_or(0, |job| job.item.number);
        track.lap(Activity::Starved, number);
        let mut jobs = Vec::with_capacity(batch.len());
        let mut owners = Vec::with_capacity(batch.len());
        for Job { job, index, item, reply } in batch {
            if !item.is_begun.swap(true, Ordering::Relaxed) {
                count(&counters.begun);
            }
            jobs.push(job);
            owners.push((index, item, reply));
        }
        let results = match &mut state {
            Ok(state) => work(state, &mut track, jobs),
            Err(error) => vec![Err(std::mem::replace(error, Error::new(Kind::Internal, "the worker did not start")))],
        };
        track.lap(Activity::Network, number);
        track.items += 1;
        for (_, item, _) in &owners {
            if item.left.fetch_sub(1, Ordering::Relaxed) == 1 {
                count(&counters.finished);
            }
        }
        let mut results = results.into_iter();
        for (index, _, reply) in owners {
            let failed = || Err(Error::new(Kind::Internal, "a job failed with others of its batch"));
            // There is room for all; nobody listening means that the run has ended.
            let _ = reply.send((index, results.next().unwrap_or_else(failed)));
        }
    }
    track.lap(Activity::Starved, 0);
    track.end()
}

/// The caller's thread: items in order, until there are no more or one is an error.
fn collect<T, R>(
    mut track: Track,
    places: &Receiver<Place<T, R>>,
    room: &Receiver<()>,
    counters: &Counters,
    mut put: impl FnMut(&mut Track, T, Vec<R>) -> Result<()>,
) -> (Result<()>, Track) {
    loop {
        let number = track.items;
        let Ok(place) = places.recv() else {
            track.lap(Activity::Starved, number);
            return (Ok(()), track.end());
        };
        let finished = finish(place);
        track.lap(Activity::Starved, number);
        let outcome = finished.and_then(|(item, results)| put(&mut track, item, results));
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

/// Waits for all jobs of an item.
fn finish<T, R>(place: Place<T, R>) -> Result<(T, Vec<R>)> {
    let item = place.item?;
    let mut results: Vec<Option<R>> = (0..place.n_jobs).map(|_| None).collect();
    let lost = || Error::new(Kind::Internal, "a worker ended without an answer");
    for _ in 0..place.n_jobs {
        let (index, result) = place.replies.recv().map_err(|_| lost())?;
        results[index] = Some(result?);
    }
    Ok((item, results.into_iter().collect::<Option<_>>().ok_or_else(lost)?))
}

#[cfg(test)]
mod tests;
