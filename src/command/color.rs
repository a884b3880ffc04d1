//! What an output says of its colours, by what its encoder is given and can hold.

use crate::config::Output;
use crate::error::{Error, Kind, Result};
use crate::frame::{ColorMatrix, ColorRange, ColorTags};
use crate::plan::encoding::EncodingPlan;
use crate::source::SourceFacts;

/// The tags of an output, which has `encoding` where it is a video in a container. An error where its encoder knows no
/// such matrix.
pub fn of_output(output: &Output, source: &SourceFacts, encoding: Option<&EncodingPlan>) -> Result<ColorTags> {
    let (color, from) = (source.color, source.format);
    let is_rgb = match encoding {
        Some(encoding) => encoding.format.is_rgb(),
        None => from.is_rgb() && !matches!(output, Output::Stdout | Output::Y4m(_)),
    };
    let color = match (from.is_rgb(), is_rgb) {
        (true, false) => color.of_yuv(source.height),
        (true, true) if color.matrix == 2 => color,
        (true, true) => ColorTags { matrix: 0, ..color },
        (false, true) => ColorTags { matrix: 0, range: Some(ColorRange::Full), ..color },
        // That of R'G'B', which no encoder of gray pictures takes.
        (false, false) if from.is_gray() && color.matrix == 0 => ColorTags { matrix: 2, ..color },
        (false, false) => color,
    };
    let Some(encoding) = encoding else { return Ok(color) };
    let color = ColorTags { range: encoding.only_range().or(color.range), ..color };
    if encoding.encoder == "mjpeg" { of_jpeg(color, source) } else { Ok(color) }
}

/// JPEG has the matrix of BT.601 alone (JFIF 1.02), which R'G'B' and gray can be given.
fn of_jpeg(color: ColorTags, source: &SourceFacts) -> Result<ColorTags> {
    if source.format.subsampling().is_none() {
        return Ok(ColorTags { matrix: 5, ..color });
    }
    match color.matrix_for(source.height) {
        ColorMatrix::Bt601 => Ok(color),
        matrix => {
            let what = format!("mjpeg has the matrix of BT.601 alone, and the pictures that of {matrix:?}");
            Err(Error::new(Kind::Usage, format!("{what}; try ffv1 or libx264")))
        }
    }
}

/// What a person should hear where codes change their range for the encoder.
pub fn warning(source: &SourceFacts, encoding: &EncodingPlan) -> Option<String> {
    let (from, to) = (source.color.range_or_limited(), encoding.only_range()?);
    let name = |range| if range == ColorRange::Full { "full" } else { "limited" };
    let (is_other, encoder) = (!source.format.is_rgb() && from != to, &encoding.encoder);
    is_other.then(|| format!("codes of {} range become those of {} range, for {encoder}", name(from), name(to)))
}
