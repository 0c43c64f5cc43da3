//! The reference: computed once, and kept if asked.

use super::files::{self, ModelFiles};
use super::journal::Journal;
use super::models::Load;
use super::setting::Setting;
use crate::model::{CausalModel, ModelConfig};
use crate::{Backend, Error, Result};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};

/// The version of the payloads that batches have.
const FORMAT: u32 = 2;

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
    pub(super) saved: Option<Arc<Mutex<Journal>>>,
}

impl Reference {
    /// `kept` are results so far, which have the reference's too where several candidates need them.
    pub(super) fn open(
        files: ModelFiles,
        config: ModelConfig,
        identity: &Value,
        load: &Load,
        kept: Option<&Arc<Mutex<Journal>>>,
    ) -> Result<Self> {
        let finished = load.save_reference.as_deref().is_some_and(Path::exists);
        let saved = match load.save_reference.as_deref() {
            Some(path) => {
                let identity = of_kind(identity, "the reference's results (--save-reference)");
                let journal = match finished {
                    true => Journal::open(path, &identity, true)?,
                    false => Journal::open(&unfinished(path), &identity, false)?,
                };
                Some(Arc::new(Mutex::new(journal)))
            }
            None => kept.filter(|_| load.several).cloned(),
        };
        let reference = Self {
            files,
            config,
            load: load.clone(),
            whole: OnceLock::new(),
            head: OnceLock::new(),
            saved,
        };
        if !finished {
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
    pub(super) fn release_layers(&mut self) {
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
        // Which instructions matrix products are computed with changes their last bits.
        "cpu": format!("{} {:?}", std::env::consts::ARCH, Backend::available().last()),
        "wcodec": env!("CARGO_PKG_VERSION"),
        "format": FORMAT,
    }))
}

/// The identity of a file that keeps this, so that none is taken for another.
pub(super) fn of_kind(identity: &Value, kind: &str) -> Value {
    let mut identity = identity.clone();
    identity["kind"] = kind.into();
    identity
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
