//! Recycled picture memory: one aligned slab a picture, given back when the last holder lets go.
//!
//! A pool only recycles; what bounds memory is the window of frames in flight. The slab is the only memory of frame
//! size that vproc itself allocates.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ptr::NonNull;
use std::sync::Arc;

use bytemuck::Pod;
use crossbeam_queue::ArrayQueue;

use super::{Picture, PixelFormat, PlaneMemory, PlaneMut, RGB_PLANES};
use crate::error::{Error, Kind, Result};

/// Bytes that rows and planes are aligned to: a cache line, and the widest SIMD register.
pub const ALIGNMENT: usize = 64;

/// Aligned memory of fixed length, zeroed once when it is made.
pub struct AlignedBytes {
    pointer: NonNull<u8>,
    length: usize,
}

// SAFETY: the memory is owned by this value alone, like a `Box<[u8]>`.
unsafe impl Send for AlignedBytes {}
// SAFETY: a shared reference only reads.
unsafe impl Sync for AlignedBytes {}

impl AlignedBytes {
    /// `length` zeroed bytes at an address divisible by [`ALIGNMENT`].
    pub fn new(length: usize) -> Self {
        let layout = layout(length);
        // SAFETY: the layout has a non-zero size, see `layout`.
        let Some(pointer) = NonNull::new(unsafe { alloc_zeroed(layout) }) else { handle_alloc_error(layout) };
        AlignedBytes { pointer, length }
    }
}

fn layout(length: usize) -> Layout {
    Layout::from_size_align(length.max(ALIGNMENT), ALIGNMENT).expect("a picture is far smaller than the address space")
}

impl Drop for AlignedBytes {
    fn drop(&mut self) {
        // SAFETY: allocated in `new` with the same layout and freed only here.
        unsafe { dealloc(self.pointer.as_ptr(), layout(self.length)) }
    }
}

impl std::ops::Deref for AlignedBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: `length` initialised bytes that live as long as `self` and are not written while it is borrowed.
        unsafe { std::slice::from_raw_parts(self.pointer.as_ptr(), self.length) }
    }
}

