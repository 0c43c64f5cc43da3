//! Quantising with error feedback: the errors of a column are made up for by those after it.

use super::factor::Factor;
use super::nearest::level;
use super::{Float, Levels, Steps};
use crate::backend::Backend;
use crate::simd::{Work, vectorised};
use rayon::prelude::*;

/// Rows that are quantised side by side: a vector's lanes.
const LANES: usize = 16;
/// Columns whose targets are summed together: so many sums stay in registers.
const PANEL: usize = 8;

/// The levels of a matrix, row-major, with the error that its factor makes least; and the error of each
/// row in units of the Hessian. The levels do not depend on backend or threads. `None` if the numbers do
/// not fit.
pub(crate) fn feedback(
    backend: Backend,
    weights: &[f32],
    float: Float,
    steps: Steps,
    factor: &Factor,
) -> Option<(Levels, Vec<f64>)> {
    let columns = steps.columns().len();
    if columns != factor.columns() || weights.len() != steps.row_count() * columns {
        return None;
    }
    let column_steps: Vec<f32> = factor.order.iter().map(|&j| steps.column(j as usize)).collect();
    let mut levels = vec![0i16; weights.len()];
    let groups = levels
        .par_chunks_mut(LANES * columns)
        .zip(weights.par_chunks(LANES * columns));
    let errors: Vec<f64> = groups
        .enumerate()
        .flat_map_iter(|(group, (levels, weights))| {
            let work = Rows {
                weights,
                float,
                row_steps: std::array::from_fn(|i| {
                    let row = group * LANES + i;
                    if row < steps.row_count() { steps.row(row) } else { 1.0 }
                }),
                column_steps: &column_steps,
                factor,
                levels,
            };
            let errors = vectorised(backend, work);
            errors.into_iter().take(weights.len() / columns)
        })
        .collect();
    Some((Levels::new(levels, steps)?, errors))
}

/// Up to 16 rows.
struct Rows<'a> {
    weights: &'a [f32],
    float: Float,
    row_steps: [f32; LANES],
    /// In the factor's order.
    column_steps: &'a [f32],
    factor: &'a Factor,
    levels: &'a mut [i16],
}

type Lanes = [f32; LANES];

impl Work for Rows<'_> {
    type Output = [f64; LANES];

    #[inline(always)]
    fn run(self) -> Self::Output {
        let n = self.factor.columns();
        let rows = self.weights.len() / n;
        // Errors of the columns that are done, in the weights.
        let mut done: Vec<Lanes> = Vec::with_capacity(n);
        let mut errors = [0f64; LANES];
        for start in (0..n).step_by(PANEL) {
            let end = n.min(start + PANEL);
            let mut sums = [[0f32; LANES]; PANEL];
            if end - start == PANEL {
                for (i, v) in done.iter().enumerate() {
                    let Some(factors) = self.factor.row(i, start, end).first_chunk::<PANEL>() else {
                        unreachable!("a panel of factors")
                    };
                    for (sum, f) in sums.iter_mut().zip(factors) {
                        add(sum, v, *f);
                    }
                }
            } else {
                for (i, v) in done.iter().enumerate() {
                    for (sum, f) in sums.iter_mut().zip(self.factor.row(i, start, end)) {
                        add(sum, v, *f);
                    }
                }
            }
            for j in start..end {
                let column = self.factor.order[j] as usize;
                let mut weight = [0f32; LANES];
                for (row, weight) in weight[..rows].iter_mut().enumerate() {
                    *weight = self.weights[row * n + column];
                }
                let (mut level_of, mut v, mut off) = ([0i16; LANES], [0f32; LANES], [0f32; LANES]);
                let sum = &sums[j - start];
                for lane in 0..LANES {
                    let target = weight[lane] + sum[lane];
                    let step = self.row_steps[lane] * self.column_steps[j];
                    level_of[lane] = level(target, 1.0 / step);
                    let weighs = self.float.round(f32::from(level_of[lane]) * step);
                    v[lane] = weight[lane] - weighs;
                    off[lane] = (target - weighs) * self.factor.diagonal[j];
                }
                for (row, level) in level_of[..rows].iter().enumerate() {
                    self.levels[row * n + column] = *level;
                }
                errors
                    .iter_mut()
                    .zip(off)
                    .for_each(|(e, off)| *e += f64::from(off * off));
                for (sum, f) in sums[j - start..].iter_mut().zip(self.factor.row(j, j, end)).skip(1) {
                    add(sum, &v, *f);
                }
                done.push(v);
            }
        }
        errors
    }
}

#[inline(always)]
fn add(sum: &mut Lanes, v: &Lanes, factor: f32) {
    for (sum, v) in sum.iter_mut().zip(v) {
        *sum += v * factor;
    }
}

#[cfg(test)]
mod tests {
    use super::super::nearest::nearest;
    use super::*;

    /// v H v' of each row.
    fn errors(weights: &[f32], levels: &Levels, hessian: &[f64], n: usize) -> Vec<f64> {
        let decoded = Float::F32.read(&levels.decoded(Float::F32)).unwrap();
        let v: Vec<f64> = weights.iter().zip(&decoded).map(|(a, b)| f64::from(a - b)).collect();
        let of_row = |v: &[f64]| -> f64 {
            let column = |i: usize| (0..n).map(|j| v[i] * v[j] * hessian[i * n + j]).sum::<f64>();
            (0..n).map(column).sum()
        };
        v.chunks(n).map(of_row).collect()
    }

    #[test]
    fn errors_are_fed_back() {
        let (rows, n) = (21, 75);
        let noise = |i: usize| ((i * 2654435761) % 1009) as f64 / 504.5 - 1.0;
        let weights: Vec<f32> = (0..rows * n).map(|i| noise(i) as f32).collect();
        // Inputs that have much in common.
        let mut hessian = vec![0.0; n * n];
        for k in 0..2 * n {
            let x: Vec<f64> = (0..n)
                .map(|i| noise(k * n + i + 77) + 2.0 * noise(k * 31 + i % 3))
                .collect();
            (0..n * n).for_each(|at| hessian[at] += x[at / n] * x[at % n] / (2 * n) as f64);
        }
        let factor = Factor::new(&hessian, n).unwrap();
        let steps = || Steps::near(&vec![1.0; rows], &vec![0.25; n]).unwrap();
        let plain = errors(&weights, &nearest(&weights, steps()).unwrap(), &hessian, n);
        for backend in Backend::available() {
            let (levels, said) = feedback(backend, &weights, Float::F32, steps(), &factor).unwrap();
            let fed: f64 = errors(&weights, &levels, &hessian, n).iter().sum();
            assert!(fed < 0.5 * plain.iter().sum::<f64>(), "{fed} {plain:?}");
            // What it says is that, and what the damping adds.
            let said: f64 = said.iter().sum();
            assert!(said >= fed && said < 1.4 * fed, "{said} {fed}");
            let scalar = feedback(Backend::Scalar, &weights, Float::F32, steps(), &factor).unwrap();
            assert_eq!(levels.levels, scalar.0.levels, "{backend}");
        }
    }
}
