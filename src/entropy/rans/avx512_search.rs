//! 32 lanes of 16 bits a vector: AVX-512 with VBMI2, symbols searched for instead of looked up.
//!
//! States are two vectors, their low and their high words. For each lane and level of the search:
//!
//! ```text
//! above = slot - node[path]            permute; below the node's threshold this wraps around
//! path  = path << 1 | above >> 15      one funnel shift
//! least = min(least, above)            in the end the slot's distance from its symbol's first slot
//! most  = max(most, above)             in the end that less the symbol's frequency
//! ```
//!
//! Of signed tables, what is found is a token: the symbol's low bits are those of the new state.
//!
//! AMD EPYC Zen 5, one core, streams of 65536 symbols out of 64 or fewer: with 4 streams in flight 5.4 G symbols/s
//! under one table and 5.0 under four, with 8 streams 6.8 and 5.8 (looking up: 4.0 and 3.0 at best). The latency of
//! a step is what limits it, hence the number in flight.
#![allow(unsafe_code)]

use super::vector::{Step, Streams, entry_point};
use crate::backend::Backend;
use crate::entropy::{DecodeTables, SearchTables};
use std::arch::x86_64::*;

pub(super) fn is_available() -> bool {
    Backend::Avx512.is_available() && is_x86_feature_detected!("avx512vbmi") && is_x86_feature_detected!("avx512vbmi2")
}

struct Search<'t, const CONTEXTS: bool, const SIGNED: bool> {
    tables: &'t SearchTables,
    prob_bits: u32,
}

impl<'t, const CONTEXTS: bool, const SIGNED: bool> Search<'t, CONTEXTS, SIGNED> {
    fn new(tables: &'t DecodeTables) -> Self {
        let Some(search) = tables.search() else {
            unreachable!("checked by the caller")
        };
        Self {
            tables: search,
            prob_bits: tables.prob_bits(),
        }
    }
}

/// Low and high words of the states of a stream.
#[derive(Clone, Copy)]
struct States {
    low: __m512i,
    high: __m512i,
}

/// Where the search for the slots of a stream is.
#[derive(Clone, Copy)]
struct Place {
    slot: __m512i,
    path: __m512i,
    least: __m512i,
    most: __m512i,
}

