//! The options as the parser, the help, the man page and the completions know them.
//!
//! Names are those of `config::KEYS`; values stay text here. The headings are the rows of the manual's table: what is
//! run, where, what comes out, what is said.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum, ValueHint};

use crate::config::{Deinterlace, DeviceChoice, EngineChoice, Precision, ProgressMode};

/// Run a neural network over every frame of a video; all else in the file stays as it is
#[derive(Debug, Parser)]
#[command(
    name = "vproc",
    version,
    disable_help_subcommand = true,
    args_conflicts_with_subcommands = true,
    max_term_width = 100
)]
#[command(override_usage = "vproc INPUT -o OUTPUT [options]\n       vproc <COMMAND>")]
#[command(
    after_long_help = "Exit status: 0 done and verified; 1 failed, worth trying again; 2 usage; 3 done, but the \
    source was damaged; 4 input or network unusable; 130 SIGINT; 143 SIGTERM.\n\n\
    Configuration, weakest first: built in, $XDG_CONFIG_HOME/vproc/config.toml, ./vproc.toml, --config, \
    VPROC_<OPTION> (VPROC_ENCODER_OPT), command line. Keys of the files are the long options: `crf = 20`.\n\n\
    A file named like a command is written ./inspect."
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    pub run: Run,
    #[command(flatten)]
    pub say: Say,
}

/// The other commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Tell what is in a video or a network
    Inspect {
        /// A video, an ONNX file, or the name of a built-in network
        #[arg(value_hint = ValueHint::FilePath)]
        file: OsString,
        /// Write one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Compare two videos: frames, pts, streams, tags, PSNR and SSIM
    ///
    /// The exit status is 1 when the two do not show the same pictures at the same time: number of frames, pts, size,
    /// pixel format, samples, and the tags that decide how samples are shown where both have them. Other differences in
    /// streams, tags and metadata are listed.
    Compare {
        /// The one video
        #[arg(value_hint = ValueHint::FilePath)]
        a: OsString,
        /// The other video
        #[arg(value_hint = ValueHint::FilePath)]
        b: OsString,
        /// The least PSNR of any plane of any frame for which they count as equal
        ///
        /// Times may then differ by what the two files' time bases round.
        #[arg(long, value_name = "DB", allow_hyphen_values = true)]
        min_psnr: Option<String>,
        /// Write one JSON object
        #[arg(long)]
        json: bool,
    },
    /// List the built-in networks
    Models {
        /// Write one JSON object
        #[arg(long)]
        json: bool,
    },
}

/// What `--generate` writes.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Generate {
    Man,
    CompleteBash,
    CompleteZsh,
    CompleteFish,
}

/// The options of the main job.
#[derive(Args, Debug)]
#[command(next_help_heading = "What")]
pub struct Run {
    /// A video, '-' (y4m), NAME%06d.png or pattern:
    #[arg(long_help = "A video, '-' for y4m on stdin, pictures as NAME%06d.png, or pattern: for a test picture")]
    #[arg(value_name = "INPUT", value_hint = ValueHint::FilePath, help_heading = None)]
    input: Option<OsString>,
    /// The same as INPUT
    #[arg(short = 'i', long = "input", value_name = "INPUT", conflicts_with = "input", hide_short_help = true)]
    #[arg(value_hint = ValueHint::FilePath)]
    input_option: Option<OsString>,

