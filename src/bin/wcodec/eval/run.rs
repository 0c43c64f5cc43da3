//! All candidates, one after the other, on all texts and tasks.

use super::report::{Candidate, Measured, Report, labels};
use crate::Global;
use crate::failure::Failure;
use crate::output;
use crate::progress::Display;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;
use tempfile::TempDir;
use wcodec::eval::{
    At, Item, Limits, Load, ModelFiles, Models, Setting, StoredTensor, TextOptions, Verdict, check_distinct,
    measure_task, measure_text, read_items, read_text, together,
};

/// What models are measured on.
pub(crate) struct Inputs {
    texts: Vec<Vec<(At, String)>>,
    tasks: Vec<Vec<Item>>,
    pub(super) window: Option<usize>,
    pub(super) stride: Option<usize>,
    pub(super) windows: Option<usize>,
}

impl Inputs {
    /// Reads the files; of tasks the first items up to a limit.
    pub(crate) fn read(texts: &[PathBuf], tasks: &[PathBuf], limit: Option<usize>) -> Result<Self, Failure> {
        let mut inputs = Self {
            texts: texts.iter().map(|path| read_text(path)).collect::<Result<_, _>>()?,
            tasks: tasks.iter().map(|path| read_items(path)).collect::<Result<_, _>>()?,
            window: None,
            stride: None,
            windows: None,
        };
        for items in &mut inputs.tasks {
            items.truncate(limit.unwrap_or(usize::MAX));
        }
        Ok(inputs)
    }

    pub(crate) fn with_windows(self, windows: Option<usize>) -> Self {
        Self { windows, ..self }
    }

    /// Finds what will be refused, before any model is loaded.
    pub(crate) fn check(&self, setting: &Setting, global: &Global) -> Result<(), Failure> {
        let options = self.options(setting.config().max_positions());
        for text in &self.texts {
            setting.check_text(text, &options)?;
        }
        for items in &self.tasks {
            setting.check_task(items, &Display::counting("checking", "items", global))?;
        }
        Ok(())
    }

    fn options(&self, most: usize) -> TextOptions {
        let mut options = TextOptions::default();
        options.window = self.window.unwrap_or(options.window.min(most));
        options.stride = self.stride;
        options.windows = self.windows;
        options
    }
}

/// What is measured, and how.
pub(crate) struct Suite {
    pub(crate) inputs: Inputs,
    pub(crate) load: Load,
    pub(crate) limits: Limits,
}

impl Suite {
    /// Measures candidates against a reference. What is kept is to be finished when the report is out.
    pub(crate) fn run(
        &self,
        reference: &ModelFiles,
        candidates: &[ModelFiles],
        global: &Global,
    ) -> Result<(Report, Kept), Failure> {
        let names: Vec<&str> = candidates.iter().map(|c| c.name.as_str()).collect();
        if let Some(twice) = names.iter().enumerate().find(|(i, name)| names[..*i].contains(name)) {
            return Err(Failure::usage(format!("the candidate {} is given twice", twice.1)));
        }
        let first = candidates
            .first()
            .ok_or_else(|| Failure::usage("a candidate is needed"))?;
        // One for all: a reference without a configuration or a tokenizer has the first candidate's.
        let setting = Arc::new(Setting::of(reference, first, &self.load)?);
        let remarks = candidates
            .iter()
            .map(|files| setting.candidate(files).map(|(_, said)| said));
        let remarks = remarks.collect::<Result<Vec<_>, _>>()?;
        self.inputs.check(&setting, global)?;
        if self.limits.pool_tasks {
            check_distinct(&self.inputs.tasks)?;
        }
        for (name, remark) in names
            .iter()
            .zip(&remarks)
            .flat_map(|(n, r)| r.iter().map(move |r| (n, r)))
        {
            if !global.quiet {
                let (name, remark) = (output::printable(name), output::printable(remark));
                eprintln!("note: {name}: its configuration differs, and it is computed as its own says: {remark}");
            }
        }
        let stored = reference.tensors()?;
        let elements = stored.iter().map(|t| t.elements).sum();
        let linear = |of: &[StoredTensor], value: fn(&StoredTensor) -> u64| {
            of.iter().filter(|t| t.is_linear()).map(value).sum::<u64>()
        };
        let linear_elements = linear(&stored, |t| t.elements);
        let measured = |files: &ModelFiles| {
            Ok::<_, Failure>(Measured {
                name: files.name.clone(),
                bytes: files.bytes()?,
                elements,
                linear: (linear(&files.tensors()?, |t| t.bytes), linear_elements),
            })
        };
        let mut report = Report {
            reference: measured(reference)?,
            candidates: Vec::new(),
        };
        let scratch = scratch(&self.load, candidates.len())?;
        let mut load = self.load.clone();
        load.several = candidates.len() > 1;
        let temporary = scratch.as_ref().map(|folder| folder.path().join("reference"));
        load.save_reference = temporary.or(load.save_reference);
        let mut models: Option<Models> = None;
        for ((files, label), remarks) in candidates.iter().zip(labels(&names)).zip(remarks) {
            let begun = Instant::now();
            let loaded = match models.take() {
                Some(models) => models.replace_candidate(files)?,
                None => Models::in_setting(setting.clone(), reference.clone(), files, &load)?,
            };
            let models = models.insert(loaded);
            let loading = begun.elapsed();
            let mut candidate = Candidate {
                model: measured(files)?,
                label: label.to_owned(),
                loading,
                remarks,
                texts: Vec::new(),
                tasks: Vec::new(),
                together: None,
                verdict: None,
            };
            for text in &self.inputs.texts {
                let progress = Display::counting("reading", "tokens", global);
                let options = self.inputs.options(models.config().max_positions());
                candidate.texts.push(measure_text(models, text, &options, &progress)?);
            }
            for items in &self.inputs.tasks {
                let progress = Display::counting("answering", "tokens", global);
                candidate.tasks.push(measure_task(models, items, &progress)?);
            }
            candidate.together = together(&candidate.tasks);
            candidate.verdict = Verdict::of(&candidate.texts, &candidate.tasks, &self.limits);
            if !global.quiet && candidates.len() > 1 {
                let (name, done) = (output::printable(&candidate.model.name), report.candidates.len() + 1);
                let time = output::duration(begun.elapsed());
                eprintln!("measured {done} of {}: {name}, {time}", candidates.len());
            }
            report.candidates.push(candidate);
        }
        Ok((report, Kept { models, scratch }))
    }
}

/// What a run keeps until its results are out.
pub(crate) struct Kept {
    models: Option<Models>,
    scratch: Option<TempDir>,
}

impl Kept {
    /// Gives files that were asked for their final names, and removes the others.
    pub(crate) fn finish(self) -> Result<(), Failure> {
        if let Some(models) = self.models {
            models.finish()?;
        }
        let Some(scratch) = self.scratch else {
            return Ok(());
        };
        let removing = Failure::io(format!("removing {}", scratch.path().display()));
        scratch.close().map_err(removing)
    }
}

/// A folder for the reference's results, where another candidate needs them and no file is asked for.
fn scratch(load: &Load, candidates: usize) -> Result<Option<TempDir>, Failure> {
    let needed = candidates > 1 && load.save_reference.is_none() && load.resume.is_none();
    let folder = needed.then(|| tempfile::Builder::new().prefix("wcodec-eval-").tempdir());
    folder.transpose().map_err(Failure::io("making a temporary folder"))
}
