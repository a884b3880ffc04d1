//! The test engines: identity and nearest x2, for every element type and layout, without any library.
//!
//! They make the whole chain run where ONNX Runtime is missing, and their results are known exactly.

use super::{Engine, RowEngine, RowPort, wrong_output};
use crate::error::Result;
use crate::model::{Layout, NetworkFacts, Tensor};

/// Rows of the picture on their way, a channel after the other.
struct Rows {
    channels: usize,
    samples: Vec<f32>,
}

impl Rows {
    fn new(facts: &NetworkFacts) -> Self {
        Rows { channels: facts.input.channels.count(), samples: Vec::new() }
    }

    /// Takes row `y`, each channel followed by room for `times` as many samples in all.
    fn read(&mut self, y: usize, width: usize, times: usize, port: &mut dyn RowPort) {
        self.samples.resize(self.channels * width * times, 0.0);
        let mut rows: Vec<_> = self.samples.chunks_exact_mut(width * times).map(|row| &mut row[..width]).collect();
        port.read(y, &mut rows);
    }

    /// Gives the rows of `width` samples.
    fn write(&self, y: usize, width: usize, port: &mut dyn RowPort) {
        port.write(y, &self.samples.chunks_exact(width).collect::<Vec<_>>());
    }
}

/// Gives back what it gets.
pub struct Identity(Rows);

impl Identity {
    /// An engine for tensors like those of `facts`.
    pub fn new(facts: &NetworkFacts) -> Self {
        Identity(Rows::new(facts))
    }
}

impl RowEngine for Identity {
    fn run_rows(&mut self, (width, height): (usize, usize), _top: usize, port: &mut dyn RowPort) -> Result<()> {
        for y in 0..height {
            self.0.read(y, width, 1, port);
            self.0.write(y, width, port);
        }
        Ok(())
    }
}

impl Engine for Identity {
    fn rows(&mut self) -> Option<&mut dyn RowEngine> {
        Some(self)
    }

    fn run(&mut self, input: &Tensor, output: &mut Tensor) -> Result<()> {
        check(input, output, input.shape())?;
        output.bytes_mut().copy_from_slice(input.bytes());
        Ok(())
    }
}

/// Repeats each pixel twice both ways.
pub struct NearestX2 {
    layout: Layout,
    rows: Rows,
}

impl NearestX2 {
    /// An engine for tensors in the order of `facts`.
    pub fn new(facts: &NetworkFacts) -> Self {
        NearestX2 { layout: facts.input.layout, rows: Rows::new(facts) }
    }
}

impl RowEngine for NearestX2 {
    fn run_rows(&mut self, (width, height): (usize, usize), _top: usize, port: &mut dyn RowPort) -> Result<()> {
        for y in 0..height {
            self.rows.read(y, width, 2, port);
            for row in self.rows.samples.chunks_exact_mut(2 * width) {
                // From the end, so that no sample is overwritten before it is used.
                for x in (0..width).rev() {
                    let sample = row[x];
                    row[2 * x..2 * x + 2].fill(sample);
                }
            }
            self.rows.write(2 * y, 2 * width, port);
            self.rows.write(2 * y + 1, 2 * width, port);
        }
        Ok(())
    }
}

impl Engine for NearestX2 {
    fn rows(&mut self) -> Option<&mut dyn RowEngine> {
        Some(self)
    }

    fn run(&mut self, input: &Tensor, output: &mut Tensor) -> Result<()> {
        let [a, b, c, d] = input.shape();
        // A row of pixels, and the bytes of one: a sample in NCHW, all channels in NHWC.
        let (shape, width, pixel) = match self.layout {
            Layout::Nchw => ([a, b, c * 2, d * 2], d, input.element().size()),
            Layout::Nhwc => ([a, b * 2, c * 2, d], c, input.element().size() * d),
        };
        check(input, output, shape)?;
        if input.bytes().is_empty() {
            return Ok(());
        }
        let row = width * pixel;
        let rows = input.bytes().chunks_exact(row).zip(output.bytes_mut().chunks_exact_mut(row * 4));
        for (from, to) in rows {
            let (upper, lower) = to.split_at_mut(row * 2);
            for (from, to) in from.chunks_exact(pixel).zip(upper.chunks_exact_mut(pixel * 2)) {
                to[..pixel].copy_from_slice(from);
                to[pixel..].copy_from_slice(from);
            }
            lower.copy_from_slice(upper);
        }
        Ok(())
    }
}

