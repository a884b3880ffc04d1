//! The quantiser of HEVC, whose decoder does not tell: read from the headers of the slices that stand alone.
//!
//! Sections and names of syntax elements are those of ITU-T H.265 (08/2021). Whatever is not understood gives nothing.

mod sets;

use sets::{Picture, Sequence};

use crate::av::{Bits, NalUnits, Qp, put_set};

/// How much lower H.264's quantiser is that leaves as much to correct, found with x265 and x264, whose own scales of
/// quality differ about as much (`training/README.md`).
const BELOW: Qp = 4.0;

/// Types of NAL units (7.4.2.2): pictures that stand alone, and parameter sets.
const BLA_W_LP: u8 = 16;
const IDR_W_RADL: u8 = 19;
const IDR_N_LP: u8 = 20;
const RESERVED_IRAP: u8 = 23;
const SPS: u8 = 33;
const PPS: u8 = 34;

/// The type of a slice that is predicted from its own picture only (7.4.7.1).
const I: u32 = 2;

/// Reads the parameter sets as they come.
#[derive(Default)]
pub struct Headers {
    sequences: Vec<(u32, Sequence)>,
    pictures: Vec<(u32, Picture)>,
    units: NalUnits,
}

impl Headers {
    /// From the codec's header: `hvcC` (ISO/IEC 14496-15, 8.3.3.1), or units with start codes.
    pub fn new(extradata: &[u8]) -> Headers {
        let mut headers = Headers { units: NalUnits::of_hevc(extradata), ..Headers::default() };
        if extradata.first() != Some(&1) {
            headers.packet(extradata);
            return headers;
        }
        let mut rest = extradata.get(23..).unwrap_or_default();
        for _ in 0..extradata.get(22).copied().unwrap_or(0) {
            let Some((array, after)) = rest.split_at_checked(3) else { break };
            rest = after;
            for _ in 0..u16::from_be_bytes([array[1], array[2]]) {
                let Some((length, after)) = rest.split_at_checked(2) else { break };
                let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
                let Some((unit, after)) = after.split_at_checked(length) else { break };
                headers.unit(unit);
                rest = after;
            }
        }
        headers
    }

    /// The quantiser of a packet's picture in H.264's scale, if it stands alone.
    pub fn packet(&mut self, data: &[u8]) -> Option<Qp> {
        self.units.of(data).fold(None, |found, unit| found.or(self.unit(unit)))
    }

    fn unit(&mut self, unit: &[u8]) -> Option<Qp> {
        let kind = (unit.first()? >> 1) & 0x3f;
        let mut bits = Bits::new(unit.get(2..)?);
        match kind {
            SPS => put_set(&mut self.sequences, Sequence::read(&mut bits)?),
            PPS => put_set(&mut self.pictures, Picture::read(&mut bits)?),
            BLA_W_LP..=RESERVED_IRAP => return self.slice(kind, &mut bits),
            _ => {}
        }
        None
    }

    /// `slice_segment_header` (7.3.6.1) of a picture's first slice, as far as its quantiser.
    fn slice(&self, kind: u8, bits: &mut Bits) -> Option<Qp> {
        let is_first = bits.flag()?;
        bits.flag()?; // no_output_of_prior_pics_flag
        let picture = &self.pictures.iter().find(|(id, _)| Some(*id) == bits.peek_ue())?.1;
        bits.ue()?;
        let sequence = &self.sequences.iter().find(|(id, _)| *id == picture.sequence)?.1;
        bits.skip(picture.n_extra_bits)?;
        if !is_first || bits.ue()? != I {
            return None;
        }
        if picture.has_output_flag {
            bits.flag()?;
        }
        if sequence.has_separate_planes {
            bits.skip(2)?; // colour_plane_id
        }
        if !matches!(kind, IDR_W_RADL | IDR_N_LP) {
            sequence.skip_references(bits)?;
        }
        if sequence.has_offset_filter {
            bits.flag()?; // slice_sao_luma_flag
            if sequence.has_chroma && !sequence.has_separate_planes {
                bits.flag()?; // slice_sao_chroma_flag
            }
        }
        let qp = picture.qp + bits.se()?;
        (-48..=51).contains(&qp).then(|| Qp::from(qp) - BELOW)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
                bytes.splice(0..0, [0, 0, 1, [SPS, PPS, IDR_N_LP, BLA_W_LP][case / 2 % 4] << 1, 1]);
            }
            let mut headers = Headers::new(&bytes);
            headers.packet(&bytes);
        }
    }
}
