//! Packets of H.264 that hold but the second field of a picture: demuxers give each field of a field-coded picture as a
//! packet of its own, and two of them become one frame.
//!
//! Sections and names of syntax elements are those of ITU-T H.264 (08/2021). Whatever is not understood is a frame.

use super::bits::Bits;
use super::units::put_set;
use super::{NalUnits, Stream};

/// Types of NAL units (table 7-1): slices of pictures, and parameter sets.
const SLICE: u8 = 1;
const IDR_SLICE: u8 = 5;
const SPS: u8 = 7;
const PPS: u8 = 8;

/// Profiles whose sequences tell of chroma and of scaling (7.3.2.1.1).
const WITH_CHROMA: [u32; 13] = [100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135];

/// The fields of a slice's header that are read lie within so many bytes.
const HEADER: usize = 32;

/// Looks at the packets of a stream, one after the other.
#[derive(Default)]
pub struct Fields {
    units: NalUnits,
    sequences: Vec<(u32, Sequence)>,
    /// Picture parameter sets, of which only the sequence matters.
    pictures: Vec<(u32, u32)>,
    /// The last packet's field, if its picture has no other yet.
    first: Option<Field>,
}

/// A field by what it has in common with the other one of its picture, and by what not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Field {
    frame_num: u32,
    is_bottom: bool,
}

impl Fields {
    /// For a stream of H.264.
    pub fn of(stream: &Stream) -> Option<Fields> {
        (stream.codec == "h264").then(|| Fields::new(stream.extradata()))
    }

    /// From the codec's header: `avcC` (ISO/IEC 14496-15, 5.3.3.1), or units with start codes.
    fn new(extradata: &[u8]) -> Fields {
        let mut fields = Fields { units: NalUnits::of_h264(extradata), ..Fields::default() };
        if extradata.first() == Some(&1) {
            fields.listed(extradata);
        } else {
            fields.field(extradata);
        }
        fields
    }

    /// The parameter sets of an `avcC`: two lists, each with its length in a byte, of units with theirs in two.
    fn listed(&mut self, header: &[u8]) -> Option<()> {
        let mut rest = header.get(5..)?;
        for mask in [31u8, 255] {
            let (n, after) = rest.split_first()?;
            rest = after;
            for _ in 0..n & mask {
                let (length, after) = rest.split_first_chunk::<2>()?;
                let (unit, after) = after.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
                self.unit(unit);
                rest = after;
            }
        }
        Some(())
    }

    /// Whether the next packet holds the other field of the last one's picture (7.4.1.2.4), by the rule of FFmpeg's
    /// decoder.
    pub fn is_second(&mut self, packet: &[u8]) -> bool {
        let field = self.field(packet);
        let is_second = self
            .first
            .zip(field)
            .is_some_and(|(first, field)| first.frame_num == field.frame_num && first.is_bottom != field.is_bottom);
        self.first = field.filter(|_| !is_second);
        is_second
    }

    /// The field of a packet's first slice; `None` where that is of a frame.
    fn field(&mut self, packet: &[u8]) -> Option<Field> {
        self.units.of(packet).find_map(|unit| self.unit(unit)).flatten()
    }

    /// Reads a unit; of a slice, whether it is of a field.
    fn unit(&mut self, unit: &[u8]) -> Option<Option<Field>> {
        let (header, payload) = unit.split_first()?;
        match header & 31 {
            SPS => put_set(&mut self.sequences, Sequence::read(&mut Bits::new(payload))?),
            PPS => put_set(&mut self.pictures, picture(&mut Bits::new(payload))?),
            SLICE | IDR_SLICE => return Some(self.slice(&mut Bits::new(&payload[..payload.len().min(HEADER)]))),
            _ => {}
        }
        None
    }

    /// `slice_header` (7.3.3), as far as its field.
    fn slice(&self, bits: &mut Bits) -> Option<Field> {
        bits.ue()?; // first_mb_in_slice
        bits.ue()?; // slice_type
        let picture = bits.ue()?;
        let of_picture = self.pictures.iter().find(|(id, _)| *id == picture)?.1;
        let sequence = &self.sequences.iter().find(|(id, _)| *id == of_picture)?.1;
        if sequence.has_separate_planes {
            bits.skip(2)?; // colour_plane_id
        }
        let frame_num = bits.u(sequence.n_number_bits)?;
        if !sequence.has_fields || !bits.flag()? {
            return None;
        }
        Some(Field { frame_num, is_bottom: bits.flag()? })
    }
}

/// `pic_parameter_set_rbsp` (7.3.2.2): its number and that of its sequence.
fn picture(bits: &mut Bits) -> Option<(u32, u32)> {
    Some((bits.ue()?, bits.ue()?))
}

/// `seq_parameter_set_data` (7.3.2.1.1), as far as a slice's field needs it.
struct Sequence {
    /// The three components are coded as three pictures.
    has_separate_planes: bool,
    /// Bits of `frame_num`.
    n_number_bits: u32,
    /// Pictures may be coded as fields.
    has_fields: bool,
}

