//! What encoding a checkpoint would save, from a sample.

use super::original::{Original, OriginalTensor};
use crate::Effort;
use crate::backend::Backend;
use crate::codec::encode::{Input, encode};
use crate::error::Result;
use std::path::Path;

/// Bytes of each tensor that are encoded to see what it shrinks to.
const SAMPLE: usize = 1 << 20;

/// Estimates the encoded size of a safetensors file at the default effort, in bytes: the first rows of
/// every tensor are encoded, up to 1 MiB.
///
/// # Errors
/// As [`encode`](super::encode), but for what writing may meet.
pub fn estimate(path: &Path) -> Result<u64> {
    let original = Original::open(path)?;
    let backend = Backend::detect()?;
    let payloads: f64 = original
        .tensors()
        .iter()
        .map(|t| of_tensor(backend, &original, t))
        .sum();
    Ok(payloads as u64 + original.header().len() as u64)
}

/// Encoded bytes of a tensor, from its first rows.
pub(super) fn of_tensor(backend: Backend, original: &Original, tensor: &OriginalTensor) -> f64 {
    let (data, spec) = (original.data(tensor), &tensor.spec);
    let row = spec.shape.first().map_or(data.len(), |&rows| data.len() / rows.max(1));
    let rows = (SAMPLE / row.max(1)).max(1);
    if row == 0 || rows * row >= data.len() || spec.dtype.bits() < 8 {
        return if data.len() <= SAMPLE {
            size(backend, spec.dtype, &spec.shape, data)
        } else {
            data.len() as f64
        };
    }
    let mut shape = spec.shape.clone();
    shape[0] = rows;
    let part = &data[..rows * row];
    size(backend, spec.dtype, &shape, part) * data.len() as f64 / part.len() as f64
}

fn size(backend: Backend, dtype: crate::DType, shape: &[usize], data: &[u8]) -> f64 {
    let input = Input {
        dtype,
        shape,
        data,
        backend,
        used: &|_| (),
    };
    encode(input, Effort::Default).len() as f64
}
