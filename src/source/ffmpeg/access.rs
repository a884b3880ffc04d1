//! Packets from which on a video can be decoded as if nothing lay before.

use crate::av::{NalUnits, Packet, Stream, obus};

/// How to tell them, by the codec.
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
}

/// VP9 specification, 6.2: `frame_marker` 2, the profile, `show_existing_frame` 0, `frame_type` 0.
fn is_vp9_key(byte: u8) -> bool {
    // Profile 3 has a reserved bit more.
    let flags = if byte & 0x30 == 0x30 { byte << 1 } else { byte };
    byte & 0xc0 == 0x80 && flags & 0x0c == 0
}

/// AV1 specification, 5.9.2, of a unit with a frame header: `show_existing_frame` 0, `frame_type` 0, `show_frame` 1.
fn is_av1_key((kind, payload): (u8, &[u8])) -> Option<bool> {
    const SEQUENCE_HEADER: u8 = 1;
    const FRAME_HEADER: u8 = 3;
    const FRAME: u8 = 6;
    match kind {
        // `reduced_still_picture_header`: frame headers are of another form.
        SEQUENCE_HEADER if payload.first().is_none_or(|byte| byte & 0x08 != 0) => Some(false),
        FRAME_HEADER | FRAME => Some(payload.first().is_some_and(|byte| byte & 0xf0 == 0x10)),
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
}
