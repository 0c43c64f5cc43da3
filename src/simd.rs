//! Plain Rust, compiled once more for each set of vector instructions.
#![allow(unsafe_code)]

use crate::backend::Backend;

/// Something to be done with vector instructions.
pub(crate) trait Work {
    type Output;

    /// Does it. Must be `#[inline(always)]`, and so must what it calls: what is not inlined is
    /// compiled for the baseline, which is right but slower. (A closure in place of this trait is
    /// inlined or not as the compiler likes.)
    fn run(self) -> Self::Output;
}

/// Does `work`, compiled for the backend's instructions.
pub(crate) fn vectorised<W: Work>(backend: Backend, work: W) -> W::Output {
    match backend {
        #[cfg(target_arch = "x86_64")]
        Backend::Avx512 => {
            #[target_feature(enable = "avx2,avx512f,avx512bw,avx512vl,bmi2,popcnt")]
            fn compiled<W: Work>(work: W) -> W::Output {
                work.run()
            }
            assert!(Backend::Avx512.is_available());
            // SAFETY: the assertion shows that the CPU has the instructions.
            unsafe { compiled(work) }
        }
        #[cfg(target_arch = "x86_64")]
        Backend::Avx2 => {
            #[target_feature(enable = "avx2,bmi2,popcnt")]
            fn compiled<W: Work>(work: W) -> W::Output {
                work.run()
            }
            assert!(Backend::Avx2.is_available());
            // SAFETY: the assertion shows that the CPU has the instructions.
            unsafe { compiled(work) }
        }
        // Scalar stays what it says; NEON is in the baseline of its architecture.
        _ => work.run(),
    }
}

/// Bytes of a cache line.
pub(crate) const LINE: usize = 64;

/// Asks for the cache line of an address, which may be any, into the second-level cache.
#[inline(always)]
pub(crate) fn prefetch(at: *const u8) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        // SAFETY: SSE is in the baseline; a prefetch reads nothing that the program sees, and does not fault.
        unsafe { _mm_prefetch::<_MM_HINT_T1>(at.cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}
