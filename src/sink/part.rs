//! Where the bytes of an output go: `OUTPUT.part` until all is well, then `OUTPUT`.
//!
//! A [`PartFile`] is locked while it is written, so that two runs on one output do not mix, and gets its final name
//! only after its content is on the disk. [`Output`] is that or a stream that is written as it comes. Whether an
//! existing output may be replaced is the caller's question, not asked here.

use std::fs::{File, Metadata, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::io::Errno;

use super::disk::{Disk, System};
use crate::error::{Error, Kind, Result};
use crate::meter;
use crate::pipe;

/// What a file is called while it is written.
pub fn part_of(path: &Path) -> PathBuf {
    let mut part = path.as_os_str().to_owned();
    part.push(".part");
    part.into()
}

/// A file that is being written under the name `OUTPUT.part`. Dropped without [`PartFile::commit`] it stays there.
#[derive(Debug)]
pub struct PartFile {
    disk: Arc<dyn Disk>,
    file: File,
    part: PathBuf,
    path: PathBuf,
}

impl PartFile {
    /// Opens, locks and empties the `.part` beside `path`; refused while another run holds it.
    pub fn create(path: &Path) -> Result<Self> {
        PartFile::create_on(Arc::new(System), path)
    }

    /// [`PartFile::create`] with every durable write through `disk`, which may be one that fails.
    pub fn create_on(disk: Arc<dyn Disk>, path: &Path) -> Result<Self> {
        if path.is_dir() {
            let message = format!("the output {} is a folder, expected a file; add a file name", path.display());
            return Err(Error::new(Kind::Usage, message));
        }
        let part = part_of(path);
        loop {
            let file = open(disk.as_ref(), &part)?;
            lock(&file, path)?;
            // Between our open and our lock another run may have renamed this very file to its final name. Then what
            // we hold is its finished output, which must not be touched.
            if is_at(&file, &part)? {
                disk.empty(&file).map_err(|error| Error::io(format!("empty {}", part.display()), error))?;
                return Ok(PartFile { disk, file, part, path: path.to_owned() });
            }
        }
    }

    /// How it is written.
    pub fn disk(&self) -> Arc<dyn Disk> {
        Arc::clone(&self.disk)
    }

    /// The file to write; `&File` is a writer.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// The name it has until it is committed.
    pub fn part_path(&self) -> &Path {
        &self.part
    }

    /// The content is complete: brings it to the disk and gives it its final name, for good.
    pub fn commit(self) -> Result<()> {
        let (folder, disk) = (folder(&self.path).to_owned(), self.disk());
        self.publish()?;
        sync_folder_on(disk.as_ref(), &folder)
    }

    /// [`PartFile::commit`] without the last step, [`sync_folder`], for the one who does it after many files.
    pub fn publish(self) -> Result<()> {
        self.disk.sync(&self.file).map_err(|error| Error::io(format!("write {}", self.part.display()), error))?;
        if !is_at(&self.file, &self.part)? {
            let message = format!("{} was moved or replaced while it was written; run again", self.part.display());
            return Err(Error::new(Kind::Io, message));
        }
        let what = || format!("rename {} to {}", self.part.display(), self.path.display());
        self.disk.rename(&self.part, &self.path).map_err(|error| Error::io(what(), error))
    }

    /// Removes what was written.
    pub fn discard(self) -> Result<()> {
        if is_at(&self.file, &self.part)? {
            let what = || format!("remove {}", self.part.display());
            self.disk.remove(&self.part).map_err(|error| Error::io(what(), error))?;
        }
        Ok(())
    }
}

/// Brings a folder's names to the disk.
pub fn sync_folder(folder: &Path) -> Result<()> {
    sync_folder_on(&System, folder)
}

fn sync_folder_on(disk: &dyn Disk, folder: &Path) -> Result<()> {
    disk.sync_folder(folder).map_err(|error| Error::io(format!("write the folder {}", folder.display()), error))
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."))
}

/// Opens without truncating, for the lock comes first. A link is not followed and a hard link not written: either
/// could lead to somebody's file elsewhere.
fn open(disk: &dyn Disk, part: &Path) -> Result<File> {
    let name = part.display();
    let file = match disk.open(part) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let message = format!("the folder {} of the output does not exist; make it first", folder(part).display());
            return Err(Error::new(Kind::Usage, message).with_source(error));
        }
        Err(error) if error.raw_os_error() == Some(Errno::LOOP.raw_os_error()) => {
            let message = format!("{name} is a symbolic link, expected a file of an earlier run or none; remove it");
            return Err(Error::new(Kind::Usage, message).with_source(error));
        }
        Err(error) => return Err(Error::io(format!("create {name}"), error)),
    };
    let metadata = file.metadata().map_err(|error| Error::io(format!("look at {name}"), error))?;
    if !metadata.is_file() || metadata.nlink() > 1 {
        let message = format!("{name} is not a plain file of one name; remove it or choose another output");
        return Err(Error::new(Kind::Usage, message));
    }
    Ok(file)
}

