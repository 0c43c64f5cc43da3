//! Symbols of several chunks, decoded side by side in blocks that stay in the first-level cache.

use super::Problem;
use super::contexts::Contexts;
use super::plan::Chunk;
use crate::backend::Backend;
use crate::entropy::DecodeTables;
use crate::entropy::rans::{self, LANES, Run, STATES_BYTES, Seeds, Stream};

/// Symbols of a block; the last block of a chunk has up to one less than twice as many, so that it
/// always covers what the coder's seeds carry.
pub(super) const BLOCK: usize = 1024;
/// Most symbols of a block.
pub(super) const LAST_BLOCK: usize = 2 * BLOCK;

/// A decoded block, given to the join.
pub(super) struct Decoded<'a> {
    /// Which of the chunks.
    pub(super) chunk: usize,
    /// First unit of the block, within the chunk.
    pub(super) first: usize,
    pub(super) symbols: &'a [u8],
    /// One a symbol with [`Contexts::Steps`], else empty.
    pub(super) steps: &'a [u8],
    /// With a chunk's last block: what the coder ended on.
    pub(super) seeds: Option<Seeds>,
}

struct Lockstep<'a> {
    stream: Stream<'a>,
    symbols: [u8; LAST_BLOCK],
    steps: [u8; LAST_BLOCK],
    contexts: [u8; LAST_BLOCK],
}

/// Decodes the entropy-coded streams of `chunks`, all of one number of units, and hands every block
/// to `join`. `words[i]` is the length of chunk `i`'s words with their padding; the stream is at
/// `streams[i]`.
pub(super) fn decode<'a>(
    backend: Backend,
    tables: &DecodeTables,
    contexts: Contexts,
    chunks: &mut [Chunk<'a>],
    streams: &[(&'a [u8], usize)],
    mut join: impl FnMut(&mut Chunk<'a>, Decoded) -> Result<(), Problem>,
) -> Result<(), Problem> {
    let Some((units, size)) = chunks.first().map(|c| (c.units, c.out.len() / c.units.max(1))) else {
        return Ok(());
    };
    let mut lockstep = Vec::with_capacity(chunks.len());
    for (chunk, (bytes, _)) in chunks.iter().zip(streams) {
        let stream = Stream::new(bytes).ok_or_else(|| chunk.problem("its coder states are cut off"))?;
        lockstep.push(Lockstep {
            stream,
            symbols: [0; LAST_BLOCK],
            steps: [0; LAST_BLOCK],
            contexts: [0; LAST_BLOCK],
        });
    }
    let mut first = 0;
    while first < units {
        let left = units - first;
        let (n, last) = if left >= LAST_BLOCK {
            (BLOCK, false)
        } else {
            (left, true)
        };
        let padded = n.next_multiple_of(LANES);
        for (chunk, l) in chunks.iter().zip(&mut lockstep) {
            l.contexts[n..padded].fill(0);
            let first = chunk.first + first;
            let to = &mut l.contexts[..n];
            contexts.write(backend, first, &mut l.steps[..n], to);
        }
        let contexts_len = if matches!(contexts, Contexts::None) { 0 } else { padded };
        let steps_len = if matches!(contexts, Contexts::Steps(..)) { n } else { 0 };
        let mut runs: Vec<Run> = lockstep
            .iter_mut()
            .zip(chunks.iter())
            .map(|(l, chunk)| Run {
                stream: &mut l.stream,
                contexts: &l.contexts[..contexts_len],
                symbols: &mut l.symbols[..padded],
                ahead: &chunk.out[first * size..(first + n) * size],
            })
            .collect();
        rans::decode(backend, tables, &mut runs);
        for (i, (chunk, l)) in chunks.iter_mut().zip(&lockstep).enumerate() {
            let seeds = match last {
                false => None,
                true => Some(l.stream.finish(streams[i].1).map_err(|e| chunk.problem(e))?),
            };
            join(
                chunk,
                Decoded {
                    chunk: i,
                    first,
                    symbols: &l.symbols[..n],
                    steps: &l.steps[..steps_len],
                    seeds,
                },
            )?;
        }
        first += n;
    }
    Ok(())
}

/// Length of a stream's words: what is left of `len` bytes after the states. `None` if there is none.
pub(super) fn words_len(len: usize) -> Option<usize> {
    len.checked_sub(STATES_BYTES)
}
