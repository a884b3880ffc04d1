//! Where the region of interest ends: from the network's picture to the plain one.

use super::ImageHead;
use crate::frame::{Picture, PictureBuf};
use crate::simd::luma::{Codes, CodesMut};
use crate::tile::Rect;
use crate::tile::roi::Roi;

impl ImageHead {
    /// Mixes the plain picture of an area of the input into the network's by the weights of the region, in the planes
    /// that the network makes. Both pictures hold just this area's output. A chroma sample has the least of the
    /// weights that it covers.
    pub fn blend(&self, roi: &Roi, area: Rect, plain: &Picture, out: &mut PictureBuf) {
        let format = out.format();
        for plane in (0..format.n_planes()).filter(|plane| self.made_planes() >> plane & 1 == 1) {
            let log2 = format.subsampling().filter(|_| format.is_chroma(plane)).map_or((0, 0), |s| (s.x, s.y));
            let view = plain.plane(plane);
            let mut to = out.plane_mut(plane);
            // Input pixels below an output sample along an axis.
            let below = |at: usize, log2: u8, start: usize, end: usize| {
                let first = start + (at << log2) / self.network.scale;
                first..(start + ((at + 1) << log2).div_ceil(self.network.scale)).min(end)
            };
            for y in 0..view.height() {
                let rows = below(y, log2.1, area.y, area.bottom());
                let weight = |x: usize| {
                    let columns = below(x, log2.0, area.x, area.right());
                    let least = |row| roi.row(row)[columns.clone()].iter().copied().min();
                    rows.clone().filter_map(least).min().unwrap_or(0)
                };
                let columns = 0..view.width();
                match (Codes::of(&view, format, y, columns.clone()), CodesMut::of(&mut to, y, columns)) {
                    (Codes::U8(plain), CodesMut::U8(out)) => mix(plain, out, weight),
                    (Codes::U16 { samples: plain, .. }, CodesMut::U16(out)) => mix(plain, out, weight),
                    _ => unreachable!("two pictures of one planar format"),
                }
            }
        }
    }
}

fn mix<T: Copy + Into<u32> + TryFrom<u32>>(plain: &[T], out: &mut [T], weight: impl Fn(usize) -> u8) {
    for (x, (plain, out)) in plain.iter().zip(out).enumerate() {
        let weight = u32::from(weight(x));
        let mixed = ((*out).into() * weight + (*plain).into() * (255 - weight) + 127) / 255;
        // Between two values of the type.
        *out = T::try_from(mixed).unwrap_or(*plain);
    }
}
