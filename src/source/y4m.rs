//! The y4m source: raw frames from a file, a pipe or standard input.
//!
//! Each frame of a regular file is mapped on its own, so its picture is the file itself, nothing is copied, and what
//! the process holds does not grow with the length of the video. From anything else, and where 16-bit samples lie at
//! an odd address, frames are read into the pool. Used by `plan` for `.y4m` and `-`; it does not convert pixels.

mod header;

use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Read, Seek};
use std::os::fd::AsFd;
use std::path::Path;

use memmap2::{Mmap, MmapOptions};

use self::header::{Header, MAGIC};
use super::{Damage, Source, SourceFacts};
use crate::error::{Context, Error, Kind, Result};
use crate::frame::{FieldOrder, Frame, Picture, PlaneMemory, Pool};
use crate::meter::Metered;
use crate::pipe;
use crate::time::TimeBase;

/// Longest header line, in bytes; FFmpeg gives up at a tenth of that.
const MAX_LINE: usize = 4096;

/// Frames of a y4m stream.
pub struct Y4mSource {
    reader: BufReader<Metered<File>>,
    /// A regular file, whose frames are mapped.
    mapped: bool,
    /// Damage is an error.
    strict: bool,
    /// Bytes of the stream consumed, for a regular file the position in it.
    position: u64,
    facts: SourceFacts,
    /// Each frame says itself how it is interlaced.
    mixed: bool,
    /// Where each plane starts in a frame, and where the last one ends.
    offsets: [usize; 5],
    pool: Pool,
    n_frames: u64,
    /// The first frame, looked at before anybody asks for it.
    first: Option<Frame>,
    ended: bool,
    damage: Damage,
    warnings: Vec<String>,
}

/// The planes of one frame in the file itself.
struct MappedFrame {
    map: Mmap,
    offsets: [usize; 5],
}

impl PlaneMemory for MappedFrame {
    fn plane(&self, plane: usize) -> &[u8] {
        &self.map[self.offsets[plane]..self.offsets[plane + 1]]
    }
}

impl Y4mSource {
    /// Opens a y4m file or named pipe, or standard input for `-`, and reads its header.
    pub fn open(path: &Path) -> Result<Self> {
        let stdin = path == Path::new("-");
        let name = if stdin { "standard input".to_owned() } else { path.display().to_string() };
        let file = if stdin { std::io::stdin().as_fd().try_clone_to_owned().map(File::from) } else { File::open(path) };
        let fail = |error| Error::open(&name, error);
        let mut file = pipe::roomy(file.map_err(fail)?);
        let metadata = file.metadata().map_err(fail)?;
        if metadata.is_dir() {
            return Err(fail(ErrorKind::IsADirectory.into()));
        }
        // Standard input may be a file that someone has begun to read.
        let position = if metadata.is_file() { file.stream_position().map_err(fail)? } else { 0 };
        Y4mSource::begin(file, metadata.is_file(), position).context(|| name.clone())
    }

    /// With `strict` the first damage is an error.
    #[must_use]
    pub fn strict(self, strict: bool) -> Self {
        Y4mSource { strict, ..self }
    }

    /// Looks at the first frame already: a stream without any is refused, as a container is.
    pub fn with_first(mut self) -> Result<Self> {
        self.first = self.next_frame()?;
        if self.first.is_none() {
            let why = self.damage.lines.first().map_or_else(String::new, |line| format!(" ({line})"));
            return Err(Error::new(Kind::Input, format!("no frame follows the y4m header{why}; give a whole video")));
        }
        Ok(self)
    }

