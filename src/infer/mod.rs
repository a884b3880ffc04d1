//! Engines: what runs a network on tensors.
//!
//! A worker owns one [`Engine`] and nobody else touches it. An engine knows nothing of pictures, windows or frames.

use crate::error::Result;
use crate::model::Tensor;

/// Runs one network. Made by a worker, in its own thread, and used by it alone.
pub trait Engine {
    /// Runs the network on `input`, shape and element as in the network's facts; the result goes into `output`, whose
    /// shape must be the one the network gives for this input.
    fn run(&mut self, input: &Tensor, output: &mut Tensor) -> Result<()>;
}
