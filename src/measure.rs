//! What must be looked at before a plan can be made: the source, the network, the machine, the encoder, and what the
//! output's container takes.
//!
//! Everything here opens things and concludes nothing; the conclusions are the plan's.

pub mod machine;
pub mod network;
pub mod packets;
pub mod quantiser;
mod times;
pub mod tuned;

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use self::times::Times;
use crate::av::{
    self, AudioTranscoder, Chapter, EncoderCodec, Input, InputOptions, OutputStream, Stream, SubtitleTranscoder, Writer,
};
use crate::config::{Deinterlace, Origin, Output, Region, RunConfig};
use crate::error::{Context, Error, Kind, Result};
use crate::meter;
use crate::model::overrides::Overrides;
use crate::model::{Network, builtin, onnx};
use crate::plan::Hardware;
use crate::plan::container::{Container, StreamPlan, Treatment, kept_metadata, leave_out, plan_streams};
use crate::plan::encoding::{EncoderFacts, OPTIONS_OF_INTEREST};
use crate::plan::hdr;
use crate::plan::strength::Coding;
use crate::sequence;
use crate::sink::cut::Cut;
use crate::source::Source;
use crate::source::deinterlaced::Deinterlaced;
use crate::source::ffmpeg::{FfmpegOptions, FfmpegSource};
use crate::source::images::{self, ImagesSource};
use crate::source::pattern::{PatternSource, PatternSpec};
use crate::source::trim::Trim;
use crate::source::y4m::Y4mSource;
use crate::tile::roi::{self, Roi};
use crate::time::{Ratio, TimeBase};

/// The machine.
pub fn hardware() -> Hardware {
    Hardware { cores: std::thread::available_parallelism().map_or(1, std::num::NonZero::get) }
}

/// An open source, and where its other streams are.
pub struct Opened {
    /// The frames asked for.
    pub source: Box<dyn Source>,
    /// The container it comes from; `None` for raw video, pictures and patterns.
    pub container: Option<PathBuf>,
    /// The video's index in the container.
    pub video: usize,
    /// What becomes of the container's streams where the output is none.
    pub streams: Vec<StreamPlan>,
    /// The part of the input that is kept.
    pub cut: Option<Cut>,
    /// The container's packets carry the time stamps of the frames.
    pub has_input_pts: bool,
    /// When the first frame is shown, in ticks of the container, where its packets tell that.
    pub first_pts: Option<i64>,
    /// When the first packet of any of the container's streams is shown, in microseconds, where that is known.
    pub earliest: Option<i64>,
}

/// Opens what was asked for and cuts it as asked.
pub fn open_source(config: &RunConfig, decoder_threads: usize) -> Result<Opened> {
    let path = Path::new(&config.input);
    let text = config.input.to_string_lossy();
    let mut opened = open_whole(config, path, decoder_threads).context(|| text.clone())?;
    let facts = opened.source.facts().clone();
    let below_zero = below_zero(config, &opened);
    if let Some(start) = below_zero {
        let from = facts.time_base.seconds(start);
        tracing::warn!(
            "the times begin at {from:.3} s, and .mp4 and .mov hide what is below 0: all is moved to begin there"
        );
    }
    let is_cut = config.start.is_some() || config.end.is_some() || config.frames.is_some();
    let (start, end, n_frames) = match is_cut {
        false if below_zero.is_none() => return Ok(opened),
        false => (None, None, facts.n_frames),
        true => times(config, &opened, decoder_threads)?.span(config, &facts)?,
    };
    let start = start.or(below_zero);
    // Rounded down, so that a frame shown at the very moment lies behind it in ticks finer than microseconds too.
    let down = |ticks| {
        let micros = facts.time_base.rescale(ticks, TimeBase::MICROS);
        micros - i64::from(TimeBase::MICROS.rescale(micros, facts.time_base) > ticks)
    };
    let micros = |ticks: Option<i64>| ticks.map(down);
    opened.cut = Some(Cut { start: micros(start), end: micros(end) });
    opened.source = Box::new(Trim::new(opened.source, start, end, n_frames).at_most(config.frames));
    Ok(opened)
}

/// When the frames of an input are shown, as far as its cut needs to know.
fn times(config: &RunConfig, opened: &Opened, threads: usize) -> Result<Times> {
    let Some(path) = opened.container.as_deref().filter(|_| opened.has_input_pts) else {
        return Ok(Times::counted(opened.source.facts().time_base));
    };
    let options = FfmpegOptions {
        video_stream: Some(opened.video),
        threads,
        deinterlace: Deinterlace::Off,
        strict: false,
        input: input_options(config),
    };
    Times::read(path, &options, config, (opened.video, opened.first_pts))
}

