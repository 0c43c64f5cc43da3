//! `wcodec bench --device cuda`.

use super::measure::{self, median};
use crate::failure::Failure;
use crate::output;
use crate::table::{Align, Table};
use candle_core::{DType, Device};
use candle_nn::VarBuilder;
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use wcodec::candle::{LoadOptions, SafetensorsBackend, WcodecBackend};
use wcodec::cuda::cudarc::driver::sys::CUevent_flags::CU_EVENT_DEFAULT;
use wcodec::cuda::cudarc::driver::{CudaContext, CudaSlice, CudaStream};
use wcodec::cuda::{CudaDecoder, Encoded, is_available};
use wcodec::{Backend, Decoder, GpuProblem, Progress, Tensor};

/// Output of one round at least: several times the second-level cache of any GPU.
const ROUND_BYTES: u64 = 512 << 20;
/// Not more copies of a small tensor than this.
const MOST_COPIES: u64 = 256;

/// What was measured on the GPU.
pub(super) struct CudaReport {
    gpu: String,
    driver: i32,
    data: u64,
    encoded: u64,
    copies: usize,
    rows: Vec<Row>,
}

/// Seconds of some work over some decoded bytes.
struct Row {
    what: &'static str,
    bytes: u64,
    seconds: Vec<f64>,
}

/// Measures decoding of all tensors of an encoded file in memory; `original` are their bytes. `encoded_file` and
/// `safetensors` are the same in files.
pub(super) fn run(
    encoded: &Arc<[u8]>,
    original: &[u8],
    (encoded_file, safetensors): (&Path, &Path),
    runs: usize,
    progress: &dyn Progress,
) -> Result<CudaReport, Failure> {
    if !is_available() {
        let what = "no NVIDIA GPU, or no driver for it, here".to_owned();
        let problem = GpuProblem::Missing;
        return Err(wcodec::Error::Gpu { problem, what }.into());
    }
    let context = CudaContext::new(0).map_err(gpu_failure)?;
    let stream = context.default_stream();
    let decoder = CudaDecoder::of(&context)?;
    let file = measure::open(encoded, Backend::Scalar)?;
    let (kernel, copy, copies) = kernels(&stream, &decoder, &file, original, runs)?;
    progress.advance(original.len() as u64, "decoded on the GPU");
    let data = original.len() as u64;
    let row = |what, seconds| Row {
        what,
        bytes: data,
        seconds,
    };
    let mut rows = vec![
        row("kernels, from GPU memory to GPU memory", kernel),
        row("copy of the decoded bytes, GPU memory to GPU memory", copy),
    ];
    decoder.release_memory();
    let names: Vec<String> = file.tensors().map(|t| t.info().name().to_owned()).collect();
    let load = || load_wcodec(encoded_file, &names);
    // Candle turns not every type into every other on a GPU: then there is no such row.
    let loaded = |what, times: Result<Vec<f64>, Failure>| match times {
        Ok(seconds) => row(what, seconds),
        Err(failure) => {
            failure.report(false);
            row(what, Vec::new())
        }
    };
    // Pinned memory comes before the first run that counts.
    let warm = load();
    rows.push(loaded(
        "file in the page cache to a VarBuilder's tensors",
        warm.and_then(|()| times(runs, load)),
    ));
    rows.push(loaded(
        "the safetensors file, likewise, by Candle",
        times(runs, || load_safetensors(safetensors, &names)),
    ));
    Ok(CudaReport {
        gpu: context.name().map_err(gpu_failure)?,
        driver: driver_version(),
        data,
        encoded: encoded.len() as u64,
        copies,
        rows,
    })
}

fn gpu_failure(error: wcodec::cuda::cudarc::driver::DriverError) -> Failure {
    Failure::new("gpu", format!("the GPU failed: {error:?}"))
}

/// The CUDA version that the driver speaks, as 12040 for 12.4; 0 if it does not say.
fn driver_version() -> i32 {
    let text = std::fs::read_to_string("/proc/driver/nvidia/version").unwrap_or_default();
    let number = text
        .split_whitespace()
        .find(|word| word.contains('.') && word.starts_with(char::is_numeric));
    number.and_then(|n| n.split('.').next()?.parse().ok()).unwrap_or(0)
}

fn times(runs: usize, mut work: impl FnMut() -> Result<(), Failure>) -> Result<Vec<f64>, Failure> {
    (0..runs)
        .map(|_| {
            let begun = Instant::now();
            work()?;
            Ok(begun.elapsed().as_secs_f64())
        })
        .collect()
}

