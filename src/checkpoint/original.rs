//! A safetensors file, opened and validated.

#[cfg(feature = "eval")]
use super::{EXTENSION, SAFETENSORS, plan::Plan};
use crate::container::{MappedFile, Source};
use crate::encoder::{SourceFile, TensorSpec};
use crate::error::{Error, Result, display};
use crate::{DType, Decoder};
use std::collections::BTreeMap;
#[cfg(feature = "eval")]
use std::ffi::OsStr;
use std::ops::Range;
use std::path::Path;

/// Bytes of the header's length, at the start.
const LENGTH_BYTES: usize = 8;

/// A tensor of more bytes is let go of part by part.
const LARGE: usize = 64 << 20;

/// Bytes that are read before they are let go of.
pub(super) const PART: usize = 16 << 20;

/// A validated safetensors file, mapped.
pub(super) struct Original {
    file: MappedFile,
    header_len: usize,
    tensors: Vec<OriginalTensor>,
}

pub(super) struct OriginalTensor {
    pub(super) spec: TensorSpec,
    /// Within the file.
    pub(super) data: Range<usize>,
}

impl Original {
    /// The files of a checkpoint: one, or of a folder those whose name `wanted` takes.
    #[cfg(feature = "eval")]
    pub(super) fn all(input: &Path, wanted: &dyn Fn(&OsStr) -> bool) -> Result<Vec<Self>> {
        if !input.is_dir() {
            return Ok(vec![Self::open(input)?]);
        }
        let plan = Plan::new(input, SAFETENSORS, EXTENSION, wanted)?;
        plan.tensors().map(|step| Self::open(&step.from)).collect()
    }

    pub(super) fn open(path: &Path) -> Result<Self> {
        let file = display(path);
        let mapped = MappedFile::open(path).map_err(Error::io(format!("opening {file}")))?;
        let invalid = |what: String| Error::input(&file, format!("not a valid safetensors file: {what}"));
        let mapped = mapped.ok_or_else(|| invalid("it is empty, or cannot be mapped".into()))?;
        let bytes = mapped.bytes();
        let (json_len, metadata) =
            safetensors::SafeTensors::read_metadata(bytes).map_err(|e| invalid(e.to_string()))?;
        let header_len = LENGTH_BYTES + json_len;
        let mut tensors = Vec::new();
        for (name, info) in metadata.tensors() {
            let dtype: DType = info.dtype.to_string().parse().map_err(&invalid)?;
            let (start, end) = info.data_offsets;
            let data = header_len + start..header_len + end;
            tensors.push(OriginalTensor {
                spec: TensorSpec::new(name, dtype, info.shape.clone()),
                data,
            });
        }
        // Data order; empty tensors share offsets, so names decide there.
        tensors.sort_by(|a, b| (a.data.start, a.data.end, &a.spec.name).cmp(&(b.data.start, b.data.end, &b.spec.name)));
        let mut end = header_len;
        for t in &tensors {
            if t.data.start != end || t.spec.byte_len() != Some(t.data.len() as u64) {
                return Err(invalid(format!(
                    "the data of tensor {:?} are not where they should be",
                    t.spec.name
                )));
            }
            end = t.data.end;
        }
        if end != bytes.len() {
            return Err(invalid("its tensors do not fill it".into()));
        }
        Ok(Self {
            file: mapped,
            header_len,
            tensors,
        })
    }

    pub(super) fn len(&self) -> u64 {
        self.file.len()
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.file.bytes()
    }

    /// Whether a tensor's data are these. Lets go of what it has read.
    pub(super) fn has(&self, tensor: &OriginalTensor, data: &[u8]) -> bool {
        let all = tensor.data.clone();
        all.len() == data.len()
            && data.chunks(PART).zip(all.step_by(PART)).all(|(data, start)| {
                let part = start..start + data.len();
                let same = self.bytes()[part.clone()] == *data;
                self.release(part);
                same
            })
    }

    /// Lets go of a part that has been used; it can still be read.
    pub(super) fn release(&self, part: Range<usize>) {
        self.file.release(part.start as u64, part.len() as u64);
    }

    /// Lets go of a part of a tensor that is being encoded, if it is so large that its encoding should
    /// not be in memory beside all of it.
    pub(super) fn release_used(&self, tensor: &OriginalTensor, part: Range<usize>) {
        if tensor.data.len() > LARGE {
            self.release(tensor.data.start + part.start..tensor.data.start + part.end);
        }
    }

    /// The header with its length bytes.
    pub(super) fn header(&self) -> &[u8] {
        &self.bytes()[..self.header_len]
    }

    /// In data order.
    pub(super) fn specs(&self) -> Vec<TensorSpec> {
        self.tensors.iter().map(|t| t.spec.clone()).collect()
    }

    /// As an encoder takes it; `room` is what its index leaves free, if weights are quantised.
    pub(super) fn source(&self, room: Option<usize>) -> SourceFile {
        SourceFile {
            header: self.header().to_vec(),
            bytes: self.len(),
            lossy: room.is_some(),
            room: room.unwrap_or(0),
        }
    }

    pub(super) fn tensors(&self) -> &[OriginalTensor] {
        &self.tensors
    }

    pub(super) fn data(&self, tensor: &OriginalTensor) -> &[u8] {
        &self.bytes()[tensor.data.clone()]
    }
}

/// A safetensors header for a file that was not made from one: tensors in file order.
pub(super) fn header_of(decoder: &Decoder) -> Result<Vec<u8>> {
    #[derive(serde::Serialize)]
    struct Entry<'a> {
        dtype: &'a str,
        shape: &'a [usize],
        data_offsets: [u64; 2],
    }
    let mut entries = BTreeMap::new();
    let mut offset = 0;
    for t in decoder.index().tensors() {
        if t.name() == "__metadata__" {
            let what = "a tensor is named __metadata__, which a safetensors file keeps for itself";
            return Err(Error::input(decoder.name(), what));
        }
        let end = offset + t.byte_len();
        entries.insert(
            t.name(),
            Entry {
                dtype: t.dtype().name(),
                shape: t.shape(),
                data_offsets: [offset, end],
            },
        );
        offset = end;
    }
    let mut json =
        serde_json::to_vec(&entries).map_err(|e| Error::usage(format!("the header cannot be written: {e}")))?;
    json.resize(json.len().next_multiple_of(LENGTH_BYTES), b' ');
    let mut header = (json.len() as u64).to_le_bytes().to_vec();
    header.extend(json);
    Ok(header)
}
