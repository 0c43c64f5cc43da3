//! The encoder: runs backwards over the symbols, so that the decoder runs forwards.

use super::{LANES, STATE_LOW, STATES_BYTES, Seeds, WORDS_ALIGNMENT};
use crate::entropy::EncodeTables;

/// Encodes whole steps, the last first: tables, symbols, contexts, states, words, `at`. Words, little-endian,
/// go before `at`, where there must be room for one a symbol. Gives the new `at`.
pub(super) type Steps = fn(&EncodeTables, &[u8], &[u8], &mut [u32; LANES], &mut [[u8; 2]], usize) -> usize;

/// Appends a stream to `out`: 32 states, then words, then zeros up to a multiple of 16 bytes. Gives
/// the length of words and zeros in bytes.
///
/// `contexts` has one entry a symbol, or none at all (every context is 0). Lanes of a last step that
/// `symbols` does not fill code the likeliest symbol of table 0.
///
/// # Panics
/// If a context has no table, or `contexts` has another length. A symbol without room in its table
/// is a bug of the caller, and gives a stream that does not decode to it.
pub(crate) fn encode(
    tables: &EncodeTables,
    symbols: &[u8],
    contexts: &[u8],
    seeds: &Seeds,
    out: &mut Vec<u8>,
) -> usize {
    assert!(contexts.is_empty() || contexts.len() == symbols.len());
    let mut states = seeds.map(|seed| STATE_LOW + u32::from(seed));
    // Words are written from the end of the most room that they can take, then moved to the states:
    // every symbol sheds at most one word, as probabilities have at most 12 bits and words 16.
    let (head, room) = (out.len() + STATES_BYTES, symbols.len().next_multiple_of(LANES));
    out.resize(head + 2 * room, 0);
    let words = out[head..].as_chunks_mut().0;
    let mut at = room;
    let full = symbols.len() / LANES * LANES;
    if full < symbols.len() {
        let mut last = [tables.likeliest(0); LANES];
        let mut last_contexts = [0u8; LANES];
        last[..symbols.len() - full].copy_from_slice(&symbols[full..]);
        if !contexts.is_empty() {
            last_contexts[..symbols.len() - full].copy_from_slice(&contexts[full..]);
        }
        at = scalar(tables, &last, &last_contexts, &mut states, words, at);
    }
    let contexts = if contexts.is_empty() {
        contexts
    } else {
        &contexts[..full]
    };
    at = steps()(tables, &symbols[..full], contexts, &mut states, words, at);
    out.copy_within(head + 2 * at.., head);
    out.truncate(head + 2 * (room - at));
    for (bytes, x) in out[head - STATES_BYTES..].as_chunks_mut().0.iter_mut().zip(states) {
        *bytes = x.to_le_bytes();
    }
    let words_len = (2 * (room - at)).next_multiple_of(WORDS_ALIGNMENT);
    out.resize(head + words_len, 0);
    words_len
}

/// The fastest [`Steps`] that this CPU can run.
fn steps() -> Steps {
    #[cfg(target_arch = "x86_64")]
    if super::encode_avx512::is_available() {
        return super::encode_avx512::steps;
    }
    scalar
}

/// [`Steps`] in plain Rust.
pub(super) fn scalar(
    tables: &EncodeTables,
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
            x >>= 16 * u32::from(full);
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
