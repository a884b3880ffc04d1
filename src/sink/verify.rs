//! Verification: the finished `.part` is read again and compared with what it must be.
//!
//! Three things are compared. The processed video, packet by packet, with what the encoder gave. Every copied stream,
//! packet by packet, with a fresh pass over the input. And the video's time stamps with that same pass, which knows
//! nothing of what the chain believes: a picture that the input lists and the output lacks is counted. What a container
//! cannot hold is a warning; anything that differs is an error.

use std::collections::BTreeSet;
use std::path::Path;

use super::copier;
use super::decodes;
use super::fingerprint::{Form, fingerprint};
use super::job::FileJob;
use super::pairing::{EMPTY_TEXT, match_streams, warn_of_absent};
use super::seen::{Seen, read_all};
use super::tags;
use crate::av::{Input, InputOptions, MediaKind, Stream};
use crate::error::{Context, Error, Kind, Result};
use crate::plan::container::{StreamPlan, Treatment};
use crate::time::TimeBase;

/// A packet of the processed video as it was handed to the muxer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// In the output's ticks.
    pub pts: i64,
    /// [`fingerprint`] of the payload.
    pub hash: u64,
}

/// What the output must be.
pub struct Expectation<'a> {
    /// What was decided.
    pub job: &'a FileJob,
    /// The processed video's packets in the order written.
    pub written: &'a [Written],
    /// What the processed video's times count in the output.
    pub time_base: TimeBase,
}

/// The output is right, and this is worth saying.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// What the container could not hold.
    pub warnings: Vec<String>,
    /// Pictures that the input lists and the output lacks.
    pub missing: u64,
    /// Packets of the other streams that the input's index lists and does not hold.
    pub lost_packets: u64,
}

/// Compares the file at `part` with what it must be.
pub fn verify(part: &Path, expectation: &Expectation) -> Result<Verdict> {
    let mut output = Input::open(part, &InputOptions::default())?;
    let job = expectation.job;
    let mut verdict = Verdict::default();
    let seen = read_all(&mut output, None)?;
    let source = job.input.as_ref().map(|path| Source::read(path, job)).transpose()?;
    let is_silent = |plan: &StreamPlan| source.as_ref().is_some_and(|source| source.is_silent(plan));
    let pairs = match_streams(&output, &seen, &job.streams, &is_silent)?;
    warn_of_absent(job, &pairs, &mut verdict.warnings);
    let video = pairs
        .iter()
        .find(|(plan, _)| plan.is_none_or(|plan| plan.treatment == Treatment::Process))
        .map(|(_, index)| *index)
        .ok_or_else(|| wrong("the output has no video stream"))?;
    let shift = compare_video(&seen[video], expectation)?;
    if !expectation.written.is_empty() {
        decodes::first_picture(part, video)?;
    }
    tags::compare_video(stream(&output, video)?, job, &mut verdict.warnings)?;
    tags::compare_file(&output, job, &mut verdict.warnings)?;
    if let Some(source) = source {
        let output = Output { path: part, input: output, seen, video, shift };
        compare_with_input(&source, &output, &pairs, expectation, &mut verdict)?;
    }
    Ok(verdict)
}

pub(super) fn wrong(message: impl Into<String>) -> Error {
    Error::new(Kind::Verify, message)
}

fn stream(input: &Input, index: usize) -> Result<&Stream> {
    input.stream(index).ok_or_else(|| wrong(format!("stream {index} is missing")))
}

/// The hash of a packet of the processed video.
pub fn hash(codec: &str, data: &[u8]) -> u64 {
    fingerprint(Form::encoded(codec), data)
}

/// The processed video must be what the encoder gave, in order; by how much the container moved all times.
fn compare_video(seen: &[Seen], expectation: &Expectation) -> Result<i64> {
    let written = expectation.written;
    if seen.len() != written.len() {
        return Err(wrong(format!("the output holds {} pictures, {} were written", seen.len(), written.len())));
    }
    let mut shift = None;
    for (number, (got, want)) in seen.iter().zip(written).enumerate() {
        if got.hash != want.hash {
            return Err(wrong(format!("packet {number} of the video is not the one that was written")));
        }
        let moved = got.pts.or(got.dts).unwrap_or(0) - want.pts;
        if *shift.get_or_insert(moved) != moved {
            let message = format!("packet {number} of the video is at {}, expected {}", moved + want.pts, want.pts);
            return Err(wrong(message));
        }
    }
    let shift = shift.unwrap_or(0);
    // Containers without negative times move everything to begin at 0; nothing else may move.
    let first = written.iter().map(|packet| packet.pts).min().unwrap_or(0);
    if shift != 0 && first + shift != 0 && !expectation.job.streams.iter().any(|plan| plan.kind == MediaKind::Audio) {
        return Err(wrong(format!("all pictures are {shift} ticks away from their time")));
    }
    if shift < 0 {
        return Err(wrong(format!("all pictures are {} ticks early", -shift)));
    }
    Ok(shift)
}

