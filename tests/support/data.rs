//! Deterministic random data of many kinds.

use wcodec::DType;

/// xorshift64*.
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Below `n`, which is not 0.
    pub fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(n)) >> 64) as u64
    }

    /// About normal, mean 0, deviation 1.
    pub fn normal(&mut self) -> f64 {
        (0..12)
            .map(|_| (self.next() >> 40) as f64 / (1u64 << 24) as f64)
            .sum::<f64>()
            - 6.0
    }

    pub fn bytes(&mut self, n: usize) -> Vec<u8> {
        (0..n).map(|_| self.next() as u8).collect()
    }
}

/// What a tensor is filled with.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// Every bit random.
    Noise,
    /// Normal weights.
    Normal,
    /// Normal weights with a scale of their row and of their column.
    Scaled,
    /// Mostly zeros.
    Sparse,
    /// Runs of one value.
    Runs,
    /// Going up evenly.
    Ramp,
    /// Inf, NaN payloads, subnormals, signed zeros between normal weights.
    Special,
    /// A smooth function of row and column.
    Smooth,
    /// One value.
    Constant,
}

impl Kind {
    pub const ALL: [Self; 9] = [
        Self::Noise,
        Self::Normal,
        Self::Scaled,
        Self::Sparse,
        Self::Runs,
        Self::Ramp,
        Self::Special,
        Self::Smooth,
        Self::Constant,
    ];
}

/// The bytes of a tensor of a dtype and shape.
pub fn fill(kind: Kind, dtype: DType, shape: &[usize], seed: u64) -> Vec<u8> {
    let mut rng = Rng::new(seed);
    let elements: usize = shape.iter().product();
    let columns = shape.last().copied().unwrap_or(1).max(1);
    let rows = elements / columns;
    if dtype.bits() < 8 {
        // Packed elements have no numbers here: bytes do.
        let few = matches!(kind, Kind::Sparse | Kind::Runs | Kind::Constant);
        let bytes = elements * dtype.bits() / 8;
        return (0..bytes)
            .map(|_| if few { 0x11 } else { rng.next() as u8 & rng.next() as u8 })
            .collect();
    }
    let row: Vec<f64> = (0..rows).map(|_| rng.normal().exp2()).collect();
    let column: Vec<f64> = (0..columns).map(|_| rng.normal().exp2()).collect();
    let mut out = Vec::with_capacity(elements * dtype.bits() / 8);
    let mut run = 0.0;
    for i in 0..elements {
        let (y, x) = (i / columns, i % columns);
        let value = match kind {
            Kind::Noise => {
                out.extend(&rng.next().to_le_bytes()[..dtype.bits() / 8]);
                continue;
            }
            Kind::Normal => 0.02 * rng.normal(),
            Kind::Scaled => 0.02 * rng.normal() * row[y] * column[x],
            Kind::Sparse if rng.below(20) > 0 => 0.0,
            Kind::Runs if rng.below(50) > 0 => run,
            Kind::Sparse | Kind::Runs => {
                run = rng.normal();
                run
            }
            Kind::Ramp => i as f64,
            Kind::Special if rng.below(8) == 0 => {
                let pattern = [
                    0,
                    u64::MAX,
                    1,
                    1 << 63,
                    0x7ff0 << 48,
                    0x7f80 << 48,
                    0x7c00 << 48,
                    rng.next(),
                ];
                let word = pattern[rng.below(8) as usize].to_be_bytes();
                out.extend(word[..dtype.bits() / 8].iter().rev());
                continue;
            }
            Kind::Special => rng.normal(),
            Kind::Smooth => (x as f64 / (1.0 + y as f64)).sin(),
            Kind::Constant => 1.5,
        };
        push(dtype, value, &mut out);
    }
    out
}

/// Appends a number: floats rounded towards zero, integers with two's complement of 64 times it.
fn push(dtype: DType, value: f64, out: &mut Vec<u8>) {
    let single = (value as f32).to_bits();
    match dtype {
        DType::F64 => out.extend(value.to_le_bytes()),
        DType::F32 => out.extend(single.to_le_bytes()),
        DType::C64 => out.extend([single.to_le_bytes(), 0.5f32.to_le_bytes()].concat()),
        DType::BF16 => out.extend(((single >> 16) as u16).to_le_bytes()),
        DType::F16 => {
            let exponent = (single >> 23 & 0xff).saturating_sub(112).min(30) as u16;
            out.extend(((single >> 16 & 0x8000) as u16 | exponent << 10 | (single >> 13 & 0x3ff) as u16).to_le_bytes());
        }
        DType::BOOL => out.push(u8::from(value > 0.0)),
        DType::F8_E4M3 | DType::F8_E4M3FNUZ => out.push(minifloat(single, 4, 3)),
        DType::F8_E5M2 | DType::F8_E5M2FNUZ => out.push(minifloat(single, 5, 2)),
        _ => out.extend(&((value * 64.0) as i64).to_le_bytes()[..dtype.bits() / 8]),
    }
}

fn minifloat(single: u32, exponent_bits: u32, mantissa_bits: u32) -> u8 {
    let bias = 128 - (1 << (exponent_bits - 1));
    let exponent = (single >> 23 & 0xff).saturating_sub(bias).min((1 << exponent_bits) - 1);
    let mantissa = single >> (23 - mantissa_bits) & ((1 << mantissa_bits) - 1);
    ((single >> 31) << 7 | exponent << mantissa_bits | mantissa) as u8
}
