//! The test pattern: a made-up video with film-like motion, the same on every machine.
//!
//! A textured background pans slowly by fractions of a sample, discs drift over it, a ramp at the top and a panel of
//! text-like strokes at the bottom left stand still, and at a third of the length the scene cuts. All of it is integer
//! arithmetic. Rows are cut from a texture that is made once and is larger than the frame, so that a frame costs
//! little more than writing it. Used by tests and benches; it shows no particular film.

use std::str::FromStr;

use super::{Source, SourceFacts, check_size};
use crate::error::{Context, Error, Kind, Result};
use crate::frame::{ChromaLocation, ColorRange, ColorTags, FieldOrder, Frame, Packing, PixelFormat, PlaneMut, Pool};
use crate::time::{Ratio, TimeBase};

/// How far the background pans before it turns back, in luma samples.
const PAN_X: usize = 256;
const PAN_Y: usize = 64;
/// Horizontal steps a luma sample; the pan moves 12 of them a frame, 0.75 samples.
const STEPS: usize = 16;
const PAN_STEPS: u64 = 12;
/// Values of the grain that frames take their rows from.
const N_GRAIN: usize = 1 << 16;

/// What pattern to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatternSpec {
    /// Luma samples a row.
    pub width: usize,
    /// Luma rows.
    pub height: usize,
    /// Frames a second.
    pub frame_rate: Ratio,
    /// How many frames.
    pub n_frames: u64,
    /// Any planar format.
    pub format: PixelFormat,
    /// Another seed, another texture.
    pub seed: u64,
    /// Largest deviation of the film grain in luma, in 8-bit code values, at most 32; 0 for none.
    pub grain: u8,
}

impl Default for PatternSpec {
    fn default() -> Self {
        PatternSpec {
            width: 1280,
            height: 720,
            frame_rate: Ratio::new(24, 1),
            n_frames: 240,
            format: PixelFormat::yuv(1, 1, 8),
            seed: 1,
            grain: 0,
        }
    }
}

impl PatternSpec {
    /// Reads `pattern:WxH@RATE,frames=N,format=NAME,seed=N,grain=N`; each part may be left out, RATE is `24` or
    /// `30000/1001`.
    pub fn parse(text: &str) -> Result<Self> {
        let bad = |part: &str| {
            let message = format!(
                "{part:?} in {text:?}, expected like pattern:1280x720@24,frames=240,format=yuv420p10le,seed=1,grain=2"
            );
            Error::new(Kind::Usage, message)
        };
        let list = text.strip_prefix("pattern:").ok_or_else(|| bad(text))?;
        let mut spec = PatternSpec::default();
        for (index, part) in list.split(',').enumerate().filter(|(_, part)| !part.is_empty()) {
            let ok = match part.split_once('=') {
                Some(("frames", value)) => set(&mut spec.n_frames, value),
                Some(("seed", value)) => set(&mut spec.seed, value),
                Some(("grain", value)) => set(&mut spec.grain, value) && spec.grain <= 32,
                Some(("format", value)) => PixelFormat::from_name(value).map(|format| spec.format = format).is_some(),
                None if index == 0 => spec.set_size_and_rate(part).is_some(),
                _ => false,
            };
            if !ok {
                return Err(bad(part));
            }
        }
        Ok(spec)
    }

    fn set_size_and_rate(&mut self, part: &str) -> Option<()> {
        let (size, rate) = part.split_once('@').map_or((part, None), |(size, rate)| (size, Some(rate)));
        if !size.is_empty() {
            let (width, height) = size.split_once('x')?;
            (self.width, self.height) = (width.parse().ok()?, height.parse().ok()?);
        }
        if let Some(rate) = rate {
            let (num, den) = rate.split_once('/').unwrap_or((rate, "1"));
            self.frame_rate = Ratio::new(num.parse().ok()?, den.parse().ok()?);
        }
        Some(())
    }
}

