//! The convolution in bf16 on tiles of 16 pixels, 32 inputs and 16 outputs.
//!
//! Pixels lie packed, all channels of one beside each other in bf16, so that a tile holds 32 channels of 16 neighbouring
//! pixels, or, where a pixel has only 16 channels, those of a pixel and of the next one, which is the kernel's next
//! column. Sums are f32 and always made in the same order, wherever a pixel lies. Only machines with AMX do this; what they
//! do must be checked here, once a row.

use std::sync::OnceLock;

use half::bf16;

use super::{Activation, Weights};
#[cfg(target_arch = "x86_64")]
use super::{amx, avx512};

/// Pixels, outputs, and pairs of inputs of a tile.
pub(super) const SIDE: usize = 16;
/// Inputs of a tile.
pub(super) const DEPTH: usize = 2 * SIDE;

/// Proof that the CPU has AMX for bf16, and that the system lets this process use it.
#[derive(Clone, Copy, Debug)]
pub struct Tiles(());

impl Tiles {
    /// The proof, if it holds. The first call asks the system.
    pub fn new() -> Option<Tiles> {
        static FOUND: OnceLock<bool> = OnceLock::new();
        #[cfg(target_arch = "x86_64")]
        let found = *FOUND.get_or_init(amx::is_there);
        #[cfg(not(target_arch = "x86_64"))]
        let found = *FOUND.get_or_init(|| false);
        found.then_some(Tiles(()))
    }
}

/// A step of the sum: the inputs of a tile.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// The kernel's row.
    pub ky: usize,
    /// The kernel's column, the first of two where a pixel has 16 channels.
    pub kx: usize,
    /// The first input.
    pub first: usize,
}

#[repr(C, align(64))]
#[derive(Clone)]
pub(super) struct Tile(pub(super) [[bf16; DEPTH]; SIDE]);

/// The weights of a convolution as tiles.
pub struct TileWeights {
    /// For each block of 16 outputs, for each step.
    pub(super) tiles: Vec<Tile>,
    pub(super) steps: Vec<Step>,
    /// One for each output of all blocks.
    pub(super) bias: Vec<f32>,
    n_outputs: usize,
}

/// Channels that a packed pixel of `n` has room for.
pub fn padded(n: usize) -> usize {
    if n <= SIDE { SIDE } else { n.next_multiple_of(DEPTH) }
}

impl TileWeights {
    /// The same weights, rounded to bf16.
    pub fn new(weights: &Weights) -> TileWeights {
        let ([rows, columns], n_inputs, n_outputs) = (weights.kernel, weights.n_inputs, weights.n_outputs());
        let pairs = padded(n_inputs) == SIDE;
        let step = |ky, kx, first| Step { ky, kx, first };
        let steps: Vec<Step> = match pairs {
            true => (0..rows).flat_map(|ky| (0..columns).step_by(2).map(move |kx| step(ky, kx, 0))).collect(),
            false => (0..rows * columns)
                .flat_map(|tap| (0..n_inputs).step_by(DEPTH).map(move |at| step(tap / columns, tap % columns, at)))
                .collect(),
        };
        let weight = |output: usize, step: &Step, at: usize| {
            let (input, kx) = if pairs { (at % SIDE, step.kx + at / SIDE) } else { (step.first + at, step.kx) };
            let inside = output < n_outputs && input < n_inputs && kx < columns;
            bf16::from_f32(if inside { weights.value(output, input, [step.ky, kx]) } else { 0.0 })
        };
        let mut tiles = Vec::new();
        for first in (0..n_outputs).step_by(SIDE) {
            for step in &steps {
                let mut tile = Tile([[bf16::ZERO; DEPTH]; SIDE]);
                for (pair, row) in tile.0.iter_mut().enumerate() {
                    for (at, value) in row.iter_mut().enumerate() {
                        *value = weight(first + at / 2, step, 2 * pair + at % 2);
                    }
                }
                tiles.push(tile);
            }
        }
        let mut bias = weights.bias.clone();
        bias.resize(n_outputs.next_multiple_of(SIDE), 0.0);
        TileWeights { tiles, steps, bias, n_outputs }
    }

    /// The steps of a sum, in their order.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }
}

/// Where a row's results go.
pub enum Target<'a> {
    /// All channels of a pixel beside each other.
    Packed {
        /// The first pixel.
        place: usize,
        /// From pixel to pixel.
        pixel: usize,
    },
    /// For each output, its row.
    Planar(&'a [usize]),
}

/// Where a row lies in memory, in elements of f32, each of which holds two of bf16.
pub struct TileRow<'a> {
    /// For each step: where its inputs of output column 0 begin.
    pub inputs: &'a [usize],
    /// From pixel to pixel of the input.
    pub pixel: usize,
    /// Where to.
    pub target: Target<'a>,
    /// For each output, what is added; empty for nothing, and for packed results.
    pub residual: &'a [usize],
    /// Applied last.
    pub activation: &'a Activation,
    /// Pixels to compute.
    pub width: usize,
}

/// Computes one row. Of a packed row only `width` pixels are written, of planar ones up to the next multiple of 16.
pub fn conv_row(_proof: Tiles, memory: &mut [f32], weights: &TileWeights, row: &TileRow) {
    let padded = row.width.next_multiple_of(SIDE);
    let fits = |place: usize, length: usize| place <= memory.len() && length <= memory.len() - place;
    assert_eq!(row.inputs.len(), weights.steps.len());
    assert!(row.width > 0 && row.inputs.iter().all(|&place| fits(place, (padded - 1) * row.pixel + SIDE)));
    match row.target {
        Target::Packed { place, pixel } => {
            assert!(row.residual.is_empty() && weights.bias.len() / 2 <= pixel && fits(place, row.width * pixel));
        }
        Target::Planar(rows) => {
            assert!(rows.len() == weights.n_outputs && rows.iter().all(|&place| fits(place, padded)));
            assert!(row.residual.is_empty() || row.residual.len() == weights.n_outputs);
            assert!(row.residual.iter().all(|&place| fits(place, padded)));
        }
    }
    if let Activation::Slope(slopes) = row.activation {
        assert_eq!(slopes.len(), weights.n_outputs);
    }
    #[cfg(target_arch = "x86_64")]
    amx::conv_row(memory, weights, row);
}

/// Packs a row of planes: `channels` are where each begins, pixels go to `place` and on, `pixel` elements each. Only
/// `width` pixels are written.
pub fn pack_row(_proof: Tiles, memory: &mut [f32], channels: &[usize], place: usize, pixel: usize, width: usize) {
    let fits = |place: usize, length: usize| place <= memory.len() && length <= memory.len() - place;
    assert!(channels.iter().all(|&row| fits(row, width.next_multiple_of(SIDE))));
    assert!(channels.len().next_multiple_of(SIDE) / 2 <= pixel && fits(place, width * pixel));
    #[cfg(target_arch = "x86_64")]
    avx512::tiles::pack_row(memory, channels, place, pixel, width);
}
