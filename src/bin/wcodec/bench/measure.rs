//! The measurements.

use crate::failure::Failure;
use crate::memory;
use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use wcodec::{Backend, DecodeOptions, Decoder, Effort, EncodeOptions, Progress, checkpoint};

/// A configuration is not run again when its runs have taken so long.
const ENOUGH: Duration = Duration::from_secs(30);
/// What buffers hold before each run, so that nothing is right by chance.
const POISON: u8 = 0xa5;
/// Bytes that a thread copies at once.
const COPY_PART: usize = 1 << 20;

/// Times of one effort.
pub(super) struct EncodeTimes {
    pub(super) effort: Effort,
    pub(super) encoded: u64,
    pub(super) seconds: Vec<f64>,
    pub(super) memory: Option<u64>,
}

/// Times of one backend with one number of threads, each with a plain copy's beside it.
pub(super) struct DecodeTimes {
    pub(super) backend: Backend,
    pub(super) threads: usize,
    pub(super) seconds: Vec<f64>,
    pub(super) copy: Vec<f64>,
    pub(super) memory: Option<u64>,
}

/// The middle one; of an even number the mean of both.
pub(crate) fn median(seconds: &[f64]) -> f64 {
    let mut sorted = seconds.to_vec();
    sorted.sort_by(f64::total_cmp);
    let n = sorted.len();
    if n == 0 {
        0.0
    } else {
        (sorted[(n - 1) / 2] + sorted[n / 2]) / 2.0
    }
}

pub(super) fn pool(threads: usize) -> Result<ThreadPool, Failure> {
    let pool = ThreadPoolBuilder::new().num_threads(threads).build();
    pool.map_err(|e| Failure::usage(format!("cannot start {threads} threads: {e}")))
}

/// Runs until there are enough, and says how long each took.
fn repeat(runs: usize, progress: &dyn Progress, mut run: impl FnMut() -> Result<(), Failure>) -> Result<(), Failure> {
    let begun = Instant::now();
    for n in 0..runs {
        if progress.cancelled() {
            return Err(wcodec::Error::Cancelled.into());
        }
        if n > 0 && begun.elapsed() > ENOUGH {
            break;
        }
        run()?;
    }
    Ok(())
}

/// Encodes a file again and again; the last result stays at `to`.
pub(super) fn encode(
    input: &Path,
    to: &Path,
    effort: Effort,
    (pool, runs): (&ThreadPool, usize),
    progress: &dyn Progress,
) -> Result<EncodeTimes, Failure> {
    let options = EncodeOptions::lossless().effort(effort);
    let mut times = EncodeTimes {
        effort,
        encoded: 0,
        seconds: Vec::new(),
        memory: None,
    };
    repeat(runs, progress, || {
        let timed = || {
            let begun = Instant::now();
            let reports = pool.install(|| checkpoint::encode(input, to, &options, &()));
            (reports, begun.elapsed().as_secs_f64())
        };
        let ((reports, seconds), memory) = memory::peak(timed);
        times.encoded = reports?.iter().map(|r| r.encoded).sum();
        times.seconds.push(seconds);
        times.memory = times.memory.max(memory);
        Ok(())
    })?;
    Ok(times)
}

/// An encoded file in memory, what it must decode to, and room for that.
pub(super) struct Decoding<'a> {
    pub(super) encoded: Arc<[u8]>,
    pub(super) original: &'a [u8],
    pub(super) buffer: Vec<u8>,
}

impl Decoding<'_> {
    /// Decodes all tensors into the buffer again and again, in turns with a plain copy into it.
    pub(super) fn measure(
        &mut self,
        backend: Backend,
        (pool, runs): (&ThreadPool, usize),
        progress: &dyn Progress,
    ) -> Result<DecodeTimes, Failure> {
        let threads = pool.current_num_threads();
        let decoder = open(&self.encoded, backend)?;
        let (mut seconds, mut copy) = (Vec::new(), Vec::new());
        // Not timed: it warms caches up, and shows what memory is taken besides the buffer.
        self.buffer.fill(POISON);
        let (result, memory) = memory::peak(|| pool.install(|| decode_all(&decoder, &mut self.buffer)));
        result?;
        self.compare(backend, threads)?;
        repeat(runs, progress, || {
            self.buffer.fill(POISON);
            let begun = Instant::now();
            let result = pool.install(|| decode_all(&decoder, &mut self.buffer));
            seconds.push(begun.elapsed().as_secs_f64());
            result?;
            self.compare(backend, threads)?;
            self.buffer.fill(POISON);
            let begun = Instant::now();
            pool.install(|| copy_all(self.original, &mut self.buffer));
            copy.push(begun.elapsed().as_secs_f64());
            Ok(())
        })?;
        Ok(DecodeTimes {
            backend,
            threads,
            seconds,
            copy,
            memory,
        })
    }

    fn compare(&self, backend: Backend, threads: usize) -> Result<(), Failure> {
        if self.buffer == self.original {
            return Ok(());
        }
        let at = self
            .buffer
            .iter()
            .zip(self.original)
            .position(|(a, b)| a != b)
            .unwrap_or(0);
        let what = format!("decoded with {backend} and {threads} threads, byte {at} of the data differs");
        Err(Failure::new("differs", what))
    }
}

/// Opens a file that is in memory.
pub(super) fn open(encoded: &Arc<[u8]>, backend: Backend) -> Result<Decoder, wcodec::Error> {
    let options = DecodeOptions::default().backend(backend);
    Decoder::from_bytes_with(encoded.clone(), "encoded file in memory", options)
}

/// Decodes all tensors, one after the other in `out`; tensors and their chunks side by side.
fn decode_all(decoder: &Decoder, out: &mut [u8]) -> Result<(), wcodec::Error> {
    let mut rest = out;
    let mut jobs = Vec::new();
    for tensor in decoder.tensors() {
        let (now, later) = std::mem::take(&mut rest).split_at_mut(tensor.info().byte_len() as usize);
        jobs.push((tensor, now));
        rest = later;
    }
    jobs.into_par_iter()
        .try_for_each(|(tensor, out)| tensor.decode_into(out))
}

fn copy_all(from: &[u8], to: &mut [u8]) {
    if rayon::current_num_threads() == 1 {
        to.copy_from_slice(from);
    } else {
        let parts = to.par_chunks_mut(COPY_PART).zip(from.par_chunks(COPY_PART));
        parts.for_each(|(to, from)| to.copy_from_slice(from));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0]), 2.5);
        assert_eq!(median(&[]), 0.0);
    }
}
