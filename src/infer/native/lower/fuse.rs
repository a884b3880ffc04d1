//! What follows a convolution at once becomes part of it: an addition of equal size, then an activation.
//!
//! The merged node takes the place of the later one, where all it reads stands before it; what nobody reads any more
//! is dropped.

use crate::infer::native::kernel::Activation;
use crate::infer::native::program::{Arithmetic, Channel, Conv, Node, Op, Program};

/// The same program with fewer nodes.
pub(super) fn fused(mut program: Program) -> Program {
    for at in 0..program.nodes.len() {
        let (first, second) = halves(&program.nodes[at]);
        match &program.nodes[at].op {
            Op::Activation(activation) => {
                let activation = activation.clone();
                if let Some(from) = sole_conv(&program, at, first) {
                    let mut conv = take(&mut program, at, from);
                    conv.activation = activation;
                    program.nodes[at].op = Op::Conv(conv);
                }
            }
            Op::Binary(Arithmetic::Add) => {
                let (first, second) = (first.to_vec(), second.to_vec());
                let sides = [(&second, &first), (&first, &second)];
                // A second addition would find the place taken.
                let open = |side| sole_conv(&program, at, side).filter(|from| is_bare(&program.nodes[*from]));
                let found = sides.into_iter().find_map(|(side, other)| Some((open(side)?, other)));
                if let Some((from, other)) = found {
                    let mut conv = take(&mut program, at, from);
                    conv.residual = other.clone();
                    program.nodes[at].op = Op::Conv(conv);
                }
            }
            _ => {}
        }
    }
    swept(program)
}

fn halves(node: &Node) -> (&[Channel], &[Channel]) {
    match node.op {
        Op::Binary(_) => node.inputs.split_at(node.channels),
        _ => (&node.inputs, &[]),
    }
}

fn is_bare(node: &Node) -> bool {
    matches!(&node.op, Op::Conv(conv) if conv.residual.is_empty())
}

/// The convolution without activation that gives exactly `channels` and is read by node `at` alone, and only here.
fn sole_conv(program: &Program, at: usize, channels: &[Channel]) -> Option<usize> {
    let is_open = |node: &Node| matches!(&node.op, Op::Conv(conv) if conv.activation == Activation::None);
    sole_input(program, at, channels).filter(|from| is_open(&program.nodes[*from]))
}

/// The node that gives exactly `channels` and is read by node `at` alone, and only here.
pub(super) fn sole_input(program: &Program, at: usize, channels: &[Channel]) -> Option<usize> {
    let from = channels.first()?.node;
    let node = &program.nodes[from];
    let is_whole = channels.len() == node.channels
        && channels.iter().enumerate().all(|(index, channel)| *channel == Channel { node: from, index });
    let reads = |node: &Node| reads(node).filter(|channel| channel.node == from).count();
    let elsewhere = program.nodes.iter().enumerate().any(|(other, node)| other != at && reads(node) > 0);
    let is_only = reads(&program.nodes[at]) == channels.len() && !elsewhere;
    let is_output = program.output.iter().any(|channel| channel.node == from);
    (is_whole && is_only && !is_output).then_some(from)
}

/// All channels that a node reads.
fn reads(node: &Node) -> impl Iterator<Item = &Channel> {
    node.inputs.iter().chain(node.residual())
}

/// Moves a convolution's inputs to node `at`; what it leaves behind is read by nobody.
fn take(program: &mut Program, at: usize, from: usize) -> Box<Conv> {
    program.nodes[at].inputs = std::mem::take(&mut program.nodes[from].inputs);
    match std::mem::replace(&mut program.nodes[from].op, Op::Input) {
        Op::Conv(conv) => conv,
        _ => unreachable!("only a convolution is taken"),
    }
}

/// Without the nodes that the output does not depend on; the picture stays.
pub(super) fn swept(program: Program) -> Program {
    let Program { nodes, mut output } = program;
    let mut is_needed = vec![false; nodes.len()];
    is_needed[0] = true;
    output.iter().for_each(|channel| is_needed[channel.node] = true);
    for at in (0..nodes.len()).rev() {
        if is_needed[at] {
            reads(&nodes[at]).for_each(|channel| is_needed[channel.node] = true);
        }
    }
    let mut places = Vec::with_capacity(nodes.len());
    let mut kept = 0;
    for needed in &is_needed {
        places.push(kept);
        kept += usize::from(*needed);
    }
    let renamed =
        |channels: &mut Vec<Channel>| channels.iter_mut().for_each(|channel| channel.node = places[channel.node]);
    let kept = nodes.into_iter().zip(&is_needed).filter(|(_, needed)| **needed).map(|(mut node, _)| {
        renamed(&mut node.inputs);
        match &mut node.op {
            Op::Conv(conv) => renamed(&mut conv.residual),
            Op::Quads(conv) => renamed(&mut conv.residual),
            _ => {}
        }
        node
    });
    let nodes = kept.collect();
    renamed(&mut output);
    Program { nodes, output }
}
