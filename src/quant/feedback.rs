//! Quantising with error feedback: the errors of a column are made up for by those after it.

use super::factor::Factor;
use super::nearest::level;
use super::panels::{BLOCK, DEPTH, Factors, LANES, Lanes, PANEL, accumulate, add};
use super::rates::{MAGNITUDES, Rates};
use super::{Float, Levels, Steps};
use crate::backend::Backend;
use crate::simd::{Work, vectorised};
use rayon::prelude::*;
use std::ops::Range;

/// Groups of so many rows that factors are copied for.
const GROUPS: usize = 8;
/// What a bit is worth, in squares of a step: at high rates a bit less would be had for `ln(2) / 6 = 0.116` of them by
/// larger steps. Some less, as a level that is not the nearest leaves more to be made up for.
const BIT: f32 = 0.08;

/// The levels of a matrix, row-major, with the error that its factor makes least; and the error of each
/// row in units of the Hessian. With `rates`, a level is the one next to the nearest, towards 0, where it costs less,
/// error and bits together. The levels do not depend on backend or threads. `None` if the numbers do
/// not fit.
pub(crate) fn feedback(
    backend: Backend,
    weights: &[f32],
    float: Float,
    steps: Steps,
    factor: &Factor,
    rates: Option<&Rates>,
) -> Option<(Levels, Vec<f64>)> {
    let columns = steps.columns().len();
    if columns != factor.columns() || weights.len() != steps.row_count() * columns {
        return None;
    }
    let column_steps: Vec<f32> = factor.order.iter().map(|&j| steps.column(j as usize)).collect();
    let error_weights = error_weights(&column_steps, &factor.diagonal);
    let mut levels = vec![0i16; weights.len()];
    const ROWS: usize = GROUPS * LANES;
    let batches = levels
        .par_chunks_mut(ROWS * columns)
        .zip(weights.par_chunks(ROWS * columns));
    let errors: Vec<f64> = batches
        .enumerate()
        .flat_map_iter(|(batch, (levels, weights))| {
            let work = Rows {
                backend,
                weights,
                float,
                steps: &steps,
                column_steps: &column_steps,
                error_weights: &error_weights,
                factor,
                rates,
                first_row: batch * ROWS,
                levels,
            };
            vectorised(backend, work)
        })
        .collect();
    Some((Levels::new(levels, steps)?, errors))
}

/// What the square of an error weighs in each column, of that of a step: 1 where steps are in proportion to the
/// inverse of the factor's diagonal.
fn error_weights(steps: &[f32], diagonal: &[f32]) -> Vec<f32> {
    let products: Vec<f32> = steps.iter().zip(diagonal).map(|(s, d)| s * d).collect();
    let mut sorted = products.clone();
    sorted.sort_by(f32::total_cmp);
    let middle = sorted.get(sorted.len() / 2).copied().unwrap_or(1.0);
    products.iter().map(|p| (p / middle) * (p / middle)).collect()
}

/// Up to [`GROUPS`] groups of [`LANES`] rows.
struct Rows<'a> {
    backend: Backend,
    weights: &'a [f32],
    float: Float,
    steps: &'a Steps,
    /// In the factor's order.
    column_steps: &'a [f32],
    /// As the column steps.
    error_weights: &'a [f32],
    factor: &'a Factor,
    rates: Option<&'a Rates>,
    first_row: usize,
    levels: &'a mut [i16],
}

/// One group of rows.
struct Group {
    row_steps: Lanes,
    /// Errors of the columns that are done, in the weights.
    done: Vec<Lanes>,
    /// What those make of the block's targets.
    sums: [Lanes; BLOCK],
    errors: [f64; LANES],
}

