//! The geometry of tiles: how a matrix is cut, and which elements a tile holds.

#[cfg(test)]
mod tests;

use crate::format::TileShape;

/// One tile: its first element and its size after clipping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tile {
    /// Matrix row of the first element.
    pub(crate) row: u64,
    /// Matrix column of the first element.
    pub(crate) column: u64,
    /// Rows, at most the shape's.
    pub(crate) height: usize,
    /// Columns, at most the shape's.
    pub(crate) width: usize,
}

impl Tile {
    /// Rows and columns of a transform block.
    const BLOCK: usize = 8;

    /// Elements of the tile.
    pub(crate) fn elements(&self) -> usize {
        self.height * self.width
    }

    /// Row and column in the tile of its complete 8x8 blocks, left to right, then down.
    /// Elements that a clipped tile has beside them belong to no block.
    pub(crate) fn blocks(&self) -> impl Iterator<Item = (usize, usize)> + use<> {
        let (down, across) = (self.height / Self::BLOCK, self.width / Self::BLOCK);
        (0..down).flat_map(move |y| (0..across).map(move |x| (Self::BLOCK * y, Self::BLOCK * x)))
    }
}

/// A matrix cut into tiles, which are numbered row-major: left to right, then down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TileGrid {
    rows: u64,
    columns: u64,
    shape: TileShape,
}

impl TileGrid {
    /// The grid of a matrix; none if it has more than `u64::MAX` elements.
    /// A matrix without rows or without columns has no tiles.
    pub(crate) fn new(rows: u64, columns: u64, shape: TileShape) -> Option<Self> {
        rows.checked_mul(columns)?;
        Some(Self { rows, columns, shape })
    }

    /// Tiles in a row of tiles.
    pub(crate) fn across(&self) -> u64 {
        match self.rows {
            0 => 0,
            _ => self.columns.div_ceil(self.shape.width() as u64),
        }
    }

    /// Rows of tiles.
    pub(crate) fn down(&self) -> u64 {
        match self.columns {
            0 => 0,
            _ => self.rows.div_ceil(self.shape.height() as u64),
        }
    }

    /// Tiles of the whole matrix.
    pub(crate) fn tiles(&self) -> u64 {
        // Every tile holds an element and the elements are countable in a u64.
        self.across() * self.down()
    }

    /// Elements of the whole matrix.
    pub(crate) fn elements(&self) -> u64 {
        self.rows * self.columns
    }

    /// Place and clipped size of a tile; none if there is no such tile.
    pub(crate) fn tile(&self, index: u64) -> Option<Tile> {
        if index >= self.tiles() {
            return None;
        }
        let (height, width) = (self.shape.height() as u64, self.shape.width() as u64);
        let row = index / self.across() * height;
        let column = index % self.across() * width;
        Some(Tile {
            row,
            column,
            // Both minima are at most 32.
            height: height.min(self.rows - row) as usize,
            width: width.min(self.columns - column) as usize,
        })
    }
}
