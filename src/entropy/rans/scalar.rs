//! The executable specification of the decoder, and the vector decoders' tail.

use super::{LANES, Run, STATE_LOW};
use crate::entropy::DecodeTables;

/// Decodes symbols `from..` of the run.
pub(super) fn decode(tables: &DecodeTables, run: &mut Run, from: usize) {
    let (entries, bits) = (tables.entries(), tables.prob_bits());
    let context_mask = tables.count() - 1;
    for start in (from..run.symbols.len()).step_by(LANES) {
        for lane in 0..LANES {
            let x = run.stream.states[lane];
            let context = run.contexts.get(start + lane).map_or(0, |&c| usize::from(c)) & context_mask;
            let slot = x & ((1 << bits) - 1);
            let entry = entries[context << bits | slot as usize];
            run.symbols[start + lane] = entry as u8;
            run.stream.states[lane] = (entry >> 20).wrapping_mul(x >> bits).wrapping_add(entry >> 8 & 0xfff);
        }
        for lane in 0..LANES {
            if run.stream.states[lane] < STATE_LOW {
                run.stream.states[lane] = run.stream.states[lane] << 16 | run.stream.word();
            }
        }
    }
}
