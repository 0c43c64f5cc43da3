//! NVIDIA GPUs: the same bytes as on the CPU, decoded where they are used.
//!
//! [`Batch`] is everything about a call that needs no GPU: which kernels are launched, on what. It is there
//! with the feature `kernels`, so that a machine without a GPU can test the kernels, which is what
//! `tests/kernels` does. The kernels themselves are in `kernels/`, with a page on each.

mod batch;
mod launch;

pub use batch::{Batch, Encoded, Part};
pub use launch::{GpuSize, Launch};

use crate::codec::device::{header, launch::Kernel};

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
