//! CUDA devices: which there are, who of a run uses which, and how much of one may be used at once.
//!
//! The only place that asks for a driver or a device; whoever holds [`Devices`] has them. Nothing of CUDA is needed to
//! build or to start: the driver's library is opened at the first question. No kernel is launched here.

#[cfg(not(feature = "cuda"))]
mod disabled;
#[cfg(feature = "cuda")]
mod enabled;
pub mod ladder;

#[cfg(not(feature = "cuda"))]
use disabled as driver;
#[cfg(feature = "cuda")]
use enabled as driver;

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::{Error, Kind, Result};
use ladder::{Ladder, Share};

/// Workers a device has where nobody says otherwise: one computes while others prepare pixels on the processor.
pub const WORKERS: usize = 4;

/// Windows that go to a device at once at most.
const MAX_BATCH: usize = 64;

/// A CUDA device.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DeviceFacts {
    /// Its number, from 0, among those that this process may see.
    pub index: usize,
    /// Its name, as `NVIDIA H200`.
    pub name: String,
    /// Its compute capability: major, minor.
    pub capability: (u32, u32),
    /// Its memory in bytes.
    pub memory: u64,
    /// The newest CUDA that the driver knows: major, minor.
    pub driver: (u32, u32),
}

/// What keeps a run from a device.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Missing {
    /// The program was built without the feature.
    #[cfg_attr(feature = "cuda", allow(dead_code, reason = "said by the other build"))]
    Built,
    /// There is no driver's library.
    #[cfg_attr(not(feature = "cuda"), allow(dead_code, reason = "said by the other build"))]
    Driver,
    /// The driver, of this version, has no device, and what it says.
    #[cfg_attr(not(feature = "cuda"), allow(dead_code, reason = "said by the other build"))]
    Device((u32, u32), String),
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Missing::Built => f.write_str("this vproc was built without CUDA; build it with its default features"),
            Missing::Driver => f.write_str(
                "no NVIDIA driver: libcuda.so.1 is nowhere that the loader looks (LD_LIBRARY_PATH, /etc/ld.so.cache); \
                 install the driver",
            ),
            Missing::Device((major, minor), why) => write!(
                f,
                "the NVIDIA driver (CUDA {major}.{minor}) finds no device ({why}); see nvidia-smi and CUDA_VISIBLE_DEVICES"
            ),
        }
    }
}

impl Missing {
    fn error(&self) -> Error {
        Error::new(Kind::Library, format!("{self}, or use --device cpu"))
    }
}

/// The devices that a run uses, all of one model, since others would give other bits.
pub struct Devices {
    devices: Vec<Arc<Device>>,
    next: AtomicUsize,
}

/// A device, and how much of it may be used at once.
pub struct Device {
    /// Which it is.
    pub facts: DeviceFacts,
    ladder: Mutex<Ladder>,
    turn: Mutex<()>,
}

/// Looks for the driver, so that who opens devices later does not wait for that.
pub fn look() {
    let is_there = driver::is_there();
    tracing::debug!(is_there, "NVIDIA driver");
}

impl Devices {
    /// Those of these numbers, each for so many workers.
    pub fn open(wanted: &[usize], workers: usize) -> Result<Devices> {
        Ok(Devices::of(chosen(&driver::devices()?, wanted)?, workers))
    }

    fn of(facts: Vec<DeviceFacts>, workers: usize) -> Devices {
        let device = |facts| Arc::new(Device::new(facts, workers));
        Devices { devices: facts.into_iter().map(device).collect(), next: AtomicUsize::new(0) }
    }

    /// One device that is none, for tests of what is decided without one.
    #[cfg(test)]
    pub fn imagined() -> Devices {
        Devices { devices: vec![Arc::new(Device::imagined(1))], next: AtomicUsize::new(0) }
    }

    /// How many there are, 1 or more.
    pub fn count(&self) -> usize {
        self.devices.len()
    }

    /// The device of the next worker: each in its turn.
    pub fn next(&self) -> Arc<Device> {
        self.devices[self.next.fetch_add(1, Ordering::Relaxed) % self.devices.len()].clone()
    }

    /// All that decides bits, but for which of several equal devices it is: the compute capability, as compilers call
    /// it.
    pub fn architecture(&self) -> String {
        let (major, minor) = self.devices[0].facts.capability;
        format!("sm_{major}{minor}")
    }
}

impl fmt::Display for Devices {
    /// `cuda:0,1 (NVIDIA H200, sm_90, driver for CUDA 13.0)`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbers: Vec<_> = self.devices.iter().map(|device| device.facts.index.to_string()).collect();
        let DeviceFacts { name, driver: (major, minor), .. } = &self.devices[0].facts;
        write!(f, "cuda:{} ({name}, {}, driver for CUDA {major}.{minor})", numbers.join(","), self.architecture())
    }
}

