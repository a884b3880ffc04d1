//! Networks that find things: known by the shapes of what they give, and written again to give all of it in one tensor.
//!
//! Shapes are followed through the graph, at its own size or at one where rows and columns differ; what cannot be
//! followed is taken as declared. Nothing here looks at a network's numbers: that they mean what those of a family mean
//! is assumed, and a TOML names the family where shapes do not tell it. `facts` calls [`Given::new`], all else begins
//! at [`GraphFacts::network_facts`].

mod write;

use std::collections::HashSet;

use super::Model;
use super::facts::{GraphFacts, PortFacts, element};
use super::labels;
use super::ports::Dim;
use super::proto::{GraphProto, data_type, short};
use super::range::WHITE;
use super::seen::Seen;
use crate::error::{Error, Kind, Result};
use crate::model::overrides::Overrides;
use crate::model::radius::map::lcm;
use crate::model::radius::{Assumption, Traced, trace};
use crate::model::{Channels, Detector, DetectorSize, Element, Family, FamilyName, Layout, NetworkFacts, Port};

/// Sides of the cells of a network's grids, the usual ones first.
const STRIDES: [&[usize]; 3] = [&[8, 16, 32], &[8, 16, 32, 64], &[4, 8, 16, 32]];
/// What YuNet gives for each grid, in the order of the numbers of a candidate, and how many numbers each are.
const PARTS: [(&str, usize); 4] = [("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10)];
/// Boxes that are sorted out already.
const MAX_SORTED: usize = 1000;
/// Numbers of a candidate.
const MAX_VALUES: usize = 4096;
/// What the sides of its pictures may have to be multiples of.
const MAX_MULTIPLE: usize = 4096;
/// Rows and columns that a graph of free size is followed at, at least.
const TRIED: (i64, i64) = (640, 896);

/// What a graph gives for pictures of one size.
#[derive(Clone, Debug)]
pub(super) struct Given {
    /// Width and height.
    size: (usize, usize),
    /// Whether the network takes other sizes too.
    is_free: bool,
    /// Pictures at once.
    batch: usize,
    /// The dimensions of each output, as far as they are known.
    shapes: Vec<Option<Vec<Option<usize>>>>,
    /// What no name in the graph begins with.
    prefix: String,
}

/// The outputs that a family's numbers are in.
#[derive(Clone, Debug, PartialEq)]
enum Source {
    /// Parts of the rows of each grid, in [`PARTS`]' order, grid by grid.
    Parts(Vec<usize>),
    /// The output with this number; a candidate is a row.
    Rows(usize),
    /// The output with this number; a candidate is a column.
    Columns(usize),
}

/// A family that fits a graph.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Found {
    family: Family,
    strides: Vec<usize>,
    n_values: usize,
    source: Source,
}

impl Given {
    /// Follows the graph's shapes at its own size, or at one that it takes.
    pub(super) fn new(model: &Model, input: &PortFacts, outputs: &[PortFacts], seen: &Seen) -> Given {
        let up = |side: i64| (side + seen.multiple_of - 1) / seen.multiple_of * seen.multiple_of;
        let (rows, columns) = seen.fixed.unwrap_or((up(TRIED.0), up(TRIED.1)));
        let followed = match seen.fixed {
            Some(_) => seen.runs.first().map(sizes),
            None => {
                let (batch, channels, layout) = (seen.batch, seen.channels, seen.layout);
                let assumption = Assumption { batch, channels, rows, columns, layout, free: true };
                trace(model, &input.name, input.element, assumption).ok().map(|traced| sizes(&traced))
            }
        };
        let mut followed = followed.unwrap_or_default().into_iter();
        let shapes = outputs.iter().map(|output| followed.next().flatten().or_else(|| declared(output))).collect();
        let graph = model.proto.graph.as_ref().expect("a judged model has a graph");
        let size = (columns as usize, rows as usize);
        Given { size, is_free: seen.fixed.is_none(), batch: seen.batch as usize, shapes, prefix: prefix(graph) }
    }

    /// The name of the one output of the graph written again.
    fn name(&self) -> String {
        format!("{}.detections", self.prefix)
    }

    /// How this family's numbers are in the outputs, if they are. Unknown dimensions fit only what the user has
    /// `named`.
    fn fit(&self, family: FamilyName, outputs: &[PortFacts], named: bool) -> Option<Found> {
        let found = match family {
            FamilyName::Yunet => self.yunet(outputs, named)?,
            FamilyName::Yolox => self.by_rows(0, Family::Yolox, named).filter(|_| outputs.len() == 1)?,
            FamilyName::YoloV5 => (0..outputs.len()).find_map(|at| self.yolo_v5(at, named))?,
            FamilyName::YoloV8 => self.yolo_v8(named).filter(|_| outputs.len() == 1)?,
            FamilyName::Sorted => self.sorted().filter(|_| outputs.len() == 1)?,
        };
        let is_float = |at: usize| matches!(outputs[at].element, data_type::FLOAT | data_type::FLOAT16);
        let is_same = |at: usize, other: usize| outputs[at].element == outputs[other].element;
        let is_usable = match &found.source {
            Source::Parts(all) => all.iter().all(|&at| is_float(at) && is_same(at, all[0])),
            Source::Rows(at) | Source::Columns(at) => is_float(*at),
        };
        is_usable.then_some(found)
    }

    /// The last two of an output's three dimensions, of which the first are the pictures.
    fn pair(&self, at: usize) -> Option<[Option<usize>; 2]> {
        let &[batch, first, second] = self.shapes.get(at)?.as_deref()? else { return None };
        batch.is_none_or(|batch| batch == self.batch).then_some([first, second])
    }

    /// Cells of the grids of these strides.
    fn n_cells(&self, strides: &[usize]) -> usize {
        strides.iter().map(|stride| (self.size.0 / stride) * (self.size.1 / stride)).sum()
    }

    /// The grids that have so many candidates, so many a cell.
    fn strides(&self, n_candidates: Option<usize>, a_cell: usize, named: bool) -> Option<Vec<usize>> {
        let found = match n_candidates {
            Some(n) => STRIDES.into_iter().find(|strides| n > 0 && a_cell * self.n_cells(strides) == n)?,
            None if named => STRIDES[0],
            None => return None,
        };
        Some(found.to_vec())
    }

    fn yunet(&self, outputs: &[PortFacts], named: bool) -> Option<Found> {
        let strides = STRIDES[0].to_vec();
        if outputs.len() != strides.len() * PARTS.len() {
            return None;
        }
        let mut all = Vec::with_capacity(outputs.len());
        for stride in &strides {
            for (part, n) in PARTS {
                let at = outputs.iter().position(|output| output.name == format!("{part}_{stride}"))?;
                let fits = |known: Option<usize>, wanted| known.map_or(named, |known| known == wanted);
                let [rows, columns] = self.pair(at)?;
                if !fits(rows, self.n_cells(&[*stride])) || !fits(columns, n) {
                    return None;
                }
                all.push(at);
            }
        }
        Some(Found { family: Family::Yunet, strides, n_values: 16, source: Source::Parts(all) })
    }

    /// A row of numbers for each candidate, with an object score among them.
    fn by_rows(&self, at: usize, family: Family, named: bool) -> Option<Found> {
        let [n, k] = self.pair(at)?;
        let n_values = k.filter(|k| (6..=MAX_VALUES).contains(k))?;
        let strides = self.strides(n, if family == Family::YoloV5 { 3 } else { 1 }, named)?;
        Some(Found { family, strides, n_values, source: Source::Rows(at) })
    }

    /// All other outputs may be the same before it was put together: pictures, three, rows, columns, numbers.
    fn yolo_v5(&self, at: usize, named: bool) -> Option<Found> {
        let found = self.by_rows(at, Family::YoloV5, named)?;
        let is_raw = |shape: &Option<Vec<Option<usize>>>| {
            let last = |shape: &[Option<usize>]| shape.len() == 5 && shape[4] == Some(found.n_values);
            shape.as_deref().is_some_and(last)
        };
        let mut others = self.shapes.iter().enumerate().filter(|(other, _)| *other != at);
        others.all(|(_, shape)| is_raw(shape)).then_some(found)
    }

    fn yolo_v8(&self, named: bool) -> Option<Found> {
        let [k, n] = self.pair(0)?;
        let found = |n, k: Option<usize>, source| {
            let n_values = k.filter(|k| (5..=MAX_VALUES).contains(k))?;
            Some(Found { family: Family::YoloV8, strides: self.strides(n, 1, named)?, n_values, source })
        };
        // Turned already, it looks like another family's.
        found(n, k, Source::Columns(0)).or_else(|| found(k, n, Source::Rows(0)).filter(|_| named))
    }

    fn sorted(&self) -> Option<Found> {
        let [Some(n @ 1..=MAX_SORTED), Some(6)] = self.pair(0)? else { return None };
        Some(Found { family: Family::Sorted(n), strides: Vec::new(), n_values: 6, source: Source::Rows(0) })
    }

    /// The output that looks like what a network of free size finds, but for how much that is.
    fn unfollowed<'a>(&self, outputs: &'a [PortFacts]) -> Option<&'a PortFacts> {
        let is_unknown = |at: &usize| self.pair(*at).is_some_and(|pair| pair.contains(&None));
        let is_few = outputs.len() == 1 || self.yunet(outputs, true).is_some();
        (0..outputs.len()).find(is_unknown).filter(|_| is_few && self.is_free).map(|at| &outputs[at])
    }
}

