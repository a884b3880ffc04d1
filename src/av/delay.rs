//! How far this FFmpeg's muxer moves a stream with a codec delay.
//!
//! In Matroska the time stamps of such a stream (Opus) are later than its pts by the delay, which demuxers take off.
//! FFmpeg 5.1's muxer writes the delay without adding it, so that every copy would come 6.5 ms earlier than its source;
//! later ones add it. One packet that is written to memory and read again tells.

use std::fs::File;
use std::io::Seek;
use std::path::Path;

use rustix::fs::{MemfdFlags, memfd_create};

use super::input::{Input, InputOptions};
use super::io::{Reader, Writer};
use super::output::{Output, OutputStream};
use super::packet::Packet;
use super::stream::Parameters;
use crate::error::{Error, Result};
use crate::time::TimeBase;

/// Where the packet is put, far from 0: negative times are moved for other reasons.
const AT: i64 = 1_000_000;

/// One Opus frame of 20 ms of silence (RFC 6716, 3.1: CELT, full band, mono, one frame).
const SILENCE: [u8; 3] = [0xf8, 0xff, 0xfe];

/// By how many microseconds packets of such a stream must be moved to come out at their times.
pub(super) fn correction(format: &str, parameters: &Parameters) -> Result<i64> {
    let open = |error: std::io::Error| Error::io("open a file in memory", error);
    let mut file = File::from(memfd_create("trial", MemfdFlags::CLOEXEC).map_err(|error| open(error.into()))?);
    let mut output = Output::new(format, Path::new("trial"), Writer::new(file.try_clone().map_err(open)?)?)?;
    let about = OutputStream { time_base: Some(TimeBase::MICROS), ..OutputStream::default() };
    let stream = output.add_uncorrected(parameters, 0, &about)?;
    output.write_header(&[])?;
    let mut packet = Packet::from_data(&SILENCE)?;
    packet.set_stream_index(stream);
    packet.set_times(Some(AT), Some(AT));
    packet.rescale(TimeBase::MICROS, output.time_base(stream));
    output.write(packet)?;
    output.finish()?;
    drop(output);
    file.rewind().map_err(open)?;
    let mut input = Input::start("trial", Some(Reader::new(file)?), &InputOptions::default())?;
    let base = input.stream(0).map_or(TimeBase::MICROS, |stream| stream.time_base);
    let pts = input.next_packet()?.and_then(|packet| packet.pts());
    Ok(pts.map_or(0, |pts| AT - base.rescale(pts, TimeBase::MICROS)))
}
