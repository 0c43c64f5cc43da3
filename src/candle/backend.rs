//! The backend of a `VarBuilder`.

use super::build::LastError;
use super::convert;
use super::options::LoadOptions;
use super::prefetch::{Ahead, natural_order};
use super::sharded::{ShardedBackend, ShardedVarBuilder};
use super::shards::shards;
use crate::container::MappedFile;
use crate::error::{Error, Result};
use crate::{Decoder, FileSource, Source, Tensor};
use candle_core::{DType, Device, Error as CandleError, Shape};
use candle_nn::VarBuilder;
use candle_nn::var_builder::{SimpleBackend, VarBuilderArgs};
use rayon::prelude::*;
use std::collections::HashMap;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

/// The tensors of one or several `.wcodec` files, for Candle. Cheap to clone: a clone kept aside
/// lists names and shapes while a `VarBuilder` serves a model.
#[derive(Clone)]
pub struct WcodecBackend {
    pub(super) shards: Arc<Shards>,
}

pub(super) struct Shards {
    decoders: Vec<Decoder>,
    /// Names in the order in which models mostly ask, each with its file.
    tensors: Vec<(String, usize)>,
    by_name: HashMap<String, usize>,
    pub(super) ahead: Ahead,
    huge_pages: bool,
    last_error: LastError,
    #[cfg(feature = "cuda")]
    pub(super) gpu: super::GpuDecode,
}

impl std::fmt::Debug for WcodecBackend {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WcodecBackend")
            .field("files", &self.shards.decoders)
            .finish_non_exhaustive()
    }
}

impl WcodecBackend {
    /// Opens one file, or the shards of a checkpoint, and checks them if `options` say so. A path may
    /// also be a shard index (`model.wcodec.index.json`), or a folder: then the shards are those of
    /// the index in it, or all its `.wcodec` files if it has none.
    ///
    /// # Errors
    /// As [`Decoder::open`]; [`Error::Input`] if two files have a tensor of one name, or a folder or
    /// shard index names no files; with checks on as [`WcodecBackend::check`].
    pub fn open<P: AsRef<Path>>(paths: &[P], options: LoadOptions) -> Result<Self> {
        let open = |path: &PathBuf| {
            let opening = || Error::io(format!("opening {}", path.display()));
            let map = if options.map {
                MappedFile::open(path).map_err(opening())?
            } else {
                None
            };
            let source: Arc<dyn Source> = match map {
                Some(map) => Arc::new(map),
                None => Arc::new(FileSource::open(path).map_err(opening())?),
            };
            Decoder::from_source(source, options.decode)
        };
        let paths: Vec<Vec<PathBuf>> = paths
            .iter()
            .map(|p| shards(p.as_ref(), "wcodec"))
            .collect::<Result<_>>()?;
        let decoders = paths.iter().flatten().map(open).collect::<Result<_>>()?;
        Self::from_decoders(decoders, options)
    }

