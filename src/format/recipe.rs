//! What was done to a tensor: method and parameters, as the index records them.

use super::{MAX_LEVELS_PROB_BITS, MAX_PROB_BITS, MAX_TABLES, MIN_PROB_BITS};
use crate::dtype::DType;
use std::fmt;

/// A tensor's recipe. In the index it is a short text, such as
/// `float mantissa=2 fraction=2 columns=4096 prob=12 chunk=65536`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recipe {
    /// The tools.
    pub method: Method,
    /// Units of a chunk; the last one may have fewer.
    pub chunk: u64,
}

/// How the units of a tensor are coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Method {
    /// Stored as they are.
    Raw,
    /// All units are the one in the head.
    Constant,
    /// Token plane and raw bits of a float.
    Float {
        /// The float that is cut: the tensor's, or a narrower one that holds its every value.
        stored: DType,
        /// Mantissa bits in the token.
        mantissa: u32,
        /// Columns of the scale prediction's matrix, 0 for none.
        columns: u64,
        /// Bits of a scale step below a whole octave; there are `2^fraction` frequency tables.
        fraction: u32,
        /// Bits of a probability.
        prob: u32,
    },
    /// Byte planes of an integer.
    Bytes {
        /// Columns of the scale prediction's matrix, 0 for none.
        columns: u64,
        /// Frequency tables of each plane, more than one only with scale prediction.
        tables: u32,
        /// Bits of a probability.
        prob: u32,
    },
    /// Integer levels times a step a row and a step a column.
    Levels {
        /// Columns of the matrix.
        columns: u64,
        /// Frequency tables.
        tables: u32,
        /// Bits of a probability.
        prob: u32,
    },
    /// Levels in tiles with prediction and transforms, times a step a row and a step a column.
    TiledLevels {
        /// The integers that levels are tiled as: `I8` or `I16`.
        stored: DType,
        /// Rows and columns of a tile.
        shape: TileShape,
        /// Columns of the matrix that is tiled.
        columns: u64,
        /// Columns of the matrix whose rows and columns have steps.
        steps: u64,
        /// Bits of a probability.
        prob: u32,
    },
    /// Tiles with prediction and transforms.
    Tiles {
        /// Rows and columns of a tile.
        shape: TileShape,
        /// Columns of the matrix that is tiled.
        columns: u64,
        /// Bits of a probability.
        prob: u32,
    },
}

/// Rows and columns of a tile that no edge clips.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TileShape {
    /// 16 rows of 16 elements.
    T16x16,
    /// 8 rows of 32 elements.
    T8x32,
    /// 32 rows of 8 elements.
    T32x8,
}

impl TileShape {
    /// Every shape.
    pub const ALL: [Self; 3] = [Self::T16x16, Self::T8x32, Self::T32x8];
    /// Elements of a tile that no edge clips, the same for every shape.
    pub const ELEMENTS: usize = 256;

    /// Rows of an unclipped tile.
    pub fn height(self) -> usize {
        match self {
            Self::T16x16 => 16,
            Self::T8x32 => 8,
            Self::T32x8 => 32,
        }
    }

    /// Columns of an unclipped tile.
    pub fn width(self) -> usize {
        Self::ELEMENTS / self.height()
    }
}

impl fmt::Display for TileShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.height(), self.width())
    }
}

impl Method {
    /// Its name, the first word of a recipe.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Constant => "constant",
            Self::Float { .. } => "float",
            Self::Bytes { .. } => "bytes",
            Self::Levels { .. } => "levels",
            Self::TiledLevels { .. } => "tiled-levels",
            Self::Tiles { .. } => "tiles",
        }
    }
}

impl fmt::Display for Recipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.method.name())?;
        match self.method {
            Method::Raw | Method::Constant => {}
            Method::Float {
                stored,
                mantissa,
                columns,
                fraction,
                prob,
            } => {
                write!(
                    f,
                    " stored={stored} mantissa={mantissa} columns={columns} fraction={fraction} prob={prob}"
                )?;
            }
            Method::Bytes { columns, tables, prob } | Method::Levels { columns, tables, prob } => {
                write!(f, " columns={columns} tables={tables} prob={prob}")?;
            }
            Method::TiledLevels {
                stored,
                shape,
                columns,
                steps,
                prob,
            } => {
                write!(
                    f,
                    " stored={stored} shape={shape} columns={columns} steps={steps} prob={prob}"
                )?;
            }
            Method::Tiles { shape, columns, prob } => {
                write!(f, " shape={shape} columns={columns} prob={prob}")?;
            }
        }
        write!(f, " chunk={}", self.chunk)
    }
}

