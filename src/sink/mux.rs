//! The container of an output: the processed video's packets, everything else copied beside them, verified, then named.
//!
//! All is written to `OUTPUT.part`. Whether packets come from an encoder or from finished segments makes no difference
//! here. What is decided beforehand comes in as a [`FileJob`]; nothing is decided here.

use std::path::Path;

use super::Finished;
use super::copier::Copier;
use super::disk::DiskFile;
use super::encode::encoder_settings;
use super::job::FileJob;
use super::part::PartFile;
use super::verify::{self, Expectation, Verdict, Written};
use crate::av::{Encoder, EncoderCodec, Input, MediaKind, Output, OutputStream, Packet, Writer};
use crate::error::{Context, Error, Kind, Result};
use crate::frame::FieldOrder;
use crate::plan::container::{StreamPlan, Treatment};
use crate::time::TimeBase;

/// The longest a packet can last in an mp4 (a signed 32-bit count of ticks). One that claims more is left without a
/// duration, and lasts until the next.
const MAX_DURATION: i64 = i32::MAX as i64;

/// An output file being written.
pub struct Mux {
    job: FileJob,
    part: PartFile,
    output: Output,
    copier: Option<Copier>,
    /// The chapters are written last.
    has_late_chapters: bool,
    video: usize,
    /// FFmpeg's name of what the encoder makes.
    codec: String,
    written: Vec<Written>,
}

/// A complete output that is neither verified nor has its name.
pub struct Sealed {
    job: FileJob,
    part: PartFile,
    written: Vec<Written>,
    /// What the processed video's times count in the output.
    time_base: TimeBase,
    warnings: Vec<String>,
    /// Packets of the other streams that could not be converted.
    n_lost: u64,
}

impl Mux {
    /// Adds the other streams and writes the header into `part`. The video's header is that of `encoder`, which is
    /// one of [`rehearse`] or like it. `input` is that of the job, if it is open and nothing was read from it.
    pub fn create(job: FileJob, part: PartFile, encoder: &Encoder, input: Option<Input>) -> Result<Mux> {
        let file = part.file().try_clone().map_err(|error| Error::io("open the output", error))?;
        let file = DiskFile { disk: part.disk(), file };
        let output = Output::new(&job.muxer, part.part_path(), Writer::over(file)?)?;
        let codec = EncoderCodec::find(&job.encoding.encoder)?;
        let Started { mut output, mut copier, video, has_late_chapters } = Started::new(&job, encoder, output, input)?;
        if let Some(copier) = &mut copier {
            copier.write_covers(&mut output)?;
        }
        Ok(Mux { part, output, copier, has_late_chapters, video, codec: codec.codec_name(), written: Vec::new(), job })
    }

    /// What is decided about the output.
    pub fn job(&self) -> &FileJob {
        &self.job
    }

    /// Writes a packet of the processed video, whose times count `from`, after the other streams' packets that come
    /// before it.
    pub fn write(&mut self, mut packet: Packet, from: TimeBase) -> Result<()> {
        if let (Some(copier), Some(dts)) = (&mut self.copier, packet.dts()) {
            copier.pull(&mut self.output, Some(from.rescale(dts, TimeBase::MICROS)))?;
        }
        packet.rescale(from, self.output.time_base(self.video));
        if packet.duration() > MAX_DURATION {
            packet.set_duration(0);
        }
        packet.set_stream_index(self.video);
        self.written.push(Written { pts: packet.pts().unwrap_or(0), hash: verify::hash(&self.codec, packet.data()) });
        self.output.write(packet)
    }

    /// Copies what is left of the other streams and closes the container. `warnings` are those of who made the video.
    pub fn seal(mut self, warnings: Vec<String>) -> Result<Sealed> {
        if let Some(copier) = &mut self.copier {
            copier.pull(&mut self.output, None)?;
        }
        self.write_late_chapters()?;
        self.output.finish()?;
        let mut all: Vec<String> = self.copier.iter().flat_map(|copier| copier.warnings().to_vec()).collect();
        all.extend(warnings);
        let n_lost = self.copier.as_ref().map_or(0, Copier::n_lost);
        let Mux { job, part, output, video, written, .. } = self;
        Ok(Sealed { job, part, written, time_base: output.time_base(video), warnings: all, n_lost })
    }

    /// The run ends early: what was written becomes playable under its temporary name. The other streams end where the
    /// video does.
    pub fn stop(mut self) -> Result<()> {
        self.write_late_chapters()?;
        self.output.finish()
    }