/// Where the times of an input begin that is not cut there, in ticks of the video, if that is below zero and the output
/// would hide it. Inputs of the same kind have hidden it already.
fn below_zero(config: &RunConfig, opened: &Opened) -> Option<i64> {
    let Output::File(path) = &config.output else { return None };
    let facts = opened.source.facts();
    let hides = Container::of(path).is_isobmff() && !facts.kind.contains("mp4");
    // Rounded down: nothing may lie before it.
    let base = facts.time_base;
    let earliest = opened.earliest.map(|micros| TimeBase::MICROS.rescale(micros, base) - 1);
    let is_below = opened.first_pts.is_some_and(|pts| pts < 0) || opened.earliest.is_some_and(|at| at < -PRIMING);
    let is_wanted = hides && is_below && opened.has_input_pts && config.start.is_none();
    earliest.into_iter().chain(opened.first_pts).min().filter(|_| is_wanted)
}

/// Sound begins so much before zero, in microseconds, only for what a decoder needs and nobody hears.
const PRIMING: i64 = 100_000;

fn open_whole(config: &RunConfig, path: &Path, decoder_threads: usize) -> Result<Opened> {
    let alone = |source: Box<dyn Source>| match config.video_stream {
        None | Some(0) => {
            let (container, streams, has_input_pts) = (None, Vec::new(), false);
            let (video, cut, first_pts, earliest) = (0, None, None, None);
            Ok(Opened { source, container, video, streams, cut, has_input_pts, first_pts, earliest })
        }
        Some(n) => {
            let message = format!("--video-stream: got {n}, expected 0: raw video and pictures are one stream");
            Err(Error::new(Kind::Usage, message))
        }
    };
    let text = config.input.to_string_lossy();
    let is_made = text.starts_with("pattern:") && !path.exists();
    if !is_made && sequence::is_pattern(path) && !path.exists() {
        let rate = config.fps.unwrap_or(Ratio::new(25, 1));
        return alone(Box::new(ImagesSource::open(path, rate)?.strict(config.strict)));
    }
    // What a file says of all runs refuses none of them.
    if config.fps.is_some() && config.origin("fps") == Origin::CommandLine {
        return Err(Error::new(Kind::Usage, "--fps is for pictures; a video keeps its own time stamps, leave it out"));
    }
    if is_made {
        return alone(Box::new(PatternSource::new(PatternSpec::parse(&text)?)?));
    }
    if text == "-" || is_read_once(path) || is_y4m(path) {
        let source = Y4mSource::open(path)?.strict(config.strict).with_first()?;
        return alone(match config.deinterlace {
            Deinterlace::Off => Box::new(source),
            how => Box::new(Deinterlaced::new(Box::new(source), how == Deinterlace::Bwdif)),
        });
    }
    let options = FfmpegOptions {
        video_stream: config.video_stream,
        threads: decoder_threads,
        deinterlace: config.deinterlace,
        strict: config.strict,
        input: input_options(config),
    };
    // What the decoder starts is counted with the thread that feeds it.
    let source = meter::named(c"decode", || FfmpegSource::open(path, options))?;
    let (video, has_input_pts, first_pts) = (source.stream_index(), source.has_time_stamps(), source.first_pts());
    let starts = source.streams().iter().filter_map(|stream| Some((stream.time_base, stream.start?)));
    let earliest = starts.map(|(base, start)| base.rescale(start, TimeBase::MICROS)).min();
    let streams = leave_out(source.streams(), video);
    let (source, container) = (Box::new(source), Some(path.to_owned()));
    Ok(Opened { source, container, video, streams, cut: None, has_input_pts, first_pts, earliest })
}

/// How the input is opened.
pub fn input_options(config: &RunConfig) -> InputOptions {
    InputOptions { protocols: config.protocols.clone(), ..Default::default() }
}

/// Pipes, devices of characters and sockets: what was read from them is gone, so no container can be looked at in them.
pub fn is_read_once(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt;
    let kind = std::fs::metadata(path).map(|metadata| metadata.file_type());
    kind.is_ok_and(|kind| kind.is_fifo() || kind.is_char_device() || kind.is_socket())
}

/// Raw video is told by its first bytes, or, where it is no file, by its name.
fn is_y4m(path: &Path) -> bool {
    use std::io::Read;
    let by_name = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("y4m"));
    if !path.is_file() {
        return by_name;
    }
    let mut magic = [0; 9];
    std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut magic)).is_ok() && magic == *b"YUV4MPEG2"
}

/// The region of interest over a picture of this size; `None` where nobody named one.
pub fn roi(config: &RunConfig, size: (usize, usize)) -> Result<Option<Roi>> {
    if config.roi.is_empty() {
        return Ok(None);
    }
    let (mut rects, mut masks) = (Vec::new(), Vec::new());
    for region in &config.roi {
        match region {
            Region::Area(area) => rects.push(roi::pixels(*area, size)),
            Region::Mask(path) => masks.push(images::read_mask(path).context(|| "--roi")?),
        }
    }
    Roi::new(size, &rects, &masks).context(|| "--roi").map(Some)
}

/// The network with this name or in this file.
pub fn open_network(config: &RunConfig) -> Result<Network> {
    let Some(path) = config.model_file() else {
        let name = config.model.to_string_lossy();
        if config.origin("model-config") == Origin::CommandLine {
            let message = format!("--model-config is for a network in a file, and '{name}' is built in; leave it out");
            return Err(Error::new(Kind::Usage, message));
        }
        return builtin::find(&name).ok_or_else(|| {
            let known: Vec<_> = builtin::list().iter().map(|builtin| builtin.name).collect();
            let message = format!(
                "no built-in network is called '{name}'; there are {}, or give an .onnx file",
                known.join(", ")
            );
            Error::new(Kind::Usage, message)
        });
    };
    let what = || path.display().to_string();
    let graph = onnx::load(path)?;
    let overrides = network_overrides(path, config.model_config.as_deref())?;
    graph.network(what(), &overrides).context(what)
}

