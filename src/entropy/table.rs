//! Decode tables: one packed entry per slot.

#[cfg(target_arch = "x86_64")]
use super::SearchTables;
use super::freq::Frequencies;
use crate::format::MAX_TABLES;
use std::sync::OnceLock;

/// The frequency tables of a tensor, ready to decode with.
///
/// Entry of a slot, from bit 0: symbol (8 bits), slot minus the symbol's first slot (12 bits),
/// frequency (12 bits). The symbol lowest, so that a vector of entries truncates to symbols; the
/// frequency highest, so that one shift extracts it.
///
/// Invariant (vector gathers rely on it): `entries().len() == count << prob_bits`, `count` a power of
/// two; so every context masked by `count - 1` and every slot below `1 << prob_bits` has an entry.
#[derive(Debug)]
pub(crate) struct DecodeTables {
    /// One a context.
    tables: Vec<Frequencies>,
    /// Made when a symbol is first looked up: many tensors are searched in only.
    entries: OnceLock<Vec<u32>>,
    prob_bits: u32,
    count: usize,
    #[cfg(target_arch = "x86_64")]
    search: Option<SearchTables>,
}

impl DecodeTables {
    /// Tables for contexts `0..tables.len()`; further contexts up to the next power of two repeat
    /// the last table. `None` if there is no table, too many, or they differ in `prob_bits`.
    pub(crate) fn new(tables: &[Frequencies]) -> Option<Self> {
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
            #[cfg(target_arch = "x86_64")]
            search: SearchTables::new(tables),
        })
    }

    pub(crate) fn entries(&self) -> &[u32] {
        self.entries.get_or_init(|| {
            let mut all = Vec::with_capacity(self.count << self.prob_bits);
            self.tables.iter().for_each(|table| all.extend(entries(table)));
            assert_eq!(
                all.len(),
                self.count << self.prob_bits,
                "frequencies sum to their total"
            );
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

    /// The same tables to search in, if that is faster.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn search(&self) -> Option<&SearchTables> {
        self.search.as_ref()
    }
}

/// The entries of one table's slots.
pub(super) fn entries(table: &Frequencies) -> impl Iterator<Item = u32> {
    table.freq().iter().zip(0u32..).flat_map(|(&f, symbol)| {
        let f = u32::from(f);
        (0..f).map(move |offset| f << 20 | offset << 8 | symbol)
    })
}