fn set<T: FromStr>(field: &mut T, value: &str) -> bool {
    value.parse().map(|value| *field = value).is_ok()
}

/// One plane's share of what does not change: its texture and what stands still on it.
struct Layer {
    /// Base-2 logarithm of how many luma samples a sample covers, horizontally and vertically.
    shift: (u8, u8),
    /// 0 luma, 1 Cb, 2 Cr.
    component: usize,
    texture: Vec<u16>,
    texture_width: usize,
    /// One row, repeated over the ramp's height.
    ramp: Vec<u16>,
    /// The panel, `panel_width` samples a row.
    panel: Vec<u16>,
    panel_width: usize,
}

/// Frames of a [`PatternSpec`].
pub struct PatternSource {
    spec: PatternSpec,
    facts: SourceFacts,
    layers: Vec<Layer>,
    grain: Vec<i16>,
    row: Vec<u16>,
    pool: Pool,
    n_frames: u64,
}

impl PatternSource {
    /// Makes the texture; frames are made as they are taken.
    pub fn new(spec: PatternSpec) -> Result<Self> {
        check_size(spec.width, spec.height).context(|| "pattern")?;
        if spec.grain > 32 {
            return Err(Error::new(Kind::Usage, format!("a pattern with grain {}, expected 0 to 32", spec.grain)));
        }
        if spec.format.packing != Packing::Planar {
            let message = format!("the pattern is not made in {}; try {}", spec.format, spec.format.planar());
            return Err(Error::new(Kind::Usage, message));
        }
        let time_base = TimeBase::new(spec.frame_rate.den, spec.frame_rate.num).ok_or_else(|| {
            Error::new(
                Kind::Usage,
                format!("a pattern at {} frames a second, expected a positive rate", spec.frame_rate),
            )
        })?;
        // What a reader assumes who loses the tags: BT.709 from 720 lines up, else BT.601 (H.273 code points 1 and 6).
        let point = if spec.height >= 720 { 1 } else { 6 };
        let is_subsampled = spec.format.subsampling().is_some_and(|subsampling| subsampling.x + subsampling.y > 0);
        let facts = SourceFacts {
            kind: "pattern".to_owned(),
            width: spec.width,
            height: spec.height,
            format: spec.format,
            converted_from: None,
            color: ColorTags {
                range: Some(ColorRange::Limited),
                matrix: point,
                primaries: point,
                transfer: point,
                chroma_location: is_subsampled.then_some(ChromaLocation::Left),
            },
            sample_aspect_ratio: Ratio::new(1, 1),
            field_order: FieldOrder::Progressive,
            time_base,
            frame_rate: spec.frame_rate,
            n_frames: Some(spec.n_frames),
            side_data: Vec::new(),
        };
        let n_layers = if spec.format.subsampling().is_some() { 3 } else { 1 };
        let layers = (0..n_layers).map(|plane| Layer::new(&spec, plane)).collect();
        let unit = 1i16 << (spec.format.bit_depth - 8).min(8);
        let range = 2 * u64::from(spec.grain) + 1;
        // The mean of two even draws, a triangle: small deviations are more frequent.
        let draw = |n: u64| (hash(spec.seed ^ 0x6772_6169, n, 0) % range) as i16 - i16::from(spec.grain);
        let n_grain = if spec.grain > 0 { N_GRAIN as u64 } else { 0 };
        let grain = (0..n_grain).map(|n| (draw(2 * n) + draw(2 * n + 1)) * unit / 2).collect();
        Ok(PatternSource { spec, facts, layers, grain, row: Vec::new(), pool: Pool::new(), n_frames: 0 })
    }
}

impl Source for PatternSource {
    fn facts(&self) -> &SourceFacts {
        &self.facts
    }

