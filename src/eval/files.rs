//! The files that a model is made of, and what tells them apart from another's.

use crate::candle::{SafetensorsBackend, shards};
use crate::error::display;
use crate::model::ModelConfig;
use crate::{Decoder, Error, Result};
use blake3::Hasher;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// A model's files on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelFiles {
    /// What the model is called in reports and messages.
    pub name: String,
    /// Weights: `.wcodec` files or safetensors files, in order.
    pub weights: Vec<PathBuf>,
    /// `config.json`, if there is one.
    pub config: Option<PathBuf>,
    /// `tokenizer.json`, if there is one.
    pub tokenizer: Option<PathBuf>,
}

/// A tensor as a file has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredTensor {
    /// Its name.
    pub name: String,
    /// Its elements: of quantised weights not the number of weights.
    pub elements: u64,
    /// Bytes that it takes.
    pub bytes: u64,
    /// Type of its elements, by its name in safetensors.
    pub dtype: String,
}

impl StoredTensor {
    /// Whether it belongs to a linear layer of a block: what quantisers are usually rated by.
    pub fn is_linear(&self) -> bool {
        self.name.contains(".layers.") && self.name.contains("_proj.")
    }
}

impl ModelFiles {
    /// The files behind a `.wcodec` or safetensors file, a shard index of either, or a folder with files
    /// of one of the two kinds; `config.json` and `tokenizer.json` beside them.
    ///
    /// # Errors
    /// [`Error::Input`] if a folder has no weights, or both kinds; those of reading a folder or an index.
    pub fn find(path: &Path) -> Result<Self> {
        let folder = if path.is_dir() {
            path
        } else {
            path.parent().unwrap_or(Path::new(""))
        };
        let beside = |name: &str| Some(folder.join(name)).filter(|p| p.is_file());
        Ok(Self {
            name: display(path),
            weights: shards(path, kind(path)?)?,
            config: beside("config.json"),
            tokenizer: beside("tokenizer.json"),
        })
    }

    /// All of the files.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        let files = self.weights.iter().chain(&self.config).chain(&self.tokenizer);
        files.map(PathBuf::as_path)
    }

    /// The safetensors files behind a file, or those of a folder whose name `wanted` takes: what an encoder
    /// reads.
    ///
    /// # Errors
    /// [`Error::Input`] if there is no such file; [`Error::Io`].
    pub(crate) fn original(path: &Path, wanted: &dyn Fn(&OsStr) -> bool) -> Result<Self> {
        let (folder, weights) = match path.is_dir() {
            true => (path, shards(path, "safetensors")?),
            false => (path.parent().unwrap_or(Path::new("")), vec![path.to_owned()]),
        };
        let is_wanted = |file: &PathBuf| !path.is_dir() || file.file_name().is_some_and(wanted);
        let beside = |name: &str| Some(folder.join(name)).filter(|p| p.is_file() && is_wanted(p));
        Ok(Self {
            name: display(path),
            weights: weights.into_iter().filter(is_wanted).collect(),
            config: beside("config.json"),
            tokenizer: beside("tokenizer.json"),
        })
    }

    /// Whether the weights are `.wcodec` files.
    pub(super) fn is_encoded(&self) -> bool {
        !self
            .weights
            .iter()
            .any(|w| w.extension().is_some_and(|e| e == "safetensors"))
    }

    /// Bytes of the weights' files; of a safetensors file that holds what another format decodes to, those that
    /// its tensors take there (see [`ModelFiles::tensors`]).
    ///
    /// # Errors
    /// [`Error::Io`]; those of [`ModelFiles::tensors`].
    pub fn bytes(&self) -> Result<u64> {
        if !self.is_encoded() && self.stored(&SafetensorsBackend::open(&self.weights)?)?.is_some() {
            return Ok(self.tensors()?.iter().map(|t| t.bytes).sum());
        }
        let len = |path: &PathBuf| fs::metadata(path).map(|m| m.len());
        let reading = |e| Error::io(format!("reading {}", self.name))(e);
        self.weights
            .iter()
            .map(len)
            .sum::<std::io::Result<u64>>()
            .map_err(reading)
    }

    /// All tensors, as they are stored. A safetensors file may hold what another format decodes to: its metadata
    /// has, under `stored_bytes`, a JSON object with the bytes that tensors take there.
    ///
    /// # Errors
    /// Those of opening the files; [`Error::Input`] if `stored_bytes` is no such object.
    pub fn tensors(&self) -> Result<Vec<StoredTensor>> {
        let elements = |shape: &[usize]| shape.iter().map(|&d| d as u64).product::<u64>();
        if !self.is_encoded() {
            let tensors = SafetensorsBackend::open(&self.weights)?;
            let elsewhere = self.stored(&tensors)?.unwrap_or_default();
            let stored = tensors.tensors().map(|(name, dtype, shape, bytes)| StoredTensor {
                bytes: elsewhere.get(&name).copied().unwrap_or(bytes),
                name,
                dtype,
                elements: elements(&shape),
            });
            return Ok(stored.collect());
        }
        let mut all = Vec::new();
        for path in &self.weights {
            let file = Decoder::open(path)?;
            all.extend(file.index().tensors().iter().map(|t| StoredTensor {
                name: t.name().to_owned(),
                elements: elements(t.shape()),
                bytes: t.encoded_len(),
                dtype: t.dtype().to_string(),
            }));
        }
        Ok(all)
    }

    /// Bytes that tensors take in the format that they come from; `None` if that is safetensors.
    fn stored(&self, tensors: &SafetensorsBackend) -> Result<Option<HashMap<String, u64>>> {
        const KEY: &str = "stored_bytes";
        let mut all = None;
        for json in tensors.metadata(KEY) {
            let bytes: HashMap<String, u64> = serde_json::from_str(json)
                .map_err(|e| Error::input(&self.name, format!("{KEY} in its metadata: {e}")))?;
            all.get_or_insert_with(HashMap::new).extend(bytes);
        }
        Ok(all)
    }

    pub(crate) fn read_config(path: &Path) -> Result<ModelConfig> {
        let json = fs::read(path).map_err(Error::io(format!("reading {}", display(path))))?;
        ModelConfig::parse(&json, &display(path))
    }

    /// BLAKE3 of the weights, all bytes of all files in order.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn digest(&self) -> Result<String> {
        let mut hasher = Hasher::new();
        for path in &self.weights {
            let reading = || Error::io(format!("reading {}", display(path)));
            let file = File::open(path).map_err(reading())?;
            hasher.update_reader(file).map_err(reading())?;
        }
        Ok(hasher.finalize().to_hex().to_string())
    }
}

/// The extension of the weights that a path stands for.
fn kind(path: &Path) -> Result<&'static str> {
    if !path.is_dir() {
        let name = path.to_string_lossy();
        let plain = name.ends_with(".safetensors") || name.ends_with(".safetensors.index.json");
        return Ok(if plain { "safetensors" } else { "wcodec" });
    }
    let has = |extension| shards(path, extension).is_ok();
    let what = match (has("wcodec"), has("safetensors")) {
        (true, false) => return Ok("wcodec"),
        (false, true) => return Ok("safetensors"),
        (true, true) => "the folder has .wcodec and .safetensors files: name one of them, or its shard index",
        (false, false) => "the folder has no .wcodec and no .safetensors file",
    };
    Err(Error::input(display(path), what))
}

/// BLAKE3 of a file's content.
pub(super) fn digest(path: &Path) -> Result<Value> {
    let bytes = fs::read(path).map_err(Error::io(format!("reading {}", display(path))))?;
    Ok(json!(blake3::hash(&bytes).to_hex().as_str()))
}
