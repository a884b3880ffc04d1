//! The proof that windows may be used at all, and what they cost, found on noise before a run begins.
//!
//! Each of the plan's shapes is run around the same place; where their cores overlap, every bit must be the same, or
//! frames are only ever run as a whole. It takes about as long as half a frame.

use std::time::{Duration, Instant};

use super::track::Track;
use super::worker::{Worker, Workshop};
use crate::error::Result;
use crate::frame::canvas::Patch;
use crate::frame::{Packing, Picture, Pool};
use crate::head::image::PictureFacts;
use crate::meter;
use crate::plan::cost::CostModel;
use crate::plan::windows::Windows;
use crate::tile::Rect;

/// Time after which a shape is not run again.
const ENOUGH: Duration = Duration::from_millis(5);

/// Runs of a shape that are timed at most.
const MAX_RUNS: usize = 5;

/// What a rehearsal showed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rehearsal {
    /// What windows cost.
    pub cost: CostModel,
    /// Windows of all shapes gave the same bits.
    pub is_exact: bool,
}

/// Runs the shapes of `windows`; without any, nothing.
pub fn rehearse(shop: &Workshop, windows: &Windows) -> Result<Rehearsal> {
    if windows.shapes.is_empty() {
        return Ok(Rehearsal { cost: CostModel::UNMEASURED, is_exact: true });
    }
    let mut worker = Worker::make(shop)?;
    let mut track = Track::begin("rehearsal".to_owned(), Instant::now(), false);
    let picture = noise(shop.head.picture())?;
    let (mut measured, mut parts) = (Vec::new(), Vec::new());
    for &size in &windows.shapes {
        let tile = windows.centred(size);
        let mut run = || {
            // The process', as engines may have threads of their own; other programs take none of it.
            let before = meter::process_cpu();
            let part = worker.windows(shop, &mut track, &[(picture.clone(), tile)], 0)?.remove(0);
            Ok((part, meter::process_cpu().saturating_sub(before)))
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
    let scale = shop.head.scale();
    let is_exact = parts.windows(2).all(|pair| {
        let [(one, a), (other, b)] = pair else { return true };
        same(a, b, one.core.intersect(other.core).scaled(scale))
    });
    Ok(Rehearsal { cost: CostModel::fit(&measured), is_exact })
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
