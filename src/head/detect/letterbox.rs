//! From a frame to the picture that a detector takes: as large as fits, in its own shape, the rest one colour.

use std::ops::Range;

use super::Turn;
use crate::error::{Error, Kind, Result};
use crate::frame::{ColorRange, Picture};
use crate::head::image::{PictureFacts, read_chroma, read_colors};
use crate::head::tensor_row::{self, RowIndex, in_rgb_order};
use crate::model::{Detector, Family, Port, Tensor};
use crate::simd::Kernels;
use crate::simd::luma::{Codes, Linear};
use crate::simd::resize::{Axis, Filter, Lines, Resizer, Siting};
use crate::simd::rgb::{ToRgb, YuvCoding};

/// The gray around frames for networks trained on it, of 255.
const GRAY: f32 = 114.0;

/// Where a frame lies within a detector's picture, upright.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Place {
    /// Width and height of the picture.
    pub picture: (usize, usize),
    /// Left and top edge of the frame in it.
    pub offset: (usize, usize),
    /// Width and height of the frame in it.
    pub content: (usize, usize),
    /// How the frame is turned for it.
    pub turn: Turn,
}

impl Place {
    /// Of frames of this width and height: in the upper left corner or in the middle, as the network was trained.
    pub fn new(detector: &Detector, frame: (usize, usize), turn: Turn) -> Place {
        let frame = turn.size(frame);
        let (picture, content) = (detector.input_size(frame), detector.content_size(frame));
        let offset = match detector.family {
            Family::Yunet | Family::Yolox => (0, 0),
            Family::YoloV5 | Family::YoloV8 | Family::Sorted(_) => {
                ((picture.0 - content.0) / 2, (picture.1 - content.1) / 2)
            }
        };
        Place { picture, offset, content, turn }
    }
}

/// The way from frames of one stream to the pictures of a detector.
pub(super) struct Letterbox {
    kernels: Kernels,
    place: Place,
    port: Port,
    /// What surrounds the frame.
    around: f32,
    /// Planes of the frame's own size.
    full: Resizer,
    way: Way,
}

/// From resized rows to red, green and blue.
enum Way {
    /// Codes of R'G'B'.
    Colors(Linear),
    /// Codes of Y'CbCr or gray, whose chroma has a size of its own.
    Yuv(Box<Yuv>),
}

struct Yuv {
    to_rgb: ToRgb,
    neutral: f32,
    /// Absent for gray.
    chroma: Option<Resizer>,
}

/// Working memory of a [`Letterbox`].
#[derive(Default)]
pub(super) struct Scratch {
    full: Lines,
    chroma: Lines,
    /// Luma and both chroma rows.
    rows: [Vec<f32>; 3],
    row: Vec<f32>,
    /// A frame that lies on its side, and a row of it as it is stored: red, green and blue one after the other.
    turned: Vec<f32>,
    stored: Vec<f32>,
}

impl Letterbox {
    /// From frames like `frame` to the pictures of a detector with this input.
    pub fn new(detector: &Detector, port: &Port, frame: &PictureFacts, turn: Turn) -> Letterbox {
        let kernels = Kernels::best();
        let place = Place::new(detector, (frame.width, frame.height), turn);
        let (width, height) = turn.size(place.content);
        let plain = |from, to| Axis::plain(from, to);
        let full = Resizer::new(kernels, plain(frame.width, width), plain(frame.height, height), Filter::Bilinear);
        let range = frame.color.range_or_limited();
        let bit_depth = frame.format.bit_depth;
        let way = if frame.format.is_rgb() {
            Way::Colors(Linear::between(ColorRange::Full.luma_codes(bit_depth), (port.black, port.white)))
        } else {
            let coding = YuvCoding { matrix: frame.color.matrix_for(frame.height), range, bit_depth };
            let to_rgb = ToRgb::new(coding, port.black, port.white);
            Way::Yuv(Box::new(Yuv {
                to_rgb,
                neutral: coding.neutral(),
                chroma: chroma(kernels, frame, (width, height)),
            }))
        };
        let share = if detector.family == Family::Yunet { 0.0 } else { GRAY / 255.0 };
        let around = port.black + (port.white - port.black) * share;
        Letterbox { kernels, place, port: port.clone(), around, full, way }
    }

    /// Where frames lie in the pictures.
    pub fn place(&self) -> Place {
        self.place
    }

