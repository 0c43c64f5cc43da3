//! Reading `.wcodec` files: list tensors, decode one, or some of its rows.

#[cfg(feature = "kernels")]
mod encoded;
#[cfg(feature = "encode")]
mod levels;

use crate::backend::Backend;
use crate::codec::{ChunkJob, Plan, Problem};
use crate::container::{self, Source, bytes_source, open_file, out_of_memory};
use crate::error::{Error, Location, Result, Section};
use crate::format::certificate::Certificate;
use crate::format::{Index, TensorInfo, checksum};
use crate::limits::Limits;
use std::borrow::Cow;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

/// How to decode.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct DecodeOptions {
    /// Instructions to use; `None` takes [`Backend::detect`]'s choice.
    pub backend: Option<Backend>,
    /// What a file may ask for.
    pub limits: Limits,
}

impl DecodeOptions {
    /// With this backend.
    pub fn backend(mut self, backend: Backend) -> Self {
        self.backend = Some(backend);
        self
    }

    /// With these limits.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }
}

/// An open `.wcodec` file. Cheap to clone, and safe to share between threads.
#[derive(Clone)]
pub struct Decoder {
    source: Arc<dyn Source>,
    index: Arc<Index>,
    backend: Backend,
}

impl std::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let tensors = self.index.tensors().len();
        f.debug_struct("Decoder")
            .field("file", &self.name())
            .field("tensors", &tensors)
            .finish_non_exhaustive()
    }
}

impl Decoder {
    /// Opens a file: reads and validates its prefix and index, nothing else. With the `mmap` feature
    /// the file is mapped, and must not be cut while it is open.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::NotWcodec`], [`Error::Version`], [`Error::Corrupt`], [`Error::Limit`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(path, DecodeOptions::default())
    }

    /// As [`Decoder::open`], with options.
    ///
    /// # Errors
    /// As [`Decoder::open`].
    pub fn open_with(path: impl AsRef<Path>, options: DecodeOptions) -> Result<Self> {
        let path = path.as_ref();
        let source = open_file(path).map_err(Error::io(format!("opening {}", path.display())))?;
        Self::from_source(Arc::from(source), options)
    }

    /// Reads a file that is in memory; `name` is what messages call it.
    ///
    /// # Errors
    /// As [`Decoder::open`].
    pub fn from_bytes(bytes: impl AsRef<[u8]> + Send + Sync + 'static, name: &str) -> Result<Self> {
        Self::from_bytes_with(bytes, name, DecodeOptions::default())
    }

    /// As [`Decoder::from_bytes`], with options.
    ///
    /// # Errors
    /// As [`Decoder::open`].
    pub fn from_bytes_with(
        bytes: impl AsRef<[u8]> + Send + Sync + 'static,
        name: &str,
        options: DecodeOptions,
    ) -> Result<Self> {
        Self::from_source(bytes_source(bytes, name), options)
    }

    /// Reads from any source.
    ///
    /// # Errors
    /// As [`Decoder::open`].
    pub fn from_source(source: Arc<dyn Source>, options: DecodeOptions) -> Result<Self> {
        let backend = Backend::choose(options.backend)?;
        let index = container::open(&*source, &options.limits)?;
        Ok(Self {
            source,
            index: Arc::new(index),
            backend,
        })
    }

    /// Says that these tensors are going to be decoded, each once, in any order: a source of HTTP ranges
    /// then fetches small neighbours together.
    #[cfg(feature = "hub")]
    #[cfg_attr(not(feature = "candle"), allow(dead_code))]
    pub(crate) fn expect(&self, wanted: impl Fn(&str) -> bool) {
        let tensors = self.index.tensors().iter().filter(|t| wanted(t.name()));
        let ranges = tensors.map(|t| t.offset()..t.offset() + t.encoded_len());
        self.source.expect(ranges.collect());
    }

    /// What messages call the file.
    pub fn name(&self) -> &str {
        self.source.name()
    }

    /// The validated index.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// What the file claims to cost in accuracy, if it claims something. Neither the figures nor that they are
    /// of this file has been looked at.
    ///
    /// # Errors
    /// As [`Certificate::parse`].
    pub fn certificate(&self) -> Result<Option<Certificate>> {
        let json = self.index.certificate_json();
        json.map(|json| Certificate::parse(json, self.name())).transpose()
    }

    /// The backend in use.
    pub fn backend(&self) -> Backend {
        self.backend
    }

    /// Bytes of the file.
    pub fn file_len(&self) -> u64 {
        self.source.len()
    }

    /// The tensors, in file order.
    pub fn tensors(&self) -> impl ExactSizeIterator<Item = Tensor<'_>> {
        self.index.tensors().iter().map(|info| Tensor { decoder: self, info })
    }

    /// The tensor of a name.
    ///
    /// # Errors
    /// [`Error::NoTensor`].
    pub fn tensor(&self, name: &str) -> Result<Tensor<'_>> {
        match self.index.tensor(name) {
            Some(info) => Ok(Tensor { decoder: self, info }),
            None => Err(Error::NoTensor {
                file: self.name().into(),
                name: name.into(),
                hint: self.hint(name),
            }),
        }
    }

    /// Suggests a tensor whose name ends alike.
    fn hint(&self, name: &str) -> String {
        let common = |other: &str| {
            other
                .bytes()
                .rev()
                .zip(name.bytes().rev())
                .take_while(|(a, b)| a == b)
                .count()
        };
        let best = self.index.tensors().iter().max_by_key(|t| common(t.name()));
        match best {
            Some(t) if common(t.name()) > 5 => format!("; did you mean {:?}?", t.name()),
            _ => format!("; it has {} tensors", self.index.tensors().len()),
        }
    }

    /// The original file's header, its 8 length bytes included, as it was; `None` if the file was not
    /// made from one.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Corrupt`].
    pub fn source_header(&self) -> Result<Option<Vec<u8>>> {
        let Some(source) = self.index.source() else {
            return Ok(None);
        };
        let at = || {
            Location::new(Section::SourceHeader)
                .file(self.name())
                .offset(source.header_offset)
        };
        let header = read(&*self.source, source.header_offset, source.header_len as usize, at)?;
        if checksum(&header) != source.header_checksum {
            return Err(at().corrupt("its checksum does not match"));
        }
        Ok(Some(header))
    }
}

