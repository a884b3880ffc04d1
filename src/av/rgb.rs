//! R'G'B' from one layout in memory to another, sample by sample: packed or planar, by a palette, of any depth.
//!
//! Codes of another depth are scaled by their ranges and rounded once; opacity that the other format lacks is left out,
//! and one that is new is full. swscale has such a way between a few formats alone and goes through Y'CbCr for the rest.
//! How each format lies in memory is FFmpeg's own description.

use ffmpeg_next::ffi;

use super::picture::AvFrame;

/// FFmpeg's description of a pixel format.
type Descriptor = ffi::AVPixFmtDescriptor;

/// The bits of a sample that is a float, from 0 to 1.
const FLOAT_DEPTH: i32 = 32;

/// The descriptions of the formats that two frames have, if one can be converted to the other here.
fn descriptors(from: &AvFrame, to: &AvFrame) -> Option<[&'static Descriptor; 2]> {
    let [source, target] = [descriptor(from)?, descriptor(to)?];
    let is_read = is_rgb(source) && (is_float(source) || has_codes(source));
    let is_written = is_rgb(target) && has_codes(target) && !has(target, ffi::AV_PIX_FMT_FLAG_PAL);
    (is_read && is_written).then_some([source, target])
}

fn descriptor(frame: &AvFrame) -> Option<&'static Descriptor> {
    // SAFETY: FFmpeg looks the number up and answers null for what it does not know; the enum is passed by value as the
    // C integer it is. Descriptors are static.
    unsafe { ffi::av_pix_fmt_desc_get(std::mem::transmute::<i32, ffi::AVPixelFormat>(frame.get().format)).as_ref() }
}

/// Whether a format has one of these flags.
pub(super) fn has(descriptor: &Descriptor, flags: i32) -> bool {
    descriptor.flags & flags as u64 != 0
}

fn is_rgb(descriptor: &Descriptor) -> bool {
    has(descriptor, ffi::AV_PIX_FMT_FLAG_RGB | ffi::AV_PIX_FMT_FLAG_PAL)
        && !has(descriptor, ffi::AV_PIX_FMT_FLAG_HWACCEL | ffi::AV_PIX_FMT_FLAG_BAYER)
}

fn is_float(descriptor: &Descriptor) -> bool {
    has(descriptor, ffi::AV_PIX_FMT_FLAG_FLOAT) && descriptor.comp[0].depth == FLOAT_DEPTH
}

fn has_codes(descriptor: &Descriptor) -> bool {
    !has(descriptor, ffi::AV_PIX_FMT_FLAG_FLOAT) && descriptor.comp.iter().all(|component| component.depth <= 16)
}

/// The layout of bytes that each hold a whole sample.
#[derive(Clone, Copy)]
struct Bytes {
    plane: usize,
    step: usize,
    offset: usize,
}

/// How the samples of a component lie, if each is a whole byte.
fn bytes(descriptor: &Descriptor, component: usize) -> Option<Bytes> {
    let other = ffi::AV_PIX_FMT_FLAG_BE | ffi::AV_PIX_FMT_FLAG_BITSTREAM | ffi::AV_PIX_FMT_FLAG_PAL;
    let ffi::AVComponentDescriptor { plane, step, offset, shift, depth } = descriptor.comp[component];
    let is_bytes = depth == 8 && shift == 0 && !has(descriptor, other);
    let count = |number: i32| usize::try_from(number).ok();
    is_bytes.then_some(Bytes { plane: count(plane)?, step: count(step)?, offset: count(offset)? })
}

