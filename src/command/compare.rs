//! How two videos differ.

use std::ffi::OsStr;

use crate::av::{Input, InputOptions};
use crate::config::{Deinterlace, RunConfig};
use crate::error::{Context, Result};
use crate::frame::{ColorTags, Frame, Picture, PixelFormat, Pool};
use crate::head::yuv::{self, ToYuv};
use crate::measure::{self, Opened};
use crate::pipeline::stage::{self, Hands, Order, Watch, Width};
use crate::pipeline::track::Track;
use crate::quality;
use crate::report::compare::{Comparison, Pair, Side};
use crate::report::media::Media;
use crate::sink::planar::to_planar;
use crate::source::SourceFacts;

/// The two are different.
const STATUS_DIFFERENT: u8 = 1;

/// Compares two videos, as JSON or for people; the exit status: 1 when they do not show the same, or when any plane of
/// any frame is below `min_psnr` dB.
pub fn compare(a: &OsStr, b: &OsStr, min_psnr: Option<f64>, json: bool) -> Result<u8> {
    let cores = measure::hardware().cores;
    let (mut side_a, mut opened_a) = open(a, cores)?;
    let (mut side_b, mut opened_b) = open(b, cores)?;
    let likened = [liken(&mut side_a, &side_b.facts), liken(&mut side_b, &side_a.facts)];
    let is_comparable = {
        let (a, b) = (&side_a.facts, &side_b.facts);
        (a.width, a.height) == (b.width, b.height) && a.format.is_rgb() == b.format.is_rgb()
    };
    let mut comparison = Comparison::new(side_a, side_b, min_psnr, json);
    let take = |_: &mut Track| {
        let a = opened_a.source.next_frame().context(|| a.to_string_lossy())?;
        let b = opened_b.source.next_frame().context(|| b.to_string_lossy())?;
        Ok((a.is_some() || b.is_some()).then(|| Order { item: (), jobs: vec![(a, b)] }))
    };
    let compare = |ways: &mut [Way; 2], (a, b): (Option<Frame>, Option<Frame>)| {
        let planes = match (&a, &b) {
            (Some(a), Some(b)) if is_comparable => {
                let [way_a, way_b] = ways;
                quality::compare(&way_a.planes(&a.picture)?, &way_b.planes(&b.picture)?)
            }
            _ => Vec::new(),
        };
        Ok(Pair { pts: (a.map(|frame| frame.pts), b.map(|frame| frame.pts)), planes })
    };
    // More than workers, as some are taken and put away meanwhile.
    let width = Width { workers: cores, window: cores + 4 };
    let hands = Hands {
        take,
        joins: |_: &[&_], _: &_| false,
        start: || Ok(likened.map(Way::new)),
        work: |ways: &mut [Way; 2], _: &mut Track, pairs: Vec<_>| {
            pairs.into_iter().map(|pair| compare(ways, pair)).collect()
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

/// How R'G'B' becomes what it is compared with.
#[derive(Clone, Copy)]
struct Likened {
    format: PixelFormat,
    color: ColorTags,
    height: usize,
}

/// Compares a side of R'G'B' as what the other is, if that is Y'CbCr.
fn liken(side: &mut Side, other: &SourceFacts) -> Option<Likened> {
    let facts = &mut side.facts;
    let format = facts.format;
    if !format.is_rgb() || other.format.subsampling().is_none() {
        return None;
    }
    facts.format = yuv::format(format);
    facts.converted_from = Some(facts.converted_from.take().unwrap_or(format.to_string()));
    facts.color = ColorTags { matrix: other.color.matrix, range: other.color.range, ..facts.color };
    Some(Likened { format, color: other.color, height: other.height })
}

/// From a side's pictures to planes to compare.
struct Way {
    pool: Pool,
    to_yuv: Option<ToYuv>,
}

impl Way {
    fn new(likened: Option<Likened>) -> Way {
        let to_yuv = likened.map(|likened| ToYuv::new(likened.format, likened.color, likened.height));
        Way { pool: Pool::new(), to_yuv }
    }

    fn planes(&mut self, picture: &Picture) -> Result<Picture> {
        match &mut self.to_yuv {
            Some(to_yuv) => to_yuv.picture(picture),
            None => to_planar(picture, &self.pool),
        }
    }
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
