//! The proof that windows may be used at all, and what they cost, found on noise before any is chosen.
//!
//! Each of the plan's shapes is run around the same place; where its core overlaps that of a whole frame's window,
//! every bit must be the same, or frames are only ever run as a whole. So they are, without a trial, where the network
//! is known to give other bits in windows: these may be too few to show in codes. It takes about as long as a frame and
//! a half. vproc's own engine computes a sample alike wherever its window lies, which its tests hold it to: its shapes
//! are compared with each other alone, which takes half a frame and may wait until windows are wanted.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use super::survey::Priced;
use super::track::Track;
use super::worker::Worker;
use super::workshop::Workshop;
use crate::error::Result;
use crate::frame::canvas::Patch;
use crate::frame::{Packing, Picture, Pool};
use crate::head::image::PictureFacts;
use crate::infer::EngineChoice;
use crate::meter;
use crate::plan::cost::CostModel;
use crate::plan::windows::Windows;
use crate::plan::{Plan, Skip};
use crate::tile::Rect;
use crate::tile::grid::Tile;

/// Time after which a shape is not run again.
const ENOUGH: Duration = Duration::from_millis(5);

/// Runs of a shape that are timed at most.
const MAX_RUNS: usize = 5;

/// The rehearsal of a run, which is held once, and the windows to choose from before and after.
pub struct Trial {
    windows: Windows,
    skip: Skip,
    /// What runs the network, for people.
    engine: String,
    held: OnceLock<Held>,
}

/// What a trial has brought.
struct Held {
    priced: Priced,
    /// How many windows of each shape go through the network at once, at most.
    limits: Vec<usize>,
    whole_seconds: Option<f64>,
    is_exact: bool,
}

impl Trial {
    /// A trial that has not been held.
    pub fn new(plan: &Plan) -> Trial {
        let (windows, engine) = (plan.windows.clone(), plan.engine.clone());
        Trial { windows, skip: plan.skip, engine, held: OnceLock::new() }
    }

    /// Rehearses; after the first time nothing.
    pub fn hold(&self, shop: &Workshop) -> Result<()> {
        if self.held.get().is_some() {
            return Ok(());
        }
        let Rehearsal { cost, is_exact } = rehearse(shop, &self.windows)?;
        let limit = |size| self.windows.batch.unwrap_or_else(|| cost.joined(size));
        let windows = if is_exact { self.windows.clone() } else { self.windows.without_shapes() };
        // Near results depend on which windows are chosen; they are to be the same in every run, so no clock decides it.
        let choosing = if let Skip::Near(_) = self.skip { CostModel::UNMEASURED } else { cost };
        let cover = windows.cover(choosing);
        // It was empty, and nobody else holds it.
        let _ = self.held.set(Held {
            limits: cover.shapes().iter().map(|shape| limit(shape.size)).collect(),
            priced: Priced { cover, is_trivial: choosing.is_trivial() },
            whole_seconds: (!windows.shapes.is_empty()).then(|| windows.cover(cost).whole_cost()),
            is_exact,
        });
        self.warning().iter().for_each(|warning| tracing::warn!("{warning}"));
        Ok(())
    }

    /// The windows to choose from. Before the rehearsal they are those of the plan, and their cost is assumed.
    pub fn priced(&self) -> Priced {
        let assumed = || Priced { cover: self.windows.cover(CostModel::UNMEASURED), is_trivial: false };
        self.held.get().map_or_else(assumed, |held| held.priced.clone())
    }

    /// How many windows of each shape go through the network at once, at most; before the rehearsal none do.
    pub fn limits(&self) -> &[usize] {
        self.held.get().map_or(&[], |held| &held.limits)
    }

    /// CPU seconds that a frame takes which is run as a whole, where that was measured.
    pub fn whole_seconds(&self) -> Option<f64> {
        self.held.get()?.whole_seconds
    }

    /// What a person should hear if windows of some shapes gave other bits than others.
    pub fn warning(&self) -> Option<String> {
        let is_exact = self.held.get().is_none_or(|held| held.is_exact);
        let engine = &self.engine;
        (!is_exact).then(|| format!("{engine} gives other results in windows than in whole frames, so none are used"))
    }
}

/// What a rehearsal showed.
struct Rehearsal {
    /// What windows cost.
    cost: CostModel,
    /// Windows of all shapes give the same bits.
    is_exact: bool,
}

/// Whether all that an engine does is done by the thread that calls it.
pub fn is_by_caller(shop: &Workshop) -> bool {
    shop.engine.choice == EngineChoice::Native
}

/// Runs the shapes of `windows`; without any, nothing.
fn rehearse(shop: &Workshop, windows: &Windows) -> Result<Rehearsal> {
    if windows.shapes.is_empty() {
        return Ok(Rehearsal { cost: CostModel::UNMEASURED, is_exact: true });
    }
    let whole = windows.whole_sample().filter(|_| !is_by_caller(shop));
    if let Some(resize) = whole.and_then(|tile| shop.network.drifting((tile.window.width, tile.window.height))) {
        tracing::debug!("rehearsal: {resize} makes windows inexact");
        return Ok(Rehearsal { cost: CostModel::UNMEASURED, is_exact: false });
    }
    let mut worker = Worker::make(shop)?;
    // Not the time that passes: others may use the processors. Engines may have threads of their own.
    let clock = if is_by_caller(shop) { meter::thread_cpu } else { meter::process_cpu };
    let mut track = Track::begin("rehearsal".to_owned(), Instant::now(), false);
    let picture = noise(shop.head.picture())?;
    let (mut measured, mut parts) = (Vec::new(), Vec::new());
    for &size in &windows.shapes {
        let tile = windows.sample(size);
        let mut run = || {
            let before = clock();
            let part = worker.windows(shop, &mut track, &[(picture.clone(), tile)], 0)?.remove(0);
            Ok((part, clock().saturating_sub(before)))
        };
        // The first run of a shape makes its memory.
        let (part, _) = run()?;
        let (mut shortest, begun) = (Duration::MAX, Instant::now());
        for _ in 0..MAX_RUNS {
            shortest = shortest.min(run()?.1);
            if begun.elapsed() > ENOUGH {
                break;
            }
        }
        tracing::debug!("rehearsal: a window of {}x{} takes {shortest:?}", size.0, size.1);
        measured.push((size.0 * size.1, shortest.as_secs_f64().max(1e-9)));
        parts.push((tile, part));
    }
    if let Some(tile) = whole {
        parts.push((tile, worker.windows(shop, &mut track, &[(picture, tile)], 0)?.remove(0)));
    }
    Ok(Rehearsal { cost: CostModel::fit(&measured), is_exact: agree(&parts, shop.head.scale()) })
}

