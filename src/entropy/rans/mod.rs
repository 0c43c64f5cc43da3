//! Range asymmetric numeral systems, 32 lanes interleaved.
//!
//! 32 states of 32 bits, each kept in `2^16..2^32` by moving 16-bit words. Symbol `i` belongs to
//! lane `i % 32`; 32 consecutive symbols are one *step*, in which every lane decodes one symbol and
//! then, in lane order, every lane whose state fell below `2^16` takes the next word. That order
//! makes a refill one population count and one expansion for a vector, or one ballot for a warp.
//!
//! The encoder starts each lane at `2^16 + seed`, the decoder ends there: the high half of every
//! final state must be 1, which checks the whole run, and the low half gives 64 bytes of payload
//! back (the seeds), which halves the cost of starting a chunk.
//!
//! Source: Jarek Duda, "Asymmetric numeral systems" (arXiv:1311.2540); interleaving after Fabian
//! Giesen, "Interleaved entropy coders" (arXiv:1402.3392).

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod avx512_search;
#[cfg(feature = "encode")]
mod encode;
#[cfg(all(feature = "encode", target_arch = "x86_64"))]
mod encode_avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
#[cfg(any(test, target_arch = "aarch64"))]
mod portable;
mod scalar;
pub(crate) mod serial;
#[cfg(test)]
mod tests;
mod vector;

#[cfg(feature = "encode")]
pub(crate) use encode::encode;

use super::DecodeTables;
use crate::backend::Backend;

/// Interleaved states of one stream.
pub(crate) const LANES: usize = 32;
/// States stay at or above this between steps.
pub(crate) const STATE_LOW: u32 = 1 << 16;
/// Bytes of the states at the head of a stream.
pub(crate) const STATES_BYTES: usize = LANES * 4;
/// Words are followed by zeros up to a multiple of this many bytes.
pub(crate) const WORDS_ALIGNMENT: usize = 16;
/// Sixteen bits for each lane that the decoder gets back at the end of the run.
pub(crate) type Seeds = [u16; LANES];
/// Bytes that a step takes at most: one word a lane.
const STEP_BYTES: usize = LANES * 2;
/// Streams decoded side by side, to hide the latency of finding symbols. Multiples of 4 are best.
pub(crate) const MAX_IN_FLIGHT: usize = 8;

/// One stream being decoded: states, and the bytes that its words come from.
#[derive(Clone, Debug)]
pub(crate) struct Stream<'a> {
    states: [u32; LANES],
    /// Words, and whatever follows them: a decoder may look ahead, never past this slice.
    bytes: &'a [u8],
    /// Bytes taken so far.
    position: usize,
    /// A word was wanted where no byte was left. Sticky; `finish` reports it.
    overrun: bool,
}

impl<'a> Stream<'a> {
    /// Starts on `bytes`: 128 bytes of states, then words, then anything. `None` if the states are
    /// cut off.
    pub(crate) fn new(bytes: &'a [u8]) -> Option<Self> {
        let (head, rest) = bytes.split_at_checked(STATES_BYTES)?;
        let mut states = [0u32; LANES];
        for (state, b) in states.iter_mut().zip(head.chunks_exact(4)) {
            *state = u32::from_le_bytes([b[0], b[1], b[2], b[3]]);
        }
        Some(Self {
            states,
            bytes: rest,
            position: 0,
            overrun: false,
        })
    }

    /// Ends the run: `words_len` is what the words take in the file, padded to 16 bytes. Gives the seeds.
    ///
    /// # Errors
    /// A sentence, if the words did not end where they should or a lane is not back at its start.
    pub(crate) fn finish(&self, words_len: usize) -> Result<Seeds, &'static str> {
        if self.overrun || self.position.next_multiple_of(WORDS_ALIGNMENT) != words_len {
            return Err("the entropy-coded words do not end where the chunk says");
        }
        if self.states.iter().any(|s| s >> 16 != 1) {
            return Err("an entropy coder lane does not end at its start state");
        }
        Ok(self.states.map(|s| s as u16))
    }

    /// The next word; past the end it is 0.
    #[inline]
    fn peek(&self) -> u32 {
        let word = self.bytes.get(self.position..self.position + 2);
        word.map_or(0, |b| u32::from(u16::from_le_bytes([b[0], b[1]])))
    }

    /// Takes the next word if it is wanted. Past the end, the stream is marked instead.
    #[inline]
    fn take(&mut self, wanted: bool) {
        let there = self.position + 2 <= self.bytes.len();
        self.position += 2 * usize::from(wanted & there);
        self.overrun |= wanted & !there;
    }

    /// Steps that cannot run out of bytes, whatever the states.
    #[inline]
    fn safe_steps(&self) -> usize {
        (self.bytes.len() - self.position) / STEP_BYTES
    }
}

/// Symbols to decode from one stream.
pub(crate) struct Run<'r, 's> {
    pub(crate) stream: &'r mut Stream<'s>,
    /// One a symbol, or empty: all 0.
    pub(crate) contexts: &'r [u8],
    pub(crate) symbols: &'r mut [u8],
    /// Bytes to be used after the run: vector decoders get them into the cache meanwhile.
    pub(crate) ahead: &'r [u8],
}

/// Decodes the next symbols of up to [`MAX_IN_FLIGHT`] streams, all runs of one length.
///
/// # Panics
/// If runs differ in length, a length is not a multiple of 32, or some have contexts and some not; if there are
/// none for signed tables.
pub(crate) fn decode(backend: Backend, tables: &DecodeTables, runs: &mut [Run]) {
    let Some(first) = runs.first() else { return };
    let len = first.symbols.len();
    let with_contexts = !first.contexts.is_empty();
    assert!(len.is_multiple_of(LANES) && runs.len() <= MAX_IN_FLIGHT);
    assert!(with_contexts || len == 0 || !tables.is_signed());
    if len == 0 {
        return;
    }
    for run in runs.iter() {
        assert!(run.symbols.len() == len);
        assert!(run.contexts.len() == if with_contexts { len } else { 0 });
    }
    match backend {
        Backend::Scalar => runs.iter_mut().for_each(|run| scalar::decode(tables, run, 0)),
        #[cfg(target_arch = "x86_64")]
        Backend::Avx2 => avx2::decode(tables, runs),
        #[cfg(target_arch = "x86_64")]
        Backend::Avx512 => {
            // A search is many short steps: it takes four streams in flight to be faster than looking up.
            let searches = tables.search().is_some() && avx512_search::is_available();
            let (search, look_up) = runs.split_at_mut(if searches { runs.len() / 4 * 4 } else { 0 });
            avx512_search::decode(tables, search);
            avx512::decode(tables, look_up);
        }
        #[cfg(target_arch = "aarch64")]
        Backend::Neon => neon::decode(tables, runs),
    }
}
