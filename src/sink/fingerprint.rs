//! A hash of a packet's payload that is the same before and after a container has wrapped it.
//!
//! Containers change how H.264 and HEVC units are delimited (start codes in an elementary stream, lengths in mp4 and
//! Matroska: ISO/IEC 14496-15) and drop delimiters and repeated parameter sets; AV1 loses its temporal delimiters. The
//! hash is over what is left in every form. Where containers part a stream in different ways, as they do the segments of
//! Blu-ray subtitles, it is over what belongs together.

use xxhash_rust::xxh3::Xxh3;

/// How the units of a packet are delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The payload is hashed as it is.
    Whole,
    /// H.264 with start codes.
    H264StartCodes,
    /// H.264 with four-byte lengths.
    H264Lengths,
    /// HEVC with start codes.
    HevcStartCodes,
    /// HEVC with four-byte lengths.
    HevcLengths,
    /// AV1 open bitstream units.
    Av1,
}

impl Form {
    /// The form of packets of `codec` whose stream has this header.
    pub fn of(codec: &str, extradata: &[u8]) -> Form {
        // A header in the containers' form begins with its version, 1; an elementary one with a start code.
        let has_lengths = extradata.first() == Some(&1);
        match (codec, has_lengths) {
            ("h264", true) => Form::H264Lengths,
            ("h264", false) => Form::H264StartCodes,
            ("hevc", true) => Form::HevcLengths,
            ("hevc", false) => Form::HevcStartCodes,
            ("av1", _) => Form::Av1,
            _ => Form::Whole,
        }
    }

    /// The form in which encoders of `codec` give their packets.
    pub fn encoded(codec: &str) -> Form {
        Form::of(codec, &[])
    }
}

/// Whether a packet is a whole AAC frame with its header in front (ADTS: ISO/IEC 13818-7, 6.2). What a broadcast has
/// lost leaves packets that are none.
pub fn is_adts_frame(data: &[u8]) -> bool {
    let Some(&[sync, kind, rate, a, b, c, _]) = data.first_chunk::<7>() else { return false };
    let has_checksum = kind & 1 == 0;
    let header = if has_checksum { 9 } else { 7 };
    let size = usize::from(a & 3) << 11 | usize::from(b) << 3 | usize::from(c >> 5);
    // Numbers from 13 on stand for no sample rate.
    let has_rate = (rate >> 2 & 0xf) < 13;
    sync == 0xff && kind & 0xf0 == 0xf0 && has_rate && (header + 1..=data.len()).contains(&size)
}

/// The hash of a payload.
pub fn fingerprint(form: Form, data: &[u8]) -> u64 {
    let mut hash = Xxh3::new();
    match form {
        Form::Whole => hash.update(data),
        Form::H264StartCodes | Form::HevcStartCodes => start_codes(data, |unit| feed(&mut hash, form, unit)),
        Form::H264Lengths | Form::HevcLengths => lengths(data, |unit| feed(&mut hash, form, unit)),
        Form::Av1 => open_bitstream_units(data, &mut hash),
    }
    hash.digest()
}

/// The segments of Blu-ray subtitles (PGS) that change the screen together: one packet in Matroska, one a segment in
/// transport streams. What was seen of them so far.
#[derive(Default)]
pub struct DisplaySet {
    hash: Xxh3,
    size: usize,
}

impl DisplaySet {
    /// Takes what belongs to the set from the beginning of `data`, the rest of a packet; whether that ends the set, and
    /// what is left. A segment that does not end in the packet ends with it.
    pub fn take<'a>(&mut self, data: &'a [u8]) -> (bool, &'a [u8]) {
        let (mut is_complete, mut rest) = (false, data);
        while !is_complete && !rest.is_empty() {
            let kind = rest[0];
            rest = after_segment(rest).unwrap_or_default();
            is_complete = kind == END_OF_DISPLAY_SET;
        }
        let taken = &data[..data.len() - rest.len()];
        self.hash.update(taken);
        self.size += taken.len();
        (is_complete, rest)
    }

    /// The hash of its payload.
    pub fn hash(&self) -> u64 {
        self.hash.digest()
    }

    /// Bytes of its payload.
    pub fn size(&self) -> usize {
        self.size
    }
}

/// The type of the segment that ends a display set.
const END_OF_DISPLAY_SET: u8 = 0x80;

/// What follows a segment: a byte of type, two of length, and as many of data.
fn after_segment(data: &[u8]) -> Option<&[u8]> {
    let ([_, length @ ..], after) = data.split_first_chunk::<3>()?;
    after.get(usize::from(u16::from_be_bytes(*length))..)
}

/// Hashes a unit unless containers may drop it: parameter sets, access unit delimiters, end markers, filler.
fn feed(hash: &mut Xxh3, form: Form, unit: &[u8]) {
    let Some(first) = unit.first() else { return };
    let dropped = match form {
        Form::H264StartCodes | Form::H264Lengths => matches!(first & 0x1f, 7..=13),
        _ => matches!(first >> 1 & 0x3f, 32..=38),
    };
    if !dropped {
        let end = unit.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        hash.update(&unit[..end]);
    }
}

