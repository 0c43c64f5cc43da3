//! What a file costs in accuracy: a candidate's weights against a reference's.
//!
//! Both models read the same tokens, side by side, and every figure comes from the pair: perplexity
//! and the KL divergence of the next-token distributions on texts ([`measure_text`]), accuracy and
//! log-likelihoods on tasks ([`measure_task`]), each change with its error, and a [`Verdict`] against
//! limits. A lossless candidate is found to be identical: bit by bit, in every logit that was looked at.
//!
//! The reference is computed once for any number of candidates. Its results can be saved, and a run that was
//! killed goes on where it was ([`Load::save_reference`], [`Load::resume`]).
//!
//! A [`Setting`] is what both models have in common before either is loaded: texts and tasks can be held against it
//! first. Each model is computed as its own `config.json` says: other shapes are an error, other differences are
//! reported ([`Setting::candidate`]); another tokenizer is an error.
//!
//! Models compute where [`Load::device`] says. That has been run on CPUs; on GPUs it has not.
//!
//! Logits are computed a few rows at a time and not kept. Every sum over a vocabulary is one thread's,
//! in the order of the tokens; sums over tokens, items and resamples run in the order of the input;
//! matrix products are divided among threads by rows and columns of the result, never along a sum.
//! So the number of threads changes no bit of a report.

mod datasets;
mod documents;
mod files;
mod items;
pub(crate) mod journal;
mod kept;
mod likelihood;
mod models;
mod paired;
mod prompt;
mod reference;
mod score;
mod setting;
mod stats;
mod task;
mod text;
mod tokens;
pub(crate) mod verdict;
pub(crate) mod weights;
mod windows;
mod wire;

pub use documents::{Documents, read_text, split_last_eighth};
pub use files::{ModelFiles, StoredTensor};
pub use items::{Item, Question, check_distinct, read_items};
pub use kept::{Spent, Times};
pub use models::{Load, Models};
pub use paired::{Paired, mcnemar};
pub use prompt::TooLong;
pub(crate) use prompt::check_items;
pub use setting::Setting;
pub use stats::{Decades, Distribution, Estimate, Z95, quantile};
pub use task::{Accuracy, Answer, Answered, Probability, TaskReport, measure_task, together};
pub use text::{Perplexity, TextOptions, TextReport, measure_text};
pub use tokens::{Bos, TextEncoder};
pub use verdict::{Check, Limits, Outcome, Verdict};
pub use windows::{Window, windows};

/// A place in a text file: the file, and the line from 1, or 0 for the whole file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct At {
    /// The file's name.
    pub file: String,
    /// The line.
    pub line: usize,
}

impl std::fmt::Display for At {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        Ok(())
    }
}
