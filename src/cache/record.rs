//! A record of the payload: a header that says whose it is, and the value behind it.
//!
//! All of it is under one checksum, made with the cache's secret; so half a record, a record that another process has
//! begun to overwrite, one of another cache and one that lies where it was not written are no records.

use xxhash_rust::xxh3::{xxh3_64_with_secret, xxh3_128_with_secret};

use super::index::{Place, SECRET};
use super::{Key, Kind};

/// Bytes before the value.
pub const HEADER: usize = 64;

/// Of this version of records.
const MAGIC: u64 = u64::from_ne_bytes(*b"vprocrec");

/// Where the checksum lies in the header.
const SUM: std::ops::Range<usize> = 56..64;

/// A record's header for a value of a kind at a place; `value` is what lies behind it.
pub fn seal(record: &mut [u8], secret: &[u8; SECRET], key: Key, kind: Kind, place: Place) {
    assert!(record.len() >= HEADER && record.len() == place.length as usize, "a record has room for its header");
    record[..8].copy_from_slice(&MAGIC.to_ne_bytes());
    record[8..24].copy_from_slice(&key.0.to_ne_bytes());
    record[24..32].copy_from_slice(&place.position.to_ne_bytes());
    record[32..36].copy_from_slice(&place.length.to_ne_bytes());
    record[36..40].copy_from_slice(&(kind as u32).to_ne_bytes());
    record[40..SUM.start].fill(0);
    let sum = sum(record, secret);
    record[SUM].copy_from_slice(&sum.to_ne_bytes());
}

/// The value of a record that was read from a place; `None` if it is not this key's.
pub fn open<'a>(record: &'a [u8], secret: &[u8; SECRET], key: Key, kind: Kind, place: Place) -> Option<&'a [u8]> {
    let header = record.first_chunk::<HEADER>()?;
    let is_ours = header[..8] == MAGIC.to_ne_bytes()
        && header[8..24] == key.0.to_ne_bytes()
        && header[24..32] == place.position.to_ne_bytes()
        && header[32..36] == place.length.to_ne_bytes()
        && header[36..40] == (kind as u32).to_ne_bytes()
        && record.len() == place.length as usize
        && header[SUM] == sum(record, secret).to_ne_bytes();
    is_ours.then(|| &record[HEADER..])
}

/// The checksum of all of a record but the checksum.
fn sum(record: &[u8], secret: &[u8; SECRET]) -> u64 {
    // The hash of the value goes into that of the header, so nothing is copied.
    let value = xxh3_128_with_secret(&record[HEADER..], secret);
    let mut header = [0; SUM.start + 16];
    header[..SUM.start].copy_from_slice(&record[..SUM.start]);
    header[SUM.start..].copy_from_slice(&value.to_ne_bytes());
    xxh3_64_with_secret(&header, secret)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_record_with_any_bit_changed_or_cut_is_none(
            value in prop::collection::vec(any::<u8>(), 0..300), at in any::<usize>(), bit in 0u8..8, cut in any::<usize>(),
        ) {
            let secret: [u8; SECRET] = std::array::from_fn(|i| (i * 7) as u8);
            let (key, place) = (Key((5 << 70) | 9), Place { position: 640, length: (HEADER + value.len()) as u32 });
            let mut record = vec![0xee; HEADER];
            record.extend(&value);
            seal(&mut record, &secret, key, Kind::Picture, place);
            let opened = |record: &[u8], key, kind, place| open(record, &secret, key, kind, place).map(<[u8]>::to_vec);
            prop_assert_eq!(opened(&record, key, Kind::Picture, place), Some(value));
            prop_assert_eq!(opened(&record, key, Kind::Detections, place), None);
            prop_assert_eq!(opened(&record, Key(9), Kind::Picture, place), None);
            let elsewhere = Place { position: 704, ..place };
            prop_assert_eq!(opened(&record, key, Kind::Picture, elsewhere), None);
            prop_assert_eq!(open(&record, &[1; SECRET], key, Kind::Picture, place), None);
            prop_assert_eq!(opened(&record[..cut % record.len()], key, Kind::Picture, place), None);
            let at = at % record.len();
            record[at] ^= 1 << bit;
            prop_assert_eq!(opened(&record, key, Kind::Picture, place), None);
        }
    }
}
