//! The encoder with 16 lanes a vector: the same words as the scalar one.
#![allow(unsafe_code)]
pub(super) fn is_available() -> bool { false }
pub(super) use super::encode::scalar as steps;
