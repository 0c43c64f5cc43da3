//! Numbers as bytes, little-endian, for the journal.

use crate::{Error, Result};

/// Takes numbers from the front of a payload.
pub(super) struct Taken<'a>(pub(super) &'a [u8]);

impl Taken<'_> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or_else(misfit)?;
        self.0 = rest;
        Ok(*head)
    }

    pub(super) fn u8(&mut self) -> Result<u8> {
        self.array().map(u8::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u128(&mut self) -> Result<u128> {
        self.array().map(u128::from_le_bytes)
    }

    pub(super) fn f64(&mut self) -> Result<f64> {
        self.array().map(f64::from_le_bytes)
    }

    /// Nothing may be left.
    pub(super) fn end(self) -> Result<()> {
        if self.0.is_empty() { Ok(()) } else { Err(misfit()) }
    }

    /// All that is left, as floats.
    pub(super) fn f32s(&mut self) -> Vec<f32> {
        let (words, _) = std::mem::take(&mut self.0).as_chunks::<4>();
        words.iter().map(|&w| f32::from_le_bytes(w)).collect()
    }
}

/// The checksum is right and the length is not: it is a file that no version of this program wrote.
pub(super) fn misfit() -> Error {
    Error::Compute("saved results do not fit what was asked: remove their file, and have it made again".into())
}
