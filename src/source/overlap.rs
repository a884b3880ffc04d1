//! The last frames before a cut as one number, by which frames from a decoder that began in the middle are known to be
//! those of one that began at the beginning.

use xxhash_rust::xxh3::Xxh3;

use crate::frame::Frame;

/// The hash of some frames that follow each other.
#[derive(Default)]
pub struct Overlap(Xxh3);

impl Overlap {
    /// How many frames before a cut are looked at, if there are as many.
    pub const FRAMES: u64 = 8;

    /// Takes the next frame: its samples, and all that rides with it but its index and its pts.
    pub fn push(&mut self, frame: &Frame) {
        let Frame { index: _, pts: _, duration, picture, color, sample_aspect_ratio, field_order, side_data } = frame;
        let about = format!("{duration:?} {color:?} {sample_aspect_ratio:?} {field_order:?} {side_data:?}");
        self.0.update(about.as_bytes());
        for number in 0..picture.format().n_planes() {
            let plane = picture.plane(number);
            (0..plane.height()).for_each(|row| self.0.update(plane.row_bytes(row)));
        }
    }

    /// The hash so far.
    pub fn value(&self) -> u64 {
        self.0.digest()
    }
}
