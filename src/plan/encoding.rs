//! Which encoder, with which options, in which pixel format.
//!
//! One table of what each encoder needs; any other encoder of FFmpeg's is taken as it comes. What the installed
//! encoder can do comes in as facts.

use super::container::Container;
use super::format::{self, Chosen};
use super::hdr::{content_light, mastering_display};
use super::rules::{COMMON_RATE, RULES, Rule};
use crate::config::{Origin, RunConfig, decides_rate};
use crate::error::{Error, Kind, Result};
use crate::frame::{ColorRange, FieldOrder, PixelFormat, SideData};

/// What the installed encoder can do.
#[derive(Clone, Debug, Default)]
pub struct EncoderFacts {
    /// FFmpeg's name of the encoder.
    pub name: String,
    /// FFmpeg's name of the codec it makes.
    pub codec: String,
    /// FFmpeg's names of the pixel formats it takes; empty when it does not say.
    pub pixel_formats: Vec<String>,
    /// Whether all encoders of its codec are lossless.
    pub is_lossless: bool,
    /// Which of the options that we would set it has: `crf`, `preset`, `udu_sei`.
    pub options: Vec<&'static str>,
}

/// From this side on pictures are cut into slices by ffv1, in any chroma subsampling.
const FFV1_SLICED: usize = 16;

/// The options that [`EncoderFacts::options`] is about.
pub const OPTIONS_OF_INTEREST: [&str; 4] = ["crf", "preset", "udu_sei", "tune"];

/// What was asked for.
#[derive(Clone, Debug, Default)]
pub struct Wishes {
    /// `--crf`
    pub crf: Option<f64>,
    /// `--preset`
    pub preset: Option<String>,
    /// `--encoder-opt`
    pub options: Vec<(String, String)>,
    /// `--pix-fmt`
    pub pix_fmt: Option<String>,
    /// Which of `crf` and `preset` was said for all runs, and is not meant for an encoder that has no such thing.
    pub general: Vec<&'static str>,
}

impl Wishes {
    /// What `config` says of the encoding.
    pub fn of(config: &RunConfig) -> Wishes {
        let is_general = |name: &&str| config.origin(name) != Origin::CommandLine;
        Wishes {
            crf: config.crf,
            preset: config.preset.clone(),
            options: config.encoder_options.clone(),
            pix_fmt: config.pix_fmt.clone(),
            general: ["crf", "preset"].into_iter().filter(is_general).collect(),
        }
    }

    /// The crf, but for one that is not meant for this encoder.
    fn crf_for(&self, facts: &EncoderFacts) -> Option<f64> {
        self.crf.filter(|_| facts.has("crf") || !self.general.contains(&"crf"))
    }

    /// The preset, but for one that is not meant for this encoder.
    fn preset_for(&self, facts: &EncoderFacts, rule: Option<&Rule>) -> Option<&String> {
        let words = words_of(rule).iter().find(|(key, _)| *key == "preset");
        let fits = |preset: &str| match (facts.name.as_str(), words) {
            ("libsvtav1", _) => preset.parse::<i8>().is_ok(),
            (_, Some((_, known))) => unknown_word(known, preset).is_none(),
            _ => true,
        };
        let is_meant = |preset: &&String| !self.general.contains(&"preset") || facts.has("preset") && fits(preset);
        self.preset.as_ref().filter(is_meant)
    }
}

impl EncoderFacts {
    fn has(&self, option: &str) -> bool {
        self.options.contains(&option)
    }
}

/// How the video is encoded.
#[derive(Clone, Debug, PartialEq)]
pub struct EncodingPlan {
    /// FFmpeg's name of the encoder.
    pub encoder: String,
    /// FFmpeg's name of the pixel format it is given.
    pub pixel_format: String,
    /// The components and depth that this has, however they lie.
    pub format: PixelFormat,
    /// Its options, all of them.
    pub options: Vec<(String, String)>,
    /// Encoder threads.
    pub threads: usize,
    /// A four-character code to write instead of the container's usual one.
    pub codec_tag: Option<[u8; 4]>,
    /// What is changed against the source, and by which rule.
    pub notes: Vec<String>,
}

