//! Which convolutions compute two rows at once.

use crate::infer::native::kernel::pairs::{PairWeights, SIDE};
use crate::infer::native::program::{Conv, Group, Op, Program};

/// Inputs and outputs from which on two rows at once pay: what is made once for all outputs must be worth it.
const LEAST: usize = 8;

/// Gives convolutions in f32 their weights for two rows.
pub fn pair(program: &mut Program) {
    for node in &mut program.nodes {
        let Op::Conv(conv) = &mut node.op else { continue };
        if conv.half.is_none() && is_worth_it(conv) {
            conv.groups.iter_mut().for_each(|group| group.pairs = PairWeights::new(&group.weights));
        }
    }
}

/// Whether two rows at once can be computed, and pay.
pub(super) fn is_worth_it(conv: &Conv) -> bool {
    let are_many = |group: &Group| group.weights.n_inputs() >= LEAST && group.weights.n_outputs() >= LEAST;
    conv.kernel == [SIDE; 2] && conv.dilation == [1, 1] && conv.groups.iter().all(are_many)
}
