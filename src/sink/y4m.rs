//! The y4m sink: raw frames into a file, a pipe or standard output, with the header FFmpeg writes.
//!
//! The format holds planar 8-bit pictures, and by FFmpeg's extension gray and up to 16 bits. It has no time stamps and
//! no colour tags but range and siting; what is lost by that is said once, at the end. Frames are not converted, only
//! interleaved chroma is taken apart, and R'G'B' becomes Y'CbCr.

use std::io::{BufWriter, Write};
use std::path::Path;

use super::part::Output;
use super::planar::to_planar;
use super::{Finished, Sink, VideoFacts};
use crate::error::{Error, Kind, Result};
use crate::frame::{ChromaLocation, ColorRange, ColorTags, FieldOrder, Frame, PixelFormat, Pool, Subsampling};
use crate::head::yuv::{self, ToYuv};
use crate::time::Ratio;

/// Writes frames as y4m.
pub struct Y4mSink {
    out: BufWriter<Output>,
    facts: VideoFacts,
    pool: Pool,
    /// For frames of R'G'B'.
    to_yuv: Option<ToYuv>,
    /// What the frames' times are held against.
    frame_rate: Ratio,
    n_frames: u64,
    first_pts: i64,
    last_pts: i64,
    n_irregular: u64,
    warnings: Vec<String>,
}

impl Y4mSink {
    /// Writes to the file at `path` (as [`Output::create`] has it), or to standard output for `-`.
    pub fn create(path: &Path, facts: &VideoFacts) -> Result<Self> {
        let space = color_space(written(facts.format), facts.color.chroma_location)?;
        Y4mSink::begin(Output::create(path)?, facts, &space)
    }

    /// Writes to `out`.
    pub fn new(out: Output, facts: &VideoFacts) -> Result<Self> {
        let space = color_space(written(facts.format), facts.color.chroma_location)?;
        Y4mSink::begin(out, facts, &space)
    }

    fn begin(out: Output, facts: &VideoFacts, space: &str) -> Result<Self> {
        let mut warnings = Vec::new();
        let frame_rate = if facts.frame_rate.is_known() {
            facts.frame_rate
        } else {
            warnings.push("the frame rate is not known, the y4m header says 25/1".to_owned());
            Ratio::new(25, 1)
        };
        if facts.format.is_rgb() {
            let yuv = yuv::format(facts.format);
            warnings.push(format!("y4m holds no R'G'B': {} becomes {yuv}, rounded once", facts.format));
        }
        if facts.format.alpha && !written(facts.format).alpha {
            warnings.push(format!("y4m has opacity in 8-bit 4:4:4 alone: that of {} is dropped", facts.format));
        }
        warnings.extend(lost_color(facts));
        let field_order = match facts.field_order {
            FieldOrder::Progressive => 'p',
            FieldOrder::TopFirst => 't',
            FieldOrder::BottomFirst => 'b',
        };
        let sar = facts.sample_aspect_ratio;
        let (num, den) = if sar.is_known() { (sar.num, sar.den) } else { (0, 0) };
        let range = match facts.color.range {
            Some(ColorRange::Full) => " XCOLORRANGE=FULL",
            Some(ColorRange::Limited) => " XCOLORRANGE=LIMITED",
            None => "",
        };
        let header = format!(
            "YUV4MPEG2 W{} H{} F{}:{} I{field_order} A{num}:{den} {space}{range}\n",
            facts.width, facts.height, frame_rate.num, frame_rate.den
        );
        let mut out = BufWriter::with_capacity(1 << 20, out);
        out.write_all(header.as_bytes()).map_err(fail)?;
        Ok(Y4mSink {
            out,
            facts: facts.clone(),
            pool: Pool::new(),
            to_yuv: facts.format.is_rgb().then(|| ToYuv::new(facts.format, facts.color, facts.height)),
            frame_rate,
            n_frames: 0,
            first_pts: 0,
            last_pts: 0,
            n_irregular: 0,
            warnings,
        })
    }

    /// Whether `ticks` are `n` frame periods, give or take half a period.
    fn is_regular(&self, ticks: i64, n: u64) -> bool {
        let unit = i128::from(self.facts.time_base.den()) * i128::from(self.frame_rate.den);
        let span = i128::from(ticks) * i128::from(self.facts.time_base.num()) * i128::from(self.frame_rate.num);
        2 * (span - i128::from(n) * unit).abs() <= unit
    }
}