impl EncodingPlan {
    /// The range that codes of Y'CbCr and gray can only have: by the pixel format's name, in pictures and in ProRes.
    pub fn only_range(&self) -> Option<ColorRange> {
        match self.encoder.as_str() {
            _ if self.pixel_format.starts_with("yuvj") => Some(ColorRange::Full),
            "png" | "apng" | "qtrle" | "gif" | "bmp" | "targa" | "sgi" | "tiff" | "dpx" if self.format.is_gray() => {
                Some(ColorRange::Full)
            }
            "prores" | "prores_aw" | "prores_ks" => Some(ColorRange::Limited),
            _ => None,
        }
    }
}

/// The encoder when nobody names one, for pictures of this format and size.
pub fn default_encoder(container: Container, format: PixelFormat, (width, height): (usize, usize)) -> &'static str {
    match container {
        // The other encoder of this container is as good as any for what the first does not take.
        Container::Webm if width % 2 != 0 || height % 2 != 0 => for_any_size(container),
        Container::Webm => "libsvtav1",
        _ if format.bit_depth > 8 => "libx265",
        _ => "libx264",
    }
}

/// An encoder for pictures of any size that `container` holds.
fn for_any_size(container: Container) -> &'static str {
    match container {
        Container::Mp4 | Container::Webm => "libvpx-vp9",
        Container::Mov | Container::Matroska | Container::Other => "ffv1",
    }
}

/// The pictures to be encoded.
#[derive(Clone, Copy, Debug)]
pub struct Pictures<'a> {
    /// Their pixel format.
    pub format: PixelFormat,
    /// Width and height in luma samples.
    pub size: (usize, usize),
    /// Whether, and how, they are interlaced.
    pub field_order: FieldOrder,
    /// What rides with the first of them: mastering display, content light level.
    pub hdr: &'a [SideData],
}

