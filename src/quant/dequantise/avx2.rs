//! 32 weights a turn: AVX2.
#![allow(unsafe_code)]

use crate::backend::Backend;
use std::arch::x86_64::*;

/// Weights of a turn.
const LANES: usize = 32;

/// Writes the BF16 weights of a part of a row as far as whole turns go; gives their number. The factors are those of
/// the row and of the symbols' columns, and make no number that is not normal.
///
/// # Panics
/// If the CPU lacks the instructions, or lengths differ.
pub(super) fn row(factor: f32, columns: &[u16], symbols: &[u8], out: &mut [[u8; 2]]) -> usize {
    #[target_feature(enable = "avx2")]
    fn compiled(factor: f32, columns: &[u16], symbols: &[u8], out: &mut [[u8; 2]]) {
        let factor = _mm256_set1_ps(factor);
        let (columns, symbols) = (columns.as_chunks::<LANES>().0, symbols.as_chunks::<LANES>().0);
        for ((to, columns), symbols) in out.as_chunks_mut::<LANES>().0.iter_mut().zip(columns).zip(symbols) {
            // SAFETY: each array has the 64 or 32 bytes that are loaded from it or stored to it.
            unsafe {
                let symbols = _mm256_loadu_si256(symbols.as_ptr().cast());
                let magnitudes = _mm256_and_si256(_mm256_srli_epi16::<1>(symbols), _mm256_set1_epi8(0x7f));
                // A symbol's lowest bit as its highest, over a number that is not 0.
                let signs = _mm256_or_si256(_mm256_slli_epi16::<7>(symbols), _mm256_set1_epi8(1));
                let levels = _mm256_sign_epi8(magnitudes, signs);
                let levels = [_mm256_castsi256_si128(levels), _mm256_extracti128_si256::<1>(levels)];
                for (i, levels) in levels.into_iter().enumerate() {
                    let columns = _mm256_loadu_si256(columns.as_ptr().add(16 * i).cast());
                    // Lanes of even and of odd columns: words of both, in the low and the high half.
                    let both = _mm256_cvtepi8_epi16(levels);
                    let even = weights(
                        _mm256_srai_epi32::<16>(_mm256_slli_epi32::<16>(both)),
                        factor,
                        _mm256_slli_epi32::<16>(columns),
                    );
                    let high = _mm256_set1_epi32(-1 << 16);
                    let odd = weights(_mm256_srai_epi32::<16>(both), factor, _mm256_and_si256(columns, high));
                    let both = _mm256_blend_epi16::<0xaa>(_mm256_srli_epi32::<16>(even), odd);
                    _mm256_storeu_si256(to.as_mut_ptr().add(16 * i).cast(), both);
                }
            }
        }
    }
    assert!(Backend::Avx2.is_available() && columns.len() == symbols.len() && symbols.len() == out.len());
    // SAFETY: the assertion shows that the CPU has the instructions.
    unsafe { compiled(factor, columns, symbols, out) }
    symbols.len() / LANES * LANES
}

/// The weights of levels as BF16, in the high halves; the low ones mean nothing.
#[inline]
#[target_feature(enable = "avx2")]
fn weights(levels: __m256i, factor: __m256, columns: __m256i) -> __m256i {
    let steps = _mm256_mul_ps(factor, _mm256_castsi256_ps(columns));
    let exact = _mm256_castps_si256(_mm256_mul_ps(_mm256_cvtepi32_ps(levels), steps));
    // To the nearest, ties to even.
    let odd = _mm256_and_si256(_mm256_srli_epi32::<16>(exact), _mm256_set1_epi32(1));
    _mm256_add_epi32(_mm256_add_epi32(exact, _mm256_set1_epi32(0x7fff)), odd)
}