/// Fills `to`, whose format is set and whose memory is its own, with the picture of `from`; whether it could, which takes
/// two formats of R'G'B' and one size.
pub(super) fn convert(from: &AvFrame, to: &mut AvFrame) -> bool {
    let Some([source, target]) = descriptors(from, to) else { return false };
    if (from.width(), from.height()) != (to.width(), to.height()) {
        return false;
    }
    clear(to);
    let palette = has(source, ffi::AV_PIX_FMT_FLAG_PAL).then(|| palette(from));
    let n_source = if palette.is_some() { 4 } else { usize::from(source.nb_components) };
    let mut row = Row { codes: vec![0; from.width()], wide: Vec::new() };
    for component in 0..usize::from(target.nb_components) {
        let depth = target.comp[component].depth as u32;
        let most = (1 << depth) - 1;
        let ways = (bytes(source, component.min(3)), bytes(target, component));
        let table = (component < n_source && !is_float(source)).then(|| {
            let depth = if palette.is_some() { 8 } else { source.comp[component].depth as u32 };
            table(depth, most)
        });
        for y in 0..from.height() {
            match (&table, &palette, ways) {
                (Some(_), None, (Some(ours), Some(theirs))) => copy(from, ours, to, theirs, y),
                (Some(table), None, _) => {
                    row.read(from, source, component, y);
                    row.codes.iter_mut().for_each(|code| *code = table[usize::from(*code)]);
                    row.write(to, target, component, y);
                }
                (Some(table), Some(palette), _) => {
                    row.read(from, source, 0, y);
                    row.codes.iter_mut().for_each(|code| *code = table[palette[usize::from(*code & 255)][component]]);
                    row.write(to, target, component, y);
                }
                (None, ..) if component < n_source => {
                    row.read_floats(from, source, component, y, most as f32);
                    row.write(to, target, component, y);
                }
                (None, ..) => {
                    row.codes.fill(most as u16);
                    row.write(to, target, component, y);
                }
            }
        }
    }
    true
}

/// What each code of `depth` bits becomes where white is `most`.
fn table(depth: u32, most: u32) -> Vec<u16> {
    let white = (1u32 << depth) - 1;
    (0..=white)
        .map(|code| ((u64::from(code) * u64::from(most) + u64::from(white / 2)) / u64::from(white)) as u16)
        .collect()
}

/// Red, green, blue and opacity of each entry of a frame's palette.
fn palette(frame: &AvFrame) -> Vec<[usize; 4]> {
    let data = frame.get().data[1].cast::<u32>();
    let entry = |index: usize| {
        // SAFETY: the second plane of a frame with a palette holds 256 numbers of 32 bits (`AV_PIX_FMT_PAL8`).
        let color = if data.is_null() { 0 } else { unsafe { data.add(index).read_unaligned() } };
        [16, 8, 0, 24].map(|shift| (color >> shift & 255) as usize)
    };
    (0..256).map(entry).collect()
}

/// Sets all bytes to zero, for samples that are put between others.
fn clear(frame: &mut AvFrame) {
    for buffer in frame.get().buf {
        // SAFETY: the frame's memory is its own, and a buffer has `size` bytes.
        unsafe {
            if let Some(buffer) = buffer.as_ref() {
                std::ptr::write_bytes(buffer.data, 0, buffer.size);
            }
        }
    }
}

/// A row of one component on its way.
struct Row {
    codes: Vec<u16>,
    /// As it is read where samples have 32 bits.
    wide: Vec<u32>,
}

impl Row {
    fn read(&mut self, frame: &AvFrame, descriptor: &Descriptor, component: usize, y: usize) {
        read(frame, descriptor, component, y, self.codes.len(), self.codes.as_mut_ptr().cast(), 2);
    }

    fn read_floats(&mut self, frame: &AvFrame, descriptor: &Descriptor, component: usize, y: usize, most: f32) {
        self.wide.resize(self.codes.len(), 0);
        read(frame, descriptor, component, y, self.wide.len(), self.wide.as_mut_ptr().cast(), 4);
        for (code, bits) in self.codes.iter_mut().zip(&self.wide) {
            *code = (f32::from_bits(*bits) * most + 0.5).clamp(0.0, most) as u16;
        }
    }

    fn write(&self, frame: &mut AvFrame, descriptor: &Descriptor, component: usize, y: usize) {
        let raw = frame.get();
        let mut data = raw.data;
        // SAFETY: the frame is of this description, its memory its own; the row lies in it and has its width.
        unsafe {
            ffi::av_write_image_line2(
                self.codes.as_ptr().cast(),
                data.as_mut_ptr(),
                raw.linesize.as_ptr(),
                descriptor,
                0,
                y as i32,
                component as i32,
                self.codes.len() as i32,
                2,
            );
        }
    }
}

