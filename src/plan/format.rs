//! Which pixel format an encoder is given: of those that it takes, the one that loses least.

use super::container::Container;
use super::encoding::EncoderFacts;
use crate::error::{Error, Kind, Result};
use crate::frame::PixelFormat;
use crate::head::yuv;

/// A pixel format of an encoder's.
#[derive(Debug)]
pub(super) struct Chosen {
    /// FFmpeg's name.
    pub name: String,
    /// The components and depth that it has, whatever the layout.
    pub format: PixelFormat,
}

/// FFmpeg's names of formats that hold R'G'B' pixel by pixel, with their depth and whether they have opacity.
const PACKED_RGB: [(&str, u8, bool); 14] = [
    ("bgr0", 8, false),
    ("rgb0", 8, false),
    ("0bgr", 8, false),
    ("0rgb", 8, false),
    ("rgb24", 8, false),
    ("bgr24", 8, false),
    ("bgra", 8, true),
    ("rgba", 8, true),
    ("argb", 8, true),
    ("abgr", 8, true),
    ("rgb48le", 16, false),
    ("rgb48be", 16, false),
    ("rgba64le", 16, true),
    ("rgba64be", 16, true),
];

/// The chain's format whose samples FFmpeg's format `name` holds.
fn held_by(name: &str) -> Option<PixelFormat> {
    // As PNG has them.
    if name == "gray16be" {
        return Some(PixelFormat::gray(16));
    }
    let packed = || {
        let (_, bit_depth, alpha) = PACKED_RGB.into_iter().find(|(packed, ..)| *packed == name)?;
        Some(PixelFormat { alpha, ..PixelFormat::rgb(bit_depth) })
    };
    PixelFormat::from_name(name).or_else(packed)
}

/// Chooses for pictures of `source`; adds to `notes` what is lost.
pub(super) fn choose(
    facts: &EncoderFacts,
    wanted: Option<&str>,
    container: Container,
    source: PixelFormat,
    notes: &mut Vec<String>,
) -> Result<Chosen> {
    if let Some(name) = wanted {
        return asked(facts, name);
    }
    let source = source.planar();
    if facts.pixel_formats.is_empty() {
        return Ok(Chosen { name: source.to_string(), format: source });
    }
    let rgb = least(facts, |format| format.is_rgb().then(|| loss(source, format)));
    let yuv = yuv::format(source);
    let best = least(facts, |format| (format == format.planar() && !format.is_rgb()).then(|| loss(yuv, format)));
    let chosen = match (rgb, best) {
        (Some(rgb), None) => rgb,
        (Some(rgb), Some(best)) if source.is_rgb() && facts.is_lossless && is_as_rich(rgb.format, best.format, yuv) => {
            rgb
        }
        // Better rounded once than without colour.
        (Some(rgb), Some(best)) if best.format.is_gray() && !source.is_gray() => rgb,
        (_, Some(best)) => best,
        (None, None) => {
            let message = format!("{} takes no pictures that there are here; try libx264 or ffv1", facts.name);
            return Err(Error::new(Kind::Usage, message));
        }
    };
    let format = chosen.format;
    let source = if format.is_rgb() && !source.is_rgb() {
        notes.push(format!("{source} becomes R'G'B' ({}), rounded once, for {}", chosen.name, facts.name));
        PixelFormat { alpha: source.alpha, ..PixelFormat::rgb(source.bit_depth) }
    } else if source.is_rgb() && !format.is_rgb() {
        let keeps = if matches!(container, Container::Mp4 | Container::Webm) {
            "libx264rgb or ffv1 in an .mkv may keep it"
        } else {
            "--encoder libx264rgb or ffv1 may keep it"
        };
        notes.push(format!("R'G'B' ({source}) becomes {yuv}, rounded once, for {}; {keeps}", facts.name));
        yuv
    } else {
        source
    };
    for (is_lost, what) in [
        (format.bit_depth < source.bit_depth, format!("{} bits become {}", source.bit_depth, format.bit_depth)),
        (chroma_lost(source, format) > 0, format!("chroma is reduced, {source} becomes {format}")),
        (source.alpha && !format.alpha, "opacity is dropped".to_owned()),
    ] {
        if is_lost {
            let hint = richer(&facts.name, container, what.starts_with("opacity"));
            notes.push(format!("{what}: {} takes no more; {hint}", facts.name));
        }
    }
    Ok(chosen)
}

