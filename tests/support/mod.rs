//! What several test binaries and the fuzz targets share.
// Each of them uses a part.
#![allow(dead_code)]

pub mod data;
pub mod fuzz;
pub mod judge;
pub mod sample;
pub mod wire;