/// Decides how to encode pictures with `threads` threads.
pub fn plan_encoding(
    facts: &EncoderFacts,
    wishes: &Wishes,
    container: Container,
    pictures: Pictures,
    threads: usize,
) -> Result<EncodingPlan> {
    let Pictures { format, size: (width, height), field_order, hdr } = pictures;
    let rule = RULES.iter().find(|rule| rule.encoder == facts.name);
    let mut notes = Vec::new();
    let Chosen { name: pixel_format, format: chosen } =
        format::choose(facts, wishes.pix_fmt.as_deref(), container, format, &mut notes)?;
    if rule.is_some_and(|rule| rule.whole_chroma)
        && let Some(subsampling) = chosen.subsampling()
        && (width % (1 << subsampling.x) != 0 || height % (1 << subsampling.y) != 0)
    {
        let full = PixelFormat::yuv(0, 0, chosen.bit_depth).to_string();
        let other = format!("--encoder {}", for_any_size(container));
        let hint = if facts.pixel_formats.contains(&full) { format!("--pix-fmt {full} or {other}") } else { other };
        let size = format!("{width}x{height} in {pixel_format}");
        let message = format!("{} does not take {size}: its sides must be even; try {hint}", facts.name);
        return Err(Error::new(Kind::Usage, message));
    }
    let mut options = Vec::new();
    let says_rate = wishes.options.iter().any(|(key, _)| {
        COMMON_RATE.contains(&key.as_str()) || rule.is_some_and(|rule| rule.rate_options.contains(&key.as_str()))
    });
    if let Some(crf) = wishes.crf_for(facts) {
        if !facts.has("crf") {
            let message = format!("{} has no --crf; try --encoder-opt with one of its own options", facts.name);
            return Err(Error::new(Kind::Usage, message));
        }
        if let Some(rule) = rule.filter(|rule| crf > rule.largest_crf) {
            let message = format!("--crf: got {crf}, expected 0 to {} for {}", rule.largest_crf, facts.name);
            return Err(Error::new(Kind::Usage, message));
        }
        refuse_rival(facts, wishes, crf)?;
        options.push(("crf".to_owned(), crf.to_string()));
        if facts.name == "libvpx-vp9" {
            options.push(("b".to_owned(), "0".to_owned()));
        }
    } else if let Some(rule) = rule.filter(|_| !says_rate) {
        // Pictures of a few rows or columns cannot be cut into slices.
        let is_tiny = facts.name == "ffv1" && width.min(height) < FFV1_SLICED;
        let set = rule.rate.iter().filter(|(key, _)| !is_tiny || !matches!(*key, "level" | "slicecrc"));
        options.extend(set.map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
    }
    if let Some(preset) = wishes.preset_for(facts, rule) {
        if !facts.has("preset") {
            return Err(Error::new(Kind::Usage, format!("{} has no --preset; leave it out", facts.name)));
        }
        options.push(("preset".to_owned(), preset.clone()));
    }
    if facts.has("udu_sei") {
        options.push(("udu_sei".to_owned(), "1".to_owned()));
    }
    own_parameters(&facts.name, threads, hdr, &mut options);
    for (key, value) in &wishes.options {
        merge(&mut options, key, value);
    }
    for (key, known) in words_of(rule) {
        let Some((_, value)) = options.iter().find(|(name, _)| name == key) else { continue };
        if let Some(word) = unknown_word(known, value) {
            let message = format!("{} has no {key} '{word}'; there are {}", facts.name, known.join(", "));
            return Err(Error::new(Kind::Usage, message));
        }
    }
    keep_lossless_interlaced(&mut options, facts, field_order, &mut notes);
    let codec_tag = (container.is_isobmff() && facts.codec == "hevc").then_some(*b"hvc1");
    let encoder = facts.name.clone();
    Ok(EncodingPlan { encoder, pixel_format, format: chosen, options, threads, codec_tag, notes })
}

/// Refuses a crf beside an option that decides the rate as well: an encoder would take one and pass over the other. To
/// those of the VPx family a rate is the bound of a crf.
fn refuse_rival(facts: &EncoderFacts, wishes: &Wishes, crf: f64) -> Result<()> {
    let takes_both = facts.name.starts_with("libvpx") || facts.name.starts_with("libaom");
    let is_rival = |key: &str, value: &str| decides_rate(key, value) && !(takes_both && key == "b");
    let Some((key, value)) = wishes.options.iter().find(|(key, value)| is_rival(key, value)) else { return Ok(()) };
    let message = format!("--crf {crf} and --encoder-opt {key}={value} both decide the rate; leave one of them out");
    Err(Error::new(Kind::Usage, message))
}

/// The options of which an encoder knows certain words alone, with these.
fn words_of(rule: Option<&Rule>) -> &'static [(&'static str, &'static [&'static str])] {
    match rule {
        Some(rule) => rule.words,
        None => &[],
    }
}

/// The first of the words in `value` that is neither a known one nor the number of one.
fn unknown_word<'a>(known: &[&str], value: &'a str) -> Option<&'a str> {
    let is_known = |word: &str| known.contains(&word) || word.parse::<u8>().is_ok_and(|n| n < 10);
    value.split([',', '+']).find(|word| !is_known(word))
}

