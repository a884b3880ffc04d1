//! What was asked for one run, and where each value was said.
//!
//! [`RunConfig`] is plain data. It is filled by [`layers`], from the weakest layer to the strongest: built in, user
//! file, project file, `--config`, `VPROC_*`, command line. Every layer says `name = value` in text and goes through
//! [`RunConfig::set`], so a value means the same wherever it stands. Nothing here looks at inputs, networks or the
//! hardware, and nothing here knows how a command line is taken apart.

pub mod batch;
pub mod bench;
pub mod choice;
pub mod keys;
pub mod layers;
pub mod output;
mod rate;
mod run;
pub mod segment;
pub mod tuning;
pub mod value;

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};

pub use batch::{BatchConfig, Names, Template};
pub use bench::{BenchConfig, Resolution, TuneConfig};
pub use choice::{
    CacheAct, Deinterlace, DeviceChoice, EngineChoice, Overwrite, PictureSize, Position, Precision, ProgressMode,
    Region, SkipMode, Task, Tile,
};
pub use keys::{KEYS, Key, OF_THE_ENCODER, OF_THE_RUN, Scope};
pub use layers::{Layers, folders};
pub use output::Output;
pub use rate::decides_rate;
pub use run::RunConfig;
pub use segment::{JoinConfig, SegmentConfig};
pub use tuning::Tuning;

use crate::error::{Error, Kind, Result};

/// Where a value was said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Origin {
    /// Nowhere: the program's own default.
    #[default]
    BuiltIn,
    /// In this file.
    File(PathBuf),
    /// In the environment.
    Environment,
    /// On the command line.
    CommandLine,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::BuiltIn => f.write_str("built in"),
            Origin::File(path) => write!(f, "{}", path.display()),
            Origin::Environment => f.write_str("environment"),
            Origin::CommandLine => f.write_str("command line"),
        }
    }
}

/// A value as it was said, for the plan to print.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// The text; several texts of one name are joined by commas.
    pub text: String,
    /// The texts.
    pub values: Vec<OsString>,
    /// Where.
    pub origin: Origin,
}

impl RunConfig {
    /// Where the value of `name` was said.
    pub fn origin(&self, name: &str) -> Origin {
        self.said.get(name).map(|said| said.origin.clone()).unwrap_or_default()
    }

    /// The pictures that the region of interest is read from.
    pub fn masks(&self) -> impl Iterator<Item = &Path> {
        self.roi.iter().filter_map(|region| match region {
            Region::Mask(path) => Some(path.as_path()),
            Region::Area(_) => None,
        })
    }

    /// Everything that was said, in the order of [`KEYS`].
    pub fn in_order(&self) -> impl Iterator<Item = (&'static str, &Said)> {
        KEYS.iter().filter_map(|key| Some((key.name, self.said.get(key.name)?)))
    }

    /// The report is to be a page for people.
    pub fn wants_page(&self) -> bool {
        let extension = self.report.as_deref().and_then(Path::extension);
        extension.is_some_and(|extension| extension.eq_ignore_ascii_case("html"))
    }

    /// Takes the value of one name, which replaces what weaker layers said; an empty list changes nothing.
    ///
    /// Names that cannot repeat take the last of several values.
    pub fn set(&mut self, name: &str, values: &[OsString], origin: &Origin) -> Result<()> {
        let Some(last) = values.last() else { return Ok(()) };
        let Some(key) = KEYS.iter().find(|key| key.name == name) else {
            let names: Vec<&str> = KEYS.iter().map(|key| key.name).collect();
            let hint =
                value::nearest(name, &names).map_or_else(String::new, |name| format!("; did you mean '{name}'?"));
            return Err(Error::new(Kind::Usage, format!("unknown key '{name}'{hint}")));
        };
        if key.scope == Scope::CommandLine && *origin != Origin::CommandLine {
            return Err(Error::new(Kind::Usage, format!("'{name}' can be given on the command line only")));
        }
        self.take(key.name, last, values).map_err(|error| error.context(spelled(key.name, origin)))?;
        let text = values.iter().map(|value| value.to_string_lossy()).collect::<Vec<_>>().join(",");
        self.said.insert(key.name, Said { text, values: values.to_vec(), origin: origin.clone() });
        self.settle_rate(key.name, origin);
        Ok(())
    }

