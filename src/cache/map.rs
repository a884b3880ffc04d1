//! A file of 64-bit words in memory, shared with every process that maps it.
//!
//! Used by the index alone. A file that somebody else cuts short under a mapping ends a process with SIGBUS; here it
//! does not: the handler puts zeroed memory in the place of the whole mapping and notes that it is lost, so the index
//! looks empty and its owner turns the cache off. A fault anywhere else ends the process as it would without us.

use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::ptr::{null_mut, without_provenance};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, Once, PoisonError};

use memmap2::{MmapOptions, MmapRaw};

/// Mappings there may be at once in a process: one a run, and `batch` has a few runs at once.
const MAX_MAPPINGS: usize = 64;

/// The words of a file.
pub struct Words {
    map: MmapRaw,
    n_words: usize,
    guard: &'static Guard,
}

/// Where a mapping lies, for the handler, which may read nothing but atomics.
struct Guard {
    /// 0 where there is none.
    start: AtomicUsize,
    length: AtomicUsize,
    is_lost: AtomicBool,
}

static GUARDS: [Guard; MAX_MAPPINGS] =
    [const { Guard { start: AtomicUsize::new(0), length: AtomicUsize::new(0), is_lost: AtomicBool::new(false) } };
        MAX_MAPPINGS];

/// Held while a guard is taken, so that no two mappings get the same.
static TAKING: Mutex<()> = Mutex::new(());

impl Words {
    /// Maps the first `n_words` words of a file, all of which must be allocated on the disk.
    pub fn map(file: &File, n_words: usize) -> io::Result<Words> {
        static WATCHED: Once = Once::new();
        WATCHED.call_once(watch);
        let length = n_words * 8;
        if file.metadata()?.len() < length as u64 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
        }
        let map = MmapOptions::new().len(length).map_raw(file)?;
        let _taking = TAKING.lock().unwrap_or_else(PoisonError::into_inner);
        let free = GUARDS.iter().find(|guard| guard.start.load(Ordering::Relaxed) == 0);
        let guard = free.ok_or_else(|| io::Error::other("too many caches are open at once"))?;
        guard.is_lost.store(false, Ordering::Relaxed);
        guard.length.store(length, Ordering::Relaxed);
        guard.start.store(map.as_mut_ptr().addr(), Ordering::SeqCst);
        Ok(Words { map, n_words, guard })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.n_words
    }

    /// A word; other processes may change it at any time.
    pub fn word(&self, index: usize) -> &AtomicU64 {
        assert!(index < self.n_words, "word {index} of {}", self.n_words);
        // SAFETY: the mapping holds this word, see the assertion, for as long as `self` lives; it begins at a page, so
        // words are aligned; and nobody in this process reaches it but through atomics.
        unsafe { AtomicU64::from_ptr(self.map.as_mut_ptr().cast::<u64>().add(index)) }
    }

    /// The file was cut short under the mapping; the words are zeros of this process alone since then.
    pub fn is_lost(&self) -> bool {
        self.guard.is_lost.load(Ordering::Relaxed)
    }
}

impl Drop for Words {
    fn drop(&mut self) {
        // Before the memory goes: what lies there next is not ours.
        self.guard.start.store(0, Ordering::SeqCst);
    }
}

/// Takes SIGBUS from now on.
fn watch() {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: zero is a value of every field; the handler has the signature that SA_SIGINFO asks for, stays for ever,
    // and calls nothing but atomics, mmap and sigaction, which signal-safety(7) allows or which are plain system calls.
    unsafe {
        let action = action.assume_init_mut();
        action.sa_sigaction = handle as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        libc::sigemptyset(&mut action.sa_mask);
        libc::sigaction(libc::SIGBUS, action, null_mut());
    }
}

extern "C" fn handle(signal: libc::c_int, info: *mut libc::siginfo_t, _context: *mut libc::c_void) {
    // SAFETY: the kernel gives a handler with SA_SIGINFO a valid pointer, and SIGBUS has an address.
    let address = unsafe { (*info).si_addr() }.addr();
    for guard in &GUARDS {
        let (start, length) = (guard.start.load(Ordering::SeqCst), guard.length.load(Ordering::Relaxed));
        if start == 0 || !(start..start + length).contains(&address) {
            continue;
        }
        let place = without_provenance::<libc::c_void>(start).cast_mut();
        let (rights, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: the whole range is a mapping of ours that lives while its guard is set, and is replaced by one of the
        // same size; everything that reads it goes through atomics and takes zeros for an empty index.
        let mapped = unsafe { libc::mmap(place, length, rights, flags | libc::MAP_FIXED, -1, 0) };
        if mapped != libc::MAP_FAILED {
            guard.is_lost.store(true, Ordering::Relaxed);
            return;
        }
    }
    // SAFETY: as in `watch`; the instruction is tried again and ends the process.
    unsafe {
        let mut default = MaybeUninit::<libc::sigaction>::zeroed();
        default.assume_init_mut().sa_sigaction = libc::SIG_DFL;
        libc::sigaction(signal, default.as_ptr(), null_mut());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_share_words_and_a_cut_file_is_lost_but_harms_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("words");
        std::fs::write(&path, vec![0; 64 << 10]).unwrap();
        let open = || File::options().read(true).write(true).open(&path).unwrap();
        let (one, other) = (Words::map(&open(), 8 << 10).unwrap(), Words::map(&open(), 8 << 10).unwrap());
        one.word(8191).store(7, Ordering::Relaxed);
        assert_eq!(other.word(8191).load(Ordering::Relaxed), 7);
        open().set_len(100).unwrap();
        assert_eq!(one.word(8191).load(Ordering::Relaxed), 0);
        assert!(one.is_lost());
        // Also when the first touch is a write.
        other.word(4000).store(1, Ordering::Relaxed);
        assert!(other.is_lost());
        assert_eq!((other.word(4000).load(Ordering::Relaxed), one.word(4000).load(Ordering::Relaxed)), (1, 0));
        assert!(Words::map(&open(), 8 << 10).is_err());
        drop((one, other));
        let taken = GUARDS.iter().filter(|guard| guard.is_lost.load(Ordering::Relaxed)).count();
        assert!(taken >= 1);
    }
}