    /// As [`WcodecBackend::open`], over files that are in memory.
    ///
    /// # Errors
    /// As [`WcodecBackend::open`].
    pub fn from_bytes<B: AsRef<[u8]> + Send + Sync + 'static>(
        shards: impl IntoIterator<Item = B>,
        options: LoadOptions,
    ) -> Result<Self> {
        let open = |(i, bytes): (usize, B)| {
            Decoder::from_bytes_with(bytes, &format!("shard {} in memory", i + 1), options.decode)
        };
        Self::from_decoders(
            shards.into_iter().enumerate().map(open).collect::<Result<_>>()?,
            options,
        )
    }

    /// As [`WcodecBackend::open`], over open files.
    ///
    /// # Errors
    /// As [`WcodecBackend::open`].
    pub fn from_decoders(decoders: Vec<Decoder>, options: LoadOptions) -> Result<Self> {
        Self::part(decoders, options, |_| true)
    }

    /// As [`WcodecBackend::from_decoders`], with only those tensors whose name `keep` takes: for a model
    /// that is loaded in part.
    ///
    /// # Errors
    /// As [`WcodecBackend::open`].
    pub fn part(decoders: Vec<Decoder>, options: LoadOptions, keep: impl Fn(&str) -> bool) -> Result<Self> {
        let mut tensors: Vec<(String, usize)> = Vec::new();
        for (file, decoder) in decoders.iter().enumerate() {
            let names = decoder.index().tensors().iter().map(|t| t.name());
            tensors.extend(names.filter(|name| keep(name)).map(|name| (name.to_owned(), file)));
        }
        tensors.sort_by(|(a, _), (b, _)| natural_order(a, b).then_with(|| a.cmp(b)));
        if let Some(pair) = tensors.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            let (name, other) = (&pair[0].0, decoders[pair[1].1].name());
            let what = format!("tensor {name:?} is in {other} too: are they shards of one checkpoint?");
            return Err(Error::input(decoders[pair[0].1].name(), what));
        }
        let by_name = tensors
            .iter()
            .enumerate()
            .map(|(i, (name, _))| (name.clone(), i))
            .collect();
        let ahead = Ahead::new(tensors.iter().map(|(name, _)| name.as_str()), options.ahead_bytes);
        let backend = Self {
            shards: Arc::new(Shards {
                decoders,
                tensors,
                by_name,
                ahead,
                huge_pages: options.huge_pages,
                last_error: LastError::default(),
                #[cfg(feature = "cuda")]
                gpu: options.gpu,
            }),
        };
        if options.check {
            backend.check()?;
        }
        Ok(backend)
    }

    /// Checks the heads and the checksums of all chunks of all tensors, on all cores, without
    /// decoding.
    ///
    /// # Errors
    /// As [`Tensor::check`], for the first tensor that is damaged.
    pub fn check(&self) -> Result<()> {
        let tensors: Vec<Tensor<'_>> = self.tensors().collect();
        tensors
            .par_iter()
            .find_map_first(|tensor| tensor.check().err())
            .map_or(Ok(()), Err)
    }

    /// Checks that these tensors are there and have these shapes. Other tensors may be there too.
    ///
    /// # Errors
    /// [`Error::NoTensor`] for the first that is missing, [`Error::Input`] for the first of another
    /// shape.
    pub fn require<N: AsRef<str>, S: AsRef<[usize]>>(&self, expected: &[(N, S)]) -> Result<()> {
        for (name, shape) in expected {
            let tensor = self.tensor(name.as_ref())?;
            if tensor.info().shape() != shape.as_ref() {
                let (has, wants) = (tensor.info().shape(), shape.as_ref());
                let what = format!(
                    "tensor {:?} has the shape {has:?}, the model wants {wants:?}",
                    name.as_ref()
                );
                let file = self
                    .shards
                    .by_name
                    .get(name.as_ref())
                    .map(|&i| self.shards.tensors[i].1);
                return Err(Error::input(
                    file.map_or("", |file| self.shards.decoders[file].name()),
                    what,
                ));
            }
        }
        Ok(())
    }

    /// The open files.
    pub fn decoders(&self) -> &[Decoder] {
        &self.shards.decoders
    }

    /// The tensors, file by file, in file order.
    pub fn tensors(&self) -> impl Iterator<Item = Tensor<'_>> {
        let all = self.shards.decoders.iter().flat_map(Decoder::tensors);
        all.filter(|tensor| self.contains(tensor.info().name()))
    }

    /// The tensors' names, file by file, in file order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors().map(|tensor| tensor.info().name())
    }

    /// Whether there is a tensor of that name. Looks at the index alone.
    pub fn contains(&self, name: &str) -> bool {
        self.shards.by_name.contains_key(name)
    }

    /// The tensor of a name, as the file has it.
    ///
    /// # Errors
    /// [`Error::NoTensor`].
    pub fn tensor(&self, name: &str) -> Result<Tensor<'_>> {
        match (self.shards.by_name.get(name), &self.shards.decoders[..]) {
            (Some(&i), _) => self.shards.tensor(i),
            // Its message may suggest a name.
            (None, [only]) if only.index().tensor(name).is_none() => only.tensor(name),
            (None, files) => {
                let file = files.iter().map(Decoder::name).collect::<Vec<_>>().join(", ");
                Err(Error::NoTensor {
                    file,
                    name: name.into(),
                    hint: String::new(),
                })
            }
        }
    }

    /// The bytes of a tensor as a one-dimensional tensor of U8: for types that Candle has not.
    ///
    /// # Errors
    /// `CannotFindTensor`; wcodec's errors, which [`wcodec_error`](super::wcodec_error) finds.
    pub fn raw_tensor(&self, name: &str, device: &Device) -> candle_core::Result<candle_core::Tensor> {
        let i = self.position(name)?;
        #[cfg(feature = "cuda")]
        if let Device::Cuda(gpu) = device
            && let Some(tensor) = self.load_bytes_on_gpu(i, gpu)?
        {
            return Ok(tensor);
        }
        convert::decode_raw(&self.shards.tensor(i)?)?.to_device(device)
    }

    /// A `VarBuilder` whose tensors come as `dtype`, on `device`.
    pub fn var_builder(&self, dtype: DType, device: &Device) -> VarBuilder<'static> {
        VarBuilder::from_backend(Box::new(self.clone()), dtype, device.clone())
    }

    /// Builds a model: `load` is given the `VarBuilder`. Where its code panics on an error of the
    /// weights, as `llama::Llama::load` does on a damaged tensor, that error comes back all the same (the
    /// panic's message goes to stderr nevertheless). Built one at a time: of two at once, one may be given
    /// the other's error.
    ///
    /// # Errors
    /// What `load` gives; where it panics, the error of the tensor asked for last, or else
    /// [`Error::Compute`] with the panic's message.
    pub fn build<M, E: From<Error>>(
        &self,
        dtype: DType,
        device: &Device,
        load: impl FnOnce(VarBuilder<'static>) -> std::result::Result<M, E>,
    ) -> std::result::Result<M, E> {
        let vb = self.var_builder(dtype, device);
        self.shards.last_error.build(|| load(vb))
    }

    /// A `VarBuilder` that hands out parts of tensors.
    pub fn sharded_var_builder(&self, dtype: DType, device: &Device) -> ShardedVarBuilder {
        VarBuilderArgs::new_with_args(ShardedBackend(self.clone()), dtype, device)
    }

    fn position(&self, name: &str) -> candle_core::Result<usize> {
        let position = self.shards.by_name.get(name).copied();
        position.ok_or_else(|| CandleError::CannotFindTensor { path: name.into() }.bt())
    }

    pub(super) fn stored_shape(&self, name: &str) -> candle_core::Result<Vec<usize>> {
        Ok(self.shards.tensor(self.position(name)?)?.info().shape().to_vec())
    }

    /// A tensor in its stored type.
    pub(super) fn stored(&self, name: &str, device: &Device) -> candle_core::Result<candle_core::Tensor> {
        let i = self.position(name)?;
        match self.load_on_device(i, device)? {
            Some(tensor) => Ok(tensor),
            None => self.shards.load(i, None)?.to_device(device),
        }
    }

    /// Rows of a tensor in its stored type.
    pub(super) fn stored_rows(
        &self,
        name: &str,
        rows: Range<usize>,
        device: &Device,
    ) -> candle_core::Result<candle_core::Tensor> {
        let tensor = self.shards.tensor(self.position(name)?)?;
        #[cfg(feature = "cuda")]
        if let Device::Cuda(gpu) = device
            && let Some(tensor) = self.load_rows_on_gpu(&tensor, rows.clone(), gpu)?
        {
            return Ok(tensor);
        }
        convert::decode(&tensor, Some(rows), self.shards.huge_pages)?.to_device(device)
    }

    /// A tensor in its stored type if a GPU is to decode it.
    #[cfg_attr(not(feature = "cuda"), allow(unused_variables, clippy::unused_self))]
    fn load_on_device(&self, i: usize, device: &Device) -> candle_core::Result<Option<candle_core::Tensor>> {
        #[cfg(feature = "cuda")]
        if let Device::Cuda(gpu) = device {
            return self.load_on_gpu(i, gpu);
        }
        Ok(None)
    }

    fn load(&self, i: usize, dtype: DType, device: &Device) -> candle_core::Result<candle_core::Tensor> {
        if let Some(tensor) = self.load_on_device(i, device)? {
            return tensor.to_dtype(dtype);
        }
        // Conversion is the device's work, as in Candle's own backends.
        let convert = device.is_cpu().then_some(dtype);
        let ready = self.shards.ahead.take(i, convert);
        self.work_ahead(i, convert);
        let tensor = match ready {
            Some(tensor) => tensor,
            None => self.shards.load(i, convert)?,
        };
        tensor.to_device(device)?.to_dtype(dtype)
    }

    /// Has the pool decode what will be asked next.
    fn work_ahead(&self, i: usize, convert: Option<DType>) {
        let memory = |i| {
            self.shards
                .tensor(i)
                .map_or(u64::MAX, |tensor| convert::memory(&tensor, convert))
        };
        for next in self.shards.ahead.plan(i, memory) {
            let shards = Arc::downgrade(&self.shards);
            rayon::spawn_fifo(move || decode_ahead(&shards, next, convert));
        }
    }
}

