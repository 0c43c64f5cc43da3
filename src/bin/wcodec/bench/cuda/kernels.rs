//! The kernels by the GPU's own clock, from its memory to its memory.

use super::{FileReport, gpu_failure};
use crate::failure::Failure;
use std::path::PathBuf;
use std::sync::Arc;
use wcodec::cuda::cudarc::driver::sys::CUevent_flags::CU_EVENT_DEFAULT;
use wcodec::cuda::cudarc::driver::{CudaContext, CudaSlice, CudaStream};
use wcodec::cuda::{CudaDecoder, Encoded, Pending};
use wcodec::{Decoder, Progress};

/// Not more copies of a small file's tensors than this, nor more calls in a round.
const MOST_COPIES: u64 = 256;
const MOST_CALLS: u64 = 1024;
/// A plain copy goes over as many bytes at most: its speed is the same beyond.
const COPY_BYTES: u64 = 2 << 30;
/// Calls of a round whose processors are watched.
const PROFILED: usize = 16;

pub(super) struct Gpu {
    context: Arc<CudaContext>,
    stream: Arc<CudaStream>,
    pub(super) decoder: Arc<CudaDecoder>,
}

/// What rounds of calls took.
pub(super) struct Rates {
    pub(super) calls: usize,
    /// Decoded bytes of a round, and bytes that were copied for comparison.
    pub(super) bytes: u64,
    pub(super) copied: u64,
    pub(super) seconds: Vec<f64>,
    pub(super) copy_seconds: Vec<f64>,
    /// Share of the time of a call in which a processor was decoding.
    pub(super) busy: f64,
    /// Chunks of a call.
    pub(super) chunks: usize,
}

impl Gpu {
    pub(super) fn first() -> Result<Self, Failure> {
        let context = CudaContext::new(0).map_err(gpu_failure)?;
        Ok(Self {
            stream: context.default_stream(),
            decoder: CudaDecoder::of(&context)?,
            context,
        })
    }

    pub(super) fn name(&self) -> Result<String, Failure> {
        self.context.name().map_err(gpu_failure)
    }

    fn room(&self, len: u64) -> Result<CudaSlice<u8>, Failure> {
        self.stream.alloc_zeros::<u8>(len as usize).map_err(gpu_failure)
    }

    /// Seconds between two events around some work.
    fn time(&self, work: impl FnOnce() -> Result<(), Failure>) -> Result<f64, Failure> {
        let mark = || self.stream.record_event(Some(CU_EVENT_DEFAULT)).map_err(gpu_failure);
        let begin = mark()?;
        work()?;
        let end = mark()?;
        Ok(f64::from(begin.elapsed_ms(&end).map_err(gpu_failure)?) / 1e3)
    }
}

/// Measures decoding of all tensors of a file: in a call each, and in one call.
pub(super) fn measure(
    gpu: &Gpu,
    decoder: &Decoder,
    (runs, round): (usize, u64),
    progress: &dyn Progress,
) -> Result<FileReport, Failure> {
    let tensors = decoder.tensors().filter(|t| t.info().byte_len() > 0);
    let tensors = tensors
        .map(|t| Ok((Encoded::new(t)?, t.decode()?)))
        .collect::<Result<Vec<_>, wcodec::Error>>()?;
    let largest = tensors.iter().max_by_key(|t| t.1.len());
    let Some((largest, _)) = largest else {
        return Err(Failure::usage("there is nothing to decode in it"));
    };
    let info = largest.tensor().info();
    let (dtype, recipe) = (info.dtype().name().to_owned(), info.recipe_text().to_owned());
    let data: u64 = tensors.iter().map(|t| t.1.len() as u64).sum();
    let weights = tensors
        .iter()
        .map(|(t, bytes)| 8 * bytes.len() as u64 / t.tensor().info().dtype().bits() as u64);
    let most = MOST_COPIES.min(MOST_CALLS / tensors.len() as u64).max(1);
    let copies = (round / data).clamp(1, most) as usize;
    let all: Vec<usize> = (0..copies).flat_map(|_| 0..tensors.len()).collect();
    let one_each: Vec<Vec<usize>> = all.iter().map(|&i| vec![i]).collect();
    let alone = rounds(gpu, &tensors, &one_each, runs, progress)?;
    gpu.decoder.release_memory();
    let together = rounds(gpu, &tensors, &[all], runs, progress)?;
    Ok(FileReport {
        file: PathBuf::new(),
        dtype,
        recipe,
        tensors: tensors.len(),
        weights: weights.sum(),
        data,
        encoded: 0,
        alone,
        together,
        load: None,
    })
}

