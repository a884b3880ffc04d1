//! Muxing: a container being written.

use std::ffi::CString;
use std::path::Path;
use std::ptr;

use ffmpeg_next::ffi;

use super::dictionary::Dictionary;
use super::encoder::{Encoder, EncoderCodec};
use super::input::Chapter;
use super::io::Writer;
use super::packet::Packet;
use super::stream::{MediaKind, Parameters, Stream, StreamSideData, text};
use super::tags;
use crate::error::{Error, Kind, Result};
use crate::frame::FieldOrder;
use crate::time::{Ratio, TimeBase};

/// What a stream of an output says about itself, beside its codec.
#[derive(Clone, Debug, Default)]
pub struct OutputStream {
    /// Title, language, ...
    pub metadata: Vec<(String, String)>,
    /// FFmpeg's `AV_DISPOSITION_*` bits.
    pub disposition: i32,
    /// Display matrix, mastering display, ...
    pub side_data: Vec<StreamSideData>,
    /// What its time stamps count; the container may choose a finer tick.
    pub time_base: Option<TimeBase>,
    /// Video: the average frame rate.
    pub frame_rate: Option<Ratio>,
    /// Video: sample aspect ratio.
    pub sample_aspect_ratio: Option<Ratio>,
    /// Video: field order.
    pub field_order: Option<FieldOrder>,
    /// A four-character code to write instead of the container's usual one.
    pub codec_tag: Option<[u8; 4]>,
}

/// A container being written.
pub struct Output {
    context: *mut ffi::AVFormatContext,
    /// Kept alive as long as the context writes to it.
    writer: Writer,
    header_written: bool,
    /// By stream: microseconds that its packets are moved to come out at their times.
    corrections: Vec<i64>,
    /// The lowest pts that was written, in microseconds.
    earliest: Option<i64>,
}

// SAFETY: the context belongs to this value alone.
unsafe impl Send for Output {}

