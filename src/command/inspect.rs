//! What is in a file.

use std::ffi::OsStr;

use crate::error::{Error, Kind, Result};

/// Tells what is in a video or a network; the exit status.
pub fn inspect(file: &OsStr) -> Result<u8> {
    Err(Error::new(Kind::Internal, format!("not built yet: inspect {}", file.to_string_lossy())))
}