    fn begin(file: File, mapped: bool, mut position: u64) -> Result<Self> {
        let mut reader = BufReader::with_capacity(1 << 16, Metered(file));
        let mut line = Vec::new();
        position += read_line(&mut reader, &mut line)?;
        if line.is_empty() {
            return Err(Error::new(Kind::Input, "the input is empty, expected a y4m header"));
        }
        if !mapped && !line.starts_with(MAGIC) && !MAGIC.starts_with(&line) {
            let start = String::from_utf8_lossy(&line[..line.len().min(16)]).into_owned();
            let what = format!("the stream begins with {start:?}, expected YUV4MPEG2");
            return Err(Error::new(Kind::Usage, format!("{what}: pipes take y4m, a container needs a file; name it")));
        }
        let whole = line.pop_if(|last| *last == b'\n').is_some();
        let header = Header::parse(&line)?;
        if !whole {
            let message = format!("the y4m header does not end within {MAX_LINE} bytes; is the file damaged?");
            return Err(Error::new(Kind::Input, message));
        }
        let mut offsets = [0; 5];
        for plane in 0..header.format.n_planes() {
            let (columns, rows) = header.format.plane_size(plane, header.width, header.height);
            offsets[plane + 1] = offsets[plane] + columns * rows * header.format.bytes_per_sample();
        }
        let n_frames = if mapped {
            let length = reader.get_ref().0.metadata().map_err(|error| Error::io("look at the file", error))?.len();
            let bare = reader.fill_buf().map_err(|error| Error::io("read", error))?;
            let frame = b"FRAME\n".len() as u64 + offsets[header.format.n_planes()] as u64;
            (bare.starts_with(b"FRAME\n") || bare.is_empty()).then(|| length.saturating_sub(position) / frame)
        } else {
            None
        };
        let facts = SourceFacts {
            kind: "y4m".to_owned(),
            width: header.width,
            height: header.height,
            format: header.format,
            converted_from: None,
            color: header.color,
            sample_aspect_ratio: header.sample_aspect_ratio,
            field_order: header.field_order.unwrap_or(FieldOrder::Progressive),
            time_base: TimeBase::new(header.frame_rate.den, header.frame_rate.num)
                .expect("the header's frame rate is positive in both parts"),
            frame_rate: header.frame_rate,
            n_frames,
            side_data: Vec::new(),
        };
        Ok(Y4mSource {
            reader,
            mapped,
            strict: false,
            position,
            facts,
            mixed: header.field_order.is_none(),
            offsets,
            pool: Pool::new(),
            n_frames: 0,
            first: None,
            ended: false,
            damage: Damage::default(),
            warnings: header.warnings,
        })
    }

    fn frame(&mut self) -> Result<Option<Frame>> {
        let start = self.position;
        let mut line = Vec::new();
        self.position += read_line(&mut self.reader, &mut line)?;
        if line.is_empty() {
            return Ok(None);
        }
        let whole = line.pop_if(|last| *last == b'\n').is_some();
        let is_frame = line == b"FRAME" || line.starts_with(b"FRAME ");
        if !whole && line.len() < MAX_LINE && (is_frame || b"FRAME".starts_with(&line)) {
            return self.truncated(start);
        }
        if !whole || !is_frame {
            let got = String::from_utf8_lossy(&line[..line.len().min(16)]).into_owned();
            let what = format!("got {got:?} at byte {start}, expected a line that begins with FRAME");
            return self.lost(start, what);
        }
        let size = self.offsets[self.facts.format.n_planes()];
        let aligned = self.facts.format.bytes_per_sample() == 1 || self.position.is_multiple_of(2);
        let picture = if self.mapped && aligned { self.map(size)? } else { self.read()? };
        let Some(picture) = picture else { return self.truncated(start) };
        self.position += size as u64;
        let index = self.n_frames;
        self.n_frames += 1;
        Ok(Some(Frame {
            index,
            pts: i64::try_from(index).expect("fewer frames than an i64 counts"),
            duration: Some(1),
            picture,
            color: self.facts.color,
            sample_aspect_ratio: self.facts.sample_aspect_ratio,
            field_order: if self.mixed { frame_field_order(&line) } else { self.facts.field_order },
            side_data: Vec::new(),
        }))
    }

