//! Whole numbers: the levels against the scalar truth, bit for bit, and the truth against the definition.

use super::*;
use crate::infer::native::kernel::quads::{After, DEPTH, Ends, QuadKernel, QuadRow, QuadWeights, conv_row, pack_row};

/// Repeatable bytes.
fn bytes(n: usize, seed: u32) -> Vec<u8> {
    let mut state = seed;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    std::iter::repeat_with(next).take(n).collect()
}

struct Quads {
    n_inputs: usize,
    n_outputs: usize,
    kernel: [usize; 2],
    dilation: usize,
    width: usize,
    ends: Ends,
    /// All codes 255 and all weights -128.
    is_extreme: bool,
    /// Whether codes are written, and whether floats.
    wanted: [bool; 2],
    /// What is done with codes: an activation, a sum.
    after: Option<[bool; 2]>,
}

impl Quads {
    fn n_rows(&self) -> usize {
        self.kernel[0] * self.n_inputs.div_ceil(DEPTH)
    }

    fn weight(&self, output: usize, input: usize, [ky, kx]: [usize; 2]) -> i8 {
        let at = ((output * self.n_inputs + input) * self.kernel[0] + ky) * self.kernel[1] + kx;
        if self.is_extreme { -128 } else { ((at as u32).wrapping_mul(2_654_435_761) >> 24) as i8 }
    }

    fn outputs(&self) -> Vec<(i32, f32)> {
        let reach = (self.n_inputs * self.kernel[0] * self.kernel[1]) as f32;
        let bias = |at: usize| at as i32 * 1001 - 5000;
        (0..self.n_outputs).map(|at| (bias(at), 0.9 / (reach * (30.0 + at as f32)))).collect()
    }

    fn before(&self) -> Vec<f32> {
        let codes = bytes(self.n_rows() * CHANNEL * DEPTH, 7);
        let code =
            |four: &[u8; DEPTH]| f32::from_bits(u32::from_le_bytes(if self.is_extreme { [255; 4] } else { *four }));
        let mut memory: Vec<f32> = codes.as_chunks().0.iter().map(code).collect();
        memory.resize((self.n_rows() + 2 * self.n_outputs.div_ceil(DEPTH) + self.n_outputs) * CHANNEL, 0.5);
        for place in self.residual() {
            let codes = bytes(DEPTH * 256, place as u32);
            let codes = codes.as_chunks().0.iter().map(|four| f32::from_bits(u32::from_le_bytes(*four)));
            memory[place..place + 256].iter_mut().zip(codes).for_each(|(to, codes)| *to = codes);
        }
        memory
    }

    fn inputs(&self) -> Vec<usize> {
        (0..self.n_rows()).map(|row| row * CHANNEL + row % 5).collect()
    }

    fn quads(&self) -> Vec<usize> {
        let n = if self.wanted[0] { self.n_outputs.div_ceil(DEPTH) } else { 0 };
        (0..n).map(|quad| (self.n_rows() + quad) * CHANNEL + 3).collect()
    }

    fn planes(&self) -> Vec<usize> {
        let first = self.n_rows() + self.n_outputs.div_ceil(DEPTH);
        (0..if self.wanted[1] { self.n_outputs } else { 0 }).map(|at| (first + at) * CHANNEL + 1).collect()
    }

    fn residual(&self) -> Vec<usize> {
        let first = self.n_rows() + self.n_outputs.div_ceil(DEPTH) + self.n_outputs;
        let is_sum = self.after.is_some_and(|[_, is_sum]| is_sum);
        (0..if is_sum { self.n_outputs.div_ceil(DEPTH) } else { 0 }).map(|quad| (first + quad) * CHANNEL).collect()
    }

    fn after(&self) -> Option<After> {
        self.after.map(|[is_sloped, is_sum]| After {
            from: 0.03,
            slopes: if is_sloped { noise(self.n_outputs, 11) } else { Vec::new() },
            residual: is_sum.then_some((0.011, 20.0)),
            to: 0.047,
            ends: Ends { zero: 60, least: -60.0, most: 195.0 },
        })
    }

