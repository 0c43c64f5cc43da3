//! What the models of a measurement have in common, before either is loaded.

use super::At;
use super::files::ModelFiles;
use super::items::Item;
use super::models::Load;
use super::prompt::{Prompts, TooLong};
use super::text::{Cut, TextOptions, digest};
use super::tokens::{TextEncoder, same_tokenizer};
use crate::error::display;
use crate::model::ModelConfig;
use crate::{Error, Progress, Result};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

/// The configuration that models are held to, the tokenizer, and what is done with what is too long.
///
/// It takes no weights, so that mistakes in texts and tasks are found before the work.
pub struct Setting {
    pub(super) config: ModelConfig,
    pub(super) config_path: PathBuf,
    pub(super) tokenizer_path: PathBuf,
    pub(super) encoder: TextEncoder,
    pub(super) too_long: TooLong,
    /// Whether a candidate's own files do not count.
    given: Given,
    /// Texts that were cut before, by their digest and how.
    cuts: Mutex<HashMap<String, Arc<Cut>>>,
}

#[derive(Clone, Copy)]
struct Given {
    config: bool,
    tokenizer: bool,
}

impl Setting {
    /// From the files beside the reference, those beside the candidate if it has none, or those that
    /// `load` names. Of several candidates it is the first: all are held to one setting.
    ///
    /// # Errors
    /// [`Error::Input`] if one is missing or of no known kind.
    pub fn of(reference: &ModelFiles, candidate: &ModelFiles, load: &Load) -> Result<Self> {
        let missing = |name: &str, flag: &str| {
            Error::input(&reference.name, format!("no {name} beside it: give one with {flag}"))
        };
        let either = |given: &Option<PathBuf>, file: fn(&ModelFiles) -> &Option<PathBuf>| {
            given
                .clone()
                .or_else(|| file(reference).clone())
                .or_else(|| file(candidate).clone())
        };
        let config_path = either(&load.config, |files| &files.config);
        let config_path = config_path.ok_or_else(|| missing("config.json", "--config"))?;
        let config = ModelFiles::read_config(&config_path)?;
        let tokenizer_path = either(&load.tokenizer, |files| &files.tokenizer);
        let tokenizer_path = tokenizer_path.ok_or_else(|| missing("tokenizer.json", "--tokenizer"))?;
        Ok(Self {
            encoder: TextEncoder::open(&tokenizer_path, load.bos, &config)?,
            config,
            config_path,
            tokenizer_path,
            too_long: load.too_long,
            given: Given {
                config: load.config.is_some(),
                tokenizer: load.tokenizer.is_some(),
            },
            cuts: Mutex::default(),
        })
    }

    /// Kind and sizes of both models.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// A candidate's configuration, and in what it differs although the shapes are the same: the candidate is
    /// computed as its own configuration says. With a configuration that was named, that is both models'.
    ///
    /// # Errors
    /// [`Error::Input`] if the candidate's configuration asks for other shapes, or its tokenizer is another.
    pub fn candidate(&self, files: &ModelFiles) -> Result<(ModelConfig, Vec<String>)> {
        if let Some(own) = files.tokenizer.as_ref().filter(|_| !self.given.tokenizer)
            && !same_tokenizer(&self.tokenizer_path, own)?
        {
            let what = format!(
                "its tokenizer {} is not that of the reference, {}: both models have to read the same tokens; if they \
                 do, name one for both with --tokenizer",
                display(own),
                display(&self.tokenizer_path)
            );
            return Err(Error::input(&files.name, what));
        }
        let Some(path) = files.config.as_ref().filter(|_| !self.given.config) else {
            return Ok((self.config.clone(), Vec::new()));
        };
        let mut own = ModelFiles::read_config(path)?;
        if let Some(difference) = self.config.difference(&own) {
            let (theirs, own) = (display(&self.config_path), display(path));
            let what = format!("the models have different shapes: {difference} ({theirs} and {own})");
            return Err(Error::input(&files.name, what));
        }
        let differences = self.config.other_differences(&own).into_iter();
        let said = differences.map(|what| format!("{what} ({} and {})", display(&self.config_path), display(path)));
        let said = said.collect();
        // Only a bound of the input, which is the same for both.
        own.positions = self.config.positions;
        Ok((own, said))
    }

    /// Finds what [`measure_text`](super::measure_text) would refuse of a text.
    ///
    /// # Errors
    /// As there.
    pub fn check_text(&self, texts: &[(At, String)], options: &TextOptions) -> Result<()> {
        self.cut(texts, options).map(drop)
    }

    /// Texts in windows, tokenised once for all models.
    pub(super) fn cut(&self, texts: &[(At, String)], options: &TextOptions) -> Result<Arc<Cut>> {
        let key = format!("{} {options:?}", digest(texts));
        let mut cuts = self.cuts.lock().unwrap_or_else(|e| e.into_inner());
        if let Some(cut) = cuts.get(&key) {
            return Ok(cut.clone());
        }
        let cut = Arc::new(Cut::new(texts, &self.encoder, &self.config, options)?);
        cuts.insert(key, cut.clone());
        Ok(cut)
    }

    /// Finds what [`measure_task`](super::measure_task) would refuse of a task. Progress is in items.
    ///
    /// # Errors
    /// As there.
    pub fn check_task(&self, items: &[Item], progress: &dyn Progress) -> Result<()> {
        progress.start(items.len() as u64);
        self.prompts(items, progress).map(drop)
    }

    pub(super) fn prompts<'a>(&self, items: &'a [Item], progress: &dyn Progress) -> Result<Prompts<'a>> {
        Prompts::new(items, &self.encoder, &self.config, self.too_long, progress)
    }
}
