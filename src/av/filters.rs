//! libavfilter, opened when a picture is to be deinterlaced for the first time.
//!
//! It is not linked: with the libraries that it needs in its turn it took half of the time until `main`, and most
//! videos need none of it. Only the few functions are named here that deinterlacing calls; their signatures are those of
//! `libavfilter/avfilter.h`, `buffersrc.h` and `buffersink.h`, the same since FFmpeg 5.

use std::ffi::{c_char, c_int, c_uint, c_void};
use std::sync::OnceLock;

use ffmpeg_next::ffi::{self, AVFrame};
use libloading::Library;

use crate::error::{Error, Kind, Result};

/// FFmpeg's `AVFilterGraph`.
#[repr(C)]
pub struct Graph {
    _hidden: [u8; 0],
}

/// FFmpeg's `AVFilterContext`.
#[repr(C)]
pub struct Filter {
    _hidden: [u8; 0],
}

/// FFmpeg's `AVFilter`.
#[repr(C)]
pub struct FilterKind {
    _hidden: [u8; 0],
}

/// The functions of the library, which stays open.
pub struct Filters {
    /// `avfilter_graph_alloc`.
    pub(super) graph_alloc: unsafe extern "C" fn() -> *mut Graph,
    /// `avfilter_graph_free`.
    pub(super) graph_free: unsafe extern "C" fn(*mut *mut Graph),
    /// `avfilter_graph_config`.
    pub(super) graph_config: unsafe extern "C" fn(*mut Graph, *mut c_void) -> c_int,
    /// `avfilter_graph_create_filter`.
    pub(super) graph_create_filter: unsafe extern "C" fn(
        *mut *mut Filter,
        *const FilterKind,
        *const c_char,
        *const c_char,
        *mut c_void,
        *mut Graph,
    ) -> c_int,
    /// `avfilter_get_by_name`.
    pub(super) get_by_name: unsafe extern "C" fn(*const c_char) -> *const FilterKind,
    /// `avfilter_link`.
    pub(super) link: unsafe extern "C" fn(*mut Filter, c_uint, *mut Filter, c_uint) -> c_int,
    /// `av_buffersrc_add_frame`.
    pub(super) source_add_frame: unsafe extern "C" fn(*mut Filter, *mut AVFrame) -> c_int,
    /// `av_buffersink_get_frame`.
    pub(super) sink_get_frame: unsafe extern "C" fn(*mut Filter, *mut AVFrame) -> c_int,
    _library: Library,
}

/// The library, opened at the first call; an error if it is not there.
pub fn open() -> Result<&'static Filters> {
    static FILTERS: OnceLock<std::result::Result<Filters, String>> = OnceLock::new();
    FILTERS.get_or_init(load).as_ref().map_err(|message| Error::new(Kind::Library, message.clone()))
}

/// The name that the loader is told.
pub fn name() -> String {
    // The libraries of a release are numbered together: libavfilter 8 goes with libavutil 57, 9 with 58, ...
    // SAFETY: returns a number.
    let release = unsafe { ffi::avutil_version() } >> 16;
    format!("libavfilter.so.{}", release.saturating_sub(49))
}

fn load() -> std::result::Result<Filters, String> {
    let name = name();
    let missing = |error: libloading::Error| {
        format!("cannot deinterlace without {name} ({error}); install FFmpeg's libavfilter, or use --deinterlace off")
    };
    // SAFETY: FFmpeg's initialisers may run in any thread; the library is the one built with those that are linked.
    let library = unsafe { Library::new(&name) }.map_err(missing)?;
    // SAFETY: the functions have these signatures in all releases that the program builds with, and the library is kept
    // open beside them.
    unsafe {
        Ok(Filters {
            graph_alloc: *library.get(b"avfilter_graph_alloc").map_err(missing)?,
            graph_free: *library.get(b"avfilter_graph_free").map_err(missing)?,
            graph_config: *library.get(b"avfilter_graph_config").map_err(missing)?,
            graph_create_filter: *library.get(b"avfilter_graph_create_filter").map_err(missing)?,
            get_by_name: *library.get(b"avfilter_get_by_name").map_err(missing)?,
            link: *library.get(b"avfilter_link").map_err(missing)?,
            source_add_frame: *library.get(b"av_buffersrc_add_frame").map_err(missing)?,
            sink_get_frame: *library.get(b"av_buffersink_get_frame").map_err(missing)?,
            _library: library,
        })
    }
}
