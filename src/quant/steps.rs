//! Steps: powers of two and eighths of an octave between them.
//!
//! A step's factor has eight significant bits. So the product of a level of eight bits with a row's and a
//! column's factor is exact in an F32 in any order, and rounded once, to the tensor's type. (An eighth of
//! an octave is fine enough: a step that is off by up to a sixteenth costs 0.001 bit a weight.)

use crate::bits::BitReader;
#[cfg(feature = "encode")]
use crate::bits::BitWriter;
#[cfg(feature = "encode")]
use crate::cost::{COST_BITS, log2_f32};
use crate::predict::scale::Scale;

/// Bits of a step below a whole octave.
pub(crate) const FRACTION_BITS: u32 = 3;
/// `round(128 * 2^(k / 8))`.
const EIGHTHS: [u8; 8] = [128, 140, 152, 166, 181, 197, 215, 235];
/// Exponent of base 0.
const BIAS: i32 = 128;
/// Bases that keep every product of a level and factors a normal F32.
const BASES: std::ops::RangeInclusive<u8> = 16..=188;
const BASE_BITS: u32 = 8;
/// Units of a logarithm in an eighth of an octave, as a power of two.
#[cfg(feature = "encode")]
const UNIT: u32 = COST_BITS - FRACTION_BITS;
/// Most that the encoder lets the steps of rows, or of columns, differ by.
#[cfg(feature = "encode")]
const MOST: i64 = 124;

/// The steps of a matrix: row `i` and column `j` have `row(i) * column(j)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Steps {
    /// In eighths of an octave.
    scale: Scale,
    base: u8,
    /// Factors as BF16, which holds them exactly.
    rows: Vec<u16>,
    columns: Vec<u16>,
}

impl Steps {
    /// `None` if the base is out of range.
    pub(crate) fn new(scale: Scale, base: u8) -> Option<Self> {
        if !BASES.contains(&base) {
            return None;
        }
        let factors = |steps: &[u8], exponent: i32| steps.iter().map(|&s| factor(s, exponent)).collect();
        Some(Self {
            rows: factors(scale.rows(), 0),
            columns: factors(scale.columns(), i32::from(base) - BIAS),
            base,
            scale,
        })
    }

    /// Reads the base, and row and column steps.
    pub(crate) fn parse(reader: &mut BitReader, rows: usize, columns: usize) -> Result<Self, &'static str> {
        let base = reader.bits(BASE_BITS).ok_or("the base of the steps is cut off")? as u8;
        let scale = Scale::parse(reader, rows, columns)?;
        Self::new(scale, base).ok_or("the base of the steps is out of range")
    }

    #[cfg(feature = "encode")]
    pub(crate) fn write(&self, writer: &mut BitWriter) {
        writer.bits(u64::from(self.base), BASE_BITS);
        self.scale.write(writer);
    }

    /// Factor of a row.
    #[inline(always)]
    pub(crate) fn row(&self, row: usize) -> f32 {
        widen(self.rows[row])
    }

    /// Least, middle and largest steps: products of such factors of rows and of columns.
    #[cfg(feature = "encode")]
    pub(crate) fn range(&self) -> [f32; 3] {
        let of = |factors: &[u16]| {
            // Factors are positive: their bits have their order.
            let mut sorted = factors.to_vec();
            sorted.sort_unstable();
            let at = |i: usize| sorted.get(i).map_or(0.0, |&f| widen(f));
            [at(0), at(sorted.len() / 2), at(sorted.len().saturating_sub(1))]
        };
        let (rows, columns) = (of(&self.rows), of(&self.columns));
        std::array::from_fn(|i| rows[i] * columns[i])
    }

    /// Rows that have a step.
    #[cfg(feature = "encode")]
    pub(crate) fn row_count(&self) -> usize {
        self.rows.len()
    }

    /// Factors of the rows, as BF16.
    #[cfg(feature = "kernels")]
    pub(crate) fn rows(&self) -> &[u16] {
        &self.rows
    }

    /// Factors of the columns, as BF16.
    #[inline(always)]
    pub(crate) fn columns(&self) -> &[u16] {
        &self.columns
    }
}

/// The number that a BF16 is.
#[inline(always)]
pub(super) fn widen(bf16: u16) -> f32 {
    f32::from_bits(u32::from(bf16) << 16)
}

