//! One rising clock for containers whose clock may begin anew, as in joined recordings: transport and program streams, Ogg.
//!
//! A clock that falls back (or leaps by more than an hour) and stays there is a restart: what follows is moved, all
//! streams by the same, behind what came before. A single wrong time is not; it passes as it is. Whoever reads the file
//! from its beginning, whichever streams it wants, gets the same times.

use std::collections::VecDeque;

/// A stream whose time falls back by more, in microseconds, has not merely been put in another order.
const LATE: i64 = 1_000_000;

/// A leap by more, in microseconds, is no gap in a recording.
const LEAP: i64 = 3_600_000_000;

/// Packets of a stream in the new time that make it a restart, or in the old one that make it a mistake.
const SURE: usize = 3;

/// Packets looked at before that is decided.
const MAX_HELD: usize = 1000;

/// What a shift is a multiple of, in microseconds: whole ticks of 90 kHz.
const GRAIN: i64 = 100;

/// What is known of a packet, times in microseconds.
pub struct Timed<P> {
    /// The packet.
    pub packet: P,
    /// Its stream's index.
    pub stream: usize,
    /// A stream of sound or pictures, whose packets follow each other closely.
    pub is_dense: bool,
    /// When it is decoded, by the container's clock.
    pub time: Option<i64>,
    /// How long it lasts, 0 if unknown.
    pub duration: i64,
}

/// Where a stream is, by the clock that rises.
#[derive(Clone, Copy)]
struct Place {
    /// The time of the last packet.
    last: i64,
    /// When all packets so far have ended.
    end: i64,
}

/// Takes packets in the file's order and gives them in that order, each with what its times are moved by.
pub struct Clock<P> {
    places: Vec<Option<Place>>,
    shift: i64,
    /// The packet that fell back or leapt, and all since.
    held: Vec<Timed<P>>,
    ready: VecDeque<(P, i64)>,
    n_restarts: u64,
}

impl Place {
    /// Where a stream is after one more packet.
    fn after(before: Option<Place>, time: i64, duration: i64) -> Place {
        let end = time.saturating_add(duration.max(GRAIN));
        Place { last: time, end: before.map_or(end, |before| before.end.max(end)) }
    }
}

impl<P> Clock<P> {
    /// A clock that has seen nothing.
    pub fn new() -> Self {
        Clock { places: Vec::new(), shift: 0, held: Vec::new(), ready: VecDeque::new(), n_restarts: 0 }
    }

    /// How often the container's clock began anew.
    pub fn n_restarts(&self) -> u64 {
        self.n_restarts
    }

    /// The next packet of the file.
    pub fn put(&mut self, packet: Timed<P>) {
        if self.held.is_empty() && !self.jumps(&packet, self.place(packet.stream)) {
            return self.give(packet, self.shift, true);
        }
        self.held.push(packet);
        self.decide(false);
    }

    /// The file has ended.
    pub fn finish(&mut self) {
        self.decide(true);
    }

    /// Nothing is held.
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// A packet whose times are decided, and what is to be added to them, in microseconds.
    pub fn take(&mut self) -> Option<(P, i64)> {
        self.ready.pop_front()
    }

    fn place(&self, stream: usize) -> Option<Place> {
        self.places.get(stream).copied().flatten()
    }

    /// Whether a packet falls back or leaps from where its stream is.
    fn jumps(&self, packet: &Timed<P>, place: Option<Place>) -> bool {
        let (Some(time), Some(place), true) = (packet.time, place, packet.is_dense) else { return false };
        let step = time.saturating_add(self.shift).saturating_sub(place.last);
        !(-LATE..=LEAP).contains(&step)
    }

    /// A packet that `counts` says where its stream is.
    fn give(&mut self, packet: Timed<P>, shift: i64, counts: bool) {
        if let Some(time) = packet.time.filter(|_| counts) {
            let time = time.saturating_add(shift);
            if self.places.len() <= packet.stream {
                self.places.resize(packet.stream + 1, None);
            }
            let place = &mut self.places[packet.stream];
            *place = Some(Place::after(*place, time, packet.duration));
        }
        self.ready.push_back((packet.packet, shift));
    }

