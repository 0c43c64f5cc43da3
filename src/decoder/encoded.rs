//! The encoded chunks of a tensor, for decoders that work elsewhere than in this process's memory.

use super::Tensor;
use crate::codec::{Plan, Problem};
use crate::error::{Error, Result, Section};
use crate::format::CHUNK_ALIGNMENT;
use std::ops::Range;

impl Tensor<'_> {
    /// Its head, parsed and checked.
    pub(crate) fn head(&self) -> Result<Plan> {
        let source = self.gather(0..self.info.head_len(), Section::Head)?;
        let plan = self.plan(&*source)?;
        plan.check_lengths().map_err(|p| self.error(p, Some(&plan)))?;
        Ok(plan)
    }

    /// The range of some chunks in the payload, each filled up to a multiple of 16 bytes.
    pub(crate) fn encoded_range(plan: &Plan, chunks: Range<u64>) -> Range<u64> {
        if chunks.is_empty() {
            return 0..0;
        }
        let end = plan.range(chunks.end - 1).end;
        plan.range(chunks.start).start..end.next_multiple_of(CHUNK_ALIGNMENT)
    }

    /// Reads some chunks, all of their `encoded_range`, and checks their checksums, on all cores if the
    /// `parallel` feature is on. What fills chunks up is 0.
    pub(crate) fn read_encoded(&self, plan: &Plan, chunks: Range<u64>, to: &mut [u8]) -> Result<()> {
        let range = Self::encoded_range(plan, chunks.clone());
        let source = self.gather(range.start..range.end.min(self.info.encoded_len()), Section::Chunk)?;
        let mut rest = to;
        let jobs: Vec<(u64, &mut [u8])> = chunks
            .map(|chunk| {
                let range = Self::encoded_range(plan, chunk..chunk + 1);
                let (now, later) = std::mem::take(&mut rest).split_at_mut((range.end - range.start) as usize);
                rest = later;
                (chunk, now)
            })
            .collect();
        let one = |(chunk, to): (u64, &mut [u8])| -> Result<()> {
            let range = plan.range(chunk);
            let (bytes, filling) = to.split_at_mut((range.end - range.start) as usize);
            let at = self.at(Section::Chunk).chunk(chunk);
            source
                .read_at(self.info.offset() + range.start, bytes)
                .map_err(Error::io(format!("reading {at}")))?;
            filling.fill(0);
            plan.check_chunk(chunk, bytes).map_err(|p| self.error(p, Some(plan)))
        };
        #[cfg(feature = "parallel")]
        {
            use rayon::prelude::*;
            jobs.into_par_iter().try_for_each(one)
        }
        #[cfg(not(feature = "parallel"))]
        jobs.into_iter().try_for_each(one)
    }

    /// Decodes all chunks from their encoded bytes, as `read_encoded` gives them.
    #[cfg(feature = "cuda")]
    pub(crate) fn decode_encoded(&self, plan: &Plan, from: &[u8], out: &mut [u8]) -> Result<()> {
        use crate::codec::ChunkJob;
        use rayon::prelude::*;
        let all = Self::encoded_range(plan, 0..plan.chunks());
        if from.len() as u64 != all.end - all.start || out.len() as u64 != self.info.byte_len() {
            let name = self.info.name();
            return Err(Error::usage(format!("not the encoded bytes of tensor {name:?}")));
        }
        let mut jobs: Vec<ChunkJob<'_>> = (0..)
            .zip(out.chunks_mut(plan.chunk_bytes()))
            .map(|(index, out)| {
                let range = plan.range(index);
                let bytes = &from[(range.start - all.start) as usize..(range.end - all.start) as usize];
                ChunkJob { index, bytes, out }
            })
            .collect();
        jobs.par_chunks_mut(plan.in_flight()).try_for_each(|jobs| {
            plan.decode(self.decoder.backend, jobs)
                .map_err(|problem| self.error(problem, Some(plan)))
        })
    }

    /// The error of a chunk that a decoder elsewhere has a problem with.
    pub(crate) fn chunk_error(&self, plan: &Plan, chunk: u64, what: &str) -> Error {
        self.error(Problem::Chunk(chunk, what.into()), Some(plan))
    }
}
