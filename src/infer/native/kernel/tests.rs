//! The levels against the scalar truth, bit for bit, and the scalar truth against the definition in f64.

mod duos;
mod pairs;
mod quads;

use super::*;

/// Repeatable noise in [-1, 1).
fn noise(n: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_761) | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    std::iter::repeat_with(next).take(n).collect()
}

struct Case {
    n_inputs: usize,
    n_outputs: usize,
    kernel: [usize; 2],
    dilation: usize,
    width: usize,
    residual: bool,
    activation: Activation,
}

const CHANNEL: usize = 256;

impl Case {
    /// The memory after the row: inputs and residual first, then the outputs, then as much untouched.
    fn run(&self, level: Level) -> Vec<f32> {
        let n_rows = self.kernel[0] * self.n_inputs;
        let mut memory = noise((n_rows + 3 * self.n_outputs) * CHANNEL, 7);
        let weights = noise(self.n_outputs * self.n_inputs * self.kernel[0] * self.kernel[1], 3);
        let weights = Weights::new(&weights, noise(self.n_outputs, 5), self.n_inputs, self.kernel);
        // Odd places: nothing may rely on alignment.
        let inputs: Vec<usize> = (0..n_rows).map(|row| row * CHANNEL + row % 5).collect();
        let place = |row: usize| (n_rows + row) * CHANNEL + 3;
        let residual: Vec<usize> = (0..self.n_outputs).filter(|_| self.residual).map(place).collect();
        let outputs: Vec<usize> = (self.n_outputs..2 * self.n_outputs).map(place).collect();
        let row = ConvRow {
            inputs: &inputs,
            dilation: self.dilation,
            outputs: &outputs,
            residual: &residual,
            activation: &self.activation,
            first_channel: 0,
            width: self.width,
        };
        conv_row(Kernel::at(level), &mut memory, &weights, &row);
        // What is written beyond the row is nobody's.
        for place in outputs {
            memory[place + self.width..place + self.width.next_multiple_of(LANES)].fill(0.0);
        }
        memory
    }

    fn truth(&self, output: usize, x: usize) -> f64 {
        let n_rows = self.kernel[0] * self.n_inputs;
        let memory = noise((n_rows + 3 * self.n_outputs) * CHANNEL, 7);
        let weights = noise(self.n_outputs * self.n_inputs * self.kernel[0] * self.kernel[1], 3);
        let mut sum = f64::from(noise(self.n_outputs, 5)[output]);
        for input in 0..self.n_inputs {
            for ky in 0..self.kernel[0] {
                for kx in 0..self.kernel[1] {
                    let row = ky * self.n_inputs + input;
                    let weight = ((output * self.n_inputs + input) * self.kernel[0] + ky) * self.kernel[1] + kx;
                    let pixel = memory[row * CHANNEL + row % 5 + x + kx * self.dilation];
                    sum += f64::from(weights[weight]) * f64::from(pixel);
                }
            }
        }
        if self.residual {
            sum += f64::from(memory[(n_rows + output) * CHANNEL + 3 + x]);
        }
        match &self.activation {
            Activation::None => sum,
            Activation::Relu => sum.max(0.0),
            Activation::Slope(slopes) if sum < 0.0 => sum * f64::from(slopes[output]),
            Activation::Slope(_) => sum,
            Activation::Clip(low, high) => sum.clamp(f64::from(*low), f64::from(*high)),
        }
    }
}

fn cases() -> impl Iterator<Item = Case> {
    let shapes = [
        (1, 16, [3, 3], 1),
        (3, 24, [3, 3], 1),
        (16, 4, [3, 3], 1),
        (5, 1, [1, 1], 1),
        (2, 2, [5, 5], 1),
        (4, 3, [1, 3], 2),
        (3, 5, [3, 1], 1),
        (7, 6, [3, 3], 3),
        (2, 7, [2, 4], 1),
        (4, 33, [1, 1], 1),
    ];
    let widths = [1, 2, 7, 8, 9, 15, 16, 17, 31, 33, 47, 48, 49, 63, 64, 65, 95, 96, 97, 100, 144, 150, 200];
    let activation = |at: usize, n: usize| match at % 4 {
        0 => Activation::None,
        1 => Activation::Relu,
        2 => Activation::Slope(noise(n, 11)),
        _ => Activation::Clip(-0.5, 0.75),
    };
    shapes.into_iter().enumerate().flat_map(move |(shape, (n_inputs, n_outputs, kernel, dilation))| {
        widths.into_iter().enumerate().map(move |(at, width)| Case {
            n_inputs,
            n_outputs,
            kernel,
            dilation,
            width,
            residual: (shape + at) % 3 == 0,
            activation: activation(shape + at / 2, n_outputs),
        })
    })
}

#[test]
fn the_truth_is_the_definition() {
    for case in cases() {
        let memory = case.run(Level::Scalar);
        for output in 0..case.n_outputs {
            let place = (case.kernel[0] * case.n_inputs + case.n_outputs + output) * CHANNEL + 3;
            for x in 0..case.width {
                let (is, truth) = (f64::from(memory[place + x]), case.truth(output, x));
                assert!((is - truth).abs() < 1e-5 * (1.0 + truth.abs()), "{is} {truth}");
            }
        }
    }
}

