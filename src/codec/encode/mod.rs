//! Encoding a tensor: every recipe that could win is priced, the cheapest is used.

mod bytes;
mod classes;
mod count;
mod float;
#[cfg_attr(not(feature = "safetensors"), allow(dead_code))]
pub(crate) mod levels;
#[cfg_attr(not(feature = "safetensors"), allow(dead_code))]
pub(crate) mod quantised;
#[cfg_attr(not(feature = "safetensors"), allow(dead_code))]
mod tiled_levels;
pub(crate) mod tiles;

use crate::backend::Backend;
use crate::cost::COST_BITS;
use crate::dtype::DType;
use crate::format::head::{self, ChunkEntry, ENTRY_BYTES, FIXED_BYTES};
use crate::format::{CHUNK_ALIGNMENT, MAX_SCALE_STEPS, Method, Recipe, checksum};
use crate::limits::MAX_EXPANSION;
use std::ops::Range;

/// How hard the encoder tries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Effort {
    /// One frequency table a tensor, no prediction: the fastest to encode and to decode.
    Fast,
    /// Row x column scale prediction; other tools where a sample shows that they win.
    #[default]
    Default,
    /// Every tool and parameter, counted on all of the data.
    Max,
}

impl Effort {
    /// All, fastest first.
    pub const ALL: [Self; 3] = [Self::Fast, Self::Default, Self::Max];

    /// `fast`, `default` or `max`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fast => "fast",
            Self::Default => "default",
            Self::Max => "max",
        }
    }
}

/// An encoded tensor: its payload is the head, then each chunk padded to 16 bytes.
#[derive(Debug)]
pub(crate) struct Encoded {
    pub(crate) recipe: Recipe,
    pub(crate) head: Vec<u8>,
    pub(crate) chunks: Vec<Vec<u8>>,
}

impl Encoded {
    /// Bytes of the payload.
    pub(crate) fn len(&self) -> u64 {
        let padded = |c: &Vec<u8>| (c.len() as u64).next_multiple_of(CHUNK_ALIGNMENT);
        self.head.len() as u64 + self.chunks.iter().map(padded).sum::<u64>()
    }

    fn is_tiles(&self) -> bool {
        matches!(self.recipe.method, Method::Tiles { .. })
    }
}

/// A tensor as the encoder sees it.
#[derive(Clone, Copy)]
pub(crate) struct Input<'a> {
    pub(crate) dtype: DType,
    pub(crate) shape: &'a [usize],
    /// Little-endian, row-major; as long as dtype and shape say.
    pub(crate) data: &'a [u8],
    /// Instructions to encode with; the result does not depend on them.
    pub(crate) backend: Backend,
    /// Told of bytes of the data that will hardly be read again, so that what holds them can let go of
    /// them: input and result then need not be in memory together.
    pub(crate) used: &'a (dyn Fn(Range<usize>) + Sync),
}

impl Input<'_> {
    fn units(&self) -> usize {
        self.data.len() / self.dtype.unit_bytes()
    }

    /// These units are encoded.
    fn used(&self, units: Range<usize>) {
        let bytes = self.dtype.unit_bytes();
        (self.used)(units.start * bytes..units.end * bytes);
    }

    /// Columns of the matrices that the tensor can be seen as: all but the first dimension together,
    /// then the last alone. Empty if no matrix has two rows and enough columns.
    fn matrices(&self) -> Vec<usize> {
        let units = self.units();
        let packed = |n: usize| n * self.dtype.bits() / 8 / self.dtype.unit_bytes();
        let first = self
            .shape
            .first()
            .map_or(0, |&rows| units.checked_div(rows).unwrap_or(0));
        let last = self.shape.last().map_or(0, |&n| packed(n));
        let mut columns = vec![first, last];
        columns.dedup();
        columns.retain(|&c| c >= 8 && units.is_multiple_of(c) && units / c >= 2);
        columns.retain(|&c| c.max(units / c) as u64 <= MAX_SCALE_STEPS);
        columns
    }
}

/// One way to code a tensor, priced.
struct Candidate<'a> {
    /// Payload in 2^-16 bits, estimated.
    cost: u64,
    encode: Box<dyn Fn() -> Encoded + 'a>,
}

/// Units of a raw chunk.
const PLAIN_CHUNK: u64 = 1 << 20;
/// Tiles are taken only if they cost less than this part of the next best.
const TILES_PERCENT: u64 = 97;
/// Tensors of more bytes are large.
const LARGE: usize = 256 << 20;
/// Tensors of fewer bytes are stored as they are: tables would cost more than they save.
const SMALLEST: usize = 512;

