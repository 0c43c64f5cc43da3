//! Search tables: finds a slot's symbol by a binary search whose every level fits vector registers.
//!
//! A decoder that looks symbols up needs a load a symbol, and loads are what limits it. Here the
//! first slots of a table's symbols are the nodes of a search tree instead, level by level, so that
//! one permute fetches the node of each of 32 lanes. No memory is read by a slot, and a tensor's
//! tables take 1 to 2 KiB of cache, not 8 to 64.

use super::freq::{Frequencies, SYMBOLS};
use super::signed::OF_TOKEN;

/// Nodes that one permute picks from.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct Block(pub(crate) [u16; Self::NODES]);

impl Block {
    pub(crate) const NODES: usize = 32;
}

/// The frequency tables of a tensor as search trees.
///
/// The path of a slot starts at its context (`context_bits` bits). Each level appends a bit: 1 if
/// the slot is below the node's threshold, so that symbols end up in descending order. The nodes of
/// a level are in the order of the paths that lead to them, a level below 32 nodes repeated to 32.
#[derive(Debug)]
pub(crate) struct SearchTables {
    blocks: Vec<Block>,
    context_bits: u32,
    depth: u32,
    /// Symbol at the end of a path of up to 6 levels, by its low 6 bits.
    symbols: [u8; 64],
    /// As `symbols` by the low 5 bits, of tokens of signed integers: the least symbol, and above its 8 bits the raw bits.
    tokens: Box<Block>,
}

/// Most bits of a path: beyond, levels are so many blocks that looking up is as fast.
const MAX_PATH_BITS: u32 = 10;

impl SearchTables {
    /// `None` if there are too many symbols and contexts for a search to be fast. The tables must be of one
    /// `prob_bits`; contexts beyond them, up to the next power of two, repeat the last.
    pub(crate) fn new(tables: &[Frequencies]) -> Option<Self> {
        let last = tables.last()?;
        let used: Vec<usize> = (0..SYMBOLS)
            .filter(|&s| tables.iter().any(|t| t.freq()[s] > 0))
            .collect();
        let context_bits = tables.len().next_power_of_two().ilog2();
        // Beyond 64 symbols all are leaves: a path is the complement of its symbol.
        let (leaves, depth) = match used.len().next_power_of_two().ilog2() {
            depth @ ..=6 => (used, depth),
            _ => {
                let depth = if *used.last()? < 128 { 7 } else { 8 };
                ((0..1 << depth).collect(), depth)
            }
        };
        if context_bits + depth > MAX_PATH_BITS {
            return None;
        }
        // First slot of each leaf. Leaves that are none start past the last slot.
        let starts = |context: usize| {
            let table = tables.get(context).unwrap_or(last);
            let mut next = 0;
            let mut starts = vec![1u16 << table.prob_bits(); 1 << depth];
            for (start, &symbol) in starts.iter_mut().zip(&leaves) {
                *start = next;
                next += table.freq()[symbol];
            }
            starts
        };
        let starts: Vec<_> = (0..1 << context_bits).map(starts).collect();
        let mut blocks = Vec::new();
        for level in 0..depth {
            let nodes = 1usize << (context_bits + level);
            let threshold = |node: usize| {
                let (context, path) = (node >> level & (starts.len() - 1), node & ((1 << level) - 1));
                let leaves = 1 << (depth - level);
                starts[context][((1 << level) - 1 - path) * leaves + leaves / 2]
            };
            let count = nodes.div_ceil(Block::NODES);
            blocks.extend((0..count).map(|b| Block(std::array::from_fn(|i| threshold(b * Block::NODES + i)))));
        }
        let symbol = |path: usize| {
            leaves
                .get((1 << depth) - 1 - path % (1 << depth))
                .map_or(0, |&s| s as u8)
        };
        Some(Self {
            blocks,
            context_bits,
            depth,
            symbols: std::array::from_fn(symbol),
            tokens: Box::new(Block(std::array::from_fn(|path| {
                let (least, bits) = *OF_TOKEN.get(usize::from(symbol(path))).unwrap_or(&(0, 0));
                u16::from(bits) << 8 | u16::from(least)
            }))),
        })
    }

    /// The levels from the root: for each, `2^max(0, path_bits - 5)` blocks.
    pub(crate) fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// The bits of a path at each level, from the root.
    pub(crate) fn path_bits(&self) -> std::ops::Range<u32> {
        self.context_bits..self.context_bits + self.depth
    }

    /// Symbols by the low 6 bits of a path; `None` if they are the complements of as many of its bits as there
    /// are levels.
    pub(crate) fn symbols(&self) -> Option<&[u8; 64]> {
        (self.depth <= 6).then_some(&self.symbols)
    }

    /// Tokens by the low 5 bits of a path, of tables of signed integers.
    pub(crate) fn tokens(&self) -> &Block {
        &self.tokens
    }

    /// Largest symbol that a path without a map ends at.
    pub(crate) fn last(&self) -> u8 {
        ((1u32 << self.depth) - 1) as u8
    }
}

#[cfg(all(test, feature = "encode"))]
mod tests {
    use super::*;
    use crate::entropy::DecodeTables;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn searching_finds_what_looking_up_finds(
            counted in proptest::collection::vec((0usize..16, 0usize..256, 1u64..1000), 1..400),
            count in 1usize..=16, symbols in 1usize..=256, prob_bits in 8u32..=12,
        ) {
            let mut counts = vec![[0u64; SYMBOLS]; count];
            counted.iter().for_each(|&(context, s, n)| counts[context % count][s % symbols] += n);
            let tables: Vec<_> = counts.iter().map(|c| Frequencies::normalise(c, prob_bits)).collect();
            let Some(search) = SearchTables::new(&tables) else { return Ok(()) };
            let entries = DecodeTables::new(&tables).unwrap();
            for (i, &entry) in entries.entries().iter().enumerate() {
                let slot = (i & ((1 << prob_bits) - 1)) as u16;
                let (mut path, mut least, mut most) = (i >> prob_bits, slot, slot.wrapping_sub(1 << prob_bits));
                let mut blocks = search.blocks();
                for bits in search.path_bits() {
                    let (level, rest) = blocks.split_at(1 << bits.saturating_sub(5));
                    let above = slot.wrapping_sub(level[path / 32 % level.len()].0[path % 32]);
                    path = path << 1 | usize::from(above >> 15);
                    (least, most, blocks) = (least.min(above), most.max(above), rest);
                }
                let symbol = search.symbols().map_or(!path as u8 & search.last(), |symbols| symbols[path % 64]);
                prop_assert_eq!(u32::from(symbol), entry & 0xff);
                prop_assert_eq!(u32::from(least), entry >> 8 & 0xfff);
                prop_assert_eq!(u32::from(least.wrapping_sub(most)), entry >> 20);
            }
        }
    }
}
