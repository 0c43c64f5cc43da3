//! Writing `.wcodec` files.

use crate::backend::Backend;
use crate::codec::encode::{self, Effort, Encoded, Input, quantised::Quantised};
use crate::container::Writer;
use crate::dtype::DType;
use crate::error::{Error, Result};
use crate::format::{CHUNK_ALIGNMENT, IndexFile, SourceEntry, TensorEntry, checksum};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Bytes of data whose encoding is held back to be written beside the next encoding.
#[cfg(feature = "parallel")]
const MOST_PENDING: usize = 64 << 20;

/// What is asked of the encoder. The same input and options give the same bytes, on any CPU and with
/// any number of threads.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct EncodeOptions {
    /// How hard to try.
    pub effort: Effort,
    /// Instructions to encode with; `None`: what [`Backend::detect`] gives.
    pub backend: Option<Backend>,
}

impl EncodeOptions {
    /// Every bit kept.
    pub fn lossless() -> Self {
        Self::default()
    }

    /// With this effort.
    pub fn effort(mut self, effort: Effort) -> Self {
        self.effort = effort;
        self
    }

    /// With this backend.
    pub fn backend(mut self, backend: Backend) -> Self {
        self.backend = Some(backend);
        self
    }
}

/// Name, type and shape of a tensor that is going to be added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorSpec {
    /// The name.
    pub name: String,
    /// Type of the elements.
    pub dtype: DType,
    /// Sizes of the dimensions, outermost first. Empty for a scalar.
    pub shape: Vec<usize>,
}

impl TensorSpec {
    /// A tensor's name, type and shape.
    pub fn new(name: impl Into<String>, dtype: DType, shape: impl Into<Vec<usize>>) -> Self {
        Self {
            name: name.into(),
            dtype,
            shape: shape.into(),
        }
    }

    /// Bytes of its data. `None` if its shape overflows or does not fill whole bytes.
    pub fn byte_len(&self) -> Option<u64> {
        let elements = self.shape.iter().try_fold(1u64, |n, &d| n.checked_mul(d as u64))?;
        self.dtype.byte_len(elements)
    }
}

/// What was made of a tensor.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TensorReport {
    /// The name.
    pub name: String,
    /// Bytes of its data.
    pub bytes: u64,
    /// Bytes of its payload.
    pub encoded: u64,
    /// The recipe, as the index has it.
    pub recipe: String,
    /// Squared error of a quantised tensor against its squared weights.
    pub noise: Option<f64>,
    /// What the model is expected to lose by it, in nats a token, where that is known.
    pub loss: Option<f64>,
}

/// What was made of a file.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Report {
    /// Bytes of the tensors' data, and of the kept header.
    pub bytes: u64,
    /// Bytes of the file.
    pub encoded: u64,
    /// The tensors, in file order.
    pub tensors: Vec<TensorReport>,
}

/// The original file that is kept for byte-for-byte restoration.
#[derive(Clone, Debug)]
pub(crate) struct SourceFile {
    /// Everything before its data.
    pub(crate) header: Vec<u8>,
    pub(crate) bytes: u64,
    /// Whether tensors may be quantised: decoding gives another file then.
    pub(crate) lossy: bool,
    /// Bytes that the index leaves free, for a certificate.
    pub(crate) room: usize,
}

/// SHA-256 digests of files in hexadecimal.
#[derive(Clone, Debug)]
pub(crate) struct SourceDigests {
    /// Of the file that decoding gives.
    pub(crate) restored: String,
    /// Of the file that was encoded, where it is another.
    pub(crate) original: Option<String>,
}

impl SourceDigests {
    /// Digests in their full length, for the room that they take.
    fn widest(lossy: bool) -> Self {
        let digest = "0".repeat(64);
        Self {
            original: lossy.then(|| digest.clone()),
            restored: digest,
        }
    }
}

/// What a tensor holds.
#[derive(Clone, Copy)]
pub(crate) enum Content<'a> {
    /// Data of which every bit is kept, little-endian and row-major.
    Exact(&'a [u8]),
    /// A quantised matrix.
    #[cfg_attr(not(feature = "safetensors"), allow(dead_code))]
    Quantised(&'a Quantised),
}

impl Content<'_> {
    /// What decoding gives.
    pub(crate) fn decoded(&self) -> &[u8] {
        match self {
            Self::Exact(data) => data,
            Self::Quantised(quantised) => &quantised.decoded,
        }
    }
}

