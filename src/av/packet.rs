//! A packet: encoded data of one stream with its time stamps.

use ffmpeg_next::ffi;

use crate::error::{Error, Kind, Result};
use crate::time::TimeBase;

/// An `AVPacket` that frees itself.
pub struct Packet(*mut ffi::AVPacket);

// SAFETY: a packet is plain data with atomically counted buffers, owned by this value.
unsafe impl Send for Packet {}

impl Packet {
    /// An empty packet.
    pub fn new() -> Result<Self> {
        // SAFETY: allocates; null is an error.
        let packet = unsafe { ffi::av_packet_alloc() };
        if packet.is_null() { Err(Error::new(Kind::Io, "out of memory for a packet")) } else { Ok(Packet(packet)) }
    }

    pub(super) fn as_ptr(&self) -> *mut ffi::AVPacket {
        self.0
    }

    fn get(&self) -> &ffi::AVPacket {
        // SAFETY: valid from `new` to drop.
        unsafe { &*self.0 }
    }

    fn get_mut(&mut self) -> &mut ffi::AVPacket {
        // SAFETY: valid from `new` to drop, and `&mut self` is the only way to it.
        unsafe { &mut *self.0 }
    }

    /// The stream it belongs to.
    pub fn stream_index(&self) -> usize {
        usize::try_from(self.get().stream_index).unwrap_or(usize::MAX)
    }

    /// Moves it to another stream.
    pub fn set_stream_index(&mut self, index: usize) {
        self.get_mut().stream_index = index as i32;
    }

    /// Presentation time stamp.
    pub fn pts(&self) -> Option<i64> {
        known(self.get().pts)
    }

    /// Decoding time stamp.
    pub fn dts(&self) -> Option<i64> {
        known(self.get().dts)
    }

    /// Sets both time stamps.
    pub fn set_times(&mut self, pts: Option<i64>, dts: Option<i64>) {
        self.get_mut().pts = pts.unwrap_or(ffi::AV_NOPTS_VALUE);
        self.get_mut().dts = dts.unwrap_or(ffi::AV_NOPTS_VALUE);
    }

    /// Duration in the stream's ticks, 0 when unknown.
    pub fn duration(&self) -> i64 {
        self.get().duration
    }

    /// Sets the duration.
    pub fn set_duration(&mut self, ticks: i64) {
        self.get_mut().duration = ticks;
    }

    /// The encoded bytes.
    pub fn data(&self) -> &[u8] {
        let packet = self.get();
        match usize::try_from(packet.size) {
            // SAFETY: a packet with data has `size` readable bytes.
            Ok(size) if !packet.data.is_null() => unsafe { std::slice::from_raw_parts(packet.data, size) },
            _ => &[],
        }
    }

    /// Where in the file it began, if known.
    pub fn position(&self) -> Option<i64> {
        Some(self.get().pos).filter(|position| *position >= 0)
    }

    /// FFmpeg's `AV_PKT_FLAG_*` bits.
    pub fn flags(&self) -> i32 {
        self.get().flags
    }

    /// Sets FFmpeg's `AV_PKT_FLAG_*` bits.
    pub fn set_flags(&mut self, flags: i32) {
        self.get_mut().flags = flags;
    }

    /// Decodable on its own.
    pub fn is_key(&self) -> bool {
        self.get().flags & ffi::AV_PKT_FLAG_KEY != 0
    }

    /// Needed for decoding but not to be shown (outside an edit list).
    pub fn is_discarded(&self) -> bool {
        self.get().flags & ffi::AV_PKT_FLAG_DISCARD != 0
    }

    /// The demuxer itself found it damaged.
    pub fn is_corrupt(&self) -> bool {
        self.get().flags & ffi::AV_PKT_FLAG_CORRUPT != 0
    }

    /// Converts all times, each rounded once.
    pub fn rescale(&mut self, from: TimeBase, to: TimeBase) {
        let (pts, dts) = (self.pts(), self.dts());
        self.set_times(pts.map(|ticks| from.rescale(ticks, to)), dts.map(|ticks| from.rescale(ticks, to)));
        let duration = from.rescale(self.duration(), to);
        self.set_duration(duration);
    }

    /// A packet with the same data.
    pub fn try_clone(&self) -> Result<Packet> {
        let copy = Packet::new()?;
        // SAFETY: both packets are valid; the data is shared by reference count, or copied.
        match unsafe { ffi::av_packet_ref(copy.0, self.0) } {
            0.. => Ok(copy),
            code => Err(super::error(Kind::Io, "copy a packet", code)),
        }
    }

    /// A packet with a copy of `data`.
    pub fn from_data(data: &[u8]) -> Result<Packet> {
        let packet = Packet::new()?;
        let size = i32::try_from(data.len()).map_err(|_| Error::new(Kind::Input, "a packet of more than 2 GiB"))?;
        // SAFETY: av_new_packet allocates `size` bytes with padding, which are then written.
        unsafe {
            match ffi::av_new_packet(packet.0, size) {
                0.. => std::ptr::copy_nonoverlapping(data.as_ptr(), (*packet.0).data, data.len()),
                code => return Err(super::error(Kind::Io, "allocate a packet", code)),
            }
        }
        Ok(packet)
    }
}

/// FFmpeg's "no time stamp" as `None`.
pub(super) fn known(ticks: i64) -> Option<i64> {
    (ticks != ffi::AV_NOPTS_VALUE).then_some(ticks)
}

impl Drop for Packet {
    fn drop(&mut self) {
        // SAFETY: owned by this value.
        unsafe { ffi::av_packet_free(&mut self.0) }
    }
}
