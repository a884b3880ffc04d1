//! The index: which record of the payload holds which key, in a table that processes share without locks.
//!
//! The payload is a ring: a record's position only ever grows, and where it lies is its position modulo the ring's
//! capacity. The head is where the next record goes; whoever moves it on owns what it passed over. A record is there as
//! long as the head is not further than the capacity ahead of it, so nothing is ever removed, and a process that dies
//! at any moment leaves at worst a piece of the ring that no entry names. An entry is four words written one by one;
//! half of one entry and half of another fail its check. What passes by chance fails the record's own.

use std::sync::atomic::{AtomicU64, Ordering};

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::Key;
use super::map::Words;

/// Words before the first bucket: a page.
const HEADER: usize = 512;

/// The header's word that holds the head, in a cache line of its own.
const HEAD: usize = 64;

/// Words of the header that are written once: what is below, and the check of it.
const FIXED: usize = 29;

/// `vproc idx` and the version of both files; another version begins anew.
const MAGIC: u64 = u64::from_ne_bytes(*b"vproccch");
const VERSION: u64 = 1;

/// Words of an entry: two of the key, position, length and check.
const ENTRY: usize = 4;

/// Entries of a bucket, four cache lines.
const BUCKET: usize = 8;

/// Bytes of the ring for each entry of the table. Records of film are ten times as large, so most of the table stays
/// free, and buckets hardly ever overflow: 3 in 1000 where records have 5000 bytes.
const BYTES_PER_ENTRY: u64 = 2048;

/// Records begin at multiples of this many bytes.
pub const ALIGNMENT: u64 = 64;

/// Bytes that a ring can have.
pub const SIZES: std::ops::RangeInclusive<u64> = 1 << 20..=1 << 44;

/// The first position; 0 stands for none.
const FIRST: u64 = ALIGNMENT;

/// A head beyond this was not made by counting.
const ABSURD: u64 = 1 << 62;

/// Bytes of the secret that keys and checks are made with.
pub const SECRET: usize = 192;

/// Where a record lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its position, which only grows.
    pub position: u64,
    /// Its bytes, header included.
    pub length: u32,
}

/// What decides an index's size and checks.
#[derive(Clone, PartialEq, Eq)]
pub struct Header {
    /// Bytes of the ring.
    pub capacity: u64,
    /// Random, of this cache alone.
    pub secret: [u8; SECRET],
}

impl Header {
    fn n_buckets(capacity: u64) -> u64 {
        (capacity / BYTES_PER_ENTRY / BUCKET as u64).max(1)
    }

    /// Words of an index over a ring of `capacity` bytes.
    pub fn n_words(capacity: u64) -> usize {
        HEADER + Header::n_buckets(capacity) as usize * BUCKET * ENTRY
    }

    /// The words that begin the file of an empty index.
    pub fn words(&self) -> Vec<u64> {
        let mut words = vec![MAGIC, VERSION, self.capacity, Header::n_buckets(self.capacity)];
        words.extend(self.secret.as_chunks::<8>().0.iter().map(|bytes| u64::from_ne_bytes(*bytes)));
        words.push(check(&words));
        words.resize(HEADER, 0);
        words[HEAD] = FIRST;
        words
    }

    /// What the first words of a file say, if it is an index of this version.
    pub fn read(words: &[u64]) -> Option<Header> {
        let fixed = words.get(..FIXED)?;
        let (known, last) = fixed.split_at(FIXED - 1);
        let capacity = known[2];
        let is_sound = known[..2] == [MAGIC, VERSION]
            && SIZES.contains(&capacity)
            && capacity.is_multiple_of(ALIGNMENT)
            && last[0] == check(known)
            && known[3] == Header::n_buckets(capacity)
            && words.get(HEAD).is_some_and(|head| (FIRST..ABSURD).contains(head));
        let mut secret = [0; SECRET];
        for (bytes, word) in secret.as_chunks_mut::<8>().0.iter_mut().zip(&known[4..]) {
            *bytes = word.to_ne_bytes();
        }
        is_sound.then_some(Header { capacity, secret })
    }
}

fn check(words: &[u64]) -> u64 {
    xxh3_64_with_seed(bytemuck::cast_slice(words), VERSION)
}

/// Why nothing could be put into the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// An index in memory.
pub struct Index {
    words: Words,
    header: Header,
    seed: u64,
    /// The oldest record that this run has written or read; what comes after is not given up.
    oldest_used: AtomicU64,
}

impl Index {
    /// The index in mapped words that begin with this header.
    pub fn new(words: Words, header: Header) -> Index {
        assert_eq!(words.len(), Header::n_words(header.capacity), "an index has the size that its header says");
        let seed = u64::from_ne_bytes(*header.secret.first_chunk().expect("a secret has more than eight bytes"));
        Index { words, header, seed, oldest_used: AtomicU64::new(u64::MAX) }
    }

    /// What decides its size and checks.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Somebody has cut its file short.
    pub fn is_lost(&self) -> bool {
        self.words.is_lost()
    }

    /// The position that the next record gets, or one after it.
    pub fn head(&self) -> u64 {
        self.words.word(HEAD).load(Ordering::Relaxed)
    }