impl Work for Rows<'_> {
    /// The error of each row.
    type Output = Vec<f64>;

    #[inline(always)]
    fn run(mut self) -> Self::Output {
        let n = self.factor.columns();
        let rows = self.weights.len() / n;
        let group = |first: usize| Group {
            row_steps: std::array::from_fn(|i| match first + i < rows {
                true => self.steps.row(self.first_row + first + i),
                false => 1.0,
            }),
            done: Vec::with_capacity(n),
            sums: [[0.0; LANES]; BLOCK],
            errors: [0.0; LANES],
        };
        let mut groups: Vec<Group> = (0..rows).step_by(LANES).map(group).collect();
        let mut factors = Factors::new();
        for start in (0..n).step_by(BLOCK) {
            let end = n.min(start + BLOCK);
            groups.iter_mut().for_each(|group| group.sums = [[0.0; LANES]; BLOCK]);
            for from in (0..start).step_by(DEPTH) {
                let to = start.min(from + DEPTH);
                factors.copy(self.factor, from..to, start..end);
                for group in &mut groups {
                    let panels = group.sums.as_chunks_mut::<PANEL>().0;
                    for (panel, sums) in panels.iter_mut().enumerate().take((end - start).div_ceil(PANEL)) {
                        accumulate(self.backend, sums, &group.done[from..to], factors.panel(panel));
                    }
                }
            }
            factors.copy(self.factor, start..end, start..end);
            for (index, group) in groups.iter_mut().enumerate() {
                self.block(index * LANES, group, start..end, &factors);
            }
        }
        groups.into_iter().flat_map(|group| group.errors).take(rows).collect()
    }
}

impl Rows<'_> {
    /// The levels of a group in a block of columns.
    #[inline(always)]
    fn block(&mut self, first: usize, group: &mut Group, columns: Range<usize>, factors: &Factors) {
        let n = self.factor.columns();
        let rows = LANES.min(self.weights.len() / n - first);
        let panels = group.sums.as_chunks_mut::<PANEL>().0;
        for (panel, start) in columns.clone().step_by(PANEL).enumerate() {
            let end = columns.end.min(start + PANEL);
            let sums = &mut panels[panel];
            let factors = factors.panel(panel);
            accumulate(self.backend, sums, &group.done[columns.start..start], factors);
            let own = &factors[start - columns.start..];
            for j in start..end {
                let column = self.factor.order[j] as usize;
                let mut weight = [0f32; LANES];
                for (row, weight) in weight[..rows].iter_mut().enumerate() {
                    *weight = self.weights[(first + row) * n + column];
                }
                let (mut level_of, mut v, mut off) = ([0i16; LANES], [0f32; LANES], [0f32; LANES]);
                let sum = &sums[j - start];
                for lane in 0..LANES {
                    let target = weight[lane] + sum[lane];
                    let step = group.row_steps[lane] * self.column_steps[j];
                    level_of[lane] = level(target, 1.0 / step);
                    if let Some(rates) = self.rates.filter(|_| lane < rows) {
                        let bits = rates.of(self.first_row + first + lane, column);
                        level_of[lane] = cheaper(level_of[lane], target / step, self.error_weights[j], bits);
                    }
                    let weighs = self.float.round(f32::from(level_of[lane]) * step);
                    v[lane] = weight[lane] - weighs;
                    off[lane] = (target - weighs) * self.factor.diagonal[j];
                }
                for (row, level) in level_of[..rows].iter().enumerate() {
                    self.levels[(first + row) * n + column] = *level;
                }
                group
                    .errors
                    .iter_mut()
                    .zip(off)
                    .for_each(|(e, off)| *e += f64::from(off * off));
                for k in j - start + 1..PANEL {
                    add(&mut sums[k], &v, own[j - start][k]);
                }
                group.done.push(v);
            }
        }
    }
}

/// The level, or the next one towards 0 if it costs less; `exact` is what it stands for, in steps.
#[inline(always)]
fn cheaper(level: i16, exact: f32, weight: f32, bits: &[f32; MAGNITUDES]) -> i16 {
    let magnitude = level.unsigned_abs();
    let (Some(&now), Some(&less)) = (
        bits.get(usize::from(magnitude)),
        bits.get(usize::from(magnitude).wrapping_sub(1)),
    ) else {
        return level;
    };
    let off = exact.abs() - f32::from(magnitude);
    let saved = BIT * (now - less);
    let cost = weight * ((off + 1.0) * (off + 1.0) - off * off);
    if cost < saved { level - level.signum() } else { level }
}

