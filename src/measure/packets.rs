//! A pass over a container's packets: how many there are, when they are shown, and which are damaged.
//!
//! Nothing is decoded, so damage inside a packet that its container does not know of is not seen.

use crate::av::{Input, MAX_BROKEN_READS, MediaKind};
use crate::error::{Kind, Result};
use crate::source::ffmpeg::access::Access;
use crate::time::TimeBase;

/// Lines of damage that are kept.
const MAX_LINES: usize = 8;

/// What was found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Packets {
    /// By the container's index of the stream.
    pub streams: Vec<OfStream>,
    /// What is broken, a line each.
    pub damage: Vec<String>,
}

/// The packets of a stream.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OfStream {
    /// All of them.
    pub n_packets: u64,
    /// Those that are shown: not outside an edit list, not empty, not only there for others to be made from.
    pub n_shown: u64,
    /// Those a decoder can begin with.
    pub n_keys: u64,
    /// Those the demuxer itself found damaged.
    pub n_corrupt: u64,
    /// Bytes of payload.
    pub n_bytes: u64,
    /// The first time that is shown, in ticks.
    pub first: Option<i64>,
    /// When the last ends, in ticks.
    pub end: Option<i64>,
    /// How evenly pictures follow each other; `None` where the times do not tell.
    pub pace: Option<Pace>,
}

/// How pictures follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// Evenly, but for what a tick cannot express.
    Constant,
    /// At different distances; the shortest and the longest in ticks.
    Variable {
        /// The shortest.
        shortest: i64,
        /// The longest.
        longest: i64,
    },
}

/// Reads all packets of `input`.
pub fn read(input: &mut Input) -> Result<Packets> {
    let count = input.streams().iter().map(|stream| stream.index + 1).max().unwrap_or(0);
    let unknown = (MediaKind::Data, TimeBase::MICROS, Access::Unknown);
    let about: Vec<(MediaKind, TimeBase, Access)> = (0..count)
        .map(|index| input.stream(index).map_or(unknown, |it| (it.kind, it.time_base, Access::of(it))))
        .collect();
    let mut found = Packets { streams: vec![OfStream::default(); count], damage: Vec::new() };
    let mut shown: Vec<Vec<i64>> = vec![Vec::new(); count];
    let mut broken = 0;
    loop {
        let packet = match input.next_packet() {
            Ok(Some(packet)) => packet,
            Ok(None) => break,
            Err(error) if error.kind() == Kind::Io => return Err(error),
            Err(error) => {
                broken += 1;
                note(&mut found.damage, error.to_string());
                if broken < MAX_BROKEN_READS { continue } else { break }
            }
        };
        broken = 0;
        let index = packet.stream_index();
        let Some(stream) = found.streams.get_mut(index) else { continue };
        let (kind, base, access) = about[index];
        stream.n_packets += 1;
        stream.n_bytes += packet.data().len() as u64;
        stream.n_keys += u64::from(packet.is_key());
        let time = packet.pts().or(packet.dts());
        if packet.is_corrupt() {
            stream.n_corrupt += 1;
            let at = time.map_or("an unknown time".to_owned(), |ticks| format!("{:.3} s", base.seconds(ticks)));
            note(&mut found.damage, format!("stream {index}: the packet at {at} is damaged"));
        }
        if packet.is_discarded() || packet.data().is_empty() || access.hides(&packet) {
            continue;
        }
        stream.n_shown += 1;
        let Some(time) = time else { continue };
        stream.first = Some(stream.first.map_or(time, |first| first.min(time)));
        let end = time.saturating_add(packet.duration().max(0));
        stream.end = Some(stream.end.map_or(end, |last| last.max(end)));
        if kind == MediaKind::Video && packet.pts().is_some() {
            shown[index].push(time);
        }
    }
    for (stream, times) in found.streams.iter_mut().zip(shown) {
        let is_timed = times.len() as u64 == stream.n_shown && !input.has_no_time_stamps();
        stream.pace = if is_timed { pace(times) } else { None };
    }
    if input.format_name().contains("mp4") {
        for (index, stream) in found.streams.iter().enumerate() {
            let listed = input.index_entries(index) as u64;
            if listed > stream.n_packets && stream.n_packets > 0 {
                let line = format!("stream {index}: the index lists {listed} packets, {} are there", stream.n_packets);
                note(&mut found.damage, line);
            }
        }
    }
    Ok(found)
}

fn note(damage: &mut Vec<String>, line: String) {
    if damage.len() < MAX_LINES {
        damage.push(line);
    }
}

/// Even when no time lies further than a tick from where equal steps would put it.
fn pace(mut times: Vec<i64>) -> Option<Pace> {
    times.sort_unstable();
    let (first, last) = (*times.first()?, *times.last()?);
    let steps = times.len() as i128 - 1;
    if steps < 1 {
        return None;
    }
    let span = i128::from(last) - i128::from(first);
    let is_even = times.iter().zip(0..).all(|(time, k): (&i64, i128)| {
        let off = (i128::from(*time) - i128::from(first)) * steps - k * span;
        off.abs() <= steps
    });
    if is_even {
        return Some(Pace::Constant);
    }
    let distances = times.windows(2).map(|pair| pair[1].saturating_sub(pair[0]));
    let (shortest, longest) = (distances.clone().min()?, distances.max()?);
    Some(Pace::Variable { shortest, longest })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_to_a_tick_is_no_variable_rate() {
        let rounded = |n: i64| (0..n).map(|k| (k * 1001 * 1000 + 12_000) / 24_000).collect::<Vec<_>>();
        assert_eq!(pace(rounded(500)), Some(Pace::Constant));
        let mut dropped = rounded(500);
        dropped.remove(250);
        assert_eq!(pace(dropped), Some(Pace::Variable { shortest: 41, longest: 84 }));
        assert_eq!(pace(vec![i64::MIN, i64::MAX]), Some(Pace::Constant));
        assert_eq!(pace(vec![7]), None);
    }
}
