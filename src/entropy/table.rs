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
/// Mirrored tables have entries for the upper half of the slots only, with magnitudes in place of symbols: from
/// the middle down, slots are those of the opposite symbols in reverse.
///
/// Invariant (vector gathers rely on it): `entries().len() == count << slot_bits`, `count` a power of
/// two; so every context masked by `count - 1` and every slot below `1 << slot_bits` has an entry.
#[derive(Debug)]
pub(crate) struct DecodeTables {
    /// One a context; of mirrored ones, those of magnitudes.
    tables: Vec<Frequencies>,
    /// Made when a symbol is first looked up: many tensors are searched in only.
    entries: OnceLock<Vec<u32>>,
    prob_bits: u32,
    count: usize,
    /// Symbol of magnitude 0 in mirrored tables.
    zero: Option<u8>,
    #[cfg(target_arch = "x86_64")]
    search: Option<SearchTables>,
}

impl DecodeTables {
    /// Tables for contexts `0..tables.len()`; further contexts up to the next power of two repeat
    /// the last table. `None` if there is no table, too many, or they differ in `prob_bits`.
    pub(crate) fn new(tables: &[Frequencies]) -> Option<Self> {
        Self::with(tables, None)
    }

    /// As [`new`](Self::new), of tables of magnitudes that are mirrored around `zero`. `None` also if a magnitude
    /// reaches beyond the symbols.
    pub(crate) fn mirrored(magnitudes: &[Frequencies], zero: u8) -> Option<Self> {
        let whole = magnitudes.iter().all(|m| m.mirrored(zero.into()).is_some());
        whole.then(|| Self::with(magnitudes, Some(zero)))?
    }

    fn with(tables: &[Frequencies], zero: Option<u8>) -> Option<Self> {
        let last = tables.last()?;
        let slot_bits = last.prob_bits();
        if tables.len() > MAX_TABLES || tables.iter().any(|t| t.prob_bits() != slot_bits) {
            return None;
        }
        let count = tables.len().next_power_of_two();
        let context = |context: usize| tables.get(context).unwrap_or(last).clone();
        Some(Self {
            tables: (0..count).map(context).collect(),
            entries: OnceLock::new(),
            prob_bits: slot_bits + u32::from(zero.is_some()),
            count,
            zero,
            #[cfg(target_arch = "x86_64")]
            search: SearchTables::new(tables),
        })
    }

    pub(crate) fn entries(&self) -> &[u32] {
        self.entries.get_or_init(|| {
            let len = self.count << self.slot_bits();
            let mut all = Vec::with_capacity(len);
            for table in &self.tables {
                let first = all.len();
                add_entries(table, &mut all);
                if self.zero.is_some() {
                    // Magnitude 0 has both halves; these are its slots from the middle up.
                    let zeros = u32::from(table.freq()[0]);
                    all[first..][..zeros as usize]
                        .iter_mut()
                        .for_each(|e| *e += zeros << 20 | zeros << 8);
                }
            }
            assert_eq!(all.len(), len, "frequencies sum to their total");
            all
        })
    }

    /// The entries of all slots, mirrored or not.
    #[cfg(feature = "kernels")]
    pub(crate) fn all_entries(&self) -> Vec<u32> {
        let Some(zero) = self.zero else {
            return self.entries().to_vec();
        };
        let mut all = Vec::new();
        let mirrored = self.tables.iter().filter_map(|t| t.mirrored(zero.into()));
        mirrored.for_each(|table| add_entries(&table, &mut all));
        all
    }

    pub(crate) fn prob_bits(&self) -> u32 {
        self.prob_bits
    }

    /// Bits of a slot that has an entry.
    pub(crate) fn slot_bits(&self) -> u32 {
        self.prob_bits - u32::from(self.zero.is_some())
    }

    /// Number of tables, a power of two.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Symbol of magnitude 0 if the tables are mirrored.
    pub(crate) fn zero(&self) -> Option<u8> {
        self.zero
    }

    /// The same tables to search in, if that is faster: for magnitudes if they are mirrored.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn search(&self) -> Option<&SearchTables> {
        self.search.as_ref()
    }
}

/// Adds the entries of one table's slots.
pub(super) fn add_entries(table: &Frequencies, all: &mut Vec<u32>) {
    for (&f, symbol) in table.freq().iter().zip(0u32..).filter(|&(&f, _)| f > 0) {
        let f = u32::from(f);
        // A symbol at a time, so that it is done with vectors: small tensors have as many slots as weights.
        all.extend((0..f).map(|offset| f << 20 | offset << 8 | symbol));
    }
}

/// From a magnitude's entry for the upper half to that of its opposite's slot in the lower.
#[inline(always)]
pub(super) fn lower(entry: u32, zero: u32) -> u32 {
    // The offset is counted from the other end.
    let size = entry >> 12 & 0xf_ff00;
    (entry & 0xfff0_0000)
        .wrapping_add(size + zero)
        .wrapping_sub(0x100 + (entry & 0xf_ffff))
}
