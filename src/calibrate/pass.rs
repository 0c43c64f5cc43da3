//! Passes through a model, and what they leave in the store.

use super::memory::Portions;
use super::store::Store;
use crate::model::traced::{TracedLayer, Windows};
use crate::model::{ModelConfig, frequencies};
use crate::progress::Progress;
use crate::{Error, Result};
use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use std::collections::HashMap;

/// Name in the store of what the backward pass sums up.
pub(super) const GRADIENTS: &str = "gradients";
/// Names of the ends' weights, and of their factors.
pub(super) const EMBEDDING: &str = "model.embed_tokens.weight";
pub(super) const HEAD: &str = "lm_head.weight";

/// Name of a linear layer's weight.
pub(super) fn weight_name(layer: usize, linear: &str) -> String {
    format!("model.layers.{layer}.{linear}.weight")
}

/// Name of what each token weighs for a weight.
pub(super) fn tokens_name(weight: &str) -> String {
    format!("{weight}: tokens")
}

/// A model in a `VarBuilder` of F32, and the tokens that it is measured on: whole windows.
pub(super) struct Pass<'a> {
    pub(super) config: &'a ModelConfig,
    pub(super) vb: VarBuilder<'static>,
    pub(super) tokens: &'a [u32],
    pub(super) window: usize,
    pub(super) portions: Portions,
    pub(super) store: &'a Store,
    pub(super) progress: &'a dyn Progress,
    /// Told of what is not as it should be.
    pub(super) warnings: &'a dyn Progress,
}

impl Pass<'_> {
    /// Batches of whole windows.
    pub(super) fn batches(&self) -> std::slice::Chunks<'_, u32> {
        self.tokens.chunks(self.batch())
    }

    /// Tokens of a batch.
    pub(super) fn batch(&self) -> usize {
        self.portions.batch
    }

    /// How the tokens of a batch lie.
    pub(super) fn windows(&self, tokens: usize) -> Result<Windows> {
        let frequencies = Tensor::new(frequencies(self.config), &Device::Cpu)?;
        Ok(Windows::new(
            self.config,
            &frequencies,
            tokens / self.window,
            self.window,
        )?)
    }

    /// Whether the embedding is the head too.
    pub(super) fn tied(&self) -> bool {
        self.config.shares_embedding(self.vb.contains_tensor(HEAD))
    }

    pub(super) fn head(&self) -> Result<Tensor> {
        let name = if self.tied() { EMBEDDING } else { HEAD };
        Ok(self.vb.get((self.config.vocab, self.config.hidden), name)?)
    }

    pub(super) fn embed(&self, tokens: &[u32]) -> Result<Tensor> {
        let embedding = self.vb.get((self.config.vocab, self.config.hidden), EMBEDDING)?;
        Ok(embedding.index_select(&Tensor::new(tokens, &Device::Cpu)?, 0)?)
    }

    pub(super) fn layer(&self, layer: usize) -> Result<TracedLayer> {
        let vb = self.vb.pp(format!("model.layers.{layer}"));
        Ok(TracedLayer::load(self.config, layer, vb)?)
    }

    /// Says that so many tokens have gone through a layer.
    pub(super) fn passed(&self, tokens: usize, layer: usize) -> Result<()> {
        let name = format!("model.layers.{layer}");
        self.progress.advance(tokens as u64, &name);
        match self.progress.cancelled() {
            true => Err(Error::Cancelled),
            false => Ok(()),
        }
    }
}

/// Sums by name.
pub(super) type Sums = HashMap<String, Tensor>;

/// Adds to a sum of F64.
pub(super) fn add(sums: &mut Sums, name: &str, more: &Tensor) -> Result<()> {
    let more = more.to_dtype(DType::F64)?;
    let sum = match sums.get(name) {
        Some(sum) => (sum + more)?,
        None => more,
    };
    sums.insert(name.into(), sum);
    Ok(())
}

/// Puts more rows behind those that there are.
pub(super) fn append(sums: &mut Sums, name: &str, more: Tensor) -> Result<()> {
    let all = match sums.get(name) {
        Some(before) => Tensor::cat(&[before, &more], 0)?,
        None => more,
    };
    sums.insert(name.into(), all);
    Ok(())
}

/// The numbers of a tensor.
pub(super) fn numbers(tensor: &Tensor) -> Result<Vec<f64>> {
    Ok(tensor.flatten_all()?.to_dtype(DType::F64)?.to_vec1()?)
}

/// Those of a sum, divided by a count.
pub(super) fn means(sums: &Sums, name: &str, count: usize) -> Result<Vec<f64>> {
    let missing = || Error::Compute(format!("the statistics lack {name:?}: delete their folder"));
    let sum = numbers(sums.get(name).ok_or_else(missing)?)?;
    Ok(sum.iter().map(|s| s / count as f64).collect())
}
