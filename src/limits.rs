//! What a file may ask for.

/// Bounds that a reader holds a file to before it allocates or loops.
///
/// The defaults hold every published model and stop a hostile file early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of the index. Default 1 GiB.
    pub max_index_bytes: u64,
    /// Tensors of a file. Default 4 million.
    pub max_tensors: usize,
    /// Decoded bytes of one tensor. Default 256 GiB.
    pub max_tensor_bytes: u64,
    /// Decoded bytes of one tensor for each byte of its payload, where they are above 1 MiB. Default
    /// 16384, which no file of this library's encoder exceeds.
    pub max_expansion: u64,
    /// Bytes of a tensor's head. Default 1 GiB.
    pub max_head_bytes: u64,
    /// Bytes of the kept original header. Default 1 GiB.
    pub max_source_header_bytes: u64,
}

/// What the encoder keeps to, and the reader takes by default.
pub(crate) const MAX_EXPANSION: u64 = 1 << 14;

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_index_bytes: 1 << 30,
            max_tensors: 4 << 20,
            max_tensor_bytes: 256 << 30,
            max_expansion: MAX_EXPANSION,
            max_head_bytes: 1 << 30,
            max_source_header_bytes: 1 << 30,
        }
    }
}

/// Chunks of a batch for a GPU: its arrays count them with 32 bits.
#[cfg(feature = "kernels")]
pub(crate) const MAX_CHUNKS_AT_ONCE: u64 = 1 << 28;
