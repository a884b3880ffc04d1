//! The report as a JSON file, and every other file that tells of a run: whole or not at all.

use std::io::{BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};

use super::Report;
use crate::error::{Context, Error, Kind, Result};
use crate::sink::part::Output;

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
/// written to as it is. Two runs do not write one file.
pub struct Growing {
    path: PathBuf,
    what: &'static str,
    /// `None` once it has its name.
    out: Option<BufWriter<Output>>,
}

impl Growing {
    /// Begins a file; `what` it is, for people.
    pub fn create(path: &Path, what: &'static str) -> Result<Growing> {
        let out = Output::create(path).context(|| format!("cannot write the {what} {}", path.display()))?;
        Ok(Growing { path: path.to_owned(), what, out: Some(BufWriter::new(out)) })
    }

    /// Writes what `content` gives; whoever reads a pipe has it at once.
    pub fn write(&mut self, content: impl FnOnce(&mut dyn Write) -> std::io::Result<()>) -> Result<()> {
        let Some(out) = &mut self.out else { return Ok(()) };
        let is_stream = matches!(out.get_ref(), Output::Stream(_));
        let written = content(out).and_then(|()| if is_stream { out.flush() } else { Ok(()) });
        written.map_err(|error| self.failed(error))
    }

    /// Gives the complete file its name.
    pub fn finish(mut self) -> Result<()> {
        let Some(mut out) = self.out.take() else { return Ok(()) };
        let flushed = out.flush();
        match out.into_parts() {
            (output, _) if flushed.is_ok() => output.finish().context(|| format!("the {}", self.what)),
            (output, _) => {
                output.remove();
                flushed.map_err(|error| self.failed(error))
            }
        }
    }

    fn failed(&self, error: std::io::Error) -> Error {
        let (what, path) = (self.what, self.path.display());
        match error.kind() {
            // Not the reader of the main output, for whose going no word is lost.
            ErrorKind::BrokenPipe => Error::new(Kind::Io, format!("the reader of the {what} {path} has gone away")),
            _ => Error::io(format!("cannot write the {what} {path}"), error),
        }
    }
}

impl Drop for Growing {
    fn drop(&mut self) {
        if let Some(out) = self.out.take() {
            out.into_parts().0.remove();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
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
        assert!(error.to_string().ends_with("none of the output does not exist; make it first"), "{error}");
    }
}
