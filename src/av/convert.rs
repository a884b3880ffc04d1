//! Conversion of whole frames by swscale: formats outside the chain's, and frames of another size.

use ffmpeg_next::ffi;

use super::picture::{AvFrame, pixel_format};
use super::{rgb, tags};
use crate::error::{Error, Kind, Result};
use crate::frame::{ColorMatrix, ColorRange, ColorTags, PixelFormat};

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
    let has = |flag: i32| rgb::has(descriptor, flag);
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
    /// What the codes of Y'CbCr and gray mean that is made of something else.
    color: ColorTags,
    /// What becomes Y'CbCr and gray of another range is brought to that of `color`.
    is_ranged: bool,
    context: *mut ffi::SwsContext,
}

// SAFETY: the context belongs to this value alone.
unsafe impl Send for Converter {}

impl Converter {
    /// A converter to FFmpeg's format `format` and `width` x `height`. R'G'B' becomes Y'CbCr by `color`.
    pub fn new(format: impl ToString, (width, height): (usize, usize), color: ColorTags) -> Self {
        let format = format.to_string();
        Converter { format, width, height, color, is_ranged: false, context: std::ptr::null_mut() }
    }

    /// Also brings Y'CbCr and gray of another range to that of the converter's colour.
    #[must_use]
    pub fn ranged(mut self) -> Self {
        self.is_ranged = true;
        self
    }

    /// Converts a frame: R'G'B' to R'G'B' sample by sample, anything else bicubic with accurate rounding. Y'CbCr keeps its
    /// own matrix, and without [`Converter::ranged`] its range.
    pub fn convert(&mut self, source: &AvFrame) -> Result<AvFrame> {
        let made_rgb = is_rgb(&self.format);
        if !(made_rgb && is_rgb(&source.format_name())) {
            return self.scale(source);
        }
        let mut exact = self.target(source, (source.width(), source.height()))?;
        match rgb::convert(source, &mut exact) {
            true if (source.width(), source.height()) == (self.width, self.height) => Ok(exact),
            true => self.scale(&exact),
            false => self.scale(source),
        }
    }

    /// A frame of the converter's format to be filled, with all that rides with `source`.
    fn target(&self, source: &AvFrame, (width, height): (usize, usize)) -> Result<AvFrame> {
        let mut target = AvFrame::new()?;
        let number = pixel_format(&self.format)?;
        // SAFETY: both frames are valid; size and format are set before buffers are asked for; every result is checked.
        unsafe {
            let raw = target.get_mut();
            raw.width = width as i32;
            raw.height = height as i32;
            raw.format = number as i32;
            let code = ffi::av_frame_get_buffer(target.as_ptr(), 64);
            if code < 0 {
                return Err(super::error(Kind::Io, "allocate a frame", code));
            }
            let code = ffi::av_frame_copy_props(target.as_ptr(), source.as_ptr());
            if code < 0 {
                return Err(super::error(Kind::Io, "copy a frame's properties", code));
            }
        }
        Ok(target)
    }

    fn scale(&mut self, source: &AvFrame) -> Result<AvFrame> {
        let mut target = self.target(source, (self.width, self.height))?;
        let number = pixel_format(&self.format)?;
        let [from_rgb, made_rgb] = [&source.format_name(), &self.format].map(|name| is_rgb(name));
        // SAFETY: both frames are valid and the target has memory; sws_getCachedContext frees the old context when the
        // source's shape changed; every result is checked.
        unsafe {
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
                let message = format!("{} cannot be converted to {}", source.format_name(), self.format);
                return Err(Error::new(Kind::Input, message));
            }
            let (tags, height) = if from_rgb { (self.color, self.height) } else { (source.color(), source.height()) };
            let matrix = match tags.matrix_for(height) {
                ColorMatrix::Bt709 => ffi::SWS_CS_ITU709,
                ColorMatrix::Fcc => ffi::SWS_CS_FCC,
                ColorMatrix::Bt601 => ffi::SWS_CS_ITU601,
                ColorMatrix::Smpte240 => ffi::SWS_CS_SMPTE240M,
                ColorMatrix::Bt2020 => ffi::SWS_CS_BT2020,
            };
            let coefficients = ffi::sws_getCoefficients(matrix);
            let is_full = |tags: ColorTags| i32::from(tags.range == Some(ColorRange::Full));
            let source_full = if from_rgb { 1 } else { is_full(source.color()) };
            let target_full = match (made_rgb, from_rgb || self.is_ranged) {
                (true, _) => 1,
                (false, true) => is_full(self.color),
                (false, false) => source_full,
            };
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
        if from_rgb != made_rgb {
            // What the frame said of its codes is no longer so.
            let raw = target.get_mut();
            raw.color_range = tags::range(if made_rgb { Some(ColorRange::Full) } else { self.color.range });
            raw.colorspace = tags::matrix(if made_rgb { 0 } else { self.color.matrix });
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
        let descriptor = unsafe { ffi::av_pix_fmt_desc_get(number).as_ref() };
        descriptor.is_some_and(|descriptor| rgb::has(descriptor, wanted))
    })
}

impl Drop for Converter {
    fn drop(&mut self) {
        // SAFETY: owned by this value, or null.
        unsafe { ffi::sws_freeContext(self.context) }
    }
}