    fn run(&self, level: Level) -> Vec<u32> {
        let mut memory = self.before();
        let four = |first: usize| std::array::from_fn(|at| Some(first + at).filter(|at| *at < self.n_inputs));
        let inputs: Vec<[Option<usize>; DEPTH]> = (0..self.n_inputs).step_by(DEPTH).map(four).collect();
        let weight = |output: usize, input: usize, tap: [usize; 2]| self.weight(output, input, tap);
        let weights = QuadWeights::new(&inputs, &self.outputs(), self.kernel, self.ends, weight);
        let weights = match self.after() {
            Some(after) => weights.followed_by(after),
            None => weights,
        };
        let (inputs, quads, planes) = (self.inputs(), self.quads(), self.planes());
        let row = QuadRow {
            inputs: &inputs,
            dilation: self.dilation,
            quads: &quads,
            planes: &planes,
            residual: &self.residual(),
            offset: -128.0,
            width: self.width,
        };
        conv_row(QuadKernel::at(level), &mut memory, &weights, &row);
        // What is written beyond the row is nobody's.
        for place in quads.into_iter().chain(planes) {
            memory[place + self.width..place + self.width.next_multiple_of(LANES)].fill(0.0);
        }
        memory.into_iter().map(f32::to_bits).collect()
    }

    /// The sum of an output of a pixel.
    fn sum(&self, before: &[f32], output: usize, x: usize) -> i64 {
        let mut sum = i64::from(self.outputs()[output].0);
        for input in 0..self.n_inputs {
            for (ky, kx) in (0..self.kernel[0]).flat_map(|ky| (0..self.kernel[1]).map(move |kx| (ky, kx))) {
                let row = ky * self.n_inputs.div_ceil(DEPTH) + input / DEPTH;
                let four = before[self.inputs()[row] + x + kx * self.dilation].to_bits().to_le_bytes();
                sum += i64::from(four[input % DEPTH]) * i64::from(self.weight(output, input, [ky, kx]));
            }
        }
        sum
    }
}

fn cases() -> impl Iterator<Item = Quads> {
    let shapes = [
        (1, 16, [3, 3], 1),
        (3, 5, [3, 3], 1),
        (16, 4, [3, 3], 1),
        (8, 12, [1, 1], 1),
        (5, 1, [5, 5], 1),
        (4, 8, [1, 3], 2),
        (17, 9, [3, 1], 1),
        (6, 2, [2, 4], 1),
    ];
    let widths = [1, 2, 15, 16, 17, 33, 47, 48, 49, 64, 65, 95, 96, 97, 150, 200];
    let ends = [
        Ends { zero: 0, least: 0.0, most: 255.0 },
        Ends { zero: 128, least: -128.0, most: 127.0 },
        Ends { zero: 255, least: -255.0, most: 0.0 },
        Ends { zero: 9, least: 0.0, most: 200.0 },
    ];
    let wanted = [[true, false], [true; 2], [false, true]];
    let after = [None, Some([true, false]), None, Some([false, true]), Some([true; 2])];
    shapes.into_iter().enumerate().flat_map(move |(shape, (n_inputs, n_outputs, kernel, dilation))| {
        widths.into_iter().enumerate().map(move |(at, width)| Quads {
            n_inputs,
            n_outputs,
            kernel,
            dilation,
            width,
            ends: ends[(shape + at) % 4],
            is_extreme: false,
            wanted: wanted[(shape + at) % 3],
            after: after[(shape + at / 2) % 5],
        })
    })
}

/// Sums that end just inside 32 bits.
fn extreme() -> Quads {
    let ends = Ends { zero: 200, least: -200.0, most: 55.0 };
    Quads {
        n_inputs: 7300,
        n_outputs: 5,
        kernel: [1, 9],
        dilation: 1,
        width: 17,
        ends,
        is_extreme: true,
        wanted: [true; 2],
        after: None,
    }
}

