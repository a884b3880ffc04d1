//! What became of each file of a batch: `batch.json` in the output folder, and the table for people.
//!
//! The list tells a second call what is done and need not be done again. It is written whole, under another name first,
//! so that a kill at any moment leaves the old list or the new one. The field names are a contract and only grow.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt::{self, Write as _};
use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Report;
use super::json::write_whole;
use crate::error::{Error, Kind, Result};

/// The list's name in the output folder.
pub const NAME: &str = "batch.json";

/// A list is not longer than this, in bytes: some hundred thousand files.
const MAX_LIST: u64 = 1 << 30;

/// What is true of a file of the batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Its output is there and verified.
    Done,
    /// Its output is there and verified, but the source had lost frames.
    Damaged,
    /// There is no output, and the error says why.
    Failed,
    /// Nothing was done, because something stands where the output would go and must not be replaced.
    Skipped,
    /// It was begun, and the program ended before it.
    #[default]
    Unfinished,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Status::Done => "done",
            Status::Damaged => "damaged",
            Status::Failed => "failed",
            Status::Skipped => "skipped",
            Status::Unfinished => "unfinished",
        })
    }
}

/// By what a file is known to be the same as before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Bytes.
    pub size: u64,
    /// When it was last written, in nanoseconds since 1970.
    pub mtime_ns: i64,
}

impl Identity {
    /// Of a plain file, by whatever links it is reached; `None` for all else.
    pub fn of(path: &Path) -> Option<Identity> {
        std::fs::metadata(path).ok().filter(Metadata::is_file).map(|facts| Identity::from(&facts))
    }
}

impl From<&Metadata> for Identity {
    fn from(facts: &Metadata) -> Self {
        let mtime_ns = facts.mtime().saturating_mul(1_000_000_000).saturating_add(facts.mtime_nsec());
        Identity { size: facts.size(), mtime_ns }
    }
}

/// A file of the batch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Entry {
    /// The output below the folder of the list, as [`text_of`] writes it.
    pub output: String,
    /// The input, from the root, written in the same way.
    pub input: String,
    /// The input as it was.
    pub input_file: Option<Identity>,
    /// Hash of the options and the network that decide the output.
    pub settings: String,
    /// What became of it.
    pub status: Status,
    /// The status that a run of this file alone exits with.
    pub exit_status: u8,
    /// Why it failed.
    pub error: Option<String>,
    /// Frames written.
    pub frames: u64,
    /// Frames missing or damaged in the source.
    pub frames_damaged: u64,
    /// Frames written a second of wall time.
    pub fps: f64,
    /// Wall time in seconds.
    pub wall_seconds: f64,
    /// The output was opened again and found to be what it should be.
    pub verified: bool,
    /// The plan's hash.
    pub plan_hash: String,
    /// What a person should hear.
    pub warnings: Vec<String>,
    /// The output as it was left; `None` while there is none of this batch.
    pub output_file: Option<Identity>,
}

impl Entry {
    /// Takes over what a run told at its end.
    pub fn conclude(&mut self, report: Report) {
        self.status = if report.exit_status == 0 { Status::Done } else { Status::Damaged };
        self.exit_status = report.exit_status;
        (self.frames, self.frames_damaged) = (report.frames_out, report.frames_damaged);
        (self.fps, self.wall_seconds) = (report.fps, report.wall_seconds);
        self.verified = report.verified;
        self.plan_hash = report.plan_hash;
        self.warnings = report.warnings;
    }

    /// Takes over why there is no output.
    pub fn fail(&mut self, error: &Error) {
        (self.status, self.exit_status) = (Status::Failed, error.exit_status());
        self.error = Some(error.to_string());
    }

    /// What a person is told of it: why it failed, or how many frames there were and how fast.
    pub fn outcome(&self) -> String {
        match &self.error {
            Some(error) => error.clone(),
            None if self.status == Status::Damaged => {
                format!("{}, {} damaged, {:.1} fps", frames(self.frames), self.frames_damaged, self.fps)
            }
            None => format!("{}, {:.1} fps", frames(self.frames), self.fps),
        }
    }
}

