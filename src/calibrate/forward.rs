//! Statistics without gradients.
//!
//! Of the layers nothing is known then but their inputs: every tensor has the same relative error, as without
//! calibration, and errors are fed back by the Hessians, all tokens alike. Rows of the head are worth what they are
//! predicted with.

use super::gradients::EMBEDDING_GRADIENTS;
use super::pass::{GRADIENTS, Pass, Sums, tokens_name, weight_name};
use crate::Result;
use crate::model::traced::{LINEARS, Norm, linear_sizes};
use candle_core::{DType, Device, Tensor};

/// Stands among the sums where there are no gradients in them.
pub(super) const RELATIVE: &str = "relative";

impl Pass<'_> {
    /// Sums up in place of [`Pass::gradients`], with a forward pass alone.
    pub(super) fn forward(&self) -> Result<()> {
        let layers = self.config.layers;
        let mut sums = self.store.load(GRADIENTS)?.unwrap_or_default();
        let done = self.batches_done(&sums)?;
        self.passed(layers * self.tokens.len().min(done * self.batch()), 0)?;
        for (number, tokens) in self.batches().enumerate().skip(done) {
            let windows = self.windows(tokens.len())?;
            let mut x = self.embed(tokens)?;
            for layer in 0..layers {
                (x, _) = self.layer(layer)?.forward(&x, &windows)?;
                self.check(&x, layer)?;
                self.passed(tokens.len(), layer)?;
            }
            let norm = Norm::load(self.config.hidden, self.config.norm_eps, self.vb.pp("model.norm"))?;
            let head = self.head()?;
            self.predictions(&norm.forward(&x)?, &head, tokens, &mut sums, |_, probabilities| {
                Ok(probabilities.narrow(1, 0, 1)?)
            })?;
            if (number + 1) * self.batch() >= self.tokens.len() {
                self.all_alike(&mut sums)?;
            }
            self.save_batch(number, &mut sums)?;
        }
        Ok(())
    }

    /// Rows and tokens of the layers, all worth the same.
    fn all_alike(&self, sums: &mut Sums) -> Result<()> {
        let (config, tokens) = (self.config, self.tokens.len());
        let each = |n: usize, value: f64| Tensor::full(value, n, &Device::Cpu);
        for layer in 0..config.layers {
            for ((linear, _), (_, rows, _)) in LINEARS.iter().zip(linear_sizes(config)) {
                let name = weight_name(layer, linear);
                let by_token = Tensor::ones(tokens, DType::F32, &Device::Cpu)?;
                sums.insert(tokens_name(&name), by_token);
                sums.insert(name, each(rows, tokens as f64)?);
            }
        }
        // Of the embedding no more is known than what it is worth as the head, if it is that.
        let embedding = if self.tied() { 0.0 } else { tokens as f64 };
        sums.insert(EMBEDDING_GRADIENTS.into(), each(config.hidden, embedding)?);
        sums.insert(RELATIVE.into(), Tensor::new(1u32, &Device::Cpu)?);
        Ok(())
    }
}
