//! The tensor as a matrix of ordered integers, read tile by tile.

use crate::codec::tiles::unit::Units;
use crate::cost::{COST_BITS, entropy};
use crate::dtype::DType;
use crate::format::TileShape;
use crate::predict::grid::{Tile, TileGrid};
use crate::spread::spread;

/// Units that a float's base is chosen from, at least, if there are as many.
const BASE_SAMPLE: usize = 1 << 16;

/// A tensor's bytes, cut in tiles.
pub(super) struct Matrix<'a> {
    data: &'a [u8],
    columns: usize,
    pub(super) units: Units,
    pub(super) grid: TileGrid,
}

impl<'a> Matrix<'a> {
    /// `None` if there are no units or the columns do not divide them.
    pub(super) fn new(dtype: DType, data: &'a [u8], shape: TileShape, columns: usize) -> Option<Self> {
        let matrix = Self::without_base(dtype, data, shape, columns)?;
        // The window that fits most of a sample fits the rest.
        let count = matrix.grid.elements() as usize;
        let step = 1 + count / BASE_SAMPLE;
        let base = matrix.units.base((0..count).step_by(step).map(|i| matrix.unit(i)));
        Some(Self {
            units: matrix.units.with_base(base),
            ..matrix
        })
    }

    /// As `new`, for uses that code no plain floats: their base is not sought.
    pub(super) fn without_base(dtype: DType, data: &'a [u8], shape: TileShape, columns: usize) -> Option<Self> {
        let count = data.len() / dtype.unit_bytes();
        if count == 0 || columns == 0 || !count.is_multiple_of(columns) {
            return None;
        }
        let grid = TileGrid::new((count / columns) as u64, columns as u64, shape)?;
        Some(Self {
            data,
            columns,
            units: Units::new(dtype, 0),
            grid,
        })
    }

    /// The ordered integer of a unit.
    fn unit(&self, index: usize) -> u64 {
        let bytes = self.units.bits() as usize / 8;
        let mut pattern = [0; 8];
        pattern[..bytes].copy_from_slice(&self.data[index * bytes..][..bytes]);
        self.units.ordered(u64::from_le_bytes(pattern))
    }

    /// Reads a tile; gives its place, and its elements in the front of `elements`.
    ///
    /// # Panics
    /// If there is no such tile.
    pub(super) fn tile<'e>(&self, index: u64, elements: &'e mut [u64; TileShape::ELEMENTS]) -> (Tile, &'e mut [u64]) {
        let Some(tile) = self.grid.tile(index) else {
            panic!("no tile {index}")
        };
        let elements = &mut elements[..tile.elements()];
        match self.units.bits() {
            8 => self.load::<1>(&tile, elements),
            16 => self.load::<2>(&tile, elements),
            32 => self.load::<4>(&tile, elements),
            _ => self.load::<8>(&tile, elements),
        }
        (tile, elements)
    }

    fn load<const BYTES: usize>(&self, tile: &Tile, elements: &mut [u64]) {
        let rows = self
            .data
            .as_chunks::<BYTES>()
            .0
            .chunks_exact(self.columns)
            .skip(tile.row as usize);
        for (to, row) in elements.chunks_exact_mut(tile.width).zip(rows) {
            for (to, bytes) in to.iter_mut().zip(&row[tile.column as usize..]) {
                let mut pattern = [0; 8];
                pattern[..BYTES].copy_from_slice(bytes);
                *to = self.units.ordered(u64::from_le_bytes(pattern));
            }
        }
    }

    /// About what a unit costs as its difference from a neighbour, in 2^-16 bits: the better of left
    /// and top, from a sample. It is the mean length of the differences, less the leading bit, and
    /// what the lengths themselves take.
    pub(super) fn difference_bits(&self) -> u64 {
        const PAIRS: usize = 1024;
        let (columns, units) = (self.columns, self.grid.elements() as usize);
        let stride = (units / PAIRS).max(1) | 1;
        let length = |at: usize, step: usize| {
            let unit = |i: usize| self.unit(i);
            let shift = u64::BITS - self.units.bits();
            let difference = (unit(at).wrapping_sub(unit(at - step)) << shift).cast_signed() >> shift;
            (u64::BITS - crate::plane::hybrid::zigzag(difference).leading_zeros()) as usize
        };
        let mean = |step: usize| {
            let mut lengths = [0; u64::BITS as usize + 1];
            (step..units)
                .step_by(stride)
                .filter(|at| step == columns || at % columns != 0)
                .for_each(|at| lengths[length(at, step)] += 1);
            let below: u64 = lengths
                .iter()
                .zip(0..)
                .map(|(&n, len)| n * u64::saturating_sub(len, 1))
                .sum();
            let total = entropy(&lengths) + (below << COST_BITS);
            total.checked_div(lengths.iter().sum()).unwrap_or(u64::MAX >> 24)
        };
        mean(1).min(mean(columns))
    }

    /// About `units` units worth of tiles, spread over the matrix.
    pub(super) fn sample(&self, units: usize) -> Vec<u64> {
        let tiles = self.grid.tiles() as usize;
        spread(tiles, (units / TileShape::ELEMENTS).max(1))
            .map(|t| t as u64)
            .collect()
    }
}
