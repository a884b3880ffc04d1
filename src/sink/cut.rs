//! A part of the input's time: what of it is kept, and how times move. A [`Cut`] is what the user asked for, a [`Trim`]
//! applies it to the packets of a stream, an [`Edit`] is what the input's own edit list asks for.

use std::fmt;

use crate::av::{MediaKind, Packet, Stream};
use crate::error::Result;
use crate::plan::container::Treatment;
use crate::time::TimeBase;

/// A half-open span of the input's time in microseconds; with a start, what is kept moves so that it becomes 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The first moment kept; `None`: from the beginning, and nothing moves.
    pub start: Option<i64>,
    /// The first moment no longer kept; `None`: to the end.
    pub end: Option<i64>,
}

/// A packet's times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// Presentation time stamp.
    pub pts: Option<i64>,
    /// Decoding time stamp.
    pub dts: Option<i64>,
    /// Duration, 0 when unknown.
    pub duration: i64,
}

impl Cut {
    /// The times of a packet after the cut, all in ticks of `base`; `None` if it is not kept. With `overlapping` what
    /// began before the start and lasts into it is kept and shortened, and so is what lasts beyond the end (subtitles).
    pub fn apply(self, times: Times, base: TimeBase, overlapping: bool) -> Option<Times> {
        let ticks = |micros| TimeBase::MICROS.rescale(micros, base);
        let at = times.pts.or(times.dts)?;
        if self.end.is_some_and(|end| at >= ticks(end)) {
            return None;
        }
        // What is shown at the end is taken from the screen there.
        let left = self.end.filter(|_| overlapping).map_or(i64::MAX, |end| ticks(end) - at);
        let times = Times { duration: times.duration.min(left), ..times };
        let Some(start) = self.start.map(ticks) else { return Some(times) };
        let lasts_into = overlapping && at < start && at.saturating_add(times.duration) > start;
        if lasts_into {
            return Some(self.clamp(Times { duration: at + times.duration - start, ..times }, base));
        }
        (at >= start).then(|| self.shift(times, base))
    }

    /// By how many ticks what begins before the start lasts into the cut, below 0 where it ends earlier; `None` for what
    /// begins later.
    fn overlap(self, times: Times, base: TimeBase) -> Option<i64> {
        let start = TimeBase::MICROS.rescale(self.start?, base);
        let at = times.pts.or(times.dts)?;
        (at < start).then(|| at.saturating_add(times.duration).saturating_sub(start))
    }

    /// The times, moved so that the start becomes 0.
    fn shift(self, times: Times, base: TimeBase) -> Times {
        let start = self.start.map_or(0, |micros| TimeBase::MICROS.rescale(micros, base));
        let shift = |ticks: Option<i64>| ticks.map(|ticks| ticks.saturating_sub(start));
        Times { pts: shift(times.pts), dts: shift(times.dts), ..times }
    }

    /// The times after the cut of what is kept together with something else: never before the start.
    pub fn clamp(self, times: Times, base: TimeBase) -> Times {
        let Some(start) = self.start.map(|micros| TimeBase::MICROS.rescale(micros, base)) else { return times };
        let shift = |ticks: Option<i64>| ticks.map(|ticks| ticks.max(start) - start);
        Times { pts: shift(times.pts), dts: shift(times.dts), ..times }
    }
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = |micros: i64| TimeBase::MICROS.seconds(micros);
        match (self.start, self.end) {
            (None, None) => f.write_str("all of it"),
            (Some(start), None) => write!(f, "{} s to the end", seconds(start)),
            (start, Some(end)) => write!(f, "{} s to {} s", seconds(start.unwrap_or(0)), seconds(end)),
        }
    }
}

/// The type of the segment that begins a display set of Blu-ray subtitles (PGS).
const PRESENTATION: u8 = 0x16;

/// How sound is cut where the cut lies inside a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Edge {
    /// It is not: what begins before the start is left out, what lasts beyond the end stays.
    Packet,
    /// Raw samples, of which a packet holds as many as it has.
    Samples {
        /// Of one sample in all channels.
        n_bytes: usize,
        /// What samples count.
        base: TimeBase,
    },
    /// Who converts it cuts what is decoded: it gets the packet that lasts into the cut, and hidden ones before.
    Converter,
}