    fn next_frame(&mut self) -> Result<Option<Frame>> {
        if self.n_frames == self.spec.n_frames {
            return Ok(None);
        }
        let index = self.n_frames;
        self.n_frames += 1;
        let mut picture = self.pool.picture(self.spec.format, self.spec.width, self.spec.height)?;
        let scene = Scene::at(&self.spec, index);
        for plane in 0..self.spec.format.n_planes() {
            let mut to = picture.plane_mut(plane);
            self.row.resize(to.width(), 0);
            for y in 0..to.height() {
                match self.layers.get(plane) {
                    Some(layer) => layer.row(&scene, y, &mut self.row),
                    // Opacity: all of it.
                    None => self.row.fill(u16::MAX >> (16 - self.spec.format.bit_depth)),
                }
                if plane == 0 && !self.grain.is_empty() {
                    add_grain(&self.grain, self.spec.seed, index, y, self.spec.format.bit_depth, &mut self.row);
                }
                store(&self.row, &mut to, y);
            }
        }
        Ok(Some(Frame {
            index,
            pts: i64::try_from(index).expect("fewer frames than an i64 counts"),
            duration: Some(1),
            picture: picture.freeze(),
            color: self.facts.color,
            sample_aspect_ratio: self.facts.sample_aspect_ratio,
            field_order: FieldOrder::Progressive,
            side_data: Vec::new(),
        }))
    }
}

/// A disc in luma samples, with its code values at 16 bits.
struct Disc {
    x: i64,
    y: i64,
    radius: i64,
    codes: [u16; 3],
}

/// What moves, at one frame.
struct Scene {
    pan_x: usize,
    pan_y: usize,
    /// After the cut the texture is upside down and inverted.
    is_second: bool,
    discs: [Disc; 3],
    bit_depth: u8,
    ramp_rows: usize,
    /// The panel's rows, from the first to the one after the last.
    panel_rows: (usize, usize),
}

impl Scene {
    fn at(spec: &PatternSpec, index: u64) -> Self {
        let is_second = index >= spec.n_frames / 3 && spec.n_frames >= 3;
        let (width, height) = (spec.width as u64, spec.height as u64);
        let disc = |n: u64, speed: (u64, u64), codes| {
            let start = hash(spec.seed, n, u64::from(is_second)) >> 32;
            Disc {
                x: swing(start + index * speed.0, width) as i64,
                y: swing((start >> 8) + index * speed.1, height) as i64,
                radius: (width.min(height) / (8 + 4 * n)).max(1) as i64,
                codes,
            }
        };
        Scene {
            pan_x: swing(index * PAN_STEPS, (PAN_X * STEPS) as u64) as usize,
            pan_y: swing(index / 4, PAN_Y as u64) as usize,
            is_second,
            discs: [
                disc(0, (3, 1), [0xC800, 0x6000, 0x9800]),
                disc(1, (2, 2), [0x4000, 0xA800, 0x7000]),
                disc(2, (5, 0), [0x9000, 0x5800, 0x6400]),
            ],
            bit_depth: spec.format.bit_depth,
            ramp_rows: spec.height / 16,
            panel_rows: panel_rows(spec.height),
        }
    }
}

fn panel_rows(height: usize) -> (usize, usize) {
    (height - height / 5, height - height / 24)
}

