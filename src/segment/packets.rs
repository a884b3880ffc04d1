//! A segment as a file: the encoder's packets one after the other, behind them a table of their times and sizes.
//!
//! The table is last because it is known last, and read first because the join must know all times before it writes the
//! first packet. No dts is kept: the join makes them anew. Side data is not kept: the encoders that are cut give none
//! that a container asks for. All numbers are little-endian.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::OFlags;
use xxhash_rust::xxh3::Xxh3;

use crate::error::{Error, Kind, Result};
use crate::meter::{self, Metered};
use crate::sink::disk::Disk;

/// The last bytes of a segment, with the version of its form.
const MAGIC: [u8; 8] = *b"vprocsg1";

/// Bytes of a row of the table: pts, duration, size, flags.
const ROW: usize = 8 + 8 + 8 + 4;

/// Bytes behind the table: number of packets, hash of the codec header, [`MAGIC`].
const FOOTER: usize = 8 + 8 + 8;

/// Bytes that are collected before they are written.
const BUFFER: usize = 1 << 20;

/// A packet without its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// In ticks of the encoder.
    pub pts: i64,
    /// In the same ticks; 0 when unknown.
    pub duration: i64,
    /// Bytes of payload.
    pub size: u64,
    /// FFmpeg's `AV_PKT_FLAG_*` bits.
    pub flags: i32,
}

/// What a finished segment file is known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Print {
    /// Its bytes.
    pub bytes: u64,
    /// The XXH3 hash of all of them, 128 bits.
    pub hash: u128,
}

/// A segment file that grows under a temporary name. Dropped before its end it is removed.
pub struct PacketWriter {
    disk: Arc<dyn Disk>,
    file: File,
    part: PathBuf,
    path: PathBuf,
    waiting: Vec<u8>,
    hash: Xxh3,
    bytes: u64,
    table: Vec<Entry>,
    is_named: bool,
}

impl PacketWriter {
    /// An empty file `part`, which is called `path` at its end.
    pub fn create(disk: Arc<dyn Disk>, part: PathBuf, path: PathBuf) -> Result<PacketWriter> {
        let created = disk.open(&part).and_then(|file| disk.empty(&file).map(|()| file));
        let file = created.map_err(|error| Error::io(format!("create {}", part.display()), error))?;
        let (waiting, table) = (Vec::with_capacity(BUFFER), Vec::new());
        Ok(PacketWriter { disk, file, part, path, waiting, hash: Xxh3::new(), bytes: 0, table, is_named: false })
    }

    /// Takes a packet, and writes when enough has come together.
    pub fn push(&mut self, pts: i64, duration: i64, flags: i32, payload: &[u8]) -> Result<()> {
        self.table.push(Entry { pts, duration, size: payload.len() as u64, flags });
        self.append(payload);
        if self.waiting.len() >= BUFFER { self.flush() } else { Ok(()) }
    }

    /// Writes the rest and the table, brings all to the disk and gives the file its name; `header` is the hash of the
    /// codec header. The folder is the caller's to sync.
    pub fn finish(mut self, header: u64) -> Result<Print> {
        let mut table = Vec::with_capacity(self.table.len() * ROW + FOOTER);
        for entry in &self.table {
            table.extend(entry.pts.to_le_bytes());
            table.extend(entry.duration.to_le_bytes());
            table.extend(entry.size.to_le_bytes());
            table.extend(entry.flags.to_le_bytes());
        }
        table.extend((self.table.len() as u64).to_le_bytes());
        table.extend(header.to_le_bytes());
        table.extend(MAGIC);
        self.append(&table);
        self.flush()?;
        let part = &self.part;
        let synced = meter::waiting(|| self.disk.sync(&self.file));
        synced.map_err(|error| Error::io(format!("write {}", part.display()), error))?;
        let renamed = self.disk.rename(part, &self.path);
        renamed.map_err(|error| Error::io(format!("rename {} to {}", part.display(), self.path.display()), error))?;
        self.is_named = true;
        Ok(Print { bytes: self.bytes, hash: self.hash.digest128() })
    }

    fn append(&mut self, bytes: &[u8]) {
        self.waiting.extend_from_slice(bytes);
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
    }

    fn flush(&mut self) -> Result<()> {
        let written = meter::waiting(|| self.disk.write(&self.file, &self.waiting));
        self.waiting.clear();
        written.map_err(|error| Error::io(format!("write {}", self.part.display()), error))
    }
}

impl Drop for PacketWriter {
    fn drop(&mut self) {
        if !self.is_named {
            // Nobody will ask for it, and it may be what fills the disk; if it stays, the next run empties it.
            let _ = self.disk.remove(&self.part);
        }
    }
}

