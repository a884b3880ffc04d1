//! bf16 on planes against sums in f64 of numbers that are rounded where the kernel rounds.

use super::*;
use crate::infer::native::kernel::duos::{DEPTH, DuoRows, DuoWeights, Target, conv_rows, pack_row};
use crate::simd::cpu::Avx512Bf16;

struct Duo {
    n_inputs: usize,
    n_outputs: usize,
    kernel: [usize; 2],
    dilation: usize,
    width: usize,
    is_paired: bool,
    /// Which of two rows are wanted.
    wanted: [bool; 2],
    residual: bool,
}

impl Duo {
    fn n_rows(&self) -> usize {
        if self.is_paired { 4 } else { self.kernel[0] }
    }

    /// Rows of results.
    fn n_results(&self) -> usize {
        if self.is_paired { 2 } else { 1 }
    }

    fn weight(&self, flat: &[f32], output: usize, input: usize, [ky, kx]: [usize; 2]) -> f64 {
        let [rows, columns] = self.kernel;
        f64::from(flat[((output * self.n_inputs + input) * rows + ky) * columns + kx])
    }

    /// The sum of one output, with the roundings of the kernel; `plane` gives a sample of a row that is read and an input.
    fn sum(&self, flat: &[f32], row: usize, output: usize, plane: impl Fn(usize, usize, usize) -> f64) -> f64 {
        let mut sum = f64::from(noise(self.n_outputs, 5)[output]);
        let [rows, columns] = self.kernel;
        for (input, kx) in (0..self.n_inputs).flat_map(|input| (0..columns).map(move |kx| (input, kx))) {
            let value = |row: usize| plane(row, input, kx * self.dilation);
            let near = |value: f64| rounded(value as f32);
            if self.is_paired {
                let [a, b, c] = [0, 1, 2].map(|ky| self.weight(flat, output, input, [ky, kx]));
                let outer = [near(a) * near(value(0) - value(2)), near(-c) * near(value(1) - value(3))][row];
                let (even, odd) = (near((a + b + c) / 2.0), near((a - b + c) / 2.0));
                let (even, odd) = (even * near(value(1) + value(2)), odd * near(value(2) - value(1)));
                sum += outer + if row == 0 { even + odd } else { even - odd };
            } else {
                sum += (0..rows).map(|ky| near(self.weight(flat, output, input, [ky, kx])) * value(ky)).sum::<f64>();
            }
        }
        sum
    }

