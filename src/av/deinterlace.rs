//! Deinterlacing by FFmpeg's bwdif filter at the same frame rate: frames that are not flagged pass untouched.

mod planes;

use std::ffi::{CStr, CString};
use std::ptr;

use ffmpeg_next::ffi;

use self::planes::Planes;
use super::filters::{self, Filter, Filters, Graph};
use super::picture::AvFrame;
use crate::error::{Error, Kind, Result};
use crate::frame::{FieldOrder, Frame, Packing, PixelFormat, Pool};
use crate::time::TimeBase;

/// Deinterlaces frames of one size and format. Each gives one, in order.
pub struct Deinterlacer(Way);

enum Way {
    /// Frames go through the filter as they are.
    Whole(Bwdif),
    /// It would be given what a scaler makes of them.
    Planes(Planes),
}

impl Deinterlacer {
    /// For frames like `frame`. `all`: also those that are not flagged interlaced.
    pub fn new(frame: &AvFrame, time_base: TimeBase, all: bool) -> Result<Self> {
        let lacking = PixelFormat::from_name(&frame.format_name()).filter(|format| !is_known(*format));
        Ok(Deinterlacer(match lacking {
            Some(format) => Way::Planes(Planes::new(frame, format, time_base, all)?),
            None => Way::Whole(Bwdif::new(frame, time_base, all)?),
        }))
    }

    /// Gives a frame, or `None` at the end.
    pub fn send(&mut self, frame: Option<AvFrame>) -> Result<()> {
        match &mut self.0 {
            Way::Whole(filter) => filter.send(frame),
            Way::Planes(planes) => planes.send(frame),
        }
    }

    /// The next frame, if one is ready.
    pub fn receive(&mut self) -> Result<Option<AvFrame>> {
        match &mut self.0 {
            Way::Whole(filter) => filter.receive(),
            Way::Planes(planes) => planes.receive(),
        }
    }
}

/// Whether bwdif takes a format in every release since FFmpeg 5 (`pix_fmts` in `vf_bwdif.c`).
fn is_known(format: PixelFormat) -> bool {
    let is_440 = format.subsampling().is_some_and(|subsampling| subsampling.x == 0 && subsampling.y == 1);
    let depths: &[u8] = match format.subsampling() {
        None if format.is_rgb() && format.alpha => &[8, 16],
        None if format.is_rgb() => &[8, 9, 10, 12, 14, 16],
        None => &[8, 16],
        Some(_) if is_440 => &[8],
        Some(_) if format.alpha => &[8, 9, 10, 16],
        Some(_) => &[8, 9, 10, 12, 14, 16],
    };
    format.packing == Packing::Planar && depths.contains(&format.bit_depth)
}

impl AvFrame {
    /// A frame for a [`Deinterlacer`], of one that no decoder of FFmpeg's made. Its samples are copied, because the
    /// filter reads beyond the ends of rows, where `pool` has room.
    pub fn with_fields(frame: &Frame, pool: &Pool) -> Result<AvFrame> {
        let picture = &frame.picture;
        let mut copy = pool.picture(picture.format(), picture.width(), picture.height())?;
        for number in 0..picture.format().n_planes() {
            planes::copy(picture.plane(number), &mut copy.plane_mut(number), |code| code);
        }
        let mut woven = AvFrame::from_picture(&copy.freeze(), frame.color)?;
        let raw = woven.get_mut();
        raw.pts = frame.pts;
        raw.interlaced_frame = i32::from(frame.field_order != FieldOrder::Progressive);
        raw.top_field_first = i32::from(frame.field_order == FieldOrder::TopFirst);
        Ok(woven)
    }
}

/// A bwdif filter graph for frames of one size and format that it takes.
struct Bwdif {
    filters: &'static Filters,
    graph: *mut Graph,
    source: *mut Filter,
    sink: *mut Filter,
}

// SAFETY: the graph belongs to this value alone.
unsafe impl Send for Bwdif {}

