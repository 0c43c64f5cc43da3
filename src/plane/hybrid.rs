//! Hybrid integers: a token for the size, raw bits for the rest.
//!
//! Values below 16 are their own token. Above, the token holds the position of the leading bit and
//! the two bits under it, and the bits under those are raw. All 2^64 values fit 256 tokens. (The
//! scheme is JPEG XL's hybrid unsigned integer, ISO/IEC 18181-1, with fixed parameters.)

pub(crate) const DIRECT: u64 = 16;

/// Token, raw bits, and how many raw bits there are.
#[cfg(feature = "encode")]
pub(crate) fn split(value: u64) -> (u8, u64, u32) {
    if value < DIRECT {
        return (value as u8, 0, 0);
    }
    let exponent = value.ilog2();
    let count = exponent - 2;
    let top = (value >> count) & 3;
    (
        (DIRECT + u64::from(exponent - 4) * 4 + top) as u8,
        value & ((1 << count) - 1),
        count,
    )
}

/// How many raw bits follow a token.
pub(crate) const fn raw_bits(token: u8) -> u32 {
    if (token as u64) < DIRECT {
        0
    } else {
        (token as u32 - 16) / 4 + 2
    }
}

/// Of every token the least value, and how many raw bits are added to it.
pub(crate) const OF_TOKEN: [(u64, u8); 256] = {
    let mut all = [(0, 0); 256];
    let mut token = 0;
    while token < 256 {
        all[token] = (join(token as u8, 0), raw_bits(token as u8) as u8);
        token += 1;
    }
    all
};

/// The value of a token and its raw bits.
pub(crate) const fn join(token: u8, raw: u64) -> u64 {
    if (token as u64) < DIRECT {
        return token as u64;
    }
    let top = 4 | (token as u64 & 3);
    top << raw_bits(token) | raw
}

/// Signed to unsigned, small magnitudes to small values: 0, -1, 1, -2, …
#[cfg(feature = "encode")]
pub(crate) fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63) as u64
}

/// The inverse of `zigzag`.
pub(crate) fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

#[cfg(all(test, feature = "encode"))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_value_round_trips(value: u64, shift in 0u32..64) {
            let value = value >> shift;
            let (token, raw, count) = split(value);
            prop_assert_eq!(raw_bits(token), count);
            prop_assert!(raw < 1 << count);
            prop_assert_eq!(join(token, raw), value);
            prop_assert_eq!(zigzag(unzigzag(value)), value);
        }
    }

    #[test]
    fn extremes() {
        assert_eq!(split(u64::MAX).0, 255);
        assert_eq!(join(255, (1 << 61) - 1), u64::MAX);
        assert_eq!([0, -1, 1, i64::MIN].map(zigzag), [0, 1, 2, u64::MAX]);
    }
}
