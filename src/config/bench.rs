//! What was asked of `vproc bench` and `vproc tune`, beyond the options of a run.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use super::{RunConfig, value};
use crate::error::{Error, Kind, Result};

/// What to measure.
#[derive(Clone, Debug)]
pub struct BenchConfig {
    /// The options of a run; its input and output are not used.
    pub run: RunConfig,
    /// The sizes of clips to make; one at least.
    pub resolutions: Vec<Resolution>,
    /// A video to measure instead.
    pub input: Option<OsString>,
    /// The plain loop is measured too.
    pub plain: bool,
    /// Roughly the time to spend on a resolution, in seconds.
    pub seconds: f64,
    /// Where all repeats go, as JSON.
    pub json: Option<PathBuf>,
    /// Where the chart goes.
    pub plot: Option<PathBuf>,
}

/// What to tune.
#[derive(Clone, Debug)]
pub struct TuneConfig {
    /// The options of a run; its output is not written.
    pub run: RunConfig,
    /// Roughly the time to spend, in seconds.
    pub seconds: f64,
}

/// A size of pictures with the name it was asked for by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolution {
    /// `4k`, `1920x1080`.
    pub name: String,
    /// Luma samples a row, 16 or more.
    pub width: usize,
    /// Luma rows, 16 or more.
    pub height: usize,
}

/// Names of sizes, all 16:9.
const NAMED: &[(&str, usize, usize)] = &[
    ("540p", 960, 540),
    ("720p", 1280, 720),
    ("1080p", 1920, 1080),
    ("1440p", 2560, 1440),
    ("4k", 3840, 2160),
    ("6k", 5760, 3240),
    ("8k", 7680, 4320),
];

/// What is measured when nobody says.
const DEFAULT: &str = "1080p,4k,6k,8k";

impl Resolution {
    /// The sizes of a list such as `1080p,4k,640x360`; sides are even, so that 4:2:0 holds them.
    pub fn list(text: Option<&OsStr>) -> Result<Vec<Resolution>> {
        let text = text.map_or(Ok(DEFAULT), value::text)?;
        text.split(',').map(|part| Resolution::parse(part.trim())).collect()
    }

    fn parse(text: &str) -> Result<Resolution> {
        let name = text.to_ascii_lowercase();
        if let Some((_, width, height)) = NAMED.iter().find(|(known, ..)| *known == name) {
            return Ok(Resolution { name, width: *width, height: *height });
        }
        let side = |text: &str| text.parse().ok().filter(|side| (16..=16384).contains(side) && side % 2 == 0);
        let size = name.split_once('x').and_then(|(width, height)| Some((side(width)?, side(height)?)));
        let Some((width, height)) = size else {
            let known: Vec<_> = NAMED.iter().map(|(name, ..)| *name).collect();
            let message = format!("got '{text}', expected {} or WxH with even sides from 16 up", known.join(", "));
            return Err(Error::new(Kind::Usage, message));
        };
        Ok(Resolution { name, width, height })
    }
}

/// A span of time that can be spent: 1 second to a day.
pub fn seconds(text: Option<&OsStr>, default: f64) -> Result<f64> {
    let Some(text) = text else { return Ok(default) };
    let text = value::text(text)?;
    match value::seconds(text) {
        Ok(seconds) if (1.0..=86400.0).contains(&seconds) => Ok(seconds),
        _ => Err(Error::new(Kind::Usage, format!("got '{text}', expected seconds from 1 to 86400"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_names_or_sides() {
        let list = |text: &str| Resolution::list(Some(OsStr::new(text)));
        let sizes: Vec<_> = Resolution::list(None).unwrap().into_iter().map(|it| (it.width, it.height)).collect();
        assert_eq!(sizes, [(1920, 1080), (3840, 2160), (5760, 3240), (7680, 4320)]);
        assert_eq!(list("4K, 64x36").unwrap()[1], Resolution { name: "64x36".to_owned(), width: 64, height: 36 });
        for text in ["", "9k", "64x", "65x36", "0x0", "4k,,8k", "99999x16"] {
            let error = list(text).unwrap_err();
            assert_eq!(error.kind(), Kind::Usage, "{text}");
            assert!(error.to_string().contains("1080p"), "{error}");
        }
    }

    #[test]
    fn time_is_at_least_a_second() {
        let of = |text: &str| seconds(Some(OsStr::new(text)), 40.0);
        assert_eq!((of("5").unwrap(), seconds(None, 40.0).unwrap()), (5.0, 40.0));
        assert!(["0", "-1", "x", "1e9", "nan"].iter().all(|text| of(text).is_err()));
    }
}
