//! Whether an output is made in segments, and where they are cut.
//!
//! The grid depends on the input and the plan alone, so that an interrupted run and an uninterrupted one cut at the same
//! frames. It knows nothing of files and of what is already there.

use std::fmt;

use super::encoding::EncodingPlan;
use crate::time::Ratio;

/// Whether an output is made in segments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segments {
    /// It is no file of a container.
    None,
    /// It is made in one go, and this is why.
    Off(String),
    /// The same, though a person wants it otherwise or the run is long.
    Impossible(String),
    /// It is cut before every frame whose index is a multiple of this, which is even.
    Every(u64),
}

/// What is known of a run before it begins.
#[derive(Clone, Copy, Debug)]
pub struct Run<'a> {
    /// How the video is encoded.
    pub encoding: &'a EncodingPlan,
    /// The same input can be read again.
    pub is_repeatable: bool,
    /// The output shows what was computed, which a run that goes on computes otherwise.
    pub has_overlay: bool,
    /// What is found is told, frame by frame.
    pub tells_found: bool,
    /// What is found is hidden, and stays so where it is lost for a moment.
    pub hides: bool,
    /// Expected frames, where known.
    pub n_frames: Option<u64>,
    /// Nominal frame rate; unknown when a part is 0.
    pub frame_rate: Ratio,
    /// Input luma pixels of a frame that the network is run on.
    pub pixels_in: u64,
    /// Output luma pixels of a frame.
    pub pixels_out: u64,
    /// Bytes of the network's weights.
    pub network_bytes: u64,
    /// Processors.
    pub cores: usize,
}

/// Shorter runs, in seconds, are made in one go: that they are lost is no great harm.
const WORTHWHILE: f64 = 120.0;

/// Seconds of video in a segment, where the network is fast.
const SECONDS: f64 = 32.0;

/// Seconds of work that may be lost with a segment, where the network is slow.
const SECONDS_OF_WORK: f64 = 240.0;

/// The fewest frames of a segment: encoders put a key frame about as often anyway, so that a cut costs next to nothing.
const MIN_FRAMES: u64 = 240;

/// Encoders that give the same bits for the same frames, and whose rate control looks at nothing else.
const CUTTABLE: [&str; 4] = ["libx264", "libx265", "libsvtav1", "ffv1"];

/// Options, and entries of an encoder's own parameter string, by which the encoding of a frame depends on the whole
/// film: average or capped rates, and several passes.
const WHOLE: [&str; 21] = [
    "b",
    "bitrate",
    "abr",
    "tbr",
    "mbr",
    "minrate",
    "maxrate",
    "bufsize",
    "vbv-maxrate",
    "vbv-bufsize",
    "rc",
    "crf_max",
    "crf-max",
    "nal-hrd",
    "pass",
    "passes",
    "passlogfile",
    "stats",
    "two-pass",
    "multi-pass-opt-analysis",
    "strict-cbr",
];

impl Segments {
    /// Decides; `asked` is the number of frames a segment that a person said.
    pub fn new(asked: Option<u64>, is_off: bool, run: &Run) -> Segments {
        if is_off {
            return Segments::Off("--no-resume".to_owned());
        }
        let expected = run.n_frames.map(|n| n as f64 * run.seconds_a_frame());
        if asked.is_none() && expected.is_some_and(|seconds| seconds <= WORTHWHILE) {
            return Segments::Off("the run is expected to take less than two minutes".to_owned());
        }
        let obstacle = match obstacle(run.encoding) {
            None if !run.is_repeatable => Some("the input cannot be read a second time".to_owned()),
            None if run.has_overlay => Some("--debug-overlay shows what this very run computes".to_owned()),
            None if run.tells_found => Some("--detections tells of all frames in one go".to_owned()),
            // Who asks for segments is told what they cost.
            None if run.hides && asked.is_none() => {
                Some("what stays hidden depends on the frames before; --segment-frames makes segments".to_owned())
            }
            other => other,
        };
        match obstacle {
            None => Segments::Every(asked.map_or_else(|| run.grid(), |frames| frames.next_multiple_of(2))),
            Some(why) if asked.is_some() || expected.is_some() => Segments::Impossible(why),
            Some(why) => Segments::Off(why),
        }
    }
}

impl Run<'_> {
    /// A guess: a hundred billion operations a second and core, each weight used once a pixel as in a convolution, and
    /// 20 ns a core for an encoded pixel. It decides only whether and how finely a run is cut.
    pub fn seconds_a_frame(&self) -> f64 {
        let operations = self.pixels_in as f64 * (self.network_bytes / 4) as f64 * 2.0;
        (operations / 100e9 + self.pixels_out as f64 * 20e-9) / self.cores.max(1) as f64
    }

    /// Frames of a segment. Even, because an intra-only H.264 stream numbers its pictures 0 and 1 in turn, and two
    /// neighbours must differ (ITU-T H.264, 7.4.3, idr_pic_id).
    fn grid(&self) -> u64 {
        let rate = if self.frame_rate.is_known() { self.frame_rate.as_f64() } else { 25.0 };
        let of_video = (rate * SECONDS).min(1e6) as u64;
        let of_work = (SECONDS_OF_WORK / self.seconds_a_frame()).min(1e6) as u64;
        of_video.min(of_work).max(MIN_FRAMES).next_multiple_of(2)
    }
}