    /// The network: a name (see 'vproc models') or an ONNX file
    #[arg(long_help = "The network: a name (see 'vproc models') or an ONNX file [default: upscale-x2]")]
    #[arg(short, long, value_name = "NAME|FILE", value_hint = ValueHint::FilePath)]
    model: Option<OsString>,
    /// Correct in TOML what is concluded from the network
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, hide_short_help = true)]
    model_config: Option<OsString>,
    /// Take options from this TOML file too
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, hide_short_help = true)]
    config: Option<PathBuf>,
    /// Take no options from the user's or the project's file
    #[arg(long, hide_short_help = true)]
    no_config: bool,
    /// Take this stream of the input, counted from 0 [default: the best video stream]
    #[arg(long, value_name = "N", hide_short_help = true)]
    video_stream: Option<OsString>,
    /// Begin here: 1:02:03.5, 90, or 120f for a frame
    #[arg(long, value_name = "TIME")]
    start: Option<OsString>,
    /// End before this place
    #[arg(long, value_name = "TIME")]
    end: Option<OsString>,
    /// Take at most so many frames
    #[arg(long, value_name = "N")]
    frames: Option<OsString>,
    /// The frame rate of pictures: 25, 23.976, 24000/1001
    #[arg(long, value_name = "RATE", hide_short_help = true)]
    fps: Option<OsString>,
    /// What is done with interlaced frames
    #[arg(long_help = "What is done with interlaced frames: auto runs those flagged so through bwdif at the same \
        rate, off none, bwdif all [default: auto]")]
    #[arg(long, value_name = "auto|off|bwdif")]
    #[arg(value_parser = one_of(Deinterlace::NAMES), hide_possible_values = true)]
    deinterlace: Option<OsString>,
    /// Allow this protocol besides files and pipes, and the network with it; may be repeated
    #[arg(long, value_name = "NAME", hide_short_help = true)]
    protocol: Vec<OsString>,

    /// The device that runs the network
    #[arg(long, value_name = "auto|cpu", help_heading = "Where")]
    #[arg(value_parser = one_of(DeviceChoice::NAMES), hide_possible_values = true)]
    device: Option<OsString>,
    /// What runs the network
    #[arg(long, value_name = "auto|ort|openvino", help_heading = "Where")]
    #[arg(value_parser = one_of(EngineChoice::NAMES), hide_possible_values = true)]
    engine: Option<OsString>,
    /// The network's arithmetic
    #[arg(long, value_name = "auto|f32|bf16", help_heading = "Where", hide_short_help = true)]
    #[arg(value_parser = one_of(Precision::NAMES), hide_possible_values = true)]
    precision: Option<OsString>,
    /// Threads in all
    #[arg(long, value_name = "N", help_heading = "Where")]
    threads: Option<OsString>,
    /// Workers that run the network
    #[arg(long, value_name = "N", help_heading = "Where", hide_short_help = true)]
    workers: Option<OsString>,
    /// Memory the run may take: 6G, 512M
    #[arg(long, value_name = "SIZE", help_heading = "Where")]
    memory: Option<OsString>,
    /// Cut frames into tiles: auto, off, or pixels a side
    #[arg(long, value_name = "N", help_heading = "Where", hide_short_help = true)]
    tile: Option<OsString>,
    /// The time a frame may be under way, in seconds of the video: 0.5, 200ms
    #[arg(long, value_name = "TIME", help_heading = "Where", hide_short_help = true)]
    latency: Option<OsString>,

    /// .mp4 .mkv .mov .webm .y4m NAME%06d.png '-' null: md5:
    #[arg(long_help = "A file (.mp4, .m4v, .mkv, .mov, .webm, .y4m), pictures as NAME%06d.png, '-' for y4m on \
        stdout, null: for nothing, md5: or md5:FILE for a hash a frame")]
    #[arg(short, long, value_name = "OUTPUT", value_hint = ValueHint::FilePath, help_heading = "Out")]
    #[arg(allow_hyphen_values = true)]
    output: Option<OsString>,
    /// The encoder by FFmpeg's name
    #[arg(
        long_help = "The encoder by FFmpeg's name [default: libx264 for 8 bits, libx265 for more, libsvtav1 in .webm]"
    )]
    #[arg(long, value_name = "NAME", help_heading = "Out")]
    encoder: Option<OsString>,
    /// The encoder's quality, in its own scale
    #[arg(long, value_name = "N", help_heading = "Out")]
    crf: Option<OsString>,
    /// The encoder's preset
    #[arg(long, value_name = "NAME", help_heading = "Out")]
    preset: Option<OsString>,
    /// Another option of the encoder; may be repeated
    #[arg(long_help = "Another option of the encoder, or several as k=v:k=v; may be repeated. \
        A rate option (qp, crf, b, x264-params) removes the default crf")]
    #[arg(long, value_name = "K=V", help_heading = "Out")]
    encoder_opt: Vec<OsString>,
    /// The output's pixel format by FFmpeg's name
    #[arg(long, value_name = "NAME", help_heading = "Out", hide_short_help = true)]
    pix_fmt: Option<OsString>,
    /// Make the output in one go: an interrupted run begins anew
    #[arg(long, help_heading = "Out", hide_short_help = true)]
    no_resume: bool,
    /// Make segments of so many frames, however short the run is
    #[arg(long, value_name = "N", help_heading = "Out", hide_short_help = true, conflicts_with = "no_resume")]
    segment_frames: Option<OsString>,
    /// Replace an output that is there already
    #[arg(short = 'y', long, help_heading = "Out")]
    overwrite: bool,
    /// Never replace an output, whatever the configuration says
    #[arg(short = 'n', long, help_heading = "Out", conflicts_with = "overwrite", hide_short_help = true)]
    no_overwrite: bool,
    /// Stop at the first damaged frame
    #[arg(long, help_heading = "Out", hide_short_help = true)]
    strict: bool,

    /// Print the plan and run nothing
    #[arg(long, help_heading = "Say")]
    dry_run: bool,
    /// How progress is told; json is an object a line on stderr
    #[arg(long, value_name = "auto|json|none", help_heading = "Say")]
    #[arg(value_parser = one_of(ProgressMode::NAMES), hide_possible_values = true)]
    progress: Option<OsString>,
    /// Write a report: .json for programs, .html for people
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Say")]
    report: Option<OsString>,
    /// Write what every thread did when, for Perfetto or chrome://tracing
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, help_heading = "Say", hide_short_help = true)]
    trace: Option<OsString>,
    /// Write the man page or completions to stdout
    #[arg(long, value_name = "KIND", help_heading = "Say", exclusive = true, hide_short_help = true)]
    pub generate: Option<Generate>,
}

