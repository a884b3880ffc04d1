//! Finished pictures in another size, where one was asked for: every plane by Lanczos, its chroma sited as before.

use crate::error::Result;
use crate::frame::{Picture, Pool};
use crate::head::image::PictureFacts;
use crate::simd::Kernels;
use crate::simd::resize::{Axis, Filter, Resizer, Scratch, Siting};

/// Pictures of one kind in another size.
pub struct Fit {
    from: PictureFacts,
    /// Width and height.
    size: (usize, usize),
    /// Of luma and alpha, and of all planes of pictures whose planes have one size.
    full: Resizer,
    chroma: Option<Resizer>,
    scratch: Scratch,
    pool: Pool,
    /// The last picture that came, and what came of it: where nothing changes, the same picture comes again.
    last: Option<(Picture, Picture)>,
}

impl Fit {
    /// From pictures of this kind, whose format is planar, to this size (width, height), in luma samples.
    pub fn new(from: PictureFacts, size: (usize, usize)) -> Fit {
        let kernels = Kernels::best();
        // As many chroma samples as luma samples stand for as much of the picture, also where the last is cut off.
        let axis = |length, from: usize, to: usize, site| Axis {
            src_len: length,
            ratio: (from, to),
            src_site: site,
            dst_site: site,
        };
        let resizer = |(columns, rows): (usize, usize), site: Siting| {
            let (x, y) = (axis(columns, from.width, size.0, site.x), axis(rows, from.height, size.1, site.y));
            Resizer::new(kernels, x, y, Filter::Lanczos3)
        };
        let chroma = from.format.subsampling().map(|subsampling| {
            let site = Siting::of(from.color.chroma_location, subsampling);
            resizer(from.format.plane_size(1, from.width, from.height), site)
        });
        Fit {
            full: resizer((from.width, from.height), Siting::default()),
            chroma,
            from,
            size,
            scratch: Scratch::default(),
            pool: Pool::new(),
            last: None,
        }
    }

    /// `picture` in the other size.
    pub fn picture(&mut self, picture: Picture) -> Result<Picture> {
        if let Some((last, fitted)) = &self.last
            && last.is_same(&picture)
        {
            return Ok(fitted.clone());
        }
        let format = self.from.format;
        let mut out = self.pool.picture(format, self.size.0, self.size.1)?;
        for plane in 0..format.n_planes() {
            let resizer = self.chroma.as_ref().filter(|_| format.is_chroma(plane)).unwrap_or(&self.full);
            resizer.plane(picture.plane(plane), format, out.plane_mut(plane), &mut self.scratch);
        }
        let fitted = out.freeze();
        self.last = Some((picture, fitted.clone()));
        Ok(fitted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{ColorTags, PixelFormat};

    fn facts(format: PixelFormat, width: usize, height: usize) -> PictureFacts {
        PictureFacts { format, width, height, color: ColorTags::NONE }
    }

    /// A slope in every plane, steeper from plane to plane.
    fn slope(facts: PictureFacts) -> Picture {
        let mut picture = Pool::new().picture(facts.format, facts.width, facts.height).unwrap();
        for plane in 0..facts.format.n_planes() {
            let mut to = picture.plane_mut(plane);
            for y in 0..to.height() {
                let code = |x: usize| ((x + y) * (plane + 1) / 2) as u8;
                to.row_bytes(y).iter_mut().enumerate().for_each(|(x, to)| *to = code(x));
            }
        }
        picture.freeze()
    }

    #[test]
    fn the_same_size_gives_the_same_samples() {
        for format in [PixelFormat::yuv(1, 1, 8), PixelFormat::yuv(1, 0, 8), PixelFormat::yuv(0, 0, 8)] {
            let facts = facts(format, 45, 31);
            let picture = slope(facts);
            let fitted = Fit::new(facts, (45, 31)).picture(picture.clone()).unwrap();
            for plane in 0..3 {
                let (a, b) = (picture.plane(plane), fitted.plane(plane));
                assert!((0..a.height()).all(|y| a.row_bytes(y) == b.row_bytes(y)), "{format} {plane}");
            }
        }
    }

    #[test]
    fn a_slope_stays_a_slope_in_every_plane_of_any_size() {
        for (format, from, to) in [
            (PixelFormat::yuv(1, 1, 8), (64, 48), (96, 36)),
            (PixelFormat::yuv(1, 1, 8), (61, 47), (33, 95)),
            (PixelFormat::yuv(0, 0, 8), (40, 60), (77, 31)),
        ] {
            let facts = facts(format, from.0, from.1);
            let fitted = Fit::new(facts, to).picture(slope(facts)).unwrap();
            assert_eq!((fitted.width(), fitted.height()), to);
            for plane in 0..3 {
                let shift = format.subsampling().filter(|_| format.is_chroma(plane)).map_or((0, 0), |s| (s.x, s.y));
                // Where a sample lies in the source's plane; left-sited chroma lies on the first of its luma columns.
                let place = |at: usize, shift: u8, from: usize, to: usize, is_left: bool| {
                    let cell = f64::from(1u32 << shift);
                    let offset = if is_left { 0.5 } else { cell / 2.0 };
                    (((at as f64 * cell + offset) * from as f64 / to as f64) - offset) / cell
                };
                let view = fitted.plane(plane);
                // Away from the edges, which go on as they end.
                for y in 8..view.height() - 8 {
                    for x in 8..view.width() - 8 {
                        let at = place(x, shift.0, from.0, to.0, true) + place(y, shift.1, from.1, to.1, false);
                        let expected = at * (plane + 1) as f64 / 2.0;
                        let got = f64::from(view.row_bytes(y)[x]);
                        assert!((got - expected).abs() <= 1.1, "{format} {plane} {x} {y}: {got}, {expected}");
                    }
                }
            }
        }
    }

    #[test]
    fn a_picture_that_comes_again_is_not_made_again() {
        let facts = facts(PixelFormat::yuv(1, 1, 8), 32, 32);
        let mut fit = Fit::new(facts, (48, 48));
        let picture = slope(facts);
        let first = fit.picture(picture.clone()).unwrap();
        assert!(first.is_same(&fit.picture(picture).unwrap()));
        assert!(!first.is_same(&fit.picture(slope(facts)).unwrap()));
    }
}