impl Layer {
    fn new(spec: &PatternSpec, plane: usize) -> Self {
        let is_chroma = spec.format.is_chroma(plane);
        let shift = spec.format.subsampling().filter(|_| is_chroma).map_or((0, 0), |s| (s.x, s.y));
        let down = 16 - spec.format.bit_depth;
        // Limited range at 16 bits: luma 219 steps of 256 above 16, chroma a muted 48 of its 224 around 128 (H.273).
        let code = |value: u32| {
            // From 65535ths to 65536ths, so that white is reached.
            let value = value + (value >> 15);
            let code = if is_chroma { 0x8000 - (24 << 8) + ((value * 48) >> 8) } else { 0x1000 + ((value * 219) >> 8) };
            (code as u16) >> down
        };
        let (width, height) = spec.format.plane_size(plane, spec.width, spec.height);
        let texture_width = width + (PAN_X >> shift.0) + 1;
        let texture_height = height + (PAN_Y >> shift.1);
        let mut texture = Vec::with_capacity(texture_width * texture_height);
        let mut noise = vec![0; texture_width];
        for y in 0..texture_height {
            noise.fill(0);
            // Sizes of the lumps in luma samples, as powers of two, and their share of the whole in 16ths.
            for (cell, share) in [(7, 7), (5, 5), (3, 3), (2, 1)] {
                let cell = (cell - shift.0.min(2), cell - shift.1.min(2));
                add_noise(spec.seed ^ ((plane as u64) << 32), cell, share, y, &mut noise);
            }
            texture.extend(noise.iter().map(|sum| code(sum >> 4)));
        }
        let ramp_value = |x: usize| if is_chroma { 0x8000 } else { (x * 0xFFFF / (width - 1).max(1)) as u32 };
        let ramp = (0..width).map(|x| code(ramp_value(x))).collect();
        let (first, end) = panel_rows(spec.height);
        let rows = (first >> shift.1)..(end >> shift.1);
        let panel_width = (spec.width / 3) >> shift.0;
        let mut panel = Vec::with_capacity(panel_width * rows.len());
        for y in rows {
            let stroke = |x| if is_chroma { 0x8000 } else { stroke(spec.seed, x, y - first) };
            panel.extend((0..panel_width).map(|x| code(stroke(x))));
        }
        Layer { shift, component: plane, texture, texture_width, ramp, panel, panel_width }
    }

    /// Row `y` of the plane, without grain.
    fn row(&self, scene: &Scene, y: usize, row: &mut [u16]) {
        let luma_y = y << self.shift.1;
        if luma_y < scene.ramp_rows {
            return row.copy_from_slice(&self.ramp);
        }
        let n_rows = self.texture.len() / self.texture_width;
        let from_y = y + (scene.pan_y >> self.shift.1);
        let from_y = if scene.is_second { n_rows - 1 - from_y } else { from_y };
        let pan = scene.pan_x >> self.shift.0;
        let left = &self.texture[from_y * self.texture_width + pan / STEPS..][..row.len() + 1];
        let pairs = left.iter().zip(&left[1..]);
        let part = (pan % STEPS) as u32;
        let blend =
            |(a, b): (&u16, &u16)| (u32::from(*a) * (STEPS as u32 - part) + u32::from(*b) * part) / STEPS as u32;
        if scene.is_second {
            // Black and white change places: 16 + 235 in luma, 128 + 128 in chroma.
            let sum = (if self.component > 0 { 256 } else { 251 }) << (scene.bit_depth - 8);
            row.iter_mut().zip(pairs).for_each(|(to, pair)| *to = (sum - blend(pair)) as u16);
        } else {
            row.iter_mut().zip(pairs).for_each(|(to, pair)| *to = blend(pair) as u16);
        }
        for disc in &scene.discs {
            self.draw(disc, scene.bit_depth, luma_y as i64, row);
        }
        let (first, end) = (scene.panel_rows.0 >> self.shift.1, scene.panel_rows.1 >> self.shift.1);
        if (first..end).contains(&y) {
            let panel = &self.panel[(y - first) * self.panel_width..][..self.panel_width];
            row[..self.panel_width].copy_from_slice(panel);
        }
    }

    fn draw(&self, disc: &Disc, bit_depth: u8, luma_y: i64, row: &mut [u16]) {
        let dy = luma_y - disc.y;
        let Some(half) = (disc.radius * disc.radius - dy * dy).checked_isqrt() else { return };
        let start = (disc.x - half).max(0) as usize >> self.shift.0;
        let end = ((disc.x + half).max(0) as usize >> self.shift.0).min(row.len());
        // Lit from above: a little brighter at the top.
        let light = if self.component > 0 { 0 } else { -dy * 0x1000 / disc.radius };
        let code = (i64::from(disc.codes[self.component]) + light) as u16 >> (16 - bit_depth);
        if start < end {
            row[start..end].fill(code);
        }
    }
}

