#![doc = include_str!("SPEC.md")]

pub mod certificate;
pub(crate) mod head;
mod index;
mod object;
mod prefix;
mod recipe;

pub use index::{Index, SourceInfo, TensorInfo};
#[cfg(feature = "encode")]
pub(crate) use index::{IndexFile, SourceEntry, TensorEntry};
pub use prefix::{MAGIC, MAJOR, MINOR, PREFIX_BYTES, Prefix};
pub use recipe::{Method, Recipe, TileShape};

/// Payloads start at multiples of this many bytes.
pub const ALIGNMENT: u64 = 128;
/// Chunks start at multiples of this many bytes from their tensor's payload.
pub const CHUNK_ALIGNMENT: u64 = 16;
/// Most units of a chunk: what an escape's position has room for.
pub const MAX_CHUNK_UNITS: u64 = 1 << 20;

/// Most units of a chunk of levels: an escape's position has less room, its level more.
pub(crate) const MAX_LEVELS_CHUNK_UNITS: u64 = 1 << 17;

/// Most rows, and most columns, of a matrix with scale prediction: each has a step in memory, which
/// may take next to no bits in the file.
pub const MAX_SCALE_STEPS: u64 = 1 << 24;

/// Most bytes of a certificate's JSON.
pub const MAX_CERTIFICATE_BYTES: usize = 1 << 20;

/// XXH3 with 64 bits, seed 0: the checksum of encoded bytes.
pub(crate) fn checksum(bytes: &[u8]) -> u64 {
    twox_hash::XxHash3_64::oneshot(bytes)
}

/// Fewest bits of a probability.
pub(crate) const MIN_PROB_BITS: u32 = 8;
/// Most bits of a probability: what a packed decode table entry has room for.
pub(crate) const MAX_PROB_BITS: u32 = 12;
/// Most of a token of levels.
pub(crate) const MAX_LEVELS_PROB_BITS: u32 = 11;
/// Most frequency tables of one plane.
pub(crate) const MAX_TABLES: usize = 16;
