//! The float that a tensor is stored as, and the magnitudes that its scale is fitted to.

use crate::dtype::DType;
use crate::plane::float::Element;
use crate::plane::narrow;
use crate::predict::scale_fit::Magnitudes;
use std::ops::Range;

/// The values of a tensor of floats, as the narrowest float that holds them all.
#[derive(Clone, Copy)]
pub(super) struct Values<'a> {
    /// What they are stored as.
    pub(super) stored: DType,
    /// What they are given as.
    given: DType,
    data: &'a [u8],
}

impl<'a> Values<'a> {
    /// `given` is a float.
    pub(super) fn new(given: DType, data: &'a [u8]) -> Self {
        let singles = || data.as_chunks().0.iter().map(|b| u32::from_le_bytes(*b));
        let mut doubles = data.as_chunks().0.iter().map(|b| u64::from_le_bytes(*b));
        let stored = match given {
            DType::F32 if singles().all(|s| s & 0xffff == 0) => DType::BF16,
            // Most tensors show within a few values that they are not halves.
            DType::F32 if singles().all(|s| narrow::f16_from_f32(s).is_some()) => DType::F16,
            DType::F64 if doubles.all(|d| narrow::f32_from_f64(d).is_some()) => DType::F32,
            _ => given,
        };
        Self { stored, given, data }
    }

    /// How many there are.
    pub(super) fn len(self) -> usize {
        self.data.len() / self.given.unit_bytes()
    }

    /// Where they are in the data.
    pub(super) fn bytes(self, units: Range<usize>) -> Range<usize> {
        let bytes = self.given.unit_bytes();
        units.start * bytes..units.end * bytes
    }

    fn slice(self, first: usize, len: usize) -> &'a [u8] {
        &self.data[self.bytes(first..first + len)]
    }

    /// Reads those from `first` on. `T` is an element of what they are stored as.
    #[inline(always)]
    pub(super) fn load<T: Element>(self, first: usize, values: &mut [T]) {
        let data = self.slice(first, values.len());
        let singles = data.as_chunks().0.iter().map(|b| u32::from_le_bytes(*b));
        match (self.given, self.stored) {
            (DType::F32, DType::BF16) => {
                for (value, single) in values.iter_mut().zip(singles) {
                    *value = T::of_wide(u64::from(single >> 16));
                }
            }
            (DType::F32, DType::F16) => {
                for (value, single) in values.iter_mut().zip(singles) {
                    // All were seen to be halves.
                    *value = T::of_wide(u64::from(narrow::f16_from_f32(single).unwrap_or(0)));
                }
            }
            (DType::F64, DType::F32) => {
                let doubles = data.as_chunks().0.iter().map(|b| u64::from_le_bytes(*b));
                for (value, double) in values.iter_mut().zip(doubles) {
                    *value = T::of_wide(u64::from(narrow::f32_from_f64(double).unwrap_or(0)));
                }
            }
            _ => T::load(data, values),
        }
    }
}

/// A tensor as a matrix of magnitudes.
pub(super) struct FloatMatrix<'a> {
    pub(super) values: Values<'a>,
    pub(super) columns: usize,
}

impl Magnitudes for FloatMatrix<'_> {
    #[inline(always)]
    fn write(&self, row: usize, column: usize, out: &mut [f32]) {
        let data = self.values.slice(row * self.columns + column, out.len());
        magnitudes(self.values.given, data, out);
    }
}

/// Finite magnitudes of elements; 0 for what is not finite.
#[inline(always)]
fn magnitudes(given: DType, data: &[u8], out: &mut [f32]) {
    match given {
        DType::BF16 => {
            for (out, b) in out.iter_mut().zip(data.as_chunks::<2>().0) {
                let magnitude = u16::from_le_bytes(*b) & 0x7fff;
                let finite = if magnitude < 0x7f80 { magnitude } else { 0 };
                *out = f32::from_bits(u32::from(finite) << 16);
            }
        }
        DType::F16 => {
            for (out, b) in out.iter_mut().zip(data.as_chunks::<2>().0) {
                let magnitude = u16::from_le_bytes(*b) & 0x7fff;
                let finite = if magnitude < 0x7c00 { magnitude } else { 0 };
                // Exponents are 112 apart; the product makes a subnormal what it is.
                *out = f32::from_bits(u32::from(finite) << 13) * f32::from_bits((127 + 112) << 23);
            }
        }
        DType::F32 => {
            for (out, b) in out.iter_mut().zip(data.as_chunks::<4>().0) {
                let magnitude = u32::from_le_bytes(*b) & 0x7fff_ffff;
                *out = f32::from_bits(if magnitude < 0x7f80_0000 { magnitude } else { 0 });
            }
        }
        DType::F64 => {
            for (out, b) in out.iter_mut().zip(data.as_chunks::<8>().0) {
                let magnitude = f64::from_le_bytes(*b).abs() as f32;
                *out = if magnitude.is_finite() { magnitude } else { 0.0 };
            }
        }
        _ => {
            let Some(layout) = given.float_layout() else { return };
            let bias = (1i32 << (layout.exponent - 1)) - 1;
            for (out, byte) in out.iter_mut().zip(data) {
                // NaN and Inf are taken as large values.
                let bits = u32::from(byte & 0x7f);
                let exponent = (bits >> layout.mantissa) as i32;
                let mantissa = bits & ((1 << layout.mantissa) - 1);
                let significand = mantissa | u32::from(exponent > 0) << layout.mantissa;
                let scale = exponent.max(1) - bias - layout.mantissa as i32;
                *out = significand as f32 * f32::from_bits(((scale + 127) as u32) << 23);
            }
        }
    }
}