/// Reads `width` samples of row `y` of a component into elements of `element` bytes.
fn read(
    frame: &AvFrame,
    descriptor: &Descriptor,
    component: usize,
    y: usize,
    width: usize,
    to: *mut std::ffi::c_void,
    element: i32,
) {
    let raw = frame.get();
    let mut data = raw.data.map(<*mut u8>::cast_const);
    // SAFETY: the frame is of this description and the row lies in it; callers give room for `width` elements.
    unsafe {
        ffi::av_read_image_line2(
            to,
            data.as_mut_ptr(),
            raw.linesize.as_ptr(),
            descriptor,
            0,
            y as i32,
            component as i32,
            width as i32,
            0,
            element,
        );
    }
}

/// Copies row `y` of a component from bytes to bytes.
fn copy(from: &AvFrame, ours: Bytes, to: &mut AvFrame, theirs: Bytes, y: usize) {
    let place = |frame: &AvFrame, bytes: Bytes| {
        let raw = frame.get();
        // SAFETY: the row lies in the plane, its first sample at the offset.
        unsafe { raw.data[bytes.plane].offset(raw.linesize[bytes.plane] as isize * y as isize).add(bytes.offset) }
    };
    let (source, target, width) = (place(from, ours).cast_const(), place(to, theirs), from.width());
    // SAFETY: both rows have `width` samples so far apart, and lie in different frames.
    unsafe {
        match (ours.step, theirs.step) {
            (3, 1) => copy_bytes::<3, 1>(source, target, width),
            (4, 1) => copy_bytes::<4, 1>(source, target, width),
            (1, 3) => copy_bytes::<1, 3>(source, target, width),
            (1, 4) => copy_bytes::<1, 4>(source, target, width),
            (step, other) => (0..width).for_each(|x| *target.add(x * other) = *source.add(x * step)),
        }
    }
}

