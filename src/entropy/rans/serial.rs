//! rANS with a single lane, inside a bit stream: for the short side information of a tensor's head.

use super::STATE_LOW;
use crate::bits::BitReader;
#[cfg(feature = "encode")]
use crate::bits::BitWriter;
use crate::entropy::{Frequencies, table};

/// Decodes `count` symbols: a 32-bit state, then 16-bit words as they are wanted.
pub(crate) fn decode(table: &Frequencies, reader: &mut BitReader, count: usize) -> Result<Vec<u8>, &'static str> {
    const SHORT: &str = "side information is cut off";
    let bits = table.prob_bits();
    let entries = table::entries(table);
    let mut symbols = Vec::new();
    symbols
        .try_reserve_exact(count)
        .map_err(|_| "no memory for side information")?;
    let mut x = reader.bits(32).ok_or(SHORT)? as u32;
    for _ in 0..count {
        let entry = entries[(x & ((1 << bits) - 1)) as usize];
        symbols.push(entry as u8);
        x = (entry >> 20).wrapping_mul(x >> bits).wrapping_add(entry >> 8 & 0xfff);
        // Whether a word is taken is a coin toss: no branch.
        let (word, empty) = (reader.peek() as u32 & 0xffff, x < STATE_LOW);
        x = if empty { x << 16 | word } else { x };
        reader.skip(16 * u32::from(empty));
    }
    reader.bits(0).ok_or(SHORT)?;
    if x != STATE_LOW {
        return Err("the side information's coder does not end at its start state");
    }
    Ok(symbols)
}

/// Encodes symbols that all have room in `table`.
#[cfg(feature = "encode")]
pub(crate) fn encode(table: &Frequencies, symbols: &[u8], writer: &mut BitWriter) {
    let bits = table.prob_bits();
    let mut words = Vec::new();
    let mut x = STATE_LOW;
    for &symbol in symbols.iter().rev() {
        let f = u32::from(table.freq()[usize::from(symbol)]);
        let start: u32 = table.freq()[..usize::from(symbol)].iter().map(|&f| u32::from(f)).sum();
        if x >= f << (32 - bits) {
            words.push(x as u16);
            x >>= 16;
        }
        x = (x / f) << bits | (x % f + start);
    }
    writer.bits(u64::from(x), 32);
    words.iter().rev().for_each(|&w| writer.bits(u64::from(w), 16));
}
