//! The executable specification of the decoder, and the vector decoders' tail.

use super::{LANES, Run, STATE_LOW};
use crate::entropy::DecodeTables;
use crate::entropy::table::lower;

/// Decodes symbols `from..` of the run.
pub(super) fn decode(tables: &DecodeTables, run: &mut Run, from: usize) {
    let (entries, bits, slot_bits) = (tables.entries(), tables.prob_bits(), tables.slot_bits());
    let context_mask = tables.count() - 1;
    // All ones if tables are mirrored.
    let (mirrored, zero) = tables.zero().map_or((0, 0), |zero| (u32::MAX, u32::from(zero)));
    let mut states = run.stream.states;
    for (i, symbols) in run.symbols[from..].as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
        let contexts = run
            .contexts
            .get(from + i * LANES..)
            .and_then(<[u8]>::first_chunk::<LANES>);
        let contexts = contexts.unwrap_or(&[0; LANES]);
        for lane in 0..LANES {
            let state = states[lane];
            // Which half a slot is in is a coin toss too: no branch.
            let opposite = mirrored & (state >> slot_bits & 1).wrapping_sub(1);
            let slot = (state ^ opposite) as usize & ((1 << slot_bits) - 1);
            let found = entries[(usize::from(contexts[lane]) & context_mask) << slot_bits | slot];
            let upper = found + zero;
            let entry = upper ^ (upper ^ lower(found, zero)) & opposite;
            symbols[lane] = entry as u8;
            states[lane] = (entry >> 20)
                .wrapping_mul(states[lane] >> bits)
                .wrapping_add(entry >> 8 & 0xfff);
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