fn read(source: &dyn Source, offset: u64, len: usize, at: impl Fn() -> Location) -> Result<Vec<u8>> {
    let mut buffer = Vec::new();
    buffer
        .try_reserve_exact(len)
        .map_err(|_| out_of_memory(at(), len as u64))?;
    buffer.resize(len, 0);
    source
        .read_at(offset, &mut buffer)
        .map_err(Error::io(format!("reading {}", at())))?;
    Ok(buffer)
}

/// Encoded bytes of a tensor above which mapped chunks are let go of one group after the other, so that
/// they are never all in memory beside what they decode to.
const HELD: u64 = 64 << 20;

/// A tensor of an open file.
#[derive(Clone, Copy, Debug)]
pub struct Tensor<'d> {
    decoder: &'d Decoder,
    info: &'d TensorInfo,
}

impl<'d> Tensor<'d> {
    /// What the index says of it.
    pub fn info(&self) -> &'d TensorInfo {
        self.info
    }

    /// Lets go of the encoded bytes, where they are mapped.
    #[cfg(any(feature = "safetensors", feature = "candle"))]
    pub(crate) fn release(&self) {
        self.decoder.source.release(self.info.offset(), self.info.encoded_len());
    }

    /// Decodes all of it: row-major, little-endian.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Corrupt`], [`Error::Unsupported`], [`Error::OutOfMemory`].
    pub fn decode(&self) -> Result<Vec<u8>> {
        // The plan first: it holds the payload to the size that the shape asks for.
        let source = self.gather_all()?;
        let plan = self.plan(&*source)?;
        plan.check_lengths().map_err(|p| self.error(p, Some(&plan)))?;
        let len = self.info.byte_len() as usize;
        // `vec!` takes zeroed pages that nobody has touched yet, but ends the process where there are
        // none: so the memory is asked for first.
        Vec::<u8>::new()
            .try_reserve_exact(len)
            .map_err(|_| out_of_memory(self.at(Section::Data), len as u64))?;
        let mut out = vec![0; len];
        self.decode_chunks(&*source, &plan, 0..plan.chunks(), &mut out)?;
        Ok(out)
    }

    /// Decodes all of it into `out`.
    ///
    /// # Errors
    /// As [`Tensor::decode`]; [`Error::Usage`] if `out` is not [`TensorInfo::byte_len`] long. After an
    /// error `out` holds anything.
    pub fn decode_into(&self, out: &mut [u8]) -> Result<()> {
        if out.len() as u64 != self.info.byte_len() {
            let (got, want) = (out.len(), self.info.byte_len());
            let name = self.info.name();
            return Err(Error::usage(format!(
                "tensor {name:?} takes a buffer of {want} bytes, not {got}"
            )));
        }
        let source = self.gather_all()?;
        let plan = self.plan(&*source)?;
        self.decode_chunks(&*source, &plan, 0..plan.chunks(), out)
    }

    /// Bytes of one row: one index of the first dimension. `None` for a scalar, or if rows do not
    /// fill whole bytes.
    pub fn row_len(&self) -> Option<u64> {
        // Without rows, the other dimensions may multiply to anything.
        let elements = self
            .info
            .shape()
            .get(1..)?
            .iter()
            .try_fold(1u64, |n, &d| n.checked_mul(d as u64))?;
        self.info.dtype().byte_len(elements)
    }

    /// Decodes rows (indices of the first dimension) into `out`, reading only the chunks that cover
    /// them.
    ///
    /// # Errors
    /// As [`Tensor::decode_into`]; [`Error::Usage`] if there are no such rows.
    pub fn decode_rows(&self, rows: Range<usize>, out: &mut [u8]) -> Result<()> {
        let bytes = self.row_bytes(rows.clone())?;
        if out.len() as u64 != bytes.end - bytes.start {
            let (name, want) = (self.info.name(), bytes.end - bytes.start);
            return Err(Error::usage(format!(
                "rows {rows:?} of {name:?} take {want} bytes, not {}",
                out.len()
            )));
        }
        self.decode_bytes(bytes, out)
    }

    /// Where rows are among the tensor's bytes.
    pub(crate) fn row_bytes(&self, rows: Range<usize>) -> Result<Range<u64>> {
        let name = self.info.name();
        let row = self
            .row_len()
            .ok_or_else(|| Error::usage(format!("tensor {name:?} has no rows of whole bytes")))?;
        let count = self.info.shape().first().copied().unwrap_or(0);
        if rows.start > rows.end || rows.end > count {
            return Err(Error::usage(format!("tensor {name:?} has {count} rows, not {rows:?}")));
        }
        Ok(rows.start as u64 * row..rows.end as u64 * row)
    }

    /// Decodes a range of the tensor's bytes.
    fn decode_bytes(&self, range: Range<u64>, out: &mut [u8]) -> Result<()> {
        if range.is_empty() {
            return Ok(());
        }
        let plan = self.plan(&*self.decoder.source)?;
        let size = plan.chunk_bytes() as u64;
        let (first, last) = (plan.range(range.start / size), plan.range((range.end - 1) / size));
        let source = &*self.gather(first.start..last.end, Section::Chunk)?;
        let chunk_range = |chunk: u64| chunk * size..self.info.byte_len().min((chunk + 1) * size);
        let partial = |chunk: u64, part: Range<u64>, out: &mut [u8]| -> Result<()> {
            let whole = chunk_range(chunk);
            let mut buffer = vec![0; (whole.end - whole.start) as usize];
            self.decode_chunks(source, &plan, chunk..chunk + 1, &mut buffer)?;
            out.copy_from_slice(&buffer[(part.start - whole.start) as usize..(part.end - whole.start) as usize]);
            Ok(())
        };
        // A first chunk in part, whole chunks, a last chunk in part.
        let (mut at, mut out) = (range.start, out);
        if !at.is_multiple_of(size) || range.end < chunk_range(at / size).end {
            let end = chunk_range(at / size).end.min(range.end);
            let (now, later) = std::mem::take(&mut out).split_at_mut((end - at) as usize);
            partial(at / size, at..end, now)?;
            (at, out) = (end, later);
        }
        let whole_end = if range.end == self.info.byte_len() {
            range.end
        } else {
            range.end / size * size
        };
        if at < whole_end {
            let (now, later) = std::mem::take(&mut out).split_at_mut((whole_end - at) as usize);
            self.decode_chunks(source, &plan, at / size..whole_end.div_ceil(size), now)?;
            (at, out) = (whole_end, later);
        }
        if at < range.end {
            partial(at / size, at..range.end, out)
        } else {
            Ok(())
        }
    }

    /// Decodes it and compares with the digest of the index.
    ///
    /// # Errors
    /// As [`Tensor::decode`]; [`Error::Corrupt`] if the digest is another.
    pub fn verify(&self) -> Result<()> {
        let digest = blake3::hash(&self.decode()?);
        if *digest.as_bytes() != self.info.digest() {
            return Err(self
                .at(Section::Data)
                .corrupt("the decoded data do not have the index's digest"));
        }
        Ok(())
    }

    /// Checks that head and chunks are there and have their checksums, without decoding.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Corrupt`], [`Error::Unsupported`].
    pub fn check(&self) -> Result<()> {
        let source = self.gather_all()?;
        let plan = self.plan(&*source)?;
        self.each_group(&*source, &plan, 0..plan.chunks(), &mut [], |jobs| plan.check(jobs))
    }

    fn at(&self, section: Section) -> Location {
        Location::new(section)
            .file(self.decoder.name())
            .tensor(self.info.name())
            .offset(self.info.offset())
    }

    /// What to read a part of this tensor from, by bytes from its offset: see [`Source::gather`].
    fn gather(&self, range: Range<u64>, section: Section) -> Result<Arc<dyn Source>> {
        let offset = self.info.offset();
        let gathered = self
            .decoder
            .source
            .gather(offset + range.start..offset + range.end)
            .map_err(|e| Error::io(format!("reading {}", self.at(section)))(e))?;
        Ok(gathered.unwrap_or_else(|| self.decoder.source.clone()))
    }

    fn gather_all(&self) -> Result<Arc<dyn Source>> {
        self.gather(0..self.info.encoded_len(), Section::Head)
    }

    fn plan(&self, source: &dyn Source) -> Result<Plan> {
        let len = self.info.head_len() as usize;
        let buffer;
        let head = match source.slice(self.info.offset(), len) {
            Some(head) => head,
            None => {
                buffer = read(source, self.info.offset(), len, || self.at(Section::Head))?;
                &buffer
            }
        };
        Plan::parse(self.info, head).map_err(|p| self.error(p, None))
    }

    fn error(&self, problem: Problem, plan: Option<&Plan>) -> Error {
        match problem {
            Problem::Head(what) => self.at(Section::Head).corrupt(what),
            Problem::Unknown(what) => self.at(Section::Index).unsupported(what),
            Problem::Chunk(chunk, what) => {
                let offset = plan.map_or(0, |plan| plan.range(chunk).start);
                self.at(Section::Chunk)
                    .chunk(chunk)
                    .offset(self.info.offset() + offset)
                    .corrupt(what)
            }
        }
    }

    /// Decodes whole chunks into `out`, on all cores if the `parallel` feature is on.
    fn decode_chunks(&self, source: &dyn Source, plan: &Plan, chunks: Range<u64>, out: &mut [u8]) -> Result<()> {
        self.each_group(source, plan, chunks, out, |jobs| {
            plan.decode(self.decoder.backend, jobs)
        })
    }

    /// Runs `work` over groups of chunks, as many as decode side by side, each with its part of `out`
    /// (or none, if `out` is empty).
    fn each_group(
        &self,
        source: &dyn Source,
        plan: &Plan,
        chunks: Range<u64>,
        out: &mut [u8],
        work: impl Fn(&mut [ChunkJob]) -> std::result::Result<(), Problem> + Sync,
    ) -> Result<()> {
        let group = plan.in_flight() as u64;
        let size = plan.chunk_bytes();
        let mut parts = out.chunks_mut(size * group as usize);
        let groups: Vec<(Range<u64>, &mut [u8])> = chunks
            .clone()
            .step_by(group as usize)
            .map(|first| (first..chunks.end.min(first + group), parts.next().unwrap_or_default()))
            .collect();
        let one = |(chunks, out): (Range<u64>, &mut [u8])| -> Result<()> {
            let bytes = |chunk: u64| -> Result<Cow<[u8]>> {
                let range = plan.range(chunk);
                let (offset, len) = (self.info.offset() + range.start, (range.end - range.start) as usize);
                match source.slice(offset, len) {
                    Some(bytes) => Ok(bytes.into()),
                    None => Ok(read(source, offset, len, || self.at(Section::Chunk).chunk(chunk))?.into()),
                }
            };
            let encoded = chunks.clone().map(bytes).collect::<Result<Vec<_>>>()?;
            let decodes = !out.is_empty();
            let mut outs = out.chunks_mut(size);
            let mut jobs: Vec<ChunkJob> = chunks
                .clone()
                .zip(&encoded)
                .map(|(index, bytes)| ChunkJob {
                    index,
                    bytes,
                    out: outs.next().unwrap_or_default(),
                })
                .collect();
            work(&mut jobs).map_err(|p| self.error(p, Some(plan)))?;
            if decodes && self.info.encoded_len() > HELD {
                let (first, last) = (plan.range(chunks.start), plan.range(chunks.end - 1));
                source.release(self.info.offset() + first.start, last.end - first.start);
            }
            Ok(())
        };
        #[cfg(feature = "parallel")]
        if groups.len() > 1 {
            use rayon::prelude::*;
            return groups.into_par_iter().try_for_each(one);
        }
        groups.into_iter().try_for_each(one)
    }
}
