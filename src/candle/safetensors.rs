//! Safetensors files behind a `VarBuilder`: what is compared with `.wcodec` files, or not yet one.

use super::build::LastError;
use super::convert::same_shape;
use super::expected::ExpectedTensor;
use super::shards::shards;
use crate::container::{MappedFile, Source};
use crate::error::display;
use crate::{Error, Result};
use candle_core::safetensors::Load;
use candle_core::{DType, Device, Error as CandleError, Shape, Tensor};
use candle_nn::VarBuilder;
use candle_nn::var_builder::SimpleBackend;
use safetensors::SafeTensors;
use safetensors::tensor::{Metadata, TensorView};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// The tensors of safetensors files. Unlike Candle's own loader it takes folders and shard indexes, and
/// lets go of each mapped tensor once it is copied.
pub struct SafetensorsBackend {
    paths: Vec<PathBuf>,
    files: Vec<(MappedFile, usize, Metadata)>,
    /// File of each tensor.
    by_name: HashMap<String, usize>,
}

impl SafetensorsBackend {
    /// Opens files, shard indexes, or folders.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Input`] if a file is no valid safetensors, two have a tensor of one name,
    /// or a folder has none.
    pub fn open<P: AsRef<Path>>(paths: &[P]) -> Result<Self> {
        let paths: Vec<Vec<PathBuf>> = paths
            .iter()
            .map(|p| shards(p.as_ref(), "safetensors"))
            .collect::<Result<_>>()?;
        let paths = paths.concat();
        let (mut files, mut by_name) = (Vec::new(), HashMap::new());
        for path in &paths {
            let name = display(path);
            let wrong = |what: String| Error::input(&name, format!("not a valid safetensors file: {what}"));
            let map = MappedFile::open(path).map_err(Error::io(format!("opening {name}")))?;
            let map = map.ok_or_else(|| wrong("it is empty, or cannot be mapped".into()))?;
            let (header, metadata) = SafeTensors::read_metadata(map.bytes()).map_err(|e| wrong(e.to_string()))?;
            for tensor in metadata.tensors().into_keys() {
                if by_name.insert(tensor.clone(), files.len()).is_some() {
                    return Err(wrong(format!("tensor {tensor:?} is in another shard too")));
                }
            }
            // A length of 8 bytes stands before the header.
            files.push((map, 8 + header, metadata));
        }
        Ok(Self { paths, files, by_name })
    }

    /// The files.
    pub fn paths(&self) -> &[PathBuf] {
        &self.paths
    }

    /// Name, element type as the header names it, shape and bytes of every tensor.
    pub fn tensors(&self) -> impl Iterator<Item = (String, String, Vec<usize>, u64)> {
        let tensors = self.files.iter().flat_map(|(.., metadata)| metadata.tensors());
        tensors.map(|(name, info)| {
            let (from, to) = info.data_offsets;
            (name, info.dtype.to_string(), info.shape.clone(), (to - from) as u64)
        })
    }

    /// What the metadata of the files says under a key.
    #[cfg(feature = "eval")]
    pub(crate) fn metadata(&self, key: &str) -> impl Iterator<Item = &str> {
        let maps = self.files.iter().filter_map(|(.., file)| file.metadata().as_ref());
        maps.filter_map(move |map| map.get(key)).map(String::as_str)
    }

    /// Checks that these tensors are there and have these shapes.
    ///
    /// # Errors
    /// [`Error::Input`] for the first that is missing or of another shape.
    pub fn require(&self, expected: &[ExpectedTensor]) -> Result<()> {
        for (name, shape) in expected {
            let file = self.by_name.get(name).copied();
            let what = match file.and_then(|i| self.files[i].2.info(name)) {
                Some(info) if info.shape == *shape => continue,
                Some(info) => format!(
                    "tensor {name:?} has the shape {:?}, the model wants {shape:?}",
                    info.shape
                ),
                None => format!("there is no tensor {name:?}, which the model wants"),
            };
            let path = self.paths.get(file.unwrap_or(0));
            return Err(Error::input(path.map_or(String::new(), display), what));
        }
        Ok(())
    }

    /// A `VarBuilder` whose tensors come as `dtype`, on `device`.
    pub fn var_builder(self, dtype: DType, device: &Device) -> VarBuilder<'static> {
        VarBuilder::from_backend(Box::new(self), dtype, device.clone())
    }

    /// Builds a model, as [`WcodecBackend::build`](super::WcodecBackend::build).
    ///
    /// # Errors
    /// What `load` gives, or [`Error::Compute`] if it panics.
    pub fn build<M, E: From<Error>>(
        self,
        dtype: DType,
        device: &Device,
        load: impl FnOnce(VarBuilder<'static>) -> std::result::Result<M, E>,
    ) -> std::result::Result<M, E> {
        let vb = self.var_builder(dtype, device);
        LastError::default().build(|| load(vb))
    }

    fn load(&self, name: &str, dtype: DType, device: &Device) -> candle_core::Result<Tensor> {
        let missing = || CandleError::CannotFindTensor { path: name.into() }.bt();
        let (map, start, metadata) = self.by_name.get(name).map(|&i| &self.files[i]).ok_or_else(missing)?;
        let info = metadata.info(name).ok_or_else(missing)?;
        let (from, to) = info.data_offsets;
        let data = map.slice((start + from) as u64, to - from).ok_or_else(missing)?;
        let tensor = TensorView::new(info.dtype, info.shape.clone(), data)?.load(device)?;
        map.release((start + from) as u64, (to - from) as u64);
        tensor.to_dtype(dtype)
    }
}

impl SimpleBackend for SafetensorsBackend {
    fn get(
        &self,
        shape: Shape,
        name: &str,
        _: candle_nn::Init,
        dtype: DType,
        device: &Device,
    ) -> candle_core::Result<Tensor> {
        let tensor = self.load(name, dtype, device)?;
        same_shape(name, tensor.shape(), &shape)?;
        Ok(tensor)
    }

    fn get_unchecked(&self, name: &str, dtype: DType, device: &Device) -> candle_core::Result<Tensor> {
        self.load(name, dtype, device)
    }

    fn contains_tensor(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }
}
