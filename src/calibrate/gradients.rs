//! Gradients of the loss of the next tokens, squared.

use super::pass::{GRADIENTS, Pass, Sums, add, tokens_name, weight_name};
use crate::Result;
use crate::model::traced::{LINEARS, Norm};
use candle_core::{Device, Tensor};
use candle_nn::ops;

/// Rows of logits that are in memory at a time.
const LOGIT_ROWS: usize = 256;
/// How often a token goes through a layer: forward, and forward and backward.
pub(super) const WAYS: usize = 3;

/// Names of sums: inputs of the head, `x x'`; probabilities of tokens, and squares of them; gradients at the
/// embedding, squared.
pub(super) const HEAD_INPUTS: &str = "head: inputs";
pub(super) const PROBABILITIES: &str = "head: probabilities";
pub(super) const PROBABILITIES_SQUARED: &str = "head: squared probabilities";
pub(super) const EMBEDDING_GRADIENTS: &str = "embedding: gradients";
/// Batches that are in the sums.
const BATCHES: &str = "batches";

impl Pass<'_> {
    /// Sums up the squared gradients at the outputs of all linear layers, by output and by token.
    pub(super) fn gradients(&self) -> Result<()> {
        let layers = self.config.layers;
        let mut sums = self.store.load(GRADIENTS)?.unwrap_or_default();
        let done = match sums.get(BATCHES) {
            Some(batches) => batches.to_scalar::<u32>()? as usize,
            None => 0,
        };
        self.passed(WAYS * layers * self.tokens.len().min(done * self.batch()), 0)?;
        for (number, tokens) in self.batches().enumerate().skip(done) {
            let windows = self.windows(tokens.len())?;
            let mut last = self.embed(tokens)?;
            let mut states = Vec::with_capacity(layers);
            for layer in 0..layers {
                let (y, _) = self.layer(layer)?.forward(&last, &windows)?;
                states.push(std::mem::replace(&mut last, y));
                self.passed(tokens.len(), layer)?;
            }
            let mut gradient = self.loss_gradient(&last, tokens, &mut sums)?;
            for (layer, x) in states.iter().enumerate().rev() {
                let weights = self.layer(layer)?;
                let (_, trace) = weights.forward(x, &windows)?;
                let outputs;
                (gradient, outputs) = weights.backward(&trace, &gradient, &windows)?;
                for ((linear, _), output) in LINEARS.iter().zip(outputs) {
                    let squares = output.sqr()?;
                    let name = weight_name(layer, linear);
                    add(&mut sums, &name, &squares.sum(0)?)?;
                    append(&mut sums, &tokens_name(&name), squares.sum(1)?)?;
                }
                self.passed(2 * tokens.len(), layer)?;
            }
            add(&mut sums, EMBEDDING_GRADIENTS, &gradient.sqr()?.sum(0)?)?;
            sums.insert(BATCHES.into(), Tensor::new(number as u32 + 1, &Device::Cpu)?);
            self.store.save(GRADIENTS, &sums)?;
        }
        Ok(())
    }

    /// The gradient of the windows' loss, summed over their tokens, at the last layer's output. Adds to the
    /// sums of the head.
    fn loss_gradient(&self, x: &Tensor, tokens: &[u32], sums: &mut Sums) -> Result<Tensor> {
        let config = self.config;
        let norm = Norm::load(config.hidden, config.norm_eps, self.vb.pp("model.norm"))?;
        let head = self.head()?;
        let normed = norm.forward(x)?;
        add(sums, HEAD_INPUTS, &normed.t()?.matmul(&normed)?)?;
        let mut gradients = Vec::new();
        for start in (0..tokens.len()).step_by(LOGIT_ROWS) {
            let rows = LOGIT_ROWS.min(tokens.len() - start);
            let logits = normed.narrow(0, start, rows)?.matmul(&head.t()?)?;
            let probabilities = ops::softmax_last_dim(&logits)?;
            add(sums, PROBABILITIES, &probabilities.sum(0)?)?;
            add(sums, PROBABILITIES_SQUARED, &probabilities.sqr()?.sum(0)?)?;
            let mut wrong = probabilities.to_vec2::<f32>()?;
            for (row, wrong) in (start..).zip(&mut wrong) {
                // A window's last token has no next one.
                match (row + 1) % self.window {
                    0 => wrong.fill(0.0),
                    _ => wrong[tokens[row + 1] as usize] -= 1.0,
                }
            }
            gradients.push(Tensor::new(wrong, &Device::Cpu)?.matmul(&head)?);
        }
        Ok(norm.backward(x, &Tensor::cat(&gradients, 0)?)?)
    }
}

fn append(sums: &mut Sums, name: &str, more: Tensor) -> Result<()> {
    let all = match sums.get(name) {
        Some(before) => Tensor::cat(&[before, &more], 0)?,
        None => more,
    };
    sums.insert(name.into(), all);
    Ok(())
}
