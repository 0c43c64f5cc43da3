//! Many tensors, batch by batch: while one is decoded, the next one is uploaded and the one after that is read.

use super::decoder::{CudaDecoder, Flight};
use super::{Batch, Part};
use crate::error::{Error, GpuProblem, Result};
use crate::progress::Progress;
use candle_core::cuda::cudarc::driver::{CudaStream, CudaViewMut, DevicePtrMut};
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

/// Encoded bytes of a batch, about: some milliseconds of the bus.
const BATCH_BYTES: u64 = 64 << 20;
/// Batches under way at once: one is read, one uploaded, one decoded.
const IN_FLIGHT: usize = 3;

impl CudaDecoder {
    /// Decodes parts of tensors, or all of them, each into its buffer, and waits for the end. `progress` is told of
    /// decoded bytes.
    ///
    /// # Errors
    /// As [`CudaDecoder::decode`] and [`Pending::wait`](super::Pending::wait); [`Error::Cancelled`].
    pub fn decode_all(
        self: &Arc<Self>,
        stream: &Arc<CudaStream>,
        mut jobs: Vec<(Part<'_>, CudaViewMut<'_, u8>)>,
        progress: &dyn Progress,
    ) -> Result<()> {
        self.check_jobs(stream, &jobs)?;
        let mut parts = Vec::new();
        for (part, output) in &mut jobs {
            // No event is wanted for the end of the writing: it is waited for here.
            let (address, _) = output.device_ptr_mut(stream);
            parts.extend(cut(part).into_iter().map(|(part, offset)| (part, address + offset)));
        }
        let mut flights: VecDeque<(Flight<'_>, u64, String)> = VecDeque::new();
        let mut parts = parts.into_iter().peekable();
        let land = |(flight, bytes, name): (Flight<'_>, u64, String)| -> Result<()> {
            flight.finish()?;
            progress.advance(bytes, &name);
            Ok(())
        };
        while parts.peek().is_some() {
            if progress.cancelled() {
                return Err(Error::Cancelled);
            }
            let (mut batch, mut outputs, mut encoded) = (Vec::new(), Vec::new(), 0);
            while let Some((part, output)) =
                parts.next_if(|(part, _)| encoded == 0 || encoded + part.encoded_len() <= BATCH_BYTES)
            {
                encoded += part.encoded_len().max(1);
                outputs.push(output);
                batch.push(part);
            }
            let bytes = batch.iter().map(Part::byte_len).sum();
            let name = batch.last().map(|part| part.name().to_owned()).unwrap_or_default();
            if flights.len() == IN_FLIGHT {
                flights.pop_front().map_or(Ok(()), land)?;
            }
            let flight = loop {
                match self.enqueue(stream, Batch::new(batch.clone(), self.size())?, &outputs) {
                    // What those under way hold is enough, one after the other.
                    Err(Error::Gpu {
                        problem: GpuProblem::OutOfMemory,
                        ..
                    }) if !flights.is_empty() => {
                        flights.pop_front().map_or(Ok(()), land)?;
                    }
                    enqueued => break enqueued?,
                }
            };
            flights.push_back((flight, bytes, name));
        }
        flights.into_iter().try_for_each(land)
    }
}

/// A part in smaller ones that fit a batch, each with the offset of its first byte.
fn cut<'d>(part: &Part<'d>) -> Vec<(Part<'d>, u64)> {
    let Range { start, end } = part.chunks;
    let count = part.encoded_len().div_ceil(BATCH_BYTES).clamp(1, (end - start).max(1));
    let per = (end - start).div_ceil(count).max(1);
    let starts = (start..end).step_by(per as usize);
    starts.map(|first| part.sub(first..end.min(first + per))).collect()
}
