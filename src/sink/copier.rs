//! The other streams: copied from a second demuxer over the same file, pulled as the video advances.
//!
//! Pulling keeps memory flat however badly the input is interleaved: this demuxer never sees the video's packets, so
//! it holds at most one packet that is still too early.

use super::cut::{Cut, Edit, Trim};
use super::fingerprint::is_adts_frame;
use super::job::FileJob;
use crate::av::{AudioTranscoder, Input, MAX_BROKEN_READS, MediaKind, Output, Packet, Stream, SubtitleTranscoder};
use crate::error::{Context, Kind, Result};
use crate::plan::container::{Container, StreamPlan, Treatment};
use crate::time::TimeBase;

/// Copies and converts streams.
pub struct Copier {
    input: Input,
    container: Container,
    /// By input index.
    routes: Vec<Option<Route>>,
    /// Read but not yet due.
    held: Option<Packet>,
    ended: bool,
    cut: Option<Cut>,
    /// Reads that failed one after the other.
    n_broken: usize,
    /// Packets of sound that could not be converted.
    n_lost: u64,
    warnings: Vec<String>,
}

/// Where a stream's packets go.
struct Route {
    /// For warnings.
    name: String,
    output: usize,
    from: TimeBase,
    kind: MediaKind,
    trim: Trim,
    edit: Option<Edit<Packet>>,
    /// Copied AAC whose packets must be ADTS frames; the muxer refuses any other.
    is_adts: bool,
    converter: Option<Converter>,
    /// Of subtitles that last until the next, where the container must be told how long the last one does: when the
    /// video ends, in microseconds of the output; 0 if that is not known.
    last_until: Option<i64>,
    last_dts: Option<i64>,
    /// The first packets of a video whose container does not tell when they are decoded.
    waiting: Vec<Packet>,
}

/// More packets than any codec reorders: a container that tells none by then tells none at all.
const MAX_WAITING: usize = 32;

/// Milliseconds of sound that may be missing at a cut without a word: about two packets of a lossy codec.
const MOST_MISSING: i64 = 50;

/// How long the last subtitle lasts where nobody tells, in microseconds.
const LAST_SUBTITLE: i64 = 3_000_000;

/// The longest a packet can last in an mp4 (a signed 32-bit count of ticks).
const MAX_DURATION: i64 = i32::MAX as i64;

/// What changes a stream's packets on the way.
enum Converter {
    Subtitles(SubtitleTranscoder),
    Sound(AudioTranscoder),
}

impl Copier {
    /// Adds the streams of `input`, of which nothing was read, that are kept to `output`, up to and beyond the processed
    /// video, for which `add_video` is called at its place.
    pub fn new(
        mut input: Input,
        job: &FileJob,
        output: &mut Output,
        add_video: &mut dyn FnMut(&mut Output) -> Result<()>,
    ) -> Result<Copier> {
        let plans = job.streams.as_slice();
        let end = video_end(&input, job).unwrap_or(0);
        let mut routes: Vec<Option<Route>> = Vec::new();
        for plan in plans.iter().filter(|plan| plan.is_kept()) {
            if plan.treatment == Treatment::Process {
                add_video(output)?;
                continue;
            }
            let index = plan.input_index;
            let Some(stream) = input.stream(index) else { continue };
            let mut converter = None;
            let what = || plan.name();
            let added = match &plan.treatment {
                Treatment::AttachCover => {
                    output.add_attachment(stream, stream.cover.as_deref().unwrap_or_default(), &plan.about)
                }
                Treatment::Subtitles { encoder, .. } => {
                    let transcoder = SubtitleTranscoder::new(stream, encoder).context(what)?;
                    let added = transcoder.add_to(output, &plan.about);
                    converter = Some(Converter::Subtitles(transcoder));
                    added
                }
                Treatment::Sound { encoder } => {
                    let transcoder = AudioTranscoder::new(stream, encoder).context(what)?.within(span(job.cut));
                    let mut about = plan.about.clone();
                    about.time_base = Some(transcoder.time_base());
                    let added = transcoder.add_to(output, &about);
                    converter = Some(Converter::Sound(transcoder));
                    added
                }
                _ => output.add_copy(stream, &plan.about),
            };
            let added = added.context(what)?;
            if routes.len() <= index {
                routes.resize_with(index + 1, || None);
            }
            let has_packets = plan.treatment != Treatment::AttachCover && plan.kind != MediaKind::Attachment;
            let lasts = stream.kind == MediaKind::Subtitle && !stream.is_text_subtitle();
            routes[index] = has_packets.then(|| Route {
                name: what(),
                output: added,
                from: stream.time_base,
                kind: stream.kind,
                trim: Trim::of(stream, &plan.treatment, job.cut),
                edit: edit(stream, &plan.treatment, job.container),
                is_adts: plan.treatment == Treatment::Copy && is_adts(&input, stream),
                converter,
                last_until: (lasts && job.container.is_isobmff()).then_some(end),
                last_dts: None,
                waiting: Vec::new(),
            });
        }
        let is_routed = |index: usize| routes.get(index).is_some_and(Option::is_some);
        input.keep_only(|index| is_routed(index) && !input_cover(plans, index));
        Ok(Copier {
            ended: !routes.iter().any(Option::is_some),
            input,
            container: job.container,
            routes,
            held: None,
            cut: job.cut,
            n_broken: 0,
            n_lost: 0,
            warnings: Vec::new(),
        })
    }

