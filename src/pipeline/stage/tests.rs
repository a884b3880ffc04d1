//! What holds for the threads and queues, whatever the work is.

use super::*;

/// Runs a chain of numbers and looks at its queues as often as can be; gives what was put and what was seen too.
fn watched<S>(
    width: Width,
    take: impl FnMut() -> Result<Option<Order<usize, usize>>> + Send,
    start: impl Fn() -> Result<S> + Sync,
    work: impl Fn(&mut S, usize) -> Result<usize> + Sync,
    put: impl FnMut(usize, Vec<usize>) -> Result<()>,
) -> (Result<()>, Tracks, Vec<Depths>) {
    let mut seen = Vec::new();
    let mut look = |depths| seen.push(depths);
    let (mut take, mut put) = (take, put);
    let period = Duration::from_micros(50);
    let watch = Watch { origin: Instant::now(), traced: true, period, look: Some(&mut look) };
    let hands = Hands {
        take: |_: &mut Track| take(),
        joins: |batch: &[&usize], job: &usize| batch.len() < 3 && batch[0] % 2 == job % 2,
        start,
        work: |state: &mut S, _: &mut Track, jobs: Vec<usize>| jobs.into_iter().map(|job| work(state, job)).collect(),
        put: |_: &mut Track, item, results| put(item, results),
    };
    let (result, tracks) = ordered(width, watch, hands);
    (result, tracks, seen)
}

/// Jobs of item `n`: none, one or several, all different.
fn jobs(n: usize) -> Vec<usize> {
    (0..[1, 0, 3, 2, 0, 7][n % 6]).map(|i| n * 10 + i).collect()
}

fn run(n: usize, width: Width, fail_at: Option<(usize, &str)>) -> (Result<()>, Vec<usize>) {
    let mut next = 0;
    let take = move || {
        if fail_at == Some((next, "take")) {
            return Err(Error::new(Kind::Decode, "take"));
        }
        next += 1;
        Ok((next <= n).then(|| Order { item: next - 1, jobs: jobs(next - 1) }))
    };
    let work = |(): &mut (), job: usize| {
        // Later jobs finish earlier, so that order is not given by luck.
        thread::sleep(Duration::from_micros(((job * 7) % 5) as u64 * 50));
        if fail_at == Some((job / 10, "work")) { Err(Error::new(Kind::Infer, "work")) } else { Ok(job + 1) }
    };
    let mut got = Vec::new();
    let (result, tracks, seen) = watched(
        width,
        take,
        || Ok(()),
        work,
        |item, results| {
            if fail_at == Some((item, "put")) {
                return Err(Error::new(Kind::Encode, "put"));
            }
            assert_eq!(results, jobs(item).into_iter().map(|job| job + 1).collect::<Vec<_>>());
            got.push(item);
            Ok(())
        },
    );
    if fail_at.is_none() {
        let worked: u64 = tracks.work.iter().map(|track| track.items).sum();
        let n_jobs = (0..n).map(|n| jobs(n).len() as u64).sum();
        assert!(worked <= n_jobs && worked * 3 >= n_jobs, "{worked} batches of {n_jobs} jobs");
        assert_eq!((tracks.take.map_or(0, |track| track.items), tracks.put.items), (n as u64, n as u64));
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
            for n in 0..=2 * window + 13 {
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
        for at in [0, 2, 6, 21] {
            let (result, got) = run(30, Width { workers: 3, window: 4 }, Some((at, stage)));
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
        Ok((n <= 200).then(|| Order { item: n, jobs: vec![n] }))
    };
    let (result, ..) = watched(
        Width { workers: 2, window: 3 },
        take,
        || Ok(()),
        |(), job| Ok(job),
        |_, _| {
            out.fetch_sub(1, Ordering::SeqCst);
            Ok(())
        },
    );
    assert!(result.is_ok());
    assert!(most.into_inner() <= 3);
}

#[test]
fn ten_thousand_items_without_work_behind_one_with_work_pass() {
    let mut n = 0;
    let take = || {
        n += 1;
        Ok((n <= 10_000).then(|| Order { item: n, jobs: if n == 1 { vec![1] } else { Vec::new() } }))
    };
    let mut last = 0;
    let put = |item, results: Vec<usize>| {
        assert_eq!((item, results.len()), (last + 1, usize::from(item == 1)));
        last = item;
        Ok(())
    };
    let (result, ..) = watched(Width { workers: 2, window: 4 }, take, || Ok(()), |(), job| Ok(job), put);
    assert!(result.is_ok());
    assert_eq!(last, 10_000);
}

#[test]
fn a_worker_that_cannot_start_fails_the_run() {
    let mut n = 0;
    let take = || {
        n += 1;
        Ok((n < 100).then(|| Order { item: n, jobs: vec![n] }))
    };
    let start = || -> Result<()> { Err(Error::new(Kind::Library, "no engine")) };
    let (result, ..) = watched(Width { workers: 2, window: 3 }, take, start, |(), job| Ok(job), |_, _| Ok(()));
    assert_eq!(result.unwrap_err().to_string(), "no engine");
}

#[test]
fn a_worker_that_panics_ends_the_run() {
    for workers in 1..=2 {
        let mut next = 0;
        let take = move || {
            next += 1;
            Ok((next <= 50).then(|| Order { item: next - 1, jobs: (0..40).collect() }))
        };
        let work = |(): &mut (), _: usize| -> Result<usize> { panic!("on purpose") };
        let run = || watched(Width { workers, window: 2 }, take, || Ok(()), work, |_, _| Ok(()));
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).is_err());
    }
}