/// How much is said, for every command.
#[derive(Args, Debug)]
#[command(next_help_heading = "Say")]
pub struct Say {
    /// Say nothing but errors
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Say more; twice for debugging
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,
}

impl Run {
    /// `--config` and `--no-config` say where to look and are no settings themselves.
    pub fn files(&self) -> (Option<PathBuf>, bool) {
        (self.config.clone(), !self.no_config)
    }

    /// What was said, by the names of `config::KEYS`.
    pub fn said(self, say: &Say) -> Vec<(&'static str, Vec<OsString>)> {
        let mut said = vec![("protocol", self.protocol), ("encoder-opt", self.encoder_opt)];
        let overwrite = given(self.overwrite, "true").or(given(self.no_overwrite, "never"));
        for (name, value) in [
            ("input", self.input.or(self.input_option)),
            ("output", self.output),
            ("model", self.model),
            ("model-config", self.model_config),
            ("video-stream", self.video_stream),
            ("start", self.start),
            ("end", self.end),
            ("frames", self.frames),
            ("fps", self.fps),
            ("deinterlace", self.deinterlace),
            ("device", self.device),
            ("engine", self.engine),
            ("precision", self.precision),
            ("threads", self.threads),
            ("workers", self.workers),
            ("memory", self.memory),
            ("tile", self.tile),
            ("latency", self.latency),
            ("encoder", self.encoder),
            ("crf", self.crf),
            ("preset", self.preset),
            ("pix-fmt", self.pix_fmt),
            ("no-resume", given(self.no_resume, "true")),
            ("segment-frames", self.segment_frames),
            ("overwrite", overwrite),
            ("strict", given(self.strict, "true")),
            ("dry-run", given(self.dry_run, "true")),
            ("progress", self.progress),
            ("report", self.report),
            ("trace", self.trace),
            ("quiet", given(say.quiet, "true")),
            ("verbose", given(say.verbose > 0, &say.verbose.to_string())),
        ] {
            said.extend(value.map(|value| (name, vec![value])));
        }
        said
    }
}

/// One of these names, as text.
fn one_of(names: &'static [&'static str]) -> impl TypedValueParser<Value = OsString> {
    PossibleValuesParser::new(names).map(OsString::from)
}

/// The text of a switch that was given.
fn given(switch: bool, text: &str) -> Option<OsString> {
    switch.then(|| OsString::from(text))
}
