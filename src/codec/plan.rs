//! What it takes to decode a tensor's chunks: its parsed and checked head.

use super::Problem;
use super::{bytes::ByteCoder, float::FloatCoder, levels::LevelCoder, tiled_levels::TiledLevelCoder, tiles::TileCoder};
use crate::backend::Backend;
use crate::bits::BitReader;
use crate::entropy::rans::{MAX_IN_FLIGHT, STATES_BYTES};
use crate::format::head::{ChunkEntry, Head};
use crate::format::{MAX_SCALE_STEPS, Method, TensorInfo, TileShape, checksum};
#[cfg(feature = "encode")]
use crate::quant::{Float, Steps};
use std::ops::Range;

/// A tensor's head, ready to decode chunks with.
#[derive(Debug)]
pub(crate) struct Plan {
    units: u64,
    pub(super) unit_bytes: usize,
    pub(super) chunk_units: u64,
    pub(super) chunks: Vec<ChunkEntry>,
    offsets: Vec<u64>,
    pub(super) coder: Coder,
}

#[derive(Debug)]
pub(super) enum Coder {
    Raw,
    Constant([u8; 8]),
    Float(FloatCoder),
    Bytes(ByteCoder),
    Levels(LevelCoder),
    TiledLevels(TiledLevelCoder),
    Tiles(TileCoder),
}

/// A chunk to decode: where it is, its bytes, and where its units go.
pub(crate) struct ChunkJob<'a> {
    pub(crate) index: u64,
    pub(crate) bytes: &'a [u8],
    pub(crate) out: &'a mut [u8],
}

/// A chunk whose checksum and length have been seen to.
pub(super) struct Chunk<'a> {
    pub(super) index: u64,
    /// First unit, within the tensor.
    pub(super) first: usize,
    pub(super) units: usize,
    /// The `extra` field of its entry.
    pub(super) extra: u32,
    pub(super) bytes: &'a [u8],
    pub(super) out: &'a mut [u8],
}

impl Chunk<'_> {
    pub(super) fn problem(&self, what: impl Into<String>) -> Problem {
        Problem::Chunk(self.index, what.into())
    }
}

