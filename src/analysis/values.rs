//! Elements as bit patterns and as numbers.

use crate::dtype::{DType, FloatLayout};
use crate::plane::narrow::f32_from_f16;

/// The bit patterns of a tensor's elements. `None` for types whose elements are not whole bytes.
pub(super) fn patterns(dtype: DType, data: &[u8]) -> Option<impl Iterator<Item = u64> + Clone> {
    if dtype.bits() < 8 || dtype == DType::C64 {
        return None;
    }
    let pattern = |unit: &[u8]| unit.iter().rev().fold(0, |all, &byte| all << 8 | u64::from(byte));
    Some(data.chunks_exact(dtype.unit_bytes()).map(pattern))
}

/// The number that a bit pattern stands for. `None` for types that are no numbers.
pub(super) fn number(dtype: DType) -> Option<fn(u64) -> f64> {
    Some(match dtype {
        DType::BF16 => |p| f64::from(f32::from_bits((p as u32) << 16)),
        DType::F16 => |p| f64::from(f32::from_bits(f32_from_f16(p as u16))),
        DType::F32 => |p| f64::from(f32::from_bits(p as u32)),
        DType::F64 => f64::from_bits,
        DType::F8_E5M2 => |p| f64::from(f32::from_bits(f32_from_f16((p as u16) << 8))),
        DType::F8_E4M3 => |p| e4m3(p as u8),
        DType::U8 | DType::BOOL | DType::U16 | DType::U32 | DType::U64 => |p| p as f64,
        DType::I8 => |p| f64::from(p as i8),
        DType::I16 => |p| f64::from(p as i16),
        DType::I32 => |p| f64::from(p as i32),
        DType::I64 => |p| p as i64 as f64,
        _ => return None,
    })
}

/// A tensor's elements as numbers, to the precision of F32. `None` for types that are no numbers.
pub fn numbers(dtype: DType, data: &[u8]) -> Option<Vec<f32>> {
    let number = number(dtype)?;
    Some(patterns(dtype, data)?.map(|p| number(p) as f32).collect())
}

/// FP8 with 4 exponent bits: no infinity, one NaN of each sign.
fn e4m3(pattern: u8) -> f64 {
    let (exponent, mantissa) = (i32::from(pattern >> 3 & 15), f64::from(pattern & 7));
    let magnitude = match (exponent, pattern & 7) {
        (15, 7) => f64::NAN,
        (0, _) => mantissa / 8.0 * 2f64.powi(-6),
        _ => (1.0 + mantissa / 8.0) * 2f64.powi(exponent - 7),
    };
    if pattern & 0x80 != 0 { -magnitude } else { magnitude }
}

/// Puts the top 16 bits of patterns (all of shorter ones) in the order of their numbers.
pub(super) fn key(dtype: DType) -> impl Fn(u64) -> u16 + Copy {
    let bits = dtype.bits() as u32;
    let float = dtype.float_layout().is_some();
    let signed = matches!(dtype, DType::I8 | DType::I16 | DType::I32 | DType::I64);
    let sign = 1u64 << (bits - 1);
    move |pattern| {
        let ordered = match pattern & sign != 0 {
            true if float => !pattern & (sign | (sign - 1)),
            false if float => pattern | sign,
            _ if signed => pattern ^ sign,
            _ => pattern,
        };
        (ordered >> bits.saturating_sub(16)) as u16
    }
}

/// The pattern of a key, its other bits 0.
pub(super) fn pattern(dtype: DType) -> impl Fn(u16) -> u64 {
    let bits = dtype.bits() as u32;
    let float = dtype.float_layout().is_some();
    let signed = matches!(dtype, DType::I8 | DType::I16 | DType::I32 | DType::I64);
    let sign = 1u64 << (bits - 1);
    move |key| {
        let shift = bits.saturating_sub(16);
        let mut ordered = u64::from(key) << shift;
        if float && ordered & sign == 0 {
            // Negative: they are turned over below.
            ordered |= (1 << shift) - 1;
        }
        match ordered & sign == 0 {
            true if float => !ordered & (sign | (sign - 1)),
            false if float => ordered ^ sign,
            _ if signed => ordered ^ sign,
            _ => ordered,
        }
    }
}

/// The layout of types that are split into sign, exponent and mantissa.
pub(super) fn layout(dtype: DType) -> Option<FloatLayout> {
    dtype.float_layout().filter(|_| dtype != DType::C64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_in_the_order_of_numbers_and_come_back() {
        for dtype in [
            DType::BF16,
            DType::F16,
            DType::I8,
            DType::U8,
            DType::F8_E5M2,
            DType::F8_E4M3,
            DType::I16,
        ] {
            let (key, pattern, number) = (key(dtype), pattern(dtype), number(dtype).unwrap());
            let mut all: Vec<u64> = (0..1u64 << dtype.bits()).filter(|&p| !number(p).is_nan()).collect();
            all.sort_by_key(|&p| key(p));
            assert!(all.windows(2).all(|w| number(w[0]) <= number(w[1])), "{dtype}");
            assert!(all.iter().all(|&p| pattern(key(p)) == p), "{dtype}");
        }
        let (key, number) = (key(DType::F32), number(DType::F32).unwrap());
        let back = number(pattern(DType::F32)(key(u64::from((-1.3f32).to_bits()))));
        assert!((-1.3..-1.29).contains(&back), "{back}");
    }

    #[test]
    fn e4m3_is_what_its_authors_say() {
        // Micikevicius et al., FP8 formats for deep learning, table 1.
        assert_eq!(
            (e4m3(0x7e), e4m3(0x08), e4m3(0x01)),
            (448.0, 2f64.powi(-6), 2f64.powi(-9))
        );
        assert!(e4m3(0x7f).is_nan() && e4m3(0xff).is_nan() && e4m3(0xb8) == -1.0);
    }
}