impl std::ops::DerefMut for AlignedBytes {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`, and `&mut self` is the only way to the memory.
        unsafe { std::slice::from_raw_parts_mut(self.pointer.as_ptr(), self.length) }
    }
}

/// Slabs that a pool keeps at most; more than an encoder holds back.
const MAX_FREE: usize = 128;

/// A pool of pictures of any size; cheap to clone, clones share it. Nobody waits for anybody: slabs go through a
/// lock-free queue.
#[derive(Clone)]
pub struct Pool {
    free: Arc<ArrayQueue<AlignedBytes>>,
}

impl Default for Pool {
    fn default() -> Self {
        Pool { free: Arc::new(ArrayQueue::new(MAX_FREE)) }
    }
}

impl Pool {
    /// An empty pool.
    pub fn new() -> Self {
        Pool::default()
    }

    /// A picture to write; its content is whatever the last user left.
    pub fn picture(&self, format: PixelFormat, width: usize, height: usize) -> Result<PictureBuf> {
        let mut strides = [0; 4];
        let mut offsets = [0; 5];
        for plane in 0..format.n_planes() {
            let (columns, rows) = format.plane_size(plane, width, height);
            strides[plane] = (columns * format.bytes_per_sample()).next_multiple_of(ALIGNMENT);
            let size = strides[plane].checked_mul(rows).filter(|size| *size <= 1 << 40);
            let Some(size) = size else {
                let message = format!("a picture of {width}x{height} {format} is too large to hold");
                return Err(Error::new(Kind::Input, message));
            };
            offsets[plane + 1] = offsets[plane] + size;
        }
        let length = offsets[format.n_planes()];
        let slab = self.take(length);
        Ok(PictureBuf {
            format,
            width,
            height,
            strides,
            slab: Slab { bytes: Some(slab), offsets, free: Arc::clone(&self.free) },
        })
    }

    /// A picture to write that begins as a copy of another.
    pub fn copy(&self, picture: &Picture) -> Result<PictureBuf> {
        let mut out = self.picture(picture.format(), picture.width(), picture.height())?;
        for plane in 0..picture.format().n_planes() {
            let (from, mut to) = (picture.plane(plane), out.plane_mut(plane));
            (0..from.height()).for_each(|y| to.row_bytes(y).copy_from_slice(from.row_bytes(y)));
        }
        Ok(out)
    }

    /// A free slab of exactly this length, else a new one; slabs of other lengths (before a size change) are freed.
    fn take(&self, length: usize) -> AlignedBytes {
        while let Some(slab) = self.free.pop() {
            if slab.len() == length {
                return slab;
            }
        }
        AlignedBytes::new(length)
    }
}

/// The memory of one picture on its way; goes back to the pool when dropped.
struct Slab {
    bytes: Option<AlignedBytes>,
    /// Where each plane starts, and where the last one ends.
    offsets: [usize; 5],
    free: Arc<ArrayQueue<AlignedBytes>>,
}

impl Slab {
    fn bytes(&self) -> &AlignedBytes {
        self.bytes.as_ref().expect("the slab is taken only in drop")
    }
}

impl PlaneMemory for Slab {
    fn plane(&self, plane: usize) -> &[u8] {
        &self.bytes()[self.offsets[plane]..self.offsets[plane + 1]]
    }
}

impl Drop for Slab {
    fn drop(&mut self) {
        if let Some(bytes) = self.bytes.take() {
            // One too many is freed.
            drop(self.free.push(bytes));
        }
    }
}

/// A picture that is being written, by one owner.
pub struct PictureBuf {
    format: PixelFormat,
    width: usize,
    height: usize,
    strides: [usize; 4],
    slab: Slab,
}

impl PictureBuf {
    /// The pixel format.
    pub fn format(&self) -> PixelFormat {
        self.format
    }

    /// Luma samples a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Luma rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// A plane to write.
    pub fn plane_mut(&mut self, plane: usize) -> PlaneMut<'_> {
        let (columns, rows) = self.format.plane_size(plane, self.width, self.height);
        let range = self.slab.offsets[plane]..self.slab.offsets[plane + 1];
        let bytes = self.slab.bytes.as_mut().expect("the slab is taken only in drop");
        PlaneMut::new(&mut bytes[range], self.strides[plane], columns, rows, self.format.bytes_per_sample())
            .expect("the pool lays planes out with room for their rows")
    }

    /// Fills the planes of a picture of gray or R'G'B', opacity left out, from rows of gray samples, or of red, green and
    /// blue side by side; gray samples make all three. `T` must be as large as a sample of the format.
    pub fn fill_from<T: Pod>(&mut self, samples: &[T]) {
        let is_gray = samples.len() == self.width * self.height;
        let row_length = if is_gray { self.width } else { 3 * self.width };
        let planes = if self.format.is_gray() { &[0][..] } else { &RGB_PLANES[..] };
        for (color, plane) in planes.iter().enumerate() {
            let mut plane = self.plane_mut(*plane);
            for (y, row) in samples.chunks_exact(row_length).enumerate() {
                let to: &mut [T] = bytemuck::cast_slice_mut(plane.row_bytes(y));
                match is_gray {
                    true => to.copy_from_slice(row),
                    false => to.iter_mut().zip(row.as_chunks::<3>().0).for_each(|(to, pixel)| *to = pixel[color]),
                }
            }
        }
    }

    /// The finished picture, to be read and shared.
    pub fn freeze(self) -> Picture {
        Picture::new(self.format, self.width, self.height, self.strides, Arc::new(self.slab))
            .expect("the pool lays planes out with room for their rows")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_comes_back_when_the_last_holder_lets_go() {
        let pool = Pool::new();
        let mut picture = pool.picture(PixelFormat::yuv(1, 1, 10), 161, 121).unwrap();
        picture.plane_mut(2).row_u16(60)[80] = 1023;
        let picture = picture.freeze();
        let address = picture.plane(0).row_bytes(0).as_ptr();
        let second = picture.clone();
        drop(picture);
        assert_eq!(second.plane(2).row_u16(60)[80], 1023);
        drop(second);
        let again = pool.picture(PixelFormat::yuv(1, 1, 10), 161, 121).unwrap().freeze();
        assert_eq!(again.plane(0).row_bytes(0).as_ptr(), address);
        assert!((address as usize).is_multiple_of(ALIGNMENT));
    }
}