/// Writes one file. Tensors are declared first, then added in that order; the file appears under its
/// name with `finish`, and nothing is left if that is not reached.
pub struct Encoder {
    writer: Writer,
    effort: Effort,
    backend: Backend,
    path: PathBuf,
    specs: Vec<TensorSpec>,
    /// Tensors that are encoded but not yet written: that is done while the next are encoded.
    pending: Vec<Pending>,
    entries: Vec<TensorEntry<'static>>,
    reports: Vec<TensorReport>,
    source: Option<(SourceFile, [u64; 2])>,
    /// A write has failed: what is in the file is not known.
    broken: bool,
}

struct Pending {
    encoded: Encoded,
    digest: blake3::Hash,
    lost: Option<Lost>,
}

/// What the index says of a quantised tensor.
#[derive(Clone, Copy)]
struct Lost {
    noise: f64,
    loss: Option<f64>,
    steps: [f32; 3],
}

impl Lost {
    fn of(quantised: &Quantised) -> Self {
        Self {
            noise: quantised.noise,
            loss: quantised.loss.map(rounded),
            steps: quantised
                .levels
                .steps
                .range()
                .map(|step| rounded(f64::from(step)) as f32),
        }
    }
}

/// A number with four digits: for information, and short.
fn rounded(value: f64) -> f64 {
    format!("{value:.3e}").parse().unwrap_or(value)
}

impl Encoder {
    /// Starts a file of the tensors in `specs`.
    ///
    /// # Errors
    /// [`Error::Usage`] if two tensors have one name, a shape overflows, or the backend cannot run
    /// here; [`Error::Io`].
    pub fn create(path: impl AsRef<Path>, specs: Vec<TensorSpec>, options: EncodeOptions) -> Result<Self> {
        Self::create_with(path.as_ref(), specs, options, None)
    }

