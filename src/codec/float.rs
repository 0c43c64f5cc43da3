//! Decoding of the `float` method: token plane, raw planes, escapes.

use super::Problem;
use super::contexts::Contexts;
use super::plan::Chunk;
use super::tokens::{self, Decoded, LAST_BLOCK};
use crate::backend::Backend;
use crate::bits::BitReader;
use crate::context::Classes;
use crate::dtype::DType;
use crate::entropy::rans::STATES_BYTES;
use crate::entropy::{DecodeTables, Frequencies};
use crate::plane::float::{self, Block, Escape, FloatSplit, Widen};
use crate::plane::raw;
use crate::predict::scale::Scale;

/// Bits of an escape's position; its token has the rest of 32.
pub(crate) const ESCAPE_POSITION_BITS: u32 = 20;
/// Bits of a chunk's `extra` that count its escapes; above them are its zeros.
pub(crate) const ESCAPES_BITS: u32 = 24;
/// Most raw planes: 64 bits make eight.
const MAX_PLANES: usize = 11;

#[derive(Debug)]
pub(super) struct FloatCoder {
    pub(super) split: FloatSplit,
    pub(super) widen: Widen,
    pub(super) tables: DecodeTables,
    pub(super) scale: Option<(Scale, Classes)>,
}

impl FloatCoder {
    /// Parameters: base (16 bits); with a matrix, row and column steps; `2^fraction` tables.
    pub(super) fn parse(
        dtype: DType,
        stored: DType,
        token_mantissa: u32,
        matrix: Option<(usize, usize)>,
        fraction_bits: u32,
        prob: u32,
        parameters: &[u8],
    ) -> Result<Self, &'static str> {
        let dtype = if dtype == DType::C64 { DType::F32 } else { dtype };
        let widen = Widen::between(stored, dtype).ok_or("its stored dtype does not widen to the tensor's")?;
        let layout = stored.float_layout().ok_or("its stored dtype is no float")?;
        let mut reader = BitReader::new(parameters);
        let base = reader.bits(16).ok_or("the base token is cut off")? as u16;
        let scale = match matrix {
            Some((rows, columns)) => Some((
                Scale::parse(&mut reader, rows, columns)?,
                Classes::Fraction((1 << fraction_bits) - 1),
            )),
            None => None,
        };
        let tables = (0..1 << fraction_bits)
            .map(|_| Frequencies::parse(&mut reader, prob))
            .collect::<Result<Vec<_>, _>>()?;
        if !reader.is_finished() {
            return Err("its parameters are followed by more");
        }
        Ok(Self {
            split: FloatSplit {
                layout,
                token_mantissa,
                base,
                fraction_bits,
                zeros: 0,
            },
            widen,
            tables: DecodeTables::new(&tables).ok_or("it has no tables")?,
            scale,
        })
    }

    /// Bytes that a chunk of `units` units takes at least; `extra` is its entry's.
    pub(super) fn least_len(&self, units: usize, extra: u32) -> usize {
        let zeros = (extra >> ESCAPES_BITS).min(self.split.low_bits());
        STATES_BYTES + stored_len(units, FloatSplit { zeros, ..self.split })
    }

    pub(super) fn decode(&self, backend: Backend, chunks: &mut [Chunk]) -> Result<(), Problem> {
        let mut parts = chunks
            .iter()
            .map(|c| Parts::of(c, self.split))
            .collect::<Result<Vec<_>, _>>()?;
        let streams: Vec<_> = parts.iter().map(|p| (p.stream, p.words)).collect();
        let size = chunks.first().map_or(1, |c| c.out.len() / c.units.max(1));
        let contexts = self
            .scale
            .as_ref()
            .map_or(Contexts::None, |(s, classes)| Contexts::Steps(s, classes));
        let mut patched = [0u8; LAST_BLOCK];
        tokens::decode(backend, &self.tables, contexts, chunks, &streams, |chunk, decoded| {
            self.join(backend, chunk, &mut parts[decoded.chunk], &decoded, size, &mut patched)
        })
    }

    /// Joins a block; `patched` is room for the end of the last raw plane.
    ///
    /// Inlined, as what is stored for a call and loaded again in other sizes waits for all stores before it.
    #[inline(always)]
    fn join(
        &self,
        backend: Backend,
        chunk: &mut Chunk,
        parts: &mut Parts,
        decoded: &Decoded,
        size: usize,
        patched: &mut [u8; LAST_BLOCK],
    ) -> Result<(), Problem> {
        let (first, n) = (decoded.first, decoded.symbols.len());
        let pieces = raw::pieces(parts.split.raw_bits());
        let mut planes = [&[][..]; MAX_PLANES];
        for ((p, plane), all) in pieces.clone().zip(&mut planes).zip(&parts.planes) {
            *plane = &all[group_offset(first, p).min(all.len())..];
        }
        if let Some(seeds) = decoded.seeds {
            let mut seeds = seeds.iter().flat_map(|s| s.to_le_bytes());
            // The end of the last plane came with the coder's seeds.
            if let Some((p, last)) = pieces.zip(&mut planes).last() {
                let end = raw::plane_len(n, p);
                let (stored, seeded) = patched[..end].split_at_mut(last.len());
                stored.copy_from_slice(last);
                seeded.iter_mut().zip(&mut seeds).for_each(|(to, seed)| *to = seed);
                *last = &patched[..end];
            }
            if seeds.any(|b| b != 0) {
                return Err(chunk.problem("seeds that carry nothing are not 0"));
            }
        }
        let escapes = parts.escapes[parts.joined..]
            .iter()
            .take_while(|e| (e.position as usize) < first + n)
            .count();
        let block = Block {
            split: parts.split,
            widen: self.widen,
            symbols: decoded.symbols,
            steps: decoded.steps,
            planes: &planes,
            escapes: &parts.escapes[parts.joined..parts.joined + escapes],
            first: first as u32,
        };
        parts.joined += escapes;
        float::join(backend, &block, &mut chunk.out[first * size..(first + n) * size]);
        Ok(())
    }
}

