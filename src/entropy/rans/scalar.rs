//! The executable specification of the decoder, and the vector decoders' tail.

use super::{LANES, Run, STATE_LOW};
use crate::entropy::DecodeTables;

/// Decodes symbols `from..` of the run.
pub(super) fn decode(tables: &DecodeTables, run: &mut Run, from: usize) {
    match tables.is_signed() {
        false => with(tables, plain, run, from),
        true => with(tables, signed, run, from),
    }
}

/// The state after a symbol, and the symbol.
#[inline(always)]
fn plain(entry: u32, state: u32, bits: u32) -> (u32, u32) {
    let state = (entry >> 20)
        .wrapping_mul(state >> bits)
        .wrapping_add(entry >> 8 & 0xfff);
    (state, entry)
}

/// Of so many lowest bits.
const MASKS: [u32; 8] = [0, 1, 3, 7, 15, 31, 63, 127];

/// As `plain`, of signed integers: the lowest bits of the state are raw.
#[inline(always)]
pub(super) fn signed(entry: u32, state: u32, bits: u32) -> (u32, u32) {
    let state = (entry >> 21)
        .wrapping_mul(state >> bits)
        .wrapping_add(entry >> 10 & 0x7ff);
    let raw = entry & 7;
    (state >> raw, entry >> 2 & 0xfe | state & MASKS[raw as usize])
}

#[inline(always)]
fn with(tables: &DecodeTables, advance: impl Fn(u32, u32, u32) -> (u32, u32), run: &mut Run, from: usize) {
    let (entries, bits) = (tables.entries(), tables.prob_bits());
    let context_mask = tables.count() - 1;
    let mut states = run.stream.states;
    for (i, symbols) in run.symbols[from..].as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
        let contexts = run
            .contexts
            .get(from + i * LANES..)
            .and_then(<[u8]>::first_chunk::<LANES>);
        let contexts = contexts.unwrap_or(&[0; LANES]);
        for lane in 0..LANES {
            let slot = states[lane] as usize & ((1 << bits) - 1);
            let entry = entries[(usize::from(contexts[lane]) & context_mask) << bits | slot];
            let symbol;
            (states[lane], symbol) = advance(entry, states[lane], bits);
            symbols[lane] = symbol as u8;
        }
        for state in &mut states {
            // Whether a lane takes a word is a coin toss: the compiler makes this a choice, not a branch.
            let (word, empty) = (run.stream.peek(), *state < STATE_LOW);
            *state = if empty { *state << 16 | word } else { *state };
            run.stream.take(empty);
        }
    }
    run.stream.states = states;
}
