//! Which convolutions are computed in bf16, and which rows are kept so for them.
//!
//! Those of many input channels are: they are where the time goes. The first ones, which see the picture itself, and
//! whatever else there is stay in f32, and so do all sums: the picture has more than the eight bits of a bf16.

use crate::infer::native::kernel::bf16::Bf16;
use crate::infer::native::kernel::duos::{DEPTH, DuoWeights};
use crate::infer::native::kernel::tiles::{TileWeights, padded};
use crate::infer::native::program::{Channel, Form, Half, Node, Op, Program, neighbours};

/// Input channels from which on bf16 is used: half of a tile.
const LEAST_INPUTS: usize = 16;

/// Gives convolutions their weights in bf16, and nodes the forms in which they are read.
pub fn pack(program: &mut Program, bf16: Bf16) {
    for at in 0..program.nodes.len() {
        let half = match bf16 {
            Bf16::Tiles(_) => on_tiles(program, at),
            Bf16::Dots(_) => of_duos(program, at),
        };
        let Some(half) = half else { continue };
        let node = &mut program.nodes[at];
        let is_packed = matches!(half, Half::Tiles(_));
        if let Op::Conv(conv) = &mut node.op {
            conv.half = Some(half);
        }
        for channel in node.inputs.clone() {
            let from = &mut program.nodes[channel.node];
            match is_packed {
                true => from.form.packed = Some(padded(from.channels)),
                false => from.form.duos = true,
            }
        }
    }
    // Planes are kept where anything but a convolution in bf16 reads them, or makes them.
    let mut has_planes = vec![false; program.nodes.len()];
    let mut mark = |channels: &[Channel]| channels.iter().for_each(|channel| has_planes[channel.node] = true);
    mark(&program.output);
    for node in &program.nodes {
        match &node.op {
            Op::Conv(conv) if conv.half.is_some() => mark(&conv.residual),
            Op::Conv(conv) => {
                mark(&node.inputs);
                mark(&conv.residual);
            }
            _ => mark(&node.inputs),
        }
    }
    for (node, has_planes) in program.nodes.iter_mut().zip(has_planes) {
        let needs_none = match &node.op {
            Op::Conv(conv) => match &conv.half {
                None => false,
                // What is added is f32, and tiles write one form.
                Some(Half::Tiles(_)) => node.form.packed.is_some() && conv.residual.is_empty(),
                Some(Half::Duos(_)) => node.form.duos,
            },
            _ => false,
        };
        node.form = Form { planes: has_planes || !needs_none, ..node.form };
    }
}

/// The tiles of a convolution that is fit for them: one that reads all channels of a node in their order.
fn on_tiles(program: &Program, at: usize) -> Option<Half> {
    let Node { op: Op::Conv(conv), inputs, .. } = &program.nodes[at] else { return None };
    let from = inputs.first()?.node;
    let is_whole = inputs.len() == program.nodes[from].channels
        && inputs.iter().enumerate().all(|(index, channel)| *channel == Channel { node: from, index });
    // Two columns of the kernel in one tile are neighbours.
    let are_near = conv.dilation[1] == 1 || padded(inputs.len()) > LEAST_INPUTS;
    let is_fit = is_whole && are_near && conv.groups.len() == 1 && inputs.len() >= LEAST_INPUTS;
    is_fit.then(|| Half::Tiles(TileWeights::new(&conv.groups[0].weights)))
}

/// The weights of a convolution that can read two channels at once.
fn of_duos(program: &Program, at: usize) -> Option<Half> {
    let Node { op: Op::Conv(conv), inputs, .. } = &program.nodes[at] else { return None };
    let are_whole = neighbours(inputs).all(|run| run[0].index.is_multiple_of(DEPTH));
    let is_fit = are_whole && conv.groups.len() == 1 && inputs.len() >= LEAST_INPUTS;
    is_fit.then(|| {
        let is_paired = super::pair::is_worth_it(conv);
        Half::Duos(DuoWeights::new(&conv.groups[0].weights, &super::elements(inputs), is_paired))
    })
}
