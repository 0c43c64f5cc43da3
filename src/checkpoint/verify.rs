//! Proof that a file decodes to what was encoded.

use super::original::OriginalTensor;
use super::{Original, folder, hex};
use crate::error::{Error, Location, Result, Section};
use crate::progress::Progress;
use crate::{DecodeOptions, Decoder};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::Path;

/// What a verification found to be right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verified {
    /// Files that were read.
    pub files: usize,
    /// Tensors whose decoded data have the index's digest.
    pub tensors: usize,
    /// Decoded bytes of those tensors.
    pub bytes: u64,
    /// Files whose restored bytes have the SHA-256 that they must have: the original's, where nothing was
    /// quantised.
    pub sources: usize,
    /// Files of quantised weights: what they restore is not what was encoded.
    pub quantised: usize,
    /// Files that were compared with their original, byte for byte.
    pub compared: usize,
}

impl Verified {
    pub(super) fn add(&mut self, other: Self) {
        self.files += other.files;
        self.tensors += other.tensors;
        self.bytes += other.bytes;
        self.sources += other.sources;
        self.quantised += other.quantised;
        self.compared += other.compared;
    }
}

/// Decodes every tensor of a file (or of each file of a folder) and checks its digest, then the
/// restored file's SHA-256; with `against`, also compares every byte with the original. Of a folder, every
/// file of the original must be there, encoded or as a copy; only the model card and `.gitattributes` may
/// have more, which [`publish`](super::publish()) adds.
///
/// # Errors
/// The first thing that does not hold: [`Error::Corrupt`], [`Error::Differs`], [`Error::Io`], …
pub fn verify(
    path: &Path,
    against: Option<&Path>,
    options: DecodeOptions,
    progress: &dyn Progress,
) -> Result<Verified> {
    verify_only(path, against, options, progress, &|_| true)
}

/// As [`verify`], of a folder to hold it against only the files whose name `wanted` takes: the others are as
/// if they were not there.
///
/// # Errors
/// As [`verify`].
pub fn verify_only(
    path: &Path,
    against: Option<&Path>,
    options: DecodeOptions,
    progress: &dyn Progress,
    wanted: &dyn Fn(&OsStr) -> bool,
) -> Result<Verified> {
    if path.is_dir() {
        return folder::verify_all(path, against, options, progress, wanted);
    }
    verify_decoder(&Decoder::open_with(path, options)?, against, progress)
}

/// As [`verify`], of an open file.
///
/// # Errors
/// As [`verify`].
pub fn verify_decoder(decoder: &Decoder, against: Option<&Path>, progress: &dyn Progress) -> Result<Verified> {
    let original = against.map(Original::open).transpose()?;
    let tensors = decoder.index().tensors();
    progress.start(tensors.iter().map(|t| t.byte_len()).sum());
    let header = decoder.source_header()?;
    let mut hasher = Sha256::new();
    hasher.update(header.as_deref().unwrap_or_default());
    if let (Some(original), Some(header)) = (&original, &header)
        && original.header() != header
    {
        let at = Location::new(Section::SourceHeader).file(decoder.name());
        return Err(at.differs("the kept header differs from the original's"));
    }
    if let Some(original) = &original
        && original.tensors().len() != tensors.len()
    {
        let (n, m) = (tensors.len(), original.tensors().len());
        let at = Location::new(Section::Index).file(decoder.name());
        return Err(at.differs(format!("it has {n} tensors, the original {m}")));
    }
    let theirs: HashMap<&str, &OriginalTensor> = match &original {
        Some(original) => original.tensors().iter().map(|t| (t.spec.name.as_str(), t)).collect(),
        None => HashMap::new(),
    };
    let mut verified = Verified {
        files: 1,
        ..Verified::default()
    };
    for tensor in decoder.tensors() {
        let info = tensor.info();
        let at = || Location::new(Section::Data).file(decoder.name()).tensor(info.name());
        let data = tensor.decode()?;
        tensor.release();
        if *blake3::hash(&data).as_bytes() != info.digest() {
            return Err(at().corrupt("the decoded data do not have the index's digest"));
        }
        if let Some(original) = &original {
            let same = theirs.get(info.name()).is_some_and(|t| {
                t.spec.dtype == info.dtype() && t.spec.shape == info.shape() && original.has(t, &data)
            });
            if !same {
                return Err(at().differs(match info.noise() {
                    Some(_) => "it was quantised on purpose, and is not the original's: what that costs is checked by --certificate, and \
                     that the file is whole without --against",
                    None => "it is missing from the original, or differs from it",
                }));
            }
        }
        hasher.update(&data);
        verified.tensors += 1;
        verified.bytes += info.byte_len();
        progress.advance(info.byte_len(), info.name());
        if progress.cancelled() {
            return Err(Error::Cancelled);
        }
    }
    if let Some(source) = decoder.index().source() {
        if hex(&hasher.finalize()) != source.sha256 {
            let at = Location::new(Section::Data).file(decoder.name());
            return Err(at.corrupt("the restored file does not have the SHA-256 that it must have"));
        }
        verified.sources = 1;
        verified.quantised = usize::from(source.original.is_some());
    }
    verified.compared = usize::from(original.is_some());
    Ok(verified)
}
