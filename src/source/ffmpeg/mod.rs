//! Frames from any container and codec that FFmpeg reads.
//!
//! The decoder's buffers become pictures without a copy. A frame whose format the chain does not work on, or whose
//! size differs from the first, goes through swscale once. What cannot be decoded is counted and passed over; the
//! decoder is drained at the end. Which streams besides the video are kept is not decided here.

pub mod access;
mod change;
mod damage;
mod extent;
mod index;
mod leap;

use std::collections::{BTreeSet, VecDeque};
use std::path::{Path, PathBuf};

use super::timeline::{Clock, Timeline};
use super::{Damage, Leap, Leapt, Source, SourceFacts, deinterlaced};
use crate::av::{
    AvFrame, Converter, Decoded, Decoder, Deinterlacer, Input, InputOptions, MAX_BROKEN_READS, MediaKind, Stream,
    native_format,
};
use crate::config::Deinterlace;
use crate::error::{Context, Error, Kind, Result};
use crate::frame::{ColorTags, FieldOrder, Frame, PixelFormat};
use crate::time::{Ratio, TimeBase};

/// How to read a video.
#[derive(Clone, Debug)]
pub struct FfmpegOptions {
    /// The stream's index; `None`: FFmpeg's best.
    pub video_stream: Option<usize>,
    /// Decoder threads.
    pub threads: usize,
    /// What to do with interlaced frames.
    pub deinterlace: Deinterlace,
    /// The first damage ends the run.
    pub strict: bool,
    /// How the container is opened.
    pub input: InputOptions,
}

/// A video read through FFmpeg.
pub struct FfmpegSource {
    path: PathBuf,
    options: FfmpegOptions,
    input: Input,
    stream: usize,
    codec: String,
    decoder: Decoder,
    deinterlacer: Option<Deinterlacer>,
    converter: Option<Converter>,
    timeline: Timeline,
    facts: SourceFacts,
    /// The first frame, looked at before anybody asks for it.
    first: Option<AvFrame>,
    /// The last frames out of the deinterlacer.
    filtered: VecDeque<AvFrame>,
    state: State,
    damage: Damage,
    warnings: Vec<String>,
    /// The container says that the video is interlaced, and no frame has said so yet.
    is_only_tagged: bool,
    /// Frames that ask to be shown longer in a stream without times that would say so.
    n_prolonged: u64,
    /// How many times as wide as high the first frame is shown.
    shape: f64,
    /// Packets whose picture has not been seen.
    unseen: BTreeSet<i64>,
    /// When the first key frame is shown. What comes behind it and is shown before it may need what lies before the
    /// beginning.
    first_key: Option<i64>,
    n_packets: u64,
    n_frames: u64,
    broken_reads: usize,
}

/// How far the stream has been read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Reading,
    Draining,
    Done,
}

impl FfmpegSource {
    /// Opens a video and decodes its first frame, which alone tells the true format.
    pub fn open(path: &Path, options: FfmpegOptions) -> Result<FfmpegSource> {
        let mut input = Input::open(path, &options.input)?;
        let index = choose_stream(&input, options.video_stream)?;
        input.keep_only(|stream| stream == index);
        let stream = input.stream(index).expect("the stream was chosen among those of the input");
        let decoder = Decoder::new(stream, options.threads)?;
        let counted = input.has_no_time_stamps();
        let rate = if stream.frame_rate.is_known() { stream.frame_rate.reduced() } else { Ratio::new(25, 1) };
        let (clock, time_base) = match TimeBase::new(rate.den, rate.num) {
            Some(frame) if counted => (Clock::Counted, frame),
            _ => (Clock::Container, stream.time_base),
        };
        let facts = SourceFacts {
            kind: format!("{} in {}", stream.codec, input.format_name()),
            width: stream.width,
            height: stream.height,
            format: native_format(if stream.sample_format.is_empty() { "yuv420p" } else { &stream.sample_format })?,
            converted_from: None,
            color: stream.color,
            sample_aspect_ratio: stream.sample_aspect_ratio,
            field_order: stream.field_order,
            time_base,
            frame_rate: rate,
            n_frames: expected_frames(&input, index),
            side_data: Vec::new(),
        };
        let mut source = FfmpegSource {
            path: path.to_owned(),
            codec: stream.codec.clone(),
            timeline: Timeline::new(clock, time_base, rate),
            options,
            stream: index,
            decoder,
            deinterlacer: None,
            converter: None,
            facts,
            first: None,
            filtered: VecDeque::new(),
            state: State::Reading,
            damage: Damage::default(),
            warnings: Vec::new(),
            is_only_tagged: false,
            n_prolonged: 0,
            shape: 1.0,
            unseen: BTreeSet::new(),
            first_key: None,
            n_packets: 0,
            n_frames: 0,
            broken_reads: 0,
            input,
        };
        source.look_at_first()?;
        source.time_first()?;
        Ok(source)
    }

