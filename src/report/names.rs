//! FFmpeg's words for code points and bits, as people know them from `ffprobe`.

use crate::av::StreamSideData;
use crate::frame::{ChromaLocation, ColorRange, ColorTags, FieldOrder};

/// What colour tags say, those that say something: the name of the tag and its value.
pub fn color(tags: ColorTags) -> Vec<(&'static str, String)> {
    let code = |names: &[(u8, &str)], code: u8| {
        let name = names.iter().find(|(number, _)| *number == code).map(|(_, name)| (*name).to_owned());
        (code != 2).then(|| name.unwrap_or_else(|| format!("code {code}")))
    };
    let all = [
        ("range", tags.range.map(|range| if range == ColorRange::Full { "pc" } else { "tv" }.to_owned())),
        ("matrix", code(&MATRICES, tags.matrix)),
        ("primaries", code(&PRIMARIES, tags.primaries)),
        ("transfer", code(&TRANSFERS, tags.transfer)),
        ("chroma location", tags.chroma_location.map(|location| chroma(location).to_owned())),
    ];
    all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

const MATRICES: [(u8, &str); 13] = [
    (0, "gbr"),
    (1, "bt709"),
    (4, "fcc"),
    (5, "bt470bg"),
    (6, "smpte170m"),
    (7, "smpte240m"),
    (8, "ycgco"),
    (9, "bt2020nc"),
    (10, "bt2020c"),
    (11, "smpte2085"),
    (12, "chroma-derived-nc"),
    (13, "chroma-derived-c"),
    (14, "ictcp"),
];

const PRIMARIES: [(u8, &str); 11] = [
    (1, "bt709"),
    (4, "bt470m"),
    (5, "bt470bg"),
    (6, "smpte170m"),
    (7, "smpte240m"),
    (8, "film"),
    (9, "bt2020"),
    (10, "smpte428"),
    (11, "smpte431"),
    (12, "smpte432"),
    (22, "ebu3213"),
];

const TRANSFERS: [(u8, &str); 16] = [
    (1, "bt709"),
    (4, "bt470m"),
    (5, "bt470bg"),
    (6, "smpte170m"),
    (7, "smpte240m"),
    (8, "linear"),
    (9, "log100"),
    (10, "log316"),
    (11, "iec61966-2-4"),
    (12, "bt1361e"),
    (13, "iec61966-2-1"),
    (14, "bt2020-10"),
    (15, "bt2020-12"),
    (16, "smpte2084"),
    (17, "smpte428"),
    (18, "arib-std-b67"),
];

fn chroma(location: ChromaLocation) -> &'static str {
    match location {
        ChromaLocation::Left => "left",
        ChromaLocation::Center => "center",
        ChromaLocation::TopLeft => "topleft",
        ChromaLocation::Top => "top",
        ChromaLocation::BottomLeft => "bottomleft",
        ChromaLocation::Bottom => "bottom",
    }
}

/// Which field comes first.
pub fn field_order(order: FieldOrder) -> &'static str {
    match order {
        FieldOrder::Progressive => "progressive",
        FieldOrder::TopFirst => "top first",
        FieldOrder::BottomFirst => "bottom first",
    }
}

/// The bits of a stream's disposition (`AV_DISPOSITION_*`).
pub fn dispositions(bits: i32) -> Vec<&'static str> {
    const NAMES: [(i32, &str); 15] = [
        (0x0000_0001, "default"),
        (0x0000_0002, "dub"),
        (0x0000_0004, "original"),
        (0x0000_0008, "comment"),
        (0x0000_0010, "lyrics"),
        (0x0000_0020, "karaoke"),
        (0x0000_0040, "forced"),
        (0x0000_0080, "hearing impaired"),
        (0x0000_0100, "visual impaired"),
        (0x0000_0200, "clean effects"),
        (0x0000_0400, "attached picture"),
        (0x0000_0800, "timed thumbnails"),
        (0x0001_0000, "captions"),
        (0x0002_0000, "descriptions"),
        (0x0010_0000, "still image"),
    ];
    NAMES.into_iter().filter(|(bit, _)| bits & bit != 0).map(|(_, name)| name).collect()
}

/// What a stream's side data are about.
pub fn side_data(kind: u32) -> String {
    let name = match kind {
        StreamSideData::DISPLAY_MATRIX => "display matrix",
        StreamSideData::MASTERING_DISPLAY => "mastering display",
        StreamSideData::CONTENT_LIGHT => "content light level",
        StreamSideData::DOLBY_VISION => "Dolby Vision",
        StreamSideData::STEREO_3D => "stereo mode",
        StreamSideData::SPHERICAL => "projection",
        other => return format!("side data {other}"),
    };
    name.to_owned()
}
