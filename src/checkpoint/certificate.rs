//! Certificates of checkpoints: into their files, and out of them.

use super::folder;
use super::{EXTENSION, Original, Plan, SAFETENSORS};
use crate::container::NewFile;
use crate::encoder;
use crate::error::{Error, Location, Result, Section, display};
use crate::format::certificate::{Certificate, File};
use crate::{DecodeOptions, Decoder};
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

/// The `.wcodec` files of an output, in the order of their names.
pub(crate) fn encoded_files(output: &Path) -> Result<Vec<PathBuf>> {
    if !output.is_dir() {
        return Ok(vec![output.to_owned()]);
    }
    let mut files = folder::files(output)?;
    files.retain(|path| folder::has_extension(path, EXTENSION));
    Ok(files)
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
            bits: 8.0 * bytes as f64 / all.max(1.0),
            quantised_bits: 8.0 * payload as f64 / quantised.max(1.0),
        })
    }
}

/// What a certificate calls a file.
fn identity(decoder: &Decoder) -> Result<File> {
    let source = decoder.index().source().ok_or_else(|| {
        let what = "it was not made from a safetensors file: there is nothing to measure it against";
        Error::input(decoder.name(), what)
    })?;
    let restored = source.sha256.clone();
    Ok(File {
        original: source.original.clone().unwrap_or_else(|| restored.clone()),
        restored,
    })
}

/// Writes a certificate into files that have room for it, and that nobody else knows yet.
pub(crate) fn certify(files: &[PathBuf], certificate: &Certificate) -> Result<()> {
    let failed = |e: serde_json::Error| Error::usage(format!("the certificate cannot be written: {e}"));
    let json = serde_json::value::to_raw_value(certificate).map_err(failed)?;
    files.iter().try_for_each(|path| encoder::certify(path, &json))
}

/// The certificate of a file, or of a folder with such files, if it is of these files.
///
/// # Errors
/// [`Error::Input`] if there is none; [`Error::Differs`] if it is another file's, or the files of a folder
/// do not have the same; as [`Certificate::parse`].
pub fn certificate(path: &Path, options: DecodeOptions) -> Result<Certificate> {
    let files = encoded_files(path)?;
    let none = |path: &Path| {
        Error::input(
            display(path),
            "it has no certificate: nothing was measured when it was made",
        )
    };
    let mut all: Option<Certificate> = None;
    let mut found = Vec::new();
    for file in &files {
        let decoder = Decoder::open_with(file, options)?;
        let own = decoder.certificate()?.ok_or_else(|| none(file))?;
        let differs = |what: &str| Location::new(Section::Index).file(display(file)).differs(what);
        if all.as_ref().is_some_and(|all| *all != own) {
            return Err(differs("its certificate is not that of the files beside it"));
        }
        found.push(identity(&decoder)?);
        if !own.files.contains(&found[found.len() - 1]) {
            return Err(differs(
                "its certificate is of another file: what this one decodes to, or was made of, is not what it lists",
            ));
        }
        all = Some(own);
    }
    let certificate = all.ok_or_else(|| none(path))?;
    if certificate.files != found {
        let (listed, there) = (certificate.files.len(), found.len());
        let what = format!(
            "the certificate is of {listed} files together, and these are {there}: all of them are needed, in the \
             order that it lists, and no other"
        );
        return Err(Location::new(Section::Index).file(display(path)).differs(what));
    }
    Ok(certificate)
}
