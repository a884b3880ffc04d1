//! What was computed once, kept over runs and processes: values by the hash of all that decides them.
//!
//! One payload file of fixed size, a ring of records, and an index of it that is mapped into memory. The chain asks
//! [`Cache::find`] which is quick, reads with checks ([`Cache::read`]) and stores ([`Cache::store`]). A record that is
//! torn, foreign or damaged is a miss; nothing here fails a run. Values are bytes; what is in them is the caller's, and
//! [`pack`] makes those of pictures small. The room knows nothing of pictures, networks or threads.
//!
//! Keys are XXH3 with a random secret of each cache, which only its owner can read: files of another user, or that others
//! can read, are refused. So who makes a clip cannot compute two pictures of one key, and no slower hash is needed. A
//! cache that users share would need one that resists whoever knows the secret, such as BLAKE3.

mod files;
#[cfg(test)]
mod fuzz;
mod index;
mod map;
pub mod pack;
mod record;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use xxhash_rust::xxh3::xxh3_128_with_secret;

use crate::error::{Error, Result};
use files::Files;
pub use index::Place;
use index::{Header, Index, SECRET};

/// What a value is. Values of two kinds never meet: the kind is in the key and in the record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Samples of an output picture.
    Picture = 1,
    /// What a network found in a picture.
    Detections = 2,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 2] = [Kind::Picture, Kind::Detections];
}

/// The hash of all that decides a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key(u128);

/// What became of a value that was to be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// It will be found.
    Kept,
    /// It would have taken the place of what this run has used, or is too large.
    NoRoom,
    /// The cache is off.
    Off,
}

/// The largest share of the ring that one record may take, as a divisor.
const LARGEST: u64 = 4;

/// No record is longer than this, in bytes.
const MAX_RECORD: u64 = 1 << 30;

/// An open cache, shared by the threads of a run.
pub struct Cache {
    folder: PathBuf,
    index: Index,
    payload: File,
    /// Says that the files are in use.
    _in_use: File,
    /// Nothing is stored any more.
    is_off: AtomicBool,
    /// Why, until somebody asks.
    trouble: Mutex<Option<String>>,
    counts: Counts,
}

/// What was done with a cache since it was opened.
#[derive(Default)]
struct Counts {
    stored: AtomicU64,
    stored_bytes: AtomicU64,
    bad: AtomicU64,
}

/// What a cache holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stat {
    /// Bytes of the payload.
    pub capacity: u64,
    /// Bytes of it that were ever written, at most the capacity.
    pub used: u64,
    /// Records that can be found.
    pub n_records: u64,
    /// Their bytes.
    pub record_bytes: u64,
}

/// What a look at every record showed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// Records that are what they should be.
    pub good: u64,
    /// Records that are not, and were forgotten.
    pub bad: u64,
}

impl Cache {
    /// Opens the cache of a folder, which is made if need be: of `size` bytes if that is said, else of the size it has or
    /// of 10 GiB, but at most a quarter of what is free. Also says why it began anew, if that was not asked for.
    pub fn open(folder: &Path, size: Option<u64>) -> Result<(Cache, Option<String>)> {
        let mut files = files::open(folder, size)?;
        let warning = files.warning.take();
        Ok((Cache::new(folder, files), warning))
    }

    /// Opens the cache of a folder only if it is there.
    pub fn look(folder: &Path) -> Result<Option<Cache>> {
        Ok(files::look(folder)?.map(|files| Cache::new(folder, files)))
    }

    /// Forgets all that a folder's cache holds. Runs that have it open go on with what they have.
    pub fn clear(folder: &Path, size: Option<u64>) -> Result<Cache> {
        files::clear(folder, size).map(|files| Cache::new(folder, files))
    }

    /// Bytes of memory that the cache takes which [`Cache::open`] would give: those of its index.
    pub fn memory(folder: &Path, size: Option<u64>) -> u64 {
        match files::expected(folder, size) {
            0 => 0,
            capacity => Header::n_words(capacity) as u64 * 8,
        }
    }

    fn new(folder: &Path, files: Files) -> Cache {
        Cache {
            folder: folder.to_owned(),
            index: files.index,
            payload: files.payload,
            _in_use: files.in_use,
            is_off: AtomicBool::new(false),
            trouble: Mutex::default(),
            counts: Counts::default(),
        }
    }

    fn secret(&self) -> &[u8; SECRET] {
        &self.index.header().secret
    }

    /// Bytes of the payload.
    pub fn capacity(&self) -> u64 {
        self.index.header().capacity
    }

    /// The key of a value that is decided by `bytes`, which must begin with a hash of all else that decides it.
    pub fn key(&self, kind: Kind, bytes: &mut Vec<u8>) -> Key {
        bytes.push(kind as u8);
        let key = Key(xxh3_128_with_secret(bytes, self.secret()));
        bytes.pop();
        key
    }