impl Plan {
    /// Parses the head of a tensor.
    pub(crate) fn parse(tensor: &TensorInfo, head: &[u8]) -> Result<Self, Problem> {
        let Some(recipe) = tensor.recipe() else {
            return Err(Problem::Unknown(format!("recipe {:?}", tensor.recipe_text())));
        };
        let unknown = |what: &str| Problem::Head(format!("recipe {recipe}: {what}"));
        let (units, dtype) = (tensor.units(), tensor.dtype());
        let head = Head::parse(head, units.div_ceil(recipe.chunk), tensor.encoded_len()).map_err(Problem::Head)?;
        let fits = usize::try_from(units).map_err(|_| unknown("too many units for this machine"))?;
        let rows = |columns: u64| -> Result<(usize, usize), Problem> {
            match usize::try_from(columns) {
                Ok(columns) if columns > 0 && fits.is_multiple_of(columns) => Ok((fits / columns, columns)),
                _ => Err(unknown("its columns do not divide the tensor")),
            }
        };
        // A step a row and a column: few bits of a head could else claim any amount of memory.
        let scale = |columns: u64| -> Result<Option<(usize, usize)>, Problem> {
            if columns == 0 {
                return Ok(None);
            }
            let (rows, columns) = rows(columns)?;
            if rows.max(columns) as u64 > MAX_SCALE_STEPS {
                return Err(unknown(
                    "its matrix has more rows or columns than scale prediction may have",
                ));
            }
            Ok(Some((rows, columns)))
        };
        let tiled = |shape: TileShape, columns: u64| -> Result<usize, Problem> {
            let (_, columns) = rows(columns)?;
            let tile_row = (shape.height() as u64).checked_mul(columns as u64);
            match tile_row.is_some_and(|units| recipe.chunk.is_multiple_of(units)) {
                true => Ok(columns),
                false => Err(unknown("its chunks do not hold whole rows of tiles")),
            }
        };
        let parameters = head.parameters;
        let has_extra = matches!(
            recipe.method,
            Method::Float { .. } | Method::Levels { .. } | Method::TiledLevels { .. } | Method::Tiles { .. }
        );
        if !has_extra && head.chunks.iter().any(|c| c.extra != 0) {
            return Err(unknown("a chunk has an extra number, which its method does not have"));
        }
        let coder = match recipe.method {
            Method::Raw if parameters.is_empty() => Coder::Raw,
            Method::Raw => return Err(unknown("it has parameters")),
            Method::Constant => {
                let mut unit = [0; 8];
                if parameters.len() != dtype.unit_bytes() || head.chunks.iter().any(|c| c.len != 0) {
                    return Err(unknown("its head does not hold one unit and empty chunks"));
                }
                unit[..parameters.len()].copy_from_slice(parameters);
                Coder::Constant(unit)
            }
            Method::Float {
                stored,
                mantissa,
                columns,
                fraction,
                prob,
            } => {
                let coder = FloatCoder::parse(dtype, stored, mantissa, scale(columns)?, fraction, prob, parameters);
                Coder::Float(coder.map_err(&unknown)?)
            }
            Method::Bytes { columns, tables, prob } => {
                let coder = ByteCoder::parse(dtype.unit_bytes(), scale(columns)?, tables as usize, prob, parameters);
                Coder::Bytes(coder.map_err(&unknown)?)
            }
            Method::Levels { columns, tables, prob } => {
                let coder = LevelCoder::parse(dtype, scale(columns)?, tables as usize, prob, parameters);
                Coder::Levels(coder.map_err(&unknown)?)
            }
            Method::TiledLevels {
                stored,
                shape,
                columns,
                steps,
                prob,
            } => {
                let columns = tiled(shape, columns)?;
                let coder = TiledLevelCoder::parse(dtype, scale(steps)?, stored, shape, columns, prob, parameters);
                Coder::TiledLevels(coder.map_err(&unknown)?)
            }
            Method::Tiles { shape, columns, prob } => {
                let columns = tiled(shape, columns)?;
                let coder = TileCoder::parse(dtype, shape, columns, prob, BitReader::new(parameters));
                Coder::Tiles(coder.map_err(unknown)?)
            }
        };
        Ok(Self {
            units,
            unit_bytes: dtype.unit_bytes(),
            chunk_units: recipe.chunk,
            chunks: head.chunks,
            offsets: head.offsets,
            coder,
        })
    }

    /// Checks that no chunk is shorter than its units need at least: before memory is taken for what
    /// the shape claims, not after.
    pub(crate) fn check_lengths(&self) -> Result<(), Problem> {
        for (index, entry) in (0..).zip(&self.chunks) {
            let (len, units) = (entry.len as usize, self.units_of(index));
            let holds = match &self.coder {
                Coder::Raw => len == units * self.unit_bytes,
                // The head's own check has seen to it.
                Coder::Constant(_) => true,
                Coder::Float(coder) => len >= coder.least_len(units, entry.extra),
                Coder::Bytes(coder) => len >= coder.least_len(units),
                Coder::Levels(coder) => coder.holds(len, entry.extra),
                Coder::TiledLevels(_) | Coder::Tiles(_) => len >= STATES_BYTES,
            };
            if !holds {
                return Err(Problem::Chunk(
                    index,
                    format!("its {len} bytes are not what its {units} units take"),
                ));
            }
        }
        Ok(())
    }

    /// What decodes the levels themselves, as F32, and their steps. `None` if the tensor is not quantised.
    #[cfg(feature = "encode")]
    pub(crate) fn into_levels(mut self) -> Option<(Self, Steps)> {
        let (float, steps) = match &mut self.coder {
            Coder::Levels(coder) => (&mut coder.float, &mut coder.steps),
            Coder::TiledLevels(coder) => (&mut coder.float, &mut coder.steps),
            _ => return None,
        };
        let ones = |n| vec![1.0; n];
        let steps = std::mem::replace(
            steps,
            Steps::near(&ones(steps.row_count()), &ones(steps.columns().len()))?,
        );
        *float = Float::F32;
        self.unit_bytes = Float::F32.bytes();
        Some((self, steps))
    }

