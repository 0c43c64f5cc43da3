//! Decoding of the `levels` method: integers times a step a row and a step a column.

use super::Problem;
use super::contexts::{Contexts, RowContexts};
use super::plan::Chunk;
use super::tokens;
use crate::backend::Backend;
use crate::bits::BitReader;
use crate::context::Classes;
use crate::dtype::DType;
use crate::entropy::rans::STATES_BYTES;
use crate::entropy::{DecodeTables, Frequencies};
use crate::predict::scale::Scale;
use crate::quant::{Float, LEVEL_LIMIT, Steps, dequantise};
use std::sync::OnceLock;

/// Bits of an escape's position; its level has the rest of 32.
pub(crate) const ESCAPE_POSITION_BITS: u32 = 17;
/// Bytes of an escape.
pub(crate) const ESCAPE_BYTES: usize = 4;

#[derive(Debug)]
pub(super) struct LevelCoder {
    pub(super) float: Float,
    pub(super) steps: Steps,
    pub(super) scale: Scale,
    pub(super) classes: Classes,
    pub(super) tables: DecodeTables,
    /// Made when a chunk is first decoded.
    contexts: OnceLock<RowContexts>,
}

/// A level that has no symbol.
struct Escape {
    /// Unit within the chunk.
    position: usize,
    level: i16,
}

impl LevelCoder {
    /// Parameters: the steps; the scale of the levels, and thresholds on it (8 bits each); tables of
    /// tokens.
    pub(super) fn parse(
        dtype: DType,
        matrix: Option<(usize, usize)>,
        tables: usize,
        prob: u32,
        parameters: &[u8],
    ) -> Result<Self, &'static str> {
        let float = Float::of(dtype).ok_or("levels make BF16, F16 and F32 only")?;
        let (rows, columns) = matrix.ok_or("levels need a matrix")?;
        let mut reader = BitReader::new(parameters);
        let steps = Steps::parse(&mut reader, rows, columns)?;
        let scale = Scale::parse(&mut reader, rows, columns)?;
        let thresholds: Option<Vec<u8>> = (1..tables).map(|_| reader.bits(8).map(|t| t as u8)).collect();
        let tokens = (0..tables)
            .map(|_| Frequencies::parse(&mut reader, prob))
            .collect::<Result<Vec<_>, _>>()?;
        if !reader.is_finished() {
            return Err("its parameters are followed by more");
        }
        Ok(Self {
            float,
            steps,
            scale,
            classes: Classes::Thresholds(thresholds.ok_or("its thresholds are cut off")?),
            tables: DecodeTables::signed(&tokens).ok_or("a table has room for what is no token")?,
            contexts: OnceLock::new(),
        })
    }

    /// Whether a chunk may have `len` bytes; `extra` is its entry's.
    pub(super) fn holds(&self, len: usize, extra: u32) -> bool {
        len.checked_sub(STATES_BYTES)
            .is_some_and(|rest| rest / ESCAPE_BYTES >= extra as usize)
    }

    pub(super) fn decode(&self, backend: Backend, chunks: &mut [Chunk]) -> Result<(), Problem> {
        let (mut streams, mut escapes) = (Vec::new(), Vec::new());
        for chunk in &*chunks {
            let (words, of_chunk) = parts(chunk)?;
            streams.push((chunk.bytes, words));
            escapes.push(of_chunk.into_iter().peekable());
        }
        let size = chunks.first().map_or(1, |c| c.out.len() / c.units.max(1));
        let contexts = self
            .contexts
            .get_or_init(|| RowContexts::new(backend, &self.scale, &self.classes));
        let contexts = Contexts::Rows(&self.scale, contexts);
        tokens::decode(backend, &self.tables, contexts, chunks, &streams, |chunk, decoded| {
            if decoded.seeds.is_some_and(|seeds| seeds.iter().any(|&s| s != 0)) {
                return Err(chunk.problem("the entropy coder's seeds are not 0"));
            }
            let (first, n) = (decoded.first, decoded.symbols.len());
            let out = &mut chunk.out[first * size..(first + n) * size];
            let element = chunk.first + first;
            dequantise(backend, &self.steps, self.float, element, decoded.symbols, out);
            while let Some(e) = escapes[decoded.chunk].next_if(|e| e.position < first + n) {
                let weight = self.steps.weight(chunk.first + e.position, e.level);
                let at = e.position - first;
                self.float.write(weight, &mut out[at * size..(at + 1) * size]);
            }
            Ok(())
        })
    }
}

/// The length of a chunk's words, and its escapes.
fn parts(chunk: &Chunk) -> Result<(usize, Vec<Escape>), Problem> {
    let escapes = (chunk.extra as usize).checked_mul(ESCAPE_BYTES);
    let at = escapes
        .and_then(|len| chunk.bytes.len().checked_sub(len))
        .filter(|&at| at >= STATES_BYTES)
        .ok_or_else(|| chunk.problem("it is shorter than its parts"))?;
    let mut escapes = Vec::with_capacity(chunk.extra as usize);
    let mut next = 0;
    for b in chunk.bytes[at..].as_chunks().0 {
        let word = u32::from_le_bytes(*b);
        let position = (word & ((1 << ESCAPE_POSITION_BITS) - 1)) as usize;
        let level = (word >> ESCAPE_POSITION_BITS) as i16 - LEVEL_LIMIT;
        if position < next || position >= chunk.units {
            return Err(chunk.problem("an escape is out of order or out of range"));
        }
        next = position + 1;
        escapes.push(Escape { position, level });
    }
    Ok((at - STATES_BYTES, escapes))
}