    /// The input, for another copier if nothing was pulled.
    pub fn into_input(self) -> Input {
        self.input
    }

    /// Writes what has no place in time: cover pictures.
    pub fn write_covers(&mut self, output: &mut Output) -> Result<()> {
        for stream in self.input.streams() {
            let Some(route) = self.routes.get(stream.index).and_then(Option::as_ref) else { continue };
            if let Some(cover) = stream.cover.as_ref().filter(|_| stream.is_cover()) {
                let mut packet = Packet::from_data(cover)?;
                packet.set_stream_index(route.output);
                packet.set_times(Some(0), Some(0));
                output.write(packet)?;
            }
        }
        Ok(())
    }

    /// Writes all packets that are due by `until` (microseconds of the output; `None`: all that is left).
    pub fn pull(&mut self, output: &mut Output, until: Option<i64>) -> Result<()> {
        while !self.ended {
            let packet = match self.held.take() {
                Some(packet) => packet,
                None => match self.input.next_packet() {
                    Ok(Some(packet)) => packet,
                    Ok(None) => return self.drain(output),
                    Err(error) if error.kind() != Kind::Io && self.n_broken < MAX_BROKEN_READS => {
                        self.n_broken += 1;
                        continue;
                    }
                    Err(error) => {
                        // The video's own demuxer counts the damage; here the streams just end.
                        self.warnings.push(format!("the other streams end early: {error}"));
                        return self.drain(output);
                    }
                },
            };
            self.n_broken = 0;
            let Some(route) = self.routes.get_mut(packet.stream_index()).and_then(Option::as_mut) else { continue };
            let due = packet.dts().or(packet.pts()).map(|ticks| {
                let start = self.cut.and_then(|cut| cut.start).unwrap_or(0);
                route.from.rescale(ticks, TimeBase::MICROS).saturating_sub(start)
            });
            if until.is_some_and(|until| due.is_some_and(|due| due > until)) {
                self.held = Some(packet);
                return Ok(());
            }
            let Some(packet) = route.trim.apply(packet)? else { continue };
            if route.is_adts && !is_adts_frame(packet.data()) {
                // Verification counts it.
                continue;
            }
            let number = packet.stream_index();
            for packet in route.follow_edit(packet).into_iter().flatten() {
                route.write(packet, output, &mut self.warnings).context(|| format!("stream {number}"))?;
            }
        }
        Ok(())
    }

