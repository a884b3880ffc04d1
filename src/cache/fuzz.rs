//! Index, records and packed samples fed with what no vproc has written: mutated in many ways from a seed that is printed.
//!
//! A second each, and a minute each with `VPROC_SLOW_TESTS=1` (`make nightly`). `VPROC_FUZZ_SEED` repeats a run. Besides
//! crashes it looks for answers that break the room's promises: places outside of the ring and values that were not
//! stored. Mutations that know the formats reach what lies behind the checksums, which following the coverage would not;
//! and they need no other compiler.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use super::index::{ALIGNMENT, Header, Index, Place, SECRET};
use super::map::Words;
use super::pack::{Packer, Unpacker};
use super::record::{HEADER, open, seal};
use super::{Key, Kind};

/// A generator of numbers (xorshift64*).
struct Random(u64);

impl Random {
    /// Seeded by the variable, or by the clock; says by what.
    fn new(target: &str) -> Random {
        let said = std::env::var("VPROC_FUZZ_SEED").ok().and_then(|seed| seed.parse().ok());
        let clock = || std::time::SystemTime::UNIX_EPOCH.elapsed().map_or(1, |time| time.as_nanos() as u64);
        let seed = said.unwrap_or_else(clock);
        eprintln!("{target}: VPROC_FUZZ_SEED={seed}");
        Random(seed | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() >> 16) as usize % n
    }

    /// A number near limits, a small one, or any.
    fn number(&mut self) -> u64 {
        match self.below(6) {
            0 => [0, 1, u64::MAX, 1 << 63, 1 << 62, 1 << 32, u64::from(u32::MAX)][self.below(7)],
            1 => 1 << self.below(64),
            2 => (1u64 << self.below(64)).wrapping_sub(1),
            3 => self.next() % 4096,
            4 => self.next() % (8 << 20),
            _ => self.next(),
        }
    }

    /// Changes bytes in the ways that files are changed by accident and on purpose.
    fn mutate(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..=self.below(6) {
            if bytes.is_empty() {
                return;
            }
            let at = self.below(bytes.len());
            match self.below(6) {
                0 => bytes[at] ^= 1 << self.below(8),
                1 => bytes[at] = self.next() as u8,
                2 => {
                    let number = self.number().to_ne_bytes();
                    let end = (at / 8 * 8 + 8).min(bytes.len());
                    bytes[at / 8 * 8..end].copy_from_slice(&number[..end - at / 8 * 8]);
                }
                3 => bytes.truncate(at),
                4 => {
                    let (from, n) = (self.below(bytes.len()), self.below(64));
                    let n = n.min(bytes.len() - from).min(bytes.len() - at);
                    bytes.copy_within(from..from + n, at);
                }
                _ => {
                    let n = self.below(40);
                    bytes.extend((0..n).map(|i| i as u8));
                }
            }
        }
    }
}

/// Calls `step` until the time is over; how often.
fn for_a_while(mut step: impl FnMut()) -> u64 {
    let time = Duration::from_secs(if std::env::var_os("VPROC_SLOW_TESTS").is_some() { 60 } else { 1 });
    let (begun, mut n) = (Instant::now(), 0);
    while begun.elapsed() < time {
        (0..20).for_each(|_| step());
        n += 20;
    }
    n
}

