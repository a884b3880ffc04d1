//! The main output: the processed video encoded, everything else copied beside it, verified, then named.
//!
//! All is written to `OUTPUT.part`. What is decided beforehand comes in as a [`FileJob`]; nothing is decided here.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use super::copier::Copier;
use super::job::FileJob;
use super::part::PartFile;
use super::verify::{self, Expectation, Verdict, Written};
use super::{Finished, Sink};
use crate::av::{
    AvFrame, Converter, Encoder, EncoderCodec, EncoderSettings, Output, OutputStream, Packet, VideoSettings, Writer,
};
use crate::error::{Context, Error, Kind, Result};
use crate::frame::{FieldOrder, Frame, PixelFormat, SideData};
use crate::plan::container::Treatment;
use crate::time::TimeBase;

/// How long the encoder may go on once the run was stopped.
const STOP_WITHIN: Duration = Duration::from_millis(700);

/// The longest a packet can last in an mp4 (a signed 32-bit count of ticks). One that claims more is left without a
/// duration, and lasts until the next.
const MAX_DURATION: i64 = i32::MAX as i64;

/// An output file being written.
pub struct FfmpegSink {
    job: FileJob,
    part: PartFile,
    output: Output,
    encoder: Encoder,
    /// Turns the chain's pictures into the encoder's format, where they differ.
    converter: Option<Converter>,
    copier: Option<Copier>,
    video: usize,
    /// FFmpeg's name of what the encoder makes.
    codec: String,
    /// Durations of the frames inside the encoder, by pts.
    durations: BTreeMap<i64, i64>,
    written: Vec<Written>,
    n_frames: u64,
    /// Kinds of side data that the encoder does not take along.
    lost_side_data: Vec<i32>,
}

/// A complete output that is neither verified nor has its name.
pub struct Sealed {
    job: FileJob,
    part: PartFile,
    written: Vec<Written>,
    /// What the processed video's times count in the output.
    time_base: TimeBase,
    n_frames: u64,
    warnings: Vec<String>,
}

impl FfmpegSink {
    /// Opens all that the output needs.
    pub fn create(job: FileJob) -> Result<FfmpegSink> {
        let encoder = rehearse(&job)?;
        FfmpegSink::with_encoder(job, encoder)
    }

    /// Opens the `.part` and the other streams, and writes the header. The encoder is that of [`rehearse`].
    pub fn with_encoder(job: FileJob, encoder: Encoder) -> Result<FfmpegSink> {
        let part = PartFile::create(&job.output)?;
        let file = part.file().try_clone().map_err(|error| Error::io("open the output", error))?;
        let output = Output::new(&job.muxer, part.part_path(), Writer::new(file)?)?;
        let codec = EncoderCodec::find(&job.encoding.encoder)?;
        let mut started = Started::new(&job, &encoder, output)?;
        if let Some(copier) = &mut started.copier {
            copier.write_covers(&mut started.output)?;
        }
        let Started { output, copier, video } = started;
        let format = PixelFormat::from_name(&job.encoding.pixel_format);
        let converter = format
            .filter(|format| *format != job.video.format.planar())
            .map(|format| Converter::new(format, job.video.width, job.video.height));
        Ok(FfmpegSink {
            part,
            output,
            encoder,
            converter,
            copier,
            video,
            codec: codec.codec_name(),
            durations: BTreeMap::new(),
            written: Vec::new(),
            n_frames: 0,
            lost_side_data: Vec::new(),
            job,
        })
    }

    /// Writes the packets that the encoder has ready, each after the other streams' packets that come before it.
    fn drain_encoder(&mut self, deadline: Option<Instant>) -> Result<()> {
        while deadline.is_none_or(|deadline| Instant::now() < deadline)
            && let Some(mut packet) = self.encoder.receive()?
        {
            if let Some(duration) = packet.pts().and_then(|pts| self.durations.remove(&pts)) {
                packet.set_duration(duration);
            }
            let from = self.encoder.time_base();
            if let (Some(copier), Some(dts)) = (&mut self.copier, packet.dts()) {
                copier.pull(&mut self.output, Some(from.rescale(dts, TimeBase::MICROS)))?;
            }
            packet.rescale(from, self.output.time_base(self.video));
            if packet.duration() > MAX_DURATION {
                packet.set_duration(0);
            }
            packet.set_stream_index(self.video);
            self.log(&packet);
            self.output.write(packet)?;
        }
        Ok(())
    }

    fn log(&mut self, packet: &Packet) {
        self.written.push(Written { pts: packet.pts().unwrap_or(0), hash: verify::hash(&self.codec, packet.data()) });
    }