    /// Writes the picture of a frame into the tensor, which must be of the detector's size.
    pub fn fill(&self, frame: &Picture, tensor: &mut Tensor, scratch: &mut Scratch) -> Result<()> {
        let Place { picture, offset, content, turn } = self.place;
        if tensor_row::picture_size(tensor, &self.port) != picture || !tensor_row::fits(tensor, &self.port) {
            let message = format!("a tensor of {:?} was given for pictures of {picture:?}", tensor.shape());
            return Err(Error::new(Kind::Internal, message));
        }
        let Scratch { full, chroma, rows, row, turned, stored } = scratch;
        let columns = turn.size(content).0;
        rows.iter_mut().for_each(|row| {
            row.clear();
            row.resize(columns, 0.0);
        });
        match &self.way {
            Way::Colors(_) => self.full.begin::<3>(full, 0..columns),
            Way::Yuv(yuv) => {
                self.full.begin::<1>(full, 0..columns);
                yuv.chroma.iter().for_each(|resizer| resizer.begin::<2>(chroma, 0..columns));
            }
        }
        let mut read = |y: usize, rgb: [&mut [f32]; 3]| self.row(frame, y, (full, chroma), rows, rgb);
        if turn != Turn::None {
            self.turn(turned, stored, &mut read);
        }
        let n_pixels = content.0 * content.1;
        for y in 0..picture.1 {
            let of_frame = y.checked_sub(offset.1).filter(|y| *y < content.1);
            tensor_row::write(tensor, &self.port, RowIndex { item: 0, y }, row, |channels| {
                channels.iter_mut().for_each(|channel| channel.fill(self.around));
                let (Some(y), [a, b, c]) = (of_frame, channels) else { return };
                let columns = offset.0..offset.0 + content.0;
                let rgb = in_rgb_order(&self.port, [a, b, c]).map(|channel| &mut channel[columns.clone()]);
                if turn == Turn::None {
                    return read(y, rgb);
                }
                for (plane, to) in turned.chunks_exact(n_pixels).zip(rgb) {
                    to.copy_from_slice(&plane[y * content.0..][..content.0]);
                }
            });
        }
        Ok(())
    }

    /// All of a frame, upright, from its rows as they are stored.
    fn turn(&self, turned: &mut Vec<f32>, stored: &mut Vec<f32>, read: &mut impl FnMut(usize, [&mut [f32]; 3])) {
        let (content, turn) = (self.place.content, self.place.turn);
        let (columns, rows) = turn.size(content);
        turned.resize(3 * content.0 * content.1, 0.0);
        stored.resize(3 * columns, 0.0);
        for y in 0..rows {
            let (r, rest) = stored.split_at_mut(columns);
            let (g, b) = rest.split_at_mut(columns);
            read(y, [r, g, b]);
            for (row, plane) in stored.chunks_exact(columns).zip(turned.chunks_exact_mut(content.0 * content.1)) {
                for (x, value) in row.iter().enumerate() {
                    let (across, down) = turn.upright((x, y), (columns, rows));
                    plane[down * content.0 + across] = *value;
                }
            }
        }
    }

    /// Row `y` of a frame as it is stored, as large as in the detector's picture, in its values.
    fn row(
        &self,
        frame: &Picture,
        y: usize,
        (full, chroma_lines): (&mut Lines, &mut Lines),
        [luma, cb, cr]: &mut [Vec<f32>; 3],
        mut rgb: [&mut [f32]; 3],
    ) {
        let (kernels, columns) = (self.kernels, 0..luma.len());
        match &self.way {
            Way::Colors(line) => {
                self.full.advance(full, y, |row, columns, planes| {
                    read_colors(kernels, frame, (row, columns), *line, planes);
                });
                for (color, to) in rgb.iter_mut().enumerate() {
                    self.full.finish(full, y, color, columns.clone(), to);
                }
            }
            Way::Yuv(yuv) => {
                self.full.advance(full, y, |row, columns: Range<usize>, [to]: [&mut [f32]; 1]| {
                    let codes = Codes::of(&frame.plane(0), frame.format(), row, columns);
                    kernels.to_values(codes, Linear::IDENTITY, to);
                });
                self.full.finish(full, y, 0, columns.clone(), luma);
                if let Some(chroma) = &yuv.chroma {
                    let line = Linear { from: yuv.neutral, ..Linear::IDENTITY };
                    chroma.advance(chroma_lines, y, |row, columns, planes| {
                        read_chroma(kernels, frame, row, columns, line, planes);
                    });
                    chroma.finish(chroma_lines, y, 0, columns.clone(), cb);
                    chroma.finish(chroma_lines, y, 1, columns, cr);
                }
                kernels.values_to_rgb(&yuv.to_rgb, luma, [cb, cr], rgb.each_mut().map(|row| &mut **row));
                // As the pictures of 8 bits that detectors are trained on.
                let (low, high) = (self.port.black.min(self.port.white), self.port.black.max(self.port.white));
                rgb.into_iter().flatten().for_each(|value| *value = value.clamp(low, high));
            }
        }
    }
}

