//! What a container says of itself: for `inspect` to tell and for `compare` to hold against another.

use std::collections::BTreeMap;

use serde::Serialize;

use super::names;
use crate::av::{Input, MediaKind, Stream, StreamSideData};
use crate::plan::container::kept_metadata;
use crate::time::{Ratio, TimeBase};

/// A container.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Media {
    /// FFmpeg's name of the format.
    pub container: String,
    /// The container's own word on its length.
    pub duration_seconds: Option<f64>,
    /// Title, creation time, ...
    pub metadata: BTreeMap<String, String>,
    /// The chapters.
    pub chapters: Vec<Chapter>,
    /// The streams by rising index.
    pub streams: Vec<MediaStream>,
}

/// A chapter.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Chapter {
    /// When it begins.
    pub start_seconds: f64,
    /// When it ends.
    pub end_seconds: f64,
    /// What it is called.
    pub title: Option<String>,
}

/// A stream.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MediaStream {
    /// Its index in the container.
    pub index: usize,
    /// Video, audio, subtitle, attachment or data.
    pub kind: &'static str,
    /// FFmpeg's name of the codec.
    pub codec: String,
    /// What it is marked as: default, forced, ...
    pub disposition: Vec<&'static str>,
    /// The length of a tick in seconds.
    pub time_base: String,
    /// First pts.
    pub start_seconds: Option<f64>,
    /// The container's word on its length.
    pub duration_seconds: Option<f64>,
    /// The container's count of its frames.
    pub frames_listed: Option<u64>,
    /// Language, title, ...
    pub metadata: BTreeMap<String, String>,
    /// What holds for the whole stream: HDR metadata, projection, ...
    pub side_data: Vec<String>,
    /// Of pictures.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub video: Option<Video>,
    /// Of sound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audio: Option<Audio>,
}

/// What is particular to pictures.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Video {
    /// Samples a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// FFmpeg's name of the pixel format.
    pub pixel_format: String,
    /// Colour tags by name; what is not tagged is not there.
    pub color: BTreeMap<&'static str, String>,
    /// The nominal frame rate as a fraction.
    pub frame_rate: Option<String>,
    /// The average frame rate as a fraction.
    pub average_frame_rate: Option<String>,
    /// Sample aspect ratio, as the container or the codec says.
    pub sample_aspect_ratio: Option<String>,
    /// Degrees, clockwise, by which players turn the picture.
    pub rotation: i32,
    /// Players mirror the picture too.
    pub mirrored: bool,
    /// Progressive, top first or bottom first.
    pub field_order: &'static str,
}

/// What is particular to sound.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Audio {
    /// Samples a second.
    pub sample_rate: usize,
    /// Channels.
    pub channels: usize,
    /// FFmpeg's name of the sample format.
    pub sample_format: String,
}

impl Media {
    /// Reads it out of an open container.
    pub fn of(input: &Input) -> Media {
        let seconds = |base: TimeBase, ticks: i64| base.seconds(ticks);
        let chapters = input.chapters().into_iter().map(|chapter| Chapter {
            start_seconds: seconds(chapter.time_base, chapter.start),
            end_seconds: seconds(chapter.time_base, chapter.end),
            title: chapter
                .metadata
                .iter()
                .find(|(key, _)| key.eq_ignore_ascii_case("title"))
                .map(|(_, value)| value.clone()),
        });
        Media {
            container: input.format_name(),
            duration_seconds: input
                .duration()
                .filter(|_| input.duration_is_exact())
                .map(|micros| TimeBase::MICROS.seconds(micros)),
            metadata: map(&input.metadata()),
            chapters: chapters.collect(),
            streams: input.streams().iter().map(MediaStream::of).collect(),
        }
    }

    /// The stream with this index.
    pub fn stream(&self, index: usize) -> Option<&MediaStream> {
        self.streams.iter().find(|stream| stream.index == index)
    }
}

impl MediaStream {
    fn of(stream: &Stream) -> MediaStream {
        let seconds = |ticks: Option<i64>| ticks.map(|ticks| stream.time_base.seconds(ticks));
        MediaStream {
            index: stream.index,
            kind: stream.kind.name(),
            codec: stream.codec.clone(),
            disposition: names::dispositions(stream.disposition),
            time_base: stream.time_base.to_string(),
            start_seconds: seconds(stream.start),
            duration_seconds: seconds(stream.duration),
            frames_listed: Some(stream.n_frames).filter(|n| *n > 0),
            metadata: map(&stream.metadata),
            side_data: stream.side_data.iter().map(|data| names::side_data(data.kind)).collect(),
            video: (stream.kind == MediaKind::Video).then(|| Video::of(stream)),
            audio: (stream.kind == MediaKind::Audio).then(|| Audio {
                sample_rate: stream.sample_rate,
                channels: stream.channels,
                sample_format: stream.sample_format.clone(),
            }),
        }
    }
}