    fn is_live(&self, place: Place, head: u64) -> bool {
        let Place { position, length } = place;
        let end = position.checked_add(length.into());
        position >= FIRST && end.is_some_and(|end| end <= head) && head - position <= self.header.capacity
    }

    /// The first word of each entry of a key's bucket.
    fn bucket(&self, key: Key) -> impl Iterator<Item = usize> + use<> {
        let n_buckets = Header::n_buckets(self.header.capacity);
        // The high bits of the key, spread over the buckets.
        let bucket = ((u128::from((key.0 >> 64) as u64) * u128::from(n_buckets)) >> 64) as usize;
        (0..BUCKET).map(move |entry| HEADER + (bucket * BUCKET + entry) * ENTRY)
    }

    fn sum(&self, key: Key, place: Place) -> u32 {
        let mut bytes = [0; 28];
        bytes[..16].copy_from_slice(&key.0.to_ne_bytes());
        bytes[16..24].copy_from_slice(&place.position.to_ne_bytes());
        bytes[24..].copy_from_slice(&place.length.to_ne_bytes());
        xxh3_64_with_seed(&bytes, self.seed) as u32
    }

    /// An entry that is whole and whose record may still be there.
    fn entry(&self, at: usize, head: u64) -> Option<(Key, Place)> {
        let last = self.words.word(at + 3).load(Ordering::Acquire);
        let word = |index: usize| self.words.word(at + index).load(Ordering::Relaxed);
        let key = Key(u128::from(word(0)) | (u128::from(word(1)) << 64));
        let place = Place { position: word(2), length: last as u32 };
        (self.is_live(place, head) && self.sum(key, place) == (last >> 32) as u32).then_some((key, place))
    }

    /// Where the record of a key lies, or lay a moment ago.
    pub fn find(&self, key: Key) -> Option<Place> {
        let head = self.head();
        self.bucket(key).find_map(|at| self.entry(at, head).filter(|(of, _)| *of == key).map(|(_, place)| place))
    }

    /// All entries whose records may be there.
    pub fn entries(&self) -> impl Iterator<Item = (Key, Place)> + '_ {
        let head = self.head();
        (HEADER..self.words.len()).step_by(ENTRY).filter_map(move |at| self.entry(at, head))
    }

    /// A record of this run, or one that it has read, is not given up for a new one.
    pub fn keep(&self, place: Place) {
        self.oldest_used.fetch_min(place.position, Ordering::Relaxed);
    }

    /// Whether a record of this length could be taken in without giving up one that this run has used.
    pub fn has_room(&self, length: u32) -> bool {
        self.next(self.head(), length).is_some()
    }

    /// Where a record begins and ends when the head is here; `None` where it would take what this run has used.
    fn next(&self, head: u64, length: u32) -> Option<(u64, u64)> {
        let capacity = self.header.capacity;
        let length = u64::from(length).next_multiple_of(ALIGNMENT);
        if length > capacity || !(FIRST..ABSURD).contains(&head) {
            return None;
        }
        let head = head.next_multiple_of(ALIGNMENT);
        let left = capacity - head % capacity;
        // A record does not go over the end of the ring.
        let start = if left < length { head + left } else { head };
        let oldest = self.oldest_used.load(Ordering::Relaxed);
        (start + length <= oldest.saturating_add(capacity)).then_some((start, start + length))
    }

    /// Room for a record of this length, owned by the caller until the ring has gone round.
    pub fn reserve(&self, key: Key, length: u32) -> Result<Place, Full> {
        self.slot(key).ok_or(Full)?;
        let head = self.words.word(HEAD);
        let mut seen = head.load(Ordering::Relaxed);
        loop {
            let (start, end) = self.next(seen, length).ok_or(Full)?;
            match head.compare_exchange_weak(seen, end, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => {
                    let place = Place { position: start, length };
                    self.keep(place);
                    return Ok(place);
                }
                Err(now) => seen = now,
            }
        }
    }

    /// The entry of a bucket that a key goes into: its own, a free one, else that of the oldest record which this run
    /// has not used.
    fn slot(&self, key: Key) -> Option<usize> {
        let (head, oldest_used) = (self.head(), self.oldest_used.load(Ordering::Relaxed));
        let age = |at: usize| match self.entry(at, head) {
            Some((of, _)) if of == key => 0,
            None => 1,
            Some((_, place)) => place.position,
        };
        let at = self.bucket(key).min_by_key(|&at| age(at))?;
        (age(at) < oldest_used).then_some(at)
    }

    /// The record is written: whoever asks for the key finds it from now on.
    pub fn publish(&self, key: Key, place: Place) {
        let Some(at) = self.slot(key) else { return };
        let word = |index: usize, value: u64| self.words.word(at + index).store(value, Ordering::Relaxed);
        word(3, 0);
        word(0, key.0 as u64);
        word(1, (key.0 >> 64) as u64);
        word(2, place.position);
        let last = u64::from(place.length) | (u64::from(self.sum(key, place)) << 32);
        self.words.word(at + 3).store(last, Ordering::Release);
    }

    /// What lies there is not the record of this key: it is not found again.
    pub fn forget(&self, key: Key, place: Place) {
        let head = self.head();
        for at in self.bucket(key).filter(|&at| self.entry(at, head) == Some((key, place))) {
            self.words.word(at + 3).store(0, Ordering::Relaxed);
        }
    }
}
