//! What the headers in a packet tell of it: whether a video can be decoded from there on as if nothing lay before, and
//! whether it shows a picture.

use crate::av::{NalUnits, Packet, Stream, obus};

/// Types of AV1's units (AV1 specification, 6.2.2).
const SEQUENCE_HEADER: u8 = 1;
const FRAME_HEADER: u8 = 3;
const FRAME: u8 = 6;

/// By the codec: where a video can be decoded from on.
#[derive(Clone, Copy)]
pub enum Access {
    /// H.264: an IDR picture. Key frames of other kinds say only that pictures become right some time later.
    H264(NalUnits),
    /// HEVC: a picture that stands alone (IRAP); those shown before it that need what lies before are not decoded.
    Hevc(NalUnits),
    /// VP8: a key frame.
    Vp8,
    /// VP9: a key frame.
    Vp9,
    /// AV1: a key frame that is shown when it is decoded.
    Av1,
    /// Every key frame of the container, as no picture needs another, or decoders refuse to begin anywhere else.
    Keys,
    /// It is not known for this codec.
    Unknown,
}

impl Access {
    /// For the packets of a stream.
    pub fn of(stream: &Stream) -> Access {
        match stream.codec.as_str() {
            "h264" => Access::H264(NalUnits::of_h264(stream.extradata())),
            "hevc" => Access::Hevc(NalUnits::of_hevc(stream.extradata())),
            "vp8" => Access::Vp8,
            "vp9" => Access::Vp9,
            "av1" => Access::Av1,
            "ffv1" => Access::Keys,
            _ if stream.is_intra_only() => Access::Keys,
            _ => Access::Unknown,
        }
    }

    /// Whether no picture that is shown with this packet's or later needs what lies before it.
    pub fn is_at(self, packet: &Packet) -> bool {
        packet.is_key() && self.begins(packet.data())
    }

    fn begins(self, data: &[u8]) -> bool {
        let first = data.first().copied();
        match self {
            // ITU-T H.264, table 7-1: a slice of an IDR picture.
            Access::H264(units) => units.of(data).any(|unit| unit.first().is_some_and(|header| header & 31 == 5)),
            // ITU-T H.265, table 7-1: BLA, IDR, CRA.
            Access::Hevc(units) => {
                units.of(data).any(|unit| unit.first().is_some_and(|header| (16..=21).contains(&(header >> 1 & 63))))
            }
            // RFC 6386, 9.1.
            Access::Vp8 => first.is_some_and(|byte| byte & 1 == 0),
            Access::Vp9 => first.is_some_and(is_vp9_key),
            Access::Av1 => obus(data).find_map(is_av1_key).unwrap_or(false),
            Access::Keys => true,
            Access::Unknown => false,
        }
    }

    /// Whether what the packet holds is only decoded for others to be made from it, and not shown.
    pub fn hides(self, packet: &Packet) -> bool {
        self.is_hidden(packet.data())
    }

    fn is_hidden(self, data: &[u8]) -> bool {
        match self {
            // RFC 6386, 9.1: `show_frame`.
            Access::Vp8 => data.first().is_some_and(|byte| byte & 0x10 == 0),
            Access::Vp9 => !is_superframe(data) && data.first().is_some_and(|byte| is_vp9_hidden(*byte)),
            Access::Av1 => {
                let mut frames = obus(data).filter_map(is_av1_shown).peekable();
                frames.peek().is_some() && !frames.any(|is_shown| is_shown)
            }
            Access::H264(_) | Access::Hevc(_) | Access::Keys | Access::Unknown => false,
        }
    }
}

/// VP9 specification, 6.2: `frame_marker` 2, the profile, `show_existing_frame` 0, `frame_type` 0.
fn is_vp9_key(byte: u8) -> bool {
    byte & 0xc0 == 0x80 && vp9_flags(byte) & 0x0c == 0
}

/// The same with any `frame_type`, and `show_frame` 0.
fn is_vp9_hidden(byte: u8) -> bool {
    byte & 0xc0 == 0x80 && vp9_flags(byte) & 0x0a == 0
}

/// The first byte of a VP9 frame with its flags where profiles 0 to 2 have them: profile 3 has a reserved bit more.
fn vp9_flags(byte: u8) -> u8 {
    if byte & 0x30 == 0x30 { byte << 1 } else { byte }
}

