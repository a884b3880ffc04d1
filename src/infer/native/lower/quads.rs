//! Which convolutions are computed in whole numbers: those of codes of 8 bits with weights of 8 bits in steps, whose
//! results become codes again, with at most an activation between that codes can tell.
//!
//! What is between two codes of a network is a real number; here it is the exact sum of products of whole numbers, and
//! steps are multiplied into one factor, as ONNX Runtime does it. Everything else stays by its definition in f32.

use super::{Lowering, Refused};
use crate::infer::native::kernel::Activation;
use crate::infer::native::kernel::quads::{After, DEPTH, Ends, QuadWeights};
use crate::infer::native::program::{Arithmetic, Channel, Coding, Function, Op, Program, QuadConv, Steps, neighbours};
use crate::model::onnx::proto::NodeProto;

impl Lowering {
    /// The weights and the bias of a convolution in steps, if they are so.
    pub(super) fn steps_of(&self, node: &NodeProto, n_outputs: usize) -> Refused<Option<Box<Steps>>> {
        let in_steps = |at: usize| self.constant(node, at).map(|constant| Some(constant?.steps.clone()));
        let Some(Some(weights)) = in_steps(1)? else { return Ok(None) };
        let bias = match in_steps(2)? {
            Some(None) => return Ok(None),
            bias => bias.flatten(),
        };
        let each = |scales: &[f32]| (0..n_outputs).map(|at| scales[at % scales.len()]).collect::<Vec<f32>>();
        let bytes = weights.numbers.iter().map(|&number| i8::try_from(number).ok()).collect::<Option<Vec<i8>>>();
        let bias = bias.map_or(Vec::new(), |bias| bias.numbers.iter().copied().zip(each(&bias.scales)).collect());
        Ok(bytes.map(|bytes| Box::new(Steps { weights: bytes, scales: each(&weights.scales), bias })))
    }
}

/// The program with convolutions of codes in place of those that can be.
pub(super) fn joined(mut program: Program) -> Program {
    for at in 0..program.nodes.len() {
        let made = quad_conv(&program, at).or_else(|| followed(&mut program, at));
        let Some((inputs, conv)) = made else { continue };
        for channel in inputs.iter().chain(&conv.residual) {
            let zero = coding(&program, channel.node).map(Coding::zero_code);
            program.nodes[channel.node].form.codes = zero;
        }
        program.nodes[at].inputs = inputs;
        program.nodes[at].op = Op::Quads(Box::new(conv));
    }
    super::fuse::swept(program)
}

/// Leaves out the floats of codes that are read as codes alone.
pub(super) fn place(program: &mut Program) {
    let mut has_planes = vec![false; program.nodes.len()];
    program.output.iter().for_each(|channel| has_planes[channel.node] = true);
    for node in &program.nodes {
        if !matches!(node.op, Op::Quads(_)) {
            node.inputs.iter().chain(node.residual()).for_each(|channel| has_planes[channel.node] = true);
        }
    }
    for (node, has_planes) in program.nodes.iter_mut().zip(has_planes) {
        if matches!(node.op, Op::Quads(_)) {
            node.form.planes = has_planes || node.form.codes.is_none();
        }
    }
}

/// How the results of a node are codes.
fn coding(program: &Program, at: usize) -> Option<Coding> {
    match &program.nodes[at].op {
        Op::Function(Function::Quantize { scale, zero, low, high }) => {
            let coding = Coding { scale: *scale, zero: *zero, low: *low };
            (high - low == 255.0 && *scale > 0.0 && scale.is_finite()).then_some(coding)
        }
        Op::Quads(conv) => Some(conv.coding),
        _ => None,
    }
}

/// The codes that a channel is made of, and the step between them.
fn codes_of(program: &Program, channel: Channel) -> Option<(Channel, f32)> {
    let node = &program.nodes[channel.node];
    let Op::Constant(Arithmetic::Mul, scales, false) = &node.op else { return None };
    let (scale, mut codes) = (scales[channel.index], node.inputs[channel.index]);
    let mut zero = 0.0;
    let node = &program.nodes[codes.node];
    if let Op::Constant(Arithmetic::Sub, zeros, false) = &node.op {
        (zero, codes) = (zeros[codes.index], node.inputs[codes.index]);
    }
    // Beyond the picture is zero, and there is one code for it.
    (coding(program, codes.node)?.zero == zero).then_some((codes, scale))
}

