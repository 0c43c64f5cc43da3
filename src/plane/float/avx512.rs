//! Joining full groups of 16-bit floats with AVX-512 BW: 32 elements a vector.
//!
//! What the compiler makes of the portable loop spills between its passes; here a strip of 32
//! elements stays in registers from the planes to the result.
#![allow(unsafe_code)]

use super::FloatSplit;
use crate::backend::Backend;
use crate::plane::raw;
use std::arch::x86_64::*;

/// Elements of a vector, which lie in as many consecutive bytes of every plane.
const STRIP: usize = 32;

/// Most pieces of 16 raw bits: 8, 4, 2, 1 or two of 8.
const MAX_PIECES: usize = 4;

/// Joins full group `g`: symbols, steps (or none) and raw planes to elements.
///
/// # Panics
/// If the CPU lacks AVX-512, or a plane, the symbols or the steps are too short.
pub(super) fn join_full(
    split: FloatSplit,
    values: &mut [u16; raw::GROUP],
    planes: &[&[u8]],
    g: usize,
    symbols: &[u8; raw::GROUP],
    steps: Option<&[u8; raw::GROUP]>,
) {
    assert!(Backend::Avx512.is_available());
    let bits = split.raw_bits();
    for (p, plane) in raw::pieces(bits).zip(planes) {
        assert!(plane.len() >= (g + 1) * raw::plane_len(raw::GROUP, p));
    }
    assert!(bits <= 16 && planes.len() == raw::pieces(bits).count());
    // SAFETY: the CPU has the instructions, and every plane has the group's bytes.
    unsafe { strips(split, values, planes, g, symbols, steps) }
}

/// # Safety
/// The CPU must have the instructions; `planes` must be one a piece, each with the whole group `g`.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx2")]
unsafe fn strips(
    split: FloatSplit,
    values: &mut [u16; raw::GROUP],
    planes: &[&[u8]],
    g: usize,
    symbols: &[u8; raw::GROUP],
    steps: Option<&[u8; raw::GROUP]>,
) {
    // SAFETY: strips are `STRIP` bytes within arrays of `GROUP`; of a plane of `p`-bit pieces, strip
    // `i` is in the group's `STRIP * p` bytes from `i % p * STRIP` on.
    let bytes = |from: *const u8| unsafe { _mm512_cvtepu8_epi16(_mm256_loadu_si256(from.cast())) };
    let count = |n: u32| _mm_cvtsi32_si128(n as i32);
    let low = split.low_bits();
    let base = _mm512_set1_epi16(split.base as i16);
    let token_mask = _mm512_set1_epi16((split.token_mask() << low) as i16);
    let low_mask = _mm512_set1_epi16(((1u32 << low) - 1) as i16);
    let sign_mask = _mm512_set1_epi16(i16::MIN);
    let mut pieces = [(1, std::ptr::null()); MAX_PIECES];
    let mut len = 0;
    for (p, plane) in raw::pieces(split.raw_bits()).zip(planes) {
        pieces[len] = (p as usize, plane[g * p as usize * STRIP..].as_ptr());
        len += 1;
    }
    for i in 0..raw::GROUP / STRIP {
        let mut raw_bits = _mm512_setzero_si512();
        for &(p, group) in &pieces[..len] {
            // SAFETY: see above; the plane has the group by the caller's promise.
            let piece = bytes(unsafe { group.add((i & (p - 1)) * STRIP) });
            let piece = _mm512_srl_epi16(piece, count((i & !(p - 1)) as u32));
            let piece = _mm512_and_si512(piece, _mm512_set1_epi16((1 << p) - 1));
            raw_bits = _mm512_or_si512(_mm512_sll_epi16(raw_bits, count(p as u32)), piece);
        }
        let mut token = _mm512_add_epi16(base, bytes(symbols[i * STRIP..].as_ptr()));
        if let Some(steps) = steps {
            let octaves = _mm512_srl_epi16(bytes(steps[i * STRIP..].as_ptr()), count(split.fraction_bits));
            token = _mm512_add_epi16(token, _mm512_sll_epi16(octaves, count(split.token_mantissa)));
        }
        let token = _mm512_and_si512(_mm512_sll_epi16(token, count(low)), token_mask);
        let sign = _mm512_and_si512(_mm512_sll_epi16(raw_bits, count(15 - low)), sign_mask);
        // low bits where the mask is set, else sign and token.
        let value = _mm512_ternarylogic_epi32::<0xca>(low_mask, raw_bits, _mm512_or_si512(sign, token));
        // SAFETY: the strip lies within the group.
        unsafe { _mm512_storeu_si512(values[i * STRIP..].as_mut_ptr().cast(), value) };
    }
}