/// How the video of the source was coded; what no container holds was not.
pub fn coding(config: &RunConfig, opened: &Opened) -> Result<Coding> {
    match &opened.container {
        Some(path) => quantiser::coding(path, &input_options(config), opened.video),
        None => Ok(Coding::Lossless),
    }
}

/// Corrections of what is concluded from a network: those given, over those beside it.
pub fn network_overrides(path: &Path, given: Option<&Path>) -> Result<Overrides> {
    let beside = Overrides::beside(path)?.unwrap_or_default();
    match given {
        Some(given) => Ok(Overrides::read(given)?.over(&beside)),
        None => Ok(beside),
    }
}

/// What the installed encoder `name` can do.
pub fn encoder(name: &str) -> Result<EncoderFacts> {
    let codec = EncoderCodec::find(name)?;
    Ok(EncoderFacts {
        name: name.to_owned(),
        codec: codec.codec_name(),
        pixel_formats: codec.pixel_formats(),
        is_lossless: codec.is_lossless(),
        options: OPTIONS_OF_INTEREST.into_iter().filter(|option| codec.has_option(option)).collect(),
    })
}

/// What goes over from the input's container into the output's.
#[derive(Default)]
pub struct Rest {
    /// What becomes of each stream.
    pub streams: Vec<StreamPlan>,
    /// The whole file's metadata.
    pub metadata: Vec<(String, String)>,
    /// The chapters, cut as the streams are.
    pub chapters: Vec<Chapter>,
    /// The container, for who takes all that from it; nothing was read yet.
    pub input: Option<Input>,
}

/// Looks at everything else in the input's container.
pub fn rest(config: &RunConfig, opened: &Opened, container: Container, muxer: &str) -> Result<Rest> {
    let Some(path) = &opened.container else { return Ok(Rest::default()) };
    let input = Input::open(path, &input_options(config))?;
    let chapters = input.chapters();
    let failed = RefCell::new(None);
    let holds = |stream: &Stream| match try_copy(muxer, stream) {
        Err(error) if error.kind() == Kind::Io => {
            failed.replace(Some(error));
            false
        }
        tried => tried.is_ok(),
    };
    let mut streams = plan_streams(input.streams(), opened.video, !chapters.is_empty(), container, &holds);
    if let Some(error) = failed.take() {
        return Err(error);
    }
    for (plan, stream) in streams.iter_mut().zip(input.streams()) {
        let tried = match &plan.treatment {
            Treatment::Sound { encoder } => AudioTranscoder::new(stream, encoder).map(drop),
            Treatment::Subtitles { encoder, .. } => SubtitleTranscoder::new(stream, encoder).map(drop),
            _ => Ok(()),
        };
        match tried {
            Err(error) if error.kind() == Kind::Io => return Err(error),
            Err(error) => plan.treatment = Treatment::Dropped(format!("it cannot be converted: {error}; try an .mkv")),
            Ok(()) => {}
        }
    }
    if let Some(video) = streams.iter_mut().find(|plan| plan.treatment == Treatment::Process) {
        hdr::complete(&mut video.about.side_data, &opened.source.facts().side_data);
    }
    Ok(Rest {
        streams,
        metadata: kept_metadata(&input.metadata(), false),
        chapters: chapters.into_iter().filter_map(|chapter| cut_chapter(chapter, opened.cut)).collect(),
        input: Some(input),
    })
}

/// Tries whether a container takes a stream as it is, on one that is written to nowhere.
fn try_copy(muxer: &str, stream: &Stream) -> Result<()> {
    let about = OutputStream {
        disposition: stream.disposition,
        time_base: Some(stream.time_base),
        metadata: stream.metadata.clone(),
        ..OutputStream::default()
    };
    let mut output = av::Output::new(muxer, Path::new("nowhere"), Writer::nowhere()?)?;
    output.add_copy(stream, &about)?;
    output.write_header(&[])
}

/// A chapter after the cut; `None` if nothing of it is left.
fn cut_chapter(mut chapter: Chapter, cut: Option<Cut>) -> Option<Chapter> {
    let Some(cut) = cut else { return Some(chapter) };
    let ticks = |micros: i64| TimeBase::MICROS.rescale(micros, chapter.time_base);
    let (start, end) = (cut.start.map(ticks), cut.end.map(ticks));
    if start.is_some_and(|start| chapter.end <= start) || end.is_some_and(|end| chapter.start >= end) {
        return None;
    }
    let shift = start.unwrap_or(0);
    chapter.start = (chapter.start - shift).max(if start.is_some() { 0 } else { i64::MIN });
    chapter.end = end.map_or(chapter.end, |end| chapter.end.min(end)) - shift;
    Some(chapter)
}