/// Times rounds of calls, each of which decodes some of the tensors, in turns with copies of as many bytes. No two
/// calls of a round share memory, so that no cache holds what they read.
fn rounds(
    gpu: &Gpu,
    tensors: &[(Encoded<'_>, Vec<u8>)],
    calls: &[Vec<usize>],
    runs: usize,
    progress: &dyn Progress,
) -> Result<Rates, Failure> {
    let len = |i: &usize| tensors[*i].1.len() as u64;
    let bytes: u64 = calls.iter().flatten().map(len).sum();
    let copied = bytes.min(COPY_BYTES);
    let mut outputs: Vec<Vec<CudaSlice<u8>>> = calls
        .iter()
        .map(|call| call.iter().map(|i| gpu.room(len(i))).collect())
        .collect::<Result<_, _>>()?;
    let (from, mut to) = (gpu.room(copied)?, gpu.room(copied)?);
    let mut pending: Vec<Pending<'_, '_>> = Vec::new();
    for (call, outputs) in calls.iter().zip(&mut outputs) {
        let parts = call.iter().map(|&i| tensors[i].0.part(0..tensors[i].0.chunks()));
        let jobs = parts.zip(outputs.iter_mut().map(CudaSlice::as_view_mut)).collect();
        pending.push(gpu.decoder.decode(&gpu.stream, jobs)?);
    }
    let (mut seconds, mut copy_seconds) = (Vec::new(), Vec::new());
    // The first round warms up.
    for run in 0..=runs {
        if progress.cancelled() {
            return Err(wcodec::Error::Cancelled.into());
        }
        let decode = gpu.time(|| Ok(pending.iter_mut().try_for_each(Pending::again)?))?;
        let copy = gpu.time(|| {
            let mut at = 0;
            for len in calls.iter().flatten().map(len) {
                let range = at as usize..copied.min(at + len) as usize;
                let (from, mut to) = (from.slice(range.clone()), to.slice_mut(range.clone()));
                gpu.stream.memcpy_dtod(&from, &mut to).map_err(gpu_failure)?;
                at = range.end as u64;
                if at == copied {
                    break;
                }
            }
            Ok(())
        })?;
        if run > 0 {
            seconds.push(decode);
            copy_seconds.push(copy);
        }
    }
    let watched = pending.iter_mut().take(PROFILED).map(Pending::profile);
    let profiles = watched.collect::<Result<Vec<_>, _>>()?;
    pending.into_iter().try_for_each(Pending::wait)?;
    for (i, output) in calls.iter().flatten().zip(outputs.iter().flatten()) {
        if gpu.stream.clone_dtoh(output).map_err(gpu_failure)? != tensors[*i].1 {
            let name = tensors[*i].0.tensor().info().name();
            let what = format!("what the GPU decoded of tensor {name:?} differs from what the CPU decodes");
            return Err(Failure::new("differs", what));
        }
    }
    let time: f64 = profiles.iter().map(|p| p.seconds()).sum();
    let worked: f64 = profiles.iter().map(|p| p.seconds() * p.busy()).sum();
    Ok(Rates {
        calls: calls.len(),
        bytes,
        copied,
        seconds,
        copy_seconds,
        busy: if time > 0.0 { worked / time } else { 0.0 },
        chunks: profiles.iter().map(|p| p.chunks()).max().unwrap_or(0),
    })
}