/// Parameters that go into an encoder's own parameter string.
fn own_parameters(encoder: &str, threads: usize, hdr: &[SideData], options: &mut Vec<(String, String)>) {
    match encoder {
        "libx264" => {
            // Else the bits differ between processors; costs under 2 %.
            let mut parameters = vec!["cpu-independent=1".to_owned()];
            parameters.extend(mastering_display(hdr).map(|text| format!("mastering-display={text}")));
            parameters.extend(content_light(hdr).map(|text| format!("cll={text}")));
            options.push(("x264-params".to_owned(), parameters.join(":")));
        }
        "libx265" => {
            let mut parameters =
                vec!["log-level=none".to_owned(), format!("pools={threads}"), "frame-threads=1".to_owned()];
            parameters.extend(mastering_display(hdr).map(|text| format!("master-display={text}")));
            parameters.extend(content_light(hdr).map(|text| format!("max-cll={text}")));
            options.push(("x265-params".to_owned(), parameters.join(":")));
        }
        "libsvtav1" => options.push(("svtav1-params".to_owned(), format!("lp={threads}"))),
        "libvpx-vp9" => options.push(("row-mt".to_owned(), "1".to_owned())),
        _ => {}
    }
}

/// Lossless interlaced H.264 with inter prediction does not come back exactly: FFmpeg's decoder and libx264 differ by a
/// code value in every P frame. Intra frames are exact, and a user who asks for lossless wants that.
fn keep_lossless_interlaced(
    options: &mut Vec<(String, String)>,
    facts: &EncoderFacts,
    field_order: FieldOrder,
    notes: &mut Vec<String>,
) {
    let is_lossless = options.iter().any(|(key, value)| matches!(key.as_str(), "qp" | "crf") && value == "0");
    if facts.name == "libx264" && is_lossless && field_order != FieldOrder::Progressive {
        merge(options, "g", "1");
        notes.push("lossless interlaced H.264 is only exact in key frames, so every frame is one".to_owned());
    }
}

