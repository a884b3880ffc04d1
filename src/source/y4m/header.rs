//! The stream header of YUV4MPEG2: one line of tags, each a letter with its value.
//!
//! The spellings are those of mjpegtools (`yuv4mpeg(5)`) and of FFmpeg (`libavformat/yuv4mpegdec.c`), which adds depths
//! above 8 bits, gray and opacity. Unknown tags are passed over, as the format asks. Nothing here reads files.

use crate::error::{Error, Kind, Result};
use crate::frame::{ChromaLocation, ColorRange, ColorTags, FieldOrder, PixelFormat};
use crate::source::check_size;
use crate::time::Ratio;

/// How every stream begins.
pub(super) const MAGIC: &[u8] = b"YUV4MPEG2";

/// What the header says.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Header {
    pub width: usize,
    pub height: usize,
    pub format: PixelFormat,
    pub color: ColorTags,
    /// Unknown when a part is 0.
    pub sample_aspect_ratio: Ratio,
    /// The stream's own; `None` when each frame has its own (`Im`).
    pub field_order: Option<FieldOrder>,
    /// Positive in both parts.
    pub frame_rate: Ratio,
    pub warnings: Vec<String>,
}

impl Header {
    /// Reads the header line, without its line feed.
    pub fn parse(line: &[u8]) -> Result<Self> {
        let refuse = |message: String| Err(Error::new(Kind::Input, message));
        let text = String::from_utf8_lossy(line);
        let mut words = text.split_ascii_whitespace();
        if words.next() != Some("YUV4MPEG2") {
            let start: String = text.chars().take(16).collect();
            return refuse(format!("not a y4m stream: it begins with {start:?}, expected YUV4MPEG2"));
        }
        let (mut width, mut height) = (0, 0);
        let (mut space, mut other_space) = (None, None);
        let mut rate = None;
        let mut header = Header {
            width,
            height,
            format: PixelFormat::yuv(1, 1, 8),
            color: ColorTags::NONE,
            sample_aspect_ratio: Ratio::new(0, 1),
            field_order: Some(FieldOrder::Progressive),
            frame_rate: Ratio::new(25, 1),
            warnings: Vec::new(),
        };
        for word in words {
            let mut letters = word.chars();
            let tag = letters.next();
            let value = letters.as_str();
            match tag {
                Some('W') => width = number(word, value)?,
                Some('H') => height = number(word, value)?,
                Some('F') => rate = Some(ratio(word, value)?),
                Some('A') => header.sample_aspect_ratio = known_or_zero(ratio(word, value)?),
                Some('I') => header.field_order = field_order(word, value)?,
                Some('C') => space = Some(value.to_owned()),
                Some('X') => match value.split_once('=') {
                    Some(("YSCSS", value)) => other_space = Some(value.to_ascii_lowercase()),
                    Some(("COLORRANGE", "FULL")) => header.color.range = Some(ColorRange::Full),
                    Some(("COLORRANGE", "LIMITED")) => header.color.range = Some(ColorRange::Limited),
                    _ => {}
                },
                _ => {}
            }
        }
        check_size(width, height)?;
        (header.width, header.height) = (width, height);
        // The C tag speaks first, XYSCSS only where it is silent, and without either it is 420jpeg.
        let space = space.or(other_space).unwrap_or_else(|| "420jpeg".to_owned());
        (header.format, header.color.chroma_location) = color_space(&space)?;
        match rate.filter(|rate| rate.is_known()) {
            Some(rate) => header.frame_rate = rate,
            None => header.warnings.push("the y4m header gives no frame rate; 25/1 is assumed".to_owned()),
        }
        Ok(header)
    }
}

fn bad(word: &str, expected: &str) -> Error {
    Error::new(Kind::Input, format!("the y4m header says {word:?}, expected {expected}"))
}

fn number(word: &str, value: &str) -> Result<usize> {
    value.parse().map_err(|_| bad(word, "a number of samples"))
}

/// `num:den`, neither negative.
fn ratio(word: &str, value: &str) -> Result<Ratio> {
    let parts = value.split_once(':').and_then(|(num, den)| Some((num.parse().ok()?, den.parse().ok()?)));
    let (num, den) = parts.filter(|(num, den)| *num >= 0 && *den >= 0).ok_or_else(|| bad(word, "a ratio like 25:1"))?;
    Ok(Ratio::new(num, den))
}

fn known_or_zero(ratio: Ratio) -> Ratio {
    if ratio.is_known() { ratio } else { Ratio::new(0, 1) }
}

fn field_order(word: &str, value: &str) -> Result<Option<FieldOrder>> {
    match value {
        "p" | "?" => Ok(Some(FieldOrder::Progressive)),
        "t" => Ok(Some(FieldOrder::TopFirst)),
        "b" => Ok(Some(FieldOrder::BottomFirst)),
        "m" => Ok(None),
        _ => Err(bad(word, "Ip, It, Ib, Im or I?")),
    }
}

