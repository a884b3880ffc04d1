//! Two rows at once: the levels against the scalar truth, bit for bit, and the truth against the definition in f64.

use super::*;
use crate::infer::native::kernel::pairs::{PairRows, PairWeights, ROWS, conv_rows};

struct Pair {
    n_inputs: usize,
    n_outputs: usize,
    width: usize,
    residual: bool,
    /// Which of the two rows are wanted.
    wanted: [bool; 2],
    activation: Activation,
}

impl Pair {
    fn weights(&self) -> Vec<f32> {
        noise(self.n_outputs * self.n_inputs * 9, 3)
    }

    fn n_planes(&self) -> usize {
        ROWS * self.n_inputs + 4 * self.n_outputs
    }

    /// Where an output's samples begin: those of two rows of residual, then those of two rows of results.
    fn place(&self, row: usize, output: usize) -> usize {
        (ROWS * self.n_inputs + row * self.n_outputs + output) * CHANNEL + 3
    }

    fn before(&self) -> Vec<f32> {
        noise(self.n_planes() * CHANNEL + PairWeights::scratch(self.n_inputs), 7)
    }

    /// The memory without the scratch.
    fn run(&self, level: Level) -> Vec<f32> {
        let mut memory = self.before();
        let weights = Weights::new(&self.weights(), noise(self.n_outputs, 5), self.n_inputs, [3, 3]);
        let weights = PairWeights::new(&weights).unwrap();
        let inputs: Vec<usize> = (0..ROWS * self.n_inputs).map(|row| row * CHANNEL + row % 5).collect();
        let places = |row: usize, wanted: bool| {
            (0..self.n_outputs).filter(|_| wanted).map(|output| self.place(row, output)).collect::<Vec<_>>()
        };
        let residual = [0, 1].map(|row| places(row, self.residual && self.wanted[row]));
        let outputs = [0, 1].map(|row| places(2 + row, self.wanted[row]));
        let pair = PairRows {
            inputs: &inputs,
            outputs: [&outputs[0], &outputs[1]],
            residual: [&residual[0], &residual[1]],
            activation: &self.activation,
            first_channel: 0,
            width: self.width,
            scratch: self.n_planes() * CHANNEL,
        };
        conv_rows(Kernel::at(level), &mut memory, &weights, &pair);
        memory.truncate(self.n_planes() * CHANNEL);
        // What is written beyond the row is nobody's.
        for place in outputs.into_iter().flatten() {
            memory[place + self.width..place + self.width.next_multiple_of(LANES)].fill(0.0);
        }
        memory
    }

    fn truth(&self, row: usize, output: usize, x: usize) -> f64 {
        let (memory, weights) = (self.before(), self.weights());
        let mut sum = f64::from(noise(self.n_outputs, 5)[output]);
        for input in 0..self.n_inputs {
            for tap in 0..9 {
                let plane = (row + tap / 3) * self.n_inputs + input;
                let weight = weights[(output * self.n_inputs + input) * 9 + tap];
                sum += f64::from(weight) * f64::from(memory[plane * CHANNEL + plane % 5 + x + tap % 3]);
            }
        }
        if self.residual {
            sum += f64::from(memory[self.place(row, output) + x]);
        }
        match &self.activation {
            Activation::Relu => sum.max(0.0),
            Activation::Slope(slopes) if sum < 0.0 => sum * f64::from(slopes[output]),
            Activation::Clip(low, high) => sum.clamp(f64::from(*low), f64::from(*high)),
            _ => sum,
        }
    }
}

fn pairs() -> impl Iterator<Item = Pair> {
    let shapes = [(1, 1), (8, 8), (16, 16), (3, 5), (9, 10), (7, 3), (12, 22)];
    let widths = [1, 2, 7, 8, 9, 15, 16, 17, 31, 33, 47, 48, 49, 64, 65, 96, 97, 150];
    let wanted = [[true; 2], [true; 2], [true, false], [false, true]];
    shapes.into_iter().enumerate().flat_map(move |(shape, (n_inputs, n_outputs))| {
        widths.into_iter().enumerate().map(move |(at, width)| Pair {
            n_inputs,
            n_outputs,
            width,
            residual: (shape + at) % 3 == 0,
            wanted: wanted[(shape + at) % 4],
            activation: match (shape + at / 2) % 4 {
                0 => Activation::None,
                1 => Activation::Relu,
                2 => Activation::Slope(noise(n_outputs, 11)),
                _ => Activation::Clip(-0.5, 0.75),
            },
        })
    })
}

#[test]
fn the_truth_of_two_rows_is_the_definition_and_nothing_else_is_touched() {
    for pair in pairs() {
        let (before, memory) = (pair.before(), pair.run(Level::Scalar));
        let is_input = |at: usize| at < pair.place(2, 0) - 3;
        assert!((0..memory.len()).filter(|at| is_input(*at)).all(|at| memory[at].to_bits() == before[at].to_bits()));
        for (row, output) in (0..2).flat_map(|row| (0..pair.n_outputs).map(move |output| (row, output))) {
            let place = pair.place(2 + row, output);
            if !pair.wanted[row] {
                assert_eq!(memory[place..place + pair.width], before[place..place + pair.width]);
                continue;
            }
            for x in 0..pair.width {
                let (is, truth) = (f64::from(memory[place + x]), pair.truth(row, output, x));
                assert!((is - truth).abs() < 1e-5 * (1.0 + truth.abs()), "row {row}: {is} {truth}");
            }
        }
    }
}

#[test]
fn all_levels_give_the_bits_of_the_truth_of_two_rows() {
    for level in [Level::Avx2, Level::Avx512].into_iter().filter(|level| *level <= Level::detect()) {
        for pair in pairs() {
            let (is, truth) = (pair.run(level), pair.run(Level::Scalar));
            let shape = (pair.n_inputs, pair.n_outputs, pair.width, pair.wanted);
            assert!(is.iter().zip(&truth).all(|(a, b)| a.to_bits() == b.to_bits()), "{level:?} {shape:?}");
        }
    }
}

#[test]
fn a_row_alone_has_the_bits_that_it_has_with_the_other() {
    for pair in pairs() {
        let both = Pair { wanted: [true; 2], activation: pair.activation.clone(), ..pair }.run(Level::Scalar);
        let alone = pair.run(Level::Scalar);
        for row in (0..2).filter(|row| pair.wanted[*row]) {
            for output in 0..pair.n_outputs {
                let place = pair.place(2 + row, output);
                assert_eq!(alone[place..place + pair.width], both[place..place + pair.width]);
            }
        }
    }
}
