//! The encoder with 16 lanes a vector, AVX-512 with VBMI2: the same words as the scalar one.
//!
//! The quotient `x / f` comes from single-precision numbers rounded down. With all of them rounded
//! down, `x * (1 / f)` is too small by a factor above `1 - 3 * 2^-23`. After shedding, `x / f` is
//! below `2^(32 - prob_bits)`, so the product is short by less than `3 * 2^(9 - prob_bits)`: below 1
//! from 11 bits on, and its integer part is the quotient or one less, which the remainder shows.
//! Below 11 bits it is short by less than 7, and the remainder divided the same way makes up for it.
//!
//! AMD EPYC Zen 5, one core: 2.9 G symbols/s with one table, 2.7 with four (scalar: 0.6). Most of that time goes to
//! the two gathers a step, which do not wait for the states: a stream at a time is enough.
#![allow(unsafe_code)]

use super::LANES;
use crate::entropy::EncodeTables;
use std::arch::x86_64::*;

pub(super) fn is_available() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vbmi2")
        && is_x86_feature_detected!("popcnt")
}

/// `encode::Steps` with vectors.
///
/// # Panics
/// If the CPU lacks the instructions, a context has no table, or `words` has less room before `at`
/// than a word a symbol.
pub(super) fn steps(
    tables: &EncodeTables,
    symbols: &[u8],
    contexts: &[u8],
    states: &mut [u32; LANES],
    words: &mut [[u8; 2]],
    at: usize,
) -> usize {
    assert!(is_available());
    assert!(symbols.len().is_multiple_of(LANES) && symbols.len() <= at && at <= words.len());
    assert!(contexts.is_empty() || contexts.len() == symbols.len());
    let highest = contexts.iter().fold(0, |most, &c| c.max(most));
    assert!(usize::from(highest) < tables.count());
    // SAFETY: the assertions are what `run` asks for.
    unsafe {
        match (tables.prob_bits() >= 11, contexts.is_empty()) {
            (true, true) => run::<true, false>(tables, symbols, contexts, states, words, at),
            (true, false) => run::<true, true>(tables, symbols, contexts, states, words, at),
            (false, true) => run::<false, false>(tables, symbols, contexts, states, words, at),
            (false, false) => run::<false, true>(tables, symbols, contexts, states, words, at),
        }
    }
}

/// `CONTEXTS`: there are contexts. `FINE`: `prob_bits` is 11 or more.
///
/// # Safety
/// The CPU has the instructions, contexts have tables, symbols and contexts are as many and whole
/// steps, and `words` has room for a word a symbol before `at`.
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi2,popcnt")]
unsafe fn run<const FINE: bool, const CONTEXTS: bool>(
    tables: &EncodeTables,
    symbols: &[u8],
    contexts: &[u8],
    states: &mut [u32; LANES],
    words: &mut [[u8; 2]],
    mut at: usize,
) -> usize {
    static IOTA: [u16; LANES] = {
        let mut iota = [0; LANES];
        let mut lane = 0;
        while lane < LANES {
            iota[lane] = lane as u16;
            lane += 1;
        }
        iota
    };
    // SAFETY: states are two vectors, `IOTA` is one. Every entry gathered is that of a symbol under a
    // context that has a table. Symbols and contexts are read in whole steps. A step sheds at most
    // 32 words, so `at` never falls below the number of symbols still to encode, which is at least
    // 32 in the loop: there is room for 32 words before `at`.
    unsafe {
        let iota = _mm512_loadu_si512(IOTA.as_ptr().cast());
        let low_words = _mm512_slli_epi16::<1>(iota);
        let entries = &raw const (*tables.symbols().as_ptr())[0].freq_start;
        let look_up = |lane: usize| {
            let symbol = _mm512_cvtepu8_epi32(_mm_loadu_si128(symbols.as_ptr().add(lane).cast()));
            let index = if CONTEXTS {
                let context = _mm512_cvtepu8_epi32(_mm_loadu_si128(contexts.as_ptr().add(lane).cast()));
                _mm512_or_si512(_mm512_slli_epi32::<8>(context), symbol)
            } else {
                symbol
            };
            // An entry is 16 bytes: two times the 8 that a gather can scale by.
            _mm512_i32gather_epi32::<8>(_mm512_slli_epi32::<1>(index), entries.cast())
        };
        let mut low = _mm512_loadu_si512(states.as_ptr().cast());
        let mut high = _mm512_loadu_si512(states.as_ptr().add(16).cast());
        for start in (0..symbols.len()).step_by(LANES).rev() {
            // The low words of all states in lane order; those shed, packed; those, at the end.
            let words_of_states = _mm512_permutex2var_epi16(low, low_words, high);
            let (low_shed, high_shed);
            (low, low_shed) = add::<FINE>(low, look_up(start), tables.prob_bits());
            (high, high_shed) = add::<FINE>(high, look_up(start + 16), tables.prob_bits());
            let shed = u32::from(high_shed) << 16 | u32::from(low_shed);
            let count = shed.count_ones() as usize;
            let packed = _mm512_maskz_compress_epi16(shed, words_of_states);
            let at_end = _mm512_permutexvar_epi16(_mm512_add_epi16(iota, _mm512_set1_epi16(count as i16)), packed);
            _mm512_storeu_si512(words.as_mut_ptr().add(at - LANES).cast(), at_end);
            at -= count;
        }
        _mm512_storeu_si512(states.as_mut_ptr().cast(), low);
        _mm512_storeu_si512(states.as_mut_ptr().add(16).cast(), high);
    }
    at
}

/// Adds a symbol to every state; also gives the lanes that shed their low word for it.
#[inline]
#[target_feature(enable = "avx512f")]
fn add<const FINE: bool>(x: __m512i, freq_start: __m512i, prob_bits: u32) -> (__m512i, __mmask16) {
    const DOWN: i32 = _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC;
    let bits = _mm_cvtsi32_si128(prob_bits as i32);
    let freq = _mm512_srli_epi32::<20>(freq_start);
    let start = _mm512_and_si512(freq_start, _mm512_set1_epi32(0xfff));
    let limit = _mm512_sll_epi32(freq, _mm_cvtsi32_si128(32 - prob_bits as i32));
    let reciprocal = _mm512_div_round_ps::<DOWN>(_mm512_set1_ps(1.0), _mm512_cvtepi32_ps(freq));
    let divide = |x| {
        _mm512_cvttps_epu32(_mm512_mul_round_ps::<DOWN>(
            _mm512_cvt_roundepu32_ps::<DOWN>(x),
            reciprocal,
        ))
    };

    let shed = _mm512_cmpge_epu32_mask(x, limit);
    let x = _mm512_mask_srli_epi32::<16>(x, shed, x);
    let rest_of = |quotient| _mm512_sub_epi32(x, _mm512_mullo_epi32(quotient, freq));
    let mut quotient = divide(x);
    if !FINE {
        quotient = _mm512_add_epi32(quotient, divide(rest_of(quotient)));
    }
    let rest = rest_of(quotient);
    let state = _mm512_add_epi32(_mm512_sll_epi32(quotient, bits), _mm512_add_epi32(start, rest));
    // One more in the quotient, `freq` less in the rest.
    let one_short = _mm512_cmpge_epu32_mask(rest, freq);
    let more = _mm512_sub_epi32(_mm512_set1_epi32(1 << prob_bits), freq);
    (_mm512_mask_add_epi32(state, one_short, state, more), shed)
}
