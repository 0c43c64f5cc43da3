//! Tensors to chunks and back: mathematics, no input or output.

pub(crate) mod bytes;
mod contexts;
#[cfg(feature = "kernels")]
pub(crate) mod device;
#[cfg(feature = "encode")]
pub(crate) mod encode;
pub(crate) mod float;
pub(crate) mod levels;
mod plan;
mod tiled_levels;
mod tiles;
mod tokens;

pub(crate) use plan::{ChunkJob, Plan};

/// What is wrong with a tensor's payload; who reads the file knows which file and tensor.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Problem {
    /// The head does not hold.
    Head(String),
    /// A chunk does not hold.
    Chunk(u64, String),
    /// The recipe is from a later version.
    Unknown(String),
}
