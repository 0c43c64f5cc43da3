//! The encoder: runs backwards over the symbols, so that the decoder runs forwards.

use super::{LANES, STATE_LOW};
use crate::entropy::EncodeTables;

/// Sixteen bits for each lane that the decoder gets back at the end of the run.
pub(crate) type Seeds = [u16; LANES];

/// Appends a stream to `out`: 32 states, then words. Gives the length of the words in bytes.
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
    // Every symbol sheds at most one word: probabilities have at most 12 bits, words 16.
    let mut words = vec![0u16; symbols.len().next_multiple_of(LANES)];
    let mut at = words.len();
    let full = symbols.len() / LANES * LANES;
    if full < symbols.len() {
        let mut last = [tables.likeliest(0); LANES];
        let mut last_contexts = [0u8; LANES];
        last[..symbols.len() - full].copy_from_slice(&symbols[full..]);
        if !contexts.is_empty() {
            last_contexts[..symbols.len() - full].copy_from_slice(&contexts[full..]);
        }
        at = scalar(tables, &last, &last_contexts, &mut states, &mut words, at);
    }
    let contexts = if contexts.is_empty() { contexts } else { &contexts[..full] };
    at = steps(tables, &symbols[..full], contexts, &mut states, &mut words, at);
    states.iter().for_each(|x| out.extend_from_slice(&x.to_le_bytes()));
    let words = &words[at..];
    out.reserve(2 * words.len());
    words.iter().for_each(|w| out.extend_from_slice(&w.to_le_bytes()));
    2 * words.len()
}

fn steps(tables: &EncodeTables, symbols: &[u8], contexts: &[u8], states: &mut [u32; LANES], words: &mut [u16], at: usize) -> usize {
    #[cfg(target_arch = "x86_64")]
    if super::encode_avx512::is_available() {
        return super::encode_avx512::steps(tables, symbols, contexts, states, words, at);
    }
    scalar(tables, symbols, contexts, states, words, at)
}

/// Encodes whole steps, the last first; words go before `at`. Gives the new `at`.
pub(super) fn scalar(
    tables: &EncodeTables,
    symbols: &[u8],
    contexts: &[u8],
    states: &mut [u32; LANES],
    words: &mut [u16],
    mut at: usize,
) -> usize {
    for start in (0..symbols.len()).step_by(LANES).rev() {
        // Words of a step are taken in lane order, so shed in the reverse.
        for lane in (0..LANES).rev() {
            let context = contexts.get(start + lane).map_or(0, |&c| usize::from(c));
            let s = tables.symbols(context)[usize::from(symbols[start + lane])];
            let mut x = states[lane];
            if x >= s.limit {
                at -= 1;
                words[at] = x as u16;
                x >>= 16;
            }
            let quotient = (u128::from(x) * u128::from(s.reciprocal) >> 64) as u32;
            states[lane] = x.wrapping_add(s.bias).wrapping_add(quotient.wrapping_mul(s.complement));
        }
    }
    at
}
