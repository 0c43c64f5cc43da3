//! Encoding of the `tiles` method.
//!
//! What a tile should be done to depends on the frequency tables, and they on what is done. A sample
//! of the tiles is gone over a few times, each time with the costs of the time before; then every
//! tile chooses once, and the tables are counted from the choices.

mod choose;
mod cost;
mod estimate;
mod matrix;

pub(crate) use estimate::estimate;
#[cfg(test)]
pub(crate) use estimate::tool_costs as shape_costs;

use super::{Candidate, Effort, Encoded, Input, assemble};
use crate::backend::Backend;
use crate::bits::BitWriter;
use crate::codec::tiles::context::{Mode, PREDICTOR, TRANSFORMS};
use crate::entropy::rans::{self, LANES};
use crate::entropy::{EncodeTables, Frequencies};
use crate::format::{MAX_CHUNK_UNITS, MAX_PROB_BITS, Method, Recipe, TileShape};
use choose::{Chooser, Tools};
use cost::Counts;
use matrix::Matrix;
use std::ops::Range;

/// Units that a chunk should have; whole rows of tiles come as near as they can.
const CHUNK_UNITS: usize = 1 << 16;
/// Units that the costs are learnt from.
const SAMPLE: usize = 1 << 17;

/// Units that the default effort prices tiles on.
pub(super) const PRICED: usize = 1 << 15;
/// How often the sample is gone over.
pub(super) const ROUNDS: u32 = 2;

/// Ways to code a tensor in tiles, where neighbours look alike; `best` is the cost that they
/// must stay under, in 2^-16 bits.
pub(super) fn candidates<'a>(input: Input<'a>, effort: Effort, best: u64) -> Vec<Candidate<'a>> {
    let search = match effort {
        Effort::Fast => return Vec::new(),
        Effort::Default => Search {
            shapes: &TileShape::ALL[..1],
            sample: PRICED,
            differences: Some(100),
        },
        Effort::Max => Search {
            shapes: &TileShape::ALL,
            sample: SAMPLE,
            differences: None,
        },
    };
    let candidate = |tiling: Tiling| Candidate {
        cost: tiling.cost,
        encode: Box::new(move || encode_input(input, tiling)),
    };
    search.run(input, best).map(candidate).collect()
}

/// A way to cut a matrix into tiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tiling {
    pub(super) shape: TileShape,
    pub(super) columns: usize,
    /// Estimated payload in 2^-16 bits.
    pub(super) cost: u64,
}

/// Which ways are priced.
#[derive(Clone, Copy)]
pub(super) struct Search {
    pub(super) shapes: &'static [TileShape],
    /// Units that a price is taken on.
    pub(super) sample: usize,
    /// Pricing is slow, and most tensors are noise, which is seen on the differences of neighbours at once: what those
    /// may take, in percent of the best.
    pub(super) differences: Option<u64>,
}

impl Search {
    /// The ways that cost less than `best`, in 2^-16 bits.
    pub(super) fn run<'a>(self, input: Input<'a>, best: u64) -> impl Iterator<Item = Tiling> + use<'a> {
        let Input { dtype, data, .. } = input;
        let units = input.units() as u64;
        let price = move |columns: usize, shape: TileShape| -> Option<Tiling> {
            if let Some(percent) = self.differences {
                let differences = Matrix::without_base(dtype, data, shape, columns)?.difference_bits();
                if differences.saturating_mul(units) > best / 100 * percent {
                    return None;
                }
            }
            let cost = estimate(dtype, data, shape, columns, self.sample).filter(|&cost| cost < best)?;
            Some(Tiling { shape, columns, cost })
        };
        let all = matrix_columns(input).into_iter();
        all.flat_map(move |c| self.shapes.iter().map(move |&s| (c, s)))
            .filter_map(move |(c, s)| price(c, s))
    }
}

/// Columns that tiles are tried with: narrow matrices too, for convolution kernels.
fn matrix_columns(input: Input) -> Vec<usize> {
    let Input { dtype, shape, .. } = input;
    let last = shape.last().map_or(1, |&n| n * dtype.bits() / 8 / dtype.unit_bytes());
    let mut columns = input.matrices();
    if last > 1 && input.units().is_multiple_of(last) {
        columns.push(last);
    }
    columns.sort_unstable();
    columns.dedup();
    columns
}

/// Estimated payload with each tool of tiles by itself, and with all, in the shape that suits best.
pub(super) fn tool_costs(input: Input) -> Vec<(&'static str, u64)> {
    let shapes = |columns| TileShape::ALL.into_iter().map(move |shape| (columns, shape));
    let costs = |(columns, shape)| estimate::tool_costs(input.dtype, input.data, shape, columns, PRICED);
    let all = matrix_columns(input).into_iter().flat_map(shapes).filter_map(costs);
    let Some(best) = all.min_by_key(|costs| costs.all) else {
        return Vec::new();
    };
    let predictors = best.predictors.iter().map(|(p, cost)| (p.name(), *cost));
    let transforms = best.transforms.iter().map(|(t, cost)| (t.name(), *cost));
    predictors.chain(transforms).chain([("tiles", best.all)]).collect()
}