impl Sequence {
    /// Its number and what it says.
    fn read(bits: &mut Bits) -> Option<(u32, Sequence)> {
        let profile = bits.u(8)?;
        bits.skip(16)?; // constraint flags, level_idc
        let id = bits.ue()?;
        let mut has_separate_planes = false;
        if WITH_CHROMA.contains(&profile) {
            let chroma_format = bits.ue()?;
            has_separate_planes = chroma_format == 3 && bits.flag()?;
            skip_numbers(bits, 2)?; // bit depths
            bits.flag()?; // qpprime_y_zero_transform_bypass_flag
            if bits.flag()? {
                skip_scaling_lists(bits, if chroma_format == 3 { 12 } else { 8 })?;
            }
        }
        let n_number_bits = bits.ue()?.checked_add(4).filter(|n| *n <= 16)?;
        match bits.ue()? {
            0 => skip_numbers(bits, 1)?,
            1 => {
                bits.flag()?; // delta_pic_order_always_zero_flag
                skip_numbers(bits, 2)?;
                let n = bits.ue()?.min(255);
                skip_numbers(bits, n)?;
            }
            _ => {}
        }
        bits.ue()?; // max_num_ref_frames
        bits.flag()?; // gaps_in_frame_num_value_allowed_flag
        skip_numbers(bits, 2)?; // width, height
        let has_fields = !bits.flag()?;
        Some((id, Sequence { has_separate_planes, n_number_bits, has_fields }))
    }
}

/// Leaves `n` numbers out; those with a sign have the same codes (9.1).
fn skip_numbers(bits: &mut Bits, n: u32) -> Option<()> {
    (0..n).try_for_each(|_| bits.ue().map(drop))
}

/// `scaling_list` (7.3.2.1.1.1) of those that are there: six of 16 numbers, and others of 64.
fn skip_scaling_lists(bits: &mut Bits, n: usize) -> Option<()> {
    for list in 0..n {
        if !bits.flag()? {
            continue;
        }
        let size = if list < 6 { 16 } else { 64 };
        let mut last = 8i32;
        for _ in 0..size {
            last = last.wrapping_add(bits.se()?).rem_euclid(256);
            if last == 0 {
                // The rest repeats the one before.
                break;
            }
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A unit with a start code before it, its payload as bits.
    fn unit(header: u8, bits: &str) -> Vec<u8> {
        let bits: String = format!("{bits}1").split_whitespace().collect();
        let byte = |bits: &[u8]| bits.iter().enumerate().map(|(at, bit)| (bit - b'0') << (7 - at)).sum::<u8>();
        [&[0, 0, 1, header][..], &bits.as_bytes().chunks(8).map(byte).collect::<Vec<_>>()].concat()
    }

    /// Frame numbers of 4 bits, order counts that follow from them, and pictures that may be fields, or not.
    fn sets(is_of_fields: bool) -> Vec<u8> {
        let last = if is_of_fields { "0 0" } else { "1" };
        let sps = unit(0x67, &format!("01001101 00000000 00011110 1 1 011 010 0 1 1 {last}"));
        [sps, unit(0x68, "1 1 0")].concat()
    }

    fn slice(frame_num: u8, fields: &str) -> Vec<u8> {
        unit(0x41, &format!("1 0001000 1 {frame_num:04b} {fields}"))
    }

    #[test]
    fn the_other_field_of_a_picture_is_known() {
        let mut fields = Fields::new(&sets(true));
        let (frame, top, bottom) = ("0 1", "1 0", "1 1");
        let packets = [(0, top), (0, bottom), (1, bottom), (1, top), (2, frame), (2, frame), (3, top), (4, bottom)];
        let seconds = packets.map(|(number, kind)| fields.is_second(&slice(number, kind)));
        assert_eq!(seconds, [false, true, false, true, false, false, false, false]);
        // A third field of the same number begins another picture.
        let seconds = [top, bottom, top, bottom].map(|kind| fields.is_second(&slice(7, kind)));
        assert_eq!(seconds, [false, true, false, true]);
        // Without fields the bits behind the number mean something else, and without sets nothing is known.
        for mut fields in [Fields::new(&sets(false)), Fields::new(&[])] {
            assert!(![top, bottom].iter().any(|kind| fields.is_second(&slice(0, kind))));
        }
    }

    #[test]
    fn sets_are_found_in_packets_and_in_an_avcc() {
        let mut fields = Fields::new(&[]);
        assert!(!fields.is_second(&[sets(true), slice(0, "1 0")].concat()) && fields.is_second(&slice(0, "1 1")));
        let both = sets(true);
        let (sps, pps) = (&both[3..9], &both[12..]);
        let avcc = [&[1, 77, 0, 30, 0xff, 0xe1, 0, 6][..], sps, &[1, 0, 2], pps].concat();
        let mut fields = Fields::new(&avcc);
        assert_eq!(fields.pictures, [(0, 0)]);
        let measured = |slice: Vec<u8>| [&(slice.len() as u32 - 3).to_be_bytes()[..], &slice[3..]].concat();
        assert!(!fields.is_second(&measured(slice(0, "1 0"))) && fields.is_second(&measured(slice(0, "1 1"))));
    }

    #[test]
    fn scaling_lists_are_passed_over() {
        // High profile, 4:2:0; the first list ends at once, the second has 16 numbers, the others are not there.
        let lists = format!("1 000010001 1 {} 000000", "1".repeat(16));
        let sps = unit(0x67, &format!("01100100 00000000 00011110 1 010 1 1 0 1 {lists} 1 011 010 0 1 1 0 0"));
        let mut fields = Fields::new(&[sps, unit(0x68, "1 1 0")].concat());
        assert!(!fields.is_second(&slice(5, "1 0")) && fields.is_second(&slice(5, "1 1")));
    }

    #[test]
    fn whatever_comes_is_survived() {
        let mut state = 1u32;
        let mut random = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        for case in 0..20_000 {
            let mut bytes: Vec<u8> = (0..case % 97).map(|_| random()).collect();
            if case % 2 == 0 {
                bytes.splice(0..0, [0, 0, 1, [SPS, PPS, SLICE, IDR_SLICE][case / 2 % 4]]);
            }
            let mut fields = Fields::new(&bytes);
            fields.is_second(&bytes);
        }
    }
}