/// Times of decoding all tensors and of copying as much, by the GPU's clock; and how many copies of them a round
/// goes through, so that no cache holds what is read.
fn kernels(
    stream: &Arc<CudaStream>,
    decoder: &Arc<CudaDecoder>,
    file: &Decoder,
    original: &[u8],
    runs: usize,
) -> Result<(Vec<f64>, Vec<f64>, usize), Failure> {
    let tensors: Vec<Tensor<'_>> = file.tensors().filter(|t| t.info().byte_len() > 0).collect();
    let bytes = original.len() as u64;
    let copies = (ROUND_BYTES / bytes.max(1)).clamp(1, MOST_COPIES) as usize;
    let new = |len: u64| stream.alloc_zeros::<u8>(len as usize).map_err(gpu_failure);
    let mut outputs: Vec<Vec<CudaSlice<u8>>> = (0..copies)
        .map(|_| tensors.iter().map(|t| new(t.info().byte_len())).collect())
        .collect::<Result<_, _>>()?;
    let (from, mut to) = (new(bytes * copies as u64)?, new(bytes * copies as u64)?);
    let mut pending = Vec::new();
    for outputs in &mut outputs {
        let jobs = tensors.iter().zip(outputs).map(|(tensor, output)| {
            let encoded = Encoded::new(*tensor)?;
            Ok((encoded.part(0..encoded.chunks()), output.as_view_mut()))
        });
        pending.push(decoder.decode(stream, jobs.collect::<Result<_, wcodec::Error>>()?)?);
    }
    let timed = |work: &mut dyn FnMut() -> Result<(), Failure>| -> Result<f64, Failure> {
        let begin = stream.record_event(Some(CU_EVENT_DEFAULT)).map_err(gpu_failure)?;
        work()?;
        let end = stream.record_event(Some(CU_EVENT_DEFAULT)).map_err(gpu_failure)?;
        Ok(f64::from(begin.elapsed_ms(&end).map_err(gpu_failure)?) / 1e3 / copies as f64)
    };
    let (mut decode, mut copy) = (Vec::new(), Vec::new());
    // The first round warms up.
    for run in 0..=runs {
        let seconds = timed(&mut || Ok(pending.iter_mut().try_for_each(|p| p.again())?))?;
        let as_copy = timed(&mut || {
            let size = bytes as usize;
            (0..copies).try_for_each(|k| {
                let (from, mut to) = (
                    from.slice(k * size..(k + 1) * size),
                    to.slice_mut(k * size..(k + 1) * size),
                );
                stream.memcpy_dtod(&from, &mut to).map_err(gpu_failure)
            })
        })?;
        if run > 0 {
            decode.push(seconds);
            copy.push(as_copy);
        }
    }
    pending.into_iter().try_for_each(|p| p.wait())?;
    for outputs in &outputs {
        let mut rest = original;
        for output in outputs {
            let got = stream.clone_dtoh(output).map_err(gpu_failure)?;
            let (expected, later) = rest.split_at(got.len());
            rest = later;
            if got != expected {
                return Err(Failure::new(
                    "differs",
                    "what the GPU decoded differs from the original",
                ));
            }
        }
    }
    Ok((decode, copy, copies))
}

fn load_wcodec(file: &Path, names: &[String]) -> Result<(), Failure> {
    let device = Device::new_cuda(0).map_err(wcodec::Error::from)?;
    let backend = WcodecBackend::open(&[file], LoadOptions::default().check(false))?;
    load(&backend.var_builder(DType::BF16, &device), names, &device)
}

fn load_safetensors(file: &Path, names: &[String]) -> Result<(), Failure> {
    let device = Device::new_cuda(0).map_err(wcodec::Error::from)?;
    load(
        &SafetensorsBackend::open(&[file])?.var_builder(DType::BF16, &device),
        names,
        &device,
    )
}

/// Asks for every tensor, keeps them all, and waits for the GPU.
fn load(vb: &VarBuilder<'_>, names: &[String], device: &Device) -> Result<(), Failure> {
    let get = |name: &String| vb.get_unchecked(name).map_err(wcodec::Error::from);
    let tensors = names.iter().map(get).collect::<Result<Vec<_>, _>>()?;
    device.synchronize().map_err(wcodec::Error::from)?;
    drop(tensors);
    Ok(())
}

impl CudaReport {
    pub(super) fn json(&self, file: &Path) -> Value {
        let rows = self.rows.iter().map(|row| {
            let seconds = median(&row.seconds);
            json!({
                "what": row.what,
                "seconds": row.seconds,
                "median_seconds": seconds,
                "bytes_per_second": if seconds > 0.0 { row.bytes as f64 / seconds } else { 0.0 },
            })
        });
        json!({
            "command": "bench",
            "device": "cuda",
            "gpu": self.gpu,
            "driver": self.driver,
            "file": file.to_string_lossy(),
            "data_bytes": self.data,
            "encoded_bytes": self.encoded,
            "copies": self.copies,
            "lossless": true,
            "share_of_copy": median(&self.rows[1].seconds) / median(&self.rows[0].seconds),
            "rows": rows.collect::<Vec<_>>(),
        })
    }

    pub(super) fn text(&self, file: &Path) -> String {
        use Align::{Left, Right};
        let mut table = Table::new(&[
            ("what", Left),
            ("milliseconds", Right),
            ("decoded bytes", Right),
            ("runs", Right),
        ]);
        for row in &self.rows {
            let seconds = median(&row.seconds);
            table.row([
                row.what.into(),
                format!("{:.3}", 1e3 * seconds),
                output::rate(row.bytes, seconds),
                row.seconds.len().to_string(),
            ]);
        }
        let share = 100.0 * median(&self.rows[1].seconds) / median(&self.rows[0].seconds);
        format!(
            "{}: {} of tensors in {}, on {} (driver {}); medians, all bytes equal\n\
             Kernels go round {} of the tensors, at {share:.0}% of the copy's speed\n\n{}",
            file.display(),
            output::bytes(self.data),
            output::bytes(self.encoded),
            self.gpu,
            self.driver,
            output::count(self.copies, "set"),
            table.render(),
        )
    }
}
