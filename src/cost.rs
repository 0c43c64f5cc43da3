//! Logarithms and costs in fixed point, so that the encoder decides alike on every platform.

/// Fraction bits of a cost in bits.
pub(crate) const COST_BITS: u32 = 16;

/// `log2(x)` in units of 2^-16, rounded down. 0 for 0.
pub(crate) fn log2(x: u64) -> u64 {
    if x < 2 {
        return 0;
    }
    let exponent = x.ilog2();
    // Mantissa in 1..2 with 31 fraction bits; each squaring gives the next bit of the logarithm.
    let mut mantissa = if exponent > 31 {
        x >> (exponent - 31)
    } else {
        x << (31 - exponent)
    };
    let mut fraction = 0;
    for _ in 0..COST_BITS {
        mantissa = (mantissa * mantissa) >> 31;
        fraction <<= 1;
        if mantissa >> 32 != 0 {
            mantissa >>= 1;
            fraction |= 1;
        }
    }
    u64::from(exponent) << COST_BITS | fraction
}

/// `log2(x)` of a positive normal float, in units of 2^-16.
pub(crate) fn log2_f32(x: f32) -> i64 {
    let bits = x.to_bits();
    let exponent = i64::from(bits >> 23 & 0xff) - 127;
    let mantissa = log2(u64::from(bits & 0x7f_ffff | 0x80_0000)) as i64 - (23 << COST_BITS);
    (exponent << COST_BITS) + mantissa
}

/// `2^x` for `|x| < 1000`, by sums and products alone: the same on every platform.
#[cfg_attr(not(feature = "safetensors"), allow(dead_code))]
pub(crate) fn exp2(x: f64) -> f64 {
    let whole = x.round();
    let y = (x - whole) * std::f64::consts::LN_2;
    // The series of the exponential function; |y| is below 0.35.
    let (mut term, mut sum) = (1.0, 1.0);
    for n in 1..18 {
        term *= y / f64::from(n);
        sum += term;
    }
    sum * f64::from_bits(((whole as i64 + 1023) as u64) << 52)
}

/// Order-0 cost of counted symbols, in 2^-16 bits: `sum c * log2(total / c)`.
pub(crate) fn entropy(counts: &[u64]) -> u64 {
    let total: u64 = counts.iter().sum();
    let all = log2(total);
    counts
        .iter()
        .filter(|&&c| c > 0)
        .map(|&c| c * (all - log2(c).min(all)))
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logarithms_are_close() {
        for x in (1..5000u64).chain([1 << 40, (1 << 52) + 12345, u64::MAX]) {
            let got = log2(x) as f64 / 65536.0;
            assert!((got - (x as f64).log2()).abs() < 3e-5, "{x}");
        }
        for x in [1e-30f32, 0.02, 1.0, 1.5, 3e7] {
            assert!((log2_f32(x) as f64 / 65536.0 - f64::from(x).log2()).abs() < 4e-5, "{x}");
        }
        for x in [-130.7, -1.5, 0.0, 0.3, 7.9] {
            assert!((exp2(x) / x.exp2() - 1.0).abs() < 1e-15, "{x}");
        }
        assert_eq!(entropy(&[5, 5, 0]), 10 << 16);
    }
}
