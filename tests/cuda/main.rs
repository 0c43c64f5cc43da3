//! The kernels on a GPU of this machine: what `tests/kernels` runs on the CPU, and what only a GPU has.
//!
//! ```text
//! cargo test --release --features cuda --test cuda
//! ```
//!
//! Where there is no GPU, tests say aloud that they are skipped; with `WCODEC_NEEDS_GPU` set they fail.

mod candle;
#[path = "../kernels/damage.rs"]
mod damage;
#[path = "../kernels/files.rs"]
mod files;
mod gpu;
#[path = "../kernels/random.rs"]
mod random;
mod stream;
#[path = "../support/mod.rs"]
mod support;
