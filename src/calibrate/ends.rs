//! Embedding and head: what they are worth.
//!
//! A token's row of the head is worth `p (1 - p)` of the probability `p` that it is predicted with; its
//! embedding is worth how often it occurs. For that the mean prediction is taken too, which knows of tokens that
//! the text lacks. Where one matrix is both, so are its Hessian and its rows.

use super::gradients::{EMBEDDING_GRADIENTS, HEAD_INPUTS, PROBABILITIES, PROBABILITIES_SQUARED};
use super::hessians::factored;
use super::pass::{EMBEDDING, GRADIENTS, HEAD, Pass, means};
use crate::Result;
use candle_core::{Device, Tensor};

impl Pass<'_> {
    /// Makes factors of embedding and head, and what their rows are worth, of what the backward pass has left.
    pub(super) fn ends(&self) -> Result<()> {
        let tokens = self.tokens.len();
        let mut sums = self.store.load(GRADIENTS)?.unwrap_or_default();
        let probabilities = means(&sums, PROBABILITIES, tokens)?;
        let squared = means(&sums, PROBABILITIES_SQUARED, tokens)?;
        let spread: Vec<f64> = probabilities.iter().zip(squared).map(|(p, s)| p - s).collect();
        let (inputs, gradients) = (
            means(&sums, HEAD_INPUTS, tokens)?,
            means(&sums, EMBEDDING_GRADIENTS, tokens)?,
        );
        let n = gradients.len();
        let head = |share: f64| inputs.iter().map(|h| h * share).collect::<Vec<f64>>();
        let mut embedding = head(if self.tied() { spread.iter().sum() } else { 0.0 });
        (0..n).for_each(|i| embedding[i * n + i] += gradients[i]);
        let mut save = |name: &str, hessian: &[f64], rows: &[f64]| {
            let factor = factored(hessian, &format!("{name}: what its columns are worth"), self.warnings)?;
            // As the other sums are.
            let rows: Vec<f64> = rows.iter().map(|r| r * tokens as f64).collect();
            sums.insert(name.into(), Tensor::new(rows, &Device::Cpu)?);
            self.store.save_factor(name, factor.as_ref())
        };
        save(EMBEDDING, &embedding, &probabilities)?;
        if !self.tied() {
            save(HEAD, &head(1.0), &spread)?;
        }
        self.store.save(GRADIENTS, &sums)
    }
}
