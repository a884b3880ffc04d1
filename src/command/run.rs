//! The main job.

use crate::config::RunConfig;
use crate::error::{Error, Kind, Result};

/// Runs a network over a video; the exit status.
pub fn run(config: &RunConfig) -> Result<u8> {
    Err(Error::new(Kind::Internal, format!("not built yet: run on {}", config.input.to_string_lossy())))
}
