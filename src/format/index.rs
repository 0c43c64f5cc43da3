//! The index: what tensors there are, how they were coded, and where they lie.

use super::object::{Object, object, objects, some_object};
use super::recipe::{Recipe, RecipeError};
use super::{ALIGNMENT, MAX_CERTIFICATE_BYTES, PREFIX_BYTES};
#[cfg(feature = "encode")]
use super::{MAJOR, MINOR};
use crate::dtype::DType;
use crate::error::{Error, Location, Section};
use crate::limits::Limits;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::HashMap;

/// The index as JSON has it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct IndexFile<'a> {
    #[serde(borrow, deserialize_with = "object")]
    pub(crate) wcodec: WriterEntry<'a>,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "some_object")]
    pub(crate) source: Option<SourceEntry<'a>>,
    /// As it is written: it is read where it is asked for.
    #[serde(
        borrow,
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "some_raw"
    )]
    pub(crate) certificate: Option<&'a RawValue>,
    #[serde(deserialize_with = "objects")]
    pub(crate) tensors: Vec<TensorEntry<'a>>,
}

/// Of a field that may be absent, but is not null.
fn some_raw<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct WriterEntry<'a> {
    pub(crate) version: Cow<'a, str>,
    pub(crate) writer: Cow<'a, str>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SourceEntry<'a> {
    pub(crate) format: Cow<'a, str>,
    pub(crate) bytes: u64,
    pub(crate) sha256: Cow<'a, str>,
    /// Offset and length of the kept header.
    pub(crate) header: [u64; 2],
    /// XXH3-64 of the kept header, 16 hexadecimal digits.
    pub(crate) checksum: Cow<'a, str>,
    /// SHA-256 of the file that was encoded, where decoding gives another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) original: Option<Cow<'a, str>>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct TensorEntry<'a> {
    pub(crate) name: Cow<'a, str>,
    pub(crate) dtype: Cow<'a, str>,
    pub(crate) shape: Vec<u64>,
    pub(crate) recipe: Cow<'a, str>,
    /// Offset and length of the payload, length of its head.
    pub(crate) data: [u64; 3],
    /// BLAKE3 of the decoded bytes, 64 hexadecimal digits.
    pub(crate) digest: Cow<'a, str>,
    /// Squared error of a quantised tensor against its squared weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) noise: Option<f64>,
    /// Loss that is expected of a quantised tensor, in nats a token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) loss: Option<f64>,
    /// Least, middle and largest step of a quantised tensor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) steps: Option<[f32; 3]>,
}

impl IndexFile<'_> {
    /// What this version writes into `wcodec`.
    #[cfg(feature = "encode")]
    pub(crate) fn writer() -> WriterEntry<'static> {
        WriterEntry {
            version: format!("{MAJOR}.{MINOR}").into(),
            writer: concat!("wcodec ", env!("CARGO_PKG_VERSION")).into(),
        }
    }
}

/// A file's index, validated: every range lies in the file, none overlap, names are unique.
#[derive(Clone, Debug)]
pub struct Index {
    version: String,
    writer: String,
    source: Option<SourceInfo>,
    certificate: Option<Box<RawValue>>,
    tensors: Vec<TensorInfo>,
    by_name: HashMap<String, usize>,
}

/// The safetensors file that decoding gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceInfo {
    /// Its size in bytes.
    pub bytes: u64,
    /// Its SHA-256, as the Hub lists it.
    pub sha256: String,
    /// SHA-256 of the file that was encoded. `None` if it is the same file: nothing was lost.
    pub original: Option<String>,
    pub(crate) header_offset: u64,
    pub(crate) header_len: u64,
    pub(crate) header_checksum: u64,
}

/// What the index says of a tensor.
#[derive(Clone, Debug)]
pub struct TensorInfo {
    name: String,
    dtype: DType,
    shape: Vec<usize>,
    byte_len: u64,
    recipe_text: String,
    recipe: Option<Recipe>,
    offset: u64,
    encoded_len: u64,
    head_len: u64,
    digest: blake3::Hash,
    noise: Option<f64>,
    loss: Option<f64>,
    steps: Option<[f32; 3]>,
}

impl TensorInfo {
    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Type of the elements.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Sizes of the dimensions, outermost first. Empty for a scalar.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Bytes of the decoded data.
    pub fn byte_len(&self) -> u64 {
        self.byte_len
    }

    /// How it was coded. `None` if a later version wrote a recipe that this one does not know.
    pub fn recipe(&self) -> Option<&Recipe> {
        self.recipe.as_ref()
    }

    /// The recipe as the index has it.
    pub fn recipe_text(&self) -> &str {
        &self.recipe_text
    }

