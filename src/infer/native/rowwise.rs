//! The row operators that are no convolution. They cost little beside one, so this is plain code, which compilers
//! vectorise; without fused multiply-adds, which keeps the bits the same everywhere.

use super::kernel::{larger, smaller};
use super::layout::Layout;
use super::program::{Arithmetic, Border, Function, Op, Program, Resize, Sampling};

/// Computes row `y` of node `at`, whose inputs have been computed as far as it needs them.
pub fn row(program: &Program, layout: &Layout, memory: &mut [f32], at: usize, y: usize) {
    let (node, ring) = (&program.nodes[at], &layout.rings[at]);
    let width = ring.width;
    for channel in 0..node.channels {
        let to = ring.place(channel, y);
        let from = |index: usize, y: usize| layout.place(node.inputs[index], y);
        let mut copied = |index: usize| {
            let place = from(index, y);
            memory.copy_within(place..place + width, to);
        };
        match &node.op {
            Op::Input | Op::Conv(_) | Op::Quads(_) => unreachable!("`run` computes these"),
            Op::Activation(activation) => {
                copied(channel);
                memory[to..to + width].iter_mut().for_each(|x| *x = activation.apply(channel, *x));
            }
            Op::Function(function) => {
                copied(channel);
                apply(*function, &mut memory[to..to + width]);
            }
            Op::Binary(operation) => {
                copied(channel);
                let (a, b) = two(memory, to, width, from(node.channels + channel, y), width);
                binary(*operation, a, b);
            }
            Op::Constant(operation, numbers, is_left) => {
                copied(channel);
                constant(*operation, numbers[channel], *is_left, &mut memory[to..to + width]);
            }
            Op::Pad { before, border, .. } => {
                let input = &layout.rings[node.inputs[channel].node];
                match border.source(y, before[0], input.height) {
                    Some(y) => {
                        let (to, from) = two(memory, to, width, from(channel, y), input.width);
                        pad(*border, before[1], from, to);
                    }
                    None => memory[to..to + width].fill(value(*border)),
                }
            }
            Op::Shuffle { block, order } => {
                let order = &order[(channel * block + y % block) * block..][..*block];
                shuffle(memory, to, width, order.iter().map(|&index| from(index, y / block)));
            }
            Op::Resize(resize) => {
                let input = &layout.rings[node.inputs[channel].node];
                let (upper, lower, part) = resize.source(0, y, input.height);
                let (places, length) = ([from(channel, upper), from(channel, lower)], input.width);
                enlarge(resize, memory, to..to + width, places, length, part);
            }
        }
    }
}

/// Two stretches of memory, the first to write; they belong to different nodes.
fn two(memory: &mut [f32], to: usize, width: usize, from: usize, length: usize) -> (&mut [f32], &[f32]) {
    let [to, from] = memory
        .get_disjoint_mut([to..to + width, from..from + length])
        .expect("the rows of a node lie apart from those of the nodes it reads");
    (to, from)
}

fn binary(operation: Arithmetic, a: &mut [f32], b: &[f32]) {
    let pairs = a.iter_mut().zip(b);
    match operation {
        Arithmetic::Add => pairs.for_each(|(a, b)| *a += b),
        Arithmetic::Sub => pairs.for_each(|(a, b)| *a -= b),
        Arithmetic::Mul => pairs.for_each(|(a, b)| *a *= b),
        Arithmetic::Div => pairs.for_each(|(a, b)| *a /= b),
        Arithmetic::Max => pairs.for_each(|(a, b)| *a = larger(*a, *b)),
        Arithmetic::Min => pairs.for_each(|(a, b)| *a = smaller(*a, *b)),
    }
}

fn constant(operation: Arithmetic, number: f32, is_left: bool, row: &mut [f32]) {
    let row = row.iter_mut();
    match (operation, is_left) {
        (Arithmetic::Add, _) => row.for_each(|x| *x += number),
        (Arithmetic::Sub, false) => row.for_each(|x| *x -= number),
        (Arithmetic::Sub, true) => row.for_each(|x| *x = number - *x),
        (Arithmetic::Mul, _) => row.for_each(|x| *x *= number),
        (Arithmetic::Div, false) => row.for_each(|x| *x /= number),
        (Arithmetic::Div, true) => row.for_each(|x| *x = number / *x),
        (Arithmetic::Max, _) => row.for_each(|x| *x = larger(number, *x)),
        (Arithmetic::Min, _) => row.for_each(|x| *x = smaller(number, *x)),
    }
}

fn value(border: Border) -> f32 {
    if let Border::Constant(value) = border { value } else { 0.0 }
}

fn pad(border: Border, before: usize, from: &[f32], to: &mut [f32]) {
    let (left, rest) = to.split_at_mut(before);
    let (inside, right) = rest.split_at_mut(from.len());
    inside.copy_from_slice(from);
    let at = |at: usize| border.source(at, before, from.len()).map_or(value(border), |source| from[source]);
    left.iter_mut().enumerate().for_each(|(x, to)| *to = at(x));
    right.iter_mut().enumerate().for_each(|(x, to)| *to = at(before + from.len() + x));
}

