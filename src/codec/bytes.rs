//! Decoding of the `bytes` method: every byte of a unit is a plane of symbols.

use super::Problem;
use super::contexts::Contexts;
use super::plan::Chunk;
use super::tokens;
use crate::backend::Backend;
use crate::bits::BitReader;
use crate::context::Classes;
use crate::entropy::rans::STATES_BYTES;
use crate::entropy::{DecodeTables, Frequencies};
use crate::format::CHUNK_ALIGNMENT;
use crate::predict::scale::Scale;

/// How one byte plane is stored.
#[derive(Debug)]
pub(super) enum Plane {
    /// Entropy coded; each byte is a symbol XOR the mask.
    Coded { tables: DecodeTables, mask: u8 },
    /// As it is.
    Raw,
    /// This byte everywhere.
    Constant(u8),
}

/// Wire codes of the kinds of plane.
pub(crate) const CODED: u64 = 0;
pub(crate) const RAW: u64 = 1;
pub(crate) const CONSTANT: u64 = 2;

#[derive(Debug)]
pub(super) struct ByteCoder {
    /// One a byte of a unit, the lowest first.
    pub(super) planes: Vec<Plane>,
    pub(super) scale: Option<(Scale, Classes)>,
}

/// Segments are whole multiples of this many bytes.
pub(crate) const SEGMENT_ALIGNMENT: usize = 16;

/// Bytes of the segment lengths at the head of a chunk of units of several bytes.
pub(crate) fn lengths_len(unit_bytes: usize) -> usize {
    if unit_bytes == 1 {
        0
    } else {
        (4 * unit_bytes).next_multiple_of(CHUNK_ALIGNMENT as usize)
    }
}

impl ByteCoder {
    /// Parameters: with a matrix, row and column steps and the thresholds between tables (8 bits
    /// each); then each plane: kind (2 bits), and mask (8 bits) and tables, nothing, or the byte.
    pub(super) fn parse(
        unit_bytes: usize,
        matrix: Option<(usize, usize)>,
        tables: usize,
        prob: u32,
        parameters: &[u8],
    ) -> Result<Self, &'static str> {
        const SHORT: &str = "the parameters are cut off";
        let mut reader = BitReader::new(parameters);
        let mut scale = None;
        if let Some((rows, columns)) = matrix {
            if unit_bytes != 1 {
                return Err("scale prediction is for units of one byte");
            }
            let steps = Scale::parse(&mut reader, rows, columns)?;
            let thresholds: Option<Vec<u8>> = (1..tables).map(|_| reader.bits(8).map(|t| t as u8)).collect();
            scale = Some((steps, Classes::Thresholds(thresholds.ok_or(SHORT)?)));
        }
        let plane = |_| match reader.bits(2).ok_or(SHORT)? {
            CODED => {
                let mask = reader.bits(8).ok_or(SHORT)? as u8;
                let tables = (0..tables)
                    .map(|_| Frequencies::parse(&mut reader, prob))
                    .collect::<Result<Vec<_>, _>>()?;
                Ok(Plane::Coded {
                    tables: DecodeTables::new(&tables).ok_or("a plane has no tables")?,
                    mask,
                })
            }
            RAW => Ok(Plane::Raw),
            CONSTANT => Ok(Plane::Constant(reader.bits(8).ok_or(SHORT)? as u8)),
            _ => Err("a plane is of an unknown kind"),
        };
        let planes = (0..unit_bytes).map(plane).collect::<Result<_, _>>()?;
        if !reader.is_finished() {
            return Err("its parameters are followed by more");
        }
        Ok(Self { planes, scale })
    }

    /// Bytes that a chunk of `units` units takes at least.
    pub(super) fn least_len(&self, units: usize) -> usize {
        let plane = |plane: &Plane| match plane {
            Plane::Coded { .. } => STATES_BYTES,
            Plane::Raw => units,
            Plane::Constant(_) => 0,
        };
        lengths_len(self.planes.len()) + self.planes.iter().map(plane).sum::<usize>()
    }

    pub(super) fn decode(&self, backend: Backend, chunks: &mut [Chunk]) -> Result<(), Problem> {
        let width = self.planes.len();
        let mut segments = chunks.iter().map(|c| self.segments(c)).collect::<Result<Vec<_>, _>>()?;
        for (index, plane) in self.planes.iter().enumerate() {
            match plane {
                Plane::Coded { tables, mask } => {
                    let streams = chunks
                        .iter()
                        .zip(&segments)
                        .map(|(c, s)| {
                            let words = tokens::words_len(s[index].1).ok_or_else(|| c.problem("a plane is cut off"))?;
                            Ok((s[index].0, words))
                        })
                        .collect::<Result<Vec<_>, Problem>>()?;
                    let contexts = self
                        .scale
                        .as_ref()
                        .map_or(Contexts::None, |(s, classes)| Contexts::Steps(s, classes));
                    tokens::decode(backend, tables, contexts, chunks, &streams, |chunk, decoded| {
                        if decoded.seeds.is_some_and(|seeds| seeds.iter().any(|&s| s != 0)) {
                            return Err(chunk.problem("the entropy coder's seeds are not 0"));
                        }
                        let to = &mut chunk.out[decoded.first * width..];
                        if width == 1 {
                            to.iter_mut().zip(decoded.symbols).for_each(|(to, s)| *to = s ^ mask);
                        } else {
                            to[index..]
                                .iter_mut()
                                .step_by(width)
                                .zip(decoded.symbols)
                                .for_each(|(to, s)| *to = s ^ mask);
                        }
                        Ok(())
                    })?;
                }
                Plane::Raw => {
                    for (chunk, segments) in chunks.iter_mut().zip(&mut segments) {
                        let (bytes, len) = segments[index];
                        if len != chunk.units.next_multiple_of(SEGMENT_ALIGNMENT) {
                            return Err(chunk.problem("a raw plane is not as long as its units"));
                        }
                        chunk.out[index..]
                            .iter_mut()
                            .step_by(width)
                            .zip(bytes)
                            .for_each(|(to, b)| *to = *b);
                    }
                }
                Plane::Constant(byte) => {
                    for (chunk, segments) in chunks.iter_mut().zip(&segments) {
                        if segments[index].1 != 0 {
                            return Err(chunk.problem("a constant plane has bytes"));
                        }
                        chunk.out[index..].iter_mut().step_by(width).for_each(|to| *to = *byte);
                    }
                }
            }
        }
        Ok(())
    }

    /// Each plane's bytes, to the chunk's end, and its own length.
    fn segments<'a>(&self, chunk: &Chunk<'a>) -> Result<Vec<(&'a [u8], usize)>, Problem> {
        let width = self.planes.len();
        if width == 1 {
            return Ok(vec![(chunk.bytes, chunk.bytes.len())]);
        }
        let mut at = lengths_len(width);
        let lengths = chunk
            .bytes
            .get(..at)
            .ok_or_else(|| chunk.problem("its plane lengths are cut off"))?;
        let mut segments = Vec::with_capacity(width);
        for b in &lengths.as_chunks().0[..width] {
            let len = u32::from_le_bytes(*b) as usize;
            let end = at.checked_add(len).filter(|&end| end <= chunk.bytes.len());
            let end = end.ok_or_else(|| chunk.problem("a plane ends past its chunk"))?;
            segments.push((&chunk.bytes[at..], len));
            at = end;
        }
        if at != chunk.bytes.len() {
            return Err(chunk.problem("its planes do not fill it"));
        }
        Ok(segments)
    }
}