/// Adds a row of grain, one of many places in the same reel.
fn add_grain(reel: &[i16], seed: u64, index: u64, y: usize, bit_depth: u8, row: &mut [u16]) {
    let start = hash(seed, index, y as u64) as usize % (reel.len() - row.len());
    let white = i32::from(u16::MAX >> (16 - bit_depth));
    for (sample, grain) in row.iter_mut().zip(&reel[start..]) {
        *sample = (i32::from(*sample) + i32::from(*grain)).clamp(0, white) as u16;
    }
}

fn store(row: &[u16], to: &mut PlaneMut, y: usize) {
    if to.bytes_per_sample() == 2 {
        to.row_u16(y).copy_from_slice(row);
    } else {
        to.row_bytes(y).iter_mut().zip(row).for_each(|(to, from)| *to = *from as u8);
    }
}

/// There and back again: 0, 1 .. span, span - 1 .. 0.
fn swing(t: u64, span: u64) -> u64 {
    let t = t % (2 * span);
    t.min(2 * span - t)
}

/// Adds a row of value noise, `share * 0..65535`, random at the corners of cells of 2^cell samples and smooth between.
fn add_noise(seed: u64, cell: (u8, u8), share: u32, y: usize, sums: &mut [u32]) {
    // The smooth step 3t^2 - 2t^3 with t and result in 256ths.
    let smooth = |position: usize, cell: u8| {
        let t = ((position & ((1 << cell) - 1)) << 8 >> cell) as u32;
        (t * t * (768 - 2 * t)) >> 16
    };
    let blend = |a: u32, b: u32, part: u32| (a * (256 - part) + b * part) >> 8;
    let (cell_y, part_y) = ((y >> cell.1) as u64, smooth(y, cell.1));
    let seed = seed ^ (u64::from(cell.0) << 40);
    let corner = |x: usize, y: u64| (hash(seed, x as u64, y) >> 48) as u32;
    let edge = |x: usize| blend(corner(x, cell_y), corner(x, cell_y + 1), part_y);
    let mut left = edge(0);
    for (cell_x, sums) in sums.chunks_mut(1 << cell.0).enumerate() {
        let right = edge(cell_x + 1);
        for (x, sum) in sums.iter_mut().enumerate() {
            *sum += share * blend(left, right, smooth(x, cell.0));
        }
        left = right;
    }
}

/// A text-like panel: cells of 8x12 samples with strokes of 2, as values of 16 bits.
fn stroke(seed: u64, x: usize, y: usize) -> u32 {
    let (column, line) = (x % 8 / 2, y % 12 / 2);
    let letter = hash(seed, (x / 8) as u64, (y / 12) as u64);
    let is_ink = column > 0 && line > 0 && letter >> (column * 6 + line) & 1 == 1;
    if is_ink { 0xE000 } else { 0x2000 }
}

