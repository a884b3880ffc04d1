//! The folder beside an output in which its segments lie, with the manifest and a note of each finished segment.
//!
//! A note is a file of its own and not a line of the manifest, so that processes on several machines can make segments
//! of one run without waiting for each other. Every file here is written under another name first, brought to the disk,
//! and named: what an end of a process at any moment leaves behind is whole or not there.

use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::manifest::{Done, FORMAT, Manifest, SourceEnd};
use super::packets::{self, PacketWriter};
use crate::error::{Error, Kind, Result};
use crate::meter;
use crate::sink::disk::Disk;

/// The manifest's name.
const MANIFEST: &str = "manifest.json";

/// The name of the note of the source's end.
const END: &str = "end.json";

/// A manifest or a note is not longer than this, in bytes.
const MAX_BYTES: u64 = 64 << 20;

/// More frames of a segment than anybody asks for.
const MOST_FRAMES: u64 = 1 << 32;

/// What a note holds.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Note<T> {
    /// What it is a note of: [`Manifest::run`].
    run: String,
    value: T,
}

/// The folder of segments.
#[derive(Clone)]
pub struct Folder {
    /// How it is written.
    pub disk: Arc<dyn Disk>,
    path: PathBuf,
    /// Between a name and `.part`, where several processes may be making the same file; else empty.
    tag: String,
}

impl Folder {
    /// The folder for `output`; it need not be there.
    pub fn of(output: &Path, disk: Arc<dyn Disk>) -> Folder {
        let mut path = output.as_os_str().to_owned();
        path.push(".vproc");
        Folder { disk, path: path.into(), tag: String::new() }
    }

    /// The same for one of several processes that work in it.
    #[must_use]
    pub fn shared(self) -> Folder {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        // Processes of other machines may have the same number; that they also begin in the same nanosecond is as good
        // as impossible.
        Folder { tag: format!(".{:x}{:08x}", now.as_nanos(), std::process::id()), ..self }
    }

