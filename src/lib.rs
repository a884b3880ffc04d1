//! vproc runs a neural network over every frame of a video and writes the video back with everything else untouched.
//!
//! The rooms, from the ground up: `error`, `fatal`, `time` and `meter`; `frame`; `av` (FFmpeg), `model` (networks), `simd` (kernels) and `gpu` (CUDA devices);
//! `source`, `sink`, `infer` (engines), `head` (pictures to tensors and back), `cache` (what was computed before), `quality` (how alike pictures are),
//! `plan`; `pipeline` (the chain) and `report`; `command` and `cli`. Imports run down only.

pub mod av;
pub mod cache;
pub mod cli;
pub mod command;
pub mod config;
pub mod error;
pub mod fatal;
pub mod frame;
pub mod gpu;
pub mod head;
pub mod infer;
pub mod interrupt;
pub mod measure;
pub mod meter;
pub mod model;
pub mod pipe;
pub mod pipeline;
pub mod plan;
pub mod quality;
pub mod report;
pub mod sandbox;
pub mod segment;
pub mod sequence;
pub mod simd;
pub mod sink;
pub mod source;
pub mod tile;
pub mod time;