/// The pixel format and chroma location of a colour space in lower case.
fn color_space(name: &str) -> Result<(PixelFormat, Option<ChromaLocation>)> {
    let plain = |x, y| Ok((PixelFormat::yuv(x, y, 8), None));
    match name {
        "420jpeg" | "420" => return Ok((PixelFormat::yuv(1, 1, 8), Some(ChromaLocation::Center))),
        "420mpeg2" => return Ok((PixelFormat::yuv(1, 1, 8), Some(ChromaLocation::Left))),
        // DV sites Cb and Cr on different lines; FFmpeg's nearest name for it is this one.
        "420paldv" => return Ok((PixelFormat::yuv(1, 1, 8), Some(ChromaLocation::TopLeft))),
        "422" => return plain(1, 0),
        "444" => return plain(0, 0),
        "440" => return plain(0, 1),
        "411" => return plain(2, 0),
        "410" => return plain(2, 2),
        "mono" => return Ok((PixelFormat::gray(8), None)),
        "444alpha" => return Ok((PixelFormat { alpha: true, ..PixelFormat::yuv(0, 0, 8) }, None)),
        _ => {}
    }
    let depth = |text: &str| text.parse().ok().filter(|depth| (9..=16).contains(depth));
    let format = if let Some(bits) = name.strip_prefix("mono") {
        depth(bits).map(PixelFormat::gray)
    } else {
        let (chroma, bits) = name.split_once('p').unwrap_or((name, ""));
        match chroma {
            "420" => depth(bits).map(|depth| PixelFormat::yuv(1, 1, depth)),
            "422" => depth(bits).map(|depth| PixelFormat::yuv(1, 0, depth)),
            "444" => depth(bits).map(|depth| PixelFormat::yuv(0, 0, depth)),
            _ => None,
        }
    };
    match format {
        Some(format) => Ok((format, None)),
        None => {
            let message = format!(
                "the y4m colour space {name:?} is not known; expected one like 420jpeg, 420mpeg2, 422, 444, mono or 420p10"
            );
            Err(Error::new(Kind::Input, message))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Header {
        Header::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn the_tags_of_both_spellings_are_read() {
        let header = parse("YUV4MPEG2 W720 H576 F30000:1001 It A16:15 C420p10 XYSCSS=420P10 XCOLORRANGE=FULL Xother");
        assert_eq!((header.width, header.height), (720, 576));
        assert_eq!(header.frame_rate, Ratio::new(30_000, 1001));
        assert_eq!(header.sample_aspect_ratio, Ratio::new(16, 15));
        assert_eq!(header.field_order, Some(FieldOrder::TopFirst));
        assert_eq!(header.format.to_string(), "yuv420p10le");
        assert_eq!(header.color.range, Some(ColorRange::Full));
        assert!(header.warnings.is_empty());
    }

    #[test]
    fn colour_spaces_and_siting() {
        use ChromaLocation::{Center, Left, TopLeft};
        for (tags, format, location) in [
            ("", "yuv420p", Some(Center)),
            ("C420", "yuv420p", Some(Center)),
            ("C420jpeg XYSCSS=420MPEG2", "yuv420p", Some(Center)),
            ("XYSCSS=420MPEG2", "yuv420p", Some(Left)),
            ("C420mpeg2", "yuv420p", Some(Left)),
            ("C420paldv", "yuv420p", Some(TopLeft)),
            ("C422", "yuv422p", None),
            ("C422p10", "yuv422p10le", None),
            ("C411", "yuv411p", None),
            ("C444alpha", "yuva444p", None),
            ("Cmono", "gray", None),
            ("Cmono12", "gray12le", None),
            ("C444p16", "yuv444p16le", None),
        ] {
            let header = parse(&format!("YUV4MPEG2 W2 H2 F25:1 {tags}"));
            assert_eq!(
                (header.format.to_string().as_str(), header.color.chroma_location),
                (format, location),
                "{tags}"
            );
        }
    }

    #[test]
    fn what_is_missing_is_assumed_or_unknown() {
        for rate in ["", "F0:0", "F25:0"] {
            let header = parse(&format!("YUV4MPEG2 W2 H2 {rate} A0:0 I?"));
            assert_eq!((header.frame_rate, header.warnings.len()), (Ratio::new(25, 1), 1), "{rate}");
            assert!(!header.sample_aspect_ratio.is_known());
        }
        assert_eq!(parse("YUV4MPEG2 W2 H2 Im").field_order, None);
    }

    #[test]
    fn what_cannot_be_is_refused_for_good() {
        for line in [
            "YUV4MPEG W2 H2",
            "YUV4MPEG2",
            "YUV4MPEG2 W2",
            "YUV4MPEG2 W0 H2",
            "YUV4MPEG2 W-2 H2",
            "YUV4MPEG2 W65536 H1",
            "YUV4MPEG2 W99999999999999999999 H1",
            "YUV4MPEG2 W65535 H65535",
            "YUV4MPEG2 W32768 H16384",
            "YUV4MPEG2 W2 H2 F25",
            "YUV4MPEG2 W2 H2 F-25:1",
            "YUV4MPEG2 W2 H2 Iq",
            "YUV4MPEG2 W2 H2 C420p8",
            "YUV4MPEG2 W2 H2 C420p17",
            "YUV4MPEG2 W2 H2 Crgb",
            "\u{fffd}",
        ] {
            let error = Header::parse(line.as_bytes()).unwrap_err();
            assert_eq!(error.exit_status(), 4, "{line}: {error}");
        }
    }
}
