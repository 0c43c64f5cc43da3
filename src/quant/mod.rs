//! Quantisation: a weight is an integer level times the step of its row and the step of its column.

mod dequantise;
#[cfg(feature = "eval")]
pub(crate) mod factor;
#[cfg(feature = "eval")]
pub(crate) mod feedback;
#[cfg(feature = "encode")]
mod levels;
#[cfg(feature = "encode")]
pub(crate) mod nearest;
#[cfg(feature = "eval")]
mod panels;
#[cfg(feature = "eval")]
pub(crate) mod rates;
mod steps;

pub(crate) use dequantise::{Float, dequantise, weights};
#[cfg(feature = "encode")]
pub(crate) use levels::Levels;
pub(crate) use steps::Steps;

/// Levels are above minus this, and below it.
pub(crate) const LEVEL_LIMIT: i16 = 1 << 14;