/// Whether all parts agree with the last, which is the largest.
fn agree(parts: &[(Tile, Patch)], scale: usize) -> bool {
    let Some(((tile, last), others)) = parts.split_last() else { return true };
    others.iter().all(|(other, part)| {
        let shared = other.core.intersect(tile.core);
        shared.n_pixels() == 0 || same(part, last, shared.scaled(scale))
    })
}

/// Whether two parts agree in an area of the whole.
fn same(a: &Patch, b: &Patch, area: Rect) -> bool {
    let format = a.picture.format();
    (0..format.n_planes()).filter(|plane| a.planes & b.planes >> plane & 1 == 1).all(|plane| {
        let s = format.subsampling().filter(|_| format.is_chroma(plane)).map_or((0, 0), |s| (s.x, s.y));
        let size = format.bytes_per_sample();
        // Samples that lie whole in the area.
        let columns = area.x.div_ceil(1 << s.0)..area.right() >> s.0;
        let row = |part: &Patch, y: usize| {
            let left = part.place.0 >> s.0;
            let row = part.picture.plane(plane).row_bytes(y - (part.place.1 >> s.1));
            row[(columns.start - left) * size..(columns.end - left) * size].to_vec()
        };
        (area.y.div_ceil(1 << s.1)..area.bottom() >> s.1).all(|y| row(a, y) == row(b, y))
    })
}

/// A picture of noise over all codes.
fn noise(facts: PictureFacts) -> Result<Picture> {
    let format = facts.format;
    let mut picture = Pool::new().picture(format, facts.width, facts.height)?;
    let shift = if format.packing == Packing::SemiPlanarHigh { 16 - format.bit_depth } else { 0 };
    // Marsaglia's xorshift64.
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for plane in 0..format.n_planes() {
        let mut to = picture.plane_mut(plane);
        for y in 0..to.height() {
            match format.bytes_per_sample() {
                1 => to.row_bytes(y).chunks_mut(8).for_each(|bytes| {
                    let noise = next().to_ne_bytes();
                    bytes.copy_from_slice(&noise[..bytes.len()]);
                }),
                _ => to.row_u16(y).iter_mut().for_each(|code| *code = (next() as u16 & format.max_code()) << shift),
            }
        }
    }
    Ok(picture.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{ColorTags, PixelFormat};

    /// A picture of noise as a part of itself.
    fn whole(format: PixelFormat, (width, height): (usize, usize)) -> (Tile, Patch) {
        let picture = noise(PictureFacts { format, width, height, color: ColorTags::NONE }).unwrap();
        let area = Rect::new(0, 0, width, height);
        (Tile { window: area, core: area }, Patch { picture, place: (0, 0), planes: 0b111 })
    }

    /// An area of such a part, with one more at a sample of a plane.
    fn cut((_, whole): &(Tile, Patch), area: Rect, odd: Option<(usize, usize, usize)>) -> (Tile, Patch) {
        let format = whole.picture.format();
        let mut picture = Pool::new().picture(format, area.width, area.height).unwrap();
        for plane in 0..format.n_planes() {
            let shift = if format.is_chroma(plane) { 1 } else { 0 };
            let mut to = picture.plane_mut(plane);
            for y in 0..to.height() {
                let from = whole.picture.plane(plane).row_bytes(y + (area.y >> shift));
                let row = to.row_bytes(y);
                let length = row.len();
                row.copy_from_slice(&from[area.x >> shift..][..length]);
                if let Some((_, x, _)) = odd.filter(|odd| (odd.0, odd.2) == (plane, y)) {
                    row[x] = row[x].wrapping_add(1);
                }
            }
        }
        (Tile { window: area, core: area }, Patch { picture: picture.freeze(), place: (area.x, area.y), planes: 0b111 })
    }

    #[test]
    fn one_code_beside_the_whole_frame_is_noticed() {
        let whole = whole(PixelFormat::from_name("yuv420p").unwrap(), (64, 48));
        let (small, large) = (Rect::new(24, 12, 16, 8), Rect::new(16, 8, 40, 24));
        let agrees = |odd| agree(&[cut(&whole, small, odd), cut(&whole, large, None), whole.clone()], 1);
        assert!(agrees(None));
        for odd in [(0, 0, 0), (0, 15, 7), (1, 7, 3), (2, 0, 2)] {
            assert!(!agrees(Some(odd)), "{odd:?}");
        }
        // A shape alone has the frame to be compared with.
        assert!(!agree(&[cut(&whole, small, Some((0, 3, 3))), whole.clone()], 1));
        assert!(agree(&[cut(&whole, small, Some((0, 3, 3)))], 1));
    }
}
