//! The main output in one go: an encoder, and behind it the container.

use std::time::{Duration, Instant};

use super::encode::{Encoding, lost_warnings};
use super::job::FileJob;
use super::mux::{Mux, Rehearsed, Sealed, rehearse};
use super::part::PartFile;
use super::{Finished, Sink};
use crate::error::Result;
use crate::frame::Frame;

/// How long the encoder may go on once the run was stopped.
const STOP_WITHIN: Duration = Duration::from_millis(700);

/// An output file being encoded and written.
pub struct FfmpegSink {
    encoding: Encoding,
    mux: Mux,
    n_frames: u64,
}

impl FfmpegSink {
    /// Opens all that the output needs.
    pub fn create(job: FileJob) -> Result<FfmpegSink> {
        let rehearsed = rehearse(&job, None)?;
        FfmpegSink::rehearsed(job, rehearsed)
    }

    /// Opens the `.part` and writes the header, with what [`rehearse`] opened.
    pub fn rehearsed(job: FileJob, Rehearsed { encoder, input }: Rehearsed) -> Result<FfmpegSink> {
        let part = PartFile::create(&job.output)?;
        let mux = Mux::create(job, part, &encoder, input)?;
        Ok(FfmpegSink { encoding: Encoding::with_encoder(mux.job(), encoder), mux, n_frames: 0 })
    }

    /// Writes the packets that the encoder has ready.
    fn drain_encoder(&mut self, deadline: Option<Instant>) -> Result<()> {
        let from = self.encoding.time_base();
        while deadline.is_none_or(|deadline| Instant::now() < deadline)
            && let Some(packet) = self.encoding.receive()?
        {
            self.mux.write(packet, from)?;
        }
        Ok(())
    }

    /// Brings everything that was given into the container, and closes it.
    pub fn seal(mut self) -> Result<Sealed> {
        self.encoding.end()?;
        self.drain_encoder(None)?;
        let warnings = lost_warnings(&self.mux.job().encoding.encoder, self.encoding.lost_side_data());
        self.mux.seal(warnings)
    }
}

impl Sink for FfmpegSink {
    fn write(&mut self, frame: &Frame) -> Result<()> {
        self.mux.job().video.check(&frame.picture)?;
        self.encoding.send(frame)?;
        self.n_frames += 1;
        self.drain_encoder(None)
    }

    fn finish(self: Box<Self>) -> Result<Finished> {
        let n_frames = self.n_frames;
        let finished = self.seal()?.conclude(|_| Ok(()))?;
        Ok(Finished { n_frames, ..finished })
    }

    fn stop(mut self: Box<Self>) -> Result<()> {
        // Somebody waits: a slow encoder may hold a minute's work, which is then given up.
        self.encoding.end()?;
        self.drain_encoder(Some(Instant::now() + STOP_WITHIN))?;
        self.mux.stop()
    }
}
