//! An item as a model reads it.

use super::items::{Item, Question};
use super::tokens::TextEncoder;
use crate::model::{ModelConfig, Tree};
use crate::{Error, Result};

/// The tokens of an item's continuations, each behind its context, with what they share once.
pub(super) struct Prompt {
    /// The sequences without their last tokens, which predict nothing that is asked.
    pub(super) tree: Tree,
    /// Of each sequence: its length in the tree, and the tokens of its continuation.
    continuations: Vec<(usize, Vec<u32>)>,
}

impl Prompt {
    pub(super) fn new(item: &Item, encoder: &TextEncoder, config: &ModelConfig) -> Result<Self> {
        let wrong = |what: String| Error::input(item.at.to_string(), what);
        let (mut sequences, mut continuations) = (Vec::new(), Vec::new());
        for (context, continuation) in pairs(&item.question) {
            let (mut tokens, start) = split(context, continuation, encoder, item)?;
            if start == 0 {
                return Err(wrong(
                    "nothing stands before the continuation, and no beginning-of-text token is set".into(),
                ));
            }
            let asked = tokens[start..].to_vec();
            if tokens.pop().is_none() || asked.is_empty() {
                return Err(wrong("a continuation has no tokens of its own".into()));
            }
            if tokens.len() > config.max_positions() {
                let (long, most) = (tokens.len(), config.max_positions());
                return Err(wrong(format!(
                    "a sequence of {long} tokens: the model has {most} positions"
                )));
            }
            continuations.push((tokens.len(), asked));
            sequences.push(tokens);
        }
        Ok(Self {
            tree: Tree::of(&sequences),
            continuations,
        })
    }

    /// For each continuation, for each of its tokens: the row that predicts it, and the token.
    pub(super) fn probes(&self) -> impl Iterator<Item = Vec<(usize, u32)>> {
        self.continuations.iter().enumerate().map(|(branch, (length, asked))| {
            let first = length - asked.len();
            let probe = |(i, &target): (usize, &u32)| (self.tree.row(branch, first + i), target);
            asked.iter().enumerate().map(probe).collect()
        })
    }
}

/// Contexts and what follows them.
fn pairs(question: &Question) -> Vec<(&str, &str)> {
    match question {
        Question::Choices { context, choices, .. } => choices.iter().map(|c| (context.as_str(), c.as_str())).collect(),
        Question::Contexts {
            contexts, continuation, ..
        } => contexts.iter().map(|c| (c.as_str(), continuation.as_str())).collect(),
        Question::Cloze { context, target } => vec![(context, target)],
    }
}

/// The tokens of both texts together, a beginning-of-text token before them, and where the
/// continuation's begin: behind as many as the context alone has. Spaces at the end of a context
/// count to the continuation. This is what lm-evaluation-harness does.
fn split(context: &str, continuation: &str, encoder: &TextEncoder, item: &Item) -> Result<(Vec<u32>, usize)> {
    let whole = encoder.encode(&format!("{context}{continuation}"), &item.at)?;
    let context = context.trim_end();
    let before = match context {
        "" => 0,
        _ => encoder.encode(context, &item.at)?.len(),
    };
    let bos = encoder.bos();
    let start = bos.iter().len() + before.min(whole.len());
    Ok((bos.into_iter().chain(whole).collect(), start))
}
