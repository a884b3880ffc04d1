//! Ends without a way back: the system refuses memory to our own code, or FFmpeg finds itself broken and would crash.
//!
//! Where FFmpeg or another library is refused memory it says so, and that is an error like any other. Rust's own
//! collections cannot fail, they end the process; this says one line as every failure does, with the status that tells
//! that another try can help, instead of a crash. What was made is what a killed process leaves: the same command goes
//! on from there.

use std::alloc::{GlobalAlloc, Layout, System};
use std::fmt::{self, Write};
use std::io::IoSlice;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Bytes of a line that are said; the rest is cut off.
const LINE: usize = 512;

/// The exit status: failed, and worth trying again.
const STATUS: i32 = 1;

/// Whether a thread is already ending the process.
static ENDING: AtomicBool = AtomicBool::new(false);

/// The system's allocator, with an end of the process where it refuses.
pub struct Checked;

// SAFETY: every call is the system's with the caller's own arguments, and only what it gives is returned.
unsafe impl GlobalAlloc for Checked {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the trait's contract.
        given(unsafe { System.alloc(layout) }, layout.size())
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the trait's contract.
        given(unsafe { System.alloc_zeroed(layout) }, layout.size())
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the trait's contract.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller keeps the trait's contract.
        given(unsafe { System.realloc(pointer, layout, size) }, size)
    }
}

fn given(pointer: *mut u8, bytes: usize) -> *mut u8 {
    if pointer.is_null() {
        end(format_args!(
            "out of memory: the system refuses {bytes} bytes more; try --memory with less, or fewer --threads"
        ));
    }
    pointer
}

/// Says `why` as an error and ends the process, allocating nothing, locking nothing, and without what libraries
/// registered for the exit: their threads are still at work.
pub fn end(why: fmt::Arguments) -> ! {
    if ENDING.swap(true, Ordering::Relaxed) {
        // One line is enough, and the thread that says it is about to end this one too.
        loop {
            std::thread::sleep(Duration::from_secs(1));
        }
    }
    let mut line = Line { bytes: [0; LINE], length: 0 };
    // It cuts off and never fails.
    let _ = write!(line, "vproc: error: {why}");
    let pieces = [IoSlice::new(&line.bytes[..line.length]), IoSlice::new(b"\n")];
    let _ = rustix::io::writev(rustix::stdio::stderr(), &pieces);
    signal_hook::low_level::exit(STATUS)
}

/// A line that is written where no memory can be had.
struct Line {
    bytes: [u8; LINE],
    length: usize,
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let n = text.len().min(LINE - self.length);
        self.bytes[self.length..self.length + n].copy_from_slice(&text.as_bytes()[..n]);
        self.length += n;
        Ok(())
    }
}