/// Whether R'G'B' that is `kept` loses no more of `source` than the best Y'CbCr or gray does.
fn is_as_rich(kept: PixelFormat, best: PixelFormat, source: PixelFormat) -> bool {
    kept.bit_depth >= source.bit_depth.min(best.bit_depth) || chroma_lost(source, best) > 0
}

/// The format of `--pix-fmt`.
fn asked(facts: &EncoderFacts, name: &str) -> Result<Chosen> {
    let usage = |message: String| Err(Error::new(Kind::Usage, message));
    if !facts.pixel_formats.is_empty() && !facts.pixel_formats.iter().any(|known| known == name) {
        let can = facts.pixel_formats.join(", ");
        return usage(format!("{} does not take --pix-fmt {name}; it takes {can}", facts.name));
    }
    match held_by(name) {
        Some(format) => Ok(Chosen { name: name.to_owned(), format }),
        None => usage(format!("--pix-fmt {name} is not planar Y'CbCr, R'G'B' or gray; try yuv420p or yuv420p10le")),
    }
}

/// The encoder's format of the least cost, of those that have one.
fn least(facts: &EncoderFacts, cost: impl Fn(PixelFormat) -> Option<u32>) -> Option<Chosen> {
    // Of equal formats the first counts, and the deprecated yuvj names come after the plain ones, which JPEG lacks.
    let known = facts.pixel_formats.iter().filter_map(|name| Some((name, held_by(name)?)));
    let known = known.filter_map(|(name, format)| {
        let is_second = name.starts_with("yuvj") != (facts.codec == "mjpeg");
        Some((cost(format)? + u32::from(is_second), Chosen { name: name.clone(), format }))
    });
    known.min_by_key(|(cost, _)| *cost).map(|(_, chosen)| chosen)
}

/// Where to look for what `encoder` drops: encoders of deeper samples and finer chroma, or of opacity.
fn richer(encoder: &str, container: Container, alpha: bool) -> String {
    let others: &[&str] = match (container, alpha) {
        (Container::Mp4, false) => &["libx265"],
        (Container::Mov, true) => &["prores_ks"],
        (Container::Webm, _) => &["libvpx-vp9"],
        (Container::Mp4, true) => &[],
        _ => &["ffv1"],
    };
    match others.iter().find(|other| **other != encoder) {
        Some(other) => format!("--encoder {other} may"),
        None => "ffv1 in an .mkv may".to_owned(),
    }
}

/// How much chroma resolution is lost: halvings, more when all of it is.
fn chroma_lost(source: PixelFormat, target: PixelFormat) -> u32 {
    match (source.subsampling(), target.subsampling()) {
        (None, _) => 0,
        (Some(_), None) => 8,
        (Some(from), Some(to)) => u32::from(to.x.saturating_sub(from.x)) + u32::from(to.y.saturating_sub(from.y)),
    }
}

