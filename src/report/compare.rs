//! How two videos differ: gathered pair by pair, told to people and, in libvmaf's shape, to programs.
//!
//! Two videos are different when they do not show the same pictures at the same time: number of frames, pts, size,
//! pixel format, samples, and the tags that decide how samples are shown where both carry them (sample aspect ratio,
//! rotation, colour, field order). Everything else in the files (streams, metadata, a tag that only one has) is listed
//! as a note and changes no verdict.

use std::fmt::Write;

use serde_json::{Map, Value, json};

use super::media::{self, Media, MediaStream};
use super::names;
use crate::frame::PixelFormat;
use crate::quality::{Likeness, Pool, Pooled};
use crate::source::SourceFacts;
use crate::time::{Ratio, TimeBase};

/// One of the two videos.
pub struct Side {
    /// As the person named it.
    pub name: String,
    /// Its pictures.
    pub facts: SourceFacts,
    /// Its container and the video's index there; `None` for raw video and pictures.
    pub media: Option<(Media, usize)>,
    /// Its frames so far.
    pub n_frames: u64,
    /// What could not be decoded, a line each.
    pub damage: Vec<String>,
}

/// A pair of frames of the same number, compared.
pub struct Pair {
    /// The pts of both, in their own ticks; `None` behind the end of one.
    pub pts: (Option<i64>, Option<i64>),
    /// The planes that can be compared.
    pub planes: Vec<Option<Likeness>>,
}

/// What is known so far.
pub struct Comparison {
    a: Side,
    b: Side,
    min_psnr: Option<f64>,
    planes: Vec<Pooled>,
    times: Times,
    /// Frames of which a sample differs.
    n_unlike: u64,
    /// The least PSNR of any plane: frame, plane, dB.
    worst: Option<(u64, usize, f64)>,
    /// One object a frame, when somebody will read them.
    frames: Option<Vec<Value>>,
}

/// The differences in pts.
#[derive(Default)]
struct Times {
    /// Pairs with different pts.
    n_different: u64,
    /// Of those, pairs further apart than both time bases round.
    n_beyond_rounding: u64,
    first: Option<u64>,
    first_beyond_rounding: Option<u64>,
    /// By how much the second is later at most and at least, in seconds, for people.
    span: Option<(f64, f64)>,
}

impl Comparison {
    /// Nothing compared yet; figures of each frame are kept if `keep_frames`.
    pub fn new(a: Side, b: Side, min_psnr: Option<f64>, keep_frames: bool) -> Comparison {
        Comparison {
            a,
            b,
            min_psnr,
            planes: Vec::new(),
            times: Times::default(),
            n_unlike: 0,
            worst: None,
            frames: keep_frames.then(Vec::new),
        }
    }

    /// The next pair, in order.
    pub fn add(&mut self, pair: &Pair) {
        let frame = self.a.n_frames.max(self.b.n_frames);
        self.a.n_frames += u64::from(pair.pts.0.is_some());
        self.b.n_frames += u64::from(pair.pts.1.is_some());
        let (Some(a), Some(b)) = pair.pts else { return };
        self.times.add(frame, (a, self.a.facts.time_base), (b, self.b.facts.time_base));
        let mut metrics = Map::new();
        for (number, likeness) in pair.planes.iter().enumerate() {
            let Some(likeness) = likeness else { continue };
            if self.planes.len() <= number {
                self.planes.resize_with(number + 1, Pooled::default);
            }
            self.planes[number].add(likeness, frame);
            if likeness.squared_error > 0 && self.worst.is_none_or(|(.., least)| likeness.psnr() < least) {
                self.worst = Some((frame, number, likeness.psnr()));
            }
            if self.frames.is_some() {
                let name = plane_name(number, self.a.facts.format);
                metrics.insert(format!("psnr_{name}"), json!(likeness.finite_psnr()));
                metrics.insert(format!("ssim_{name}"), json!(likeness.ssim));
            }
        }
        self.n_unlike += u64::from(pair.planes.iter().flatten().any(|likeness| likeness.squared_error > 0));
        if let Some(frames) = &mut self.frames {
            frames.push(json!({ "frameNum": frame, "metrics": metrics }));
        }
    }

    /// Both ended; what could not be decoded of them.
    pub fn end(&mut self, damage: (Vec<String>, Vec<String>)) {
        (self.a.damage, self.b.damage) = damage;
    }

