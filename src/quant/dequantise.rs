//! Levels to weights.

use super::steps::{Steps, widen};
use super::{LEVEL_LIMIT, ZERO_SYMBOL};
use crate::backend::Backend;
use crate::dtype::DType;
#[cfg(feature = "eval")]
use crate::plane::narrow::f32_from_f16;
use crate::simd::{Work, vectorised};

/// Element types that levels make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Float {
    Bf16,
    F16,
    F32,
}

impl Float {
    /// `None` if levels cannot make the type.
    pub(crate) fn of(dtype: DType) -> Option<Self> {
        match dtype {
            DType::BF16 => Some(Self::Bf16),
            DType::F16 => Some(Self::F16),
            DType::F32 => Some(Self::F32),
            _ => None,
        }
    }

    /// Bytes of an element.
    #[cfg(feature = "encode")]
    pub(crate) fn bytes(self) -> usize {
        if self == Self::F32 { 4 } else { 2 }
    }

    /// The weight next to a number.
    #[cfg(feature = "eval")]
    #[inline(always)]
    pub(crate) fn round(self, value: f32) -> f32 {
        match self {
            Self::Bf16 => widen(bf16(value)),
            Self::F16 => f32::from_bits(f32_from_f16(f16(value))),
            Self::F32 => value,
        }
    }

    /// Writes a weight.
    #[inline(always)]
    pub(crate) fn write(self, value: f32, out: &mut [u8]) {
        match self {
            Self::Bf16 => out.copy_from_slice(&bf16(value).to_le_bytes()),
            Self::F16 => out.copy_from_slice(&f16(value).to_le_bytes()),
            Self::F32 => out.copy_from_slice(&value.to_le_bytes()),
        }
    }
}

/// Writes the weights of elements `first..` of the row-major matrix, a symbol each; little-endian.
///
/// # Panics
/// If a length does not fit the others, or the matrix does not have those elements.
pub(crate) fn dequantise(backend: Backend, steps: &Steps, float: Float, first: usize, symbols: &[u8], out: &mut [u8]) {
    vectorised(
        backend,
        Dequantise {
            steps,
            float,
            first,
            symbols,
            out,
        },
    );
}

struct Dequantise<'a> {
    steps: &'a Steps,
    float: Float,
    first: usize,
    symbols: &'a [u8],
    out: &'a mut [u8],
}

impl Work for Dequantise<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        match self.float {
            Float::Bf16 => self.rows(|value| bf16(value).to_le_bytes()),
            Float::F16 => self.rows(|value| f16(value).to_le_bytes()),
            Float::F32 => self.rows(f32::to_le_bytes),
        }
    }
}

impl Dequantise<'_> {
    #[inline(always)]
    fn rows<const N: usize>(self, bytes: impl Fn(f32) -> [u8; N]) {
        let columns = self.steps.columns();
        let (mut row, mut column) = (self.first / columns.len(), self.first % columns.len());
        let (mut symbols, mut out) = (self.symbols, self.out.as_chunks_mut::<N>().0);
        assert!(symbols.len() == out.len());
        while !symbols.is_empty() {
            let n = symbols.len().min(columns.len() - column);
            let (now, later) = symbols.split_at(n);
            let (to, rest) = out.split_at_mut(n);
            let factor = self.steps.row(row);
            for ((to, &symbol), &column) in to.iter_mut().zip(now).zip(&columns[column..column + n]) {
                let level = f32::from(i16::from(symbol) - ZERO_SYMBOL);
                *to = bytes(level * (factor * widen(column)));
            }
            (symbols, out) = (later, rest);
            row += 1;
            column = 0;
        }
    }
}

impl Steps {
    /// The weight of a level, as an F32.
    pub(crate) fn weight(&self, element: usize, level: i16) -> f32 {
        debug_assert!(level.abs() <= LEVEL_LIMIT);
        let (row, column) = (element / self.columns().len(), element % self.columns().len());
        f32::from(level) * (self.row(row) * widen(self.columns()[column]))
    }
}

/// To the nearest BF16, ties to even. The value is finite and far from overflow.
#[inline(always)]
fn bf16(value: f32) -> u16 {
    let bits = value.to_bits();
    ((bits + 0x7fff + (bits >> 16 & 1)) >> 16) as u16
}

/// To the nearest F16, ties to even; infinite above its range.
#[inline(always)]
fn f16(value: f32) -> u16 {
    let bits = value.to_bits();
    let (sign, magnitude) = ((bits >> 16 & 0x8000) as u16, bits & 0x7fff_ffff);
    // Below the normal ones, a sum whose unit is theirs rounds as it must.
    let small = (f32::from_bits(magnitude) + 0.5)
        .to_bits()
        .wrapping_sub(0.5f32.to_bits());
    let normal = (magnitude.wrapping_add(0xfff + (magnitude >> 13 & 1))).wrapping_sub(112 << 23) >> 13;
    let half = if magnitude < 113 << 23 { small } else { normal };
    let half = if magnitude >= 143 << 23 { 0x7c00 } else { half };
    sign | half as u16
}

#[cfg(all(test, feature = "encode"))]
mod tests {
    use super::*;
    use crate::plane::narrow::f32_from_f16;

    #[test]
    fn halves_are_the_nearest() {
        for half in 0..0x7c00u16 {
            let (value, next) = (
                f32::from_bits(f32_from_f16(half)),
                if half == 0x7bff {
                    65536.0
                } else {
                    f32::from_bits(f32_from_f16(half + 1))
                },
            );
            let middle = value / 2.0 + next / 2.0;
            let (below, above) = (
                f32::from_bits(middle.to_bits() - 1),
                f32::from_bits(middle.to_bits() + 1),
            );
            let even = half + (half & 1);
            for (x, expected) in [(value, half), (below, half), (middle, even), (above, half + 1)] {
                assert_eq!(f16(x), expected, "{x}");
                assert_eq!(f16(-x), 0x8000 | expected, "{x}");
            }
        }
        assert_eq!(f16(1e30), 0x7c00);
    }

    #[test]
    fn brain_floats_are_the_nearest() {
        for (x, expected) in [
            (1.0, 0x3f80u16),
            (1.003_906_2, 0x3f80),
            (1.003_907, 0x3f81),
            (1.011_718_7, 0x3f82),
            (-0.0, 0x8000),
        ] {
            assert_eq!(bf16(x), expected, "{x}");
        }
    }
}
