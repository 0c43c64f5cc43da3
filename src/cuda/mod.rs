//! NVIDIA GPUs: the same bytes as on the CPU, decoded where they are used.
//!
//! [`CudaDecoder`] decodes many tensors in one call, on a stream and into buffers of the caller's; Candle's tensors
//! are made of that by [`crate::candle`]. [`Batch`] is everything about a call that needs no GPU: which kernels
//! are launched, on what. It is there with the feature `kernels`, so that a machine without a GPU can test the
//! kernels, which is what `tests/kernels` does. The kernels themselves are in `kernels/`, with a page on each.

mod batch;
#[cfg(feature = "cuda")]
mod decoder;
mod launch;
mod part;
#[cfg(feature = "cuda")]
mod problem;
mod profile;
#[cfg(any(feature = "cuda", test))]
mod ptx;
#[cfg(feature = "cuda")]
mod staging;
#[cfg(feature = "cuda")]
mod stream;

pub use batch::Batch;
#[cfg(feature = "cuda")]
pub use decoder::{CudaDecoder, Pending, is_available};
pub use launch::{GpuSize, Launch};
pub use part::{Cover, Edge, Encoded, Part};
#[cfg(all(feature = "cuda", feature = "candle"))]
pub(crate) use problem::when;
pub use profile::Profile;

use crate::codec::device::{header, launch::Kernel};

/// The bindings to CUDA that Candle uses too.
#[cfg(feature = "cuda")]
pub use candle_core::cuda::cudarc;

/// `kernels/format.h`: the format's numbers as C definitions.
#[must_use]
pub fn format_header() -> String {
    header::text()
}

/// The kernels: name, the file in `kernels/` that has it, and what is defined (`NAME=VALUE ...`) when that is
/// compiled.
pub fn kernels() -> impl Iterator<Item = (String, &'static str, String)> {
    Kernel::all().map(|kernel| {
        let (file, definitions) = kernel.source();
        (kernel.name(), file, definitions)
    })
}