/// What is lost by going from one format to another, most weight on what is seen first; then what is spent.
fn loss(source: PixelFormat, target: PixelFormat) -> u32 {
    let depth_lost = u32::from(source.bit_depth.saturating_sub(target.bit_depth));
    let depth_spent = u32::from(target.bit_depth.saturating_sub(source.bit_depth));
    let chroma_spent = match (source.subsampling(), target.subsampling()) {
        (None, Some(to)) => 3 - u32::from(to.x.min(1)) - u32::from(to.y.min(1)),
        _ => chroma_lost(target, source),
    };
    chroma_lost(source, target) * 4000
        + depth_lost * 1000
        + u32::from(source.alpha && !target.alpha) * 800
        + u32::from(!source.alpha && target.alpha) * 90
        + depth_spent * 10
        + chroma_spent * 20
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(name: &str, is_lossless: bool, pixel_formats: &[&str]) -> EncoderFacts {
        let pixel_formats = pixel_formats.iter().map(|name| (*name).to_owned()).collect();
        EncoderFacts { name: name.to_owned(), is_lossless, pixel_formats, ..EncoderFacts::default() }
    }

    fn chosen(facts: &EncoderFacts, from: &str, wanted: Option<&str>) -> Result<(String, Vec<String>)> {
        let mut notes = Vec::new();
        let source = PixelFormat::from_name(from).unwrap();
        let chosen = choose(facts, wanted, Container::Matroska, source, &mut notes)?;
        Ok((chosen.name, notes))
    }

    #[test]
    fn the_format_that_loses_least_is_chosen_and_losses_are_named() {
        let x264 = ["yuv420p", "yuvj420p", "yuv422p", "yuv444p", "nv12", "yuv420p10le", "yuv444p10le", "gray"];
        for (from, to, n_notes) in [
            ("yuv420p", "yuv420p", 0),
            ("nv12", "yuv420p", 0),
            ("p010le", "yuv420p10le", 0),
            ("yuv420p12le", "yuv420p10le", 1),
            ("yuv422p10le", "yuv444p10le", 0),
            ("yuv411p", "yuv422p", 0),
            ("gray", "gray", 0),
            ("gray12le", "yuv420p10le", 1),
            ("yuva420p", "yuv420p", 1),
            ("gbrp", "yuv444p", 1),
            ("gbrap", "yuv444p", 2),
            ("gbrp16le", "yuv444p10le", 2),
        ] {
            let (name, notes) = chosen(&facts("libx264", false, &x264), from, None).unwrap();
            assert_eq!((name.as_str(), notes.len()), (to, n_notes), "{from} {notes:?}");
        }
    }

    #[test]
    fn colours_stay_in_encoders_that_lose_nothing_or_take_nothing_else() {
        let ffv1 = ["yuv420p", "yuv444p", "bgr0", "bgra", "yuv444p10le", "gray", "gbrp10le", "gbrp16le", "rgb48le"];
        let (ffv1, qtrle) = (facts("ffv1", true, &ffv1), facts("qtrle", true, &["rgb24", "rgb555be", "argb", "gray"]));
        let x264rgb = facts("libx264rgb", false, &["bgr0", "bgr24", "rgb24"]);
        let vp9 = facts("libvpx-vp9", false, &["yuv420p", "yuv444p", "gbrp"]);
        for (facts, from, to, n_notes) in [
            (&ffv1, "gbrp", "bgr0", 0),
            (&ffv1, "gbrap", "bgra", 0),
            (&ffv1, "gbrp10le", "gbrp10le", 0),
            (&ffv1, "gbrp12le", "gbrp16le", 0),
            (&ffv1, "yuv444p", "yuv444p", 0),
            (&qtrle, "gbrp", "rgb24", 0),
            (&x264rgb, "gbrp", "bgr0", 0),
            (&x264rgb, "gbrp16le", "bgr0", 1),
            (&qtrle, "gbrp10le", "rgb24", 1),
            (&qtrle, "gbrap16le", "argb", 1),
            (&vp9, "gbrp", "yuv444p", 1),
        ] {
            let (name, notes) = chosen(facts, from, None).unwrap();
            assert_eq!((name.as_str(), notes.len()), (to, n_notes), "{} {from} {notes:?}", facts.name);
        }
        // Nobody expects an encoder that knows colours to drop them.
        for (facts, from, to) in [(&x264rgb, "yuv420p", "bgr0"), (&qtrle, "yuv420p", "rgb24"), (&qtrle, "gray", "gray")]
        {
            let (name, notes) = chosen(facts, from, None).unwrap();
            assert_eq!((name.as_str(), notes.len()), (to, usize::from(to != "gray")), "{from} {notes:?}");
        }
    }

    #[test]
    fn a_format_that_is_asked_for_must_be_one_that_frames_can_have() {
        let vp9 = facts("libvpx-vp9", false, &["yuv420p", "yuv444p", "gbrp", "pal8"]);
        assert_eq!(chosen(&vp9, "gbrp", Some("gbrp")).unwrap().0, "gbrp");
        assert_eq!(chosen(&vp9, "gbrp", Some("yuv420p")).unwrap().0, "yuv420p");
        assert_eq!(chosen(&vp9, "yuv420p", Some("gbrp")).unwrap().0, "gbrp");
        for (from, name, said) in [("gbrp", "pal8", "is not planar"), ("gbrp", "rgb24", "does not take")] {
            let error = chosen(&vp9, from, Some(name)).unwrap_err().to_string();
            assert!(error.contains(said) && error.contains(name), "{error}");
        }
    }
}
