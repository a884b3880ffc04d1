//! The packets of a file as a fresh demuxer gives them, for the verification.

use super::copier;
use super::cut::Trim;
use super::fingerprint::{DisplaySet, Form, fingerprint, is_adts_frame};
use super::job::FileJob;
use crate::av::{Fields, Input, Packet, Stream};
use crate::error::Result;
use crate::plan::container::Treatment;

/// A packet as a demuxer gives it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    pub pts: Option<i64>,
    pub dts: Option<i64>,
    pub hash: u64,
    pub size: usize,
    /// An edit list hides it.
    pub is_hidden: bool,
    /// The first, or only, packet of a picture that is to be seen.
    pub is_shown: bool,
    /// It cannot be a packet of its codec.
    pub is_broken: bool,
}

/// All packets of a file by stream, those of an input cut as its `job` has them; a damaged container ends early.
pub(super) fn read_all(input: &mut Input, job: Option<&FileJob>) -> Result<Vec<Vec<Seen>>> {
    let mut lists: Vec<Option<List>> = Vec::new();
    for stream in input.streams() {
        lists.resize_with(lists.len().max(stream.index + 1), || None);
        lists[stream.index] = Some(List::of(input, stream, job));
    }
    while let Some(packet) = input.next_readable()? {
        if let Some(list) = lists.get_mut(packet.stream_index()).and_then(Option::as_mut) {
            list.add(packet)?;
        }
    }
    Ok(lists.into_iter().map(|list| list.map_or_else(Vec::new, List::finish)).collect())
}

/// The packets of a stream as they are read.
struct List {
    form: Form,
    is_adts: bool,
    fields: Option<Fields>,
    trim: Trim,
    /// A set whose end was not read yet, and how its first packet was seen.
    open: Option<(Seen, DisplaySet)>,
    seen: Vec<Seen>,
}

impl List {
    fn of(input: &Input, stream: &Stream, job: Option<&FileJob>) -> List {
        let plan = job.and_then(|job| job.streams.iter().find(|plan| plan.input_index == stream.index));
        let treatment = plan.map_or(&Treatment::Copy, |plan| &plan.treatment);
        List {
            form: Form::of(&stream.codec, stream.extradata()),
            is_adts: copier::is_adts(input, stream),
            fields: Fields::of(stream),
            trim: Trim::of(stream, treatment, job.and_then(|job| job.cut)),
            open: None,
            seen: Vec::new(),
        }
    }

    fn add(&mut self, packet: Packet) -> Result<()> {
        let is_second = self.fields.as_mut().is_some_and(|fields| fields.is_second(packet.data()));
        let Some(packet) = self.trim.apply(packet)? else { return Ok(()) };
        let seen = Seen {
            pts: packet.pts(),
            dts: packet.dts(),
            hash: fingerprint(self.form, packet.data()),
            size: packet.data().len(),
            is_hidden: packet.is_discarded(),
            is_shown: !packet.is_discarded() && !packet.data().is_empty() && !is_second,
            is_broken: self.is_adts && !is_adts_frame(packet.data()),
        };
        if !self.trim.is_of_sets() {
            self.seen.push(seen);
            return Ok(());
        }
        let mut rest = packet.data();
        while !rest.is_empty() {
            let is_complete;
            let (_, set) = self.open.get_or_insert_with(|| (seen, DisplaySet::default()));
            (is_complete, rest) = set.take(rest);
            if is_complete {
                self.close_set();
            }
        }
        Ok(())
    }

    fn close_set(&mut self) {
        let set = self.open.take().map(|(first, set)| Seen { hash: set.hash(), size: set.size(), ..first });
        self.seen.extend(set);
    }

    fn finish(mut self) -> Vec<Seen> {
        self.close_set();
        self.seen
    }
}
