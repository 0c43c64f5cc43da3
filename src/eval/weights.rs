//! Weights from files of either kind.

use crate::candle::{LoadOptions, SafetensorsBackend, WcodecBackend, shards};
use crate::error::display;
use crate::{Error, Result};
use candle_core::{DType, Device};
use candle_nn::VarBuilder;
use std::path::Path;

/// A `VarBuilder` over a `.wcodec` or safetensors file, a shard index of either, or a folder with
/// files of one of the two kinds.
pub(crate) fn open(path: &Path, dtype: DType, options: LoadOptions) -> Result<VarBuilder<'static>> {
    let is_safetensors = if path.is_dir() {
        let has = |extension| shards(path, extension).is_ok();
        match (has("wcodec"), has("safetensors")) {
            (true, true) => {
                let what = "the folder has .wcodec and .safetensors files: name one of them, or its shard index";
                return Err(Error::input(display(path), what));
            }
            (false, false) => {
                let what = "the folder has no .wcodec and no .safetensors file";
                return Err(Error::input(display(path), what));
            }
            (_, safetensors) => safetensors,
        }
    } else {
        let name = path.to_string_lossy();
        name.ends_with(".safetensors") || name.ends_with(".safetensors.index.json")
    };
    if !is_safetensors {
        return Ok(WcodecBackend::open(&[path], options)?.var_builder(dtype, &Device::Cpu));
    }
    Ok(SafetensorsBackend::open(&[path])?.var_builder(dtype, &Device::Cpu))
}
