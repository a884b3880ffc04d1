//! The chain from source to sink.

pub mod progress;
