//! Decoding video.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use ffmpeg_next::ffi;

use super::packet::Packet;
use super::picture::AvFrame;
use super::stream::Stream;
use super::tags;
use crate::error::{Error, Kind, Result};

/// Pixels a frame may have; checked by FFmpeg before it allocates one (the limit Chromium uses).
pub const MAX_PIXELS: i64 = (1 << 29) - 1;

/// What asking a decoder for a frame gives.
pub enum Decoded {
    /// A frame.
    Frame(AvFrame),
    /// It wants a packet first.
    Hungry,
    /// It was drained, and this is the end.
    End,
    /// It could not make sense of something; it may go on.
    Damaged(Error),
}

/// A video decoder.
pub struct Decoder {
    context: *mut ffi::AVCodecContext,
    /// What it complained of on FFmpeg's log: with frame threads the frames' own flags may be set only after the frame
    /// was given out, and many decoders set none. The context's `opaque`, which its threads' contexts copy, points here.
    complaints: Box<Complaints>,
    /// Frames that were flagged.
    flagged: u64,
    /// Damaged frames that [`Decoder::take_damaged`] has told.
    told: u64,
}

/// What a decoder said is wrong.
#[derive(Default)]
struct Complaints {
    /// Pictures with guessed parts, of which each is told once.
    concealed: AtomicU64,
    /// Packets sent.
    sent: AtomicU64,
    errors: Mutex<Errors>,
}

/// Packets with errors.
#[derive(Default)]
struct Errors {
    n_packets: u64,
    /// How many packets are under way at once.
    threads: u64,
    /// For each context that had an error, how many packets had been sent by then.
    last: Vec<(usize, u64)>,
}

impl Complaints {
    fn errors(&self) -> std::sync::MutexGuard<'_, Errors> {
        self.errors.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts an error of a context; a packet has many, and it takes its context for as long as others are sent.
    #[cfg(target_arch = "x86_64")]
    fn error(&self, context: usize) {
        let sent = self.sent.load(Ordering::Relaxed);
        let mut errors = self.errors();
        let threads = errors.threads.max(1);
        let last = errors.last.iter().position(|(of, _)| *of == context);
        let is_new = last.is_none_or(|at| errors.last[at].1 + threads <= sent);
        if is_new {
            errors.n_packets += 1;
            match last {
                Some(at) => errors.last[at].1 = sent,
                None => errors.last.push((context, sent)),
            }
        }
    }
}

// SAFETY: the context belongs to this value alone; its own threads are FFmpeg's affair.
unsafe impl Send for Decoder {}

impl Decoder {
    /// Whether this FFmpeg has a decoder for `stream`.
    pub fn is_there(stream: &Stream) -> bool {
        // SAFETY: looks a table up.
        !unsafe { ffi::avcodec_find_decoder(stream.parameters.get().codec_id) }.is_null()
    }

    /// A decoder for `stream` with `threads` threads (0: FFmpeg decides).
    pub fn new(stream: &Stream, threads: usize) -> Result<Decoder> {
        Decoder::exporting(stream, threads, 0)
    }

    /// The same with [`AvFrame::quantiser`] told for each frame, by decoders that can.
    pub fn with_quantisers(stream: &Stream, threads: usize) -> Result<Decoder> {
        Decoder::exporting(stream, threads, ffi::AV_CODEC_EXPORT_DATA_VIDEO_ENC_PARAMS)
    }

    fn exporting(stream: &Stream, threads: usize, exported: i32) -> Result<Decoder> {
        // SAFETY: looks a table up; null is checked.
        let codec = unsafe { ffi::avcodec_find_decoder(stream.parameters.get().codec_id) };
        if codec.is_null() {
            let message = format!("this FFmpeg has no decoder for '{}'", stream.codec);
            return Err(Error::new(Kind::Input, message));
        }
        // SAFETY: the codec is valid; every result is checked; the context is freed by `Decoder` on each way out.
        unsafe {
            let context = ffi::avcodec_alloc_context3(codec);
            if context.is_null() {
                return Err(Error::new(Kind::Io, "out of memory for a decoder"));
            }
            let mut decoder = Decoder { context, complaints: Box::default(), flagged: 0, told: 0 };
            (*context).opaque = (&raw mut *decoder.complaints).cast();
            let code = ffi::avcodec_parameters_to_context(context, stream.parameters.as_ptr());
            if code < 0 {
                return Err(super::error(Kind::Input, "the decoder refuses the stream's parameters", code));
            }
            (*context).pkt_timebase = tags::rational_of(stream.time_base);
            // Threads of these decode slices and keep what is wrong with them to themselves.
            let threads = if matches!(stream.codec.as_str(), "mpeg1video" | "mpeg2video") { 1 } else { threads };
            (*context).thread_count = i32::try_from(threads).unwrap_or(0);
            (*context).max_pixels = MAX_PIXELS;
            // Without it a cropped picture begins where vectors like to read, and shows columns that are to be hidden.
            // Those who are given such pictures take any place in memory: FFmpeg's own crop filter makes the like.
            (*context).flags |= ffi::AV_CODEC_FLAG_UNALIGNED as i32;
            (*context).export_side_data = exported;
            let code = ffi::avcodec_open2(context, codec, std::ptr::null_mut());
            if code < 0 {
                return Err(super::error(Kind::Input, format!("the {} decoder does not start", stream.codec), code));
            }
            decoder.complaints.errors().threads = u64::try_from((*context).thread_count).unwrap_or(1);
            Ok(decoder)
        }
    }

