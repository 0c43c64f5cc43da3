//! What errors make of the columns after them: sums of products, a panel of columns at a time.
//!
//! The sum of a column has one order, from the first column on, whatever is computed together.

use super::factor::Factor;
use crate::backend::Backend;
use std::ops::Range;

/// Rows that are quantised side by side: a vector's lanes.
pub(super) const LANES: usize = 16;
/// Columns whose targets are summed together: so many sums stay in registers.
pub(super) const PANEL: usize = 8;
/// Columns whose factors are copied together: a whole number of panels.
pub(super) const BLOCK: usize = 64;
/// Columns before those, whose factors are copied with them: a core's cache holds them, and the errors of a group.
pub(super) const DEPTH: usize = 256;

/// A number of each row.
pub(super) type Lanes = [f32; LANES];

/// Factors of a block of columns and of some before them, copied to where they are read one after another.
pub(super) struct Factors(Vec<[f32; PANEL]>);

impl Factors {
    pub(super) fn new() -> Self {
        Self(vec![[0.0; PANEL]; BLOCK / PANEL * DEPTH])
    }

    /// Of the columns `before` for those of a block, which may be the same.
    #[inline(always)]
    pub(super) fn copy(&mut self, factor: &Factor, before: Range<usize>, block: Range<usize>) {
        for (at, i) in before.enumerate() {
            // Of a column for those before it there is none.
            let from = block.start.max(i);
            let mut skipped = from - block.start;
            let mut row = factor.row(i, from, block.end);
            for panel in 0..BLOCK / PANEL {
                let own = &mut self.0[panel * DEPTH + at];
                let empty = skipped.min(PANEL);
                let (now, rest) = row.split_at(row.len().min(PANEL - empty));
                own[..empty].fill(0.0);
                own[empty..empty + now.len()].copy_from_slice(now);
                (skipped, row) = (skipped - empty, rest);
            }
        }
    }

    /// Of a panel of the block, one for each column before.
    #[inline(always)]
    pub(super) fn panel(&self, panel: usize) -> &[[f32; PANEL]] {
        &self.0[panel * DEPTH..][..DEPTH]
    }
}

/// Adds what the errors of columns make of the targets of a panel's.
#[inline(always)]
pub(super) fn accumulate(backend: Backend, sums: &mut [Lanes; PANEL], errors: &[Lanes], factors: &[[f32; PANEL]]) {
    match backend {
        Backend::Avx512 => accumulate_in::<16>(sums, errors, factors),
        _ => accumulate_in::<8>(sums, errors, factors),
    }
}

/// So many lanes at once that a panel's sums are in registers. (With the loop over lanes inside, where it reads better,
/// compilers make vectors of a panel's columns, at a fiftieth of the speed.)
#[inline(always)]
fn accumulate_in<const WIDTH: usize>(sums: &mut [Lanes; PANEL], errors: &[Lanes], factors: &[[f32; PANEL]]) {
    for part in 0..LANES / WIDTH {
        let mut own: [[f32; WIDTH]; PANEL] = std::array::from_fn(|k| sums[k].as_chunks().0[part]);
        for (v, factors) in errors.iter().zip(factors) {
            let v: &[f32; WIDTH] = &v.as_chunks().0[part];
            for lane in 0..WIDTH {
                for k in 0..PANEL {
                    own[k][lane] += v[lane] * factors[k];
                }
            }
        }
        for (sums, own) in sums.iter_mut().zip(own) {
            sums.as_chunks_mut().0[part] = own;
        }
    }
}

#[inline(always)]
pub(super) fn add(sum: &mut Lanes, v: &Lanes, factor: f32) {
    for (sum, v) in sum.iter_mut().zip(v) {
        *sum += v * factor;
    }
}
