//! Segments: a long output is made in runs of frames, each encoded on its own and kept beside the output, so that an
//! interrupted run loses one of them at most.
//!
//! [`manifest`] says what a run is of and how far it is, [`folder`] keeps it, [`identity`] how an input is known again, [`resumed`] passes
//! over what is done, [`sink`] makes the rest, [`join`] puts all together. Where to cut is the plan's decision; whether
//! to start anew is the command's. The output of an interrupted run that was continued has the bytes of one that was
//! not: all that is written depends on the input and the plan alone.

pub mod folder;
pub mod identity;
pub mod join;
pub mod manifest;
pub mod mark;
pub mod one;
pub mod packets;
mod passing;
pub mod resumed;
pub mod sink;
