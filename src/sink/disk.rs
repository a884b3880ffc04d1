//! Every durable write goes through one small trait, so that a test can fail or end a run at each of them.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::OFlags;

use crate::av::Channel;

/// What is asked of a file system.
pub trait Disk: fmt::Debug + Send + Sync {
    /// Makes a folder; one that is there is as good.
    fn make_folder(&self, path: &Path) -> io::Result<()>;
    /// Opens a file to be read and written as it is, and makes it if need be; a link is not followed.
    fn open(&self, path: &Path) -> io::Result<File>;
    /// Takes a file's content away.
    fn empty(&self, file: &File) -> io::Result<()>;
    /// Writes all bytes at the file's position.
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

    fn open(&self, path: &Path) -> io::Result<File> {
        let no_follow = i32::try_from(OFlags::NOFOLLOW.bits()).expect("the flag is a bit of a C int");
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).custom_flags(no_follow).open(path)
    }

    fn empty(&self, file: &File) -> io::Result<()> {
        file.set_len(0)
    }

    fn write(&self, mut file: &File, bytes: &[u8]) -> io::Result<()> {
        file.write_all(bytes)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_all()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        match File::open(path).and_then(|folder| folder.sync_all()) {
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

/// An open file for FFmpeg, written through a [`Disk`].
pub struct DiskFile {
    /// How it is written.
    pub disk: Arc<dyn Disk>,
    /// The file.
    pub file: File,
}

impl Channel for DiskFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Channel::read(&mut self.file, buffer)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.disk.write(&self.file, bytes)
    }

    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        Seek::seek(&mut self.file, position)
    }

    fn size(&self) -> io::Result<u64> {
        Channel::size(&self.file)
    }
}
