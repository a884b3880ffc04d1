//! How coarsely a decoder found a frame to be quantised.

use ffmpeg_next::ffi;

use super::picture::AvFrame;
use crate::frame::PixelFormat;

/// Rounding of the coefficients of a frame, in H.264's scale for 8 bits: every 6 more double the step (ITU-T H.264, 8.5.8).
pub type Qp = f64;

/// The numbers of `AVVideoEncParamsType`, and what one unit of each codec's quantiser is.
#[derive(Clone, Copy)]
enum Scale {
    /// The index into the tables of VP9, 0 to 255.
    Vp9 = 0,
    /// H.264's QP, which begins 6 lower for each bit of depth beyond 8.
    H264 = 1,
    /// Twice the quantiser of MPEG-1 and MPEG-4 part 2, that of MPEG-2: the step itself, with the flat matrix.
    Mpeg2 = 2,
}

/// Where the fields of `AVVideoEncParams` and `AVVideoBlockParams` lie (libavutil/video_enc_params.h, 64 bits).
mod layout {
    pub const N_BLOCKS: usize = 0;
    pub const BLOCKS: usize = 8;
    pub const BLOCK_SIZE: usize = 16;
    pub const SCALE: usize = 24;
    pub const QP: usize = 28;
    pub const BLOCK_WIDTH: usize = 8;
    pub const BLOCK_HEIGHT: usize = 12;
    pub const BLOCK_DELTA: usize = 16;
}

impl AvFrame {
    /// The mean quantiser over the frame's area; `None` where the decoder does not tell.
    pub fn quantiser(&self) -> Option<Qp> {
        let bits = PixelFormat::from_name(&self.format_name()).map_or(8, |format| format.bit_depth);
        mean_qp(self.data_of(ffi::AVFrameSideDataType::AV_FRAME_DATA_VIDEO_ENC_PARAMS)?, bits)
    }
}

/// Reads an `AVVideoEncParams` of a frame with so many bits a sample.
fn mean_qp(bytes: &[u8], bits: u8) -> Option<Qp> {
    let i32_at = |at: usize| Some(i32::from_ne_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?));
    let size_at = |at: usize| Some(usize::from_ne_bytes(bytes.get(at..at.checked_add(8)?)?.try_into().ok()?));
    let scale = match i32_at(layout::SCALE)? {
        number if number == Scale::Vp9 as i32 => Scale::Vp9,
        number if number == Scale::H264 as i32 => Scale::H264,
        number if number == Scale::Mpeg2 as i32 => Scale::Mpeg2,
        _ => return None,
    };
    let (base, n_blocks) = (i32_at(layout::QP)?, i32_at(layout::N_BLOCKS)?);
    let (first, size) = (size_at(layout::BLOCKS)?, size_at(layout::BLOCK_SIZE)?);
    let (mut sum, mut area) = (0.0, 0.0);
    for block in 0..usize::try_from(n_blocks).ok()? {
        let at = first.checked_add(size.checked_mul(block)?)?;
        let pixels = f64::from(i32_at(at + layout::BLOCK_WIDTH)?) * f64::from(i32_at(at + layout::BLOCK_HEIGHT)?);
        sum += pixels * f64::from(base.checked_add(i32_at(at + layout::BLOCK_DELTA)?)?);
        area += pixels;
    }
    let mean = if area > 0.0 { sum / area } else { f64::from(base) };
    Some(match scale {
        Scale::H264 => mean - 6.0 * (f64::from(bits) - 8.0),
        Scale::Mpeg2 => of_step(mean),
        Scale::Vp9 => of_step(vp9_step(mean)),
    })
}

/// The QP whose step is this, in code values of 8 bits (H.264: a step of 1 at QP 4).
fn of_step(step: f64) -> Qp {
    4.0 + 6.0 * step.max(f64::MIN_POSITIVE).log2()
}

/// The step of VP9's AC coefficients by its index: a straight line at first, then doubling every 38.4 (a fit to within
/// one QP of the table in the VP9 bitstream specification, 8.6.1; its transforms are scaled by 8).
fn vp9_step(index: f64) -> f64 {
    let ac = if index <= 95.0 { index + 7.0 } else { 102.0 * ((index - 95.0) / 38.4).exp2() };
    ac / 8.0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An `AVVideoEncParams` with blocks of width, height and difference to `qp`.
    fn told(scale: Scale, qp: i32, blocks: &[(i32, i32, i32)]) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend((blocks.len() as u64).to_ne_bytes());
        bytes.extend(72u64.to_ne_bytes());
        bytes.extend(20u64.to_ne_bytes());
        bytes.extend((scale as i32).to_ne_bytes());
        bytes.extend(qp.to_ne_bytes());
        bytes.resize(72, 0);
        for (width, height, delta) in blocks {
            bytes.extend([0, 0, *width, *height, *delta].into_iter().flat_map(i32::to_ne_bytes));
        }
        bytes
    }

    #[test]
    fn blocks_count_by_their_area() {
        assert_eq!(mean_qp(&told(Scale::H264, 30, &[(16, 16, -4), (8, 8, 6)]), 8), Some(28.0));
        assert_eq!(mean_qp(&told(Scale::H264, 30, &[]), 8), Some(30.0));
        assert_eq!(mean_qp(&told(Scale::H264, 42, &[(16, 16, 0)]), 10), Some(30.0));
    }

    #[test]
    fn scales_of_other_codecs_become_that_of_h264() {
        // A step of 16 is QP 28 (table 8-15 of H.264 times 16).
        assert_eq!(mean_qp(&told(Scale::Mpeg2, 16, &[]), 8), Some(28.0));
        // Entries 0, 95, 136 and 255 of VP9's table for AC: 4, 102, 200 and 1828 eighths.
        for (index, entry) in [(1, 8.0), (95, 102.0), (136, 200.0), (255, 1828.0)] {
            let told = mean_qp(&told(Scale::Vp9, index, &[]), 8).unwrap();
            assert!((told - of_step(entry / 8.0)).abs() < 1.0, "{index}: {told}");
        }
    }

    #[test]
    fn what_is_cut_off_or_strange_tells_nothing() {
        let whole = told(Scale::H264, 30, &[(16, 16, 0)]);
        for end in 0..whole.len() {
            assert_eq!(mean_qp(&whole[..end], 8), None, "{end}");
        }
        let mut strange = whole;
        strange[layout::SCALE] = 9;
        assert_eq!(mean_qp(&strange, 8), None);
    }
}
