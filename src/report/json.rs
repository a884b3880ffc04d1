//! The report as a JSON file, and every other file that tells of a run: whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::Report;
use crate::error::{Error, Kind, Result};

/// Writes `report` beside `path` and renames it there; a pipe or a device is written to as it is.
pub fn write_json(path: &Path, report: &Report) -> Result<()> {
    let mut text = serde_json::to_vec_pretty(report)
        .map_err(|error| Error::new(Kind::Internal, format!("the report is no JSON: {error}")))?;
    text.push(b'\n');
    write_whole(path, "report", |out| out.write_all(&text))
}

/// Writes what `content` gives beside `path` and renames it there, so that nobody finds half of it; a pipe or a device
/// is written to as it is. `what` it is, for people.
pub fn write_whole(path: &Path, what: &str, content: impl Fn(&mut dyn Write) -> std::io::Result<()>) -> Result<()> {
    let failed = |error| Error::io(format!("cannot write the {what} {}", path.display()), error);
    let buffered = |file: &File| {
        let mut out = BufWriter::new(file);
        content(&mut out)?;
        out.flush()
    };
    if fs::metadata(path).is_ok_and(|facts| !facts.is_file()) {
        return OpenOptions::new().write(true).open(path).and_then(|file| buffered(&file)).map_err(failed);
    }
    let part = part_of(path);
    replace(&part, path, buffered).map_err(|error| {
        let _ = fs::remove_file(&part);
        failed(error)
    })
}

/// `path` with `.part` behind its name.
fn part_of(path: &Path) -> PathBuf {
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    part.into()
}

fn replace(part: &Path, path: &Path, content: impl Fn(&File) -> std::io::Result<()>) -> std::io::Result<()> {
    // A link planted under the name of the part must not lead the bytes elsewhere.
    let no_follow = i32::try_from(OFlags::NOFOLLOW.bits()).expect("the flag is a bit of a C int");
    let file = OpenOptions::new().write(true).create(true).truncate(true).custom_flags(no_follow).open(part)?;
    content(&file)?;
    file.sync_all()?;
    fs::rename(part, path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
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