    /// Brings everything that was given into the container, and closes it.
    pub fn seal(mut self) -> Result<Sealed> {
        self.encoder.send(None)?;
        self.drain_encoder(None)?;
        if let Some(copier) = &mut self.copier {
            copier.pull(&mut self.output, None)?;
        }
        self.output.finish()?;
        let warnings = self.warnings();
        let FfmpegSink { job, part, output, video, written, n_frames, .. } = self;
        Ok(Sealed { job, part, written, time_base: output.time_base(video), n_frames, warnings })
    }

    fn note_lost(&mut self, data: &[SideData]) {
        for data in data {
            if !carries(&self.job.encoding.encoder, data.kind) && !self.lost_side_data.contains(&data.kind) {
                self.lost_side_data.push(data.kind);
            }
        }
    }

    fn warnings(&self) -> Vec<String> {
        let mut warnings: Vec<String> = self.copier.iter().flat_map(|copier| copier.warnings().to_vec()).collect();
        for kind in &self.lost_side_data {
            let what = side_data_name(*kind);
            warnings.push(format!("{what} of the frames are lost: {} does not write them", self.job.encoding.encoder));
        }
        warnings
    }
}

/// An output whose header is written.
struct Started {
    output: Output,
    copier: Option<Copier>,
    video: usize,
}

impl Started {
    /// Adds the video and the other streams to `output` and writes its header.
    fn new(job: &FileJob, encoder: &Encoder, mut output: Output) -> Result<Started> {
        let mut video = 0;
        let about = video_stream(job);
        let mut add_video = |output: &mut Output| {
            video = output.add_encoded(encoder, &about)?;
            Ok(())
        };
        let copier = match &job.input {
            Some(input) => {
                let (options, streams) = (&job.input_options, &job.streams);
                Some(Copier::open(input, options, streams, job.cut, &mut output, &mut add_video)?)
            }
            None => {
                add_video(&mut output)?;
                None
            }
        };
        output.set_metadata(&job.metadata);
        output.set_chapters(&job.chapters)?;
        output.write_header(&muxer_options(job))?;
        Ok(Started { output, copier, video })
    }
}

/// Opens all that a run opens, with an output that goes nowhere: what the encoder or the container refuses is said
/// before anything is made. What comes back is the encoder, for the run.
pub fn rehearse(job: &FileJob) -> Result<Encoder> {
    let nowhere = || Output::new(&job.muxer, Path::new("nowhere"), Writer::nowhere()?);
    let refused = |error: Error| Error::new(Kind::Usage, error.to_string());
    let codec = EncoderCodec::find(&job.encoding.encoder)?;
    let mut alone = nowhere()?;
    let encoder = Encoder::open(codec, &encoder_settings(job, alone.wants_global_header()))?;
    alone.add_encoded(&encoder, &video_stream(job))?;
    alone.write_header(&[]).map_err(|_| {
        let (muxer, codec, made_by) = (&job.muxer, codec.codec_name(), &job.encoding.encoder);
        let others = job.container.encoders();
        let hint = if others.is_empty() { String::new() } else { format!("--encoder {} or ", others.join(", ")) };
        Error::new(Kind::Usage, format!("{muxer} holds no {codec} ({made_by}); try {hint}an .mkv"))
    })?;
    Started::new(job, &encoder, nowhere()?).map_err(refused)?;
    Ok(encoder)
}

impl Sink for FfmpegSink {
    fn write(&mut self, frame: &Frame) -> Result<()> {
        self.job.video.check(&frame.picture)?;
        self.note_lost(&frame.side_data);
        if let Some(duration) = frame.duration {
            self.durations.insert(frame.pts, duration);
        }
        match &mut self.converter {
            None => self.encoder.send(Some((frame, frame.pts)))?,
            Some(converter) => {
                let source = AvFrame::from_picture(&frame.picture, frame.color)?;
                let picture = converter.convert(&source)?.into_picture()?;
                self.encoder.send(Some((&Frame { picture, ..frame.clone() }, frame.pts)))?;
            }
        }
        self.n_frames += 1;
        self.drain_encoder(None)
    }

    fn finish(self: Box<Self>) -> Result<Finished> {
        let mut sealed = self.seal()?;
        let verdict = sealed.verify(sealed.part.part_path()).context(|| "verifying the output")?;
        sealed.warnings.extend(verdict.warnings);
        sealed.part.commit()?;
        Ok(Finished { n_frames: sealed.n_frames, warnings: sealed.warnings, verified: true, missing: verdict.missing })
    }

    fn stop(mut self: Box<Self>) -> Result<()> {
        // Somebody waits: a slow encoder may hold a minute's work, which is then given up. The other streams end where
        // the video does.
        self.encoder.send(None)?;
        self.drain_encoder(Some(Instant::now() + STOP_WITHIN))?;
        self.output.finish()
    }
}

impl Sealed {
    /// Compares the file at `path` with what this output must be.
    pub fn verify(&self, path: &Path) -> Result<Verdict> {
        let expectation = Expectation { job: &self.job, written: &self.written, time_base: self.time_base };
        verify::verify(path, &expectation)
    }

