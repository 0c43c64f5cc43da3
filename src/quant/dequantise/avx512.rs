//! 32 weights a turn: AVX-512 with conversion to BF16.
#![allow(unsafe_code)]

use crate::backend::Backend;
use std::arch::x86_64::*;

/// Weights of a turn.
const LANES: usize = 32;

pub(super) fn is_available() -> bool {
    Backend::Avx512.is_available() && is_x86_feature_detected!("avx512bf16")
}

/// Writes the BF16 weights of a part of a row as far as whole turns go; gives their number. The factors are those of
/// the row and of the symbols' columns, and make no number that is not normal.
///
/// # Panics
/// If the CPU lacks the instructions, or lengths differ.
pub(super) fn row(factor: f32, columns: &[u16], symbols: &[u8], out: &mut [[u8; 2]]) -> usize {
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16,avx2")]
    fn compiled(factor: f32, columns: &[u16], symbols: &[u8], out: &mut [[u8; 2]]) {
        let (factor, ones) = (_mm512_set1_ps(factor), _mm256_set1_epi8(1));
        let (columns, symbols) = (columns.as_chunks::<LANES>().0, symbols.as_chunks::<LANES>().0);
        for ((to, columns), symbols) in out.as_chunks_mut::<LANES>().0.iter_mut().zip(columns).zip(symbols) {
            // SAFETY: each array has the 64 or 32 bytes that are loaded from it or stored to it.
            unsafe {
                let symbols = _mm256_loadu_si256(symbols.as_ptr().cast());
                let negative = _mm256_test_epi8_mask(symbols, ones);
                let magnitudes = _mm256_and_si256(_mm256_srli_epi16::<1>(symbols), _mm256_set1_epi8(0x7f));
                let levels = _mm256_mask_sub_epi8(magnitudes, negative, _mm256_setzero_si256(), magnitudes);
                let levels = [_mm256_castsi256_si128(levels), _mm256_extracti128_si256::<1>(levels)];
                let half = |i: usize| {
                    let levels = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(levels[i]));
                    let columns = _mm512_cvtepu16_epi32(_mm256_loadu_si256(columns.as_ptr().add(16 * i).cast()));
                    let columns = _mm512_castsi512_ps(_mm512_slli_epi32::<16>(columns));
                    _mm512_mul_ps(levels, _mm512_mul_ps(factor, columns))
                };
                let weights = _mm512_cvtne2ps_pbh(half(1), half(0));
                to.as_mut_ptr().cast::<__m512bh>().write_unaligned(weights);
            }
        }
    }
    assert!(is_available() && columns.len() == symbols.len() && symbols.len() == out.len());
    // SAFETY: the assertion shows that the CPU has the instructions.
    unsafe { compiled(factor, columns, symbols, out) }
    symbols.len() / LANES * LANES
}