    /// Units of a chunk.
    pub(super) fn units_of(&self, chunk: u64) -> usize {
        self.chunk_units.min(self.units - chunk * self.chunk_units) as usize
    }

    /// Number of chunks.
    pub(crate) fn chunks(&self) -> u64 {
        self.chunks.len() as u64
    }

    /// Decoded bytes of a full chunk.
    pub(crate) fn chunk_bytes(&self) -> usize {
        self.chunk_units as usize * self.unit_bytes
    }

    /// Where the encoded bytes of a chunk lie, from the start of the tensor's payload.
    pub(crate) fn range(&self, chunk: u64) -> Range<u64> {
        let (start, len) = (self.offsets[chunk as usize], self.chunks[chunk as usize].len);
        start..start + u64::from(len)
    }

    /// How many chunks to hand to `decode` at once.
    pub(crate) fn in_flight(&self) -> usize {
        MAX_IN_FLIGHT
    }

    /// Decodes chunks, up to `in_flight` of them side by side. Their checksums are checked first.
    ///
    /// # Panics
    /// If a job's buffer is not as long as its chunk's units.
    pub(crate) fn decode(&self, backend: Backend, jobs: &mut [ChunkJob]) -> Result<(), Problem> {
        let mut chunks = Vec::with_capacity(jobs.len());
        for job in jobs {
            let entry = self.chunks[job.index as usize];
            let (first, units) = (job.index * self.chunk_units, self.units_of(job.index));
            assert!(
                job.out.len() == units * self.unit_bytes,
                "a buffer of the chunk's length"
            );
            self.check_chunk(job.index, job.bytes)?;
            let first = first as usize;
            chunks.push(Chunk {
                index: job.index,
                first,
                units,
                extra: entry.extra,
                bytes: job.bytes,
                out: job.out,
            });
        }
        // Chunks of one length run in lockstep; only a tensor's last one can differ.
        let lockstep = chunks.iter().take_while(|c| c.units == chunks[0].units).count();
        let (same, other) = chunks.split_at_mut(lockstep);
        self.decode_alike(backend, same)?;
        if other.is_empty() {
            Ok(())
        } else {
            self.decode_alike(backend, other)
        }
    }

    /// Checks the lengths and checksums of chunks.
    pub(crate) fn check(&self, jobs: &[ChunkJob]) -> Result<(), Problem> {
        jobs.iter().try_for_each(|job| self.check_chunk(job.index, job.bytes))
    }

    pub(crate) fn check_chunk(&self, index: u64, bytes: &[u8]) -> Result<(), Problem> {
        let entry = self.chunks[index as usize];
        if bytes.len() != entry.len as usize {
            return Err(Problem::Chunk(index, "it is cut off".into()));
        }
        if checksum(bytes) != entry.checksum {
            return Err(Problem::Chunk(index, "its checksum does not match".into()));
        }
        Ok(())
    }

    fn decode_alike(&self, backend: Backend, chunks: &mut [Chunk]) -> Result<(), Problem> {
        match &self.coder {
            Coder::Float(coder) => return coder.decode(backend, chunks),
            Coder::Bytes(coder) => return coder.decode(backend, chunks),
            Coder::Levels(coder) => return coder.decode(backend, chunks),
            _ => {}
        }
        for chunk in chunks {
            match &self.coder {
                Coder::Raw if chunk.bytes.len() == chunk.out.len() => chunk.out.copy_from_slice(chunk.bytes),
                Coder::Constant(unit) => {
                    chunk
                        .out
                        .chunks_exact_mut(self.unit_bytes)
                        .for_each(|o| o.copy_from_slice(&unit[..self.unit_bytes]));
                }
                Coder::TiledLevels(coder) => coder.decode(backend, chunk)?,
                Coder::Tiles(coder) => coder.decode(backend, chunk)?,
                _ => return Err(chunk.problem("its length is not that of its units")),
            }
        }
        Ok(())
    }
}