    /// All streams of the container.
    pub fn streams(&self) -> &[Stream] {
        self.input.streams()
    }

    /// The stream that is read.
    pub fn stream_index(&self) -> usize {
        self.stream
    }

    /// The frames' time stamps are the container's own.
    pub fn has_time_stamps(&self) -> bool {
        !self.input.has_no_time_stamps()
    }

    /// When the first frame is shown, before it is taken, in the stream's ticks.
    pub fn first_pts(&self) -> Option<i64> {
        let first = self.first.as_ref()?;
        Some(first.pts().unwrap_or_else(|| self.timeline.first()))
    }

    /// Finds out when the first frame is shown if it does not say so: as long before the first that does as it takes to
    /// show those between.
    fn time_first(&mut self) -> Result<()> {
        let is_told = self.first.as_ref().is_none_or(|first| first.pts().is_some());
        if is_told || self.timeline.clock() == Clock::Counted {
            return Ok(());
        }
        if let Some((n_untimed, least)) = index::untimed(&mut self.reopened()?, self.stream)? {
            self.timeline.begin_before(least, n_untimed);
        }
        Ok(())
    }

    fn look_at_first(&mut self) -> Result<()> {
        let Some(mut first) = self.decode()? else {
            let why = self.damage.lines.first().map_or_else(String::new, |line| format!(" ({line})"));
            let message = format!("no frame of the {} stream can be decoded{why}", self.codec);
            return Err(Error::new(Kind::Input, message));
        };
        let name = first.format_name();
        let native = native_format(&name)?;
        self.shape = change::shape(&first);
        if first.has_opacity() && !native.alpha {
            self.warnings.push("the pictures have opacity, which is dropped: gray ones have none here".to_owned());
        }
        self.facts.width = first.width();
        self.facts.height = first.height();
        self.facts.format = native;
        if PixelFormat::from_name(&name) != Some(native) {
            self.facts.converted_from = Some(name);
            first = self.convert(&first)?;
        }
        self.facts.color = merge(first.color(), self.facts.color);
        if !self.facts.sample_aspect_ratio.is_known() {
            self.facts.sample_aspect_ratio = first.sample_aspect_ratio();
        }
        self.facts.side_data = first.side_data();
        let is_tagged = self.facts.field_order != FieldOrder::Progressive;
        self.is_only_tagged = is_tagged && self.options.deinterlace == Deinterlace::Auto;
        self.facts.field_order = match (self.options.deinterlace, self.facts.field_order) {
            (Deinterlace::Auto | Deinterlace::Bwdif, _) => FieldOrder::Progressive,
            (Deinterlace::Off, FieldOrder::Progressive) => first.field_order(),
            (Deinterlace::Off, of_stream) => of_stream,
        };
        self.first = Some(first);
        Ok(())
    }

    /// The next decoded frame, in presentation order.
    fn decode(&mut self) -> Result<Option<AvFrame>> {
        loop {
            match self.decoder.receive()? {
                Decoded::Frame(frame) => {
                    if let Some(pts) = frame.pts() {
                        self.unseen.remove(&pts);
                    }
                    self.note_damaged_frames(frame.pts())?;
                    return Ok(Some(frame));
                }
                Decoded::Damaged(error) => self.note_damage(1, format!("a packet {error}"))?,
                Decoded::End => {
                    self.note_damaged_frames(None)?;
                    return Ok(None);
                }
                Decoded::Hungry => self.feed()?,
            }
        }
    }

