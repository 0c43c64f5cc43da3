//! The factor of a layer's Hessian, by which errors are fed back.
//!
//! With `H` the mean of `x x'` over a layer's inputs `x`, a row's error `v` in the weights makes the error
//! `v H v'` in the output. Columns are put in descending order of `H`'s diagonal, and there `H = R R'` with
//! `R` upper triangular: `v H v' = |v R|²`, of which term `j` is `R[j][j]` times what column `j` is off a target
//! that the columns before it decide. So a column's errors are made up for by those after it. (The method is
//! GPTQ's, arXiv 2210.17323, which works with the Cholesky factor of the inverse, `1 / R[j][j]` on its
//! diagonal; that steps belong in proportion to that diagonal is WaterSIC's, arXiv 2603.04956.)

use rayon::prelude::*;

/// Columns that are factored together: their part of the matrix stays in the cache.
const BLOCK: usize = 64;
/// Part of the mean diagonal that is added to it, where that is enough.
pub(crate) const DAMPING: f64 = 0.01;

/// A factored Hessian.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Factor {
    /// Columns in the order in which they are quantised.
    pub(crate) order: Vec<u32>,
    /// `R[j][j]`, in that order.
    pub(crate) diagonal: Vec<f32>,
    /// `R[i][j] / R[j][j]` for `j >= i`, row after row.
    pub(crate) feedback: Vec<f32>,
}

impl Factor {
    #[cfg(test)]
    pub(crate) fn new(hessian: &[f64], n: usize) -> Option<Self> {
        Self::with_damping(hessian, n, DAMPING)
    }

    /// Factors a symmetric matrix of `n` rows, with a part of the mean diagonal added to it. `None` if it has no
    /// finite factor.
    pub(crate) fn with_damping(hessian: &[f64], n: usize, part: f64) -> Option<Self> {
        let diagonal = |i: usize| hessian[i * n + i];
        let damping = part * (0..n).map(diagonal).sum::<f64>() / n as f64;
        if damping.is_nan() || damping <= 0.0 {
            return None;
        }
        let mut order: Vec<u32> = (0..n as u32).collect();
        order.sort_by(|&a, &b| diagonal(b as usize).total_cmp(&diagonal(a as usize)).then(a.cmp(&b)));
        // Cholesky's factor is lower triangular: of the matrix in reverse, it is ours in reverse.
        let reversed: Vec<usize> = order.iter().rev().map(|&i| i as usize).collect();
        let mut lower: Vec<f64> = Vec::with_capacity(n * n);
        for &i in &reversed {
            lower.extend(
                reversed
                    .iter()
                    .map(|&j| hessian[i * n + j] + if i == j { damping } else { 0.0 }),
            );
        }
        cholesky(&mut lower, n)?;
        let at = |i: usize, j: usize| lower[(n - 1 - i) * n + n - 1 - j];
        let mut feedback = Vec::with_capacity(n * (n + 1) / 2);
        for i in 0..n {
            feedback.extend((i..n).map(|j| (at(i, j) / at(j, j)) as f32));
        }
        let diagonal = (0..n).map(|j| at(j, j) as f32).collect();
        Some(Self {
            order,
            diagonal,
            feedback,
        })
    }

    /// Whether it may be the factor of some matrix: of one that was read.
    pub(crate) fn is_whole(&self) -> bool {
        let n = self.order.len();
        let mut seen = vec![false; n];
        let each = |&i: &u32| {
            seen.get_mut(i as usize)
                .is_some_and(|seen| !std::mem::replace(seen, true))
        };
        let finite = |values: &[f32]| values.iter().all(|v| v.is_finite());
        self.order.iter().all(each)
            && self.diagonal.len() == n
            && self.diagonal.iter().all(|&d| d > 0.0)
            && self.feedback.len() == n * (n + 1) / 2
            && finite(&self.diagonal)
            && finite(&self.feedback)
    }

    pub(crate) fn columns(&self) -> usize {
        self.order.len()
    }

