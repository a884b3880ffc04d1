//! Deinterlacing of formats that bwdif lacks: each of their planes is a gray picture to it.
//!
//! The filter looks at samples above and below, before and after, never at those beside, and at each plane alike
//! (`vf_bwdif.c`). So what comes out is, code for code, what it would make of the format itself.

use ffmpeg_next::ffi;

use super::Bwdif;
use crate::av::AvFrame;
use crate::error::{Kind, Result};
use crate::frame::{ColorTags, Packing, PixelFormat, PlaneMut, PlaneView, Pool};
use crate::time::TimeBase;

/// Filters for frames of one size and format, a filter a plane; they take and give together.
pub(super) struct Planes {
    format: PixelFormat,
    width: usize,
    height: usize,
    filters: Vec<Bwdif>,
    /// Of each plane, for planes have different sizes.
    pools: Vec<Pool>,
    /// Of whole frames.
    pool: Pool,
}

impl Planes {
    /// For frames like `frame`, which is of this format.
    pub fn new(frame: &AvFrame, format: PixelFormat, time_base: TimeBase, all: bool) -> Result<Planes> {
        let pools = (0..format.n_planes()).map(|_| Pool::new()).collect();
        let (width, height) = (frame.width(), frame.height());
        let mut planes = Planes { format, width, height, filters: Vec::new(), pools, pool: Pool::new() };
        for gray in planes.part(frame)? {
            planes.filters.push(Bwdif::new(&gray, time_base, all)?);
        }
        Ok(planes)
    }

    /// Gives a frame, or `None` at the end.
    pub fn send(&mut self, frame: Option<AvFrame>) -> Result<()> {
        let Some(frame) = frame else { return self.filters.iter_mut().try_for_each(|filter| filter.send(None)) };
        let grays = self.part(&frame)?;
        self.filters.iter_mut().zip(grays).try_for_each(|(filter, gray)| filter.send(Some(gray)))
    }

    /// The next frame, if one is ready.
    pub fn receive(&mut self) -> Result<Option<AvFrame>> {
        let grays = self.filters.iter_mut().map(Bwdif::receive).collect::<Result<Option<Vec<AvFrame>>>>()?;
        grays.map(|grays| self.join(&grays)).transpose()
    }

    /// How far values lie above the low bits.
    fn shift(&self) -> u8 {
        if self.format.packing == Packing::SemiPlanarHigh { 16 - self.format.bit_depth } else { 0 }
    }

    /// The planes of a frame, with values in the low bits.
    fn part(&self, frame: &AvFrame) -> Result<Vec<AvFrame>> {
        let picture = again(frame)?.into_picture()?;
        let shift = self.shift();
        let gray = |(number, pool): (usize, &Pool)| {
            let plane = picture.plane(number);
            let format = PixelFormat::gray(if plane.bytes_per_sample() == 1 { 8 } else { 16 });
            let mut gray = pool.picture(format, plane.width(), plane.height())?;
            copy(plane, &mut gray.plane_mut(0), |code| code >> shift);
            like(AvFrame::from_picture(&gray.freeze(), ColorTags::NONE)?, frame)
        };
        self.pools.iter().enumerate().map(gray).collect()
    }

    /// The frame with these planes. Where the filter would cut at the format's largest code, it knows only that of 16
    /// bits.
    fn join(&self, grays: &[AvFrame]) -> Result<AvFrame> {
        let (shift, most) = (self.shift(), self.format.max_code());
        let mut whole = self.pool.picture(self.format, self.width, self.height)?;
        for (number, gray) in grays.iter().enumerate() {
            let plane = again(gray)?.into_picture()?;
            copy(plane.plane(0), &mut whole.plane_mut(number), |code| code.min(most) << shift);
        }
        like(AvFrame::from_picture(&whole.freeze(), ColorTags::NONE)?, &grays[0])
    }
}

/// Copies rows, and changes codes of two bytes.
pub(super) fn copy(from: PlaneView, to: &mut PlaneMut, change: impl Fn(u16) -> u16) {
    for y in 0..to.height() {
        if to.bytes_per_sample() == 1 {
            to.row_bytes(y).copy_from_slice(from.row_bytes(y));
        } else {
            to.row_u16(y).iter_mut().zip(from.row_u16(y)).for_each(|(to, from)| *to = change(*from));
        }
    }
}

/// Another reference to the same picture.
fn again(frame: &AvFrame) -> Result<AvFrame> {
    let other = AvFrame::new()?;
    // SAFETY: both frames are valid, and the new one is empty.
    match unsafe { ffi::av_frame_ref(other.as_ptr(), frame.as_ptr()) } {
        0.. => Ok(other),
        code => Err(crate::av::error(Kind::Io, "refer to a frame", code)),
    }
}

/// The frame with all that rides with `model`.
fn like(frame: AvFrame, model: &AvFrame) -> Result<AvFrame> {
    // SAFETY: both frames are valid.
    match unsafe { ffi::av_frame_copy_props(frame.as_ptr(), model.as_ptr()) } {
        0.. => Ok(frame),
        code => Err(crate::av::error(Kind::Io, "copy a frame's properties", code)),
    }
}

