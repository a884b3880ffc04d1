//! Whole-program tests: what a person or another program meets.

mod cli;
mod sandbox;
mod signals;
