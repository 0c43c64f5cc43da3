//! How much memory calibration takes, and how it is kept within a limit.
//!
//! The weights are mapped and read layer by layer, in F32; statistics are on disk but for those of the layer at hand. What
//! is left is known from the configuration beforehand: an upper bound of it, in bytes, is computed here, and how many
//! tokens and logits are computed together, and how many factors and tensors are made side by side, is chosen so that it is
//! within the limit. Mapped files do not count: the system drops what it needs the memory of.

use super::expected::matrices;
use crate::encoder::TensorSpec;
use crate::error::display;
use crate::eval::ModelFiles;
use crate::model::ModelConfig;
use crate::model::traced::linear_sizes;
use crate::{Error, Result};
use std::fs;
use std::path::Path;

/// Tokens that are computed together, if there is memory for it.
const BATCH_TOKENS: usize = 2048;
/// Rows of logits that are, from most to fewest.
const LOGIT_ROWS: [usize; 3] = [256, 64, 16];
/// What the program takes besides, and for each thread.
const BASE: u64 = 48 << 20;
const THREAD: u64 = 8 << 20;
/// Bytes for a byte of `tokenizer.json`, and for one of the text that is cut into tokens.
const TOKENIZER: u64 = 16;
const TEXT: u64 = 250;
/// Bytes for a weight of a tensor that is quantised: weights, levels twice, what they decode to, twice.
const QUANTISED: u64 = 16;
/// Bytes of tensors that are quantised and wait to be written.
const WAITING: u64 = 64 << 20;

/// What is computed together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Portions {
    /// Tokens of a batch: whole windows.
    pub(super) batch: usize,
    /// Rows of logits.
    pub(super) logit_rows: usize,
    /// Whether all factors of a layer are made side by side.
    pub(super) factors_together: bool,
}

/// Bytes that are taken at most, by what is done.
#[derive(Clone, Copy, Debug)]
pub(super) struct Needs {
    gradients: u64,
    factors: u64,
    quantising: u64,
    /// Of which that is not for the tensors.
    besides: u64,
    always: u64,
}

/// What a model and a text are, as far as memory goes.
pub(super) struct Sizes<'a> {
    pub(super) config: &'a ModelConfig,
    pub(super) tokens: usize,
    pub(super) window: usize,
    /// Bytes of the text that are cut into tokens.
    pub(super) text: u64,
}

impl Portions {
    /// The largest that are within a limit.
    ///
    /// # Errors
    /// [`Error::Input`] if the least are not.
    pub(super) fn within(limit: Option<u64>, sizes: &Sizes, files: &ModelFiles) -> Result<Self> {
        let all = Self::all(sizes.window);
        let Some(limit) = limit else { return Ok(all[0]) };
        let mut needs = Vec::new();
        for portions in &all {
            needs.push(Needs::of(*portions, sizes, files)?);
            if needs[needs.len() - 1].most() <= limit {
                return Ok(*portions);
            }
        }
        // The last are the least of everything.
        let Some(least) = needs.pop() else { return Ok(all[0]) };
        let parts = [
            ("gradients", least.gradients),
            ("the factors of its widest inputs", least.factors),
            ("quantising its largest matrix", least.quantising),
        ];
        let (part, _) = parts.into_iter().max_by_key(|(_, bytes)| *bytes).unwrap_or_default();
        let what = format!(
            "calibrating it takes {} bytes of memory at least ({} MB, {part}), and {limit} are allowed (--memory)",
            least.most(),
            least.most().div_ceil(1_000_000)
        );
        Err(Error::input(&files.name, what))
    }

    /// From the largest to the least.
    fn all(window: usize) -> Vec<Self> {
        let most = (BATCH_TOKENS / window).max(1);
        let batches = std::iter::successors(Some(most), |&windows| (windows > 1).then_some(windows / 2));
        let mut all = vec![Self {
            batch: most * window,
            logit_rows: LOGIT_ROWS[0],
            factors_together: true,
        }];
        for windows in batches {
            all.extend(LOGIT_ROWS.iter().map(|&logit_rows| Self {
                batch: windows * window,
                logit_rows,
                factors_together: false,
            }));
        }
        all
    }
}

