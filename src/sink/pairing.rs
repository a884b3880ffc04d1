//! Which stream of an output is which of its plan, for the verification: containers list them in orders of their own.

use super::job::FileJob;
use super::seen::Seen;
use super::verify::wrong;
use crate::av::{Input, MediaKind, Stream};
use crate::error::Result;
use crate::plan::container::{StreamPlan, Treatment};

/// mp4 fills the time between subtitles with empty ones: two bytes that say "no text".
pub(super) const EMPTY_TEXT: usize = 2;

/// Streams that come in their order, whatever a container lists between them.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Group {
    /// Those with packets. What the container itself makes anew comes last of them.
    Tracks,
    /// Cover pictures that go over as packets: FFmpeg lists those of an mp4 behind all tracks.
    Covers,
    /// Files that ride along.
    Files,
}

impl Group {
    fn planned(plan: &StreamPlan) -> Group {
        match plan.treatment {
            Treatment::CopyCover => Group::Covers,
            Treatment::AttachCover => Group::Files,
            _ if plan.kind == MediaKind::Attachment => Group::Files,
            _ => Group::Tracks,
        }
    }

    fn found(stream: &Stream) -> Group {
        match stream.is_cover() {
            true if stream.tag("mimetype").is_some() => Group::Files,
            true => Group::Covers,
            false if stream.kind == MediaKind::Attachment => Group::Files,
            false => Group::Tracks,
        }
    }
}

/// Each planned stream with its index in the output, of which all packets were `seen`, group by group. One that
/// `is_silent`, of which nothing is kept, need not be there.
pub(super) fn match_streams<'a>(
    output: &Input,
    seen: &[Vec<Seen>],
    plans: &'a [StreamPlan],
    is_silent: &dyn Fn(&StreamPlan) -> bool,
) -> Result<Vec<(Option<&'a StreamPlan>, usize)>> {
    if plans.is_empty() {
        return match output.streams() {
            [only] => Ok(vec![(None, only.index)]),
            other => Err(wrong(format!("the output has {} streams, expected 1", other.len()))),
        };
    }
    let mut pairs = Vec::new();
    let recreated = plans.iter().filter(|plan| matches!(plan.treatment, Treatment::Recreated(_))).count();
    for group in [Group::Tracks, Group::Covers, Group::Files] {
        let mut wanted: Vec<_> = plans.iter().filter(|plan| plan.is_kept() && Group::planned(plan) == group).collect();
        let got: Vec<_> = output
            .streams()
            .iter()
            .filter(|stream| Group::found(stream) == group && !(stream.kind == MediaKind::Data && stream.is_left_out))
            .collect();
        let mut rest = got.iter().copied().peekable();
        let is_empty = |stream: &Stream| seen[stream.index].iter().all(|packet| packet.size <= EMPTY_TEXT);
        wanted.retain(|plan| {
            let is_there = rest.peek().is_some_and(|stream| stream.kind == plan.kind && is_empty(stream));
            let is_absent = group == Group::Tracks && is_silent(plan) && !is_there;
            if !is_absent {
                rest.next();
            }
            !is_absent
        });
        let extra = got.len().saturating_sub(wanted.len());
        if got.len() < wanted.len() || group == Group::Tracks && extra > recreated + 1 {
            let message = format!("the output has {} streams, expected {}", got.len(), wanted.len());
            return Err(wrong(message));
        }
        for (plan, stream) in wanted.iter().zip(&got) {
            let kind = if group == Group::Files { stream.kind } else { plan.kind };
            if stream.kind != kind {
                let message = format!(
                    "stream {} of the output is {}, expected {} from stream {} of the input",
                    stream.index,
                    stream.kind.name(),
                    plan.kind.name(),
                    plan.input_index
                );
                return Err(wrong(message));
            }
            pairs.push((Some(*plan), stream.index));
        }
    }
    Ok(pairs)
}

/// Names the streams that the output need not have and has not.
pub(super) fn warn_of_absent(job: &FileJob, pairs: &[(Option<&StreamPlan>, usize)], warnings: &mut Vec<String>) {
    let is_there = |plan: &StreamPlan| pairs.iter().any(|(there, _)| there.is_some_and(|it| std::ptr::eq(it, plan)));
    for plan in job.streams.iter().filter(|plan| plan.is_kept() && !is_there(plan)) {
        let muxer = &job.muxer;
        warnings.push(format!("{} has no packets in what is kept; {muxer} lists no stream for it", plan.name()));
    }
}
