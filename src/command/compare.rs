//! How two videos differ.

use std::ffi::OsStr;

use crate::av::{Input, InputOptions};
use crate::config::{Deinterlace, RunConfig};
use crate::error::{Context, Result};
use crate::frame::{Frame, Picture, Pool};
use crate::measure::{self, Opened};
use crate::pipeline::stage::{self, Hands, Order, Watch, Width};
use crate::pipeline::track::Track;
use crate::quality;
use crate::report::compare::{Comparison, Pair, Side};
use crate::report::media::Media;
use crate::sink::planar::to_planar;

/// The two are different.
const STATUS_DIFFERENT: u8 = 1;

/// Compares two videos, as JSON or for people; the exit status: 1 when they do not show the same, or when any plane of
/// any frame is below `min_psnr` dB.
pub fn compare(a: &OsStr, b: &OsStr, min_psnr: Option<f64>, json: bool) -> Result<u8> {
    let cores = measure::hardware().cores;
    let (side_a, mut opened_a) = open(a, cores)?;
    let (side_b, mut opened_b) = open(b, cores)?;
    let is_same_size = {
        let (a, b) = (&side_a.facts, &side_b.facts);
        (a.width, a.height) == (b.width, b.height)
    };
    let mut comparison = Comparison::new(side_a, side_b, min_psnr, json);
    let take = |_: &mut Track| {
        let a = opened_a.source.next_frame().context(|| a.to_string_lossy())?;
        let b = opened_b.source.next_frame().context(|| b.to_string_lossy())?;
        Ok((a.is_some() || b.is_some()).then(|| Order { item: (), jobs: vec![(a, b)] }))
    };
    let compare = |pool: &Pool, (a, b): (Option<Frame>, Option<Frame>)| {
        let planes = match (&a, &b) {
            (Some(a), Some(b)) if is_same_size => compare_pictures(&a.picture, &b.picture, pool)?,
            _ => Vec::new(),
        };
        Ok(Pair { pts: (a.map(|frame| frame.pts), b.map(|frame| frame.pts)), planes })
    };
    // More than workers, as some are taken and put away meanwhile.
    let width = Width { workers: cores, window: cores + 4 };
    let hands = Hands {
        take,
        joins: |_: &[&_], _: &_| false,
        start: || Ok(Pool::new()),
        work: |pool: &mut Pool, _: &mut Track, pairs: Vec<_>| {
            pairs.into_iter().map(|pair| compare(pool, pair)).collect()
        },
        put: |_: &mut Track, (), pairs: Vec<Pair>| {
            pairs.iter().for_each(|pair| comparison.add(pair));
            Ok(())
        },
    };
    let (result, _) = stage::ordered(width, Watch::none(), hands);
    result?;
    comparison.end((opened_a.source.damage().lines, opened_b.source.damage().lines));
    let is_different = !comparison.differences().is_empty();
    if json {
        super::print_json(&comparison.json())?
    } else {
        super::print(comparison.text().as_bytes())?
    }
    Ok(if is_different { STATUS_DIFFERENT } else { 0 })
}

fn compare_pictures(a: &Picture, b: &Picture, pool: &Pool) -> Result<Vec<Option<quality::Likeness>>> {
    Ok(quality::compare(&to_planar(a, pool)?, &to_planar(b, pool)?))
}

/// A video as it is stored: interlaced frames stay woven.
fn open(input: &OsStr, threads: usize) -> Result<(Side, Opened)> {
    let config = RunConfig { input: input.to_owned(), deinterlace: Deinterlace::Off, ..RunConfig::default() };
    let opened = measure::open_source(&config, threads)?;
    let name = input.to_string_lossy().into_owned();
    let media = match &opened.container {
        Some(path) => {
            let input = Input::open(path, &InputOptions::default()).context(|| name.clone())?;
            Some((Media::of(&input), opened.video))
        }
        None => None,
    };
    let side = Side { name, facts: opened.source.facts().clone(), media, n_frames: 0, damage: Vec::new() };
    Ok((side, opened))
}
