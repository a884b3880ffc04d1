//! What is in a video, and what would be done with it: for people and for programs.

use std::fmt::Write;

use serde_json::{Value, json};

use super::media::{Media, MediaStream};
use crate::measure::packets::{OfStream, Pace, Packets};
use crate::plan::container::StreamPlan;
use crate::plan::encoding::EncodingPlan;
use crate::time::TimeBase;

/// What was found in a file.
pub struct Found {
    /// As the person named it.
    pub name: String,
    /// What its container says.
    pub media: Media,
    /// What its packets say.
    pub packets: Packets,
    /// The index of the stream that would be processed.
    pub video: Option<usize>,
    /// What would be done, or why nothing can be.
    pub planned: Result<Planned, String>,
}

/// What a run without options would do.
pub struct Planned {
    /// The output's extension.
    pub output: String,
    /// The network's name.
    pub network: String,
    /// Size of the output.
    pub size: (usize, usize),
    /// How the video would be encoded.
    pub encoding: EncodingPlan,
    /// What would become of each stream.
    pub streams: Vec<StreamPlan>,
    /// What the source warns of before its first frame.
    pub warnings: Vec<String>,
    /// What skipping would bring, a way after the other, or why that is not known.
    pub reuse: Result<Vec<Reuse>, String>,
}

/// What a way of skipping would bring, of the first frames.
pub struct Reuse {
    /// The way by its name on the command line.
    pub skip: &'static str,
    /// Frames that were looked at.
    pub n_frames: u64,
    /// The share of the picture that has to be made anew.
    pub dirty_share: f64,
    /// The share that the network would be run on, halos included.
    pub computed_share: f64,
    /// How many times less the network costs.
    pub gain: f64,
}

impl Found {
    /// For people.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let mut tell = |what: &str, value: String| {
            // Writing into a string cannot fail.
            let _ = writeln!(text, "{what:<10} {value}");
        };
        let length = self.media.duration_seconds.map_or(String::new(), |seconds| format!(", {seconds:.3} s"));
        tell("file", format!("{}: {}{length}", self.name, self.media.container));
        self.media.metadata.iter().for_each(|(key, value)| tell("metadata", format!("{key} = {value}")));
        for chapter in &self.media.chapters {
            let title = chapter.title.as_deref().unwrap_or("");
            tell("chapter", format!("{:.3} to {:.3} s {title}", chapter.start_seconds, chapter.end_seconds));
        }
        for stream in &self.media.streams {
            let chosen = if self.video == Some(stream.index) { ", the one that is processed" } else { "" };
            let name = format!("stream {}", stream.index);
            tell(&name, format!("{} {}{}{chosen}", stream.kind, stream.codec, picture_or_sound(stream)));
            self.details(stream).into_iter().for_each(|line| tell("", line));
        }
        match &self.planned {
            Ok(planned) => {
                let (width, height) = planned.size;
                let options: Vec<_> =
                    planned.encoding.options.iter().map(|(key, value)| format!("{key}={value}")).collect();
                let encoding = &planned.encoding;
                let how = format!("{} {} {}", encoding.encoder, encoding.pixel_format, options.join(" "));
                tell("plan", format!("to {} by {}: {width}x{height}, {how}", planned.output, planned.network));
                for stream in &planned.streams {
                    let (action, detail) = stream.describe();
                    let detail = if detail.is_empty() { detail } else { format!(", {detail}") };
                    tell(
                        "",
                        format!(
                            "stream {} {} {}: {action}{detail}",
                            stream.input_index,
                            stream.kind.name(),
                            stream.codec
                        ),
                    );
                }
                match &planned.reuse {
                    Ok(ways) => ways.iter().for_each(|reuse| tell("skip", reuse.text())),
                    Err(why) => tell("skip", format!("not known: {why}")),
                }
                encoding.notes.iter().chain(&planned.warnings).for_each(|line| tell("warning", line.clone()));
            }
            Err(why) => tell("no plan", why.clone()),
        }
        self.packets.damage.iter().for_each(|line| tell("damaged", line.clone()));
        text
    }

    fn details(&self, stream: &MediaStream) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(video) = &stream.video {
            let tags: Vec<String> = video.color.iter().map(|(name, value)| format!("{name} {value}")).collect();
            lines.push(format!("colour {}", if tags.is_empty() { "not tagged".to_owned() } else { tags.join(", ") }));
            let mut shape = Vec::new();
            shape.extend(video.sample_aspect_ratio.as_ref().map(|ratio| format!("sample aspect ratio {ratio}")));
            shape.extend((video.rotation != 0).then(|| format!("turned by {} degrees clockwise", video.rotation)));
            shape.extend(video.mirrored.then(|| "mirrored".to_owned()));
            shape.push(video.field_order.to_owned());
            lines.push(shape.join(", "));
        }
        if let Some(packets) = self.packets.streams.get(stream.index) {
            lines.push(self.timing(stream, packets));
        }
        if !stream.side_data.is_empty() {
            lines.push(stream.side_data.join(", "));
        }
        if !stream.disposition.is_empty() {
            lines.push(format!("marked {}", stream.disposition.join(", ")));
        }
        lines.extend(stream.metadata.iter().map(|(key, value)| format!("{key} = {value}")));
        lines
    }

    /// How many packets, when, and how evenly.
    fn timing(&self, stream: &MediaStream, packets: &OfStream) -> String {
        let mut parts = vec![format!("{} packets", packets.n_packets)];
        if packets.n_shown != packets.n_packets {
            parts.push(format!("{} shown", packets.n_shown));
        }
        if stream.video.is_some() {
            parts.push(format!("{} keyframes", packets.n_keys));
        }
        let base = base(stream);
        if let (Some(first), Some(end)) = (packets.first, packets.end) {
            parts.push(format!("from {:.6} to {:.6} s in ticks of {base}", base.seconds(first), base.seconds(end)));
        }
        match packets.pace {
            Some(Pace::Constant) => parts.push("constant rate".to_owned()),
            Some(Pace::Variable { shortest, longest }) => {
                let (least, most) = (base.seconds(shortest) * 1000.0, base.seconds(longest) * 1000.0);
                parts.push(format!("variable rate: {least:.3} to {most:.3} ms"));
            }
            None => {}
        }
        if packets.n_corrupt > 0 {
            parts.push(format!("{} damaged", packets.n_corrupt));
        }
        parts.join(", ")
    }

    /// For programs.
    pub fn json(&self) -> Value {
        let mut value = json!({
            "file": self.name,
            "container": self.media.container,
            "duration_seconds": self.media.duration_seconds,
            "metadata": self.media.metadata,
            "chapters": self.media.chapters,
            "video_stream": self.video,
            "damage": self.packets.damage,
        });
        value["streams"] = self.media.streams.iter().map(|stream| self.stream_json(stream)).collect();
        match &self.planned {
            Ok(planned) => value["plan"] = planned.json(),
            Err(why) => value["no_plan"] = json!(why),
        }
        value
    }

    fn stream_json(&self, stream: &MediaStream) -> Value {
        let mut value = json!(stream);
        let Some(packets) = self.packets.streams.get(stream.index) else { return value };
        let base = base(stream);
        let seconds = |ticks: Option<i64>| ticks.map(|ticks| base.seconds(ticks));
        value["packets"] = json!({
            "count": packets.n_packets,
            "shown": packets.n_shown,
            "keyframes": packets.n_keys,
            "damaged": packets.n_corrupt,
            "bytes": packets.n_bytes,
            "first_seconds": seconds(packets.first),
            "end_seconds": seconds(packets.end),
            "variable_rate": packets.pace.map(|pace| pace != Pace::Constant),
        });
        value
    }
}

