//! The files of a cache: `index`, `payload` and `lock` in one folder, opened or begun anew.
//!
//! Both are allocated in full before anything is written, so that a full disk is met here and nowhere else. Beginning
//! anew makes new files and renames them; those that other processes have open stay as they are until these end. It
//! happens under a lock that the kernel frees when its holder dies.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{FallocateFlags, OFlags, fallocate, statvfs};
use rustix::io::Errno;

use super::index::{ALIGNMENT, Header, Index, SECRET, SIZES};
use super::map::Words;
use crate::error::{Error, Kind, Result};

/// What a cache takes when nobody says a size, if the disk has it.
const DEFAULT_SIZE: u64 = 10 << 30;

/// The share of a disk's free space that a cache takes at most when nobody says a size.
const SHARE: u64 = 4;

/// How long another process may be at beginning the files anew.
const PATIENCE: Duration = Duration::from_secs(20);

/// The open files.
pub struct Files {
    /// The index, mapped.
    pub index: Index,
    /// The payload.
    pub payload: File,
    /// Open, and locked together with all others that use this index, so that nobody takes it for unused.
    pub in_use: File,
    /// Why they were begun anew or are of another size, if that was not asked for.
    pub warning: Option<String>,
}

/// Why files that are there cannot be used.
enum Unusable {
    /// Nothing is there yet.
    Missing,
    /// They are of another size than was asked for, and nobody uses them.
    OtherSize,
    /// They are damaged or of another version, for people.
    Damaged(&'static str),
}

/// Opens the cache of a folder, which is made if need be; of `size` bytes if that is said and nobody else uses it, else of
/// the size it has. Refused are files of another user, and disks without room.
pub fn open(folder: &Path, size: Option<u64>) -> Result<Files> {
    make_folder(folder)?;
    let _lock = lock(folder)?;
    let warning = match existing(folder, size)? {
        Ok(mut files) => {
            let capacity = files.index.header().capacity;
            let keeps = || {
                let (folder, mib) = (folder.display(), capacity >> 20);
                format!("the cache in {folder} is in use by another run and keeps its {mib} MiB")
            };
            files.warning = size.filter(|size| rounded(*size) != capacity).map(|_| keeps());
            return Ok(files);
        }
        Err(Unusable::Missing | Unusable::OtherSize) => None,
        Err(Unusable::Damaged(what)) => Some(format!("the cache in {} {what} and begins anew", folder.display())),
    };
    Ok(Files { warning, ..begin(folder, size)? })
}

/// Opens the cache of a folder only if it is there and sound; begins nothing.
pub fn look(folder: &Path) -> Result<Option<Files>> {
    if !folder.join("index").exists() {
        return Ok(None);
    }
    let _lock = lock(folder)?;
    match existing(folder, None)? {
        Ok(files) => Ok(Some(files)),
        Err(Unusable::Damaged(what)) => Err(Error::new(
            Kind::Io,
            format!("the cache in {} {what}; `vproc cache clear` begins anew", folder.display()),
        )),
        Err(_) => Ok(None),
    }
}

/// Begins the cache of a folder anew, of the size it has or else the default; what was in it is forgotten.
pub fn clear(folder: &Path, size: Option<u64>) -> Result<Files> {
    make_folder(folder)?;
    let _lock = lock(folder)?;
    let size = match existing(folder, None) {
        Ok(Ok(files)) => size.or(Some(files.index.header().capacity)),
        _ => size,
    };
    begin(folder, size)
}

fn make_folder(folder: &Path) -> Result<()> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|error| Error::io(format!("make the folder {}", folder.display()), error))
}

/// The lock of a folder, freed when the file is dropped or the process ends.
fn lock(folder: &Path) -> Result<File> {
    let path = folder.join("lock");
    let fail = |error| Error::io(format!("lock {}", path.display()), error);
    let file = options().create(true).open(&path).map_err(fail)?;
    let begun = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(fs::TryLockError::WouldBlock) if begun.elapsed() < PATIENCE => {
                thread::sleep(Duration::from_millis(5));
            }
            Err(fs::TryLockError::WouldBlock) => {
                let message = format!("another process holds {} for too long", path.display());
                return Err(Error::new(Kind::Io, message));
            }
            // A file system without locks: then two processes may begin anew at once, and one of them uses files that
            // have no name any more.
            Err(fs::TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => return Ok(file),
            Err(fs::TryLockError::Error(error)) => return Err(fail(error)),
        }
    }
}

/// To read and write a file of ours alone; a link is not followed.
fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600).custom_flags(OFlags::NOFOLLOW.bits() as i32);
    options
}

