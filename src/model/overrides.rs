//! What a user, or an exporter in the file's metadata, knows of a network that its graph does not say.
//!
//! A TOML file of this form may lie beside the model or be named by the user; unknown keys are refused. What the graph
//! proves may be made stricter freely (a larger radius, a larger multiple) and weaker only with `trust = true`.

use std::path::Path;

use serde::Deserialize;

use super::onnx::facts::Conclusion;
use super::onnx::labels;
use super::radius::map::lcm;
use super::{Channels, FamilyName, Layout};
use crate::error::{Context, Error, Kind, Result};

/// A TOML file is a few lines, and the names of classes at most; more than this is a mistake.
const MAX_FILE: u64 = 1 << 22;

/// What is set; everything is optional.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Overrides {
    /// `luma`, `rgb` or `bgr`.
    pub channels: Option<Channels>,
    /// `nchw` or `nhwc`.
    pub layout: Option<Layout>,
    /// The input's value for black.
    pub black: Option<f32>,
    /// The input's value for white.
    pub white: Option<f32>,
    /// The output's value for black; the input's when it is of the same type.
    pub output_black: Option<f32>,
    /// The output's value for white; the input's when it is of the same type.
    pub output_white: Option<f32>,
    /// Output pixels per input pixel, for graphs that do not say.
    pub scale: Option<usize>,
    /// The receptive radius in input pixels.
    pub radius: Option<usize>,
    /// What offsets and sizes of windows must be multiples of.
    pub multiple_of: Option<usize>,
    /// The only batch size to be used.
    pub batch: Option<usize>,
    /// Of what family a network is that finds things: `yunet`, `yolox`, `yolov5`, `yolov8` or `sorted`.
    pub detector: Option<FamilyName>,
    /// The names of the classes of a network that finds things, from class 0 on.
    pub labels: Option<Vec<String>>,
    /// The longer side of the pictures that a detector of free size was made for.
    pub side: Option<usize>,
    /// Take `radius` and `multiple_of` as they are, even where the graph asks for more.
    #[serde(default)]
    pub trust: bool,
}

impl Overrides {
    /// Reads a TOML file.
    pub fn read(path: &Path) -> Result<Overrides> {
        let name = || path.display().to_string();
        let facts = std::fs::metadata(path).map_err(|error| Error::open(name(), error))?;
        if !facts.is_file() || facts.len() > MAX_FILE {
            return Err(Error::new(Kind::Usage, format!("not a file of at most {MAX_FILE} bytes")).context(name()));
        }
        let text = std::fs::read_to_string(path).map_err(|error| Error::io("read", error)).context(name)?;
        Overrides::parse(&text).context(name)
    }

    /// Reads the TOML file beside a model: `net.toml` for `net.onnx`, if it is there.
    pub fn beside(model: &Path) -> Result<Option<Overrides>> {
        let path = model.with_extension("toml");
        if path.try_exists().unwrap_or(true) { Overrides::read(&path).map(Some) } else { Ok(None) }
    }

    /// Reads TOML text.
    pub fn parse(text: &str) -> Result<Overrides> {
        let usage = |what: String| Error::new(Kind::Usage, what);
        let overrides: Overrides = toml::from_str(text).map_err(|error| {
            let line = error.span().map_or(0, |span| text[..span.start].matches('\n').count() + 1);
            usage(format!("line {line}: {}", error.message()))
        })?;
        let ranges =
            [(overrides.black, overrides.white, 0.0, 1.0), (overrides.output_black, overrides.output_white, 0.0, 1.0)];
        for (black, white, low, high) in ranges {
            let (black, white) = (black.unwrap_or(low), white.unwrap_or(high));
            if !black.is_finite() || !white.is_finite() || black == white {
                return Err(usage(format!("black {black} and white {white} do not span a range")));
            }
        }
        for (name, value, most) in [
            ("scale", overrides.scale, 16),
            ("multiple_of", overrides.multiple_of, 4096),
            ("batch", overrides.batch, 256),
            ("side", overrides.side, 8192),
        ] {
            if value.is_some_and(|value| !(1..=most).contains(&value)) {
                return Err(usage(format!("{name} is {}, 1 to {most} are allowed", value.unwrap_or(0))));
            }
        }
        if overrides.radius.is_some_and(|radius| radius > 65_535) {
            return Err(usage(format!("radius is {}, at most 65535 is allowed", overrides.radius.unwrap_or(0))));
        }
        labels::check(overrides.labels.as_deref().unwrap_or_default()).map_err(usage)?;
        Ok(overrides)
    }

