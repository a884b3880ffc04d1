//! Devices for a program built without CUDA: none.

use super::{DeviceFacts, Missing};
use crate::error::Result;

/// Nor is a driver looked for.
pub(super) fn is_there() -> bool {
    false
}

/// An error that says so.
pub(super) fn devices() -> Result<Vec<DeviceFacts>> {
    Err(Missing::Built.error())
}
