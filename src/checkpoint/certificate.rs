//! Certificates of checkpoints.

use super::{EXTENSION, folder};
use crate::error::{Error, Location, Result, Section, display};
use crate::format::certificate::{Certificate, File};
use crate::{DecodeOptions, Decoder};
use std::path::{Path, PathBuf};

/// The `.wcodec` files of an output, in the order of their names.
pub(crate) fn encoded_files(output: &Path) -> Result<Vec<PathBuf>> {
    if !output.is_dir() {
        return Ok(vec![output.to_owned()]);
    }
    let mut files = folder::files(output)?;
    files.retain(|path| folder::has_extension(path, EXTENSION));
    Ok(files)
}

/// What a certificate calls a file.
pub(super) fn identity(decoder: &Decoder) -> Result<File> {
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
