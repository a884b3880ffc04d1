//! Options that several commands share, by what they are about.
//!
//! Names are those of `config::KEYS`; values stay text here. Each group tells what was said in it by those names.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueHint};

use crate::config::{Deinterlace, EngineChoice, Precision, SkipMode, Task};

/// What was said, by the names of `config::KEYS`.
pub type Said = Vec<(&'static str, Vec<OsString>)>;

/// Where frames come from.
#[derive(Args, Debug)]
#[command(next_help_heading = "What")]
pub struct Input {
    /// A video, '-' (y4m), NAME%06d.png or pattern:
    #[arg(long_help = "A video, '-' for y4m on stdin, pictures as NAME%06d.png, or pattern: for a test picture")]
    #[arg(value_name = "INPUT", value_hint = ValueHint::FilePath, help_heading = None)]
    input: Option<OsString>,
    /// The same as INPUT
    #[arg(short = 'i', long = "input", value_name = "INPUT", conflicts_with = "input", hide_short_help = true)]
    #[arg(value_hint = ValueHint::FilePath)]
    input_option: Option<OsString>,

    #[command(flatten)]
    part: Part,
}

/// What is taken of an input.
#[derive(Args, Debug)]
#[command(next_help_heading = "What")]
pub struct Part {
    /// Take this stream of the input, counted from 0 [default: the best video stream]
    #[arg(long, value_name = "N", hide_short_help = true, allow_hyphen_values = true)]
    video_stream: Option<OsString>,
    /// Begin here: 1:02:03.5, 90, or 120f for a frame
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    start: Option<OsString>,
    /// End before this place
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    end: Option<OsString>,
    /// Take at most so many frames
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    frames: Option<OsString>,
    /// The frame rate of pictures: 25, 23.976, 24000/1001
    #[arg(long, value_name = "RATE", hide_short_help = true, allow_hyphen_values = true)]
    fps: Option<OsString>,
    /// What is done with interlaced frames
    #[arg(long_help = "What is done with interlaced frames: auto runs those flagged so through bwdif at the same \
        rate, off none, bwdif all [default: auto]")]
    #[arg(long, value_name = "auto|off|bwdif", hide_short_help = true)]
    #[arg(value_parser = one_of(Deinterlace::NAMES), hide_possible_values = true)]
    deinterlace: Option<OsString>,
    /// Allow this protocol besides files and pipes, and the network with it; may be repeated
    #[arg(long, value_name = "NAME", hide_short_help = true)]
    protocol: Vec<OsString>,
}

/// Which network, and where options come from.
#[derive(Args, Debug)]
#[command(next_help_heading = "What")]
pub struct Network {
    /// The network: a name (see 'vproc models') or an ONNX file
    #[arg(long_help = "The network: a name (see 'vproc models') or an ONNX file [default: upscale-x2]")]
    #[arg(short, long, value_name = "NAME|FILE", value_hint = ValueHint::FilePath)]
    model: Option<OsString>,
    /// Correct in TOML what is concluded from the network
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, hide_short_help = true)]
    model_config: Option<OsString>,
    /// How strongly the network acts, where it can be told: auto (by how the source was coded), 0 to 4
    #[arg(long, value_name = "auto|N", hide_short_help = true, allow_hyphen_values = true)]
    strength: Option<OsString>,
    /// What is done with what the network gives
    #[arg(
        long_help = "What is done with what the network gives: auto is what the network is for; image makes its pictures \
        the output; detect outlines what it finds, blur and pixelate make that unrecognisable [default: auto]"
    )]
    #[arg(long, value_name = "auto|image|detect|blur|pixelate", hide_short_help = true)]
    #[arg(value_parser = one_of(Task::NAMES), hide_possible_values = true)]
    task: Option<OsString>,
    /// How sure the network must be of what counts as found, 0 to 1 [default: by the network]
    #[arg(long, value_name = "S", hide_short_help = true, allow_hyphen_values = true)]
    score: Option<OsString>,
    /// Let only these classes count as found, by name or number; may be repeated
    #[arg(long, value_name = "NAME[,NAME]", hide_short_help = true)]
    classes: Vec<OsString>,
    /// Take options from this TOML file too
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, hide_short_help = true)]
    config: Option<PathBuf>,
    /// Take no options from the user's or the project's file
    #[arg(long, hide_short_help = true)]
    no_config: bool,
}

