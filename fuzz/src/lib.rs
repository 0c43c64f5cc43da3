//! What the fuzz targets run, shared with the tests that run it on stable.
//!
//! `cargo +nightly fuzz run arbitrary_bytes`, from the repository's root.

#[path = "../../tests/support/mod.rs"]
mod support;

pub use support::fuzz::{arbitrary_bytes, backends, mutated_file, round_trip};
