//! Floats: token plane + raw bits.
//!
//! Of an element `sign | exponent | mantissa`, the token is the exponent and the top `token_mantissa`
//! bits of the mantissa; the raw bits are the sign above the rest of the mantissa. The token itself
//! is `base + symbol + (step >> fraction_bits << token_mantissa)`, modulo its width: the element's
//! scale step moves the window of 256 symbols by whole octaves. Raw bits end above the mantissa bits
//! that are 0 in all elements of a chunk.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod full;

use super::{narrow, raw};
use crate::backend::Backend;
use crate::dtype::{DType, FloatLayout};
use crate::simd::{Work, vectorised};

const BF16: FloatLayout = FloatLayout {
    exponent: 8,
    mantissa: 7,
};
const F16: FloatLayout = FloatLayout {
    exponent: 5,
    mantissa: 10,
};
const F32: FloatLayout = FloatLayout {
    exponent: 8,
    mantissa: 23,
};

/// Where an element is cut, and how symbols become tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FloatSplit {
    /// The float that is cut; narrower than the tensor's if its values are.
    pub(crate) layout: FloatLayout,
    /// Mantissa bits in the token.
    pub(crate) token_mantissa: u32,
    /// Token of symbol 0 at step 0.
    pub(crate) base: u16,
    /// Bits of a scale step below a whole octave.
    pub(crate) fraction_bits: u32,
    /// Bits at the end of the mantissa that are 0 in every element, and are not kept.
    pub(crate) zeros: u32,
}

impl FloatSplit {
    pub(crate) fn token_bits(self) -> u32 {
        self.layout.exponent + self.token_mantissa
    }

    /// Mantissa bits that are raw.
    pub(crate) fn low_bits(self) -> u32 {
        self.layout.mantissa - self.token_mantissa
    }

    /// Bits besides the token that are kept.
    pub(crate) fn raw_bits(self) -> u32 {
        self.low_bits() - self.zeros + 1
    }

    /// What the scale step adds to a token.
    #[inline(always)]
    pub(crate) fn shift(self, step: u8) -> u16 {
        u16::from(step) >> self.fraction_bits << self.token_mantissa
    }

    /// The same split, its numbers as the caller knows them to be.
    #[inline(always)]
    fn with(self, layout: FloatLayout, token_mantissa: u32, fraction_bits: u32) -> Self {
        Self {
            layout,
            token_mantissa,
            base: self.base,
            fraction_bits,
            zeros: 0,
        }
    }

    #[inline(always)]
    pub(crate) fn token_mask(self) -> u16 {
        ((1u32 << self.token_bits()) - 1) as u16
    }
}

/// How joined elements are stored: as they are, or widened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Widen {
    None,
    Bf16ToF32,
    F16ToF32,
    F32ToF64,
}

impl Widen {
    /// How a tensor of `to` is made from elements of `from`.
    pub(crate) fn between(from: DType, to: DType) -> Option<Self> {
        match (from, to) {
            (from, to) if from == to => Some(Self::None),
            (DType::BF16, DType::F32) => Some(Self::Bf16ToF32),
            (DType::F16, DType::F32) => Some(Self::F16ToF32),
            (DType::F32, DType::F64) => Some(Self::F32ToF64),
            _ => None,
        }
    }
}

/// An escaped element: its token did not fit the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Escape {
    /// Element within the chunk.
    pub(crate) position: u32,
    pub(crate) token: u16,
}

/// One block of a chunk to join: whole groups of 256 elements, but for the chunk's end.
pub(crate) struct Block<'a> {
    pub(crate) split: FloatSplit,
    pub(crate) widen: Widen,
    /// One an element.
    pub(crate) symbols: &'a [u8],
    /// One an element, or empty: all 0.
    pub(crate) steps: &'a [u8],
    /// The block's bytes of each raw plane, from the top piece.
    pub(crate) planes: &'a [&'a [u8]],
    /// Escapes within the block; positions count from `first`.
    pub(crate) escapes: &'a [Escape],
    pub(crate) first: u32,
}

/// Joins a block into little-endian elements.
///
/// # Panics
/// If a length does not fit the others.
pub(crate) fn join(backend: Backend, block: &Block, out: &mut [u8]) {
    let from = join_full(backend, block, out);
    if from < block.symbols.len() {
        vectorised(backend, Join { block, from, out });
    }
}

