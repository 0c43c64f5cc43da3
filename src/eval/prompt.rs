//! An item as a model reads it.

use super::items::{Item, Question};
use super::tokens::TextEncoder;
use crate::model::{ModelConfig, Tree};
use crate::{Error, Progress, Result};
use rayon::prelude::*;

/// Items that are read between two looks at the progress.
const READ: usize = 256;

/// What is done with items that have more tokens than the model has positions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TooLong {
    /// The task is refused, with the first such item's line.
    #[default]
    Refuse,
    /// They are left out.
    Skip,
    /// Tokens at their beginning are left out, as many as needed, a beginning-of-text token among them. This
    /// is what lm-evaluation-harness does.
    Truncate,
}

/// The items of a task that are asked, as a model reads them.
pub(super) struct Prompts<'a> {
    pub(super) items: Vec<&'a Item>,
    pub(super) prompts: Vec<Prompt>,
    /// Items that were too long and are left out.
    pub(super) skipped: usize,
    /// Items of which the beginning is left out.
    pub(super) truncated: usize,
}

impl<'a> Prompts<'a> {
    /// Progress is in items.
    pub(super) fn new(
        items: &'a [Item],
        encoder: &TextEncoder,
        config: &ModelConfig,
        too_long: TooLong,
        progress: &dyn Progress,
    ) -> Result<Self> {
        let mut found = Self {
            items: Vec::with_capacity(items.len()),
            prompts: Vec::with_capacity(items.len()),
            skipped: 0,
            truncated: 0,
        };
        let (mut longest, mut first, mut too_many) = (0, None, 0);
        for part in items.chunks(READ) {
            if progress.cancelled() {
                return Err(Error::Cancelled);
            }
            let read = part.par_iter().map(|item| Prompt::new(item, encoder, config, too_long));
            for (item, read) in part.iter().zip(read.collect::<Vec<_>>()) {
                let (prompt, longest_of_it) = read?;
                let long = longest_of_it > config.max_positions();
                if long && too_long == TooLong::Refuse {
                    first = first.or(Some((item, longest_of_it)));
                    (longest, too_many) = (longest_of_it.max(longest), too_many + 1);
                }
                if long && too_long == TooLong::Skip {
                    found.skipped += 1;
                    continue;
                }
                found.truncated += usize::from(long);
                found.items.push(item);
                found.prompts.push(prompt);
            }
            progress.advance(part.len() as u64, items.first().map_or("", |item| &item.at.file));
        }
        if let Some((item, tokens)) = first {
            let most = config.max_positions();
            let more = match too_many {
                1 => String::new(),
                n => format!("; {n} items of {} are longer, up to {longest}", items.len()),
            };
            let what = format!(
                "a sequence of {tokens} tokens: the model has {most} positions{more}. Leave such items out of the file; \
                 `wcodec eval` can (--too-long skip), or leave out their first tokens as lm-evaluation-harness does \
                 (--too-long truncate)"
            );
            return Err(Error::input(item.at.to_string(), what));
        }
        if let (Some(item), true) = (items.first(), found.items.is_empty()) {
            let what = format!(
                "all {} items are longer than the model's {} positions",
                items.len(),
                config.max_positions()
            );
            return Err(Error::input(&item.at.file, what));
        }
        Ok(found)
    }
}

/// Refuses items that cannot be asked, or are longer than the model has positions.
///
/// # Errors
/// [`Error::Input`] with the item.
pub(crate) fn check_items(items: &[Item], encoder: &TextEncoder, config: &ModelConfig) -> Result<()> {
    Prompts::new(items, encoder, config, TooLong::Refuse, &()).map(drop)
}

/// The tokens of an item's continuations, each behind its context, with what they share once.
pub(super) struct Prompt {
    /// The sequences without their last tokens, which predict nothing that is asked.
    pub(super) tree: Tree,
    /// Of each sequence: its length in the tree, and the tokens of its continuation.
    continuations: Vec<(usize, Vec<u32>)>,
}

impl Prompt {
    /// With the tokens of the longest sequence; of one that has more than the model has positions, the last
    /// ones are kept.
    ///
    /// # Errors
    /// [`Error::Input`] if something cannot be asked at all, unless it is one that is left out.
    fn new(item: &Item, encoder: &TextEncoder, config: &ModelConfig, too_long: TooLong) -> Result<(Self, usize)> {
        let wrong = |what: String| Error::input(item.at.to_string(), what);
        let most = config.max_positions();
        let (mut sequences, mut continuations, mut longest) = (Vec::new(), Vec::new(), 0);
        for (context, continuation) in branches(&item.question) {
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
            longest = longest.max(tokens.len());
            if asked.len() > most && too_long != TooLong::Skip {
                let long = asked.len();
                return Err(wrong(format!(
                    "a continuation of {long} tokens: the model has {most} positions, so it cannot be asked"
                )));
            }
            tokens.drain(..tokens.len().saturating_sub(most));
            continuations.push((tokens.len(), asked));
            sequences.push(tokens);
        }
        let prompt = Self {
            tree: Tree::of(&sequences),
            continuations,
        };
        Ok((prompt, longest))
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
fn branches(question: &Question) -> Vec<(&str, &str)> {
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
