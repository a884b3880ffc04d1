//! The hash sink: one line a frame with the MD5 of its pixels, as `ffmpeg -f framemd5` prints it.
//!
//! A frame's hash covers the visible bytes of its planes in plane order, little endian, without padding, so a plain
//! `diff` with FFmpeg's output (with `-fflags +bitexact`, which leaves out the `#software` line) compares two videos.
//! It is also what the tests of the whole chain compare.

use std::fmt::Write as _;
use std::io::{BufWriter, Write};
use std::path::Path;

use md5::{Digest, Md5};

use super::part::Output;
use super::{Finished, Sink, VideoFacts};
use crate::error::{Error, Result};
use crate::frame::{Frame, Picture};
use crate::time::TimeBase;

/// Writes the hashes of frames.
pub struct HashSink {
    out: BufWriter<Output>,
    facts: VideoFacts,
    n_frames: u64,
}

impl HashSink {
    /// Hashes into the file at `path`, or to standard output for `-`.
    pub fn create(path: &Path, facts: &VideoFacts) -> Result<Self> {
        HashSink::new(Output::create(path)?, facts)
    }

    /// Hashes into `out`, beginning with the header.
    pub fn new(out: Output, facts: &VideoFacts) -> Result<Self> {
        let mut sink = HashSink { out: BufWriter::new(out), facts: facts.clone(), n_frames: 0 };
        let sar = facts.sample_aspect_ratio;
        let (num, den) = if sar.is_known() { (sar.num, sar.den) } else { (0, 1) };
        sink.line(format_args!(
            "#format: frame checksums\n#version: 2\n#hash: MD5\n#tb 0: {}\n#media_type 0: video\n#codec_id 0: rawvideo\n\
             #dimensions 0: {}x{}\n#sar 0: {num}/{den}\n#stream#, dts,        pts, duration,     size, hash",
            facts.time_base, facts.width, facts.height
        ))?;
        Ok(sink)
    }

    fn line(&mut self, line: std::fmt::Arguments) -> Result<()> {
        writeln!(self.out, "{line}").map_err(|error| Error::io("write the hashes", error))
    }
}

impl Sink for HashSink {
    fn write(&mut self, frame: &Frame) -> Result<()> {
        self.facts.check(&frame.picture)?;
        let rate = self.facts.frame_rate;
        let period = TimeBase::new(rate.den, rate.num).map_or(0, |period| period.rescale(1, self.facts.time_base));
        let (pts, duration) = (frame.pts, frame.duration.unwrap_or(period));
        let (size, hash) = (n_bytes(&frame.picture), hex(&frame_hash(&frame.picture)));
        self.line(format_args!("0, {pts:>10}, {pts:>10}, {duration:>8}, {size:>8}, {hash}"))?;
        self.n_frames += 1;
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Finished> {
        let out = self.out.into_inner().map_err(|error| Error::io("write the hashes", error.into_error()))?;
        out.finish()?;
        Ok(Finished { n_frames: self.n_frames, ..Finished::default() })
    }

    fn stop(mut self: Box<Self>) -> Result<()> {
        self.out.flush().map_err(|error| Error::io("write the hashes", error))
    }
}

/// Bytes of a picture without padding.
fn n_bytes(picture: &Picture) -> usize {
    let planes = (0..picture.format().n_planes()).map(|index| picture.plane(index));
    planes.map(|plane| plane.width() * plane.height() * plane.bytes_per_sample()).sum()
}

/// The MD5 of the planes' visible bytes in plane order.
pub fn frame_hash(picture: &Picture) -> [u8; 16] {
    let mut md5 = Md5::new();
    for index in 0..picture.format().n_planes() {
        let plane = picture.plane(index);
        (0..plane.height()).for_each(|y| md5.update(plane.row_bytes(y)));
    }
    md5.finalize().into()
}

/// Bytes as hexadecimal digits in lower case.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes any text");
        text
    })
}