fn factor(step: u8, exponent: i32) -> u16 {
    let eighths = u16::from(EIGHTHS[usize::from(step) % 8]);
    // Of a factor in 128 to 255 the exponent is 7, and the leading bit is implicit.
    let exponent = 127 + 7 + exponent + i32::from(step >> FRACTION_BITS);
    (exponent as u16) << 7 | eighths & 0x7f
}

#[cfg(feature = "encode")]
impl Steps {
    /// The steps next to `rows[i] * columns[j]`, which are positive and finite. Differences beyond what the
    /// format holds are cut: rows, and columns, span 15.5 octaves at most, the smallest are raised.
    ///
    /// `None` if there is no row or column, or the steps are beyond the range of weights.
    pub(crate) fn near(rows: &[f32], columns: &[f32]) -> Option<Self> {
        // The smallest factor in eighths of an octave, and what the others have above it.
        let steps = |factors: &[f32]| -> Option<(i64, Vec<i64>)> {
            let logs = factors
                .iter()
                .map(|&f| (f.is_normal() && f > 0.0).then(|| (log2_f32(f) + (1 << (UNIT - 1))) >> UNIT))
                .collect::<Option<Vec<i64>>>()?;
            let least = (*logs.iter().min()?).max(logs.iter().max()? - MOST);
            Some((least, logs.iter().map(|l| (l - least).max(0)).collect()))
        };
        let ((row, rows), (column, columns)) = (steps(rows)?, steps(columns)?);
        // Whole octaves are the base's; what is left of one is the columns'.
        let (octaves, rest) = ((row + column).div_euclid(8), (row + column).rem_euclid(8));
        let rows = rows.into_iter().map(|s| s as u8).collect();
        let columns = columns.into_iter().map(|s| (s + rest) as u8).collect();
        // The factors of step 0 are 2^7 each.
        let base = u8::try_from(octaves - 14 + i64::from(BIAS)).ok()?;
        Self::new(Scale::new(rows, columns)?, base)
    }

    /// Factor of a column.
    pub(crate) fn column(&self, column: usize) -> f32 {
        widen(self.columns[column])
    }
}

#[cfg(all(test, feature = "encode"))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn factors_are_eighths_of_octaves() {
        for step in 0..=255u8 {
            let exact = 128.0 * 2f64.powf(f64::from(step) / 8.0);
            let got = f64::from(widen(factor(step, 0)));
            assert!((got / exact - 1.0).abs() < 0.004, "{step}: {got} {exact}");
        }
        for (k, &m) in EIGHTHS.iter().enumerate() {
            assert_eq!(m, (128.0 * 2f64.powf(k as f64 / 8.0)).round() as u8);
        }
    }

    #[test]
    fn every_product_is_a_normal_number() {
        for base in [*BASES.start(), *BASES.end()] {
            let exponent = i32::from(base) - BIAS;
            let least = widen(factor(0, 0)) * widen(factor(0, exponent));
            let most = 16384.0 * widen(factor(128, 0)) * widen(factor(127, exponent));
            assert!(least.is_normal() && most.is_normal(), "{base}");
        }
    }

    proptest! {
        #[test]
        fn near_steps_are_near(
            rows in proptest::collection::vec(-3f32..3.0, 1..20),
            columns in proptest::collection::vec(-5f32..3.0, 1..20),
            all in -40f32..20.0,
        ) {
            let rows: Vec<f32> = rows.iter().map(|r| r.exp2()).collect();
            let columns: Vec<f32> = columns.iter().map(|c| (c + all).exp2()).collect();
            let steps = Steps::near(&rows, &columns).unwrap();
            for (i, r) in rows.iter().enumerate() {
                for (j, c) in columns.iter().enumerate() {
                    let off = (steps.row(i) * steps.column(j) / (r * c)).log2();
                    prop_assert!(off.abs() < 0.14, "{off}");
                }
            }
            let mut writer = BitWriter::default();
            steps.write(&mut writer);
            let bytes = writer.finish();
            let parsed = Steps::parse(&mut BitReader::new(&bytes), rows.len(), columns.len()).unwrap();
            prop_assert_eq!(parsed, steps);
        }
    }
}
