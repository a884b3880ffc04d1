//! How two videos differ.

use std::ffi::OsStr;

use crate::error::{Error, Kind, Result};

/// Compares two videos, as JSON or for people; the exit status: 1 when any plane is below `min_psnr` dB.
pub fn compare(a: &OsStr, b: &OsStr, min_psnr: Option<f64>, json: bool) -> Result<u8> {
    let what = format!("compare {} {} {min_psnr:?} {json}", a.to_string_lossy(), b.to_string_lossy());
    Err(Error::new(Kind::Internal, format!("not built yet: {what}")))
}