// SAFETY: each method is the intrinsics that do what the trait says. The only memory that depends on data is
// where words are read, from pointers that advance by the words taken, 32 at most.
unsafe impl<const CONTEXTS: bool, const SIGNED: bool, const K: usize> Step<K> for Search<'_, CONTEXTS, SIGNED> {
    type States = States;

    #[inline(always)]
    unsafe fn load(from: *const u32) -> States {
        // SAFETY: the caller's.
        unsafe {
            let (first, second) = (_mm512_loadu_si512(from.cast()), _mm512_loadu_si512(from.add(16).cast()));
            let join = |a, b| _mm512_inserti64x4::<1>(_mm512_castsi256_si512(a), b);
            let low = join(_mm512_cvtepi32_epi16(first), _mm512_cvtepi32_epi16(second));
            let (first, second) = (_mm512_srli_epi32::<16>(first), _mm512_srli_epi32::<16>(second));
            States {
                low,
                high: join(_mm512_cvtepi32_epi16(first), _mm512_cvtepi32_epi16(second)),
            }
        }
    }

    #[inline(always)]
    unsafe fn store(states: States, to: *mut u32) {
        // SAFETY: the caller's.
        unsafe {
            let join = |low, high| {
                let high = _mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(high));
                _mm512_or_si512(_mm512_cvtepu16_epi32(low), high)
            };
            let first = join(_mm512_castsi512_si256(states.low), _mm512_castsi512_si256(states.high));
            let second = join(
                _mm512_extracti64x4_epi64::<1>(states.low),
                _mm512_extracti64x4_epi64::<1>(states.high),
            );
            _mm512_storeu_si512(to.cast(), first);
            _mm512_storeu_si512(to.add(16).cast(), second);
        }
    }

    #[inline(always)]
    unsafe fn step(&self, states: &mut [States; K], streams: &mut Streams<K>) {
        // SAFETY: the caller's. Blocks are as many as the levels of `path_bits` have.
        unsafe {
            let slots = 1 << self.prob_bits;
            let (total, slot_mask) = (_mm512_set1_epi16(slots), _mm512_set1_epi16(slots - 1));
            let zero = _mm512_setzero_si512();
            let mut places = [Place {
                slot: zero,
                path: zero,
                least: zero,
                most: zero,
            }; K];
            for k in 0..K {
                let slot = _mm512_and_si512(states[k].low, slot_mask);
                let path = match CONTEXTS {
                    true => _mm512_cvtepu8_epi16(_mm256_loadu_si256(streams.contexts[k].add(streams.done).cast())),
                    false => zero,
                };
                places[k] = Place {
                    slot,
                    path,
                    least: slot,
                    most: _mm512_sub_epi16(slot, total),
                };
            }
            // Level by level over all streams, as a level waits for the one before. The levels of one block are
            // a loop, those of more are `if`s: one loop with a `match` is compiled to code a fifth slower, or worse.
            let bits = self.tables.path_bits();
            let mut nodes = self.tables.blocks().as_ptr().cast::<__m512i>();
            for _ in bits.start..bits.end.min(6) {
                descend::<1, K>(nodes, &mut places);
                nodes = nodes.add(1);
            }
            if bits.end > 6 {
                descend::<2, K>(nodes, &mut places);
            }
            if bits.end > 7 {
                descend::<4, K>(nodes.add(2), &mut places);
            }
            if bits.end > 8 {
                descend::<8, K>(nodes.add(6), &mut places);
            }
            if bits.end > 9 {
                descend::<16, K>(nodes.add(14), &mut places);
            }
            let map = self
                .tables
                .symbols()
                .map(|symbols| _mm512_loadu_si512(symbols.as_ptr().cast()));
            for (k, place) in places.into_iter().enumerate() {
                let run = Symbol {
                    freq: _mm512_sub_epi16(place.least, place.most),
                    offset: place.least,
                };
                let to = streams.symbols[k].add(streams.done).cast();
                let taken;
                if SIGNED {
                    let tokens = _mm512_load_si512(std::ptr::from_ref(self.tables.tokens()).cast());
                    let token = _mm512_permutexvar_epi16(place.path, tokens);
                    let found;
                    (states[k], found, taken) = advance_signed(states[k], run, token, self.prob_bits, streams.words[k]);
                    _mm256_storeu_si256(to, _mm512_cvtepi16_epi8(found));
                } else {
                    let found = match map {
                        Some(map) => _mm512_permutexvar_epi8(place.path, map),
                        None => _mm512_andnot_si512(place.path, _mm512_set1_epi16(self.tables.last().into())),
                    };
                    _mm256_storeu_si256(to, _mm512_cvtepi16_epi8(found));
                    (states[k], taken) = advance(states[k], run, self.prob_bits, streams.words[k]);
                }
                streams.words[k] = streams.words[k].add(taken);
            }
        }
    }
}

/// One level of the search, of `B` blocks of nodes, in every stream.
///
/// # Safety
/// `B` blocks are at `nodes`; the CPU has the instructions.
#[inline(always)]
unsafe fn descend<const B: usize, const K: usize>(nodes: *const __m512i, places: &mut [Place; K]) {
    for place in places {
        // SAFETY: the caller's.
        unsafe {
            let above = _mm512_sub_epi16(place.slot, pick::<B>(nodes, place.path));
            place.path = _mm512_shldi_epi16::<1>(place.path, above);
            place.least = _mm512_min_epu16(place.least, above);
            place.most = _mm512_max_epu16(place.most, above);
        }
    }
}

/// For each lane the node that `path` leads to, out of `B` blocks, a power of two up to 16.
///
/// # Safety
/// `B` blocks are at `nodes`; the CPU has the instructions.
#[inline(always)]
unsafe fn pick<const B: usize>(nodes: *const __m512i, path: __m512i) -> __m512i {
    // SAFETY: the caller's.
    unsafe {
        match B {
            1 => _mm512_permutexvar_epi16(path, *nodes),
            2 => _mm512_permutex2var_epi16(*nodes, path, *nodes.add(1)),
            4 => by_bit::<64>(path, pick::<2>(nodes, path), pick::<2>(nodes.add(2), path)),
            8 => by_bit::<128>(path, pick::<4>(nodes, path), pick::<4>(nodes.add(4), path)),
            _ => by_bit::<256>(path, pick::<8>(nodes, path), pick::<8>(nodes.add(8), path)),
        }
    }
}