    /// Offset of the payload in the file, in bytes.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Bytes of the payload: head and chunks.
    pub fn encoded_len(&self) -> u64 {
        self.encoded_len
    }

    /// Bytes of the payload's head.
    pub fn head_len(&self) -> u64 {
        self.head_len
    }

    /// BLAKE3 of the decoded data.
    pub fn digest(&self) -> [u8; 32] {
        *self.digest.as_bytes()
    }

    /// Squared error of a quantised tensor against its squared weights, as the writer measured it. `None`
    /// if nothing was lost.
    pub fn noise(&self) -> Option<f64> {
        self.noise
    }

    /// What the model is expected to lose by the quantisation of this tensor, as the writer's calibration had it: nats
    /// a token. `None` if nothing was lost, or the writer did not know.
    pub fn loss(&self) -> Option<f64> {
        self.loss
    }

    /// Least, middle and largest step of a quantised tensor, over all rows and columns. `None` if nothing was
    /// lost, or the writer did not say.
    pub fn steps(&self) -> Option<[f32; 3]> {
        self.steps
    }

    /// Units that the codec counts in (see `DType::unit_bytes`).
    pub(crate) fn units(&self) -> u64 {
        self.byte_len / self.dtype.unit_bytes() as u64
    }
}

impl Index {
    /// Reads and validates an index of a file of `file_len` bytes.
    ///
    /// # Errors
    /// [`Error::Corrupt`] or [`Error::Limit`], with the tensor where there is one.
    pub fn parse(json: &[u8], file: &str, file_len: u64, limits: &Limits) -> Result<Self, Error> {
        let at = || Location::new(Section::Index).file(file);
        let parsed: Object<IndexFile> = serde_json::from_slice(json).map_err(|e| {
            at().corrupt(format!(
                "it is not the JSON that was expected (line {}, column {}): {e}",
                e.line(),
                e.column()
            ))
        })?;
        let Object(parsed) = parsed;
        let mut filling = json.iter().rev().take_while(|&&b| b != b'}');
        if filling.any(|&b| b != b' ') {
            return Err(at().corrupt("it is filled up with something else than spaces"));
        }
        if parsed.tensors.len() > limits.max_tensors {
            let (n, most) = (parsed.tensors.len(), limits.max_tensors);
            return Err(at().limit(format!("{n} tensors, max_tensors is {most}")));
        }
        let certificate = parsed.certificate.map(RawValue::to_owned);
        if let Some(bytes) = certificate.as_ref().map(|c| c.get().len())
            && bytes > MAX_CERTIFICATE_BYTES
        {
            return Err(at().corrupt(format!(
                "a certificate of {bytes} bytes, {MAX_CERTIFICATE_BYTES} are the most"
            )));
        }
        let mut end = PREFIX_BYTES + json.len() as u64;
        let mut claim = |offset: u64, len: u64, what: Location| -> Result<(), Error> {
            if !offset.is_multiple_of(ALIGNMENT) || offset < end {
                return Err(what
                    .offset(offset)
                    .corrupt("its payload is misaligned or overlaps what is before it"));
            }
            match offset.checked_add(len) {
                Some(past) if past <= file_len => end = past,
                _ => {
                    return Err(what
                        .offset(offset)
                        .corrupt("its payload ends past the end of the file: it is cut off"));
                }
            }
            Ok(())
        };
        let source = match parsed.source {
            None => None,
            Some(s) => {
                let at = || Location::new(Section::SourceHeader).file(file);
                if s.format != "safetensors" {
                    return Err(at().unsupported(format!("source format {:?}", s.format)));
                }
                let [header_offset, header_len] = s.header;
                if header_len > limits.max_source_header_bytes {
                    let most = limits.max_source_header_bytes;
                    return Err(at().limit(format!(
                        "a header of {header_len} bytes, max_source_header_bytes is {most}"
                    )));
                }
                claim(header_offset, header_len, at())?;
                // `from_str_radix` alone would take a sign and any length.
                let digits = |text: &str, n: usize| {
                    text.len() == n && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
                };
                let header_checksum = u64::from_str_radix(&s.checksum, 16)
                    .ok()
                    .filter(|_| digits(&s.checksum, 16));
                let header_checksum = header_checksum.ok_or_else(|| at().corrupt("its checksum is not 16 digits"))?;
                if [Some(&s.sha256), s.original.as_ref()]
                    .into_iter()
                    .flatten()
                    .any(|d| !digits(d, 64))
                {
                    return Err(at().corrupt("its SHA-256 is no digest"));
                }
                Some(SourceInfo {
                    bytes: s.bytes,
                    sha256: s.sha256.into_owned(),
                    original: s.original.map(Cow::into_owned),
                    header_offset,
                    header_len,
                    header_checksum,
                })
            }
        };
        let mut tensors: Vec<TensorInfo> = Vec::with_capacity(parsed.tensors.len());
        let mut by_name = HashMap::with_capacity(parsed.tensors.len());
        for entry in parsed.tensors {
            let at = || Location::new(Section::Index).file(file).tensor(&*entry.name);
            let info = TensorInfo::parse(&entry, limits, at)?;
            claim(info.offset, info.encoded_len, at())?;
            if by_name.insert(info.name.clone(), tensors.len()).is_some() {
                return Err(at().corrupt("two tensors have this name"));
            }
            tensors.push(info);
        }
        if let Some(source) = &source {
            let data = tensors
                .iter()
                .try_fold(source.header_len, |sum, t| sum.checked_add(t.byte_len));
            if data != Some(source.bytes) {
                return Err(at().corrupt("header and tensors do not add up to the source's size"));
            }
        }
        let WriterEntry { version, writer } = parsed.wcodec;
        Ok(Self {
            version: version.into_owned(),
            writer: writer.into_owned(),
            source,
            certificate,
            tensors,
            by_name,
        })
    }

