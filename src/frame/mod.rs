//! Frames: a picture with its time, colour and side data.
//!
//! A [`Picture`] is shared and read only. Its memory is the decoder's own buffer, a memory-mapped file or a slab of
//! the [`pool`]; nobody copies it to hand it on. A frame knows nothing of files, networks or threads.

pub mod canvas;
pub mod color;
pub mod format;
pub mod plane;
pub mod pool;

use std::sync::Arc;

pub use color::{ChromaLocation, ColorMatrix, ColorRange, ColorTags};
pub use format::{Components, Packing, PixelFormat, RGB_PLANES, Subsampling};
pub use plane::{PlaneMut, PlaneView};
pub use pool::{PictureBuf, Pool};

use crate::error::{Context, Result};
use crate::time::Ratio;

/// Memory that holds the planes of one picture and does not change while it lives.
pub trait PlaneMemory: Send + Sync {
    /// The bytes of a plane, from its first row to the end of its last.
    fn plane(&self, plane: usize) -> &[u8];
}

/// A picture: shared, read only.
#[derive(Clone)]
pub struct Picture {
    format: PixelFormat,
    width: usize,
    height: usize,
    strides: [usize; 4],
    memory: Arc<dyn PlaneMemory>,
}

impl Picture {
    /// A picture over `memory`; an error if a plane is too short for its rows or 16-bit samples are not aligned.
    pub fn new(
        format: PixelFormat,
        width: usize,
        height: usize,
        strides: [usize; 4],
        memory: Arc<dyn PlaneMemory>,
    ) -> Result<Self> {
        for (plane, stride) in strides.into_iter().enumerate().take(format.n_planes()) {
            let (columns, rows) = format.plane_size(plane, width, height);
            PlaneView::new(memory.plane(plane), stride, columns, rows, format.bytes_per_sample())
                .context(|| format!("plane {plane}, {width}x{height} {format}"))?;
        }
        Ok(Picture { format, width, height, strides, memory })
    }

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

    /// Whether it is the same memory as another's.
    pub fn is_same(&self, other: &Picture) -> bool {
        std::ptr::addr_eq(Arc::as_ptr(&self.memory), Arc::as_ptr(&other.memory))
    }

    /// A plane to read.
    pub fn plane(&self, plane: usize) -> PlaneView<'_> {
        let (columns, rows) = self.format.plane_size(plane, self.width, self.height);
        let bytes = self.memory.plane(plane);
        PlaneView::new(bytes, self.strides[plane], columns, rows, self.format.bytes_per_sample())
            .expect("checked when the picture was made")
    }
}

/// Which field of an interlaced frame comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FieldOrder {
    /// Not interlaced.
    Progressive,
    /// The top field first.
    TopFirst,
    /// The bottom field first.
    BottomFirst,
}

/// Data that rides with a frame unread: closed captions, time codes, dynamic HDR metadata, colour profiles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SideData {
    /// FFmpeg's `AVFrameSideDataType`.
    pub kind: i32,
    /// The payload, copied as it is.
    pub bytes: Vec<u8>,
}

impl SideData {
    /// The kind of an ICC profile.
    pub const ICC_PROFILE: i32 = 15;
}

/// A decoded picture with its time, colour and side data.
#[derive(Clone)]
pub struct Frame {
    /// 0.. no holes, in presentation order.
    pub index: u64,
    /// When it is shown, in ticks of the source's time base; strictly rising.
    pub pts: i64,
    /// How long it is shown, in the same ticks, where the container says so.
    pub duration: Option<i64>,
    /// The pixels.
    pub picture: Picture,
    /// The frame's own colour tags.
    pub color: ColorTags,
    /// Sample aspect ratio; unknown when a part is 0.
    pub sample_aspect_ratio: Ratio,
    /// Whether, and how, it is interlaced.
    pub field_order: FieldOrder,
    /// What rides along.
    pub side_data: Vec<SideData>,
}