    /// Gives a packet, or `None` to drain. `Ok(false)`: it is full, take frames first.
    pub fn send(&mut self, packet: Option<&Packet>) -> Result<bool> {
        self.complaints.sent.fetch_add(1, Ordering::Relaxed);
        let pointer = packet.map_or(std::ptr::null(), |packet| packet.as_ptr().cast_const());
        // SAFETY: the context is open; the packet is valid or null.
        match unsafe { ffi::avcodec_send_packet(self.context, pointer) } {
            0.. | ffi::AVERROR_EOF => Ok(true),
            super::AGAIN => Ok(false),
            code => Err(super::error(Kind::Decode, "cannot be decoded", code)),
        }
    }

    /// The next frame in presentation order.
    pub fn receive(&mut self) -> Result<Decoded> {
        let frame = AvFrame::new()?;
        // SAFETY: the context is open and the frame empty.
        Ok(match unsafe { ffi::avcodec_receive_frame(self.context, frame.as_ptr()) } {
            0.. => {
                self.flagged += u64::from(frame.is_damaged());
                Decoded::Frame(frame)
            }
            super::AGAIN => Decoded::Hungry,
            ffi::AVERROR_EOF => Decoded::End,
            super::NO_MEMORY => return Err(super::error(Kind::Io, "decode a frame", super::NO_MEMORY)),
            code => Decoded::Damaged(super::error(Kind::Decode, "cannot be decoded", code)),
        })
    }

    /// How many frames came out damaged since this was asked last. Those of the last frame given are counted, those of
    /// the next few may be.
    pub fn take_damaged(&mut self) -> u64 {
        let concealed = self.complaints.concealed.load(Ordering::Relaxed);
        let n_damaged = self.flagged.max(concealed).max(self.complaints.errors().n_packets);
        n_damaged - std::mem::replace(&mut self.told, n_damaged)
    }

    /// Forgets what it was given, for packets from another place.
    pub fn forget(&mut self) {
        // SAFETY: the context is open.
        unsafe { ffi::avcodec_flush_buffers(self.context) }
    }

    /// Frames that the decoder holds back to put them into order.
    pub fn reorder_depth(&self) -> usize {
        // SAFETY: the context is open.
        usize::try_from(unsafe { (*self.context).has_b_frames }).unwrap_or(0)
    }
}

/// Counts what a decoder of ours says on FFmpeg's log.
///
/// # Safety
///
/// `context` and `format` are those that FFmpeg calls its log with.
#[cfg(target_arch = "x86_64")]
pub(super) unsafe fn count_complaint(
    context: *mut std::ffi::c_void,
    level: std::ffi::c_int,
    format: *const std::ffi::c_char,
) {
    // SAFETY: the format is a string, and a context is null or begins with its class; a codec's class stands in codec
    // contexts only, whose `opaque` is null or was set by `Decoder`, which lives longer than its context.
    unsafe {
        let said = std::ffi::CStr::from_ptr(format).to_bytes();
        let is_concealed = said.starts_with(b"concealing ");
        // A picture is to be forgotten that never came, as at the beginning of what was cut in an open group of pictures.
        let is_harmless = said.starts_with(b"mmco: unref short failure");
        if context.is_null() || is_harmless || !(is_concealed || level <= ffi::AV_LOG_ERROR) {
            return;
        }
        if *context.cast::<*const ffi::AVClass>() == ffi::avcodec_get_class()
            && let Some(complaints) = (*context.cast::<ffi::AVCodecContext>()).opaque.cast::<Complaints>().as_ref()
        {
            match is_concealed {
                true => _ = complaints.concealed.fetch_add(1, Ordering::Relaxed),
                false => complaints.error(context.addr()),
            }
        }
    }
}

impl Drop for Decoder {
    fn drop(&mut self) {
        // SAFETY: owned by this value.
        unsafe { ffi::avcodec_free_context(&mut self.context) }
    }
}
