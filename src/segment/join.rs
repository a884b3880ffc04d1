//! The join: finished segments become the output, through the same container code as an output made in one go.
//!
//! Each segment's encoder has counted its dts from its own beginning; put behind each other they would overlap. They are
//! made anew with one delay for all, so that they rise as strictly as pts, at every cut and every change of rate.

use xxhash_rust::xxh3::xxh3_64;

use super::folder::Folder;
use super::manifest::{FileIdentity, Lost, Manifest};
use super::packets::{Entry, PacketReader};
use crate::av::Packet;
use crate::error::{Error, Kind, Result};
use crate::interrupt;
use crate::sink::Finished;
use crate::sink::dts;
use crate::sink::encode::{Encoding, lost_warnings};
use crate::sink::job::FileJob;
use crate::sink::mux::Mux;
use crate::sink::part::PartFile;

/// Joins all segments that `manifest` lists into `part`, verifies it, notes what it is, and gives it its name.
pub fn join(job: FileJob, part: PartFile, folder: &Folder, mut manifest: Manifest) -> Result<Finished> {
    check_room(&part, &manifest)?;
    let encoding = Encoding::open(&job)?;
    let (time_base, header) = (encoding.time_base(), xxh3_64(&encoding.encoder().header()?));
    let (mut lost, mut others) = (Vec::new(), Vec::new());
    let mut delay = 0;
    for (number, done) in &manifest.segments {
        let reader = PacketReader::open(&folder.segment(*number))?;
        if reader.header != header {
            others.push(*number);
        }
        delay = delay.max(dts::delay(&times(&reader.table)));
        lost.extend(done.lost_side_data.iter().copied());
    }
    refuse_others(folder, &others, manifest.segments.len())?;
    lost.sort_unstable();
    lost.dedup();
    let warnings = lost_warnings(&job.encoding.encoder, &lost);
    let mut mux = Mux::create(job, part, encoding.encoder(), None)?;
    drop(encoding);
    for (number, done) in &manifest.segments {
        let mut reader = PacketReader::open(&folder.segment(*number))?;
        // No pts of a later segment is smaller, since frames are cut in the order of showing.
        let mut shown = dts::shown(times(&reader.table)).into_iter();
        if interrupt::requested().is_some() {
            return Err(Error::new(Kind::Interrupted, "stopped while joining; the same command goes on from here"));
        }
        while let (Some((entry, payload)), Some(shown)) = (reader.next_packet()?, shown.next()) {
            let mut packet = Packet::from_data(&payload)?;
            packet.set_times(Some(entry.pts), Some(shown - delay));
            packet.set_duration(entry.duration);
            packet.set_flags(entry.flags);
            mux.write(packet, time_base)?;
        }
        if !done.is(reader.finish()?) {
            return Err(unusable(
                folder,
                *number,
                "has changed on the disk; run the same command again, which mends it",
            ));
        }
    }
    let finished = mux.seal(warnings)?.conclude(|part| {
        let identity = FileIdentity::of(part.file()).map_err(|error| Error::io("look at the output", error))?;
        manifest.joined = Some(identity);
        folder.save(&manifest)
    })?;
    note_lost(folder, manifest, finished)
}

/// Notes what was found lost, for who asks again; nothing of it changes the output, which has its name.
fn note_lost(folder: &Folder, manifest: Manifest, mut finished: Finished) -> Result<Finished> {
    let lost = Lost { missing: finished.missing, lost_packets: finished.lost_packets };
    if lost != Lost::default()
        && let Err(error) = folder.save(&Manifest { lost, ..manifest })
    {
        finished.warnings.push(format!("the output is complete, but what its source had lost is not noted: {error}"));
    }
    Ok(finished)
}

/// Refuses to begin where the disk cannot hold the output beside its segments, which it is nearly as large as.
fn check_room(part: &PartFile, manifest: &Manifest) -> Result<()> {
    let needed: u64 = manifest.segments.values().map(|done| done.bytes).sum();
    let Ok(facts) = rustix::fs::fstatvfs(part.file()) else { return Ok(()) };
    let free = facts.f_bavail.saturating_mul(facts.f_frsize);
    if needed <= free {
        return Ok(());
    }
    let mib = |bytes: u64| bytes.div_ceil(1 << 20);
    let message = format!(
        "no space left to join the segments: about {} MiB are needed beside them, {} MiB are free; free some space and \
         run the same command again",
        mib(needed),
        mib(free)
    );
    Err(Error::new(Kind::DiskFull, message))
}

/// Refuses to join if there are segments with another codec header than the encoder gives now, of so many in all; they
/// are removed, for the next run to make them, unless it is the encoder now that is the odd one.
fn refuse_others(folder: &Folder, others: &[u64], n_segments: usize) -> Result<()> {
    let Some(first) = others.first() else { return Ok(()) };
    if others.len() < n_segments {
        for number in others {
            let path = folder.segment(*number);
            folder.disk.remove(&path).map_err(|error| Error::io(format!("remove {}", path.display()), error))?;
        }
    }
    let why = format!(
        "was encoded with another codec header; run the same command again, which mends it, or remove {} to start anew",
        folder.path().display()
    );
    Err(unusable(folder, *first, &why))
}

fn unusable(folder: &Folder, number: u64, why: &str) -> Error {
    Error::new(Kind::Io, format!("{} {why}", folder.segment(number).display()))
}

/// The pts of a segment's packets.
fn times(table: &[Entry]) -> Vec<i64> {
    table.iter().map(|entry| entry.pts).collect()
}
