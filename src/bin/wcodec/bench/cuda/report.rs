//! What was measured on the GPU, for people and for programs.

use super::super::measure::median;
use super::FileReport;
use super::kernels::Rates;
use super::load::Load;
use crate::table::{Align, Table};
use serde_json::{Value, json};

pub(crate) struct CudaReport {
    pub(super) gpu: String,
    pub(super) driver: Option<String>,
    pub(super) files: Vec<FileReport>,
    /// Whether a file could not be measured.
    pub(super) failed: bool,
}

impl Rates {
    /// Decoded bytes a second.
    fn rate(&self) -> f64 {
        rate(self.bytes, &self.seconds)
    }

    fn copy_rate(&self) -> f64 {
        rate(self.copied, &self.copy_seconds)
    }

    fn json(&self) -> Value {
        json!({
            "calls": self.calls,
            "chunks_of_a_call": self.chunks,
            "bytes": self.bytes,
            "seconds": self.seconds,
            "bytes_per_second": self.rate(),
            "copy_bytes": self.copied,
            "copy_seconds": self.copy_seconds,
            "copy_bytes_per_second": self.copy_rate(),
            "share_of_copy": self.rate() / self.copy_rate(),
            "processors_busy": self.busy,
        })
    }

    fn cells(&self) -> [String; 3] {
        [
            gigabytes(self.rate()),
            format!("{:.0}%", 100.0 * self.rate() / self.copy_rate()),
            format!("{:.0}%", 100.0 * self.busy),
        ]
    }
}

/// Bytes a second; 0 where nothing was measured.
fn rate(bytes: u64, seconds: &[f64]) -> f64 {
    let seconds = median(seconds);
    if seconds > 0.0 { bytes as f64 / seconds } else { 0.0 }
}

fn gigabytes(rate: f64) -> String {
    format!("{:.1}", rate / 1e9)
}

impl Load {
    fn json(&self, bytes: u64) -> Value {
        let one = |seconds: &Vec<f64>| json!({ "seconds": seconds, "bytes_per_second": rate(bytes, seconds) });
        json!({ "on_gpu": one(&self.on_gpu), "on_cpu": one(&self.on_cpu), "safetensors": one(&self.safetensors) })
    }
}

impl CudaReport {
    /// Whether a file could not be measured, which was said by then.
    pub(crate) fn failed(&self) -> bool {
        self.failed
    }

    pub(crate) fn json(&self) -> Value {
        let files = self.files.iter().map(|file| {
            json!({
                "file": file.file.to_string_lossy(),
                "dtype": file.dtype,
                "recipe": file.recipe,
                "tensors": file.tensors,
                "weights": file.weights,
                "data_bytes": file.data,
                "encoded_bytes": file.encoded,
                "bits_per_weight": 8.0 * file.encoded as f64 / file.weights as f64,
                "lossless": true,
                "alone": file.alone.json(),
                "together": file.together.json(),
                "load": file.load.as_ref().map(|load| load.json(file.data)),
            })
        });
        json!({
            "command": "bench",
            "device": "cuda",
            "gpu": self.gpu,
            "driver": self.driver,
            "files": files.collect::<Vec<_>>(),
        })
    }

    pub(crate) fn text(&self) -> String {
        use Align::{Left, Right};
        let mut kernels = Table::new(&[
            ("file", Left),
            ("weights", Right),
            ("bits", Right),
            ("alone", Right),
            ("of copy", Right),
            ("busy", Right),
            ("together", Right),
            ("of copy", Right),
            ("busy", Right),
            ("copy", Right),
        ]);
        let mut loads = Table::new(&[
            ("file", Left),
            ("decoded on the GPU", Right),
            ("on the CPU", Right),
            ("safetensors", Right),
        ]);
        for file in &self.files {
            let name = file.file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let bits = 8.0 * file.encoded as f64 / file.weights as f64;
            let before = [name.clone(), millions(file.weights), format!("{bits:.2}")];
            let copy = [gigabytes(file.together.copy_rate())];
            kernels.row(
                before
                    .into_iter()
                    .chain(file.alone.cells())
                    .chain(file.together.cells())
                    .chain(copy),
            );
            if let Some(load) = &file.load {
                let ways = [&load.on_gpu, &load.on_cpu, &load.safetensors];
                let cell = |seconds: &Vec<f64>| match seconds.is_empty() {
                    true => "-".to_owned(),
                    false => format!("{:.3} s", median(seconds)),
                };
                loads.row([name].into_iter().chain(ways.map(cell)));
            }
        }
        let driver = self.driver.as_deref().unwrap_or("unknown");
        let mut text = format!(
            "{}, driver {driver}; medians, in GB/s of decoded bytes; all bytes equal\n\
             alone: a call a tensor; together: all in one call; of copy: the share of a copy's speed, both in the\n\
             GPU's memory; busy: the share of a call's time in which a processor was decoding, over all of them\n\n{}",
            self.gpu,
            kernels.render(),
        );
        if self.files.iter().any(|file| file.load.is_some()) {
            text += &format!(
                "\nFile in the system's cache to all of its tensors on the GPU\n\n{}",
                loads.render()
            );
        }
        text
    }
}

/// Weights in the powers of two that tensors mostly are: 16Mi.
fn millions(weights: u64) -> String {
    match weights {
        0..0x10_0000 => weights.to_string(),
        _ => format!("{:.0}Mi", weights as f64 / f64::from(1 << 20)),
    }
}
