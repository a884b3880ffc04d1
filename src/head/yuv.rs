//! Pictures of R'G'B' as Y'CbCr 4:4:4 of the same depth, for what knows nothing else: most encoders, y4m.
//!
//! Equations of H.273, 8.3, in f32, rounded once at the end.

use std::ops::Range;

use super::image::read_colors;
use crate::error::Result;
use crate::frame::{ColorRange, ColorTags, Picture, PixelFormat, Pool};
use crate::simd::Kernels;
use crate::simd::luma::{Addend, CodesMut, Linear};
use crate::simd::resize::Sums;
use crate::simd::rgb::{FromRgb, Whole, YuvCoding};

/// The format that pictures of R'G'B' `format` become; any other stays what it is.
pub fn format(format: PixelFormat) -> PixelFormat {
    if !format.is_rgb() {
        return format;
    }
    PixelFormat { alpha: format.alpha, ..PixelFormat::yuv(0, 0, format.bit_depth) }
}

/// Makes Y'CbCr of R'G'B'.
pub struct ToYuv {
    kernels: Kernels,
    coding: YuvCoding,
    matrix: FromRgb,
    pool: Pool,
    /// Red, green, blue, Cb and Cr of a row.
    rows: [Vec<f32>; 5],
}

impl ToYuv {
    /// For pictures of R'G'B' `format` that become what `color` says, [`ColorTags::of_yuv`], of `height` lines.
    pub fn new(format: PixelFormat, color: ColorTags, height: usize) -> ToYuv {
        let (matrix, bit_depth) = (color.matrix_for(height), format.bit_depth);
        let coding = YuvCoding { matrix, range: color.range_or_limited(), bit_depth };
        let (black, white) = ColorRange::Full.luma_codes(bit_depth);
        ToYuv {
            kernels: Kernels::best(),
            coding,
            matrix: FromRgb::new(coding, black, white),
            pool: Pool::new(),
            rows: Default::default(),
        }
    }

    /// The picture in Y'CbCr.
    pub fn picture(&mut self, rgb: &Picture) -> Result<Picture> {
        let (source, width) = (rgb.format(), rgb.width());
        let mut out = self.pool.picture(format(source), width, rgb.height())?;
        let columns = || -> Range<usize> { 0..width };
        self.rows.iter_mut().for_each(|row| row.resize(width, 0.0));
        let [r, g, b, cb, cr] = &mut self.rows;
        let (kernels, max) = (self.kernels, source.max_code());
        for y in 0..rgb.height() {
            read_colors(kernels, rgb, (y, columns()), Linear::IDENTITY, [&mut *r, &mut *g, &mut *b]);
            let black = Addend::Constant(self.matrix.luma_base());
            let mut luma = out.plane_mut(0);
            let luma = CodesMut::of(&mut luma, y, columns());
            kernels.to_luma_and_chroma(&self.matrix, Whole([&*r, &*g, &*b]), black, max, luma, [&mut *cb, &mut *cr]);
            for (plane, row) in [(1, &*cb), (2, &*cr)] {
                let (mut plane, neutral) = (out.plane_mut(plane), Addend::Constant(self.coding.neutral()));
                kernels.sums_to_codes(Sums::plain([row]), neutral, max, CodesMut::of(&mut plane, y, columns()));
            }
            if source.alpha {
                out.plane_mut(3).row_bytes(y).copy_from_slice(rgb.plane(3).row_bytes(y));
            }
        }
        Ok(out.freeze())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::RGB_PLANES;

    /// Colours whose codes stand in ITU-R BT.709 and BT.601, and white, gray and black.
    #[test]
    fn known_colours_have_known_codes() {
        let colors = [[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255], [128, 128, 128], [0, 0, 0]];
        for (matrix, expected) in [
            (1, [[63, 102, 240], [173, 42, 26], [32, 240, 118], [235, 128, 128], [126, 128, 128], [16, 128, 128]]),
            (6, [[81, 90, 240], [145, 54, 34], [41, 240, 110], [235, 128, 128], [126, 128, 128], [16, 128, 128]]),
        ] {
            let mut picture = Pool::new().picture(PixelFormat::rgb(8), colors.len(), 2).unwrap();
            for (color, plane) in RGB_PLANES.into_iter().enumerate() {
                let row: Vec<u8> = colors.iter().map(|rgb| rgb[color]).collect();
                let mut plane = picture.plane_mut(plane);
                (0..2).for_each(|y| plane.row_bytes(y).copy_from_slice(&row));
            }
            let color = ColorTags { matrix, ..ColorTags::NONE }.of_yuv(2);
            let yuv = ToYuv::new(PixelFormat::rgb(8), color, 2).picture(&picture.freeze()).unwrap();
            for (x, expected) in expected.into_iter().enumerate() {
                assert_eq!([0, 1, 2].map(|plane| yuv.plane(plane).row_bytes(1)[x]), expected, "{matrix} {x}");
            }
        }
    }

    #[test]
    fn opacity_stays_as_it_is() {
        let rgba = PixelFormat { alpha: true, ..PixelFormat::rgb(10) };
        let mut picture = Pool::new().picture(rgba, 3, 1).unwrap();
        picture.plane_mut(3).row_u16(0).copy_from_slice(&[7, 1023, 500]);
        let yuv = ToYuv::new(rgba, ColorTags::NONE.of_yuv(1), 1).picture(&picture.freeze()).unwrap();
        assert_eq!(yuv.format().to_string(), "yuva444p10le");
        assert_eq!(yuv.plane(3).row_u16(0), [7, 1023, 500]);
    }
}