#[cfg(test)]
mod tests {
    use super::super::nearest::nearest;
    use super::*;
    use crate::predict::scale::Scale;

    /// v H v' of each row.
    fn errors(weights: &[f32], levels: &Levels, hessian: &[f64], n: usize) -> Vec<f64> {
        let decoded = Float::F32.read(&levels.decoded(Backend::Scalar, Float::F32)).unwrap();
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
            let (levels, said) = feedback(backend, &weights, Float::F32, steps(), &factor, None).unwrap();
            let fed: f64 = errors(&weights, &levels, &hessian, n).iter().sum();
            assert!(fed < 0.5 * plain.iter().sum::<f64>(), "{fed} {plain:?}");
            // What it says is that, and what the damping adds.
            let said: f64 = said.iter().sum();
            assert!(said >= fed && said < 1.4 * fed, "{said} {fed}");
            let scalar = feedback(Backend::Scalar, &weights, Float::F32, steps(), &factor, None).unwrap();
            assert_eq!(levels.levels, scalar.0.levels, "{backend}");
            // Where small levels are cheaper there are more of them, and the error is no multiple of the least.
            let bits = vec![std::array::from_fn(|m| m as f32)];
            let rates = Rates::new(Scale::new(vec![0; rows], vec![0; n]).unwrap(), [0; 256], bits);
            let cheap = feedback(backend, &weights, Float::F32, steps(), &factor, Some(&rates))
                .unwrap()
                .0;
            let sum = |levels: &Levels| levels.levels.iter().map(|l| i64::from(l.abs())).sum::<i64>();
            assert!(sum(&cheap) < sum(&levels));
            assert!(errors(&weights, &cheap, &hessian, n).iter().sum::<f64>() < 2.0 * fed);
            let scalar = feedback(Backend::Scalar, &weights, Float::F32, steps(), &factor, Some(&rates)).unwrap();
            assert_eq!(cheap.levels, scalar.0.levels, "{backend}");
        }
    }

    /// Row by row and column by column, as it is defined.
    fn one_after_another(weights: &[f32], steps: &Steps, factor: &Factor) -> Vec<i16> {
        let n = factor.columns();
        let mut levels = vec![0; weights.len()];
        for (row, (weights, levels)) in weights.chunks(n).zip(levels.chunks_mut(n)).enumerate() {
            let mut done: Vec<f32> = Vec::new();
            for j in 0..n {
                let column = factor.order[j] as usize;
                let fed = |(i, v): (usize, &f32)| v * factor.row(i, j, j + 1)[0];
                let sum = done.iter().enumerate().map(fed).fold(0.0, |a, b| a + b);
                let step = steps.row(row) * steps.column(column);
                levels[column] = level(weights[column] + sum, 1.0 / step);
                done.push(weights[column] - f32::from(levels[column]) * step);
            }
        }
        levels
    }

    #[test]
    fn blocks_change_nothing() {
        let noise = |i: usize| ((i * 2654435761) % 1009) as f32 / 504.5 - 1.0;
        for (rows, n) in [
            (1, 1),
            (GROUPS * LANES + 17, BLOCK + PANEL + 3),
            (3, DEPTH + BLOCK),
            (2, 2 * DEPTH + 9),
        ] {
            let weights: Vec<f32> = (0..rows * n).map(noise).collect();
            let factor = Factor {
                order: (0..n as u32).rev().collect(),
                diagonal: vec![1.0; n],
                feedback: (0..n * (n + 1) / 2).map(|i| noise(i + 5) * 0.1).collect(),
            };
            let row_steps: Vec<f32> = (0..rows).map(|i| 1.0 + (i % 5) as f32).collect();
            let steps = Steps::near(&row_steps, &vec![0.02; n]).unwrap();
            let expected = one_after_another(&weights, &steps, &factor);
            assert!(n == 1 || expected != nearest(&weights, steps.clone()).unwrap().levels);
            for backend in Backend::available() {
                let (levels, errors) = feedback(backend, &weights, Float::F32, steps.clone(), &factor, None).unwrap();
                assert!(levels.levels == expected, "{backend}: {rows} x {n}");
                assert_eq!(errors.len(), rows);
            }
        }
    }
}
