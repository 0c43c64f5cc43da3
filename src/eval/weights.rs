//! Weights from files of either kind.

use super::files::ModelFiles;
use crate::Result;
use crate::candle::{LoadOptions, SafetensorsBackend, WcodecBackend};
use candle_core::{DType, Device};
use candle_nn::VarBuilder;

/// A `VarBuilder` over a model's weights.
pub(crate) fn open(
    files: &ModelFiles,
    dtype: DType,
    device: &Device,
    options: LoadOptions,
) -> Result<VarBuilder<'static>> {
    if files.is_encoded() {
        return Ok(WcodecBackend::open(&files.weights, options)?.var_builder(dtype, device));
    }
    Ok(SafetensorsBackend::open(&files.weights)?.var_builder(dtype, device))
}
