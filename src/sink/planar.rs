//! From one plane of interleaved chroma to two, for outputs that know only planar pictures.

use crate::error::Result;
use crate::frame::{Packing, Picture, Pool};

/// The picture with one plane a component and values in the low bits; itself where it is so already.
pub fn to_planar(picture: &Picture, pool: &Pool) -> Result<Picture> {
    let format = picture.format();
    if format.packing == Packing::Planar {
        return Ok(picture.clone());
    }
    let shift = if format.packing == Packing::SemiPlanarHigh { 16 - format.bit_depth } else { 0 };
    let mut planar = pool.picture(format.planar(), picture.width(), picture.height())?;
    for component in 0..3 {
        let from = picture.plane(component.min(1));
        let (skip, step) = if component == 0 { (0, 1) } else { (component - 1, 2) };
        let mut to = planar.plane_mut(component);
        for y in 0..to.height() {
            if format.bytes_per_sample() == 1 {
                let samples = from.row_bytes(y)[skip..].iter().step_by(step);
                to.row_bytes(y).iter_mut().zip(samples).for_each(|(to, from)| *to = *from);
            } else {
                let samples = from.row_u16(y)[skip..].iter().step_by(step);
                to.row_u16(y).iter_mut().zip(samples).for_each(|(to, from)| *to = *from >> shift);
            }
        }
    }
    Ok(planar.freeze())
}
