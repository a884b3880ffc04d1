//! The test engines: identity and nearest x2, for every element type and layout, without any library.
//!
//! They make the whole chain run where ONNX Runtime is missing, and their results are known exactly.

use super::{Engine, wrong_output};
use crate::error::Result;
use crate::model::{Layout, NetworkFacts, Tensor};

/// Gives back what it gets.
pub struct Identity;

impl Engine for Identity {
    fn run(&mut self, input: &Tensor, output: &mut Tensor) -> Result<()> {
        check(input, output, input.shape())?;
        output.bytes_mut().copy_from_slice(input.bytes());
        Ok(())
    }
}

/// Repeats each pixel twice both ways.
pub struct NearestX2 {
    layout: Layout,
}

impl NearestX2 {
    /// An engine for tensors in the order of `facts`.
    pub fn new(facts: &NetworkFacts) -> Self {
        NearestX2 { layout: facts.input.layout }
    }
}

impl Engine for NearestX2 {
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
    use crate::model::{Element, builtin};

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
        Identity.run(&input, &mut output).unwrap();
        assert_eq!(input.bytes(), output.bytes());
        let error = Identity.run(&input, &mut Tensor::new(Element::F16, [2, 3, 5, 4])).unwrap_err();
        assert!(error.to_string().contains("2x3x4x5 for an input of 2x3x4x5, expected 2x3x5x4"), "{error}");
    }
}
