//! The two models and their tokenizer.

use super::files::{self, ModelFiles};
use super::journal::Journal;
use super::prompt::TooLong;
use super::reference::{Reference, identity, load, of_kind};
use super::setting::Setting;
use super::tokens::{Bos, TextEncoder};
use crate::model::{CausalModel, ModelConfig};
use crate::{DecodeOptions, Result};
use candle_core::{DType, Device};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// How to load models.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Load {
    /// Element type to compute in. Default F32.
    pub dtype: DType,
    /// Where to compute. Default: the CPU. Logits are looked at on the CPU.
    pub device: Device,
    /// `config.json` of both models. Default: the one beside each; a candidate without one has the
    /// reference's. Of two that ask for the same shapes each model is computed as its own says.
    pub config: Option<PathBuf>,
    /// `tokenizer.json`. Default: the one beside the reference, else beside the candidate. One beside the
    /// candidate that is another is refused, unless this names one for both.
    pub tokenizer: Option<PathBuf>,
    /// Whether texts begin with the beginning-of-text token.
    pub bos: Bos,
    /// What is done with items of tasks that are longer than the model's positions.
    pub too_long: TooLong,
    /// How `.wcodec` files are decoded.
    pub decode: DecodeOptions,
    /// File of the reference's results: if it is there, they are taken from it; otherwise they are
    /// written to it, under `NAME.partial` until [`Models::finish`]. What is there already of an
    /// unfinished file is used.
    pub save_reference: Option<PathBuf>,
    /// File of results so far: what is there is used, what is missing is added. [`Models::finish`]
    /// removes it, unless it has more than was asked for.
    pub resume: Option<PathBuf>,
    /// Whether several candidates are measured, one after the other: `resume` keeps the reference's results
    /// for all of them, if `save_reference` does not.
    pub several: bool,
}

impl Default for Load {
    fn default() -> Self {
        Self {
            dtype: DType::F32,
            device: Device::Cpu,
            config: None,
            tokenizer: None,
            bos: Bos::Auto,
            too_long: TooLong::Refuse,
            decode: DecodeOptions::default(),
            save_reference: None,
            resume: None,
            several: false,
        }
    }
}

/// A reference and a candidate in memory.
pub struct Models {
    load: Load,
    pub(super) reference: Reference,
    pub(super) candidate: CausalModel,
    /// The candidate's digest, where results are kept.
    candidate_digest: Value,
    pub(super) setting: Arc<Setting>,
    pub(super) kept: Option<Arc<Mutex<Journal>>>,
}

impl Models {
    /// Loads both: each a safetensors or `.wcodec` file, a shard index, or a folder.
    ///
    /// # Errors
    /// [`Error::Input`](crate::Error::Input) if a configuration or a tokenizer is missing or of no known kind, the models
    /// have different shapes, a tensor is missing or of another shape, or saved results are of other
    /// models; those of the files.
    pub fn open(reference: &Path, candidate: &Path, load: &Load) -> Result<Self> {
        Self::of_files(ModelFiles::find(reference)?, ModelFiles::find(candidate)?, load)
    }

    /// As [`Models::open`], of files that are known.
    ///
    /// # Errors
    /// As [`Models::open`].
    pub fn of_files(reference: ModelFiles, candidate: ModelFiles, load: &Load) -> Result<Self> {
        let setting = Arc::new(Setting::of(&reference, &candidate, load)?);
        Self::in_setting(setting, reference, &candidate, load)
    }

    /// As [`Models::of_files`], in a setting that was made before, with the same `load`: what several candidates
    /// are held to.
    ///
    /// # Errors
    /// As [`Models::open`].
    pub fn in_setting(
        setting: Arc<Setting>,
        reference: ModelFiles,
        candidate: &ModelFiles,
        load: &Load,
    ) -> Result<Self> {
        // Of the candidate first: it is the one that may not fit.
        let (model, digest) = open_candidate(candidate, &setting, load)?;
        let identity = match load.save_reference.is_some() || load.resume.is_some() {
            true => identity(&reference, &setting, load)?,
            false => Value::Null,
        };
        let so_far = of_kind(&identity, "results so far (--resume)");
        let kept = load.resume.as_deref().map(|path| Journal::open(path, &so_far, false));
        let kept = kept.transpose()?.map(|journal| Arc::new(Mutex::new(journal)));
        Ok(Self {
            reference: Reference::open(reference, setting.config.clone(), &identity, load, kept.as_ref())?,
            kept,
            candidate: model,
            candidate_digest: digest,
            setting,
            load: load.clone(),
        })
    }

    /// Puts another candidate in the place of the one before, whose memory is given back first.
    ///
    /// # Errors
    /// As [`Models::open`].
    pub fn replace_candidate(mut self, candidate: &ModelFiles) -> Result<Self> {
        self.reference.release_layers();
        drop(self.candidate);
        let (candidate, candidate_digest) = open_candidate(candidate, &self.setting, &self.load)?;
        Ok(Self {
            candidate,
            candidate_digest,
            ..self
        })
    }

    /// All is measured: saved results of the reference get their final name; results so far are removed,
    /// unless the file has some that were not asked for, of another run.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io).
    pub fn finish(self) -> Result<()> {
        self.reference.finish()?;
        match self.kept {
            Some(kept) => kept.lock().unwrap_or_else(|e| e.into_inner()).remove(),
            None => Ok(()),
        }
    }

    /// Kind and sizes of both models.
    pub fn config(&self) -> &ModelConfig {
        &self.setting.config
    }

    /// The tokenizer.
    pub fn encoder(&self) -> &TextEncoder {
        &self.setting.encoder
    }
}

fn open_candidate(files: &ModelFiles, setting: &Setting, options: &Load) -> Result<(CausalModel, Value)> {
    let (own, _) = setting.candidate(files)?;
    // The configuration may change what the same weights say.
    let digest = match (&options.resume, &files.config) {
        (None, _) => Value::Null,
        (Some(_), None) => json!({ "weights": files.digest()? }),
        (Some(_), Some(config)) => json!({ "weights": files.digest()?, "config": files::digest(config)? }),
    };
    Ok((load(files, &own, options, CausalModel::load)?, digest))
}

/// The key of a candidate's results.
pub(super) fn with_candidate(mut key: Value, models: &Models) -> Value {
    key["candidate"] = models.candidate_digest.clone();
    key
}
