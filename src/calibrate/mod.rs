//! Calibration: what a model's weights are worth, measured on a text, and a file made by it.
//!
//! Two things are measured for every linear layer of the blocks, by a forward and a backward pass of
//! [`model`](crate::model)'s own: the Hessian of its inputs (the mean of `x x'`), by which errors are fed back
//! from column to column; and the mean squared gradient of the loss at each of its outputs, by which rows and
//! layers share the bits. The expected loss of a file is then `sum_r s_r e_r H e_r' / 2` over all rows, with `s` the
//! squared gradients and `e` the errors of the weights; and steps are chosen so that the last bit of every
//! row and column buys the same part of it.
//!
//! Statistics are gathered layer by layer and kept in a folder: a run that is stopped goes on where it
//! was, and another rate asks nothing of the model again. They come from matrix products in floating point, whose
//! last bits depend on the CPU, not on the number of threads; what is made of them does not depend on either.

mod encode;
mod ends;
mod expected;
mod finite;
mod forward;
mod gradients;
mod hessians;
mod memory;
mod pass;
mod quantiser;
mod store;
mod texts;

pub use encode::{Calibration, encode};
pub(crate) use encode::{Statistics, takes};
pub(crate) use expected::check as check_shapes;
pub(crate) use store::BESIDE;
pub(crate) use texts::text_tokens;
