//! What a container says about one of its streams, with the parameters needed to decode or copy it.

use std::ffi::CStr;

use ffmpeg_next::ffi;

use super::{dictionary, packet, tags};
use crate::error::{Error, Kind, Result};
use crate::frame::{ColorTags, FieldOrder};
use crate::time::{Ratio, TimeBase};

/// What a stream carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MediaKind {
    /// Moving pictures, or a cover picture.
    Video,
    /// Sound.
    Audio,
    /// Text or bitmap subtitles.
    Subtitle,
    /// A file that rides along (a font).
    Attachment,
    /// Anything else with packets: time codes, telemetry.
    Data,
}

impl MediaKind {
    /// The word for people and reports.
    pub fn name(self) -> &'static str {
        match self {
            MediaKind::Video => "video",
            MediaKind::Audio => "audio",
            MediaKind::Subtitle => "subtitle",
            MediaKind::Attachment => "attachment",
            MediaKind::Data => "data",
        }
    }
}

/// Data that holds for a whole stream: the display matrix, mastering display, content light level, ...
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamSideData {
    /// FFmpeg's `AVPacketSideDataType`.
    pub kind: u32,
    /// The payload.
    pub bytes: Vec<u8>,
}

impl StreamSideData {
    /// `AV_PKT_DATA_DISPLAYMATRIX`: nine 32-bit integers.
    pub const DISPLAY_MATRIX: u32 = ffi::AVPacketSideDataType::AV_PKT_DATA_DISPLAYMATRIX as u32;
    /// `AV_PKT_DATA_MASTERING_DISPLAY_METADATA`.
    pub const MASTERING_DISPLAY: u32 = ffi::AVPacketSideDataType::AV_PKT_DATA_MASTERING_DISPLAY_METADATA as u32;
    /// `AV_PKT_DATA_CONTENT_LIGHT_LEVEL`.
    pub const CONTENT_LIGHT: u32 = ffi::AVPacketSideDataType::AV_PKT_DATA_CONTENT_LIGHT_LEVEL as u32;
    /// `AV_PKT_DATA_DOVI_CONF`: Dolby Vision configuration.
    pub const DOLBY_VISION: u32 = ffi::AVPacketSideDataType::AV_PKT_DATA_DOVI_CONF as u32;
    /// `AV_PKT_DATA_STEREO3D`.
    pub const STEREO_3D: u32 = ffi::AVPacketSideDataType::AV_PKT_DATA_STEREO3D as u32;
    /// `AV_PKT_DATA_SPHERICAL`.
    pub const SPHERICAL: u32 = ffi::AVPacketSideDataType::AV_PKT_DATA_SPHERICAL as u32;

    /// What a display matrix (ISO/IEC 14496-12, 8.3.2) does: degrees clockwise from 0 to 359, and whether it mirrors.
    /// `None` for other data, and for what is too short.
    pub fn orientation(&self) -> Option<(i32, bool)> {
        let words = self.bytes.as_chunks::<4>().0.iter().map(|word| f64::from(i32::from_ne_bytes(*word)));
        let words: Vec<f64> = words.collect();
        let [a, b, _, c, d, ..] = words[..] else { return None };
        let mirrored = a * d - b * c < 0.0;
        // A mirrored picture is turned after its columns were exchanged.
        let degrees = if mirrored { (-b).atan2(-a) } else { b.atan2(a) }.to_degrees();
        let is_matrix = self.kind == StreamSideData::DISPLAY_MATRIX;
        is_matrix.then_some(((degrees.round() as i32).rem_euclid(360), mirrored))
    }
}