/// Offset of unit `first`, the first of a group, in a plane of `p`-bit pieces.
fn group_offset(first: usize, p: u32) -> usize {
    first / raw::GROUP * raw::plane_len(raw::GROUP, p)
}

/// Bytes of the raw planes of `units` units but for what the coder's seeds carry.
fn stored_len(units: usize, split: FloatSplit) -> usize {
    raw::planes_len(units, split.raw_bits()) - raw::seeded_len(units, split.raw_bits())
}

/// A chunk taken apart: states and words, raw planes, escapes.
struct Parts<'a> {
    /// The tensor's, and the zeros of this chunk.
    split: FloatSplit,
    /// From the states on, to the chunk's end: vector decoders look ahead.
    stream: &'a [u8],
    words: usize,
    /// The raw planes, from the top piece; the last but for what the seeds carry.
    planes: [&'a [u8]; MAX_PLANES],
    /// In order of position.
    escapes: Vec<Escape>,
    /// Escapes of the blocks joined.
    joined: usize,
}

impl<'a> Parts<'a> {
    fn of(chunk: &Chunk<'a>, split: FloatSplit) -> Result<Self, Problem> {
        let (zeros, escapes) = (chunk.extra >> ESCAPES_BITS, chunk.extra as usize % (1 << ESCAPES_BITS));
        if zeros > split.low_bits() {
            return Err(chunk.problem("it leaves out more bits than the tokens leave"));
        }
        let split = FloatSplit { zeros, ..split };
        let stored = stored_len(chunk.units, split);
        let sized = chunk.bytes.len().checked_sub(4 * escapes);
        let (escapes_at, words) = sized
            .and_then(|at| Some((at, at.checked_sub(stored)?.checked_sub(STATES_BYTES)?)))
            .ok_or_else(|| chunk.problem("it is shorter than its parts"))?;
        let mut raw = &chunk.bytes[STATES_BYTES + words..escapes_at];
        let mut planes = [&[][..]; MAX_PLANES];
        for (p, plane) in raw::pieces(split.raw_bits()).zip(&mut planes) {
            let len = raw::plane_len(chunk.units, p).min(raw.len());
            (*plane, raw) = raw.split_at(len);
        }
        let mut escapes = Vec::with_capacity(escapes);
        let mut next = 0;
        for b in chunk.bytes[escapes_at..].as_chunks().0 {
            let word = u32::from_le_bytes(*b);
            let (position, token) = (
                word & ((1 << ESCAPE_POSITION_BITS) - 1),
                (word >> ESCAPE_POSITION_BITS) as u16,
            );
            if position < next || position as usize >= chunk.units || token > split.token_mask() {
                return Err(chunk.problem("an escape is out of order or out of range"));
            }
            next = position + 1;
            escapes.push(Escape { position, token });
        }
        Ok(Self {
            split,
            stream: chunk.bytes,
            words,
            planes,
            escapes,
            joined: 0,
        })
    }
}
