//! What one thread of the chain did with its time: sums by activity always, and every span of it where a trace is
//! wanted.
//!
//! A track belongs to its thread; nobody else looks at it before the thread has ended, so nothing is locked. Every
//! moment counts for exactly one activity: [`Track::lap`] ends one and begins the next.

use std::time::{Duration, Instant};

use crate::meter;

/// Spans a thread keeps for a trace, 24 bytes each; of longer runs the beginning is traced.
const MAX_SPANS: usize = 1 << 18;

/// Shorter spans are counted but not traced: nobody can see them, and waiting for nothing is no waiting.
const SHORTEST: Duration = Duration::from_micros(2);

/// What a thread can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activity {
    /// Making what a thread needs before its first item.
    Start,
    /// Waiting for something to work on.
    Starved,
    /// Waiting for somebody to take its result.
    Blocked,
    /// Taking a frame from the source.
    Decode,
    /// Finding out what of a frame has to be made anew.
    Survey,
    /// From planes to a tensor.
    Gather,
    /// Running the network.
    Network,
    /// From a tensor to planes.
    Scatter,
    /// Planes that the network does not make.
    Planes,
    /// Taking tiles from the cache.
    Recall,
    /// Putting the parts of an output picture together.
    Assemble,
    /// Giving a frame to the sink.
    Encode,
    /// What a sink does at its end: what the encoder held back, the container's end, the check of the output.
    Finish,
}

impl Activity {
    /// All of them, in order.
    pub const ALL: [Activity; 13] = [
        Activity::Start,
        Activity::Starved,
        Activity::Blocked,
        Activity::Decode,
        Activity::Survey,
        Activity::Gather,
        Activity::Network,
        Activity::Scatter,
        Activity::Planes,
        Activity::Recall,
        Activity::Assemble,
        Activity::Encode,
        Activity::Finish,
    ];

    /// The name in reports and traces.
    pub fn name(self) -> &'static str {
        match self {
            Activity::Start => "start",
            Activity::Starved => "starved",
            Activity::Blocked => "blocked",
            Activity::Decode => "decode",
            Activity::Survey => "survey",
            Activity::Gather => "gather",
            Activity::Network => "network",
            Activity::Scatter => "scatter",
            Activity::Planes => "planes",
            Activity::Recall => "recall",
            Activity::Assemble => "assemble",
            Activity::Encode => "encode",
            Activity::Finish => "finish",
        }
    }

    /// Neither starved nor blocked.
    pub fn is_busy(self) -> bool {
        !matches!(self, Activity::Starved | Activity::Blocked)
    }
}

/// One activity from beginning to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Nanoseconds since the chain began.
    pub begun: u64,
    /// Nanoseconds it lasted.
    pub lasted: u64,
    /// The frame it was for, or the one that came of the waiting.
    pub item: u32,
    /// What was done.
    pub activity: Activity,
}

/// What one thread did.
#[derive(Clone, Debug)]
pub struct Track {
    /// The thread's name.
    pub name: String,
    /// Items worked on.
    pub items: u64,
    /// Calls of the engine.
    pub calls: u64,
    /// CPU time of the thread.
    pub cpu: Duration,
    /// Of it, what its start took.
    pub start_cpu: Duration,
    /// Of the busy time, what was spent waiting for disks and pipes.
    pub disk: Duration,
    /// What is traced, in order of time; empty when nothing is.
    pub spans: Vec<Span>,
    /// Spans that found no room.
    pub untraced: u64,
    traced: bool,
    sums: [Duration; Activity::ALL.len()],
    origin: Instant,
    since: Instant,
    cpu_before: Duration,
    disk_before: Duration,
}

impl Track {
    /// The track of the thread that calls this, from now on; `origin` is when the chain began.
    pub fn begin(name: String, origin: Instant, traced: bool) -> Track {
        Track {
            name,
            items: 0,
            calls: 0,
            cpu: Duration::ZERO,
            start_cpu: Duration::ZERO,
            disk: Duration::ZERO,
            spans: Vec::new(),
            untraced: 0,
            traced,
            sums: Default::default(),
            origin,
            since: Instant::now(),
            cpu_before: meter::thread_cpu(),
            disk_before: meter::waited(),
        }
    }

    /// What was done since the last call was this, for this item.
    pub fn lap(&mut self, activity: Activity, item: u64) {
        let now = Instant::now();
        let lasted = now - self.since;
        self.sums[activity as usize] += lasted;
        if self.traced && lasted >= SHORTEST {
            if self.spans.len() < MAX_SPANS {
                let nanoseconds = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
                self.spans.push(Span {
                    begun: nanoseconds(self.since.saturating_duration_since(self.origin)),
                    lasted: nanoseconds(lasted),
                    item: u32::try_from(item).unwrap_or(u32::MAX),
                    activity,
                });
            } else {
                self.untraced += 1;
            }
        }
        self.since = now;
    }

    /// The engine was called for this item.
    pub fn called(&mut self, item: u64) {
        self.calls += 1;
        self.lap(Activity::Network, item);
    }

    /// The thread has what it needs before its first item.
    pub fn started(&mut self) {
        self.start_cpu = meter::thread_cpu().saturating_sub(self.cpu_before);
        self.lap(Activity::Start, 0);
    }

    /// Adds what the same thread did later.
    pub fn append(&mut self, later: Track) {
        self.items += later.items;
        self.calls += later.calls;
        self.cpu += later.cpu;
        self.disk += later.disk;
        self.untraced += later.untraced;
        self.spans.extend(later.spans);
        for (sum, later) in self.sums.iter_mut().zip(later.sums) {
            *sum += later;
        }
    }

    /// The thread, which must be the one that began it, is at its end.
    pub fn end(mut self) -> Track {
        self.cpu = meter::thread_cpu().saturating_sub(self.cpu_before);
        self.disk = meter::waited().saturating_sub(self.disk_before);
        self
    }

    /// Time spent so.
    pub fn sum(&self, activity: Activity) -> Duration {
        self.sums[activity as usize]
    }

    /// Time at work.
    pub fn busy(&self) -> Duration {
        Activity::ALL.into_iter().filter(|activity| activity.is_busy()).map(|activity| self.sum(activity)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_moment_counts_once() {
        let begun = Instant::now();
        let mut track = Track::begin("t".into(), begun, true);
        for item in 0..20 {
            std::thread::sleep(Duration::from_micros(200));
            track.lap(Activity::Starved, item);
            std::thread::sleep(Duration::from_micros(100));
            track.lap(Activity::Network, item);
        }
        let all = begun.elapsed();
        let track = track.end();
        let sum = track.busy() + track.sum(Activity::Starved);
        assert!(sum <= all && sum >= Duration::from_millis(6), "{sum:?} of {all:?}");
        assert_eq!(track.spans.len(), 40);
        assert!(track.spans.windows(2).all(|pair| pair[0].begun + pair[0].lasted == pair[1].begun));
        assert_eq!(track.busy(), track.sum(Activity::Network));
    }
}
