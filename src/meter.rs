//! What this process costs: CPU time, memory, page faults, and the time its threads wait for disks and pipes.
//!
//! Figures come from the kernel and are 0 where it does not tell. Waiting is counted a thread, without locks: whoever
//! reads or writes bytes does it inside [`waiting`] or through [`Metered`], and the stage that owns the thread asks [`waited`] at its end.

use std::cell::Cell;
use std::ffi::CStr;
use std::fs;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

thread_local! {
    static WAITED: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// Does a call that waits for a disk or a pipe, and counts the time for this thread.
pub fn waiting<T>(call: impl FnOnce() -> T) -> T {
    let begun = Instant::now();
    let result = call();
    WAITED.set(WAITED.get() + begun.elapsed());
    result
}

/// How long this thread has waited for disks and pipes so far.
pub fn waited() -> Duration {
    WAITED.get()
}

/// A file or a pipe whose reads and writes are counted as waiting.
#[derive(Debug)]
pub struct Metered<T>(pub T);

impl<T: Read> Read for Metered<T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        waiting(|| self.0.read(buffer))
    }
}

impl<T: Write> Write for Metered<T> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        waiting(|| self.0.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        waiting(|| self.0.flush())
    }
}

impl<T: Seek> Seek for Metered<T> {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        self.0.seek(position)
    }
}

/// CPU time of this thread so far.
pub fn thread_cpu() -> Duration {
    cpu(ClockId::ThreadCPUTime)
}

/// CPU time of all threads of this process so far.
pub fn process_cpu() -> Duration {
    cpu(ClockId::ProcessCPUTime)
}

fn cpu(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Time that all processors of the machine together have been at work so far, for whomever; in steps of 10 ms.
pub fn machine_cpu() -> Duration {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let first = stat.lines().next().unwrap_or_default();
    let ticks: Vec<u64> = first.split_whitespace().skip(1).filter_map(|ticks| ticks.parse().ok()).collect();
    // User, nice, system, then idle and waiting for disks; guests are counted in the first two.
    let working: u64 = ticks.iter().take(3).chain(ticks.iter().skip(5).take(3)).sum();
    Duration::from_millis(working * 10)
}

/// CPU time of the living threads whose names begin with one of these.
pub fn cpu_of_threads(names: &[&str]) -> Duration {
    let Ok(threads) = fs::read_dir("/proc/self/task") else { return Duration::ZERO };
    let nanoseconds = |thread: &fs::DirEntry| -> Option<u64> {
        let name = fs::read_to_string(thread.path().join("comm")).ok()?;
        names.iter().any(|wanted| name.starts_with(wanted)).then_some(())?;
        // The first of three numbers: nanoseconds on a processor.
        fs::read_to_string(thread.path().join("schedstat")).ok()?.split(' ').next()?.parse().ok()
    };
    Duration::from_nanos(threads.flatten().filter_map(|thread| nanoseconds(&thread)).sum())
}

/// Does something under another name of this thread: threads that libraries start meanwhile inherit it, so that their
/// CPU time can be told apart.
pub fn named<T>(name: &CStr, call: impl FnOnce() -> T) -> T {
    let own = fs::read_to_string("/proc/thread-self/comm").ok();
    // A name is for figures only; without it they count with the rest.
    let _ = rustix::thread::set_name(name);
    let result = call();
    if let Some(own) = own.and_then(|own| std::ffi::CString::new(own.trim_end()).ok()) {
        let _ = rustix::thread::set_name(&own);
    }
    result
}

/// The most memory this process had resident at once, in bytes.
///
/// Not `getrusage`, whose figure begins with that of the program that started this one.
pub fn peak_rss_bytes() -> u64 {
    status("VmHWM:")
}

/// Memory that is resident now, in bytes.
pub fn rss_bytes() -> u64 {
    status("VmRSS:")
}

fn status(field: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap_or_default();
    let kibibytes: u64 = line.trim().trim_end_matches("kB").trim().parse().unwrap_or(0);
    kibibytes * 1024
}

/// Page faults of this process so far that needed no disk: how often it touched memory it did not have.
pub fn minor_faults() -> u64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name, in parentheses, may hold spaces; the tenth field of all is the eighth behind it.
    let behind = stat.rsplit_once(") ").map_or("", |(_, behind)| behind);
    behind.split(' ').nth(7).and_then(|faults| faults.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_costs_something() {
        let (process, thread, faults, machine) = (process_cpu(), thread_cpu(), minor_faults(), machine_cpu());
        let sum: u64 = (0..20_000_000_u64).map(|n| std::hint::black_box(n) % 7).sum();
        // A mapping, because the allocator may hand out memory that another test has touched.
        let mut fresh = memmap2::MmapMut::map_anon(1 << 20).unwrap();
        fresh.fill(1);
        assert!(sum > 0 && process_cpu() > process && thread_cpu() > thread);
        assert!(std::hint::black_box(&fresh)[0] == 1 && minor_faults() > faults);
        assert!(machine_cpu() >= machine && machine > Duration::ZERO);
        // The kernel keeps these two by estimates of its own for each processor: neither is held against the other.
        assert!((1 << 20..1 << 40).contains(&peak_rss_bytes()) && (1 << 20..1 << 40).contains(&rss_bytes()));
    }

    #[test]
    fn waiting_is_counted_for_the_thread_that_waits() {
        let before = waited();
        waiting(|| std::thread::sleep(Duration::from_millis(5)));
        assert!(waited() - before >= Duration::from_millis(5));
        std::thread::spawn(|| assert_eq!(waited(), Duration::ZERO)).join().unwrap();
    }

    #[test]
    fn threads_started_under_a_name_are_counted_by_it() {
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        let (ready, is_ready) = std::sync::mpsc::channel();
        let worker = named(c"counted-here", || {
            std::thread::spawn(move || {
                let sum: u64 = (0..20_000_000_u64).map(|n| std::hint::black_box(n) % 7).sum();
                ready.send(sum).unwrap();
                let _ = stopped.recv();
            })
        });
        is_ready.recv().unwrap();
        assert!(cpu_of_threads(&["counted"]) > Duration::ZERO);
        assert_eq!(cpu_of_threads(&["nobody"]), Duration::ZERO);
        drop(stop);
        worker.join().unwrap();
    }
}
