//! Parameter sets of HEVC, as far as a slice's quantiser needs them.

use crate::av::Bits;

/// Reference picture sets that a sequence may have (7.4.3.2.1).
const MAX_SETS: usize = 64;
/// Pictures that one of them may name.
const MAX_PICTURES: u32 = 16;

/// `seq_parameter_set_rbsp` (7.3.2.2.1).
pub struct Sequence {
    /// Not monochrome.
    pub has_chroma: bool,
    /// Luma and chroma are coded as three pictures.
    pub has_separate_planes: bool,
    /// Sample adaptive offset.
    pub has_offset_filter: bool,
    /// Bits of the lower part of a picture's order count.
    n_order_bits: u32,
    /// The order of the pictures that each set names, below and above the current one.
    sets: Vec<References>,
    /// Long-term reference pictures: how many the sequence names itself; `None` without any.
    n_long_term: Option<u32>,
    /// Motion vectors may be predicted from other pictures.
    has_temporal_motion: bool,
}

impl Sequence {
    /// Its number and what it says.
    pub fn read(bits: &mut Bits) -> Option<(u32, Sequence)> {
        bits.skip(4)?; // sps_video_parameter_set_id
        let max_sub_layers = bits.u(3)?;
        bits.flag()?; // sps_temporal_id_nesting_flag
        skip_profile(bits, max_sub_layers)?;
        let id = bits.ue()?;
        let chroma_format = bits.ue()?;
        let has_separate_planes = chroma_format == 3 && bits.flag()?;
        skip_numbers(bits, 2)?; // width, height
        if bits.flag()? {
            skip_numbers(bits, 4)?; // conformance window
        }
        skip_numbers(bits, 2)?; // bit depths
        let n_order_bits = bits.ue()?.checked_add(4).filter(|n| *n <= 16)?;
        let of_each_layer = bits.flag()?;
        let n_layers = if of_each_layer { max_sub_layers + 1 } else { 1 };
        skip_numbers(bits, 3 * n_layers)?;
        skip_numbers(bits, 6)?; // sizes and depths of blocks
        if bits.flag()? && bits.flag()? {
            skip_scaling_lists(bits)?;
        }
        bits.flag()?; // amp_enabled_flag
        let has_offset_filter = bits.flag()?;
        if bits.flag()? {
            bits.skip(8)?; // bit depths of pcm samples
            skip_numbers(bits, 2)?;
            bits.flag()?;
        }
        let n_sets = usize::try_from(bits.ue()?).ok().filter(|n| *n <= MAX_SETS)?;
        let mut sets: Vec<References> = Vec::new();
        for index in 0..n_sets {
            sets.push(References::read(bits, &sets, index, n_sets)?);
        }
        let n_long_term = if bits.flag()? {
            let n = bits.ue()?.min(33);
            for _ in 0..n {
                bits.skip(n_order_bits as usize + 1)?;
            }
            Some(n)
        } else {
            None
        };
        let has_temporal_motion = bits.flag()?;
        let sequence = Sequence {
            has_chroma: chroma_format != 0,
            has_separate_planes,
            has_offset_filter,
            n_order_bits,
            sets,
            n_long_term,
            has_temporal_motion,
        };
        Some((id, sequence))
    }

    /// Goes past what a slice of a picture that is no IDR picture says of other pictures (7.3.6.1).
    pub fn skip_references(&self, bits: &mut Bits) -> Option<()> {
        bits.skip(self.n_order_bits as usize)?; // slice_pic_order_cnt_lsb
        let n_sets = self.sets.len();
        if !bits.flag()? {
            References::read(bits, &self.sets, n_sets, n_sets)?;
        } else if n_sets > 1 {
            bits.u(usize::BITS - (n_sets - 1).leading_zeros())?;
        }
        if let Some(n_of_sequence) = self.n_long_term {
            let n_named = if n_of_sequence > 0 { bits.ue()? } else { 0 };
            // A picture that stands alone has no use for any; what they would say is not read.
            if n_named + bits.ue()? > 0 {
                return None;
            }
        }
        if self.has_temporal_motion {
            bits.flag()?;
        }
        Some(())
    }
}

/// `pic_parameter_set_rbsp` (7.3.2.3.1).
pub struct Picture {
    /// The number of its sequence's set.
    pub sequence: u32,
    /// `output_flag_present_flag`.
    pub has_output_flag: bool,
    /// `num_extra_slice_header_bits`.
    pub n_extra_bits: usize,
    /// The quantiser that slices say their difference to.
    pub qp: i32,
}

