//! What was done where, shown in the picture: `--debug-overlay` tints what was computed red, what was reused green and
//! what lies outside of the region of interest blue.

use super::survey::Need;
use crate::error::Result;
use crate::frame::{Picture, PictureBuf, Pool};
use crate::tile::Rect;
use crate::tile::cells::Cells;
use crate::tile::cover::Choice;

/// How far a tint moves chroma, in 8-bit codes.
const TINT: i32 = 28;

/// The areas of one frame, in luma pixels of the input.
#[derive(Clone, Debug, Default)]
pub struct Areas {
    computed: Vec<Rect>,
    outside: Vec<Rect>,
}

impl Areas {
    /// Of a frame that needs this; `inside` are the cells of the region of interest.
    pub fn new(need: &Need, whole: Rect, inside: Option<&Cells>) -> Self {
        let computed = match &need.network {
            Choice::Whole => vec![whole],
            Choice::Windows(windows) => windows.iter().map(|(_, tile)| tile.core).collect(),
        };
        let outside = inside.map_or_else(Vec::new, |inside| {
            let mut rest = inside.clone();
            rest.fill();
            rest.remove(inside);
            rest.rects()
        });
        Areas { computed, outside }
    }

    /// A tinted copy of an output picture of `scale` times the input's size: green where it was reused, red where
    /// computed, blue outside. Gray pictures get lighter where they were computed, and darker outside.
    pub fn draw(&self, picture: &Picture, scale: usize, pool: &Pool) -> Result<Picture> {
        let (format, mut out) = (picture.format(), pool.copy(picture)?);
        let unit = 1 << (format.bit_depth - 8);
        // What each kind adds to Cb and Cr, to blue and red, or to gray.
        let (reused, computed, outside) = match format.is_gray() {
            false => ([-TINT / 2, -TINT / 2], [0, TINT], [TINT, 0]),
            true => ([0, 0], [TINT, 0], [-TINT, 0]),
        };
        let whole = Rect::new(0, 0, picture.width(), picture.height());
        let mut all = vec![(whole, reused)];
        let sub = |of: [i32; 2], minus: [i32; 2]| [of[0] - minus[0], of[1] - minus[1]];
        // Areas lie on the first tint, so theirs is the difference.
        all.extend(self.outside.iter().map(|area| (area.scaled(scale), sub(outside, reused))));
        all.extend(self.computed.iter().map(|area| (area.scaled(scale), sub(computed, reused))));
        for (area, tint) in all {
            add(&mut out, area, tint.map(|tint| tint * unit));
        }
        Ok(out.freeze())
    }
}

fn add(out: &mut PictureBuf, area: Rect, tint: [i32; 2]) {
    let format = out.format();
    let planes = if format.is_gray() { [0, 0] } else { [1, 2] };
    let log2 = format.subsampling().map_or((0, 0), |s| (s.x, s.y));
    let max = i32::from(format.max_code());
    for (plane, tint) in planes.into_iter().zip(tint).filter(|(_, tint)| *tint != 0) {
        let mut plane = out.plane_mut(plane);
        let columns = area.x >> log2.0..(area.right().div_ceil(1 << log2.0)).min(plane.width());
        for y in area.y >> log2.1..(area.bottom().div_ceil(1 << log2.1)).min(plane.height()) {
            if format.bytes_per_sample() == 1 {
                let row = &mut plane.row_bytes(y)[columns.clone()];
                row.iter_mut().for_each(|code| *code = (i32::from(*code) + tint).clamp(0, max) as u8);
            } else {
                let row = &mut plane.row_u16(y)[columns.clone()];
                row.iter_mut().for_each(|code| *code = (i32::from(*code) + tint).clamp(0, max) as u16);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::PixelFormat;
    use crate::tile::grid::Tile;

    #[test]
    fn every_area_has_its_tint() {
        let pool = Pool::new();
        for (format, unit) in [(PixelFormat::yuv(1, 1, 8), 1), (PixelFormat::yuv(0, 0, 10), 4)] {
            let mut picture = pool.picture(format, 64, 64).unwrap();
            for plane in 0..3 {
                let mut plane = picture.plane_mut(plane);
                for y in 0..plane.height() {
                    if unit == 1 { plane.row_bytes(y).fill(128) } else { plane.row_u16(y).fill(512) }
                }
            }
            let core = Rect::new(0, 0, 16, 16);
            let network = Choice::Windows(vec![(0, Tile { window: core, core })]);
            let need = Need { network, ..Need::default() };
            let mut inside = Cells::new((32, 32), (8, 8));
            inside.mark(Rect::new(0, 0, 32, 16));
            let areas = Areas::new(&need, Rect::new(0, 0, 32, 32), Some(&inside));
            let tinted = areas.draw(&picture.freeze(), 2, &pool).unwrap();
            let at = |plane: usize, x: usize, y: usize| {
                let log2 = usize::from(unit == 1);
                let view = tinted.plane(plane);
                let (x, y) = (x >> log2, y >> log2);
                if unit == 1 { i32::from(view.row_bytes(y)[x]) } else { i32::from(view.row_u16(y)[x]) }
            };
            let chroma = |x, y| (at(1, x, y) / unit - 128, at(2, x, y) / unit - 128);
            assert_eq!((chroma(31, 31), chroma(33, 2), chroma(2, 33)), ((0, 28), (-14, -14), (28, 0)));
        }
    }
}
