//! Joining full groups of 16-bit floats with vectors, written once over a handful of operations.
//!
//! What the compiler makes of the portable loop spills between its passes; here a strip of 32
//! elements stays in registers from the planes to the result.
#![allow(unsafe_code)]

use super::{BF16, Block, F16, FloatSplit};
use crate::plane::raw;
use std::arch::x86_64::*;

/// Elements of a strip, which lie in as many consecutive bytes of every plane.
pub(super) const STRIP: usize = 32;

/// What an instruction set brings: 32 words of 16 bits, made of a strip's bytes.
///
/// # Safety
/// An implementation's methods must do what their docs say and touch no other memory.
pub(super) unsafe trait Words: Copy {
    /// The bytes, each widened.
    unsafe fn widen(bytes: __m256i) -> Self;
    unsafe fn splat(word: u16) -> Self;
    unsafe fn add(self, other: Self) -> Self;
    unsafe fn or(self, other: Self) -> Self;
    unsafe fn shl(self, count: u32) -> Self;
    /// The bits of `set` where `mask` is 1, of `clear` where it is 0.
    unsafe fn pick(mask: Self, set: Self, clear: Self) -> Self;
    /// Writes the words in order, `2 * STRIP` bytes.
    unsafe fn store(self, to: *mut u8);
}

/// Joins the full groups of a block, escapes as if they were none; the rest of `out` stays.
///
/// # Panics
/// If a length does not fit the others.
///
/// # Safety
/// The CPU must have AVX2 and the instructions of `W`.
#[inline(always)]
pub(super) unsafe fn join<W: Words>(block: &Block, out: &mut [u8]) {
    let s = block.split;
    assert!(s.zeros == 0);
    // SAFETY: the caller's.
    unsafe {
        // The usual splits again as constants, so that loops unroll.
        match (s.layout, s.token_mantissa, s.fraction_bits) {
            (BF16, 2, 2) => groups::<W>(s.with(BF16, 2, 2), block, out),
            (BF16, 2, 0) => groups::<W>(s.with(BF16, 2, 0), block, out),
            (F16, 2, 2) => groups::<W>(s.with(F16, 2, 2), block, out),
            _ => groups::<W>(s, block, out),
        }
    }
}

/// # Safety
/// As [`join`]; `split` is the block's.
#[inline(always)]
unsafe fn groups<W: Words>(split: FloatSplit, block: &Block, out: &mut [u8]) {
    let bits = split.raw_bits();
    let symbols = block.symbols.as_chunks().0;
    let steps = block.steps.as_chunks().0;
    let out = out.as_chunks_mut().0;
    assert!(bits <= 16 && out.len() == symbols.len() && (block.steps.is_empty() || steps.len() == symbols.len()));
    for (p, plane) in raw::pieces(bits).zip(0..) {
        assert!(block.planes[plane].len() >= symbols.len() * raw::plane_len(raw::GROUP, p));
    }
    for (g, (symbols, out)) in symbols.iter().zip(out).enumerate() {
        let mut planes = [std::ptr::null(); 4];
        for (p, plane) in raw::pieces(bits).zip(0..) {
            // SAFETY: the group is among the full ones, whose bytes the plane has.
            planes[plane] = unsafe { block.planes[plane].as_ptr().add(g * raw::plane_len(raw::GROUP, p)) };
        }
        // SAFETY: the caller's, and there is a pointer to a whole group for each piece.
        unsafe { group::<W>(split, &planes, symbols, steps.get(g), out) };
    }
}

/// Joins one group.
///
/// # Safety
/// As [`join`]; for each piece `planes` points to its bytes of the group.
#[inline(always)]
unsafe fn group<W: Words>(
    split: FloatSplit,
    planes: &[*const u8; 4],
    symbols: &[u8; raw::GROUP],
    steps: Option<&[u8; raw::GROUP]>,
    out: &mut [u8; 2 * raw::GROUP],
) {
    let (bits, low) = (split.raw_bits(), split.low_bits());
    let (eights, rest) = ((bits / 8) as usize, bits % 8);
    // SAFETY: the caller's. Of a piece of `p` bits, strip `i` is in the bytes from `i % p * STRIP` on, at bit
    // `i / p * p`, so within the `p * STRIP` bytes of the group.
    unsafe {
        let (base, sign_mask) = (W::splat(split.base), W::splat(1 << 15));
        let low_mask = W::splat(((1u32 << low) - 1) as u16);
        let octave_mask = _mm256_set1_epi8((255u32 << split.fraction_bits) as i8);
        for i in 0..raw::GROUP / STRIP {
            let load = |from: *const u8, strip: usize| _mm256_loadu_si256(from.add(strip * STRIP).cast());
            // The pieces of 4, 2 and 1 bits are 7 bits at most: bytes hold them.
            let mut small = _mm256_setzero_si256();
            let mut plane = eights;
            for p in [4, 2, 1] {
                if rest & p != 0 {
                    let piece = shr(load(planes[plane], i % p as usize), i as u32 / p * p);
                    let piece = _mm256_and_si256(piece, _mm256_set1_epi8((1 << p) - 1));
                    small = _mm256_or_si256(_mm256_sll_epi16(small, _mm_cvtsi32_si128(p as i32)), piece);
                    plane += 1;
                }
            }
            let mut raw_bits = W::widen(small);
            if eights == 1 {
                raw_bits = raw_bits.or(W::widen(load(planes[0], i)).shl(rest));
            } else if eights == 2 {
                raw_bits = W::widen(load(planes[0], i)).shl(8).or(W::widen(load(planes[1], i)));
            }
            let mut token = base.add(W::widen(load(symbols.as_ptr(), i)));
            if let Some(steps) = steps {
                let octaves = _mm256_and_si256(load(steps.as_ptr(), i), octave_mask);
                let octaves = match split.token_mantissa.checked_sub(split.fraction_bits) {
                    Some(left) => W::widen(octaves).shl(left),
                    None => W::widen(shr(octaves, split.fraction_bits - split.token_mantissa)),
                };
                token = token.add(octaves);
            }
            // From the top: sign, token, low bits.
            let value = W::pick(sign_mask, raw_bits.shl(15 - low), token.shl(low));
            W::pick(low_mask, raw_bits, value).store(out.as_mut_ptr().add(2 * STRIP * i));
        }
    }
}

/// Shifts pairs of bytes as words: into a byte's high bits come those of the byte above.
///
/// # Safety
/// The CPU must have AVX2.
#[inline(always)]
unsafe fn shr(pairs: __m256i, count: u32) -> __m256i {
    // SAFETY: the caller's.
    unsafe { _mm256_srl_epi16(pairs, _mm_cvtsi32_si128(count as i32)) }
}
