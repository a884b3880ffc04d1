//! Pipes between this program and others.

use std::fs::File;

use rustix::pipe::{fcntl_getpipe_size, fcntl_setpipe_size};

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
