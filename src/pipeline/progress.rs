//! How far a run is, told on stderr: for people a line rewritten on a terminal or a plain line now and then, for
//! programs an object a line with FFmpeg's keys.
//!
//! The thread of the sink calls [`Progress::tick`] after every frame; all but a few ticks a second only look at the
//! clock. A stderr that is closed or full is nobody's fault and never stops a run.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::board::Board;
use crate::config::ProgressMode;

/// How many of the terminal's last lines are ours, so that whoever writes next clears them first.
static LINES_OPEN: AtomicUsize = AtomicUsize::new(0);

/// How far the "fps now" looks back.
const RECENT: Duration = Duration::from_secs(5);

/// Clears the progress lines, if any stand on the terminal.
pub fn clear() {
    // Locked first: who has cleared may write before the lines come back.
    let mut stderr = io::stderr().lock();
    let n_open = LINES_OPEN.swap(0, Ordering::Relaxed);
    if n_open > 0 {
        let _ = stderr.write_all(format!("{}\x1b[J", to_the_first_of(n_open)).as_bytes());
    }
}

/// Puts `text` in the place of the terminal's current line.
pub fn rewrite(text: &str) {
    rewrite_lines(&[text]);
}

/// Puts these lines, one at least, in the place of those that stand there; each is cut to the terminal's width.
pub fn rewrite_lines(lines: &[&str]) {
    let mut stderr = io::stderr().lock();
    let width = rustix::termios::tcgetwinsize(&stderr).map_or(80, |size| usize::from(size.ws_col));
    // One column less, so that no terminal wraps; a width of 0 means that it does not know.
    let width = if width == 0 { 79 } else { width - 1 };
    let mut text = to_the_first_of(LINES_OPEN.swap(lines.len(), Ordering::Relaxed));
    for (index, line) in lines.iter().enumerate() {
        text.push_str(if index > 0 { "\n" } else { "" });
        text.extend(line.chars().take(width).map(|c| if c.is_control() { ' ' } else { c }));
        text.push_str("\x1b[K");
    }
    text.push_str("\x1b[J");
    let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
}

/// Moves the cursor to the beginning of the first of so many lines, the last of which it stands on.
fn to_the_first_of(n_lines: usize) -> String {
    format!("\r{}", "\x1b[1A".repeat(n_lines.saturating_sub(1)))
}

/// How it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    /// One line, rewritten.
    Rewritten,
    /// A line every half minute.
    Plain,
    /// An object a line, as often as FFmpeg's `-progress`.
    Json,
    /// Not at all.
    None,
}

impl Style {
    fn new(mode: ProgressMode, quiet: bool) -> Self {
        match mode {
            ProgressMode::Json => Style::Json,
            ProgressMode::None => Style::None,
            ProgressMode::Auto if quiet => Style::None,
            ProgressMode::Auto if io::stderr().is_terminal() && !is_dumb() => Style::Rewritten,
            ProgressMode::Auto => Style::Plain,
        }
    }

    fn period(self) -> Duration {
        match self {
            Style::Rewritten => Duration::from_millis(200),
            Style::Plain => Duration::from_secs(30),
            Style::Json => Duration::from_millis(500),
            Style::None => Duration::MAX,
        }
    }
}

/// Whether lines are rewritten on a terminal.
pub fn is_rewritten(mode: ProgressMode, quiet: bool) -> bool {
    Style::new(mode, quiet) == Style::Rewritten
}

/// A count of frames at a time since the start.
#[derive(Clone, Copy, Debug, Default)]
struct Sample {
    at: Duration,
    n_frames: u64,
}

/// Tells how far a run is.
#[derive(Debug)]
pub struct Progress {
    style: Style,
    begun: Instant,
    n_expected: Option<u64>,
    /// Frames that earlier runs have made, which are among those expected.
    n_past: u64,
    /// Where the video was when the first frame of this run was out.
    seconds_past: Option<f64>,
    next: Duration,
    /// Oldest first; spans [`RECENT`] and a bit.
    recent: VecDeque<Sample>,
    n_frames: u64,
    seconds: f64,
    total_size: Option<u64>,
    /// The run is one of several.
    part: Option<Part>,
}

/// Which of several runs this is.
#[derive(Debug)]
pub struct Part {
    /// Its name for people.
    pub name: String,
    /// Where lines stand together on a terminal.
    pub board: Arc<Board>,
    /// Its line there.
    pub line: usize,
}

impl Progress {
    /// Progress towards `n_expected` frames, where that is known, from now on.
    pub fn new(mode: ProgressMode, quiet: bool, n_expected: Option<u64>) -> Self {
        Progress::with_style(Style::new(mode, quiet), n_expected)
    }