/// What node `at` is as a convolution of codes.
fn quad_conv(program: &Program, at: usize) -> Option<(Vec<Channel>, QuadConv)> {
    let Op::Function(Function::Quantize { .. }) = program.nodes[at].op else { return None };
    let to = coding(program, at)?;
    let from = super::fuse::sole_input(program, at, &program.nodes[at].inputs)?;
    let Op::Conv(conv) = &program.nodes[from].op else { return None };
    let steps = conv.steps.as_ref().filter(|_| conv.residual.is_empty())?;
    let inputs = program.nodes[from].inputs.iter().map(|channel| codes_of(program, *channel));
    let (inputs, scales): (Vec<Channel>, Vec<f32>) = inputs.collect::<Option<Vec<_>>>()?.into_iter().unzip();
    let scale = *scales.first()?;
    let are_whole = neighbours(&inputs).all(|run| run[0].index.is_multiple_of(DEPTH));
    if !are_whole || scales.iter().any(|other| *other != scale) {
        return None;
    }
    let outputs = outputs(program, steps, &inputs, scale, to.scale)?;
    let taps = conv.kernel[0] * conv.kernel[1];
    let weights = QuadWeights::new(
        &super::elements(&inputs),
        &outputs,
        conv.kernel,
        ends(to, &conv.activation)?,
        |output, input, [ky, kx]| steps.weights[(output * inputs.len() + input) * taps + ky * conv.kernel[1] + kx],
    );
    let conv = QuadConv {
        weights,
        kernel: conv.kernel,
        dilation: conv.dilation,
        before: conv.before,
        coding: to,
        residual: Vec::new(),
    };
    Some((inputs, conv))
}

/// What node `at` is where it takes up codes of a convolution for an activation or a sum: those that nobody else reads.
fn followed(program: &mut Program, at: usize) -> Option<(Vec<Channel>, QuadConv)> {
    let Op::Function(Function::Quantize { .. }) = program.nodes[at].op else { return None };
    let to = coding(program, at)?;
    let (mut reader, mut end) = (at, ends(to, &Activation::None)?);
    if let Some(from) = super::fuse::sole_input(program, reader, &program.nodes[reader].inputs)
        && let Op::Activation(activation) = &program.nodes[from].op
        && let Some(other) = ends(to, activation)
    {
        (reader, end) = (from, other);
    }
    let inputs = &program.nodes[reader].inputs;
    let sum = super::fuse::sole_input(program, reader, inputs);
    let found = match sum.filter(|from| matches!(program.nodes[*from].op, Op::Binary(Arithmetic::Add))) {
        None => (followable(program, reader, inputs)?, None),
        Some(from) => {
            let (first, second) = program.nodes[from].inputs.split_at(program.nodes[from].channels);
            let added = |side, other| Some((followable(program, from, side)?, Some(addable(program, other)?)));
            added(first, second).or_else(|| added(second, first))?
        }
    };
    let ((from, scale, slopes), added) = found;
    let (residual, adds) = added.unzip();
    let inputs = std::mem::take(&mut program.nodes[from].inputs);
    let Op::Quads(conv) = std::mem::replace(&mut program.nodes[from].op, Op::Input) else {
        unreachable!("only a convolution of codes is followed");
    };
    let after = After { from: scale, slopes, residual: adds, to: to.scale, ends: end };
    let weights = conv.weights.followed_by(after);
    Some((inputs, QuadConv { weights, coding: to, residual: residual.unwrap_or_default(), ..*conv }))
}

