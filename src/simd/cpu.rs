//! Which instructions the CPU has, as far as kernels are written for them.

/// What kernels may use, each level including those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Plain code.
    Scalar,
    /// AVX2 with FMA.
    Avx2,
    /// AVX-512 F, BW, DQ and VL.
    Avx512,
}

impl Level {
    /// The best that this CPU has; `VPROC_CPU` may lower it.
    pub fn detect() -> Level {
        let asked = match std::env::var("VPROC_CPU").as_deref() {
            Ok("scalar") => Level::Scalar,
            Ok("avx2") => Level::Avx2,
            _ => Level::Avx512,
        };
        asked.min(Level::of_cpu())
    }

    #[cfg(target_arch = "x86_64")]
    fn of_cpu() -> Level {
        use std::arch::is_x86_feature_detected as has;
        let avx2 = has!("avx2") && has!("fma");
        let avx512 = avx2 && has!("avx512f") && has!("avx512bw") && has!("avx512dq") && has!("avx512vl");
        match (avx2, avx512) {
            (_, true) => Level::Avx512,
            (true, _) => Level::Avx2,
            _ => Level::Scalar,
        }
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn of_cpu() -> Level {
        Level::Scalar
    }
}