impl Planned {
    fn json(&self) -> Value {
        let streams: Vec<Value> = self
            .streams
            .iter()
            .map(|stream| {
                let (action, detail) = stream.describe();
                json!({ "index": stream.input_index, "action": action, "detail": detail })
            })
            .collect();
        let options = self.encoding.options.iter();
        let reuse = self.reuse.iter().flatten().map(|reuse| (reuse.skip.to_owned(), reuse.json()));
        json!({
            "output": self.output,
            "network": self.network,
            "skip": reuse.collect::<serde_json::Map<_, _>>(),
            "width": self.size.0,
            "height": self.size.1,
            "encoder": self.encoding.encoder,
            "pixel_format": self.encoding.pixel_format,
            "options": options.map(|(key, value)| (key.clone(), json!(value))).collect::<serde_json::Map<_, _>>(),
            "streams": streams,
            "warnings": self.encoding.notes.iter().chain(&self.warnings).collect::<Vec<_>>(),
        })
    }
}

impl Reuse {
    fn text(&self) -> String {
        let Reuse { skip, n_frames, dirty_share, computed_share, gain } = self;
        let (dirty, computed) = (dirty_share * 100.0, computed_share * 100.0);
        let frames = if *n_frames == 1 { "the only frame".to_owned() } else { format!("the first {n_frames} frames") };
        format!(
            "{skip}: {dirty:.1} % of {frames} changes; the network would run on {computed:.1} % and cost {gain:.2} times less"
        )
    }

    fn json(&self) -> Value {
        json!({
            "frames": self.n_frames,
            "dirty_share": self.dirty_share,
            "computed_share": self.computed_share,
            "predicted_gain": self.gain,
        })
    }
}

/// A stream's time base as it stands in its description.
fn base(stream: &MediaStream) -> TimeBase {
    let parts = stream.time_base.split_once('/').and_then(|(num, den)| Some((num.parse().ok()?, den.parse().ok()?)));
    parts.and_then(|(num, den)| TimeBase::new(num, den)).unwrap_or(TimeBase::MICROS)
}

fn picture_or_sound(stream: &MediaStream) -> String {
    if let Some(video) = &stream.video {
        let rate = |text: &Option<String>| {
            let (num, den) = text.as_ref()?.split_once('/')?;
            let fps = num.parse::<f64>().ok()? / den.parse::<f64>().ok()?;
            Some(format!(", {fps:.3} fps ({num}/{den})"))
        };
        let rate = rate(&video.average_frame_rate).or_else(|| rate(&video.frame_rate)).unwrap_or_default();
        return format!(", {}x{} {}{rate}", video.width, video.height, video.pixel_format);
    }
    stream.audio.as_ref().map_or(String::new(), |audio| {
        format!(", {} Hz, {} channels, {}", audio.sample_rate, audio.channels, audio.sample_format)
    })
}
