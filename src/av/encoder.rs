//! Encoding video.

use std::ffi::CString;

use ffmpeg_next::ffi;

use super::dictionary::Dictionary;
use super::packet::Packet;
use super::picture::{AvFrame, pixel_format};
use super::stream::{Parameters, text};
use super::{log, tags};
use crate::error::{Error, Kind, Result};
use crate::frame::{ColorTags, FieldOrder, Frame};
use crate::time::{Ratio, TimeBase};

/// An encoder of this FFmpeg, not yet opened.
#[derive(Clone, Copy)]
pub struct EncoderCodec(*const ffi::AVCodec);

// SAFETY: codecs are static tables.
unsafe impl Send for EncoderCodec {}
// SAFETY: as above.
unsafe impl Sync for EncoderCodec {}

impl EncoderCodec {
    /// The video encoder that FFmpeg calls `name`.
    pub fn find(name: &str) -> Result<EncoderCodec> {
        super::prepare();
        let codec = find_encoder(name)?;
        // SAFETY: a found codec is static.
        match unsafe { (*codec).type_ } {
            ffi::AVMediaType::AVMEDIA_TYPE_VIDEO => Ok(EncoderCodec(codec)),
            _ => Err(Error::new(Kind::Usage, format!("'{name}' is not a video encoder; try libx264, libx265 or ffv1"))),
        }
    }

    /// FFmpeg's names of the pixel formats it takes; empty when it does not say.
    pub fn pixel_formats(self) -> Vec<String> {
        let mut names = Vec::new();
        // SAFETY: the list is static and ends with AV_PIX_FMT_NONE.
        unsafe {
            let mut next = (*self.0).pix_fmts;
            while !next.is_null() && *next != ffi::AVPixelFormat::AV_PIX_FMT_NONE {
                names.push(text(ffi::av_get_pix_fmt_name(*next)));
                next = next.add(1);
            }
        }
        names
    }

    /// FFmpeg's name of the codec it makes (`h264` for libx264).
    pub fn codec_name(self) -> String {
        // SAFETY: the codec is static, the name too.
        unsafe { text(ffi::avcodec_get_name((*self.0).id)) }
    }

    /// Whether every encoder of this codec is lossless.
    pub fn is_lossless(self) -> bool {
        // SAFETY: the codec is static; a descriptor is static or null.
        let properties = unsafe { ffi::avcodec_descriptor_get((*self.0).id).as_ref() }.map_or(0, |about| about.props);
        properties & ffi::AV_CODEC_PROP_LOSSLESS != 0 && properties & ffi::AV_CODEC_PROP_LOSSY == 0
    }

    /// Whether it has a private option of this name.
    pub fn has_option(self, name: &str) -> bool {
        let name = CString::new(name).unwrap_or_default();
        // SAFETY: av_opt_find with AV_OPT_SEARCH_FAKE_OBJ takes a pointer to a class pointer, which the codec has or
        // has not.
        unsafe {
            let class = (*self.0).priv_class;
            !class.is_null()
                && !ffi::av_opt_find(
                    (&raw const class).cast_mut().cast(),
                    name.as_ptr(),
                    std::ptr::null(),
                    0,
                    ffi::AV_OPT_SEARCH_FAKE_OBJ,
                )
                .is_null()
        }
    }

    /// FFmpeg's codec number, for [`super::Output`].
    pub(super) fn id(self) -> ffi::AVCodecID {
        // SAFETY: the codec is static.
        unsafe { (*self.0).id }
    }
}

/// Finds an encoder of any kind by name.
pub(super) fn find_encoder(name: &str) -> Result<*const ffi::AVCodec> {
    let text = CString::new(name).unwrap_or_default();
    // SAFETY: looks a terminated string up; the result is static or null.
    let codec = unsafe { ffi::avcodec_find_encoder_by_name(text.as_ptr()) };
    if codec.is_null() {
        let message = format!("this FFmpeg has no encoder '{name}'; see `ffmpeg -encoders`");
        return Err(Error::new(Kind::Usage, message));
    }
    Ok(codec)
}

/// What the pictures are that an encoder gets.
#[derive(Clone, Debug, PartialEq)]
pub struct VideoSettings {
    /// FFmpeg's name of the pixel format.
    pub pixel_format: String,
    /// Luma samples a row.
    pub width: usize,
    /// Luma rows.
    pub height: usize,
    /// What pts count.
    pub time_base: TimeBase,
    /// Nominal frame rate; unknown when a part is 0.
    pub frame_rate: Ratio,
    /// Sample aspect ratio; unknown when a part is 0.
    pub sample_aspect_ratio: Ratio,
    /// Colour tags to write.
    pub color: ColorTags,
    /// Encode as interlaced, or not.
    pub field_order: FieldOrder,
}

