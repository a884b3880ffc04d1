//! The report as a JSON file, and every other file that tells of a run: whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::Report;
use crate::error::{Error, Kind, Result};
use crate::pipe;

/// Writes `report` beside `path` and renames it there; a pipe or a device is written to as it is.
pub fn write_json(path: &Path, report: &Report) -> Result<()> {
    let mut text = serde_json::to_vec_pretty(report)
        .map_err(|error| Error::new(Kind::Internal, format!("the report is no JSON: {error}")))?;
    text.push(b'\n');
    write_whole(path, "report", |out| out.write_all(&text))
}

/// Writes what `content` gives beside `path` and renames it there, so that nobody finds half of it; a pipe or a device
/// is written to as it is. `what` it is, for people.
pub fn write_whole(
    path: &Path,
    what: &'static str,
    content: impl FnOnce(&mut dyn Write) -> std::io::Result<()>,
) -> Result<()> {
    let mut growing = Growing::create(path, what)?;
    growing.write(content)?;
    growing.finish()
}

/// A file that grows beside its name and gets it when it is complete; dropped before, it is gone. A pipe or a device is
/// written to as it is.
pub struct Growing {
    out: BufWriter<File>,
    path: PathBuf,
    what: &'static str,
    /// Where it is until then; `None` of a pipe or a device, and once it has its name.
    part: Option<PathBuf>,
}

impl Growing {
    /// Begins a file; `what` it is, for people.
    pub fn create(path: &Path, what: &'static str) -> Result<Growing> {
        let is_stream = pipe::is_stream(path);
        let part = (!is_stream).then(|| part_of(path));
        let file = match &part {
            None => pipe::open_to_write(path)?,
            // A link planted under the name of the part must not lead the bytes elsewhere.
            Some(part) => {
                let mut options = OpenOptions::new();
                let opened = options.write(true).create(true).truncate(true).custom_flags(no_follow()).open(part);
                opened.map_err(|error| {
                    let _ = fs::remove_file(part);
                    failed(what, path, error)
                })?
            }
        };
        Ok(Growing { out: BufWriter::new(file), path: path.to_owned(), what, part })
    }

    /// Writes what `content` gives; whoever reads a pipe has it at once.
    pub fn write(&mut self, content: impl FnOnce(&mut dyn Write) -> std::io::Result<()>) -> Result<()> {
        let flush = |out: &mut BufWriter<File>| if self.part.is_none() { out.flush() } else { Ok(()) };
        let written = content(&mut self.out).and_then(|()| flush(&mut self.out));
        written.map_err(|error| match error.kind() {
            // Not the reader of the main output, for whose going no word is lost.
            ErrorKind::BrokenPipe => {
                let message = format!("the reader of the {} {} has gone away", self.what, self.path.display());
                Error::new(Kind::Io, message)
            }
            _ => failed(self.what, &self.path, error),
        })
    }

    /// Gives the complete file its name.
    pub fn finish(mut self) -> Result<()> {
        self.settle().map_err(|error| failed(self.what, &self.path, error))
    }

    fn settle(&mut self) -> std::io::Result<()> {
        self.out.flush()?;
        let Some(part) = &self.part else { return Ok(()) };
        self.out.get_ref().sync_all()?;
        fs::rename(part, &self.path)?;
        self.part = None;
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder)?.sync_all()
    }
}

impl Drop for Growing {
    fn drop(&mut self) {
        if let Some(part) = &self.part {
            let _ = fs::remove_file(part);
        }
    }
}

fn failed(what: &str, path: &Path, error: std::io::Error) -> Error {
    Error::io(format!("cannot write the {what} {}", path.display()), error)
}

fn no_follow() -> i32 {
    i32::try_from(OFlags::NOFOLLOW.bits()).expect("the flag is a bit of a C int")
}

/// `path` with `.part` behind its name.
fn part_of(path: &Path) -> PathBuf {
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    part.into()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::super::{Action, Stage, Stream};
    use super::*;

    #[test]
    fn the_fields_of_the_contract_are_there_whatever_the_names_hold() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.json");
        fs::write(&path, "old").unwrap();
        let stream = Stream {
            index: 1,
            kind: "audio".into(),
            codec: "aac".into(),
            action: Action::Copied,
            detail: String::new(),
        };
        let mut report = Report { input: "a\n\"\u{fffd}.mp4".into(), streams: vec![stream], ..Report::default() };
        report.stages.insert("infer".into(), Stage { items: 3, ..Stage::default() });
        write_json(&path, &report).unwrap();
        let value: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        for name in "frames_in frames_out frames_damaged fps wall_seconds cpu_seconds peak_rss_bytes device engine \
            plan_hash pixels_total pixels_inferred pixels_reused pixels_cached pixels_outside_roi pixels_computed batches \
            stages latency_ms bottleneck verified warnings streams input output exit_status"
            .split_whitespace()
        {
            assert!(value.get(name).is_some(), "{name}");
        }
        assert_eq!(value["streams"][0]["action"], "copied");
        assert_eq!(value["stages"]["infer"]["items"], 3);
        assert_eq!(value["latency_ms"]["p50"], 0.0);
        assert_eq!(value["input"], "a\n\"\u{fffd}.mp4");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_planted_link_is_not_followed_and_a_missing_folder_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let victim = folder.path().join("victim");
        fs::write(&victim, "precious").unwrap();
        symlink(&victim, folder.path().join("r.json.part")).unwrap();
        let _ = write_json(&folder.path().join("r.json"), &Report::default());
        assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
        let error = write_json(&folder.path().join("none/r.json"), &Report::default()).unwrap_err();
        assert!(error.to_string().ends_with("none/r.json: no such file or directory"), "{error}");
    }
}
