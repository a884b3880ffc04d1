//! Tensors: what goes into a network and what comes out, in aligned memory that is used again for every batch.

use half::f16;

use crate::frame::pool::AlignedBytes;

/// The type of a tensor's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Element {
    /// 32-bit float.
    F32,
    /// 16-bit float (IEEE 754 binary16).
    F16,
    /// Unsigned byte.
    U8,
}

impl Element {
    /// Bytes an element.
    pub fn size(self) -> usize {
        match self {
            Element::F32 => 4,
            Element::F16 => 2,
            Element::U8 => 1,
        }
    }
}

/// A dense tensor of four dimensions, in the network's own order (NCHW or NHWC).
pub struct Tensor {
    element: Element,
    shape: [usize; 4],
    bytes: AlignedBytes,
}

impl Tensor {
    /// A tensor of zeros.
    pub fn new(element: Element, shape: [usize; 4]) -> Self {
        let length = shape.iter().product::<usize>() * element.size();
        Tensor { element, shape, bytes: AlignedBytes::new(length) }
    }

    /// The type of the elements.
    pub fn element(&self) -> Element {
        self.element
    }

    /// The dimensions.
    pub fn shape(&self) -> [usize; 4] {
        self.shape
    }

    /// All bytes, to read.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// All bytes, to write.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// The elements of whatever type, as numbers.
    pub fn values(&self) -> Vec<f32> {
        match self.element {
            Element::F32 => self.as_f32().to_vec(),
            Element::F16 => self.as_f16().iter().map(|value| value.to_f32()).collect(),
            Element::U8 => self.bytes().iter().map(|value| f32::from(*value)).collect(),
        }
    }

    /// The elements; the tensor must be of [`Element::F32`].
    pub fn as_f32(&self) -> &[f32] {
        assert_eq!(self.element, Element::F32);
        bytemuck::cast_slice(&self.bytes)
    }

    /// The elements, to write; the tensor must be of [`Element::F32`].
    pub fn as_f32_mut(&mut self) -> &mut [f32] {
        assert_eq!(self.element, Element::F32);
        bytemuck::cast_slice_mut(&mut self.bytes)
    }

    /// The elements; the tensor must be of [`Element::F16`].
    pub fn as_f16(&self) -> &[f16] {
        assert_eq!(self.element, Element::F16);
        bytemuck::cast_slice(&self.bytes)
    }

    /// The elements, to write; the tensor must be of [`Element::F16`].
    pub fn as_f16_mut(&mut self) -> &mut [f16] {
        assert_eq!(self.element, Element::F16);
        bytemuck::cast_slice_mut(&mut self.bytes)
    }
}