#[cfg(test)]
mod tests {
    use xxhash_rust::xxh3::xxh3_64;

    use super::*;
    use crate::av::{Deinterlacer, open_filters};
    use crate::frame::{FieldOrder, Frame, Picture};
    use crate::time::Ratio;

    const SIZE: (usize, usize) = (23, 18);

    /// The component at a place of a plane, and its column there.
    fn component(format: PixelFormat, plane: usize, x: usize) -> (usize, usize) {
        if format.packing == Packing::Planar || plane == 0 { (plane, x) } else { (1 + x % 2, x / 2) }
    }

    fn shift(format: PixelFormat) -> u8 {
        if format.packing == Packing::SemiPlanarHigh { 16 - format.bit_depth } else { 0 }
    }

    /// Frame `number`: noise that is the same in all formats of a depth.
    fn noise(format: PixelFormat, number: u64) -> Frame {
        let mut picture = Pool::new().picture(format, SIZE.0, SIZE.1).unwrap();
        for plane in 0..format.n_planes() {
            let mut to = picture.plane_mut(plane);
            for (y, x) in (0..to.height()).flat_map(|y| (0..to.width()).map(move |x| (y, x))).collect::<Vec<_>>() {
                let (component, column) = component(format, plane, x);
                let code = xxh3_64(format!("{number} {component} {y} {column}").as_bytes()) as u16 & format.max_code();
                match to.bytes_per_sample() {
                    1 => to.row_bytes(y)[x] = code as u8,
                    _ => to.row_u16(y)[x] = code << shift(format),
                }
            }
        }
        Frame {
            index: number,
            pts: number as i64,
            duration: None,
            picture: picture.freeze(),
            color: ColorTags::NONE,
            sample_aspect_ratio: Ratio::new(1, 1),
            // The third passes as it is where not all are wanted.
            field_order: if number == 2 { FieldOrder::Progressive } else { FieldOrder::TopFirst },
            side_data: Vec::new(),
        }
    }

    /// The codes of a picture, each behind its component and its place.
    fn codes(picture: &Picture) -> Vec<[usize; 4]> {
        let format = picture.format();
        let mut codes = Vec::new();
        for plane in 0..format.n_planes() {
            let from = picture.plane(plane);
            for (y, x) in (0..from.height()).flat_map(|y| (0..from.width()).map(move |x| (y, x))) {
                let (component, column) = component(format, plane, x);
                let code = match from.bytes_per_sample() {
                    1 => from.row_bytes(y)[x].into(),
                    _ => usize::from(from.row_u16(y)[x] >> shift(format)),
                };
                codes.push([component, y, column, code]);
            }
        }
        codes.sort_unstable();
        codes
    }

    /// What becomes of six frames of noise.
    fn deinterlaced(format: &str, all: bool) -> Vec<Vec<[usize; 4]>> {
        let format = PixelFormat::from_name(format).unwrap();
        let pool = Pool::new();
        let woven = |number| AvFrame::with_fields(&noise(format, number), &pool).unwrap();
        let mut filter = Deinterlacer::new(&woven(0), TimeBase::MICROS, all).unwrap();
        let mut made = Vec::new();
        for frame in (0..6).map(|number| Some(woven(number))).chain([None]) {
            filter.send(frame).unwrap();
            while let Some(frame) = filter.receive().unwrap() {
                assert_eq!(frame.field_order(), FieldOrder::Progressive);
                made.push(codes(&frame.into_picture().unwrap()));
            }
        }
        made
    }

    #[test]
    fn formats_that_the_filter_lacks_come_out_as_those_that_it_has() {
        if let Err(error) = open_filters() {
            return println!("skipped: {error}");
        }
        for (lacking, known) in [
            ("nv12", "yuv420p"),
            ("nv16", "yuv422p"),
            ("p010le", "yuv420p10le"),
            ("p210le", "yuv422p10le"),
            ("p416le", "yuv444p16le"),
            ("gray10le", "yuv420p10le"),
            ("gray12le", "yuv444p12le"),
            ("yuva444p12le", "yuv444p12le"),
        ] {
            for all in [false, true] {
                let (ours, theirs) = (deinterlaced(lacking, all), deinterlaced(known, all));
                assert_eq!((ours.len(), theirs.len()), (6, 6), "{lacking}");
                // Opacity and chroma only one of the two has.
                let n = PixelFormat::from_name(lacking).unwrap().subsampling().map_or(1, |_| 3);
                let part =
                    |codes: &Vec<[usize; 4]>| codes.iter().filter(|code| code[0] < n).copied().collect::<Vec<_>>();
                assert!(ours.iter().map(part).eq(theirs.iter().map(part)), "{lacking}, all {all}");
            }
        }
        // No format beside it has the same chroma; in size it is the luma of another.
        assert_eq!(deinterlaced("yuv440p12le", true).len(), 6);
        let is_woven = codes(&noise(PixelFormat::gray(10), 1).picture) == deinterlaced("gray10le", false)[1];
        assert!(!is_woven);
        assert_eq!(deinterlaced("gray10le", false)[2], codes(&noise(PixelFormat::gray(10), 2).picture));
    }
}
