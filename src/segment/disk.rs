//! Every durable write of a segmented run goes through one small trait, so that a test can fail or end a run at each of
//! them.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;

use crate::meter;

/// What a segmented run asks of a file system.
pub trait Disk: Send + Sync {
    /// Makes a folder; one that is there is as good.
    fn make_folder(&self, path: &Path) -> io::Result<()>;
    /// Makes an empty file, or empties one; a link is not followed.
    fn create(&self, path: &Path) -> io::Result<File>;
    /// Appends to a file.
    fn write(&self, file: &File, bytes: &[u8]) -> io::Result<()>;
    /// Brings a file's content to the disk. Once this has failed the content counts as lost: a second call may lie.
    fn sync(&self, file: &File) -> io::Result<()>;
    /// Gives a file another name, replacing what has it.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Brings a folder's names to the disk.
    fn sync_folder(&self, path: &Path) -> io::Result<()>;
    /// Removes a file; none is as good.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Removes an empty folder; none is as good.
    fn remove_folder(&self, path: &Path) -> io::Result<()>;
}

/// The operating system's.
#[derive(Clone, Copy, Debug, Default)]
pub struct System;

/// A file that is not there is as good as one that was removed.
fn gone(result: io::Result<()>) -> io::Result<()> {
    result.or_else(|error| if error.kind() == ErrorKind::NotFound { Ok(()) } else { Err(error) })
}

impl Disk for System {
    fn make_folder(&self, path: &Path) -> io::Result<()> {
        match fs::create_dir(path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists && fs::symlink_metadata(path)?.is_dir() => Ok(()),
            other => other,
        }
    }

    fn create(&self, path: &Path) -> io::Result<File> {
        let no_follow = i32::try_from(OFlags::NOFOLLOW.bits()).expect("the flag is a bit of a C int");
        OpenOptions::new().write(true).create(true).truncate(true).custom_flags(no_follow).open(path)
    }

    fn write(&self, mut file: &File, bytes: &[u8]) -> io::Result<()> {
        meter::waiting(|| file.write_all(bytes))
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        meter::waiting(|| file.sync_all())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        match meter::waiting(|| File::open(path).and_then(|folder| folder.sync_all())) {
            // Some file systems (network ones) know no such thing.
            Err(error) if !matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::Unsupported) => Err(error),
            _ => Ok(()),
        }
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        gone(fs::remove_file(path))
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        gone(fs::remove_dir(path))
    }
}