    fn take(&mut self, name: &'static str, raw: &OsStr, all: &[OsString]) -> Result<()> {
        let owned = || value::text(raw).map(|text| Some(text.to_owned()));
        match name {
            "input" => self.input = raw.to_owned(),
            "output" => self.output = Output::parse(raw)?,
            "model" => self.model = raw.to_owned(),
            "model-config" => self.model_config = Some(raw.into()),
            "report" => self.report = Some(value::file(raw)?),
            "trace" => self.trace = Some(value::file(raw)?),
            "detections" => self.detections = Some(value::file(raw)?),
            "master" => self.master = Some(raw.into()),
            "cache" => self.cache = Some(raw.into()),
            "encoder" => self.encoder = owned()?,
            "preset" => self.preset = owned()?,
            "pix-fmt" => self.pix_fmt = owned()?,
            "protocol" => self.protocols = each(all, |text| Ok(text.split(',').map(str::to_owned).collect()))?,
            "classes" => self.classes = each(all, value::classes)?,
            "roi" => self.roi = each(all, |text| Ok(vec![value::region(text)?]))?,
            "encoder-opt" => self.encoder_options = each(all, value::encoder_options)?,
            _ => self.take_text(name, value::text(raw)?)?,
        }
        Ok(())
    }

    fn take_text(&mut self, name: &'static str, text: &str) -> Result<()> {
        match name {
            "strength" if text == "auto" => self.strength = None,
            "strength" => self.strength = Some(value::strength(text)?),
            "task" => self.task = Task::parse(text)?,
            "score" => self.score = Some(value::score(text)?),
            "video-stream" => {
                let index = usize::try_from(value::whole(text, 0)?).unwrap_or(usize::MAX);
                self.video_stream = Some(index);
            }
            "start" => self.start = Some(value::position(text)?),
            "end" => self.end = Some(value::position(text)?),
            "frames" => self.frames = Some(value::whole(text, 1)?),
            "fps" => self.fps = Some(value::rate(text)?),
            "deinterlace" => self.deinterlace = Deinterlace::parse(text)?,
            "engine" => self.engine = EngineChoice::parse(text)?,
            "precision" => self.precision = Precision::parse(text)?,
            "device" => self.device = DeviceChoice::parse(text)?,
            "threads" => self.threads = Some(value::threads(text)?),
            "workers" => self.workers = Some(value::threads(text)?),
            "memory" => self.memory = Some(value::size(text)?),
            "tile" => self.tile = value::tile(text)?,
            "batch" => self.batch = value::batch(text)?,
            "latency" => self.latency = Some(value::seconds(text)?),
            "cpu-affinity" => self.cpu_affinity = Some(value::processors(text)?),
            "skip" => self.skip = SkipMode::parse(text)?,
            "skip-psnr" => self.skip_psnr = value::number(text)?,
            "verify-skip" => self.verify_skip = Some(value::whole(text, 1)?),
            "debug-overlay" => self.debug_overlay = value::switch(text)?,
            "cache-size" => self.cache_size = Some(value::cache_size(text)?),
            "no-cache" => self.no_cache = value::switch(text)?,
            "crf" => self.crf = Some(value::number(text)?),
            "no-resume" => self.no_resume = value::switch(text)?,
            "size" => self.size = Some(value::picture_size(text)?),
            "segment-frames" => self.segment_frames = Some(value::whole(text, 2)?),
            "manifest-only" => self.manifest_only = value::switch(text)?,
            "overwrite" if text == "never" => self.overwrite = Overwrite::Never,
            "overwrite" => self.overwrite = if value::switch(text)? { Overwrite::Yes } else { Overwrite::Refuse },
            "strict" => self.strict = value::switch(text)?,
            "quiet" => self.quiet = value::switch(text)?,
            "verbose" => self.verbose = u8::try_from(value::whole(text, 0)?).unwrap_or(u8::MAX),
            "dry-run" => self.dry_run = value::switch(text)?,
            "progress" => self.progress = ProgressMode::parse(text)?,
            _ => return Err(Error::new(Kind::Internal, format!("the key '{name}' has no meaning"))),
        }
        Ok(())
    }