/// The files that are there, of `size` bytes if that is said, or in use.
fn existing(folder: &Path, size: Option<u64>) -> Result<std::result::Result<Files, Unusable>> {
    let (Some(index), Some(payload)) = (open_own(&folder.join("index"))?, open_own(&folder.join("payload"))?) else {
        return Ok(Err(Unusable::Missing));
    };
    let fail = |error| Error::io(format!("read the cache in {}", folder.display()), error);
    let mut bytes = [0; 65 * 8];
    let read = index.read_at(&mut bytes, 0).map_err(fail)?;
    let words: Vec<u64> = bytes[..read].as_chunks::<8>().0.iter().map(|bytes| u64::from_ne_bytes(*bytes)).collect();
    let Some(header) = Header::read(&words) else {
        return Ok(Err(Unusable::Damaged("is damaged or of another version of vproc")));
    };
    let is_wanted = size.is_none_or(|size| rounded(size) == header.capacity);
    if !is_wanted && !matches!(index.try_lock(), Err(fs::TryLockError::WouldBlock)) {
        return Ok(Err(Unusable::OtherSize));
    }
    let length = |file: &File| file.metadata().map(|metadata| metadata.len()).map_err(fail);
    let n_words = Header::n_words(header.capacity);
    if length(&index)? != n_words as u64 * 8 || length(&payload)? != header.capacity {
        return Ok(Err(Unusable::Damaged("was cut short")));
    }
    // A sparse file would be allocated when it is touched, and a full disk then kills the process.
    allocate(&index, n_words as u64 * 8, true).map_err(fail)?;
    let words = Words::map(&index, n_words).map_err(fail)?;
    Ok(Ok(in_use(Index::new(words, header), index, payload)))
}

/// Files that are used from now on. Where a file system has no locks, whoever asks for another size gets it.
fn in_use(index: Index, file: File, payload: File) -> Files {
    let _ = file.try_lock_shared();
    Files { index, payload, in_use: file, warning: None }
}

/// A file of ours; `None` if there is none.
fn open_own(path: &Path) -> Result<Option<File>> {
    let fail = |error| Error::io(format!("open {}", path.display()), error);
    let file = match options().open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(fail(error)),
    };
    let metadata = file.metadata().map_err(fail)?;
    let is_own = metadata.is_file() && metadata.nlink() == 1 && metadata.uid() == rustix::process::geteuid().as_raw();
    if !is_own || metadata.mode() & 0o077 != 0 {
        let message = format!(
            "{} is not a plain file that this user alone can read and write; remove it or choose another folder",
            path.display()
        );
        return Err(Error::new(Kind::Io, message));
    }
    Ok(Some(file))
}

/// New files in the place of those that are there.
fn begin(folder: &Path, size: Option<u64>) -> Result<Files> {
    let fail = |error| Error::io(format!("make the cache in {}", folder.display()), error);
    let capacity = match size {
        Some(size) => rounded(size),
        None => default_size(folder).map_err(fail)?,
    };
    if !SIZES.contains(&capacity) {
        let message = format!("there is no room for a cache in {}; name another folder with --cache", folder.display());
        return Err(Error::new(Kind::DiskFull, message));
    }
    let parts = ["index", "payload"].map(|name| folder.join(format!("{name}.new")));
    let made = make(&parts, capacity).and_then(|made| {
        // An index without its payload finds nothing; a payload with another index is not believed.
        for (part, name) in parts.iter().zip(["index", "payload"]).rev() {
            fs::rename(part, folder.join(name))?;
        }
        Ok(made)
    });
    if made.is_err() {
        parts.iter().for_each(|part| drop(fs::remove_file(part)));
    }
    made.map_err(fail)
}

fn make([index, payload]: &[PathBuf; 2], capacity: u64) -> io::Result<Files> {
    let create = |path: &Path| {
        match fs::remove_file(path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        options().create_new(true).open(path)
    };
    let mut secret = [0; SECRET];
    File::open("/dev/urandom")?.read_exact(&mut secret)?;
    let header = Header { capacity, secret };
    let (index, payload) = (create(index)?, create(payload)?);
    let n_words = Header::n_words(capacity);
    allocate(&payload, capacity, false)?;
    allocate(&index, n_words as u64 * 8, true)?;
    index.write_all_at(bytemuck::cast_slice(&header.words()), 0)?;
    Ok(in_use(Index::new(Words::map(&index, n_words)?, header), index, payload))
}

/// Takes the room that a file needs, where the file system can; where not, an index is written with zeros.
fn allocate(file: &File, length: u64, in_any_case: bool) -> io::Result<()> {
    match fallocate(file, FallocateFlags::empty(), 0, length) {
        Ok(()) => Ok(()),
        Err(Errno::OPNOTSUPP | Errno::NOSYS) if in_any_case && file.metadata()?.len() == 0 => {
            let zeros = [0; 1 << 16];
            (0..length).step_by(zeros.len()).try_for_each(|at| {
                let n = (length - at).min(zeros.len() as u64) as usize;
                file.write_all_at(&zeros[..n], at)
            })
        }
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => file.set_len(length.max(file.metadata()?.len())),
        Err(error) => Err(error.into()),
    }
}

/// Bytes of the ring that [`open`] would give, as far as that is known beforehand; 0 where it would give none.
pub fn expected(folder: &Path, size: Option<u64>) -> u64 {
    let there = || fs::metadata(folder.join("payload")).ok().map(|facts| facts.len());
    // What is not made yet lies on the disk of what it will be made in.
    let made = || folder.ancestors().find(|folder| folder.exists()).and_then(|folder| default_size(folder).ok());
    size.map(rounded).or_else(there).or_else(made).filter(|size| SIZES.contains(size)).unwrap_or(0)
}

fn default_size(folder: &Path) -> io::Result<u64> {
    let disk = statvfs(folder)?;
    Ok(rounded((disk.f_bavail * disk.f_frsize / SHARE).min(DEFAULT_SIZE)))
}

/// A whole number of records' steps.
fn rounded(size: u64) -> u64 {
    size / ALIGNMENT * ALIGNMENT
}