#[test]
fn an_index_that_anybody_has_written_gives_no_place_outside_of_the_ring() {
    const CAPACITY: u64 = 1 << 20;
    let mut random = Random::new("index");
    let secret: [u8; SECRET] = std::array::from_fn(|_| random.next() as u8);
    let header = Header { capacity: CAPACITY, secret };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("index");
    let n_words = Header::n_words(CAPACITY);
    let keys: Vec<Key> = (0..200).map(|_| Key(u128::from(random.next()) << 64 | u128::from(random.next()))).collect();
    // A sound index as the first of all.
    let open = |file: &File| Index::new(Words::map(file, n_words).unwrap(), header.clone());
    let mut sound: Vec<u8> = bytemuck::cast_slice(&header.words()).to_vec();
    sound.resize(n_words * 8, 0);
    let file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
    file.write_all_at(&sound, 0).unwrap();
    let index = open(&file);
    for &key in &keys[..100] {
        // A bucket may be full, if seldom.
        if let Ok(place) = index.reserve(key, 900) {
            index.publish(key, place);
        }
    }
    drop(index);
    file.read_exact_at(&mut sound, 0).unwrap();
    let (mut n_found, mut n_reserved, mut n_headers) = (0u64, 0u64, 0u64);
    let n = for_a_while(|| {
        let mut bytes = sound.clone();
        random.mutate(&mut bytes);
        let words: Vec<u64> = bytes.as_chunks::<8>().0.iter().map(|bytes| u64::from_ne_bytes(*bytes)).collect();
        // Only a header that says what was written into it is believed.
        if let Some(read) = Header::read(&words[..words.len().min(65)]) {
            assert!(read == header, "another header was believed");
            n_headers += 1;
        }
        // What the index holds while it is open may be anything.
        bytes.resize(n_words * 8, 0);
        file.write_all_at(&bytes, 0).unwrap();
        let index = open(&file);
        let in_ring = |place: Place| {
            assert!(place.position >= ALIGNMENT, "{place:?}");
            assert!(place.position.checked_add(place.length.into()).is_some(), "{place:?}");
            place.position % CAPACITY
        };
        assert!(index.entries().map(|(_, place)| in_ring(place)).all(|at| at < CAPACITY));
        for _ in 0..20 {
            let key = keys[random.below(keys.len())];
            n_found += u64::from(index.find(key).map(in_ring).is_some());
            let length = random.number() as u32;
            if let Ok(place) = index.reserve(key, length) {
                assert_eq!(place.length, length);
                assert!(in_ring(place) + u64::from(length) <= CAPACITY, "{place:?} goes over the ring's end");
                index.publish(key, place);
                n_reserved += 1;
            }
            index.forget(keys[random.below(keys.len())], Place { position: random.number(), length });
        }
    });
    eprintln!("index: {n} indices, {n_headers} headers were sound, {n_found} found, {n_reserved} reserved");
    assert!(n_found > 0 && n_reserved > 0 && n_headers > 0 && n_headers < n);
}

#[test]
fn a_record_that_anybody_has_written_is_the_stored_value_or_none() {
    let mut random = Random::new("record");
    let secret: [u8; SECRET] = std::array::from_fn(|_| random.next() as u8);
    let (mut n_sound, mut n_unpacked) = (0u64, 0u64);
    let n = for_a_while(|| {
        // A row of samples, packed and sealed as the chain does it.
        let samples: Vec<u8> = (0..random.below(300)).map(|_| (random.next() % 40) as u8).collect();
        let expected = vec![17; samples.len()];
        let mut record = vec![0; HEADER];
        let mut packer = Packer::new(&mut record);
        packer.row(&samples, &expected);
        let sum = packer.finish();
        let key = Key(u128::from(random.next()));
        let place = Place { position: random.next() % 1000 * ALIGNMENT, length: record.len() as u32 };
        seal(&mut record, &secret, key, Kind::Picture, place);
        let value = record[HEADER..].to_vec();
        let mut hurt = record.clone();
        random.mutate(&mut hurt);
        // Asked for as it was stored, and with the length that it has now.
        for place in [place, Place { length: hurt.len() as u32, ..place }] {
            if let Some(read) = open(&hurt, &secret, key, Kind::Picture, place) {
                assert!(read == value, "a value that was not stored");
                n_sound += 1;
            }
        }
        // What passed all checks and is no packing after all: of a vproc that packs otherwise, for instance.
        let mut packed = value;
        random.mutate(&mut packed);
        let mut row = expected;
        let mut unpacker = Unpacker::new(&packed);
        if unpacker.row(&mut row).is_some() && unpacker.finish(sum) {
            assert!(row == samples, "samples that were not packed");
            n_unpacked += 1;
        }
        let mut wide = vec![0u16; random.below(500)];
        let mut unpacker = Unpacker::new(&packed);
        let whole = unpacker.row(&mut wide).is_some();
        assert!(!(whole && unpacker.finish(random.next())) || wide.is_empty(), "any sum is believed");
    });
    eprintln!("record: {n} records, {n_sound} were as stored, {n_unpacked} unpacked as packed");
    assert!(n_sound > 0 && n_unpacked > 0);
}
