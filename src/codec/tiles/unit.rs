//! Units as tiles see them: order-preserving integers, and the symbols that stand for them.
//!
//! Prediction needs integers whose order is that of the numbers, so that close numbers have a small
//! difference. A unit that nothing predicts is coded as the other methods would: a float by its
//! token, a byte as it is.

use super::context::PLAIN;
use crate::bits::BitReader;
use crate::dtype::DType;
use crate::plane::{float::FloatSplit, hybrid};
#[cfg(feature = "encode")]
use crate::predict::tile::from_signed;
use crate::predict::tile::{Predictor, to_signed};

/// Mantissa bits in the token of a float that nothing predicts, if it has as many.
const TOKEN_MANTISSA: u32 = 2;
/// Most bits of such a token.
const TOKEN_BITS: u32 = 12;
/// The symbol of a token outside the window, which follows in the raw bits.
pub(crate) const ESCAPE: u8 = 255;

/// The units of a tensor.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Units {
    bits: u32,
    pub(in crate::codec) order: Order,
    pub(in crate::codec) plain: Plain,
}

/// How bit patterns become integers of the same order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::codec) enum Order {
    /// They are.
    Unsigned,
    /// Two's complement: the sign bit is flipped.
    Signed,
    /// Sign and magnitude: the sign bit is flipped, and with it all others of a negative number.
    Float,
}

/// What the symbol of a unit is that is neither predicted nor transformed.
#[derive(Clone, Copy, Debug)]
pub(in crate::codec) enum Plain {
    /// The token of a float above the base, or [`ESCAPE`]; then raw bits.
    Float(FloatSplit),
    /// The integer.
    Byte,
    /// The token of a hybrid integer, as everywhere else.
    Hybrid,
}

impl Units {
    /// `base` is the token of symbol 0, for floats.
    pub(crate) fn new(dtype: DType, base: u16) -> Self {
        let bits = 8 * dtype.unit_bytes() as u32;
        let (order, plain) = match (dtype, dtype.float_layout()) {
            (_, Some(layout)) => {
                let token_mantissa = layout.mantissa.min(TOKEN_MANTISSA).min(TOKEN_BITS - layout.exponent);
                (
                    Order::Float,
                    Plain::Float(FloatSplit {
                        layout,
                        token_mantissa,
                        base,
                        fraction_bits: 0,
                        zeros: 0,
                    }),
                )
            }
            (DType::I8, _) => (Order::Signed, Plain::Byte),
            (DType::I16 | DType::I32 | DType::I64, _) => (Order::Signed, Plain::Hybrid),
            _ if bits == 8 => (Order::Unsigned, Plain::Byte),
            _ => (Order::Unsigned, Plain::Hybrid),
        };
        Self { bits, order, plain }
    }

    /// Bits of a unit: 8, 16, 32 or 64.
    pub(crate) fn bits(&self) -> u32 {
        self.bits
    }

    fn sign(&self) -> u64 {
        1 << (self.bits - 1)
    }

    fn mask(&self) -> u64 {
        u64::MAX >> (64 - self.bits)
    }

    /// The integer of a bit pattern.
    #[inline(always)]
    pub(crate) fn ordered(&self, pattern: u64) -> u64 {
        match self.order {
            Order::Unsigned => pattern,
            Order::Float if pattern & self.sign() != 0 => !pattern & self.mask(),
            _ => pattern ^ self.sign(),
        }
    }

    /// The bit pattern of an integer.
    #[inline(always)]
    pub(crate) fn pattern(&self, ordered: u64) -> u64 {
        match self.order {
            Order::Unsigned => ordered,
            Order::Float if ordered & self.sign() == 0 => !ordered & self.mask(),
            _ => ordered ^ self.sign(),
        }
    }

    /// How many raw bits follow a symbol.
    #[inline(always)]
    pub(crate) fn raw_bits(&self, context: u8, symbol: u8) -> u32 {
        match self.plain {
            Plain::Float(split) if context == PLAIN => {
                split.raw_bits() + if symbol == ESCAPE { split.token_bits() } else { 0 }
            }
            Plain::Byte if context == PLAIN => 0,
            _ => hybrid::raw_bits(symbol),
        }
    }