/// Calls `each` with what stands between start codes (`00 00 01`).
fn start_codes(data: &[u8], mut each: impl FnMut(&[u8])) {
    let mut start = None;
    let mut i = 0;
    while i + 3 <= data.len() {
        if data[i..i + 3] == [0, 0, 1] {
            if let Some(start) = start {
                each(&data[start..i]);
            }
            start = Some(i + 3);
            i += 3;
        } else {
            i += 1;
        }
    }
    if let Some(start) = start {
        each(&data[start..]);
    }
}

/// Calls `each` with units that stand behind their length in four bytes; a broken rest counts as one unit.
fn lengths(data: &[u8], mut each: impl FnMut(&[u8])) {
    let mut rest = data;
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let length = u32::from_be_bytes(*length) as usize;
        let Some((unit, next)) = after.split_at_checked(length) else {
            each(after);
            return;
        };
        each(unit);
        rest = next;
    }
}

/// Hashes all units but temporal delimiters (type 2) and padding (type 15), whose sizes follow in LEB128.
fn open_bitstream_units(data: &[u8], hash: &mut Xxh3) {
    let mut rest = data;
    while let Some(header) = rest.first() {
        let has_extension = header & 4 != 0;
        let has_size = header & 2 != 0;
        let mut at = 1 + usize::from(has_extension);
        let mut size = 0usize;
        if has_size {
            for shift in (0..56).step_by(7) {
                let byte = rest.get(at).copied().unwrap_or(0);
                at += 1;
                size |= usize::from(byte & 0x7f) << shift;
                if byte & 0x80 == 0 {
                    break;
                }
            }
        } else {
            size = rest.len().saturating_sub(at);
        }
        let end = at.saturating_add(size).min(rest.len());
        let kind = header >> 3 & 0xf;
        if kind != 2 && kind != 15 {
            hash.update(&rest[at.min(end)..end]);
        }
        rest = &rest[end.max(1).min(rest.len())..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_delimiters_give_one_hash_and_content_gives_another() {
        let slice = [0x65, 1, 2, 3, 9];
        let mut annex_b = vec![0, 0, 0, 1, 0x09, 0xf0, 0, 0, 0, 1, 0x67, 5, 0, 0, 1];
        annex_b.extend(slice);
        let mut prefixed = vec![0, 0, 0, 5];
        prefixed.extend(slice);
        let reference = fingerprint(Form::H264StartCodes, &annex_b);
        assert_eq!(reference, fingerprint(Form::H264Lengths, &prefixed));
        prefixed[6] = 7;
        assert_ne!(reference, fingerprint(Form::H264Lengths, &prefixed));
    }

    #[test]
    fn temporal_delimiters_do_not_count() {
        let with = [0x12, 0, 0x32, 2, 7, 8];
        let without = [0x32, 2, 7, 8];
        assert_eq!(fingerprint(Form::Av1, &with), fingerprint(Form::Av1, &without));
        assert_ne!(fingerprint(Form::Av1, &with), fingerprint(Form::Av1, &[0x32, 2, 7, 9]));
    }

    #[test]
    fn display_sets_are_the_same_however_their_segments_are_parted() {
        let (shown, cleared) = ([0x16, 0, 2, 7, 7, 0x15, 0, 1, 9, 0x80, 0, 0], [0x16, 0, 1, 5, 0x80, 0, 0]);
        let sets = |packets: &[&[u8]]| -> (Vec<u64>, usize) {
            let (mut hashes, mut open) = (Vec::new(), DisplaySet::default());
            for packet in packets {
                let mut rest = *packet;
                while !rest.is_empty() {
                    let is_complete;
                    (is_complete, rest) = open.take(rest);
                    if is_complete {
                        hashes.push(std::mem::take(&mut open).hash());
                    }
                }
            }
            (hashes, open.size())
        };
        let whole = sets(&[&shown, &cleared]);
        assert_eq!((whole.0.len(), whole.1), (2, 0));
        assert_eq!(sets(&[&shown[..5], &shown[5..9], &shown[9..], &cleared[..4], &cleared[4..]]), whole);
        assert_eq!(sets(&[&[&shown[..], &cleared[..]].concat()]), whole);
        assert_ne!(sets(&[&shown, &shown]), whole);
        // What ends in the middle is open, and so is what is no segment.
        assert_eq!(sets(&[&shown, &cleared[..4]]), (whole.0[..1].to_vec(), 4));
        assert_eq!(sets(&[&[0x16, 0xff, 0xff, 1], &[0x15], &[0x15, 0]]), (vec![], 7));
    }

    #[test]
    fn only_whole_frames_of_aac_are_frames() {
        let frame = [0xff, 0xf1, 0x4c, 0x80, 1, 0x3f, 0xfc, 1, 2];
        assert!(is_adts_frame(&frame));
        for (at, other) in [(0, 0xf0), (1, 0x71), (1, 0xf0), (2, 0x74), (4, 2), (4, 0)] {
            let mut broken = frame;
            broken[at] = other;
            assert!(!is_adts_frame(&broken), "{at} {other}");
        }
        for n in 0..frame.len() {
            assert!(!is_adts_frame(&frame[..n]), "{n}");
        }
    }

    #[test]
    fn hostile_bytes_end() {
        for form in [Form::H264Lengths, Form::HevcStartCodes, Form::Av1] {
            for data in [&[][..], &[0xff; 9], &[0, 0, 1], &[0x12], &[0x36, 0xff, 0xff, 0xff, 0xff]] {
                fingerprint(form, data);
            }
        }
    }
}
