//! The manifest: what a segmented run is of, and which segments are finished. A JSON file that is replaced as a whole.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::disk::Disk;
use super::packets::{self, Print, part_of};
use crate::error::{Error, Kind, Result};

/// Its name in the folder.
const MANIFEST: &str = "manifest.json";

/// The version of this form.
const FORMAT: u32 = 1;

/// A manifest is not longer than this, in bytes.
const MAX_BYTES: u64 = 64 << 20;

/// What a segmented run is of, and how far it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    format: u32,
    /// All that decides the output's bits, by name: the input, the network, the encoder, ...
    pub facts: Vec<(String, String)>,
    /// What runs the network, by the name it is asked for.
    pub engine: String,
    /// A segment begins at every frame whose index is a multiple of this.
    pub segment_frames: u64,
    /// Finished segments by number.
    pub segments: BTreeMap<u64, Done>,
    /// What the source said at its end, once it was there.
    pub end: Option<SourceEnd>,
    /// The output, complete and about to get its name.
    pub joined: Option<FileIdentity>,
}

/// A finished segment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Done {
    /// Its frames.
    pub frames: u64,
    /// Its file's bytes.
    pub bytes: u64,
    /// The XXH3 hash of its file, 128 bits in hexadecimal digits.
    pub hash: String,
    /// The hash of its frames' pts in rising order.
    pub times: u64,
    /// Kinds of side data that its frames had and the encoder has not taken along.
    pub lost_side_data: Vec<i32>,
}

/// What a source says at its end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceEnd {
    /// Its frames.
    pub n_frames: u64,
    /// Frames that were missing or damaged.
    pub n_damaged: u64,
    /// What was damaged, a line each.
    pub damage: Vec<String>,
    /// What a person should hear about it.
    pub warnings: Vec<String>,
}

/// A file as the file system knows it; its name may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileIdentity {
    device: u64,
    inode: u64,
    bytes: u64,
    seconds: i64,
    nanoseconds: i64,
}

impl FileIdentity {
    /// That of an open file.
    pub fn of(file: &File) -> std::io::Result<FileIdentity> {
        file.metadata().map(|facts| FileIdentity::from(&facts))
    }
}

impl From<&std::fs::Metadata> for FileIdentity {
    fn from(facts: &std::fs::Metadata) -> Self {
        FileIdentity {
            device: facts.dev(),
            inode: facts.ino(),
            bytes: facts.len(),
            seconds: facts.mtime(),
            nanoseconds: facts.mtime_nsec(),
        }
    }
}

impl Manifest {
    /// The manifest of a run that has done nothing yet.
    pub fn new(facts: Vec<(String, String)>, engine: String, segment_frames: u64) -> Manifest {
        Manifest { format: FORMAT, facts, engine, segment_frames, ..Manifest::default() }
    }

    /// The first fact that is another one, as a sentence.
    pub fn difference(&self, facts: &[(String, String)]) -> Option<String> {
        let of = |facts: &[(String, String)], name: &str| {
            facts.iter().find(|(other, _)| other == name).map(|(_, value)| value.clone()).unwrap_or_default()
        };
        let names = facts.iter().chain(&self.facts).map(|(name, _)| name);
        let (name, was, is) =
            names.map(|name| (name, of(&self.facts, name), of(facts, name))).find(|(_, was, is)| was != is)?;
        Some(format!("the {name} was {was}, and is {is}"))
    }
}

/// The folder beside an output in which its segments lie.
#[derive(Clone)]
pub struct Folder {
    /// How it is written.
    pub disk: Arc<dyn Disk>,
    path: PathBuf,
}