    pub(crate) fn create_with(
        path: &Path,
        specs: Vec<TensorSpec>,
        options: EncodeOptions,
        source: Option<SourceFile>,
    ) -> Result<Self> {
        let backend = Backend::choose(options.backend)?;
        let mut names: Vec<&str> = specs.iter().map(|s| s.name.as_str()).collect();
        names.sort_unstable();
        if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(Error::usage(format!("two tensors are named {:?}", pair[0])));
        }
        if let Some(spec) = specs.iter().find(|s| s.byte_len().is_none()) {
            return Err(Error::usage(format!(
                "the shape {:?} of {:?} does not make whole bytes",
                spec.shape, spec.name
            )));
        }
        let mut writer = Writer::create(path, index_room(&specs, source.as_ref())? as u64)?;
        let source = match source {
            None => None,
            Some(source) => {
                let range = writer.payload(std::iter::once(&source.header[..]), 1)?;
                Some((source, range))
            }
        };
        let (entries, reports) = (Vec::new(), Vec::new());
        Ok(Self {
            writer,
            effort: options.effort,
            backend,
            path: path.to_owned(),
            specs,
            pending: Vec::new(),
            entries,
            reports,
            source,
            broken: false,
        })
    }

    /// Adds the next tensor: its data row-major, little-endian.
    ///
    /// # Errors
    /// [`Error::Usage`] if it is not the next one, the data's length is another, or a write has failed
    /// before; [`Error::Io`].
    pub fn add(&mut self, name: &str, data: &[u8]) -> Result<()> {
        self.add_batch(&[(name, data)])
    }

    /// Adds the next tensors, encoding them side by side while those of the call before are written.
    ///
    /// # Errors
    /// As [`Encoder::add`].
    pub fn add_batch(&mut self, tensors: &[(&str, &[u8])]) -> Result<()> {
        let exact = |&(name, data)| (name, Content::Exact(data));
        self.add_contents(&tensors.iter().map(exact).collect::<Vec<_>>(), &|_, _| ())
    }

    /// As [`Encoder::add_batch`]; `used` is told of bytes of a tensor, counted in the batch, that will
    /// hardly be read again.
    pub(crate) fn add_contents(
        &mut self,
        tensors: &[(&str, Content)],
        used: &(dyn Fn(usize, Range<usize>) + Sync),
    ) -> Result<()> {
        self.whole()?;
        let first = self.entries.len() + self.pending.len();
        for (i, (name, content)) in tensors.iter().enumerate() {
            let data = content.decoded();
            let Some(spec) = self.specs.get(first + i) else {
                return Err(Error::usage(format!("tensor {name:?} was not declared")));
            };
            if spec.name != *name {
                return Err(Error::usage(format!("tensor {:?} is next, not {name:?}", spec.name)));
            }
            if spec.byte_len() != Some(data.len() as u64) {
                let want = spec.byte_len().unwrap_or(0);
                return Err(Error::usage(format!(
                    "tensor {name:?} has {want} bytes, not {}",
                    data.len()
                )));
            }
        }
        let specs = self.specs[first..first + tensors.len()].to_vec();
        let (effort, backend) = (self.effort, self.backend);
        let one = |i: usize| {
            let (spec, content) = (&specs[i], &tensors[i].1);
            // Hashing comes first: it reads the data in order, which brings it into the cache.
            let digest = blake3::hash(content.decoded());
            let (encoded, lost) = match content {
                Content::Exact(data) => {
                    let input = Input {
                        dtype: spec.dtype,
                        shape: &spec.shape,
                        data,
                        backend,
                        used: &|part| used(i, part),
                    };
                    (encode::encode(input, effort), None)
                }
                Content::Quantised(q) => (q.encode(backend), Some(Lost::of(q))),
            };
            Pending { encoded, digest, lost }
        };
        #[cfg(feature = "parallel")]
        {
            use rayon::prelude::*;
            let encode = || (0..tensors.len()).into_par_iter().with_max_len(1).map(one).collect();
            let (encoded, written) = rayon::join(encode, || self.write_pending());
            written?;
            self.pending = encoded;
            // More is not held back: it would be in memory beside the next.
            if tensors
                .iter()
                .map(|(_, content)| content.decoded().len())
                .sum::<usize>()
                > MOST_PENDING
            {
                self.write_pending()?;
            }
        }
        #[cfg(not(feature = "parallel"))]
        {
            self.pending = (0..tensors.len()).map(one).collect();
            self.write_pending()?;
        }
        Ok(())
    }

    /// After a failed write, the file can only be given up.
    fn whole(&self) -> Result<()> {
        let path = self.path.display();
        match self.broken {
            true => Err(Error::usage(format!("{path}: a write has failed: start the file anew"))),
            false => Ok(()),
        }
    }

    fn write_pending(&mut self) -> Result<()> {
        let written = self.write_all_pending();
        self.broken |= written.is_err();
        written
    }

    fn write_all_pending(&mut self) -> Result<()> {
        for Pending { encoded, digest, lost } in std::mem::take(&mut self.pending) {
            let spec = &self.specs[self.entries.len()];
            let parts = std::iter::once(&encoded.head[..]).chain(encoded.chunks.iter().map(|c| &c[..]));
            let [offset, len] = self.writer.payload(parts, CHUNK_ALIGNMENT)?;
            let recipe = encoded.recipe.to_string();
            let data = [offset, len, encoded.head.len() as u64];
            self.entries.push(entry(spec, &recipe, data, digest, lost));
            self.reports.push(TensorReport {
                name: spec.name.clone(),
                bytes: spec.byte_len().unwrap_or(0),
                encoded: len,
                recipe,
                noise: lost.map(|l| l.noise),
                loss: lost.and_then(|l| l.loss),
            });
        }
        Ok(())
    }

    /// Ends the file: writes the index, puts everything on the disk, and gives the file its name.
    ///
    /// # Errors
    /// [`Error::Usage`] if a declared tensor was not added; [`Error::Io`].
    pub fn finish(self) -> Result<Report> {
        self.finish_with(SourceDigests::widest(false))
    }

    /// As [`Encoder::finish`]; the digests are those of the source, if there is one.
    pub(crate) fn finish_with(mut self, digests: SourceDigests) -> Result<Report> {
        self.whole()?;
        self.write_pending()?;
        if let Some(missing) = self.specs.get(self.entries.len()) {
            let path = self.path.display();
            return Err(Error::usage(format!(
                "{path}: tensor {:?} was declared and not added",
                missing.name
            )));
        }
        let header = self.source.as_ref().map_or(0, |(source, _)| source.header.len() as u64);
        let source = self.source.as_ref().map(|(source, range)| (source, *range, digests));
        let encoded = self.writer.finish(index_json(source, self.entries)?)?;
        let bytes = header + self.reports.iter().map(|r| r.bytes).sum::<u64>();
        Ok(Report {
            bytes,
            encoded,
            tensors: self.reports,
        })
    }
}

