//! What was asked for one run, as plain data, and what it is where nobody says anything.
//!
//! It is filled by name, [`RunConfig::set`]; what the fields mean together is judged there too.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use super::{
    Deinterlace, DeviceChoice, EngineChoice, Output, Overwrite, PictureSize, Position, Precision, ProgressMode, Region,
    Said, SkipMode, Task, Tile, Tuning,
};
use crate::time::Ratio;

/// Everything asked for one run. `None` where nobody said anything and the plan decides.
#[derive(Clone, Debug)]
pub struct RunConfig {
    /// A file, `-` (y4m on stdin), a pattern of pictures or `pattern:...`.
    pub input: OsString,
    /// Where the frames go.
    pub output: Output,
    /// The network: the name of a built-in one, or an ONNX file.
    pub model: OsString,
    /// A TOML file that corrects what is concluded from the network.
    pub model_config: Option<PathBuf>,
    /// How strongly the network acts, where it can be told: 0 nothing, 1 as it was trained; by the source if `None`.
    pub strength: Option<f32>,
    /// What is done with what the network gives.
    pub task: Task,
    /// The least score of what counts as found, 0 to 1; by the network if `None`.
    pub score: Option<f32>,
    /// Names or numbers of the classes that count as found; all if empty.
    pub classes: Vec<String>,
    /// The index of the video stream in the input, from 0 over all its streams.
    pub video_stream: Option<usize>,
    /// The first frame taken.
    pub start: Option<Position>,
    /// The first frame no longer taken.
    pub end: Option<Position>,
    /// At most so many frames, 1 or more.
    pub frames: Option<u64>,
    /// The frame rate of pictures.
    pub fps: Option<Ratio>,
    /// What is done with interlaced frames.
    pub deinterlace: Deinterlace,
    /// Names of FFmpeg's protocols allowed besides file and pipe.
    pub protocols: Vec<String>,
    /// What runs the network.
    pub engine: EngineChoice,
    /// Its arithmetic.
    pub precision: Precision,
    /// Where it runs.
    pub device: DeviceChoice,
    /// Threads in all, 1 or more.
    pub threads: Option<usize>,
    /// Workers that run the network, 1 or more.
    pub workers: Option<usize>,
    /// The memory that the run may take, in bytes.
    pub memory: Option<u64>,
    /// How windows are cut.
    pub tile: Tile,
    /// Windows that go through the network at once, at most; as many as gain by it where nobody says.
    pub batch: Option<usize>,
    /// What is not computed again.
    pub skip: SkipMode,
    /// How near is near, in dB.
    pub skip_psnr: f64,
    /// So many frames are run in full as well and compared, where near is enough.
    pub verify_skip: Option<u64>,
    /// Where the network is wanted; everywhere if empty.
    pub roi: Vec<Region>,
    /// The output shows what was computed.
    pub debug_overlay: bool,
    /// The folder of the cache, which is then used in any case.
    pub cache: Option<PathBuf>,
    /// The cache's size in bytes.
    pub cache_size: Option<u64>,
    /// No cache is used.
    pub no_cache: bool,
    /// The time that a frame may be under way, in seconds of the video.
    pub latency: Option<f64>,
    /// The processors that the process may use, by number, rising.
    pub cpu_affinity: Option<Vec<usize>>,
    /// The encoder by FFmpeg's name.
    pub encoder: Option<String>,
    /// The encoder's constant rate factor, in its own scale, 0 or more.
    pub crf: Option<f64>,
    /// The encoder's preset.
    pub preset: Option<String>,
    /// The encoder's other options, in the order said.
    pub encoder_options: Vec<(String, String)>,
    /// FFmpeg's name of the output's pixel format.
    pub pix_fmt: Option<String>,
    /// The size of the output's pictures; without it, what comes out of the network.
    pub size: Option<PictureSize>,
    /// A lossless copy of the result, beside the output.
    pub master: Option<PathBuf>,
    /// The output is made in one go, and an interrupted run begins anew.
    pub no_resume: bool,
    /// Frames of a segment, 2 or more; said by a person, segments are made however short the run is.
    pub segment_frames: Option<u64>,
    /// The manifest of segments is written and nothing is run.
    pub manifest_only: bool,
    /// What is done when the output is already there.
    pub overwrite: Overwrite,
    /// The first damaged frame ends the run.
    pub strict: bool,
    /// Nothing but errors is said.
    pub quiet: bool,
    /// How much is said beyond warnings: 1 information, 2 debugging, 3 everything.
    pub verbose: u8,
    /// The plan is printed and nothing is run.
    pub dry_run: bool,
    /// How the run tells of its progress.
    pub progress: ProgressMode,
    /// Where the report goes.
    pub report: Option<PathBuf>,
    /// Where the trace goes.
    pub trace: Option<PathBuf>,
    /// Where what is found goes, a line a frame.
    pub detections: Option<PathBuf>,
    /// What was found to be fast, for what nobody said.
    pub tuning: Option<Tuning>,
    /// When that was found, and what it brought, for people.
    pub tuning_note: Option<String>,
    /// What a person should hear about the configuration itself.
    pub warnings: Vec<String>,
    /// What was said, by names of [`KEYS`]; what is missing is built in.
    pub said: BTreeMap<&'static str, Said>,
}

impl Default for RunConfig {
    fn default() -> Self {
        RunConfig {
            input: OsString::new(),
            output: Output::Null,
            model: OsString::from("upscale-x2"),
            model_config: None,
            strength: None,
            task: Task::Auto,
            score: None,
            classes: Vec::new(),
            video_stream: None,
            start: None,
            end: None,
            frames: None,
            fps: None,
            deinterlace: Deinterlace::Auto,
            protocols: Vec::new(),
            engine: EngineChoice::Auto,
            precision: Precision::Auto,
            device: DeviceChoice::Auto,
            threads: None,
            workers: None,
            memory: None,
            tile: Tile::Auto,
            batch: None,
            skip: SkipMode::Exact,
            skip_psnr: 50.0,
            verify_skip: None,
            roi: Vec::new(),
            debug_overlay: false,
            cache: None,
            cache_size: None,
            no_cache: false,
            latency: None,
            cpu_affinity: None,
            encoder: None,
            crf: None,
            preset: None,
            encoder_options: Vec::new(),
            pix_fmt: None,
            size: None,
            master: None,
            no_resume: false,
            segment_frames: None,
            manifest_only: false,
            overwrite: Overwrite::Refuse,
            strict: false,
            quiet: false,
            verbose: 0,
            dry_run: false,
            progress: ProgressMode::Auto,
            report: None,
            trace: None,
            detections: None,
            tuning: None,
            tuning_note: None,
            warnings: Vec::new(),
            said: BTreeMap::new(),
        }
    }
}
