//! What skipping would bring for a video, from its frames alone: how much of them changes, and what the network would
//! have to be run for. No network is run, so what windows cost is assumed.
//!
//! Called by whoever tells of a video before it is processed.

use super::survey::{Pixels, Survey, SurveyPlan};
use crate::error::Result;
use crate::head::image::ImageHead;
use crate::plan::Skip;
use crate::plan::cost::CostModel;
use crate::plan::windows::Windows;
use crate::source::Source;

/// What one way of skipping would bring.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Forecast {
    /// The way.
    pub skip: Skip,
    /// Frames that were looked at.
    pub n_frames: u64,
    /// Pixels of cells that have to be made anew as a share of all.
    pub dirty_share: f64,
    /// Pixels of windows, halos included, that the network would be run on as a share of all.
    pub computed_share: f64,
    /// How many times less the network costs than without skipping.
    pub gain: f64,
}

/// One survey on its way.
struct Looking {
    skip: Skip,
    survey: Survey<'static>,
    pixels: Pixels,
    dirty: u64,
    cost: f64,
}

/// Looks at the frames of a source up to the end, or so many, once for all `ways`, each with its windows.
pub fn forecast(
    source: &mut dyn Source,
    head: &ImageHead,
    ways: Vec<(Skip, Windows)>,
    most: u64,
) -> Result<Vec<Forecast>> {
    let looking = |(skip, windows): (Skip, Windows)| {
        let plan = SurveyPlan {
            skip,
            cover: windows.cover(CostModel::UNMEASURED),
            whole: windows.whole,
            cell: windows.cell,
            reach: windows.reach,
            roi: None,
            is_trivial: false,
            forgets_every: None,
        };
        Looking { skip, survey: Survey::new(plan, head), pixels: Pixels::default(), dirty: 0, cost: 0.0 }
    };
    let mut all: Vec<Looking> = ways.into_iter().map(looking).collect();
    let mut n_frames = 0;
    while n_frames < most {
        let Some(frame) = source.next_frame()? else { break };
        n_frames += 1;
        for looking in &mut all {
            let need = looking.survey.look(frame.index, &frame.picture, None)?;
            looking.pixels.add(need.pixels);
            looking.dirty += looking.survey.dirty().pixels() as u64;
            looking.cost += need.cost;
        }
    }
    let tell = |looking: Looking| {
        let share = |pixels: u64| pixels as f64 / looking.pixels.total.max(1) as f64;
        Forecast {
            skip: looking.skip,
            n_frames,
            dirty_share: share(looking.dirty),
            computed_share: share(looking.pixels.computed),
            gain: n_frames as f64 / looking.cost.max(f64::MIN_POSITIVE),
        }
    };
    Ok(all.into_iter().map(tell).collect())
}