/// Interleaves rows, one for each column of a block.
fn shuffle(memory: &mut [f32], to: usize, width: usize, mut rows: impl ExactSizeIterator<Item = usize>) {
    let (block, length) = (rows.len(), width / rows.len());
    if block == 2
        && let (Some(even), Some(odd)) = (rows.next(), rows.next())
    {
        let ranges = [to..to + width, even..even + length, odd..odd + length];
        if let Ok([to, even, odd]) = memory.get_disjoint_mut(ranges) {
            for ((to, even), odd) in to.as_chunks_mut::<2>().0.iter_mut().zip(even).zip(odd) {
                *to = [*even, *odd];
            }
            return;
        }
        // Both columns are the same channel.
        return (0..2).for_each(|column| scatter(memory, to, width, [even, odd][column], column, block));
    }
    for (column, from) in rows.enumerate() {
        scatter(memory, to, width, from, column, block);
    }
}

fn scatter(memory: &mut [f32], to: usize, width: usize, from: usize, column: usize, block: usize) {
    let (to, from) = two(memory, to, width, from, width / block);
    to.chunks_exact_mut(block).zip(from).for_each(|(to, from)| to[column] = *from);
}

/// A row between rows `upper` and `lower`, `part` of the way down, of `length` samples.
fn enlarge(
    resize: &Resize,
    memory: &mut [f32],
    to: std::ops::Range<usize>,
    [upper, lower]: [usize; 2],
    length: usize,
    part: f32,
) {
    let width = to.len();
    if resize.sampling != Sampling::Linear {
        let (to, from) = two(memory, to.start, width, upper, length);
        to.iter_mut().enumerate().for_each(|(x, to)| *to = from[resize.source(1, x, length).0]);
        return;
    }
    for x in 0..width {
        let (first, second, across) = resize.source(1, x, length);
        let between = |row: usize| memory[row + first] * (1.0 - across) + memory[row + second] * across;
        memory[to.start + x] = between(upper) * (1.0 - part) + between(lower) * part;
    }
}

fn apply(function: Function, row: &mut [f32]) {
    let row = row.iter_mut();
    match function {
        Function::Sigmoid => row.for_each(|x| *x = sigmoid(*x)),
        Function::Tanh => row.for_each(|x| *x = tanh(*x)),
        Function::Silu(alpha) => row.for_each(|x| *x *= sigmoid(alpha * *x)),
        Function::HardSwish => row.for_each(|x| *x *= smaller(1.0, larger(0.0, *x * (1.0 / 6.0) + 0.5))),
        Function::HardSigmoid(alpha, beta) => row.for_each(|x| *x = smaller(1.0, larger(0.0, alpha * *x + beta))),
        Function::Abs => row.for_each(|x| *x = x.abs()),
        Function::Neg => row.for_each(|x| *x = -*x),
        Function::Quantize { scale, zero, low, high } => row.for_each(|x| {
            // What is beyond the ends is so before it is rounded, and what is left is small enough for the trick.
            let steps = smaller(high - zero, larger(low - zero, *x / scale));
            *x = (steps + ROUNDER) - ROUNDER + zero;
        }),
    }
}

/// Added and taken off again, it rounds a number below a quarter of it to a whole one, halves to even.
const ROUNDER: f32 = 12_582_912.0;

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// The odd polynomial of Cephes' `tanhf` near zero, where the quotient would cancel.
fn tanh(x: f32) -> f32 {
    let z = x * x;
    let p = (((-5.704_988_7e-3 * z + 2.063_909e-2) * z - 5.373_971_6e-2) * z + 1.333_144_2e-1) * z - 3.333_328e-1;
    let far = 1.0 - 2.0 / (exp(2.0 * x.abs()) + 1.0);
    if x.abs() < 0.625 { p * z * x + x } else { far.copysign(x) }
}

/// `e^x` to about two units in the last place, after Cephes' `expf`: powers of two taken out in two steps, then a
/// polynomial.
fn exp(x: f32) -> f32 {
    // Beyond these the result is 0 or infinite in effect; not-a-number stays.
    let x = smaller(88.0, larger(-87.0, x));
    let n = (x * std::f32::consts::LOG2_E + ROUNDER) - ROUNDER;
    let r = (x - n * 0.693_359_4) - n * -2.121_944_4e-4;
    let p = 1.987_569_2e-4 * r + 1.398_199_9e-3;
    let p = ((((p * r + 8.333_452e-3) * r + 4.166_579_6e-2) * r + 1.666_666_5e-1) * r + 0.5) * r * r + r + 1.0;
    p * f32::from_bits(((n as i32 + 127) << 23) as u32)
}
