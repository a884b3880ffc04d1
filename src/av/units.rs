//! The units that a packet of H.264, HEVC or AV1 consists of.

/// Units of H.264 or HEVC (NAL units; Annex B of ITU-T H.264 and H.265, or ISO/IEC 14496-15).
#[derive(Clone, Copy, Debug, Default)]
pub struct NalUnits {
    /// Bytes of the length before each unit; 0 where start codes part them.
    length_size: usize,
}

impl NalUnits {
    /// As H.264's codec header says: an `avcC` (ISO/IEC 14496-15, 5.3.3.1), or units with start codes.
    pub fn of_h264(extradata: &[u8]) -> NalUnits {
        NalUnits::parted(extradata, 4)
    }

    /// As HEVC's codec header says: an `hvcC` (8.3.3.1), or units with start codes.
    pub fn of_hevc(extradata: &[u8]) -> NalUnits {
        NalUnits::parted(extradata, 21)
    }

    /// The size of lengths, less 1, is in the last bits of a header's byte `at`.
    fn parted(extradata: &[u8], at: usize) -> NalUnits {
        let has_lengths = extradata.first() == Some(&1);
        let length_size = extradata.get(at).filter(|_| has_lengths).map_or(0, |byte| usize::from(byte & 3) + 1);
        NalUnits { length_size }
    }

    /// The units of a packet, up to the first that does not end in it.
    pub fn of(self, packet: &[u8]) -> impl Iterator<Item = &[u8]> {
        let mut rest = packet;
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let unit;
            (unit, rest) = if self.length_size > 0 { measured(rest, self.length_size)? } else { started(rest) };
            Some(unit)
        })
    }
}

/// The next unit with its length before it, and what follows.
fn measured(data: &[u8], length_size: usize) -> Option<(&[u8], &[u8])> {
    let (length, rest) = data.split_at_checked(length_size)?;
    let length = length.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
    rest.split_at_checked(length)
}

/// What lies before the next start code, and what follows it.
fn started(data: &[u8]) -> (&[u8], &[u8]) {
    match data.windows(3).position(|bytes| bytes == [0, 0, 1]) {
        Some(at) => (&data[..at], &data[at + 3..]),
        None => (data, &[]),
    }
}

/// The units of an AV1 packet with their types (OBUs; AV1 specification, 5.3), up to the first that does not end in it.
pub fn obus(packet: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    let mut rest = packet;
    std::iter::from_fn(move || {
        let (header, mut after) = rest.split_first()?;
        let (has_extension, has_size) = (header & 4 != 0, header & 2 != 0);
        if has_extension {
            after = after.get(1..)?;
        }
        let mut size = after.len();
        if has_size {
            // leb128 (4.10.5).
            let n_bytes = after.iter().take(8).position(|byte| byte & 0x80 == 0)? + 1;
            let (bytes, behind) = after.split_at(n_bytes);
            let value = bytes.iter().rev().fold(0u64, |sum, byte| sum << 7 | u64::from(byte & 0x7f));
            (size, after) = (usize::try_from(value).ok()?, behind);
        }
        let payload;
        (payload, rest) = after.split_at_checked(size)?;
        Some((header >> 3 & 15, payload))
    })
}

/// Puts a parameter set in the place of the one with its number.
pub fn put_set<T>(sets: &mut Vec<(u32, T)>, (id, set): (u32, T)) {
    sets.retain(|(known, _)| *known != id);
    sets.push((id, set));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_found_by_start_codes_and_by_lengths() {
        let parted = [0, 0, 0, 1, 0x67, 7, 0, 0, 1, 0x65, 9, 9];
        let found: Vec<&[u8]> = NalUnits::of_h264(&[0, 0, 1, 0x67]).of(&parted).collect();
        assert_eq!(found, [&[0][..], &[0x67, 7], &[0x65, 9, 9]]);
        let avcc = [1, 100, 0, 31, 0xff];
        let units = NalUnits::of_h264(&avcc);
        let found: Vec<&[u8]> = units.of(&[0, 0, 0, 2, 0x67, 7, 0, 0, 0, 1, 0x65, 0, 0, 0, 9, 1]).collect();
        assert_eq!(found, [&[0x67, 7][..], &[0x65]]);
    }

    #[test]
    fn obus_are_found_with_and_without_their_sizes() {
        let packet = [0x12, 0, 0x0a, 2, 1, 2, 0x32, 0x81, 0x00, 5];
        let found: Vec<(u8, &[u8])> = obus(&packet).collect();
        assert_eq!(found, [(2, &[][..]), (1, &[1, 2]), (6, &[5])]);
        let found: Vec<(u8, &[u8])> = obus(&[0x30, 7, 8]).collect();
        assert_eq!(found, [(6, &[7, 8][..])]);
        assert_eq!(obus(&[0x32, 9, 1]).count(), 0);
    }
}