impl Needs {
    pub(super) fn of(portions: Portions, sizes: &Sizes, files: &ModelFiles) -> Result<Self> {
        let config = sizes.config;
        let of = |n: usize| n as u64;
        let [hidden, inner, vocab, layers] = [config.hidden, config.intermediate, config.vocab, config.layers].map(of);
        let (query, key) = (
            of(config.heads * config.head_dim),
            of(config.kv_heads * config.head_dim),
        );
        let [tokens, batch, rows] = [sizes.tokens, portions.batch, portions.logit_rows].map(of);
        // A layer's weights; one is converted at a time.
        let linears = linear_sizes(config).map(|(inputs, outputs, _)| of(inputs) * of(outputs));
        let layer = 4 * linears.iter().sum::<u64>() + 6 * linears.iter().max().unwrap_or(&0);
        // Activations and their gradients; attention's scores.
        let wide = batch * (16 * hidden + 12 * (query + key) + 14 * inner);
        let scores = 8 * batch * of(sizes.window) * of(config.heads) + 4 * of(sizes.window).pow(2);
        let activations = 4 * (wide + scores);
        let states = 4 * batch * hidden;
        let sums = sums(sizes);
        let head = 6 * vocab * hidden + 28 * rows * vocab + 12 * states;
        let gradients = 2 * sums + 24 * hidden * hidden + (layers + 1) * states + head.max(layer + activations);
        let ends = 2 * sums + 64 * hidden * hidden;
        // Of a layer's four inputs: sums, and one more of them or a factor being made.
        let squares = [hidden, query, hidden, inner].map(|n| n * n);
        let (all, widest) = (squares.iter().sum::<u64>(), *squares.iter().max().unwrap_or(&0));
        let made = if portions.factors_together { all } else { widest };
        let forward = 8 * widest + layer + activations;
        let factors = 2 * sums + 2 * 4 * tokens * hidden + 8 * all + (12 * made).max(forward);
        let costs = matrices(config).map(|(_, [outputs, inputs])| cost_of(of(outputs), of(inputs)));
        let others = files.tensors()?.into_iter().map(|t| QUANTISED * t.elements);
        let besides = 2 * sums + WAITING;
        let tokenizer = files.tokenizer.as_deref().map_or(Ok(0), len)?;
        Ok(Self {
            gradients: gradients.max(ends),
            factors,
            quantising: besides + costs.chain(others).max().unwrap_or(0),
            besides,
            always: BASE + THREAD * of(rayon::current_num_threads()) + TOKENIZER * tokenizer + TEXT * sizes.text,
        })
    }

    /// Bytes on disk that statistics take at most.
    pub(super) fn on_disk(sizes: &Sizes) -> u64 {
        let config = sizes.config;
        let of = |n: usize| n as u64;
        let [hidden, query, inner] = [config.hidden, config.heads * config.head_dim, config.intermediate].map(of);
        // Half a matrix in F32, an order and a diagonal; a header.
        let factor = |n: u64| 2 * n * n + 10 * n + 4096;
        let layer = 2 * factor(hidden) + factor(query) + factor(inner);
        // What is written anew is there twice.
        let states = 4 * of(sizes.tokens) * hidden;
        of(config.layers) * layer + 2 * factor(hidden) + 2 * (sums(sizes) + states)
    }

    fn most(&self) -> u64 {
        self.always + self.gradients.max(self.factors).max(self.quantising)
    }

    /// What is left of a limit for tensors that are quantised side by side.
    pub(super) fn left(&self, limit: u64) -> u64 {
        limit.saturating_sub(self.always + self.besides)
    }
}

/// Bytes of gradients that are summed.
fn sums(sizes: &Sizes) -> u64 {
    let (config, of) = (sizes.config, |n: usize| n as u64);
    let outputs: u64 = linear_sizes(config).iter().map(|(_, outputs, _)| of(*outputs)).sum();
    let (tokens, hidden) = (of(sizes.tokens), of(config.hidden));
    of(config.layers) * (28 * tokens + 8 * outputs) + 8 * hidden * hidden + 32 * of(config.vocab)
}

/// Bytes that quantising a tensor takes.
pub(super) fn cost(spec: &TensorSpec) -> u64 {
    let units = spec.shape.iter().product::<usize>() as u64;
    let columns = spec.shape.last().map_or(0, |&n| n as u64);
    cost_of(units / columns.max(1), columns)
}

/// Of a matrix; its factor is read, and kept.
fn cost_of(rows: u64, columns: u64) -> u64 {
    QUANTISED * rows * columns + 6 * columns * columns
}

fn len(path: &Path) -> Result<u64> {
    let meta = fs::metadata(path).map_err(Error::io(format!("reading {}", display(path))))?;
    Ok(meta.len())
}
