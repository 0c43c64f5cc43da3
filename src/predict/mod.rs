//! Prediction: what is expected of an element, from its row and column or its neighbours.

pub(crate) mod grid;
pub(crate) mod scale;
#[cfg(feature = "encode")]
pub(crate) mod scale_fit;
pub(crate) mod tile;