/// The user's option replaces ours, but is added to ours in a parameter string.
fn merge(options: &mut Vec<(String, String)>, key: &str, value: &str) {
    match options.iter_mut().find(|(name, _)| name == key) {
        Some((_, ours)) if key.ends_with("-params") => *ours = format!("{ours}:{value}"),
        Some((_, ours)) => *ours = value.to_owned(),
        None => options.push((key.to_owned(), value.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn x264() -> EncoderFacts {
        EncoderFacts {
            name: "libx264".to_owned(),
            codec: "h264".to_owned(),
            is_lossless: false,
            pixel_formats: ["yuv420p", "yuvj420p", "yuv422p", "yuv444p", "nv12", "yuv420p10le", "yuv444p10le", "gray"]
                .map(str::to_owned)
                .to_vec(),
            options: vec!["crf", "preset"],
        }
    }

    fn plan(wishes: &Wishes, format: &str, size: (usize, usize)) -> Result<EncodingPlan> {
        let format = PixelFormat::from_name(format).unwrap();
        let pictures = Pictures { format, size, field_order: FieldOrder::Progressive, hdr: &[] };
        plan_encoding(&x264(), wishes, Container::Mp4, pictures, 2)
    }

    fn option<'a>(plan: &'a EncodingPlan, key: &str) -> Option<&'a str> {
        plan.options.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    #[test]
    fn a_rate_option_of_the_users_removes_ours() {
        let wishes = Wishes { options: vec![("qp".to_owned(), "0".to_owned())], ..Wishes::default() };
        assert_eq!(option(&plan(&wishes, "yuv420p", (64, 64)).unwrap(), "crf"), None);
        assert_eq!(option(&plan(&Wishes::default(), "yuv420p", (64, 64)).unwrap(), "crf"), Some("18"));
        let wishes = Wishes { options: vec![("x264-params".to_owned(), "keyint=5".to_owned())], ..Wishes::default() };
        let merged = plan(&wishes, "yuv420p", (64, 64)).unwrap();
        assert_eq!(option(&merged, "x264-params"), Some("cpu-independent=1:keyint=5"));
    }

    #[test]
    fn a_crf_beyond_the_encoder_s_scale_is_refused() {
        let at = |crf| plan(&Wishes { crf: Some(crf), ..Wishes::default() }, "yuv420p", (64, 64));
        assert_eq!(option(&at(51.0).unwrap(), "crf"), Some("51"));
        assert_eq!(at(51.5).unwrap_err().to_string(), "--crf: got 51.5, expected 0 to 51 for libx264");
    }

    #[test]
    fn a_crf_and_another_rate_at_once_are_refused_by_their_names() {
        let with = |name: &str, option: (&str, &str)| {
            let options = vec![(option.0.to_owned(), option.1.to_owned())];
            let facts = EncoderFacts { name: name.to_owned(), ..x264() };
            let pictures = Pictures {
                format: PixelFormat::from_name("yuv420p").unwrap(),
                size: (64, 64),
                field_order: FieldOrder::Progressive,
                hdr: &[],
            };
            let wishes = Wishes { crf: Some(20.0), options, ..Wishes::default() };
            plan_encoding(&facts, &wishes, Container::Matroska, pictures, 2)
        };
        let error = with("libx264", ("qp", "0")).unwrap_err();
        assert_eq!(error.kind(), Kind::Usage);
        assert!(error.to_string().starts_with("--crf 20 and --encoder-opt qp=0 "), "{error}");
        assert!(with("libx265", ("x265-params", "aq-mode=1:bitrate=900")).is_err());
        for (name, option) in [
            ("libx264", ("maxrate", "4M")),
            ("libx264", ("x264-params", "keyint=9")),
            ("libvpx-vp9", ("b", "2M")),
            ("libx264", ("b", "0")),
        ] {
            assert!(with(name, option).is_ok(), "{name} {option:?}");
        }
    }

    #[test]
    fn what_is_said_for_all_runs_is_meant_for_encoders_that_have_it() {
        let with = |name: &str, options: Vec<&'static str>, preset: &str, general: Vec<&'static str>| {
            let facts = EncoderFacts { name: name.to_owned(), options, ..x264() };
            let pictures = Pictures {
                format: PixelFormat::from_name("yuv420p").unwrap(),
                size: (64, 64),
                field_order: FieldOrder::Progressive,
                hdr: &[],
            };
            let wishes = Wishes { crf: Some(20.0), preset: Some(preset.to_owned()), general, ..Wishes::default() };
            let plan = plan_encoding(&facts, &wishes, Container::Matroska, pictures, 2)?;
            Ok::<_, Error>((option(&plan, "crf").map(str::to_owned), option(&plan, "preset").map(str::to_owned)))
        };
        let all = || vec!["crf", "preset"];
        let both = |crf: &str, preset: &str| (Some(crf.to_owned()), Some(preset.to_owned()));
        assert_eq!(with("libx264", all(), "slow", all()).unwrap(), both("20", "slow"));
        assert_eq!(with("ffv1", vec![], "slow", all()).unwrap(), (None, None));
        assert_eq!(with("libsvtav1", all(), "slow", all()).unwrap(), (Some("20".to_owned()), None));
        assert_eq!(with("libsvtav1", all(), "8", all()).unwrap(), both("20", "8"));
        assert_eq!(with("libx264", all(), "p4", all()).unwrap().1, None);
        for general in [vec![], vec!["crf"], vec!["preset"]] {
            assert!(with("ffv1", vec![], "slow", general).is_err());
        }
        let mut config = RunConfig::default();
        config.set("crf", &["20".into()], &Origin::CommandLine).unwrap();
        config.set("preset", &["slow".into()], &Origin::Environment).unwrap();
        assert_eq!(Wishes::of(&config).general, ["preset"]);
    }

    #[test]
    fn odd_sizes_are_refused_by_name() {
        let error = plan(&Wishes::default(), "yuv420p", (161, 121)).unwrap_err().to_string();
        assert!(error.contains("161x121") && error.contains("--pix-fmt yuv444p or --encoder libvpx-vp9"), "{error}");
        assert!(plan(&Wishes::default(), "yuv444p", (161, 121)).is_ok());
    }
}