impl Sink for Y4mSink {
    fn write(&mut self, frame: &Frame) -> Result<()> {
        self.facts.check(&frame.picture)?;
        if self.n_frames == 0 {
            self.first_pts = frame.pts;
        } else if !self.is_regular(frame.pts.saturating_sub(self.last_pts), 1) {
            self.n_irregular += 1;
        }
        self.last_pts = frame.pts;
        self.n_frames += 1;
        let picture = match &mut self.to_yuv {
            Some(to_yuv) => to_yuv.picture(&frame.picture)?,
            None => to_planar(&frame.picture, &self.pool)?,
        };
        self.out.write_all(b"FRAME\n").map_err(fail)?;
        // Opacity comes last.
        for index in 0..written(self.facts.format).n_planes() {
            let plane = picture.plane(index);
            (0..plane.height()).try_for_each(|y| self.out.write_all(plane.row_bytes(y))).map_err(fail)?;
        }
        // Whoever reads the other end gets frames whole, not the end of each with the next.
        self.out.flush().map_err(fail)
    }

    fn finish(mut self: Box<Self>) -> Result<Finished> {
        let span = self.last_pts.saturating_sub(self.first_pts);
        if self.n_irregular > 0 {
            let n = self.n_irregular;
            self.warnings.push(format!("y4m has no time stamps: {n} frames are not one period after the last"));
        } else if !self.is_regular(span, self.n_frames.saturating_sub(1)) {
            let rate = self.frame_rate;
            self.warnings.push(format!("y4m has no time stamps: the frames drift from the {rate} it is written with"));
        }
        let out = self.out.into_inner().map_err(|error| fail(error.into_error()))?;
        out.finish()?;
        Ok(Finished { n_frames: self.n_frames, warnings: self.warnings, ..Finished::default() })
    }

    fn stop(mut self: Box<Self>) -> Result<()> {
        self.out.flush().map_err(fail)
    }
}

fn fail(error: std::io::Error) -> Error {
    Error::io("write y4m", error)
}

/// What is written for frames of `format`.
fn written(format: PixelFormat) -> PixelFormat {
    let format = yuv::format(format.planar());
    let has_place = format.bit_depth == 8 && format.subsampling() == Some(Subsampling { x: 0, y: 0 });
    PixelFormat { alpha: format.alpha && has_place, ..format }
}

/// The tags of a planar format, as FFmpeg writes them (`libavformat/yuv4mpegenc.c`).
fn color_space(format: PixelFormat, location: Option<ChromaLocation>) -> Result<String> {
    let refuse = || {
        let message =
            format!("y4m cannot hold {format}, only gray, 4:2:0, 4:2:2, 4:4:4 and 8-bit 4:1:1; write to a container");
        Error::new(Kind::Usage, message)
    };
    let Some(subsampling) = format.subsampling() else {
        let depth = if format.bit_depth == 8 { String::new() } else { format.bit_depth.to_string() };
        return Ok(format!("Cmono{depth}"));
    };
    let chroma = match (subsampling.x, subsampling.y) {
        (1, 1) => "420",
        (1, 0) => "422",
        (0, 0) => "444",
        (2, 0) if format.bit_depth == 8 => "411",
        _ => return Err(refuse()),
    };
    if format.alpha {
        return Ok("C444alpha XYSCSS=444".to_owned());
    }
    if format.bit_depth > 8 {
        return Ok(format!("C{chroma}p{0} XYSCSS={chroma}P{0}", format.bit_depth));
    }
    Ok(match (chroma, location) {
        ("420", Some(ChromaLocation::TopLeft)) => "C420paldv XYSCSS=420PALDV".to_owned(),
        ("420", Some(ChromaLocation::Left)) => "C420mpeg2 XYSCSS=420MPEG2".to_owned(),
        ("420", _) => "C420jpeg XYSCSS=420JPEG".to_owned(),
        _ => format!("C{chroma} XYSCSS={chroma}"),
    })
}

/// The colour that a reader of the file would get wrong by the usual assumptions, as y4m has no place for it.
fn lost_color(facts: &VideoFacts) -> Option<String> {
    const PQ: u8 = 16;
    const HLG: u8 = 18;
    let ColorTags { matrix, primaries, transfer, .. } = facts.color;
    let assumed = ColorTags::NONE.matrix_for(facts.height);
    let has_matrix = !facts.format.is_gray();
    let differs = has_matrix && facts.color.matrix_for(facts.height) != assumed || matches!(transfer, PQ | HLG);
    differs.then(|| {
        format!(
            "y4m has no colour tags: matrix {matrix}, primaries {primaries} and transfer {transfer} (H.273) are lost"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_y4m_cannot_hold_is_refused_by_name() {
        for name in ["yuv440p", "yuv410p", "yuv411p10le"] {
            let error = color_space(PixelFormat::from_name(name).unwrap(), None).unwrap_err();
            assert!(error.to_string().contains(name), "{error}");
        }
    }

    #[test]
    fn opacity_goes_where_there_is_a_place_for_it() {
        for (from, to) in [
            ("yuva444p", "yuva444p"),
            ("gbrap", "yuva444p"),
            ("yuva420p", "yuv420p"),
            ("gbrap10le", "yuv444p10le"),
            ("nv12", "yuv420p"),
        ] {
            assert_eq!(written(PixelFormat::from_name(from).unwrap()).to_string(), to);
        }
    }
}