    /// The frame at the current position as it lies in the file; `None` if the file ends before the frame does.
    fn map(&mut self, size: usize) -> Result<Option<Picture>> {
        let file = &self.reader.get_ref().0;
        // Asked for every frame: a file that has been cut short since it was opened ends early instead of faulting.
        let length = file.metadata().map_err(|error| Error::io("look at the file", error))?.len();
        if length < self.position + size as u64 {
            return Ok(None);
        }
        // Filling the page table at once costs less than a fault every 16 pages, and keeps waiting for the disk here.
        let mut options = MmapOptions::new();
        options.offset(self.position).len(size).populate();
        // SAFETY: the mapping is read only, lies within the file as of a moment ago, and lives as long as the picture.
        // Assumed, because nothing can ensure it: nobody writes to the file while its frames are in flight (the
        // picture would change under its readers) and nobody truncates it in that time (the kernel would end the
        // process with SIGBUS). A lock would not help, writers need not ask for one.
        let map = unsafe { options.map(file) }.map_err(|error| Error::io("map a frame", error))?;
        self.reader.seek_relative(size as i64).map_err(|error| Error::io("seek", error))?;
        let memory = std::sync::Arc::new(MappedFrame { map, offsets: self.offsets });
        let mut strides = [0; 4];
        for (plane, stride) in strides.iter_mut().enumerate().take(self.facts.format.n_planes()) {
            let (columns, _) = self.facts.format.plane_size(plane, self.facts.width, self.facts.height);
            *stride = columns * self.facts.format.bytes_per_sample();
        }
        Picture::new(self.facts.format, self.facts.width, self.facts.height, strides, memory).map(Some)
    }

    /// The frame at the current position, copied; `None` if the stream ends before the frame does.
    fn read(&mut self) -> Result<Option<Picture>> {
        let mut picture = self.pool.picture(self.facts.format, self.facts.width, self.facts.height)?;
        for index in 0..self.facts.format.n_planes() {
            let mut plane = picture.plane_mut(index);
            for y in 0..plane.height() {
                match self.reader.read_exact(plane.row_bytes(y)) {
                    Ok(()) => {}
                    Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
                    Err(error) => return Err(Error::io("read", error)),
                }
            }
        }
        Ok(Some(picture.freeze()))
    }

    /// Notes that the stream ends within the frame that began at byte `start`.
    fn truncated(&mut self, start: u64) -> Result<Option<Frame>> {
        self.note(1, format!("frame {} at byte {start} is cut short by the end", self.n_frames))
    }

    /// Notes that there is no frame at byte `start`: nothing says where the next one would begin, so this is the end.
    fn lost(&mut self, start: u64, what: String) -> Result<Option<Frame>> {
        if self.n_frames == 0 {
            return Err(Error::new(Kind::Input, what));
        }
        let frame = b"FRAME\n".len() as u64 + self.offsets[self.facts.format.n_planes()] as u64;
        let length = if self.mapped { self.reader.get_ref().0.metadata().map_or(0, |facts| facts.len()) } else { 0 };
        self.note(length.saturating_sub(start).div_ceil(frame).max(1), format!("{what}; all behind it is lost"))
    }

    fn note(&mut self, n_frames: u64, line: String) -> Result<Option<Frame>> {
        if self.strict {
            return Err(Error::new(Kind::Input, format!("{line}; without --strict the rest would be processed")));
        }
        self.damage.n_frames += n_frames;
        self.damage.lines.push(line);
        Ok(None)
    }
}

impl Source for Y4mSource {
    fn facts(&self) -> &SourceFacts {
        &self.facts
    }

    fn next_frame(&mut self) -> Result<Option<Frame>> {
        if let Some(first) = self.first.take() {
            return Ok(Some(first));
        }
        if self.ended {
            return Ok(None);
        }
        let index = self.n_frames;
        let frame = self.frame().map_err(|error| error.context(format!("frame {index}")));
        self.ended = !matches!(frame, Ok(Some(_)));
        frame
    }

    fn damage(&self) -> Damage {
        self.damage.clone()
    }

    fn warnings(&self) -> Vec<String> {
        self.warnings.clone()
    }
}

/// Reads a line with its line feed, at most [`MAX_LINE`] bytes; empty at the end. Gives how many bytes it took.
fn read_line(reader: &mut BufReader<Metered<File>>, line: &mut Vec<u8>) -> Result<u64> {
    let taken = reader.take(MAX_LINE as u64).read_until(b'\n', line).map_err(|error| Error::io("read", error))?;
    Ok(taken as u64)
}

/// The presentation of a frame of a mixed stream, the first letter of its I tag (`yuv4mpeg(5)`).
fn frame_field_order(line: &[u8]) -> FieldOrder {
    let tag = line.split(|byte| *byte == b' ').find_map(|word| word.strip_prefix(b"I"));
    match tag.and_then(|tag| tag.first()) {
        Some(b't' | b'T') => FieldOrder::TopFirst,
        Some(b'b' | b'B') => FieldOrder::BottomFirst,
        _ => FieldOrder::Progressive,
    }
}
