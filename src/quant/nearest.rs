//! The nearest levels, and what is known of a matrix without calibration.

use super::{Float, LEVEL_LIMIT, Levels, Steps};
use crate::plane::narrow::f32_from_f16;

impl Float {
    /// Reads little-endian elements. `None` if one is no finite number.
    pub(crate) fn read(self, data: &[u8]) -> Option<Vec<f32>> {
        let half = |b: &[u8; 2]| u16::from_le_bytes(*b);
        let weights: Vec<f32> = match self {
            Self::Bf16 => data
                .as_chunks()
                .0
                .iter()
                .map(|b| f32::from_bits(u32::from(half(b)) << 16))
                .collect(),
            Self::F16 => data
                .as_chunks()
                .0
                .iter()
                .map(|b| f32::from_bits(f32_from_f16(half(b))))
                .collect(),
            Self::F32 => data.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect(),
        };
        weights.iter().all(|w| w.is_finite()).then_some(weights)
    }
}

/// The level next to a weight, ties to even; the inverse is that of the step.
#[inline(always)]
pub(crate) fn level(weight: f32, inverse: f32) -> i16 {
    const MOST: f32 = (LEVEL_LIMIT - 1) as f32;
    (weight * inverse).round_ties_even().clamp(-MOST, MOST) as i16
}

/// The nearest levels of row-major weights. `None` if there are not as many weights as steps make.
pub(crate) fn nearest(weights: &[f32], steps: Steps) -> Option<Levels> {
    let columns = steps.columns().len();
    let inverse: Vec<f32> = (0..columns).map(|j| 1.0 / steps.column(j)).collect();
    let mut levels = Vec::with_capacity(weights.len());
    for (i, row) in weights.chunks(columns).enumerate() {
        let row_inverse = 1.0 / steps.row(i);
        levels.extend(row.iter().zip(&inverse).map(|(w, c)| level(*w, c * row_inverse)));
    }
    Levels::new(levels, steps)
}

/// Raises the steps of rows whose levels would be beyond the limit, with room for what is fed back.
#[cfg(feature = "eval")]
pub(crate) fn raise(weights: &[f32], rows: &mut [f32], columns: &[f32]) {
    const MOST: f32 = LEVEL_LIMIT as f32 / 1.5;
    for (weights, row) in weights.chunks(columns.len().max(1)).zip(rows) {
        let largest = weights.iter().zip(columns).map(|(w, c)| w.abs() / c);
        *row = row.max(largest.fold(0.0, f32::max) / MOST);
    }
}

/// Root of the mean square. Sums have one order: the same everywhere.
pub(crate) fn rms(weights: &[f32]) -> f64 {
    let sum: f64 = weights.iter().map(|&w| f64::from(w) * f64::from(w)).sum();
    (sum / weights.len().max(1) as f64).sqrt()
}

/// Squared error of quantised weights against the squared weights.
pub(crate) fn noise(weights: &[f32], decoded: &[f32]) -> f64 {
    let error = |(a, b): (&f32, &f32)| (f64::from(*a) - f64::from(*b)).powi(2);
    let errors: f64 = weights.iter().zip(decoded).map(error).sum();
    let squares: f64 = weights.iter().map(|&w| f64::from(w).powi(2)).sum();
    if squares > 0.0 { errors / squares } else { 0.0 }
}
