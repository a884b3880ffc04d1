//! Confirms a network's facts by running it: scale, reach of one pixel, tiles against the whole, value range.
//!
//! A probe sees only the pictures it tries, so it can refute a fact and never prove one: radius and multiple come from
//! the graph. It is given a function that runs tensors and knows nothing of engines. Every picture is a window onto
//! one endless plane of noise, so a tile and the whole it is cut from agree without being kept.

use half::f16;

use super::{Element, NetworkFacts, Tensor};
use crate::error::{Context, Result};

/// Runs the network: input, the row of the picture at which it begins, output of the shape that the facts promise.
pub type Run<'a> = dyn FnMut(&Tensor, usize, &mut Tensor) -> Result<()> + 'a;

/// What was seen.
#[derive(Clone, Debug, PartialEq)]
pub struct ProbeReport {
    /// Output pixels per input pixel: the facts' own, or the first that runs.
    pub scale: usize,
    /// How far a changed pixel was seen to reach, in input pixels; a lower bound of the radius.
    pub observed_radius: usize,
    /// Whether every tile had the bits of the whole, with a halo of the facts' radius.
    pub tiling_exact: bool,
    /// The range of the input in which the network keeps a grey picture grey: the facts' own, else [0, 1] or [0, 255];
    /// `None` when it shows none.
    pub range: Option<(f32, f32)>,
    /// What contradicts the facts or could not be tried, a sentence each.
    pub notes: Vec<String>,
}

/// Coordinates that positions in f32 arithmetic, as some resizes use, no longer hold to 1/4096 of a pixel.
const FAR: usize = 4096;

/// Runs the network on some dozen small pictures and compares what comes out with `facts`.
pub fn probe(run: &mut Run<'_>, facts: &NetworkFacts) -> Result<ProbeReport> {
    let mut probe = Probe { run, facts: facts.clone(), notes: Vec::new() };
    probe.find_scale().context(|| "probe of the network")?;
    probe.report().context(|| "probe of the network")
}

/// A rectangle of the plane, in input pixels.
#[derive(Clone, Copy)]
struct Rect {
    x: usize,
    y: usize,
    width: usize,
    height: usize,
}

impl Rect {
    /// What is left without a `halo` at the edges that are not edges of `picture`: x from, to; y from, to.
    fn core(self, picture: Rect, halo: usize) -> [usize; 4] {
        let span = |start: usize, length: usize, whole_start: usize, whole: usize| {
            let from = if start == whole_start { start } else { start + halo };
            let end = start + length;
            (from, if end == whole_start + whole { end } else { end.saturating_sub(halo) })
        };
        let (left, right) = span(self.x, self.width, picture.x, picture.width);
        let (top, bottom) = span(self.y, self.height, picture.y, picture.height);
        [left, right, top, bottom]
    }
}

/// A picture, the pixels to change in it one by one, and the windows to compare with it.
struct Trial {
    picture: Rect,
    pixels: Vec<(usize, usize)>,
    windows: Vec<Rect>,
}

struct Probe<'a, 'b> {
    run: &'a mut Run<'b>,
    facts: NetworkFacts,
    notes: Vec<String>,
}