/// The convolution of codes behind `channels`, which node `reader` alone reads; a step of its codes, and the slopes of an
/// activation between.
fn followable(program: &Program, reader: usize, channels: &[Channel]) -> Option<(usize, f32, Vec<f32>)> {
    let sole = |reader: usize| super::fuse::sole_input(program, reader, &program.nodes[reader].inputs);
    let mut from = super::fuse::sole_input(program, reader, channels)?;
    let mut slopes = Vec::new();
    if let Op::Activation(Activation::Slope(all)) = &program.nodes[from].op {
        (slopes, from) = (all.clone(), sole(from)?);
    }
    let Op::Constant(Arithmetic::Mul, scales, false) = &program.nodes[from].op else { return None };
    let mut zero = 0.0;
    let mut codes = sole(from)?;
    if let Op::Constant(Arithmetic::Sub, zeros, false) = &program.nodes[codes].op {
        zero = zeros.iter().all(|other| *other == zeros[0]).then_some(zeros[0])?;
        codes = sole(codes)?;
    }
    let Op::Quads(conv) = &program.nodes[codes].op else { return None };
    let is_free = conv.weights.after().is_none() && conv.coding.zero == zero;
    (is_free && scales.iter().all(|other| *other == scales[0])).then(|| (codes, scales[0], slopes))
}

/// The codes that all of `channels` are made of, their step and the code of zero.
fn addable(program: &Program, channels: &[Channel]) -> Option<(Vec<Channel>, (f32, f32))> {
    let codes = channels.iter().map(|channel| codes_of(program, *channel)).collect::<Option<Vec<_>>>()?;
    let (codes, scales): (Vec<Channel>, Vec<f32>) = codes.into_iter().unzip();
    let scale = *scales.first()?;
    let zero = f32::from(coding(program, codes[0].node)?.zero_code());
    let is_run = codes[0].index.is_multiple_of(DEPTH) && neighbours(&codes).count() == 1;
    (is_run && scales.iter().all(|other| *other == scale)).then_some((codes, (scale, zero)))
}

/// For each output its bias, codes of zero taken off, and its factor; `None` where a bias is not in the steps of the sums
/// or a sum may not fit.
fn outputs(program: &Program, steps: &Steps, inputs: &[Channel], from: f32, to: f32) -> Option<Vec<(i32, f32)>> {
    let zeros: Option<Vec<i64>> =
        inputs.iter().map(|channel| Some(i64::from(coding(program, channel.node)?.zero_code()))).collect();
    let zeros = zeros?;
    let n_weights = steps.weights.len() / steps.scales.len();
    let output = |(at, scale): (usize, &f32)| {
        let weights = &steps.weights[at * n_weights..(at + 1) * n_weights];
        let taps = n_weights / zeros.len();
        let (bias, step) = steps.bias.get(at).copied().unwrap_or((0, from * scale));
        // Where the bias was quantised, the product may have been rounded another way.
        let is_step = (step - from * scale).abs() <= from * scale * 1e-5;
        let of_zeros: i64 =
            weights.chunks(taps).zip(&zeros).map(|(weights, zero)| zero * sum(weights, i64::from)).sum();
        let most = 255 * sum(weights, |weight| i64::from(weight.unsigned_abs())) + i64::from(bias.unsigned_abs());
        let factor = from * scale / to;
        let is_fit = is_step && factor > 0.0 && factor.is_finite() && most < i64::from(i32::MAX);
        is_fit.then(|| i32::try_from(i64::from(bias) - of_zeros).ok().map(|bias| (bias, factor))).flatten()
    };
    steps.scales.iter().enumerate().map(output).collect()
}

fn sum(weights: &[i8], of: impl Fn(i8) -> i64) -> i64 {
    weights.iter().map(|&weight| of(weight)).sum()
}

/// Between which codes an activation leaves what it is given; `None` for one of which codes cannot tell.
fn ends(coding: Coding, activation: &Activation) -> Option<Ends> {
    let (low, high) = match activation {
        Activation::None => (f32::NEG_INFINITY, f32::INFINITY),
        Activation::Relu => (0.0, f32::INFINITY),
        Activation::Clip(low, high) if low <= high => (*low, *high),
        _ => return None,
    };
    // Rounding goes up where what is rounded does, so ends may be rounded before.
    let (least, most) = (coding.low - coding.zero, coding.low - coding.zero + 255.0);
    let end = |end: f32| (end / coding.scale).clamp(least, most).round_ties_even();
    Some(Ends { zero: coding.zero_code(), least: end(low), most: end(high) })
}
