//! FFmpeg's I/O over files that vproc opened itself.
//!
//! FFmpeg never opens a file by name here, so that nothing inside a file can make it open another one, and the
//! operating system's own words about a failed write are not lost.

use std::ffi::{c_int, c_void};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use ffmpeg_next::ffi;

use crate::error::{Error, Kind, Result};
use crate::meter;

/// Bytes that FFmpeg asks for at a time.
const BUFFER: usize = 256 * 1024;

/// `whence` by which FFmpeg asks for the size.
const SEEK_SIZE: c_int = 0x10000;

/// What an I/O context reads from or writes to.
struct Stream {
    file: Box<dyn Channel>,
    /// The operating system's first error, in its own words.
    failure: Option<io::Error>,
    /// Bytes are counted so that a report can tell the size without asking the disk.
    written: u64,
}

/// A file, a pipe, or nowhere.
pub trait Channel: Send {
    /// Reads some bytes, none only at the end.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize>;
    /// Writes all bytes.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Goes to a position, which comes back counted from the beginning.
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64>;
    /// All bytes there are.
    fn size(&self) -> io::Result<u64>;
}

impl Channel for File {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match Read::read(self, buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        Write::write_all(self, bytes)
    }

    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        Seek::seek(self, position)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }
}

/// Takes everything and keeps nothing: for trying whether a muxer accepts a stream.
struct Nowhere {
    position: u64,
    size: u64,
}

impl Channel for Nowhere {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Ok(0)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.position += bytes.len() as u64;
        self.size = self.size.max(self.position);
        Ok(())
    }

    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        let target = match position {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.position.checked_add_signed(by),
            SeekFrom::End(by) => self.size.checked_add_signed(by),
        };
        self.position = target.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.size)
    }
}

/// An `AVIOContext` over a [`Channel`].
struct Context {
    context: *mut ffi::AVIOContext,
    /// What the callbacks work on; FFmpeg holds the same pointer.
    stream: *mut Stream,
}

// SAFETY: the context and the stream behind it belong to this value alone, and a `Channel` is `Send`.
unsafe impl Send for Context {}

impl Context {
    fn new(file: Box<dyn Channel>, writable: bool, seekable: bool) -> Result<Self> {
        let stream = Box::into_raw(Box::new(Stream { file, failure: None, written: 0 }));
        // SAFETY: the buffer is FFmpeg's own allocation, as avio_alloc_context asks; the callbacks match the opaque
        // pointer's type; on failure both are freed here.
        unsafe {
            let buffer = ffi::av_malloc(BUFFER).cast::<u8>();
            let seek = seekable.then_some(seek as unsafe extern "C" fn(*mut c_void, i64, c_int) -> i64);
            let context = if buffer.is_null() {
                ptr::null_mut()
            } else {
                ffi::avio_alloc_context(
                    buffer,
                    BUFFER as c_int,
                    c_int::from(writable),
                    stream.cast(),
                    Some(read),
                    Some(write),
                    seek,
                )
            };
            if context.is_null() {
                ffi::av_free(buffer.cast());
                drop(Box::from_raw(stream));
                return Err(Error::new(Kind::Io, "out of memory while opening a file"));
            }
            Ok(Context { context, stream })
        }
    }

    fn take_failure(&mut self) -> Option<io::Error> {
        // SAFETY: `&mut self`, and no FFmpeg call is running, so nobody else looks at the stream.
        unsafe { (*self.stream).failure.take() }
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: both were made in `new`; FFmpeg may have replaced the buffer, so it is read from the context.
        unsafe {
            ffi::av_freep((&raw mut (*self.context).buffer).cast());
            ffi::avio_context_free(&mut self.context);
            drop(Box::from_raw(self.stream));
        }
    }
}

/// An input file in FFmpeg's form.
pub struct Reader(Context);

impl Reader {
    /// Reads `file`, seeking if it is a regular file.
    pub fn new(file: File) -> Result<Self> {
        let seekable = file.metadata().is_ok_and(|metadata| metadata.is_file());
        Context::new(Box::new(file), false, seekable).map(Reader)
    }

