//! Several progress lines that stand together on a terminal: one for all runs, one for each that is under way.
//!
//! Whoever has something to tell puts it into its own line, and the board is drawn again. Without a terminal there is
//! no board to see, and nothing is written.

use std::io;
use std::sync::{Mutex, PoisonError};

use super::progress;

/// The lines.
#[derive(Debug)]
pub struct Board {
    is_seen: bool,
    lines: Mutex<Vec<Option<String>>>,
}

impl Board {
    /// A board of `n_lines` empty lines; `is_seen` on a terminal that can be rewritten.
    pub fn new(is_seen: bool, n_lines: usize) -> Self {
        Board { is_seen, lines: Mutex::new(vec![None; n_lines]) }
    }

    /// Writes a line, 0.. from the top.
    pub fn put(&self, line: usize, text: String) {
        self.change(line, Some(text));
    }

    /// Empties a line, whose place the ones below take.
    pub fn take(&self, line: usize) {
        self.change(line, None);
    }

    fn change(&self, line: usize, text: Option<String>) {
        if !self.is_seen {
            return;
        }
        // The order of locks is that of everyone who writes to stderr and draws no board: stderr comes first.
        let _stderr = io::stderr().lock();
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = lines.get_mut(line) {
            *place = text;
        }
        let seen: Vec<&str> = lines.iter().flatten().map(String::as_str).collect();
        match seen.is_empty() {
            true => progress::clear(),
            false => progress::rewrite_lines(&seen),
        }
    }
}
