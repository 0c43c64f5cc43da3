//! Random numbers, and rounding to small floats.
//!
//! Additions, multiplications and divisions only, which every machine rounds alike: a system's `exp`
//! and `ln` differ in the last digits.

use std::sync::LazyLock;

/// Steps of the table of quantiles.
const QUANTILES: usize = 4096;
/// Largest normal value.
const LARGEST: f64 = 5.0;

type Quantiles = [f32; QUANTILES + 1];

/// Quantiles of the normal distribution.
static NORMAL: LazyLock<Quantiles> = LazyLock::new(|| {
    // The density, summed in small steps.
    const STEPS: usize = 40_000;
    let x = |step: usize| LARGEST * (2.0 * step as f64 / STEPS as f64 - 1.0);
    let mut sums = vec![0.0; STEPS + 1];
    for step in 0..STEPS {
        let middle = (x(step) + x(step + 1)) / 2.0;
        sums[step + 1] = sums[step] + exp(-middle * middle / 2.0);
    }
    let mut step = 0;
    std::array::from_fn(|i| {
        let target = sums[STEPS] * i as f64 / QUANTILES as f64;
        while step < STEPS && sums[step + 1] <= target {
            step += 1;
        }
        x(step) as f32
    })
});

/// e to the power of a moderate `x`: a series for a small part of it, then squarings.
fn exp(x: f64) -> f64 {
    let small = x / 1024.0;
    let series = (1..10).rev().fold(1.0, |sum, n| 1.0 + sum * small / f64::from(n));
    (0..10).fold(series, |power, _| power * power)
}

/// SplitMix64.
pub(super) struct Random(u64);

impl Random {
    /// A stream of a seed.
    pub(super) fn new(seed: u64, stream: u64) -> Self {
        let mut random = Self(seed ^ stream.wrapping_mul(0xd134_2543_de82_ef95));
        random.0 = random.next();
        random
    }

    #[inline]
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Normal values, mean 0 and deviation 1.
    pub(super) fn normals(&mut self, out: &mut [f32]) {
        let table = &*NORMAL;
        for pair in out.chunks_mut(2) {
            let bits = self.next();
            for (value, bits) in pair.iter_mut().zip([bits as u32, (bits >> 32) as u32]) {
                *value = between(table, bits);
            }
        }
    }
}

/// A normal value from 32 random bits.
pub(super) fn normal(bits: u32) -> f32 {
    between(&NORMAL, bits)
}

/// Between two quantiles: the upper 12 bits say which, the others where.
#[inline]
fn between(table: &Quantiles, bits: u32) -> f32 {
    let i = (bits >> 20) as usize;
    let fraction = (bits & 0xf_ffff) as f32 * (1.0 / (1 << 20) as f32);
    table[i] + fraction * (table[i + 1] - table[i])
}

/// A scale around 1, its logarithm normal with deviation `spread`.
pub(super) fn scale(seed: u64, stream: u64, spread: f32) -> f32 {
    exp(f64::from(spread * normal(Random::new(seed, stream).next() as u32))) as f32
}

/// Rounded to BF16, as the bits of an F32. Values here are finite and far from the largest.
#[inline]
pub(super) fn bf16(value: f32) -> u32 {
    let bits = value.to_bits();
    (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff_0000
}

/// Rounded to the bits of a smaller float; `largest` are the bits of its largest finite value.
#[inline]
pub(super) fn small_float(value: f32, exponent: u32, mantissa: u32, largest: u32) -> u32 {
    let bias = (1 << (exponent - 1)) - 1;
    let sign = value.to_bits() >> 31 << (exponent + mantissa);
    let magnitude = value.abs();
    let smallest_normal = f32::from_bits((128 - bias) << 23);
    let bits = if magnitude < smallest_normal {
        // Subnormals are multiples of one step; the first normal follows the last of them.
        (magnitude / smallest_normal * (1 << mantissa) as f32).round_ties_even() as u32
    } else {
        let drop = 23 - mantissa;
        let bits = magnitude.to_bits();
        let rounded = bits + (1 << (drop - 1)) - 1 + (bits >> drop & 1);
        (rounded >> drop) - ((127 - bias) << mantissa)
    };
    sign | bits.min(largest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normal_values_are_normal() {
        let mut values = vec![0.0; 100_000];
        Random::new(1, 2).normals(&mut values);
        let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / 1e5;
        let variance = values.iter().map(|&v| f64::from(v) * f64::from(v)).sum::<f64>() / 1e5;
        assert!(mean.abs() < 0.02 && (variance - 1.0).abs() < 0.02, "{mean} {variance}");
        assert!((exp(1.0) - std::f64::consts::E).abs() < 1e-9);
    }

    #[test]
    fn small_floats_round_to_nearest_even() {
        let step = 1.0 / 1024.0;
        let normals = [
            (0.0, 0),
            (1.0, 0x3c00),
            (-2.0, 0xc000),
            (65504.0, 0x7bff),
            (1e6, 0x7bff),
        ];
        let ties = [(1.0 + step / 2.0, 0x3c00), (1.0 + 1.5 * step, 0x3c02)];
        let smallest = 1.0 / 16384.0;
        let subnormals = [
            (smallest, 0x0400),
            (smallest * step, 1),
            (smallest * 0.999, 0x03ff),
            (smallest * 0.9999, 0x0400),
        ];
        for (value, bits) in normals.into_iter().chain(ties).chain(subnormals) {
            assert_eq!(small_float(value, 5, 10, 0x7bff), bits, "{value}");
        }
        assert_eq!(small_float(448.0, 4, 3, 0x7e), 0x7e);
        assert_eq!(bf16(1.0 + 1.0 / 256.0), 1.0f32.to_bits());
    }
}
