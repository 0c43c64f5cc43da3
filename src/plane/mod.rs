//! Splitting elements into planes, and joining them again.
//!
//! A float splits into a *token* (the top bits of its magnitude, entropy coded) and *raw bits* (sign
//! and low mantissa bits, stored as they are). An integer splits into its bytes.

pub(crate) mod float;
pub(crate) mod hybrid;
pub(crate) mod narrow;
pub(crate) mod raw;
