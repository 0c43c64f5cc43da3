//! wcodec
#![deny(unsafe_code)]
mod bits;
mod backend;
#[cfg(feature = "encode")]
mod cost;
mod dtype;
mod error;
mod limits;
mod simd;
pub mod format;
mod plane;
mod predict;
mod transform;
mod entropy;
mod codec;
mod container;
mod decoder;
#[cfg(feature = "encode")]
mod encoder;
mod progress;
#[cfg(feature = "safetensors")]
pub mod checkpoint;

pub use backend::{BACKEND_VARIABLE, Backend};
#[cfg(feature = "encode")]
pub use codec::encode::Effort;
pub use container::{FileSource, Source};
pub use decoder::{DecodeOptions, Decoder, Tensor};
pub use dtype::DType;
#[cfg(feature = "encode")]
pub use encoder::{EncodeOptions, Encoder, Report, TensorReport, TensorSpec};
pub use error::{Error, Location, Result, Section};
pub use limits::Limits;
pub use progress::Progress;