    /// What the keys of a file's metadata say that are known to mean this: `input_range` ("0-255"), `color_order`
    /// ("BGR"), `scale`, and `stride` and `names` as Ultralytics writes them.
    pub fn from_metadata(metadata: &[(String, String)]) -> Overrides {
        let mut found = Overrides::default();
        for (key, value) in metadata {
            match key.to_ascii_lowercase().as_str() {
                "input_range" => {
                    let numbers: Vec<f32> = value
                        .split(|c: char| !(c.is_ascii_digit() || c == '.'))
                        .filter_map(|part| part.trim_matches('.').parse().ok())
                        .collect();
                    if let [black, white] = numbers[..]
                        && black < white
                        && !value.contains("[-")
                        && !value.starts_with('-')
                    {
                        (found.black, found.white) = (Some(black), Some(white));
                    }
                }
                "color_order" | "channel_order" | "color_format" => {
                    found.channels = match value.to_ascii_lowercase().as_str() {
                        "rgb" => Some(Channels::Rgb),
                        "bgr" => Some(Channels::Bgr),
                        _ => None,
                    };
                }
                "scale" => found.scale = value.parse().ok().filter(|scale| (1..=16).contains(scale)),
                "stride" => found.multiple_of = value.parse().ok().filter(|stride| (1..=4096).contains(stride)),
                "names" => found.labels = labels::parse(value),
                "imgsz" => {
                    let sides = value.split(|c: char| !c.is_ascii_digit()).filter_map(|side| side.parse().ok());
                    // More than this only a person asks for.
                    found.side = sides.max().filter(|side| (1..=2048).contains(side));
                }
                _ => {}
            }
        }
        found
    }

    /// These settings, with those of `under` where nothing is set.
    pub fn over(&self, under: &Overrides) -> Overrides {
        Overrides {
            channels: self.channels.or(under.channels),
            layout: self.layout.or(under.layout),
            black: self.black.or(under.black),
            white: self.white.or(under.white),
            output_black: self.output_black.or(under.output_black),
            output_white: self.output_white.or(under.output_white),
            scale: self.scale.or(under.scale),
            radius: self.radius.or(under.radius),
            multiple_of: self.multiple_of.or(under.multiple_of),
            batch: self.batch.or(under.batch),
            detector: self.detector.or(under.detector),
            labels: self.labels.clone().or_else(|| under.labels.clone()),
            side: self.side.or(under.side),
            trust: self.trust || under.trust,
        }
    }

    /// The radius to use where the graph gives `computed` (`None`: the whole picture).
    pub fn radius_over(&self, computed: Option<usize>) -> Result<Option<usize>> {
        let Some(radius) = self.radius else { return Ok(computed) };
        if self.trust || computed.is_some_and(|computed| radius >= computed) {
            return Ok(Some(radius));
        }
        let needed = computed.map_or("the whole picture".to_owned(), |computed| computed.to_string());
        Err(Error::new(
            Kind::Usage,
            format!("radius {radius} is set, the graph looks at {needed}; remove it or set trust = true"),
        ))
    }

    /// The multiple to use where the graph gives `computed`.
    pub fn multiple_over(&self, computed: usize) -> Result<usize> {
        let Some(multiple) = self.multiple_of else { return Ok(computed) };
        if self.trust {
            return Ok(multiple);
        }
        let both = lcm(multiple as i64, computed as i64).filter(|&both| both <= 4096);
        both.map(|both| both as usize).ok_or_else(|| {
            Error::new(
                Kind::Usage,
                format!("multiple_of {multiple} and the graph's {computed} have no small common multiple"),
            )
        })
    }

    /// The batch size to use where the graph takes only `computed`.
    pub fn batch_over(&self, computed: Option<usize>) -> Result<Option<usize>> {
        match (self.batch, computed) {
            (Some(batch), Some(computed)) if batch != computed && !self.trust => Err(Error::new(
                Kind::Usage,
                format!("batch {batch} is set, the graph takes {computed}; remove it or set trust = true"),
            )),
            (batch, computed) => Ok(batch.or(computed)),
        }
    }

