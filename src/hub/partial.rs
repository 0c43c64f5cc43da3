//! Parts of files into the cache.

use super::metadata::Metadata;
use super::repo::{Place, Repo};
use crate::error::{Error, Result};
use crate::format::TensorInfo;
use crate::progress::Progress;
use crate::{DecodeOptions, Decoder};
use std::ops::Range;

impl Repo {
    /// Downloads a part of a `.wcodec` file: its index, and the tensors whose name `wanted` takes. It is
    /// kept in the cache as a download that was interrupted: [`Repo::decoder`] reads what is here from there,
    /// and [`Repo::download`] goes on with the rest. Checksums are checked; what an earlier run left is
    /// fetched again if it is damaged. Gives the bytes of those tensors' ranges; where the whole file is
    /// here already, there is nothing to do.
    ///
    /// # Errors
    /// As [`Repo::download`] and [`Decoder::open`].
    pub fn download_part(&self, file: &str, wanted: &dyn Fn(&str) -> bool, progress: &dyn Progress) -> Result<u64> {
        let error = match self.part(file, wanted, progress) {
            Err(error) if !matches!(error, Error::Hub { .. } | Error::Io { .. } | Error::Cancelled) => error,
            result => return result,
        };
        // What is wrong with the file may be damage of what is here: once more, from nothing.
        match self.forget(file, progress)? {
            true => self.part(file, wanted, progress),
            false => Err(error),
        }
    }

    fn part(&self, file: &str, wanted: &dyn Fn(&str) -> bool, progress: &dyn Progress) -> Result<u64> {
        let open = |metadata: &Metadata| self.remote(file, metadata, DecodeOptions::default());
        let (decoder, metadata) = match self.locate(file)? {
            Place::Here(path) => (Decoder::open(path)?, None),
            Place::There(metadata) => (open(&metadata)?, Some(metadata)),
        };
        let all = decoder.index().tensors();
        let tensors: Vec<&TensorInfo> = all.iter().filter(|t| wanted(t.name())).collect();
        let bytes = tensors.iter().map(|t| t.encoded_len()).sum();
        let Some(metadata) = metadata else { return Ok(bytes) };
        // Everything in front of the tensors.
        let front = all.iter().map(TensorInfo::offset).min();
        let of_tensor = |t: &&TensorInfo| t.offset()..t.offset() + t.encoded_len();
        let ranges: Vec<Range<u64>> = std::iter::once(0..front.unwrap_or(metadata.size))
            .chain(tensors.iter().map(of_tensor))
            .collect();
        match self.begin(file, metadata.clone(), progress)? {
            Ok(download) => download.run_part(&ranges, progress)?,
            Err(_) => {
                progress.start(0);
                return Ok(bytes);
            }
        }
        let here = open(&metadata)?;
        for tensor in tensors {
            here.tensor(tensor.name())?.check()?;
            if progress.cancelled() {
                return Err(Error::Cancelled);
            }
        }
        Ok(bytes)
    }

    /// Forgets what an unfinished download has left. Whether there was anything.
    fn forget(&self, file: &str, progress: &dyn Progress) -> Result<bool> {
        let Place::There(metadata) = self.locate(file)? else {
            return Ok(false);
        };
        match self.begin(file, metadata, progress)? {
            Ok(download) => download.forget(),
            Err(_) => Ok(false),
        }
    }
}
