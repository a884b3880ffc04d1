//! Re-encoding of other streams that the output's container cannot hold as they are: text subtitles between formats,
//! and sound to a lossless or common codec.

use std::ptr;

use ffmpeg_next::ffi;

use super::encoder::find_encoder;
use super::packet::Packet;
use super::picture::AvFrame;
use super::stream::{Parameters, Stream};
use super::{Output, OutputStream, tags};
use crate::error::{Error, Kind, Result};
use crate::time::TimeBase;

/// A codec context that frees itself.
struct Codec(*mut ffi::AVCodecContext);

// SAFETY: the context belongs to this value alone.
unsafe impl Send for Codec {}

impl Codec {
    fn new(codec: *const ffi::AVCodec) -> Result<Codec> {
        // SAFETY: the codec is static; null is checked.
        let context = unsafe { ffi::avcodec_alloc_context3(codec) };
        if context.is_null() { Err(Error::new(Kind::Io, "out of memory for a codec")) } else { Ok(Codec(context)) }
    }

    /// An open decoder for a stream.
    fn decoder(stream: &Stream) -> Result<Codec> {
        // SAFETY: the parameters are valid; every result is checked.
        unsafe {
            let codec = ffi::avcodec_find_decoder(stream.parameters.get().codec_id);
            if codec.is_null() {
                return Err(Error::new(Kind::Input, format!("this FFmpeg has no decoder for '{}'", stream.codec)));
            }
            let decoder = Codec::new(codec)?;
            let code = ffi::avcodec_parameters_to_context(decoder.0, stream.parameters.as_ptr());
            if code < 0 {
                return Err(super::error(Kind::Input, "the decoder refuses the stream's parameters", code));
            }
            (*decoder.0).pkt_timebase = tags::rational_of(stream.time_base);
            decoder.open(codec)?;
            Ok(decoder)
        }
    }

    fn open(&self, codec: *const ffi::AVCodec) -> Result<()> {
        // SAFETY: the context was made for this codec.
        match unsafe { ffi::avcodec_open2(self.0, codec, ptr::null_mut()) } {
            0.. => Ok(()),
            code => Err(super::error(Kind::Encode, "a codec does not start", code)),
        }
    }

    fn parameters(&self) -> Result<Parameters> {
        // SAFETY: owned by this value, and open.
        unsafe { Parameters::of_encoder(self.0) }
    }
}

impl Drop for Codec {
    fn drop(&mut self) {
        // SAFETY: owned by this value.
        unsafe { ffi::avcodec_free_context(&mut self.0) }
    }
}

/// Text subtitles from one format to another; styling that the target lacks is lost.
pub struct SubtitleTranscoder {
    decoder: Codec,
    encoder: Codec,
    from: TimeBase,
    buffer: Vec<u8>,
}

impl SubtitleTranscoder {
    /// From `stream` to FFmpeg's encoder `encoder` (`mov_text`, `subrip`, `webvtt`, `ass`).
    pub fn new(stream: &Stream, encoder: &str) -> Result<Self> {
        let decoder = Codec::decoder(stream)?;
        let codec = find_encoder(encoder)?;
        let encoder = Codec::new(codec)?;
        // SAFETY: both contexts are valid; the header is an FFmpeg allocation that the encoder's context frees.
        unsafe {
            (*encoder.0).time_base = ffi::AVRational { num: 1, den: 1_000_000 };
            let size = usize::try_from((*decoder.0).subtitle_header_size).unwrap_or(0);
            if size > 0 {
                let header = ffi::av_mallocz(size + 1).cast::<u8>();
                if header.is_null() {
                    return Err(Error::new(Kind::Io, "out of memory for a subtitle header"));
                }
                ptr::copy_nonoverlapping((*decoder.0).subtitle_header, header, size);
                (*encoder.0).subtitle_header = header;
                (*encoder.0).subtitle_header_size = size as i32;
            }
        }
        encoder.open(codec)?;
        Ok(SubtitleTranscoder { decoder, encoder, from: stream.time_base, buffer: vec![0; 1 << 20] })
    }

    /// Adds the output stream.
    pub fn add_to(&self, output: &mut Output, about: &OutputStream) -> Result<usize> {
        output.add(&self.encoder.parameters()?, 0, about)
    }