/// The list of all files that batches have put into a folder.
#[derive(Debug, Default)]
pub struct List {
    path: PathBuf,
    entries: BTreeMap<String, Entry>,
}

/// The head of the file.
#[derive(Deserialize)]
struct Written {
    files: Vec<Entry>,
}

impl List {
    /// Reads the list of a folder; an empty one where there is none.
    pub fn read(folder: &Path) -> Result<List> {
        let path = folder.join(NAME);
        let mut bytes = Vec::new();
        match File::open(&path).and_then(|file| file.take(MAX_LIST + 1).read_to_end(&mut bytes)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(List { path, ..List::default() }),
            Err(error) => return Err(Error::io(format!("cannot read {}", path.display()), error)),
            Ok(_) => {}
        }
        let written: Written = serde_json::from_slice(&bytes).map_err(|error| {
            let message = format!(
                "{}: expected the list of an earlier batch, got something else ({error}); move it away or choose \
                 another folder",
                path.display()
            );
            Error::new(Kind::Usage, message)
        })?;
        let entries = written.files.into_iter().map(|entry| (entry.output.clone(), entry)).collect();
        Ok(List { path, entries })
    }

    /// The file with this output.
    pub fn get(&self, output: &str) -> Option<&Entry> {
        self.entries.get(output)
    }

    /// Puts a file in the place of what was known of its output.
    pub fn put(&mut self, entry: Entry) {
        self.entries.insert(entry.output.clone(), entry);
    }

    /// Writes the list, whole or not at all.
    pub fn write(&self) -> Result<()> {
        write_whole(&self.path, "list of the batch", |out| {
            writeln!(out, "{{\n\"vproc\": \"{}\",\n\"files\": [", env!("CARGO_PKG_VERSION"))?;
            // A file a line, which people can read and programs can sort.
            for (index, entry) in self.entries.values().enumerate() {
                if index > 0 {
                    out.write_all(b",\n")?;
                }
                serde_json::to_writer(&mut *out, entry)?;
            }
            out.write_all(b"\n]\n}\n")
        })
    }
}

/// A name as text that no two names share: bytes that are not UTF-8 become `\xFF`, a backslash is doubled.
pub fn text_of(name: &OsStr) -> String {
    let mut text = String::new();
    for chunk in name.as_bytes().utf8_chunks() {
        text.push_str(&chunk.valid().replace('\\', "\\\\"));
        for byte in chunk.invalid() {
            // Writing into a string cannot fail.
            let _ = write!(text, "\\x{byte:02X}");
        }
    }
    text
}

/// What a call of the program did, and what was done before.
#[derive(Debug, Default)]
pub struct Tally {
    /// By output and input: two inputs of one output are both told of. With each, whether an earlier call ended it.
    entries: BTreeMap<(String, String), (Entry, bool)>,
}

impl Tally {
    /// Puts a file in the place of what was told of it; `is_before` if an earlier call had ended it.
    pub fn put(&mut self, entry: Entry, is_before: bool) {
        self.entries.insert((entry.output.clone(), entry.input.clone()), (entry, is_before));
    }

    /// All files.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Files with this status.
    pub fn count(&self, status: Status) -> usize {
        self.entries.values().filter(|(entry, _)| entry.status == status).count()
    }

    /// Whether every file is done, or was to be left alone.
    pub fn is_clean(&self) -> bool {
        self.count(Status::Failed) + self.count(Status::Damaged) == 0
    }

