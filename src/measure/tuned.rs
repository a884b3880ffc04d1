//! What earlier runs and `vproc tune` found out, in files of the user's cache folder: settings that are fast, and which
//! engine is.
//!
//! A file a situation, named by its hash and holding the situation itself, so that files are never merged, a foreign
//! one is not mistaken, and removing the folder forgets everything. Files are replaced as a whole. One that cannot be
//! understood is ignored with a warning; nothing here can fail a run.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::machine;
use crate::config::{Tuning, folders};
use crate::error::{Error, Kind, Result};
use crate::infer;
use crate::plan::Hardware;
use crate::sink::part::PartFile;

/// A file is not longer than this, in bytes.
const MAX_FILE: u64 = 1 << 16;

/// What decides which settings are fast.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Situation {
    /// The network's hash.
    pub network: String,
    /// The network's arithmetic.
    pub precision: String,
    /// The input's codec, size and pixel format; empty for what holds of all.
    pub input: String,
    /// The encoder and its preset; empty for what holds of all.
    pub encoder: String,
    /// The processor, how many there are, and the libraries that run networks.
    pub machine: String,
    /// How trials judged.
    #[serde(default)]
    pub trial: u32,
}

impl Situation {
    /// The situation of a network on this machine, whatever the video.
    pub fn of_network(origin: u128, precision: impl ToString, hardware: Hardware) -> Situation {
        let libraries: Vec<_> = infer::ort::installed().iter().map(|path| path.display().to_string()).collect();
        Situation {
            network: format!("{origin:032x}"),
            precision: precision.to_string(),
            machine: format!("{}, {} cores, {}", machine::cpu_name(), hardware.cores, libraries.join(", ")),
            trial: infer::trial::VERSION,
            ..Situation::default()
        }
    }

    fn file(&self, folder: &Path) -> PathBuf {
        let text = format!("{self:?}");
        let kind = if self.input.is_empty() { "engine" } else { "tuned" };
        folder.join(format!("{kind}-{:016x}.json", xxh3_64(text.as_bytes())))
    }
}

/// What was found in a situation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Remembered {
    /// Where it holds.
    pub situation: Situation,
    /// When it was found, in UTC.
    pub date: String,
    /// What was the fastest.
    pub settings: Tuning,
    /// How many times faster than without it.
    pub gain: f64,
}

/// The folder where it is kept; `None` without a home.
pub fn folder() -> Option<PathBuf> {
    folders().map(|folders| folders.cache)
}

/// Whether anything was tuned yet, so that it is worth looking.
pub fn is_any(folder: &Path) -> bool {
    let names = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.file_name());
    names.into_iter().any(|name| name.to_string_lossy().starts_with("tuned-"))
}

/// What was found in this situation, if anything was.
pub fn recall(folder: &Path, situation: &Situation) -> Option<Remembered> {
    let path = situation.file(folder);
    let mut text = Vec::new();
    match fs::File::open(&path).and_then(|file| file.take(MAX_FILE).read_to_end(&mut text)) {
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound => return None,
        Err(error) => {
            tracing::warn!("{} cannot be read and is ignored: {error}", path.display());
            return None;
        }
    }
    let remembered: Option<Remembered> = serde_json::from_slice(&text).ok();
    let usable = remembered.filter(|it| it.settings.is_sane() && it.situation == *situation);
    if usable.is_none() {
        tracing::warn!("{} is damaged and is ignored; remove it, or run vproc tune again", path.display());
    }
    usable
}

/// Keeps what was found, in place of what was kept of the same situation.
pub fn remember(folder: &Path, remembered: &Remembered) -> Result<PathBuf> {
    let path = remembered.situation.file(folder);
    let what = || format!("cannot write {}", path.display());
    fs::create_dir_all(folder).map_err(|error| Error::io(what(), error))?;
    let mut text = serde_json::to_vec_pretty(remembered)
        .map_err(|error| Error::new(Kind::Internal, format!("the settings are no JSON: {error}")))?;
    text.push(b'\n');
    let part = PartFile::create(&path)?;
    part.file().write_all(&text).map_err(|error| Error::io(what(), error))?;
    part.commit()?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remembered() -> Remembered {
        let situation = Situation { network: "ab".into(), input: "h264 64x64 yuv420p".into(), ..Situation::default() };
        let settings = Tuning { workers: Some(2), ..Tuning::default() };
        Remembered { situation, date: machine::now(), settings, gain: 1.1 }
    }

    #[test]
    fn what_is_remembered_is_recalled_in_its_situation_only() {
        let folder = tempfile::tempdir().unwrap();
        let below = folder.path().join("new");
        let remembered = remembered();
        assert!(!is_any(&below) && recall(&below, &remembered.situation).is_none());
        remember(&below, &remembered).unwrap();
        assert_eq!(recall(&below, &remembered.situation).unwrap(), remembered);
        let other = Situation { encoder: "libx265".into(), ..remembered.situation.clone() };
        assert!(recall(&below, &other).is_none() && is_any(&below));
        let again = Remembered { gain: 1.2, ..remembered };
        remember(&below, &again).unwrap();
        assert_eq!(recall(&below, &again.situation).unwrap().gain, 1.2);
        assert_eq!(fs::read_dir(&below).unwrap().count(), 1);
    }

    #[test]
    fn a_damaged_or_foreign_file_is_no_answer() {
        let folder = tempfile::tempdir().unwrap();
        let remembered = remembered();
        let path = remember(folder.path(), &remembered).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let absurd = text.replace("\"workers\": 2", "\"workers\": 99999999");
        let foreign = text.replace("64x64", "65x65");
        for content in ["", "{", "[]", &text[..text.len() / 2], &absurd, &foreign] {
            fs::write(&path, content).unwrap();
            assert_eq!(recall(folder.path(), &remembered.situation), None, "{content}");
        }
        fs::write(&path, text).unwrap();
        assert!(recall(folder.path(), &remembered.situation).is_some());
    }
}
