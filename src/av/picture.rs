//! FFmpeg's frames: a decoder's buffer as a [`Picture`], and a picture as an encoder's input. Nothing is copied.

use std::ffi::c_void;
use std::sync::Arc;

use ffmpeg_next::ffi;

use super::packet::known;
use super::tags;
use crate::error::{Error, Kind, Result};
use crate::frame::{ColorTags, FieldOrder, Picture, PixelFormat, PlaneMemory, SideData};
use crate::time::Ratio;

/// Under which identifiers x264 and x265 write their settings into the stream (user data unregistered SEI).
const ENCODER_NOTES: [[u8; 16]; 2] = [
    [0xdc, 0x45, 0xe9, 0xbd, 0xe6, 0xd9, 0x48, 0xb7, 0x96, 0x2c, 0xd8, 0x20, 0xd9, 0x23, 0xee, 0xef],
    [0x2c, 0xa2, 0xde, 0x09, 0xb5, 0x17, 0x47, 0xdb, 0xbb, 0x55, 0xa4, 0xfe, 0x7f, 0xc2, 0xfc, 0x4e],
];

/// An `AVFrame` that frees itself.
pub struct AvFrame(*mut ffi::AVFrame);

// SAFETY: a frame is plain data with atomically counted buffers, owned by this value.
unsafe impl Send for AvFrame {}
// SAFETY: shared references only read.
unsafe impl Sync for AvFrame {}

impl AvFrame {
    /// An empty frame.
    pub(super) fn new() -> Result<Self> {
        // SAFETY: allocates; null is an error.
        let frame = unsafe { ffi::av_frame_alloc() };
        if frame.is_null() { Err(Error::new(Kind::Io, "out of memory for a frame")) } else { Ok(AvFrame(frame)) }
    }

    pub(super) fn as_ptr(&self) -> *mut ffi::AVFrame {
        self.0
    }

    pub(super) fn get(&self) -> &ffi::AVFrame {
        // SAFETY: valid from `new` to drop.
        unsafe { &*self.0 }
    }

    pub(super) fn get_mut(&mut self) -> &mut ffi::AVFrame {
        // SAFETY: valid from `new` to drop, and `&mut self` is the only way to it.
        unsafe { &mut *self.0 }
    }

    /// Width in luma samples.
    pub fn width(&self) -> usize {
        usize::try_from(self.get().width).unwrap_or(0)
    }

    /// Height in luma samples.
    pub fn height(&self) -> usize {
        usize::try_from(self.get().height).unwrap_or(0)
    }

    /// FFmpeg's name of the pixel format.
    pub fn format_name(&self) -> String {
        // SAFETY: FFmpeg looks the number up in a table and answers null for what it does not know; the enum is passed
        // by value as the C integer it is.
        unsafe {
            super::stream::text(ffi::av_get_pix_fmt_name(std::mem::transmute::<i32, ffi::AVPixelFormat>(
                self.get().format,
            )))
        }
    }

    /// The decoder's best guess of the presentation time stamp.
    pub fn pts(&self) -> Option<i64> {
        known(self.get().best_effort_timestamp).or_else(|| known(self.get().pts))
    }

    /// How long the packet said it lasts, if it said so.
    pub fn duration(&self) -> Option<i64> {
        Some(self.get().pkt_duration).filter(|ticks| *ticks > 0)
    }

    /// How many fields longer than its two it is to be shown.
    pub fn n_repeated_fields(&self) -> usize {
        usize::try_from(self.get().repeat_pict).unwrap_or(0)
    }

    /// The colour tags.
    pub fn color(&self) -> ColorTags {
        let frame = self.get();
        tags::color(frame.color_range, frame.colorspace, frame.color_primaries, frame.color_trc, frame.chroma_location)
    }

    /// Sample aspect ratio; unknown when a part is 0.
    pub fn sample_aspect_ratio(&self) -> Ratio {
        tags::ratio(self.get().sample_aspect_ratio)
    }

    /// Whether, and how, the frame is interlaced.
    pub fn field_order(&self) -> FieldOrder {
        match (self.get().interlaced_frame != 0, self.get().top_field_first != 0) {
            (false, _) => FieldOrder::Progressive,
            (true, true) => FieldOrder::TopFirst,
            (true, false) => FieldOrder::BottomFirst,
        }
    }

