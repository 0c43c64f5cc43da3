//! What kernels need to know of a tensor: a parsed head as flat tables and numbers.

pub(crate) mod header;
pub(crate) mod launch;
pub(crate) mod status;
pub(crate) mod wire;

use super::bytes::{self, ByteCoder, Plane};
use super::float::{ESCAPES_BITS, FloatCoder};
use super::levels::LevelCoder;
use super::plan::{Coder, Plan};
use super::tiled_levels::TiledLevelCoder;
use super::tiles::TileCoder;
use super::tiles::unit::{Order, Plain};
use crate::context::Classes;
use crate::entropy::DecodeTables;
use crate::format::MAX_PROB_BITS;
use crate::plane::float::Widen;
use crate::predict::scale::Scale;
use crate::quant::{Float, Steps};
use launch::Kernel;
use std::ops::Range;

/// Codes of `Widen`.
pub(super) mod widen {
    pub(crate) const NONE: u32 = 0;
    pub(crate) const BF16: u32 = 1;
    pub(crate) const F16: u32 = 2;
    pub(crate) const F32: u32 = 3;
}

/// Codes of tiles' `Order`.
pub(super) mod order {
    pub(crate) const UNSIGNED: u32 = 0;
    pub(crate) const SIGNED: u32 = 1;
    pub(crate) const FLOAT: u32 = 2;
}

/// Codes of tiles' `Plain`.
pub(super) mod plain {
    pub(crate) const FLOAT: u32 = 0;
    pub(crate) const BYTE: u32 = 1;
    pub(crate) const HYBRID: u32 = 2;
}

/// A tensor's parameters, to be put into a device's memory.
#[derive(Debug)]
pub(crate) struct Description {
    pub(crate) kernel: Kernel,
    /// Without addresses.
    pub(crate) tensor: wire::Tensor,
    pub(crate) tables: Vec<u32>,
    pub(crate) rows: Vec<u8>,
    pub(crate) columns: Vec<u8>,
    pub(crate) classes: Vec<u8>,
    pub(crate) row_factors: Vec<u8>,
    pub(crate) column_factors: Vec<u8>,
}

impl Plan {
    /// What kernels need to decode some of the chunks.
    pub(crate) fn describe(&self, chunks: Range<u64>) -> Description {
        let mut description = Description {
            kernel: Kernel::Raw,
            tensor: wire::Tensor {
                unit_bytes: self.unit_bytes as u32,
                ..wire::Tensor::default()
            },
            tables: Vec::new(),
            rows: Vec::new(),
            columns: Vec::new(),
            classes: Vec::new(),
            row_factors: Vec::new(),
            column_factors: Vec::new(),
        };
        match &self.coder {
            Coder::Raw => {}
            Coder::Constant(unit) => {
                description.kernel = Kernel::Constant;
                description.tensor.values = u64::from_le_bytes(*unit);
            }
            Coder::Float(coder) => self.describe_float(coder, chunks, &mut description),
            Coder::Bytes(coder) => describe_bytes(coder, &mut description),
            Coder::Levels(coder) => self.describe_levels(coder, &mut description),
            Coder::TiledLevels(coder) => self.describe_tiled_levels(coder, &mut description),
            Coder::Tiles(coder) => {
                description.kernel = Kernel::Tiles;
                describe_tiles(coder, &mut description);
            }
        }
        description
    }

    fn describe_float(&self, coder: &FloatCoder, chunks: Range<u64>, to: &mut Description) {
        let split = coder.split;
        let stored = 8 * split.layout.bytes() as u32;
        let entries = &self.chunks[chunks.start as usize..chunks.end as usize];
        let zeros = entries.iter().any(|c| c.extra >> ESCAPES_BITS != 0);
        let usual = !zeros && coder.tables.prob_bits() == MAX_PROB_BITS;
        let known = usual.then_some((split.raw_bits(), split.token_mantissa));
        to.kernel = Kernel::float(stored, 8 * self.unit_bytes as u32, known);
        to.tensor.base = (split.base & split.token_mask()).into();
        to.tensor.fraction = split.fraction_bits;
        to.tensor.mantissa = split.token_mantissa;
        to.tensor.low = split.low_bits();
        to.tensor.token_bits = split.token_bits();
        to.tensor.widen = match coder.widen {
            Widen::None => widen::NONE,
            Widen::Bf16ToF32 => widen::BF16,
            Widen::F16ToF32 => widen::F16,
            Widen::F32ToF64 => widen::F32,
        };
        to.add_tables(&coder.tables);
        if let Some((scale, _)) = &coder.scale {
            to.set_scale(scale);
        }
    }