impl Edge {
    fn of(stream: &Stream, treatment: &Treatment) -> Edge {
        let base = i32::try_from(stream.sample_rate).ok().and_then(|rate| TimeBase::new(1, rate));
        match (treatment, sample_bytes(&stream.codec), base) {
            (Treatment::Sound { .. }, ..) => Edge::Converter,
            (Treatment::Copy, Some(n), Some(base)) if stream.channels > 0 => {
                Edge::Samples { n_bytes: n * stream.channels, base }
            }
            _ => Edge::Packet,
        }
    }
}

/// Bytes of a raw sample of one channel, of a codec whose channels alternate.
fn sample_bytes(codec: &str) -> Option<usize> {
    match codec.strip_prefix("pcm_")? {
        "alaw" | "mulaw" => Some(1),
        name => {
            let bits = name.trim_start_matches(['s', 'u', 'f']).trim_end_matches(['l', 'b', 'e']);
            bits.parse::<usize>().ok().filter(|bits| bits % 8 == 0 && *bits > 0).map(|bits| bits / 8)
        }
    }
}

/// What a decoder gets of sound before the cut, in microseconds: longer than packets lie over each other.
const RUN_IN: i64 = 100_000;

/// The same where packets do not say how long they last.
const LONGEST: i64 = 2_000_000;

/// `AV_PKT_FLAG_DISCARD`: decoded, but not heard.
const HIDDEN: i32 = 4;

/// The cut of a stream, applied to its packets in their order.
pub struct Trim {
    kind: MediaKind,
    base: TimeBase,
    cut: Option<Cut>,
    edge: Edge,
    /// Ticks of sound that are missing because its packets stay whole.
    missing: i64,
    /// Display sets, whose segments may come one by one, are kept or left out as a whole. The first segment decides: the
    /// others have the times when they are decoded. What precedes the first one of all can never be shown.
    is_of_sets: bool,
    keeps_set: bool,
}

impl Trim {
    /// The cut of this stream, to which `treatment` is given.
    pub fn of(stream: &Stream, treatment: &Treatment, cut: Option<Cut>) -> Trim {
        Trim {
            kind: stream.kind,
            base: stream.time_base,
            cut,
            edge: Edge::of(stream, treatment),
            missing: 0,
            is_of_sets: stream.codec == "hdmv_pgs_subtitle",
            keeps_set: false,
        }
    }

    /// Blu-ray subtitles, whose display sets come in one packet or in several.
    pub fn is_of_sets(&self) -> bool {
        self.is_of_sets
    }

    /// Microseconds of sound that are missing at the start because its packets stay whole.
    pub fn missing(&self) -> i64 {
        self.base.rescale(self.missing, TimeBase::MICROS)
    }

    /// The next packet after the cut; `None` if it is not kept.
    pub fn apply(&mut self, packet: Packet) -> Result<Option<Packet>> {
        let mut packet = self.divide(packet)?;
        let times = Times { pts: packet.pts(), dts: packet.dts(), duration: packet.duration() };
        let belongs = self.is_of_sets && packet.data().first() != Some(&PRESENTATION);
        let lasts = self.cut.and_then(|cut| cut.overlap(times, self.base)).filter(|_| self.kind == MediaKind::Audio);
        let times = match (self.cut, lasts) {
            _ if belongs && !self.keeps_set => None,
            (Some(cut), _) if belongs => Some(cut.clamp(times, self.base)),
            (Some(cut), Some(lasts)) if self.edge == Edge::Converter => {
                // Who knows how long it lasts may know that it is over; times are rounded.
                let is_known = times.duration > 0;
                if lasts <= 1 && is_known {
                    packet.set_flags(packet.flags() | HIDDEN);
                }
                let run_in = TimeBase::MICROS.rescale(if is_known { RUN_IN } else { LONGEST }, self.base);
                Some(cut.shift(times, self.base)).filter(|_| lasts > -run_in)
            }
            (Some(cut), _) => cut.apply(times, self.base, self.kind == MediaKind::Subtitle),
            (None, _) => Some(times),
        };
        if times.is_none() && !packet.is_discarded() {
            self.missing = self.missing.max(lasts.unwrap_or(0));
        }
        self.keeps_set = times.is_some();
        let Some(times) = times else { return Ok(None) };
        packet.set_times(times.pts, times.dts);
        packet.set_duration(times.duration);
        Ok(Some(packet))
    }

