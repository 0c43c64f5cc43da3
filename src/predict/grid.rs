//! The geometry of tiles: how a matrix is cut, and which elements a tile holds.

#[cfg(test)]
mod tests;

use crate::format::TileShape;
use std::ops::Range;

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

    /// Elements in the tiles `0..index`, which is where tile `index` starts in a stream that holds
    /// tile after tile; none if `index` is beyond the number of tiles.
    pub(crate) fn elements_before(&self, index: u64) -> Option<u64> {
        if index == self.tiles() {
            return Some(self.elements());
        }
        let tile = self.tile(index)?;
        // The rows above the tile are full; so are its own rows' tiles to the left.
        Some(tile.row * self.columns + tile.height as u64 * tile.column)
    }

    /// Elements in a range of tiles; none if it is decreasing or leaves the grid.
    pub(crate) fn elements_in(&self, tiles: Range<u64>) -> Option<u64> {
        let start = self.elements_before(tiles.start)?;
        self.elements_before(tiles.end)?.checked_sub(start)
    }

    /// The rows of tiles that hold the matrix rows `rows`, for partial reads; none if the range is
    /// decreasing or leaves the matrix.
    pub(crate) fn tile_rows(&self, rows: Range<u64>) -> Option<Range<u64>> {
        if rows.start > rows.end || rows.end > self.rows {
            return None;
        }
        if rows.is_empty() || self.columns == 0 {
            return Some(0..0);
        }
        let height = self.shape.height() as u64;
        Some(rows.start / height..rows.end.div_ceil(height))
    }

    /// The tiles that hold the matrix rows `rows`: whole rows of tiles, so one range of indices.
    pub(crate) fn tiles_of_rows(&self, rows: Range<u64>) -> Option<Range<u64>> {
        let tile_rows = self.tile_rows(rows)?;
        Some(tile_rows.start * self.across()..tile_rows.end * self.across())
    }
}
