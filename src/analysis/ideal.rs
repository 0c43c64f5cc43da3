//! What an ideal code would take, if all that it knows is how often which values are.

use super::entropy;
use super::values::{layout, number, patterns};
use crate::dtype::DType;
use crate::error::Result;
use std::collections::HashMap;

/// Steps of the scale in an octave.
const STEPS: f64 = 4.0;
/// Mantissa bits that are coded, and not stored.
const CODED: u32 = 2;

/// Entropies in bits an element, without tables and without side information. No code that knows as much and no
/// more can be shorter; one that predicts values from their neighbours knows more.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Ideal {
    /// Of single values, whatever stands beside them. `None` for types of more than 16 bits.
    pub values: Option<f64>,
    /// Of single values if a scale of their row and one of their column are known: what the codec's own model
    /// comes to. For floats of 16 bits, exponent and two mantissa bits count, the rest takes its full bits.
    /// `None` for other types, and tensors that are no matrices.
    pub given_scales: Option<f64>,
}

impl Ideal {
    /// The smaller of both.
    pub fn least(&self) -> Option<f64> {
        match (self.values, self.given_scales) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }
}

/// The entropies of a tensor.
///
/// # Errors
/// [`Error::Usage`](crate::Error::Usage) if the data's length is not that of dtype and shape.
pub fn ideal(dtype: DType, shape: &[usize], data: &[u8]) -> Result<Ideal> {
    super::elements(dtype, shape, data)?;
    let none = Ideal {
        values: None,
        given_scales: None,
    };
    let Some(patterns) = patterns(dtype, data).filter(|_| dtype.bits() <= 16 && !data.is_empty()) else {
        return Ok(none);
    };
    let mut counts = vec![0u64; 1 << dtype.bits()];
    patterns.clone().for_each(|p| counts[p as usize] += 1);
    let columns = shape.last().copied().unwrap_or(0);
    let matrix = shape.len() >= 2 && columns > 1 && dtype != DType::BOOL;
    let given_scales = number(dtype).filter(|_| matrix).map(|number| {
        let values: Vec<f32> = patterns.clone().map(|p| number(p).abs() as f32).collect();
        let steps = Steps::fit(&values, columns);
        let joint = patterns.enumerate().map(|(i, p)| (p, steps.at(i)));
        match layout(dtype) {
            Some(layout) => {
                let low = layout.mantissa.saturating_sub(CODED);
                let magnitude = (1u64 << (dtype.bits() - 1)) - 1;
                // A step of an octave moves the exponent; its fraction is the context.
                let tokens = joint.map(|(p, step)| {
                    let octaves = step.div_euclid(STEPS as i64) << CODED.min(layout.mantissa);
                    (((p & magnitude) >> low) as i64 - octaves, step.rem_euclid(STEPS as i64))
                });
                f64::from(low) + 1.0 + conditional(tokens)
            }
            None => conditional(joint.map(|(p, step)| (p as i64, step))),
        }
    });
    Ok(Ideal {
        values: Some(entropy(&counts)),
        given_scales,
    })
}

/// Entropy of symbols whose contexts are known, in bits a symbol.
fn conditional(symbols: impl Iterator<Item = (i64, i64)>) -> f64 {
    let (mut joint, mut contexts): (HashMap<(i64, i64), u64>, HashMap<i64, u64>) = Default::default();
    symbols.for_each(|symbol| *joint.entry(symbol).or_default() += 1);
    for ((_, context), n) in &joint {
        *contexts.entry(*context).or_default() += n;
    }
    // In order, so that sums are always the same.
    let sorted = |mut counts: Vec<u64>| {
        counts.sort_unstable();
        entropy(&counts)
    };
    sorted(joint.into_values().collect()) - sorted(contexts.into_values().collect())
}

/// Scales of rows and columns, in steps.
struct Steps {
    rows: Vec<i64>,
    columns: Vec<i64>,
}

impl Steps {
    /// Alternating means of the magnitudes, each divided by the other's.
    fn fit(magnitudes: &[f32], columns: usize) -> Self {
        let rows = magnitudes.len() / columns;
        let (mut of_row, mut of_column) = (vec![1f64; rows], vec![1f64; columns]);
        let least = f64::MIN_POSITIVE;
        let finite = |m: f32| if m.is_finite() { f64::from(m) } else { 0.0 };
        for _ in 0..3 {
            for (scale, row) in of_row.iter_mut().zip(magnitudes.chunks_exact(columns)) {
                let sum: f64 = row.iter().zip(&of_column).map(|(&m, c)| finite(m) / c).sum();
                *scale = (sum / columns as f64).max(least);
            }
            let mut sums = vec![0f64; columns];
            for (scale, row) in of_row.iter().zip(magnitudes.chunks_exact(columns)) {
                sums.iter_mut().zip(row).for_each(|(sum, &m)| *sum += finite(m) / scale);
            }
            of_column = sums.into_iter().map(|sum| (sum / rows as f64).max(least)).collect();
        }
        let steps = |scales: Vec<f64>| scales.into_iter().map(|s| (STEPS * s.log2()).round() as i64).collect();
        Self {
            rows: steps(of_row),
            columns: steps(of_column),
        }
    }

    fn at(&self, element: usize) -> i64 {
        let columns = self.columns.len();
        self.rows[element / columns] + self.columns[element % columns]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_explain_what_they_should() {
        // Rows of 1 and rows of 16: values alone take a bit, values of known rows none.
        let data: Vec<u8> = (0..64u8).map(|i| if i / 8 % 2 == 0 { 1 } else { 16 }).collect();
        let ideal = ideal(DType::I8, &[8, 8], &data).unwrap();
        assert_eq!(
            (ideal.values, ideal.given_scales, ideal.least()),
            (Some(1.0), Some(0.0), Some(0.0))
        );
    }

    #[test]
    fn a_bound_is_there_where_it_means_something() {
        let of = |dtype, shape: &[usize]| ideal(dtype, shape, &[7; 16]).unwrap();
        assert_eq!(of(DType::BOOL, &[4, 4]).given_scales, None);
        assert_eq!(of(DType::F32, &[2, 2]).least(), None);
        assert_eq!(of(DType::I8, &[16]).least(), Some(0.0));
        assert!(ideal(DType::I8, &[3], &[1]).is_err());
        assert_eq!(ideal(DType::I8, &[0], &[]).unwrap().least(), None);
    }
}
