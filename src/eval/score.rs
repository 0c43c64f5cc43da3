//! Logits of one model, or of both on the same tokens, row by row.

use super::wire::{Taken, misfit};
use crate::model::{CausalModel, Tree};
use crate::{Error, Result};
use candle_core::{DType, Device, Layout, Storage, Tensor};
use rayon::prelude::*;
use std::ops::Deref;
use twox_hash::XxHash3_128;

/// Tokens that are computed together. More is hardly faster and takes more memory.
const BATCH_TOKENS: usize = 1024;

/// What is computed together, in order; `tokens` is what each takes.
pub(super) fn batches<T>(mut rest: &[T], tokens: impl Fn(&T) -> usize) -> Vec<&[T]> {
    let mut batches = Vec::new();
    while !rest.is_empty() {
        let mut sum = 0;
        let fits = rest.iter().take_while(|item| {
            sum += tokens(item);
            sum <= BATCH_TOKENS
        });
        let (batch, later) = rest.split_at(fits.count().max(1));
        batches.push(batch);
        rest = later;
    }
    batches
}

/// The models in messages.
pub(super) const REFERENCE: &str = "reference";
pub(super) const CANDIDATE: &str = "candidate";
/// Logits of one model that are in memory at a time.
const LOGITS: usize = 1 << 22;

/// Logits of the next token.
pub(super) struct Row<'a> {
    logits: &'a [f32],
    /// Logarithm of the sum of their exponentials.
    log_sum: f64,
    /// The likeliest token, the first of several.
    pub(super) top: usize,
}

impl<'a> Row<'a> {
    /// `None` if a logit is not finite.
    fn new(logits: &'a [f32]) -> Option<Self> {
        let (mut top, mut finite) = (0, true);
        for (token, logit) in logits.iter().enumerate() {
            finite &= logit.is_finite();
            if *logit > logits[top] {
                top = token;
            }
        }
        let largest = f64::from(*logits.get(top).filter(|_| finite)?);
        let sum: f64 = logits.iter().map(|&l| (f64::from(l) - largest).exp()).sum();
        Some(Self {
            logits,
            log_sum: largest + sum.ln(),
            top,
        })
    }

    /// Natural logarithm of a token's probability.
    pub(super) fn log_prob(&self, token: u32) -> f64 {
        f64::from(self.logits[token as usize]) - self.log_sum
    }

    /// Kullback-Leibler divergence of the other distribution from this one, in nats.
    pub(super) fn divergence(&self, other: &Row) -> f64 {
        let shift = self.log_sum - other.log_sum;
        let terms = self.logits.iter().zip(other.logits).map(|(&a, &b)| {
            let (a, b) = (f64::from(a), f64::from(b));
            (a - self.log_sum).exp() * (a - b - shift)
        });
        // It is never negative; its rounding errors are.
        terms.sum::<f64>().max(0.0)
    }

    /// Logits of the same bits have the same digest, and others another.
    pub(super) fn digest(&self) -> u128 {
        XxHash3_128::oneshot(bytemuck::cast_slice(self.logits))
    }

    /// Whether both have the same logits, bit by bit.
    pub(super) fn identical(&self, other: &Row) -> bool {
        self.logits.len() == other.logits.len()
            && self
                .logits
                .iter()
                .zip(other.logits)
                .all(|(a, b)| a.to_bits() == b.to_bits())
    }
}

/// A model's states of some rows, and which it is in messages.
pub(super) struct States<'a> {
    pub(super) model: &'a CausalModel,
    /// (rows, hidden size).
    pub(super) states: Tensor,
    pub(super) which: &'static str,
}

impl<'a> States<'a> {
    /// Of the wanted rows of trees, as [`CausalModel::states`] counts them.
    pub(super) fn new(model: &'a CausalModel, trees: &[Tree], wanted: &[u32], which: &'static str) -> Result<Self> {
        let states = model.states(trees)?;
        let wanted = Tensor::new(wanted, states.device())?;
        let states = states.index_select(&wanted, 0)?;
        Ok(Self { model, states, which })
    }

    /// From the bytes of [`States::write`].
    pub(super) fn read(model: &'a CausalModel, bytes: &[u8], rows: usize, which: &'static str) -> Result<Self> {
        let values = Taken(bytes).f32s();
        let width = model.config().hidden_size();
        if values.len() * size_of::<f32>() != bytes.len() || values.len() != rows * width {
            return Err(misfit());
        }
        let states = Tensor::from_vec(values, (rows, width), model.device())?.to_dtype(model.dtype())?;
        Ok(Self { model, states, which })
    }

    /// As F32, which holds every type that is computed in.
    pub(super) fn write(&self, out: &mut Vec<u8>) -> Result<()> {
        let values: Vec<f32> = self.states.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?;
        out.extend(values.into_iter().flat_map(f32::to_le_bytes));
        Ok(())
    }

