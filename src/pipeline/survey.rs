//! What of each frame has to be made anew: the survey compares it with the frame before, block by block.
//!
//! Called by the taking thread, once a frame, in order; it starts nothing, and runs no network but to find out what
//! windows cost when they seem worthwhile for the first time. A frame's output is then that of the frame before with
//! some windows of the network's replaced, and some areas that are only resized. Comparing contents and not time stamps
//! makes it right for frames of every kind: a cut is just "all dirty", and a frame after a damaged one is compared with
//! what was really decoded.

use super::change::Changes;
use super::near::{Kept, Near};
use super::recall::{self, Recall, Recalled};
use crate::error::Result;
use crate::frame::Picture;
use crate::head::image::{ImageHead, PictureFacts};
use crate::plan::segments::Segments;
use crate::plan::{Plan, Skip};
use crate::tile::Rect;
use crate::tile::cells::Cells;
use crate::tile::cover::{Choice, Cover};
use crate::tile::grid::Tile;
use crate::tile::roi::Roi;

/// What a survey goes by, decided by the plan.
#[derive(Clone, Debug)]
pub struct SurveyPlan {
    /// What counts as known.
    pub skip: Skip,
    /// The windows to choose from.
    pub cover: Cover,
    /// The windows of a frame that is run as a whole.
    pub whole: Vec<Tile>,
    /// The side of a dirty cell, a multiple of the head's alignment.
    pub cell: usize,
    /// How far a changed sample of the network's planes changes its output, in luma pixels; `None` for everywhere.
    pub reach: Option<usize>,
    /// How much the network is wanted where; everywhere without one.
    pub roi: Option<Roi>,
    /// The network costs no more than finding out what changed: only frames without any change are worth it.
    pub is_trivial: bool,
    /// At every frame whose index is a multiple of this nothing is known: it may be the first of a run that goes on.
    pub forgets_every: Option<u64>,
}

impl SurveyPlan {
    /// As planned, with these windows.
    pub fn new(plan: &Plan, Priced { cover, is_trivial }: Priced) -> Self {
        SurveyPlan {
            skip: plan.skip,
            cover,
            whole: plan.windows.whole.clone(),
            cell: plan.windows.cell,
            reach: plan.windows.reach,
            roi: plan.roi.clone(),
            is_trivial,
            // What is reused exactly is what would be made, so nothing has to be forgotten.
            forgets_every: match (plan.skip, &plan.segments) {
                (Skip::Near(_), Segments::Every(frames)) => Some(*frames),
                _ => None,
            },
        }
    }

    /// How far a changed sample changes the output of a part, in luma pixels, resizing outside of the region of interest
    /// included; `None` where frames are always run as a whole.
    pub fn recall_reach(&self, head: &ImageHead) -> Option<usize> {
        let plain = if self.roi.is_some() { head.plain_halo() } else { 0 };
        self.reach.filter(|_| !self.cover.shapes().is_empty()).map(|reach| reach.max(plain))
    }
}

/// What has to be made of a frame.
#[derive(Default)]
pub struct Need {
    /// By the network. As a whole, everything is made, and the rest is empty.
    pub network: Choice,
    /// Areas outside of the region of interest, resized in the planes that the network makes elsewhere.
    pub outside: Vec<Rect>,
    /// Areas resized in the planes that the network does not make.
    pub passed: Vec<Rect>,
    /// What the cache has of it, and what it is to get.
    pub recalled: Recalled,
    /// What that comes to.
    pub pixels: Pixels,
    /// What the network's part of it costs by the cover's estimate, as a share of a whole frame's cost.
    pub cost: f64,
}

/// Luma pixels of the input by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pixels {
    /// All.
    pub total: u64,
    /// In cores of windows that were run.
    pub inferred: u64,
    /// Not changed.
    pub reused: u64,
    /// Found in the cache, or under way for an earlier frame.
    pub cached: u64,
    /// Outside of the region of interest.
    pub outside: u64,
    /// In windows that were run, halos and padding included.
    pub computed: u64,
}