    /// Where the output lies until it has its name.
    pub fn part_path(&self) -> &Path {
        self.part.part_path()
    }
}

fn encoder_settings(job: &FileJob, global_header: bool) -> EncoderSettings {
    let video = &job.video;
    EncoderSettings {
        video: VideoSettings {
            pixel_format: job.encoding.pixel_format.clone(),
            width: video.width,
            height: video.height,
            time_base: video.time_base,
            frame_rate: video.frame_rate,
            sample_aspect_ratio: video.sample_aspect_ratio,
            color: video.color,
            field_order: video.field_order,
        },
        threads: job.encoding.threads,
        options: job.encoding.options.clone(),
        global_header,
    }
}

/// What the output says about the processed video.
fn video_stream(job: &FileJob) -> OutputStream {
    let mut about = job
        .streams
        .iter()
        .find(|plan| plan.treatment == Treatment::Process)
        .map_or_else(OutputStream::default, |plan| plan.about.clone());
    about.time_base = Some(job.video.time_base);
    about.sample_aspect_ratio = Some(job.video.sample_aspect_ratio);
    about.frame_rate.get_or_insert(job.video.frame_rate);
    about.field_order = (job.video.field_order != FieldOrder::Progressive).then_some(job.video.field_order);
    about.codec_tag = job.encoding.codec_tag;
    about
}

/// Metadata keys that an mp4's own boxes hold; any other needs the general form of QuickTime.
const ISOBMFF_KEYS: [&str; 22] = [
    "title",
    "artist",
    "album_artist",
    "composer",
    "album",
    "date",
    "encoding_tool",
    "comment",
    "genre",
    "copyright",
    "grouping",
    "lyrics",
    "description",
    "synopsis",
    "show",
    "episode_id",
    "network",
    "keywords",
    "track",
    "disc",
    "creation_time",
    "timecode",
];

fn muxer_options(job: &FileJob) -> Vec<(String, String)> {
    if !job.container.is_isobmff() {
        return Vec::new();
    }
    let mut flags = "+faststart".to_owned();
    if job.metadata.iter().any(|(key, _)| !ISOBMFF_KEYS.contains(&key.to_ascii_lowercase().as_str())) {
        flags.push_str("+use_metadata_tags");
    }
    let mut options = vec![("movflags".to_owned(), flags)];
    // An edit list counts the time before a stream's first packet in ticks of the whole movie: by default milliseconds,
    // which would move the pictures.
    let kept = job.streams.iter().filter(|plan| plan.is_kept()).filter_map(|plan| plan.about.time_base);
    let ticks = [job.video.time_base].into_iter().chain(kept).map(|base| i64::from(base.den()));
    let common = ticks.fold(1, |common: i64, ticks| {
        let (mut a, mut b) = (common, ticks);
        while b != 0 {
            (a, b) = (b, a % b);
        }
        match common / a * ticks {
            multiple if multiple <= i64::from(i32::MAX) => multiple,
            _ => common,
        }
    });
    options.push(("movie_timescale".to_owned(), common.to_string()));
    options
}

/// FFmpeg's `AVFrameSideDataType` values that are told apart here.
mod side_data {
    pub const A53_CAPTIONS: i32 = 1;
    pub const STEREO_3D: i32 = 2;
    pub const AFD: i32 = 7;
    pub const MASTERING_DISPLAY: i32 = 11;
    pub const GOP_TIME_CODE: i32 = 12;
    pub const SPHERICAL: i32 = 13;
    pub const CONTENT_LIGHT: i32 = 14;
    pub const TIME_CODE: i32 = 16;
    pub const HDR10_PLUS: i32 = 17;
    pub const UNREGISTERED: i32 = 20;
    pub const FILM_GRAIN: i32 = 21;
}

/// Whether an encoder writes this kind of side data into its stream, or the stream as a whole says it.
fn carries(encoder: &str, kind: i32) -> bool {
    match kind {
        side_data::STEREO_3D | side_data::SPHERICAL | side_data::MASTERING_DISPLAY | side_data::CONTENT_LIGHT => true,
        // The decoder has put the grain into the picture.
        side_data::FILM_GRAIN => true,
        side_data::A53_CAPTIONS => encoder == "libx264",
        side_data::UNREGISTERED => matches!(encoder, "libx264" | "libx265"),
        _ => false,
    }
}

fn side_data_name(kind: i32) -> &'static str {
    match kind {
        side_data::A53_CAPTIONS => "closed captions",
        side_data::AFD => "active format descriptions",
        side_data::GOP_TIME_CODE | side_data::TIME_CODE => "time codes",
        side_data::HDR10_PLUS => "HDR10+ metadata",
        side_data::UNREGISTERED => "user data",
        _ => "Dolby Vision or other dynamic metadata",
    }
}