    /// The samples of a packet that lie in the cut; all of them where none do or it cannot be divided.
    fn divide(&self, packet: Packet) -> Result<Packet> {
        let (Some(cut), Edge::Samples { n_bytes, base }, Some(at)) = (self.cut, self.edge, packet.pts()) else {
            return Ok(packet);
        };
        let n = packet.data().len() / n_bytes;
        let samples = |micros: i64| {
            let ticks = TimeBase::MICROS.rescale(micros, self.base).saturating_sub(at);
            usize::try_from(self.base.rescale(ticks, base)).unwrap_or(0).min(n)
        };
        let (first, last) = (cut.start.map_or(0, samples), cut.end.map_or(n, samples));
        if first >= last || (first, last) == (0, n) {
            return Ok(packet);
        }
        let mut part = Packet::from_data(&packet.data()[first * n_bytes..last * n_bytes])?;
        let start = cut.start.filter(|_| first > 0).map(|micros| TimeBase::MICROS.rescale(micros, self.base));
        let at = start.unwrap_or(at);
        part.set_times(Some(at), packet.dts().map(|_| at));
        part.set_duration(base.rescale((last - first) as i64, self.base));
        part.set_stream_index(packet.stream_index());
        part.set_flags(packet.flags());
        Ok(part)
    }
}

/// What an edit list of the input leaves of a stream, for an output that cannot hide the rest.
pub struct Edit<T> {
    /// The output hides as the input does, but knows one edit alone: what the next one hides makes time go back.
    knows_one: bool,
    goes_back: bool,
    last_dts: Option<i64>,
    /// Packets lie over into the next: without the hidden one before it the first shown one is decoded wrongly.
    overlaps: bool,
    /// The last packet, if it was hidden and none was shown yet.
    run_in: Option<T>,
    has_shown: bool,
    n_left_out: u64,
}

impl<T> Edit<T> {
    /// Nothing was seen yet. Where packets of the stream overlap, one hidden packet before the first shown one stays.
    pub fn new(overlaps: bool) -> Edit<T> {
        let (knows_one, goes_back, last_dts) = (false, false, None);
        Edit { knows_one, goes_back, last_dts, overlaps, run_in: None, has_shown: false, n_left_out: 0 }
    }

    /// The same for an output that hides what the first edit does: what the others hide is left out.
    pub fn after_first() -> Edit<T> {
        Edit { knows_one: true, ..Edit::new(false) }
    }

    /// What goes over, in order, when the next packet comes.
    pub fn apply(&mut self, packet: T, is_hidden: bool, dts: Option<i64>) -> [Option<T>; 2] {
        let is_back = dts.zip(self.last_dts).is_some_and(|(dts, last)| dts <= last);
        self.goes_back = is_hidden && self.has_shown && (self.goes_back || is_back);
        if is_hidden && (self.goes_back || !self.knows_one) {
            self.n_left_out += 1;
            self.run_in = Some(packet).filter(|_| self.overlaps && !self.has_shown);
            return [None, None];
        }
        self.has_shown |= !is_hidden;
        self.last_dts = dts.or(self.last_dts);
        let run_in = self.run_in.take();
        self.n_left_out -= u64::from(run_in.is_some());
        [run_in, Some(packet)]
    }

