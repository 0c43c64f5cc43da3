//! 32 words a vector: AVX-512 BW.
#![allow(unsafe_code)]

use super::Block;
use super::full::{self, Words};
use crate::backend::Backend;
use std::arch::x86_64::*;

// SAFETY: each method is the intrinsics that do what the trait says.
unsafe impl Words for __m512i {
    #[inline(always)]
    unsafe fn widen(bytes: __m256i) -> Self {
        // SAFETY: the caller's.
        unsafe { _mm512_cvtepu8_epi16(bytes) }
    }

    #[inline(always)]
    unsafe fn splat(word: u16) -> Self {
        // SAFETY: the caller's.
        unsafe { _mm512_set1_epi16(word as i16) }
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: the caller's.
        unsafe { _mm512_add_epi16(self, other) }
    }

    #[inline(always)]
    unsafe fn or(self, other: Self) -> Self {
        // SAFETY: the caller's.
        unsafe { _mm512_or_si512(self, other) }
    }

    #[inline(always)]
    unsafe fn shl(self, count: u32) -> Self {
        // SAFETY: the caller's.
        unsafe { _mm512_sll_epi16(self, _mm_cvtsi32_si128(count as i32)) }
    }

    #[inline(always)]
    unsafe fn pick(mask: Self, set: Self, clear: Self) -> Self {
        // SAFETY: the caller's.
        unsafe { _mm512_ternarylogic_epi32::<0xca>(mask, set, clear) }
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut u8) {
        // SAFETY: the caller's.
        unsafe { _mm512_storeu_si512(to.cast(), self) }
    }
}

/// Joins the full groups of a block, escapes as if they were none; the rest of `out` stays.
///
/// # Panics
/// If the CPU lacks AVX-512, or a length does not fit the others.
pub(super) fn join(block: &Block, out: &mut [u8]) {
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx2")]
    fn compiled(block: &Block, out: &mut [u8]) {
        // SAFETY: the instructions are those enabled here.
        unsafe { full::join::<__m512i>(block, out) }
    }
    assert!(Backend::Avx512.is_available());
    // SAFETY: the assertion shows that the CPU has the instructions.
    unsafe { compiled(block, out) }
}