    /// Version of the format, as the writer gave it: `1.0`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The program that wrote the file.
    pub fn writer(&self) -> &str {
        &self.writer
    }

    /// The safetensors file that was encoded, if the file was made from one.
    pub fn source(&self) -> Option<&SourceInfo> {
        self.source.as_ref()
    }

    /// What the file costs in accuracy, as it says itself: JSON as it is written, which has not been looked at.
    /// [`Decoder::certificate`](crate::Decoder::certificate) reads it.
    pub fn certificate_json(&self) -> Option<&str> {
        self.certificate.as_deref().map(RawValue::get)
    }

    /// The tensors, in file order.
    pub fn tensors(&self) -> &[TensorInfo] {
        &self.tensors
    }

    /// The tensor of a name.
    pub fn tensor(&self, name: &str) -> Option<&TensorInfo> {
        self.by_name.get(name).map(|&i| &self.tensors[i])
    }
}

impl TensorInfo {
    fn parse(entry: &TensorEntry, limits: &Limits, at: impl Fn() -> Location) -> Result<Self, Error> {
        let dtype: DType = entry.dtype.parse().map_err(|e: String| at().unsupported(e))?;
        let shape = entry
            .shape
            .iter()
            .map(|&n| usize::try_from(n).ok())
            .collect::<Option<Vec<usize>>>()
            .ok_or_else(|| at().corrupt("a dimension does not fit this machine"))?;
        let byte_len = entry
            .shape
            .iter()
            .try_fold(1u64, |product, &n| product.checked_mul(n))
            .and_then(|elements| dtype.byte_len(elements))
            .ok_or_else(|| at().corrupt("its shape overflows, or does not fill whole bytes"))?;
        if byte_len > limits.max_tensor_bytes {
            return Err(at().limit(format!(
                "{byte_len} decoded bytes, max_tensor_bytes is {}",
                limits.max_tensor_bytes
            )));
        }
        let recipe = match Recipe::parse(&entry.recipe) {
            Ok(recipe) => Some(recipe),
            Err(RecipeError::Unknown(_)) => None,
            Err(RecipeError::Invalid(what)) => return Err(at().corrupt(what)),
        };
        let [offset, encoded_len, head_len] = entry.data;
        if head_len > encoded_len {
            return Err(at().corrupt("its head is longer than its payload"));
        }
        if byte_len > encoded_len.saturating_mul(limits.max_expansion).max(1 << 20) {
            return Err(at().limit(format!(
                "{byte_len} decoded bytes from a payload of {encoded_len}, max_expansion is {}",
                limits.max_expansion
            )));
        }
        if head_len > limits.max_head_bytes {
            return Err(at().limit(format!(
                "a head of {head_len} bytes, max_head_bytes is {}",
                limits.max_head_bytes
            )));
        }
        Ok(Self {
            name: entry.name.clone().into_owned(),
            dtype,
            shape,
            byte_len,
            recipe_text: entry.recipe.clone().into_owned(),
            recipe,
            offset,
            encoded_len,
            head_len,
            digest: blake3::Hash::from_hex(entry.digest.as_bytes())
                .ok()
                .filter(|d| d.to_hex().as_str() == entry.digest)
                .ok_or_else(|| at().corrupt("its digest is no digest"))?,
            noise: entry.noise,
            loss: entry.loss,
            steps: entry.steps,
        })
    }
}
