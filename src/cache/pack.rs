//! Samples made small without loss: each is told as its difference from what was expected of it.
//!
//! Differences of a stretch of a row are coded with the Rice parameter that suits their mean, so flat areas take next
//! to nothing and noise takes what it must. Whoever unpacks must expect the same as whoever packed; a sum over the
//! samples themselves tells when they do not. Bits are taken from the lowest of each byte on. Reading past the end or
//! what no packing gives is no value, never a panic, and takes no memory but the caller's.

use xxhash_rust::xxh3::xxh3_64;

/// Differences that share a parameter.
const STRETCH: usize = 32;

/// Bits of the parameter before each stretch: 0 for nothing but zeros, else the parameter and 1.
const PARAMETER_BITS: u32 = 4;

/// The parameter is less than this.
const MAX_PARAMETER: u32 = 14;

/// So many zeros of a quotient say that all bits of the difference follow as they are.
const ESCAPE: u32 = 20;

/// Bits of a difference that follows as it is.
const PLAIN_BITS: u32 = 16;

/// Bits of the longest coded difference.
const LONGEST: u32 = ESCAPE + 1 + PLAIN_BITS;

/// Bits that are looked up at once, at least: eight bytes but for those before the first bit.
const PEEKED: u32 = 57;

/// A sample as planes hold it.
pub trait Sample: bytemuck::Pod {
    /// The difference, modulo the type, with small ones of both signs as small numbers.
    fn difference(self, expected: Self) -> u16;
    /// The sample with this difference.
    fn with(expected: Self, difference: u16) -> Self;
}

impl Sample for u8 {
    fn difference(self, expected: u8) -> u16 {
        let signed = self.wrapping_sub(expected) as i8;
        u16::from(((signed << 1) ^ (signed >> 7)) as u8)
    }

    fn with(expected: u8, difference: u16) -> u8 {
        let folded = difference as u8;
        expected.wrapping_add((folded >> 1) ^ (folded & 1).wrapping_neg())
    }
}

impl Sample for u16 {
    fn difference(self, expected: u16) -> u16 {
        let signed = self.wrapping_sub(expected) as i16;
        ((signed << 1) ^ (signed >> 15)) as u16
    }

    fn with(expected: u16, difference: u16) -> u16 {
        expected.wrapping_add((difference >> 1) ^ (difference & 1).wrapping_neg())
    }
}

/// Bits that can be put at once beside those of a byte that is not full.
const MOST_AT_ONCE: u32 = u64::BITS - 7;

/// Bytes of a stretch that is all escapes, and of a word beyond.
const STRETCH_BYTES: usize = (STRETCH * LONGEST as usize + PARAMETER_BITS as usize).div_ceil(8) + 16;

/// Packs rows, one after the other.
pub struct Packer<'a> {
    out: &'a mut Vec<u8>,
    /// Bits that are not in `out` yet, less than eight, and how many.
    bits: u64,
    n_bits: u32,
    sum: u64,
    differences: Vec<u16>,
}

/// The bits of a stretch on their way: each code is written as a whole word over what the last one left of its own, so
/// that nothing is asked for but where the next one begins.
struct Bits {
    bytes: [u8; STRETCH_BYTES],
    n_bytes: usize,
    bits: u64,
    n_bits: u32,
}

impl Bits {
    /// Adds codes of at most [`MOST_AT_ONCE`] bits.
    #[inline(always)]
    fn put(&mut self, code: u64, length: u32) {
        self.bits |= code << self.n_bits;
        self.n_bits += length;
        self.bytes[self.n_bytes..self.n_bytes + 8].copy_from_slice(&self.bits.to_le_bytes());
        let whole = self.n_bits / 8;
        self.n_bytes += whole as usize;
        self.bits >>= whole * 8;
        self.n_bits %= 8;
    }
}

impl<'a> Packer<'a> {
    /// Appends to `out`.
    pub fn new(out: &'a mut Vec<u8>) -> Self {
        Packer { out, bits: 0, n_bits: 0, sum: 0, differences: Vec::new() }
    }

    /// Adds a row of which `expected` was expected.
    pub fn row<S: Sample>(&mut self, samples: &[S], expected: &[S]) {
        assert_eq!(samples.len(), expected.len(), "as much is expected as there is");
        self.sum = next_sum(self.sum, samples);
        let mut differences = std::mem::take(&mut self.differences);
        differences.clear();
        differences.extend(samples.iter().zip(expected).map(|(sample, expected)| sample.difference(*expected)));
        differences.chunks(STRETCH).for_each(|stretch| self.stretch(stretch));
        self.differences = differences;
    }