/// From the chroma of frames to a picture of this width and height; `None` for gray.
fn chroma(kernels: Kernels, frame: &PictureFacts, (width, height): (usize, usize)) -> Option<Resizer> {
    let subsampling = frame.format.subsampling()?;
    let site = Siting::of(frame.color.chroma_location, subsampling);
    let (columns, rows) = frame.format.planar().plane_size(1, frame.width, frame.height);
    let axis =
        |src_len, from, to, log2: u8, src_site| Axis { src_len, ratio: (from, to << log2), src_site, dst_site: 0.0 };
    let (x, y) = (subsampling.x, subsampling.y);
    Some(Resizer::new(
        kernels,
        axis(columns, frame.width, width, x, site.x),
        axis(rows, frame.height, height, y, site.y),
        Filter::Bilinear,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{ColorTags, PixelFormat, Pool, RGB_PLANES};
    use crate::model::{Channels, DetectorSize, Element, Layout};

    fn port(channels: Channels, layout: Layout, white: f32) -> Port {
        Port { name: "x".into(), element: Element::F32, layout, channels, black: 0.0, white }
    }

    fn detector(family: Family) -> Detector {
        let size = DetectorSize::Fixed(32, 32);
        Detector { family, size, strides: vec![8], n_values: 6, labels: Vec::new() }
    }

    /// A picture of one colour, by its planes.
    fn flat(format: PixelFormat, width: usize, height: usize, codes: [u16; 3]) -> Picture {
        let mut picture = Pool::new().picture(format, width, height).unwrap();
        for (plane, code) in codes.into_iter().enumerate().take(format.n_planes()) {
            let mut plane = picture.plane_mut(plane);
            for y in 0..plane.height() {
                match format.bytes_per_sample() {
                    1 => plane.row_bytes(y).fill(code as u8),
                    _ => plane.row_u16(y).fill(code),
                }
            }
        }
        picture.freeze()
    }

    fn filled(family: Family, port: &Port, picture: &Picture, color: ColorTags) -> Tensor {
        let facts = PictureFacts { format: picture.format(), width: picture.width(), height: picture.height(), color };
        let letterbox = Letterbox::new(&detector(family), port, &facts, Turn::None);
        let mut tensor = Tensor::new(Element::F32, port.layout.shape(1, 3, 32, 32));
        letterbox.fill(picture, &mut tensor, &mut Scratch::default()).unwrap();
        tensor
    }

    /// Red of BT.601, limited: 81, 90, 240 (ITU-R BT.601, rounded), in every layout.
    #[test]
    fn red_is_red_in_every_format_and_order() {
        let color = ColorTags { matrix: 6, range: Some(ColorRange::Limited), ..ColorTags::NONE };
        let mut rgb = [0; 3];
        rgb[RGB_PLANES[0]] = 255;
        let pictures = [
            (flat(PixelFormat::yuv(1, 1, 8), 63, 33, [81, 90, 240]), color),
            (flat(PixelFormat::yuv(1, 0, 8), 64, 32, [81, 90, 240]), color),
            (flat(PixelFormat::yuv(0, 0, 10), 64, 32, [81 * 4, 90 * 4, 240 * 4]), color),
            (flat(PixelFormat::from_name("gbrp").unwrap(), 64, 32, rgb), ColorTags { matrix: 0, ..ColorTags::NONE }),
        ];
        for (picture, color) in pictures {
            for layout in [Layout::Nchw, Layout::Nhwc] {
                let port = port(Channels::Bgr, layout, 255.0);
                let tensor = filled(Family::Yolox, &port, &picture, color);
                let at = |channel: usize, x: usize, y: usize| match layout {
                    Layout::Nchw => tensor.as_f32()[(channel * 32 + y) * 32 + x],
                    Layout::Nhwc => tensor.as_f32()[(y * 32 + x) * 3 + channel],
                };
                let pixel = |x, y| [at(0, x, y), at(1, x, y), at(2, x, y)];
                // Blue, green, red: the frame in the upper half, gray below it.
                for (x, y) in [(0, 0), (31, 15), (17, 8)] {
                    let near = pixel(x, y).iter().zip([0.0, 0.0, 255.0]).all(|(a, b)| (a - b).abs() < 2.0);
                    assert!(near, "{} {layout:?} {x} {y}: {:?}", picture.format(), pixel(x, y));
                }
                assert_eq!((pixel(0, 17), pixel(31, 31)), ([114.0; 3], [114.0; 3]), "{}", picture.format());
            }
        }
    }

    #[test]
    fn the_frame_lies_where_the_network_expects_it() {
        let color = ColorTags { range: Some(ColorRange::Full), ..ColorTags::NONE };
        let picture = flat(PixelFormat::from_name("gray").unwrap(), 40, 20, [255, 0, 0]);
        let port = port(Channels::Rgb, Layout::Nchw, 1.0);
        for (family, rows, around) in
            [(Family::Yunet, 0..16, 0.0), (Family::Yolox, 0..16, 114.0 / 255.0), (Family::YoloV8, 8..24, 114.0 / 255.0)]
        {
            let tensor = filled(family, &port, &picture, color);
            for y in 0..32 {
                let expected = if rows.contains(&y) { 1.0 } else { around };
                let row = &tensor.as_f32()[y * 32..(y + 1) * 32];
                assert!(row.iter().all(|value| (value - expected).abs() < 1e-5), "{family:?} {y}: {row:?}");
            }
        }
    }

    /// Averages of two by two samples: what a triangle stretched by two gives in the middle of a slope.
    #[test]
    fn a_slope_stays_a_slope() {
        let mut picture = Pool::new().picture(PixelFormat::from_name("gray").unwrap(), 64, 64).unwrap();
        for y in 0..64 {
            let mut plane = picture.plane_mut(0);
            plane.row_bytes(y).iter_mut().enumerate().for_each(|(x, code)| *code = (2 * x + y) as u8);
        }
        let color = ColorTags { range: Some(ColorRange::Full), ..ColorTags::NONE };
        let tensor = filled(Family::Yunet, &port(Channels::Rgb, Layout::Nchw, 255.0), &picture.freeze(), color);
        for (x, y) in [(4, 4), (16, 9), (27, 27)] {
            let expected = (2.0 * (2.0 * x as f32 + 0.5)) + 2.0 * y as f32 + 0.5;
            let got = tensor.as_f32()[y * 32 + x];
            assert!((got - expected).abs() < 0.01, "{x} {y}: {got}, {expected}");
        }
    }

    /// A frame that is turned is the same as the turned frame.
    #[test]
    fn a_frame_on_its_side_is_seen_upright() {
        let color = ColorTags { range: Some(ColorRange::Full), ..ColorTags::NONE };
        let gray = PixelFormat::from_name("gray").unwrap();
        let port = port(Channels::Rgb, Layout::Nchw, 255.0);
        let of = |width: usize, height: usize, code: &dyn Fn(usize, usize) -> u8, turn| {
            let mut picture = Pool::new().picture(gray, width, height).unwrap();
            for y in 0..height {
                let mut plane = picture.plane_mut(0);
                plane.row_bytes(y).iter_mut().enumerate().for_each(|(x, to)| *to = code(x, y));
            }
            let facts = PictureFacts { format: gray, width, height, color };
            let letterbox = Letterbox::new(&detector(Family::YoloV8), &port, &facts, turn);
            let mut tensor = Tensor::new(Element::F32, port.layout.shape(1, 3, 32, 32));
            letterbox.fill(&picture.freeze(), &mut tensor, &mut Scratch::default()).unwrap();
            tensor.values()
        };
        let upright = |x: usize, y: usize| ((x * 7) ^ (y * 5)) as u8;
        let expected = of(24, 40, &upright, Turn::None);
        for turn in [Turn::Right, Turn::Half, Turn::Left] {
            let (width, height) = turn.size((24, 40));
            let stored = |x: usize, y: usize| {
                let (across, down) = turn.upright((x, y), (width, height));
                upright(across, down)
            };
            let got = of(width, height, &stored, turn);
            assert!(got.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-3), "{turn:?}");
        }
    }
}
