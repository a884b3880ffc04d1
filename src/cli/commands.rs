//! The commands beside the main job, with their own options.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand, ValueHint};

use super::groups::{Encoding, Input, Network, Part, Place, Said, given_once, one_of};
use super::options::Conduct;
use super::{Invocation, layers};
use crate::config::bench::seconds;
use crate::config::{
    BatchConfig, BenchConfig, CacheAct, ProgressMode, Resolution, SegmentConfig, Template, TuneConfig,
};
use crate::config::{batch, value};
use crate::error::{Context, Result};

/// What `bench` runs when nobody names a network.
const BENCHED: &str = "restore";

/// The container that `tune` encodes into when nobody names an output: it holds what every encoder makes.
const TUNED_OUTPUT: &str = "tuned.mkv";

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
    /// Run a network over many videos
    ///
    /// What is done and verified is not done again: DIR/batch.json knows. A second call goes on where the first was stopped,
    /// and with what has changed since. Exit status 3 says that some files failed or were damaged.
    Batch(Box<Batch>),
    /// Make one segment of a run: what a scheduler calls on many machines
    ///
    /// The manifest is that of 'vproc INPUT -o OUTPUT --manifest-only'; all machines must see it and the input under the
    /// same names. A segment that is there is not made again. The exit status is 4 on a machine whose segments would not
    /// fit the others.
    Segment(Segment),
    /// Make the output of segments
    ///
    /// The segments are removed; the manifest stays, so that a second call finds the output complete.
    Join {
        /// The manifest, or its folder OUTPUT.vproc
        #[arg(value_hint = ValueHint::AnyPath)]
        manifest: PathBuf,
        /// Replace an output that is there already
        #[arg(short = 'y', long)]
        overwrite: bool,
    },
    /// List the built-in networks
    Models {
        /// Write one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Tell what is in the cache, check all of it, or empty it
    Cache {
        /// What to do
        #[arg(value_parser = acts(), value_name = "stat|verify|clear")]
        act: CacheAct,
        /// The cache's folder [default: pictures in the user's cache folder]
        #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
        cache: Option<PathBuf>,
        /// The size of the emptied cache [default: the size it has]
        #[arg(long, value_name = "SIZE", allow_hyphen_values = true)]
        cache_size: Option<String>,
        /// Write one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Measure the whole chain and each of its parts on this machine
    ///
    /// Every figure comes from a process of its own, repeated in turns with the others. The clips are made here (a test
    /// picture with film-like motion, encoded by libx264), one for each resolution, unless --input names one. Start-up is
    /// not counted.
    Bench(Box<Bench>),
    /// Try settings on a few seconds of a video and remember the best for later runs
    ///
    /// Workers, threads of decoder and encoder, engine and tiles are tried, encoding included, unless they are named
    /// here. Later runs with the same network, on videos of the same size and codec, with the same encoder on this
    /// machine, use what was the fastest and say so in their plan; what they name on the command line wins.
    Tune(Box<Tune>),
}

/// The options of `batch`.
#[derive(Args, Debug)]
#[command(next_help_heading = "Batch")]
pub struct Batch {
    /// Videos, folders of videos, and globs in quotes
    #[arg(value_name = "INPUT", required = true, value_hint = ValueHint::AnyPath, help_heading = None)]
    pub inputs: Vec<OsString>,
    /// The folder the outputs go into; made if need be
    #[arg(short, long, value_name = "DIR", required = true, value_hint = ValueHint::DirPath)]
    pub output: PathBuf,
    // Clap makes a new line of a plain `{n}`; the escape sequence, which it takes out later, keeps it from that.
    #[arg(
        help = "What outputs are called; {stem} {ext} {dir} {\x1b[0mn} are the input's [default: {stem}.{ext}]",
        long_help = "What outputs are called below DIR. {stem} and {ext} are the input's name and extension, .mkv where \
        it cannot be written; {dir} is its folder below the folder that was named; {\x1b[0mn} counts the inputs. \
        --report, --trace and --detections are named in the same way [default: {stem}.{ext}]"
    )]
    #[arg(long, value_name = "TEMPLATE")]
    pub name: Option<OsString>,
    /// Read the folders inside folders too
    #[arg(short, long)]
    pub recursive: bool,
    /// Files under way at once, which share the threads [default: 1]
    #[arg(short, long, value_name = "N", allow_hyphen_values = true)]
    pub jobs: Option<OsString>,
    /// Go on with new files, once they have stopped growing, until Ctrl-C
    #[arg(long)]
    pub watch: bool,
    #[command(flatten)]
    pub part: Part,
    #[command(flatten)]
    pub network: Network,
    #[command(flatten)]
    pub place: Place,
    #[command(flatten)]
    pub encoding: Encoding,
    #[command(flatten)]
    pub conduct: Conduct,
}

