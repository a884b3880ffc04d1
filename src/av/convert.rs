//! Conversion of whole frames by swscale: formats outside the chain's, and frames of another size.

use ffmpeg_next::ffi;

use super::picture::{AvFrame, pixel_format};
use crate::error::{Error, Kind, Result};
use crate::frame::{ColorRange, PixelFormat};

/// The chain's format that loses least of FFmpeg's format `name`: itself, when the chain works on it; else planar
/// R'G'B', Y'CbCr or gray with the same depth and subsampling.
pub fn native_format(name: &str) -> Result<PixelFormat> {
    if let Some(format) = PixelFormat::from_name(name) {
        return Ok(format);
    }
    let number = pixel_format(name)?;
    // SAFETY: a known format has a descriptor, which is static.
    let descriptor = unsafe { ffi::av_pix_fmt_desc_get(number).as_ref() }
        .ok_or_else(|| Error::new(Kind::Input, format!("pixel format '{name}' is unknown to this FFmpeg")))?;
    let has = |flag: i32| descriptor.flags & flag as u64 != 0;
    if has(ffi::AV_PIX_FMT_FLAG_HWACCEL) {
        return Err(Error::new(Kind::Input, format!("frames in device memory ({name}) cannot be read here")));
    }
    let depth = match descriptor.comp[0].depth {
        ..=8 => 8,
        9 => 9,
        10 => 10,
        11 | 12 => 12,
        13 | 14 => 14,
        _ => 16,
    };
    let is_palette = has(ffi::AV_PIX_FMT_FLAG_PAL);
    let mut format = if descriptor.nb_components <= 2 && !is_palette {
        PixelFormat::gray(depth)
    } else if has(ffi::AV_PIX_FMT_FLAG_RGB) || is_palette {
        PixelFormat::rgb(depth)
    } else {
        PixelFormat::yuv(descriptor.log2_chroma_w, descriptor.log2_chroma_h, depth)
    };
    let has_alpha = has(ffi::AV_PIX_FMT_FLAG_ALPHA);
    if has_alpha && !format.is_gray() && matches!(depth, 8 | 10 | 12 | 16) {
        format.alpha = true;
    }
    Ok(format)
}

/// Converts frames to one format and size.
pub struct Converter {
    /// FFmpeg's name of the format.
    format: String,
    width: usize,
    height: usize,
    context: *mut ffi::SwsContext,
}

// SAFETY: the context belongs to this value alone.
unsafe impl Send for Converter {}

impl Converter {
    /// A converter to FFmpeg's format `format` and `width` x `height`.
    pub fn new(format: impl ToString, width: usize, height: usize) -> Self {
        Converter { format: format.to_string(), width, height, context: std::ptr::null_mut() }
    }

    /// Converts a frame: bicubic, accurate rounding, by the frame's own matrix and range. Between R'G'B' and Y'CbCr, as
    /// where a stream changes, it goes by the matrix that the frame is tagged with, or else by BT.709 from 720 lines up
    /// and BT.601 below.
    pub fn convert(&mut self, source: &AvFrame) -> Result<AvFrame> {
        let mut target = AvFrame::new()?;
        let name = &self.format;
        let number = pixel_format(name)?;
        let from_rgb = is_rgb(&source.format_name());
        // SAFETY: both frames are valid; sizes and formats are set before buffers are asked for; every result is
        // checked; sws_getCachedContext frees the old context when the source's shape changed.
        unsafe {
            let raw = target.get_mut();
            raw.width = self.width as i32;
            raw.height = self.height as i32;
            raw.format = number as i32;
            let code = ffi::av_frame_get_buffer(target.as_ptr(), 64);
            if code < 0 {
                return Err(super::error(Kind::Io, "allocate a frame", code));
            }
            let code = ffi::av_frame_copy_props(target.as_ptr(), source.as_ptr());
            if code < 0 {
                return Err(super::error(Kind::Io, "copy a frame's properties", code));
            }
            let flags = ffi::SWS_BICUBIC | ffi::SWS_ACCURATE_RND | ffi::SWS_FULL_CHR_H_INT | ffi::SWS_FULL_CHR_H_INP;
            self.context = ffi::sws_getCachedContext(
                self.context,
                source.get().width,
                source.get().height,
                std::mem::transmute::<i32, ffi::AVPixelFormat>(source.get().format),
                self.width as i32,
                self.height as i32,
                number,
                flags,
                std::ptr::null_mut(),
                std::ptr::null_mut(),
                std::ptr::null(),
            );
            if self.context.is_null() {
                let message = format!("{} cannot be converted to {name}", source.format_name());
                return Err(Error::new(Kind::Input, message));
            }
            let tags = source.color();
            let standard = if source.height() >= 720 { ffi::SWS_CS_ITU709 } else { ffi::SWS_CS_ITU601 };
            let matrix = match tags.matrix {
                1 => ffi::SWS_CS_ITU709,
                4 => ffi::SWS_CS_FCC,
                5 | 6 => ffi::SWS_CS_ITU601,
                7 => ffi::SWS_CS_SMPTE240M,
                9 | 10 => ffi::SWS_CS_BT2020,
                _ => standard,
            };
            let coefficients = ffi::sws_getCoefficients(matrix);
            let full = i32::from(tags.range == Some(ColorRange::Full));
            let (source_full, target_full) = if from_rgb { (1, 0) } else { (full, full) };
            // Fails only for formats without a matrix, where there is nothing to set.
            ffi::sws_setColorspaceDetails(
                self.context,
                coefficients,
                source_full,
                coefficients,
                target_full,
                0,
                1 << 16,
                1 << 16,
            );
            let code = ffi::sws_scale_frame(self.context, target.as_ptr(), source.as_ptr());
            if code < 0 {
                return Err(super::error(Kind::Decode, "convert a frame", code));
            }
        }
        Ok(target)
    }
}

impl AvFrame {
    /// Its format has room for opacity.
    pub fn has_opacity(&self) -> bool {
        has_flag(&self.format_name(), ffi::AV_PIX_FMT_FLAG_ALPHA)
    }
}

/// Whether FFmpeg's format `name` holds R'G'B' (a palette does).
fn is_rgb(name: &str) -> bool {
    has_flag(name, ffi::AV_PIX_FMT_FLAG_RGB | ffi::AV_PIX_FMT_FLAG_PAL)
}

/// Whether FFmpeg's format `name` has one of these flags.
fn has_flag(name: &str, wanted: i32) -> bool {
    pixel_format(name).is_ok_and(|number| {
        // SAFETY: a known format has a descriptor, which is static.
        let flags = unsafe { ffi::av_pix_fmt_desc_get(number).as_ref() }.map_or(0, |descriptor| descriptor.flags);
        flags & wanted as u64 != 0
    })
}

impl Drop for Converter {
    fn drop(&mut self) {
        // SAFETY: owned by this value, or null.
        unsafe { ffi::sws_freeContext(self.context) }
    }
}
