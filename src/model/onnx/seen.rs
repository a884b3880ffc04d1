//! Traces of one graph at the sizes that conclusions need, and what they say of its output.
//!
//! A graph of free size is traced at two very different sizes, one of fixed size at that; once more with three pictures,
//! and once at a usual size for its cost. Only `facts` calls this; it words the conclusions.

use super::Model;
use super::ports::{Dim, PortFacts};
use crate::model::Layout;
use crate::model::radius::map::lcm;
use crate::model::radius::value::{Axis, Place};
use crate::model::radius::{Assumption, Traced, trace};

/// The size of free traces: a multiple of all numbers that networks are likely to divide by.
const LARGE: i64 = 7_096_320;
/// The least size of the trace that cost is taken from.
const USUAL: i64 = 256;
/// Sides and pixels of a fixed size.
const MAX_PIXELS: i64 = 1 << 28;

/// A graph traced at the sizes that conclusions need.
pub(super) struct Seen {
    pub(super) layout: Layout,
    pub(super) channels: i64,
    /// Rows and columns.
    pub(super) fixed: Option<(i64, i64)>,
    pub(super) batch: i64,
    pub(super) fixed_batch: Option<i64>,
    pub(super) batch_reason: &'static str,
    pub(super) sizes: Vec<(i64, i64)>,
    pub(super) runs: Vec<Traced>,
    pub(super) usual: (i64, i64),
    pub(super) cost: Traced,
    pub(super) multiple_of: i64,
}

impl Seen {
    pub(super) fn new(
        model: &Model,
        input: &PortFacts,
        dims: &[Dim],
        layout: Layout,
        channels: i64,
    ) -> std::result::Result<Seen, String> {
        let declared = |axis: usize| if let Dim::Fixed(size) = dims[axis] { Some(size) } else { None };
        let (rows, columns) = (declared(row_axis(layout)), declared(row_axis(layout) + 1));
        let fixed = rows.or(columns).map(|side| (rows.unwrap_or(side), columns.unwrap_or(side)));
        if let Some((rows, columns)) = fixed
            && rows.checked_mul(columns).is_none_or(|pixels| pixels > MAX_PIXELS)
        {
            return Err(format!("input {input} is too large, at most {MAX_PIXELS} pixels are allowed"));
        }
        let batch = declared(0).unwrap_or(1);
        if batch > 256 {
            return Err(format!("input {input} takes {batch} pictures at once, at most 256 are allowed"));
        }
        let at = |batch: i64, (rows, columns): (i64, i64)| {
            let assumption = Assumption { batch, channels, rows, columns, layout, free: fixed.is_none() };
            trace(model, &input.name, input.element, assumption)
        };
        let sizes = match fixed {
            Some(size) => vec![size],
            None => vec![(LARGE, 3 * LARGE), (2 * LARGE, LARGE)],
        };
        let runs = sizes.iter().map(|&size| at(batch, size)).collect::<std::result::Result<Vec<_>, _>>()?;
        let multiple_of = runs.iter().try_fold(1, |all, run| lcm(all, run.multiple_of)).unwrap_or(1);
        let (fixed_batch, batch_reason) = match declared(0) {
            Some(batch) => (Some(batch), "declared"),
            None if at(3, sizes[0]).is_ok_and(|three| alike(&runs[0], &three)) => (None, ""),
            None => (Some(1), "free as declared, but the graph does not treat three pictures like one"),
        };
        let side = (USUAL + multiple_of - 1) / multiple_of * multiple_of;
        let usual = fixed.unwrap_or((side, side));
        let cost = at(batch, usual)?;
        Ok(Seen { layout, channels, fixed, batch, fixed_batch, batch_reason, sizes, runs, usual, cost, multiple_of })
    }
}

/// Whether a trace with several pictures treats each as the trace with one does.
fn alike(one: &Traced, three: &Traced) -> bool {
    one.outputs.iter().zip(&three.outputs).all(|(one, three)| {
        let (Some(left), Some(right)) = (&one.axes, &three.axes) else { return false };
        let batch = |axis: &Axis| axis.factors().len() == 1 && axis.factors()[0].place == Place::Batch;
        one.whole == three.whole
            && left.len() == right.len()
            && right.first().is_some_and(batch)
            && left.iter().zip(right).skip(1).all(|(left, right)| left == right)
    })
}

/// Where the channels of a layout are.
pub(super) fn channel_axis(layout: Layout) -> usize {
    if layout == Layout::Nchw { 1 } else { 3 }
}

/// Where the rows of a layout are; the columns follow.
pub(super) fn row_axis(layout: Layout) -> usize {
    if layout == Layout::Nchw { 2 } else { 1 }
}

