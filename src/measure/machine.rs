//! What the machine is and what it does besides, from the kernel's own files; empty or 0 where they do not tell.

use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The processor's name.
pub fn cpu_name() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let value = |line: &str| Some(line.split_once(':')?.1.trim().to_owned());
    let named = text.lines().find(|line| line.starts_with("model name")).and_then(value);
    named.unwrap_or_else(|| std::env::consts::ARCH.to_owned())
}

/// The operating system with its version: `Linux 6.1.0`.
pub fn system_name() -> String {
    let names = rustix::system::uname();
    format!("{} {}", names.sysname().to_string_lossy(), names.release().to_string_lossy())
}

/// Memory in bytes: all of it, and what programs could still have.
pub fn memory() -> (u64, u64) {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        line.trim().trim_end_matches("kB").trim().parse::<u64>().unwrap_or(0) * 1024
    };
    (field("MemTotal:"), field("MemAvailable:"))
}

/// CPU time that all processors together have spent on anything since the machine was started, time that a host took
/// from it included.
pub fn busy() -> Duration {
    /// Ticks a second in this file: the kernel's USER_HZ, a constant of its interface.
    const TICKS: f64 = 100.0;
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let line = text.lines().next().and_then(|line| line.strip_prefix("cpu ")).unwrap_or_default();
    // user nice system idle iowait irq softirq steal
    let fields: Vec<u64> = line.split_whitespace().take(8).filter_map(|field| field.parse().ok()).collect();
    let idle: u64 = fields.iter().skip(3).take(2).sum();
    Duration::from_secs_f64((fields.iter().sum::<u64>() - idle) as f64 / TICKS)
}

/// Now, in UTC: `2026-01-31T12:00:00Z`.
pub fn now() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (year, month, day) = civil(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Year, month and day of the day that lies so many days after 1970-01-01, by the rules of the Gregorian calendar.
fn civil(mut days: u64) -> (u64, u64, u64) {
    let is_leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let mut year = 1970;
    loop {
        let length = if is_leap(year) { 366 } else { 365 };
        if days < length {
            break;
        }
        days -= length;
        year += 1;
    }
    let february = if is_leap(year) { 29 } else { 28 };
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    (year, month, days + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_have_their_dates() {
        for (days, date) in [
            (0, (1970, 1, 1)),
            (59, (1970, 3, 1)),
            (11_016, (2000, 2, 29)),
            (11_017, (2000, 3, 1)),
            (20_453, (2025, 12, 31)),
            (20_454, (2026, 1, 1)),
        ] {
            assert_eq!(civil(days), date, "{days}");
        }
        assert!(now().ends_with('Z') && now().len() == 20);
    }

    #[test]
    fn the_machine_is_told() {
        let (all, free) = memory();
        assert!(!cpu_name().is_empty() && system_name().contains(' '));
        assert!(all >= free && free > 0);
        assert!(busy() > Duration::ZERO);
    }
}