/// How to encode.
#[derive(Clone, Debug, PartialEq)]
pub struct EncoderSettings {
    /// The pictures.
    pub video: VideoSettings,
    /// Encoder threads, part of what decides the bits.
    pub threads: usize,
    /// Options by name; one that the encoder does not know is refused.
    pub options: Vec<(String, String)>,
    /// The container wants codec headers beside the stream, not in it.
    pub global_header: bool,
}

/// An open video encoder.
pub struct Encoder {
    context: *mut ffi::AVCodecContext,
    pixel_format: ffi::AVPixelFormat,
    /// All that was given has come out.
    ended: bool,
}

// SAFETY: the context belongs to this value alone; its own threads are FFmpeg's affair.
unsafe impl Send for Encoder {}

impl Encoder {
    /// Opens `codec`.
    pub fn open(codec: EncoderCodec, settings: &EncoderSettings) -> Result<Encoder> {
        let video = &settings.video;
        let format = pixel_format(&video.pixel_format)?;
        // SAFETY: the codec is static; the fields are plain data set before the codec is opened.
        let encoder = unsafe {
            let context = ffi::avcodec_alloc_context3(codec.0);
            if context.is_null() {
                return Err(Error::new(Kind::Io, "out of memory for an encoder"));
            }
            let raw = &mut *context;
            raw.width = video.width as i32;
            raw.height = video.height as i32;
            raw.pix_fmt = format;
            raw.time_base = tags::rational_of(video.time_base);
            if video.frame_rate.is_known() {
                raw.framerate = tags::rational(video.frame_rate);
            }
            if video.sample_aspect_ratio.is_known() {
                raw.sample_aspect_ratio = tags::rational(video.sample_aspect_ratio);
            }
            raw.color_range = tags::range(video.color.range);
            raw.colorspace = tags::matrix(video.color.matrix);
            raw.color_primaries = tags::primaries(video.color.primaries);
            raw.color_trc = tags::transfer(video.color.transfer);
            raw.chroma_sample_location = tags::chroma_location(video.color.chroma_location);
            match video.field_order {
                FieldOrder::Progressive => raw.field_order = ffi::AVFieldOrder::AV_FIELD_PROGRESSIVE,
                FieldOrder::TopFirst => raw.field_order = ffi::AVFieldOrder::AV_FIELD_TT,
                FieldOrder::BottomFirst => raw.field_order = ffi::AVFieldOrder::AV_FIELD_BB,
            }
            if video.field_order != FieldOrder::Progressive {
                raw.flags |= (ffi::AV_CODEC_FLAG_INTERLACED_DCT | ffi::AV_CODEC_FLAG_INTERLACED_ME) as i32;
            }
            if settings.global_header {
                raw.flags |= ffi::AV_CODEC_FLAG_GLOBAL_HEADER as i32;
            }
            raw.flags |= ffi::AV_CODEC_FLAG_BITEXACT as i32;
            raw.thread_count = i32::try_from(settings.threads).unwrap_or(1);
            Encoder { context, pixel_format: format, ended: false }
        };
        encoder.start(codec, settings)?;
        Ok(encoder)
    }

    fn start(&self, codec: EncoderCodec, settings: &EncoderSettings) -> Result<()> {
        // SAFETY: the codec is static and has a name.
        let name = unsafe { text((*codec.0).name) };
        let mut options = Dictionary::new();
        for (key, value) in &settings.options {
            options.set(key, value);
        }
        // SAFETY: the context was made for this codec; what it does not know stays in the dictionary.
        let (code, complaints) =
            log::listen(|| unsafe { ffi::avcodec_open2(self.context, codec.0, options.as_mut_ptr()) });
        if code == super::NO_MEMORY {
            return Err(super::error(Kind::Io, format!("start {name}"), code));
        }
        let refused = complaints.iter().find(|line| {
            let line = line.to_ascii_lowercase();
            [
                "unknown option",
                "error parsing option",
                "invalid value for",
                "bad value",
                "unable to parse option",
                "undefined constant",
            ]
            .iter()
            .any(|words| line.contains(words))
        });
        if let Some(line) = refused {
            let line = line.rsplit("] ").next().unwrap_or(line);
            return Err(Error::new(
                Kind::Usage,
                format!("{name} refuses an option: {}; see `ffmpeg -h encoder={name}`", line.to_lowercase()),
            ));
        }
        if code == ffi::AVERROR_EXTERNAL && complaints.is_empty() {
            // What it refuses it complains of; what it is refused itself, memory and threads, it does not.
            return Err(super::error(Kind::Encode, format!("{name} does not start"), code));
        }
        if code < 0 {
            let why = complaints
                .last()
                .map_or_else(|| super::describe(code), |line| line.rsplit("] ").next().unwrap_or(line).to_lowercase());
            let video = &settings.video;
            let what = format!("{name} does not take {}x{} {}", video.width, video.height, video.pixel_format);
            return Err(Error::new(Kind::Usage, format!("{what}: {why}; try --pix-fmt or another --encoder")));
        }
        if let Some((key, _)) = options.pairs().first() {
            let message = format!("{name} has no option '{key}'; see `ffmpeg -h encoder={name}`");
            return Err(Error::new(Kind::Usage, message));
        }
        Ok(())
    }

