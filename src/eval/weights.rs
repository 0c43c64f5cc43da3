//! Weights from files of either kind.

use crate::candle::{LoadOptions, WcodecBackend, shards};
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
use std::path::Path;

/// A `VarBuilder` over a `.wcodec` or safetensors file, a shard index of either, or a folder with
/// files of one of the two kinds.
pub(super) fn open(path: &Path, dtype: DType, options: LoadOptions) -> Result<VarBuilder<'static>> {
    let is_safetensors = if path.is_dir() {
        let has = |extension| shards(path, extension).is_ok();
        match (has("wcodec"), has("safetensors")) {
            (true, true) => {
                let what = "the folder has .wcodec and .safetensors files: name one of them, or its shard index";
                return Err(Error::input(display(path), what));
            }
            (false, false) => {
                let what = "the folder has no .wcodec and no .safetensors file";
                return Err(Error::input(display(path), what));
            }
            (_, safetensors) => safetensors,
        }
    } else {
        let name = path.to_string_lossy();
        name.ends_with(".safetensors") || name.ends_with(".safetensors.index.json")
    };
    if !is_safetensors {
        return Ok(WcodecBackend::open(&[path], options)?.var_builder(dtype, &Device::Cpu));
    }
    let backend = SafetensorsFiles::open(path)?;
    Ok(VarBuilder::from_backend(Box::new(backend), dtype, Device::Cpu))
}

/// The tensors of safetensors files.
struct SafetensorsFiles {
    files: Vec<(MappedFile, usize, Metadata)>,
    /// File of each tensor.
    by_name: HashMap<String, usize>,
}

impl SafetensorsFiles {
    fn open(path: &Path) -> Result<Self> {
        let (mut files, mut by_name) = (Vec::new(), HashMap::new());
        for path in shards(path, "safetensors")? {
            let name = display(&path);
            let wrong = |what: String| Error::input(&name, format!("not a valid safetensors file: {what}"));
            let map = MappedFile::open(&path).map_err(Error::io(format!("opening {name}")))?;
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
        Ok(Self { files, by_name })
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

impl SimpleBackend for SafetensorsFiles {
    fn get(
        &self,
        shape: Shape,
        name: &str,
        _: candle_nn::Init,
        dtype: DType,
        device: &Device,
    ) -> candle_core::Result<Tensor> {
        let tensor = self.load(name, dtype, device)?;
        if tensor.shape() != &shape {
            let got = tensor.shape().clone();
            let msg = format!("shape mismatch for {name}");
            return Err(CandleError::UnexpectedShape {
                msg,
                expected: shape,
                got,
            }
            .bt());
        }
        Ok(tensor)
    }

    fn get_unchecked(&self, name: &str, dtype: DType, device: &Device) -> candle_core::Result<Tensor> {
        self.load(name, dtype, device)
    }

    fn contains_tensor(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }
}