    /// The progress of one of several runs: its line has its place on the board, and names it elsewhere.
    pub fn of_part(mode: ProgressMode, quiet: bool, n_expected: Option<u64>, part: Part) -> Self {
        let mut progress = Progress::new(mode, quiet, n_expected);
        progress.part = Some(part);
        progress
    }

    fn with_style(style: Style, n_expected: Option<u64>) -> Self {
        Progress {
            style,
            begun: Instant::now(),
            n_expected: n_expected.filter(|&n| n > 0),
            n_past: 0,
            seconds_past: None,
            next: if style == Style::None { Duration::MAX } else { style.period() },
            recent: VecDeque::from([Sample::default()]),
            n_frames: 0,
            seconds: 0.0,
            total_size: None,
            part: None,
        }
    }

    /// The run goes on behind `n_past` frames that are there.
    #[must_use]
    pub fn behind(mut self, n_past: u64) -> Self {
        self.n_past = n_past;
        self
    }

    /// `n_frames` of this run are out; the last one's pts is `seconds`.
    pub fn tick(&mut self, n_frames: u64, seconds: f64) {
        let now = self.begun.elapsed();
        if let Some(text) = self.told(now, n_frames, seconds) {
            self.say(&text);
        }
    }

    /// The output has `bytes` bytes so far; told with the next tick.
    pub fn size(&mut self, bytes: u64) {
        self.total_size = Some(bytes);
    }

    /// No more frames come: the terminal's line is cleared, and programs get `"progress": "end"`.
    pub fn finish(&mut self) {
        match self.style {
            Style::Json => {
                let text = self.json(self.begun.elapsed(), "end");
                self.say(&text);
            }
            _ => self.put_away(),
        }
    }

    /// What is told at `now`, if it is time.
    fn told(&mut self, now: Duration, n_frames: u64, seconds: f64) -> Option<String> {
        (self.n_frames, self.seconds) = (n_frames, seconds);
        self.seconds_past.get_or_insert(if self.n_past > 0 { seconds } else { 0.0 });
        if now < self.next {
            return None;
        }
        self.next = now + self.style.period();
        self.recent.push_back(Sample { at: now, n_frames });
        while self.recent.len() > 2 && self.recent.get(1).is_some_and(|second| now - second.at >= RECENT) {
            self.recent.pop_front();
        }
        match self.style {
            Style::Json => Some(self.json(now, "continue")),
            Style::Rewritten | Style::Plain => Some(self.line(now)),
            Style::None => None,
        }
    }

    /// Frames a second over the last seconds and over all.
    fn fps(&self, now: Duration) -> (f64, f64) {
        let oldest = self.recent.front().copied().unwrap_or_default();
        let per = |n: u64, time: Duration| if time.is_zero() { 0.0 } else { n as f64 / time.as_secs_f64() };
        (per(self.n_frames - oldest.n_frames.min(self.n_frames), now - oldest.at.min(now)), per(self.n_frames, now))
    }

    fn line(&self, now: Duration) -> String {
        let (recent, average) = self.fps(now);
        let mut line = String::new();
        let n_frames = self.n_past + self.n_frames;
        // Writing into a string cannot fail.
        let _ = match self.n_expected {
            Some(n) => write!(line, "[{:5.1}%] {n_frames}/{n} frames", 100.0 * n_frames.min(n) as f64 / n as f64),
            None => write!(line, "{n_frames} frames"),
        };
        let _ = write!(line, ", {} (avg {})", speed(recent), speed(average));
        if let Some(left) = self.n_expected.map(|n| n.saturating_sub(n_frames)).filter(|_| average > 0.0) {
            let seconds = (left as f64 / average).ceil().min(1e9) as u64;
            let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
            let _ = match hours {
                0 => write!(line, ", eta {minutes}:{seconds:02}"),
                _ => write!(line, ", eta {hours}:{minutes:02}:{seconds:02}"),
            };
        }
        line
    }

    fn json(&self, now: Duration, state: &str) -> String {
        let (recent, average) = self.fps(now);
        let fps = if state == "end" { average } else { recent };
        let made = self.seconds - self.seconds_past.unwrap_or(0.0);
        let speed = if now.is_zero() { 0.0 } else { made / now.as_secs_f64() };
        let mut object = serde_json::json!({
            "frame": self.n_past + self.n_frames,
            "fps": (fps * 100.0).round() / 100.0,
            "speed": (speed * 1000.0).round() / 1000.0,
            "out_time_us": (self.seconds * 1e6).round() as i64,
            "progress": state,
        });
        if let Some(bytes) = self.total_size {
            object["total_size"] = bytes.into();
        }
        if let Some(part) = &self.part {
            object["file"] = part.name.as_str().into();
        }
        object.to_string()
    }

