//! A tensor's head: checksum, chunk table, parameters.

use super::checksum;

/// Bytes before the chunk table: checksum, number of chunks, length of the parameters.
pub(crate) const FIXED_BYTES: usize = 16;
/// Bytes of a chunk table entry.
pub(crate) const ENTRY_BYTES: usize = 16;

/// One entry of the chunk table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ChunkEntry {
    /// Encoded bytes.
    pub(crate) len: u32,
    /// Escapes at the chunk's end.
    pub(crate) extra: u32,
    /// XXH3-64 of the encoded bytes.
    pub(crate) checksum: u64,
}

/// A chunk table and the offset of each chunk from the tensor's payload.
#[derive(Debug)]
pub(crate) struct Head<'a> {
    pub(crate) chunks: Vec<ChunkEntry>,
    /// One more than chunks: the last is where the payload ends.
    pub(crate) offsets: Vec<u64>,
    pub(crate) parameters: &'a [u8],
}

impl<'a> Head<'a> {
    /// Reads a head; `chunks` is the number that the tensor must have, `payload_len` all its bytes.
    pub(crate) fn parse(bytes: &'a [u8], chunks: u64, payload_len: u64) -> Result<Self, String> {
        let (fixed, rest) = bytes.split_at_checked(FIXED_BYTES).ok_or("the head is cut off")?;
        let u32_at = |b: &[u8], i: usize| u32::from_le_bytes([b[i], b[i + 1], b[i + 2], b[i + 3]]);
        let u64_at = |b: &[u8], i: usize| u64::from_le_bytes(std::array::from_fn(|k| b[i + k]));
        if u64_at(fixed, 0) != checksum(&bytes[8..]) {
            return Err("its checksum does not match".into());
        }
        let (count, parameters_len) = (u32_at(fixed, 8), u32_at(fixed, 12) as usize);
        if u64::from(count) != chunks {
            return Err(format!("it lists {count} chunks where the shape makes {chunks}"));
        }
        let table_len = (count as usize)
            .checked_mul(ENTRY_BYTES)
            .ok_or("the chunk table overflows")?;
        let (table, rest) = rest.split_at_checked(table_len).ok_or("the chunk table is cut off")?;
        let parameters = rest.get(..parameters_len).ok_or("the parameters are cut off")?;
        if rest.len() != parameters_len.next_multiple_of(super::CHUNK_ALIGNMENT as usize) {
            return Err("its length does not match its parts".into());
        }
        let mut offsets = Vec::with_capacity(count as usize + 1);
        let mut offset = bytes.len() as u64;
        offsets.push(offset);
        let chunks = table
            .chunks_exact(ENTRY_BYTES)
            .map(|e| {
                let entry = ChunkEntry {
                    len: u32_at(e, 0),
                    extra: u32_at(e, 4),
                    checksum: u64_at(e, 8),
                };
                offset += u64::from(entry.len).next_multiple_of(super::CHUNK_ALIGNMENT);
                offsets.push(offset);
                entry
            })
            .collect();
        if offset != payload_len {
            return Err(format!("its chunks take {offset} bytes of a payload of {payload_len}"));
        }
        Ok(Self {
            chunks,
            offsets,
            parameters,
        })
    }
}

/// Lays out a head.
#[cfg(feature = "encode")]
pub(crate) fn write(chunks: &[ChunkEntry], parameters: &[u8]) -> Vec<u8> {
    let mut out = vec![0; 8];
    out.extend((chunks.len() as u32).to_le_bytes());
    out.extend((parameters.len() as u32).to_le_bytes());
    for c in chunks {
        out.extend(c.len.to_le_bytes());
        out.extend(c.extra.to_le_bytes());
        out.extend(c.checksum.to_le_bytes());
    }
    out.extend(parameters);
    out.resize(out.len().next_multiple_of(super::CHUNK_ALIGNMENT as usize), 0);
    let sum = checksum(&out[8..]);
    out[..8].copy_from_slice(&sum.to_le_bytes());
    out
}