    fn stretch(&mut self, differences: &[u16]) {
        let mut out = Bits { bytes: [0; STRETCH_BYTES], n_bytes: 0, bits: self.bits, n_bits: self.n_bits };
        let total: u32 = differences.iter().map(|&difference| u32::from(difference)).sum();
        if total == 0 {
            out.put(0, PARAMETER_BITS);
        } else {
            // The largest power of two not above the mean.
            let mean = total / differences.len() as u32;
            let parameter = mean.checked_ilog2().unwrap_or(0).min(MAX_PARAMETER - 1);
            out.put(u64::from(parameter + 1), PARAMETER_BITS);
            let largest = differences.iter().fold(0, |largest, &difference| largest.max(difference));
            let quotient = u32::from(largest) >> parameter;
            // As many at once as fit whatever they are; most stretches of film have short codes.
            match quotient + 1 + parameter {
                _ if quotient >= ESCAPE => codes::<1>(&mut out, differences, parameter),
                longest if longest * 4 <= MOST_AT_ONCE => codes::<4>(&mut out, differences, parameter),
                longest if longest * 2 <= MOST_AT_ONCE => codes::<2>(&mut out, differences, parameter),
                _ => codes::<1>(&mut out, differences, parameter),
            }
        }
        self.out.extend_from_slice(&out.bytes[..out.n_bytes]);
        (self.bits, self.n_bits) = (out.bits, out.n_bits);
    }

    /// Ends the packing; the sum of all samples, for whoever unpacks.
    pub fn finish(self) -> u64 {
        self.out.extend_from_slice(&self.bits.to_le_bytes()[..self.n_bits.div_ceil(8) as usize]);
        self.sum
    }
}

/// Puts the codes of differences, `N` at once: what is put waits for what was put before, what is put together does not.
#[inline(always)]
fn codes<const N: usize>(out: &mut Bits, differences: &[u16], parameter: u32) {
    let (groups, rest) = differences.as_chunks::<N>();
    for group in groups {
        let (mut bits, mut n_bits) = (0, 0);
        for &difference in group {
            let (code, length) = code(difference, parameter);
            bits |= code << n_bits;
            n_bits += length;
        }
        out.put(bits, n_bits);
    }
    for &difference in rest {
        let (code, length) = code(difference, parameter);
        out.put(code, length);
    }
}

/// The code of a difference and its length: the quotient as so many zeros and a one, then the rest; or, where that is
/// long, the difference as it is.
#[inline(always)]
fn code(difference: u16, parameter: u32) -> (u64, u32) {
    let difference = u64::from(difference);
    let quotient = (difference >> parameter) as u32;
    if quotient >= ESCAPE {
        return ((1 << ESCAPE) | (difference << (ESCAPE + 1)), LONGEST);
    }
    let rest = difference & ((1 << parameter) - 1);
    ((1 | (rest << 1)) << quotient, quotient + 1 + parameter)
}

/// Unpacks rows in the order in which they were packed.
pub struct Unpacker<'a> {
    packed: &'a [u8],
    /// Bits taken so far.
    at: usize,
    sum: u64,
}

impl<'a> Unpacker<'a> {
    /// Reads all of `packed`.
    pub fn new(packed: &'a [u8]) -> Self {
        Unpacker { packed, at: 0, sum: 0 }
    }

    /// Takes the next row in the place of what is expected of it; `None` if there is none.
    pub fn row<S: Sample>(&mut self, samples: &mut [S]) -> Option<()> {
        samples.chunks_mut(STRETCH).try_for_each(|stretch| self.stretch(stretch))?;
        self.sum = next_sum(self.sum, samples);
        (self.at <= self.packed.len() * 8).then_some(())
    }

    fn stretch<S: Sample>(&mut self, samples: &mut [S]) -> Option<()> {
        let bits = self.peek(self.at);
        let parameter = bits as u32 & ((1 << PARAMETER_BITS) - 1);
        let mut at = self.at + PARAMETER_BITS as usize;
        self.at = at;
        let Some(parameter) = parameter.checked_sub(1) else { return Some(()) };
        // Bits are looked up only when the next difference might need more than are left of the last time.
        let (mut bits, mut left) = (bits >> PARAMETER_BITS, PEEKED - PARAMETER_BITS);
        for sample in samples {
            if left < LONGEST {
                (bits, left) = (self.peek(at), PEEKED);
            }
            let quotient = bits.trailing_zeros();
            let (difference, length) = if quotient < ESCAPE {
                let rest = (bits >> (quotient + 1)) as u32 & ((1 << parameter) - 1);
                ((quotient << parameter) | rest, quotient + 1 + parameter)
            } else if quotient == ESCAPE {
                ((bits >> (ESCAPE + 1)) as u32, LONGEST)
            } else {
                return None;
            };
            *sample = S::with(*sample, difference as u16);
            bits >>= length;
            left -= length;
            at += length as usize;
        }
        self.at = at;
        Some(())
    }

