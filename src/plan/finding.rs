//! What becomes of what a network finds, for networks that give no picture.

use std::fmt;

use super::container::{StreamPlan, Treatment};
use super::segments::Segments;
use crate::av::{MediaKind, StreamSideData};
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
        let effect = effect(config.task);
        let hides = effect.hides();
        let score = config.score.unwrap_or_else(|| least_score(detector.family, hides));
        let wanted = Wanted { score, classes: classes(config, detector)? };
        let hold = hides.then(|| hold(&video));
        let task = DetectTask { wanted, effect, turn: turn(video.streams), hold };
        Ok(Some(Finding { task, labels: detector.labels.clone() }))
    }
}

impl Finding {
    /// What is found is not to be seen.
    pub fn hides(&self) -> bool {
        self.task.effect.hides()
    }

    /// Where something may be seen that is to be hidden, for people.
    pub fn exposed(&self, streams: &[StreamPlan], segments: &Segments) -> Vec<String> {
        let goes_over = |stream: &&StreamPlan| {
            stream.kind == MediaKind::Video && !matches!(stream.treatment, Treatment::Process | Treatment::Dropped(_))
        };
        let over = streams.iter().filter(goes_over);
        let mut warnings: Vec<_> =
            over.map(|stream| format!("{} goes over as it is: nothing in it is hidden", stream.name())).collect();
        if let Segments::Every(frames) = segments {
            warnings.push(format!(
                "what is lost for a moment is not held over the cuts of segments, every {frames} frames"
            ));
        }
        warnings
    }
}

/// What becomes of what a network finds that has this task.
pub fn effect(task: Task) -> Effect {
    match task {
        Task::Auto | Task::Image | Task::Detect => Effect::Outline,
        Task::Blur => Effect::Blur,
        Task::Pixelate => Effect::Pixelate,
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

/// And for so many frames at most.
const MOST_HELD: f64 = 120.0;

/// The same in frames.
fn hold(video: &Video) -> Hold {
    let rate = if video.frame_rate.is_known() { video.frame_rate.as_f64() } else { 25.0 };
    let forgets_every = if let Segments::Every(frames) = video.segments { Some(*frames) } else { None };
    Hold { n_frames: (rate * HELD).ceil().clamp(1.0, MOST_HELD) as u32, forgets_every }
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
    // What a file says of all runs is not meant for each.
    let is_said = |name: &&str| config.origin(name) == Origin::CommandLine;
    let Some(name) =
        ["detections", "score", "classes"].into_iter().find(|name| is_said(name)).or(is_task.then_some("task"))
    else {
        return Ok(());
    };
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
    let n_classes = detector.n_classes().or(Some(detector.labels.len()).filter(|n| *n > 0));
    let is_known = |class: &usize| n_classes.is_none_or(|n| *class < n);
    let numbers = |name: &String| {
        let named = detector.labels.iter().enumerate().filter(|(_, label)| label.eq_ignore_ascii_case(name));
        let mut numbers: Vec<usize> = named.map(|(class, _)| class).collect();
        if numbers.is_empty() {
            numbers.extend(name.parse::<usize>().ok());
        }
        numbers.retain(is_known);
        if numbers.is_empty() { Err(unknown_class(name, detector, n_classes)) } else { Ok(numbers) }
    };
    let numbers = config.classes.iter().map(numbers).collect::<Result<Vec<_>>>()?;
    let mut numbers = numbers.concat();
    numbers.sort_unstable();
    numbers.dedup();
    Ok(Some(numbers))
}

/// The error of a class that there is not.
fn unknown_class(name: &str, detector: &Detector, n_classes: Option<usize>) -> Error {
    let labels: Vec<&str> = detector.labels.iter().map(String::as_str).collect();
    let known = match (labels.as_slice(), n_classes) {
        ([], None) => "its classes have numbers alone".to_owned(),
        ([], Some(n)) => format!("its classes have numbers alone, 0 to {}", n.saturating_sub(1)),
        (labels, _) if labels.len() <= 12 => format!("there are {}", labels.join(", ")),
        (labels, _) => format!("there are {}, ... (`vproc inspect --json` lists all)", labels[..12].join(", ")),
    };
    let hint = value::nearest(name, &labels).map_or_else(String::new, |near| format!("; did you mean '{near}'?"));
    Error::new(Kind::Usage, format!("--classes: the network knows no '{name}', {known}{hint}"))
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let label = |class: &usize| {
            self.labels.get(*class).map_or_else(|| class.to_string(), |label| format!("{class} ({label})"))
        };
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