    /// A table of what was done now, and of what is not well whenever it was; then a line for all.
    pub fn table(&self) -> String {
        let is_bad = |entry: &Entry| matches!(entry.status, Status::Failed | Status::Damaged);
        let told = self.entries.values().filter(|(entry, is_before)| !is_before || is_bad(entry));
        let rows: Vec<&Entry> = told.map(|(entry, _)| entry).collect();
        let line = |name: &str| name.replace(char::is_control, " ");
        let width = rows.iter().map(|entry| entry.output.chars().count()).max().unwrap_or(0).min(48);
        let mut text = String::new();
        for entry in rows {
            // Writing into a string cannot fail.
            let _ = writeln!(text, "{:width$}  {:8}  {}", line(&entry.output), entry.status, line(&entry.outcome()));
        }
        let _ = write!(text, "{}: {} done", files(self.len()), self.count(Status::Done));
        let before = self.entries.values().filter(|(entry, is_before)| *is_before && entry.status == Status::Done);
        let n_before = before.count();
        if n_before > 0 {
            let _ = write!(text, " ({n_before} before)");
        }
        for status in [Status::Damaged, Status::Failed, Status::Skipped, Status::Unfinished] {
            let n = self.count(status);
            if n > 0 {
                let _ = write!(text, ", {n} {status}");
            }
        }
        let now = self.entries.values().filter(|(_, is_before)| !is_before);
        let _ = writeln!(text, "; {}", frames(now.map(|(entry, _)| entry.frames).sum()));
        text
    }
}

fn frames(n: u64) -> String {
    if n == 1 { "1 frame".to_owned() } else { format!("{n} frames") }
}

fn files(n: usize) -> String {
    if n == 1 { "1 file".to_owned() } else { format!("{n} files") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(output: &str, status: Status) -> Entry {
        Entry { output: output.into(), input: "/in/\n\u{1f4fc}".into(), status, frames: 3, ..Entry::default() }
    }

    #[test]
    fn a_list_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let mut list = List::read(folder.path()).unwrap();
        let identity = Some(Identity { size: u64::MAX, mtime_ns: i64::MIN });
        list.put(Entry { input_file: identity, error: Some("why".into()), ..entry("a \"b\".mkv", Status::Failed) });
        list.put(entry("b.mkv", Status::Unfinished));
        list.put(Entry { fps: 0.1 + 0.2, ..entry("b.mkv", Status::Done) });
        list.write().unwrap();
        let read = List::read(folder.path()).unwrap();
        assert_eq!(read.entries, list.entries);
        assert_eq!(read.entries.len(), 2);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_no_list_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        for text in ["", "{}", "[1]", "{\"files\": 3}", "{\"files\": [{\"status\": \"lost\"}]}"] {
            std::fs::write(folder.path().join(NAME), text).unwrap();
            let error = List::read(folder.path()).unwrap_err();
            assert_eq!(error.kind(), Kind::Usage, "{text}");
        }
    }

    #[test]
    fn no_two_names_are_written_alike() {
        let names: [&[u8]; 6] = [b"a\xff", b"a\\xFF", b"a\xfe", b"a\\", b"a\\\\", "a\u{fffd}".as_bytes()];
        let texts: std::collections::BTreeSet<_> = names.iter().map(|name| text_of(OsStr::from_bytes(name))).collect();
        assert_eq!(texts.len(), names.len());
        assert!(texts.contains("a\\xFF") && text_of(OsStr::new("ü.mp4")) == "ü.mp4");
    }

    #[test]
    fn the_table_tells_what_was_done_and_what_is_not_well() {
        let failed = Entry { error: Some("b.mp4: no video\nhere".into()), ..entry("b.mkv", Status::Failed) };
        let mut tally = Tally::default();
        tally.put(entry("c.mkv", Status::Done), true);
        tally.put(Entry { fps: 12.34, ..entry("a.mkv", Status::Done) }, false);
        assert!(tally.is_clean());
        tally.put(entry("b.mkv", Status::Unfinished), false);
        tally.put(failed, true);
        let expected = "a.mkv  done      3 frames, 12.3 fps\n\
                        b.mkv  failed    b.mp4: no video here\n\
                        3 files: 2 done (1 before), 1 failed; 3 frames\n";
        assert_eq!(tally.table(), expected);
        assert!(!tally.is_clean());
    }
}