/// VP9 specification, annex B: several frames, of which one is shown, with their sizes behind them.
fn is_superframe(data: &[u8]) -> bool {
    let Some(&marker) = data.last().filter(|marker| *marker & 0xe0 == 0xc0) else { return false };
    let (n_frames, n_bytes) = (usize::from(marker & 7) + 1, usize::from(marker >> 3 & 3) + 1);
    let index = data.len().checked_sub(2 + n_frames * n_bytes);
    index.is_some_and(|index| data[index] == marker)
}

/// AV1 specification, 5.9.2, of a unit with a frame header: `show_existing_frame` 0, `frame_type` 0, `show_frame` 1.
fn is_av1_key((kind, payload): (u8, &[u8])) -> Option<bool> {
    match kind {
        // `reduced_still_picture_header`: frame headers are of another form.
        SEQUENCE_HEADER if payload.first().is_none_or(|byte| byte & 0x08 != 0) => Some(false),
        FRAME_HEADER | FRAME => Some(payload.first().is_some_and(|byte| byte & 0xf0 == 0x10)),
        _ => None,
    }
}

/// The same with `show_existing_frame` 1, or `show_frame` 1 and any `frame_type`.
fn is_av1_shown((kind, payload): (u8, &[u8])) -> Option<bool> {
    match kind {
        // `reduced_still_picture_header`: what comes is shown.
        SEQUENCE_HEADER if payload.first().is_none_or(|byte| byte & 0x08 != 0) => Some(true),
        FRAME_HEADER | FRAME => Some(payload.first().is_none_or(|byte| byte & 0x90 != 0)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frame_headers_tell_what_begins_anew() {
        let h264 = Access::H264(NalUnits::default());
        assert!(h264.begins(&[0, 0, 1, 0x67, 1, 0, 0, 1, 0x65, 1]));
        assert!(!h264.begins(&[0, 0, 1, 0x06, 6, 0, 0, 1, 0x41, 1]));
        let hevc = Access::Hevc(NalUnits::default());
        assert!(hevc.begins(&[0, 0, 1, 21 << 1, 1]) && hevc.begins(&[0, 0, 1, 19 << 1, 1]));
        assert!(!hevc.begins(&[0, 0, 1, 1 << 1, 1]) && !hevc.begins(&[]));
        // Profiles 0 and 3, key and other frames, a frame shown again.
        assert!(is_vp9_key(0x82) && is_vp9_key(0xb0) && !is_vp9_key(0x86) && !is_vp9_key(0x88) && !is_vp9_key(0xb2));
        assert_eq!(Access::Vp8.begins(&[0x50]), !Access::Vp8.begins(&[0x51]));
        assert!(Access::Av1.begins(&[0x12, 0, 0x0a, 1, 0, 0x32, 1, 0x10]));
        assert!(!Access::Av1.begins(&[0x32, 1, 0x30]) && !Access::Av1.begins(&[0x32, 1, 0x00]));
        assert!(!Access::Av1.begins(&[0x0a, 1, 0x18, 0x32, 1, 0x10]));
    }

    #[test]
    fn frame_headers_tell_what_is_not_shown() {
        assert!(Access::Vp8.is_hidden(&[0x41]) && !Access::Vp8.is_hidden(&[0x51]) && !Access::Vp8.is_hidden(&[]));
        // Profiles 2, 0 and 3, then frames that are shown, or shown again.
        for (byte, is_hidden) in
            [(0x94, true), (0x84, true), (0xb2, true), (0x86, false), (0x96, false), (0xb3, false), (0x88, false)]
        {
            assert_eq!(Access::Vp9.is_hidden(&[byte, 0x49, 0x83]), is_hidden, "{byte:02x}");
        }
        // A frame of two bytes that is not shown, and one that is, with their sizes.
        assert!(!Access::Vp9.is_hidden(&[0x84, 1, 0x86, 0xc1, 2, 1, 0xc1]));
        assert!(Access::Vp9.is_hidden(&[0x84, 1, 0x86, 0, 2, 1, 0xc1]));
        assert!(Access::Av1.is_hidden(&[0x32, 1, 0x20]) && Access::Av1.is_hidden(&[0x12, 0, 0x32, 1, 0x00]));
        assert!(!Access::Av1.is_hidden(&[0x32, 1, 0x20, 0x32, 1, 0x30]) && !Access::Av1.is_hidden(&[0x1a, 1, 0x80]));
        assert!(!Access::Av1.is_hidden(&[0x12, 0]) && !Access::Keys.is_hidden(&[0x84]));
    }
}
