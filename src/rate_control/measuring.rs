//! The models that probes are measured by.

use crate::Result;
use crate::error::display;
use crate::eval::{Load, ModelFiles, Models};
use std::path::{Path, PathBuf};

/// The models, from the first probe that is measured on.
pub(super) struct Measuring {
    models: Option<Models>,
    /// Where the reference's states are kept.
    saved: PathBuf,
}

impl Measuring {
    pub(super) fn new(saved: PathBuf) -> Self {
        Self { models: None, saved }
    }

    pub(super) fn of(&mut self, reference: &ModelFiles, probe: &Path) -> Result<&Models> {
        let candidate = match probe.is_dir() {
            true => ModelFiles::find(probe)?,
            false => ModelFiles {
                name: display(probe),
                weights: vec![probe.to_owned()],
                config: reference.config.clone(),
                tokenizer: reference.tokenizer.clone(),
            },
        };
        let models = match self.models.take() {
            Some(models) => models.replace_candidate(&candidate)?,
            None => {
                let load = Load {
                    save_reference: Some(self.saved.clone()),
                    ..Load::default()
                };
                Models::of_files(reference.clone(), candidate, &load)?
            }
        };
        Ok(self.models.insert(models))
    }

    pub(super) fn finish(self) -> Result<()> {
        self.models.map_or(Ok(()), Models::finish)
    }
}