/// Joins the full groups of 16-bit elements with instructions made for them. Returns the elements joined: 0 if there
/// are no such instructions.
#[cfg(target_arch = "x86_64")]
fn join_full(backend: Backend, block: &Block, out: &mut [u8]) -> usize {
    if block.split.layout.bytes() != 2 || block.split.zeros > 0 || block.widen != Widen::None {
        return 0;
    }
    match backend {
        Backend::Avx2 => avx2::join(block, out),
        Backend::Avx512 => avx512::join(block, out),
        _ => return 0,
    }
    let joined = block.symbols.len() / raw::GROUP * raw::GROUP;
    let values = &mut out.as_chunks_mut().0[..joined];
    for escape in block.escapes {
        if let Some(value) = values.get_mut((escape.position - block.first) as usize) {
            *value = u16::from_le_bytes(*value)
                .replace_token(block.split, escape.token)
                .to_le_bytes();
        }
    }
    joined
}

#[cfg(not(target_arch = "x86_64"))]
fn join_full(_: Backend, _: &Block, _: &mut [u8]) -> usize {
    0
}

/// Joins the elements from `from` on, the first of a group.
struct Join<'a, 'b> {
    block: &'a Block<'b>,
    from: usize,
    out: &'a mut [u8],
}

impl Work for Join<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        join_by_layout(self.block, self.from, self.out);
    }
}

/// The common splits again as constants, so that shifts and pieces unroll.
#[inline(always)]
fn join_by_layout(block: &Block, from: usize, out: &mut [u8]) {
    let s = block.split;
    let (mantissa, fraction) = (s.token_mantissa, s.fraction_bits);
    match (s.zeros, s.layout, mantissa, fraction) {
        (0, BF16, 2, 2) => join_groups::<u16>(block, from, s.with(BF16, 2, 2), out),
        (0, BF16, 2, _) => join_groups::<u16>(block, from, s.with(BF16, 2, fraction), out),
        (0, BF16, 3, _) => join_groups::<u16>(block, from, s.with(BF16, 3, fraction), out),
        (0, F16, 2, _) => join_groups::<u16>(block, from, s.with(F16, 2, fraction), out),
        (0, F16, 3, _) => join_groups::<u16>(block, from, s.with(F16, 3, fraction), out),
        (0, F32, 2, _) => join_groups::<u32>(block, from, s.with(F32, 2, fraction), out),
        _ => match s.layout.bytes() {
            1 => join_groups::<u8>(block, from, s, out),
            2 => join_groups::<u16>(block, from, s, out),
            4 => join_groups::<u32>(block, from, s, out),
            _ => join_groups::<u64>(block, from, s, out),
        },
    }
}

#[inline(always)]
fn join_groups<T: Element>(block: &Block, from: usize, split: FloatSplit, out: &mut [u8]) {
    let size = match block.widen {
        Widen::None => T::BYTES,
        _ => 2 * T::BYTES,
    };
    assert!(out.len() == block.symbols.len() * size);
    let joined = block
        .escapes
        .partition_point(|e| ((e.position - block.first) as usize) < from);
    let mut escapes = block.escapes[joined..].iter().peekable();
    let groups = block.symbols.chunks(raw::GROUP).zip(out.chunks_mut(raw::GROUP * size));
    for (g, (symbols, out)) in groups.enumerate().skip(from / raw::GROUP) {
        let steps = block.steps.get(g * raw::GROUP..).unwrap_or(&[]);
        let start = block.first + (g * raw::GROUP) as u32;
        let end = start + symbols.len() as u32;
        let mut values = [T::default(); raw::GROUP];
        match <&[u8; raw::GROUP]>::try_from(symbols) {
            // Full groups have sizes that the compiler knows: everything unrolls into vectors.
            Ok(symbols) => {
                raw::unpack(&mut values, block.planes, g, split.raw_bits());
                join_tokens(split, &mut values, symbols, steps);
            }
            Err(_) => {
                let values = &mut values[..symbols.len()];
                raw::unpack_short(values, block.planes, g, split.raw_bits());
                join_tokens(split, values, symbols, steps);
            }
        }
        let values = &mut values[..symbols.len()];
        while let Some(escape) = escapes.next_if(|e| e.position < end) {
            let at = (escape.position - start) as usize;
            values[at] = values[at].replace_token(split, escape.token);
        }
        T::store(values, block.widen, out);
    }
}

