//! Loading into Candle tensors: from the original and from the encoded file, from a warm and a cold cache.

use crate::failure::Failure;
use crate::memory;
use candle_core::{DType, Device};
use candle_nn::VarBuilder;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;
use wcodec::candle::{LoadOptions, SafetensorsBackend, WcodecBackend};
use wcodec::model::{CausalModel, ModelConfig, Tree};
use wcodec::{DecodeOptions, Progress};

/// Loads of one format from one state of the cache.
pub(super) struct Loads {
    pub(super) format: &'static str,
    pub(super) cold: bool,
    pub(super) seconds: Vec<f64>,
    /// Most that was taken at a time.
    pub(super) memory: Option<u64>,
    /// Bytes that came from the disk, of the run that had its cache least as it should be: of cold ones the
    /// fewest, of warm ones the most.
    pub(super) from_disk: Option<u64>,
}

impl Loads {
    /// Adds what a run has read from the disk.
    fn add_read(&mut self, bytes: Option<u64>) {
        self.from_disk = match (self.from_disk, bytes) {
            (Some(a), Some(b)) if self.cold => Some(a.min(b)),
            (a, b) => a.max(b),
        };
    }
}

/// A checkpoint in both formats.
pub(super) struct Pair<'a> {
    pub(super) original: &'a [PathBuf],
    pub(super) encoded: &'a [PathBuf],
    /// Names and types of all tensors.
    pub(super) tensors: Vec<(String, DType)>,
}

/// Names as the formats' users know them.
pub(super) const SAFETENSORS: &str = "safetensors";
pub(super) const WCODEC: &str = ".wcodec";
/// Tokens of a first pass.
const FIRST_PASS: u32 = 16;

impl Pair<'_> {
    fn builder(&self, encoded: bool, dtype: DType, decode: DecodeOptions) -> Result<VarBuilder<'static>, Failure> {
        if encoded {
            let backend = WcodecBackend::open(self.encoded, LoadOptions::default().decode(decode))?;
            return Ok(backend.var_builder(dtype, &Device::Cpu));
        }
        Ok(SafetensorsBackend::open(self.original)?.var_builder(dtype, &Device::Cpu))
    }

    /// Loads every tensor in its own type, `runs` times in turns.
    pub(super) fn measure(
        &self,
        runs: usize,
        decode: DecodeOptions,
        progress: &dyn Progress,
    ) -> Result<Vec<Loads>, Failure> {
        let mut all = Vec::new();
        for cold in [false, true] {
            for (format, encoded) in [(SAFETENSORS, false), (WCODEC, true)] {
                all.push((
                    encoded,
                    Loads {
                        format,
                        cold,
                        seconds: Vec::new(),
                        memory: None,
                        from_disk: None,
                    },
                ));
            }
        }
        // Once before, so that the warm cache is.
        for path in self.original.iter().chain(self.encoded) {
            fs::read(path).map_err(Failure::io(format!("reading {}", path.display())))?;
        }
        // All of the warm ones first: a cold run empties the cache.
        for cold in [false, true] {
            for _ in 0..runs {
                for (encoded, loads) in all.iter_mut().filter(|(_, l)| l.cold == cold) {
                    if progress.cancelled() {
                        return Err(wcodec::Error::Cancelled.into());
                    }
                    let files = if *encoded { self.encoded } else { self.original };
                    if cold && !files.iter().all(|f| forget(f)) {
                        continue;
                    }
                    let before = from_disk();
                    let (result, memory) = memory::peak(|| {
                        let begun = Instant::now();
                        let vb = self.builder(*encoded, DType::F32, decode)?;
                        let get = |(name, dtype): &(String, DType)| vb.get_unchecked_dtype(name, *dtype);
                        let tensors = self.tensors.iter().map(get).collect::<Result<Vec<_>, _>>();
                        let seconds = begun.elapsed().as_secs_f64();
                        tensors
                            .map(|_| seconds)
                            .map_err(|e| Failure::new("model", format!("Candle: {e}")))
                    });
                    loads.seconds.push(result?);
                    loads.memory = loads.memory.max(memory);
                    let read = from_disk()
                        .zip(before)
                        .map(|(after, before)| after.saturating_sub(before));
                    loads.add_read(read);
                }
            }
        }
        Ok(all
            .into_iter()
            .map(|(_, loads)| loads)
            .filter(|l| !l.seconds.is_empty())
            .collect())
    }

    /// Seconds from the original's files to the logits after a few tokens, in F32: what a model takes before
    /// it says anything.
    pub(super) fn warm_up(&self, config: &Path, decode: DecodeOptions) -> Result<f64, Failure> {
        let json = fs::read(config).map_err(Failure::io(format!("reading {}", config.display())))?;
        let config = ModelConfig::parse(&json, &config.display().to_string())?;
        let begun = Instant::now();
        let failed = |e: candle_core::Error| Failure::new("model", format!("Candle: {e}"));
        let model = CausalModel::load(config, self.builder(false, DType::F32, decode)?).map_err(failed)?;
        let most = model.config().vocab_size().min(model.config().max_positions()) as u32;
        let tokens = Tree::sequence((0..FIRST_PASS.min(most)).collect());
        let states = model.states(&[tokens]).map_err(failed)?;
        model.logits(&states).map_err(failed)?;
        Ok(begun.elapsed().as_secs_f64())
    }
}

/// Has the system drop a file from its cache. Whether it did is seen by what comes from the disk then.
#[cfg(target_os = "linux")]
fn forget(path: &Path) -> bool {
    let Ok(file) = fs::File::open(path) else {
        return false;
    };
    // What is not written yet cannot be dropped.
    file.sync_all().is_ok() && rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).is_ok()
}

#[cfg(not(target_os = "linux"))]
fn forget(_: &Path) -> bool {
    false
}

/// Bytes that this process has had read from disks so far.
fn from_disk() -> Option<u64> {
    let text = fs::read_to_string("/proc/self/io").ok()?;
    text.lines()
        .find_map(|line| line.strip_prefix("read_bytes: "))?
        .parse()
        .ok()
}

/// Candle's type of the same numbers; `None` for types that it does not load.
pub(super) fn candle_type(dtype: wcodec::DType) -> Option<DType> {
    Some(match dtype {
        wcodec::DType::BF16 => DType::BF16,
        wcodec::DType::F16 => DType::F16,
        wcodec::DType::F32 => DType::F32,
        wcodec::DType::F64 => DType::F64,
        wcodec::DType::F8_E4M3 => DType::F8E4M3,
        wcodec::DType::U8 => DType::U8,
        wcodec::DType::U32 => DType::U32,
        wcodec::DType::I64 => DType::I64,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_run_from_memory_is_enough_to_be_not_cold() {
        for (cold, expected) in [(true, 3), (false, 90)] {
            let mut loads = Loads {
                format: WCODEC,
                cold,
                seconds: Vec::new(),
                memory: None,
                from_disk: None,
            };
            [90, 3, 80].into_iter().for_each(|bytes| loads.add_read(Some(bytes)));
            assert_eq!(loads.from_disk, Some(expected));
        }
    }
}