impl Bwdif {
    /// A graph for frames like `frame`. `all`: also frames that are not flagged interlaced.
    fn new(frame: &AvFrame, time_base: TimeBase, all: bool) -> Result<Self> {
        let filters = filters::open()?;
        // SAFETY: allocates; null is checked.
        let graph = unsafe { (filters.graph_alloc)() };
        if graph.is_null() {
            return Err(Error::new(Kind::Io, "out of memory for a filter"));
        }
        let mut this = Bwdif { filters, graph, source: ptr::null_mut(), sink: ptr::null_mut() };
        let raw = frame.get();
        let sar = raw.sample_aspect_ratio;
        let arguments = format!(
            "video_size={}x{}:pix_fmt={}:time_base={}/{}:pixel_aspect={}/{}",
            raw.width,
            raw.height,
            raw.format,
            time_base.num(),
            time_base.den(),
            sar.num.max(0),
            sar.den.max(1)
        );
        let options =
            if all { "mode=send_frame:parity=auto:deint=all" } else { "mode=send_frame:parity=auto:deint=interlaced" };
        this.source = this.add(c"buffer", &arguments)?;
        let filter = this.add(c"bwdif", options)?;
        this.sink = this.add(c"buffersink", "")?;
        // SAFETY: the filters belong to the graph, which begins with its class as all that has options does; each has
        // the pad that is linked.
        unsafe {
            let code = ffi::av_opt_set_int(this.graph.cast(), c"threads".as_ptr(), 1, 0);
            if code < 0 {
                return Err(super::error(Kind::Internal, "give the deinterlacing filter one thread", code));
            }
            for (from, to) in [(this.source, filter), (filter, this.sink)] {
                let code = (filters.link)(from, 0, to, 0);
                if code < 0 {
                    return Err(super::error(Kind::Internal, "link the deinterlacing filter", code));
                }
            }
            let code = (filters.graph_config)(this.graph, ptr::null_mut());
            if code < 0 {
                return Err(super::error(Kind::Input, "the deinterlacing filter refuses the format", code));
            }
        }
        Ok(this)
    }

    fn add(&mut self, name: &CStr, arguments: &str) -> Result<*mut Filter> {
        let text = CString::new(arguments).unwrap_or_default();
        let mut context = ptr::null_mut();
        // SAFETY: the graph is valid, strings are terminated, a missing filter is null and refused before use.
        unsafe {
            let filter = (self.filters.get_by_name)(name.as_ptr());
            if filter.is_null() {
                let message = format!("this FFmpeg has no filter '{}'; try --deinterlace off", name.to_string_lossy());
                return Err(Error::new(Kind::Library, message));
            }
            let code = (self.filters.graph_create_filter)(
                &mut context,
                filter,
                name.as_ptr(),
                text.as_ptr(),
                ptr::null_mut(),
                self.graph,
            );
            if code < 0 {
                return Err(super::error(Kind::Internal, format!("make the filter {}", name.to_string_lossy()), code));
            }
        }
        Ok(context)
    }

    fn send(&mut self, frame: Option<AvFrame>) -> Result<()> {
        let pointer = frame.as_ref().map_or(ptr::null_mut(), AvFrame::as_ptr);
        // SAFETY: the graph is configured; the filter takes over the frame's references and leaves it empty.
        match unsafe { (self.filters.source_add_frame)(self.source, pointer) } {
            0.. => Ok(()),
            code => Err(super::error(Kind::Decode, "deinterlace a frame", code)),
        }
    }

    fn receive(&mut self) -> Result<Option<AvFrame>> {
        let frame = AvFrame::new()?;
        // SAFETY: the graph is configured and the frame empty.
        match unsafe { (self.filters.sink_get_frame)(self.sink, frame.as_ptr()) } {
            0.. => Ok(Some(frame)),
            super::AGAIN | ffi::AVERROR_EOF => Ok(None),
            code => Err(super::error(Kind::Decode, "deinterlace a frame", code)),
        }
    }
}

impl Drop for Bwdif {
    fn drop(&mut self) {
        // SAFETY: owned by this value; frees its filters too.
        unsafe { (self.filters.graph_free)(&mut self.graph) }
    }
}