    /// Moves the chapters as the container has moved all else.
    fn write_late_chapters(&mut self) -> Result<()> {
        if !self.has_late_chapters {
            return Ok(());
        }
        let early = self.output.earliest().unwrap_or(0).min(0);
        for chapter in self.job.chapters.iter_mut().filter(|_| early < 0) {
            let moved = |ticks| chapter.time_base.rescale(ticks, TimeBase::MICROS).saturating_sub(early);
            (chapter.start, chapter.end) = (moved(chapter.start), moved(chapter.end));
            chapter.time_base = TimeBase::MICROS;
        }
        self.output.set_chapters(&self.job.chapters)
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

    /// Verifies the output, calls `before_naming` with what it is, and gives it its name.
    pub fn conclude(mut self, before_naming: impl FnOnce(&PartFile) -> Result<()>) -> Result<Finished> {
        let verdict = self.verify(self.part.part_path()).map_err(|error| match error.kind() {
            // The input was read well before; what cannot be read now is what was written.
            Kind::Input => Error::new(Kind::Verify, error.to_string()),
            _ => error,
        });
        let verdict = verdict.context(|| "verifying the output")?;
        self.warnings.extend(verdict.warnings);
        before_naming(&self.part)?;
        self.part.commit()?;
        let n_frames = self.written.len() as u64;
        Ok(Finished {
            n_frames,
            warnings: self.warnings,
            verified: true,
            missing: verdict.missing,
            lost_packets: verdict.lost_packets + self.n_lost,
        })
    }
}

/// An output whose header is written.
struct Started {
    output: Output,
    copier: Option<Copier>,
    video: usize,
    has_late_chapters: bool,
}

impl Started {
    /// Adds the video and the other streams to `output` and writes its header.
    fn new(job: &FileJob, encoder: &Encoder, mut output: Output, input: Option<Input>) -> Result<Started> {
        let mut video = 0;
        let about = video_stream(job);
        let mut add_video = |output: &mut Output| {
            video = output.add_encoded(encoder, &about)?;
            Ok(())
        };
        let input = match (input, &job.input) {
            (None, Some(path)) => Some(Input::open(path, &job.input_options)?),
            (input, _) => input,
        };
        let has_late_chapters = input.as_ref().is_some_and(|input| may_move(input, job));
        let copier = match input {
            Some(input) => Some(Copier::new(input, job, &mut output, &mut add_video)?),
            None => {
                add_video(&mut output)?;
                None
            }
        };
        output.set_metadata(&job.metadata);
        if !has_late_chapters {
            output.set_chapters(&job.chapters)?;
        }
        output.write_header(&muxer_options(job))?;
        Ok(Started { output, copier, video, has_late_chapters })
    }
}

/// Whether the container may move everything to later, by what is known only when it is written: Matroska holds no times
/// below 0. FFmpeg does not count what the edit list of an mp4 hides before the first sound as its start.
fn may_move(input: &Input, job: &FileJob) -> bool {
    let has_edits = input.format_name().contains("mp4");
    let is_early = |plan: &StreamPlan| {
        let is_hidden = has_edits && plan.kind == MediaKind::Audio && plan.treatment == Treatment::Copy;
        let start = input.stream(plan.input_index).and_then(|stream| stream.start);
        plan.is_kept() && (is_hidden || start.is_some_and(|start| start < 0))
    };
    let is_cut = job.cut.is_some_and(|cut| cut.start.is_some());
    !job.container.is_isobmff() && !is_cut && !job.chapters.is_empty() && job.streams.iter().any(is_early)
}

/// Opens all that a run opens, with an output that goes nowhere: what the encoder or the container refuses is said
/// before anything is made. What comes back is for the run.
pub fn rehearse(job: &FileJob, input: Option<Input>) -> Result<Rehearsed> {
    let nowhere = || Output::new(&job.muxer, Path::new("nowhere"), Writer::nowhere()?);
    // Not what the system refuses.
    let refused = |error: Error| match error.kind() {
        Kind::Encode => Error::new(Kind::Usage, error.to_string()),
        _ => error,
    };
    let codec = EncoderCodec::find(&job.encoding.encoder)?;
    let mut alone = nowhere()?;
    let encoder = Encoder::open(codec, &encoder_settings(job, alone.wants_global_header()))?;
    alone.add_encoded(&encoder, &video_stream(job))?;
    alone.write_header(&[]).map_err(|error| {
        if error.kind() == Kind::Io {
            return error;
        }
        let (muxer, codec, made_by) = (&job.muxer, codec.codec_name(), &job.encoding.encoder);
        let others = job.container.encoders();
        let hint = if others.is_empty() { String::new() } else { format!("--encoder {} or ", others.join(", ")) };
        Error::new(Kind::Usage, format!("{muxer} holds no {codec} ({made_by}); try {hint}an .mkv"))
    })?;
    let started = Started::new(job, &encoder, nowhere()?, input).map_err(refused)?;
    Ok(Rehearsed { encoder, input: started.copier.map(Copier::into_input) })
}

/// What a rehearsal opened. Recognising a container takes as long as computing a small frame, so it is done once.
pub struct Rehearsed {
    /// The encoder, which was given nothing.
    pub encoder: Encoder,
    /// The container of the other streams, of which nothing was read.
    pub input: Option<Input>,
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
    // That form has no room for a cover picture.
    let has_cover = job.streams.iter().any(|plan| plan.treatment == Treatment::CopyCover);
    if !has_cover && job.metadata.iter().any(|(key, _)| !ISOBMFF_KEYS.contains(&key.to_ascii_lowercase().as_str())) {
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
