//! What a container holds of a video, packet by packet, and whether a demuxer that was sent to the middle gives the
//! same from there on.

use xxhash_rust::xxh3::xxh3_64;

use super::access::Access;
use crate::av::{Input, Packet};
use crate::error::{Kind, Result};

/// Packets that are read beyond the last frame that matters: more than any codec puts into another order.
const REORDERED: usize = 64;

/// Pictures that H.264 and HEVC may show later than others that are decoded after them, which no other codec exceeds.
const MOST_DELAYED: usize = 16;

/// How many pictures from the first key frame on have no time, and the least time of those that have, where a video
/// begins with such; a container that cannot hold times below 0 leaves them out. `input` gives the packets of `stream`.
pub fn untimed(input: &mut Input, stream: usize) -> Result<Option<(i64, i64)>> {
    let (mut n_untimed, mut timed, mut has_begun) = (0, Vec::new(), false);
    while timed.len() < MOST_DELAYED
        && let Some(packet) = input.next_readable()?
    {
        has_begun |= packet.is_key();
        let is_shown = !packet.is_discarded() && !packet.data().is_empty();
        if packet.stream_index() == stream && has_begun && is_shown {
            match packet.pts().or(packet.dts()) {
                Some(time) => timed.push(time),
                None => n_untimed += 1,
            }
        }
    }
    Ok(timed.into_iter().min().map(|least| (n_untimed, least)))
}

/// A packet as it is known again. Its dts is left out: some demuxers derive it from the packets before.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Listed {
    /// When its picture is shown, in the stream's ticks.
    pub pts: i64,
    /// No picture that is shown with it or later needs what lies before.
    pub is_access: bool,
    hash: u64,
    is_key: bool,
    is_shown: bool,
}

impl Listed {
    /// `None` for one that is damaged or has no time.
    fn of(packet: &Packet, access: Access) -> Option<Listed> {
        let is_shown = !packet.is_discarded() && !packet.data().is_empty() && !access.hides(packet);
        let pts = packet.pts().filter(|_| !packet.is_corrupt())?;
        let is_access = access.is_at(packet);
        Some(Listed { pts, is_access, hash: xxh3_64(packet.data()), is_key: packet.is_key(), is_shown })
    }
}

/// The packets of a video from its first on.
pub struct PacketIndex {
    stream: usize,
    access: Access,
    packets: Vec<Listed>,
    /// The pts of those that are shown, rising: of frame k if each gives a frame.
    pub shown: Vec<i64>,
}

impl PacketIndex {
    /// Reads the packets of `stream`, which is the only one that `input` gives, as far as needed for the times of `n`
    /// frames that are shown at `start` or later; `None` where one is damaged, or has no time or that of another.
    pub fn read(input: &mut Input, stream: usize, start: i64, n: u64) -> Result<Option<PacketIndex>> {
        let access = input.stream(stream).map_or(Access::Unknown, Access::of);
        let (mut packets, mut shown, mut n_counted) = (Vec::new(), Vec::new(), 0);
        let enough = usize::try_from(n).unwrap_or(usize::MAX).saturating_add(REORDERED);
        while n_counted < enough {
            let Some(packet) = next(input, stream)? else { break };
            let Some(listed) = packet.as_ref().and_then(|packet| Listed::of(packet, access)) else { return Ok(None) };
            packets.push(listed);
            if listed.is_shown {
                shown.push(listed.pts);
                n_counted += usize::from(listed.pts >= start);
            }
        }
        shown.sort_unstable();
        let is_rising = shown.windows(2).all(|pair| pair[0] < pair[1]);
        Ok(is_rising.then_some(PacketIndex { stream, access, packets, shown }))
    }

    /// The key frame before the last one that is shown at `pts` or earlier, so that a whole group of pictures lies
    /// between; `None` where that is the beginning.
    pub fn key_before(&self, pts: i64) -> Option<usize> {
        self.before(pts, |listed| listed.is_key)
    }

    /// The same of places from which on a video can be decoded as if nothing lay before.
    pub fn access_before(&self, pts: i64) -> Option<usize> {
        self.before(pts, |listed| listed.is_access)
    }

    fn before(&self, pts: i64, is_one: impl Fn(&Listed) -> bool) -> Option<usize> {
        let is_before = |listed: &Listed| is_one(listed) && listed.is_shown && listed.pts <= pts;
        let mut places =
            self.packets.iter().enumerate().filter(|(_, listed)| is_before(listed)).map(|(place, _)| place);
        places.nth_back(1).filter(|place| *place > 0)
    }

    /// The packet at this place, from 0.
    pub fn at(&self, place: usize) -> Listed {
        self.packets[place]
    }

    /// Where the packets begin that `input` gives now, if that is with a key frame at `place` or before, and they are
    /// the listed ones from there on.
    pub fn begins(&self, input: &mut Input, place: usize) -> Result<Option<usize>> {
        let read = |input: &mut Input| -> Result<Option<Listed>> {
            Ok(next(input, self.stream)?.flatten().and_then(|packet| Listed::of(&packet, self.access)))
        };
        let first = read(input)?;
        let found = self.packets[..=place].iter().rposition(|listed| listed.is_key && Some(*listed) == first);
        let Some(begin) = found else { return Ok(None) };
        for listed in &self.packets[begin + 1..] {
            if read(input)? != Some(*listed) {
                return Ok(None);
            }
        }
        Ok(Some(begin))
    }
}

/// The next packet of `stream`; `Some(None)` where the container is damaged.
fn next(input: &mut Input, stream: usize) -> Result<Option<Option<Packet>>> {
    loop {
        match input.next_packet() {
            Ok(Some(packet)) if packet.stream_index() != stream => {}
            Ok(packet) => return Ok(packet.map(Some)),
            Err(error) if error.kind() == Kind::Io => return Err(error),
            Err(_) => return Ok(Some(None)),
        }
    }
}
