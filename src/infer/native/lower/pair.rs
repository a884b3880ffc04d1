//! Which convolutions compute two rows at once.

use crate::infer::native::kernel::pairs::{PairWeights, SIDE};
use crate::infer::native::program::{Group, Op, Program};

/// Inputs and outputs from which on two rows at once pay: what is made once for all outputs must be worth it.
const LEAST: usize = 8;

/// Gives convolutions that do not go on tiles their weights for two rows.
pub fn pair(program: &mut Program) {
    for node in &mut program.nodes {
        let Op::Conv(conv) = &mut node.op else { continue };
        let are_many = |group: &Group| group.weights.n_inputs() >= LEAST && group.weights.n_outputs() >= LEAST;
        if conv.tiles.is_none()
            && conv.kernel == [SIDE; 2]
            && conv.dilation == [1, 1]
            && conv.groups.iter().all(are_many)
        {
            conv.groups.iter_mut().for_each(|group| group.pairs = PairWeights::new(&group.weights));
        }
    }
}
