//! The truth of the convolution: one output at a time.

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
