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

/// Collects the raw bits of full group `g` of the planes.
#[inline(always)]
pub(crate) fn unpack<T: Raw>(values: &mut [T; GROUP], planes: &[&[u8]], g: usize, bits: u32) {
    // A piece size that the compiler knows makes every loop below a few vector instructions.
    let mut plane = 0;
    for _ in 0..bits / 8 {
        unpack_piece::<T, 8, GROUP>(values, planes[plane], g);
        plane += 1;
    }
    if bits & 4 != 0 {
        unpack_piece::<T, 4, 128>(values, planes[plane], g);
        plane += 1;
    }
    if bits & 2 != 0 {
        unpack_piece::<T, 2, 64>(values, planes[plane], g);
        plane += 1;
    }
    if bits & 1 != 0 {
        unpack_piece::<T, 1, 32>(values, planes[plane], g);
    }
}

/// Adds pieces of `P` bits, of which a full group has `SLICE = 32 P` bytes.
#[inline(always)]
fn unpack_piece<T: Raw, const P: u32, const SLICE: usize>(values: &mut [T; GROUP], plane: &[u8], g: usize) {
    let Some(bytes) = plane[g * SLICE..].first_chunk::<SLICE>() else {
        unreachable!("a full group")
    };
    let mask = ((1u32 << P) - 1) as u8;
    for (q, values) in values.as_chunks_mut::<SLICE>().0.iter_mut().enumerate() {
        for (value, byte) in values.iter_mut().zip(bytes) {
            *value = value.append::<P>(byte >> (q as u32 * P) & mask);
        }
    }
}

/// Collects the raw bits of a last group `g`, of `values.len()` elements.
pub(crate) fn unpack_short<T: Raw>(values: &mut [T], planes: &[&[u8]], g: usize, bits: u32) {
    for (p, plane) in pieces(bits).zip(planes) {
        let plane = &plane[g * plane_len(GROUP, p)..];
        let mask = ((1u32 << p) - 1) as u8;
        let slice = plane_len(values.len(), p);
        for (q, values) in values.chunks_mut(slice).enumerate() {
            for (value, &byte) in values.iter_mut().zip(plane) {
                let piece = byte >> (q as u32 * p) & mask;
                *value = match p {
                    8 => value.append::<8>(piece),
                    4 => value.append::<4>(piece),
                    2 => value.append::<2>(piece),
                    _ => value.append::<1>(piece),
                };
            }
        }
    }
}

/// Writes the pieces at bit `low` of a group's raw values to its bytes of the plane.
#[cfg(feature = "encode")]
#[inline(always)]
pub(crate) fn pack_group<T: Raw>(values: &[T], plane: &mut [u8], p: u32, low: u32) {
    match (<&[T; GROUP]>::try_from(values), p) {
        // Sizes that the compiler knows make every loop a few vector instructions.
        (Ok(values), 8) => pack_full::<T, 8, GROUP>(values, plane, low),
        (Ok(values), 4) => pack_full::<T, 4, 128>(values, plane, low),
        (Ok(values), 2) => pack_full::<T, 2, 64>(values, plane, low),
        (Ok(values), _) => pack_full::<T, 1, 32>(values, plane, low),
        _ => {
            let mask = ((1u32 << p) - 1) as u8;
            let slice = plane_len(values.len(), p);
            plane[..slice].fill(0);
            for (q, values) in values.chunks(slice).enumerate() {
                for (value, byte) in values.iter().zip(&mut *plane) {
                    *byte |= (value.byte_at(low) & mask) << (q as u32 * p);
                }
            }
        }
    }
}

/// Packs pieces of `P` bits, of which a full group has `SLICE = 32 P` bytes.
#[cfg(feature = "encode")]
#[inline(always)]
fn pack_full<T: Raw, const P: u32, const SLICE: usize>(values: &[T; GROUP], plane: &mut [u8], low: u32) {
    let mask = ((1u32 << P) - 1) as u8;
    let mut bytes = [0u8; SLICE];
    for (q, values) in values.as_chunks::<SLICE>().0.iter().enumerate() {
        for (byte, value) in bytes.iter_mut().zip(values) {
            *byte |= (value.byte_at(low) & mask) << (q as u32 * P);
        }
    }
    plane[..SLICE].copy_from_slice(&bytes);
}

/// An unsigned integer that holds the raw bits of an element.
pub(crate) trait Raw: Copy + Default {
    /// `self << P | bits`.
    fn append<const P: u32>(self, bits: u8) -> Self;
    /// The eight bits from bit `low` up.
    #[cfg(feature = "encode")]
    fn byte_at(self, low: u32) -> u8;
}

macro_rules! raw {
    ($($t:ty)*) => {$(
        impl Raw for $t {
            #[inline(always)]
            fn append<const P: u32>(self, bits: u8) -> Self {
                // Only a fresh 0 is shifted by its whole width.
                (if P < Self::BITS { self << P } else { 0 }) | Self::from(bits)
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
            assert_eq!(
                pieces(bits).map(|p| plane_len(1000, p)).sum::<usize>(),
                planes_len(1000, bits)
            );
        }
        assert_eq!(pieces(22).collect::<Vec<_>>(), [8, 8, 4, 2]);
    }

    proptest! {
        #[test]
        fn groups_round_trip(values in proptest::collection::vec(any::<u64>(), 1..=GROUP), full: bool, bits in 1u32..=64) {
            let mut values: Vec<u64> = values.iter().map(|v| v & (u64::MAX >> (64 - bits))).collect();
            values.resize(if full { GROUP } else { values.len() }, 1);
            let mut low = bits;
            let mut planes = Vec::new();
            for p in pieces(bits) {
                low -= p;
                let mut plane = vec![0u8; plane_len(values.len(), p)];
                pack_group(&values, &mut plane, p, low);
                planes.push(plane);
            }
            let planes: Vec<&[u8]> = planes.iter().map(|p| &p[..]).collect();
            let mut out = vec![0u64; values.len()];
            unpack_short(&mut out, &planes, 0, bits);
            prop_assert_eq!(&out, &values);
            if values.len() == GROUP {
                let mut out = [0u64; GROUP];
                unpack(&mut out, &planes, 0, bits);
                prop_assert_eq!(&out[..], &values);
            }
        }
    }
}
