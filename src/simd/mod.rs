//! Kernels: what is done to rows of samples, a folder a family.
//!
//! Called by the heads and the survey. Kernels see plane views and slices, never frames, tensors or pts. Each
//! `scalar.rs` is plain code and the truth: `avx2.rs` and `avx512.rs` give the same bits, floats included, so nothing
//! that comes out depends on the machine. That is why no level fuses a multiplication with an addition: the truth
//! would need a library call for each where the CPU has no such instruction. All arithmetic is in f32, every output
//! sample is computed from its own inputs in one fixed order, and nothing depends on where a row or a window starts;
//! so a picture cut into windows gives the same bits as the whole.

#[macro_use]
mod compile;

pub mod compare;
pub mod cpu;
pub mod hash;
pub mod luma;
pub mod resize;
pub mod rgb;

#[cfg(test)]
mod check;

use cpu::Level;
#[cfg(target_arch = "x86_64")]
use cpu::{Avx2, Avx512};

/// The kernels of one level, all families. Whoever holds them may call them: that the CPU can was checked when they
/// were made. Cheap to copy. The families add the methods.
#[derive(Clone, Copy, Debug)]
pub struct Kernels(Tier);

/// A level with the proof that the CPU has it.
#[derive(Clone, Copy, Debug)]
enum Tier {
    Scalar,
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
}

impl Kernels {
    /// The kernels that work everywhere.
    pub const SCALAR: Kernels = Kernels(Tier::Scalar);

    /// The kernels of the best level ([`Level::detect`]).
    pub fn best() -> Self {
        Kernels::at(Level::detect()).unwrap_or(Kernels::SCALAR)
    }

    /// The kernels of a level, if the CPU has it.
    pub fn at(level: Level) -> Option<Self> {
        match level {
            Level::Scalar => Some(Kernels::SCALAR),
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => Avx2::new().map(|proof| Kernels(Tier::Avx2(proof))),
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => Avx512::new().map(|proof| Kernels(Tier::Avx512(proof))),
            #[cfg(not(target_arch = "x86_64"))]
            Level::Avx2 | Level::Avx512 => None,
        }
    }
}