/// One stream of a container.
pub struct Stream {
    /// Its place in the container.
    pub index: usize,
    /// The container's own number for it.
    pub id: i32,
    /// What it carries.
    pub kind: MediaKind,
    /// FFmpeg's name of the codec.
    pub codec: String,
    /// The container's four-character code, 0 if none.
    pub codec_tag: u32,
    /// What its time stamps count.
    pub time_base: TimeBase,
    /// First pts, if known.
    pub start: Option<i64>,
    /// Duration in ticks, if known.
    pub duration: Option<i64>,
    /// The container's own count of frames, 0 if it keeps none.
    pub n_frames: u64,
    /// FFmpeg's `AV_DISPOSITION_*` bits.
    pub disposition: i32,
    /// Title, language, ...
    pub metadata: Vec<(String, String)>,
    /// Sample aspect ratio, the container's before the codec's.
    pub sample_aspect_ratio: Ratio,
    /// The nominal frame rate, FFmpeg's guess.
    pub frame_rate: Ratio,
    /// The average frame rate.
    pub average_frame_rate: Ratio,
    /// Video: width of the coded picture.
    pub width: usize,
    /// Video: height of the coded picture.
    pub height: usize,
    /// Video: FFmpeg's name of the pixel format; audio: of the sample format. Empty if unknown.
    pub sample_format: String,
    /// Video: colour tags.
    pub color: ColorTags,
    /// Video: field order.
    pub field_order: FieldOrder,
    /// Audio: samples a second.
    pub sample_rate: usize,
    /// Audio: channels.
    pub channels: usize,
    /// What holds for the whole stream.
    pub side_data: Vec<StreamSideData>,
    /// The demuxer itself leaves this stream out (the text track that holds an mp4's chapters).
    pub is_left_out: bool,
    /// The picture of a cover, which the container holds outside its packets.
    pub cover: Option<Vec<u8>>,
    pub(super) parameters: Parameters,
}

impl Stream {
    /// A cover picture rather than moving pictures.
    pub fn is_cover(&self) -> bool {
        self.disposition & ffi::AV_DISPOSITION_ATTACHED_PIC != 0
    }

    /// The value of a metadata key.
    pub fn tag(&self, key: &str) -> Option<&str> {
        self.metadata.iter().find(|(name, _)| name.eq_ignore_ascii_case(key)).map(|(_, value)| value.as_str())
    }

    /// Whether every packet with a pts of its own gives one picture, so that a missing picture is a loss. (MPEG-4, VP8
    /// and VP9 streams have packets that show nothing.)
    pub fn shows_every_packet(&self) -> bool {
        let codec = self.codec.as_str();
        matches!(
            codec,
            "h264" | "hevc" | "av1" | "mpeg2video" | "mpeg1video" | "prores" | "ffv1" | "mjpeg" | "dnxhd" | "rawvideo"
        )
    }

    /// Bytes of the codec's own header.
    pub fn extradata(&self) -> &[u8] {
        self.parameters.extradata()
    }

    /// Nothing is lost in the coding: its codec knows no other way.
    pub fn is_lossless(&self) -> bool {
        let kinds = ffi::AV_CODEC_PROP_LOSSY | ffi::AV_CODEC_PROP_LOSSLESS;
        self.properties() & kinds == ffi::AV_CODEC_PROP_LOSSLESS
    }

    /// No picture needs another: its codec knows no other way.
    pub fn is_intra_only(&self) -> bool {
        self.properties() & ffi::AV_CODEC_PROP_INTRA_ONLY != 0
    }

    /// Subtitles made of text rather than pictures.
    pub fn is_text_subtitle(&self) -> bool {
        self.properties() & ffi::AV_CODEC_PROP_TEXT_SUB != 0
    }

    /// FFmpeg's `AV_CODEC_PROP_*` bits of the codec.
    fn properties(&self) -> i32 {
        // SAFETY: looks a constant table up, which gives null or static data.
        unsafe { ffi::avcodec_descriptor_get(self.parameters.get().codec_id).as_ref() }
            .map_or(0, |descriptor| descriptor.props)
    }