    /// Logits of rows from `first` on, on the CPU, contiguous.
    fn logits(&self, first: usize, rows: usize) -> Result<Tensor> {
        let states = self.states.narrow(0, first, rows)?;
        Ok(self.model.logits(&states)?.to_device(&Device::Cpu)?.contiguous()?)
    }

    fn not_finite(&self, at: String) -> Error {
        Error::Compute(format!("{at}: a logit of the {} is no finite number", self.which))
    }
}

/// Calls `each` with the number of a row and its logits of the reference and the candidate.
///
/// # Errors
/// Those of the models; [`Error::Compute`] if a logit is not finite, with what `at` says of its row.
pub(super) fn pairs<T: Send>(
    [theirs, ours]: [&States; 2],
    at: impl Fn(usize) -> String + Sync,
    each: impl Fn(usize, &Row, &Row) -> T + Sync,
) -> Result<Vec<T>> {
    in_parts(&theirs.states, theirs.model, |first, rows| {
        let vocab = theirs.model.config().vocab_size();
        let (a, b) = (theirs.logits(first, rows)?, ours.logits(first, rows)?);
        let (a, b) = (a.storage_and_layout(), b.storage_and_layout());
        let (a, b) = (values(&a)?.par_chunks(vocab), values(&b)?.par_chunks(vocab));
        let found = a.zip(b).enumerate().map(|(i, (a, b))| {
            let a = Row::new(a).ok_or_else(|| theirs.not_finite(at(first + i)))?;
            let b = Row::new(b).ok_or_else(|| ours.not_finite(at(first + i)))?;
            Ok(each(first + i, &a, &b))
        });
        in_order(found)
    })
}

/// As [`pairs`], of one model.
///
/// # Errors
/// As [`pairs`].
pub(super) fn singles<T: Send>(
    states: &States,
    at: impl Fn(usize) -> String + Sync,
    each: impl Fn(usize, &Row) -> T + Sync,
) -> Result<Vec<T>> {
    in_parts(&states.states, states.model, |first, rows| {
        let vocab = states.model.config().vocab_size();
        let logits = states.logits(first, rows)?;
        let logits = logits.storage_and_layout();
        let found = values(&logits)?.par_chunks(vocab).enumerate().map(|(i, row)| {
            let row = Row::new(row).ok_or_else(|| states.not_finite(at(first + i)))?;
            Ok(each(first + i, &row))
        });
        in_order(found)
    })
}

/// What rows gave, or the error of the first row that has one, whichever thread met its own first.
fn in_order<T: Send>(rows: impl IndexedParallelIterator<Item = Result<T>>) -> Result<Vec<T>> {
    rows.collect::<Vec<_>>().into_iter().collect()
}

/// Some rows at a time, so that logits take little memory.
fn in_parts<T>(
    states: &Tensor,
    model: &CausalModel,
    mut part: impl FnMut(usize, usize) -> Result<Vec<T>>,
) -> Result<Vec<T>> {
    let rows = states.dim(0)?;
    let most = (LOGITS / model.config().vocab_size()).max(1);
    let mut all = Vec::with_capacity(rows);
    for first in (0..rows).step_by(most) {
        all.extend(part(first, most.min(rows - first))?);
    }
    Ok(all)
}

/// The values of a contiguous tensor where they lie.
fn values<'a>((storage, layout): &'a (impl Deref<Target = Storage>, &Layout)) -> Result<&'a [f32]> {
    let range = layout.contiguous_offsets();
    let slice = match &**storage {
        Storage::Cpu(storage) => range.and_then(|(start, end)| storage.as_slice().ok()?.get(start..end)),
        _ => None,
    };
    slice.ok_or_else(|| Error::Compute("logits are not where they should be".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logarithms_and_divergence() {
        let (a, b) = ([1.0f32, 2.0, 0.5, -1.0], [0.5f32, 2.5, 0.5, 3.0]);
        let (a, b) = (Row::new(&a).unwrap(), Row::new(&b).unwrap());
        assert_eq!((a.top, b.top), (1, 3));
        // scipy.special.log_softmax([1, 2, 0.5, -1]), scipy.stats.entropy(softmax(a), softmax(b)), scipy 1.17.1
        let scipy = [
            -1.495181898085856,
            -0.49518189808585605,
            -1.995181898085856,
            -3.495181898085856,
        ];
        for (token, expected) in scipy.into_iter().enumerate() {
            assert!((a.log_prob(token as u32) - expected).abs() < 1e-14);
        }
        assert!((a.divergence(&b) - 0.7621943975484617).abs() < 1e-14);
        assert!(a.divergence(&a) == 0.0 && a.identical(&a) && !a.identical(&b));
        assert!(Row::new(&[0.0, f32::NAN]).is_none() && Row::new(&[f32::NEG_INFINITY, 0.0]).is_none());
        // 0 and -0 are equal, not identical.
        assert!(
            !Row::new(&[0.0, 1.0])
                .unwrap()
                .identical(&Row::new(&[-0.0, 1.0]).unwrap())
        );
    }
}
