//! Many tensors, batch by batch: while one is decoded, the next one is uploaded and the one after that is read.

use super::decoder::{CudaDecoder, Flight};
use super::{Batch, Encoded, Part};
use crate::error::{Error, Result};
use crate::progress::Progress;
use candle_core::cuda::cudarc::driver::{CudaStream, CudaViewMut, DevicePtrMut};
use std::collections::VecDeque;
use std::sync::Arc;

/// Encoded bytes of a batch, about: some milliseconds of the bus.
const BATCH_BYTES: u64 = 64 << 20;
/// Batches under way at once: one is read, one uploaded, one decoded.
const IN_FLIGHT: usize = 3;

impl CudaDecoder {
    /// Decodes whole tensors, each into its buffer, and waits for the end. `progress` is told of decoded bytes.
    ///
    /// # Errors
    /// As [`CudaDecoder::decode`] and [`Pending::wait`](super::Pending::wait); [`Error::Cancelled`].
    pub fn decode_all(
        self: &Arc<Self>,
        stream: &Arc<CudaStream>,
        mut jobs: Vec<(Encoded<'_>, CudaViewMut<'_, u8>)>,
        progress: &dyn Progress,
    ) -> Result<()> {
        let mut parts = Vec::new();
        for (encoded, output) in &mut jobs {
            let (want, got) = (encoded.tensor().info().byte_len(), output.len() as u64);
            if want != got {
                let name = encoded.tensor().info().name();
                return Err(Error::usage(format!(
                    "tensor {name:?} takes a buffer of {want} bytes, not {got}"
                )));
            }
            let (address, written) = output.device_ptr_mut(stream);
            for (part, offset) in cut(encoded) {
                parts.push((part, address + offset));
            }
            drop(written);
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
            let flight = self.enqueue(stream, Batch::new(batch, self.size())?, &outputs)?;
            flights.push_back((flight, bytes, name));
        }
        flights.into_iter().try_for_each(land)
    }
}

/// A tensor in parts that fit a batch, each with the offset of its first byte.
fn cut<'d>(encoded: &Encoded<'d>) -> Vec<(Part<'d>, u64)> {
    let (chunks, bytes) = (encoded.chunks(), encoded.encoded_len(0..encoded.chunks()));
    let count = bytes.div_ceil(BATCH_BYTES).clamp(1, chunks.max(1));
    let per = chunks.div_ceil(count).max(1);
    let starts = (0..chunks).step_by(per as usize);
    starts
        .map(|start| {
            (
                encoded.part(start..chunks.min(start + per)),
                start * encoded.chunk_bytes(),
            )
        })
        .collect()
}