impl Folder {
    /// The folder for `output`; it need not be there.
    pub fn of(output: &Path, disk: Arc<dyn Disk>) -> Folder {
        let mut path = output.as_os_str().to_owned();
        path.push(".vproc");
        Folder { disk, path: path.into() }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn manifest(&self) -> PathBuf {
        self.path.join(MANIFEST)
    }

    /// The file of a segment.
    pub fn segment(&self, number: u64) -> PathBuf {
        self.path.join(format!("{number:06}.seg"))
    }

    /// The manifest, if there is one.
    pub fn load(&self) -> Result<Option<Manifest>> {
        let path = self.manifest();
        let failed = |error| Error::io(format!("read {}", path.display()), error);
        let broken = |why: String| {
            let message = format!("{} is no manifest of ours: {why}; -y starts anew", path.display());
            Error::new(Kind::Usage, message)
        };
        if std::fs::symlink_metadata(&self.path).is_ok_and(|facts| !facts.is_dir()) {
            let message = format!("{} is not a folder, expected the segments of a run; remove it", self.path.display());
            return Err(Error::new(Kind::Usage, message));
        }
        let file = match packets::open_plain(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let mut text = Vec::new();
        file.take(MAX_BYTES).read_to_end(&mut text).map_err(failed)?;
        let manifest: Manifest = serde_json::from_slice(&text).map_err(|error| broken(error.to_string()))?;
        match manifest.format {
            FORMAT if manifest.segment_frames >= 2 => Ok(Some(manifest)),
            FORMAT => Err(broken(format!("segments of {} frames", manifest.segment_frames))),
            other => Err(broken(format!("its format is {other}, expected {FORMAT}"))),
        }
    }

    /// Makes the folder and puts `manifest` in the place of the one that is there.
    pub fn save(&self, manifest: &Manifest) -> Result<()> {
        let path = self.manifest();
        let part = part_of(&path);
        let mut text = serde_json::to_vec_pretty(manifest)
            .map_err(|error| Error::new(Kind::Internal, format!("the manifest is no JSON: {error}")))?;
        text.push(b'\n');
        let disk = &self.disk;
        let replace = || {
            let file = disk.create(&part)?;
            disk.write(&file, &text)?;
            disk.sync(&file)?;
            disk.rename(&part, &path)?;
            disk.sync_folder(&self.path)
        };
        replace().map_err(|error| Error::io(format!("write {}", path.display()), error))
    }

    /// Makes the folder, for good.
    pub fn make(&self) -> Result<()> {
        let outer = self.path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
        let made = self.disk.make_folder(&self.path).and_then(|()| self.disk.sync_folder(outer));
        made.map_err(|error| Error::io(format!("make the folder {}", self.path.display()), error))
    }

    /// Forgets finished segments whose files are not what they were; their numbers.
    pub fn check(&self, manifest: &mut Manifest) -> Vec<u64> {
        let is_whole =
            |number: &u64, done: &Done| packets::print_of(&self.segment(*number)).is_ok_and(|print| done.is(print));
        let broken: Vec<u64> = manifest
            .segments
            .iter()
            .filter(|(number, done)| !is_whole(number, done))
            .map(|(number, _)| *number)
            .collect();
        manifest.segments.retain(|number, _| !broken.contains(number));
        broken
    }

    /// Removes what runs have put there, and the folder if nothing else is in it. The manifest is the last: as long as
    /// anything is there, it says what of.
    pub fn clear(&self) -> Result<()> {
        let failed = |error| Error::io(format!("remove {}", self.path.display()), error);
        let names = match std::fs::read_dir(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            names => names.map_err(failed)?,
        };
        let mut others = 0;
        for entry in names {
            let name = entry.map_err(failed)?.file_name();
            let ours = name.to_str().is_some_and(is_ours);
            others += u32::from(!ours);
            if ours && name != MANIFEST {
                self.disk.remove(&self.path.join(name)).map_err(failed)?;
            }
        }
        self.disk.remove(&self.manifest()).map_err(failed)?;
        if others == 0 { self.disk.remove_folder(&self.path).map_err(failed) } else { Ok(()) }
    }
}

impl Done {
    /// A finished segment with this file.
    pub fn new(frames: u64, print: Print, times: u64, lost_side_data: Vec<i32>) -> Done {
        Done { frames, bytes: print.bytes, hash: format!("{:032x}", print.hash), times, lost_side_data }
    }

    /// Whether this is its file.
    pub fn is(&self, print: Print) -> bool {
        self.bytes == print.bytes && self.hash == format!("{:032x}", print.hash)
    }
}

/// Whether a file of this name is made by us.
fn is_ours(name: &str) -> bool {
    let name = name.strip_suffix(".part").unwrap_or(name);
    let number = name.strip_suffix(".seg");
    name == MANIFEST || number.is_some_and(|number| number.len() >= 6 && number.bytes().all(|b| b.is_ascii_digit()))
}