    /// The input is read: what converters hold back comes out.
    fn drain(&mut self, output: &mut Output) -> Result<()> {
        self.ended = true;
        for route in self.routes.iter_mut().flatten() {
            route.put_waiting(None, output, &mut self.warnings)?;
            let missing = route.trim.missing() / 1000;
            if missing > MOST_MISSING {
                let why = "the start lies inside a packet, and copied packets stay whole";
                self.warnings.push(format!("{}: {missing} ms are missing at its start: {why}", route.name));
            }
            if let Some(n) = route.edit.as_ref().map(Edit::n_left_out).filter(|n| *n > 0) {
                let hint = if self.container.is_isobmff() { "" } else { "; .mp4 and .mov keep them hidden" };
                let what = "packets that the input's edit list hides are left out";
                self.warnings.push(format!("{}: {n} {what}{hint}", route.name));
            }
            if let Some(Converter::Sound(transcoder)) = &mut route.converter {
                let base = transcoder.time_base();
                let left = transcoder.convert(None)?;
                if transcoder.n_broken() > 0 {
                    let n = transcoder.n_broken();
                    self.n_lost += n;
                    self.warnings
                        .push(format!("{n} packets of sound cannot be decoded; silence stands in their place"));
                }
                for packet in left {
                    route.put(packet, base, output, &mut self.warnings)?;
                }
            }
        }
        Ok(())
    }

    /// Packets of sound in whose place silence stands.
    pub fn n_lost(&self) -> u64 {
        self.n_lost
    }

    /// What a person should hear.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }
}

fn input_cover(plans: &[StreamPlan], index: usize) -> bool {
    plans.iter().any(|plan| plan.input_index == index && plan.treatment == Treatment::CopyCover)
}

/// Whether a stream is AAC as broadcasts have it: every packet begins with the decoder's settings, no header holds them.
pub fn is_adts(input: &Input, stream: &Stream) -> bool {
    let is_broadcast = matches!(input.format_name().as_str(), "mpegts" | "mpeg");
    is_broadcast && stream.codec == "aac" && stream.extradata().is_empty()
}

/// How a stream follows the edit lists of its input; `None` where the output's own do, or the decoder does.
pub fn edit<T>(stream: &Stream, treatment: &Treatment, container: Container) -> Option<Edit<T>> {
    let overlaps = stream.kind == MediaKind::Audio && !stream.is_lossless() && !stream.codec.starts_with("pcm_");
    match (treatment, stream.kind) {
        (Treatment::Copy, MediaKind::Audio) if container.is_isobmff() => Some(Edit::after_first()),
        (Treatment::Copy, MediaKind::Audio | MediaKind::Subtitle) if !container.is_isobmff() => {
            Some(Edit::new(overlaps))
        }
        (Treatment::Subtitles { .. }, _) => Some(Edit::new(overlaps)),
        _ => None,
    }
}

/// What a cut leaves, in microseconds of the output.
fn span(cut: Option<Cut>) -> (Option<i64>, Option<i64>) {
    let (start, end) = cut.map_or((None, None), |cut| (cut.start, cut.end));
    (start.map(|_| 0), end.map(|end| end.saturating_sub(start.unwrap_or(0))))
}

/// When the processed video ends, in microseconds of the output, as far as its stream and the cut tell. (A whole Matroska
/// file lasts as long as its last subtitle, which may be for ever.)
fn video_end(input: &Input, job: &FileJob) -> Option<i64> {
    let plan = job.streams.iter().find(|plan| plan.treatment == Treatment::Process)?;
    let stream = input.stream(plan.input_index)?;
    let last = stream.duration.map(|ticks| stream.start.unwrap_or(0).saturating_add(ticks));
    let told = last.map(|ticks| stream.time_base.rescale(ticks, TimeBase::MICROS));
    let (start, end) = job.cut.map_or((None, None), |cut| (cut.start, cut.end));
    Some(told.into_iter().chain(end).min()?.saturating_sub(start.unwrap_or(0)))
}

impl Route {
    /// What goes over, in order, when the next packet comes.
    fn follow_edit(&mut self, packet: Packet) -> [Option<Packet>; 2] {
        let (is_hidden, dts) = (packet.is_discarded(), packet.dts());
        match &mut self.edit {
            Some(edit) => edit.apply(packet, is_hidden, dts),
            None => [None, Some(packet)],
        }
    }