    /// The output that a manifest of this path is for; `None` if its folder has another name than ours.
    pub fn output_of(manifest: &Path) -> Option<PathBuf> {
        use std::os::unix::ffi::{OsStrExt, OsStringExt};
        let folder = if manifest.file_name()? == MANIFEST { manifest.parent()? } else { manifest };
        // Without a slash at its end.
        let name = folder.components().as_path().as_os_str().as_bytes().strip_suffix(b".vproc")?;
        Some(std::ffi::OsString::from_vec(name.to_vec()).into())
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the manifest is.
    pub fn manifest(&self) -> PathBuf {
        self.path.join(MANIFEST)
    }

    /// The file of a segment.
    pub fn segment(&self, number: u64) -> PathBuf {
        self.path.join(format!("{number:06}.seg"))
    }

    /// A file of a segment that grows.
    pub fn begin(&self, number: u64) -> Result<PacketWriter> {
        let path = self.segment(number);
        PacketWriter::create(Arc::clone(&self.disk), self.part_of(&path), path)
    }

    /// The manifest with all that was noted since it was written, if there is one.
    pub fn load(&self) -> Result<Option<Manifest>> {
        let path = self.manifest();
        if std::fs::symlink_metadata(&self.path).is_ok_and(|facts| !facts.is_dir()) {
            let message = format!("{} is not a folder, expected the segments of a run; remove it", self.path.display());
            return Err(Error::new(Kind::Usage, message));
        }
        let Some(text) = read(&path).map_err(|error| Error::io(format!("read {}", path.display()), error))? else {
            return Ok(None);
        };
        let broken = |why: String| {
            let message = format!("{} is no manifest of ours: {why}; -y starts anew", path.display());
            Error::new(Kind::Usage, message)
        };
        let mut manifest: Manifest = serde_json::from_slice(&text).map_err(|error| broken(error.to_string()))?;
        if manifest.format != FORMAT {
            return Err(broken(format!("its format is {}, expected {FORMAT}", manifest.format)));
        }
        if !(2..=MOST_FRAMES).contains(&manifest.segment_frames) {
            return Err(broken(format!("segments of {} frames", manifest.segment_frames)));
        }
        if !manifest.settings.is_sane() {
            return Err(broken(format!("settings of {}", manifest.settings.describe())));
        }
        let run = manifest.run();
        for name in self.names()? {
            if let Some(number) = name.strip_suffix(".json").and_then(number_of)
                && let Some(done) = self.noted::<Done>(&run, &name)
            {
                manifest.segments.insert(number, done);
            }
        }
        let possible = 1..=manifest.segment_frames;
        manifest.segments.retain(|_, done| possible.contains(&done.frames));
        manifest.end = manifest.end.or_else(|| self.noted::<SourceEnd>(&run, END));
        Ok(Some(manifest))
    }

    /// What was noted under this name of this run; what is torn, foreign or not there is no note.
    fn noted<T: DeserializeOwned>(&self, run: &str, name: &str) -> Option<T> {
        let text = read(&self.path.join(name)).ok().flatten()?;
        let note: Note<T> = serde_json::from_slice(&text).ok()?;
        (note.run == run).then_some(note.value)
    }

    /// Puts `manifest` in the place of the one that is there.
    pub fn save(&self, manifest: &Manifest) -> Result<()> {
        self.put(MANIFEST, manifest)
    }

    /// Notes that a segment of `run`, which has its name, is finished.
    pub fn note(&self, run: &str, number: u64, done: &Done) -> Result<()> {
        self.sync()?;
        self.put(&format!("{number:06}.json"), &Note { run: run.to_owned(), value: done })
    }

    /// Notes where the source of `run` ends.
    pub fn note_end(&self, run: &str, end: &SourceEnd) -> Result<()> {
        self.put(END, &Note { run: run.to_owned(), value: end })
    }

    /// Puts a file in the place of the one that is there, for good.
    fn put(&self, name: &str, value: &impl Serialize) -> Result<()> {
        let path = self.path.join(name);
        let part = self.part_of(&path);
        let mut text = serde_json::to_vec_pretty(value)
            .map_err(|error| Error::new(Kind::Internal, format!("{name} is no JSON: {error}")))?;
        text.push(b'\n');
        let disk = &self.disk;
        let replace = || {
            let file = disk.open(&part)?;
            disk.empty(&file)?;
            disk.write(&file, &text)?;
            disk.sync(&file)?;
            disk.rename(&part, &path)?;
            disk.sync_folder(&self.path)
        };
        meter::waiting(replace).map_err(|error| Error::io(format!("write {}", path.display()), error))
    }

    /// Brings the names in the folder to the disk.
    fn sync(&self) -> Result<()> {
        let synced = meter::waiting(|| self.disk.sync_folder(&self.path));
        synced.map_err(|error| Error::io(format!("write the folder {}", self.path.display()), error))
    }

    fn part_of(&self, path: &Path) -> PathBuf {
        let mut part = path.as_os_str().to_owned();
        part.push(&self.tag);
        part.push(".part");
        part.into()
    }

    /// Makes the folder, for good.
    pub fn make(&self) -> Result<()> {
        let outer = self.path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
        let made = self.disk.make_folder(&self.path).and_then(|()| self.disk.sync_folder(outer));
        made.map_err(|error| Error::io(format!("make the folder {}", self.path.display()), error))
    }

    /// Whether the file of a segment is the finished one.
    pub fn is_whole(&self, number: u64, done: &Done) -> bool {
        packets::print_of(&self.segment(number)).is_ok_and(|print| done.is(print))
    }

    /// Forgets finished segments whose files are gone or have another length. Less than [`Folder::check`], which reads
    /// all of them.
    pub fn look(&self, manifest: &mut Manifest) {
        let bytes = |number: u64| std::fs::metadata(self.segment(number)).map(|facts| facts.len());
        manifest.segments.retain(|number, done| bytes(*number).is_ok_and(|bytes| bytes == done.bytes));
    }

    /// Forgets finished segments whose files are not what they were; their numbers.
    pub fn check(&self, manifest: &mut Manifest) -> Vec<u64> {
        let segments = manifest.segments.iter();
        let broken: Vec<u64> =
            segments.filter(|(number, done)| !self.is_whole(**number, done)).map(|(number, _)| *number).collect();
        manifest.segments.retain(|number, _| !broken.contains(number));
        broken
    }

    /// Names of what runs have put there; and whether there is anything else.
    fn names_and_others(&self) -> Result<(Vec<String>, bool)> {
        let failed = |error| Error::io(format!("read the folder {}", self.path.display()), error);
        let entries = match std::fs::read_dir(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok((Vec::new(), false)),
            entries => entries.map_err(failed)?,
        };
        let (mut names, mut has_others) = (Vec::new(), false);
        for entry in entries {
            match entry.map_err(failed)?.file_name().into_string() {
                Ok(name) if is_ours(&name) => names.push(name),
                _ => has_others = true,
            }
        }
        names.sort();
        Ok((names, has_others))
    }

    fn names(&self) -> Result<Vec<String>> {
        Ok(self.names_and_others()?.0)
    }

    /// Removes the segments, and all that was noted of them, but not the manifest.
    pub fn strip(&self) -> Result<()> {
        let failed = |error| Error::io(format!("remove {}", self.path.display()), error);
        for name in self.names()?.iter().filter(|name| *name != MANIFEST) {
            self.disk.remove(&self.path.join(name)).map_err(failed)?;
        }
        Ok(())
    }

    /// Removes what runs have put there, and the folder if nothing else is in it. The manifest is the last: as long as
    /// anything is there, it says what of, also after the power was lost.
    pub fn clear(&self) -> Result<()> {
        if !self.path.exists() {
            return Ok(());
        }
        let failed = |error| Error::io(format!("remove {}", self.path.display()), error);
        let (_, has_others) = self.names_and_others()?;
        self.strip()?;
        self.sync()?;
        self.disk.remove(&self.manifest()).map_err(failed)?;
        if has_others { Ok(()) } else { self.disk.remove_folder(&self.path).map_err(failed) }
    }
}

/// A small file; `None` if it is not there.
fn read(path: &Path) -> std::io::Result<Option<Vec<u8>>> {
    let file = match packets::open_plain(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let mut text = Vec::new();
    file.take(MAX_BYTES).read_to_end(&mut text)?;
    Ok(Some(text))
}

/// The number that the name of a segment or of its note begins with.
fn number_of(digits: &str) -> Option<u64> {
    let is_number = digits.len() >= 6 && digits.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| digits.parse().ok()).flatten()
}

/// Whether a file of this name is made by us.
fn is_ours(name: &str) -> bool {
    let whole = |name: &str| {
        let number = name.strip_suffix(".seg").or(name.strip_suffix(".json"));
        name == MANIFEST || name == END || number.and_then(number_of).is_some()
    };
    let Some(name) = name.strip_suffix(".part") else { return whole(name) };
    let is_tagged = |(name, tag): (&str, &str)| tag.bytes().all(|b| b.is_ascii_hexdigit()) && whole(name);
    whole(name) || name.rsplit_once('.').is_some_and(is_tagged)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Tuning;
    use crate::sink::disk::System;

    #[test]
    fn names_of_ours_are_told_from_others() {
        for name in ["manifest.json", "manifest.json.part", "000001.seg", "1234567.seg", "000001.json", "end.json"] {
            assert!(is_ours(name), "{name}");
        }
        assert!(is_ours("000001.seg.18f0a.part") && is_ours("end.json.0.part"));
        for name in ["1.seg", "notes.txt", "000001.seg.bak", "000001.seg.xyz.part", "batch.json", ".part", "-00001.seg"]
        {
            assert!(!is_ours(name), "{name}");
        }
    }

    #[test]
    fn the_output_is_told_from_the_manifest_or_its_folder() {
        let output = |path: &str| Folder::output_of(Path::new(path));
        assert_eq!(output("a/b.mkv.vproc/manifest.json"), Some("a/b.mkv".into()));
        assert_eq!(output("a/b.mkv.vproc"), Some("a/b.mkv".into()));
        assert_eq!(output("a/b.mkv.vproc/"), Some("a/b.mkv".into()));
        assert_eq!(output("a/b.mkv"), None);
    }

    #[test]
    fn notes_of_other_runs_are_none() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::of(&root.path().join("a.mkv"), Arc::new(System));
        folder.make().unwrap();
        let manifest = |value: &str| Manifest::new(vec![("input".into(), value.into())], Tuning::default(), 20);
        folder.save(&manifest("one")).unwrap();
        let done = Done::new(20, packets::Print { bytes: 1, hash: 2 }, 3, vec![4]);
        folder.clone().shared().note(&manifest("one").run(), 7, &done).unwrap();
        folder.note(&manifest("two").run(), 8, &done).unwrap();
        folder.note_end(&manifest("two").run(), &SourceEnd::default()).unwrap();
        std::fs::write(folder.path().join("000009.json"), "{\"run\":").unwrap();
        let loaded = folder.load().unwrap().unwrap();
        assert_eq!(loaded.segments.into_iter().collect::<Vec<_>>(), [(7, done)]);
        assert_eq!(loaded.end, None);
        folder.clear().unwrap();
        assert!(!folder.path().exists());
    }
}