    /// What can be judged without looking at the input: the values fit each other.
    pub fn check(&self) -> Result<()> {
        let usage = |message: String| Err(Error::new(Kind::Usage, message));
        if self.input.is_empty() {
            return usage("no input; name a file, or '-' for y4m on stdin".into());
        }
        if !self.said.contains_key("output") {
            return usage("no output; say where the frames go, such as -o out.mp4".into());
        }
        let ordered = match (self.start.unwrap_or(Position::Frame(0)), self.end) {
            (Position::Time(start), Some(Position::Time(end))) => start < end,
            (Position::Frame(start), Some(Position::Frame(end))) => start < end,
            // Nothing lies before an end at zero, however the start is said.
            (_, Some(Position::Time(0) | Position::Frame(0))) => false,
            _ => true,
        };
        if !ordered {
            let (start, end) = (self.start.unwrap_or(Position::Frame(0)), self.end.unwrap_or(Position::Frame(0)));
            return usage(format!("--end {end} is not after --start {start}, so no frame is left"));
        }
        if self.detections.is_some()
            && let Some(name) =
                ["segment-frames", "manifest-only"].iter().find(|name| self.origin(name) == Origin::CommandLine)
        {
            let what = format!("--detections tells of all frames in one go, and --{name} makes segments");
            return usage(format!("{what}; leave one of them out"));
        }
        if self.skip != SkipMode::Near && self.origin("skip-psnr") == Origin::CommandLine {
            let what = format!("--skip-psnr is for --skip near, and skip is {}", self.skip);
            return usage(format!("{what}; add --skip near, or leave it out"));
        }
        Ok(())
    }

    /// Refuses what the command line says of the encoder where nothing is encoded. `null:` stands in for any output.
    pub fn check_encoding(&self) -> Result<()> {
        let is_said = |name: &&&str| self.origin(name) == Origin::CommandLine;
        match OF_THE_ENCODER.iter().find(is_said) {
            Some(name) if !matches!(self.output, Output::File(_) | Output::Null) => {
                let what = format!("--{name} is for a video in a container, and '{}' has no encoder", self.output);
                Err(Error::new(Kind::Usage, format!("{what}; leave it out, or name a file such as out.mkv")))
            }
            _ => Ok(()),
        }
    }

    /// The folder of the cache: as named, else in the user's cache folder; `None` where no cache is wanted, or without a
    /// home.
    pub fn cache_folder(&self) -> Option<PathBuf> {
        if self.no_cache || self.skip != SkipMode::Exact {
            return None;
        }
        self.cache.clone().or_else(default_cache)
    }

    /// Nobody named the engine, and the network is a stranger's: which is the fastest has to be tried.
    pub fn tries_engines(&self) -> bool {
        self.engine == EngineChoice::Auto && self.model_file().is_some()
    }

    /// The same with `tuning` for all that nobody said.
    #[must_use]
    pub fn tuned(&self, tuning: Tuning) -> RunConfig {
        let tuning = tuning.where_unsaid(self);
        RunConfig {
            tile: tuning.tile.map_or(self.tile, Tile::Size),
            engine: tuning.engine.as_deref().and_then(|name| EngineChoice::parse(name).ok()).unwrap_or(self.engine),
            tuning: Some(tuning),
            ..self.clone()
        }
    }

    /// The network's file; `None` when it is meant to be a built-in one.
    pub fn model_file(&self) -> Option<&Path> {
        let path = Path::new(&self.model);
        let named = path.components().count() > 1 || path.extension().is_some();
        named.then_some(path)
    }
}

/// Where the cache lies when nobody names a folder; `None` without a home.
pub fn default_cache() -> Option<PathBuf> {
    folders().map(|folders| folders.cache.join("pictures"))
}

/// The values of all texts, one after the other.
fn each<T>(all: &[OsString], parse: impl Fn(&str) -> Result<Vec<T>>) -> Result<Vec<T>> {
    let mut values = Vec::new();
    for raw in all {
        values.extend(parse(value::text(raw)?)?);
    }
    Ok(values)
}