/// Why this encoding cannot be cut.
fn obstacle(encoding: &EncodingPlan) -> Option<String> {
    let encoder = &encoding.encoder;
    if !CUTTABLE.contains(&encoder.as_str()) {
        return Some(format!("{encoder} is not known to be cuttable"));
    }
    for (key, value) in &encoding.options {
        let inner = value.split(':').map(|entry| entry.split('=').next().unwrap_or_default());
        let is_inner = key.ends_with("-params") || key == "x264opts";
        let mut names: Box<dyn Iterator<Item = &str>> =
            if is_inner { Box::new(inner) } else { Box::new([key.as_str()].into_iter()) };
        let found = names.find(|name| WHOLE.contains(&name.replace('_', "-").as_str()) || WHOLE.contains(name));
        let found = found.or((key == "flags" && value.contains("pass")).then_some("flags"));
        if let Some(name) = found {
            return Some(format!("with {name}, {encoder} decides over the whole film"));
        }
    }
    None
}

impl fmt::Display for Segments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Segments::None => f.write_str("none"),
            Segments::Off(why) | Segments::Impossible(why) => write!(f, "none: {why}"),
            Segments::Every(frames) => write!(f, "of {frames} frames; the same command continues an interrupted run"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::PixelFormat;

    fn encoding(encoder: &str, options: &[(&str, &str)]) -> EncodingPlan {
        EncodingPlan {
            encoder: encoder.to_owned(),
            pixel_format: "yuv420p".to_owned(),
            format: PixelFormat::yuv(1, 1, 8),
            options: options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            threads: 2,
            codec_tag: None,
            notes: Vec::new(),
        }
    }

    fn decided(encoding: &EncodingPlan, n_frames: Option<u64>, network_bytes: u64) -> Segments {
        let run = Run {
            encoding,
            is_repeatable: true,
            has_overlay: false,
            tells_found: false,
            hides: false,
            n_frames,
            frame_rate: Ratio::new(25, 1),
            pixels_in: 960 * 540,
            pixels_out: 1920 * 1080,
            network_bytes,
            cores: 2,
        };
        Segments::new(None, false, &run)
    }

    #[test]
    fn long_runs_are_cut_by_time_of_video_and_of_work() {
        let x264 = encoding("libx264", &[("crf", "18"), ("x264-params", "cpu-independent=1")]);
        assert!(matches!(decided(&x264, Some(100), 40_000), Segments::Off(_)));
        assert_eq!(decided(&x264, Some(10_000), 40_000), Segments::Every(800));
        assert_eq!(decided(&x264, None, 40_000), Segments::Every(800));
        // Five seconds a frame.
        assert_eq!(decided(&x264, Some(100), 4_000_000), Segments::Every(MIN_FRAMES));
    }

    #[test]
    fn what_looks_at_the_whole_film_is_not_cut() {
        for (encoder, options) in [
            ("libvpx-vp9", &[("crf", "20")][..]),
            ("libx264", &[("b", "2M")]),
            ("libx264", &[("crf", "20"), ("maxrate", "4M"), ("bufsize", "8M")]),
            ("libx264", &[("x264-params", "cpu-independent=1:vbv-maxrate=4000")]),
            ("libx264", &[("x264-params", "cpu-independent=1:vbv_bufsize=4000")]),
            ("libx265", &[("x265-params", "log-level=none:pass=2")]),
            ("libx265", &[("x265-params", "log-level=none:bitrate=900")]),
            ("libsvtav1", &[("svtav1-params", "lp=2:rc=1:tbr=500")]),
            ("ffv1", &[("flags", "+pass1")]),
        ] {
            let encoding = encoding(encoder, options);
            assert!(matches!(decided(&encoding, None, 0), Segments::Off(_)), "{encoder} {options:?}");
            assert!(matches!(decided(&encoding, Some(1 << 20), 0), Segments::Impossible(_)), "{encoder} {options:?}");
            assert!(matches!(decided(&encoding, Some(9), 0), Segments::Off(_)), "{encoder} {options:?}");
        }
    }

    #[test]
    fn a_grid_that_is_asked_for_is_even() {
        let ffv1 = encoding("ffv1", &[("g", "1")]);
        let run = Run {
            encoding: &ffv1,
            is_repeatable: true,
            has_overlay: false,
            tells_found: false,
            hides: false,
            n_frames: Some(9),
            frame_rate: Ratio::new(25, 1),
            pixels_in: 1,
            pixels_out: 1,
            network_bytes: 0,
            cores: 1,
        };
        assert_eq!(Segments::new(Some(7), false, &run), Segments::Every(8));
        assert!(matches!(Segments::new(Some(7), true, &run), Segments::Off(_)));
        let (pipe, shown) = (Run { is_repeatable: false, ..run }, Run { has_overlay: true, ..run });
        for run in [pipe, shown] {
            assert!(matches!(Segments::new(Some(7), false, &run), Segments::Impossible(_)));
        }
    }
}