fn check(input: &Tensor, output: &Tensor, shape: [usize; 4]) -> Result<()> {
    match output.shape() == shape && output.element() == input.element() {
        true => Ok(()),
        false => Err(wrong_output(input, output, &shape)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Channels, Element, builtin};

    fn filled(element: Element, shape: [usize; 4]) -> Tensor {
        let mut tensor = Tensor::new(element, shape);
        tensor.bytes_mut().iter_mut().enumerate().for_each(|(i, byte)| *byte = (i * 37 % 251) as u8);
        tensor
    }

    /// Position of a sample in bytes.
    fn at(layout: Layout, shape: [usize; 4], [n, c, y, x]: [usize; 4]) -> usize {
        let index = layout.shape(n, c, y, x);
        index.iter().zip(shape).fold(0, |offset, (i, size)| offset * size + i)
    }

    #[test]
    fn nearest_x2_is_its_definition_for_every_element_and_layout() {
        let (n, c, h, w) = (2, 3, 5, 7);
        for layout in [Layout::Nchw, Layout::Nhwc] {
            for element in [Element::F32, Element::F16, Element::U8] {
                let mut facts = builtin::find("nearest-x2").unwrap().facts;
                facts.input.layout = layout;
                let input = filled(element, layout.shape(n, c, h, w));
                let mut output = Tensor::new(element, layout.shape(n, c, h * 2, w * 2));
                NearestX2::new(&facts).run(&input, &mut output).unwrap();
                let size = element.size();
                for (i, c, y, x) in (0..n * c * 4 * h * w)
                    .map(|i| (i / (c * 4 * h * w), i / (4 * h * w) % c, i / (2 * w) % (2 * h), i % (2 * w)))
                {
                    let from = at(layout, input.shape(), [i, c, y / 2, x / 2]) * size;
                    let to = at(layout, output.shape(), [i, c, y, x]) * size;
                    assert_eq!(input.bytes()[from..from + size], output.bytes()[to..to + size]);
                }
            }
        }
    }

    #[test]
    fn identity_gives_back_the_bytes_and_refuses_another_shape() {
        let input = filled(Element::F16, [2, 3, 4, 5]);
        let mut output = Tensor::new(Element::F16, [2, 3, 4, 5]);
        let mut identity = Identity::new(&builtin::find("identity").unwrap().facts);
        identity.run(&input, &mut output).unwrap();
        assert_eq!(input.bytes(), output.bytes());
        let error = identity.run(&input, &mut Tensor::new(Element::F16, [2, 3, 5, 4])).unwrap_err();
        assert!(error.to_string().contains("2x3x4x5 for an input of 2x3x4x5, expected 2x3x5x4"), "{error}");
    }

    #[test]
    fn rows_are_those_of_tensors() {
        let (h, w) = (5, 7);
        for name in ["identity", "nearest-x2"] {
            let mut facts = builtin::find(name).unwrap().facts;
            facts.input.channels = Channels::Rgb;
            let mut engine: Box<dyn Engine> = match facts.scale {
                1 => Box::new(Identity::new(&facts)),
                _ => Box::new(NearestX2::new(&facts)),
            };
            let mut input = Tensor::new(Element::F32, [1, 3, h, w]);
            input.as_f32_mut().iter_mut().enumerate().for_each(|(i, value)| *value = i as f32);
            let (height, width) = (h * facts.scale, w * facts.scale);
            let mut output = Tensor::new(Element::F32, [1, 3, height, width]);
            engine.run(&input, &mut output).unwrap();
            let mut by_rows = vec![-1.0; output.as_f32().len()];
            let read = |y: usize, rows: &mut [&mut [f32]]| {
                rows.iter_mut()
                    .enumerate()
                    .for_each(|(c, row)| row.copy_from_slice(&input.as_f32()[(c * h + y) * w..][..w]));
            };
            let write = |y: usize, rows: &[&[f32]]| {
                rows.iter().enumerate().for_each(|(c, row)| {
                    by_rows[(c * height + y) * width..][..width].copy_from_slice(row);
                });
            };
            engine.rows().unwrap().run_rows((w, h), 0, &mut (read, write)).unwrap();
            assert_eq!(by_rows, output.as_f32(), "{name}");
        }
    }
}
