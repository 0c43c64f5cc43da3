//! Weights from files of either kind.

use super::files::ModelFiles;
use crate::candle::{LoadOptions, SafetensorsBackend, WcodecBackend};
use crate::{Error, Result};
use candle_core::{DType, Device};
use candle_nn::VarBuilder;
use std::collections::HashSet;

/// A `VarBuilder` over a model's weights.
///
/// # Errors
/// [`Error::Input`] if they are quantised, with scales or without: read as numbers they would be another model's.
pub(crate) fn open(
    files: &ModelFiles,
    dtype: DType,
    device: &Device,
    options: LoadOptions,
) -> Result<VarBuilder<'static>> {
    not_quantised(files)?;
    if files.is_encoded() {
        return Ok(WcodecBackend::open(&files.weights, options)?.var_builder(dtype, device));
    }
    Ok(SafetensorsBackend::open(&files.weights)?.var_builder(dtype, device))
}

/// What stands beside a weight whose numbers mean something with it only.
const SCALES: [&str; 2] = ["_scale", "_scale_inv"];

/// Types whose numbers are the weights.
const PLAIN: [&str; 4] = ["F64", "F32", "F16", "BF16"];

fn not_quantised(files: &ModelFiles) -> Result<()> {
    let tensors = files.tensors()?;
    let names: HashSet<&str> = tensors.iter().map(|t| t.name.as_str()).collect();
    let of_model = |name: &str| ["model.", "lm_head."].iter().any(|part| name.starts_with(part));
    for tensor in tensors
        .iter()
        .filter(|t| of_model(&t.name) && t.name.ends_with(".weight"))
    {
        let scale = SCALES.map(|end| format!("{}{end}", tensor.name));
        let scale = scale.iter().find(|scale| names.contains(scale.as_str()));
        let what = match scale {
            Some(scale) => format!("has its scale in {scale:?}"),
            None if PLAIN.contains(&tensor.dtype.as_str()) => continue,
            None => format!("is of the type {}", tensor.dtype),
        };
        let what = format!(
            "tensor {:?} {what}: quantised weights cannot be computed; convert the model to BF16 or F32",
            tensor.name
        );
        return Err(Error::input(&files.name, what));
    }
    Ok(())
}