/// # Safety
/// The memory holds `width` bytes so far apart on either side, which do not overlap.
unsafe fn copy_bytes<const FROM: usize, const TO: usize>(source: *const u8, target: *mut u8, width: usize) {
    // SAFETY: as the caller says.
    (0..width).for_each(|x| unsafe { *target.add(x * TO) = *source.add(x * FROM) });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::av::picture::pixel_format;

    const SIZE: (usize, usize) = (37, 5);

    fn frame(name: &str) -> AvFrame {
        let mut frame = AvFrame::new().unwrap();
        let raw = frame.get_mut();
        (raw.width, raw.height) = (SIZE.0 as i32, SIZE.1 as i32);
        raw.format = pixel_format(name).unwrap() as i32;
        // SAFETY: format and size are set.
        assert!(unsafe { ffi::av_frame_get_buffer(frame.as_ptr(), 0) } >= 0, "{name}");
        frame
    }

    /// Sets bytes of row `y` of a plane.
    fn put(frame: &mut AvFrame, plane: usize, y: usize, bytes: &[u8]) {
        let raw = frame.get();
        assert!(bytes.len() <= raw.linesize[plane] as usize || y == 0);
        // SAFETY: the row has at least so many bytes.
        unsafe {
            let row = raw.data[plane].add(y * raw.linesize[plane] as usize);
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), row, bytes.len());
        }
    }

    fn bytes_of(frame: &AvFrame, plane: usize, y: usize, n: usize) -> Vec<u8> {
        let raw = frame.get();
        // SAFETY: the row has at least so many bytes.
        unsafe { std::slice::from_raw_parts(raw.data[plane].add(y * raw.linesize[plane] as usize), n).to_vec() }
    }

    fn converted(from: &AvFrame, name: &str) -> AvFrame {
        let mut to = frame(name);
        assert!(convert(from, &mut to), "{name}");
        to
    }

    /// Noise in every plane of a format of bytes.
    fn noise(name: &str, n_planes: usize) -> AvFrame {
        let mut frame = frame(name);
        for (plane, y) in (0..n_planes).flat_map(|plane| (0..SIZE.1).map(move |y| (plane, y))) {
            let row: Vec<u8> = (0..SIZE.0).map(|x| ((x * 89 + y * 57 + plane * 101) * 31 / 4) as u8).collect();
            put(&mut frame, plane, y, &row);
        }
        frame
    }

    #[test]
    fn every_layout_of_enough_depth_holds_the_same_samples() {
        let source = noise("gbrap", 4);
        for name in [
            "rgb24",
            "bgr24",
            "rgb0",
            "bgr0",
            "0rgb",
            "0bgr",
            "rgba",
            "bgra",
            "argb",
            "abgr",
            "rgb48le",
            "rgb48be",
            "bgr48le",
            "rgba64le",
            "rgba64be",
            "gbrp",
            "gbrp9le",
            "gbrp10le",
            "gbrp10be",
            "gbrp12le",
            "gbrp14le",
            "gbrp16le",
            "gbrap10le",
            "gbrap16be",
            "x2rgb10le",
        ] {
            let there = converted(&source, name);
            let back = converted(&there, "gbrap");
            for (plane, y) in (0..4).flat_map(|plane| (0..SIZE.1).map(move |y| (plane, y))) {
                let (got, all) = (bytes_of(&back, plane, y, SIZE.0), bytes_of(&source, plane, y, SIZE.0));
                let has_alpha = there.has_opacity();
                assert_eq!(got, if plane == 3 && !has_alpha { vec![255; SIZE.0] } else { all }, "{name} {plane} {y}");
            }
        }
    }

    #[test]
    fn known_bytes_have_known_samples() {
        let mut bgra = frame("bgra");
        put(&mut bgra, 0, 1, &[1, 2, 3, 4, 250, 251, 252, 253]);
        let planes = converted(&bgra, "gbrap");
        assert_eq!([0, 1, 2, 3].map(|plane| bytes_of(&planes, plane, 1, 2)), [[2, 251], [1, 250], [3, 252], [4, 253]]);
        // Five, six and five bits, white and a code each.
        let mut packed = frame("rgb565le");
        put(&mut packed, 0, 0, &[0xFF, 0xFF, 0x01, 0x08]);
        let planes = converted(&packed, "gbrp");
        assert_eq!([2, 0, 1].map(|plane| bytes_of(&planes, plane, 0, 2)), [[255, 8], [255, 0], [255, 8]]);
        let mut indexed = frame("pal8");
        put(&mut indexed, 0, 0, &[7, 0]);
        // B, G, R and opacity of each entry.
        put(&mut indexed, 1, 0, &[10, 20, 30, 128]);
        put(&mut indexed, 1, 0, &[[0; 28].as_slice(), &[40, 50, 60, 255]].concat());
        let planes = converted(&indexed, "gbrap");
        assert_eq!([2, 0, 1, 3].map(|plane| bytes_of(&planes, plane, 0, 1)), [[60], [50], [40], [255]]);
        // 1023 times 128 / 255, rounded.
        let deep = converted(&planes, "gbrp10le");
        assert_eq!(bytes_of(&deep, 2, 0, 2), (60u16 * 1023 / 255 + 1).to_le_bytes());
        let mut floats = frame("gbrpf32le");
        put(&mut floats, 0, 0, &[0.5f32, -1.0, 2.0, f32::NAN].map(f32::to_le_bytes).concat());
        let codes = bytes_of(&converted(&floats, "gbrp16le"), 0, 0, 8);
        assert_eq!(codes, [32768u16, 0, 65535, 0].map(u16::to_le_bytes).concat());
    }

    #[test]
    fn other_kinds_and_sizes_are_left_to_others() {
        let source = noise("gbrp", 3);
        for name in ["yuv444p", "gray", "pal8", "gbrpf32le"] {
            assert!(!convert(&source, &mut frame(name)), "{name}");
        }
        let mut smaller = frame("rgb24");
        smaller.get_mut().height = 3;
        assert!(!convert(&source, &mut smaller));
    }
}
