//! Decode tables: one packed entry per slot.

#[cfg(target_arch = "x86_64")]
use super::SearchTables;
use super::freq::Frequencies;
use super::signed;
use crate::format::{MAX_LEVELS_PROB_BITS, MAX_TABLES};
use std::sync::OnceLock;

/// The frequency tables of a tensor, ready to decode with.
///
/// Entry of a slot, from bit 0: symbol (8 bits), slot minus the symbol's first slot (12 bits),
/// frequency (12 bits). The symbol lowest, so that a vector of entries truncates to symbols; the
/// frequency highest, so that one shift extracts it.
///
/// Entries of signed tables are those of [`signed`].
///
/// Invariant (vector gathers rely on it): `entries().len() == count << slot_bits`, `count` a power of
/// two; so every context masked by `count - 1` and every slot below `1 << slot_bits` has an entry.
#[derive(Debug)]
pub(crate) struct DecodeTables {
    /// One a context.
    tables: Vec<Frequencies>,
    /// Made when a symbol is first looked up: many tensors are searched in only.
    entries: OnceLock<Vec<u32>>,
    prob_bits: u32,
    count: usize,
    /// Whether they are of tokens of signed integers.
    signed: bool,
    #[cfg(target_arch = "x86_64")]
    search: Option<SearchTables>,
}

impl DecodeTables {
    /// Tables for contexts `0..tables.len()`; further contexts up to the next power of two repeat
    /// the last table. `None` if there is no table, too many, or they differ in `prob_bits`.
    pub(crate) fn new(tables: &[Frequencies]) -> Option<Self> {
        Self::with(tables, false)
    }

    /// As [`new`](Self::new), of tokens of [`signed`] integers. `None` also if a table has room for what is no token,
    /// or probabilities have too many bits.
    pub(crate) fn signed(tables: &[Frequencies]) -> Option<Self> {
        let fits = |t: &Frequencies| {
            t.prob_bits() <= MAX_LEVELS_PROB_BITS && t.freq()[signed::TOKENS..].iter().all(|&f| f == 0)
        };
        tables.iter().all(fits).then(|| Self::with(tables, true))?
    }

    fn with(tables: &[Frequencies], signed: bool) -> Option<Self> {
        let last = tables.last()?;
        let prob_bits = last.prob_bits();
        if tables.len() > MAX_TABLES || tables.iter().any(|t| t.prob_bits() != prob_bits) {
            return None;
        }
        let count = tables.len().next_power_of_two();
        let context = |context: usize| tables.get(context).unwrap_or(last).clone();
        Some(Self {
            tables: (0..count).map(context).collect(),
            entries: OnceLock::new(),
            prob_bits,
            count,
            signed,
            #[cfg(target_arch = "x86_64")]
            search: SearchTables::new(tables),
        })
    }

    pub(crate) fn entries(&self) -> &[u32] {
        self.entries.get_or_init(|| {
            let len = self.count << self.prob_bits;
            let mut all = Vec::with_capacity(len);
            for table in &self.tables {
                match self.signed {
                    false => add_entries(table, plain, &mut all),
                    true => add_entries(table, signed::entry, &mut all),
                }
            }
            assert_eq!(all.len(), len, "frequencies sum to their total");
            all
        })
    }

    pub(crate) fn prob_bits(&self) -> u32 {
        self.prob_bits
    }

    /// Number of tables, a power of two.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Whether the tables are of tokens of signed integers.
    pub(crate) fn is_signed(&self) -> bool {
        self.signed
    }

    /// The same tables to search in, if that is faster.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn search(&self) -> Option<&SearchTables> {
        self.search.as_ref()
    }
}

/// Adds the entries of one table's slots, each made of its symbol, its offset among the symbol's slots and their number.
#[inline(always)]
fn add_entries(table: &Frequencies, entry: impl Fn(usize, u32, u32) -> u32, all: &mut Vec<u32>) {
    for (symbol, &f) in table.freq().iter().enumerate().filter(|&(_, &f)| f > 0) {
        let f = u32::from(f);
        // A symbol at a time, so that it is done with vectors: small tensors have as many slots as weights.
        all.extend((0..f).map(|offset| entry(symbol, offset, f)));
    }
}

/// The entries of a single table of symbols.
pub(super) fn entries(table: &Frequencies) -> Vec<u32> {
    let mut all = Vec::with_capacity(1 << table.prob_bits());
    add_entries(table, plain, &mut all);
    all
}

fn plain(symbol: usize, offset: u32, frequency: u32) -> u32 {
    frequency << 20 | offset << 8 | symbol as u32
}
