//! The encoder of an output with what stands before and behind it: pictures into its format, durations onto its
//! packets.
//!
//! Used by the sink that writes a file in one go and by the one that writes it in segments. It knows the job and
//! nothing of files.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;

use super::VideoFacts;
use super::dts;
use super::full::ToFull;
use super::job::FileJob;
use crate::av::{AvFrame, Converter, Encoder, EncoderCodec, EncoderSettings, Output, Packet, VideoSettings, Writer};
use crate::error::Result;
use crate::frame::{ColorRange, ColorTags, Frame, PixelFormat, SideData};
use crate::head::yuv::{self, ToYuv};
use crate::time::TimeBase;

/// An encoder at work.
pub struct Encoding {
    encoder: Encoder,
    step: Step,
    /// Turns what comes out of the step into the encoder's format, where they differ.
    converter: Option<Converter>,
    /// What the codes mean that come out of the step.
    color: ColorTags,
    /// Durations of the frames inside the encoder, by pts.
    durations: BTreeMap<i64, i64>,
    /// FFmpeg's name of the encoder.
    name: String,
    /// A packet has come out.
    has_begun: bool,
    /// Packets that came out at the end and whose dts were made anew.
    mended: VecDeque<Packet>,
    /// Kinds of side data that the encoder does not take along.
    lost_side_data: Vec<i32>,
}

/// What becomes of frames whose components the encoder does not take, before all else.
enum Step {
    /// Nothing.
    None,
    /// R'G'B' becomes Y'CbCr.
    ToYuv(ToYuv),
    /// Y'CbCr becomes R'G'B', or gray becomes that of full range.
    ToFull(Box<ToFull>),
}

impl Encoding {
    /// A fresh encoder for `job`.
    pub fn open(job: &FileJob) -> Result<Encoding> {
        let container = Output::new(&job.muxer, Path::new("nowhere"), Writer::nowhere()?)?;
        let codec = EncoderCodec::find(&job.encoding.encoder)?;
        let encoder = Encoder::open(codec, &encoder_settings(job, container.wants_global_header()))?;
        Ok(Encoding::with_encoder(job, encoder))
    }

    /// Takes an encoder that is open and has not been given anything.
    pub fn with_encoder(job: &FileJob, encoder: Encoder) -> Encoding {
        let (video, name) = (&job.video, &job.encoding.pixel_format);
        let format = video.format.planar();
        let wanted = job.encoding.format;
        let is_only_full = job.encoding.only_range() == Some(ColorRange::Full);
        let (mut step, mut given, mut color) = (Step::None, format, job.frame_color);
        if format.is_rgb() && !wanted.is_rgb() {
            (given, color) = (yuv::format(format), video.color);
            step = Step::ToYuv(ToYuv::new(format, color, video.height));
        } else if !format.is_rgb() && (wanted.is_rgb() || format.is_gray() && is_only_full) {
            let full = if wanted.is_rgb() { wanted } else { PixelFormat::gray(wanted.bit_depth) };
            let to_full = ToFull::new(&VideoFacts { color, ..video.clone() }, full);
            (given, color) = (to_full.format(), video.color);
            step = Step::ToFull(Box::new(to_full));
        }
        let is_other_range = job.encoding.only_range().is_some_and(|range| range != color.range_or_limited());
        Encoding {
            encoder,
            step,
            converter: (PixelFormat::from_name(name) != Some(given) || is_other_range)
                .then(|| Converter::new(name, (video.width, video.height), video.color).ranged()),
            color,
            durations: BTreeMap::new(),
            name: job.encoding.encoder.clone(),
            has_begun: false,
            mended: VecDeque::new(),
            lost_side_data: Vec::new(),
        }
    }

    /// The encoder itself, for a container that asks for its header.
    pub fn encoder(&self) -> &Encoder {
        &self.encoder
    }

    /// What pts, dts and durations of packets count.
    pub fn time_base(&self) -> TimeBase {
        self.encoder.time_base()
    }

    /// Gives the next frame; take packets after each.
    pub fn send(&mut self, frame: &Frame) -> Result<()> {
        for data in &frame.side_data {
            if !carries(&self.name, data.kind) && !self.lost_side_data.contains(&data.kind) {
                self.lost_side_data.push(data.kind);
            }
        }
        if let Some(duration) = frame.duration {
            self.durations.insert(frame.pts, duration);
        }
        let picture = match &mut self.step {
            Step::None => AvFrame::from_picture(&frame.picture, self.color)?,
            Step::ToYuv(to_yuv) => AvFrame::from_picture(&to_yuv.picture(&frame.picture)?, self.color)?,
            Step::ToFull(to_full) => AvFrame::from_picture(&to_full.picture(&frame.picture)?, self.color)?,
        };
        let picture = match &mut self.converter {
            Some(converter) => converter.convert(&picture)?,
            None => picture,
        };
        self.encoder.send(Some((picture, frame)))
    }

