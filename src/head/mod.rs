//! Heads: what stands between pictures and a network's tensors; and what is done with pictures beside the network.
//!
//! Called by the workers of the pipeline. A head is made once from what is known of the network and the stream, holds
//! no buffers of its own, and can be shared; scratch memory is the caller's. A head runs no network.

pub mod detect;
pub mod fit;
pub mod image;
pub mod preview;
mod tensor_row;
pub mod yuv;