/// Decodes one tensor ahead, if the model still wants it and has not asked for it by now.
fn decode_ahead(shards: &Weak<Shards>, i: usize, convert: Option<DType>) {
    let Some(shards) = shards.upgrade() else { return };
    let Some(started) = shards.ahead.start(i) else { return };
    // An error, or a panic, comes again where the model asks.
    let tensor = catch_unwind(AssertUnwindSafe(|| shards.load(i, convert)))
        .ok()
        .and_then(candle_core::Result::ok);
    shards.ahead.finish(started, tensor, convert);
}

impl Shards {
    pub(super) fn tensor(&self, i: usize) -> Result<Tensor<'_>> {
        let (name, file) = &self.tensors[i];
        self.decoders[*file].tensor(name)
    }

    fn load(&self, i: usize, convert: Option<DType>) -> candle_core::Result<candle_core::Tensor> {
        let stored = self.tensor(i)?;
        let tensor = convert::decode(&stored, None, self.huge_pages)?;
        stored.release();
        match convert {
            Some(dtype) => tensor.to_dtype(dtype),
            None => Ok(tensor),
        }
    }
}

impl SimpleBackend for WcodecBackend {
    fn get(
        &self,
        shape: Shape,
        name: &str,
        _: candle_nn::Init,
        dtype: DType,
        device: &Device,
    ) -> candle_core::Result<candle_core::Tensor> {
        let get = || {
            let i = self.position(name)?;
            let got = Shape::from(self.shards.tensor(i)?.info().shape());
            convert::same_shape(name, &got, &shape)?;
            self.load(i, dtype, device)
        };
        self.shards.last_error.note(get())
    }

    fn get_unchecked(&self, name: &str, dtype: DType, device: &Device) -> candle_core::Result<candle_core::Tensor> {
        let get = || self.load(self.position(name)?, dtype, device);
        self.shards.last_error.note(get())
    }

    fn contains_tensor(&self, name: &str) -> bool {
        self.contains(name)
    }
}