impl Batch {
    /// What is asked for; `say` is how much is said.
    pub fn asked(self, say: Said) -> Result<BatchConfig> {
        let mut layers = layers(&self.network);
        let groups =
            [self.part.said(), self.network.said(), self.place.said(), self.encoding.said(), self.conduct.said(), say];
        layers.command_line = groups.into_iter().flatten().collect();
        let name = self.name.as_deref().map(Template::parse).transpose().context(|| "--name")?;
        let jobs = self.jobs.as_deref().map(batch::jobs).transpose().context(|| "--jobs")?;
        Ok(BatchConfig {
            run: layers.read()?,
            inputs: self.inputs,
            folder: self.output,
            name: name.unwrap_or_default(),
            recursive: self.recursive,
            jobs: jobs.unwrap_or(1),
            watch: self.watch,
        })
    }
}

/// The options of `segment`.
#[derive(Args, Debug)]
#[command(next_help_heading = "Segment")]
pub struct Segment {
    /// The manifest, or its folder OUTPUT.vproc
    #[arg(value_hint = ValueHint::AnyPath, help_heading = None)]
    pub manifest: PathBuf,
    /// Which, from 0 [default: VPROC_SEGMENT, or the task's number of Slurm, HyperQueue or Kubernetes]
    #[arg(help_heading = None)]
    pub number: Option<String>,
    /// Tell which segments there are and make none
    #[arg(long, conflicts_with = "number")]
    pub list: bool,
    /// Tell it as one JSON object
    #[arg(long, requires = "list")]
    pub json: bool,
    /// Workers that run the network
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub workers: Option<OsString>,
    /// Memory the process may take: 6G, 512M
    #[arg(long, value_name = "SIZE", allow_hyphen_values = true)]
    pub memory: Option<OsString>,
    /// How progress is told; json is an object a line on stderr
    #[arg(long, value_name = "auto|json|none")]
    #[arg(value_parser = one_of(ProgressMode::NAMES), hide_possible_values = true)]
    pub progress: Option<OsString>,
}

impl Segment {
    /// What is asked for.
    pub fn asked(self, quiet: bool) -> Result<SegmentConfig> {
        let text = |value: Option<OsString>| value.map(|value| value.to_string_lossy().into_owned());
        let progress = text(self.progress).map(|name| ProgressMode::parse(&name)).transpose()?;
        Ok(SegmentConfig {
            manifest: self.manifest,
            number: self.number.map(|text| value::whole(&text, 0)).transpose().context(|| "NUMBER")?,
            list: self.list,
            json: self.json,
            workers: text(self.workers).map(|text| value::count(&text)).transpose().context(|| "--workers")?,
            memory: text(self.memory).map(|text| value::size(&text)).transpose().context(|| "--memory")?,
            progress: progress.unwrap_or(ProgressMode::Auto),
            quiet,
        })
    }
}