/// For each lane `set` if `path` has the bit, else `clear`.
///
/// # Safety
/// The CPU has the instructions.
#[inline(always)]
unsafe fn by_bit<const BIT: i16>(path: __m512i, clear: __m512i, set: __m512i) -> __m512i {
    // SAFETY: the caller's.
    unsafe { _mm512_mask_blend_epi16(_mm512_test_epi16_mask(path, _mm512_set1_epi16(BIT)), clear, set) }
}

/// A symbol's frequency, and where in its slots a lane's is.
#[derive(Clone, Copy)]
struct Symbol {
    freq: __m512i,
    offset: __m512i,
}

/// `(state >> prob_bits) * freq + offset`, with the halves of states and products apart: the low half, the high one but
/// for what is carried into it, and the lanes that carry.
///
/// # Safety
/// The CPU has the instructions.
#[inline(always)]
unsafe fn narrow(states: States, symbol: Symbol, prob_bits: u32) -> (__m512i, __m512i, __mmask32) {
    // SAFETY: the caller's.
    unsafe {
        let Symbol { freq, offset } = symbol;
        let quotient = _mm512_shrdv_epi16(states.low, states.high, _mm512_set1_epi16(prob_bits as i16));
        let quotient_high = _mm512_srl_epi16(states.high, _mm_cvtsi32_si128(prob_bits as i32));
        let low = _mm512_add_epi16(_mm512_mullo_epi16(quotient, freq), offset);
        let high = _mm512_add_epi16(
            _mm512_mulhi_epu16(quotient, freq),
            _mm512_mullo_epi16(quotient_high, freq),
        );
        (low, high, _mm512_cmplt_epu16_mask(low, offset))
    }
}

/// The states after the symbols found, refilled from `words`, and the bytes taken.
///
/// # Safety
/// 64 bytes may be read; the CPU has the instructions.
#[inline(always)]
unsafe fn advance(states: States, symbol: Symbol, prob_bits: u32, words: *const u8) -> (States, usize) {
    // SAFETY: the caller's.
    unsafe {
        let (low, high, carry) = narrow(states, symbol, prob_bits);
        // Below 2^16: no high half, and no carry into it. To test their sum instead is one wait more (four in
        // flight: 3 % slower).
        let empty = _mm512_mask_cmpge_epu16_mask(_mm512_testn_epi16_mask(high, high), low, symbol.offset);
        let high = _mm512_mask_add_epi16(high, carry, high, _mm512_set1_epi16(1));
        let filled = _mm512_mask_expand_epi16(low, empty, _mm512_loadu_si512(words.cast()));
        let states = States {
            low: filled,
            high: _mm512_mask_mov_epi16(high, empty, low),
        };
        (states, 2 * empty.count_ones() as usize)
    }
}

/// As `advance`, by tokens of signed integers, whose raw bits are the lowest of the state; also gives the symbols, in
/// low bytes.
///
/// # Safety
/// 64 bytes may be read; the CPU has the instructions.
#[inline(always)]
unsafe fn advance_signed(
    states: States,
    symbol: Symbol,
    token: __m512i,
    prob_bits: u32,
    words: *const u8,
) -> (States, __m512i, usize) {
    // SAFETY: the caller's.
    unsafe {
        let (low, high, carry) = narrow(states, symbol, prob_bits);
        let high = _mm512_mask_add_epi16(high, carry, high, _mm512_set1_epi16(1));
        let raw = _mm512_srli_epi16::<8>(token);
        let above = _mm512_sllv_epi16(_mm512_set1_epi16(-1), raw);
        // token | low & !above
        let symbols = _mm512_ternarylogic_epi32::<0xf4>(token, low, above);
        let (low, high) = (_mm512_shrdv_epi16(low, high, raw), _mm512_srlv_epi16(high, raw));
        let empty = _mm512_testn_epi16_mask(high, high);
        let filled = _mm512_mask_expand_epi16(low, empty, _mm512_loadu_si512(words.cast()));
        let states = States {
            low: filled,
            high: _mm512_mask_mov_epi16(high, empty, low),
        };
        (states, symbols, 2 * empty.count_ones() as usize)
    }
}

entry_point!(
    Search,
    is_available(),
    [4, 8],
    "avx512f",
    "avx512bw",
    "avx512vl",
    "avx512vbmi",
    "avx512vbmi2",
    "popcnt"
);
