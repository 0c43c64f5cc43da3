//! Encode tables: what rANS needs to add a symbol to a state without a division.

use super::freq::{Frequencies, SYMBOLS};
use super::signed::{OF_MAGNITUDE, OF_TOKEN};

/// How to encode one symbol of frequency `f`, before which `start` slots belong to other symbols.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct EncodeSymbol {
    /// `ceil(2^(32 + prob_bits) / f)`. Below `limit`, where every state is after shedding, the product
    /// `x * reciprocal` stays below `2^64`, and `x / f = x * reciprocal >> (32 + prob_bits)` exactly:
    /// the reciprocal is too large by less than 1, which makes the quotient too large by less than `1 / f`.
    pub(crate) reciprocal: u64,
    /// States at or above this, `f << (32 - prob_bits - raw bits)`, shed a word first.
    pub(crate) limit: u32,
    /// `f << 20 | start`: all that the vector encoder looks up.
    pub(crate) freq_start: u32,
}

/// The frequency tables of a tensor, ready to encode with.
pub(crate) struct EncodeTables {
    symbols: Vec<[EncodeSymbol; SYMBOLS]>,
    /// The most frequent symbol of each table.
    likeliest: Vec<u8>,
    prob_bits: u32,
    /// Low bits of every symbol that are raw.
    raw: Option<Box<[u8; SYMBOLS]>>,
}

impl EncodeTables {
    /// # Panics
    /// If there is no table, or they differ in `prob_bits`.
    pub(crate) fn new(tables: &[Frequencies]) -> Self {
        let prob_bits = tables[0].prob_bits();
        assert!(tables.iter().all(|t| t.prob_bits() == prob_bits));
        let likeliest = tables
            .iter()
            .map(|t| (0..SYMBOLS).max_by_key(|&s| t.freq()[s]).unwrap_or(0) as u8)
            .collect();
        Self {
            symbols: tables.iter().map(entries).collect(),
            likeliest,
            prob_bits,
            raw: None,
        }
    }

    /// As [`new`](Self::new), of tokens of [`signed`](super::signed) integers; symbols are theirs.
    pub(crate) fn signed(tables: &[Frequencies]) -> Self {
        let mut of_tokens = Self::new(tables);
        let token = |symbol: usize| usize::from(OF_MAGNITUDE[symbol / 2]);
        let of_symbols = |tokens: &[EncodeSymbol; SYMBOLS]| {
            std::array::from_fn(|symbol| {
                let mut entry = tokens[token(symbol)];
                entry.limit >>= OF_TOKEN[token(symbol)].1;
                entry
            })
        };
        of_tokens.symbols = of_tokens.symbols.iter().map(of_symbols).collect();
        // A token with raw bits takes them, too; the least symbol of one has none that is set.
        let cheapest = |t: &Frequencies| {
            let of_token = |&(token, &(_, raw)): &(usize, &(u8, u8))| (u32::from(t.freq()[token]) << 8) >> raw;
            let cheapest = OF_TOKEN.iter().enumerate().max_by_key(of_token);
            cheapest.map_or(0, |(_, &(least, _))| least)
        };
        of_tokens.likeliest = tables.iter().map(cheapest).collect();
        of_tokens.raw = Some(Box::new(std::array::from_fn(|symbol| OF_TOKEN[token(symbol)].1)));
        of_tokens
    }

    /// Low bits of every symbol that are raw, of tables of signed integers.
    pub(crate) fn raw(&self) -> Option<&[u8; SYMBOLS]> {
        self.raw.as_deref()
    }

    /// The 256 symbols of each table.
    pub(crate) fn symbols(&self) -> &[[EncodeSymbol; SYMBOLS]] {
        &self.symbols
    }

    pub(crate) fn prob_bits(&self) -> u32 {
        self.prob_bits
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
    let bits = table.prob_bits();
    let mut start = 0u32;
    table.freq().map(|f| {
        let f = u32::from(f);
        let reciprocal = (1u64 << (32 + bits)).div_ceil(u64::from(f.max(1)));
        // Past the last symbol, `start` is `1 << bits`, which may not fit: nothing encodes with it.
        let entry = EncodeSymbol {
            reciprocal,
            limit: f << (32 - bits),
            freq_start: f << 20 | start & 0xfff,
        };
        start += f;
        entry
    })
}
