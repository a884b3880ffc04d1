//! What streams and files say about themselves, compared between what was wanted and what the output has.
//!
//! A value that differs is an error. One that is not there is a warning: not every container holds every tag, and the
//! run must not fail for it, but it must not be silent either.

use super::job::FileJob;
use super::verify::wrong;
use crate::av::{Input, Stream, StreamSideData};
use crate::error::Result;
use crate::frame::FieldOrder;
use crate::plan::container::{Container, StreamPlan};

/// FFmpeg's `AV_DISPOSITION_*` bits that the containers here keep.
const DISPOSITIONS: [(i32, &str); 7] = [
    (0x0001, "default"),
    (0x0002, "dub"),
    (0x0004, "original"),
    (0x0008, "comment"),
    (0x0040, "forced"),
    (0x0080, "hearing impaired"),
    (0x0100, "visual impaired"),
];

/// Compares the processed video.
pub fn compare_video(got: &Stream, job: &FileJob, warnings: &mut Vec<String>) -> Result<()> {
    let want = &job.video;
    if (got.width, got.height) != (want.width, want.height) {
        let message = format!("the video is {}x{}, expected {}x{}", got.width, got.height, want.width, want.height);
        return Err(wrong(message));
    }
    let (a, b) = (want.sample_aspect_ratio.reduced(), got.sample_aspect_ratio.reduced());
    let is_square = |ratio: crate::time::Ratio| !ratio.is_known() || ratio.num == ratio.den;
    // Matroska keeps the shape of the whole picture, of which the ratio of its samples comes back in other numbers.
    let is_alike = |a: crate::time::Ratio, b: crate::time::Ratio| (a.as_f64() / b.as_f64() - 1.0).abs() < 1e-6;
    // WebM tells the size to show in whole pixels, and Matroska does where samples are nearly square.
    let shown = |ratio: crate::time::Ratio| want.width as f64 * if ratio.is_known() { ratio.as_f64() } else { 1.0 };
    if a != b && !(is_square(a) && is_square(b)) && !(a.is_known() && is_alike(a, b)) {
        if !(matches!(job.container, Container::Matroska | Container::Webm)
            && a.is_known()
            && (shown(a) - shown(b)).abs() < 1.0)
        {
            return Err(wrong(format!("the sample aspect ratio is {b}, expected {a}")));
        }
        warnings.push(format!("the sample aspect ratio becomes {b} from {a}: the container counts whole pixels"));
    }
    // An unspecified tag may be filled in by a container, but none may change.
    let want_gray = want.format.is_gray();
    let codes = [
        ("matrix", want.color.matrix, got.color.matrix),
        ("primaries", want.color.primaries, got.color.primaries),
        ("transfer", want.color.transfer, got.color.transfer),
    ];
    for (what, want, got) in codes {
        match (want, got) {
            (2, _) => {}
            // Not every encoder of gray pictures writes how chroma would have been made.
            (_, 2) if what == "matrix" && want_gray => {}
            // R'G'B' has none, whatever a container says.
            (0, _) if what == "matrix" => {}
            (_, 2) => warnings.push(format!("the colour {what} ({want}) is not kept by the output")),
            _ if want == got => {}
            // Two numbers of one matrix: BT.601, of 625 lines and of 525.
            (5 | 6, 5 | 6) if what == "matrix" => {}
            _ => return Err(wrong(format!("the colour {what} is {got}, expected {want}"))),
        }
    }
    match (want.color.range, got.color.range) {
        (Some(want), Some(got)) if want != got => {
            return Err(wrong(format!("the colour range is {got:?}, expected {want:?}")));
        }
        // That of R'G'B' is always the full one.
        (Some(_), None) if want.color.matrix == 0 => {}
        (Some(_), None) => warnings.push("the colour range is not kept by the output".to_owned()),
        _ => {}
    }
    if want.field_order != FieldOrder::Progressive && got.field_order == FieldOrder::Progressive {
        warnings.push("the field order is not kept by the output's container".to_owned());
    }
    if let Some(plan) = job.streams.iter().find(|plan| plan.treatment == crate::plan::container::Treatment::Process) {
        compare_about(plan, got, job.container, warnings)?;
    }
    Ok(())
}

