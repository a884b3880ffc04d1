//! Whole-program tests: what a person or another program meets.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod absurd;
mod batch;
mod bench;
mod cache;
mod cache_abuse;
mod cli;
mod clips;
mod clobber;
mod cluster;
mod compare;
mod converted;
mod damage;
mod detect;
mod device;
mod faults;
mod fields;
mod film;
mod hostile_networks;
mod inputs;
mod inspect;
mod layering;
mod leap;
mod matrix;
mod memory;
mod names;
mod native;
mod networks;
mod options;
mod outside;
mod pictures;
mod program;
mod raw_video;
mod resume;
mod sandbox;
mod signals;
mod size;
mod skip;
mod steady;
mod streams;
mod strength;
mod support;
mod verdict;
mod verifier;
