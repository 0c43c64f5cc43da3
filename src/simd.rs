//! Plain Rust, compiled once more for each set of vector instructions.
#![allow(unsafe_code)]

use crate::backend::Backend;

/// Runs `work`, and all that inlines into it, compiled for the backend's instructions.
///
/// `work` should call an `#[inline(always)]` function: what is not inlined is compiled for the
/// baseline, which is right but slower.
#[inline(always)]
pub(crate) fn vectorised<R>(backend: Backend, work: impl FnOnce() -> R) -> R {
    match backend {
        #[cfg(target_arch = "x86_64")]
        Backend::Avx512 => {
            #[target_feature(enable = "avx2,avx512f,avx512bw,avx512vl,bmi2,popcnt")]
            fn compiled<R>(work: impl FnOnce() -> R) -> R {
                work()
            }
            assert!(Backend::Avx512.is_available());
            // SAFETY: the assertion shows that the CPU has the instructions.
            unsafe { compiled(work) }
        }
        #[cfg(target_arch = "x86_64")]
        Backend::Avx2 => {
            #[target_feature(enable = "avx2,bmi2,popcnt")]
            fn compiled<R>(work: impl FnOnce() -> R) -> R {
                work()
            }
            assert!(Backend::Avx2.is_available());
            // SAFETY: the assertion shows that the CPU has the instructions.
            unsafe { compiled(work) }
        }
        // Scalar stays what it says; NEON is in the baseline of its architecture.
        _ => work(),
    }
}
