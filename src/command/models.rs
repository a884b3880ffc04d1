//! The built-in networks.

use crate::error::{Error, Kind, Result};

/// Lists the built-in networks, as JSON or for people; the exit status.
pub fn models(json: bool) -> Result<u8> {
    Err(Error::new(Kind::Internal, format!("not built yet: models {json}")))
}
