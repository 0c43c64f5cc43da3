//! What a model makes of the continuations of a batch of items.

use super::items::Item;
use super::prompt::Prompt;
use super::score::{States, singles};
use super::wire::{Taken, misfit};
use crate::model::{CausalModel, Tree};
use crate::{Error, Result};
use std::collections::BTreeMap;

/// A model's view of a continuation.
#[derive(Clone, Copy, Default)]
pub(super) struct Likelihood {
    /// Natural logarithm.
    pub(super) sum: f64,
    /// Whether every token is the likeliest.
    pub(super) greedy: bool,
}

/// A model's view of a row.
pub(super) struct Seen {
    /// Of all its logits.
    pub(super) digest: u128,
    top: u32,
    /// Of each token that is asked for, in nats.
    log_probs: Vec<f64>,
}

/// Items that are computed together.
pub(super) struct ItemBatch<'a> {
    prompts: &'a [Prompt],
    items: &'a [&'a Item],
    trees: Vec<Tree>,
    /// Rows that are looked at, in ascending order, and the tokens that each is asked for: a row of a stem
    /// may predict the first tokens of several continuations.
    wanted: Vec<u32>,
    targets: Vec<Vec<u32>>,
}

impl<'a> ItemBatch<'a> {
    /// `items` begin with those of the prompts.
    pub(super) fn new(prompts: &'a [Prompt], items: &'a [&'a Item]) -> Self {
        let mut asked: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        let mut base = 0;
        for prompt in prompts {
            for (row, target) in prompt.probes().flatten() {
                asked.entry((base + row) as u32).or_default().push(target);
            }
            base += prompt.tree.rows();
        }
        let (wanted, targets) = asked.into_iter().unzip();
        Self {
            prompts,
            items,
            trees: prompts.iter().map(|p| p.tree.clone()).collect(),
            wanted,
            targets,
        }
    }

    /// Runs a model, and writes what it makes of each row.
    pub(super) fn run(&self, model: &CausalModel, which: &'static str, out: &mut Vec<u8>) -> Result<()> {
        let states = States::new(model, &self.trees, &self.wanted, which)?;
        let seen = singles(
            &states,
            |row| self.place(row),
            |i, row| Seen {
                digest: row.digest(),
                top: row.top as u32,
                log_probs: self.targets[i].iter().map(|&target| row.log_prob(target)).collect(),
            },
        )?;
        for row in seen {
            out.extend(row.digest.to_le_bytes());
            out.extend(row.top.to_le_bytes());
            out.extend(row.log_probs.into_iter().flat_map(f64::to_le_bytes));
        }
        Ok(())
    }

    /// What [`ItemBatch::run`] has written.
    pub(super) fn read(&self, bytes: &[u8]) -> Result<Vec<Seen>> {
        let mut taken = Taken(bytes);
        let row = |targets: &Vec<u32>| {
            Ok(Seen {
                digest: taken.u128()?,
                top: taken.u32()?,
                log_probs: targets.iter().map(|_| taken.f64()).collect::<Result<_>>()?,
            })
        };
        let seen = self.targets.iter().map(row).collect::<Result<_>>()?;
        taken.end()?;
        Ok(seen)
    }

    /// For each item and continuation what the models make of it.
    pub(super) fn likelihoods(&self, seen: &[Vec<Seen>; 2]) -> Result<Vec<Vec<[Likelihood; 2]>>> {
        let mut base = 0;
        let mut all = Vec::with_capacity(self.prompts.len());
        for prompt in self.prompts {
            let of_continuation = |probes: Vec<(usize, u32)>| {
                let mut total = [Likelihood { sum: 0.0, greedy: true }; 2];
                for (row, target) in probes {
                    let i = self
                        .wanted
                        .binary_search(&((base + row) as u32))
                        .map_err(|_| misfit())?;
                    let k = self.targets[i].iter().position(|&t| t == target).ok_or_else(misfit)?;
                    for (total, seen) in total.iter_mut().zip(seen) {
                        total.sum += seen[i].log_probs[k];
                        total.greedy &= seen[i].top == target;
                    }
                }
                Ok::<_, Error>(total)
            };
            all.push(prompt.probes().map(of_continuation).collect::<Result<_>>()?);
            base += prompt.tree.rows();
        }
        Ok(all)
    }

    /// Where the item of a row is from.
    fn place(&self, row: usize) -> String {
        let row = self.wanted[row] as usize;
        let mut end = 0;
        let item = self.prompts.iter().zip(self.items).find(|(prompt, _)| {
            end += prompt.tree.rows();
            row < end
        });
        item.map_or(String::new(), |(_, item)| item.at.to_string())
    }
}
