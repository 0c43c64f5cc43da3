//! Frequency tables: how often each symbol occurs, out of `2^prob_bits`.

use crate::bits::BitReader;
#[cfg(feature = "encode")]
use crate::bits::BitWriter;
#[cfg(feature = "encode")]
use crate::cost::{COST_BITS, log2};
use crate::format::MAX_PROB_BITS;

/// Symbols an alphabet can have.
pub(crate) const SYMBOLS: usize = 256;

/// One normalised frequency table.
///
/// Invariant: the 256 frequencies sum to exactly `1 << prob_bits`, and each is below
/// `1 << prob_bits` (so at least two symbols are present). `parse` and `normalise` are the only
/// constructors, and both establish it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frequencies {
    prob_bits: u32,
    freq: [u16; SYMBOLS],
}

impl Frequencies {
    pub(crate) fn prob_bits(&self) -> u32 {
        self.prob_bits
    }

    pub(crate) fn freq(&self) -> &[u16; SYMBOLS] {
        &self.freq
    }

    /// Reads a table as `write` lays it out (SPEC, "Frequency tables").
    ///
    /// # Errors
    /// A sentence that says what is wrong with the table.
    pub(crate) fn parse(reader: &mut BitReader, prob_bits: u32) -> Result<Self, &'static str> {
        const SHORT: &str = "a frequency table is cut off";
        let first = reader.bits(8).ok_or(SHORT)? as usize;
        let last = reader.bits(8).ok_or(SHORT)? as usize;
        if first >= last {
            return Err("a frequency table names fewer than two symbols");
        }
        let (mut freq, mut sum, mut length) = ([0u16; SYMBOLS], 0u32, 0i32);
        for slot in &mut freq[first..=last] {
            let zigzag = reader.unary(2 * (MAX_PROB_BITS + 1)).ok_or(SHORT)? as i32;
            length += if zigzag & 1 == 1 { (zigzag + 1) / 2 } else { -zigzag / 2 };
            if !(0..=prob_bits as i32).contains(&length) {
                return Err("a frequency is out of range");
            }
            if length > 0 {
                let low = reader.bits(length as u32 - 1).ok_or(SHORT)?;
                *slot = (1 << (length - 1) | low) as u16;
                sum += u32::from(*slot);
            }
        }
        if freq[first] == 0 || freq[last] == 0 {
            return Err("a frequency table names a first or last symbol that it gives no room");
        }
        if sum != 1 << prob_bits {
            return Err("a frequency table does not sum to its total");
        }
        Ok(Self { prob_bits, freq })
    }
}

#[cfg(feature = "encode")]
impl Frequencies {
    /// Scales counts to a total of `1 << prob_bits`, each counted symbol keeping at least 1, so that
    /// the coded size of the counted symbols is least.
    ///
    /// Rounds down, then gives what is left, one unit at a time, where it saves the most bits; the
    /// result depends on the counts alone.
    pub(crate) fn normalise(counts: &[u64; SYMBOLS], prob_bits: u32) -> Self {
        let total: u64 = counts.iter().sum();
        let target = 1u32 << prob_bits;
        let mut counts = *counts;
        if counts.iter().filter(|&&c| c > 0).count() < 2 {
            // A table needs two symbols: a neighbour is given the least room.
            let only = counts.iter().position(|&c| c > 0).unwrap_or(0);
            let mut freq = [0u16; SYMBOLS];
            freq[only] = (target - 1) as u16;
            freq[if only == 255 { 254 } else { only + 1 }] = 1;
            return Self { prob_bits, freq };
        }
        // A total below 2^48 keeps the product below within 2^60.
        let shift = 64 - total.leading_zeros().min(64);
        let scale = shift.saturating_sub(48);
        if scale > 0 {
            counts
                .iter_mut()
                .filter(|c| **c > 0)
                .for_each(|c| *c = (*c >> scale).max(1));
        }
        let total: u64 = counts.iter().sum();
        let mut freq = [0u16; SYMBOLS];
        let mut sum = 0u32;
        for (f, &c) in freq.iter_mut().zip(&counts) {
            if c > 0 {
                *f = ((c << prob_bits) / total).clamp(1, u64::from(target) - 1) as u16;
                sum += u32::from(*f);
            }
        }
        // Adding a unit to f saves c * log2(1 + 1/f) bits, about c / (f + 1/2): compared as the
        // integer (2c << 16) / (2f + 1), so that every platform decides alike.
        let weight = |c: u64, f2: u64| (u128::from(c) << 32) / u128::from(f2);
        while sum < target {
            let best = (0..SYMBOLS)
                .filter(|&s| counts[s] > 0)
                .max_by_key(|&s| (weight(counts[s], 2 * u64::from(freq[s]) + 1), 255 - s));
            let Some(best) = best else { break };
            freq[best] += 1;
            sum += 1;
        }
        while sum > target {
            let best = (0..SYMBOLS)
                .filter(|&s| freq[s] > 1)
                .min_by_key(|&s| (weight(counts[s], 2 * u64::from(freq[s]) - 1), s));
            let Some(best) = best else { break };
            freq[best] -= 1;
            sum -= 1;
        }
        Self { prob_bits, freq }
    }