    fn say(&self, text: &str) {
        let _ = match (self.style, &self.part) {
            (Style::Rewritten, None) => return rewrite(text),
            (Style::Rewritten, Some(part)) => return part.board.put(part.line, format!("{text}  {}", part.name)),
            (Style::Plain, Some(part)) => writeln!(io::stderr(), "{}: {text}", part.name),
            _ => writeln!(io::stderr(), "{text}"),
        };
    }

    /// Takes the line away.
    fn put_away(&self) {
        match &self.part {
            None => clear(),
            Some(part) => part.board.take(part.line),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.put_away();
    }
}

/// Frames a second, or seconds a frame where that reads better.
fn speed(fps: f64) -> String {
    if fps > 0.0 && fps < 1.0 { format!("{:.2} s/frame", 1.0 / fps) } else { format!("{fps:.1} fps") }
}

/// A terminal that cannot rewrite a line.
fn is_dumb() -> bool {
    std::env::var_os("TERM").is_none_or(|term| term == "dumb")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    #[test]
    fn a_line_says_how_far_how_fast_and_how_long() {
        let mut progress = Progress::with_style(Style::Rewritten, Some(800));
        assert_eq!(progress.told(seconds(0.1), 4, 0.1), None);
        assert_eq!(
            progress.told(seconds(2.0), 100, 4.0).unwrap(),
            "[ 12.5%] 100/800 frames, 50.0 fps (avg 50.0 fps), eta 0:14"
        );
        // Forty seconds of nothing but one frame: now is slow, the average remembers.
        for step in 1..=40 {
            progress.told(seconds(2.0 + f64::from(step)), 101, 4.0);
        }
        assert_eq!(
            progress.told(seconds(43.0), 102, 4.1).unwrap(),
            "[ 12.8%] 102/800 frames, 5.00 s/frame (avg 2.4 fps), eta 4:55"
        );
    }

    #[test]
    fn a_continued_run_counts_what_is_there_and_not_how_fast_it_came() {
        let mut progress = Progress::with_style(Style::Rewritten, Some(800)).behind(700);
        assert_eq!(progress.told(seconds(0.1), 1, 28.0), None);
        assert_eq!(
            progress.told(seconds(2.0), 50, 30.0).unwrap(),
            "[ 93.8%] 750/800 frames, 25.0 fps (avg 25.0 fps), eta 0:02"
        );
        let object: serde_json::Value = serde_json::from_str(&progress.json(seconds(2.0), "continue")).unwrap();
        assert_eq!((&object["frame"], &object["speed"]), (&750.into(), &1.0.into()));
    }

    #[test]
    fn without_a_count_there_is_no_percentage() {
        let mut progress = Progress::with_style(Style::Plain, None);
        assert_eq!(progress.told(seconds(29.9), 10, 0.4), None);
        assert_eq!(progress.told(seconds(30.0), 15, 0.4).unwrap(), "15 frames, 2.00 s/frame (avg 2.00 s/frame)");
        assert_eq!(progress.told(seconds(31.0), 15, 0.4), None);
    }

    #[test]
    fn more_frames_than_expected_do_no_harm() {
        let mut progress = Progress::with_style(Style::Rewritten, Some(10));
        assert_eq!(
            progress.told(seconds(1.0), 12, 0.4).unwrap(),
            "[100.0%] 12/10 frames, 12.0 fps (avg 12.0 fps), eta 0:00"
        );
    }

    #[test]
    fn programs_get_the_keys_of_ffmpeg() {
        let mut progress = Progress::with_style(Style::Json, Some(100));
        progress.size(1234);
        let text = progress.told(seconds(2.0), 50, 4.0).unwrap();
        let object: serde_json::Value = serde_json::from_str(&text).unwrap();
        let expected = serde_json::json!({"frame": 50, "fps": 25.0, "speed": 2.0, "out_time_us": 4_000_000,
            "total_size": 1234, "progress": "continue"});
        assert_eq!(object, expected);
        assert!(!text.contains('\n'));
        assert!(progress.json(seconds(3.0), "end").contains("\"progress\":\"end\""));
    }

    #[test]
    fn nothing_is_told_when_nobody_wants_to_hear() {
        let mut progress = Progress::new(ProgressMode::Auto, true, Some(10));
        assert_eq!(progress.told(seconds(1000.0), 5, 0.2), None);
        let mut progress = Progress::new(ProgressMode::None, false, Some(10));
        assert_eq!(progress.told(seconds(1000.0), 5, 0.2), None);
    }
}