/// Compares a copied stream.
pub fn compare_copy(
    from: &Stream,
    to: &Stream,
    plan: &StreamPlan,
    container: Container,
    warnings: &mut Vec<String>,
) -> Result<()> {
    let is_converted = plan.describe().0 == "converted";
    // An mp4 has one code for the sound of all layers of MPEG-1 (ISO/IEC 14496-1, object type 0x6b).
    let is_layer = |codec: &str| matches!(codec, "mp1" | "mp2" | "mp3");
    let is_alike = container.is_isobmff() && is_layer(&from.codec) && is_layer(&to.codec);
    if !is_converted && from.codec != to.codec && !is_alike {
        return Err(wrong(format!("stream {} is {}, expected {}", to.index, to.codec, from.codec)));
    }
    if (from.channels, to.channels) != (0, 0) && from.channels != to.channels {
        return Err(wrong(format!("stream {} has {} channels, expected {}", to.index, to.channels, from.channels)));
    }
    compare_about(plan, to, container, warnings)
}

fn compare_about(plan: &StreamPlan, got: &Stream, container: Container, warnings: &mut Vec<String>) -> Result<()> {
    let name = format!("stream {}", plan.input_index);
    compare_metadata(&name, &plan.about.metadata, &got.metadata, warnings)?;
    let mut lost = Vec::new();
    for (bit, word) in DISPOSITIONS {
        match (plan.about.disposition & bit != 0, got.disposition & bit != 0) {
            (true, false) => lost.push(word),
            // A container that marks no default has its first streams read as default.
            (false, true) if word != "default" => return Err(wrong(format!("{name} is marked '{word}', it was not"))),
            _ => {}
        }
    }
    if !lost.is_empty() {
        warnings
            .push(format!("{name} loses the mark '{}': the output's container does not hold it", lost.join("', '")));
    }
    for data in &plan.about.side_data {
        let what = match data.kind {
            StreamSideData::DISPLAY_MATRIX => "rotation",
            StreamSideData::MASTERING_DISPLAY => "mastering display",
            StreamSideData::CONTENT_LIGHT => "content light level",
            StreamSideData::STEREO_3D => "stereo mode",
            StreamSideData::SPHERICAL => "projection",
            _ => continue,
        };
        match got.side_data.iter().find(|other| other.kind == data.kind) {
            Some(other) if other.bytes == data.bytes || data.kind != StreamSideData::DISPLAY_MATRIX => {}
            Some(_) => return Err(wrong(format!("the {what} of {name} differs"))),
            None if data.kind == StreamSideData::DISPLAY_MATRIX && !container.is_isobmff() => {
                warnings
                    .push(format!("the {what} of {name} is not kept by the output's container; .mp4 and .mov keep it"));
            }
            None => warnings.push(format!("the {what} of {name} is not kept by the output's container")),
        }
    }
    Ok(())
}

