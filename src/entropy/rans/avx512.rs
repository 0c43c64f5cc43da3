//! 16 lanes a vector: AVX-512 F, BW, VL.
#![allow(unsafe_code)]

use super::vector::{Lanes, LookUp, Parameters, entry_point};
use crate::backend::Backend;
use std::arch::x86_64::*;

struct Avx512;

// SAFETY: each method is the intrinsics that do what the trait says.
unsafe impl Lanes for Avx512 {
    type V = __m512i;
    const WIDTH: usize = 16;

    #[inline(always)]
    unsafe fn load(from: *const u32) -> __m512i {
        // SAFETY: the caller's.
        unsafe { _mm512_loadu_si512(from.cast()) }
    }

    #[inline(always)]
    unsafe fn store(v: __m512i, to: *mut u32) {
        // SAFETY: the caller's.
        unsafe { _mm512_storeu_si512(to.cast(), v) }
    }

    #[inline(always)]
    unsafe fn load_contexts(from: *const u8) -> __m512i {
        // SAFETY: the caller's.
        unsafe { _mm512_cvtepu8_epi32(_mm_loadu_si128(from.cast())) }
    }

    #[inline(always)]
    unsafe fn look_up(entries: *const u32, state: __m512i, context: Option<__m512i>, p: Parameters) -> __m512i {
        // SAFETY: the caller's; indices are masked to the table.
        unsafe {
            let slot_mask = (1i32 << p.bits) - 1;
            let index = match context {
                None => _mm512_and_si512(state, _mm512_set1_epi32(slot_mask)),
                Some(c) => {
                    let base = _mm512_sll_epi32(c, _mm_cvtsi32_si128(p.bits as i32));
                    let base_mask = _mm512_set1_epi32((p.context_mask << p.bits) as i32);
                    // (state & slot_mask) | (base & base_mask): pick by bit, then mask to the table.
                    let slot = _mm512_set1_epi32(slot_mask);
                    let mixed = _mm512_ternarylogic_epi32::<0xca>(slot, state, base);
                    _mm512_and_si512(mixed, _mm512_or_si512(slot, base_mask))
                }
            };
            _mm512_i32gather_epi32::<4>(index, entries.cast())
        }
    }

    #[inline(always)]
    unsafe fn advance(state: __m512i, entry: __m512i, bits: u32) -> __m512i {
        // SAFETY: the caller's.
        unsafe {
            let quotient = _mm512_srl_epi32(state, _mm_cvtsi32_si128(bits as i32));
            let offset = _mm512_and_si512(_mm512_srli_epi32::<8>(entry), _mm512_set1_epi32(0xfff));
            _mm512_add_epi32(_mm512_mullo_epi32(quotient, _mm512_srli_epi32::<20>(entry)), offset)
        }
    }

    #[inline(always)]
    unsafe fn advance_signed(state: __m512i, entry: __m512i, bits: u32) -> (__m512i, __m512i) {
        // SAFETY: the caller's.
        unsafe {
            let quotient = _mm512_srl_epi32(state, _mm_cvtsi32_si128(bits as i32));
            let offset = _mm512_and_si512(_mm512_srli_epi32::<10>(entry), _mm512_set1_epi32(0x7ff));
            let state = _mm512_add_epi32(_mm512_mullo_epi32(quotient, _mm512_srli_epi32::<21>(entry)), offset);
            let raw = _mm512_and_si512(entry, _mm512_set1_epi32(7));
            let low = _mm512_andnot_si512(_mm512_sllv_epi32(_mm512_set1_epi32(-1), raw), state);
            let least = _mm512_and_si512(_mm512_srli_epi32::<2>(entry), _mm512_set1_epi32(0xfe));
            (_mm512_srlv_epi32(state, raw), _mm512_or_si512(least, low))
        }
    }

    #[inline(always)]
    unsafe fn store_symbols<const G: usize>(entries: [__m512i; G], to: *mut u8) {
        for (g, entry) in entries.into_iter().enumerate() {
            // SAFETY: the caller's.
            unsafe { _mm_storeu_si128(to.add(g * 16).cast(), _mm512_cvtepi32_epi8(entry)) }
        }
    }

    #[inline(always)]
    unsafe fn refill(state: __m512i, from: *const u8) -> (__m512i, usize) {
        // SAFETY: the caller's: 32 bytes may be read.
        unsafe {
            let empty = _mm512_cmplt_epu32_mask(state, _mm512_set1_epi32(1 << 16));
            let words = _mm512_cvtepu16_epi32(_mm256_loadu_si256(from.cast()));
            let spread = _mm512_maskz_expand_epi32(empty, words);
            let state = _mm512_mask_slli_epi32::<16>(state, empty, state);
            (_mm512_or_si512(state, spread), 2 * empty.count_ones() as usize)
        }
    }
}

type Step<const CONTEXTS: bool, const SIGNED: bool> = LookUp<Avx512, 2, CONTEXTS, SIGNED>;
entry_point!(
    Step,
    Backend::Avx512.is_available(),
    [1, 2, 3, 4],
    "avx512f",
    "avx512bw",
    "avx512vl",
    "popcnt"
);