    /// `R[i][j] / R[j][j]` for the `j` from `from` to `to`, which are not before `i`.
    #[inline(always)]
    pub(super) fn row(&self, i: usize, from: usize, to: usize) -> &[f32] {
        let start = i * (2 * self.columns() - i - 1) / 2;
        &self.feedback[start + from..start + to]
    }
}

/// Replaces the lower triangle of a symmetric matrix by its Cholesky factor, the rest by anything. Every
/// sum has one order, whatever the number of threads. `None` if the matrix is not positive.
fn cholesky(a: &mut [f64], n: usize) -> Option<()> {
    for start in (0..n).step_by(BLOCK) {
        let end = n.min(start + BLOCK);
        // What the columns before take away, for the block and all below it.
        let (above, below) = a.split_at_mut(end * n);
        let block: Vec<f64> = (start..end)
            .flat_map(|i| above[i * n..i * n + start].iter().copied())
            .collect();
        let take = |row: &mut [f64]| {
            let (before, now) = row.split_at_mut(start);
            for (j, value) in now[..end - start].iter_mut().enumerate() {
                *value -= dot(before, &block[j * start..(j + 1) * start]);
            }
        };
        above[start * n..].chunks_mut(n).for_each(take);
        below.par_chunks_mut(n).for_each(take);
        // The block itself, then all below.
        for i in start..end {
            for j in start..=i {
                let (head, row) = above.split_at_mut(i * n);
                let sum = match i == j {
                    true => dot(&row[start..j], &row[start..j]),
                    false => dot(&row[start..j], &head[j * n + start..j * n + j]),
                };
                let rest = row[j] - sum;
                row[j] = if i == j { rest.sqrt() } else { rest / head[j * n + j] };
            }
            if !above[i * n + i].is_normal() {
                return None;
            }
        }
        let block = &above[start * n..];
        below.par_chunks_mut(n).for_each(|row| {
            for j in 0..end - start {
                let of_block = &block[j * n + start..j * n + start + j + 1];
                let sum = dot(&row[start..start + j], &of_block[..j]);
                row[start + j] = (row[start + j] - sum) / of_block[j];
            }
        });
    }
    Some(())
}

/// The sum of products, in eight interleaved sums.
#[inline]
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let (a, a_rest) = a.as_chunks::<8>();
    let (b, b_rest) = b.as_chunks::<8>();
    let mut sums = [0.0; 8];
    for (a, b) in a.iter().zip(b) {
        for k in 0..8 {
            sums[k] += a[k] * b[k];
        }
    }
    let rest: f64 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f64>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_factor_gives_the_hessian_back() {
        for n in [1, 5, 64, 150] {
            // x x' of a few more vectors than columns.
            let x: Vec<f64> = (0..(n + 3) * n)
                .map(|i| ((i * i * 7 + i * 13) % 101) as f64 / 50.0 - 1.0)
                .collect();
            let mut hessian = vec![0.0; n * n];
            for x in x.chunks(n) {
                for i in 0..n {
                    (0..n).for_each(|j| hessian[i * n + j] += x[i] * x[j]);
                }
            }
            let factor = Factor::new(&hessian, n).unwrap();
            let damping = DAMPING * (0..n).map(|i| hessian[i * n + i]).sum::<f64>() / n as f64;
            let r = |i: usize, j: usize| f64::from(factor.row(i, j, j + 1)[0] * factor.diagonal[j]);
            for i in 0..n {
                for j in 0..=i {
                    let got: f64 = (i..n).map(|k| r(i, k) * r(j, k)).sum();
                    let (a, b) = (factor.order[i] as usize, factor.order[j] as usize);
                    let expected = hessian[a * n + b] + if a == b { damping } else { 0.0 };
                    assert!(
                        (got - expected).abs() < 1e-4 * n as f64,
                        "{n}: {i} {j}: {got} {expected}"
                    );
                }
            }
        }
        assert!(Factor::new(&[0.0; 4], 2).is_none() && Factor::new(&[f64::NAN; 4], 2).is_none());
    }
}
