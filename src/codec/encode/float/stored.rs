//! The float that a tensor is stored as, and the magnitudes that its scale is fitted to.

use crate::dtype::DType;
use crate::plane::float::Element;
use crate::plane::narrow;
use crate::predict::scale_fit::Magnitudes;
use std::borrow::Cow;
use std::marker::PhantomData;

/// The narrowest float that holds every value, and the values as such.
pub(super) fn narrowed(dtype: DType, data: &[u8]) -> (DType, Cow<'_, [u8]>) {
    let singles = |data: &[u8]| {
        data.as_chunks()
            .0
            .iter()
            .map(|b| u32::from_le_bytes(*b))
            .collect::<Vec<_>>()
    };
    let of_singles = |singles: &[u32]| -> Option<(DType, Vec<u8>)> {
        if singles.iter().all(|s| s & 0xffff == 0) {
            return Some((
                DType::BF16,
                singles.iter().flat_map(|s| ((s >> 16) as u16).to_le_bytes()).collect(),
            ));
        }
        // Most tensors show within a few values that they are not halves.
        singles.iter().all(|&s| narrow::f16_from_f32(s).is_some()).then(|| {
            let halves = singles.iter().filter_map(|&s| narrow::f16_from_f32(s));
            (DType::F16, halves.flat_map(u16::to_le_bytes).collect())
        })
    };
    match dtype {
        DType::F32 => match of_singles(&singles(data)) {
            Some((dtype, data)) => (dtype, data.into()),
            None => (dtype, data.into()),
        },
        DType::F64 => {
            let doubles = data
                .as_chunks()
                .0
                .iter()
                .map(|b| narrow::f32_from_f64(u64::from_le_bytes(*b)));
            match doubles.collect::<Option<Vec<u32>>>() {
                Some(singles) => (
                    DType::F32,
                    singles.iter().flat_map(|s| s.to_le_bytes()).collect::<Vec<_>>().into(),
                ),
                None => (dtype, data.into()),
            }
        }
        _ => (dtype, data.into()),
    }
}

/// A tensor as a matrix of magnitudes.
pub(super) struct FloatMatrix<'a, T> {
    pub(super) stored: DType,
    pub(super) data: &'a [u8],
    pub(super) columns: usize,
    pub(super) element: PhantomData<T>,
}

impl<T: Element> Magnitudes for FloatMatrix<'_, T> {
    #[inline(always)]
    fn write(&self, row: usize, column: usize, out: &mut [f32]) {
        let first = (row * self.columns + column) * T::BYTES;
        magnitudes::<T>(self.stored, &self.data[first..first + out.len() * T::BYTES], out);
    }
}

/// Finite magnitudes of elements; 0 for what is not finite.
#[inline(always)]
fn magnitudes<T: Element>(stored: DType, data: &[u8], out: &mut [f32]) {
    match stored {
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
        _ => {
            let Some(layout) = stored.float_layout() else { return };
            let bias = (1i32 << (layout.exponent - 1)) - 1;
            let mut values = vec![T::default(); out.len()];
            T::load(data, &mut values);
            for (out, value) in out.iter_mut().zip(values) {
                // Sixteen mantissa bits are plenty for a mean; NaN and Inf are taken as large values.
                let bits = value.wide() & (u64::MAX >> (64 - layout.exponent - layout.mantissa));
                let exponent = (bits >> layout.mantissa) as i32;
                let mantissa = bits & ((1 << layout.mantissa) - 1);
                let significand = mantissa | u64::from(exponent > 0) << layout.mantissa;
                let scale = (exponent.max(1) - bias - layout.mantissa as i32).clamp(-126, 127);
                *out = significand as f32 * f32::from_bits(((scale + 127) as u32) << 23);
                if !out.is_finite() {
                    *out = 0.0;
                }
            }
        }
    }
}
