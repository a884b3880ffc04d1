//! Demuxing: an open container, its streams, chapters and packets.

use std::ffi::{CString, c_int};
use std::fs::File;
use std::path::Path;
use std::ptr;

use ffmpeg_next::ffi;

use super::clock::{Clock, Timed};
use super::dictionary::{Dictionary, pairs_of};
use super::io::Reader;
use super::packet::{Packet, known};
use super::stream::{MediaKind, Stream, text};
use super::tags;
use crate::error::{Error, Kind, Result};
use crate::time::TimeBase;

/// Container formats that are lists of further files or addresses; refused unless the user names a protocol.
const PLAYLISTS: [&str; 9] =
    ["hls", "dash", "concat", "sdp", "rtsp", "imf", "image2", "webm_dash_manifest", "ffmetadata"];

/// Raw elementary streams, whose demuxers make times up from a frame rate.
const RAW_STREAMS: [&str; 12] =
    ["h264", "hevc", "m4v", "mpegvideo", "vc1", "dirac", "h261", "h263", "cavsvideo", "avs2", "avs3", "mjpeg"];

/// Streams a container may have. Each is probed by a decoder, which takes a megabyte and a half for H.264.
const MAX_STREAMS: usize = 256;

/// Reads in a row that may fail before the rest of a damaged container is given up.
pub const MAX_BROKEN_READS: usize = 64;

/// A chapter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chapter {
    /// Its number in the container.
    pub id: i64,
    /// What `start` and `end` count.
    pub time_base: TimeBase,
    /// When it begins.
    pub start: i64,
    /// When it ends.
    pub end: i64,
    /// Title, ...
    pub metadata: Vec<(String, String)>,
}

/// A packet as a container's index lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexEntry {
    /// Where in the file it begins.
    pub position: i64,
    /// When it is decoded, in the stream's ticks.
    pub time: i64,
    /// Its bytes; 0 where the index does not say.
    pub size: i32,
}

/// How to open an input.
#[derive(Clone, Debug, Default)]
pub struct InputOptions {
    /// Protocols beyond plain files that the user named; empty: none.
    pub protocols: Vec<String>,
    /// Edit lists of mp4 and mov only move times, and no packet is left out because of them.
    pub keeps_edited: bool,
}

/// An open container.
pub struct Input {
    context: *mut ffi::AVFormatContext,
    streams: Vec<Stream>,
    /// Of a format whose clock may begin anew.
    clock: Option<Clock<Packet>>,
    /// With a clock, which needs to see all streams: those that are asked for, by index, if not all are.
    kept: Option<Vec<bool>>,
    /// Kept alive as long as the context reads from it; `None` when FFmpeg opened an address itself.
    reader: Option<Reader>,
}

// SAFETY: the context belongs to this value alone, and FFmpeg's demuxers keep no thread-local state.
unsafe impl Send for Input {}

impl Input {
    /// Opens a file, `-` (standard input), or, if the user named its protocol, an address.
    pub fn open(path: &Path, options: &InputOptions) -> Result<Input> {
        super::prepare();
        let text = path.to_string_lossy();
        if let Some((protocol, _)) = text.split_once("://") {
            if options.protocols.iter().any(|allowed| allowed == protocol) {
                return Input::start(&text, None, options);
            }
            let message = format!("protocol '{protocol}' is not opened unless named; try --protocol {protocol}");
            return Err(Error::new(Kind::Input, message));
        }
        let file = if text == "-" {
            use std::os::fd::AsFd;
            let copy = std::io::stdin().as_fd().try_clone_to_owned();
            File::from(copy.map_err(|error| Error::io("open standard input", error))?)
        } else {
            open_file(path)?
        };
        Input::start(&text, Some(Reader::new(file)?), options)
    }