/// What the work is done with.
#[derive(Args, Debug)]
#[command(next_help_heading = "Where")]
pub struct Place {
    /// The device that runs the network
    #[arg(long_help = "The device that runs the network: a CUDA device by its number, or several of one model; auto \
        takes the first if it can be used, else the processor, and the plan says why [default: auto]")]
    #[arg(long, value_name = "auto|cpu|cuda:N[,M]", hide_short_help = true)]
    device: Option<OsString>,
    /// What runs the network
    #[arg(long, value_name = "auto|native|ort|openvino")]
    #[arg(value_parser = one_of(EngineChoice::NAMES), hide_possible_values = true)]
    engine: Option<OsString>,
    /// The network's arithmetic
    #[arg(long, value_name = "auto|f32|tf32|bf16", hide_short_help = true)]
    #[arg(value_parser = one_of(Precision::NAMES), hide_possible_values = true)]
    precision: Option<OsString>,
    /// Threads in all
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    threads: Option<OsString>,
    /// Workers that run the network
    #[arg(long, value_name = "N", hide_short_help = true, allow_hyphen_values = true)]
    workers: Option<OsString>,
    /// Memory the run may take: 6G, 512M
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true)]
    memory: Option<OsString>,
    /// Cut frames into tiles: auto, off, or pixels a side
    #[arg(long, value_name = "N", hide_short_help = true, allow_hyphen_values = true)]
    tile: Option<OsString>,
    /// Windows of changed areas that go through the network at once, at most: auto, or a number
    #[arg(long, value_name = "N", hide_short_help = true, allow_hyphen_values = true)]
    batch: Option<OsString>,
    /// The time a frame may be under way, in seconds of the video: 0.5, 200ms
    #[arg(long, value_name = "TIME", hide_short_help = true, allow_hyphen_values = true)]
    latency: Option<OsString>,
    /// What is not computed again
    #[arg(
        long_help = "What is not computed again: with exact, areas that depend on unchanged pixels only, which gives \
        the same bits as off; with near, also areas that depend on nearly unchanged pixels [default: exact]"
    )]
    #[arg(long, value_name = "exact|near|off")]
    #[arg(value_parser = one_of(SkipMode::NAMES), hide_possible_values = true)]
    skip: Option<OsString>,
    /// How near is near, in dB of the network's input [default: 50]
    #[arg(long, value_name = "DB", hide_short_help = true, allow_hyphen_values = true)]
    skip_psnr: Option<OsString>,
    /// Run so many frames in full as well, and tell how near the output is
    #[arg(long, value_name = "N", hide_short_help = true, allow_hyphen_values = true)]
    verify_skip: Option<OsString>,
    /// Run the network only here; may be repeated
    #[arg(
        long_help = "Run the network only here: a rectangle in pixels or percent of the input, or a PNG picture whose \
        gray values say how much; may be repeated. Elsewhere the picture is resized"
    )]
    #[arg(long, value_name = "X,Y,W,H|PNG", value_hint = ValueHint::FilePath, hide_short_help = true)]
    #[arg(allow_hyphen_values = true)]
    roi: Vec<OsString>,
    /// Tint what was computed red, what was reused green, what lies outside blue
    #[arg(long, hide_short_help = true)]
    debug_overlay: bool,
    /// Keep results of the network in this folder and use those that are there
    #[arg(
        long_help = "Keep results of the network in this folder, and use those that are there. Without it, results of \
        networks that are dear enough are kept in the user's cache folder"
    )]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, hide_short_help = true)]
    cache: Option<OsString>,
    /// The cache's size [default: 10G, at most a quarter of the free disk]
    #[arg(long, value_name = "SIZE", hide_short_help = true, allow_hyphen_values = true)]
    cache_size: Option<OsString>,
    /// Keep no results and use none that were kept
    #[arg(long, hide_short_help = true)]
    no_cache: bool,
    /// Run on these processors only: 0-3,8
    #[arg(long, value_name = "LIST", hide_short_help = true, allow_hyphen_values = true)]
    cpu_affinity: Option<OsString>,
}