impl Pixels {
    /// Adds those of another frame.
    pub fn add(&mut self, other: Pixels) {
        self.total += other.total;
        self.inferred += other.inferred;
        self.reused += other.reused;
        self.cached += other.cached;
        self.outside += other.outside;
        self.computed += other.computed;
    }

    /// So many that were found in the cache had to be computed after all, in windows of so many.
    pub fn lose(&mut self, lost: u64, computed: u64) {
        let lost = lost.min(self.cached);
        self.computed += computed;
        self.cached -= lost;
        self.inferred += lost;
    }
}

/// Frames in a row that are taken for all changed because frames like them were.
const MAX_GUESSES: u32 = 7;

/// The least share of changed blocks in a sample from which a frame is taken for all changed.
const LEAST_GUESS: f64 = 0.5;

/// What samples of changed blocks have meant so far: footage where all moves goes on moving, and then the sample is
/// all that has to be read.
struct Guess {
    /// Frames with this share of changed blocks, and more, were run as a whole.
    whole_from: f64,
    /// Frames since the last that was looked at in full.
    n_guessed: u32,
}

impl Guess {
    /// Whether to take a frame for all changed.
    fn is_whole(&mut self, share: f64) -> bool {
        let is_whole = share >= self.whole_from && self.n_guessed < MAX_GUESSES;
        self.n_guessed = if is_whole { self.n_guessed + 1 } else { 0 };
        is_whole
    }

    /// A frame with this share was looked at in full.
    fn learn(&mut self, share: f64, is_whole: bool) {
        if is_whole {
            self.whole_from = self.whole_from.min(share.max(LEAST_GUESS));
        } else if share >= self.whole_from {
            self.whole_from = f64::INFINITY;
        }
    }
}

/// The windows to choose from, at what they were found to cost.
#[derive(Clone)]
pub struct Priced {
    /// The windows.
    pub cover: Cover,
    /// The network costs no more than finding out what changed.
    pub is_trivial: bool,
}

/// Looks at the frames of one stream in order.
pub struct Survey<'a> {
    plan: SurveyPlan,
    /// Finds out what windows cost, where that is only assumed.
    price: Option<Box<dyn FnOnce() -> Result<Priced> + Send + 'a>>,
    picture: PictureFacts,
    made_planes: u8,
    plain_halo: usize,
    /// The frame before.
    before: Option<Picture>,
    changes: Changes,
    /// Cells of the region of interest, and those it touches but does not fill.
    inside: Option<(Cells, Cells)>,
    dirty: Cells,
    /// Room for a second map.
    cells: Cells,
    near: Option<Near>,
    scratch: recall::Scratch,
    guess: Guess,
}

impl<'a> Survey<'a> {
    /// A survey of a stream that goes through `head`.
    pub fn new(plan: SurveyPlan, head: &ImageHead) -> Self {
        let picture = head.picture();
        let size = (picture.width, picture.height);
        let cells = Cells::new(size, (plan.cell, plan.cell));
        let near = match (plan.skip, plan.reach) {
            (Skip::Near(psnr), Some(reach)) => {
                let planes = planes(picture, head.made_planes()).collect();
                Some(Near::new(picture, planes, &cells, reach, psnr))
            }
            _ => None,
        };
        Survey {
            price: None,
            near,
            guess: Guess { whole_from: f64::INFINITY, n_guessed: 0 },
            inside: plan.roi.as_ref().map(|roi| (roi.cells(plan.cell), roi.rest(plan.cell))),
            plan,
            picture,
            made_planes: head.made_planes(),
            plain_halo: head.plain_halo(),
            before: None,
            changes: Changes::new(picture.format, size.0, size.1),
            dirty: cells.clone(),
            cells,
            scratch: recall::Scratch::default(),
        }
    }

    /// The same with costs that are only assumed until windows seem worthwhile for the first time: then `price` finds
    /// out.
    #[must_use]
    pub fn priced_by(self, price: impl FnOnce() -> Result<Priced> + Send + 'a) -> Self {
        Survey { price: Some(Box::new(price)), ..self }
    }

