//! Encoding with the `tiled-levels` method.

use super::tiles::{self, PRICED, ROUNDS, Search, Tiling};
use super::{Encoded, Input};
use crate::backend::Backend;
use crate::bits::BitWriter;
use crate::cost::COST_BITS;
use crate::dtype::DType;
use crate::format::{MAX_PROB_BITS, Method, TileShape};
use crate::quant::Levels;

/// Tiles are taken only if they cost less than this part of what levels cost otherwise, in percent: they take many times as
/// long to decode.
const PERCENT: u64 = 85;
/// Noise is told from levels whose neighbours look alike by what differences take, in percent of the same.
const DIFFERENCES: u64 = 102;

/// How to code the levels of a tensor in tiles.
pub(crate) struct Plan {
    tiling: Tiling,
    /// Payload in bits, estimated.
    pub(crate) bits: u64,
}

impl Plan {
    /// The cheapest tiling. `None` if none takes clearly less than `bits`, which is what levels take otherwise.
    pub(crate) fn new(backend: Backend, shape: &[usize], levels: &Levels, bits: u64) -> Option<Self> {
        let (stored, data) = integers(&levels.levels);
        let search = Search {
            shapes: &TileShape::ALL,
            sample: PRICED,
            differences: Some(DIFFERENCES),
        };
        let steps = steps(levels).len();
        let best = (bits.saturating_sub(steps) / 100 * PERCENT) << COST_BITS;
        let tiling = search
            .run(input(backend, shape, stored, &data), best)
            .min_by_key(|tiling| tiling.cost)?;
        let bits = steps + (tiling.cost >> COST_BITS);
        Some(Self { tiling, bits })
    }

    /// Encodes the levels that the plan was made for. `None` as [`tiles::encode`].
    pub(crate) fn encode(&self, backend: Backend, levels: &Levels) -> Option<Encoded> {
        let Tiling { shape, columns, .. } = self.tiling;
        let (stored, data) = integers(&levels.levels);
        let input = input(backend, &[], stored, &data);
        let tiles = tiles::encode(input, shape, columns, MAX_PROB_BITS, ROUNDS, steps(levels))?;
        Some(tiles.assemble(Method::TiledLevels {
            stored,
            shape,
            columns: columns as u64,
            steps: levels.columns() as u64,
            prob: MAX_PROB_BITS,
        }))
    }
}

/// As [`tiles::tool_costs`], with what steps take.
pub(super) fn tool_costs(backend: Backend, shape: &[usize], levels: &Levels) -> Vec<(&'static str, u64)> {
    let (stored, data) = integers(&levels.levels);
    let steps = steps(levels).len() << COST_BITS;
    let costs = tiles::tool_costs(input(backend, shape, stored, &data)).into_iter();
    costs.map(|(tool, cost)| (tool, cost.saturating_add(steps))).collect()
}

/// The part of the parameters that comes before those of tiles.
fn steps(levels: &Levels) -> BitWriter {
    let mut writer = BitWriter::default();
    levels.steps.write(&mut writer);
    writer
}

fn input<'a>(backend: Backend, shape: &'a [usize], dtype: DType, data: &'a [u8]) -> Input<'a> {
    Input {
        dtype,
        shape,
        data,
        backend,
        used: &|_| (),
    }
}

/// Levels as the narrowest integers that hold them all.
fn integers(levels: &[i16]) -> (DType, Vec<u8>) {
    let (least, most) = levels.iter().fold((0, 0), |(a, b), &l| (l.min(a), l.max(b)));
    match i8::try_from(least).is_ok() && i8::try_from(most).is_ok() {
        true => (DType::I8, levels.iter().map(|&l| l as u8).collect()),
        false => (
            DType::I16,
            levels
                .iter()
                .map(|l| l.to_le_bytes())
                .collect::<Vec<_>>()
                .into_flattened(),
        ),
    }
}