    /// How many packets were left out so far.
    pub fn n_left_out(&self) -> u64 {
        self.n_left_out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_packets_are_left_out_but_the_one_that_the_first_shown_one_needs() {
        let all = [(1, true), (2, true), (3, false), (4, true), (5, false), (6, true)];
        let left = |overlaps, packets: &[(i32, bool)]| {
            let mut edit = Edit::new(overlaps);
            let left: Vec<i32> =
                packets.iter().flat_map(|&(packet, is_hidden)| edit.apply(packet, is_hidden, None)).flatten().collect();
            (left, edit.n_left_out())
        };
        assert_eq!(left(true, &all), (vec![2, 3, 5], 3));
        assert_eq!(left(false, &all), (vec![3, 5], 4));
        assert_eq!(left(true, &all[..2]), (vec![], 2));
        assert_eq!(left(true, &all[4..5]), (vec![5], 0));
    }

    #[test]
    fn display_sets_are_cut_as_a_whole() {
        let base = TimeBase::new(1, 1000).unwrap();
        let cut = Some(Cut { start: Some(1_000_000), end: Some(2_000_000) });
        let kind = MediaKind::Subtitle;
        let mut trim = Trim { kind, base, cut, edge: Edge::Packet, missing: 0, is_of_sets: true, keeps_set: false };
        let mut left = |segments: &[(u8, i64)]| -> Vec<Option<i64>> {
            let times = segments.iter().map(|&(kind, pts)| {
                let mut packet = Packet::from_data(&[kind, 0, 0]).unwrap();
                packet.set_times(Some(pts), Some(pts));
                trim.apply(packet).unwrap().and_then(|packet| packet.pts())
            });
            times.collect()
        };
        assert_eq!(left(&[(0x15, 1500), (0x80, 1500)]), [None, None]);
        assert_eq!(left(&[(0x16, 900), (0x15, 850), (0x80, 1100)]), [None, None, None]);
        assert_eq!(left(&[(0x16, 1050), (0x15, 950), (0x80, 1050)]), [Some(50), Some(0), Some(50)]);
        assert_eq!(left(&[(0x16, 2050), (0x15, 1950), (0x80, 2050)]), [None, None, None]);
    }

    #[test]
    fn raw_sound_is_cut_to_a_sample_and_other_sound_misses_the_packet_it_is_cut_in() {
        let base = TimeBase::new(1, 1000).unwrap();
        let cut = Some(Cut { start: Some(1_000_000), end: Some(2_000_000) });
        let left = |edge: Edge| {
            let mut trim =
                Trim { kind: MediaKind::Audio, base, cut, edge, missing: 0, is_of_sets: false, keeps_set: false };
            let mut left = Vec::new();
            for at in [300, 700, 1100, 1500, 1900, 2300] {
                let mut packet = Packet::from_data(&[7; 800]).unwrap();
                packet.set_times(Some(at), Some(at));
                packet.set_duration(400);
                left.extend(trim.apply(packet).unwrap().map(|packet| {
                    assert_eq!(packet.pts(), packet.dts());
                    (packet.pts().unwrap(), packet.duration(), packet.data().len(), packet.is_discarded())
                }));
            }
            (left, trim.missing())
        };
        let whole = |at| (at, 400, 800, false);
        assert_eq!(left(Edge::Packet), (vec![whole(100), whole(500), whole(900)], 100_000));
        let samples = Edge::Samples { n_bytes: 4, base: TimeBase::new(1, 500).unwrap() };
        let divided = vec![(0, 100, 200, false), whole(100), whole(500), (900, 100, 200, false)];
        assert_eq!(left(samples), (divided, 0));
        assert_eq!(left(Edge::Converter), (vec![whole(-300), whole(100), whole(500), whole(900)], 0));
        let bytes = ["pcm_s16le", "pcm_u8", "pcm_f64be", "pcm_alaw", "pcm_s24daud", "pcm_s16le_planar", "aac"];
        let bytes = bytes.map(sample_bytes);
        assert_eq!(bytes, [Some(2), Some(1), Some(8), Some(1), None, None, None]);
    }

    #[test]
    fn an_output_with_an_edit_of_its_own_leaves_out_what_later_ones_hide() {
        let all =
            [(-2, true), (-1, true), (0, false), (1, true), (2, false), (0, true), (1, true), (3, true), (4, false)];
        let mut edit = Edit::after_first();
        let left = all.iter().flat_map(|&(at, is_hidden)| edit.apply(at, is_hidden, Some(at))).flatten();
        assert_eq!(left.collect::<Vec<_>>(), [-2, -1, 0, 1, 2, 4]);
        assert_eq!(edit.n_left_out(), 3);
    }

    #[test]
    fn a_subtitle_that_lasts_into_the_cut_stays_shortened() {
        let base = TimeBase::new(1, 1000).unwrap();
        let cut = Cut { start: Some(1_000_000), end: Some(3_000_000) };
        let times = |pts, duration| Times { pts: Some(pts), dts: Some(pts), duration };
        assert_eq!(cut.apply(times(500, 700), base, true), Some(times(0, 200)));
        assert_eq!(cut.apply(times(500, 700), base, false), None);
        assert_eq!(cut.apply(times(500, 400), base, true), None);
        assert_eq!(cut.apply(times(1500, 20), base, false), Some(times(500, 20)));
        assert_eq!(cut.apply(times(3000, 20), base, true), None);
        assert_eq!(cut.apply(times(2900, 700), base, true), Some(times(1900, 100)));
        assert_eq!(cut.apply(times(2900, 700), base, false), Some(times(1900, 700)));
    }
}