    /// [`PEEKED`] bits from this one on, zeros behind the end.
    #[inline(always)]
    fn peek(&self, at: usize) -> u64 {
        let byte = at / 8;
        let word = match self.packed.get(byte..byte + 8) {
            Some(bytes) => u64::from_le_bytes(*bytes.first_chunk().expect("eight bytes were taken")),
            None => self.peek_end(byte),
        };
        word >> (at % 8)
    }

    #[cold]
    fn peek_end(&self, byte: usize) -> u64 {
        let mut bytes = [0; 8];
        let left = self.packed.get(byte..).unwrap_or_default();
        bytes[..left.len()].copy_from_slice(left);
        u64::from_le_bytes(bytes)
    }

    /// Ends the unpacking: whether all was taken and the samples are those that were packed.
    pub fn finish(self, sum: u64) -> bool {
        self.at.div_ceil(8) == self.packed.len() && self.sum == sum
    }
}

/// The sum over rows so far and another.
fn next_sum<S: Sample>(sum: u64, row: &[S]) -> u64 {
    (sum.rotate_left(23) ^ xxh3_64(bytemuck::cast_slice(row))).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check<S: Sample + PartialEq + std::fmt::Debug>(rows: &[(Vec<S>, Vec<S>)]) -> usize {
        let mut packed = vec![1, 2, 3];
        let mut packer = Packer::new(&mut packed);
        rows.iter().for_each(|(samples, expected)| packer.row(samples, expected));
        let sum = packer.finish();
        let mut unpacker = Unpacker::new(&packed[3..]);
        for (samples, expected) in rows {
            let mut row = expected.clone();
            unpacker.row(&mut row).unwrap();
            assert_eq!(&row, samples);
        }
        assert!(unpacker.finish(sum));
        packed.len() - 3
    }

    proptest! {
        #[test]
        fn all_comes_back_whatever_was_expected(
            rows in prop::collection::vec(prop::collection::vec((any::<u16>(), any::<i16>(), 0u32..16), 0..100), 0..5),
        ) {
            // Differences of all magnitudes.
            let words: Vec<(Vec<u16>, Vec<u16>)> = rows.iter()
                .map(|row| row.iter().map(|&(a, d, shift)| (a, a.wrapping_add_signed(d >> shift))).unzip())
                .collect();
            check(&words);
            let bytes: Vec<(Vec<u8>, Vec<u8>)> = rows.iter()
                .map(|row| row.iter().map(|&(a, d, shift)| (a as u8, a.wrapping_add_signed(d >> shift) as u8)).unzip())
                .collect();
            check(&bytes);
        }

        #[test]
        fn damaged_bytes_are_no_value(
            packed in prop::collection::vec(any::<u8>(), 0..200), n in 0usize..4, width in 0usize..90, sum: u64,
        ) {
            let mut unpacker = Unpacker::new(&packed);
            let mut row = vec![7u16; width];
            let whole = (0..n).all(|_| unpacker.row(&mut row).is_some());
            prop_assert!(!(whole && unpacker.finish(sum)) || (n * width == 0));
        }
    }

    #[test]
    fn what_was_expected_takes_next_to_nothing_and_noise_hardly_more_than_itself() {
        let row: Vec<u8> = (0..1024).map(|i| (i * i % 251) as u8).collect();
        assert_eq!(check(&[(row.clone(), row.clone())]), 1024 / STRETCH / 2);
        let noise: Vec<u8> = (0..1024u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let length = check(&[(noise, row)]);
        assert!(length < 1024 * 5 / 4, "{length}");
    }

    #[test]
    fn the_sum_tells_what_was_expected_otherwise() {
        let mut packed = Vec::new();
        let mut packer = Packer::new(&mut packed);
        packer.row(&[5u8, 6], &[5, 5]);
        let sum = packer.finish();
        let mut unpacker = Unpacker::new(&packed);
        unpacker.row(&mut [5u8, 4]).unwrap();
        assert!(!unpacker.finish(sum));
    }
}
