//! Devices for a program built without CUDA: none.

use super::{DeviceFacts, Missing};
use crate::error::Result;

/// An error that says so.
pub(super) fn devices() -> Result<Vec<DeviceFacts>> {
    Err(Missing::Built.error())
}
