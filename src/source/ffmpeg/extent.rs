//! Whether a file is as long as its container says: demuxers take the end of a file for the end of the film.

use std::fs::File;
use std::io::{Read, Result, Seek, SeekFrom};
use std::path::Path;

/// The element of Matroska that holds all others (RFC 9559, 5.1).
const SEGMENT: u64 = 0x1853_8067;

/// Bytes that a file of this format tells of and does not have; `None` where it has all, or says nothing.
pub fn missing(path: &Path, format: &str) -> Option<u64> {
    if !path.is_file() {
        return None;
    }
    let mut file = File::open(path).ok()?;
    let length = file.metadata().ok()?.len();
    let end = match format {
        "avi" => riff_end(&mut file, length),
        _ if format.contains("matroska") => segment_end(&mut file, length),
        _ => return None,
    };
    end.ok().flatten()?.checked_sub(length).filter(|missing| *missing > 0)
}

/// Where the segment of a Matroska file ends; `None` where its size was not known when it was written.
fn segment_end(file: &mut (impl Read + Seek), length: u64) -> Result<Option<u64>> {
    let mut at = 0;
    while at < length {
        file.seek(SeekFrom::Start(at))?;
        let (Some(id), Some((size, is_known))) = (number(file, true)?, number(file, false)?) else { return Ok(None) };
        if !is_known {
            return Ok(None);
        }
        at = file.stream_position()?.saturating_add(size);
        if id.0 == SEGMENT {
            return Ok(Some(at));
        }
    }
    Ok(None)
}

/// A number of variable length (RFC 8794, 4), with the mark of its length in it or not, and whether it is not all ones.
fn number(file: &mut impl Read, with_mark: bool) -> Result<Option<(u64, bool)>> {
    let mut bytes = [0; 8];
    file.read_exact(&mut bytes[..1])?;
    let more = bytes[0].leading_zeros() as usize;
    if more > 7 {
        return Ok(None);
    }
    file.read_exact(&mut bytes[1..=more])?;
    let n_bits = 7 * (more as u32 + 1);
    let value = u64::from_be_bytes(bytes) >> (8 * (7 - more));
    let bare = value & ((1 << n_bits) - 1);
    Ok(Some((if with_mark { value } else { bare }, bare != (1 << n_bits) - 1)))
}

/// Where the last of the lists ends that an AVI file consists of; `None` where one was never closed.
fn riff_end(file: &mut (impl Read + Seek), length: u64) -> Result<Option<u64>> {
    let mut at = 0;
    while at + 8 <= length {
        let mut header = [0; 8];
        file.seek(SeekFrom::Start(at))?;
        file.read_exact(&mut header)?;
        let [a, b, c, d] = [header[4], header[5], header[6], header[7]];
        let size = u64::from(u32::from_le_bytes([a, b, c, d]));
        if &header[..4] != b"RIFF" || size == 0 {
            return Ok(None);
        }
        at += 8 + size;
        if at < length {
            // Lists begin at even places.
            at += at % 2;
        }
    }
    Ok(Some(at))
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    #[test]
    fn a_segment_tells_its_end() {
        let header = [0x1a, 0x45, 0xdf, 0xa3, 0x81, 0];
        let end = |segment: &[u8]| {
            let bytes = [&header[..], &[0x18, 0x53, 0x80, 0x67], segment].concat();
            segment_end(&mut Cursor::new(&bytes), bytes.len() as u64).unwrap()
        };
        assert_eq!(end(&[0x85, 1, 2]), Some(6 + 4 + 1 + 5));
        assert_eq!(end(&[0x01, 0, 0, 0, 0, 0, 1, 0, 9]), Some(6 + 4 + 8 + 256));
        assert_eq!(end(&[0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]), None);
        assert_eq!(end(&[0xff]), None);
    }

    #[test]
    fn lists_tell_their_ends() {
        let end = |bytes: &[u8]| riff_end(&mut Cursor::new(bytes), bytes.len() as u64).unwrap();
        assert_eq!(end(b"RIFF\x04\0\0\0AVI "), Some(12));
        assert_eq!(end(b"RIFF\x09\0\0\0AVI "), Some(17));
        assert_eq!(end(b"RIFF\x05\0\0\0AVI ..RIFF\x04\0\0\0AVIX"), Some(26));
        assert_eq!(end(b"RIFF\0\0\0\0AVI "), None);
        assert_eq!(end(b"RIFF\x04\0\0\0AVI junk at the end"), None);
    }
}