fn lock(file: &File, path: &Path) -> Result<()> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => {
            let message = format!("another run is writing {}; wait for it or choose another output", path.display());
            Err(Error::new(Kind::Io, message))
        }
        // A file system without locks: then nothing guards against a second run, but the first must be possible.
        Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => Ok(()),
        Err(TryLockError::Error(error)) => Err(Error::io(format!("lock the output {}", path.display()), error)),
    }
}

/// Whether the name leads to this open file.
fn is_at(file: &File, path: &Path) -> Result<bool> {
    let identity = |metadata: Metadata| (metadata.dev(), metadata.ino());
    let fail = |error| Error::io(format!("look at {}", path.display()), error);
    let ours = identity(file.metadata().map_err(fail)?);
    match std::fs::symlink_metadata(path) {
        Ok(metadata) => Ok(identity(metadata) == ours),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(fail(error)),
    }
}

/// Where a sink writes its bytes.
pub enum Output {
    /// A file that gets its name at the end.
    File(PartFile),
    /// A pipe, a device or whatever takes bytes as they come.
    Stream(Box<dyn Write + Send>),
}

impl Output {
    /// The output for a path: standard output for `-`, a pipe or device as it is, else a file.
    pub fn create(path: &Path) -> Result<Self> {
        if path == Path::new("-") {
            // Not `io::stdout()`, which looks for line ends in every byte.
            let stdout = io::stdout().as_fd().try_clone_to_owned();
            let stdout = stdout.map_err(|error| Error::io("open standard output", error))?;
            return Ok(Output::Stream(Box::new(pipe::roomy(File::from(stdout)))));
        }
        if pipe::is_stream(path) && !path.is_dir() {
            let file = pipe::open_to_write(path)?;
            return Ok(Output::Stream(Box::new(pipe::roomy(file))));
        }
        PartFile::create(path).map(Output::File)
    }

    /// Nothing more comes: an incomplete file is removed.
    pub fn remove(self) {
        if let Output::File(part) = self {
            let _ = std::fs::remove_file(part.part_path());
        }
    }

    /// All bytes are written: a file gets its name.
    pub fn finish(self) -> Result<()> {
        match self {
            Output::File(part) => part.commit(),
            Output::Stream(mut stream) => stream.flush().map_err(|error| Error::io("write the output", error)),
        }
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        meter::waiting(|| match self {
            Output::File(part) => part.file().write(bytes),
            Output::Stream(stream) => stream.write(bytes),
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Output::File(part) => part.file().flush(),
            Output::Stream(stream) => stream.flush(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_appears_only_with_the_commit_and_the_old_file_lives_until_then() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.bin");
        std::fs::write(&path, "old").unwrap();
        std::fs::write(folder.path().join("a.bin.part"), "left by a run that was killed").unwrap();
        let part = PartFile::create(&path).unwrap();
        part.file().write_all(b"new").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        part.commit().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
        assert!(!folder.path().join("a.bin.part").exists());
    }

    #[test]
    fn a_second_run_is_refused_until_the_first_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.bin");
        let first = PartFile::create(&path).unwrap();
        first.file().write_all(b"first").unwrap();
        let error = PartFile::create(&path).unwrap_err();
        assert!(error.to_string().contains("another run"), "{error}");
        assert_eq!(std::fs::read(first.part_path()).unwrap(), b"first");
        drop(first);
        PartFile::create(&path).unwrap().discard().unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn many_runs_at_once_never_empty_a_finished_output() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.bin");
        let n_committed = std::sync::atomic::AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let Ok(part) = PartFile::create(&path) else { continue };
                        part.file().write_all(b"whole").unwrap();
                        part.publish().unwrap();
                        assert_eq!(std::fs::read(&path).unwrap(), b"whole");
                        n_committed.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    }
                });
            }
        });
        assert!(n_committed.into_inner() > 0);
    }

    #[test]
    fn what_is_not_ours_to_write_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let victim = folder.path().join("victim");
        std::fs::write(&victim, "precious").unwrap();
        std::os::unix::fs::symlink(&victim, folder.path().join("link.part")).unwrap();
        std::fs::hard_link(&victim, folder.path().join("hard.part")).unwrap();
        for name in ["link", "hard", "missing/a", ""] {
            let error = PartFile::create(&folder.path().join(name)).unwrap_err();
            assert_eq!(error.kind(), Kind::Usage, "{name}: {error}");
        }
        assert_eq!(std::fs::read(&victim).unwrap(), b"precious");
    }

    #[test]
    fn a_device_is_written_as_it_is() {
        let mut output = Output::create(Path::new("/dev/null")).unwrap();
        output.write_all(b"x").unwrap();
        output.finish().unwrap();
        assert!(!Path::new("/dev/null.part").exists());
    }
}