    /// What is set, as conclusions with `source` as their reason.
    pub fn conclusions(&self, source: &str) -> Vec<Conclusion> {
        let number = |value: Option<usize>| value.map(|value| value.to_string());
        let level = |value: Option<f32>| value.map(|value| value.to_string());
        let all = [
            ("channels", self.channels.map(|channels| format!("{channels:?}").to_lowercase())),
            ("layout", self.layout.map(|layout| format!("{layout:?}").to_lowercase())),
            ("black", level(self.black)),
            ("white", level(self.white)),
            ("output black", level(self.output_black)),
            ("output white", level(self.output_white)),
            ("scale", number(self.scale)),
            ("radius", number(self.radius)),
            ("multiple of", number(self.multiple_of)),
            ("fixed batch", number(self.batch)),
            ("detector", self.detector.map(|family| family.to_string())),
            ("side", number(self.side)),
            ("labels", self.labels.as_ref().map(|labels| labels::shown(labels))),
        ];
        let set = all.into_iter().filter_map(|(fact, value)| Some((fact, value?)));
        set.map(|(fact, value)| Conclusion { fact, value, reason: source.to_owned() }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_read_and_an_unknown_one_refused() {
        let text =
            "channels = 'bgr'\nlayout = 'nhwc'\nblack = -1.0\nwhite = 1.0\nradius = 12\nmultiple_of = 4\ntrust = true";
        let overrides = Overrides::parse(text).unwrap();
        assert_eq!((overrides.channels, overrides.layout), (Some(Channels::Bgr), Some(Layout::Nhwc)));
        assert_eq!((overrides.black, overrides.white, overrides.radius), (Some(-1.0), Some(1.0), Some(12)));
        let error = Overrides::parse("radius = 3\nradios = 4").unwrap_err().to_string();
        assert!(error.starts_with("line 2: unknown field `radios`"), "{error}");
        assert!(Overrides::parse("black = 1.0\nwhite = 1.0").is_err());
    }

    #[test]
    fn a_family_and_labels_are_read_and_limited() {
        let overrides = Overrides::parse("detector = 'yolov8'\nlabels = ['cat', \"dog's\"]").unwrap();
        assert_eq!(overrides.detector, Some(FamilyName::YoloV8));
        assert_eq!(overrides.labels.as_deref(), Some(&["cat".to_owned(), "dog's".to_owned()][..]));
        let shown = overrides.conclusions("said").into_iter().map(|conclusion| (conclusion.fact, conclusion.value));
        let expected = [("detector", "yolov8".to_owned()), ("labels", "2: cat, dog's".to_owned())];
        assert_eq!(shown.collect::<Vec<_>>(), expected);
        let error = |text: &str| Overrides::parse(text).unwrap_err().to_string();
        assert!(error("detector = 'yolov3'").contains("unknown variant `yolov3`"));
        let long = error(&format!("labels = ['cat', '{}']", "x".repeat(201)));
        assert_eq!(long, "labels: entry 1 has 201 bytes, at most 200 are allowed");
        let many = error(&format!("labels = [{}]", "'', ".repeat(10_001)));
        assert_eq!(many, "labels: 10001 entries, at most 10000 are allowed");
        assert!(error("labels = [\"a\\u0007\"]").contains("control character"));
        // What the user says stands above the metadata.
        let of_file = Overrides::from_metadata(&[("names".into(), "{0: 'person'}".into())]);
        assert_eq!(Overrides::default().over(&of_file).labels, Some(vec!["person".to_owned()]));
        assert_eq!(overrides.over(&of_file).labels, overrides.labels);
    }

    #[test]
    fn the_graph_is_only_weakened_with_trust() {
        let set = |trust| Overrides { radius: Some(5), multiple_of: Some(6), trust, ..Overrides::default() };
        assert_eq!(set(false).radius_over(Some(4)).unwrap(), Some(5));
        assert!(set(false).radius_over(Some(6)).is_err());
        assert!(set(false).radius_over(None).is_err());
        assert_eq!(set(true).radius_over(None).unwrap(), Some(5));
        assert_eq!(set(false).multiple_over(4).unwrap(), 12);
        assert_eq!(set(true).multiple_over(4).unwrap(), 6);
    }

    #[test]
    fn metadata_is_read_and_stands_under_what_the_user_sets() {
        let entry = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let found = Overrides::from_metadata(&[
            entry("input_range", "[0, 255]"),
            entry("color_order", "BGR"),
            entry("stride", "32"),
            entry("imgsz", "[384, 640]"),
        ]);
        assert_eq!((found.black, found.white, found.channels), (Some(0.0), Some(255.0), Some(Channels::Bgr)));
        assert_eq!((found.multiple_of, found.side), (Some(32), Some(640)));
        let user = Overrides { white: Some(1.0), ..Overrides::default() };
        assert_eq!(user.over(&found).white, Some(1.0));
        assert_eq!(Overrides::from_metadata(&[entry("input_range", "-1,1")]), Overrides::default());
    }
}