    /// What pts and dts of packets count.
    pub fn time_base(&self) -> TimeBase {
        // SAFETY: the context is open.
        tags::time_base(unsafe { (*self.context).time_base }).unwrap_or(TimeBase::MICROS)
    }

    /// The codec header that stands beside the stream; empty where it stands in it.
    pub fn header(&self) -> Result<Vec<u8>> {
        Ok(self.parameters()?.extradata().to_vec())
    }

    /// The stream's parameters, for a muxer.
    pub(super) fn parameters(&self) -> Result<Parameters> {
        // SAFETY: owned by this value, and open.
        unsafe { Parameters::of_encoder(self.context) }
    }

    /// Gives the next frame, its picture in the encoder's format, its pts in the encoder's time base; or `None` to drain.
    /// Take packets after each.
    pub fn send(&mut self, frame: Option<(AvFrame, &Frame)>) -> Result<()> {
        let frame = frame.map(|(picture, frame)| self.wrap(picture, frame)).transpose()?;
        let pointer = frame.as_ref().map_or(std::ptr::null_mut(), AvFrame::as_ptr);
        // SAFETY: the context is open; the encoder takes its own reference.
        match unsafe { ffi::avcodec_send_frame(self.context, pointer) } {
            0.. => Ok(()),
            code => Err(super::error(Kind::Encode, "the encoder refuses a frame", code)),
        }
    }

    fn wrap(&self, mut wrapped: AvFrame, frame: &Frame) -> Result<AvFrame> {
        let interlaced = frame.field_order != FieldOrder::Progressive;
        for data in &frame.side_data {
            wrapped.add_side_data(data)?;
        }
        let raw = wrapped.get_mut();
        // The yuvj names of the encoder's format have the same layout as the plain ones.
        raw.format = self.pixel_format as i32;
        raw.pts = frame.pts;
        raw.interlaced_frame = i32::from(interlaced);
        raw.top_field_first = i32::from(frame.field_order == FieldOrder::TopFirst);
        // SAFETY: the context is open. Frame tags follow the stream's, so that no encoder sees them change.
        let context = unsafe { &*self.context };
        raw.sample_aspect_ratio = context.sample_aspect_ratio;
        raw.color_range = context.color_range;
        raw.colorspace = context.colorspace;
        raw.color_primaries = context.color_primaries;
        raw.color_trc = context.color_trc;
        raw.chroma_location = context.chroma_sample_location;
        Ok(wrapped)
    }

    /// The next packet, if one is ready.
    pub fn receive(&mut self) -> Result<Option<Packet>> {
        let packet = Packet::new()?;
        // SAFETY: the context is open and the packet empty.
        match unsafe { ffi::avcodec_receive_packet(self.context, packet.as_ptr()) } {
            0.. => Ok(Some(packet)),
            super::AGAIN => Ok(None),
            ffi::AVERROR_EOF => {
                self.ended = true;
                Ok(None)
            }
            code => Err(super::error(Kind::Encode, "the encoder fails", code)),
        }
    }
}

impl Drop for Encoder {
    fn drop(&mut self) {
        // SAFETY: owned by this value; the codec of an open context is static and has a name.
        unsafe {
            let codec = (*self.context).codec.as_ref();
            // SVT-AV1 waits for its own threads without end when it is closed before it was drained (seen with 1.4.1).
            // Left open, it goes with the process, which has failed anyhow.
            if self.ended || codec.is_none_or(|codec| text(codec.name) != "libsvtav1") {
                ffi::avcodec_free_context(&mut self.context);
            }
        }
    }
}
