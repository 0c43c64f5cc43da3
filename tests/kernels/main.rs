//! The GPU's kernels, run on the CPU: the very sources, compiled by a C++ compiler over `shim.hpp`.

mod convert;
mod damage;
mod files;
mod gpu;
mod random;

#[path = "../support/mod.rs"]
mod support;

use std::path::Path;
use wcodec::cuda::{format_header, kernels};

/// What the code says of the kernels, and `kernels/compile.py` reads.
#[test]
fn written_files_are_what_the_code_says() {
    let lines = kernels().map(|(name, file, definitions)| format!("{name} {file} {definitions}\n"));
    for (name, text) in [("format.h", format_header()), ("kernels.txt", lines.collect())] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("kernels").join(name);
        if std::fs::read_to_string(&path).unwrap_or_default() != text {
            std::fs::write(&path, text).unwrap();
            panic!("kernels/{name} was not what the code says, and was written again: run kernels/compile.py");
        }
    }
}
