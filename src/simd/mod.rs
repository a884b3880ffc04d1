//! Kernels: what is done to rows of samples, a folder a family.
//!
//! Called by the heads. Kernels see plane views and slices, never frames, tensors or pts. Each `scalar.rs` is plain
//! code that compilers vectorise and the truth that any other version is tested against. All arithmetic is in f32,
//! every output sample is computed from its own inputs in one fixed order, and nothing depends on where a row or a
//! window starts; so a picture cut into windows gives the same bits as the whole.

pub mod cpu;
pub mod luma;
pub mod resize;
pub mod rgb;