    /// There are no more frames; what the encoder holds back comes out next.
    pub fn end(&mut self) -> Result<()> {
        self.encoder.send(None)?;
        // libx265 knows how far to move dts once it has seen more frames than it reorders; with fewer it moves them by
        // a number that it never set. Such a film has given no packet yet.
        if self.name == "libx265" && !self.has_begun {
            while let Some(packet) = self.next_packet()? {
                self.mended.push_back(packet);
            }
            let pts: Vec<i64> = self.mended.iter().filter_map(Packet::pts).collect();
            let delay = dts::delay(&pts);
            for ((packet, pts), shown) in self.mended.iter_mut().zip(&pts).zip(dts::shown(pts.iter().copied())) {
                packet.set_times(Some(*pts), Some(shown - delay));
            }
        }
        Ok(())
    }

    /// The next packet, with its frame's duration, if one is ready.
    pub fn receive(&mut self) -> Result<Option<Packet>> {
        match self.mended.pop_front() {
            Some(packet) => Ok(Some(packet)),
            None => self.next_packet(),
        }
    }

    fn next_packet(&mut self) -> Result<Option<Packet>> {
        let Some(mut packet) = self.encoder.receive()? else { return Ok(None) };
        self.has_begun = true;
        if let Some(duration) = packet.pts().and_then(|pts| self.durations.remove(&pts)) {
            packet.set_duration(duration);
        }
        Ok(Some(packet))
    }

    /// Kinds of side data (`AVFrameSideDataType`) that frames had and the encoder does not take along.
    pub fn lost_side_data(&self) -> &[i32] {
        &self.lost_side_data
    }
}

/// What a person should hear about side data that `encoder` has not taken along.
pub fn lost_warnings(encoder: &str, kinds: &[i32]) -> Vec<String> {
    let line = |kind| format!("{} of the frames are lost: {encoder} does not write them", side_data_name(kind));
    kinds.iter().map(|kind| line(*kind)).collect()
}

/// The encoder's settings that a job asks for.
pub(super) fn encoder_settings(job: &FileJob, global_header: bool) -> EncoderSettings {
    let video = &job.video;
    EncoderSettings {
        video: VideoSettings {
            pixel_format: job.encoding.pixel_format.clone(),
            width: video.width,
            height: video.height,
            time_base: video.time_base,
            frame_rate: video.frame_rate,
            sample_aspect_ratio: video.sample_aspect_ratio,
            color: video.color,
            field_order: video.field_order,
        },
        threads: job.encoding.threads,
        options: job.encoding.options.clone(),
        global_header,
    }
}

/// FFmpeg's `AVFrameSideDataType` values that are told apart here.
mod side_data {
    pub const A53_CAPTIONS: i32 = 1;
    pub const STEREO_3D: i32 = 2;
    pub const AFD: i32 = 7;
    pub const MASTERING_DISPLAY: i32 = 11;
    pub const GOP_TIME_CODE: i32 = 12;
    pub const SPHERICAL: i32 = 13;
    pub const CONTENT_LIGHT: i32 = 14;
    pub const TIME_CODE: i32 = 16;
    pub const HDR10_PLUS: i32 = 17;
    pub const UNREGISTERED: i32 = 20;
    pub const FILM_GRAIN: i32 = 21;
}

/// Whether an encoder writes this kind of side data into its stream, or the stream as a whole says it.
fn carries(encoder: &str, kind: i32) -> bool {
    match kind {
        side_data::STEREO_3D | side_data::SPHERICAL | side_data::MASTERING_DISPLAY | side_data::CONTENT_LIGHT => true,
        // The decoder has put the grain into the picture.
        side_data::FILM_GRAIN => true,
        side_data::A53_CAPTIONS => encoder == "libx264",
        SideData::ICC_PROFILE => matches!(encoder, "png" | "apng"),
        side_data::UNREGISTERED => matches!(encoder, "libx264" | "libx265"),
        _ => false,
    }
}

fn side_data_name(kind: i32) -> &'static str {
    match kind {
        SideData::ICC_PROFILE => "colour profiles (ICC)",
        side_data::A53_CAPTIONS => "closed captions",
        side_data::AFD => "active format descriptions",
        side_data::GOP_TIME_CODE | side_data::TIME_CODE => "time codes",
        side_data::HDR10_PLUS => "HDR10+ metadata",
        side_data::UNREGISTERED => "user data",
        _ => "Dolby Vision or other dynamic metadata",
    }
}
