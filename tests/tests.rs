//! Whole-program tests: what a person or another program meets.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod cli;
mod clips;
mod compare;
mod hostile_networks;
mod inspect;
mod layering;
mod networks;
mod pictures;
mod raw_video;
mod sandbox;
mod signals;
mod support;
