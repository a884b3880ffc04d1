//! The newest output picture, and the next one made from it by replacing what is dirty.
//!
//! Pictures that were given out stay as they are: a change is made to a copy, and without a change the same memory is
//! given out again. Used by assemble, for one stream in order.

use super::{Picture, PixelFormat, Pool};
use crate::error::{Error, Kind, Result};

/// Part of an output picture, made on its own.
#[derive(Clone)]
pub struct Patch {
    /// The part's samples.
    pub picture: Picture,
    /// Where its top left corner goes, in luma samples of the whole; a whole number of chroma samples.
    pub place: (usize, usize),
    /// The planes it holds, by their bits; of the others nothing is known.
    pub planes: u8,
}

/// The newest output picture.
pub struct Canvas {
    format: PixelFormat,
    size: (usize, usize),
    newest: Option<Picture>,
}

impl Canvas {
    /// Nothing yet of pictures of a planar format and a size (width, height).
    pub fn new(format: PixelFormat, size: (usize, usize)) -> Self {
        Canvas { format, size, newest: None }
    }

    /// Begins anew with a whole picture.
    pub fn replace(&mut self, picture: Picture) -> Picture {
        self.newest.insert(picture).clone()
    }

    /// The newest picture with the patches in it; without patches the newest picture itself. The first patches must
    /// cover all of it.
    pub fn patch(&mut self, patches: &[Patch], pool: &Pool) -> Result<Picture> {
        let misuse = |message: &str| Error::new(Kind::Internal, message);
        if patches.is_empty() {
            return self.newest.clone().ok_or_else(|| misuse("a picture without content came first"));
        }
        let format = self.format;
        let mut next = match &self.newest {
            Some(newest) => pool.copy(newest)?,
            None => pool.picture(format, self.size.0, self.size.1)?,
        };
        for Patch { picture, place, planes } in patches {
            if picture.format() != format {
                return Err(misuse("a part of a picture is of another format than the whole"));
            }
            for plane in (0..format.n_planes()).filter(|plane| planes >> plane & 1 == 1) {
                let log2 = format.subsampling().filter(|_| format.is_chroma(plane)).map_or((0, 0), |s| (s.x, s.y));
                let (x, top) = ((place.0 >> log2.0) * format.bytes_per_sample(), place.1 >> log2.1);
                let from = picture.plane(plane);
                let mut to = next.plane_mut(plane);
                for y in 0..from.height() {
                    let row = from.row_bytes(y);
                    to.row_bytes(top + y)[x..x + row.len()].copy_from_slice(row);
                }
            }
        }
        Ok(self.replace(next.freeze()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(pool: &Pool, size: (usize, usize), value: u8) -> Picture {
        let mut picture = pool.picture(PixelFormat::yuv(1, 1, 8), size.0, size.1).unwrap();
        for plane in 0..3 {
            let mut plane = picture.plane_mut(plane);
            (0..plane.height()).for_each(|y| plane.row_bytes(y).fill(value));
        }
        picture.freeze()
    }

    #[test]
    fn patches_change_their_planes_and_only_the_next_picture() {
        let pool = Pool::new();
        let mut canvas = Canvas::new(PixelFormat::yuv(1, 1, 8), (21, 15));
        let first = canvas.replace(filled(&pool, (21, 15), 1));
        let corner = Patch { picture: filled(&pool, (5, 3), 2), place: (16, 12), planes: 0b001 };
        let chroma = Patch { picture: filled(&pool, (4, 4), 3), place: (2, 6), planes: 0b110 };
        let second = canvas.patch(&[corner, chroma], &pool).unwrap();
        for y in 0..15 {
            for x in 0..21 {
                assert_eq!(first.plane(0).row_bytes(y)[x], 1);
                let value = if x >= 16 && y >= 12 { 2 } else { 1 };
                assert_eq!(second.plane(0).row_bytes(y)[x], value, "{x} {y}");
                let value = if (1..3).contains(&(x / 2)) && (3..5).contains(&(y / 2)) { 3 } else { 1 };
                assert_eq!(second.plane(2).row_bytes(y / 2)[x / 2], value, "{x} {y}");
            }
        }
    }

    #[test]
    fn without_patches_the_same_memory_is_given_out_again() {
        let pool = Pool::new();
        let mut canvas = Canvas::new(PixelFormat::yuv(1, 1, 8), (8, 8));
        assert!(canvas.patch(&[], &pool).is_err());
        let first = canvas.replace(filled(&pool, (8, 8), 1));
        let second = canvas.patch(&[], &pool).unwrap();
        assert_eq!(first.plane(0).row_bytes(0).as_ptr(), second.plane(0).row_bytes(0).as_ptr());
    }
}
