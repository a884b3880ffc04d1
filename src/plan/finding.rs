//! What becomes of what a network finds, for networks that give no picture.

use std::fmt;

use super::container::{StreamPlan, Treatment};
use super::segments::Segments;
use crate::av::StreamSideData;
use crate::config::{Origin, RunConfig, Task, value};
use crate::error::{Error, Kind, Result};
use crate::head::detect::{DetectTask, Effect, Hold, Turn, Wanted};
use crate::model::{Detector, Family, Network};
use crate::time::Ratio;

/// What counts as found and what becomes of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// What is done.
    pub task: DetectTask,
    /// The names of all classes, by number.
    pub labels: Vec<String>,
}

impl Finding {
    /// Decides; `None` for a network that gives pictures. An error where something else was asked of the network than it
    /// can do.
    pub fn new(config: &RunConfig, network: &Network, video: Video) -> Result<Option<Finding>> {
        let Some(detector) = &network.facts.detector else {
            return check_pictures(config, &network.name).map(|()| None);
        };
        check_found(config, &network.name)?;
        let effect = match config.task {
            Task::Auto | Task::Image | Task::Detect => Effect::Outline,
            Task::Blur => Effect::Blur,
            Task::Pixelate => Effect::Pixelate,
        };
        let hides = effect != Effect::Outline;
        let score = config.score.unwrap_or_else(|| least_score(detector.family, hides));
        let wanted = Wanted { score, classes: classes(config, detector)? };
        let hold = hides.then(|| hold(&video));
        let task = DetectTask { wanted, effect, turn: turn(video.streams), hold };
        Ok(Some(Finding { task, labels: detector.labels.clone() }))
    }
}

/// What is known of the video.
#[derive(Clone, Copy)]
pub struct Video<'a> {
    /// All streams of the input.
    pub streams: &'a [StreamPlan],
    /// Its frame rate, if it is known.
    pub frame_rate: Ratio,
    /// How the output is cut.
    pub segments: &'a Segments,
}

/// What was found stays hidden for so many seconds after it was lost.
const HELD: f64 = 0.25;

/// The same in frames.
fn hold(video: &Video) -> Hold {
    let rate = if video.frame_rate.is_known() { video.frame_rate.as_f64() } else { 25.0 };
    let forgets_every = if let Segments::Every(frames) = video.segments { Some(*frames) } else { None };
    Hold { n_frames: (rate * HELD).ceil().clamp(1.0, 30.0) as u32, forgets_every }
}

/// How the video's frames are turned to be shown. Frames that are shown mirrored are looked at as they are.
fn turn(streams: &[StreamPlan]) -> Turn {
    let video = streams.iter().find(|stream| stream.treatment == Treatment::Process);
    let shown = video.and_then(|video| video.about.side_data.iter().find_map(StreamSideData::orientation));
    shown.filter(|(_, is_mirrored)| !is_mirrored).map_or(Turn::None, |(degrees, _)| Turn::of_degrees(degrees))
}

/// What counts as found where nobody says: what the networks' own programs use, or somewhat more; half of that where it is
/// to be hidden, for there a thing too many is hidden rather than one too few.
fn least_score(family: Family, hides: bool) -> f32 {
    let score = if family == Family::Yunet { 0.6 } else { 0.4 };
    if hides { score / 2.0 } else { score }
}

/// Refuses what is for networks that find things.
fn check_pictures(config: &RunConfig, network: &str) -> Result<()> {
    let is_task = !matches!(config.task, Task::Auto | Task::Image);
    let name = match () {
        () if is_task => "task",
        () if config.detections.is_some() => "detections",
        () if config.score.is_some() => "score",
        () if !config.classes.is_empty() => "classes",
        () => return Ok(()),
    };
    // What a file says of all runs is not meant for each.
    if config.origin(name) != Origin::CommandLine && !is_task {
        return Ok(());
    }
    let what = if is_task { format!("--task {}", config.task) } else { format!("--{name}") };
    let message = format!("{what} is for networks that find things, and {network} gives pictures; name one with -m");
    Err(Error::new(Kind::Usage, message))
}

/// Refuses what is for networks that give pictures.
fn check_found(config: &RunConfig, network: &str) -> Result<()> {
    let usage = |message: String| Err(Error::new(Kind::Usage, message));
    if config.task == Task::Image {
        let tasks = "detect, blur or pixelate";
        return usage(format!(
            "--task image is for networks that give pictures, and {network} finds things; use {tasks}"
        ));
    }
    if config.verify_skip.is_some() && config.origin("verify-skip") == Origin::CommandLine {
        return usage(format!(
            "--verify-skip is for networks that give pictures, and {network} finds things; leave it out"
        ));
    }
    if !config.roi.is_empty() {
        return usage(format!(
            "--roi is for networks that give pictures, and {network} looks at all of one; leave it out"
        ));
    }
    Ok(())
}

/// The numbers of the classes that were named.
fn classes(config: &RunConfig, detector: &Detector) -> Result<Option<Vec<usize>>> {
    if config.classes.is_empty() {
        return Ok(None);
    }
    let number = |name: &String| {
        let of_name = detector.labels.iter().position(|label| label.eq_ignore_ascii_case(name));
        let is_known = |class: &usize| detector.n_classes().is_none_or(|n| *class < n);
        of_name.or_else(|| name.parse().ok()).filter(is_known).ok_or_else(|| {
            let labels: Vec<&str> = detector.labels.iter().map(String::as_str).collect();
            let known = match labels.as_slice() {
                [] => detector.n_classes().map_or("its classes have numbers alone".to_owned(), |n| {
                    format!("its classes have numbers alone, 0 to {}", n.saturating_sub(1))
                }),
                labels if labels.len() <= 12 => format!("there are {}", labels.join(", ")),
                labels => format!("there are {}, ... (`vproc inspect --json` lists all)", labels[..12].join(", ")),
            };
            let hint =
                value::nearest(name, &labels).map_or_else(String::new, |near| format!("; did you mean '{near}'?"));
            Error::new(Kind::Usage, format!("--classes: the network knows no '{name}', {known}{hint}"))
        })
    };
    config.classes.iter().map(number).collect::<Result<Vec<_>>>().map(Some)
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let label = |class: &usize| self.labels.get(*class).cloned().unwrap_or_else(|| class.to_string());
        let DetectTask { wanted, effect, turn, hold } = &self.task;
        match &wanted.classes {
            None => f.write_str("all classes")?,
            Some(classes) => f.write_str(&classes.iter().map(label).collect::<Vec<_>>().join(", "))?,
        }
        let what = match effect {
            Effect::Outline => "outlined",
            Effect::Blur => "blurred",
            Effect::Pixelate => "made of large squares",
        };
        let turned = match turn {
            Turn::None => "",
            Turn::Right => "; frames are turned clockwise for it",
            Turn::Half => "; frames are turned upside down for it",
            Turn::Left => "; frames are turned counterclockwise for it",
        };
        write!(f, " from a score of {}, {what}", wanted.score)?;
        if let Some(hold) = hold {
            write!(f, " and for {} frames more", hold.n_frames)?;
        }
        f.write_str(turned)
    }
}
