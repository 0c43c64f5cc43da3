#![doc = include_str!("../README.md")]
#![deny(unsafe_code)]
#[cfg(feature = "encode")]
pub mod analysis;
mod backend;
mod bits;
#[cfg(feature = "eval")]
pub mod calibrate;
#[cfg(feature = "candle")]
pub mod candle;
#[cfg(feature = "safetensors")]
pub mod checkpoint;
mod codec;
mod container;
mod context;
#[cfg(feature = "encode")]
mod cost;
#[cfg(feature = "kernels")]
pub mod cuda;
mod decoder;
mod dtype;
#[cfg(feature = "encode")]
mod encoder;
mod entropy;
mod error;
#[cfg(feature = "eval")]
pub mod eval;
pub mod format;
#[cfg(feature = "hub")]
pub mod hub;
mod limits;
#[cfg(feature = "eval")]
pub mod model;
mod plane;
mod predict;
mod progress;
// Whole checkpoints are quantised, not single tensors.
#[cfg_attr(not(feature = "safetensors"), allow(dead_code))]
mod quant;
#[cfg(feature = "eval")]
pub mod rate_control;
#[cfg(any(feature = "safetensors", feature = "candle"))]
mod shards;
mod simd;
#[cfg(feature = "encode")]
mod spread;
mod transform;

pub use backend::{BACKEND_VARIABLE, Backend};
#[cfg(feature = "encode")]
pub use codec::encode::Effort;
pub use container::{FileSource, Source};
pub use decoder::{DecodeOptions, Decoder, Tensor};
pub use dtype::DType;
#[cfg(feature = "encode")]
pub use encoder::{EncodeOptions, Encoder, Report, TensorReport, TensorSpec};
pub use error::{Error, GpuProblem, HubProblem, Location, Result, Section};
pub use limits::Limits;
pub use progress::Progress;
#[cfg(any(feature = "safetensors", feature = "candle"))]
pub use shards::shard_files;
