//! The driver's devices. `cudarc` panics where the driver's library is missing, so that is asked first.

use std::ffi::c_int;
use std::sync::OnceLock;

use cudarc::driver::result::device;
use cudarc::driver::sys::{self, CUdevice_attribute};
use cudarc::driver::{CudaContext, DriverError};

use super::{DeviceFacts, Missing};
use crate::error::Result;

/// Whether the driver's library is there. Where it is not, the loader's search for all of its names takes a while, so
/// only the first call makes it.
pub(super) fn is_there() -> bool {
    static FOUND: OnceLock<bool> = OnceLock::new();
    // SAFETY: loading runs the initialisers of the driver's library, which the loader finds by its name.
    *FOUND.get_or_init(|| unsafe { sys::is_culib_present() })
}

/// All devices that the driver shows to this process, without making a context on any.
pub(super) fn devices() -> Result<Vec<DeviceFacts>> {
    if !is_there() {
        return Err(Missing::Driver.error());
    }
    let driver = version();
    let failed = |error: DriverError| Missing::Device(driver, plain(error)).error();
    let count = CudaContext::device_count().map_err(failed)?;
    if count == 0 {
        return Err(Missing::Device(driver, "it counts 0".to_owned()).error());
    }
    (0..count).map(|index| facts(index, driver).map_err(failed)).collect()
}

/// The newest CUDA that the driver knows; 0.0 where it does not tell.
fn version() -> (u32, u32) {
    let mut version: c_int = 0;
    // SAFETY: the library is there, and the call writes one integer, whatever the state of the driver.
    let result = unsafe { sys::cuDriverGetVersion(&mut version) };
    let version = result.result().map_or(0, |()| u32::try_from(version).unwrap_or(0));
    (version / 1000, version % 1000 / 10)
}

fn facts(index: c_int, driver: (u32, u32)) -> std::result::Result<DeviceFacts, DriverError> {
    let device = device::get(index)?;
    let attribute = |which| {
        // SAFETY: `device` was just given by the driver.
        unsafe { device::get_attribute(device, which) }.map(|value| u32::try_from(value).unwrap_or(0))
    };
    let major = attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?;
    let minor = attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?;
    // SAFETY: as above.
    let memory = unsafe { device::total_mem(device) }?;
    Ok(DeviceFacts {
        index: usize::try_from(index).unwrap_or(0),
        name: device::get_name(device)?,
        capability: (major, minor),
        memory: memory as u64,
        driver,
    })
}

/// The error's name, as NVIDIA's documents have it.
fn plain(error: DriverError) -> String {
    format!("{:?}", error.0)
}
