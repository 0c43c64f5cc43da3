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

/// Bytes of a full group of joined elements.
pub(super) const GROUP_BYTES: usize = 2 * raw::GROUP;

/// Joins full group `g`: symbols, steps (or none) and raw planes to little-endian elements.
///
/// # Panics
/// If the CPU lacks AVX-512, or a plane is too short.
pub(super) fn join_full(
    split: FloatSplit,
    out: &mut [u8; GROUP_BYTES],
    planes: &[&[u8]],
    g: usize,
    symbols: &[u8; raw::GROUP],
    steps: Option<&[u8; raw::GROUP]>,
) {
    assert!(Backend::Avx512.is_available());
    let bits = split.raw_bits();
    assert!(bits <= 16);
    let mut groups = [std::ptr::null(); 4];
    let mut plane = 0;
    for (there, p) in [
        (bits >= 8, 8),
        (bits >= 16, 8),
        (bits & 4 != 0, 4),
        (bits & 2 != 0, 2),
        (bits & 1 != 0, 1),
    ] {
        if there {
            let len = raw::plane_len(raw::GROUP, p);
            groups[plane] = planes[plane][g * len..(g + 1) * len].as_ptr();
            plane += 1;
        }
    }
    // SAFETY: the CPU has the instructions, and there is a pointer to a whole group for each piece.
    unsafe {
        match bits {
            // The usual splits of BF16 and F16, so that their loops unroll.
            6 => strips::<6>(split, out, &groups, symbols, steps),
            9 => strips::<9>(split, out, &groups, symbols, steps),
            _ => strips::<0>(split, out, &groups, symbols, steps),
        }
    }
}

/// `BITS` are the raw bits, or 0 to take them from `split`.
///
/// # Safety
/// The CPU must have the instructions; `groups` must point to the group in the plane of each piece.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx2")]
unsafe fn strips<const BITS: u32>(
    split: FloatSplit,
    out: &mut [u8; GROUP_BYTES],
    groups: &[*const u8; 4],
    symbols: &[u8; raw::GROUP],
    steps: Option<&[u8; raw::GROUP]>,
) {
    let bits = if BITS == 0 { split.raw_bits() } else { BITS };
    let bytes = |from: *const u8| {
        // SAFETY: the callers below pass pointers to `STRIP` bytes within a group.
        unsafe { _mm512_cvtepu8_epi16(_mm256_loadu_si256(from.cast())) }
    };
    let count = |n: u32| _mm_cvtsi32_si128(n as i32);
    let low = split.low_bits();
    let base = _mm512_set1_epi16(split.base as i16);
    let token_mask = _mm512_set1_epi16((split.token_mask() << low) as i16);
    let low_mask = _mm512_set1_epi16(((1u32 << low) - 1) as i16);
    let sign_mask = _mm512_set1_epi16(i16::MIN);
    let (low_count, sign_count) = (count(low), count(15 - low));
    let (fraction, mantissa) = (count(split.fraction_bits), count(split.token_mantissa));
    let four = groups[(bits / 8) as usize % 4];
    let two = groups[(bits / 8 + (bits >> 2 & 1)) as usize % 4];
    let one = groups[(bits / 8 + (bits >> 2 & 1) + (bits >> 1 & 1)) as usize % 4];
    for i in 0..raw::GROUP / STRIP {
        // Of a piece of `p` bits, strip `i` is in bytes from `i % p * STRIP` on, at bit `i / p * p`.
        let mut raw_bits = _mm512_setzero_si512();
        // SAFETY: so all of these lie in the `p * STRIP` bytes of their group.
        unsafe {
            if bits >= 8 {
                raw_bits = bytes(groups[0].add(i * STRIP));
            }
            if bits >= 16 {
                raw_bits = _mm512_or_si512(_mm512_slli_epi16::<8>(raw_bits), bytes(groups[1].add(i * STRIP)));
            }
            if bits & 4 != 0 {
                let piece = _mm512_srl_epi16(bytes(four.add((i & 3) * STRIP)), count(i as u32 & 4));
                let piece = _mm512_and_si512(piece, _mm512_set1_epi16(15));
                raw_bits = _mm512_or_si512(_mm512_slli_epi16::<4>(raw_bits), piece);
            }
            if bits & 2 != 0 {
                let piece = _mm512_srl_epi16(bytes(two.add((i & 1) * STRIP)), count(i as u32 & 6));
                let piece = _mm512_and_si512(piece, _mm512_set1_epi16(3));
                raw_bits = _mm512_or_si512(_mm512_slli_epi16::<2>(raw_bits), piece);
            }
            if bits & 1 != 0 {
                let piece = _mm512_srl_epi16(bytes(one), count(i as u32));
                let piece = _mm512_and_si512(piece, _mm512_set1_epi16(1));
                raw_bits = _mm512_or_si512(_mm512_slli_epi16::<1>(raw_bits), piece);
            }
        }
        let mut token = _mm512_add_epi16(base, bytes(symbols[i * STRIP..].as_ptr()));
        if let Some(steps) = steps {
            let octaves = _mm512_srl_epi16(bytes(steps[i * STRIP..].as_ptr()), fraction);
            token = _mm512_add_epi16(token, _mm512_sll_epi16(octaves, mantissa));
        }
        let token = _mm512_and_si512(_mm512_sll_epi16(token, low_count), token_mask);
        let sign = _mm512_and_si512(_mm512_sll_epi16(raw_bits, sign_count), sign_mask);
        // Low bits where the mask is set, else sign and token.
        let value = _mm512_ternarylogic_epi32::<0xca>(low_mask, raw_bits, _mm512_or_si512(sign, token));
        // SAFETY: the strip's 64 bytes lie within the group's.
        unsafe { _mm512_storeu_si512(out[2 * i * STRIP..].as_mut_ptr().cast(), value) };
    }
}