/// The sizes of a trace's outputs.
fn sizes(traced: &Traced) -> Vec<Option<Vec<Option<usize>>>> {
    let of = |size: i64| usize::try_from(size).ok();
    let followed = traced.outputs.iter().map(|value| value.axes.is_some().then(|| value.sizes()));
    followed.map(|sizes| sizes.map(|sizes| sizes.into_iter().map(of).collect())).collect()
}

/// The dimensions that a file declares.
fn declared(port: &PortFacts) -> Option<Vec<Option<usize>>> {
    let of = |dim: &Dim| if let Dim::Fixed(size) = dim { usize::try_from(*size).ok() } else { None };
    Some(port.dims.as_ref()?.iter().map(of).collect())
}

/// A word with which, and a dot behind it, no name of the graph begins.
fn prefix(graph: &GraphProto) -> String {
    let mut names = HashSet::new();
    let mut graphs = vec![graph];
    while let Some(graph) = graphs.pop() {
        names.extend(graph.node.iter().flat_map(|node| node.input.iter().chain(&node.output)).map(String::as_str));
        names.extend(graph.initializer.iter().filter_map(|tensor| tensor.name.as_deref()));
        names.extend(graph.input.iter().chain(&graph.value_info).filter_map(|value| value.name.as_deref()));
        let attributes = graph.node.iter().flat_map(|node| &node.attribute);
        graphs.extend(attributes.flat_map(|attribute| attribute.g.iter().chain(&attribute.graphs)));
    }
    let taken = names.iter().filter_map(|name| name.strip_prefix("vproc"));
    let number = |rest: &str| rest.split(|c: char| !c.is_ascii_digit()).next().and_then(|digits| digits.parse().ok());
    // Of a number too large to be read, no smaller one is a beginning, but for what it begins with itself.
    taken
        .map(|rest| number(rest).unwrap_or(1u32))
        .max()
        .map_or("vproc".to_owned(), |n| format!("vproc{}", u64::from(n) + 1))
}