    /// Every plane is stored from its first row down.
    pub fn is_top_down(&self) -> bool {
        self.get().linesize.iter().all(|stride| *stride >= 0)
    }

    /// The decoder had to guess parts of the picture.
    pub(super) fn is_damaged(&self) -> bool {
        self.get().decode_error_flags != 0 || self.get().flags & ffi::AV_FRAME_FLAG_CORRUPT != 0
    }

    /// What rides along and is not told by other means (motion vectors, quantisers and the like are left out).
    pub fn side_data(&self) -> Vec<SideData> {
        use ffi::AVFrameSideDataType::*;
        let frame = self.get();
        let count = usize::try_from(frame.nb_side_data).unwrap_or(0);
        (0..count)
            .filter_map(|i| {
                // SAFETY: the array has `nb_side_data` entries, each with `size` bytes.
                unsafe {
                    let entry = &**frame.side_data.add(i);
                    let rides = matches!(
                        entry.type_,
                        AV_FRAME_DATA_A53_CC
                            | AV_FRAME_DATA_AFD
                            | AV_FRAME_DATA_S12M_TIMECODE
                            | AV_FRAME_DATA_GOP_TIMECODE
                            | AV_FRAME_DATA_DYNAMIC_HDR_PLUS
                            | AV_FRAME_DATA_DYNAMIC_HDR_VIVID
                            | AV_FRAME_DATA_DOVI_RPU_BUFFER
                            | AV_FRAME_DATA_DOVI_METADATA
                            | AV_FRAME_DATA_SEI_UNREGISTERED
                            | AV_FRAME_DATA_MASTERING_DISPLAY_METADATA
                            | AV_FRAME_DATA_CONTENT_LIGHT_LEVEL
                            | AV_FRAME_DATA_FILM_GRAIN_PARAMS
                            | AV_FRAME_DATA_STEREO3D
                            | AV_FRAME_DATA_SPHERICAL
                            | AV_FRAME_DATA_ICC_PROFILE
                    );
                    (rides && (1..=1 << 20).contains(&entry.size)).then(|| SideData {
                        kind: entry.type_ as i32,
                        bytes: std::slice::from_raw_parts(entry.data, entry.size).to_vec(),
                    })
                }
            })
            // The note that an encoder leaves about itself would be false of the new stream.
            .filter(|data| !ENCODER_NOTES.iter().any(|uuid| data.bytes.starts_with(uuid)))
            .collect()
    }

    /// The payload of one kind of side data, if the frame has it.
    pub(super) fn data_of(&self, kind: ffi::AVFrameSideDataType) -> Option<&[u8]> {
        // SAFETY: the frame is valid; null is checked, and an entry's data has `size` bytes and lives with the frame.
        unsafe {
            let entry = ffi::av_frame_get_side_data(self.0, kind).as_ref()?;
            (!entry.data.is_null()).then(|| std::slice::from_raw_parts(entry.data, entry.size))
        }
    }

    /// The frame's pixels in the decoder's own memory; an error if the chain does not work on the format or the
    /// memory does not lie as expected (then [`super::Converter`] makes a copy).
    pub fn into_picture(self) -> Result<Picture> {
        let format = PixelFormat::from_name(&self.format_name()).ok_or_else(|| {
            Error::new(Kind::Internal, format!("{} is not a format of the chain", self.format_name()))
        })?;
        let (width, height) = (self.width(), self.height());
        let mut strides = [0; 4];
        for (plane, stride) in strides.iter_mut().enumerate().take(format.n_planes()) {
            *stride = usize::try_from(self.get().linesize[plane])
                .map_err(|_| Error::new(Kind::Internal, "the picture is stored bottom up"))?;
            if self.get().data[plane].is_null() {
                return Err(Error::new(Kind::Internal, "the picture lacks a plane"));
            }
        }
        let sizes = std::array::from_fn(|plane| {
            if plane >= format.n_planes() {
                return 0;
            }
            let (columns, rows) = format.plane_size(plane, width, height);
            rows.saturating_sub(1) * strides[plane] + columns * format.bytes_per_sample()
        });
        Picture::new(format, width, height, strides, Arc::new(Decoded { frame: self, sizes }))
    }

