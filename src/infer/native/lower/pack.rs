//! Which convolutions are computed in bf16 on tiles, and which rows are packed for them.
//!
//! Those of many input channels are: they are where the time goes. The first ones, which see the picture itself, and
//! whatever else there is stay in f32, and so do all sums: the picture has more than the eight bits of a bf16.

use crate::infer::native::kernel::tiles::{Bf16, TileWeights, padded};
use crate::infer::native::program::{Channel, Form, Node, Op, Program};

/// Input channels from which on tiles are used: half of a tile.
const LEAST_INPUTS: usize = 16;

/// Outputs from which on they are faster than f32 where they take as long for each as for 16.
const LEAST_OUTPUTS: usize = 8;

/// Gives convolutions their tiles, and nodes the forms in which they are read.
pub fn pack(program: &mut Program) {
    for at in 0..program.nodes.len() {
        let Some(from) = whole_input(program, at) else { continue };
        let channels = program.nodes[from].channels;
        if let Op::Conv(conv) = &mut program.nodes[at].op {
            conv.tiles = Some(TileWeights::new(&conv.groups[0].weights));
        }
        program.nodes[from].form.packed = Some(padded(channels));
    }
    // Planes are kept where anything but a convolution on tiles reads them, or makes them.
    let mut has_planes = vec![false; program.nodes.len()];
    let mut mark = |channels: &[Channel]| channels.iter().for_each(|channel| has_planes[channel.node] = true);
    mark(&program.output);
    for node in &program.nodes {
        match &node.op {
            Op::Conv(conv) if conv.tiles.is_some() => mark(&conv.residual),
            Op::Conv(conv) => {
                mark(&node.inputs);
                mark(&conv.residual);
            }
            _ => mark(&node.inputs),
        }
    }
    for (node, has_planes) in program.nodes.iter_mut().zip(has_planes) {
        let goes_packed = matches!(&node.op, Op::Conv(conv) if conv.tiles.is_some() && conv.residual.is_empty());
        node.form = Form { planes: has_planes || node.form.packed.is_none() || !goes_packed, ..node.form };
    }
}

/// The node that a convolution fit for tiles reads, all of its channels in their order.
fn whole_input(program: &Program, at: usize) -> Option<usize> {
    let Node { op: Op::Conv(conv), inputs, .. } = &program.nodes[at] else { return None };
    let from = inputs.first()?.node;
    let is_whole = inputs.len() == program.nodes[from].channels
        && inputs.iter().enumerate().all(|(index, channel)| *channel == Channel { node: from, index });
    // Two columns of the kernel in one tile are neighbours.
    let are_near = conv.dilation[1] == 1 || padded(inputs.len()) > LEAST_INPUTS;
    let is_worth_it = match Bf16::all().first() {
        Some(Bf16::Dots(_)) => conv.groups[0].weights.n_outputs() >= LEAST_OUTPUTS,
        _ => true,
    };
    (is_whole && are_near && conv.groups.len() == 1 && inputs.len() >= LEAST_INPUTS && is_worth_it).then_some(from)
}