/// A finished segment file being read.
pub struct PacketReader {
    file: BufReader<Metered<File>>,
    path: PathBuf,
    /// All packets, in the order of decoding.
    pub table: Vec<Entry>,
    /// The hash of the codec header.
    pub header: u64,
    next: usize,
    hash: Xxh3,
    bytes: u64,
}

impl PacketReader {
    /// Opens a segment and reads its table. What the file says of itself is believed only as far as it fits its size.
    pub fn open(path: &Path) -> Result<PacketReader> {
        let failed = |error| Error::io(format!("read {}", path.display()), error);
        let broken = || Error::new(Kind::Io, format!("{} is not a whole segment", path.display()));
        let mut file = open_plain(path).map_err(failed)?;
        let bytes = file.metadata().map_err(failed)?.len();
        let at = bytes.checked_sub(FOOTER as u64).ok_or_else(broken)?;
        let mut footer = [0; FOOTER];
        file.seek(SeekFrom::Start(at)).and_then(|_| file.read_exact(&mut footer)).map_err(failed)?;
        let (n, header) = (number(&footer[..8]), number(&footer[8..16]));
        let rows = n.checked_mul(ROW as u64).filter(|rows| *rows <= at && footer[16..] == MAGIC).ok_or_else(broken)?;
        let mut table = vec![0; usize::try_from(rows).map_err(|_| broken())?];
        file.seek(SeekFrom::Start(at - rows)).and_then(|_| file.read_exact(&mut table)).map_err(failed)?;
        let signed = |bytes: &[u8]| number(bytes).cast_signed();
        let entry = |row: &[u8]| Entry {
            pts: signed(&row[..8]),
            duration: signed(&row[8..16]),
            size: number(&row[16..24]),
            flags: signed(&row[24..]) as i32,
        };
        let table: Vec<Entry> = table.chunks_exact(ROW).map(entry).collect();
        let body = table.iter().try_fold(0_u64, |sum, entry| sum.checked_add(entry.size));
        if body != Some(at - rows) {
            return Err(broken());
        }
        file.rewind().map_err(failed)?;
        let file = BufReader::with_capacity(BUFFER, Metered(file));
        Ok(PacketReader { file, path: path.to_owned(), table, header, next: 0, hash: Xxh3::new(), bytes })
    }

    /// The next packet's entry and payload.
    pub fn next_packet(&mut self) -> Result<Option<(Entry, Vec<u8>)>> {
        let Some(entry) = self.table.get(self.next).copied() else { return Ok(None) };
        self.next += 1;
        let failed = |error| Error::io(format!("read {}", self.path.display()), error);
        let size = usize::try_from(entry.size).map_err(|_| failed(io::ErrorKind::OutOfMemory.into()))?;
        let mut payload = vec![0; size];
        self.file.read_exact(&mut payload).map_err(failed)?;
        self.hash.update(&payload);
        Ok(Some((entry, payload)))
    }

    /// What the file is known by, once all packets were taken.
    pub fn finish(mut self) -> Result<Print> {
        let mut rest = Vec::new();
        self.file.read_to_end(&mut rest).map_err(|error| Error::io(format!("read {}", self.path.display()), error))?;
        self.hash.update(&rest);
        Ok(Print { bytes: self.bytes, hash: self.hash.digest128() })
    }
}

/// What the file at `path` is known by, whatever it holds.
pub fn print_of(path: &Path) -> io::Result<Print> {
    let mut file = Metered(open_plain(path)?);
    let (mut hash, mut bytes, mut buffer) = (Xxh3::new(), 0, vec![0; BUFFER]);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(Print { bytes, hash: hash.digest128() }),
            n => {
                hash.update(&buffer[..n]);
                bytes += n as u64;
            }
        }
    }
}

/// The hash of pts in rising order, by which frames are known again.
#[derive(Default)]
pub struct TimesHash(Xxh3);

impl TimesHash {
    /// Takes the next pts.
    pub fn push(&mut self, pts: i64) {
        self.0.update(&pts.to_le_bytes());
    }

    /// The hash so far.
    pub fn value(&self) -> u64 {
        self.0.digest()
    }
}

/// Opens a plain file; a link is not followed, and a pipe does not make us wait.
pub(super) fn open_plain(path: &Path) -> io::Result<File> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits();
    let flags = i32::try_from(flags).expect("the flags are bits of a C int");
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::ErrorKind::InvalidInput.into()) }
}

/// A little-endian number of at most eight bytes.
fn number(bytes: &[u8]) -> u64 {
    let mut all = [0; 8];
    all[..bytes.len()].copy_from_slice(bytes);
    u64::from_le_bytes(all)
}
