//! What tiles would cost, from a sample: for the search of a recipe, and to show what each tool saves.

use super::choose::{Chooser, Tools};
use super::chunk_units;
use super::cost::Counts;
use super::matrix::Matrix;
use crate::cost::COST_BITS;
use crate::dtype::DType;
use crate::entropy::Frequencies;
use crate::entropy::rans::STATES_BYTES;
use crate::format::head::ENTRY_BYTES;
use crate::format::{MAX_PROB_BITS, TileShape};
use crate::predict::tile::Predictor;
use crate::transform::Transform;

/// How often the sample is gone over.
const ROUNDS: u32 = 3;

/// Estimated bits of a tensor when every tile may choose between nothing and some tools, in 2^-16 bits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ToolCosts {
    /// No tool at all.
    pub(crate) none: u64,
    /// Only one predictor.
    pub(crate) predictors: Vec<(Predictor, u64)>,
    /// Only one transform, of units that nothing predicts.
    pub(crate) transforms: Vec<(Transform, u64)>,
    /// All predictors; what transforms save on top is the difference from `all`.
    pub(crate) all_predictors: u64,
    /// All tools: what `estimate` gives.
    pub(crate) all: u64,
}

/// Estimated size of a tensor in 2^-16 bits, with tables and what every chunk costs, from about
/// `sample` units. `None` where `encode` gives none.
pub(crate) fn estimate(dtype: DType, data: &[u8], shape: TileShape, columns: usize, sample: usize) -> Option<u64> {
    let chunk_units = chunk_units(shape, columns)?;
    let matrix = Matrix::new(dtype, data, shape, columns)?;
    Some(cost(&matrix, &matrix.sample(sample), chunk_units, Tools::ALL))
}

/// Estimates with each tool alone; else as `estimate`.
pub(crate) fn tool_costs(
    dtype: DType,
    data: &[u8],
    shape: TileShape,
    columns: usize,
    sample: usize,
) -> Option<ToolCosts> {
    let chunk_units = chunk_units(shape, columns)?;
    let matrix = Matrix::new(dtype, data, shape, columns)?;
    let sample = matrix.sample(sample);
    let with = |predictors: &[Predictor], transforms: &[Transform]| {
        cost(&matrix, &sample, chunk_units, Tools { predictors, transforms })
    };
    Some(ToolCosts {
        none: with(&[], &[]),
        predictors: Tools::ALL.predictors.iter().map(|&p| (p, with(&[p], &[]))).collect(),
        transforms: Tools::ALL.transforms.iter().map(|&t| (t, with(&[], &[t]))).collect(),
        all_predictors: with(Tools::PREDICTORS.predictors, &[]),
        all: with(Tools::ALL.predictors, Tools::ALL.transforms),
    })
}

fn cost(matrix: &Matrix, sample: &[u64], chunk_units: usize, tools: Tools) -> u64 {
    let counts = Chooser::learn(matrix, sample, tools, ROUNDS).1;
    let sampled: usize = sample
        .iter()
        .filter_map(|&t| matrix.grid.tile(t))
        .map(|t| t.elements())
        .sum();
    let units = matrix.grid.elements();
    let coded = u128::from(counts.cost(&matrix.units)) * u128::from(units) / sampled.max(1) as u128;
    let chunks = units.div_ceil(chunk_units as u64);
    let fixed = (table_bits(&counts) + u128::from(chunks) * CHUNK_BITS) << COST_BITS;
    u64::try_from(coded + fixed).unwrap_or(u64::MAX)
}

/// Bits that a chunk costs beyond its symbols. A state has 32 bits, of which it uses 8 on average:
/// it starts at 2^16 and ends anywhere below 2^32 on a logarithmic scale. Words and chunk are padded.
const CHUNK_BITS: u128 = 8 * (ENTRY_BYTES + STATES_BYTES * 3 / 4 + 16) as u128;

fn table_bits(counts: &Counts) -> u128 {
    counts
        .tables
        .iter()
        .map(|c| u128::from(Frequencies::normalise(c, MAX_PROB_BITS).bits()))
        .sum()
}
