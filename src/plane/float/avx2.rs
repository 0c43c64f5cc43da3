//! 16 words a vector, two to a strip: AVX2.
#![allow(unsafe_code)]

use super::Block;
use super::full::{self, Words};
use crate::backend::Backend;
use std::arch::x86_64::*;

/// The words of bytes 0 to 7 and 16 to 23 of a strip, and those of the others: as unpacking has them.
#[derive(Clone, Copy)]
struct Pair(__m256i, __m256i);

// SAFETY: each method is the intrinsics that do what the trait says.
unsafe impl Words for Pair {
    #[inline(always)]
    unsafe fn widen(bytes: __m256i) -> Self {
        // SAFETY: the caller's.
        unsafe {
            let zero = _mm256_setzero_si256();
            Self(_mm256_unpacklo_epi8(bytes, zero), _mm256_unpackhi_epi8(bytes, zero))
        }
    }

    #[inline(always)]
    unsafe fn splat(word: u16) -> Self {
        // SAFETY: the caller's.
        unsafe { Self(_mm256_set1_epi16(word as i16), _mm256_set1_epi16(word as i16)) }
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: the caller's.
        unsafe { Self(_mm256_add_epi16(self.0, other.0), _mm256_add_epi16(self.1, other.1)) }
    }

    #[inline(always)]
    unsafe fn or(self, other: Self) -> Self {
        // SAFETY: the caller's.
        unsafe { Self(_mm256_or_si256(self.0, other.0), _mm256_or_si256(self.1, other.1)) }
    }

    #[inline(always)]
    unsafe fn shl(self, count: u32) -> Self {
        // SAFETY: the caller's.
        unsafe {
            let count = _mm_cvtsi32_si128(count as i32);
            Self(_mm256_sll_epi16(self.0, count), _mm256_sll_epi16(self.1, count))
        }
    }

    #[inline(always)]
    unsafe fn pick(mask: Self, set: Self, clear: Self) -> Self {
        // SAFETY: the caller's.
        unsafe {
            let one = |m, s, c| _mm256_or_si256(_mm256_and_si256(m, s), _mm256_andnot_si256(m, c));
            Self(one(mask.0, set.0, clear.0), one(mask.1, set.1, clear.1))
        }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut u8) {
        // SAFETY: the caller's.
        unsafe {
            let first = _mm256_permute2x128_si256::<0x20>(self.0, self.1);
            let second = _mm256_permute2x128_si256::<0x31>(self.0, self.1);
            _mm256_storeu_si256(to.cast(), first);
            _mm256_storeu_si256(to.add(32).cast(), second);
        }
    }
}

/// Joins the full groups of a block, escapes as if they were none; the rest of `out` stays.
///
/// # Panics
/// If the CPU lacks AVX2, or a length does not fit the others.
pub(super) fn join(block: &Block, out: &mut [u8]) {
    #[target_feature(enable = "avx2")]
    fn compiled(block: &Block, out: &mut [u8]) {
        // SAFETY: the instructions are those enabled here.
        unsafe { full::join::<Pair>(block, out) }
    }
    assert!(Backend::Avx2.is_available());
    // SAFETY: the assertion shows that the CPU has the instructions.
    unsafe { compiled(block, out) }
}