    /// Gives the decoder its next packet, or tells it that there is none.
    fn feed(&mut self) -> Result<()> {
        if self.state == State::Done {
            return Err(Error::new(Kind::Decode, "the decoder asks for more after its end"));
        }
        while self.state == State::Reading {
            let packet = match self.input.next_packet() {
                Ok(Some(packet)) => packet,
                Ok(None) => {
                    self.state = State::Draining;
                    break;
                }
                Err(error) if error.kind() == Kind::Io => return Err(error),
                Err(error) => {
                    self.broken_reads += 1;
                    self.note_damage(1, error.to_string())?;
                    if self.broken_reads >= MAX_BROKEN_READS {
                        self.state = State::Draining;
                    }
                    continue;
                }
            };
            self.broken_reads = 0;
            if packet.stream_index() != self.stream {
                continue;
            }
            self.n_packets += 1;
            let pts = packet.pts();
            if packet.is_key() {
                self.first_key = self.first_key.or(pts);
            }
            let is_leading = pts < self.first_key;
            let is_shown = !packet.is_discarded() && !packet.data().is_empty();
            match self.decoder.send(Some(&packet)) {
                Ok(_) => {
                    if let Some(pts) = pts.filter(|_| is_shown && !is_leading) {
                        self.unseen.insert(pts);
                    }
                }
                // No memory was to be had, which says nothing about the packet.
                Err(error) if error.kind() == Kind::Io => return Err(error),
                Err(error) if is_shown => {
                    let at = self.seconds(pts.or(packet.dts()));
                    self.note_damage(1, format!("the packet at {at} {error}"))?;
                }
                Err(_) => {}
            }
            return Ok(());
        }
        if self.state == State::Draining {
            self.state = State::Done;
            // It drains either way; what it complains of is a packet it had before.
            if let Err(error) = self.decoder.send(None) {
                if error.kind() == Kind::Io {
                    return Err(error);
                }
                self.note_damage(1, format!("a packet {error}"))?;
            }
        }
        Ok(())
    }

    /// The next frame in the first one's format and size, deinterlaced if wanted.
    fn progressive(&mut self) -> Result<Option<AvFrame>> {
        loop {
            if let Some(frame) = self.filtered.pop_front() {
                return Ok(Some(frame));
            }
            if let Some(filter) = &mut self.deinterlacer
                && let Some(frame) = filter.receive()?
            {
                return Ok(Some(frame));
            }
            let decoded = match self.first.take() {
                Some(first) => Some(first),
                None => self.decode()?,
            };
            let Some(decoded) = decoded else {
                let Some(mut filter) = self.deinterlacer.take() else { return Ok(None) };
                filter.send(None)?;
                while let Some(frame) = filter.receive()? {
                    self.filtered.push_back(frame);
                }
                continue;
            };
            self.watch_shape(&decoded);
            let frame = if self.fits(&decoded) { decoded } else { self.convert(&decoded)? };
            self.watch_color(&frame);
            let wanted = match self.options.deinterlace {
                Deinterlace::Off => false,
                Deinterlace::Bwdif => true,
                Deinterlace::Auto => self.deinterlacer.is_some() || frame.field_order() != FieldOrder::Progressive,
            };
            if !wanted {
                return Ok(Some(frame));
            }
            self.deinterlace(frame)?;
        }
    }

    fn deinterlace(&mut self, frame: AvFrame) -> Result<()> {
        if self.deinterlacer.is_none() {
            let all = self.options.deinterlace == Deinterlace::Bwdif;
            self.warnings.push(deinterlaced::warning(self.n_frames));
            self.is_only_tagged = false;
            self.deinterlacer = Some(Deinterlacer::new(&frame, self.facts.time_base, all)?);
        }
        match &mut self.deinterlacer {
            Some(filter) => filter.send(Some(frame)),
            None => Ok(()),
        }
    }

    /// Converts a frame to the format and size of the first.
    fn convert(&mut self, frame: &AvFrame) -> Result<AvFrame> {
        self.warn_of_change(frame);
        let facts = &self.facts;
        let make = || Converter::new(facts.format, (facts.width, facts.height), facts.color);
        self.converter.get_or_insert_with(make).convert(frame)
    }

    /// Whether a decoded frame can go on as it is.
    fn fits(&self, frame: &AvFrame) -> bool {
        let same_size = frame.width() == self.facts.width && frame.height() == self.facts.height;
        same_size && frame.is_top_down() && PixelFormat::from_name(&frame.format_name()) == Some(self.facts.format)
    }

