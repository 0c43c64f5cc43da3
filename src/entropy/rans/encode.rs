//! The encoder: runs backwards over the symbols, so that the decoder runs forwards.

use super::{LANES, STATE_LOW, STATES_BYTES, Seeds, WORDS_ALIGNMENT};
use crate::backend::Backend;
use crate::entropy::{EncodeTables, SYMBOLS};

/// Encodes whole steps, the last first: tables, symbols, contexts, states, words, `at`. Words, little-endian,
/// go before `at`, where there must be room for one a symbol. Gives the new `at`.
pub(super) type Steps = fn(&EncodeTables, &[u8], &[u8], &mut [u32; LANES], &mut [[u8; 2]], usize) -> usize;

/// Appends a stream to `out`: 32 states, then words, then zeros up to a multiple of 16 bytes. `room`
/// is working memory, best kept from stream to stream.
///
/// `contexts` has one entry a symbol, or none at all (every context is 0). Lanes of a last step that
/// `symbols` does not fill code the likeliest symbol of table 0.
///
/// # Panics
/// If a context has no table, or `contexts` has another length. A symbol without room in its table
/// is a bug of the caller, and gives a stream that does not decode to it.
pub(crate) fn encode(
    backend: Backend,
    tables: &EncodeTables,
    symbols: &[u8],
    contexts: &[u8],
    seeds: &Seeds,
    room: &mut Vec<[u8; 2]>,
    out: &mut Vec<u8>,
) {
    assert!(contexts.is_empty() || contexts.len() == symbols.len());
    let mut states = seeds.map(|seed| STATE_LOW + u32::from(seed));
    // Words are written from the end of the most room that they can take: every symbol sheds at most
    // one, as probabilities have at most 12 bits, with raw bits 16, and words 16.
    let mut at = symbols.len().next_multiple_of(LANES);
    if room.len() < at {
        room.resize(at, [0; 2]);
    }
    let words = &mut room[..at];
    let full = symbols.len() / LANES * LANES;
    if full < symbols.len() {
        let mut last = [tables.likeliest(0); LANES];
        let mut last_contexts = [0u8; LANES];
        last[..symbols.len() - full].copy_from_slice(&symbols[full..]);
        if !contexts.is_empty() {
            last_contexts[..symbols.len() - full].copy_from_slice(&contexts[full..]);
        }
        at = steps(Backend::Scalar, tables)(tables, &last, &last_contexts, &mut states, words, at);
    }
    let contexts = if contexts.is_empty() {
        contexts
    } else {
        &contexts[..full]
    };
    at = steps(backend, tables)(tables, &symbols[..full], contexts, &mut states, words, at);
    let words = words[at..].as_flattened();
    out.reserve(STATES_BYTES + words.len().next_multiple_of(WORDS_ALIGNMENT));
    states.iter().for_each(|x| out.extend(x.to_le_bytes()));
    out.extend_from_slice(words);
    let padding = words.len().next_multiple_of(WORDS_ALIGNMENT) - words.len();
    out.extend_from_slice(&[0; WORDS_ALIGNMENT][..padding]);
}

/// The fastest [`Steps`] of a backend for tables.
fn steps(backend: Backend, tables: &EncodeTables) -> Steps {
    match backend {
        _ if tables.raw().is_some() => signed,
        #[cfg(target_arch = "x86_64")]
        Backend::Avx512 if super::encode_avx512::is_available() => super::encode_avx512::steps,
        _ => scalar,
    }
}

/// [`Steps`] in plain Rust.
pub(super) fn scalar(
    tables: &EncodeTables,
    symbols: &[u8],
    contexts: &[u8],
    states: &mut [u32; LANES],
    words: &mut [[u8; 2]],
    at: usize,
) -> usize {
    with(tables, |_, state| state, symbols, contexts, states, words, at)
}

/// [`Steps`] of signed integers, in plain Rust.
pub(super) fn signed(
    tables: &EncodeTables,
    symbols: &[u8],
    contexts: &[u8],
    states: &mut [u32; LANES],
    words: &mut [[u8; 2]],
    at: usize,
) -> usize {
    let raw = tables.raw().unwrap_or(&[0; SYMBOLS]);
    let prepare = |symbol: u8, state: u32| {
        let bits = raw[usize::from(symbol)];
        state << bits | u32::from(symbol) & ((1 << bits) - 1)
    };
    with(tables, prepare, symbols, contexts, states, words, at)
}

/// Steps of symbols whose raw bits `prepare` adds to a state that has shed.
#[inline(always)]
fn with(
    tables: &EncodeTables,
    prepare: impl Fn(u8, u32) -> u32,
    symbols: &[u8],
    contexts: &[u8],
    states: &mut [u32; LANES],
    words: &mut [[u8; 2]],
    mut at: usize,
) -> usize {
    const NONE: [u8; LANES] = [0; LANES];
    let bits = tables.prob_bits();
    let contexts = contexts.as_chunks().0;
    for (i, symbols) in symbols.as_chunks::<LANES>().0.iter().enumerate().rev() {
        let contexts = contexts.get(i).unwrap_or(&NONE);
        let Some(room) = words[..at].last_chunk_mut::<LANES>() else {
            unreachable!("a word a symbol")
        };
        let mut free = LANES;
        // Words of a step are taken in lane order, so shed in the reverse.
        for lane in (0..LANES).rev() {
            let s = tables.symbols()[usize::from(contexts[lane])][usize::from(symbols[lane])];
            let mut x = states[lane];
            // Shedding is a coin toss, so no branch: a word is always written, and is overwritten by
            // the next one if it was not wanted.
            let full = x >= s.limit;
            room[(free - 1) % LANES] = (x as u16).to_le_bytes();
            free -= usize::from(full);
            x = prepare(symbols[lane], x >> (16 * u32::from(full)));
            let quotient = (u64::from(x).wrapping_mul(s.reciprocal) >> (32 + bits)) as u32;
            let complement = (1 << bits) - (s.freq_start >> 20);
            states[lane] = x
                .wrapping_add(s.freq_start & 0xfff)
                .wrapping_add(quotient.wrapping_mul(complement));
        }
        at -= LANES - free;
    }
    at
}