    fn describe_levels(&self, coder: &LevelCoder, to: &mut Description) {
        to.kernel = Kernel::Levels(8 * self.unit_bytes as u32);
        to.set_steps(coder.float, &coder.steps);
        to.add_tables(&coder.tables);
        to.set_scale(&coder.scale);
        to.classes = all_classes(&coder.classes);
    }

    fn describe_tiled_levels(&self, coder: &TiledLevelCoder, to: &mut Description) {
        to.kernel = Kernel::TiledLevels(8 * self.unit_bytes as u32);
        to.set_steps(coder.float, &coder.steps);
        describe_tiles(&coder.tiles, to);
    }

    /// Row and column of the first unit of a chunk in the matrix that has steps; 0 without one.
    pub(crate) fn place(&self, chunk: u64, description: &Description) -> (u32, u32) {
        let (first, columns) = (chunk * self.chunk_units, u64::from(description.tensor.step_columns));
        match columns {
            0 => (0, 0),
            _ => ((first / columns) as u32, (first % columns) as u32),
        }
    }

    /// Units of a chunk, and the two numbers of its entry that kernels read: its bytes and `extra`.
    pub(crate) fn chunk(&self, chunk: u64) -> (u32, u32, u32) {
        let entry = self.chunks[chunk as usize];
        (self.units_of(chunk) as u32, entry.len, entry.extra)
    }
}

impl Description {
    fn add_tables(&mut self, tables: &DecodeTables) {
        self.tensor.prob = tables.prob_bits();
        self.tensor.contexts = tables.count() as u32;
        self.tables.extend(tables.entries());
    }

    fn set_scale(&mut self, scale: &Scale) {
        let (rows, columns) = scale.parts();
        // Steps are at most 2^24.
        self.tensor.width = columns.len() as u32;
        self.tensor.step_columns = self.tensor.width;
        (self.rows, self.columns) = (rows.to_vec(), columns.to_vec());
    }

    fn set_steps(&mut self, float: Float, steps: &Steps) {
        self.tensor.widen = if float == Float::F16 { widen::F16 } else { widen::NONE };
        self.tensor.step_columns = steps.columns().len() as u32;
        let bytes = |factors: &[u16]| factors.iter().flat_map(|f| f.to_le_bytes()).collect();
        (self.row_factors, self.column_factors) = (bytes(steps.rows()), bytes(steps.columns()));
    }

    /// Tiles of a chunk of so many units.
    pub(crate) fn tiles(&self, units: u32) -> u64 {
        let t = &self.tensor;
        match t.tile_height {
            0 => 0,
            height => {
                let rows = (units / t.width).div_ceil(height);
                u64::from(rows) * u64::from(t.width.div_ceil(t.tile_width))
            }
        }
    }
}

fn describe_bytes(coder: &ByteCoder, to: &mut Description) {
    to.kernel = Kernel::Bytes(8 * coder.planes.len() as u32);
    for (index, plane) in coder.planes.iter().enumerate() {
        let (kind, value) = match plane {
            Plane::Coded { tables, mask } => {
                to.add_tables(tables);
                (bytes::CODED, *mask)
            }
            Plane::Raw => (bytes::RAW, 0),
            Plane::Constant(byte) => (bytes::CONSTANT, *byte),
        };
        to.tensor.kinds |= kind << (8 * index);
        to.tensor.values |= u64::from(value) << (8 * index);
    }
    if let Some((scale, classes)) = &coder.scale {
        to.set_scale(scale);
        to.classes = all_classes(classes);
    }
}

/// The context of every scale step.
fn all_classes(classes: &Classes) -> Vec<u8> {
    let steps: Vec<u8> = (0..=255).collect();
    let mut contexts = vec![0; steps.len()];
    classes.pick(&steps, &mut contexts);
    contexts
}

fn describe_tiles(coder: &TileCoder, to: &mut Description) {
    // A chunk holds whole rows of tiles, so columns are at most as many as its units.
    to.tensor.width = coder.columns as u32;
    to.tensor.tile_height = coder.shape.height() as u32;
    to.tensor.tile_width = coder.shape.width() as u32;
    to.tensor.tiled_bytes = coder.units.bits() / 8;
    to.tensor.order = match coder.units.order {
        Order::Unsigned => order::UNSIGNED,
        Order::Signed => order::SIGNED,
        Order::Float => order::FLOAT,
    };
    to.tensor.plain = match coder.units.plain {
        Plain::Float(split) => {
            to.tensor.base = (split.base & split.token_mask()).into();
            to.tensor.low = split.low_bits();
            to.tensor.token_bits = split.token_bits();
            plain::FLOAT
        }
        Plain::Byte => plain::BYTE,
        Plain::Hybrid => plain::HYBRID,
    };
    to.add_tables(&coder.tables);
}
