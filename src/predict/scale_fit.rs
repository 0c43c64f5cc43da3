//! Fitting row and column scales to a matrix of magnitudes.
//!
//! The scales are the mean magnitudes of rows and columns, each taken after dividing by the other, as
//! for a separable variance; two rounds suffice. Every sum has one order, so that the result does not
//! depend on the CPU. Large matrices are sampled: a mean of 512 magnitudes is within 4 % of the true
//! one, which costs about 0.001 bit an element.

use super::scale::Scale;
use crate::backend::Backend;
use crate::cost::{COST_BITS, log2_f32};
use crate::simd::{Work, vectorised};
use crate::spread::spread;

/// Rows of which columns take their mean, and columns of which rows do.
const SAMPLE: usize = 512;
/// Neighbouring columns that are sampled together.
const RUN: usize = 64;

/// A matrix of finite, non-negative magnitudes.
pub(crate) trait Magnitudes {
    /// Writes those of a row from a column on. Must be `#[inline(always)]`.
    fn write(&self, row: usize, column: usize, out: &mut [f32]);
}

/// Fits scale steps in units of `2^-fraction_bits` octaves.
pub(crate) fn fit(
    backend: Backend,
    rows: usize,
    columns: usize,
    fraction_bits: u32,
    matrix: &impl Magnitudes,
) -> Option<Scale> {
    if rows == 0 || columns == 0 {
        return None;
    }
    let fit = Fit { rows, columns, matrix };
    let (row_scale, column_scale) = vectorised(backend, fit);
    Scale::new(steps(&row_scale, fraction_bits), steps(&column_scale, fraction_bits))
}

struct Fit<'a, M> {
    rows: usize,
    columns: usize,
    matrix: &'a M,
}

impl<M: Magnitudes> Work for Fit<'_, M> {
    type Output = (Vec<f32>, Vec<f32>);

    #[inline(always)]
    fn run(self) -> Self::Output {
        let (mut rows, mut columns) = (vec![1f32; self.rows], vec![1f32; self.columns]);
        let mut buffer = vec![0f32; self.columns];
        // The first round only has to be near: its errors are of second order in the last.
        let few = SAMPLE / 4;
        self.fit_rows(&mut rows, &columns, few, &mut buffer);
        self.fit_columns(&rows, &mut columns, few, &mut buffer);
        self.fit_rows(&mut rows, &columns, self.rows, &mut buffer);
        self.fit_columns(&rows, &mut columns, SAMPLE, &mut buffer);
        (rows, columns)
    }
}

impl<M: Magnitudes> Fit<'_, M> {
    /// Mean magnitudes of `sample` rows, of a sample of their columns.
    #[inline(always)]
    fn fit_rows(&self, rows: &mut [f32], columns: &[f32], sample: usize, buffer: &mut [f32]) {
        let (run, runs) = if columns.len() <= SAMPLE {
            (columns.len(), 1)
        } else {
            (RUN, SAMPLE / RUN)
        };
        let gaps = (runs - 1).max(1);
        let starts = (0..runs).map(|i| i * (columns.len() - run) / gaps);
        let inverse: Vec<f32> = columns.iter().map(|&c| reciprocal(c)).collect();
        for row in spread(rows.len(), sample) {
            let mut sums = [0f32; 16];
            for start in starts.clone() {
                let values = &mut buffer[..run];
                self.matrix.write(row, start, values);
                let (values, last_values) = values.as_chunks::<16>();
                let (inverse, last_inverse) = inverse[start..start + run].as_chunks::<16>();
                for (values, inverse) in values.iter().zip(inverse) {
                    for ((sum, v), i) in sums.iter_mut().zip(values).zip(inverse) {
                        *sum += v * i;
                    }
                }
                for ((sum, v), i) in sums.iter_mut().zip(last_values).zip(last_inverse) {
                    *sum += v * i;
                }
            }
            // Sums of numbers near the top of the range overflow; their scale is still the largest.
            rows[row] = (sums.iter().sum::<f32>() / (run * runs) as f32).min(f32::MAX);
        }
    }

    /// Mean magnitudes of columns, of `sample` rows.
    #[inline(always)]
    fn fit_columns(&self, rows: &[f32], columns: &mut [f32], sample: usize, buffer: &mut [f32]) {
        columns.fill(0.0);
        let mut sampled = 0;
        for row in spread(rows.len(), sample) {
            let inverse = reciprocal(rows[row]);
            self.matrix.write(row, 0, buffer);
            columns
                .iter_mut()
                .zip(&*buffer)
                .for_each(|(sum, v)| *sum += v * inverse);
            sampled += 1;
        }
        columns
            .iter_mut()
            .for_each(|sum| *sum = (*sum / sampled as f32).min(f32::MAX));
    }
}

#[inline(always)]
fn reciprocal(x: f32) -> f32 {
    if x.is_normal() { 1.0 / x } else { 0.0 }
}

/// Scales as steps from the smallest, at most 127 below the largest.
fn steps(scales: &[f32], fraction_bits: u32) -> Vec<u8> {
    let unit = COST_BITS - fraction_bits;
    let logs: Vec<Option<i64>> = scales
        .iter()
        .map(|&s| s.is_normal().then(|| (log2_f32(s) + (1 << (unit - 1))) >> unit))
        .collect();
    let highest = logs.iter().flatten().copied().max().unwrap_or(0);
    let lowest = logs.iter().flatten().copied().min().unwrap_or(0).max(highest - 127);
    logs.iter()
        .map(|log| log.map_or(0, |log| (log.max(lowest) - lowest) as u8))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Of<F>(F);

    impl<F: Fn(usize, usize) -> f32> Magnitudes for Of<F> {
        #[inline(always)]
        fn write(&self, row: usize, column: usize, out: &mut [f32]) {
            out.iter_mut()
                .enumerate()
                .for_each(|(i, v)| *v = self.0(row, column + i));
        }
    }

    #[test]
    fn separable_scales_are_found() {
        let (rows, columns) = (40, 3000);
        let magnitudes = Of(|row, column| 2f32.powi((row % 5) as i32 - (column % 3) as i32));
        let scale = fit(Backend::Scalar, rows, columns, 2, &magnitudes).unwrap();
        let mut steps = vec![0u8; rows * columns];
        scale.steps(0, &mut steps);
        for (i, step) in steps.iter().enumerate() {
            let (row, column) = (i / columns, i % columns);
            assert_eq!(
                i32::from(*step),
                4 * ((row % 5) as i32 - (column % 3) as i32 + 2),
                "{row} {column}"
            );
        }
    }

    #[test]
    fn zero_and_huge_rows_are_held() {
        let scale = fit(Backend::Scalar, 3, 8, 2, &Of(|row, _| [0.0, 1e-37, 1e38][row])).unwrap();
        let mut steps = vec![0u8; 24];
        scale.steps(0, &mut steps);
        assert_eq!((steps[0], steps[8], steps[16]), (0, 0, 127));
    }
}