fn check_truth(case: &Quads, pixels: impl Iterator<Item = usize>) {
    let (before, memory) = (case.before(), case.run(Level::Scalar));
    for (output, x) in pixels.flat_map(|x| (0..case.n_outputs).map(move |output| (output, x))) {
        let sum = i32::try_from(case.sum(&before, output, x)).unwrap();
        let coded = |steps: f32, ends: Ends| steps.clamp(ends.least, ends.most).round_ties_even();
        let mut code = coded(sum as f32 * case.outputs()[output].1, case.ends) + f32::from(case.ends.zero);
        if let Some(after) = case.after() {
            let mut value = (code - f32::from(case.ends.zero)) * after.from;
            if value < 0.0 && !after.slopes.is_empty() {
                value *= after.slopes[output];
            }
            if let Some((scale, zero)) = after.residual {
                let codes = before[case.residual()[output / DEPTH] + x].to_bits().to_le_bytes();
                value += (f32::from(codes[output % DEPTH]) - zero) * scale;
            }
            code = coded(value / after.to, after.ends) + f32::from(after.ends.zero);
        }
        let code = code as u8;
        if let Some(place) = case.quads().get(output / DEPTH) {
            assert_eq!(memory[place + x].to_le_bytes()[output % DEPTH], code, "{output} of {x}");
        }
        if let Some(place) = case.planes().get(output) {
            assert_eq!(f32::from_bits(memory[place + x]), f32::from(code) - 128.0, "{output} of {x}");
        }
    }
}

#[test]
fn the_truth_of_whole_numbers_is_the_definition() {
    cases().for_each(|case| check_truth(&case, 0..case.width));
}

#[test]
fn all_levels_give_the_codes_of_the_truth_and_touch_nothing_else() {
    for case in cases() {
        let truth = case.run(Level::Scalar);
        for level in [Level::Avx2, Level::Avx512].into_iter().filter(|level| *level <= Level::detect()) {
            let shape = (case.n_inputs, case.n_outputs, case.kernel, case.dilation, case.width);
            assert!(case.run(level) == truth, "{level:?} {shape:?}");
        }
    }
}

#[test]
fn sums_go_to_the_ends_of_32_bits() {
    let case = extreme();
    let truth = case.run(Level::Scalar);
    let least = case.sum(&case.before(), 0, 0);
    assert!(least < i64::from(i32::MIN) / 100 * 99, "{least}");
    check_truth(&case, std::iter::once(16));
    for level in [Level::Avx2, Level::Avx512].into_iter().filter(|level| *level <= Level::detect()) {
        assert!(case.run(level) == truth, "{level:?}");
    }
}

#[test]
fn packed_rows_are_the_numbers_less_the_least() {
    for (n_channels, width) in [(1, 1), (3, 7), (4, 64), (6, 33)] {
        let whole = bytes(n_channels * width, 5);
        let mut memory: Vec<f32> = whole.iter().map(|code| f32::from(*code) - 128.0).collect();
        let n_quads = n_channels.div_ceil(DEPTH);
        memory.resize((n_channels + n_quads + 1) * width, 0.5);
        let channels: Vec<usize> = (0..n_channels).map(|channel| channel * width).collect();
        let quads: Vec<usize> = (0..n_quads).map(|quad| (n_channels + quad) * width).collect();
        pack_row(&mut memory, &channels, &quads, -128.0, width);
        for (channel, x) in (0..n_channels).flat_map(|channel| (0..width).map(move |x| (channel, x))) {
            let code = memory[quads[channel / DEPTH] + x].to_bits().to_le_bytes()[channel % DEPTH];
            assert_eq!(code, whole[channel * width + x]);
        }
        assert!(memory[(n_channels + n_quads) * width..].iter().all(|&after| after == 0.5));
    }
}