    /// What has to be made of the next frame, which has this index; `recall` is asked for what is known of it. Fails if
    /// finding out the costs does.
    pub fn look(&mut self, index: u64, picture: &Picture, recall: Option<&Recall>) -> Result<Need> {
        if self.plan.forgets_every.is_some_and(|frames| index.is_multiple_of(frames)) {
            self.before = None;
            self.near.iter_mut().for_each(Near::forget);
        }
        let before = self.before.replace(picture.clone()).filter(|_| self.plan.skip != Skip::Off);
        let share = before.as_ref().and_then(|before| self.sample(before, picture));
        let is_guessed = share.is_some_and(|share| self.has_all_changed(share));
        match before.filter(|_| !is_guessed) {
            Some(before) => self.changes.compare(&before, picture),
            None => self.changes.fill(),
        }
        self.find_dirty();
        if let Some(near) = &mut self.near {
            near.judge(picture, &mut self.dirty);
        }
        self.cells.clone_from(&self.dirty);
        let mut recalled = recall.map_or_else(Recalled::default, |recall| {
            recall.ask(picture, &mut self.dirty, &self.plan.cover, &mut self.scratch)
        });
        self.cells.remove(&self.dirty);
        let network = self.choose()?;
        if let Some(share) = share.filter(|_| !is_guessed) {
            self.guess.learn(share, network == Choice::Whole);
        }
        if let Some(near) = &mut self.near {
            match &network {
                Choice::Whole => near.keep(picture, &self.dirty, self.picture.area()),
                Choice::Windows(windows) => {
                    windows.iter().for_each(|(_, tile)| near.keep(picture, &self.dirty, tile.core));
                }
            }
        }
        let pixels = self.count(&network);
        let cost = self.plan.cover.cost(&network) / self.plan.cover.whole_cost();
        let is_whole = network == Choice::Whole;
        if is_whole {
            recalled.use_nothing();
        }
        recall.iter().for_each(|recall| recall.count(&recalled));
        if is_whole {
            return Ok(Need { network, recalled, pixels, cost, ..Need::default() });
        }
        let outside = self.plain_areas(self.made_planes, true);
        let passed = self.plain_areas(!self.made_planes, false);
        Ok(Need { network, outside, passed, recalled, pixels, cost })
    }

    /// How the dirty cells are run.
    fn choose(&mut self) -> Result<Choice> {
        let assumed = self.plan.cover.choose(&self.dirty);
        let is_in_windows = matches!(&assumed, Choice::Windows(windows) if !windows.is_empty());
        match self.price.take_if(|_| is_in_windows) {
            None => Ok(assumed),
            Some(price) => {
                Priced { cover: self.plan.cover, is_trivial: self.plan.is_trivial } = price()?;
                Ok(self.plan.cover.choose(&self.dirty))
            }
        }
    }

    /// How near the last frame is to what its output was made from; `None` where everything is exact.
    pub fn kept(&self) -> Option<Kept> {
        self.near.as_ref().map(|near| near.kept(&self.dirty))
    }

    /// The cells of the region of interest; `None` for all.
    pub fn inside(&self) -> Option<&Cells> {
        self.inside.as_ref().map(|(inside, _)| inside)
    }

    /// The cells that the network has to be run for, as the last look found them.
    pub fn dirty(&self) -> &Cells {
        &self.dirty
    }

    /// The share of blocks that differ by a sample, where that can tell that the frame will be run as a whole.
    fn sample(&mut self, before: &Picture, picture: &Picture) -> Option<f64> {
        let may_need_less = self.near.is_some() || self.inside.is_some();
        (!may_need_less).then(|| self.changes.sample(before, picture))
    }

