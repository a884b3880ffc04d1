//! The main output in segments: a fresh encoder for each, a durable file beside the output for each, and the join.
//!
//! A segment is sealed as soon as its last frame is in: its packets are brought to the disk, named, and listed in the
//! manifest, in this order. What an end of the process at any moment leaves behind is either a listed segment or none.

use xxhash_rust::xxh3::xxh3_64;

use super::folder::Folder;
use super::join;
use super::manifest::{Done, Lost, Manifest};
use super::packets::{PacketWriter, TimesHash};
use super::resumed::Past;
use crate::av::Encoder;
use crate::error::{Context, Error, Kind, Result};
use crate::frame::Frame;
use crate::sink::encode::Encoding;
use crate::sink::job::FileJob;
use crate::sink::part::PartFile;
use crate::sink::{Finished, Sink};

/// An output being made in segments.
pub struct SegmentSink {
    job: FileJob,
    /// Held from the beginning, empty until the join: it keeps a second run away.
    part: PartFile,
    folder: Folder,
    manifest: Manifest,
    /// What finished segments are noted to be of.
    run: String,
    /// Open, for the first segment.
    encoder: Option<Encoder>,
    current: Option<Segment>,
    past: Past,
}

/// A segment being encoded.
pub(super) struct Segment {
    pub(super) number: u64,
    encoding: Encoding,
    writer: PacketWriter,
    /// The hash of the codec header.
    header: u64,
    pub(super) frames: u64,
    times: TimesHash,
}

impl SegmentSink {
    /// Goes on with what `manifest`, which is saved in `folder`, lists. `encoder` is one that is open; the source puts into
    /// `past` what it says at its end.
    pub fn new(
        job: FileJob,
        part: PartFile,
        folder: Folder,
        manifest: Manifest,
        encoder: Encoder,
        past: Past,
    ) -> SegmentSink {
        let run = manifest.run();
        SegmentSink { job, part, folder, manifest, run, encoder: Some(encoder), current: None, past }
    }

    /// Encodes a frame into the segment it belongs to, which is begun with its first.
    fn encode(&mut self, frame: &Frame) -> Result<()> {
        let number = frame.index / self.manifest.segment_frames;
        if self.current.as_ref().is_some_and(|segment| segment.number != number) {
            self.seal()?;
        }
        let segment = match &mut self.current {
            Some(segment) => segment,
            None => {
                let encoder = self.encoder.take();
                self.current.insert(Segment::begin(&self.job, &self.folder, number, encoder)?)
            }
        };
        segment.take(frame)?;
        if segment.frames == self.manifest.segment_frames { self.seal() } else { Ok(()) }
    }

    /// Finishes the segment under way, for good.
    fn seal(&mut self) -> Result<()> {
        let Some(segment) = self.current.take() else { return Ok(()) };
        let number = segment.number;
        let done = segment.end().context(|| format!("segment {number}"))?;
        let done = Done { mark: self.past.marks.take(number), ..done };
        self.folder.note(&self.run, number, &done)?;
        self.manifest.segments.insert(number, done);
        Ok(())
    }

    /// The source has ended: all segments must be there, whole.
    fn complete(&mut self) -> Result<()> {
        let end = self
            .past
            .end
            .get()
            .ok_or_else(|| Error::new(Kind::Internal, "the source did not say that it has ended"))?;
        if self.manifest.end.is_none() {
            self.manifest.end = Some(end.clone());
            self.folder.save(&self.manifest)?;
        }
        match self.manifest.contradiction(end) {
            Some(what) => Err(Error::new(Kind::Internal, what)),
            None => Ok(()),
        }
    }
}

impl Segment {
    /// An empty one; `encoder` is one that is open, if there is one.
    pub(super) fn begin(job: &FileJob, folder: &Folder, number: u64, encoder: Option<Encoder>) -> Result<Segment> {
        let encoding = match encoder {
            Some(encoder) => Encoding::with_encoder(job, encoder),
            None => Encoding::open(job)?,
        };
        let header = xxh3_64(&encoding.encoder().header()?);
        let writer = folder.begin(number)?;
        Ok(Segment { number, encoding, writer, header, frames: 0, times: TimesHash::default() })
    }

    /// Encodes a frame.
    pub(super) fn take(&mut self, frame: &Frame) -> Result<()> {
        self.encoding.send(frame)?;
        self.frames += 1;
        self.times.push(frame.pts);
        self.drain()
    }

    fn drain(&mut self) -> Result<()> {
        while let Some(packet) = self.encoding.receive()? {
            let Some(pts) = packet.pts() else {
                return Err(Error::new(Kind::Encode, "the encoder gives a packet without a time"));
            };
            self.writer.push(pts, packet.duration(), packet.flags(), packet.data())?;
        }
        Ok(())
    }

    /// Brings all to the disk and gives the file its name.
    pub(super) fn end(mut self) -> Result<Done> {
        self.encoding.end()?;
        self.drain()?;
        let print = self.writer.finish(self.header)?;
        Ok(Done::new(self.frames, print, self.times.value(), self.encoding.lost_side_data().to_vec()))
    }
}

impl Sink for SegmentSink {
    fn write(&mut self, frame: &Frame) -> Result<()> {
        self.job.video.check(&frame.picture)?;
        self.encode(frame)
    }

    fn finish(mut self: Box<Self>) -> Result<Finished> {
        self.seal()?;
        self.complete()?;
        let SegmentSink { job, part, folder, manifest, .. } = *self;
        let mut finished = join::join(job, part, &folder, manifest)?;
        if let Err(error) = folder.clear() {
            finished.warnings.push(format!("the output is complete, but its segments are still there: {error}"));
        }
        Ok(finished)
    }

    fn stop(self: Box<Self>) -> Result<()> {
        // The segment under way is dropped; the next run makes it.
        drop(self.current);
        self.part.discard()
    }
}

/// An output that was complete when an earlier run was ended while it cleared up: nothing is left to be done, and what
/// that run found lost is told again.
pub struct CompleteSink(Lost);

impl CompleteSink {
    /// That of a run which `manifest` is of.
    pub fn of(manifest: &Manifest) -> CompleteSink {
        CompleteSink(manifest.lost)
    }
}

impl Sink for CompleteSink {
    fn write(&mut self, _: &Frame) -> Result<()> {
        Err(Error::new(Kind::Internal, "a frame came for an output that is complete"))
    }

    fn finish(self: Box<Self>) -> Result<Finished> {
        let Lost { missing, lost_packets } = self.0;
        Ok(Finished { verified: true, missing, lost_packets, ..Finished::default() })
    }

    fn stop(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}
