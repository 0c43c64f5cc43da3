//! What a certificate of a checkpoint takes.

use super::certificate::identity;
use super::plan::Plan;
use super::{EXTENSION, Original, SAFETENSORS};
use crate::Decoder;
use crate::container::NewFile;
use crate::encoder;
use crate::error::{Error, Result};
use crate::format::certificate::{Certificate, File, rounded};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// Refuses before the work what would stand in the way of [`encode`](super::encode()). Gives the number of files
/// that it makes.
pub(crate) fn check_output(input: &Path, output: &Path, wanted: &dyn Fn(&OsStr) -> bool) -> Result<usize> {
    super::refuse_same(input, output)?;
    if input.is_dir() {
        let plan = Plan::new(input, SAFETENSORS, EXTENSION, wanted)?;
        plan.check(output)?;
        return Ok(plan.tensors().count());
    }
    Original::open(input)?;
    NewFile::check(output)?;
    Ok(1)
}

/// How large the files of a quantised checkpoint are, and which they are.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    pub(crate) files: Vec<File>,
    /// Of all files.
    pub(crate) bytes: u64,
    /// Bits a weight of the files.
    pub(crate) bits: f64,
    /// Bits a weight of the quantised tensors.
    pub(crate) quantised_bits: f64,
}

impl Made {
    pub(crate) fn of(files: &[PathBuf]) -> Result<Self> {
        let decoders: Vec<Decoder> = files.iter().map(Decoder::open).collect::<Result<_>>()?;
        let tensors = || decoders.iter().flat_map(|d| d.index().tensors());
        let weights = |shape: &[usize]| shape.iter().map(|&d| d as f64).product::<f64>();
        let all: f64 = tensors().map(|t| weights(t.shape())).sum();
        let lossy = || tensors().filter(|t| t.noise().is_some());
        let (quantised, payload) = lossy().fold((0.0, 0), |(w, b), t| (w + weights(t.shape()), b + t.encoded_len()));
        let bytes = decoders.iter().map(Decoder::file_len).sum();
        Ok(Self {
            files: decoders.iter().map(identity).collect::<Result<_>>()?,
            bytes,
            bits: rounded(8.0 * bytes as f64 / all.max(1.0)),
            quantised_bits: rounded(8.0 * payload as f64 / quantised.max(1.0)),
        })
    }
}

/// Writes a certificate into files that have room for it, and that nobody else knows yet.
pub(crate) fn certify(files: &[PathBuf], certificate: &Certificate) -> Result<()> {
    let failed = |e: serde_json::Error| Error::usage(format!("the certificate cannot be written: {e}"));
    let json = serde_json::value::to_raw_value(certificate).map_err(failed)?;
    files.iter().try_for_each(|path| encoder::certify(path, &json))
}