    /// Converts one packet; `None` where it holds no text. Times stay in the source's ticks.
    pub fn convert(&mut self, packet: &Packet) -> Result<Option<Packet>> {
        // SAFETY: an all-zero AVSubtitle is an empty one.
        let mut subtitle: ffi::AVSubtitle = unsafe { std::mem::zeroed() };
        let mut got = 0;
        // SAFETY: contexts are open, the packet valid; the subtitle is freed below on every way.
        let code = unsafe { ffi::avcodec_decode_subtitle2(self.decoder.0, &mut subtitle, &mut got, packet.as_ptr()) };
        if code < 0 {
            return Err(super::error(Kind::Decode, "a subtitle cannot be decoded", code));
        }
        if got == 0 {
            return Ok(None);
        }
        let duration = match packet.duration() {
            0 if subtitle.end_display_time != u32::MAX => {
                let milliseconds = TimeBase::new(1, 1000).unwrap_or(TimeBase::MICROS);
                milliseconds.rescale(i64::from(subtitle.end_display_time), self.from)
            }
            ticks => ticks,
        };
        subtitle.pts = self.from.rescale(packet.pts().unwrap_or(0), TimeBase::MICROS);
        subtitle.start_display_time = 0;
        // SAFETY: the buffer's true size is given; the subtitle is freed once.
        let size = unsafe {
            let size = ffi::avcodec_encode_subtitle(
                self.encoder.0,
                self.buffer.as_mut_ptr(),
                self.buffer.len() as i32,
                &subtitle,
            );
            ffi::avsubtitle_free(&mut subtitle);
            size
        };
        let size =
            usize::try_from(size).map_err(|_| super::error(Kind::Encode, "a subtitle cannot be encoded", size))?;
        let mut converted = Packet::from_data(&self.buffer[..size])?;
        converted.set_times(packet.pts(), packet.pts());
        converted.set_duration(duration);
        Ok(Some(converted))
    }
}

/// Gaps longer than a second divided by this are filled with silence: shorter than any codec's packet, and longer than
/// what containers round times by.
const LEAST_GAP: i64 = 64;

/// Sound from one codec to another.
pub struct AudioTranscoder {
    decoder: Codec,
    encoder: Codec,
    resampler: *mut ffi::SwrContext,
    /// Format, rate and layout that the resampler is set for; no samples.
    heard: AvFrame,
    fifo: *mut ffi::AVAudioFifo,
    from: TimeBase,
    /// Where the next sample goes that the encoder gets, in its ticks; from the first pts on.
    position: Option<i64>,
    /// The first place that is kept, and the first that no longer is.
    span: (Option<i64>, Option<i64>),
    n_broken: u64,
    ready: Vec<Packet>,
}

// SAFETY: all contexts belong to this value alone.
unsafe impl Send for AudioTranscoder {}

impl AudioTranscoder {
    /// From `stream` to FFmpeg's encoder `encoder` (`alac`, `flac`, `libopus`).
    pub fn new(stream: &Stream, encoder: &str) -> Result<Self> {
        let decoder = Codec::decoder(stream)?;
        let codec = find_encoder(encoder)?;
        let format = |layout: *const ffi::AVChannelLayout| -> Result<Codec> {
            let target = Codec::new(codec)?;
            // SAFETY: contexts are valid, and the layout is the decoder's or a standard one.
            unsafe {
                let (source, raw) = (&*decoder.0, &mut *target.0);
                raw.sample_rate = if encoder == "libopus" { 48_000 } else { source.sample_rate };
                raw.sample_fmt = best_format(codec, source.sample_fmt);
                raw.bits_per_raw_sample = source.bits_per_raw_sample.max(stream.parameters.get().bits_per_raw_sample);
                raw.time_base = ffi::AVRational { num: 1, den: raw.sample_rate };
                raw.flags |= (ffi::AV_CODEC_FLAG_GLOBAL_HEADER | ffi::AV_CODEC_FLAG_BITEXACT) as i32;
                ffi::av_channel_layout_copy(&mut raw.ch_layout, layout);
            }
            target.open(codec)?;
            Ok(target)
        };
        // SAFETY: the decoder is open; an all-zero layout is an empty one, and standard ones own no memory.
        let target = unsafe {
            let layout = &raw const (*decoder.0).ch_layout;
            let mut usual: ffi::AVChannelLayout = std::mem::zeroed();
            ffi::av_channel_layout_default(&mut usual, (*layout).nb_channels);
            if (*layout).order == ffi::AVChannelOrder::AV_CHANNEL_ORDER_UNSPEC {
                format(&usual)?
            } else {
                // Encoders that do not know 5.1 with side speakers know it with rear ones.
                format(layout).or_else(|_| format(&usual))?
            }
        };
        let mut this = AudioTranscoder {
            decoder,
            encoder: target,
            resampler: ptr::null_mut(),
            heard: AvFrame::new()?,
            fifo: ptr::null_mut(),
            from: stream.time_base,
            position: None,
            span: (None, None),
            n_broken: 0,
            ready: Vec::new(),
        };
        // SAFETY: contexts are valid; every result is checked; the struct frees what was made.
        unsafe {
            let source = &*this.decoder.0;
            let (format, rate, layout) = (source.sample_fmt as i32, source.sample_rate, &raw const source.ch_layout);
            this.hear(format, rate, layout)?;
            let raw = &*this.encoder.0;
            this.fifo = ffi::av_audio_fifo_alloc(raw.sample_fmt, raw.ch_layout.nb_channels, 8192);
        }
        if this.fifo.is_null() {
            return Err(Error::new(Kind::Io, "out of memory for sound"));
        }
        Ok(this)
    }

