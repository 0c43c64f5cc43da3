//! Decoding of the `tiled-levels` method: levels whose neighbours look alike, in tiles; times a step a row and a
//! step a column.

use super::Problem;
use super::plan::Chunk;
use super::tiles::TileCoder;
use crate::backend::Backend;
use crate::bits::BitReader;
use crate::dtype::DType;
use crate::format::TileShape;
use crate::quant::{Float, Steps, weights};

#[derive(Debug)]
pub(super) struct TiledLevelCoder {
    pub(super) float: Float,
    pub(super) steps: Steps,
    /// Of the levels, as integers of 8 or 16 bits.
    pub(super) tiles: TileCoder,
}

impl TiledLevelCoder {
    /// Parameters: the steps, of a matrix of so many rows and columns; those of tiles.
    pub(super) fn parse(
        dtype: DType,
        matrix: Option<(usize, usize)>,
        stored: DType,
        shape: TileShape,
        columns: usize,
        prob: u32,
        parameters: &[u8],
    ) -> Result<Self, &'static str> {
        let float = Float::of(dtype).ok_or("levels make BF16, F16 and F32 only")?;
        let (rows, step_columns) = matrix.ok_or("levels need a matrix")?;
        let mut reader = BitReader::new(parameters);
        let steps = Steps::parse(&mut reader, rows, step_columns)?;
        let tiles = TileCoder::parse(stored, shape, columns, prob, reader)?;
        Ok(Self { float, steps, tiles })
    }

    pub(super) fn decode(&self, backend: Backend, chunk: &mut Chunk) -> Result<(), Problem> {
        let bits = self.tiles.units.bits();
        // A chunk has 2^20 units at most.
        let mut stored = vec![0; chunk.units * bits as usize / 8];
        let mut tiled = Chunk {
            out: &mut stored,
            ..*chunk
        };
        self.tiles.decode(backend, &mut tiled)?;
        let (steps, float, first) = (&self.steps, self.float, chunk.first);
        let levels: Vec<i16> = match bits {
            8 => stored.iter().map(|&l| i16::from(l as i8)).collect(),
            _ => stored.as_chunks().0.iter().map(|&l| i16::from_le_bytes(l)).collect(),
        };
        weights(backend, steps, float, first, &levels, chunk.out);
        Ok(())
    }
}