/// Why a recipe was not read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum RecipeError {
    /// It names a method or parameter that this version does not know.
    Unknown(String),
    /// It is not a recipe, or its numbers are out of range.
    Invalid(String),
}

impl Recipe {
    /// Reads the text that `Display` writes.
    pub(crate) fn parse(text: &str) -> Result<Self, RecipeError> {
        let invalid = |what: &str| RecipeError::Invalid(format!("recipe {text:?}: {what}"));
        let mut words = text.split(' ');
        let name = words.next().unwrap_or_default();
        let keys: &[&str] = match name {
            "raw" | "constant" => &["chunk"],
            "float" => &["stored", "mantissa", "columns", "fraction", "prob", "chunk"],
            "bytes" | "levels" => &["columns", "tables", "prob", "chunk"],
            "tiled-levels" => &["stored", "shape", "columns", "steps", "prob", "chunk"],
            "tiles" => &["shape", "columns", "prob", "chunk"],
            _ => return Err(RecipeError::Unknown(format!("recipe {text:?}: unknown method"))),
        };
        let mut values = [""; 6];
        for (value, &key) in values.iter_mut().zip(keys) {
            let word = words.next().ok_or_else(|| invalid("a parameter is missing"))?;
            let (k, v) = word
                .split_once('=')
                .ok_or_else(|| invalid("a parameter has no value"))?;
            if k != key {
                return Err(RecipeError::Unknown(format!(
                    "recipe {text:?}: unknown parameter {k:?}"
                )));
            }
            *value = v;
        }
        if words.next().is_some() {
            return Err(RecipeError::Unknown(format!(
                "recipe {text:?}: more parameters than are known"
            )));
        }
        let value = |key: &str| keys.iter().position(|k| *k == key).map_or("", |i| values[i]);
        let number = |key: &str, least: u64, most: u64| {
            let n = value(key).parse::<u64>().ok().filter(|n| n.to_string() == value(key));
            let n = n.ok_or_else(|| invalid("a parameter is not a number"))?;
            if (least..=most).contains(&n) {
                Ok(n)
            } else {
                Err(invalid("a parameter is out of range"))
            }
        };
        let prob = || number("prob", MIN_PROB_BITS.into(), MAX_PROB_BITS.into()).map(|n| n as u32);
        let columns = || number("columns", 0, u64::MAX);
        let stored = || {
            let stored: Result<DType, _> = value("stored").parse();
            stored.map_err(|_| invalid("the stored dtype is unknown"))
        };
        let shape = || {
            let shape = TileShape::ALL.into_iter().find(|s| s.to_string() == value("shape"));
            shape.ok_or_else(|| invalid("the tile shape is unknown"))
        };
        let method = match name {
            "raw" => Method::Raw,
            "constant" => Method::Constant,
            "float" => {
                let stored = stored()?;
                let layout = stored
                    .float_layout()
                    .ok_or_else(|| invalid("the stored dtype is no float"))?;
                let most = layout.mantissa.min(12 - layout.exponent);
                let columns = columns()?;
                let fraction = number("fraction", 0, if columns == 0 { 0 } else { 4 })? as u32;
                Method::Float {
                    stored,
                    mantissa: number("mantissa", 0, most.into())? as u32,
                    columns,
                    fraction,
                    prob: prob()?,
                }
            }
            "bytes" => {
                let columns = columns()?;
                let most = if columns == 0 { 1 } else { MAX_TABLES as u64 };
                Method::Bytes {
                    columns,
                    tables: number("tables", 1, most)? as u32,
                    prob: prob()?,
                }
            }
            "levels" => Method::Levels {
                columns: number("columns", 1, u64::MAX)?,
                tables: number("tables", 1, MAX_TABLES as u64)? as u32,
                prob: number("prob", MIN_PROB_BITS.into(), MAX_LEVELS_PROB_BITS.into())? as u32,
            },
            "tiled-levels" => {
                let stored = stored()?;
                if !matches!(stored, DType::I8 | DType::I16) {
                    return Err(invalid("levels are stored as I8 or I16"));
                }
                Method::TiledLevels {
                    stored,
                    shape: shape()?,
                    columns: number("columns", 1, u64::MAX)?,
                    steps: number("steps", 1, u64::MAX)?,
                    prob: prob()?,
                }
            }
            _ => Method::Tiles {
                shape: shape()?,
                columns: number("columns", 1, u64::MAX)?,
                prob: prob()?,
            },
        };
        let most = match method {
            Method::Levels { .. } => super::MAX_LEVELS_CHUNK_UNITS,
            _ => super::MAX_CHUNK_UNITS,
        };
        Ok(Self {
            method,
            chunk: number("chunk", 1, most)?,
        })
    }
}
