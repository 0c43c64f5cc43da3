//! Planes of raw bits.
//!
//! `b` raw bits an element are cut from the top into pieces of 8, 4, 2 and 1 bits (as many 8s as
//! fit, then the binary digits of the rest), and each piece of all elements of a chunk is one plane.
//! Within a plane, 256 elements are a group: a piece of `p` bits takes `32 p` bytes there, and byte
//! `t` holds, from its low bits up, the pieces of elements `t, t + 32 p, t + 64 p, …`. So any 32
//! consecutive elements lie in 32 consecutive bytes at one shift, which suits vectors and warps
//! alike. A last group of `n < 256` elements has `ceil(n / 8)` in the place of 32.

/// Elements of a full group.
pub(crate) const GROUP: usize = 256;

/// Sizes of the pieces of `bits` raw bits, from the top.
pub(crate) fn pieces(bits: u32) -> impl Iterator<Item = u32> + Clone {
    std::iter::repeat_n(8, (bits / 8) as usize).chain([4, 2, 1].into_iter().filter(move |p| bits & p != 0))
}

/// Bytes of a plane of `p`-bit pieces of `n` elements.
pub(crate) fn plane_len(n: usize, p: u32) -> usize {
    n.div_ceil(8) * p as usize
}

/// Bytes of all planes of `bits` raw bits of `n` elements.
pub(crate) fn planes_len(n: usize, bits: u32) -> usize {
    n.div_ceil(8) * bits as usize
}

/// Bytes of a plane that are not stored there but carried by the entropy coder's start states: the
/// last 64 of the last plane, or all of it if it is shorter.
pub(crate) fn seeded_len(n: usize, bits: u32) -> usize {
    pieces(bits).last().map_or(0, |p| plane_len(n, p).min(64))
}

/// Adds the pieces of a group to the raw values collected so far: `r = r << p | piece`.
///
/// `values` are the group's elements, at most 256; `plane` its bytes.
#[inline(always)]
pub(crate) fn unpack_group<T: Raw>(values: &mut [T], plane: &[u8], p: u32) {
    let mask = ((1u32 << p) - 1) as u8;
    let slice = values.len().div_ceil(8) * p as usize;
    for (q, values) in values.chunks_mut(slice).enumerate() {
        let shift = q as u32 * p;
        for (value, &byte) in values.iter_mut().zip(plane) {
            *value = value.append(byte >> shift & mask, p);
        }
    }
}

/// Writes the pieces at bit `low` of a group's raw values to its zeroed bytes of the plane.
#[cfg(feature = "encode")]
#[inline(always)]
pub(crate) fn pack_group<T: Raw>(values: &[T], plane: &mut [u8], p: u32, low: u32) {
    let mask = ((1u32 << p) - 1) as u8;
    let slice = values.len().div_ceil(8) * p as usize;
    for (q, values) in values.chunks(slice).enumerate() {
        let shift = q as u32 * p;
        for (value, byte) in values.iter().zip(&mut *plane) {
            *byte |= (value.byte_at(low) & mask) << shift;
        }
    }
}

/// An unsigned integer that holds the raw bits of an element.
pub(crate) trait Raw: Copy + Default {
    /// `self << count | bits`.
    fn append(self, bits: u8, count: u32) -> Self;
    /// The eight bits from bit `low` up.
    #[cfg(feature = "encode")]
    fn byte_at(self, low: u32) -> u8;
}

macro_rules! raw {
    ($($t:ty)*) => {$(
        impl Raw for $t {
            #[inline(always)]
            fn append(self, bits: u8, count: u32) -> Self {
                // A shift by the whole width only happens on a fresh 0.
                self.wrapping_shl(count) * Self::from(count < Self::BITS) | Self::from(bits)
            }
            #[cfg(feature = "encode")]
            #[inline(always)]
            fn byte_at(self, low: u32) -> u8 {
                (self >> low) as u8
            }
        }
    )*};
}
raw!(u8 u16 u32 u64);

#[cfg(all(test, feature = "encode"))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn pieces_add_up() {
        for bits in 1..=64 {
            assert_eq!(pieces(bits).sum::<u32>(), bits);
            assert_eq!(pieces(bits).map(|p| plane_len(1000, p)).sum::<usize>(), planes_len(1000, bits));
        }
        assert_eq!(pieces(22).collect::<Vec<_>>(), [8, 8, 4, 2]);
    }

    proptest! {
        #[test]
        fn groups_round_trip(values in proptest::collection::vec(any::<u64>(), 1..=GROUP), bits in 1u32..=64) {
            let values: Vec<u64> = values.iter().map(|v| v & (u64::MAX >> (64 - bits))).collect();
            let mut out = vec![0u64; values.len()];
            let mut low = bits;
            for p in pieces(bits) {
                low -= p;
                let mut plane = vec![0u8; plane_len(values.len(), p)];
                pack_group(&values, &mut plane, p, low);
                unpack_group(&mut out, &plane, p);
            }
            prop_assert_eq!(out, values);
        }
    }
}