    /// Keeps the sound from the first to the second of these moments alone, in microseconds.
    pub fn within(mut self, (start, end): (Option<i64>, Option<i64>)) -> Self {
        let base = self.time_base();
        let ticks = |micros| TimeBase::MICROS.rescale(micros, base);
        self.span = (start.map(ticks), end.map(ticks));
        self
    }

    /// Sets the resampler for sound of this format, rate and layout. As many channels as the encoder has are its own, in
    /// their order; others are mixed.
    ///
    /// # Safety
    /// `layout` is valid.
    unsafe fn hear(&mut self, format: i32, rate: i32, layout: *const ffi::AVChannelLayout) -> Result<()> {
        // SAFETY: layouts are valid, by the contract and as the encoder's; every result is checked; `heard` keeps a copy.
        unsafe {
            let raw = &*self.encoder.0;
            let own = &raw const raw.ch_layout;
            let from = if (*layout).nb_channels == (*own).nb_channels { own } else { layout };
            ffi::swr_free(&mut self.resampler);
            let code = ffi::swr_alloc_set_opts2(
                &mut self.resampler,
                own.cast_mut(),
                raw.sample_fmt,
                raw.sample_rate,
                from.cast_mut(),
                std::mem::transmute::<i32, ffi::AVSampleFormat>(format),
                rate,
                0,
                ptr::null_mut(),
            );
            if code < 0 || ffi::swr_init(self.resampler) < 0 {
                let message = format!("sound of {} channels at {rate} Hz cannot be converted", (*layout).nb_channels);
                return Err(Error::new(Kind::Encode, message));
            }
            let heard = self.heard.get_mut();
            (heard.format, heard.sample_rate) = (format, rate);
            match ffi::av_channel_layout_copy(&mut heard.ch_layout, layout) {
                0.. => Ok(()),
                code => Err(super::error(Kind::Io, "remember a channel layout", code)),
            }
        }
    }

    /// Adds the output stream.
    pub fn add_to(&self, output: &mut Output, about: &OutputStream) -> Result<usize> {
        output.add(&self.encoder.parameters()?, 0, about)
    }

    /// What the times of converted packets count.
    pub fn time_base(&self) -> TimeBase {
        // SAFETY: the encoder is open.
        tags::time_base(unsafe { (*self.encoder.0).time_base }).unwrap_or(TimeBase::MICROS)
    }

    /// Converts one packet, or at the end (`None`) what is left.
    pub fn convert(&mut self, packet: Option<&Packet>) -> Result<Vec<Packet>> {
        let pointer = packet.map_or(ptr::null(), |packet| packet.as_ptr().cast_const());
        // SAFETY: the decoder is open; the packet is valid or null. A packet that does not decode leaves a gap.
        let sent = unsafe { ffi::avcodec_send_packet(self.decoder.0, pointer) };
        self.n_broken += u64::from(sent < 0 && packet.is_some());
        loop {
            let frame = AvFrame::new()?;
            // SAFETY: the decoder is open and the frame empty.
            if unsafe { ffi::avcodec_receive_frame(self.decoder.0, frame.as_ptr()) } < 0 {
                break;
            }
            self.follow(&frame)?;
            self.fill(&frame)?;
            self.resample(Some(&frame))?;
            self.encode(false)?;
        }
        if packet.is_none() {
            self.resample(None)?;
            self.encode(true)?;
        }
        Ok(std::mem::take(&mut self.ready))
    }

