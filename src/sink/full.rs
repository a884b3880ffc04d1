//! Pictures as R'G'B' or gray of full range, in f32 and rounded once: for PNG files, and for encoders of such pictures.

use super::VideoFacts;
use super::planar::to_planar;
use crate::error::Result;
use crate::frame::{
    ChromaLocation, ColorRange, Picture, PictureBuf, PixelFormat, PlaneView, Pool, RGB_PLANES, Subsampling,
};

/// Makes pictures of R'G'B' or gray, 8 bits for 8 and 16 for more.
pub(super) struct ToFull {
    converter: Converter,
    format: PixelFormat,
    pool: Pool,
}

impl ToFull {
    /// From pictures like `facts` says to `format`: R'G'B' or gray, with 8 or more bits and with opacity or not.
    pub(super) fn new(facts: &VideoFacts, format: PixelFormat) -> ToFull {
        let bit_depth = if format.bit_depth == 8 { 8 } else { 16 };
        let alpha = format.alpha && facts.format.alpha;
        let format = if format.is_gray() { PixelFormat::gray(bit_depth) } else { PixelFormat::rgb(bit_depth) };
        ToFull { converter: Converter::new(facts), format: PixelFormat { alpha, ..format }, pool: Pool::new() }
    }

    /// The format of its pictures.
    pub(super) fn format(&self) -> PixelFormat {
        self.format
    }

    /// The picture, planar, of full range.
    pub(super) fn picture(&mut self, picture: &Picture) -> Result<Picture> {
        let picture = to_planar(picture, &self.pool)?;
        let mut out = self.pool.picture(self.format, picture.width(), picture.height())?;
        if self.format.bit_depth == 8 {
            out.fill_from(&self.converter.samples(&picture, 255.0, |value| value as u8));
        } else {
            out.fill_from(&self.converter.samples(&picture, 65535.0, |value| value as u16));
        }
        if self.format.alpha {
            self.put_alpha(&picture, &mut out);
        }
        Ok(out.freeze())
    }

    fn put_alpha(&self, picture: &Picture, out: &mut PictureBuf) {
        let from = picture.plane(picture.format().n_planes() - 1);
        let gain = f32::from(self.format.max_code()) / f32::from(picture.format().max_code());
        let mut row = vec![0.0; picture.width()];
        let mut to = out.plane_mut(self.format.n_planes() - 1);
        for y in 0..from.height() {
            read_row(&from, y, &mut row);
            let codes = row.iter().map(|code| code * gain + 0.5);
            if self.format.bit_depth == 8 {
                to.row_bytes(y).iter_mut().zip(codes).for_each(|(to, code)| *to = code as u8);
            } else {
                to.row_u16(y).iter_mut().zip(codes).for_each(|(to, code)| *to = code as u16);
            }
        }
    }
}

/// Turns planes into interleaved samples of full range.
pub(super) struct Converter {
    /// Code of black, and 1 / (white - black).
    luma: (f32, f32),
    /// 1 / the codes from -0.5 to 0.5.
    chroma_scale: f32,
    chroma_zero: f32,
    /// KR and KB of the matrix.
    weights: (f32, f32),
    /// Where each column and row finds its chroma; none where there is none.
    taps: Option<(Vec<Tap>, Vec<Tap>)>,
}

/// Two neighbouring chroma samples and the share of the second.
#[derive(Clone, Copy)]
struct Tap {
    first: usize,
    second: usize,
    share: f32,
}

impl Converter {
    /// For pictures like `facts` says.
    pub(super) fn new(facts: &VideoFacts) -> Self {
        let format = facts.format.planar();
        let range = if format.is_rgb() { ColorRange::Full } else { facts.color.range_or_limited() };
        let (black, white) = range.luma_codes(format.bit_depth);
        let unit = (1u32 << (format.bit_depth - 8)) as f32;
        // H.273: chroma spans 224 steps in limited range, in full range all codes but one.
        let (kr, kb) = facts.color.matrix_for(facts.height).weights();
        let chroma_span = if range == ColorRange::Limited { 224.0 * unit } else { white - black };
        Converter {
            luma: (black, 1.0 / (white - black)),
            chroma_scale: 1.0 / chroma_span,
            chroma_zero: 128.0 * unit,
            weights: (kr as f32, kb as f32),
            taps: format.subsampling().map(|subsampling| chroma_taps(facts, format, subsampling)),
        }
    }

