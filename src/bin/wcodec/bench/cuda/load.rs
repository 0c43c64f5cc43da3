//! Files in the system's cache to tensors on the GPU.

use crate::failure::Failure;
use candle_core::{DType, Device};
use candle_nn::VarBuilder;
use std::path::Path;
use std::time::Instant;
use wcodec::candle::{GpuDecode, LoadOptions, SafetensorsBackend, WcodecBackend};
use wcodec::{Decoder, Progress};

/// Seconds of loading all tensors. Empty where Candle cannot: it turns not every type into every other on a GPU.
pub(super) struct Load {
    /// Encoded bytes are uploaded and decoded there.
    pub(super) on_gpu: Vec<f64>,
    /// Decoded here, then uploaded.
    pub(super) on_cpu: Vec<f64>,
    /// Candle's load of the safetensors file.
    pub(super) safetensors: Vec<f64>,
}

/// Loads the files in turns, as BF16.
pub(super) fn measure(
    encoded: &Path,
    original: &Path,
    decoder: &Decoder,
    runs: usize,
    progress: &dyn Progress,
) -> Result<Load, Failure> {
    let names: Vec<String> = decoder.tensors().map(|t| t.info().name().to_owned()).collect();
    let device = Device::new_cuda(0).map_err(wcodec::Error::from)?;
    let wcodec = |gpu| {
        let begun = Instant::now();
        let options = LoadOptions::default().check(false).gpu(gpu);
        let backend = WcodecBackend::open(&[encoded], options)?;
        load(begun, &backend.var_builder(DType::BF16, &device), &names)
    };
    let safetensors = || {
        let begun = Instant::now();
        let backend = SafetensorsBackend::open(&[original])?;
        load(begun, &backend.var_builder(DType::BF16, &device), &names)
    };
    let ways: [&dyn Fn() -> Result<f64, Failure>; 3] = [
        &|| wcodec(GpuDecode::Always),
        &|| wcodec(GpuDecode::Never),
        &safetensors,
    ];
    let mut seconds = [const { Vec::new() }; 3];
    let mut works = [true; 3];
    // The first round warms up: it takes pinned memory, and has the system read the files.
    for run in 0..=runs {
        for (way, load) in ways.iter().enumerate().filter(|_| !progress.cancelled()) {
            match load() {
                _ if !works[way] => {}
                Ok(time) if run > 0 => seconds[way].push(time),
                Ok(_) => {}
                Err(failure) => {
                    failure.report(false);
                    works[way] = false;
                }
            }
        }
    }
    let [on_gpu, on_cpu, safetensors] = seconds;
    Ok(Load {
        on_gpu,
        on_cpu,
        safetensors,
    })
}

/// Seconds until every tensor is there; all are kept until then.
fn load(begun: Instant, vb: &VarBuilder<'_>, names: &[String]) -> Result<f64, Failure> {
    let get = |name: &String| vb.get_unchecked(name).map_err(wcodec::Error::from);
    let tensors = names.iter().map(get).collect::<Result<Vec<_>, _>>()?;
    vb.device().synchronize().map_err(wcodec::Error::from)?;
    let seconds = begun.elapsed().as_secs_f64();
    drop(tensors);
    Ok(seconds)
}
