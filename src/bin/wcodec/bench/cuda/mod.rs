//! `wcodec bench --device cuda`.

mod kernels;
mod load;
mod report;

use crate::failure::Failure;
use kernels::{Gpu, Rates};
use load::Load;
pub(super) use report::CudaReport;
use std::path::{Path, PathBuf};
use wcodec::cuda::is_available;
use wcodec::{Decoder, Effort, EncodeOptions, GpuProblem, Progress, checkpoint};

/// What is to be measured.
pub(super) struct Plan<'a> {
    pub(super) files: &'a [PathBuf],
    /// Of files that are not encoded yet.
    pub(super) effort: Effort,
    pub(super) runs: usize,
    /// Decoded bytes of a round at least.
    pub(super) round: u64,
    /// Whether to measure loading too.
    pub(super) load: bool,
    /// A folder for files that are only measured.
    pub(super) scratch: &'a Path,
}

/// What was measured of a file.
struct FileReport {
    file: PathBuf,
    dtype: String,
    recipe: String,
    tensors: usize,
    weights: u64,
    data: u64,
    encoded: u64,
    /// A call a tensor, and one call for all.
    alone: Rates,
    together: Rates,
    load: Option<Load>,
}

impl Plan<'_> {
    /// Measures file by file; one that fails is reported, and the others are measured all the same.
    pub(super) fn run(&self, progress: &dyn Progress) -> Result<CudaReport, Failure> {
        if !is_available() {
            let what = "no NVIDIA GPU, or no driver for it, here".to_owned();
            let problem = GpuProblem::Missing;
            return Err(wcodec::Error::Gpu { problem, what }.into());
        }
        let gpu = Gpu::first()?;
        // Asked while it works.
        let name = gpu.name()?;
        progress.start(self.files.iter().map(|file| size(file)).sum());
        let (mut files, mut failed) = (Vec::new(), false);
        for file in self.files {
            match self.file(&gpu, file, progress) {
                Ok(measured) => files.push(measured),
                Err(failure) if self.files.len() == 1 => return Err(failure),
                Err(failure) => {
                    eprintln!("{}:", file.display());
                    failure.report(false);
                    failed = true;
                }
            }
            gpu.decoder.release_memory();
            progress.advance(size(file), &file.to_string_lossy());
            // What was measured until then is worth to be said.
            if progress.cancelled() {
                break;
            }
        }
        Ok(CudaReport {
            gpu: name,
            driver: driver(),
            files,
            failed,
        })
    }

    fn file(&self, gpu: &Gpu, file: &Path, progress: &dyn Progress) -> Result<FileReport, Failure> {
        let is_encoded = file.extension().is_some_and(|e| e == "wcodec");
        let (encoded, original) = (
            self.scratch.join("encoded.wcodec"),
            self.scratch.join("original.safetensors"),
        );
        let encoded = if is_encoded {
            file
        } else {
            checkpoint::encode(file, &encoded, &EncodeOptions::lossless().effort(self.effort), &())?;
            &encoded
        };
        let decoder = Decoder::open(encoded)?;
        let mut report = kernels::measure(gpu, &decoder, (self.runs, self.round), progress)?;
        report.file = file.to_owned();
        report.encoded = size(encoded);
        gpu.decoder.release_memory();
        if self.load {
            let original = if is_encoded {
                checkpoint::decode(encoded, &original, wcodec::DecodeOptions::default(), &())?;
                &original
            } else {
                file
            };
            report.load = Some(load::measure(encoded, original, &decoder, self.runs, progress)?);
        }
        Ok(report)
    }
}

/// Bytes of a file, as far as it has any.
fn size(file: &Path) -> u64 {
    std::fs::metadata(file).map_or(0, |metadata| metadata.len())
}

/// The driver's version, if it says.
fn driver() -> Option<String> {
    let text = std::fs::read_to_string("/proc/driver/nvidia/version").ok()?;
    let mut words = text.split_whitespace();
    let number = words.find(|word| word.contains('.') && word.starts_with(|c: char| c.is_ascii_digit()));
    number.map(str::to_owned)
}

fn gpu_failure(error: wcodec::cuda::cudarc::driver::DriverError) -> Failure {
    Failure::new("gpu", format!("the GPU failed: {error:?}"))
}
