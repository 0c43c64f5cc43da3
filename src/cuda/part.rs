//! Tensors and parts of them, to be put into batches.
#![allow(unsafe_code)]

use crate::Tensor;
use crate::codec::Plan;
use crate::error::{Error, Result};
use std::ops::Range;
use std::sync::Arc;

/// A tensor with its head read: chunks of it can be put into batches.
#[derive(Clone, Debug)]
pub struct Encoded<'d> {
    pub(super) tensor: Tensor<'d>,
    plan: Arc<Plan>,
}

impl<'d> Encoded<'d> {
    /// Reads a tensor's head.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Corrupt`], [`Error::Unsupported`].
    pub fn new(tensor: Tensor<'d>) -> Result<Self> {
        let plan = Arc::new(tensor.head()?);
        Ok(Self { tensor, plan })
    }

    /// Of a head that has been read before.
    #[cfg(feature = "cuda")]
    pub(crate) fn with_plan(tensor: Tensor<'d>, plan: Arc<Plan>) -> Self {
        Self { tensor, plan }
    }

    /// The head.
    #[cfg(feature = "cuda")]
    pub(crate) fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// The tensor.
    pub fn tensor(&self) -> Tensor<'d> {
        self.tensor
    }

    /// How many chunks it has.
    pub fn chunks(&self) -> u64 {
        self.plan.chunks()
    }

    /// Encoded bytes of some chunks.
    pub fn encoded_len(&self, chunks: Range<u64>) -> u64 {
        let range = Tensor::encoded_range(&self.plan, chunks);
        range.end - range.start
    }

    /// Reads the encoded bytes of all chunks into `to`, and checks their checksums.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Corrupt`]; [`Error::Usage`] if `to` is not `encoded_len(0..chunks())` long.
    pub fn read(&self, to: &mut [u8]) -> Result<()> {
        let (got, want) = (to.len(), self.encoded_len(0..self.chunks()));
        if got as u64 != want {
            let name = self.tensor.info().name();
            let what = format!("the chunks of tensor {name:?} take a buffer of {want} bytes, not {got}");
            return Err(Error::usage(what));
        }
        self.tensor.read_encoded(&self.plan, 0..self.chunks(), to)
    }

    /// Decodes, on the CPU, what [`Encoded::read`] gives.
    #[cfg(feature = "cuda")]
    pub(crate) fn decode_on_cpu(&self, from: &[u8], out: &mut [u8]) -> Result<()> {
        self.tensor.decode_encoded(&self.plan, from, out)
    }

    /// Bytes that a chunk decodes to, the last one perhaps fewer.
    pub fn chunk_bytes(&self) -> u64 {
        self.plan.chunk_bytes() as u64
    }

    /// The chunks that hold a range of the decoded bytes.
    ///
    /// # Panics
    /// If the tensor has no such bytes.
    pub fn cover(&self, bytes: Range<u64>) -> Cover {
        let (size, total) = (self.chunk_bytes(), self.tensor.info().byte_len());
        assert!(bytes.start <= bytes.end && bytes.end <= total, "no such bytes");
        if bytes.is_empty() {
            return Cover::default();
        }
        let mut cover = Cover {
            whole: bytes.start / size..bytes.end.div_ceil(size),
            ..Cover::default()
        };
        let edge = |chunk: u64| {
            let all = chunk * size..total.min((chunk + 1) * size);
            let of = all.start.max(bytes.start)..all.end.min(bytes.end);
            (of != all).then(|| Edge {
                chunk,
                bytes: of.start - all.start..of.end - all.start,
                at: of.start - bytes.start,
            })
        };
        if let Some(first) = edge(cover.whole.start) {
            cover.whole.start += 1;
            cover.edges.push(first);
        }
        if !cover.whole.is_empty()
            && let Some(last) = edge(cover.whole.end - 1)
        {
            cover.whole.end -= 1;
            cover.edges.push(last);
        }
        if cover.whole.is_empty() {
            cover.whole = 0..0;
        } else {
            cover.whole_at = cover.whole.start * size - bytes.start;
        }
        cover
    }

    /// Some of its chunks, or all: `0..chunks()`.
    ///
    /// # Panics
    /// If it has no such chunks.
    pub fn part(&self, chunks: Range<u64>) -> Part<'d> {
        assert!(
            chunks.start <= chunks.end && chunks.end <= self.chunks(),
            "no such chunks"
        );
        Part {
            encoded: self.clone(),
            chunks,
            resident: None,
        }
    }
}

/// The chunks that hold a range of a tensor's bytes.
#[derive(Clone, Debug, Default)]
pub struct Cover {
    /// Those that hold nothing else.
    pub whole: Range<u64>,
    /// Where the first of them belongs in the range.
    pub whole_at: u64,
    /// The others, two at most.
    pub edges: Vec<Edge>,
}

/// A chunk that holds other bytes too.
#[derive(Clone, Debug)]
pub struct Edge {
    /// Which one.
    pub chunk: u64,
    /// Those of its bytes that are wanted.
    pub bytes: Range<u64>,
    /// Where they belong in the range.
    pub at: u64,
}

/// Consecutive chunks of a tensor.
#[derive(Clone, Debug)]
pub struct Part<'d> {
    pub(super) encoded: Encoded<'d>,
    pub(super) chunks: Range<u64>,
    /// Where the GPU has its encoded bytes already.
    pub(super) resident: Option<u64>,
}

impl Part<'_> {
    pub(super) fn plan(&self) -> &Plan {
        &self.encoded.plan
    }

    /// Some of its chunks, counted as the tensor's, and where their first byte is among this part's.
    #[cfg(feature = "cuda")]
    pub(super) fn sub(&self, chunks: Range<u64>) -> (Self, u64) {
        let start = |chunks: Range<u64>| Tensor::encoded_range(self.plan(), chunks).start;
        let before = start(chunks.clone()) - start(self.chunks.clone());
        let at = (chunks.start - self.chunks.start) * self.encoded.chunk_bytes();
        let sub = Self {
            encoded: self.encoded.clone(),
            resident: self.resident.map(|address| address + before),
            chunks,
        };
        (sub, at)
    }

    /// Bytes that it decodes to.
    pub fn byte_len(&self) -> u64 {
        let size = self.encoded.chunk_bytes();
        let end = (self.chunks.end * size).min(self.encoded.tensor.info().byte_len());
        end.saturating_sub(self.chunks.start * size)
    }

    /// The same, its encoded bytes (as [`Encoded::read`] gives them) being at an address of the GPU already, a
    /// multiple of 16. Their checksums are not checked again; whatever they are, kernels stay within them.
    ///
    /// # Safety
    /// They are there, all [`Part::encoded_len`] of them, until the part has been decoded.
    pub unsafe fn resident(mut self, address: u64) -> Self {
        self.resident = Some(address);
        self
    }

    /// The tensor's name.
    pub fn name(&self) -> &str {
        self.encoded.tensor.info().name()
    }

    /// Encoded bytes.
    pub fn encoded_len(&self) -> u64 {
        self.encoded.encoded_len(self.chunks.clone())
    }
}
