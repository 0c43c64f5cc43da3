//! Encode tables: what rANS needs to add a symbol to a state without a division.

use super::freq::{Frequencies, SYMBOLS};

/// How to encode one symbol.
///
/// With `q = floor(x * reciprocal / 2^64)`, the new state is `x + bias + q * complement`: the usual
/// `(x / f) << prob_bits | start + x % f` rewritten so that the quotient is one high multiply
/// (Fabian Giesen's formulation, with a 64-bit reciprocal because states are 32 bits wide).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct EncodeSymbol {
    pub(crate) reciprocal: u64,
    /// States at or above this shed a word first.
    pub(crate) limit: u32,
    pub(crate) bias: u32,
    pub(crate) complement: u32,
}

/// The frequency tables of a tensor, ready to encode with.
pub(crate) struct EncodeTables {
    symbols: Vec<[EncodeSymbol; SYMBOLS]>,
    /// The most frequent symbol of each table.
    likeliest: Vec<u8>,
}

impl EncodeTables {
    pub(crate) fn new(tables: &[Frequencies]) -> Self {
        let symbols = tables.iter().map(|t| entries(t)).collect();
        let likeliest = tables
            .iter()
            .map(|t| (0..SYMBOLS).max_by_key(|&s| t.freq()[s]).unwrap_or(0) as u8)
            .collect();
        Self { symbols, likeliest }
    }

    /// The 256 symbols of the table for `context`.
    pub(crate) fn symbols(&self, context: usize) -> &[EncodeSymbol; SYMBOLS] {
        &self.symbols[context]
    }

    /// Number of tables.
    pub(crate) fn count(&self) -> usize {
        self.symbols.len()
    }

    /// Cheapest symbol in `context`: what stands in for an escaped token.
    pub(crate) fn likeliest(&self, context: usize) -> u8 {
        self.likeliest[context]
    }
}

fn entries(table: &Frequencies) -> [EncodeSymbol; SYMBOLS] {
    let total = 1u32 << table.prob_bits();
    let mut start = 0u32;
    let mut out = [EncodeSymbol::default(); SYMBOLS];
    for (entry, &f) in out.iter_mut().zip(table.freq()) {
        let f = u32::from(f);
        if f == 0 {
            continue;
        }
        *entry = EncodeSymbol {
            // f = 1 would need 2^64: one less gives q = x - 1, which the bias makes up for.
            reciprocal: if f == 1 { u64::MAX } else { u64::MAX / u64::from(f) + 1 },
            limit: f << (32 - table.prob_bits()),
            bias: if f == 1 { start + total - 1 } else { start },
            complement: total - f,
        };
        start += f;
    }
    out
}