    /// Opens what `reader` reads; `name` helps to recognise it.
    pub(super) fn start(name: &str, reader: Option<Reader>, options: &InputOptions) -> Result<Input> {
        // SAFETY: allocates; null is checked.
        let context = unsafe { ffi::avformat_alloc_context() };
        if context.is_null() {
            return Err(Error::new(Kind::Io, "out of memory while opening the input"));
        }
        let mut settings = Dictionary::new();
        // Nothing inside a file may open another one: a protocol list that matches no protocol.
        let mut protocols = options.protocols.join(",");
        if protocols.is_empty() {
            protocols.push_str("none");
        } else {
            protocols.push_str(",tcp,tls,udp,rtp,crypto,data");
        }
        settings.set("protocol_whitelist", &protocols);
        settings.set("max_streams", &MAX_STREAMS.to_string());
        if options.keeps_edited {
            settings.set("advanced_editlist", "0");
        }
        let url = CString::new(name).map_err(|_| Error::new(Kind::Usage, "the input's name holds a NUL byte"))?;
        let mut input = Input { context, streams: Vec::new(), clock: None, kept: None, reader };
        let format = input.probe(&url, options)?;
        // SAFETY: the context is fresh and `input` owns it; a failing avformat_open_input frees it and leaves null.
        let (code, complaints) = super::log::listen(|| unsafe {
            ffi::avformat_open_input(&mut input.context, url.as_ptr(), format, settings.as_mut_ptr())
        });
        if code < 0 {
            if let Some(failure) = input.reader.as_mut().and_then(Reader::take_failure) {
                return Err(Error::io("read", failure));
            }
            if complaints.iter().any(|line| line.contains("max_streams")) {
                let message = format!("the file has more than {MAX_STREAMS} streams; take out those that matter");
                return Err(Error::new(Kind::Input, message));
            }
            if code == super::NO_MEMORY {
                return Err(super::error(Kind::Io, "open the container", code));
            }
            let what = "not a video that FFmpeg can open";
            let hint = "try `ffprobe` on it, or another copy of the file";
            return Err(Error::new(Kind::Input, format!("{what} ({}); {hint}", super::describe(code))));
        }
        // SAFETY: the context is open; no options per stream are given.
        let code = unsafe { ffi::avformat_find_stream_info(input.context, ptr::null_mut()) };
        if code < 0 {
            return Err(match input.reader.as_mut().and_then(Reader::take_failure) {
                Some(failure) => Error::io("read", failure),
                None => super::error(Kind::Input, "cannot find out what the file holds", code),
            });
        }
        input.read_streams()?;
        if input.has_flag(ffi::AVFMT_TS_DISCONT) && !input.has_no_time_stamps() {
            input.clock = Some(Clock::new());
        }
        Ok(input)
    }

    fn has_flag(&self, flag: c_int) -> bool {
        // SAFETY: an open context has a format.
        unsafe { (*(*self.context).iformat).flags & flag != 0 }
    }

    /// Recognises the container and refuses lists of further files before any of their demuxers runs.
    fn probe(&mut self, url: &CString, options: &InputOptions) -> Result<*const ffi::AVInputFormat> {
        let Some(reader) = &mut self.reader else { return Ok(ptr::null()) };
        let mut format = ptr::null();
        // SAFETY: the context and the reader are valid; probing rewinds what it reads.
        let code = unsafe {
            (*self.context).pb = reader.as_ptr();
            (*self.context).flags |= ffi::AVFMT_FLAG_CUSTOM_IO;
            ffi::av_probe_input_buffer2(reader.as_ptr(), &mut format, url.as_ptr(), ptr::null_mut(), 0, 0)
        };
        if code < 0 || format.is_null() {
            return Ok(ptr::null());
        }
        // SAFETY: a recognised format is static and has a name.
        let name = unsafe { text((*format).name) };
        if options.protocols.is_empty() && name.split(',').any(|name| PLAYLISTS.contains(&name)) {
            let message = format!("a {name} list of further files is not followed; give the video file itself");
            return Err(Error::new(Kind::Input, message));
        }
        Ok(format)
    }

    fn read_streams(&mut self) -> Result<()> {
        // SAFETY: the context is open and has `nb_streams` streams.
        unsafe {
            let count = (*self.context).nb_streams as usize;
            for i in 0..count {
                let stream = *(*self.context).streams.add(i);
                if let Some(stream) = Stream::read(self.context, stream)? {
                    self.streams.push(stream);
                }
            }
        }
        Ok(())
    }

    /// The streams whose packets can be used, by rising index.
    pub fn streams(&self) -> &[Stream] {
        &self.streams
    }

    /// The stream with this index in the container.
    pub fn stream(&self, index: usize) -> Option<&Stream> {
        self.streams.iter().find(|stream| stream.index == index)
    }

    /// FFmpeg's name of the container format.
    pub fn format_name(&self) -> String {
        // SAFETY: an open context has a format with a static name.
        unsafe { text((*(*self.context).iformat).name) }
    }

