//! Which frequency table a symbol has: by what it says, and a coefficient's by its frequency.

use crate::predict::grid::Tile;
use crate::predict::tile::Predictor;
use crate::transform::{BLOCK, Transform};

/// Number of frequency tables.
pub(crate) const TABLES: usize = 8;
/// Predictors of tiles.
pub(crate) const PREDICTOR: u8 = 0;
/// Transforms of tiles.
pub(crate) const TRANSFORMS: u8 = 1;
/// Units that are neither predicted nor transformed.
pub(crate) const PLAIN: u8 = 2;
/// Residuals of prediction that are not transformed.
pub(crate) const RESIDUAL: u8 = 3;
/// Coefficients, by the sum of their frequencies: 0, 1 and 2, 3 to 6, more. They shrink with it.
pub(crate) const COEFFICIENT: [u8; BLOCK * BLOCK] = {
    let mut contexts = [7; BLOCK * BLOCK];
    let mut i = 0;
    while i < contexts.len() {
        contexts[i] = match i / BLOCK + i % BLOCK {
            0 => 4,
            1..=2 => 5,
            3..=6 => 6,
            _ => 7,
        };
        i += 1;
    }
    contexts
};

/// What is done to a tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mode {
    pub(crate) predictor: Predictor,
    /// A base-3 digit a complete block, the first one lowest: codes of transforms.
    pub(crate) transforms: u8,
}

impl Mode {
    /// The mode of a tile's two symbols; a sentence if they make none.
    pub(crate) fn parse(tile: &Tile, predictor: u8, transforms: u8) -> Result<Self, &'static str> {
        let predictor = Predictor::from_code(predictor).ok_or("a tile has an unknown predictor")?;
        // At most four blocks fit a tile.
        if u32::from(transforms) >= 3u32.pow(tile.blocks().count() as u32) {
            return Err("a tile has transforms for more blocks than are in it");
        }
        Ok(Self { predictor, transforms })
    }

    /// The blocks of a tile: row and column of the first element, and the transform.
    pub(crate) fn blocks(self, tile: &Tile) -> impl Iterator<Item = (usize, usize, Transform)> + use<> {
        let mut digits = self.transforms;
        tile.blocks().map(move |(y, x)| {
            let transform = Transform::from_code(digits % 3).unwrap_or(Transform::None);
            digits /= 3;
            (y, x, transform)
        })
    }

    /// Writes the contexts of a tile's units.
    pub(crate) fn contexts(self, tile: &Tile, contexts: &mut [u8]) {
        contexts.fill(if self.predictor == Predictor::None {
            PLAIN
        } else {
            RESIDUAL
        });
        if self.transforms == 0 {
            return;
        }
        for (y, x, _) in self.blocks(tile).filter(|b| b.2 != Transform::None) {
            for (row, from) in COEFFICIENT.chunks_exact(BLOCK).enumerate() {
                let at = (y + row) * tile.width + x;
                contexts[at..at + BLOCK].copy_from_slice(from);
            }
        }
    }
}

/// The elements of a block, row after row.
pub(crate) fn load_block(tile: &Tile, values: &[i64], y: usize, x: usize) -> [i64; BLOCK * BLOCK] {
    std::array::from_fn(|i| values[(y + i / BLOCK) * tile.width + x + i % BLOCK])
}

/// Puts the elements of a block back.
pub(crate) fn store_block(tile: &Tile, values: &mut [i64], y: usize, x: usize, block: &[i64; BLOCK * BLOCK]) {
    for (row, from) in block.chunks_exact(BLOCK).enumerate() {
        let at = (y + row) * tile.width + x;
        values[at..at + BLOCK].copy_from_slice(from);
    }
}