    /// What makes them different, a line each; empty when they are not.
    pub fn differences(&self) -> Vec<String> {
        let (a, b) = (&self.a.facts, &self.b.facts);
        let mut lines = Vec::new();
        let mut unequal = |what: &str, a: String, b: String| {
            if a != b {
                lines.push(format!("{what}: {a} and {b}"));
            }
        };
        unequal("frames", self.a.n_frames.to_string(), self.b.n_frames.to_string());
        unequal("size", format!("{}x{}", a.width, a.height), format!("{}x{}", b.width, b.height));
        unequal("pixel format", a.format.planar().to_string(), b.format.planar().to_string());
        let shape = |ratio: Ratio| if ratio.is_known() { ratio.reduced() } else { Ratio::new(1, 1) };
        unequal(
            "sample aspect ratio",
            shape(a.sample_aspect_ratio).to_string(),
            shape(b.sample_aspect_ratio).to_string(),
        );
        unequal(
            "field order",
            names::field_order(a.field_order).to_owned(),
            names::field_order(b.field_order).to_owned(),
        );
        let turned = |side: &Side| {
            let video = side.video().and_then(|stream| stream.video.as_ref());
            video.map_or((0, false), |video| (video.rotation, video.mirrored))
        };
        let orientation = |side: &Side| match turned(side) {
            (degrees, false) => format!("{degrees}"),
            (degrees, true) => format!("{degrees}, mirrored"),
        };
        unequal("rotation", orientation(&self.a), orientation(&self.b));
        for (name, one, other) in self.tags() {
            if let (Some(one), Some(other)) = (one, other) {
                unequal(&format!("colour {name}"), one, other);
            }
        }
        lines.extend(self.times.difference(self.min_psnr.is_some()));
        lines.extend(self.pixel_difference());
        lines
    }

    fn pixel_difference(&self) -> Option<String> {
        let (frame, plane, least) = self.worst?;
        let name = plane_label(plane, self.a.facts.format);
        match self.min_psnr {
            Some(wanted) if least >= wanted => None,
            Some(wanted) => Some(format!("samples: {least:.2} dB in {name} of frame {frame}, less than {wanted}")),
            None => {
                let n = self.a.n_frames.min(self.b.n_frames);
                Some(format!("samples: in {} of {n} frames, most in {name} of frame {frame}", self.n_unlike))
            }
        }
    }

    /// Colour tags of both by name.
    fn tags(&self) -> Vec<(&'static str, Option<String>, Option<String>)> {
        let (a, b) = (names::color(self.a.facts.color), names::color(self.b.facts.color));
        let find = |tags: &[(&str, String)], name: &str| {
            tags.iter().find(|(other, _)| *other == name).map(|(_, value)| value.clone())
        };
        let all = ["range", "matrix", "primaries", "transfer", "chroma location"];
        all.into_iter().map(|name| (name, find(&a, name), find(&b, name))).collect()
    }

    /// What else differs and makes no difference to the verdict.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        for side in [&self.a, &self.b] {
            if let Some(from) = &side.facts.converted_from {
                notes.push(format!("{}: compared as {} after conversion from {from}", side.name, side.facts.format));
            }
            notes.extend(side.damage.iter().map(|line| format!("{}: damaged: {line}", side.name)));
        }
        if self.times.n_different > 0 && self.times.difference(self.min_psnr.is_some()).is_none() {
            notes.push(format!("pts: {} frames differ by the rounding of their time bases", self.times.n_different));
        }
        for (name, one, other) in self.tags() {
            if one.is_some() != other.is_some() {
                notes.push(format!("colour {name}: {} and {}", or_none(one.as_deref()), or_none(other.as_deref())));
            }
        }
        if let (Some((a, _)), Some((b, _))) = (&self.a.media, &self.b.media) {
            notes.extend(media::notes(a, b));
        }
        notes
    }

    /// For people.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let mut tell = |line: String| {
            // Writing into a string cannot fail.
            let _ = writeln!(text, "{line}");
        };
        for (letter, side) in [("A", &self.a), ("B", &self.b)] {
            let facts = &side.facts;
            let size = format!("{}x{} {}", facts.width, facts.height, facts.format);
            tell(format!("{letter}          {}: {}, {size}, {} frames", side.name, facts.kind, side.n_frames));
        }
        if self.planes.iter().any(|plane| plane.psnr.n > 0) {
            tell("plane      PSNR dB   worst frame        SSIM      worst frame".to_owned());
        }
        for (number, plane) in self.planes.iter().enumerate().filter(|(_, plane)| plane.psnr.n > 0) {
            let name = plane_label(number, self.a.facts.format);
            let (psnr, ssim) = (plane.psnr.min, plane.ssim.min);
            if plane.is_identical() {
                tell(format!("{name:<10} identical"));
                continue;
            }
            tell(format!(
                "{name:<10} {:7.2}   {:7.2} at {:<6} {:9.6}  {:9.6} at {}",
                plane.overall(),
                psnr.0,
                psnr.1,
                plane.ssim.mean(),
                ssim.0,
                ssim.1
            ));
        }
        let differences = self.differences();
        differences.iter().for_each(|line| tell(format!("different  {line}")));
        self.notes().iter().for_each(|line| tell(format!("note       {line}")));
        if differences.is_empty() {
            let n = self.a.n_frames;
            tell(match (self.worst, self.min_psnr) {
                (Some(_), Some(wanted)) => format!("equal      {n} frames, each plane at {wanted} dB or more"),
                _ => format!("identical  {n} frames"),
            });
        }
        text
    }

    /// For programs: libvmaf's fields and ours.
    pub fn json(&mut self) -> Value {
        let (differences, notes) = (self.differences(), self.notes());
        let (mut pooled, mut overall) = (Map::new(), Map::new());
        for (number, plane) in self.planes.iter().enumerate().filter(|(_, plane)| plane.psnr.n > 0) {
            let name = plane_name(number, self.a.facts.format);
            pooled.insert(format!("psnr_{name}"), pool(&plane.psnr));
            pooled.insert(format!("ssim_{name}"), pool(&plane.ssim));
            overall.insert(format!("psnr_{name}"), json!(plane.overall()));
        }
        let worst = self.worst.map(|(frame, plane, least)| {
            json!({ "frameNum": frame, "metric": format!("psnr_{}", plane_name(plane, self.a.facts.format)), "value": least })
        });
        let times = &self.times;
        let seconds = times.span.map(|(least, most)| json!({ "least": least, "most": most }));
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "a": self.a.json(),
            "b": self.b.json(),
            "different": !differences.is_empty(),
            "differences": differences,
            "notes": notes,
            "frames_unlike": self.n_unlike,
            "pts": {
                "different": times.n_different,
                "beyond_rounding": times.n_beyond_rounding,
                "first_frame": times.first,
                "seconds_later": seconds,
            },
            "worst": worst,
            "frames": self.frames.take().unwrap_or_default(),
            "pooled_metrics": pooled,
            "aggregate_metrics": overall,
        })
    }
}

