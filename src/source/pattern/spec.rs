//! What pattern to make, and how it is written on the command line.

use std::str::FromStr;

use crate::error::{Error, Kind, Result};
use crate::frame::PixelFormat;
use crate::time::Ratio;

/// What pattern to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatternSpec {
    /// Luma samples a row.
    pub width: usize,
    /// Luma rows.
    pub height: usize,
    /// Frames a second.
    pub frame_rate: Ratio,
    /// How many frames.
    pub n_frames: u64,
    /// Any planar format.
    pub format: PixelFormat,
    /// Another seed, another texture.
    pub seed: u64,
    /// Largest deviation of the film grain in luma, in 8-bit code values, at most 32; 0 for none.
    pub grain: u8,
}

impl Default for PatternSpec {
    fn default() -> Self {
        PatternSpec {
            width: 1280,
            height: 720,
            frame_rate: Ratio::new(24, 1),
            n_frames: 240,
            format: PixelFormat::yuv(1, 1, 8),
            seed: 1,
            grain: 0,
        }
    }
}

impl PatternSpec {
    /// Reads `pattern:WxH@RATE,frames=N,format=NAME,seed=N,grain=N`; each part may be left out, RATE is `24` or
    /// `30000/1001`.
    pub fn parse(text: &str) -> Result<Self> {
        let bad = |part: &str| {
            let message = format!(
                "{part:?} in {text:?}, expected like pattern:1280x720@24,frames=240,format=yuv420p10le,seed=1,grain=2"
            );
            Error::new(Kind::Usage, message)
        };
        let list = text.strip_prefix("pattern:").ok_or_else(|| bad(text))?;
        let mut spec = PatternSpec::default();
        for (index, part) in list.split(',').enumerate().filter(|(_, part)| !part.is_empty()) {
            let ok = match part.split_once('=') {
                Some(("frames", value)) => set(&mut spec.n_frames, value),
                Some(("seed", value)) => set(&mut spec.seed, value),
                Some(("grain", value)) => set(&mut spec.grain, value) && spec.grain <= 32,
                Some(("format", value)) => PixelFormat::from_name(value).map(|format| spec.format = format).is_some(),
                None if index == 0 => spec.set_size_and_rate(part).is_some(),
                _ => false,
            };
            if !ok {
                return Err(bad(part));
            }
        }
        Ok(spec)
    }

    fn set_size_and_rate(&mut self, part: &str) -> Option<()> {
        let (size, rate) = part.split_once('@').map_or((part, None), |(size, rate)| (size, Some(rate)));
        if !size.is_empty() {
            let (width, height) = size.split_once('x')?;
            (self.width, self.height) = (width.parse().ok()?, height.parse().ok()?);
        }
        if let Some(rate) = rate {
            let (num, den) = rate.split_once('/').unwrap_or((rate, "1"));
            self.frame_rate = Ratio::new(num.parse().ok()?, den.parse().ok()?);
        }
        Some(())
    }
}

fn set<T: FromStr>(field: &mut T, value: &str) -> bool {
    value.parse().map(|value| *field = value).is_ok()
}