/// The output as it was read.
struct Output<'a> {
    path: &'a Path,
    input: Input,
    seen: Vec<Vec<Seen>>,
    /// Which stream is the processed video.
    video: usize,
    /// By how much the container moved all times, in ticks of the video.
    shift: i64,
}

impl Output<'_> {
    /// The packets of a stream of which FFmpeg leaves out the first, which ends before 0, when it follows the edit lists
    /// of mp4 and mov: as they stand in the file.
    fn without_edits(&self, index: usize) -> Result<Vec<Seen>> {
        let options = InputOptions { keeps_edited: true, ..InputOptions::default() };
        Ok(read_all(&mut Input::open(self.path, &options)?, None)?.swap_remove(index))
    }
}

/// The input as a fresh pass over it sees it.
struct Source {
    input: Input,
    /// By stream: how many packets there are.
    n_there: Vec<usize>,
    /// By stream: those of them that go over.
    kept: Vec<Vec<Seen>>,
    /// By stream: packets that are left out because they are damaged.
    n_broken: Vec<usize>,
}

impl Source {
    fn read(path: &Path, job: &FileJob) -> Result<Source> {
        let mut input = Input::open(path, &job.input_options).context(|| "reading the input again")?;
        let mut kept = read_all(&mut input, Some(job))?;
        let n_there = kept.iter().map(Vec::len).collect();
        let mut n_broken = vec![0; kept.len()];
        for plan in &job.streams {
            let stream = stream(&input, plan.input_index)?;
            if plan.treatment == Treatment::Copy {
                let broken = kept[plan.input_index].extract_if(.., |packet| packet.is_broken);
                n_broken[plan.input_index] = broken.count();
            }
            if let Some(mut edit) = copier::edit(stream, &plan.treatment, job.container) {
                let all = std::mem::take(&mut kept[plan.input_index]);
                kept[plan.input_index] = all
                    .into_iter()
                    .flat_map(|packet| edit.apply(packet, packet.is_hidden, packet.dts))
                    .flatten()
                    .collect();
            }
        }
        Ok(Source { input, n_there, kept, n_broken })
    }

    /// Whether nothing of a stream with packets goes over.
    fn is_silent(&self, plan: &StreamPlan) -> bool {
        let kept = &self.kept[plan.input_index];
        match plan.treatment {
            Treatment::Copy | Treatment::Subtitles { .. } => kept.is_empty(),
            Treatment::Sound { .. } => kept.iter().all(|packet| packet.is_hidden),
            _ => false,
        }
    }
}