    /// Reads all of it out of a stream that FFmpeg owns; `None` for a stream with no usable time base.
    ///
    /// # Safety
    /// `format` is an open input and `stream` one of its streams.
    pub(super) unsafe fn read(format: *mut ffi::AVFormatContext, stream: *mut ffi::AVStream) -> Result<Option<Stream>> {
        // SAFETY: both are valid by contract; nothing here changes them.
        let (raw, parameters) = unsafe { (&*stream, &*(*stream).codecpar) };
        let Some(time_base) = tags::time_base(raw.time_base) else { return Ok(None) };
        let kind = match parameters.codec_type {
            ffi::AVMediaType::AVMEDIA_TYPE_VIDEO => MediaKind::Video,
            ffi::AVMediaType::AVMEDIA_TYPE_AUDIO => MediaKind::Audio,
            ffi::AVMediaType::AVMEDIA_TYPE_SUBTITLE => MediaKind::Subtitle,
            ffi::AVMediaType::AVMEDIA_TYPE_ATTACHMENT => MediaKind::Attachment,
            _ => MediaKind::Data,
        };
        let is_video = kind == MediaKind::Video;
        // SAFETY: valid by contract; the guesses only read, and the names are static strings.
        let (rate, sar, codec, sample_format) = unsafe {
            (
                ffi::av_guess_frame_rate(format, stream, std::ptr::null_mut()),
                ffi::av_guess_sample_aspect_ratio(format, stream, std::ptr::null_mut()),
                text(ffi::avcodec_get_name(parameters.codec_id)),
                match kind {
                    MediaKind::Video => text(ffi::av_get_pix_fmt_name(std::mem::transmute::<i32, ffi::AVPixelFormat>(
                        parameters.format,
                    ))),
                    MediaKind::Audio => text(ffi::av_get_sample_fmt_name(std::mem::transmute::<
                        i32,
                        ffi::AVSampleFormat,
                    >(parameters.format))),
                    _ => String::new(),
                },
            )
        };
        let is_cover = raw.disposition & ffi::AV_DISPOSITION_ATTACHED_PIC != 0;
        let picture = &raw.attached_pic;
        let cover = (is_cover && !picture.data.is_null() && picture.size > 0)
            // SAFETY: the attached picture's data has `size` bytes.
            .then(|| unsafe { std::slice::from_raw_parts(picture.data, picture.size as usize) }.to_vec());
        Ok(Some(Stream {
            index: usize::try_from(raw.index).unwrap_or(0),
            id: raw.id,
            kind,
            codec,
            codec_tag: parameters.codec_tag,
            time_base,
            start: packet::known(raw.start_time),
            duration: packet::known(raw.duration).filter(|ticks| *ticks > 0),
            n_frames: u64::try_from(raw.nb_frames).unwrap_or(0),
            disposition: raw.disposition,
            // SAFETY: the stream's dictionary, valid with it.
            metadata: unsafe { dictionary::pairs_of(raw.metadata) },
            sample_aspect_ratio: tags::ratio(sar),
            frame_rate: tags::ratio(rate),
            average_frame_rate: tags::ratio(raw.avg_frame_rate),
            width: usize::try_from(parameters.width).unwrap_or(0),
            height: usize::try_from(parameters.height).unwrap_or(0),
            sample_format,
            color: if is_video {
                tags::color(
                    parameters.color_range,
                    parameters.color_space,
                    parameters.color_primaries,
                    parameters.color_trc,
                    parameters.chroma_location,
                )
            } else {
                ColorTags::NONE
            },
            field_order: tags::field_order_from(parameters.field_order),
            sample_rate: usize::try_from(parameters.sample_rate).unwrap_or(0),
            channels: usize::try_from(parameters.ch_layout.nb_channels).unwrap_or(0),
            // SAFETY: the stream is valid by contract.
            side_data: unsafe { side_data(raw) },
            is_left_out: raw.discard == ffi::AVDiscard::AVDISCARD_ALL,
            cover,
            // SAFETY: the stream's parameters are valid by contract.
            parameters: unsafe { Parameters::copy_of(raw.codecpar) }?,
        }))
    }
}

/// # Safety
/// `raw` is a valid stream.
unsafe fn side_data(raw: &ffi::AVStream) -> Vec<StreamSideData> {
    let count = usize::try_from(raw.nb_side_data).unwrap_or(0);
    (0..count)
        .map(|i| {
            // SAFETY: the array has `nb_side_data` entries, each with `size` bytes.
            unsafe {
                let entry = &*raw.side_data.add(i);
                let bytes = match entry.size {
                    0 => Vec::new(),
                    size => std::slice::from_raw_parts(entry.data, size).to_vec(),
                };
                StreamSideData { kind: entry.type_ as u32, bytes }
            }
        })
        .collect()
}

/// A static or null C string as text.
///
/// # Safety
/// `pointer` is null or a terminated string.
pub(super) unsafe fn text(pointer: *const std::ffi::c_char) -> String {
    if pointer.is_null() {
        return String::new();
    }
    // SAFETY: by contract.
    unsafe { CStr::from_ptr(pointer) }.to_string_lossy().into_owned()
}

/// A stream's codec parameters, owned.
pub(super) struct Parameters(*mut ffi::AVCodecParameters);

// SAFETY: plain data owned by this value, never changed after it is made.
unsafe impl Send for Parameters {}
// SAFETY: as above; shared references only read.
unsafe impl Sync for Parameters {}

impl Parameters {
    fn empty() -> Result<Self> {
        // SAFETY: allocates.
        let parameters = unsafe { ffi::avcodec_parameters_alloc() };
        if parameters.is_null() {
            return Err(Error::new(Kind::Io, "out of memory for stream parameters"));
        }
        Ok(Parameters(parameters))
    }

