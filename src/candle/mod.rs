//! Candle: `VarBuilder`s over `.wcodec` files.
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use candle_core::{DType, Device};
//!
//! let vb = wcodec::candle::var_builder(&["model.wcodec"], DType::BF16, &Device::Cpu)?;
//! // Any Candle model takes it from here: `Llama::load(vb, &config)?`
//! # Ok(()) }
//! ```
//!
//! Tensors are plain Candle tensors with exactly the bits of the original checkpoint, decoded straight
//! into their storage, on all cores, a few ahead of what the model asks for. The files' checksums are
//! checked before the first tensor is handed out.
//!
//! Files are mapped, and must not be truncated while they are in use: until the last clone of the
//! `VarBuilder` or backend is gone, and tensors that were being decoded ahead then are done (some
//! milliseconds). `LoadOptions::map(false)` reads them instead.
//!
//! # Before a model panics
//!
//! Some Candle models (`llama::Llama::load` is one) unwrap what the `VarBuilder` returns. Checksums
//! are checked when it is made; names and shapes can be, by [`WcodecBackend::require`]. What can show
//! only while the model is built, as damage of a file that still arrives, comes back as an error from
//! [`WcodecBackend::build`]:
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use candle_core::{DType, Device};
//! use wcodec::candle::{LoadOptions, WcodecBackend, model_tensors};
//!
//! let weights = WcodecBackend::open(&["model.wcodec"], LoadOptions::default())?;
//! weights.require(&model_tensors(&std::fs::read("config.json")?)?)?;
//! # type Model = candle_nn::Linear;
//! # let load = |vb| candle_nn::linear(1, 1, vb);
//! let model: Model = weights.build(DType::BF16, &Device::Cpu, |vb| load(vb))?;
//! # Ok(()) }
//! ```
//!
//! # GPUs
//!
//! With the feature `cuda`, a `VarBuilder` on a `Device::Cuda` uploads the encoded bytes and decodes them there,
//! into the storage of its tensors, several tensors at a time; [`LoadOptions::gpu`] says what happens where the
//! GPU cannot. On other devices than the CPU and NVIDIA's GPUs tensors are decoded on the CPU and copied.
//!
//! # Element types
//!
//! | stored | in Candle |
//! |---|---|
//! | BF16, F16, F32, F64, F8_E4M3, U8, U32, I16, I32, I64 | the same |
//! | F4, F6_E2M3, F6_E3M2, F8_E8M0 | the same: Candle stores them and computes nothing with them |
//! | BOOL | U8: the same bytes, 0 or 1 in a valid file |
//! | U16 | U32: the same numbers, as Candle's own safetensors backend does |
//! | I8 | I16: the same numbers |
//! | F8_E5M2 | F16: the same numbers |
//! | U64, C64, F8_E4M3FNUZ, F8_E5M2FNUZ | [`WcodecBackend::raw_tensor`] only |
//!
//! Then `to_dtype` takes it to the `VarBuilder`'s type, as with Candle's own backends.

mod backend;
mod build;
mod convert;
#[cfg(feature = "cuda")]
mod cuda;
mod error;
mod expected;
#[cfg(feature = "hub")]
mod hub;
mod memory;
#[cfg(feature = "cuda")]
mod op;
mod options;
mod prefetch;
#[cfg(feature = "safetensors")]
mod safetensors;
mod sharded;
mod shards;

pub use backend::WcodecBackend;
pub use error::wcodec_error;
pub use expected::{ExpectedTensor, model_tensors};
#[cfg(feature = "hub")]
pub use hub::HubLoad;
#[cfg(feature = "cuda")]
pub use op::DecodeOp;
pub use options::{GpuDecode, LoadOptions};
#[cfg(feature = "safetensors")]
pub use safetensors::SafetensorsBackend;
pub use sharded::{ShardedBackend, ShardedVarBuilder};
#[cfg(feature = "eval")]
pub(crate) use shards::shards;

use crate::{Decoder, Result};
use candle_core::{DType, Device};
use candle_nn::VarBuilder;
use std::path::Path;

/// A `VarBuilder` over one checkpoint: a file, its shards, a `.wcodec.index.json`, or the folder that
/// holds them. Tensors come as `dtype`, on `device`. For options and checks of shapes see [`WcodecBackend`].
///
/// # Errors
/// As [`WcodecBackend::open`].
pub fn var_builder<P: AsRef<Path>>(paths: &[P], dtype: DType, device: &Device) -> Result<VarBuilder<'static>> {
    Ok(WcodecBackend::open(paths, LoadOptions::default())?.var_builder(dtype, device))
}

/// As [`var_builder`], over files that are in memory.
///
/// # Errors
/// As [`WcodecBackend::open`].
pub fn var_builder_from_bytes<B: AsRef<[u8]> + Send + Sync + 'static>(
    shards: impl IntoIterator<Item = B>,
    dtype: DType,
    device: &Device,
) -> Result<VarBuilder<'static>> {
    Ok(WcodecBackend::from_bytes(shards, LoadOptions::default())?.var_builder(dtype, device))
}

/// As [`var_builder`], over open files.
///
/// # Errors
/// As [`WcodecBackend::open`].
pub fn var_builder_from_decoders(decoders: Vec<Decoder>, dtype: DType, device: &Device) -> Result<VarBuilder<'static>> {
    Ok(WcodecBackend::from_decoders(decoders, LoadOptions::default())?.var_builder(dtype, device))
}

/// A `VarBuilder` that hands out parts of tensors, for tensor parallelism: what
/// `candle_nn::var_builder::ShardedSafeTensors` is to safetensors files.
///
/// # Errors
/// As [`WcodecBackend::open`].
pub fn sharded_var_builder<P: AsRef<Path>>(paths: &[P], dtype: DType, device: &Device) -> Result<ShardedVarBuilder> {
    Ok(WcodecBackend::open(paths, LoadOptions::default())?.sharded_var_builder(dtype, device))
}
