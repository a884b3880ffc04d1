//! A few frames of a run before and after the network, cut to their middle, for a report that people look at.
//!
//! The source's picture is kept for the chosen frames only, and only until its frame has been put away.

use crate::error::Result;
use crate::frame::{Frame, Picture};
use crate::head::preview;
use crate::tile::Rect;

/// Frames shown at most.
const MAX_SNAPSHOTS: usize = 5;

/// The largest crop of a source, in luma samples.
const MAX_CROP: (usize, usize) = (480, 270);

/// The crop of an output is at most so many times as wide and high.
const MAX_SCALE: usize = 4;

/// One side of a comparison: rows of R, G, B bytes.
#[derive(Clone, Debug, Default)]
pub struct Crop {
    /// Pixels a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// 8-bit R'G'B'.
    pub pixels: Vec<u8>,
}

/// A frame before and after.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The frame.
    pub frame: u64,
    /// Its time in seconds.
    pub seconds: f64,
    /// The middle of the source's picture.
    pub before: Crop,
    /// The same part of the output's.
    pub after: Crop,
}

/// Which frames are shown.
#[derive(Clone, Copy, Debug, Default)]
pub enum Choice {
    /// None.
    #[default]
    None,
    /// Some, spread over this many frames; over a video of unknown length at growing distances.
    Spread(Option<u64>),
}

impl Choice {
    /// Whether the frame of this index is shown.
    pub fn includes(self, index: u64) -> bool {
        let places = MAX_SNAPSHOTS as u64;
        match self {
            Choice::None => false,
            // The middles of equal parts.
            Choice::Spread(Some(n)) if n > places => (0..places).any(|part| (2 * part + 1) * n / (2 * places) == index),
            Choice::Spread(Some(_)) => true,
            Choice::Spread(None) => (0..places as u32).any(|power| 12 * 8_u64.pow(power) == index),
        }
    }
}

/// Cuts the middle out of both pictures; `frame` is the processed one, of any size.
pub fn take(source: &Picture, frame: &Frame, seconds: f64) -> Result<Snapshot> {
    // Start and length of both crops along an axis; on even samples, so that chroma is cut where it lies.
    let axis = |all: usize, out: usize, most: usize| {
        let length = all.min(most).min((MAX_SCALE * most * all).div_ceil(out.max(1)));
        let start = ((all - length) / 2) & !1;
        let out_start = (start * out / all.max(1)) & !1;
        ((start, length), (out_start, (length * out / all.max(1)).clamp(1, out - out_start)))
    };
    let (x, out_x) = axis(source.width(), frame.picture.width(), MAX_CROP.0);
    let (y, out_y) = axis(source.height(), frame.picture.height(), MAX_CROP.1);
    let area = Rect::new(x.0, y.0, x.1, y.1);
    let scaled = Rect::new(out_x.0, out_y.0, out_x.1, out_y.1);
    let crop = |picture: &Picture, area: Rect| -> Result<Crop> {
        let pixels = preview::rgb8(picture, frame.color, area)?;
        Ok(Crop { width: area.width, height: area.height, pixels })
    };
    Ok(Snapshot { frame: frame.index, seconds, before: crop(source, area)?, after: crop(&frame.picture, scaled)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_frames_are_shown_and_they_are_spread() {
        let chosen = |choice: Choice, n: u64| (0..n).filter(|index| choice.includes(*index)).collect::<Vec<_>>();
        assert_eq!(chosen(Choice::Spread(Some(100)), 100), [10, 30, 50, 70, 90]);
        assert_eq!(chosen(Choice::Spread(Some(3)), 3), [0, 1, 2]);
        assert_eq!(chosen(Choice::Spread(None), 1000), [12, 96, 768]);
        assert!(chosen(Choice::None, 50).is_empty());
    }
}
