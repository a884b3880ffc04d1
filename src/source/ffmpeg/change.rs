//! What changes in mid-stream. The output is described once, as the first frame is; what another frame says of itself is
//! followed where its samples can be converted, and told once in any case.

use super::{FfmpegSource, merge};
use crate::av::AvFrame;

/// A shape that differs by less is the same one, rounded to another size or written in other numbers.
const SAME_SHAPE: f64 = 0.01;

/// How many times as wide as high a frame is shown.
pub(super) fn shape(frame: &AvFrame) -> f64 {
    let ratio = frame.sample_aspect_ratio();
    let square = frame.width() as f64 / frame.height().max(1) as f64;
    if ratio.is_known() { square * ratio.as_f64() } else { square }
}

impl FfmpegSource {
    /// Looks at a frame as it was decoded.
    pub(super) fn watch_shape(&mut self, frame: &AvFrame) {
        let (first, now) = (self.shape, shape(frame));
        if (now / first - 1.0).abs() > SAME_SHAPE {
            let change = format!("from {first:.3}:1 to {now:.3}:1");
            self.tell("the shape of the picture changes", &change, "all is shown in the first");
        }
    }

    /// Looks at a frame that is to go on. R'G'B' has one range and no matrix, whatever its tags say.
    pub(super) fn watch_color(&mut self, frame: &AvFrame) {
        if self.facts.format.is_rgb() {
            return;
        }
        let (first, height) = (self.facts.color, self.facts.height);
        let now = merge(frame.color(), first);
        let tagged = "the samples stay as they are and the tag is the first";
        let (from, to) = (first.range_or_limited(), now.range_or_limited());
        if from != to {
            self.tell("the colour range changes", &format!("from {from:?} to {to:?}"), tagged);
        }
        let (from, to) = (first.matrix_for(height), now.matrix_for(height));
        if from != to && self.facts.format.subsampling().is_some() {
            self.tell("the colour matrix changes", &format!("from {from:?} to {to:?}"), tagged);
        }
    }

    /// Tells of a frame that has to be converted to the format and size of the first, where that was not always so.
    pub(super) fn warn_of_change(&mut self, frame: &AvFrame) {
        let facts = &self.facts;
        let same_size = frame.width() == facts.width && frame.height() == facts.height;
        if same_size && facts.converted_from.as_deref() == Some(frame.format_name().as_str()) {
            return;
        }
        let now = format!("to {}x{} {}", frame.width(), frame.height(), frame.format_name());
        let first = format!("it is resized to the first, {}x{} {}", facts.width, facts.height, facts.format);
        self.tell("the picture changes", &now, &first);
    }

    /// Tells at the end what the container alone said of all frames.
    pub(super) fn tell_of_tag(&mut self) {
        if std::mem::take(&mut self.is_only_tagged) {
            let what = "the file says that the video is interlaced, and none of its frames does";
            let done = "they stay as they are and the output is not tagged so";
            let ways = "--deinterlace bwdif deinterlaces them, off keeps the tag";
            self.warnings.push(format!("{what}: {done}; {ways}"));
        }
    }

    /// Tells once that something changes at the frame that comes.
    fn tell(&mut self, what: &str, change: &str, therefore: &str) {
        if !self.warnings.iter().any(|warning| warning.starts_with(what)) {
            self.warnings.push(format!("{what} {change} at frame {}; {therefore}", self.n_frames));
        }
    }
}
