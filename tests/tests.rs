//! Whole-program tests: what a person or another program meets.

#[cfg(test)]
mod cli;
#[cfg(test)]
mod networks;
#[cfg(test)]
mod raw_video;
#[cfg(test)]
mod sandbox;
#[cfg(test)]
mod signals;