    /// Where the value of a key lies; only the index is looked at.
    pub fn find(&self, key: Key) -> Option<Place> {
        self.index.find(key)
    }

    /// Reads the value that [`Cache::find`] has found into `record`, and gives what of it is the value; `None` if it is
    /// not there any more or damaged.
    pub fn read<'a>(&self, key: Key, kind: Kind, place: Place, record: &'a mut Vec<u8>) -> Option<&'a [u8]> {
        let value = self.read_record(key, kind, place, record);
        if value.is_some() {
            self.index.keep(place);
        }
        value
    }

    /// What [`Cache::find`] has found there could not be read, or was not what it should be: it is not found again.
    pub fn forget(&self, key: Key, place: Place) {
        self.counts.bad.fetch_add(1, Ordering::Relaxed);
        self.index.forget(key, place);
    }

    fn read_record<'a>(&self, key: Key, kind: Kind, place: Place, record: &'a mut Vec<u8>) -> Option<&'a [u8]> {
        let at = place.position % self.capacity();
        if u64::from(place.length) > self.largest() || at + u64::from(place.length) > self.capacity() {
            return None;
        }
        record.resize(place.length as usize, 0);
        self.payload.read_exact_at(record, at).ok()?;
        record::open(record, self.secret(), key, kind, place)
    }

    fn largest(&self) -> u64 {
        (self.capacity() / LARGEST).min(MAX_RECORD)
    }

    /// Whether a value of so many bytes could be stored.
    pub fn has_room(&self, n_bytes: usize) -> bool {
        let length = (n_bytes + record::HEADER) as u64;
        !self.is_off() && length <= self.largest() && self.index.has_room(length as u32)
    }

    /// Stores the value of a key. `record` holds it behind [`HEADER`] bytes of any content, which are overwritten.
    pub fn store(&self, key: Key, kind: Kind, record: &mut [u8]) -> Stored {
        if self.is_off() {
            return Stored::Off;
        }
        if record.len() as u64 > self.largest() {
            return Stored::NoRoom;
        }
        let Ok(place) = self.index.reserve(key, record.len() as u32) else { return Stored::NoRoom };
        record::seal(record, self.secret(), key, kind, place);
        if let Err(error) = self.payload.write_all_at(record, place.position % self.capacity()) {
            self.turn_off(error);
            return Stored::Off;
        }
        self.index.publish(key, place);
        self.counts.stored.fetch_add(1, Ordering::Relaxed);
        self.counts.stored_bytes.fetch_add(record.len() as u64, Ordering::Relaxed);
        Stored::Kept
    }

    fn turn_off(&self, error: io::Error) {
        self.is_off.store(true, Ordering::Relaxed);
        let error = Error::io(format!("the cache in {} is off, it cannot be written", self.folder.display()), error);
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some(error.to_string());
    }

    /// Nothing is stored any more.
    pub fn is_off(&self) -> bool {
        self.is_off.load(Ordering::Relaxed) || self.index.is_lost()
    }

    /// Why the cache is off, in a line for people; `None` while it is not.
    pub fn trouble(&self) -> Option<String> {
        let folder = self.folder.display();
        let lost = || format!("the index of the cache in {folder} was cut short by somebody else, so the cache is off");
        let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        trouble.clone().or_else(|| self.index.is_lost().then(lost))
    }

    /// Values stored since it was opened, their bytes with headers, and values that were not what they should be.
    pub fn counts(&self) -> (u64, u64, u64) {
        let Counts { stored, stored_bytes, bad } = &self.counts;
        let [stored, bytes, bad] = [stored, stored_bytes, bad].map(|count| count.load(Ordering::Relaxed));
        (stored, bytes, bad)
    }

    /// What it holds.
    pub fn stat(&self) -> Stat {
        let mut stat = Stat { capacity: self.capacity(), ..Stat::default() };
        stat.used = self.index.head().min(stat.capacity);
        for (_, place) in self.index.entries() {
            stat.n_records += 1;
            stat.record_bytes += u64::from(place.length);
        }
        stat
    }

    /// Reads every record; those that are damaged are forgotten.
    pub fn verify(&self) -> Verified {
        let (mut record, mut verified) = (Vec::new(), Verified::default());
        let entries: Vec<_> = self.index.entries().collect();
        for (key, place) in entries {
            let is_good = Kind::ALL.into_iter().any(|kind| self.read_record(key, kind, place, &mut record).is_some());
            if is_good {
                verified.good += 1;
            } else if self.find(key) == Some(place) {
                // And nobody has written over it meanwhile.
                self.index.forget(key, place);
                verified.bad += 1;
            }
        }
        verified
    }
}

/// Bytes that a record has before its value.
pub const HEADER: usize = record::HEADER;