    fn write(&mut self, packet: Packet, output: &mut Output, warnings: &mut Vec<String>) -> Result<()> {
        match &mut self.converter {
            None => {
                let is_undated = packet.dts().is_none() && self.last_dts.is_none() && self.kind == MediaKind::Video;
                if is_undated && self.waiting.len() < MAX_WAITING {
                    self.waiting.push(packet);
                    return Ok(());
                }
                self.put_waiting(packet.dts(), output, warnings)?;
                self.put(packet, self.from, output, warnings)
            }
            Some(Converter::Subtitles(transcoder)) => match transcoder.convert(&packet) {
                Ok(Some(converted)) => self.put(converted, self.from, output, warnings),
                Ok(None) => Ok(()),
                Err(error) => {
                    warnings.push(error.to_string());
                    Ok(())
                }
            },
            Some(Converter::Sound(transcoder)) => {
                let base = transcoder.time_base();
                for converted in transcoder.convert(Some(&packet))? {
                    self.put(converted, base, output, warnings)?;
                }
                Ok(())
            }
        }
    }

    /// Writes what waits, each decoded as long before the next as it lasts, the last of them before `next`. (Matroska
    /// tells no dts; FFmpeg derives them, but not for the packets before the first that it can be sure of.) Where equal
    /// times are taken, all at once: a container may move everything to later for a dts below zero.
    fn put_waiting(&mut self, next: Option<i64>, output: &mut Output, warnings: &mut Vec<String>) -> Result<()> {
        let mut waiting = std::mem::take(&mut self.waiting);
        let first = waiting.iter().filter_map(Packet::pts).min();
        let Some(mut dts) = next.into_iter().chain(first).min() else { return Ok(()) };
        for packet in waiting.iter_mut().rev() {
            let step = if output.takes_equal_times() { 0 } else { packet.duration().max(1) };
            dts = dts.saturating_sub(step);
            packet.set_times(packet.pts(), Some(dts));
        }
        waiting.into_iter().try_for_each(|packet| self.put(packet, self.from, output, warnings))
    }

    /// Hands a packet to the muxer in its stream's ticks, with a dts that rises.
    fn put(
        &mut self,
        mut packet: Packet,
        from: TimeBase,
        output: &mut Output,
        warnings: &mut Vec<String>,
    ) -> Result<()> {
        packet.rescale(from, output.time_base(self.output));
        packet.set_stream_index(self.output);
        let dts = packet.dts().or(packet.pts()).or(self.last_dts.map(|last| last + 1)).unwrap_or(0);
        let step = i64::from(self.kind != MediaKind::Subtitle && !output.takes_equal_times());
        let rising = self.last_dts.map_or(dts, |last| dts.max(last + step));
        if rising != dts && !warnings.iter().any(|line| line.contains("do not rise")) {
            let what = self.kind.name();
            warnings.push(format!("time stamps of the {what} stream do not rise; the late ones were moved by a tick"));
        }
        if let (0, MediaKind::Audio, Some(last)) = (packet.duration(), self.kind, self.last_dts) {
            // An mp4 whose last packet lasts no time is read as ending before it.
            packet.set_duration(rising - last);
        }
        if self.kind == MediaKind::Subtitle && packet.duration() >= i64::from(u32::MAX) {
            // FFmpeg's word for "until the next one", which not every container takes.
            packet.set_duration(0);
        }
        if let (0, Some(end)) = (packet.duration(), self.last_until) {
            // The others last until the next whatever is said of them; the last one would not be read again.
            let ticks = |micros| TimeBase::MICROS.rescale(micros, output.time_base(self.output));
            let left = Some(ticks(end).saturating_sub(rising)).filter(|left| *left > 0);
            packet.set_duration(left.unwrap_or_else(|| ticks(LAST_SUBTITLE)).min(MAX_DURATION));
        }
        self.last_dts = Some(rising);
        packet.set_times(packet.pts().map(|pts| pts.max(rising)).or(Some(rising)), Some(rising));
        output.write(packet)
    }
}
