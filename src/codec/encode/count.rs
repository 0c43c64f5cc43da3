//! Counting tokens, and turning counts into a window, tables and a price.

use crate::cost::{COST_BITS, log2};
use crate::entropy::{Frequencies, SYMBOLS};

/// Counts of tokens under each context.
pub(super) struct TokenCounts {
    /// Tokens that there can be, a power of two.
    tokens: usize,
    /// Of each key, as neighbouring keys take turns: so that runs of one token do not wait for each
    /// other, and side by side, as tables at a power of two from each other share places in the cache
    /// (AMD EPYC Zen 5: 0.3 ns a token, 2 ns with four tables).
    counts: Vec<[u32; WAYS]>,
}

const WAYS: usize = 4;

impl TokenCounts {
    pub(super) fn new(contexts: usize, token_bits: u32) -> Self {
        let tokens = 1 << token_bits;
        Self {
            tokens,
            counts: vec![[0; WAYS]; contexts * tokens],
        }
    }

    /// Counts keys: `context << token_bits | token`.
    ///
    /// # Panics
    /// If a context or token is out of range.
    pub(super) fn add(&mut self, keys: &[u16]) {
        for keys in keys.chunks(WAYS) {
            for (way, &key) in keys.iter().enumerate() {
                self.counts[usize::from(key)][way] += 1;
            }
        }
    }

    /// The counts of each context.
    pub(super) fn finish(self) -> Vec<Vec<u64>> {
        let sum = |ways: &[u32; WAYS]| ways.iter().map(|&n| u64::from(n)).sum();
        let contexts = self.counts.chunks(self.tokens);
        contexts.map(|counts| counts.iter().map(sum).collect()).collect()
    }
}

/// Bits of an escape in the chunk, besides the symbol that stands in for it.
pub(super) const ESCAPE_BITS: u64 = 32;

/// A window of 256 tokens and a frequency table for each context.
pub(super) struct Tables {
    /// Token of symbol 0.
    pub(super) base: u16,
    pub(super) frequencies: Vec<Frequencies>,
    /// Coded size of the counted tokens with their escapes, in 2^-16 bits.
    pub(super) cost: u64,
}

impl Tables {
    /// The window that covers most, and in it room for every token that pays for its room.
    pub(super) fn build(counts: &[Vec<u64>], prob_bits: u32) -> Self {
        let tokens = counts.first().map_or(0, Vec::len);
        let all: Vec<u64> = (0..tokens).map(|t| counts.iter().map(|c| c[t]).sum()).collect();
        // Windows wrap around, as tokens do.
        let width = SYMBOLS.min(tokens);
        let mut inside: u64 = all[..width].iter().sum();
        let (mut best, mut base) = (inside, 0);
        for start in 1..tokens {
            inside = inside - all[start - 1] + all[(start + width - 1) % tokens];
            if inside > best {
                (best, base) = (inside, start);
            }
        }
        // Where less than a window is used, it starts at the first token.
        while all[base] == 0 && all[(base + width) % tokens] == 0 && best > 0 {
            base = (base + 1) % tokens;
        }
        let (mut frequencies, mut cost) = (Vec::new(), 0);
        for counts in counts {
            let total: u64 = counts.iter().sum();
            let mut kept = [0u64; SYMBOLS];
            for (symbol, kept) in kept[..width].iter_mut().enumerate() {
                let count = counts[(base + symbol) % tokens];
                // Room for a rare token takes a slot (1.44 / 2^prob_bits bits of every other) and a
                // few bits of the table; without it each occurrence costs an escape.
                let saved = u128::from(count) * u128::from(ESCAPE_BITS + 4 - u64::from(prob_bits).min(12));
                if count > 0 && (saved << prob_bits) > u128::from(total) * 3 / 2 + (6 << prob_bits) {
                    *kept = count;
                }
            }
            let table = Frequencies::normalise(&kept, prob_bits);
            let escaped = total - kept.iter().sum::<u64>();
            let likeliest = u64::from(table.freq().iter().copied().max().unwrap_or(1));
            let stand_in = (u64::from(prob_bits) << COST_BITS) - log2(likeliest);
            cost += table.cost(&kept) + escaped * ((ESCAPE_BITS << COST_BITS) + stand_in);
            frequencies.push(table);
        }
        Self {
            base: base as u16,
            frequencies,
            cost,
        }
    }
}
