//! Colour tags and field order between FFmpeg's enums and ours. FFmpeg's values are the code points of H.273.

use ffmpeg_next::ffi;

use crate::frame::{ChromaLocation, ColorRange, ColorTags, FieldOrder};
use crate::time::{Ratio, TimeBase};

/// An FFmpeg enum value from its code point.
///
/// FFmpeg's enums are stored as C integers, and their Rust mirrors have no variant for a code point that the installed
/// version does not know; such a tag is treated as absent rather than made into an invalid enum.
macro_rules! from_code {
    ($code:expr, $absent:expr, $($variant:path),+ $(,)?) => {
        match $code {
            $(code if code == $variant as u32 => $variant,)+
            _ => $absent,
        }
    };
}

pub(super) fn primaries(code: u8) -> ffi::AVColorPrimaries {
    use ffi::AVColorPrimaries::*;
    from_code!(
        u32::from(code),
        AVCOL_PRI_UNSPECIFIED,
        AVCOL_PRI_BT709,
        AVCOL_PRI_BT470M,
        AVCOL_PRI_BT470BG,
        AVCOL_PRI_SMPTE170M,
        AVCOL_PRI_SMPTE240M,
        AVCOL_PRI_FILM,
        AVCOL_PRI_BT2020,
        AVCOL_PRI_SMPTE428,
        AVCOL_PRI_SMPTE431,
        AVCOL_PRI_SMPTE432,
        AVCOL_PRI_EBU3213,
    )
}

pub(super) fn transfer(code: u8) -> ffi::AVColorTransferCharacteristic {
    use ffi::AVColorTransferCharacteristic::*;
    from_code!(
        u32::from(code),
        AVCOL_TRC_UNSPECIFIED,
        AVCOL_TRC_BT709,
        AVCOL_TRC_GAMMA22,
        AVCOL_TRC_GAMMA28,
        AVCOL_TRC_SMPTE170M,
        AVCOL_TRC_SMPTE240M,
        AVCOL_TRC_LINEAR,
        AVCOL_TRC_LOG,
        AVCOL_TRC_LOG_SQRT,
        AVCOL_TRC_IEC61966_2_4,
        AVCOL_TRC_BT1361_ECG,
        AVCOL_TRC_IEC61966_2_1,
        AVCOL_TRC_BT2020_10,
        AVCOL_TRC_BT2020_12,
        AVCOL_TRC_SMPTE2084,
        AVCOL_TRC_SMPTE428,
        AVCOL_TRC_ARIB_STD_B67,
    )
}

pub(super) fn matrix(code: u8) -> ffi::AVColorSpace {
    use ffi::AVColorSpace::*;
    from_code!(
        u32::from(code),
        AVCOL_SPC_UNSPECIFIED,
        AVCOL_SPC_RGB,
        AVCOL_SPC_BT709,
        AVCOL_SPC_FCC,
        AVCOL_SPC_BT470BG,
        AVCOL_SPC_SMPTE170M,
        AVCOL_SPC_SMPTE240M,
        AVCOL_SPC_YCGCO,
        AVCOL_SPC_BT2020_NCL,
        AVCOL_SPC_BT2020_CL,
        AVCOL_SPC_SMPTE2085,
        AVCOL_SPC_CHROMA_DERIVED_NCL,
        AVCOL_SPC_CHROMA_DERIVED_CL,
        AVCOL_SPC_ICTCP,
    )
}

pub(super) fn range(range: Option<ColorRange>) -> ffi::AVColorRange {
    match range {
        None => ffi::AVColorRange::AVCOL_RANGE_UNSPECIFIED,
        Some(ColorRange::Limited) => ffi::AVColorRange::AVCOL_RANGE_MPEG,
        Some(ColorRange::Full) => ffi::AVColorRange::AVCOL_RANGE_JPEG,
    }
}

pub(super) fn chroma_location(location: Option<ChromaLocation>) -> ffi::AVChromaLocation {
    use ffi::AVChromaLocation::*;
    match location {
        None => AVCHROMA_LOC_UNSPECIFIED,
        Some(ChromaLocation::Left) => AVCHROMA_LOC_LEFT,
        Some(ChromaLocation::Center) => AVCHROMA_LOC_CENTER,
        Some(ChromaLocation::TopLeft) => AVCHROMA_LOC_TOPLEFT,
        Some(ChromaLocation::Top) => AVCHROMA_LOC_TOP,
        Some(ChromaLocation::BottomLeft) => AVCHROMA_LOC_BOTTOMLEFT,
        Some(ChromaLocation::Bottom) => AVCHROMA_LOC_BOTTOM,
    }
}

/// Our tags from FFmpeg's five enums.
pub(super) fn color(
    range: ffi::AVColorRange,
    matrix: ffi::AVColorSpace,
    primaries: ffi::AVColorPrimaries,
    transfer: ffi::AVColorTransferCharacteristic,
    location: ffi::AVChromaLocation,
) -> ColorTags {
    // FFmpeg writes 0 ("reserved" in H.273) where some demuxers know nothing; only for the matrix is 0 a meaning.
    let code = |value: u32| match value {
        0 => 2,
        value => u8::try_from(value).unwrap_or(2),
    };
    ColorTags {
        range: match range {
            ffi::AVColorRange::AVCOL_RANGE_MPEG => Some(ColorRange::Limited),
            ffi::AVColorRange::AVCOL_RANGE_JPEG => Some(ColorRange::Full),
            _ => None,
        },
        matrix: u8::try_from(matrix as u32).unwrap_or(2),
        primaries: code(primaries as u32),
        transfer: code(transfer as u32),
        chroma_location: match location {
            ffi::AVChromaLocation::AVCHROMA_LOC_LEFT => Some(ChromaLocation::Left),
            ffi::AVChromaLocation::AVCHROMA_LOC_CENTER => Some(ChromaLocation::Center),
            ffi::AVChromaLocation::AVCHROMA_LOC_TOPLEFT => Some(ChromaLocation::TopLeft),
            ffi::AVChromaLocation::AVCHROMA_LOC_TOP => Some(ChromaLocation::Top),
            ffi::AVChromaLocation::AVCHROMA_LOC_BOTTOMLEFT => Some(ChromaLocation::BottomLeft),
            ffi::AVChromaLocation::AVCHROMA_LOC_BOTTOM => Some(ChromaLocation::Bottom),
            _ => None,
        },
    }
}

pub(super) fn field_order_from(order: ffi::AVFieldOrder) -> FieldOrder {
    match order {
        ffi::AVFieldOrder::AV_FIELD_TT | ffi::AVFieldOrder::AV_FIELD_TB => FieldOrder::TopFirst,
        ffi::AVFieldOrder::AV_FIELD_BB | ffi::AVFieldOrder::AV_FIELD_BT => FieldOrder::BottomFirst,
        _ => FieldOrder::Progressive,
    }
}

pub(super) fn ratio(rational: ffi::AVRational) -> Ratio {
    Ratio::new(rational.num, rational.den)
}

pub(super) fn rational(ratio: Ratio) -> ffi::AVRational {
    ffi::AVRational { num: ratio.num, den: ratio.den }
}

pub(super) fn time_base(rational: ffi::AVRational) -> Option<TimeBase> {
    TimeBase::new(rational.num, rational.den)
}

pub(super) fn rational_of(base: TimeBase) -> ffi::AVRational {
    ffi::AVRational { num: base.num(), den: base.den() }
}
