//! Views of one plane: rows of samples with a stride in bytes.
//!
//! Kernels see these and nothing larger. A view is checked when it is made, so that a row is only a slice.

use std::ops::Range;

use crate::error::{Error, Kind, Result};

/// A plane to read.
#[derive(Clone, Copy)]
pub struct PlaneView<'a> {
    data: &'a [u8],
    stride: usize,
    width: usize,
    height: usize,
    bytes_per_sample: usize,
}

/// A plane to write.
pub struct PlaneMut<'a> {
    data: &'a mut [u8],
    stride: usize,
    width: usize,
    height: usize,
    bytes_per_sample: usize,
}

/// Checks that `height` rows of `width` samples fit, and that 16-bit samples are aligned.
fn check(data: &[u8], stride: usize, width: usize, height: usize, bytes_per_sample: usize) -> Result<()> {
    let row = width * bytes_per_sample;
    if stride < row {
        let message = format!("stride {stride} is less than the {row} bytes of a row");
        return Err(Error::new(Kind::Internal, message));
    }
    let needed = if height == 0 { 0 } else { stride * (height - 1) + row };
    if data.len() < needed {
        let message = format!("a plane has {} bytes, {height} rows of stride {stride} need {needed}", data.len());
        return Err(Error::new(Kind::Internal, message));
    }
    if bytes_per_sample == 2 && (!(data.as_ptr() as usize).is_multiple_of(2) || !stride.is_multiple_of(2)) {
        return Err(Error::new(Kind::Internal, "a plane of 16-bit samples starts at an odd address"));
    }
    Ok(())
}

impl<'a> PlaneView<'a> {
    /// `height` rows of `width` samples of 1 or 2 bytes, `stride` bytes apart.
    pub fn new(data: &'a [u8], stride: usize, width: usize, height: usize, bytes_per_sample: usize) -> Result<Self> {
        check(data, stride, width, height, bytes_per_sample)?;
        Ok(PlaneView { data, stride, width, height, bytes_per_sample })
    }

    /// Samples a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Bytes from a row to the next.
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// 1 or 2.
    pub fn bytes_per_sample(&self) -> usize {
        self.bytes_per_sample
    }

    /// The bytes of row `y`, without padding.
    pub fn row_bytes(&self, y: usize) -> &'a [u8] {
        assert!(y < self.height, "row {y} of {}", self.height);
        let start = y * self.stride;
        &self.data[start..start + self.width * self.bytes_per_sample]
    }

    /// The samples in `columns` of `rows`, which lie inside.
    #[must_use]
    pub fn part(&self, columns: Range<usize>, rows: Range<usize>) -> PlaneView<'a> {
        assert!(columns.start <= columns.end && columns.end <= self.width, "columns {columns:?} of {}", self.width);
        assert!(rows.start <= rows.end && rows.end <= self.height, "rows {rows:?} of {}", self.height);
        let start = (rows.start * self.stride + columns.start * self.bytes_per_sample).min(self.data.len());
        PlaneView { data: &self.data[start..], width: columns.len(), height: rows.len(), ..*self }
    }

    /// The samples of row `y` of a plane of 16-bit samples.
    pub fn row_u16(&self, y: usize) -> &'a [u16] {
        assert_eq!(self.bytes_per_sample, 2, "a plane of 8-bit samples has no 16-bit rows");
        bytemuck::cast_slice(self.row_bytes(y))
    }
}

impl<'a> PlaneMut<'a> {
    /// `height` rows of `width` samples of 1 or 2 bytes, `stride` bytes apart.
    pub fn new(
        data: &'a mut [u8],
        stride: usize,
        width: usize,
        height: usize,
        bytes_per_sample: usize,
    ) -> Result<Self> {
        check(data, stride, width, height, bytes_per_sample)?;
        Ok(PlaneMut { data, stride, width, height, bytes_per_sample })
    }

    /// Samples a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Bytes from a row to the next.
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// 1 or 2.
    pub fn bytes_per_sample(&self) -> usize {
        self.bytes_per_sample
    }

    /// The bytes of row `y`, without padding.
    pub fn row_bytes(&mut self, y: usize) -> &mut [u8] {
        assert!(y < self.height, "row {y} of {}", self.height);
        let start = y * self.stride;
        &mut self.data[start..start + self.width * self.bytes_per_sample]
    }

    /// The samples of row `y` of a plane of 16-bit samples.
    pub fn row_u16(&mut self, y: usize) -> &mut [u16] {
        assert_eq!(self.bytes_per_sample, 2, "a plane of 8-bit samples has no 16-bit rows");
        bytemuck::cast_slice_mut(self.row_bytes(y))
    }

    /// The plane to read, for as long as it is not written.
    pub fn view(&self) -> PlaneView<'_> {
        PlaneView {
            data: self.data,
            stride: self.stride,
            width: self.width,
            height: self.height,
            bytes_per_sample: self.bytes_per_sample,
        }
    }
}
