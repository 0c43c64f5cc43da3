//! Whole checkpoints: safetensors files, sharded folders and model folders, in and out.
//!
//! A file restores byte for byte: its header is kept, and its tensors are its data. A folder maps
//! file by file: every `NAME.safetensors` becomes `NAME.wcodec`, the index of shards
//! (`model.safetensors.index.json`) becomes `model.wcodec.index.json`, and all other files (config,
//! tokenizer) are copied. A folder is refused before any of it is written if one of those copies would
//! take the place of a file that is made, as of a `NAME.wcodec` beside a `NAME.safetensors`, or if the
//! output has such files of an earlier run that would not be replaced.

mod certificate;
#[cfg(feature = "eval")]
mod certify;
mod estimate;
mod folder;
mod lossy;
mod original;
mod pattern;
mod plan;
mod publish;
mod rate;
#[cfg(test)]
mod tests;
mod verify;

pub use certificate::certificate;
#[cfg(feature = "eval")]
pub(crate) use certificate::encoded_files;
#[cfg(feature = "eval")]
pub(crate) use certify::{Made, certify, check_output};
pub use estimate::estimate;
#[cfg(feature = "eval")]
pub(crate) use lossy::{
    Aim, Order, Quantising, Room, Takes, check, data_free, encode_with, large_matrix, uncalibrated,
};
pub use lossy::{Lossy, encode_lossy, encode_lossy_only};
#[cfg(feature = "eval")]
pub(crate) use publish::digest;
pub use publish::publish;
pub use verify::{Verified, verify, verify_decoder, verify_only};

use crate::codec::encode::quantised::Quantised;
use crate::container::NewFile;
use crate::encoder::{Content, EncodeOptions, Encoder, Report, SourceDigests};
use crate::error::{Error, Result, display};
use crate::progress::Progress;
use crate::{DecodeOptions, Decoder, TensorSpec};
use original::{Original, OriginalTensor, PART};
use sha2::{Digest, Sha256};
use std::ffi::OsStr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// Extension of encoded files.
pub(crate) const EXTENSION: &str = "wcodec";
const SAFETENSORS: &str = "safetensors";
/// Tensors are encoded side by side up to this many bytes of data.
const BATCH: u64 = 16 << 20;

/// Encodes a safetensors file, or a folder with all its files. An output that exists is replaced.
///
/// # Errors
/// [`Error::Input`] if the input is not valid safetensors, or, of a folder, files stand in the way (see
/// [above](self)); [`Error::Io`]; [`Error::Cancelled`]. No output is left then, or, of a folder, only whole
/// files.
pub fn encode(input: &Path, output: &Path, options: &EncodeOptions, progress: &dyn Progress) -> Result<Vec<Report>> {
    encode_only(input, output, options, progress, &|_| true)
}

/// As [`encode`], of a folder only the files whose name `wanted` takes: the others are as if they were not
/// there.
///
/// # Errors
/// As [`encode`].
pub fn encode_only(
    input: &Path,
    output: &Path,
    options: &EncodeOptions,
    progress: &dyn Progress,
    wanted: &dyn Fn(&OsStr) -> bool,
) -> Result<Vec<Report>> {
    let decide = &|_: &[Original]| Ok(None);
    let work = Work {
        input,
        output,
        options,
        decide,
        progress,
        wanted,
    };
    work.run()
}

/// What is changed of some files: decided for all of them together.
type Decide<'a> = dyn Fn(&[Original]) -> Result<Option<Change<'a>>> + 'a;

/// What is changed of files whose weights are quantised.
struct Change<'a> {
    quantise: Box<Quantise<'a>>,
    /// How, for all of them.
    quantising: &'a lossy::Quantising<'a>,
    /// Bytes that the index leaves free, for a certificate.
    room: usize,
}

/// The quantised tensor; `None` where every bit is kept.
type Quantise<'a> = dyn Fn(&TensorSpec, &[u8]) -> Result<Option<Quantised>> + Sync + 'a;

/// A checkpoint that is encoded.
struct Work<'a> {
    input: &'a Path,
    output: &'a Path,
    options: &'a EncodeOptions,
    decide: &'a Decide<'a>,
    progress: &'a dyn Progress,
    /// Of a folder, the files that are there.
    wanted: &'a dyn Fn(&OsStr) -> bool,
}

impl Work<'_> {
    fn run(&self) -> Result<Vec<Report>> {
        refuse_same(self.input, self.output)?;
        if self.input.is_dir() {
            return folder::encode(self);
        }
        let original = Original::open(self.input)?;
        let change = (self.decide)(std::slice::from_ref(&original))?;
        self.progress.start(original.len());
        let report = self.file(&original, self.output, change.as_ref())?;
        Ok(vec![report])
    }

    fn file(&self, original: &Original, output: &Path, change: Option<&Change>) -> Result<Report> {
        encode_file(original, output, self.options, change, self.progress)
    }
}

/// Decodes a `.wcodec` file to the safetensors file that it was made from, or a folder with all its
/// files. An output that exists is replaced.
///
/// # Errors
/// As [`crate::Tensor::decode`]; [`Error::Corrupt`] if the restored bytes do not have the original's
/// SHA-256; [`Error::Input`] if files of a folder stand in the way; [`Error::Cancelled`]. No output is left then, or, of a folder, only whole files.
pub fn decode(input: &Path, output: &Path, options: DecodeOptions, progress: &dyn Progress) -> Result<()> {
    decode_only(input, output, options, progress, &|_| true)
}

