//! Decoding of the `tiles` method: blocks of a matrix, each with its own prediction and transforms.
//!
//! A chunk is whole rows of tiles. Its symbols are in three sections: what predicts each tile, what
//! transforms each tile's blocks, and then the units, whose frequency tables follow from both.

pub(crate) mod context;
#[cfg(test)]
mod tests;
pub(crate) mod unit;

use super::Problem;
use super::plan::Chunk;
use crate::backend::Backend;
use crate::bits::BitReader;
use crate::dtype::DType;
use crate::entropy::rans::{self, LANES, Run, STATES_BYTES, Stream};
use crate::entropy::{DecodeTables, Frequencies};
use crate::format::TileShape;
use crate::predict::grid::{Tile, TileGrid};
use crate::predict::tile::{from_signed, reconstruct};
use crate::transform::{self, Transform};
use context::{Mode, PREDICTOR, TABLES, TRANSFORMS};
use unit::Units;

/// Elements of a tile that no edge clips.
const ELEMENTS: usize = TileShape::ELEMENTS;

#[derive(Debug)]
pub(super) struct TileCoder {
    pub(super) units: Units,
    pub(super) shape: TileShape,
    pub(super) columns: usize,
    pub(super) tables: DecodeTables,
}

impl TileCoder {
    /// Parameters: base token (16 bits), eight tables. They end what the reader has.
    pub(super) fn parse(
        dtype: DType,
        shape: TileShape,
        columns: usize,
        prob: u32,
        mut reader: BitReader,
    ) -> Result<Self, &'static str> {
        let base = reader.bits(16).ok_or("the base token is cut off")? as u16;
        let tables = (0..TABLES)
            .map(|_| Frequencies::parse(&mut reader, prob))
            .collect::<Result<Vec<_>, _>>()?;
        if columns == 0 {
            return Err("it has no columns");
        }
        if !reader.is_finished() {
            return Err("its parameters are followed by more");
        }
        let tables = DecodeTables::new(&tables).ok_or("it has no tables")?;
        Ok(Self {
            units: Units::new(dtype, base),
            shape,
            columns,
            tables,
        })
    }

    pub(super) fn decode(&self, backend: Backend, chunk: &mut Chunk) -> Result<(), Problem> {
        let rows = chunk.units / self.columns;
        let grid = TileGrid::new(rows as u64, self.columns as u64, self.shape)
            .filter(|g| g.elements() == chunk.units as u64)
            .ok_or_else(|| chunk.problem("its units do not fill rows of the matrix"))?;
        let tiles: Vec<Tile> = (0..grid.tiles()).filter_map(|t| grid.tile(t)).collect();
        let words_end = chunk
            .bytes
            .len()
            .checked_sub(chunk.extra as usize)
            .filter(|&end| end >= STATES_BYTES);
        let words_end = words_end.ok_or_else(|| chunk.problem("it is shorter than its parts"))?;
        let stream = Stream::new(chunk.bytes).ok_or_else(|| chunk.problem("its coder states are cut off"))?;

        let mut sections = Sections {
            backend,
            tables: &self.tables,
            stream,
        };
        let predictors = sections.next(vec![PREDICTOR; tiles.len()]);
        let transforms = sections.next(vec![TRANSFORMS; tiles.len()]);
        let modes = tiles
            .iter()
            .zip(predictors.iter().zip(&transforms))
            .map(|(t, (&p, &c))| Mode::parse(t, p, c));
        let modes = modes.collect::<Result<Vec<_>, _>>().map_err(|e| chunk.problem(e))?;
        let mut contexts = vec![0; chunk.units];
        let mut rest = &mut contexts[..];
        for (tile, mode) in tiles.iter().zip(&modes) {
            let (now, later) = rest.split_at_mut(tile.elements());
            mode.contexts(tile, now);
            rest = later;
        }
        let symbols = sections.next(contexts.clone());
        let seeds = sections
            .stream
            .finish(words_end - STATES_BYTES)
            .map_err(|e| chunk.problem(e))?;
        if seeds.iter().any(|&s| s != 0) {
            return Err(chunk.problem("the entropy coder's seeds are not 0"));
        }

        let mut raw = BitReader::new(&chunk.bytes[words_end..]);
        let mut first = 0;
        for (tile, &mode) in tiles.iter().zip(&modes) {
            let range = first..first + tile.elements();
            first = range.end;
            let mut elements = [0; ELEMENTS];
            let elements = &mut elements[..tile.elements()];
            self.tile(
                tile,
                mode,
                &symbols[range.clone()],
                &contexts[range],
                &mut raw,
                elements,
            )
            .ok_or_else(|| chunk.problem("its raw bits are cut off"))?;
            self.store(tile, elements, chunk.out);
        }
        if raw.is_finished() {
            Ok(())
        } else {
            Err(chunk.problem("its raw bits do not end where they should"))
        }
    }

    /// The elements of a tile; `None` if the raw bits are cut off.
    fn tile(
        &self,
        tile: &Tile,
        mode: Mode,
        symbols: &[u8],
        contexts: &[u8],
        raw: &mut BitReader,
        elements: &mut [u64],
    ) -> Option<()> {
        let mut signed = [0i64; ELEMENTS];
        let signed = &mut signed[..elements.len()];
        self.units.read(contexts, symbols, raw, signed)?;
        if mode.transforms != 0 {
            for (y, x, transform) in mode.blocks(tile).filter(|b| b.2 != Transform::None) {
                let mut block = context::load_block(tile, signed, y, x);
                transform::inverse(transform, &mut block);
                context::store_block(tile, signed, y, x, &block);
            }
        }
        let mut residuals = [0u64; ELEMENTS];
        let residuals = &mut residuals[..elements.len()];
        for (residual, &signed) in residuals.iter_mut().zip(&*signed) {
            *residual = from_signed(mode.predictor, signed, self.units.bits());
        }
        reconstruct(mode.predictor, residuals, tile.width, self.units.bits(), elements);
        Some(())
    }

    /// Writes a tile's elements where they belong in the rows of a chunk.
    fn store(&self, tile: &Tile, elements: &[u64], out: &mut [u8]) {
        match self.units.bits() {
            8 => self.store_as::<1>(tile, elements, out),
            16 => self.store_as::<2>(tile, elements, out),
            32 => self.store_as::<4>(tile, elements, out),
            _ => self.store_as::<8>(tile, elements, out),
        }
    }

    fn store_as<const BYTES: usize>(&self, tile: &Tile, elements: &[u64], out: &mut [u8]) {
        let out = out.as_chunks_mut::<BYTES>().0;
        let rows = out.chunks_exact_mut(self.columns).skip(tile.row as usize);
        for (from, row) in elements.chunks_exact(tile.width).zip(rows) {
            for (to, &element) in row[tile.column as usize..].iter_mut().zip(from) {
                if let Some(bytes) = self.units.pattern(element).to_le_bytes().first_chunk() {
                    *to = *bytes;
                }
            }
        }
    }
}

/// The symbols of a chunk, section by section.
struct Sections<'a> {
    backend: Backend,
    tables: &'a DecodeTables,
    stream: Stream<'a>,
}

impl Sections<'_> {
    /// Decodes a symbol for each context; what fills up the last step is dropped.
    fn next(&mut self, mut contexts: Vec<u8>) -> Vec<u8> {
        let len = contexts.len();
        contexts.resize(len.next_multiple_of(LANES), PREDICTOR);
        let mut symbols = vec![0; contexts.len()];
        let run = Run {
            stream: &mut self.stream,
            contexts: &contexts,
            symbols: &mut symbols,
            ahead: &[],
        };
        rans::decode(self.backend, self.tables, &mut [run]);
        symbols.truncate(len);
        symbols
    }
}