impl Picture {
    /// Its number and what it says.
    pub fn read(bits: &mut Bits) -> Option<(u32, Picture)> {
        let (id, sequence) = (bits.ue()?, bits.ue()?);
        bits.flag()?; // dependent_slice_segments_enabled_flag
        let has_output_flag = bits.flag()?;
        let n_extra_bits = bits.u(3)? as usize;
        bits.skip(2)?; // sign_data_hiding_enabled_flag, cabac_init_present_flag
        skip_numbers(bits, 2)?; // default numbers of reference pictures
        let qp = bits.se()?.checked_add(26).filter(|qp| (-48..=51).contains(qp))?;
        Some((id, Picture { sequence, has_output_flag, n_extra_bits, qp }))
    }
}

/// `st_ref_pic_set` (7.3.7): differences of order counts, in the order of the syntax.
struct References {
    below: Vec<i32>,
    above: Vec<i32>,
}

impl References {
    /// Set `index` of `n_sets`; that of a slice is one beyond them.
    fn read(bits: &mut Bits, known: &[References], index: usize, n_sets: usize) -> Option<References> {
        if index > 0 && bits.flag()? {
            let back = if index == n_sets { bits.ue()? as usize } else { 0 };
            let from = known.get(index.checked_sub(back.checked_add(1)?)?)?;
            let is_negative = bits.flag()?;
            let size = i32::try_from(bits.ue()?.checked_add(1)?).ok().filter(|size| *size <= 1 << 15)?;
            return from.shifted(if is_negative { -size } else { size }, bits);
        }
        let (n_below, n_above) = (bits.ue()?, bits.ue()?);
        if n_below > MAX_PICTURES || n_above > MAX_PICTURES {
            return None;
        }
        let mut side = |n: u32, sign: i32| {
            let mut at = 0i32;
            (0..n)
                .map(|_| {
                    at =
                        at.checked_add(sign * i32::try_from(bits.ue()?).ok().filter(|step| *step < 1 << 15)? + sign)?;
                    bits.flag()?;
                    Some(at)
                })
                .collect::<Option<Vec<i32>>>()
        };
        Some(References { below: side(n_below, -1)?, above: side(n_above, 1)? })
    }

    /// This set seen from another picture (equations 7-61 and 7-62), without what is not used.
    fn shifted(&self, by: i32, bits: &mut Bits) -> Option<References> {
        let n = self.below.len() + self.above.len();
        // used_by_curr_pic_flag, and where it is not set use_delta_flag.
        let used = (0..=n).map(|_| Some(bits.flag()? || bits.flag()?)).collect::<Option<Vec<bool>>>()?;
        let of = |side: &[i32], first: usize| -> Vec<(i32, bool)> {
            side.iter().enumerate().map(|(i, order)| (order + by, used[first + i])).collect()
        };
        let (below, above) = (of(&self.below, 0), of(&self.above, self.below.len()));
        let current = [(by, used[n])];
        let keep = |list: Vec<(i32, bool)>, is_side: fn(i32) -> bool| {
            list.into_iter().filter(|(order, used)| *used && is_side(*order)).map(|(order, _)| order).collect()
        };
        let from_above = above.iter().rev().chain(&current).chain(&below).copied().collect();
        let from_below = below.iter().rev().chain(&current).chain(&above).copied().collect();
        let set = References { below: keep(from_above, |order| order < 0), above: keep(from_below, |order| order > 0) };
        (set.below.len() + set.above.len() <= 2 * MAX_PICTURES as usize).then_some(set)
    }
}

/// `profile_tier_level` (7.3.3).
fn skip_profile(bits: &mut Bits, max_sub_layers: u32) -> Option<()> {
    bits.skip(88 + 8)?;
    let present = (0..max_sub_layers).map(|_| Some((bits.flag()?, bits.flag()?))).collect::<Option<Vec<_>>>()?;
    if max_sub_layers > 0 {
        bits.skip(2 * (8 - max_sub_layers as usize))?;
    }
    for (has_profile, has_level) in present {
        bits.skip(if has_profile { 88 } else { 0 } + if has_level { 8 } else { 0 })?;
    }
    Some(())
}

/// `scaling_list_data` (7.3.4).
fn skip_scaling_lists(bits: &mut Bits) -> Option<()> {
    for size in 0..4 {
        for _ in (0..6).step_by(if size == 3 { 3 } else { 1 }) {
            if bits.flag()? {
                let n_numbers = (1u32 << (4 + 2 * size)).min(64) + u32::from(size > 1);
                skip_numbers(bits, n_numbers)?;
            } else {
                bits.ue()?;
            }
        }
    }
    Some(())
}

/// Leaves so many `ue(v)` or `se(v)` out.
fn skip_numbers(bits: &mut Bits, n: u32) -> Option<()> {
    (0..n).try_for_each(|_| bits.ue().map(drop))
}