/// How the video is encoded.
#[derive(Args, Debug)]
#[command(next_help_heading = "Out")]
pub struct Encoding {
    /// The encoder by FFmpeg's name
    #[arg(
        long_help = "The encoder by FFmpeg's name [default: libx264 for 8 bits, libx265 for more, libsvtav1 in .webm]"
    )]
    #[arg(long, value_name = "NAME")]
    encoder: Option<OsString>,
    /// The encoder's quality, in its own scale
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    crf: Option<OsString>,
    /// The encoder's preset
    #[arg(long, value_name = "NAME")]
    preset: Option<OsString>,
    /// Another option of the encoder; may be repeated
    #[arg(long_help = "Another option of the encoder, or several as k=v:k=v; may be repeated. \
        A rate option (qp, crf, b, x264-params) removes the default crf")]
    #[arg(long, value_name = "K=V")]
    encoder_opt: Vec<OsString>,
    /// The output's pixel format by FFmpeg's name
    #[arg(long, value_name = "NAME", hide_short_help = true)]
    pix_fmt: Option<OsString>,
    /// The size of the output's pictures, after the network: 1920x1080, or 1920x or x1080 to keep their shape
    #[arg(long, value_name = "WxH", help_heading = "What", hide_short_help = true, allow_hyphen_values = true)]
    size: Option<OsString>,
}

impl Input {
    pub fn said(self) -> Said {
        let mut said = given_once([("input", self.input.or(self.input_option))]);
        said.extend(self.part.said());
        said
    }
}

impl Part {
    pub fn said(self) -> Said {
        let mut said = given_once([
            ("video-stream", self.video_stream),
            ("start", self.start),
            ("end", self.end),
            ("frames", self.frames),
            ("fps", self.fps),
            ("deinterlace", self.deinterlace),
        ]);
        said.push(("protocol", self.protocol));
        said
    }
}

impl Network {
    /// `--config` and `--no-config` say where to look and are no settings themselves.
    pub fn files(&self) -> (Option<PathBuf>, bool) {
        (self.config.clone(), !self.no_config)
    }

    pub fn said(self) -> Said {
        let mut said = given_once([
            ("model", self.model),
            ("model-config", self.model_config),
            ("strength", self.strength),
            ("task", self.task),
            ("score", self.score),
        ]);
        said.push(("classes", self.classes));
        said
    }
}

impl Place {
    pub fn said(self) -> Said {
        let mut said = given_once([
            ("device", self.device),
            ("engine", self.engine),
            ("precision", self.precision),
            ("threads", self.threads),
            ("workers", self.workers),
            ("memory", self.memory),
            ("tile", self.tile),
            ("batch", self.batch),
            ("latency", self.latency),
            ("skip", self.skip),
            ("skip-psnr", self.skip_psnr),
            ("verify-skip", self.verify_skip),
            ("debug-overlay", self.debug_overlay.then(|| OsString::from("true"))),
            ("cpu-affinity", self.cpu_affinity),
            ("cache", self.cache),
            ("cache-size", self.cache_size),
            ("no-cache", self.no_cache.then(|| OsString::from("true"))),
        ]);
        said.push(("roi", self.roi));
        said
    }
}

impl Encoding {
    pub fn said(self) -> Said {
        let mut said = given_once([
            ("encoder", self.encoder),
            ("crf", self.crf),
            ("preset", self.preset),
            ("pix-fmt", self.pix_fmt),
            ("size", self.size),
        ]);
        said.push(("encoder-opt", self.encoder_opt));
        said
    }
}

/// Those that were given.
pub fn given_once<const N: usize>(values: [(&'static str, Option<OsString>); N]) -> Said {
    values.into_iter().filter_map(|(name, value)| Some((name, vec![value?]))).collect()
}

/// One of these names, as text.
pub fn one_of(names: &'static [&'static str]) -> impl TypedValueParser<Value = OsString> {
    PossibleValuesParser::new(names).map(OsString::from)
}
