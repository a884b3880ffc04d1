//! The side data of high dynamic range, for containers and in the words of x264 and x265.

use crate::av::StreamSideData;
use crate::frame::SideData;

/// FFmpeg's `AVFrameSideDataType` of mastering display and content light level.
const MASTERING_DISPLAY: i32 = 11;
const CONTENT_LIGHT: i32 = 14;

fn words(bytes: &[u8]) -> Vec<i64> {
    bytes.as_chunks::<4>().0.iter().map(|word| i64::from(i32::from_ne_bytes(*word))).collect()
}

/// SMPTE ST 2086 in the form that x264 and x265 take: chromaticities in 0.00002, luminance in 0.0001 cd/m2.
///
/// The bytes are FFmpeg's `AVMasteringDisplayMetadata`: red, green, blue as x and y, the white point, the least and
/// greatest luminance as rationals, then two flags.
pub fn mastering_display(hdr: &[SideData]) -> Option<String> {
    let words = words(&hdr.iter().find(|data| data.kind == MASTERING_DISPLAY)?.bytes);
    if words.len() < 22 || words[20] == 0 || words[21] == 0 {
        return None;
    }
    let value = |i: usize, unit: i64| {
        let (num, den) = (words[2 * i], words[2 * i + 1]);
        (den > 0).then(|| (num * unit + den / 2) / den)
    };
    let [red, green, blue, white] = [0, 2, 4, 6].map(|i| Some((value(i, 50_000)?, value(i + 1, 50_000)?)));
    let pair = |name: &str, (x, y): (i64, i64)| format!("{name}({x},{y})");
    let (least, greatest) = (value(8, 10_000)?, value(9, 10_000)?);
    Some(format!(
        "{}{}{}{}L({greatest},{least})",
        pair("G", green?),
        pair("B", blue?),
        pair("R", red?),
        pair("WP", white?)
    ))
}

/// CTA-861.3 content light level, `MaxCLL,MaxFALL` in cd/m2. The bytes are FFmpeg's `AVContentLightMetadata`.
pub fn content_light(hdr: &[SideData]) -> Option<String> {
    let words = words(&hdr.iter().find(|data| data.kind == CONTENT_LIGHT)?.bytes);
    (words.len() >= 2).then(|| format!("{},{}", words[0], words[1]))
}

/// Adds to what a stream says of itself what only its frames say, for the containers that have a place for it.
pub fn complete(stream: &mut Vec<StreamSideData>, frame: &[SideData]) {
    // FFmpeg holds both in the same structures.
    for (of_frame, kind) in
        [(MASTERING_DISPLAY, StreamSideData::MASTERING_DISPLAY), (CONTENT_LIGHT, StreamSideData::CONTENT_LIGHT)]
    {
        let is_said = stream.iter().any(|data| data.kind == kind);
        if let Some(data) = frame.iter().find(|data| data.kind == of_frame).filter(|_| !is_said) {
            stream.push(StreamSideData { kind, bytes: data.bytes.clone() });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hdr_metadata_is_written_in_the_encoders_units() {
        let rationals = [
            (34_000, 50_000),
            (16_000, 50_000),
            (13_250, 50_000),
            (34_500, 50_000),
            (7_500, 50_000),
            (3_000, 50_000),
            (15_635, 50_000),
            (16_450, 50_000),
            (50, 10_000),
            (10_000_000, 10_000),
        ];
        let mut words: Vec<i32> = rationals.iter().flat_map(|(num, den)| [*num, *den]).collect();
        words.extend([1, 1]);
        let bytes = |words: &[i32]| words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        let hdr = [
            SideData { kind: MASTERING_DISPLAY, bytes: bytes(&words) },
            SideData { kind: CONTENT_LIGHT, bytes: bytes(&[1000, 400]) },
        ];
        let text = mastering_display(&hdr).unwrap();
        assert_eq!(text, "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)");
        assert_eq!(content_light(&hdr).as_deref(), Some("1000,400"));
        assert_eq!(mastering_display(&[SideData { kind: MASTERING_DISPLAY, bytes: vec![0; 20] }]), None);
    }
}
