//! Levels to weights.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;

use super::LEVEL_LIMIT;
use super::steps::{Steps, widen};
use crate::backend::Backend;
use crate::dtype::DType;
use crate::entropy::signed::integer;
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
    rows(steps, float, first, symbols, out, |mut part, mut out| {
        let done = part.begin(backend, out);
        if done > 0 {
            (part.columns, part.levels) = (&part.columns[done..], &part.levels[done..]);
            out = &mut out[done * float.bytes()..];
        }
        if !out.is_empty() {
            vectorised(backend, Dequantise { part, out });
        }
    });
}

/// As [`dequantise`], of levels of any size.
pub(crate) fn weights(backend: Backend, steps: &Steps, float: Float, first: usize, levels: &[i16], out: &mut [u8]) {
    rows(steps, float, first, levels, out, |part, out| {
        vectorised(backend, Dequantise { part, out });
    });
}

/// Cuts elements where rows end.
fn rows<L>(
    steps: &Steps,
    float: Float,
    first: usize,
    mut levels: &[L],
    mut out: &mut [u8],
    each: impl Fn(Part<L>, &mut [u8]),
) {
    let columns = steps.columns();
    let (mut row, mut column) = (first / columns.len(), first % columns.len());
    assert!(levels.len() * float.bytes() == out.len());
    while !levels.is_empty() {
        let n = levels.len().min(columns.len() - column);
        let (now, later) = out.split_at_mut(n * float.bytes());
        let part = Part {
            float,
            factor: steps.row(row),
            columns: &columns[column..column + n],
            levels: &levels[..n],
        };
        each(part, now);
        (levels, out) = (&levels[n..], later);
        (row, column) = (row + 1, 0);
    }
}

/// What stands for a level.
trait Level: Copy {
    fn number(self) -> f32;
}

/// A symbol.
impl Level for u8 {
    #[inline(always)]
    fn number(self) -> f32 {
        f32::from(integer(self))
    }
}

/// Itself.
impl Level for i16 {
    #[inline(always)]
    fn number(self) -> f32 {
        f32::from(self)
    }
}

/// A part of a row.
#[derive(Clone, Copy)]
struct Part<'a, L> {
    float: Float,
    factor: f32,
    /// Factors of the columns, as BF16.
    columns: &'a [u16],
    levels: &'a [L],
}

impl Part<'_, u8> {
    /// Writes the first weights with instructions made for them; gives their number, 0 if there are none such.
    #[cfg(target_arch = "x86_64")]
    fn begin(self, backend: Backend, out: &mut [u8]) -> usize {
        match (backend, self.float) {
            (Backend::Avx512, Float::Bf16) if avx512::is_available() => {
                let out = out.as_chunks_mut().0;
                avx512::row(self.factor, self.columns, self.levels, out)
            }
            (Backend::Avx2, Float::Bf16) => avx2::row(self.factor, self.columns, self.levels, out.as_chunks_mut().0),
            _ => 0,
        }
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn begin(self, _: Backend, _: &mut [u8]) -> usize {
        0
    }
}

struct Dequantise<'a, L> {
    part: Part<'a, L>,
    out: &'a mut [u8],
}

impl<L: Level> Work for Dequantise<'_, L> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        match self.part.float {
            Float::Bf16 => self.write(|value| bf16(value).to_le_bytes()),
            Float::F16 => self.write(|value| f16(value).to_le_bytes()),
            Float::F32 => self.write(f32::to_le_bytes),
        }
    }
}

impl<L: Level> Dequantise<'_, L> {
    #[inline(always)]
    fn write<const N: usize>(self, bytes: impl Fn(f32) -> [u8; N]) {
        let part = self.part;
        let out = self.out.as_chunks_mut().0;
        for ((to, level), &column) in out.iter_mut().zip(part.levels).zip(part.columns) {
            *to = bytes(level.number() * (part.factor * widen(column)));
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
    fn every_backend_gives_the_weights_nearest() {
        let spread =
            |n: usize, least: f32| -> Vec<f32> { (0..n).map(|i| (i as f32 * 0.73 % 15.0 + least).exp2()).collect() };
        for (rows, columns, least) in [(9, 131, -8.0), (40, 33, 20.0), (3, 64, -40.0)] {
            let steps = Steps::near(&spread(rows, least), &spread(columns, least)).unwrap();
            let (first, n) = (columns / 3, rows * columns - columns / 2);
            let symbols: Vec<u8> = (0..n)
                .map(|i| (i * 89 % 256) as u8)
                .map(|s| if s == 1 { 0 } else { s })
                .collect();
            for float in [Float::Bf16, Float::F16, Float::F32] {
                let mut expected = vec![0; n * float.bytes()];
                for (i, (to, &symbol)) in expected.chunks_mut(float.bytes()).zip(&symbols).enumerate() {
                    float.write(steps.weight(first + i, integer(symbol)), to);
                }
                for backend in Backend::available() {
                    let mut out = vec![0xaa; expected.len()];
                    dequantise(backend, &steps, float, first, &symbols, &mut out);
                    assert!(out == expected, "{backend} {float:?}");
                }
            }
        }
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