impl Output {
    /// A container of FFmpeg's `format`, written to `writer`; `path` is where the file lies, for the second pass that
    /// moves an mp4's index to its front.
    pub fn new(format: &str, path: &Path, writer: Writer) -> Result<Output> {
        super::prepare();
        let name = CString::new(format).unwrap_or_default();
        let mut url = b"file:".to_vec();
        url.extend_from_slice(std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str()));
        let url = CString::new(url).map_err(|_| Error::new(Kind::Usage, "the output's name holds a NUL byte"))?;
        let mut context = ptr::null_mut();
        // SAFETY: allocates a context for a format found by name; the url is copied.
        let code =
            unsafe { ffi::avformat_alloc_output_context2(&mut context, ptr::null(), name.as_ptr(), url.as_ptr()) };
        if code == super::NO_MEMORY {
            return Err(super::error(Kind::Io, "make a container", code));
        }
        if code < 0 || context.is_null() {
            return Err(Error::new(Kind::Usage, format!("this FFmpeg cannot write the container '{format}'")));
        }
        // SAFETY: the context is fresh; it writes through our own I/O.
        unsafe {
            (*context).pb = writer.as_ptr();
            (*context).flags |= ffi::AVFMT_FLAG_CUSTOM_IO;
            if !matches!(format, "mp4" | "mov") {
                // No random identifiers. An mp4 has none, and there the flag would leave out the creation time.
                (*context).flags |= ffi::AVFMT_FLAG_BITEXACT;
            }
            (*context).strict_std_compliance = ffi::FF_COMPLIANCE_EXPERIMENTAL;
            // Packets come in dts order from us; a sparse subtitle stream must not make the muxer hold the rest back.
            (*context).max_interleave_delta = 10_000_000;
        }
        Ok(Output { context, writer, header_written: false, corrections: Vec::new(), earliest: None })
    }

    /// FFmpeg's name of the muxer for a file name, by its extension.
    pub fn format_for(path: &Path) -> Option<String> {
        super::prepare();
        let name = CString::new(format!("x.{}", path.extension()?.to_str()?.to_ascii_lowercase())).ok()?;
        // SAFETY: looks a terminated string up; the result is static or null.
        unsafe {
            let format = ffi::av_guess_format(ptr::null(), name.as_ptr(), ptr::null());
            (!format.is_null() && (*format).flags & (ffi::AVFMT_NOFILE | ffi::AVFMT_NEEDNUMBER) == 0)
                .then(|| text((*format).name))
        }
    }

    /// The container wants codec headers beside the streams.
    pub fn wants_global_header(&self) -> bool {
        // SAFETY: the context has a format.
        unsafe { (*(*self.context).oformat).flags & ffi::AVFMT_GLOBALHEADER != 0 }
    }

    /// Whether the container can hold what `codec` makes.
    pub fn takes(&self, codec: EncoderCodec) -> bool {
        // SAFETY: the context has a format; the query reads tables.
        unsafe { ffi::avformat_query_codec((*self.context).oformat, codec.id(), ffi::FF_COMPLIANCE_EXPERIMENTAL) == 1 }
    }

    /// Whether packets of a stream may follow each other at the same time.
    pub fn takes_equal_times(&self) -> bool {
        // SAFETY: the context has a format.
        unsafe { (*(*self.context).oformat).flags & ffi::AVFMT_TS_NONSTRICT != 0 }
    }

    /// Sets the whole file's metadata.
    pub fn set_metadata(&mut self, metadata: &[(String, String)]) {
        let dictionary = Dictionary::from_pairs(metadata.iter().map(|(key, value)| (key, value)));
        // SAFETY: the context owns its dictionary and frees it; the old one is freed first.
        unsafe {
            ffi::av_dict_free(&mut (*self.context).metadata);
            (*self.context).metadata = dictionary.into_raw();
        }
    }

    /// Adds the chapters.
    pub fn set_chapters(&mut self, chapters: &[Chapter]) -> Result<()> {
        if chapters.is_empty() {
            return Ok(());
        }
        // SAFETY: chapters and their array are FFmpeg allocations, which the context frees.
        unsafe {
            let array = ffi::av_calloc(chapters.len(), size_of::<*mut ffi::AVChapter>()).cast::<*mut ffi::AVChapter>();
            if array.is_null() {
                return Err(Error::new(Kind::Io, "out of memory for chapters"));
            }
            (*self.context).chapters = array;
            for chapter in chapters {
                let raw = ffi::av_mallocz(size_of::<ffi::AVChapter>()).cast::<ffi::AVChapter>();
                if raw.is_null() {
                    return Err(Error::new(Kind::Io, "out of memory for chapters"));
                }
                (*raw).id = chapter.id;
                (*raw).time_base = tags::rational_of(chapter.time_base);
                (*raw).start = chapter.start;
                (*raw).end = chapter.end;
                (*raw).metadata =
                    Dictionary::from_pairs(chapter.metadata.iter().map(|(key, value)| (key, value))).into_raw();
                *array.add((*self.context).nb_chapters as usize) = raw;
                (*self.context).nb_chapters += 1;
            }
        }
        Ok(())
    }

    /// Adds a stream for an encoder's packets; its index.
    pub fn add_encoded(&mut self, encoder: &Encoder, about: &OutputStream) -> Result<usize> {
        let mut parameters = encoder.parameters()?;
        if self.wants_global_header() && parameters.leaves_range_out() {
            parameters = parameters.with_range_stated()?;
        }
        // Encoders of several kinds of pictures tell them apart by it.
        let tag = self.known_tag(&parameters);
        self.add(&parameters, tag, about)
    }

    /// Adds a stream whose packets are copied; its index.
    pub fn add_copy(&mut self, stream: &Stream, about: &OutputStream) -> Result<usize> {
        let tag = self.known_tag(&stream.parameters);
        self.add(&stream.parameters, tag, about)
    }

    /// The four-character code of these parameters, if the container knows their codec by it or has none for it; else 0.
    fn known_tag(&self, parameters: &Parameters) -> u32 {
        let parameters = parameters.get();
        // SAFETY: the context has a format, whose tag tables are static.
        let keeps = unsafe {
            let tables = (*(*self.context).oformat).codec_tag;
            tables.is_null()
                || ffi::av_codec_get_id(tables, parameters.codec_tag) == parameters.codec_id
                || ffi::av_codec_get_tag2(tables, parameters.codec_id, &mut 0) == 0
        };
        if keeps { parameters.codec_tag } else { 0 }
    }

    /// Adds a file that rides along (a font, a cover in Matroska): it has no packets, its bytes are the header.
    pub fn add_attachment(&mut self, codec_of: &Stream, bytes: &[u8], about: &OutputStream) -> Result<usize> {
        // SAFETY: a copy of valid parameters; extradata is an FFmpeg allocation with padding, owned by the copy.
        let parameters = unsafe {
            let copy = Parameters::copy_of(codec_of.parameters.as_ptr())?;
            let raw = &mut *copy.as_ptr();
            let padded = bytes.len() + ffi::AV_INPUT_BUFFER_PADDING_SIZE as usize;
            let extradata = ffi::av_mallocz(padded).cast::<u8>();
            if extradata.is_null() {
                return Err(Error::new(Kind::Io, "out of memory for an attachment"));
            }
            ptr::copy_nonoverlapping(bytes.as_ptr(), extradata, bytes.len());
            ffi::av_freep((&raw mut raw.extradata).cast());
            raw.extradata = extradata;
            raw.extradata_size = bytes.len() as i32;
            raw.codec_type = ffi::AVMediaType::AVMEDIA_TYPE_ATTACHMENT;
            copy
        };
        self.add(&parameters, 0, about)
    }

    /// Adds a stream with these parameters.
    pub(super) fn add(&mut self, parameters: &Parameters, codec_tag: u32, about: &OutputStream) -> Result<usize> {
        let index = self.add_uncorrected(parameters, codec_tag, about)?;
        // SAFETY: the context has a format, whose name is static.
        let format = unsafe { text((*(*self.context).oformat).name) };
        let is_delayed = parameters.get().codec_id == ffi::AVCodecID::AV_CODEC_ID_OPUS;
        let has_delays = matches!(format.as_str(), "matroska" | "webm");
        let correction = if is_delayed && has_delays { super::delay::correction(&format, parameters)? } else { 0 };
        self.corrections.resize(index, 0);
        self.corrections.push(correction);
        Ok(index)
    }

    /// Adds a stream whose packets are written at the times they have.
    pub(super) fn add_uncorrected(
        &mut self,
        parameters: &Parameters,
        codec_tag: u32,
        about: &OutputStream,
    ) -> Result<usize> {
        // SAFETY: the context owns the new stream; parameters are copied, dictionaries handed over.
        unsafe {
            let stream = ffi::avformat_new_stream(self.context, ptr::null());
            if stream.is_null() {
                return Err(Error::new(Kind::Io, "out of memory for a stream"));
            }
            let raw = &mut *stream;
            let code = ffi::avcodec_parameters_copy(raw.codecpar, parameters.as_ptr());
            if code < 0 {
                return Err(super::error(Kind::Encode, "copy stream parameters", code));
            }
            (*raw.codecpar).codec_tag = about.codec_tag.map_or(codec_tag, u32::from_le_bytes);
            raw.metadata = Dictionary::from_pairs(about.metadata.iter().map(|(key, value)| (key, value))).into_raw();
            raw.disposition = about.disposition;
            if let Some(base) = about.time_base {
                raw.time_base = tags::rational_of(base);
            }
            if let Some(rate) = about.frame_rate.filter(|rate| rate.is_known()) {
                raw.avg_frame_rate = tags::rational(rate);
            }
            if let Some(sar) = about.sample_aspect_ratio.filter(|sar| sar.is_known()) {
                raw.sample_aspect_ratio = tags::rational(sar);
                (*raw.codecpar).sample_aspect_ratio = tags::rational(sar);
            }
            if let Some(order) = about.field_order {
                (*raw.codecpar).field_order = match order {
                    FieldOrder::Progressive => ffi::AVFieldOrder::AV_FIELD_PROGRESSIVE,
                    FieldOrder::TopFirst => ffi::AVFieldOrder::AV_FIELD_TT,
                    FieldOrder::BottomFirst => ffi::AVFieldOrder::AV_FIELD_BB,
                };
            }
            for data in &about.side_data {
                // The kind came from a stream of this same FFmpeg, so it is a valid enum value.
                let kind = std::mem::transmute::<u32, ffi::AVPacketSideDataType>(data.kind);
                let bytes = ffi::av_stream_new_side_data(stream, kind, data.bytes.len());
                if bytes.is_null() {
                    return Err(Error::new(Kind::Io, "out of memory for side data"));
                }
                ptr::copy_nonoverlapping(data.bytes.as_ptr(), bytes, data.bytes.len());
            }
            Ok(usize::try_from(raw.index).unwrap_or(0))
        }
    }

    /// Writes the header; after this time bases are final.
    pub fn write_header(&mut self, options: &[(String, String)]) -> Result<()> {
        let mut dictionary = Dictionary::new();
        for (key, value) in options {
            dictionary.set(key, value);
        }
        // SAFETY: the context has its streams and I/O.
        let (code, complaints) =
            super::log::listen(|| unsafe { ffi::avformat_write_header(self.context, dictionary.as_mut_ptr()) });
        if code < 0 {
            let kind = if code == super::NO_MEMORY { Kind::Io } else { Kind::Encode };
            let why = reason(complaints.last(), code);
            let refused = Error::new(kind, format!("the container refuses the streams: {why}"));
            return Err(self.failure("start the output", refused));
        }
        self.header_written = true;
        Ok(())
    }

    /// What a stream's time stamps count, final after the header.
    pub fn time_base(&self, stream: usize) -> TimeBase {
        // SAFETY: the context has its streams; the index is checked.
        unsafe {
            if stream >= (*self.context).nb_streams as usize {
                return TimeBase::MICROS;
            }
            tags::time_base((**(*self.context).streams.add(stream)).time_base).unwrap_or(TimeBase::MICROS)
        }
    }

    /// Queues a packet, whose times are in its stream's time base; the muxer interleaves by dts.
    pub fn write(&mut self, mut packet: Packet) -> Result<()> {
        if let Some(micros) = self.corrections.get(packet.stream_index()).filter(|micros| **micros != 0) {
            let by = TimeBase::MICROS.rescale(*micros, self.time_base(packet.stream_index()));
            let moved = |ticks: Option<i64>| ticks.map(|ticks| ticks.saturating_add(by));
            packet.set_times(moved(packet.pts()), moved(packet.dts()));
        }
        let base = self.time_base(packet.stream_index());
        let micros = packet.pts().map(|pts| base.rescale(pts, TimeBase::MICROS));
        self.earliest = self.earliest.into_iter().chain(micros).min();
        // SAFETY: the header was written; the muxer takes the packet's reference.
        let write = || unsafe { ffi::av_interleaved_write_frame(self.context, packet.as_ptr()) };
        let (code, complaints) = super::log::listen(write);
        match code {
            0.. => match self.writer.take_failure() {
                Some(failure) => Err(Error::io("write the output", failure)),
                None => Ok(()),
            },
            code => {
                let why = reason(complaints.last(), code);
                let message = format!("the container refuses a packet: {why}; another one, such as .mkv, may take it");
                Err(self.failure("write the output", Error::new(Kind::Encode, message)))
            }
        }
    }

    /// The lowest pts that was written, in microseconds. Where it is below 0, a container that holds no such times has
    /// moved everything so that it becomes 0.
    pub fn earliest(&self) -> Option<i64> {
        self.earliest
    }

    /// Writes what is queued and the trailer.
    pub fn finish(&mut self) -> Result<()> {
        // SAFETY: the header was written, the trailer is written once.
        let code = unsafe { ffi::av_write_trailer(self.context) };
        self.header_written = false;
        if code < 0 {
            return Err(self.failure("finish the output", super::error(Kind::Encode, "the muxer cannot finish", code)));
        }
        // SAFETY: the context's I/O is ours; flushing shows late errors.
        unsafe { ffi::avio_flush(self.writer.as_ptr()) };
        match self.writer.take_failure() {
            Some(failure) => Err(Error::io("finish the output", failure)),
            None => Ok(()),
        }
    }

    /// The operating system's own words, if it was its fault.
    fn failure(&mut self, what: &str, otherwise: Error) -> Error {
        match self.writer.take_failure() {
            Some(failure) => Error::io(what, failure),
            None => otherwise,
        }
    }

    /// What kind of stream this index is.
    pub fn kind(&self, stream: usize) -> MediaKind {
        // SAFETY: the context has its streams; callers pass indexes that `add` gave.
        let kind = unsafe { (*(**(*self.context).streams.add(stream)).codecpar).codec_type };
        match kind {
            ffi::AVMediaType::AVMEDIA_TYPE_VIDEO => MediaKind::Video,
            ffi::AVMediaType::AVMEDIA_TYPE_AUDIO => MediaKind::Audio,
            ffi::AVMediaType::AVMEDIA_TYPE_SUBTITLE => MediaKind::Subtitle,
            ffi::AVMediaType::AVMEDIA_TYPE_ATTACHMENT => MediaKind::Attachment,
            _ => MediaKind::Data,
        }
    }
}

/// What FFmpeg said last, without who said it, or the words for its error code.
fn reason(complaint: Option<&String>, code: i32) -> String {
    complaint.map_or_else(|| super::describe(code), |line| line.rsplit("] ").next().unwrap_or(line).to_lowercase())
}

impl Drop for Output {
    fn drop(&mut self) {
        // SAFETY: owned by this value; the I/O is ours and freed after it, by field order. A context whose header was
        // written is freed without its trailer: the file stays unfinished under its temporary name.
        unsafe {
            (*self.context).pb = ptr::null_mut();
            ffi::avformat_free_context(self.context);
        }
    }
}