    pub(super) fn as_ptr(&self) -> *mut ffi::AVIOContext {
        self.0.context
    }

    /// What the operating system said when reading failed, once.
    pub fn take_failure(&mut self) -> Option<io::Error> {
        self.0.take_failure()
    }
}

/// An output file in FFmpeg's form.
pub struct Writer(Context);

impl Writer {
    /// Writes to `file`, seeking if it is a regular file.
    pub fn new(file: File) -> Result<Self> {
        let seekable = file.metadata().is_ok_and(|metadata| metadata.is_file());
        Context::new(Box::new(file), true, seekable).map(Writer)
    }

    /// Writes to something else that can be sought.
    pub fn over(channel: impl Channel + 'static) -> Result<Self> {
        Context::new(Box::new(channel), true, true).map(Writer)
    }

    /// Writes to nowhere.
    pub fn nowhere() -> Result<Self> {
        Writer::over(Nowhere { position: 0, size: 0 })
    }

    pub(super) fn as_ptr(&self) -> *mut ffi::AVIOContext {
        self.0.context
    }

    /// What the operating system said when writing failed, once.
    pub fn take_failure(&mut self) -> Option<io::Error> {
        self.0.take_failure()
    }

    /// Bytes written so far, rewritten ones counted twice.
    pub fn written(&self) -> u64 {
        // SAFETY: `&self` keeps the context alive, and callbacks run only inside calls that need `&mut`.
        unsafe { (*self.0.stream).written }
    }
}

/// Runs a callback's body; a panic must not unwind into C, so it becomes an error.
fn guarded(opaque: *mut c_void, body: impl FnOnce(&mut Stream) -> io::Result<i64>) -> i64 {
    // SAFETY: FFmpeg hands back the pointer given to avio_alloc_context, on the thread that runs its call.
    let stream = unsafe { &mut *opaque.cast::<Stream>() };
    let result = catch_unwind(AssertUnwindSafe(|| body(stream)))
        .unwrap_or_else(|_| Err(io::Error::other("internal error in a file callback")));
    match result {
        Ok(value) => value,
        Err(error) => {
            let code = error.raw_os_error().unwrap_or(5);
            stream.failure.get_or_insert(error);
            -i64::from(code)
        }
    }
}

unsafe extern "C" fn read(opaque: *mut c_void, buffer: *mut u8, size: c_int) -> c_int {
    let end_of_file = ffi::AVERROR_EOF;
    let count = guarded(opaque, |stream| {
        // SAFETY: FFmpeg gives a buffer of `size` writable bytes.
        let buffer = unsafe { std::slice::from_raw_parts_mut(buffer, usize::try_from(size).unwrap_or(0)) };
        Ok(match meter::waiting(|| stream.file.read(buffer))? {
            0 => i64::from(end_of_file),
            count => count as i64,
        })
    });
    count as c_int
}

unsafe extern "C" fn write(opaque: *mut c_void, buffer: *mut u8, size: c_int) -> c_int {
    let count = guarded(opaque, |stream| {
        // SAFETY: FFmpeg gives a buffer of `size` readable bytes.
        let bytes = unsafe { std::slice::from_raw_parts(buffer.cast_const(), usize::try_from(size).unwrap_or(0)) };
        meter::waiting(|| stream.file.write(bytes))?;
        stream.written += bytes.len() as u64;
        Ok(i64::from(size))
    });
    count as c_int
}

unsafe extern "C" fn seek(opaque: *mut c_void, offset: i64, whence: c_int) -> i64 {
    guarded(opaque, |stream| {
        if whence & SEEK_SIZE != 0 {
            return Ok(i64::try_from(stream.file.size()?).unwrap_or(i64::MAX));
        }
        let position = match whence & 3 {
            0 => SeekFrom::Start(u64::try_from(offset).map_err(|_| io::ErrorKind::InvalidInput)?),
            1 => SeekFrom::Current(offset),
            _ => SeekFrom::End(offset),
        };
        // A seek that a broken file asks for and that cannot be is the file's fault, not the disk's.
        Ok(stream.file.seek(position).map_or(-22, |at| i64::try_from(at).unwrap_or(i64::MAX)))
    })
}