/// 64 random bits of three numbers: the finaliser of SplitMix64 (Steele et al. 2014), once for each.
fn hash(seed: u64, a: u64, b: u64) -> u64 {
    let mix = |state: u64, value: u64| {
        let z = (state ^ value).wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    };
    mix(mix(mix(0, seed), a), b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Picture;

    fn frames(text: &str) -> Vec<Picture> {
        let mut source = PatternSource::new(PatternSpec::parse(text).unwrap()).unwrap();
        std::iter::from_fn(|| source.next_frame().unwrap()).map(|frame| frame.picture).collect()
    }

    fn samples(picture: &Picture, plane: usize) -> Vec<u16> {
        let plane = picture.plane(plane);
        let row = |y| match plane.bytes_per_sample() {
            1 => plane.row_bytes(y).iter().copied().map(u16::from).collect(),
            _ => plane.row_u16(y).to_vec(),
        };
        (0..plane.height()).flat_map(row).collect()
    }

    /// Mean absolute difference of two pictures in luma.
    fn difference(a: &Picture, b: &Picture) -> f64 {
        let (a, b) = (samples(a, 0), samples(b, 0));
        let sum: f64 = a.iter().zip(&b).map(|(a, b)| f64::from(a.abs_diff(*b))).sum();
        sum / a.len() as f64
    }

    #[test]
    fn the_description_is_read_and_nonsense_refused() {
        assert_eq!(PatternSpec::parse("pattern:").unwrap(), PatternSpec::default());
        let spec = PatternSpec::parse("pattern:161x121@30000/1001,frames=9,format=yuv422p10le,seed=7,grain=3").unwrap();
        assert_eq!((spec.width, spec.height, spec.n_frames, spec.seed, spec.grain), (161, 121, 9, 7, 3));
        assert_eq!((spec.frame_rate, spec.format), (Ratio::new(30_000, 1001), PixelFormat::yuv(1, 0, 10)));
        assert_eq!(PatternSpec::parse("pattern:@50,frames=1").unwrap().frame_rate, Ratio::new(50, 1));
        for text in
            ["pattern", "pattern:1280", "pattern:axb", "pattern:frames=-1", "pattern:grain=33", "pattern:,64x64"]
        {
            assert_eq!(PatternSpec::parse(text).unwrap_err().kind(), Kind::Usage, "{text}");
        }
        for text in ["pattern:0x2", "pattern:70000x2", "pattern:@0", "pattern:format=nv12"] {
            assert!(PatternSource::new(PatternSpec::parse(text).unwrap()).is_err(), "{text}");
        }
    }

    #[test]
    fn every_size_and_format_stays_within_its_codes() {
        for size in ["1x1", "2x3", "17x5", "161x121", "300x64"] {
            for format in
                ["gray", "gray12le", "yuv420p", "yuv420p10le", "yuv422p", "yuv444p16le", "yuva420p", "yuv410p"]
            {
                for grain in [0, 32] {
                    let pictures = frames(&format!("pattern:{size},frames=4,format={format},grain={grain}"));
                    assert_eq!(pictures.len(), 4);
                    let (format, picture) = (pictures[3].format(), &pictures[3]);
                    for plane in 0..format.n_planes() {
                        let largest = samples(picture, plane).into_iter().max().unwrap();
                        assert!(u32::from(largest) < 1 << format.bit_depth, "{size} {format} plane {plane}: {largest}");
                    }
                }
            }
        }
    }

    #[test]
    fn it_moves_slowly_cuts_once_and_its_static_part_stands_still() {
        let pictures = frames("pattern:320x180,frames=30");
        let step = |n: usize| difference(&pictures[n], &pictures[n + 1]);
        let cut = step(9);
        for n in (0..29).filter(|n| *n != 9) {
            assert!(step(n) > 0.1 && step(n) < cut / 4.0, "frames {n} and {}: {}, the cut {cut}", n + 1, step(n));
        }
        let ramp = pictures[0].plane(0).row_bytes(0);
        assert!((ramp[0], ramp[319]) == (16, 235) && ramp.is_sorted());
        for y in [0, 10, 150, 170] {
            for picture in &pictures {
                assert_eq!(picture.plane(0).row_bytes(y)[..100], pictures[0].plane(0).row_bytes(y)[..100], "row {y}");
            }
        }
    }

    #[test]
    fn the_same_description_gives_the_same_pixels_everywhere() {
        // Known values: whoever changes the pattern changes every bench that was measured with it.
        let digest = |text| {
            let pictures = frames(text);
            let all = pictures.iter().flat_map(|picture| (0..3).flat_map(|plane| samples(picture, plane)));
            all.fold(0, |state, sample| hash(1, state, u64::from(sample)))
        };
        let first = digest("pattern:161x121,frames=4,format=yuv420p10le,grain=2");
        assert_eq!(first, 8_802_492_991_626_009_218);
        assert_ne!(first, digest("pattern:161x121,frames=4,format=yuv420p10le,grain=2,seed=2"));
    }
}
