//! Both models on the same tokens, row by row.

use super::models::Models;
use crate::model::{CausalModel, Tree};
use crate::{Error, Result};
use candle_core::{Device, Layout, Storage, Tensor};
use rayon::prelude::*;
use std::ops::Deref;

/// Tokens that are computed together. More is hardly faster and takes more memory.
pub(super) const BATCH_TOKENS: usize = 1024;
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

/// Calls `each` with the number of a wanted row and its logits of the reference and the candidate.
/// `wanted` are rows of the trees' states, as [`CausalModel::states`] counts them.
///
/// # Errors
/// Those of the models; [`Error::Compute`] if a logit is not finite.
pub(super) fn rows<T: Send>(
    models: &Models,
    trees: &[Tree],
    wanted: &[u32],
    each: impl Fn(usize, &Row, &Row) -> T + Sync,
) -> Result<Vec<T>> {
    let reference = models.reference.states(trees)?;
    let candidate = models.candidate.states(trees)?;
    let vocab = models.config().vocab_size();
    let most = (LOGITS / vocab).max(1);
    let mut all = Vec::with_capacity(wanted.len());
    for (chunk, rows) in wanted.chunks(most).enumerate() {
        let theirs = logits(&models.reference, &reference, rows)?;
        let ours = logits(&models.candidate, &candidate, rows)?;
        let (theirs, ours) = (theirs.storage_and_layout(), ours.storage_and_layout());
        let (theirs, ours) = (values(&theirs)?, values(&ours)?);
        let pairs = theirs.par_chunks(vocab).zip(ours.par_chunks(vocab)).enumerate();
        let not_finite = |which: &str| Error::Compute(format!("a logit of the {which} is no finite number"));
        let found = pairs.map(|(i, (theirs, ours))| {
            let theirs = Row::new(theirs).ok_or_else(|| not_finite("reference"))?;
            let ours = Row::new(ours).ok_or_else(|| not_finite("candidate"))?;
            Ok(each(chunk * most + i, &theirs, &ours))
        });
        all.extend(found.collect::<Result<Vec<T>>>()?);
    }
    Ok(all)
}

/// On the CPU, contiguous.
fn logits(model: &CausalModel, states: &Tensor, rows: &[u32]) -> Result<Tensor> {
    let rows = Tensor::new(rows, states.device())?;
    let states = states.index_select(&rows, 0)?;
    Ok(model.logits(&states)?.to_device(&Device::Cpu)?.contiguous()?)
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