    /// A frame over a picture's memory, for an encoder: no pixel is copied, the picture lives as long as the frame.
    pub fn from_picture(picture: &Picture, color: ColorTags) -> Result<AvFrame> {
        let mut frame = AvFrame::new()?;
        let format = picture.format();
        let number = pixel_format(&format.to_string())?;
        let raw = frame.get_mut();
        raw.width = picture.width() as i32;
        raw.height = picture.height() as i32;
        raw.format = number as i32;
        raw.color_range = tags::range(color.range);
        raw.colorspace = tags::matrix(color.matrix);
        raw.color_primaries = tags::primaries(color.primaries);
        raw.color_trc = tags::transfer(color.transfer);
        raw.chroma_location = tags::chroma_location(color.chroma_location);
        for plane in 0..format.n_planes() {
            let view = picture.plane(plane);
            let bytes = if view.height() == 0 {
                0
            } else {
                view.stride() * (view.height() - 1) + view.width() * view.bytes_per_sample()
            };
            let start = if view.height() == 0 { std::ptr::null() } else { view.row_bytes(0).as_ptr() };
            let owner = Box::into_raw(Box::new(picture.clone()));
            // SAFETY: the plane's memory lives as long as the picture, a clone of which the buffer owns until
            // `release`; it is marked read only, so FFmpeg copies before it writes.
            let buffer = unsafe {
                ffi::av_buffer_create(
                    start.cast_mut(),
                    bytes,
                    Some(release),
                    owner.cast::<c_void>(),
                    ffi::AV_BUFFER_FLAG_READONLY,
                )
            };
            if buffer.is_null() {
                // SAFETY: nobody else has seen the clone.
                drop(unsafe { Box::from_raw(owner) });
                return Err(Error::new(Kind::Io, "out of memory for a frame"));
            }
            raw.buf[plane] = buffer;
            raw.data[plane] = start.cast_mut();
            raw.linesize[plane] = i32::try_from(view.stride())
                .map_err(|_| Error::new(Kind::Input, "a row of the picture is longer than 2 GiB"))?;
        }
        Ok(frame)
    }

    /// Attaches side data.
    pub(super) fn add_side_data(&mut self, data: &SideData) -> Result<()> {
        // SAFETY: the kind came from a frame of this same FFmpeg, so it is a valid enum value; the new buffer has as
        // many bytes as are copied into it.
        unsafe {
            let kind = std::mem::transmute::<i32, ffi::AVFrameSideDataType>(data.kind);
            let entry = ffi::av_frame_new_side_data(self.0, kind, data.bytes.len());
            if entry.is_null() {
                return Err(Error::new(Kind::Io, "out of memory for side data"));
            }
            std::ptr::copy_nonoverlapping(data.bytes.as_ptr(), (*entry).data, data.bytes.len());
        }
        Ok(())
    }
}

/// FFmpeg's number of a pixel format by its name.
pub(super) fn pixel_format(name: &str) -> Result<ffi::AVPixelFormat> {
    let text = std::ffi::CString::new(name).unwrap_or_default();
    // SAFETY: looks a terminated string up in a table.
    match unsafe { ffi::av_get_pix_fmt(text.as_ptr()) } {
        ffi::AVPixelFormat::AV_PIX_FMT_NONE => Err(Error::new(
            Kind::Usage,
            format!("'{name}' is not a pixel format that this FFmpeg knows; see `ffmpeg -pix_fmts`"),
        )),
        format => Ok(format),
    }
}

/// Lets the picture behind a buffer go.
unsafe extern "C" fn release(opaque: *mut c_void, _: *mut u8) {
    // SAFETY: the pointer is the boxed clone given to av_buffer_create, released exactly once.
    drop(unsafe { Box::from_raw(opaque.cast::<Picture>()) });
}

impl Drop for AvFrame {
    fn drop(&mut self) {
        // SAFETY: owned by this value.
        unsafe { ffi::av_frame_free(&mut self.0) }
    }
}

/// A decoded frame as the memory of a picture.
struct Decoded {
    frame: AvFrame,
    sizes: [usize; 4],
}

impl PlaneMemory for Decoded {
    fn plane(&self, plane: usize) -> &[u8] {
        // SAFETY: a decoded plane has its rows `linesize` apart, the last at least as long as the picture is wide;
        // the frame holds a reference to the buffer, which the decoder does not write while it is shared.
        unsafe { std::slice::from_raw_parts(self.frame.get().data[plane], self.sizes[plane]) }
    }
}