    /// Writes the table: first and last symbol, then for each symbol between them the length of its
    /// frequency in bits, as the zigzag difference from the length before it in unary, and the
    /// frequency's bits below the leading one.
    pub(crate) fn write(&self, writer: &mut BitWriter) {
        let first = self.freq.iter().position(|&f| f > 0).unwrap_or(0);
        let last = self.freq.iter().rposition(|&f| f > 0).unwrap_or(0);
        writer.bits(first as u64, 8);
        writer.bits(last as u64, 8);
        let mut before = 0i32;
        for &f in &self.freq[first..=last] {
            let length = (u16::BITS - f.leading_zeros()) as i32;
            let step = length - before;
            writer.unary(if step > 0 { 2 * step - 1 } else { -2 * step } as u32);
            if length > 0 {
                writer.bits(u64::from(f) & ((1 << (length - 1)) - 1), length as u32 - 1);
            }
            before = length;
        }
    }

    /// Size of the counted symbols with this table, in 2^-16 bits, before the coder's own overhead.
    /// Symbols without room are not counted.
    pub(crate) fn cost(&self, counts: &[u64; SYMBOLS]) -> u64 {
        let full = u64::from(self.prob_bits) << COST_BITS;
        let used = self.freq.iter().zip(counts).filter(|&(&f, &c)| f > 0 && c > 0);
        used.map(|(&f, &c)| c * (full - log2(u64::from(f)))).sum()
    }

    /// Bits that `write` takes.
    pub(crate) fn bits(&self) -> u64 {
        let mut writer = BitWriter::default();
        self.write(&mut writer);
        writer.len()
    }
}

#[cfg(all(test, feature = "encode"))]
mod tests {
    use super::*;
    use crate::format::MIN_PROB_BITS;
    use proptest::prelude::*;

    fn round_trip(table: &Frequencies) -> Frequencies {
        let mut writer = BitWriter::default();
        table.write(&mut writer);
        let bytes = writer.finish();
        Frequencies::parse(&mut BitReader::new(&bytes), table.prob_bits()).unwrap()
    }

    proptest! {
        #[test]
        fn normalised_tables_sum_cover_and_round_trip(
            sparse in proptest::collection::vec((0usize..256, 1u64..1 << 40), 0..256),
            prob_bits in MIN_PROB_BITS..=MAX_PROB_BITS,
        ) {
            let mut counts = [0u64; SYMBOLS];
            sparse.iter().for_each(|&(s, c)| counts[s] += c);
            let table = Frequencies::normalise(&counts, prob_bits);
            prop_assert_eq!(table.freq.iter().map(|&f| u32::from(f)).sum::<u32>(), 1 << prob_bits);
            prop_assert!(table.freq.iter().all(|&f| u32::from(f) < 1 << prob_bits));
            prop_assert!(counts.iter().zip(&table.freq).all(|(&c, &f)| c == 0 || f > 0));
            prop_assert_eq!(round_trip(&table), table);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(table) = Frequencies::parse(&mut BitReader::new(&bytes), 11) {
                prop_assert_eq!(table.freq.iter().map(|&f| u32::from(f)).sum::<u32>(), 1 << 11);
            }
        }
    }

    #[test]
    fn one_symbol_costs_next_to_nothing() {
        let mut counts = [0u64; SYMBOLS];
        counts[255] = 1 << 20;
        let table = Frequencies::normalise(&counts, 11);
        assert!(table.cost(&counts) >> COST_BITS < 1000);
    }
}