/// Turns raw bits into elements.
#[inline(always)]
fn join_tokens<T: Element>(split: FloatSplit, values: &mut [T], symbols: &[u8], steps: &[u8]) {
    if steps.is_empty() {
        for (value, &symbol) in values.iter_mut().zip(symbols) {
            *value = value.with_token(split, split.base.wrapping_add(u16::from(symbol)));
        }
    } else {
        for ((value, &symbol), &step) in values.iter_mut().zip(symbols).zip(steps) {
            let token = split
                .base
                .wrapping_add(u16::from(symbol))
                .wrapping_add(split.shift(step));
            *value = value.with_token(split, token);
        }
    }
}

/// An unsigned integer with the bits of a float.
pub(crate) trait Element: raw::Raw + PartialEq {
    const BYTES: usize;
    /// `self` are raw bits: the element that they make with a token.
    fn with_token(self, split: FloatSplit, token: u16) -> Self;
    /// The element with another token.
    fn replace_token(self, split: FloatSplit, token: u16) -> Self;
    /// Writes little-endian elements, widened if need be.
    fn store(values: &[Self], widen: Widen, out: &mut [u8]);
    /// Token of an element.
    #[cfg(feature = "encode")]
    fn token(self, split: FloatSplit) -> u16;
    /// Raw bits of an element.
    #[cfg(feature = "encode")]
    fn raw(self, split: FloatSplit) -> Self;
    /// Reads little-endian elements.
    #[cfg(feature = "encode")]
    fn load(bytes: &[u8], values: &mut [Self]);
    /// How many of the lowest bits are 0 in all of the elements.
    #[cfg(feature = "encode")]
    fn low_zeros(values: &[Self]) -> u32;
    /// The element of these bits, those too many left out.
    #[cfg(feature = "encode")]
    fn of_wide(bits: u64) -> Self;
}

macro_rules! element {
    ($($t:ty, $widened:ident, $widen:expr;)*) => {$(
        impl Element for $t {
            const BYTES: usize = size_of::<$t>();

            #[inline(always)]
            fn with_token(self, split: FloatSplit, token: u16) -> Self {
                let (low, kept) = (split.low_bits(), split.raw_bits() - 1);
                let sign = self >> kept << (Self::BITS - 1);
                sign | ((token & split.token_mask()) as Self) << low | (self & ((1 << kept) - 1)) << split.zeros
            }

            fn replace_token(self, split: FloatSplit, token: u16) -> Self {
                let low = split.low_bits();
                let mask = (split.token_mask() as Self) << low;
                self & !mask | (token as Self) << low & mask
            }

            #[inline(always)]
            fn store(values: &[Self], widen: Widen, out: &mut [u8]) {
                match widen {
                    Widen::None => {
                        for (to, value) in out.as_chunks_mut().0.iter_mut().zip(values) {
                            *to = value.to_le_bytes();
                        }
                    }
                    _ => {
                        let widen = |v: $t| -> $widened { $widen(v, widen) };
                        for (to, &value) in out.as_chunks_mut().0.iter_mut().zip(values) {
                            *to = widen(value).to_le_bytes();
                        }
                    }
                }
            }

            #[cfg(feature = "encode")]
            #[inline(always)]
            fn token(self, split: FloatSplit) -> u16 {
                (self >> split.low_bits()) as u16 & split.token_mask()
            }

            #[cfg(feature = "encode")]
            #[inline(always)]
            fn raw(self, split: FloatSplit) -> Self {
                let low = split.low_bits();
                self >> (Self::BITS - 1) << (low - split.zeros) | (self & ((1 << low) - 1)) >> split.zeros
            }

            #[cfg(feature = "encode")]
            #[inline(always)]
            fn load(bytes: &[u8], values: &mut [Self]) {
                for (value, b) in values.iter_mut().zip(bytes.as_chunks().0) {
                    *value = Self::from_le_bytes(*b);
                }
            }

            #[cfg(feature = "encode")]
            #[inline(always)]
            fn low_zeros(values: &[Self]) -> u32 {
                values.iter().fold(0, |any, value| any | value).trailing_zeros()
            }

            #[cfg(feature = "encode")]
            #[inline(always)]
            fn of_wide(bits: u64) -> Self {
                bits as Self
            }
        }
    )*};
}

element! {
    u8, u16, |v: u8, _| u16::from(v);
    u16, u32, |v: u16, widen| if widen == Widen::F16ToF32 { narrow::f32_from_f16(v) } else { u32::from(v) << 16 };
    u32, u64, |v: u32, _| narrow::f64_from_f32(v);
    u64, u128, |v: u64, _| u128::from(v);
}
