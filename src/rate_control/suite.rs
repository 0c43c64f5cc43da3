//! What models are measured on, with its digests.

use super::claims;
use super::held_out;
use super::request::{Evaluation, Stage, Watch};
use crate::checkpoint::digest;
use crate::error::display;
use crate::eval::verdict::TOGETHER;
use crate::eval::{
    self, At, Item, Models, TextEncoder, TextOptions, measure_task, measure_text, read_items, read_text,
    split_last_eighth,
};
use crate::format::certificate::{Task, Text};
use crate::model::ModelConfig;
use crate::{Error, Result};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// Windows of a text, if nothing else is asked for.
const WINDOWS: usize = 16;
/// Tokens in a row that are taken for the same text, about a sentence.
const RUN: usize = 32;
/// Tokens of a window, if the model has as many positions.
const WINDOW: usize = 512;

#[derive(Default)]
pub(super) struct Suite {
    texts: Vec<TextSource>,
    tasks: Vec<TaskSource>,
}

struct TextSource {
    file: String,
    sha256: String,
    held_out: bool,
    documents: Vec<(At, String)>,
    window: usize,
    windows: usize,
}

struct TaskSource {
    file: String,
    sha256: String,
    items: Vec<Item>,
}

/// Why one is too few.
const ONE: &str = "of one window nobody can say how far off a figure is: measure on two at least (--windows), of a text that is \
                   long enough";

/// Refuses a text that [`Suite::measure`] would refuse, before the work.
fn check_windows(
    path: &Path,
    documents: &[(At, String)],
    encoder: &TextEncoder,
    window: usize,
    most: usize,
) -> Result<()> {
    let (mut windows, bos) = (0, encoder.bos().is_some());
    let length = window - usize::from(bos);
    for (at, text) in documents {
        let tokens = encoder.encode_start(text, at, 2 * window)?.0.len();
        windows += eval::windows(tokens, length, length, bos).len();
        if windows.min(most) >= 2 {
            return Ok(());
        }
    }
    Err(Error::input(display(path), ONE))
}

/// A file's name without its folders, as a certificate has it.
pub(super) fn name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // A certificate has no such characters.
    name.replace(|c: char| !c.is_alphanumeric() && !c.is_ascii_graphic() && c != ' ', "_")
}

pub(super) fn sha256(path: &Path) -> Result<String> {
    digest(path, &())
}

impl Suite {
    /// Reads all files; `held_out` are texts of which the last eighth is measured on.
    pub(super) fn read(
        evaluation: &Evaluation,
        held_out: &[PathBuf],
        encoder: &TextEncoder,
        config: &ModelConfig,
    ) -> Result<Self> {
        let window = WINDOW.min(config.max_positions());
        let windows = evaluation.windows.unwrap_or(WINDOWS);
        if windows < 2 {
            return Err(Error::usage(format!("windows to measure on: {windows}. {ONE}")));
        }
        let source = |path: &Path, documents, held_out| {
            Ok::<_, Error>(TextSource {
                file: name(path),
                sha256: sha256(path)?,
                held_out,
                documents,
                window,
                windows,
            })
        };
        let texts = evaluation.texts.iter();
        let mut texts: Vec<_> = texts
            .map(|path| {
                let documents = read_text(path)?;
                held_out::check_length(path, &documents, encoder, window)?;
                check_windows(path, &documents, encoder, window, windows)?;
                source(path, documents, false)
            })
            .collect::<Result<_>>()?;
        for path in held_out {
            let documents = held_out::read(path, encoder, window)?;
            check_windows(path, &documents, encoder, window, windows)?;
            texts.push(source(path, documents, true)?);
        }
        let most = evaluation.items.unwrap_or(usize::MAX);
        let tasks = evaluation.tasks.iter().map(|path| {
            let task = TaskSource::read(path, most)?;
            eval::check_items(&task.items, encoder, config)?;
            Ok::<_, Error>(task)
        });
        Ok(Self {
            texts,
            tasks: tasks.collect::<Result<_>>()?,
        })
    }

