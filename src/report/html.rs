//! The report as one page that needs nothing else: figures, stages, how the run went, and crops before and after.
//!
//! The page is `page.html`, which draws from the report's own JSON; pictures travel inside it as PNG.

use std::path::Path;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder};
use serde_json::{Value, json};

use super::Report;
use super::json::write_whole;
use crate::error::{Error, Kind, Result};

/// The page, but for what it tells of.
const PAGE: &str = include_str!("page.html");

/// Where the page takes the data from.
const PLACE: &str = "/*DATA*/null";

/// A picture: rows of R, G, B bytes.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a> {
    /// Pixels a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// 8-bit R'G'B'.
    pub pixels: &'a [u8],
}

/// A frame before and after.
#[derive(Clone, Copy, Debug)]
pub struct Pair<'a> {
    /// The frame.
    pub frame: u64,
    /// Its time in seconds.
    pub seconds: f64,
    /// From the source.
    pub before: Shown<'a>,
    /// From the output.
    pub after: Shown<'a>,
}

/// Writes the page, whole or not at all.
pub fn write_html(path: &Path, report: &Report, pairs: &[Pair]) -> Result<()> {
    let mut shown = Vec::new();
    for pair in pairs {
        shown.push(json!({"frame": pair.frame, "seconds": pair.seconds, "width": pair.after.width,
            "height": pair.after.height, "before": png(pair.before)?, "after": png(pair.after)?}));
    }
    let failed = |error| Error::new(Kind::Internal, format!("the report is no JSON: {error}"));
    let mut data = serde_json::to_value(report).map_err(failed)?;
    data["shown"] = Value::from(shown);
    // Inside a script nothing may look like its end; `<` stands only in strings there.
    let data = data.to_string().replace('<', "\\u003c");
    let page = PAGE.replacen(PLACE, &data, 1);
    write_whole(path, "report", |out| out.write_all(page.as_bytes()))
}

/// A picture as a page takes it.
fn png(shown: Shown) -> Result<String> {
    let mut file = Vec::new();
    let encoder = PngEncoder::new_with_quality(&mut file, CompressionType::Default, FilterType::Adaptive);
    encoder
        .write_image(shown.pixels, shown.width as u32, shown.height as u32, ExtendedColorType::Rgb8)
        .map_err(|error| Error::new(Kind::Internal, "a picture of the report is no PNG").with_source(error))?;
    Ok(format!("data:image/png;base64,{}", BASE64_STANDARD.encode(file)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_holds_the_data_and_ends_no_script_early() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r.html");
        let report = Report { input: "</script><b>.mp4".into(), frames_out: 7, ..Report::default() };
        let pixels = [10, 20, 30, 40, 50, 60];
        let shown = Shown { width: 2, height: 1, pixels: &pixels };
        write_html(&path, &report, &[Pair { frame: 3, seconds: 0.5, before: shown, after: shown }]).unwrap();
        let page = std::fs::read_to_string(&path).unwrap();
        assert_eq!((page.matches("</script>").count(), page.contains(PLACE)), (1, false));
        assert!(!page.contains("src=\"http") && !page.contains("@import"));
        let begun = page.find("const data = ").unwrap() + "const data = ".len();
        let data: Value = serde_json::Deserializer::from_str(&page[begun..]).into_iter().next().unwrap().unwrap();
        assert_eq!((data["input"].as_str(), data["frames_out"].as_u64()), (Some("</script><b>.mp4"), Some(7)));
        let picture = data["shown"][0]["before"].as_str().unwrap().strip_prefix("data:image/png;base64,").unwrap();
        let picture = image::load_from_memory(&BASE64_STANDARD.decode(picture).unwrap()).unwrap();
        assert_eq!(picture.into_rgb8().into_raw(), pixels);
    }
}