impl GraphFacts {
    /// What is needed to run the network, which gives pictures or finds things.
    pub fn network_facts(&self, overrides: &Overrides) -> Result<NetworkFacts> {
        match self.found(overrides)? {
            Some((given, found)) => self.detector_facts(given, found, overrides),
            None => self.picture_facts(overrides),
        }
    }

    /// What the network finds; `None` for one that is to give pictures.
    fn found(&self, overrides: &Overrides) -> Result<Option<(&Given, Found)>> {
        let refuse = |what: String| Err(Error::new(Kind::Network, what));
        let gives_pictures = match &self.refusal {
            None => true,
            Some(_) => self.wants_scale && overrides.scale.is_some(),
        };
        let Some(given) = &self.given else {
            return match overrides.detector {
                Some(family) if self.refusal.is_none() => Err(self.misnamed(family)),
                _ => Ok(None),
            };
        };
        let found = match overrides.detector {
            Some(family) => Some(given.fit(family, &self.outputs, true).ok_or_else(|| self.misnamed(family))?),
            None if gives_pictures => return Ok(None),
            None => FamilyName::ALL.into_iter().find_map(|family| given.fit(family, &self.outputs, false)),
        };
        let Some(found) = found else {
            return match given.unfollowed(&self.outputs) {
                Some(output) => refuse(format!(
                    "the output {output} may be what a detector finds, but the graph does not tell how much of it; \
                     export it with a fixed size, or name the family with `detector` in a TOML"
                )),
                None => Ok(None),
            };
        };
        let task = self.metadata.iter().find(|(key, _)| key == "task").map(|(_, task)| task.as_str());
        if let Some(task) = task.filter(|task| *task != "detect" && overrides.detector.is_none()) {
            let task = short(task);
            return refuse(format!("the file's metadata say that its task is `{task}`, vproc runs `detect` only"));
        }
        if given.batch != 1 {
            let n = given.batch;
            return refuse(format!("a detector that takes {n} pictures at once, expected 1; export it for one"));
        }
        Ok(Some((given, found)))
    }