    /// What a certificate claims to have been measured on, found among files by their digests.
    ///
    /// # Errors
    /// [`Error::Input`] if a file is missing, or is none of the certificate's.
    pub(super) fn of_claims(texts: &[Text], tasks: &[Task], files: [&[PathBuf]; 2]) -> Result<Self> {
        let digests = |files: &[PathBuf]| {
            let all = files.iter().map(|path| Ok((path.clone(), sha256(path)?)));
            all.collect::<Result<Vec<_>>>()
        };
        let [given_texts, given_tasks] = [digests(files[0])?, digests(files[1])?];
        let claimed_texts: Vec<&str> = texts.iter().map(|t| &*t.sha256).collect();
        let claimed_tasks: Vec<&str> = tasks.iter().map(|t| &*t.sha256).collect();
        for (given, claimed, kind) in [
            (&given_texts, &claimed_texts, "text"),
            (&given_tasks, &claimed_tasks, "task"),
        ] {
            if let Some((path, sha256)) = given.iter().find(|(_, sha256)| !claimed.contains(&&**sha256)) {
                let what = format!("it has SHA-256 {sha256}, and is no {kind} that the certificate was measured on");
                return Err(Error::input(display(path), what));
            }
        }
        let missing: Vec<String> = [
            (
                "--text",
                &given_texts,
                texts.iter().map(|t| (&t.file, &t.sha256)).collect::<Vec<_>>(),
            ),
            (
                "--task",
                &given_tasks,
                tasks.iter().map(|t| (&t.file, &t.sha256)).collect(),
            ),
        ]
        .iter()
        .flat_map(|(flag, given, claimed)| {
            let missing = claimed
                .iter()
                .filter(|(_, sha256)| !given.iter().any(|(_, own)| own == *sha256));
            missing.map(move |(file, sha256)| format!("{file}, of SHA-256 {sha256} ({flag})"))
        })
        .collect();
        if !missing.is_empty() {
            let what = format!("it was measured on {}: name each with its option", missing.join("; "));
            return Err(Error::input("certificate", what));
        }
        let find = |given: &[(PathBuf, String)], sha256: &str| {
            let found = given.iter().find(|(_, own)| own == sha256);
            found.map(|(path, _)| path.clone()).unwrap_or_default()
        };
        let mut suite = Self::default();
        for text in texts {
            let path = find(&given_texts, &text.sha256);
            let mut documents = read_text(&path)?;
            if text.held_out {
                documents = split_last_eighth(documents).1;
            }
            suite.texts.push(TextSource {
                file: text.file.clone(),
                sha256: text.sha256.clone(),
                held_out: text.held_out,
                documents,
                window: text.window,
                windows: text.windows,
            });
        }
        for task in tasks {
            let path = find(&given_tasks, &task.sha256);
            suite.tasks.push(TaskSource::read(&path, task.items)?);
        }
        Ok(suite)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.texts.is_empty() && self.tasks.is_empty()
    }

    pub(super) fn has_texts(&self) -> bool {
        !self.texts.is_empty()
    }

    /// Items of the smallest task, with its file; or of all together.
    pub(super) fn fewest_items(&self, together: bool) -> Option<(usize, &str)> {
        let items = self.tasks.iter().map(|t| (t.items.len(), &*t.file));
        match together {
            true => items.reduce(|(sum, _), (items, _)| (sum + items, TOGETHER)),
            false => items.min(),
        }
    }

    /// Refuses tasks that cannot be taken together.
    pub(super) fn check_distinct(&self) -> Result<()> {
        eval::check_distinct(self.tasks.iter().map(|t| &t.items))
    }

    /// Whether a text of this digest is measured on as a whole.
    pub(super) fn reads_all_of(&self, sha256: &str) -> bool {
        self.texts.iter().any(|t| t.sha256 == sha256 && !t.held_out)
    }

    /// The text of which the largest part of what is measured is among `read`, tokens that were calibrated on, and that
    /// part.
    pub(super) fn overlap(&self, read: &[u32], encoder: &TextEncoder) -> Result<Option<(&str, f64)>> {
        let known: HashSet<&[u32]> = read.windows(RUN).collect();
        let mut most: Option<(&str, f64)> = None;
        for text in &self.texts {
            let (mut left, mut runs, mut same) = (text.windows.saturating_mul(text.window), 0, 0);
            for (at, document) in &text.documents {
                let mut tokens = encoder.encode_start(document, at, left)?.0;
                tokens.truncate(left);
                left -= tokens.len();
                runs += tokens.len() / RUN;
                same += tokens.chunks_exact(RUN).filter(|run| known.contains(run)).count();
                if left == 0 {
                    break;
                }
            }
            let part = same as f64 / runs.max(1) as f64;
            if most.is_none_or(|(_, other)| part > other) {
                most = Some((&text.file, part));
            }
        }
        Ok(most)
    }

    /// What its results depend on.
    pub(super) fn key(&self) -> Value {
        let texts = self.texts.iter();
        let texts = texts.map(|t| json!([t.sha256, t.held_out, t.window, t.windows]));
        let tasks = self.tasks.iter().map(|t| json!([t.sha256, t.items.len()]));
        json!([texts.collect::<Vec<_>>(), tasks.collect::<Vec<_>>()])
    }

    /// Names of texts.
    pub(super) fn texts(&self) -> impl Iterator<Item = &str> {
        self.texts.iter().map(|t| &*t.file)
    }

    /// Names of tasks.
    pub(super) fn tasks(&self) -> impl Iterator<Item = &str> {
        self.tasks.iter().map(|t| &*t.file)
    }

    /// Runs both models.
    pub(super) fn measure(&self, models: &Models, watch: &Watch) -> Result<(Vec<Text>, Vec<Task>)> {
        let text = |source: &TextSource| {
            let options = TextOptions {
                window: source.window,
                windows: Some(source.windows),
                ..TextOptions::default()
            };
            let progress = (watch.progress)(Stage::Reading);
            let report = measure_text(models, &source.documents, &options, &*progress)?;
            if report.clusters < 2 {
                return Err(Error::input(&source.file, ONE));
            }
            Ok(claims::text(&report, &source.file, &source.sha256, source.held_out))
        };
        let task = |source: &TaskSource| {
            let progress = (watch.progress)(Stage::Answering);
            let report = measure_task(models, &source.items, &*progress)?;
            Ok(claims::task(&report, &source.file, &source.sha256))
        };
        let texts = self.texts.iter().map(text).collect::<Result<_>>()?;
        Ok((texts, self.tasks.iter().map(task).collect::<Result<_>>()?))
    }
}

impl TaskSource {
    fn read(path: &Path, most: usize) -> Result<Self> {
        let mut items = read_items(path)?;
        items.truncate(most);
        Ok(Self {
            file: name(path),
            sha256: sha256(path)?,
            items,
        })
    }
}