impl Probe<'_, '_> {
    fn report(mut self) -> Result<ProbeReport> {
        let (mut observed_radius, mut odd_tile) = (0, None);
        for trial in self.trials() {
            let whole = self.render(trial.picture, None)?;
            for pixel in trial.pixels {
                let changed = self.render(trial.picture, Some(pixel))?;
                observed_radius = observed_radius.max(self.distance(trial.picture, pixel, &whole, &changed));
            }
            for window in trial.windows {
                let tile = self.render(window, None)?;
                if !self.agree(trial.picture, (trial.picture, &whole), (window, &tile)) {
                    odd_tile.get_or_insert(window);
                }
            }
        }
        let mut tiling_exact = true;
        if let Some(radius) = self.facts.radius.filter(|radius| *radius < observed_radius) {
            self.notes.push(format!("a changed pixel reaches {observed_radius} pixels far, the facts say {radius}"));
            tiling_exact = false;
        }
        if let Some(Rect { x, y, width, height }) = odd_tile {
            self.notes.push(format!("the tile {width}x{height} at {x},{y} differs from the whole"));
            tiling_exact = false;
        }
        if self.facts.radius.is_none() {
            self.notes.push("the network looks at the whole picture: it is not cut into tiles".into());
            tiling_exact = false;
        } else if self.facts.fixed_size.is_some() {
            tiling_exact &= self.fixed_windows_agree()?;
        }
        let range = self.range()?;
        Ok(ProbeReport { scale: self.facts.scale, observed_radius, tiling_exact, range, notes: self.notes })
    }

    /// A picture somewhat larger than a window and, unless the size is fixed, two long and thin ones that reach far
    /// out. Pixels are changed in the middle, at other phases of the multiple, near a corner and far out; windows lie
    /// in corners, along edges and inside.
    fn trials(&self) -> Vec<Trial> {
        let medium = self.medium();
        let (x, y) = (medium.width / 2, medium.height / 2);
        let pixels = vec![(x, y), (x + 1, y + 1), (x - 1, y), (2, 1), (x, medium.height - 1)];
        let pixels = pixels.into_iter().filter(|(x, y)| *x < medium.width && *y < medium.height).collect();
        let is_tiled = self.facts.radius.is_some();
        if self.facts.fixed_size.is_some() {
            return vec![Trial { picture: medium, pixels, windows: Vec::new() }];
        }
        let m = self.multiple();
        let (side, _) = self.window();
        let shift = medium.width - side;
        let middle = shift / 2 / m * m;
        let corners = [(0, 0), (shift, 0), (0, shift), (shift, shift), (middle, middle), (m.min(shift), shift)];
        let windows = corners.map(|(x, y)| Rect { x, y, width: side, height: side }).to_vec();
        let mut trials = vec![Trial { picture: medium, pixels, windows: if is_tiled { windows } else { Vec::new() } }];
        if is_tiled {
            let (long, thin) = ((FAR + side).next_multiple_of(m), 8usize.next_multiple_of(m));
            let offsets = [0, FAR / 2 / m * m, FAR / m * m, long - side];
            let wide = |x, width| Rect { x, y: 0, width, height: thin };
            let windows = offsets.map(|x| wide(x, side)).to_vec();
            trials.push(Trial { picture: wide(0, long), pixels: vec![(long - 20, thin / 2)], windows });
            let tall = |y, height| Rect { x: 0, y, width: thin, height };
            let windows = offsets.map(|y| tall(y, side)).to_vec();
            trials.push(Trial { picture: tall(0, long), pixels: vec![(thin / 2, long - 20)], windows });
        }
        trials
    }

    /// Takes the facts' scale when it runs, else the first one that does.
    fn find_scale(&mut self) -> Result<()> {
        let said = self.facts.scale;
        let picture = self.medium();
        let Err(first) = self.render(picture, None) else { return Ok(()) };
        for scale in [1, 2, 3, 4, 8] {
            self.facts.scale = scale;
            if scale != said && self.render(picture, None).is_ok() {
                self.notes.push(format!("the scale is {scale}, the facts say {said}"));
                return Ok(());
            }
        }
        Err(first)
    }

    fn halo(&self) -> usize {
        self.facts.radius.unwrap_or(0).next_multiple_of(self.multiple())
    }

    fn multiple(&self) -> usize {
        self.facts.multiple_of.max(1)
    }

    /// The smallest window with a core: of the fixed size, or as wide as two halos and some pixels.
    fn window(&self) -> (usize, usize) {
        let side = 2 * self.halo() + 16usize.next_multiple_of(self.multiple());
        self.facts.fixed_size.unwrap_or((side, side))
    }

