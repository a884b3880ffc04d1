//! Which instructions the CPU has, as far as kernels are written for them.
//!
//! [`Level::detect`] finds the best level once; the variable `VPROC_CPU` may lower it, never raise it. Kernels of all
//! levels give the same bits, so the level decides how fast a result comes and nothing else. [`Avx2`] and [`Avx512`]
//! prove that the CPU can: nobody holds one where it cannot, which is what makes calling a kernel sound. So do [`Vnni`]
//! and [`Avx512Bf16`], which some CPUs of the last level have.

use std::ffi::OsStr;
use std::fmt;
use std::str::FromStr;
use std::sync::OnceLock;

use crate::error::{Error, Kind, Result};

/// The variable that may lower the level.
const VARIABLE: &str = "VPROC_CPU";

/// What kernels may use, each level including those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// What every processor of the target has.
    Scalar,
    /// AVX2, FMA, F16C and BMI2.
    Avx2,
    /// AVX-512 F, BW, VL and DQ.
    Avx512,
}

impl Level {
    /// All levels, lowest first.
    pub const ALL: [Level; 3] = [Level::Scalar, Level::Avx2, Level::Avx512];

    /// The best level of this CPU that `VPROC_CPU` allows, found once. A wrong value counts as none; the command
    /// refuses it beforehand by [`Level::check_environment`].
    pub fn detect() -> Level {
        static FOUND: OnceLock<Level> = OnceLock::new();
        *FOUND.get_or_init(|| {
            let cpu = Level::of_cpu();
            let asked = asked(std::env::var_os(VARIABLE).as_deref()).ok().flatten();
            let level = asked.map_or(cpu, |asked| asked.min(cpu));
            match asked {
                Some(asked) => {
                    tracing::debug!("kernels: chose {level}, the CPU has {cpu}, {VARIABLE} asks for {asked}")
                }
                None => tracing::debug!("kernels: chose {level}, the best that the CPU has"),
            }
            level
        })
    }

    /// Refuses a value of `VPROC_CPU` that is no level.
    pub fn check_environment() -> Result<()> {
        asked(std::env::var_os(VARIABLE).as_deref()).map(drop)
    }

    /// The best level of this CPU, whatever the environment says.
    fn of_cpu() -> Level {
        match (Avx512::new(), Avx2::new()) {
            (Some(_), _) => Level::Avx512,
            (None, Some(_)) => Level::Avx2,
            (None, None) => Level::Scalar,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Level::Scalar => "scalar",
            Level::Avx2 => "avx2",
            Level::Avx512 => "avx512",
        }
    }
}

/// The level that the value of `VPROC_CPU` asks for; an empty value asks for nothing.
fn asked(value: Option<&OsStr>) -> Result<Option<Level>> {
    match value {
        None => Ok(None),
        Some(value) if value.is_empty() => Ok(None),
        Some(value) => value.to_string_lossy().parse().map(Some).map_err(|error: Error| error.context(VARIABLE)),
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Level {
    type Err = Error;

    fn from_str(text: &str) -> Result<Level> {
        Level::ALL.into_iter().find(|level| level.name() == text).ok_or_else(|| {
            let message = format!("got '{}', expected scalar, avx2 or avx512", text.escape_debug());
            Error::new(Kind::Usage, message)
        })
    }
}

/// Proof that the CPU has what [`Level::Avx2`] stands for.
#[derive(Clone, Copy, Debug)]
pub struct Avx2(());

/// Proof that the CPU has what [`Level::Avx512`] stands for.
#[derive(Clone, Copy, Debug)]
pub struct Avx512(());

/// Proof that the CPU has what [`Level::Avx512`] stands for, and the products of bytes of AVX-512 VNNI.
#[derive(Clone, Copy, Debug)]
pub struct Vnni(());

/// Proof that the CPU has what [`Level::Avx512`] stands for, and the products of pairs of AVX512-BF16.
#[derive(Clone, Copy, Debug)]
pub struct Avx512Bf16(());

#[cfg(target_arch = "x86_64")]
impl Avx2 {
    /// The proof, if it holds.
    pub fn new() -> Option<Self> {
        use std::arch::is_x86_feature_detected as has;
        (has!("avx2") && has!("fma") && has!("f16c") && has!("bmi2")).then_some(Avx2(()))
    }
}

#[cfg(target_arch = "x86_64")]
impl Avx512 {
    /// The proof, if it holds.
    pub fn new() -> Option<Self> {
        use std::arch::is_x86_feature_detected as has;
        let has = has!("avx512f") && has!("avx512bw") && has!("avx512vl") && has!("avx512dq");
        Avx2::new().filter(|_| has).map(|_| Avx512(()))
    }
}

#[cfg(target_arch = "x86_64")]
impl Vnni {
    /// The proof, if it holds.
    pub fn new() -> Option<Self> {
        Avx512::new().filter(|_| std::arch::is_x86_feature_detected!("avx512vnni")).map(|_| Vnni(()))
    }
}

#[cfg(target_arch = "x86_64")]
impl Avx512Bf16 {
    /// The proof, if it holds.
    pub fn new() -> Option<Self> {
        Avx512::new().filter(|_| std::arch::is_x86_feature_detected!("avx512bf16")).map(|_| Avx512Bf16(()))
    }
}

#[cfg(not(target_arch = "x86_64"))]
impl Avx2 {
    /// No processor of this target has it.
    pub fn new() -> Option<Self> {
        None
    }
}

#[cfg(not(target_arch = "x86_64"))]
impl Avx512 {
    /// No processor of this target has it.
    pub fn new() -> Option<Self> {
        None
    }
}

#[cfg(not(target_arch = "x86_64"))]
impl Vnni {
    /// No processor of this target has it.
    pub fn new() -> Option<Self> {
        None
    }
}

#[cfg(not(target_arch = "x86_64"))]
impl Avx512Bf16 {
    /// No processor of this target has it.
    pub fn new() -> Option<Self> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_asked_for_by_name_and_nonsense_refused() {
        assert_eq!(asked(None).unwrap(), None);
        assert_eq!(asked(Some(OsStr::new(""))).unwrap(), None);
        for level in Level::ALL {
            assert_eq!(asked(Some(OsStr::new(level.name()))).unwrap(), Some(level));
        }
        let error = asked(Some(OsStr::new("sse\n"))).unwrap_err();
        assert_eq!(error.to_string(), r"VPROC_CPU: got 'sse\n', expected scalar, avx2 or avx512");
        assert_eq!(error.exit_status(), 2);
    }

    #[test]
    fn levels_are_ordered_and_never_above_the_cpu() {
        assert!(Level::ALL.is_sorted());
        assert!(Level::detect() <= Level::of_cpu());
    }
}