    /// Whether what is held is a restart, once that is sure; and what was held goes on.
    fn decide(&mut self, is_end: bool) {
        let Some(first) = self.held.first().map(|packet| packet.stream) else { return };
        let mut places = self.places.clone();
        let mut is_new = Vec::with_capacity(self.held.len());
        let mut begins: Vec<(usize, i64, usize)> = Vec::new();
        let mut n_back = 0;
        for packet in &self.held {
            let jumps = self.jumps(packet, places.get(packet.stream).copied().flatten());
            is_new.push(jumps);
            let (true, Some(time)) = (packet.is_dense, packet.time) else { continue };
            if jumps {
                match begins.iter_mut().find(|(stream, ..)| *stream == packet.stream) {
                    Some((_, begin, n)) => (*begin, *n) = (time.min(*begin), *n + 1),
                    None => begins.push((packet.stream, time, 1)),
                }
            } else {
                n_back += usize::from(packet.stream == first);
                if let Some(Some(place)) = places.get_mut(packet.stream) {
                    *place = Place::after(Some(*place), time.saturating_add(self.shift), packet.duration);
                }
            }
        }
        let seen = |stream: usize| begins.iter().find(|(other, ..)| *other == stream).map_or(0, |(.., n)| *n);
        let now = places.iter().flatten().map(|place| place.last).max().unwrap_or(0);
        let is_dense = |stream: usize| self.held.iter().any(|packet| packet.stream == stream && packet.is_dense);
        let mut others = (0..places.len()).filter(|stream| is_dense(*stream));
        let all_seen = others.all(|stream| {
            seen(stream) >= SURE || places[stream].is_none_or(|place| place.last < now.saturating_sub(LEAP))
        });
        let is_full = is_end || self.held.len() >= MAX_HELD;
        if n_back < SURE && !is_full && !(all_seen && seen(first) >= SURE && self.held.len() >= SURE * 16) {
            return;
        }
        let held = std::mem::take(&mut self.held);
        if n_back >= SURE || seen(first) < SURE {
            let packets = held.into_iter().zip(is_new);
            return packets.for_each(|(packet, jumps)| self.give(packet, self.shift, !jumps));
        }
        let behind =
            |&(stream, begin, _): &(usize, i64, usize)| Some(places.get(stream)?.as_ref()?.end.saturating_sub(begin));
        let shift = begins.iter().filter_map(behind).max().unwrap_or(self.shift);
        let shift = shift.saturating_add(GRAIN).div_euclid(GRAIN).saturating_mul(GRAIN);
        let old = self.shift;
        for (packet, is_new) in held.into_iter().zip(is_new) {
            let far = |time: i64, shift: i64| time.saturating_add(shift).abs_diff(now);
            let is_nearer = |time: i64| far(time, shift) < far(time, old);
            let is_new = is_new || !packet.is_dense && packet.time.is_some_and(is_nearer);
            self.give(packet, if is_new { shift } else { old }, true);
        }
        self.shift = shift;
        self.n_restarts += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: i64 = 40_000;

    /// Two streams side by side, from `begin`: pictures of 40 ms, and sound that is half a second behind them in the file.
    fn recording(begin: i64, n: i64) -> Vec<Timed<()>> {
        let packet = |stream: usize, time: i64| Timed {
            packet: (),
            stream,
            is_dense: true,
            time: Some(begin + time),
            duration: FRAME,
        };
        let sound = |k: i64| (k >= 12).then(|| packet(1, (k - 12) * FRAME));
        let rest = (n - 12..n).map(|k| packet(1, k * FRAME));
        (0..n).flat_map(|k| [Some(packet(0, k * FRAME)), sound(k)]).flatten().chain(rest).collect()
    }

    fn times(packets: Vec<Timed<()>>) -> (Vec<Vec<i64>>, u64) {
        let mut clock = Clock::new();
        let mut streams = vec![Vec::new(); 3];
        let order: Vec<_> = packets.iter().map(|packet| (packet.stream, packet.time)).collect();
        packets.into_iter().for_each(|packet| clock.put(packet));
        clock.finish();
        for (stream, time) in order {
            let ((), shift) = clock.take().unwrap();
            streams[stream].push(time.unwrap() + shift);
        }
        assert!(clock.take().is_none());
        (streams, clock.n_restarts())
    }

    #[test]
    fn a_clock_that_rises_is_left_alone() {
        let packets = recording(5_000_000, 300);
        let plain: Vec<_> = packets.iter().filter(|p| p.stream == 0).map(|p| p.time.unwrap()).collect();
        let (streams, n) = times(packets);
        assert_eq!((&streams[0], n), (&plain, 0));
    }

    #[test]
    fn a_restart_goes_on_behind_what_came_before_with_all_streams_together() {
        for begin in [0, 3_000_000, 100 * LEAP] {
            let mut packets = recording(5_000_000, 300);
            packets.extend(recording(begin, 200));
            let (streams, n) = times(packets);
            assert_eq!(n, 1);
            for stream in &streams[..2] {
                assert_eq!(stream.len(), 500);
                let steps: Vec<_> = stream.windows(2).map(|pair| pair[1] - pair[0]).collect();
                let (most, least) = (steps.iter().max().unwrap(), steps.iter().min().unwrap());
                assert!(*least >= FRAME && *most <= FRAME + 2 * GRAIN, "{begin}: {least} {most}");
            }
            // Sound and pictures of the second part lie as they lay.
            assert_eq!(streams[0][300..], streams[1][300..]);
        }
    }

    #[test]
    fn a_single_wrong_time_is_no_restart() {
        let mut packets = recording(5_000_000, 300);
        packets[100].time = Some(0);
        packets[200].time = Some(200 * LEAP);
        let plain: Vec<_> = packets.iter().filter(|p| p.stream == 0).map(|p| p.time.unwrap()).collect();
        let (streams, n) = times(packets);
        assert_eq!((&streams[0], n), (&plain, 0));
    }

    #[test]
    fn a_sparse_stream_goes_with_the_others() {
        let title = |time| Timed { packet: (), stream: 2, is_dense: false, time: Some(time), duration: 500_000 };
        let mut packets = recording(0, 300);
        packets.insert(200, title(4_000_000));
        let mut later = recording(0, 300);
        later.insert(40, title(800_000));
        later.insert(400, title(8_000_000));
        packets.extend(later);
        let (streams, n) = times(packets);
        let begun = streams[0][300];
        assert_eq!((&streams[2][..], n), (&[4_000_000, begun + 800_000, begun + 8_000_000][..], 1));
    }
}