impl Video {
    fn of(stream: &Stream) -> Video {
        let known = |ratio: Ratio| ratio.is_known().then(|| ratio.reduced().to_string());
        let (rotation, mirrored) = stream.side_data.iter().find_map(StreamSideData::orientation).unwrap_or((0, false));
        Video {
            width: stream.width,
            height: stream.height,
            pixel_format: stream.sample_format.clone(),
            color: names::color(stream.color).into_iter().collect(),
            frame_rate: known(stream.frame_rate),
            average_frame_rate: known(stream.average_frame_rate),
            sample_aspect_ratio: known(stream.sample_aspect_ratio).map(|ratio| ratio.replace('/', ":")),
            rotation,
            mirrored,
            field_order: names::field_order(stream.field_order),
        }
    }
}

/// Pairs as a map; of a key that comes twice both values are kept.
fn map(pairs: &[(String, String)]) -> BTreeMap<String, String> {
    let mut map: BTreeMap<String, String> = BTreeMap::new();
    for (key, value) in pairs {
        map.entry(key.clone())
            .and_modify(|all| {
                all.push_str("; ");
                all.push_str(value);
            })
            .or_insert_with(|| value.clone());
    }
    map
}

/// How two containers differ in all but their video's pictures.
pub fn notes(a: &Media, b: &Media) -> Vec<String> {
    let mut notes = Vec::new();
    if a.container != b.container {
        notes.push(format!("container: {} and {}", a.container, b.container));
    }
    metadata_notes("file", &a.metadata, &b.metadata, &mut notes);
    if a.chapters.len() != b.chapters.len() {
        notes.push(format!("chapters: {} and {}", a.chapters.len(), b.chapters.len()));
    }
    for (number, (one, other)) in a.chapters.iter().zip(&b.chapters).enumerate() {
        let apart = (one.start_seconds - other.start_seconds).abs();
        if one.title != other.title || apart > 0.001 {
            let tell = |chapter: &Chapter| {
                format!("'{}' at {:.3} s", chapter.title.as_deref().unwrap_or(""), chapter.start_seconds)
            };
            notes.push(format!("chapter {number}: {} and {}", tell(one), tell(other)));
        }
    }
    for kind in ["video", "audio", "subtitle", "attachment", "data"] {
        let of = |media: &Media| media.streams.iter().filter(|it| it.kind == kind).cloned().collect::<Vec<_>>();
        let (of_a, of_b) = (of(a), of(b));
        if of_a.len() != of_b.len() {
            notes.push(format!("{kind} streams: {} and {}", of_a.len(), of_b.len()));
        }
        for (one, other) in of_a.iter().zip(&of_b) {
            stream_notes(one, other, &mut notes);
        }
    }
    notes
}

fn stream_notes(a: &MediaStream, b: &MediaStream, notes: &mut Vec<String>) {
    let name = match a.index == b.index {
        true => format!("stream {} ({})", a.index, a.kind),
        false => format!("streams {} and {} ({})", a.index, b.index, a.kind),
    };
    let mut unequal = |what: &str, a: String, b: String| {
        if a != b {
            notes.push(format!("{name}: {what} {a} and {b}"));
        }
    };
    unequal("codec", a.codec.clone(), b.codec.clone());
    let listed = |words: &[String]| if words.is_empty() { "none".to_owned() } else { words.join(", ") };
    let marks = |stream: &MediaStream| stream.disposition.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    unequal("marks", listed(&marks(a)), listed(&marks(b)));
    unequal("side data", listed(&a.side_data), listed(&b.side_data));
    if let (Some(one), Some(other)) = (&a.audio, &b.audio) {
        unequal("sample rate", one.sample_rate.to_string(), other.sample_rate.to_string());
        unequal("channels", one.channels.to_string(), other.channels.to_string());
    }
    metadata_notes(&name, &a.metadata, &b.metadata, notes);
}

/// Keys in any case; those that only speak of the file they stand in are left out, and `und` is no language.
fn metadata_notes(whose: &str, a: &BTreeMap<String, String>, b: &BTreeMap<String, String>, notes: &mut Vec<String>) {
    let kept = |map: &BTreeMap<String, String>| {
        let pairs: Vec<(String, String)> = map.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
        let pairs = kept_metadata(&pairs, true).into_iter();
        let pairs = pairs.map(|(key, value)| (key.to_ascii_lowercase(), value));
        pairs.filter(|(key, value)| key != "vendor_id" && !(key == "language" && value == "und")).collect()
    };
    let (a, b): (BTreeMap<_, _>, BTreeMap<_, _>) = (kept(a), kept(b));
    let mut keys: Vec<&String> = a.keys().chain(b.keys()).collect();
    keys.sort();
    keys.dedup();
    for key in keys {
        let (one, other) = (a.get(key).map(String::as_str), b.get(key).map(String::as_str));
        if one != other {
            notes.push(format!("{whose}: {key} '{}' and '{}'", one.unwrap_or(""), other.unwrap_or("")));
        }
    }
}
