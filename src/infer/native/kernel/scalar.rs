//! The truth of the convolution: one output at a time.

use super::pairs::{PairBlock, PairRows, PairWeights, SIDE};
use super::{Block, ConvRow, Weights};

pub(super) fn conv_row(memory: &mut [f32], weights: &Weights, row: &ConvRow) {
    for block in weights.blocks() {
        for output in 0..block.n {
            for x in 0..row.width {
                let at = block.first + output;
                let mut value = sum(memory, &block, row, weights.kernel[1], output, x);
                if let Some(residual) = row.residual.get(at) {
                    value += memory[residual + x];
                }
                memory[row.outputs[at] + x] = row.activation.apply(row.first_channel + at, value);
            }
        }
    }
}

fn sum(memory: &[f32], block: &Block, row: &ConvRow, columns: usize, output: usize, x: usize) -> f32 {
    let mut weights = block.weights.iter().skip(output).step_by(block.n);
    let mut sum = block.bias[output];
    for input in row.inputs {
        for (column, weight) in weights.by_ref().take(columns).enumerate() {
            sum = weight.mul_add(memory[input + x + column * row.dilation], sum);
        }
    }
    sum
}

pub(super) fn conv_rows(memory: &mut [f32], weights: &PairWeights, pair: &PairRows) {
    for block in weights.blocks() {
        for output in 0..block.n {
            for x in 0..pair.width {
                let at = block.first + output;
                for (row, value) in
                    pair_sums(memory, &block, pair, weights.n_inputs(), output, x).into_iter().enumerate()
                {
                    let Some(place) = pair.outputs[row].get(at) else { continue };
                    let residual = pair.residual[row].get(at).map(|place| memory[place + x]);
                    let value = residual.map_or(value, |residual| value + residual);
                    memory[place + x] = pair.activation.apply(pair.first_channel + at, value);
                }
            }
        }
    }
}

fn pair_sums(memory: &[f32], block: &PairBlock, pair: &PairRows, n_inputs: usize, output: usize, x: usize) -> [f32; 2] {
    let mut sums = [0.0; 2];
    for (half, weights) in block.weights.into_iter().enumerate() {
        for (tap, weights) in weights.chunks(2 * block.n).enumerate() {
            let (input, column) = (tap / SIDE, tap % SIDE);
            let [a, b, c, d] = [0, 1, 2, 3].map(|row| memory[pair.inputs[row * n_inputs + input] + x + column]);
            let values = if half == 0 { [b + c, c - b] } else { [a - c, b - d] };
            for row in 0..2 {
                sums[row] = weights[row * block.n + output].mul_add(values[row], sums[row]);
            }
        }
        if half == 0 {
            sums = [block.bias[output] + (sums[0] + sums[1]), block.bias[output] + (sums[0] - sums[1])];
        }
    }
    sums
}