    /// The picture's samples in rows, R'G'B' interleaved or gray; `white` is the largest value, `cast` cuts to it.
    pub(super) fn samples<T: Copy + Default>(&self, picture: &Picture, white: f32, cast: impl Fn(f32) -> T) -> Vec<T> {
        // Rounded by cutting; the casts of Rust keep within the type.
        let quantise = |value: f32| cast(value * white + 0.5);
        let (width, n) = (picture.width(), if picture.format().is_gray() { 1 } else { 3 });
        let mut samples = vec![T::default(); n * width * picture.height()];
        let mut luma = vec![0.0; width];
        let mut chroma = [luma.clone(), luma.clone()];
        let mut scratch = [luma.clone(), luma.clone()];
        for (y, row) in samples.chunks_exact_mut(n * width).enumerate() {
            if picture.format().is_rgb() {
                for (color, plane) in RGB_PLANES.into_iter().enumerate() {
                    read_row(&picture.plane(plane), y, &mut luma);
                    let pixels = row.as_chunks_mut::<3>().0.iter_mut();
                    pixels.zip(&luma).for_each(|(to, value)| to[color] = quantise(value * self.luma.1));
                }
                continue;
            }
            read_row(&picture.plane(0), y, &mut luma);
            luma.iter_mut().for_each(|value| *value = (*value - self.luma.0) * self.luma.1);
            let Some((columns, rows)) = &self.taps else {
                row.iter_mut().zip(&luma).for_each(|(to, value)| *to = quantise(*value));
                continue;
            };
            for (component, chroma) in chroma.iter_mut().enumerate() {
                self.read_chroma(&picture.plane(1 + component), columns, rows[y], &mut scratch, chroma);
            }
            let (kr, kb) = self.weights;
            let (to_red, to_blue, green) = (2.0 * (1.0 - kr), 2.0 * (1.0 - kb), 1.0 / (1.0 - kr - kb));
            let pixels = row.as_chunks_mut::<3>().0.iter_mut();
            for (to, (y, (cb, cr))) in pixels.zip(luma.iter().zip(chroma[0].iter().zip(&chroma[1]))) {
                // H.273: E'Y = KR R + (1 - KR - KB) G + KB B, Pb = (B - Y) / (2 (1 - KB)), Pr = (R - Y) / (2 (1 - KR)).
                let (red, blue) = (y + to_red * cr, y + to_blue * cb);
                *to = [red, (y - kr * red - kb * blue) * green, blue].map(&quantise);
            }
        }
        samples
    }

    /// A row of one chroma component in -0.5..0.5, brought up to a value for each of `columns`.
    fn read_chroma(&self, plane: &PlaneView, columns: &[Tap], row: Tap, scratch: &mut [Vec<f32>; 2], to: &mut [f32]) {
        let [first, second] = scratch.each_mut().map(|row| &mut row[..plane.width()]);
        read_row(plane, row.first, first);
        read_row(plane, row.second, second);
        for (value, second) in first.iter_mut().zip(second) {
            *value += (*second - *value) * row.share;
            *value = (*value - self.chroma_zero) * self.chroma_scale;
        }
        for (to, tap) in to.iter_mut().zip(columns) {
            *to = first[tap.first] + (first[tap.second] - first[tap.first]) * tap.share;
        }
    }
}

fn read_row(plane: &PlaneView, y: usize, to: &mut [f32]) {
    if plane.bytes_per_sample() == 1 {
        to.iter_mut().zip(plane.row_bytes(y)).for_each(|(to, from)| *to = f32::from(*from));
    } else {
        to.iter_mut().zip(plane.row_u16(y)).for_each(|(to, from)| *to = f32::from(*from));
    }
}

/// The taps of all columns and of all rows.
fn chroma_taps(facts: &VideoFacts, format: PixelFormat, subsampling: Subsampling) -> (Vec<Tap>, Vec<Tap>) {
    use ChromaLocation::{Bottom, BottomLeft, Center, Left, Top, TopLeft};
    let location = facts.color.chroma_location.unwrap_or(Left);
    let (n_columns, n_rows) = format.plane_size(1, facts.width, facts.height);
    let (last_x, last_y) = (((1 << subsampling.x) - 1) as f32, ((1 << subsampling.y) - 1) as f32);
    // Where the first chroma sample lies, in luma samples.
    let x = if matches!(location, Center | Top | Bottom) { last_x / 2.0 } else { 0.0 };
    let y = match location {
        Left | Center => last_y / 2.0,
        TopLeft | Top => 0.0,
        BottomLeft | Bottom => last_y,
    };
    let taps = |n: usize, n_chroma: usize, shift: u8, start: f32| {
        let tap = |position: usize| {
            let place = (position as f32 - start) / f32::from(1u8 << shift);
            let clamp = |index: f32| (index.max(0.0) as usize).min(n_chroma - 1);
            Tap { first: clamp(place.floor()), second: clamp(place.floor() + 1.0), share: place - place.floor() }
        };
        (0..n).map(tap).collect()
    };
    (taps(facts.width, n_columns, subsampling.x, x), taps(facts.height, n_rows, subsampling.y, y))
}