fn compare_with_input(
    source: &Source,
    output: &Output,
    pairs: &[(Option<&StreamPlan>, usize)],
    expectation: &Expectation,
    verdict: &mut Verdict,
) -> Result<()> {
    let (job, seen) = (expectation.job, &output.seen);
    let input = &source.input;
    let shift_micros = expectation.time_base.rescale(output.shift, TimeBase::MICROS);
    for (plan, index) in pairs {
        let Some(plan) = plan else { continue };
        let (from, to) = (stream(input, plan.input_index)?, stream(&output.input, *index)?);
        let original = &source.kept[plan.input_index];
        if plan.treatment != Treatment::Process && job.cut.is_none() && input.format_name().contains("mp4") {
            let (listed, there) = (input.index_entries(plan.input_index), source.n_there[plan.input_index]);
            if listed > there {
                verdict.lost_packets += (listed - there) as u64;
                let what = "the file ends early: its index lists";
                verdict.warnings.push(format!("{}: {what} {listed} packets, {there} are there", plan.name()));
            }
        }
        let n_broken = source.n_broken[plan.input_index];
        if n_broken > 0 {
            verdict.lost_packets += n_broken as u64;
            verdict.warnings.push(format!("{}: {n_broken} damaged packets are left out", plan.name()));
        }
        match plan.treatment {
            Treatment::Process => {
                verdict.missing = missing_pictures(original, &seen[output.video], from, expectation, output.shift);
            }
            Treatment::Copy => {
                let begins_early = original.first().and_then(|packet| packet.pts).is_some_and(|pts| pts < 0);
                let is_short = seen[*index].len() < original.len() && begins_early && job.container.is_isobmff();
                let unedited = if is_short { Some(output.without_edits(*index)?) } else { None };
                compare_copy(original, unedited.as_ref().unwrap_or(&seen[*index]), from, to, shift_micros)
                    .context(|| plan.name())?;
                tags::compare_copy(from, to, plan, job.container, &mut verdict.warnings)?;
            }
            Treatment::CopyCover | Treatment::AttachCover => {
                let cover = to.cover.as_deref().or(Some(to.extradata()).filter(|data| !data.is_empty()));
                if cover != from.cover.as_deref() {
                    return Err(wrong("the cover picture is not the input's"));
                }
            }
            _ => {
                tags::compare_copy(from, to, plan, job.container, &mut verdict.warnings)?;
                let has_content = original.iter().any(|packet| packet.is_shown && packet.size > EMPTY_TEXT);
                if has_content && seen[*index].is_empty() {
                    return Err(wrong(format!("the converted {} stream is empty", plan.kind.name())));
                }
            }
        }
    }
    Ok(())
}

/// A copied stream must have the input's payload in the input's order at the input's times.
fn compare_copy(original: &[Seen], copy: &[Seen], from: &Stream, to: &Stream, shift_micros: i64) -> Result<()> {
    if from.codec.starts_with("pcm_") {
        // Raw sound has no packets of its own: containers cut it as they like.
        let size = |packets: &[Seen]| packets.iter().map(|packet| packet.size).sum::<usize>();
        return match (size(original), size(copy)) {
            (want, got) if want == got => Ok(()),
            (want, got) => Err(wrong(format!("{got} bytes of sound, expected {want}"))),
        };
    }
    let least = if from.codec == "mov_text" { EMPTY_TEXT } else { 0 };
    let filled =
        |packets: &[Seen]| -> Vec<Seen> { packets.iter().filter(|packet| packet.size > least).copied().collect() };
    let (original, copy) = (filled(original), filled(copy));
    if original.len() != copy.len() {
        return Err(wrong(format!("{} packets, expected {}", copy.len(), original.len())));
    }
    // The wrapping of AAC in transport streams is taken off by the containers that do not use it.
    let rewrapped = from.codec == "aac" && from.extradata().is_empty() != to.extradata().is_empty();
    let shift = TimeBase::MICROS.rescale(shift_micros, to.time_base);
    let moved = i64::from(shift_micros != 0);
    for (number, (want, got)) in original.iter().zip(&copy).enumerate() {
        if want.hash != got.hash && !rewrapped {
            return Err(wrong(format!("packet {number} is not the input's")));
        }
        let (Some(at), Some(there)) = (want.pts, got.pts) else { continue };
        let expected = from.time_base.rescale(at, to.time_base) + shift;
        let repaired = original[..number].iter().rev().take(1).any(|before| before.dts >= want.dts);
        if (expected - there).abs() > moved && !repaired {
            return Err(wrong(format!("packet {number} is at {there}, expected {expected} (in {} s)", to.time_base)));
        }
    }
    Ok(())
}

/// How many pictures the input lists, by time stamp, that the output does not show.
fn missing_pictures(original: &[Seen], shown: &[Seen], from: &Stream, expectation: &Expectation, shift: i64) -> u64 {
    if !expectation.job.has_input_pts || !from.shows_every_packet() {
        return 0;
    }
    let there: BTreeSet<i64> = shown.iter().filter_map(|packet| packet.pts).map(|pts| pts - shift).collect();
    let listed: BTreeSet<i64> = original
        .iter()
        .filter(|packet| packet.is_shown)
        .filter_map(|packet| packet.pts)
        .map(|pts| from.time_base.rescale(pts, expectation.time_base))
        .collect();
    listed.difference(&there).count() as u64
}