    /// Whether so much has changed that the frame will be run as a whole: then nobody needs to know what.
    fn has_all_changed(&mut self, share: f64) -> bool {
        let area = (self.picture.width * self.picture.height) as f64;
        (self.plan.is_trivial && share > 0.0)
            || self.plan.cover.is_too_much(share * area, self.dirty.side())
            || self.guess.is_whole(share)
    }

    /// Cells whose output by the network may differ from that of the frame before.
    fn find_dirty(&mut self) {
        let everywhere = self.picture.width.max(self.picture.height);
        let reach = self.plan.reach.unwrap_or(everywhere);
        self.dirty.clear();
        for plane in planes(self.picture, self.made_planes) {
            self.dirty.mark_grown(self.changes.plane(plane), reach);
        }
        let Some((inside, rest)) = &self.inside else { return };
        // Where the network fades, the resized picture counts as well.
        if self.plain_halo > reach {
            self.cells.clear();
            for plane in planes(self.picture, self.made_planes) {
                self.cells.mark_grown(self.changes.plane(plane), self.plain_halo);
            }
            self.cells.keep(rest);
            self.dirty.mark_grown(&self.cells, 0);
        }
        self.dirty.keep(inside);
    }

    /// Areas of some planes that come out differently without the network; only `outside` of the region of interest,
    /// or everywhere.
    fn plain_areas(&mut self, of_planes: u8, outside: bool) -> Vec<Rect> {
        if outside && self.inside.is_none() {
            return Vec::new();
        }
        self.cells.clear();
        for plane in planes(self.picture, of_planes) {
            self.cells.mark_grown(self.changes.plane(plane), self.plain_halo);
        }
        if let Some((inside, _)) = self.inside.as_ref().filter(|_| outside) {
            self.cells.remove(inside);
        }
        self.cells.rects()
    }

    /// What a choice comes to, beside the cells of `self.cells` that need none.
    fn count(&mut self, choice: &Choice) -> Pixels {
        match choice {
            Choice::Whole => self.cells.clear(),
            Choice::Windows(windows) => windows.iter().for_each(|(_, tile)| self.cells.unmark_area(tile.core)),
        }
        let cached = self.cells.pixels() as u64;
        let area = |rect: Rect| (rect.width * rect.height) as u64;
        let total = (self.picture.width * self.picture.height) as u64;
        let asked = self.inside.as_ref().map_or(total, |(inside, _)| inside.pixels() as u64);
        let in_core = |tile: &Tile| {
            self.inside.as_ref().map_or(area(tile.core), |(inside, _)| inside.pixels_in(tile.core) as u64)
        };
        let (inferred, computed) = match choice {
            Choice::Whole => (asked, self.plan.whole.iter().map(|tile| area(tile.window)).sum()),
            Choice::Windows(windows) => (
                windows.iter().map(|(_, tile)| in_core(tile)).sum(),
                windows.iter().map(|(_, tile)| area(tile.window)).sum(),
            ),
        };
        Pixels { total, inferred, reused: asked - inferred - cached, cached, outside: total - asked, computed }
    }
}

/// The planes of a picture among those of a set of bits.
pub(super) fn planes(picture: PictureFacts, bits: u8) -> impl Iterator<Item = usize> {
    // Both chroma components lie in one plane of a semi-planar format, which has the bit of the first.
    (0..picture.format.n_planes()).filter(move |plane| bits >> plane & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guesses_follow_what_frames_turned_out_to_need() {
        let mut guess = Guess { whole_from: f64::INFINITY, n_guessed: 0 };
        assert!(!guess.is_whole(0.9));
        guess.learn(0.9, true);
        // Seven on the word of the last one, then another look.
        assert_eq!(
            [0.9; 9].map(|share| guess.is_whole(share)),
            [true, true, true, true, true, true, true, false, true]
        );
        assert!(!guess.is_whole(0.8), "less than was seen to need all");
        guess.learn(0.2, true);
        assert!(guess.is_whole(0.5) && !guess.is_whole(0.4), "small changes are looked at");
        guess.learn(0.7, false);
        assert!(!guess.is_whole(0.9), "what needed less puts an end to guessing");
    }
}
