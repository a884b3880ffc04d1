//! How a kernel comes to be compiled for several levels, and how the right one is called.
//!
//! Most kernels are loops that the compiler vectorises as well as a person would, so their `avx2.rs` and `avx512.rs`
//! only name them: `compiled_for!` compiles the truth once more with a level's instructions. Where the compiler does
//! badly, those files hold intrinsics instead, under the same names. `at_level!` picks by the proof that [`Kernels`]
//! holds.
//!
//! [`Kernels`]: super::Kernels

/// For each function named, one of the same name that takes a proof first and calls `scalar`'s, compiled with the
/// instructions that the proof stands for. The truth must be `#[inline(always)]`, or it is called as it is.
macro_rules! compiled_for {
    ($proof:ident, $features:literal: $(
        fn $name:ident $([$($generics:tt)*])? ($($argument:ident: $type:ty),* $(,)?);
    )*) => {$(
        pub(super) fn $name $(<$($generics)*>)? (_: $crate::simd::cpu::$proof, $($argument: $type),*) {
            #[target_feature(enable = $features)]
            fn compiled $(<$($generics)*>)? ($($argument: $type),*) {
                super::scalar::$name($($argument),*);
            }
            // SAFETY: the proof exists only where the CPU has these instructions.
            unsafe { compiled($($argument),*) }
        }
    )*};
}

/// [`compiled_for!`] with what `Avx2` proves.
macro_rules! compiled_for_avx2 {
    ($($functions:tt)*) => { compiled_for!(Avx2, "avx2,fma,f16c,bmi2": $($functions)*); };
}

/// [`compiled_for!`] with what `Avx512` proves.
macro_rules! compiled_for_avx512 {
    ($($functions:tt)*) => {
        compiled_for!(Avx512, "avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,f16c,bmi2": $($functions)*);
    };
}

/// Calls a family's function of the level of `kernels`; all modules have one of that name.
macro_rules! at_level {
    ($kernels:expr, $name:ident($($argument:expr),* $(,)?)) => {
        match $kernels.0 {
            $crate::simd::Tier::Scalar => scalar::$name($($argument),*),
            #[cfg(target_arch = "x86_64")]
            $crate::simd::Tier::Avx2(proof) => avx2::$name(proof, $($argument),*),
            #[cfg(target_arch = "x86_64")]
            $crate::simd::Tier::Avx512(proof) => avx512::$name(proof, $($argument),*),
        }
    };
}
