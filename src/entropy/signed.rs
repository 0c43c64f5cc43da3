//! Small signed integers: a token of the magnitude that is entropy coded, and bits that are stored raw in the coder's
//! state.
//!
//! A *symbol* is a byte, twice the magnitude and 1 for those below 0. Its token names a run of `2^(n - 1)` magnitudes;
//! its low `n` bits, the place in the run and the sign, are as good as random, and are coded as such. Magnitude 0 has
//! no sign, and no raw bits.

#[cfg(feature = "encode")]
use super::{Frequencies, SYMBOLS};

/// Tokens, from 0.
pub(crate) const TOKENS: usize = 31;
/// Largest magnitude that has a token.
pub(crate) const MAX_MAGNITUDE: usize = 127;

/// Of each token the least symbol, and its raw bits, at most 5: so a symbol takes at most a word of the stream, as
/// probabilities have 11 at most. Magnitudes are by themselves up to 15, then in runs of 2 and 4
/// (four each), 8 (three) and 16 (four).
pub(crate) const OF_TOKEN: [(u8, u8); TOKENS] = {
    let mut tokens = [(0, 0); TOKENS];
    let (mut token, mut magnitude) = (1, 1u8);
    while token < TOKENS {
        let bits = match token {
            ..16 => 0,
            16..20 => 1,
            20..24 => 2,
            24..27 => 3,
            _ => 4,
        };
        tokens[token] = (2 * magnitude, bits + 1);
        magnitude += 1 << bits;
        token += 1;
    }
    assert!(magnitude as usize == MAX_MAGNITUDE + 1);
    tokens
};

/// The token of every magnitude.
#[cfg(feature = "encode")]
pub(crate) const OF_MAGNITUDE: [u8; MAX_MAGNITUDE + 1] = {
    let mut tokens = [0; MAX_MAGNITUDE + 1];
    let (mut token, mut magnitude) = (0, 0);
    while magnitude <= MAX_MAGNITUDE {
        if token + 1 < TOKENS && 2 * magnitude >= OF_TOKEN[token + 1].0 as usize {
            token += 1;
        }
        tokens[magnitude] = token as u8;
        magnitude += 1;
    }
    tokens
};

/// The integer of a symbol.
#[inline(always)]
pub(crate) fn integer(symbol: u8) -> i16 {
    let (magnitude, sign) = (i16::from(symbol >> 1), i16::from(symbol & 1));
    (magnitude ^ -sign) + sign
}

/// The symbol of an integer whose magnitude has a token.
#[cfg(feature = "encode")]
pub(crate) fn symbol(integer: i16) -> Option<u8> {
    let magnitude = usize::from(integer.unsigned_abs());
    (magnitude <= MAX_MAGNITUDE).then_some((2 * magnitude) as u8 | u8::from(integer < 0))
}

/// A table of counted tokens: as [`Frequencies::normalise`], but the neighbour of a lone last token is one, too.
#[cfg(feature = "encode")]
pub(crate) fn normalise(counts: &[u64; SYMBOLS], prob_bits: u32) -> Frequencies {
    let mut counts = *counts;
    if counts[..TOKENS - 1].iter().all(|&c| c == 0) && counts[TOKENS - 1] > 0 {
        counts[TOKENS - 2] = 1;
    }
    Frequencies::normalise(&counts, prob_bits)
}

/// A decode table's entry of a slot, from bit 0: raw bits (3), least magnitude of the token (7), slot less the
/// token's first slot (11), frequency (11).
pub(crate) fn entry(token: usize, offset: u32, frequency: u32) -> u32 {
    let (least, bits) = OF_TOKEN[token];
    frequency << 21 | offset << 10 | u32::from(least) << 2 | u32::from(bits)
}

#[cfg(all(test, feature = "encode"))]
mod tests {
    use super::*;
    use crate::entropy::DecodeTables;

    #[test]
    fn every_small_integer_has_its_symbol_and_token() {
        for i in -(MAX_MAGNITUDE as i16)..=MAX_MAGNITUDE as i16 {
            let symbol = symbol(i).unwrap();
            assert_eq!(integer(symbol), i);
            let (least, bits) = OF_TOKEN[usize::from(OF_MAGNITUDE[usize::from(i.unsigned_abs())])];
            // The low bits are raw, and those above are the token's.
            assert_eq!(symbol >> bits << bits, least, "{i}");
            assert!(bits <= 5 && (bits > 0 || i == 0));
        }
        assert_eq!(symbol(128), None);
    }

    #[test]
    fn a_lone_token_has_a_table_that_decodes() {
        for only in 0..TOKENS {
            let mut counts = [0; SYMBOLS];
            counts[only] = 9000;
            let table = normalise(&counts, 11);
            assert!(table.freq()[only] > 2000);
            assert!(DecodeTables::signed(&[table]).is_some(), "{only}");
        }
    }
}