    /// The error of a TOML that names a family which the graph is none of.
    fn misnamed(&self, family: FamilyName) -> Error {
        let shown: Vec<String> = self.outputs.iter().take(3).map(PortFacts::to_string).collect();
        let more = if self.outputs.len() > 3 { ", ..." } else { "" };
        let expected = match family {
            FamilyName::Yunet => "twelve outputs cls_8 [1, cells, 1] to kps_32 [1, cells, 10]",
            FamilyName::Yolox => "one of [1, cells, 5 + classes]",
            FamilyName::YoloV5 => "one of [1, 3 x cells, 5 + classes]",
            FamilyName::YoloV8 => "one of [1, 4 + classes, cells]",
            FamilyName::Sorted => "one of [1, at most 1000, 6]",
        };
        let message = format!(
            "detector = \"{family}\" is set, the outputs are {}{more}, expected {expected}; correct the TOML",
            shown.join(", ")
        );
        Error::new(Kind::Usage, message)
    }

    fn detector_facts(&self, given: &Given, found: Found, overrides: &Overrides) -> Result<NetworkFacts> {
        let refuse = |what: String| Error::new(Kind::Network, what);
        let of_file = Overrides::from_metadata(&self.metadata);
        let said = overrides.over(&of_file);
        let port = self.inputs.first().ok_or_else(|| refuse("no input".to_owned()))?;
        let element = element(port.element).ok_or_else(|| refuse(format!("{port} holds no picture")))?;
        let is_raw = matches!(found.family, Family::Yunet | Family::Yolox);
        let channels = said.channels.unwrap_or(if is_raw { Channels::Bgr } else { Channels::Rgb });
        if channels.count() as i64 != self.channels {
            return Err(refuse(format!("{channels:?} has {} channels, the graph {}", channels.count(), self.channels)));
        }
        if let Some(layout) = said.layout.filter(|layout| *layout != self.layout) {
            return Err(refuse(format!("layout {layout:?} is set, the graph is {:?}; correct the TOML", self.layout)));
        }
        let is_code_value = is_raw || element == Element::U8 || self.is_code_value.0;
        let (black, white) = (said.black.unwrap_or(0.0), said.white.unwrap_or(if is_code_value { WHITE } else { 1.0 }));
        if black == white {
            return Err(Error::new(Kind::Usage, format!("black {black} and white {white} do not span a range")));
        }
        let largest = found.strides.iter().copied().max().unwrap_or(1);
        let multiple = lcm(self.multiple_of as i64, largest as i64).map_or(self.multiple_of, |both| both as usize);
        let size = match given.is_free {
            true if multiple > MAX_MULTIPLE => {
                return Err(refuse(format!(
                    "its pictures must be multiples of {multiple}, at most {MAX_MULTIPLE} is allowed"
                )));
            }
            true => DetectorSize::Free { multiple_of: said.multiple_over(multiple)?, side: said.side },
            false => DetectorSize::Fixed(given.size.0, given.size.1),
        };
        said.batch_over(Some(1))?;
        let (layout, family) = (self.layout, found.family);
        let detector = Detector { family, size, strides: found.strides, n_values: found.n_values, labels: Vec::new() };
        // Points and angles of things look like more classes.
        if let (Some(labels), Some(n), None) = (&of_file.labels, detector.n_classes(), overrides.detector)
            && labels.len() != n
        {
            return Err(refuse(format!(
                "the file names {} classes, and as {family:?} its output tells of {n}; name the family with `detector` \
                 in a TOML if it is one",
                labels.len()
            )));
        }
        let labels = said.labels.unwrap_or_else(|| usual_labels(&detector));
        let input = Port { name: port.name.clone(), element, layout, channels, black, white };
        let (name, element, layout) = (given.name(), Element::F32, Layout::Nchw);
        Ok(NetworkFacts {
            input,
            output: Port { name, element, layout, channels, black: 0.0, white: 1.0 },
            scale: 1,
            radius: None,
            multiple_of: 1,
            fixed_size: None,
            fixed_batch: Some(1),
            detector: Some(Detector { labels, ..detector }),
        })
    }
}

/// The names of the classes of networks that say none.
fn usual_labels(detector: &Detector) -> Vec<String> {
    match (detector.family, detector.n_classes()) {
        (Family::Yunet, _) => vec!["face".to_owned()],
        (_, Some(80)) => labels::coco(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests;