/// As [`decode`], of a folder only the files whose name `wanted` takes: the others are as if they were not
/// there.
///
/// # Errors
/// As [`decode`].
pub fn decode_only(
    input: &Path,
    output: &Path,
    options: DecodeOptions,
    progress: &dyn Progress,
    wanted: &dyn Fn(&OsStr) -> bool,
) -> Result<()> {
    refuse_same(input, output)?;
    if input.is_dir() {
        return folder::decode(input, output, options, progress, wanted);
    }
    let decoder = Decoder::open_with(input, options)?;
    progress.start(decoder.index().tensors().iter().map(|t| t.byte_len()).sum());
    decode_file(&decoder, output, progress)
}

fn encode_file(
    original: &Original,
    output: &Path,
    options: &EncodeOptions,
    change: Option<&Change>,
    progress: &dyn Progress,
) -> Result<Report> {
    let (specs, source) = (original.specs(), original.source(change.map(|change| change.room)));
    let mut restored = Sha256::new();
    restored.update(original.header());
    let mut encoder = Encoder::create_with(output, specs, *options, Some(source))?;
    let ended = AtomicBool::new(false);
    // The digest of the whole file is sequential: it runs beside the encoding.
    let digest = std::thread::scope(|scope| {
        let digest = scope.spawn(|| sha256(original, || ended.load(Ordering::Relaxed) || progress.cancelled()));
        // The scope waits for the digest, of use only if all is encoded.
        let _end = OnDrop(|| ended.store(true, Ordering::Relaxed));
        let mut rest = original.tensors();
        while !rest.is_empty() {
            let mut bytes = 0;
            let fits = rest.iter().take_while(|t| {
                bytes += t.data.len() as u64;
                bytes <= BATCH
            });
            let (batch, later) = rest.split_at(fits.count().max(1));
            let quantised = match change {
                Some(change) => lossy::quantise_batch(original, batch, change)?,
                None => Vec::new(),
            };
            let content = |(i, t): (usize, &OriginalTensor)| match quantised.get(i) {
                Some(Some(quantised)) => Content::Quantised(quantised),
                _ => Content::Exact(original.data(t)),
            };
            let contents: Vec<_> = batch.iter().enumerate().map(content).collect();
            if change.is_some() {
                contents.iter().for_each(|c| restored.update(c.decoded()));
            }
            let tensors: Vec<_> = batch.iter().map(|t| t.spec.name.as_str()).zip(contents).collect();
            encoder.add_contents(&tensors, &|i, part| original.release_used(&batch[i], part))?;
            for t in batch {
                original.release(t.data.clone());
                progress.advance(t.data.len() as u64, &t.spec.name);
            }
            if progress.cancelled() {
                return Err(Error::Cancelled);
            }
            rest = later;
        }
        digest
            .join()
            .map_err(|_| Error::usage("the digest thread ended early"))?
            .ok_or(Error::Cancelled)
    })?;
    encoder.finish_with(match change {
        None => SourceDigests {
            restored: digest,
            original: None,
        },
        Some(_) => {
            let restored = hex(&restored.finalize());
            // If nothing could be quantised, it is the same file.
            let original = (restored != digest).then_some(digest);
            SourceDigests { restored, original }
        }
    })
}

fn decode_file(decoder: &Decoder, output: &Path, progress: &dyn Progress) -> Result<()> {
    let header = match decoder.source_header()? {
        Some(header) => header,
        None => original::header_of(decoder)?,
    };
    let mut file = NewFile::create(output)?;
    let mut hasher = Sha256::new();
    hasher.update(&header);
    file.write(&header)?;
    for tensor in decoder.tensors() {
        let data = tensor.decode()?;
        tensor.release();
        hasher.update(&data);
        file.write(&data)?;
        progress.advance(data.len() as u64, tensor.info().name());
        if progress.cancelled() {
            return Err(Error::Cancelled);
        }
    }
    if let Some(source) = decoder.index().source() {
        let got = hex(&hasher.finalize());
        if got != source.sha256 {
            let what = format!("the restored file has SHA-256 {got}, it must have {}", source.sha256);
            return Err(crate::Location::new(crate::Section::Data)
                .file(decoder.name())
                .corrupt(what));
        }
    }
    file.finish()
}

/// Does something when it goes: on every way out of a block.
struct OnDrop<F: Fn()>(F);

impl<F: Fn()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// SHA-256 of the file in hexadecimal; `None` if it was stopped.
fn sha256(original: &Original, stop: impl Fn() -> bool) -> Option<String> {
    let (bytes, mut hasher) = (original.bytes(), Sha256::new());
    for start in (0..bytes.len()).step_by(PART) {
        let part = start..bytes.len().min(start + PART);
        hasher.update(&bytes[part.clone()]);
        // It may be far ahead of the encoder, which reads it again from the system's cache.
        original.release(part);
        if stop() {
            return None;
        }
    }
    Some(hex(&hasher.finalize()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn refuse_same(input: &Path, output: &Path) -> Result<()> {
    match (input.canonicalize(), output.canonicalize()) {
        (Ok(a), Ok(b)) if a == b => Err(Error::usage(format!("{} is both input and output", display(input)))),
        _ => Ok(()),
    }
}