impl Device {
    fn new(facts: DeviceFacts, workers: usize) -> Device {
        let full = Share { batch: MAX_BATCH, slots: 1, workers: workers.max(1), window: 1 };
        let least = Share { batch: 1, workers: 1, ..full };
        Device { facts, ladder: Mutex::new(Ladder::new(full, least)), turn: Mutex::new(()) }
    }

    /// A device that is none, for tests of what is decided without one.
    #[cfg(test)]
    pub fn imagined(workers: usize) -> Device {
        let name = "NVIDIA Imagined".to_owned();
        Device::new(DeviceFacts { index: 0, name, capability: (9, 0), memory: 16 << 30, driver: (13, 0) }, workers)
    }

    /// How much may be used at once.
    pub fn share(&self) -> Share {
        self.ladder().share()
    }

    /// Less may be used than a run would.
    pub fn is_short(&self) -> bool {
        self.ladder().is_below_top()
    }

    /// Less was there than `used`: from now on less is used; `false` when it cannot be less.
    pub fn refuse(&self, used: Share) -> bool {
        let less = self.ladder().refuse(used);
        tracing::debug!("cuda:{}: out of memory with {used:?}, now {:?}", self.facts.index, self.share());
        less
    }

    /// That much was there.
    pub fn accept(&self) {
        self.ladder().accept();
    }

    /// Waits until no other worker uses the device, and keeps them away.
    pub fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ladder(&self) -> MutexGuard<'_, Ladder> {
        self.ladder.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The devices of these numbers.
fn chosen(all: &[DeviceFacts], wanted: &[usize]) -> Result<Vec<DeviceFacts>> {
    let named = |device: &DeviceFacts| format!("cuda:{} ({})", device.index, device.name);
    let mut devices: Vec<DeviceFacts> = Vec::new();
    for &number in wanted {
        let Some(found) = all.iter().find(|device| device.index == number) else {
            let there: Vec<_> = all.iter().map(named).collect();
            let message = format!("there is no cuda:{number}, expected one of {}", there.join(", "));
            return Err(Error::new(Kind::Usage, message));
        };
        let first = devices.first().unwrap_or(found);
        if (&first.name, first.capability) != (&found.name, found.capability) {
            let message = format!(
                "{} and {} are not of one model and would give different bits; name devices of one",
                named(first),
                named(found)
            );
            return Err(Error::new(Kind::Usage, message));
        }
        devices.push(found.clone());
    }
    Ok(devices)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(index: usize, name: &str) -> DeviceFacts {
        DeviceFacts { index, name: name.into(), capability: (8, 6), memory: 24 << 30, driver: (13, 0) }
    }

    #[test]
    fn what_is_missing_is_said_in_one_line_with_what_to_try() {
        let missing = [Missing::Built, Missing::Driver, Missing::Device((12, 4), "CUDA_ERROR_NO_DEVICE".into())];
        for missing in missing {
            let error = missing.error();
            assert_eq!(error.kind(), Kind::Library);
            let text = error.to_string();
            assert!(text.ends_with(", or use --device cpu") && !text.contains('\n') && !text.contains("  "), "{text}");
        }
    }

    #[test]
    fn a_machine_without_a_device_says_so_instead_of_failing() {
        match driver::devices() {
            Ok(devices) => println!("this machine has {devices:?}"),
            Err(error) => assert!(error.to_string().contains("use --device cpu"), "{error}"),
        }
    }

    #[test]
    fn devices_are_chosen_by_number_and_are_of_one_model() {
        let all = [device(0, "A"), device(1, "A"), device(2, "B")];
        let names = |wanted: &[usize]| chosen(&all, wanted).map(|devices| devices.len());
        assert_eq!(names(&[0, 1]).unwrap(), 2);
        assert_eq!(names(&[2]).unwrap(), 1);
        let error = names(&[3]).unwrap_err();
        assert_eq!(error.to_string(), "there is no cuda:3, expected one of cuda:0 (A), cuda:1 (A), cuda:2 (B)");
        assert!(names(&[0, 2]).unwrap_err().to_string().contains("not of one model"));
    }

    #[test]
    fn workers_take_devices_in_turns() {
        let devices = Devices::of(vec![device(0, "NVIDIA A10"), device(1, "NVIDIA A10")], 4);
        let numbers: Vec<_> = (0..4).map(|_| devices.next().facts.index).collect();
        assert_eq!(numbers, [0, 1, 0, 1]);
        assert_eq!(devices.to_string(), "cuda:0,1 (NVIDIA A10, sm_86, driver for CUDA 13.0)");
    }
}
