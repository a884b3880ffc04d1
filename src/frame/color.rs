//! Colour tags: what a stream says about how its code values mean colours, by the code points of ITU-T H.273.
//!
//! A tag that is absent stays absent: what is assumed for the maths ([`ColorTags::matrix_for`]) is never written back.

/// Which code values stand for black and white.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ColorRange {
    /// Luma 16..235, chroma 16..240 at 8 bits ("tv", "mpeg").
    Limited,
    /// 0..255 at 8 bits ("pc", "jpeg").
    Full,
}

/// The matrix between R'G'B' and Y'CbCr.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ColorMatrix {
    /// ITU-R BT.601, also BT.470BG and SMPTE 170M.
    Bt601,
    /// ITU-R BT.709.
    Bt709,
    /// ITU-R BT.2020, non-constant luminance.
    Bt2020,
    /// SMPTE 240M.
    Smpte240,
    /// US FCC title 47.
    Fcc,
}

/// Where a chroma sample lies among the luma samples it covers (H.273, `chroma_sample_loc_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChromaLocation {
    /// Horizontally with the left luma sample, vertically in the middle (MPEG-2, H.264).
    Left,
    /// In the middle both ways (JPEG, MPEG-1).
    Center,
    /// With the top left luma sample (BT.2020 and HDR).
    TopLeft,
    /// Horizontally in the middle, with the top luma sample.
    Top,
    /// With the bottom left luma sample.
    BottomLeft,
    /// Horizontally in the middle, with the bottom luma sample.
    Bottom,
}

/// The tags of a stream or frame, `None` or 2 ("unspecified" in H.273) where there are none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ColorTags {
    /// Code range.
    pub range: Option<ColorRange>,
    /// H.273 `matrix_coefficients`, 2 when absent.
    pub matrix: u8,
    /// H.273 `colour_primaries`, 2 when absent.
    pub primaries: u8,
    /// H.273 `transfer_characteristics`, 2 when absent.
    pub transfer: u8,
    /// Chroma sample location.
    pub chroma_location: Option<ChromaLocation>,
}

impl ColorTags {
    /// No tag at all.
    pub const NONE: ColorTags = ColorTags { range: None, matrix: 2, primaries: 2, transfer: 2, chroma_location: None };

    /// The range to compute with: what is tagged, else limited.
    pub fn range_or_limited(self) -> ColorRange {
        self.range.unwrap_or(ColorRange::Limited)
    }

    /// The tags of R'G'B' pictures of so many lines once they are Y'CbCr: limited range, by [`ColorTags::matrix_for`].
    #[must_use]
    pub fn of_yuv(self, height: usize) -> ColorTags {
        let matrix = match self.matrix_for(height) {
            _ if matches!(self.matrix, 1 | 4..=7 | 9) => self.matrix,
            ColorMatrix::Bt601 if self.primaries == 5 => 5,
            matrix => matrix.code(),
        };
        ColorTags { range: Some(ColorRange::Limited), matrix, ..self }
    }

    /// The same tags with the matrix that a picture of so many lines is computed with, for pictures made of it that may
    /// have other lines. For outputs without tags.
    pub fn settled(self, height: usize) -> ColorTags {
        let matrix = if self.matrix == 2 { self.matrix_for(height).code() } else { self.matrix };
        ColorTags { matrix, ..self }
    }

    /// The matrix to compute with: what is tagged, for R'G'B' the one that goes with its primaries, else BT.709 from 720
    /// lines up and BT.601 below.
    pub fn matrix_for(self, height: usize) -> ColorMatrix {
        match (self.matrix, self.primaries) {
            (1, _) | (0, 1) => ColorMatrix::Bt709,
            (4, _) => ColorMatrix::Fcc,
            (5 | 6, _) | (0, 5 | 6) => ColorMatrix::Bt601,
            (7, _) | (0, 7) => ColorMatrix::Smpte240,
            (9 | 10, _) | (0, 9) => ColorMatrix::Bt2020,
            _ if height >= 720 => ColorMatrix::Bt709,
            _ => ColorMatrix::Bt601,
        }
    }
}

impl ColorMatrix {
    /// H.273 `matrix_coefficients`; of BT.601's two, the one of 525 lines.
    fn code(self) -> u8 {
        match self {
            ColorMatrix::Bt709 => 1,
            ColorMatrix::Fcc => 4,
            ColorMatrix::Bt601 => 6,
            ColorMatrix::Smpte240 => 7,
            ColorMatrix::Bt2020 => 9,
        }
    }

    /// KR and KB: the parts of red and blue in luma (H.273, table 4).
    pub const fn weights(self) -> (f64, f64) {
        match self {
            ColorMatrix::Bt601 => (0.299, 0.114),
            ColorMatrix::Bt709 => (0.2126, 0.0722),
            ColorMatrix::Bt2020 => (0.2627, 0.0593),
            ColorMatrix::Smpte240 => (0.212, 0.087),
            ColorMatrix::Fcc => (0.30, 0.11),
        }
    }
}

impl ColorRange {
    /// The code values of black and white in luma at a bit depth (H.273, equations for `VideoFullRangeFlag`).
    pub fn luma_codes(self, bit_depth: u8) -> (f32, f32) {
        match self {
            ColorRange::Full => (0.0, ((1u32 << bit_depth) - 1) as f32),
            ColorRange::Limited => {
                let scale = (1u32 << (bit_depth - 8)) as f32;
                (16.0 * scale, 235.0 * scale)
            }
        }
    }
}