/// `name` as a person wrote it there.
fn spelled(name: &str, origin: &Origin) -> String {
    match origin {
        Origin::CommandLine if name == "input" => "INPUT".into(),
        Origin::CommandLine => format!("--{name}"),
        Origin::Environment => layers::variable(name),
        Origin::BuiltIn | Origin::File(_) => name.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(pairs: &[(&str, &str)]) -> Result<RunConfig> {
        let mut config = RunConfig::default();
        for (name, text) in [("output", "null:")].iter().chain(pairs) {
            config.set(name, &[OsString::from(text)], &Origin::CommandLine)?;
        }
        config.check()?;
        config.check_encoding()?;
        Ok(config)
    }

    #[test]
    fn every_key_is_understood() {
        for key in KEYS {
            let error = RunConfig::default().set(key.name, &[OsString::from("\u{1}")], &Origin::CommandLine).err();
            assert!(error.is_none_or(|error| error.kind() == Kind::Usage), "{}", key.name);
        }
    }

    #[test]
    fn an_error_names_the_option() {
        let message = |name: &str, text: &str| said(&[("input", "a"), (name, text)]).unwrap_err().to_string();
        assert_eq!(message("threads", "0"), "--threads: got '0', expected a whole number from 1 up");
        assert_eq!(message("encodr", "x"), "unknown key 'encodr'; did you mean 'encoder'?");
        assert_eq!(message("end", "0"), "--end 0:00:00 is not after --start 0f, so no frame is left");
        assert!(said(&[("input", "a"), ("start", "2"), ("end", "1:00")]).is_ok());
        assert!(said(&[("input", "a"), ("start", "10f"), ("end", "10f")]).is_err());
    }

    #[test]
    fn what_the_command_line_says_in_vain_is_refused() {
        for (name, text) in [("encoder", "ffv1"), ("crf", "20"), ("encoder-opt", "g=1"), ("pix-fmt", "gray")] {
            for output in ["a.y4m", "-", "%06d.png", "md5:"] {
                let error = said(&[("input", "a"), ("output", output), (name, text)]).unwrap_err();
                assert!(error.kind() == Kind::Usage && error.to_string().starts_with(&format!("--{name} ")), "{error}");
            }
            for output in ["a.mkv", "null:"] {
                assert!(said(&[("input", "a"), ("output", output), (name, text)]).is_ok(), "{name} {output}");
            }
        }
        assert!(said(&[("input", "a"), ("skip-psnr", "40")]).unwrap_err().to_string().contains("skip is exact"));
        assert!(said(&[("input", "a"), ("skip", "near"), ("skip-psnr", "40")]).is_ok());
        // What is said for all runs is not meant for each.
        let mut config = said(&[("input", "a"), ("output", "-")]).unwrap();
        for (name, text) in [("crf", "20"), ("skip-psnr", "40")] {
            config.set(name, &[text.into()], &Origin::File("vproc.toml".into())).unwrap();
        }
        assert!(config.check().and_then(|()| config.check_encoding()).is_ok());
    }

    #[test]
    fn a_list_replaces_the_weaker_list_as_a_whole() {
        let mut config = RunConfig::default();
        let words = |texts: &[&str]| texts.iter().map(OsString::from).collect::<Vec<_>>();
        config.set("encoder-opt", &words(&["a=1:b=2"]), &Origin::Environment).unwrap();
        config.set("encoder-opt", &words(&["c=3", "d=4"]), &Origin::CommandLine).unwrap();
        config.set("encoder-opt", &[], &Origin::CommandLine).unwrap();
        assert_eq!(config.encoder_options, [("c".into(), "3".into()), ("d".into(), "4".into())]);
        assert_eq!(config.origin("encoder-opt"), Origin::CommandLine);
        assert_eq!(config.in_order().next().unwrap().1.text, "c=3,d=4");
    }

    #[test]
    fn what_counts_as_found_is_said_by_score_and_classes() {
        let config = said(&[("input", "a"), ("task", "blur"), ("score", "0.25"), ("detections", "d.jsonl")]).unwrap();
        assert_eq!((config.task, config.score), (Task::Blur, Some(0.25)));
        assert_eq!(config.detections, Some("d.jsonl".into()));
        let mut config = RunConfig::default();
        config.set("classes", &["person, traffic light".into(), "7".into()], &Origin::CommandLine).unwrap();
        assert_eq!(config.classes, ["person", "traffic light", "7"]);
        for (name, text) in [("score", "1.01"), ("score", "nan"), ("task", "blurr"), ("classes", "a,,b")] {
            let error = said(&[("input", "a"), (name, text)]).unwrap_err();
            assert!(error.to_string().starts_with(&format!("--{name}: got '{text}', expected ")), "{error}");
        }
    }

    #[test]
    fn a_network_is_a_file_when_it_looks_like_one() {
        for (text, is_file) in [("upscale-x2", false), ("a.onnx", true), ("./identity", true), ("dir/net", true)] {
            assert_eq!(said(&[("input", "a"), ("model", text)]).unwrap().model_file().is_some(), is_file, "{text}");
        }
    }
}
