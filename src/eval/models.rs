//! The two models and their tokenizer.

use super::tokens::{Bos, TextEncoder};
use super::weights;
use crate::candle::{LoadOptions, wcodec_error};
use crate::error::display;
use crate::model::{CausalModel, ModelConfig};
use crate::{DecodeOptions, Error, Result};
use candle_core::DType;
use std::fs;
use std::path::{Path, PathBuf};

/// How to load models.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Load {
    /// Element type to compute in. Default F32.
    pub dtype: DType,
    /// `config.json` of both models. Default: the one beside each; a candidate without one has the
    /// reference's.
    pub config: Option<PathBuf>,
    /// `tokenizer.json`. Default: the one beside the reference, else beside the candidate.
    pub tokenizer: Option<PathBuf>,
    /// Whether texts begin with the beginning-of-text token.
    pub bos: Bos,
    /// How `.wcodec` files are decoded.
    pub decode: DecodeOptions,
}

impl Default for Load {
    fn default() -> Self {
        Self {
            dtype: DType::F32,
            config: None,
            tokenizer: None,
            bos: Bos::Auto,
            decode: DecodeOptions::default(),
        }
    }
}

/// A reference and a candidate in memory, on the CPU.
pub struct Models {
    pub(super) reference: CausalModel,
    pub(super) candidate: CausalModel,
    pub(super) encoder: TextEncoder,
}

impl Models {
    /// Loads both: each a safetensors or `.wcodec` file, a shard index, or a folder.
    ///
    /// # Errors
    /// [`Error::Input`] if a configuration or a tokenizer is missing or of no known kind, the models
    /// have different shapes, or a tensor is missing or of another shape; those of the files.
    pub fn open(reference: &Path, candidate: &Path, load: &Load) -> Result<Self> {
        let beside = |name: &str| [beside(reference, name), beside(candidate, name)];
        let find = |given: &Option<PathBuf>, name: &str, flag: &str| {
            let found = given.clone().or_else(|| beside(name).into_iter().find(|p| p.is_file()));
            found.ok_or_else(|| Error::input(display(reference), format!("no {name} beside it: give one with {flag}")))
        };
        let config = read_config(&find(&load.config, "config.json", "--config")?)?;
        let own = beside("config.json")[1].clone();
        let candidate_config = match own.is_file() && load.config.is_none() {
            true => read_config(&own)?,
            false => config.clone(),
        };
        if let Some(difference) = config.difference(&candidate_config) {
            let what = format!("the models have different shapes: {difference}");
            return Err(Error::input(display(candidate), what));
        }
        let encoder = TextEncoder::open(
            &find(&load.tokenizer, "tokenizer.json", "--tokenizer")?,
            load.bos,
            &config,
        )?;
        let options = LoadOptions::default().decode(load.decode);
        let open = |path: &Path, config: ModelConfig| {
            let vb = weights::open(path, load.dtype, options)?;
            // A file may have its tensors and not fit the configuration.
            CausalModel::load(config, vb).map_err(|e| match wcodec_error(&e) {
                Some(inner) => inner.clone(),
                None => Error::input(display(path), Error::from(e).to_string()),
            })
        };
        Ok(Self {
            reference: open(reference, config)?,
            candidate: open(candidate, candidate_config)?,
            encoder,
        })
    }

    /// Kind and sizes of both models.
    pub fn config(&self) -> &ModelConfig {
        self.reference.config()
    }

    /// The tokenizer.
    pub fn encoder(&self) -> &TextEncoder {
        &self.encoder
    }
}

pub(crate) fn beside(weights: &Path, name: &str) -> PathBuf {
    if weights.is_dir() {
        weights.join(name)
    } else {
        weights.parent().unwrap_or(Path::new("")).join(name)
    }
}

pub(crate) fn read_config(path: &Path) -> Result<ModelConfig> {
    let json = fs::read(path).map_err(Error::io(format!("reading {}", display(path))))?;
    ModelConfig::parse(&json, &display(path))
}