/// The options of `bench`.
#[derive(Args, Debug)]
#[command(next_help_heading = "Bench")]
pub struct Bench {
    /// Sizes to measure at: 540p 720p 1080p 1440p 4k 6k 8k or WxH [default: 1080p,4k,6k,8k]
    #[arg(long, value_name = "LIST", conflicts_with = "input")]
    pub resolutions: Option<OsString>,
    /// Measure this video, as it is, instead of clips made here
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub input: Option<OsString>,
    /// Compare with the plain loop: decode a frame, run the network, encode, one after the other
    #[arg(long, value_name = "plain", value_parser = one_of(&["plain"]), hide_possible_values = true)]
    pub baseline: Option<OsString>,
    /// The time to spend on a resolution, roughly, in seconds; large pictures may take longer [default: 40]
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub seconds: Option<OsString>,
    /// Write all repeats and what is known of the machine
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub json: Option<OsString>,
    /// Write a chart
    #[arg(long, value_name = "FILE.svg", value_hint = ValueHint::FilePath)]
    pub plot: Option<OsString>,
    /// Measure nothing; tell what changed from the results in A to those in B
    #[arg(long, value_names = ["A.json", "B.json"], num_args = 2, exclusive = true, value_hint = ValueHint::FilePath)]
    pub compare: Vec<OsString>,
    /// One measurement, described in JSON: how bench starts itself
    #[arg(long, hide = true)]
    pub row: Option<OsString>,
    #[command(flatten)]
    pub network: Network,
    #[command(flatten)]
    pub place: Place,
    #[command(flatten)]
    pub encoding: Encoding,
}

/// The options of `tune`.
#[derive(Args, Debug)]
pub struct Tune {
    #[command(flatten)]
    pub input: Input,
    #[command(flatten)]
    pub network: Network,
    #[command(flatten)]
    pub place: Place,
    #[command(flatten)]
    pub encoding: Encoding,
    /// Tune for outputs like this, which is not written [default: .mkv]
    #[arg(short, long, value_name = "OUTPUT", value_hint = ValueHint::FilePath, help_heading = "Out")]
    pub output: Option<OsString>,
    /// The time to spend, roughly, in seconds [default: 90]
    #[arg(long, value_name = "N", help_heading = "Tune", allow_hyphen_values = true)]
    pub seconds: Option<OsString>,
    /// One measurement, described in JSON: how tune starts itself
    #[arg(long, hide = true)]
    pub row: Option<OsString>,
}

impl Bench {
    /// What is asked for; `say` is how much is said.
    pub fn asked(mut self, say: Said) -> Result<Invocation> {
        if let Some(b) = self.compare.pop()
            && let Some(a) = self.compare.pop()
        {
            return Ok(Invocation::BenchCompare { a: a.into(), b: b.into() });
        }
        let mut layers = layers(&self.network);
        let groups = [self.network.said(), self.place.said(), self.encoding.said(), say];
        layers.command_line = groups.into_iter().flatten().collect();
        let mut run = layers.read()?;
        if !run.said.contains_key("model") {
            run.model = BENCHED.into();
        }
        run.input = self.input.clone().unwrap_or_default();
        if let Some(spec) = self.row {
            return Ok(Invocation::Row { config: Box::new(run), spec });
        }
        let resolutions = Resolution::list(self.resolutions.as_deref()).context(|| "--resolutions")?;
        Ok(Invocation::Bench(Box::new(BenchConfig {
            run,
            resolutions,
            input: self.input,
            plain: self.baseline.is_some(),
            seconds: seconds(self.seconds.as_deref(), 40.0).context(|| "--seconds")?,
            json: self.json.map(Into::into),
            plot: self.plot.map(Into::into),
        })))
    }
}

impl Tune {
    /// What is asked for; `say` is how much is said.
    pub fn asked(self, say: Said) -> Result<Invocation> {
        let mut layers = layers(&self.network);
        let output = given_once([("output", Some(self.output.unwrap_or_else(|| TUNED_OUTPUT.into())))]);
        let groups = [self.input.said(), self.network.said(), self.place.said(), self.encoding.said(), output, say];
        layers.command_line = groups.into_iter().flatten().collect();
        let run = layers.gather()?;
        if let Some(spec) = self.row {
            return Ok(Invocation::Row { config: Box::new(run), spec });
        }
        let seconds = seconds(self.seconds.as_deref(), 90.0).context(|| "--seconds")?;
        Ok(Invocation::Tune(Box::new(TuneConfig { run, seconds })))
    }
}

/// What can be done with a cache.
fn acts() -> impl TypedValueParser<Value = CacheAct> {
    PossibleValuesParser::new(["stat", "verify", "clear"]).map(|name| match name.as_str() {
        "stat" => CacheAct::Stat,
        "verify" => CacheAct::Verify,
        _ => CacheAct::Clear,
    })
}