    /// # Safety
    /// `source` is valid.
    pub(super) unsafe fn copy_of(source: *const ffi::AVCodecParameters) -> Result<Self> {
        let parameters = Parameters::empty()?;
        // SAFETY: both are valid; the copy is deep.
        match unsafe { ffi::avcodec_parameters_copy(parameters.0, source) } {
            0.. => Ok(parameters),
            code => Err(super::error(Kind::Input, "copy stream parameters", code)),
        }
    }

    /// What an open encoder makes.
    ///
    /// # Safety
    /// `context` is valid and open.
    pub(super) unsafe fn of_encoder(context: *const ffi::AVCodecContext) -> Result<Self> {
        let parameters = Parameters::empty()?;
        // SAFETY: both are valid; the copy is deep.
        match unsafe { ffi::avcodec_parameters_from_context(parameters.0, context) } {
            0.. => Ok(parameters),
            code => Err(super::error(Kind::Encode, "the encoder's parameters", code)),
        }
    }

    pub(super) fn as_ptr(&self) -> *mut ffi::AVCodecParameters {
        self.0
    }

    pub(super) fn get(&self) -> &ffi::AVCodecParameters {
        // SAFETY: valid from `copy_of` to drop.
        unsafe { &*self.0 }
    }

    /// libx264 writes the limited range into its header only together with another tag.
    pub(super) fn leaves_range_out(&self) -> bool {
        let raw = self.get();
        raw.codec_id == ffi::AVCodecID::AV_CODEC_ID_H264
            && raw.color_range == ffi::AVColorRange::AVCOL_RANGE_MPEG
            && raw.color_space == ffi::AVColorSpace::AVCOL_SPC_UNSPECIFIED
            && raw.color_primaries == ffi::AVColorPrimaries::AVCOL_PRI_UNSPECIFIED
            && raw.color_trc == ffi::AVColorTransferCharacteristic::AVCOL_TRC_UNSPECIFIED
            && raw.extradata_size > 0
    }

    /// The same with the limited range written into the H.264 header, by FFmpeg's own filter for headers.
    pub(super) fn with_range_stated(&self) -> Result<Self> {
        let mut filter = std::ptr::null_mut();
        // SAFETY: the filter is made from a constant description, gets a copy of valid parameters, and is freed on
        // every way; initialising it rewrites the header, packets need not pass.
        unsafe {
            let code = ffi::av_bsf_list_parse_str(c"h264_metadata=video_full_range_flag=0".as_ptr(), &mut filter);
            if code < 0 {
                return Err(super::error(Kind::Encode, "make the header filter", code));
            }
            let mut code = ffi::avcodec_parameters_copy((*filter).par_in, self.0);
            if code >= 0 {
                code = ffi::av_bsf_init(filter);
            }
            let result = if code < 0 {
                Err(super::error(Kind::Encode, "write the colour range into the header", code))
            } else {
                Parameters::copy_of((*filter).par_out)
            };
            ffi::av_bsf_free(&mut filter);
            result
        }
    }

    pub(super) fn extradata(&self) -> &[u8] {
        let parameters = self.get();
        match usize::try_from(parameters.extradata_size) {
            // SAFETY: extradata has `extradata_size` bytes.
            Ok(size) if size > 0 => unsafe { std::slice::from_raw_parts(parameters.extradata, size) },
            _ => &[],
        }
    }
}

impl Drop for Parameters {
    fn drop(&mut self) {
        // SAFETY: owned by this value.
        unsafe { ffi::avcodec_parameters_free(&mut self.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_display_matrix_is_read_as_players_do() {
        let of = |words: [i32; 4]| {
            let [a, b, c, d] = words.map(|word| word << 16);
            let all = [a, b, 0, c, d, 0, 0, 0, 1 << 30];
            let bytes = all.iter().flat_map(|word| word.to_ne_bytes()).collect();
            StreamSideData { kind: StreamSideData::DISPLAY_MATRIX, bytes }.orientation()
        };
        assert_eq!(of([1, 0, 0, 1]), Some((0, false)));
        assert_eq!(of([0, 1, -1, 0]), Some((90, false)));
        assert_eq!(of([-1, 0, 0, -1]), Some((180, false)));
        assert_eq!(of([0, -1, 1, 0]), Some((270, false)));
        assert_eq!(of([-1, 0, 0, 1]), Some((0, true)));
        let other = |kind, n| StreamSideData { kind, bytes: vec![0; n] }.orientation();
        assert_eq!(other(StreamSideData::DISPLAY_MATRIX, 3), None);
        assert_eq!(other(StreamSideData::CONTENT_LIGHT, 36), None);
    }
}
