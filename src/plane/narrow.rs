//! Wide floats whose values are all narrow ones: F32 that was BF16 or F16, F64 that was F32.
//!
//! Widening is by bits, so that subnormals, signed zeros and every NaN payload are covered; a value
//! counts as narrow only if widening gives its very bits back.

/// F32 bits of F16 bits. A NaN's payload moves to the top of the mantissa, untouched.
pub(crate) fn f32_from_f16(half: u16) -> u32 {
    let sign = u32::from(half >> 15) << 31;
    let exponent = u32::from(half >> 10 & 0x1f);
    let mantissa = u32::from(half & 0x3ff);
    match exponent {
        0 if mantissa == 0 => sign,
        0 => {
            // Subnormal: the leading bit becomes the implicit one.
            let shift = mantissa.leading_zeros() - 21;
            sign | (113 - shift) << 23 | (mantissa << (13 + shift) & 0x7f_ffff)
        }
        31 => sign | 0xff << 23 | mantissa << 13,
        _ => sign | (exponent + 112) << 23 | mantissa << 13,
    }
}

/// F16 bits of F32 bits, if they widen back to the same.
#[cfg(feature = "encode")]
pub(crate) fn f16_from_f32(single: u32) -> Option<u16> {
    let sign = (single >> 16 & 0x8000) as u16;
    let exponent = single >> 23 & 0xff;
    let mantissa = single & 0x7f_ffff;
    let half = match exponent {
        0 => sign,
        255 => sign | 0x7c00 | (mantissa >> 13) as u16,
        113..=142 => sign | ((exponent - 112) << 10) as u16 | (mantissa >> 13) as u16,
        103..=112 => sign | ((mantissa | 0x80_0000) >> (126 - exponent)) as u16,
        _ => return None,
    };
    (f32_from_f16(half) == single).then_some(half)
}

/// F64 bits of F32 bits, by the same rules.
pub(crate) fn f64_from_f32(single: u32) -> u64 {
    let sign = u64::from(single >> 31) << 63;
    let exponent = u64::from(single >> 23 & 0xff);
    let mantissa = u64::from(single & 0x7f_ffff);
    match exponent {
        0 if mantissa == 0 => sign,
        0 => {
            let shift = u64::from(mantissa.leading_zeros() - 40);
            sign | (897 - shift) << 52 | (mantissa << (29 + shift) & ((1 << 52) - 1))
        }
        255 => sign | 0x7ff << 52 | mantissa << 29,
        _ => sign | (exponent + 896) << 52 | mantissa << 29,
    }
}

/// F32 bits of F64 bits, if they widen back to the same.
#[cfg(feature = "encode")]
pub(crate) fn f32_from_f64(double: u64) -> Option<u32> {
    let sign = (double >> 32 & 0x8000_0000) as u32;
    let exponent = (double >> 52 & 0x7ff) as u32;
    let mantissa = double & ((1 << 52) - 1);
    let single = match exponent {
        0 => sign,
        0x7ff => sign | 0xff << 23 | (mantissa >> 29) as u32,
        897..=1150 => sign | (exponent - 896) << 23 | (mantissa >> 29) as u32,
        874..=896 => sign | ((mantissa | 1 << 52) >> (926 - exponent)) as u32,
        _ => return None,
    };
    (f64_from_f32(single) == double).then_some(single)
}

#[cfg(all(test, feature = "encode"))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_half_round_trips_and_means_the_same() {
        for half in 0..=u16::MAX {
            let single = f32_from_f16(half);
            assert_eq!(f16_from_f32(single), Some(half), "{half:#x}");
            let value = f32::from_bits(single);
            let exponent = i32::from(half >> 10 & 0x1f);
            let mantissa = f32::from(half & 0x3ff);
            let expected = match exponent {
                0 => mantissa * 2f32.powi(-24),
                31 => continue,
                e => (1024.0 + mantissa) * 2f32.powi(e - 25),
            };
            assert_eq!(value.abs(), expected, "{half:#x}");
        }
    }

    proptest! {
        #[test]
        fn singles_round_trip_through_doubles(single: u32, low in 0u32..23) {
            for single in [single, single & 0x807f_ffff, single & 0x8000_0000 | 1 << low, single | 0x7f80_0000] {
                let double = f64_from_f32(single);
                prop_assert_eq!(f32_from_f64(double), Some(single));
                let value = f32::from_bits(single);
                if !value.is_nan() {
                    prop_assert_eq!(f64::from(value).to_bits(), double);
                }
            }
        }

        #[test]
        fn what_is_not_narrow_is_refused(single: u32, double: u64) {
            if let Some(half) = f16_from_f32(single) {
                prop_assert_eq!(f32_from_f16(half), single);
            }
            if let Some(narrow) = f32_from_f64(double) {
                prop_assert_eq!(f64_from_f32(narrow), double);
            }
        }
    }
}