/// Encodes a tensor with the recipe that the estimates favour. The result depends on the input and
/// the effort alone.
pub(crate) fn encode(input: Input, effort: Effort) -> Encoded {
    let unit = input.dtype.unit_bytes();
    let data = input.data;
    if data.len() > unit && data[unit..] == data[..data.len() - unit] {
        return constant(input);
    }
    let raw = || raw(input);
    if data.len() < SMALLEST {
        return raw();
    }
    let chunks = (input.units() as u64).div_ceil(PLAIN_CHUNK);
    let raw_bytes = (data.len() + FIXED_BYTES) as u64 + chunks * ENTRY_BYTES as u64;
    let raw_cost = (raw_bytes * 8) << COST_BITS;
    let mut candidates = float::candidates(input, effort);
    // Where a split of a narrow float gains, byte planes gain less. (The low bytes of a wide one may
    // hold more than noise.)
    let gained = unit <= 2 && candidates.iter().any(|c| c.cost < raw_cost / 16 * 15);
    if !gained || effort == Effort::Max {
        candidates.extend(bytes::candidates(input, effort));
    }
    let least = candidates
        .iter()
        .map(|c| c.cost)
        .min()
        .unwrap_or(u64::MAX)
        .min(raw_cost);
    candidates.extend(tiles::candidates(input, effort, least / 100 * TILES_PERCENT));
    candidates.retain(|c| c.cost < raw_cost);
    candidates.sort_by_key(|c| c.cost);
    // Prices are estimates: what they favour must still beat the input itself, and tiles, which
    // decode slowly, the next best.
    let smaller = |e: &Encoded| e.len() < raw_bytes && fits(e, data.len());
    let mut encoded = candidates.iter().map(|c| (c, (c.encode)())).filter(|(_, e)| smaller(e));
    let Some((candidate, first)) = encoded.next() else {
        return raw();
    };
    if !first.is_tiles() {
        return first;
    }
    let len = first.len();
    // Two encodings of a large tensor are not held together: the first is rather made again.
    let first = (data.len() <= LARGE).then_some(first);
    let other = encoded.map(|(_, e)| e).find(|e| !e.is_tiles());
    let other = other.filter(|e| e.len() <= len);
    other.or(first).unwrap_or_else(|| (candidate.encode)())
}

/// Whether a payload stands for no more data than a reader takes.
fn fits(encoded: &Encoded, len: usize) -> bool {
    len as u64 <= encoded.len().saturating_mul(MAX_EXPANSION).max(1 << 20)
}

/// Estimated payload of a tensor with each tool by itself, in 2^-16 bits; `none` first.
pub(crate) fn tool_costs(input: Input) -> Vec<(&'static str, u64)> {
    if input.data.is_empty() {
        return Vec::new();
    }
    let least = |effort| {
        let floats = float::candidates(input, effort);
        let bytes = bytes::candidates(input, effort);
        floats
            .into_iter()
            .chain(bytes)
            .map(|c| c.cost)
            .min()
            .unwrap_or(u64::MAX)
    };
    let mut costs = vec![("none", least(Effort::Fast)), ("scale", least(Effort::Default))];
    costs.extend(tiles::tool_costs(input));
    costs
}

fn constant(input: Input) -> Encoded {
    // A chunk is no more than its entry, and that stands for no more than a reader takes.
    let chunk = ENTRY_BYTES as u64 * MAX_EXPANSION / input.dtype.unit_bytes() as u64;
    let chunks = (input.units() as u64).div_ceil(chunk) as usize;
    let method = Method::Constant;
    let recipe = Recipe { method, chunk };
    assemble(
        recipe,
        &input.data[..input.dtype.unit_bytes()],
        vec![(Vec::new(), 0); chunks],
    )
}

fn raw(input: Input) -> Encoded {
    let chunks = map_chunks(
        input.units(),
        PLAIN_CHUNK,
        || (),
        |(), units| {
            let bytes = input.dtype.unit_bytes();
            let chunk = input.data[units.start * bytes..units.end * bytes].to_vec();
            input.used(units);
            (chunk, 0)
        },
    );
    let recipe = Recipe {
        method: Method::Raw,
        chunk: PLAIN_CHUNK,
    };
    assemble(recipe, &[], chunks)
}

/// Puts head and chunks together; a chunk comes with its entry's `extra` field.
fn assemble(recipe: Recipe, parameters: &[u8], chunks: Vec<(Vec<u8>, u32)>) -> Encoded {
    let entry = |(bytes, extra): &(Vec<u8>, u32)| ChunkEntry {
        len: bytes.len() as u32,
        extra: *extra,
        checksum: checksum(bytes),
    };
    let entries: Vec<_> = chunks.iter().map(entry).collect();
    Encoded {
        recipe,
        head: head::write(&entries, parameters),
        chunks: chunks.into_iter().map(|c| c.0).collect(),
    }
}

/// Units of a chunk so that all chunks are about `target` units and of one size, in whole groups of
/// raw bits. Three chunks and more come in fours, many in eights: so many decode side by side.
fn balanced_chunk(units: usize, target: usize) -> u64 {
    let chunks = match ((units + target / 2) / target).max(1) {
        few @ ..3 => few,
        some @ ..16 => (some + 2) / 4 * 4,
        many => (many + 4) / 8 * 8,
    };
    (units.div_ceil(chunks).next_multiple_of(crate::plane::raw::GROUP)) as u64
}

/// Maps the chunks of a tensor, on all cores if the `parallel` feature is on; in order. `scratch`
/// makes working memory, which serves many chunks in turn.
fn map_chunks<S, T: Send>(
    units: usize,
    chunk: u64,
    scratch: impl Fn() -> S + Sync + Send,
    map: impl Fn(&mut S, Range<usize>) -> T + Sync + Send,
) -> Vec<T> {
    let chunk = chunk as usize;
    let count = units.div_ceil(chunk);
    let range = |i: usize| i * chunk..units.min((i + 1) * chunk);
    #[cfg(feature = "parallel")]
    if count > 1 {
        use rayon::prelude::*;
        return (0..count)
            .into_par_iter()
            .map_init(scratch, |s, i| map(s, range(i)))
            .collect();
    }
    let mut scratch = scratch();
    (0..count).map(|i| map(&mut scratch, range(i))).collect()
}

impl std::str::FromStr for Effort {
    type Err = crate::Error;

    fn from_str(name: &str) -> Result<Self, crate::Error> {
        Self::ALL
            .into_iter()
            .find(|e| e.name() == name)
            .ok_or_else(|| crate::Error::usage(format!("no effort {name:?}: choose fast, default or max")))
    }
}
