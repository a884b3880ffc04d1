//! What a frame shows: the layers that never change, what moves over them, and a row of both.

use super::noise::{add_noise, hash};
use super::spec::PatternSpec;

/// How far the background pans before it turns back, in luma samples.
const PAN_X: usize = 256;
const PAN_Y: usize = 64;
/// Horizontal steps a luma sample; the pan moves 12 of them a frame, 0.75 samples.
const STEPS: usize = 16;
const PAN_STEPS: u64 = 12;

/// One plane's share of what does not change: its texture and what stands still on it.
pub(super) struct Layer {
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

/// A disc in luma samples, with its code values at 16 bits.
struct Disc {
    x: i64,
    y: i64,
    radius: i64,
    codes: [u16; 3],
}

/// What moves, at one frame.
pub(super) struct Scene {
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
    pub(super) fn at(spec: &PatternSpec, index: u64) -> Self {
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
    pub(super) fn new(spec: &PatternSpec, plane: usize) -> Self {
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
    pub(super) fn row(&self, scene: &Scene, y: usize, row: &mut [u16]) {
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

/// There and back again: 0, 1 .. span, span - 1 .. 0.
fn swing(t: u64, span: u64) -> u64 {
    let t = t % (2 * span);
    t.min(2 * span - t)
}

/// A text-like panel: cells of 8x12 samples with strokes of 2, as values of 16 bits.
fn stroke(seed: u64, x: usize, y: usize) -> u32 {
    let (column, line) = (x % 8 / 2, y % 12 / 2);
    let letter = hash(seed, (x / 8) as u64, (y / 12) as u64);
    let is_ink = column > 0 && line > 0 && letter >> (column * 6 + line) & 1 == 1;
    if is_ink { 0xE000 } else { 0x2000 }
}