    fn check(&self, proof: Avx512Bf16) {
        let [rows, columns] = self.kernel;
        let flat = noise(self.n_outputs * self.n_inputs * rows * columns, 3);
        let weights = Weights::new(&flat, noise(self.n_outputs, 5), self.n_inputs, self.kernel);
        let half = |at: usize| Some(at).filter(|at| *at < self.n_inputs);
        let elements: Vec<_> = (0..self.n_inputs).step_by(DEPTH).map(|at| [half(at), half(at + 1)]).collect();
        let weights = DuoWeights::new(&weights, &elements, self.is_paired);
        // Planes of inputs, residual and results, then elements of inputs and results, then the scratch.
        let (n_read, n_made) = (self.n_rows() * self.n_inputs, self.n_results() * self.n_outputs);
        let (duos_read, duos_made) =
            (self.n_rows() * elements.len(), self.n_results() * self.n_outputs.div_ceil(DEPTH));
        let n_planes = n_read + 2 * n_made + duos_read + duos_made;
        let mut memory = noise(n_planes * CHANNEL + weights.scratch(), 7);
        // Odd places: nothing may rely on alignment.
        let place = |plane: usize| plane * CHANNEL + 3;
        let inputs: Vec<usize> = (0..duos_read).map(|at| place(n_read + 2 * n_made + at)).collect();
        for row in 0..self.n_rows() {
            let channels: Vec<usize> = (0..self.n_inputs).map(|input| place(row * self.n_inputs + input)).collect();
            let duos = &inputs[row * elements.len()..(row + 1) * elements.len()];
            pack_row(proof, &mut memory, &channels, duos, self.width + (columns - 1) * self.dilation);
        }
        let before = memory.clone();
        let is_wanted = |row: usize| row < self.n_results() && self.wanted[row];
        let places = |first: usize, each: usize, is_there: bool| {
            let all = |row: usize| (0..each).map(move |at| place(first + row * each + at));
            [0, 1].map(|row| all(row).filter(|_| is_there && is_wanted(row)).collect::<Vec<_>>())
        };
        let residual = places(n_read, self.n_outputs, self.residual);
        let planes = places(n_read + n_made, self.n_outputs, true);
        let duos = places(n_read + 2 * n_made + duos_read, self.n_outputs.div_ceil(DEPTH), true);
        let activation = Activation::Slope(noise(self.n_outputs, 11));
        let target = |row: usize| Target { duos: &duos[row], planes: &planes[row], residual: &residual[row] };
        let rows = DuoRows {
            inputs: &inputs,
            dilation: self.dilation,
            targets: [target(0), target(1)],
            activation: &activation,
            width: self.width,
            scratch: n_planes * CHANNEL,
        };
        conv_rows(proof, &mut memory, &weights, &rows);
        let what = format!("{}->{} {:?} {}", self.n_inputs, self.n_outputs, self.kernel, self.width);
        let slopes = noise(self.n_outputs, 11);
        for (row, output) in (0..2).flat_map(|row| (0..self.n_outputs).map(move |output| (row, output))) {
            for x in (0..self.width).filter(|_| is_wanted(row)) {
                let plane = |from: usize, input: usize, column: usize| {
                    rounded(before[place(from * self.n_inputs + input) + x + column])
                };
                let mut sum = self.sum(&flat, row, output, plane);
                sum += residual[row].get(output).map_or(0.0, |place| f64::from(before[place + x]));
                let truth = if sum < 0.0 { sum * f64::from(slopes[output]) } else { sum };
                let is = f64::from(memory[planes[row][output] + x]);
                assert!((is - truth).abs() < 1e-4, "{what} {row}: {is} {truth}");
                let element = memory[duos[row][output / DEPTH] + x].to_bits() >> (output % DEPTH * 16);
                let element = half::bf16::from_bits(element as u16).to_f64();
                assert_eq!(element, rounded(memory[planes[row][output] + x]), "{what} {row}: as element");
            }
        }
        let written: Vec<usize> = planes.iter().chain(&duos).flatten().copied().collect();
        let is_untouched = (0..n_planes * CHANNEL)
            .filter(|at| !written.iter().any(|place| (*place..place + self.width.next_multiple_of(LANES)).contains(at)))
            .all(|at| memory[at].to_bits() == before[at].to_bits());
        assert!(is_untouched, "{what}: beyond the rows");
    }
}

#[test]
fn duos_give_the_sums_of_rounded_numbers() {
    let Some(proof) = Avx512Bf16::new() else { return println!("skipped: no AVX512-BF16 here") };
    let shapes = [
        (16, 16, [3, 3], 1),
        (16, 4, [3, 3], 1),
        (17, 9, [3, 3], 1),
        (24, 11, [3, 3], 2),
        (32, 1, [1, 1], 1),
        (5, 7, [2, 4], 1),
        (8, 3, [5, 5], 1),
    ];
    for (at, (n_inputs, n_outputs, kernel, dilation)) in shapes.into_iter().enumerate() {
        for (turn, width) in [1, 15, 16, 17, 33, 48, 49, 64, 65, 80, 96, 100, 113, 130].into_iter().enumerate() {
            let residual = (at + turn) % 3 == 0;
            let duo =
                |is_paired, wanted| Duo { n_inputs, n_outputs, kernel, dilation, width, is_paired, wanted, residual };
            duo(false, [true, false]).check(proof);
            if kernel == [3, 3] && dilation == 1 {
                [[true; 2], [true, false], [false, true]].into_iter().for_each(|wanted| duo(true, wanted).check(proof));
            }
        }
    }
}