    /// The format keeps no time stamps at all (a raw elementary stream).
    pub fn has_no_time_stamps(&self) -> bool {
        RAW_STREAMS.contains(&self.format_name().as_str()) || self.has_flag(ffi::AVFMT_NOTIMESTAMPS)
    }

    /// What FFmpeg takes for the best video stream that is not a cover picture.
    pub fn best_video(&self) -> Option<usize> {
        // SAFETY: the context is open; no decoder is asked for.
        let index = unsafe {
            ffi::av_find_best_stream(self.context, ffi::AVMediaType::AVMEDIA_TYPE_VIDEO, -1, -1, ptr::null_mut(), 0)
        };
        let usable = |stream: &&Stream| stream.kind == MediaKind::Video && !stream.is_cover();
        usize::try_from(index)
            .ok()
            .and_then(|index| self.stream(index))
            .filter(usable)
            .or_else(|| self.streams.iter().find(usable))
            .map(|stream| stream.index)
    }

    /// Metadata of the whole file.
    pub fn metadata(&self) -> Vec<(String, String)> {
        // SAFETY: the open context's dictionary.
        unsafe { pairs_of((*self.context).metadata) }
    }

    /// The container's duration in microseconds, if known.
    pub fn duration(&self) -> Option<i64> {
        // SAFETY: the context is open.
        known(unsafe { (*self.context).duration }).filter(|micros| *micros > 0)
    }

    /// The duration is the container's own word, not estimated from the bit rate.
    pub fn duration_is_exact(&self) -> bool {
        use ffi::AVDurationEstimationMethod::AVFMT_DURATION_FROM_BITRATE;
        // SAFETY: the context is open.
        unsafe { (*self.context).duration_estimation_method != AVFMT_DURATION_FROM_BITRATE }
    }

    /// How many packets of a stream the container's index lists, 0 if it keeps none.
    pub fn index_entries(&self, stream: usize) -> usize {
        // SAFETY: the context is open and the index is in range.
        unsafe {
            if stream >= (*self.context).nb_streams as usize {
                return 0;
            }
            let stream = *(*self.context).streams.add(stream);
            usize::try_from(ffi::avformat_index_get_entries_count(stream)).unwrap_or(0)
        }
    }

    /// What the container's index lists of a stream's packets, as far as opening it has read the index.
    pub fn index(&self, stream: usize) -> Vec<IndexEntry> {
        let entry = |number: usize| {
            // SAFETY: the context is open, `index_entries` has checked the stream and counted its entries; an entry
            // lives until the next call that reads packets.
            unsafe {
                let stream = *(*self.context).streams.add(stream);
                let entry = &*ffi::avformat_index_get_entry(stream, number as c_int);
                IndexEntry { position: entry.pos, time: entry.timestamp, size: entry.size() }
            }
        };
        (0..self.index_entries(stream)).map(entry).collect()
    }

    /// The chapters.
    pub fn chapters(&self) -> Vec<Chapter> {
        // SAFETY: the open context has `nb_chapters` chapters.
        unsafe {
            let count = (*self.context).nb_chapters as usize;
            (0..count)
                .filter_map(|i| {
                    let chapter = &**(*self.context).chapters.add(i);
                    Some(Chapter {
                        id: chapter.id,
                        time_base: tags::time_base(chapter.time_base)?,
                        start: chapter.start,
                        end: chapter.end,
                        metadata: pairs_of(chapter.metadata),
                    })
                })
                .collect()
        }
    }

    /// Leaves out all streams but those `keep` names, so that the demuxer need not return their packets.
    pub fn keep_only(&mut self, keep: impl Fn(usize) -> bool) {
        if self.clock.is_some() {
            let n = self.streams.iter().map(|stream| stream.index + 1).max().unwrap_or(0);
            self.kept = Some((0..n).map(keep).collect());
            return;
        }
        // SAFETY: the open context has `nb_streams` streams, which are ours to mark.
        unsafe {
            for i in 0..(*self.context).nb_streams as usize {
                if !keep(i) {
                    (**(*self.context).streams.add(i)).discard = ffi::AVDiscard::AVDISCARD_ALL;
                }
            }
        }
    }