fn encode_input(input: Input, tiling: Tiling) -> Encoded {
    let Tiling { shape, columns, .. } = tiling;
    match encode(input, shape, columns, MAX_PROB_BITS, ROUNDS, BitWriter::default()) {
        Some(tiles) => tiles.assemble(Method::Tiles {
            shape,
            columns: columns as u64,
            prob: MAX_PROB_BITS,
        }),
        None => super::raw(input),
    }
}

/// A tensor in tiles.
pub(crate) struct TileEncoding {
    /// Units of a chunk, but perhaps the last.
    pub(crate) chunk_units: u64,
    pub(crate) parameters: Vec<u8>,
    pub(crate) chunks: Vec<TileChunk>,
}

impl TileEncoding {
    pub(super) fn assemble(self, method: Method) -> Encoded {
        let chunk = self.chunk_units;
        let chunks = self.chunks.into_iter().map(|c| (c.bytes, c.extra)).collect();
        assemble(Recipe { method, chunk }, &self.parameters, chunks)
    }
}

/// A chunk and the `extra` field of its entry.
pub(crate) struct TileChunk {
    pub(crate) bytes: Vec<u8>,
    pub(crate) extra: u32,
}

/// Encodes a tensor as a matrix of `columns` units a row. `rounds` is how often the sample is gone
/// over: 2 is good, more than 4 gains nothing. The parameters are appended to `writer`.
///
/// `None` if there are no units, the columns do not divide them, or a row of tiles is more than a
/// chunk may have.
pub(crate) fn encode(
    input: Input,
    shape: TileShape,
    columns: usize,
    prob: u32,
    rounds: u32,
    mut writer: BitWriter,
) -> Option<TileEncoding> {
    let matrix = Matrix::new(input.dtype, input.data, shape, columns)?;
    let chunk_units = chunk_units(shape, columns)?;
    let mut chooser = Chooser::learn(&matrix, &matrix.sample(SAMPLE), Tools::ALL, rounds).0;
    let mut counts = Counts::default();
    let tiles = 0..matrix.grid.tiles();
    let modes: Vec<Mode> = tiles
        .clone()
        .map(|t| chooser.choose_and_count(&matrix, t, &mut counts))
        .collect();

    let frequencies = counts.tables.each_ref().map(|c| Frequencies::normalise(c, prob));
    writer.bits(matrix.units.base_token().into(), 16);
    frequencies.iter().for_each(|f| f.write(&mut writer));

    let tables = EncodeTables::new(&frequencies);
    let tiles_a_chunk = (chunk_units / (shape.height() * columns)) as u64 * matrix.grid.across();
    let chunks = tiles
        .step_by(tiles_a_chunk as usize)
        .enumerate()
        .map(|(i, first)| {
            let tiles = first..matrix.grid.tiles().min(first + tiles_a_chunk);
            let chunk = encode_chunk(input.backend, &matrix, &tables, &mut chooser, &modes, tiles);
            input.used(i * chunk_units..input.units().min((i + 1) * chunk_units));
            chunk
        })
        .collect();
    Some(TileEncoding {
        chunk_units: chunk_units as u64,
        parameters: writer.finish(),
        chunks,
    })
}

/// The multiple of a row of tiles that is nearest to [`CHUNK_UNITS`], but at least one.
fn chunk_units(shape: TileShape, columns: usize) -> Option<usize> {
    let row = shape.height().checked_mul(columns)?;
    let units = ((CHUNK_UNITS.checked_add(row / 2)?) / row).max(1) * row;
    (units as u64 <= MAX_CHUNK_UNITS).then_some(units)
}

fn encode_chunk(
    backend: Backend,
    matrix: &Matrix,
    tables: &EncodeTables,
    chooser: &mut Chooser,
    modes: &[Mode],
    tiles: Range<u64>,
) -> TileChunk {
    let modes = &modes[tiles.start as usize..tiles.end as usize];
    let (mut symbols, mut contexts) = (Vec::new(), Vec::new());
    let predictors: Vec<u8> = modes.iter().map(|m| m.predictor.code()).collect();
    let transforms: Vec<u8> = modes.iter().map(|m| m.transforms).collect();
    for (context, codes) in [(PREDICTOR, predictors), (TRANSFORMS, transforms)] {
        symbols.extend(codes);
        contexts.resize(symbols.len(), context);
        symbols.resize(
            symbols.len().next_multiple_of(LANES),
            tables.likeliest(PREDICTOR.into()),
        );
        contexts.resize(symbols.len(), PREDICTOR);
    }
    let mut raw = BitWriter::default();
    for (tile, &mode) in tiles.zip(modes) {
        chooser.tokens(matrix, tile, mode, |context, symbol, bits, count| {
            contexts.push(context);
            symbols.push(symbol);
            raw.bits(bits, count);
        });
    }
    let mut bytes = Vec::new();
    rans::encode(
        backend,
        tables,
        &symbols,
        &contexts,
        &[0; LANES],
        &mut Vec::new(),
        &mut bytes,
    );
    let raw = raw.finish();
    bytes.extend_from_slice(&raw);
    TileChunk {
        bytes,
        extra: raw.len() as u32,
    }
}