    /// The signed numbers of symbols and their raw bits: residuals, coefficients, or (plain) the
    /// units less the middle of their range. `None` if the raw bits are cut off.
    pub(crate) fn read(&self, contexts: &[u8], symbols: &[u8], raw: &mut BitReader, out: &mut [i64]) -> Option<()> {
        // Of integers of several bytes no context says anything.
        if matches!(self.plain, Plain::Hybrid) {
            for (value, &symbol) in out.iter_mut().zip(symbols) {
                let (least, bits) = hybrid::OF_TOKEN[usize::from(symbol)];
                *value = hybrid::unzigzag(least | raw.bits(bits.into())?);
            }
            return Some(());
        }
        for ((value, &symbol), &context) in out.iter_mut().zip(symbols).zip(contexts) {
            *value = self.number(context, symbol, raw)?;
        }
        Some(())
    }

    #[inline(always)]
    fn number(&self, context: u8, symbol: u8, raw: &mut BitReader) -> Option<i64> {
        let bits = raw.bits(self.raw_bits(context, symbol))?;
        Some(match self.plain {
            Plain::Float(split) if context == PLAIN => {
                let (token, bits) = match symbol {
                    ESCAPE => (bits as u16, bits >> split.token_bits()),
                    _ => (split.base.wrapping_add(u16::from(symbol)), bits),
                };
                let token = u64::from(token & split.token_mask());
                let low = split.low_bits();
                let pattern = bits >> low << (self.bits - 1) | token << low | bits & ((1 << low) - 1);
                to_signed(Predictor::None, self.ordered(pattern), self.bits)
            }
            Plain::Byte if context == PLAIN => to_signed(Predictor::None, symbol.into(), self.bits),
            _ => hybrid::unzigzag(hybrid::join(symbol, bits)),
        })
    }
}

#[cfg(feature = "encode")]
impl Units {
    /// The symbol of a signed number, its raw bits, and how many they are; what `read` undoes.
    #[inline(always)]
    pub(crate) fn split(&self, context: u8, signed: i64) -> (u8, u64, u32) {
        match self.plain {
            Plain::Float(split) if context == PLAIN => {
                let pattern = self.pattern(from_signed(Predictor::None, signed, self.bits));
                let (token, low) = (self.token(split, pattern), split.low_bits());
                let raw = pattern >> (self.bits - 1) << low | pattern & ((1 << low) - 1);
                match token.wrapping_sub(split.base) & split.token_mask() {
                    symbol if symbol < u16::from(ESCAPE) => (symbol as u8, raw, split.raw_bits()),
                    _ => (ESCAPE, raw << split.token_bits() | u64::from(token), self.bits),
                }
            }
            Plain::Byte if context == PLAIN => (from_signed(Predictor::None, signed, self.bits) as u8, 0, 0),
            _ => hybrid::split(hybrid::zigzag(signed)),
        }
    }

    fn token(&self, split: FloatSplit, pattern: u64) -> u16 {
        (pattern >> split.low_bits()) as u16 & split.token_mask()
    }

    /// The base for floats: where most tokens are within the window.
    pub(crate) fn base(&self, ordered: impl Iterator<Item = u64>) -> u16 {
        let Plain::Float(split) = self.plain else { return 0 };
        let mut counts = vec![0u64; 1 << split.token_bits()];
        ordered.for_each(|o| counts[usize::from(self.token(split, self.pattern(o)))] += 1);
        let window = usize::from(ESCAPE).min(counts.len());
        let mut inside: u64 = counts[..window].iter().sum();
        let mut best = (inside, 0);
        for base in 1..=counts.len() - window {
            inside = inside - counts[base - 1] + counts[base + window - 1];
            if inside > best.0 {
                best = (inside, base as u16);
            }
        }
        best.1
    }

    /// With another base.
    pub(crate) fn with_base(mut self, base: u16) -> Self {
        if let Plain::Float(split) = &mut self.plain {
            split.base = base;
        }
        self
    }

    /// The base that it has, 0 if it has no use for one.
    pub(crate) fn base_token(&self) -> u16 {
        match self.plain {
            Plain::Float(split) => split.base,
            _ => 0,
        }
    }
}
