//! The plan: everything decided before the run starts.

pub mod container;
pub mod encoding;