impl Times {
    fn add(&mut self, frame: u64, (a, of_a): (i64, TimeBase), (b, of_b): (i64, TimeBase)) {
        // Both in ticks of 1 / (den_a * den_b) seconds, exactly.
        let exact = |ticks: i64, base: TimeBase, other: TimeBase| {
            i128::from(ticks) * i128::from(base.num()) * i128::from(other.den())
        };
        let later = exact(b, of_b, of_a) - exact(a, of_a, of_b);
        if later == 0 {
            return;
        }
        self.n_different += 1;
        self.first.get_or_insert(frame);
        if 2 * later.abs() > exact(1, of_a, of_b) + exact(1, of_b, of_a) {
            self.n_beyond_rounding += 1;
            self.first_beyond_rounding.get_or_insert(frame);
        }
        let seconds = later as f64 / (f64::from(of_a.den()) * f64::from(of_b.den()));
        let (least, most) = self.span.unwrap_or((seconds, seconds));
        self.span = Some((least.min(seconds), most.max(seconds)));
    }

    /// Pairs that differ; with `may_round` only those that rounding to a tick does not explain.
    fn difference(&self, may_round: bool) -> Option<String> {
        let (n, first) = match may_round {
            true => (self.n_beyond_rounding, self.first_beyond_rounding?),
            false => (self.n_different, self.first?),
        };
        let (least, most) = self.span?;
        let by = if most - least < 1e-9 { format!("{most:+.6} s") } else { format!("{least:+.6} to {most:+.6} s") };
        let rounding = if self.n_beyond_rounding == 0 { ", no more than their time bases round" } else { "" };
        Some(format!("pts: of {n} frames, from frame {first} on, by {by}{rounding}"))
    }
}

impl Side {
    fn video(&self) -> Option<&MediaStream> {
        self.media.as_ref().and_then(|(media, index)| media.stream(*index))
    }

    fn json(&self) -> Value {
        let facts = &self.facts;
        json!({
            "name": self.name,
            "kind": facts.kind,
            "frames": self.n_frames,
            "width": facts.width,
            "height": facts.height,
            "pixel_format": facts.format.to_string(),
            "damage": self.damage,
        })
    }
}

/// A pooled figure with libvmaf's names.
fn pool(pool: &Pool) -> Value {
    json!({ "min": pool.min.0, "max": pool.max, "mean": pool.mean(), "harmonic_mean": pool.harmonic_mean() })
}

/// libvmaf's letters.
fn plane_name(plane: usize, format: PixelFormat) -> &'static str {
    if format.alpha && plane + 1 == format.n_planes() {
        return "a";
    }
    let names = if format.is_rgb() { ["g", "b", "r"] } else { ["y", "cb", "cr"] };
    names[plane.min(2)]
}

fn plane_label(plane: usize, format: PixelFormat) -> &'static str {
    match plane_name(plane, format) {
        "y" => "Y",
        "cb" => "Cb",
        "cr" => "Cr",
        "g" => "green",
        "b" => "blue",
        "r" => "red",
        _ => "alpha",
    }
}

fn or_none(value: Option<&str>) -> &str {
    value.unwrap_or("none")
}