/// Layouts and channel counts that the declared dimensions allow, the likeliest first.
pub(super) fn candidates(dims: &[Dim]) -> Vec<(Layout, i64)> {
    let size = |layout: Layout| if let Dim::Fixed(size) = dims[channel_axis(layout)] { Some(size) } else { None };
    let picture = |size: Option<i64>| size.filter(|size| matches!(size, 1 | 3));
    match (size(Layout::Nchw), size(Layout::Nhwc)) {
        (first, _) if picture(first).is_some() => vec![(Layout::Nchw, first.unwrap_or(3))],
        (None, None) => {
            [Layout::Nchw, Layout::Nhwc].into_iter().flat_map(|layout| [(layout, 3), (layout, 1)]).collect()
        }
        (None, last) if picture(last).is_none() => vec![(Layout::Nchw, 3), (Layout::Nchw, 1)],
        (_, last) if picture(last).is_some() => vec![(Layout::Nhwc, last.unwrap_or(3))],
        (Some(first), Some(last)) if last < first => vec![(Layout::Nhwc, last)],
        (Some(first), _) => vec![(Layout::Nchw, first)],
        (None, _) => Vec::new(),
    }
}

/// An output that was found to be a picture.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Picture {
    pub(super) layout: Layout,
    pub(super) channels: i64,
    pub(super) scale: i64,
    pub(super) radius: std::result::Result<usize, String>,
}

impl Seen {
    /// The output of one of the traces, of these axes, as a picture of the input's proportions, or why it is none.
    pub(super) fn picture(&self, run: usize, axes: &[Axis], shown: &str) -> std::result::Result<Picture, String> {
        let (value, size, likely) = (&self.runs[run].outputs[0], self.sizes[run], self.layout);
        let other = if likely == Layout::Nchw { Layout::Nhwc } else { Layout::Nchw };
        let not = || format!("output {shown} is not a picture, vproc runs picture-to-picture networks");
        if axes.len() != 4 {
            return Err(not());
        }
        let along = |axis: &Axis, wanted: fn(&Place) -> bool| match axis.as_spatial() {
            Some(factor) => wanted(&factor.place),
            None => value.whole.is_some() && axis.is_plain(),
        };
        let fits = |layout: &Layout| {
            let at = row_axis(*layout);
            along(&axes[at], |place| matches!(place, Place::Rows(_)))
                && along(&axes[at + 1], |place| matches!(place, Place::Columns(_)))
                && axes[channel_axis(*layout)].is_plain()
        };
        let layout = [likely, other].into_iter().find(fits).ok_or_else(not)?;
        let at = row_axis(layout);
        let (rows, columns) = (axes[at].size(), axes[at + 1].size());
        let scale = rows / size.0;
        if scale < 1 || rows != scale * size.0 || columns != scale * size.1 {
            let (missing, parts) = (size.0 - rows, size.0 as f64 / rows.max(1) as f64);
            let how = match (missing, self.stays(at), self.stays(at + 1)) {
                // The size that was traced at is nobody's.
                (_, true, true) => format!("is {columns}x{rows} whatever the input's size, not a picture"),
                (_, true, false) => format!("has a height of {rows} whatever the input's size, not a picture"),
                (_, false, true) => format!("has a width of {columns} whatever the input's size, not a picture"),
                (1..=4096, ..) => format!("loses {missing} rows; pad inside the network"),
                _ if rows < size.0 => format!("is {parts:.3} times smaller than the input"),
                _ => format!(
                    "is {:.3} times as high and {:.3} times as wide as the input",
                    1.0 / parts,
                    columns as f64 / size.1 as f64
                ),
            };
            return Err(format!(
                "output {shown} {how}, vproc runs networks that keep the size or multiply it by a whole number"
            ));
        }
        let reach = |axis: &Axis| axis.as_spatial().and_then(|factor| factor.map()?.radius(scale));
        let radius = match (&value.whole, reach(&axes[at]), reach(&axes[at + 1])) {
            (None, Some(down), Some(across)) => Ok(down.max(across)),
            (Some(whole), ..) => Err(whole.to_string()),
            _ => Err("output pixels do not keep step with the input's".to_owned()),
        };
        Ok(Picture { layout, channels: axes[channel_axis(layout)].size(), scale, radius })
    }

    /// Whether an axis of the output is as long for all the sizes that were traced, which differ both ways.
    fn stays(&self, axis: usize) -> bool {
        let length = |run: &Traced| run.outputs[0].axes.as_ref()?.get(axis).map(Axis::size);
        let mut lengths = self.runs.iter().map(length);
        let first = lengths.next().flatten();
        self.runs.len() > 1 && first.is_some() && lengths.all(|length| length == first)
    }
}
