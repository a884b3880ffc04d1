//! Pipes between this program and others.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use rustix::fs::{OFlags, fcntl_setfl};
use rustix::io::Errno;
use rustix::pipe::{fcntl_getpipe_size, fcntl_setpipe_size};

use crate::error::{Error, Kind, Result};
use crate::interrupt;

/// Bytes that a pipe may hold: much of a frame, and the most that Linux gives to everybody.
const ROOM: usize = 1 << 20;

/// The same with more room where it is a pipe, so that its writer and its reader wait for each other less often.
pub fn roomy(file: File) -> File {
    if fcntl_getpipe_size(&file).is_ok_and(|room| room < ROOM) {
        // Who has many pipes gets no more room for this one.
        let _ = fcntl_setpipe_size(&file, ROOM);
    }
    file
}

/// How often a pipe is asked whether somebody reads it by now.
const PATIENCE: Duration = Duration::from_millis(20);

/// Links that are followed at most.
const MAX_LINKS: usize = 40;

/// Whether what has this name is written as it is, and not replaced by another file: a pipe or a device, and whatever is
/// open already and has its name through `/proc`, as `/dev/stdout` has.
pub fn is_stream(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|facts| !facts.is_file()) || open_already(path).is_some()
}

/// The name below `/proc` that a path leads to by its links.
pub fn open_already(path: &Path) -> Option<PathBuf> {
    let mut at = path.to_owned();
    for _ in 0..MAX_LINKS {
        let folder = at.parent()?;
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        let folder = fs::canonicalize(folder).ok()?;
        if folder.starts_with("/proc") {
            return Some(folder.join(at.file_name()?));
        }
        at = folder.join(fs::read_link(&at).ok()?);
    }
    None
}

/// Our own standard output or standard error, if the path leads there: the same stream once more, at the same place.
fn own_stream(path: &Path) -> Option<io::Result<File>> {
    let own = PathBuf::from(format!("/proc/{}/fd", std::process::id()));
    let open = open_already(path).filter(|open| open.parent() == Some(&own))?;
    let stream = match open.file_name()?.to_str()? {
        "1" => io::stdout().as_fd().try_clone_to_owned(),
        "2" => io::stderr().as_fd().try_clone_to_owned(),
        _ => return None,
    };
    Some(stream.map(File::from))
}

/// Opens a stream to write to. A named pipe that nobody reads is waited for until a signal asks to stop.
pub fn open_to_write(path: &Path) -> Result<File> {
    let open = |flags: OFlags| {
        let flags = i32::try_from(flags.bits()).expect("the flag is a bit of a C int");
        OpenOptions::new().write(true).custom_flags(flags).open(path)
    };
    let failed = |error| Error::io(format!("open {}", path.display()), error);
    if let Some(stream) = own_stream(path) {
        return stream.map_err(failed);
    }
    if !fs::metadata(path).map_err(failed)?.file_type().is_fifo() {
        // Of what somebody else has open nobody knows how far it is written.
        let flags = if open_already(path).is_some() { OFlags::APPEND } else { OFlags::empty() };
        return open(flags).map_err(failed);
    }
    loop {
        match open(OFlags::NONBLOCK) {
            Ok(file) => {
                // From here on writing waits for the reader.
                return fcntl_setfl(&file, OFlags::empty()).map(|()| file).map_err(|error| failed(error.into()));
            }
            Err(error) if Errno::from_io_error(&error) == Some(Errno::NXIO) => {}
            Err(error) => return Err(failed(error)),
        }
        if interrupt::requested().is_some() {
            return Err(Error::new(Kind::Interrupted, format!("stopped while nobody read {}", path.display())));
        }
        thread::sleep(PATIENCE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pipes_grow_and_never_shrink_and_files_stay_what_they_are() {
        let room = |file: &File| fcntl_getpipe_size(file).unwrap();
        let (reader, _writer) = std::io::pipe().unwrap();
        let pipe = File::from(std::os::fd::OwnedFd::from(reader));
        let before = room(&pipe);
        let pipe = roomy(pipe);
        assert!(room(&pipe) >= before);
        if room(&pipe) == ROOM && fcntl_setpipe_size(&pipe, 2 * ROOM).is_ok() {
            assert_eq!(room(&roomy(pipe)), 2 * ROOM);
        }
        roomy(tempfile::tempfile().unwrap());
    }
}
