//! Whole-program tests: what a person or another program meets.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod cli;
mod film;
mod matrix;
mod networks;
mod raw_video;
mod sandbox;
mod signals;