    /// Packets that could not be decoded so far; silence stands in their place.
    pub fn n_broken(&self) -> u64 {
        self.n_broken
    }

    /// Broadcasts change format, rate and channels on the way; the output's stay.
    fn follow(&mut self, frame: &AvFrame) -> Result<()> {
        let (raw, heard) = (frame.get(), self.heard.get());
        // SAFETY: both layouts are valid.
        let is_same = unsafe { ffi::av_channel_layout_compare(&raw.ch_layout, &heard.ch_layout) == 0 };
        if is_same && (raw.format, raw.sample_rate) == (heard.format, heard.sample_rate) {
            return Ok(());
        }
        self.resample(None)?;
        // SAFETY: the frame's layout is valid.
        unsafe { self.hear(raw.format, raw.sample_rate, &raw.ch_layout) }
    }

    /// Puts silence where the source has none, so that what follows stays in its place.
    fn fill(&mut self, frame: &AvFrame) -> Result<()> {
        let Some(pts) = frame.pts() else { return Ok(()) };
        let at = self.from.rescale(pts, self.time_base());
        let Some(position) = self.position else {
            self.position = Some(at);
            return Ok(());
        };
        // SAFETY: encoder, resampler and fifo are valid.
        let (rate, held) = unsafe {
            let rate = i64::from((*self.encoder.0).sample_rate);
            let held = i64::from(ffi::av_audio_fifo_size(self.fifo)) + ffi::swr_get_delay(self.resampler, rate);
            (rate, held)
        };
        let mut missing = at.saturating_sub(position.saturating_add(held));
        if missing <= rate / LEAST_GAP {
            return Ok(());
        }
        while missing > 0 {
            let count = missing.min(rate);
            self.silence(count as i32)?;
            self.encode(false)?;
            missing -= count;
        }
        Ok(())
    }

    /// So many silent samples into the fifo.
    fn silence(&mut self, count: i32) -> Result<()> {
        let silent = self.room(count)?;
        // SAFETY: the frame has room for `count` samples of the encoder's format.
        unsafe {
            let (data, channels) = (silent.get().extended_data, (*self.encoder.0).ch_layout.nb_channels);
            ffi::av_samples_set_silence(data, 0, count, channels, (*self.encoder.0).sample_fmt);
        }
        self.keep(&silent, count)
    }

    /// The first `count` samples of a frame of the encoder's format into the fifo, as far as they are to be kept.
    fn keep(&mut self, frame: &AvFrame, count: i32) -> Result<()> {
        // SAFETY: the fifo is valid.
        let held = i64::from(unsafe { ffi::av_audio_fifo_size(self.fifo) });
        let next = self.position.unwrap_or(0).saturating_add(held);
        let left = self.span.1.map_or(i64::MAX, |end| end.saturating_sub(next).max(0));
        let count = i64::from(count).min(left) as i32;
        // SAFETY: the frame holds `count` samples; the fifo grows as it must, or says that it could not.
        let written = unsafe { ffi::av_audio_fifo_write(self.fifo, frame.get().extended_data.cast(), count) };
        if written < count {
            return Err(Error::new(Kind::Io, "out of memory for sound"));
        }
        Ok(())
    }

    /// A frame with room for so many samples of the encoder's format.
    fn room(&self, count: i32) -> Result<AvFrame> {
        let mut frame = AvFrame::new()?;
        // SAFETY: sizes and formats are set before the buffer is asked for.
        unsafe {
            let target = &*self.encoder.0;
            let raw = frame.get_mut();
            raw.nb_samples = count;
            raw.format = target.sample_fmt as i32;
            raw.sample_rate = target.sample_rate;
            ffi::av_channel_layout_copy(&mut raw.ch_layout, &target.ch_layout);
            match ffi::av_frame_get_buffer(frame.as_ptr(), 0) {
                0.. => Ok(frame),
                code => Err(super::error(Kind::Io, "allocate sound", code)),
            }
        }
    }