    /// Goes to the last key frame of `stream` at or before `time`, in its ticks, as far as the demuxer finds one.
    pub fn seek(&mut self, stream: usize, time: i64) -> Result<()> {
        let stream = c_int::try_from(stream).unwrap_or(-1);
        // SAFETY: the context is open; FFmpeg checks the stream.
        match unsafe { ffi::av_seek_frame(self.context, stream, time, ffi::AVSEEK_FLAG_BACKWARD) } {
            0.. => {
                self.clock = self.clock.is_some().then(Clock::new);
                Ok(())
            }
            code => Err(super::error(Kind::Decode, "the container cannot be searched", code)),
        }
    }

    /// How often the container's clock began anew, as far as it was read; times go on rising there.
    pub fn n_restarts(&self) -> u64 {
        self.clock.as_ref().map_or(0, Clock::n_restarts)
    }

    /// The next packet of any stream that is kept; `None` at the end.
    pub fn next_packet(&mut self) -> Result<Option<Packet>> {
        if self.clock.is_none() {
            return self.read();
        }
        loop {
            if let Some((mut packet, shift)) = self.clock.as_mut().and_then(Clock::take) {
                let index = packet.stream_index();
                if self.kept.as_ref().is_some_and(|kept| !kept.get(index).copied().unwrap_or(false)) {
                    continue;
                }
                if let Some(stream) = self.stream(index).filter(|_| shift != 0) {
                    let shift = TimeBase::MICROS.rescale(shift, stream.time_base);
                    let moved = |ticks: i64| ticks.saturating_add(shift);
                    packet.set_times(packet.pts().map(moved), packet.dts().map(moved));
                }
                return Ok(Some(packet));
            }
            let Some(packet) = self.read()? else {
                let Some(clock) = self.clock.as_mut().filter(|clock| !clock.is_empty()) else { return Ok(None) };
                clock.finish();
                continue;
            };
            let stream = self.stream(packet.stream_index());
            let micros = |ticks: i64| stream.map(|stream| stream.time_base.rescale(ticks, TimeBase::MICROS));
            let timed = Timed {
                stream: packet.stream_index(),
                is_dense: stream.is_some_and(|stream| matches!(stream.kind, MediaKind::Video | MediaKind::Audio)),
                time: packet.dts().or(packet.pts()).and_then(micros),
                duration: micros(packet.duration()).unwrap_or(0),
                packet,
            };
            if let Some(clock) = &mut self.clock {
                clock.put(timed);
            }
        }
    }

    /// The next packet that can be read, over broken places; `None` at the end, and where too many are broken.
    pub fn next_readable(&mut self) -> Result<Option<Packet>> {
        for _ in 0..MAX_BROKEN_READS {
            match self.next_packet() {
                Err(error) if error.kind() != Kind::Io => {}
                read => return read,
            }
        }
        Ok(None)
    }

    fn read(&mut self) -> Result<Option<Packet>> {
        let packet = Packet::new()?;
        loop {
            // SAFETY: the context is open and the packet empty.
            match unsafe { ffi::av_read_frame(self.context, packet.as_ptr()) } {
                0.. => return Ok(Some(packet)),
                ffi::AVERROR_EOF => {
                    // A read error ends some demuxers as if the file ended there.
                    return match self.reader.as_mut().and_then(Reader::take_failure) {
                        Some(failure) => Err(Error::io("read the input", failure)),
                        None => Ok(None),
                    };
                }
                super::AGAIN => {}
                code => {
                    return Err(match self.reader.as_mut().and_then(Reader::take_failure) {
                        Some(failure) => Error::io("read the input", failure),
                        None => super::error(Kind::Decode, "the container is damaged", code),
                    });
                }
            }
        }
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        // SAFETY: owned by this value; null after a failed open. The reader is freed after it, by field order.
        unsafe { ffi::avformat_close_input(&mut self.context) }
    }
}

/// Opens a file for reading; a folder or a missing file is told in words.
fn open_file(path: &Path) -> Result<File> {
    let file = File::open(path).map_err(|error| Error::open("the file", error))?;
    match file.metadata() {
        Ok(metadata) if metadata.is_dir() => {
            Err(Error::new(Kind::Input, "is a folder; give a video file, or `folder/%06d.png` for pictures"))
        }
        Ok(metadata) if metadata.is_file() && metadata.len() == 0 => {
            Err(Error::new(Kind::Input, "the file is empty; give a video"))
        }
        _ => Ok(file),
    }
}