    /// A picture somewhat larger than a window.
    fn medium(&self) -> Rect {
        let more = 24usize.next_multiple_of(self.multiple());
        let side = self.window().0 + more;
        let (width, height) = self.facts.fixed_size.unwrap_or((side, side));
        Rect { x: 0, y: 0, width, height }
    }

    /// The farthest output that differs, in input pixels from `pixel`.
    fn distance(&self, picture: Rect, pixel: (usize, usize), plain: &Tensor, changed: &Tensor) -> usize {
        let scale = self.facts.scale;
        let mut farthest = 0;
        for y in 0..picture.height * scale {
            for x in 0..picture.width * scale {
                if self.samples(plain, x, y).ne(self.samples(changed, x, y)) {
                    farthest = farthest.max((x / scale).abs_diff(pixel.0)).max((y / scale).abs_diff(pixel.1));
                }
            }
        }
        farthest
    }

    /// Two windows that overlap, for a network of one size.
    fn fixed_windows_agree(&mut self) -> Result<bool> {
        let (m, (width, height)) = (self.multiple(), self.window());
        let step = |length: usize| (length / 4).next_multiple_of(m);
        let picture = Rect { x: 0, y: 0, width: width + step(width), height: height + step(height) };
        let first = Rect { x: 0, y: 0, width, height };
        let second = Rect { x: step(width), y: step(height), width, height };
        let [left, right, top, bottom] = first.core(picture, self.halo());
        let [from_x, _, from_y, _] = second.core(picture, self.halo());
        if left.max(from_x) >= right || top.max(from_y) >= bottom {
            self.notes.push(format!("windows of {width}x{height} leave no core inside a halo of {}", self.halo()));
            return Ok(false);
        }
        let (a, b) = (self.render(first, None)?, self.render(second, None)?);
        let agree = self.agree(picture, (first, &a), (second, &b));
        if !agree {
            self.notes.push(format!("windows of {width}x{height} at 0,0 and {},{} differ", second.x, second.y));
        }
        Ok(agree)
    }

    /// Whether two windows have the same bits where the cores of both lie.
    fn agree(&self, picture: Rect, (a, of_a): (Rect, &Tensor), (b, of_b): (Rect, &Tensor)) -> bool {
        let scale = self.facts.scale;
        let (core, other) = (a.core(picture, self.halo()), b.core(picture, self.halo()));
        let columns = core[0].max(other[0]) * scale..core[1].min(other[1]) * scale;
        let rows = core[2].max(other[2]) * scale..core[3].min(other[3]) * scale;
        rows.into_iter().all(|y| {
            columns.clone().all(|x| {
                let in_a = self.samples(of_a, x - a.x * scale, y - a.y * scale);
                in_a.eq(self.samples(of_b, x - b.x * scale, y - b.y * scale))
            })
        })
    }

