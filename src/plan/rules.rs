//! What each tabled encoder needs; any other is taken as it comes.

/// What one encoder needs.
pub struct Rule {
    /// FFmpeg's name.
    pub encoder: &'static str,
    /// Quality when the user says nothing about the rate.
    pub rate: &'static [(&'static str, &'static str)],
    /// The worst quality that `--crf` can ask for; 0 where there is no such scale.
    pub largest_crf: f64,
    /// Options that decide the rate: any of them removes ours.
    pub rate_options: &'static [&'static str],
    /// Options with their values, where the encoder would print a complaint by itself. Empty: it does not.
    pub words: &'static [(&'static str, &'static [&'static str])],
    /// Sizes must be multiples of the chroma subsampling.
    pub whole_chroma: bool,
}

/// Options of FFmpeg's own that decide the rate in any encoder.
pub const COMMON_RATE: [&str; 7] = ["b", "bitrate", "q", "qscale", "global_quality", "maxrate", "bufsize"];

/// libx264's own lists; a preset may be a number too, and tunings are joined.
const X264_WORDS: [(&str, &[&str]); 3] = [
    (
        "preset",
        &["ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow", "placebo"],
    ),
    ("tune", &["film", "animation", "grain", "stillimage", "psnr", "ssim", "fastdecode", "zerolatency"]),
    ("profile", &["baseline", "main", "high", "high10", "high422", "high444"]),
];

pub const RULES: [Rule; 6] = [
    Rule {
        encoder: "libx264",
        rate: &[("crf", "18")],
        largest_crf: 51.0,
        rate_options: &["crf", "qp", "x264-params", "x264opts", "crf_max"],
        words: &X264_WORDS,
        whole_chroma: true,
    },
    Rule {
        encoder: "libx265",
        rate: &[("crf", "18")],
        largest_crf: 51.0,
        rate_options: &["crf", "qp", "x265-params"],
        words: &[],
        whole_chroma: true,
    },
    Rule {
        encoder: "libsvtav1",
        rate: &[("crf", "25")],
        largest_crf: 63.0,
        rate_options: &["crf", "qp", "rc", "svtav1-params"],
        words: &[],
        whole_chroma: true,
    },
    Rule {
        encoder: "libvpx-vp9",
        rate: &[("crf", "24"), ("b", "0")],
        largest_crf: 63.0,
        rate_options: &["crf", "lossless", "b", "minrate"],
        words: &[],
        whole_chroma: false,
    },
    Rule {
        encoder: "ffv1",
        rate: &[("level", "3"), ("slicecrc", "1"), ("g", "1")],
        largest_crf: 0.0,
        rate_options: &[],
        words: &[],
        whole_chroma: false,
    },
    Rule {
        encoder: "prores_ks",
        rate: &[],
        largest_crf: 0.0,
        rate_options: &["profile"],
        words: &[],
        whole_chroma: false,
    },
];