#[test]
fn all_levels_give_the_bits_of_the_truth_and_touch_nothing_else() {
    for level in [Level::Avx2, Level::Avx512].into_iter().filter(|level| *level <= Level::detect()) {
        for case in cases() {
            let (is, truth) = (case.run(level), case.run(Level::Scalar));
            let shape = (case.n_inputs, case.n_outputs, case.kernel, case.dilation, case.width);
            assert!(is.iter().zip(&truth).all(|(a, b)| a.to_bits() == b.to_bits()), "{level:?} {shape:?}");
        }
    }
}

fn rounded(value: f32) -> f64 {
    half::bf16::from_f32(value).to_f64()
}

/// A convolution of one row on tiles, packed and as planes, against sums of rounded inputs and weights.
fn check_tiles(proof: tiles::Tiles, n_inputs: usize, n_outputs: usize, [rows, columns]: [usize; 2], width: usize) {
    let n_taps = n_inputs * rows * columns;
    let flat = noise(n_outputs * n_taps, 3);
    let weights = Weights::new(&flat, noise(n_outputs, 5), n_inputs, [rows, columns]);
    let weights = tiles::TileWeights::new(&weights);
    let (pixel, out_pixel) = (tiles::padded(n_inputs) / 2, tiles::padded(n_outputs) / 2);
    // Planes of the inputs, the residual and the outputs, then packed inputs, then packed outputs and as much again.
    let n_planes = rows * n_inputs;
    let in_row = (CHANNEL + 1) * pixel;
    let packed = (n_planes + 2 * n_outputs) * CHANNEL;
    let out = packed + rows * in_row;
    let mut memory = noise(out + (CHANNEL + 16) * out_pixel, 7);
    memory[packed..out].fill(0.0);
    for ky in 0..rows {
        let channels: Vec<usize> = (0..n_inputs).map(|input| (ky * n_inputs + input) * CHANNEL).collect();
        tiles::pack_row(proof, &mut memory, &channels, packed + ky * in_row, pixel, width + columns - 1);
    }
    let step = |step: &tiles::Step| packed + step.ky * in_row + step.kx * pixel + step.first / 2;
    let inputs: Vec<usize> = weights.steps().iter().map(step).collect();
    let places = |first: usize| (0..n_outputs).map(|at| (n_planes + first + at) * CHANNEL).collect::<Vec<_>>();
    let (residual, outputs) = (places(0), places(n_outputs));
    let activation = Activation::Slope(noise(n_outputs, 11));
    let before = memory.clone();
    for target in [tiles::Target::Planar(&outputs), tiles::Target::Packed { place: out, pixel: out_pixel }] {
        let residual: &[usize] = if matches!(target, tiles::Target::Planar(_)) { &residual } else { &[] };
        let row = tiles::TileRow { inputs: &inputs, pixel, target, residual, activation: &activation, width };
        tiles::conv_row(proof, &mut memory, &weights, &row);
    }
    for output in 0..n_outputs {
        for x in 0..width {
            let mut sum = f64::from(noise(n_outputs, 5)[output]);
            for tap in 0..n_taps {
                let (input, ky, kx) = (tap / (rows * columns), tap / columns % rows, tap % columns);
                let value = before[(ky * n_inputs + input) * CHANNEL + x + kx];
                sum += rounded(flat[output * n_taps + tap]) * rounded(value);
            }
            let slope = |x: f64| if x < 0.0 { x * f64::from(noise(n_outputs, 11)[output]) } else { x };
            let planar = slope(sum + f64::from(before[residual[output] + x]));
            let is = f64::from(memory[outputs[output] + x]);
            assert!((is - planar).abs() < 1e-4, "{n_inputs}->{n_outputs} {width}: {is} {planar}");
            let pair = memory[out + x * out_pixel + output / 2].to_bits() >> (output % 2 * 16);
            let is = half::bf16::from_bits(pair as u16).to_f64();
            assert!((is - slope(sum)).abs() < 0.01 * (0.1 + sum.abs()), "{n_inputs}->{n_outputs} {width}: {is} {sum}");
        }
    }
    let end = out + width * out_pixel;
    let is_untouched = memory[end..].iter().zip(&before[end..]).all(|(a, b)| a.to_bits() == b.to_bits());
    assert!(is_untouched, "{n_inputs}->{n_outputs} {width}: beyond the packed row");
}

#[test]
fn tiles_give_the_sums_of_rounded_numbers() {
    let Some(proof) = tiles::Tiles::new() else { return println!("skipped: no AMX here") };
    for (n_inputs, n_outputs, kernel) in
        [(16, 16, [3, 3]), (16, 4, [3, 3]), (24, 24, [3, 3]), (32, 48, [1, 1]), (40, 17, [2, 4]), (64, 1, [1, 3])]
    {
        for width in [1, 15, 16, 17, 31, 33, 48, 63, 64, 65, 100, 130] {
            check_tiles(proof, n_inputs, n_outputs, kernel, width);
        }
    }
}
