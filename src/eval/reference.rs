//! The reference: computed once, and kept if asked.

use super::files::{self, ModelFiles};
use super::journal::Journal;
use super::models::Load;
use super::setting::Setting;
use crate::model::{CausalModel, ModelConfig};
use crate::{Error, Result};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock};

/// The reference's model, of which no more is loaded than is needed, and what it said before.
///
/// Of a text the last states before the head are saved, not the logits: those are `vocabulary / hidden
/// size` times as large (85 times for SmolLM2-135M), and the same bits come out of the head again.
pub(super) struct Reference {
    files: ModelFiles,
    config: ModelConfig,
    load: Load,
    whole: OnceLock<CausalModel>,
    head: OnceLock<CausalModel>,
    pub(super) saved: Option<Mutex<Journal>>,
}

impl Reference {
    pub(super) fn open(files: ModelFiles, config: ModelConfig, identity: &Value, load: &Load) -> Result<Self> {
        let saved = load.save_reference.as_deref().map(|path| match path.exists() {
            true => Journal::open(path, identity, true).map(|journal| (journal, true)),
            false => Journal::open(&unfinished(path), identity, false).map(|journal| (journal, false)),
        });
        let (saved, all_there) = saved.transpose()?.unzip();
        let reference = Self {
            files,
            config,
            load: load.clone(),
            whole: OnceLock::new(),
            head: OnceLock::new(),
            saved: saved.map(Mutex::new),
        };
        if all_there != Some(true) {
            reference.whole()?;
        }
        Ok(reference)
    }

    /// The whole model.
    pub(super) fn whole(&self) -> Result<&CausalModel> {
        get_or_load(&self.whole, || {
            load(&self.files, &self.config, &self.load, CausalModel::load)
        })
    }

    /// The model, or only as much of it as makes logits of states.
    pub(super) fn head(&self) -> Result<&CausalModel> {
        if let Some(whole) = self.whole.get() {
            return Ok(whole);
        }
        get_or_load(&self.head, || {
            load(&self.files, &self.config, &self.load, CausalModel::load_head)
        })
    }

    /// Gives the layers' memory back where what they say is saved.
    pub(super) fn rest(&mut self) {
        if self.saved.is_some() {
            self.whole.take();
        }
    }

    /// Gives the saved results their final name.
    pub(super) fn finish(&self) -> Result<()> {
        match self.saved.as_ref().zip(self.load.save_reference.as_deref()) {
            Some((journal, path)) => journal.lock().unwrap_or_else(|e| e.into_inner()).finish(path),
            None => Ok(()),
        }
    }
}

/// What all results of a reference depend on.
pub(super) fn identity(model: &ModelFiles, setting: &Setting, load: &Load) -> Result<Value> {
    Ok(json!({
        "model": model.digest()?,
        "config": files::digest(&setting.config_path)?,
        "tokenizer": files::digest(&setting.tokenizer_path)?,
        "bos": setting.encoder.bos(),
        "dtype": load.dtype.as_str(),
        "device": format!("{:?}", load.device.location()),
        "wcodec": env!("CARGO_PKG_VERSION"),
    }))
}

pub(super) fn load(
    files: &ModelFiles,
    config: &ModelConfig,
    load: &Load,
    model: fn(ModelConfig, candle_nn::VarBuilder) -> candle_core::Result<CausalModel>,
) -> Result<CausalModel> {
    let options = crate::candle::LoadOptions::default().decode(load.decode);
    let vb = super::weights::open(files, load.dtype, &load.device, options)?;
    // A file may have its tensors and not fit the configuration.
    model(config.clone(), vb).map_err(|e| match crate::candle::wcodec_error(&e) {
        Some(inner) => inner.clone(),
        None => Error::input(&files.name, Error::from(e).to_string()),
    })
}

fn get_or_load(cell: &OnceLock<CausalModel>, load: impl FnOnce() -> Result<CausalModel>) -> Result<&CausalModel> {
    if let Some(model) = cell.get() {
        return Ok(model);
    }
    let model = load()?;
    Ok(cell.get_or_init(|| model))
}

/// What the file is called until it is finished.
fn unfinished(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".partial");
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unfinished_file_stands_beside() {
        assert_eq!(unfinished(Path::new("a/b.ref")), Path::new("a/b.ref.partial"));
    }
}