    /// Converts a decoded frame, or what the resampler holds back, into the fifo.
    fn resample(&mut self, frame: Option<&AvFrame>) -> Result<()> {
        let input = frame.map_or(0, |frame| frame.get().nb_samples);
        // SAFETY: the resampler is valid.
        let room = unsafe { ffi::swr_get_out_samples(self.resampler, input) };
        if room <= 0 {
            return Ok(());
        }
        let converted = self.room(room)?;
        // SAFETY: the frame holds `input` samples of what the resampler is set for, `converted` has room for `room`.
        let count = unsafe {
            let source = frame.map_or(ptr::null_mut(), |frame| frame.get().extended_data.cast::<*const u8>());
            ffi::swr_convert(self.resampler, converted.get().extended_data, room, source, input)
        };
        if count < 0 {
            return Err(super::error(Kind::Encode, "convert sound", count));
        }
        self.keep(&converted, count)
    }

    /// Encodes whole frames from the fifo, at the `end` also the last short one, and drains the encoder.
    fn encode(&mut self, end: bool) -> Result<()> {
        // SAFETY: fifo and encoder are valid; each frame's buffer has room for what is read into it.
        unsafe {
            let size = match (*self.encoder.0).frame_size {
                0 => 4096,
                size => size,
            };
            loop {
                if let (Some(start), Some(position)) = (self.span.0, &mut self.position) {
                    let held = i64::from(ffi::av_audio_fifo_size(self.fifo));
                    let early = start.saturating_sub(*position).clamp(0, held);
                    ffi::av_audio_fifo_drain(self.fifo, early as i32);
                    *position += early;
                }
                let available = ffi::av_audio_fifo_size(self.fifo);
                if available == 0 || (available < size && !end) {
                    break;
                }
                let mut frame = self.room(available.min(size))?;
                let count = frame.get().nb_samples;
                ffi::av_audio_fifo_read(self.fifo, frame.get().extended_data.cast(), count);
                let position = self.position.get_or_insert(0);
                frame.get_mut().pts = *position;
                *position += i64::from(count);
                self.give(Some(&frame))?;
            }
        }
        if end { self.give(None) } else { Ok(()) }
    }

    fn give(&mut self, frame: Option<&AvFrame>) -> Result<()> {
        let pointer = frame.map_or(ptr::null_mut(), AvFrame::as_ptr);
        // SAFETY: the encoder is open; frame and packets are valid.
        unsafe {
            let code = ffi::avcodec_send_frame(self.encoder.0, pointer);
            if code < 0 && code != ffi::AVERROR_EOF {
                return Err(super::error(Kind::Encode, "encode sound", code));
            }
            loop {
                let packet = Packet::new()?;
                if ffi::avcodec_receive_packet(self.encoder.0, packet.as_ptr()) < 0 {
                    return Ok(());
                }
                self.ready.push(packet);
            }
        }
    }
}

/// The encoder's sample format that loses least of `source`: the same depth if it has it, planar or not, else the
/// next deeper, else its first.
///
/// # Safety
/// `codec` is valid.
unsafe fn best_format(codec: *const ffi::AVCodec, source: ffi::AVSampleFormat) -> ffi::AVSampleFormat {
    // SAFETY: the list is static and ends with AV_SAMPLE_FMT_NONE; sizes come from a table.
    unsafe {
        let mut formats = Vec::new();
        let mut next = (*codec).sample_fmts;
        while !next.is_null() && *next != ffi::AVSampleFormat::AV_SAMPLE_FMT_NONE {
            formats.push(*next);
            next = next.add(1);
        }
        let wanted = ffi::av_get_bytes_per_sample(source);
        let enough = formats.iter().filter(|format| ffi::av_get_bytes_per_sample(**format) >= wanted);
        enough
            .min_by_key(|format| ffi::av_get_bytes_per_sample(**format))
            .or(formats.iter().max_by_key(|format| ffi::av_get_bytes_per_sample(**format)))
            .copied()
            .unwrap_or(source)
    }
}

impl Drop for AudioTranscoder {
    fn drop(&mut self) {
        // SAFETY: owned by this value, or null.
        unsafe {
            ffi::swr_free(&mut self.resampler);
            ffi::av_audio_fifo_free(self.fifo);
        }
    }
}