    fn finish_frame(&mut self, decoded: AvFrame) -> Result<Frame> {
        let index = self.n_frames;
        self.n_frames += 1;
        let is_prolonged = self.timeline.clock() == Clock::Counted && decoded.n_repeated_fields() > 0;
        self.n_prolonged += u64::from(is_prolonged);
        let field_order = match self.options.deinterlace {
            Deinterlace::Off => decoded.field_order(),
            _ => FieldOrder::Progressive,
        };
        Ok(Frame {
            index,
            pts: self.timeline.next(decoded.pts()),
            duration: decoded.duration().filter(|_| !self.input.has_no_time_stamps()),
            color: merge(decoded.color(), self.facts.color),
            sample_aspect_ratio: self.facts.sample_aspect_ratio,
            field_order,
            side_data: decoded.side_data(),
            picture: decoded.into_picture()?,
        })
    }
}

impl Source for FfmpegSource {
    fn facts(&self) -> &SourceFacts {
        &self.facts
    }

    fn next_frame(&mut self) -> Result<Option<Frame>> {
        let number = self.n_frames;
        match self.progressive().context(|| format!("frame {number}"))? {
            Some(frame) => self.finish_frame(frame).context(|| format!("frame {number}")).map(Some),
            None => {
                self.look_back()?;
                self.tell_of_tag();
                Ok(None)
            }
        }
    }

    fn leap(&mut self, leap: &Leap) -> Result<Leapt> {
        self.try_leap(leap)
    }

    fn skip(&mut self, to: i64) -> Result<Leapt> {
        self.try_skip(to)
    }

    fn damage(&self) -> Damage {
        self.damage.clone()
    }

    fn warnings(&self) -> Vec<String> {
        let mut warnings = self.warnings.clone();
        warnings.extend(self.timeline.warnings());
        if self.n_prolonged > 0 {
            let n = self.n_prolonged;
            warnings.push(format!(
                "{n} frames are to be shown longer (pulldown), and a raw stream has no times that would say so: all last \
                 one frame; put the stream into an .mkv first"
            ));
        }
        if self.input.n_restarts() > 0 {
            let n = self.input.n_restarts();
            warnings
                .push(format!("the clock begins anew {n} times, as in joined recordings; all streams go on behind it"));
        }
        warnings
    }
}

/// A frame's own tags, completed by the container's.
fn merge(frame: ColorTags, stream: ColorTags) -> ColorTags {
    let code = |frame: u8, stream: u8| if frame == 2 { stream } else { frame };
    ColorTags {
        range: frame.range.or(stream.range),
        matrix: code(frame.matrix, stream.matrix),
        primaries: code(frame.primaries, stream.primaries),
        transfer: code(frame.transfer, stream.transfer),
        chroma_location: frame.chroma_location.or(stream.chroma_location),
    }
}

/// The stream asked for, or FFmpeg's best.
pub fn choose_stream(input: &Input, wanted: Option<usize>) -> Result<usize> {
    let Some(index) = wanted else {
        return input.best_video().ok_or_else(|| {
            let kinds: Vec<_> = input.streams().iter().map(|stream| stream.kind.name()).collect();
            let holds = if kinds.is_empty() { "nothing".to_owned() } else { kinds.join(", ") };
            Error::new(Kind::Input, format!("there is no video stream, the file holds {holds}; give a video"))
        });
    };
    match input.stream(index) {
        Some(stream) if stream.kind == MediaKind::Video && !stream.is_cover() => Ok(index),
        other => {
            let got = other.map_or("no stream".to_owned(), |stream| match stream.is_cover() {
                true => "a cover picture".to_owned(),
                false => format!("of kind {}", stream.kind.name()),
            });
            let have: Vec<_> = input
                .streams()
                .iter()
                .filter(|stream| stream.kind == MediaKind::Video && !stream.is_cover())
                .map(|stream| stream.index.to_string())
                .collect();
            let message = format!("--video-stream {index} is {got}; video streams here: {}", have.join(", "));
            Err(Error::new(Kind::Usage, message))
        }
    }
}

/// How many frames there should be: the container's count, else its duration by its rate.
fn expected_frames(input: &Input, index: usize) -> Option<u64> {
    let stream = input.stream(index)?;
    if stream.n_frames > 0 {
        return Some(stream.n_frames);
    }
    let rate = [stream.average_frame_rate, stream.frame_rate].into_iter().find(|rate| rate.is_known())?;
    let seconds = match stream.duration {
        Some(ticks) => stream.time_base.seconds(ticks),
        None => TimeBase::MICROS.seconds(input.duration().filter(|_| input.duration_is_exact())?),
    };
    Some((seconds * rate.as_f64()).round() as u64)
}
