//! How a run went over time: frames, CPU, memory and queues, at most a few hundred looks however long it takes.

use std::time::{Duration, Instant};

use super::stage::Depths;
use crate::meter;

/// Looks that are kept; of longer runs every second, fourth, ... is.
const MAX_SAMPLES: usize = 512;

/// Time between two looks.
pub const PERIOD: Duration = Duration::from_millis(250);

/// One look.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sample {
    /// Time since the chain began.
    pub at: Duration,
    /// Items by how far they are.
    pub depths: Depths,
    /// CPU time of the process since the chain began.
    pub cpu: Duration,
    /// Memory resident, in bytes.
    pub rss_bytes: u64,
    /// Minor page faults of the process so far.
    pub minor_faults: u64,
}

/// Looks, spread evenly over the run, the first and the last among them.
#[derive(Debug)]
pub struct Samples {
    origin: Instant,
    cpu_before: Duration,
    kept: Vec<Sample>,
    last: Option<Sample>,
    seen: usize,
    /// One in so many is kept.
    stride: usize,
}

impl Samples {
    /// None yet of a chain that begins now.
    pub fn begin(origin: Instant) -> Samples {
        Samples { origin, cpu_before: meter::process_cpu(), kept: Vec::new(), last: None, seen: 0, stride: 1 }
    }

    /// Looks.
    pub fn take(&mut self, depths: Depths) {
        self.add(Sample {
            at: self.origin.elapsed(),
            depths,
            cpu: meter::process_cpu().saturating_sub(self.cpu_before),
            rss_bytes: meter::rss_bytes(),
            minor_faults: meter::minor_faults(),
        });
    }

    fn add(&mut self, sample: Sample) {
        if self.seen.is_multiple_of(self.stride) {
            if self.kept.len() == MAX_SAMPLES {
                let mut index = 0;
                self.kept.retain(|_| {
                    index += 1;
                    index % 2 == 1
                });
                self.stride *= 2;
            }
            if self.seen.is_multiple_of(self.stride) {
                self.kept.push(sample);
            }
        }
        self.last = Some(sample);
        self.seen += 1;
    }

    /// In order of time.
    pub fn into_vec(mut self) -> Vec<Sample> {
        if let Some(last) = self.last.filter(|last| self.kept.last() != Some(last)) {
            self.kept.push(last);
        }
        self.kept
    }
}

/// Minor page faults a frame over the second half of the frames, when every buffer has been used once; `None` for
/// runs too short to tell.
pub fn steady_faults(samples: &[Sample]) -> Option<f64> {
    let last = samples.last()?;
    let middle = samples.iter().find(|sample| sample.depths.put * 2 >= last.depths.put)?;
    let frames = last.depths.put - middle.depths.put;
    (frames >= 20).then(|| (last.minor_faults - middle.minor_faults) as f64 / frames as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_run_is_seen_evenly_and_to_its_end() {
        for n in [0, 1, 2, MAX_SAMPLES, MAX_SAMPLES + 1, 3 * MAX_SAMPLES + 7, 40 * MAX_SAMPLES] {
            let mut samples = Samples::begin(Instant::now());
            for at in 0..n {
                samples.add(Sample { at: Duration::from_secs(at as u64), ..Sample::default() });
            }
            let kept: Vec<u64> = samples.into_vec().iter().map(|sample| sample.at.as_secs()).collect();
            assert!(kept.len() <= MAX_SAMPLES + 1);
            assert_eq!(kept.first().copied(), (n > 0).then_some(0));
            assert_eq!(kept.last().copied(), (n as u64).checked_sub(1));
            let steps: Vec<u64> = kept.windows(2).map(|pair| pair[1] - pair[0]).collect();
            let even = steps.split_last().is_none_or(|(_, even)| even.iter().all(|step| *step == even[0]));
            assert!(even && steps.iter().all(|step| *step > 0), "{n}: {steps:?}");
        }
    }

    #[test]
    fn faults_are_those_of_the_second_half() {
        let sample = |put, minor_faults| Sample {
            depths: Depths { put, ..Depths::default() },
            minor_faults,
            ..Sample::default()
        };
        let samples = [sample(0, 10), sample(40, 5000), sample(50, 5005), sample(100, 5015)];
        assert_eq!(steady_faults(&samples), Some(0.2));
        assert_eq!(steady_faults(&samples[..2]), None);
        assert_eq!(steady_faults(&[]), None);
    }
}