    /// The bytes of all channels of one output pixel of the first picture.
    fn samples<'t>(&self, tensor: &'t Tensor, x: usize, y: usize) -> impl Iterator<Item = &'t [u8]> + use<'t> {
        let port = &self.facts.output;
        let (layout, shape, size) = (port.layout, tensor.shape(), port.element.size());
        (0..port.channels.count()).map(move |channel| {
            let at = offset(layout.shape(0, channel, y, x), shape) * size;
            &tensor.bytes()[at..at + size]
        })
    }

    /// The network's output for a window onto the plane, with one pixel (of the picture) changed strongly.
    fn render(&mut self, window: Rect, changed: Option<(usize, usize)>) -> Result<Tensor> {
        let (black, white) = (self.facts.input.black, self.facts.input.white);
        self.output_of(window, |channel, x, y| {
            let level = noise(channel, x, y);
            let flipped = if level < 0.5 { 1.0 } else { 0.0 };
            let level = if changed == Some((x, y)) { flipped } else { level };
            black + level * (white - black)
        })
    }

    /// The network's output when each input sample is `value(channel, x, y)`.
    fn output_of(&mut self, window: Rect, value: impl Fn(usize, usize, usize) -> f32) -> Result<Tensor> {
        let (facts, batch) = (&self.facts, self.facts.fixed_batch.unwrap_or(1));
        let Rect { width, height, .. } = window;
        let (from, channels) = (&facts.input, facts.input.channels.count());
        let [taken, given] = facts.shapes(batch, (width, height));
        let (mut input, mut output) = (Tensor::new(from.element, taken), Tensor::new(facts.output.element, given));
        let of_shape = input.shape();
        for sample in 0..batch * channels * height * width {
            let (x, y) = (sample % width, sample / width % height);
            let (channel, i) = (sample / (width * height) % channels, sample / (width * height * channels));
            let at = offset(from.layout.shape(i, channel, y, x), of_shape);
            let value = value(channel, window.x + x, window.y + y);
            match from.element {
                Element::F32 => input.as_f32_mut()[at] = value,
                Element::F16 => input.as_f16_mut()[at] = f16::from_f32(value),
                Element::U8 => input.bytes_mut()[at] = value.round() as u8,
            }
        }
        (self.run)(&input, window.y, &mut output)?;
        Ok(output)
    }

    /// Whether grey stays grey in the range of the facts, or else in [0, 1] or in [0, 255]. A network that multiplies
    /// and never adds shows no difference.
    fn range(&mut self) -> Result<Option<(f32, f32)>> {
        if self.facts.input.element == Element::U8 || self.facts.output.element == Element::U8 {
            return Ok(Some((0.0, 255.0)));
        }
        let (input, output) = (&self.facts.input, &self.facts.output);
        let said = [(input.black, input.white), (output.black, output.white)];
        let others = [1.0, 255.0].map(|white| [(0.0, white); 2]).into_iter().filter(|range| *range != said);
        for [(black, white), given] in [said].into_iter().chain(others) {
            let picture = self.medium();
            let output = self.output_of(picture, |_, _, _| (black + white) / 2.0)?;
            let level = (mean(&output) - f64::from(given.0)) / f64::from(given.1 - given.0);
            if (level - 0.5).abs() < 0.1 {
                if [(black, white), given] != said {
                    let (from, to) = said[0];
                    self.notes.push(format!("grey stays grey in [{black}, {white}], the facts say [{from}, {to}]"));
                }
                return Ok(Some((black, white)));
            }
        }
        self.notes.push("grey does not stay grey: the range could not be confirmed".into());
        Ok(None)
    }
}

/// Position of the element at `index` in a tensor of this shape.
fn offset(index: [usize; 4], shape: [usize; 4]) -> usize {
    index.iter().zip(shape).fold(0, |offset, (i, length)| offset * length + i)
}

/// The plane: a code value of 8 bits as a fraction, the same for the same place for ever.
fn noise(channel: usize, x: usize, y: usize) -> f32 {
    let mut bits = (x as u32).wrapping_mul(0x9E37_79B1) ^ (y as u32).wrapping_mul(0x85EB_CA77) ^ (channel as u32) << 20;
    bits = (bits ^ (bits >> 15)).wrapping_mul(0x2C1B_3C6D);
    bits = (bits ^ (bits >> 12)).wrapping_mul(0x297A_2D39);
    (bits >> 24) as f32 / 255.0
}

fn mean(tensor: &Tensor) -> f64 {
    let sum: f64 = match tensor.element() {
        Element::F32 => tensor.as_f32().iter().copied().map(f64::from).sum(),
        Element::F16 => tensor.as_f16().iter().copied().map(f64::from).sum(),
        Element::U8 => tensor.bytes().iter().copied().map(f64::from).sum(),
    };
    sum / tensor.shape().iter().product::<usize>().max(1) as f64
}

#[cfg(test)]
mod tests;