/// Bytes that a file leaves for its index: with every number and recipe at its longest.
pub(crate) fn index_room(specs: &[TensorSpec], source: Option<&SourceFile>) -> Result<usize> {
    let (lossy, free) = source.map_or((false, 0), |s| (s.lossy, s.room));
    let widest = index_json(
        source.map(|source| (source, [u64::MAX; 2], SourceDigests::widest(lossy))),
        specs
            .iter()
            .map(|spec| entry(spec, "", [u64::MAX; 3], blake3::Hash::from_bytes([0; 32]), None))
            .collect(),
    )?;
    let recipe_len = |spec: &TensorSpec| {
        let columns = spec.shape.iter().product::<usize>().to_string().len();
        // Of a quantised tensor: at most 40 characters for the noise with its name, 20 for the loss, 45 for steps.
        80 + columns + if lossy { 105 } else { 0 }
    };
    let numbers = specs.len() * 3 * (20 - offset_digits(specs));
    Ok(free + widest.len() + specs.iter().map(recipe_len).sum::<usize>() - numbers)
}

/// Digits that an offset or length in the file takes at most.
fn offset_digits(specs: &[TensorSpec]) -> usize {
    // No tensor's payload is longer than its data and its chunk table and parameters.
    let longest: u128 = specs
        .iter()
        .map(|s| u128::from(s.byte_len().unwrap_or(0)) * 2 + (1 << 20))
        .sum();
    (longest * 2 + (1 << 32)).to_string().len().min(20)
}

fn entry(
    spec: &TensorSpec,
    recipe: &str,
    data: [u64; 3],
    digest: blake3::Hash,
    lost: Option<Lost>,
) -> TensorEntry<'static> {
    TensorEntry {
        name: spec.name.clone().into(),
        dtype: spec.dtype.name().into(),
        shape: spec.shape.iter().map(|&n| n as u64).collect(),
        recipe: recipe.to_owned().into(),
        data,
        digest: digest.to_hex().as_str().to_owned().into(),
        noise: lost.map(|l| l.noise),
        loss: lost.and_then(|l| l.loss),
        steps: lost.map(|l| l.steps),
    }
}

fn index_json(source: Option<(&SourceFile, [u64; 2], SourceDigests)>, tensors: Vec<TensorEntry>) -> Result<Vec<u8>> {
    let source = source.map(|(file, header, digests)| SourceEntry {
        format: "safetensors".into(),
        bytes: file.bytes,
        sha256: digests.restored.into(),
        original: digests.original.map(Into::into),
        header,
        checksum: format!("{:016x}", checksum(&file.header)).into(),
    });
    let index = IndexFile {
        wcodec: IndexFile::writer(),
        source,
        certificate: None,
        tensors,
    };
    json(&index)
}

fn json(index: &IndexFile) -> Result<Vec<u8>> {
    serde_json::to_vec(index).map_err(|e| Error::usage(format!("the index cannot be written: {e}")))
}

/// Puts a certificate into the room that was left for it in the index of a whole file. The file must be nobody
/// else's yet: it is changed where it lies.
#[cfg(feature = "eval")]
pub(crate) fn certify(path: &Path, certificate: &serde_json::value::RawValue) -> Result<()> {
    crate::container::rewrite_index(path, |old| {
        let mut index: IndexFile = serde_json::from_slice(old).map_err(|e| Error::usage(e.to_string()))?;
        index.certificate = Some(certificate);
        json(&index)
    })
}
