//! What multiplies numbers in bf16. Unlike those of f32, these ways do not give the same bits.

use super::tiles::Tiles;
use crate::simd::cpu::Avx512Bf16;

/// Which instructions multiply numbers in bf16; holds the proof that they are there.
#[derive(Clone, Copy, Debug)]
pub enum Bf16 {
    /// AMX: a tile at once, of packed pixels.
    Tiles(Tiles),
    /// AVX-512: pairs of inputs, a register of pixels at once.
    Dots(Avx512Bf16),
}

impl Bf16 {
    /// All that this machine has, the fastest first. The first call asks the system.
    pub fn all() -> Vec<Bf16> {
        [Tiles::new().map(Bf16::Tiles), Avx512Bf16::new().map(Bf16::Dots)].into_iter().flatten().collect()
    }

    /// As it stands in reports.
    pub fn name(self) -> &'static str {
        match self {
            Bf16::Tiles(_) => "amx-bf16",
            Bf16::Dots(_) => "avx512-bf16",
        }
    }
}