/// Compares the whole file's metadata and chapters.
pub fn compare_file(output: &Input, job: &FileJob, warnings: &mut Vec<String>) -> Result<()> {
    compare_metadata("the file", &job.metadata, &output.metadata(), warnings)?;
    let (want, got) = (&job.chapters, output.chapters());
    if want.len() != got.len() {
        if got.is_empty() && !job.container.is_isobmff() && job.container != Container::Matroska {
            warnings.push(format!("{} chapters are not kept by the output's container", want.len()));
            return Ok(());
        }
        return Err(wrong(format!("the output has {} chapters, expected {}", got.len(), want.len())));
    }
    for (number, (want, got)) in want.iter().zip(&got).enumerate() {
        let expected = want.time_base.rescale(want.start, got.time_base);
        let title = |pairs: &[(String, String)]| {
            let title = pairs.iter().find(|(key, _)| key.eq_ignore_ascii_case("title"));
            title.map(|(_, value)| value.clone()).unwrap_or_default()
        };
        // The chapters of an mp4 follow each other from its beginning.
        let is_moved = number == 0 && job.container.is_isobmff() && got.start == 0 && expected > 1;
        if is_moved {
            let seconds = want.time_base.seconds(want.start);
            warnings.push(format!("the first chapter, at {seconds:.3} s, begins at 0 in the output's container"));
        }
        if !is_moved && (expected - got.start).abs() > 1 || title(&want.metadata) != title(&got.metadata) {
            return Err(wrong(format!("chapter {number} is not the input's")));
        }
    }
    Ok(())
}

/// Whether two values of a key say the same. A place on earth is kept as numbers and written out anew (ISO 6709), and so
/// are moments and the numbers of tracks.
fn is_same(key: &str, want: &str, got: &str) -> bool {
    if want == got {
        return true;
    }
    let moment = |text: &str| -> String {
        let text = text.trim_end_matches('Z').trim_end_matches(".000000");
        text.chars().filter(char::is_ascii_digit).collect()
    };
    let position = |text: &str| -> Vec<u32> { text.split('/').map_while(|part| part.trim().parse().ok()).collect() };
    match key.to_ascii_lowercase().as_str() {
        "creation_time" => return moment(want) == moment(got),
        "track" | "disc" => return !position(want).is_empty() && position(want) == position(got),
        _ => {}
    }
    let numbers = |text: &str| -> Vec<f64> {
        let mut parts: Vec<String> = Vec::new();
        for character in text.trim_end_matches('/').chars() {
            match parts.last_mut() {
                Some(part) if character != '+' && character != '-' => part.push(character),
                _ => parts.push(character.to_string()),
            }
        }
        parts.iter().filter_map(|part| part.parse().ok()).collect()
    };
    let (want, got) = (numbers(want), numbers(got));
    key.to_ascii_lowercase().starts_with("location")
        && want.len() >= 2
        && want.iter().zip(&got).all(|(want, got)| (want - got).abs() < 1e-3)
}

/// Whether a language is one that a container with room for three letters makes of another.
fn is_shortened(want: &str, got: &str) -> bool {
    got == "und" || got.len() == 3 && want.starts_with(got)
}

/// Every wanted pair must be there with its value; what is not there at all is named once.
fn compare_metadata(
    whose: &str,
    want: &[(String, String)],
    got: &[(String, String)],
    warnings: &mut Vec<String>,
) -> Result<()> {
    let mut lost = Vec::new();
    for (key, value) in want {
        let mut same_key = got.iter().filter(|(name, _)| name.eq_ignore_ascii_case(key)).peekable();
        if same_key.peek().is_none() {
            if !(value.is_empty() || key == "language" && value == "und") {
                lost.push(key.as_str());
            }
        } else if key == "creation_time" && whose != "the file" {
            // FFmpeg's mp4 muxer gives every track the time of the file.
            if !same_key.any(|(_, other)| other == value) {
                lost.push("creation_time");
            }
        } else if !same_key.any(|(_, other)| is_same(key, value, other)) {
            let found = got.iter().find(|(name, _)| name.eq_ignore_ascii_case(key)).map_or("", |(_, value)| value);
            if key.eq_ignore_ascii_case("language") && is_shortened(value, found) {
                let why = "the output's container holds three letters (ISO 639-2)";
                warnings.push(format!("'{key}' of {whose} becomes '{found}' from '{value}': {why}"));
                continue;
            }
            return Err(wrong(format!("'{key}' of {whose} is '{found}', expected '{value}'")));
        }
    }
    if !lost.is_empty() {
        warnings.push(format!("the output's container does not keep '{}' of {whose}", lost.join("', '")));
    }
    Ok(())
}
