//! Gradients of the loss of the next tokens, squared.

use super::pass::{GRADIENTS, Pass, Sums, add, append, tokens_name, weight_name};
use crate::model::traced::{LINEARS, Norm};
use crate::{Error, Result};
use candle_core::{Device, Tensor};
use candle_nn::ops;

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
        let done = self.batches_done(&sums)?;
        self.passed(WAYS * layers * self.tokens.len().min(done * self.batch()), 0)?;
        for (number, tokens) in self.batches().enumerate().skip(done) {
            let windows = self.windows(tokens.len())?;
            let mut last = self.embed(tokens)?;
            let mut states = Vec::with_capacity(layers);
            for layer in 0..layers {
                let (y, _) = self.layer(layer)?.forward(&last, &windows)?;
                self.check(&y, layer)?;
                states.push(std::mem::replace(&mut last, y));
                self.passed(tokens.len(), layer)?;
            }
            let mut gradient = self.loss_gradient(&last, tokens, &mut sums)?;
            for (layer, x) in states.iter().enumerate().rev() {
                let weights = self.layer(layer)?;
                let (_, trace) = weights.forward(x, &windows)?;
                let outputs;
                (gradient, outputs) = weights.backward(&trace, &gradient, &windows)?;
                if !sums_up(&gradient)? {
                    let what = "its gradients are not finite on this text: calibrate without them (--no-gradients)";
                    return Err(Error::Compute(format!("model.layers.{layer}: {what}")));
                }
                for ((linear, _), output) in LINEARS.iter().zip(outputs) {
                    let squares = output.sqr()?;
                    let name = weight_name(layer, linear);
                    add(&mut sums, &name, &squares.sum(0)?)?;
                    append(&mut sums, &tokens_name(&name), squares.sum(1)?)?;
                }
                self.passed(2 * tokens.len(), layer)?;
            }
            add(&mut sums, EMBEDDING_GRADIENTS, &gradient.sqr()?.sum(0)?)?;
            self.save_batch(number, &mut sums)?;
        }
        Ok(())
    }

    /// Batches that are in the sums.
    pub(super) fn batches_done(&self, sums: &Sums) -> Result<usize> {
        let done = sums.get(BATCHES).map(|batches| batches.to_scalar::<u32>());
        Ok(done.transpose()?.unwrap_or(0) as usize)
    }

    /// Saves sums that have the batch of this number too.
    pub(super) fn save_batch(&self, number: usize, sums: &mut Sums) -> Result<()> {
        sums.insert(BATCHES.into(), Tensor::new(number as u32 + 1, &Device::Cpu)?);
        self.store.save(GRADIENTS, sums)
    }

    /// Checks a layer's output.
    pub(super) fn check(&self, out: &Tensor, layer: usize) -> Result<()> {
        if sums_up(out)? {
            return Ok(());
        }
        let what = "its outputs are not finite on this text, in F32: take another text, or quantise without \
                    calibration, which asks no model (no --calibrate)";
        Err(Error::Compute(format!("model.layers.{layer}: {what}")))
    }

    /// The gradient of the windows' loss, summed over their tokens, at the last layer's output. Adds to the
    /// sums of the head.
    fn loss_gradient(&self, x: &Tensor, tokens: &[u32], sums: &mut Sums) -> Result<Tensor> {
        let config = self.config;
        let norm = Norm::load(config.hidden, config.norm_eps, self.vb.pp("model.norm"))?;
        let head = self.head()?;
        let gradient = self.predictions(&norm.forward(x)?, &head, tokens, sums, |start, probabilities| {
            let mut wrong = probabilities.to_vec2::<f32>()?;
            for (row, wrong) in (start..).zip(&mut wrong) {
                // A window's last token has no next one.
                match (row + 1) % self.window {
                    0 => wrong.fill(0.0),
                    _ => wrong[tokens[row + 1] as usize] -= 1.0,
                }
            }
            Ok(Tensor::new(wrong, &Device::Cpu)?.matmul(&head)?)
        })?;
        Ok(norm.backward(x, &gradient)?)
    }

    /// What `of` makes of the predicted probabilities, given the first of some rows: all rows. Adds to the sums of the
    /// head.
    pub(super) fn predictions(
        &self,
        normed: &Tensor,
        head: &Tensor,
        tokens: &[u32],
        sums: &mut Sums,
        of: impl Fn(usize, Tensor) -> Result<Tensor>,
    ) -> Result<Tensor> {
        add(sums, HEAD_INPUTS, &normed.t()?.matmul(normed)?)?;
        let mut all = Vec::new();
        let most = self.portions.logit_rows;
        for start in (0..tokens.len()).step_by(most) {
            let rows = most.min(tokens.len() - start);
            let logits = normed.narrow(0, start, rows)?.matmul(&head.t()?)?;
            let probabilities = ops::softmax_last_dim(&logits)?;
            add(sums, PROBABILITIES, &probabilities.sum(0)?)?;
            add(sums, PROBABILITIES_SQUARED, &probabilities.sqr()?.sum(0)?)?;
            all.push(of(start, probabilities)?);
        }
        Ok(Tensor::cat(&all, 0)?)
    }
}

/// Whether all numbers are finite.
fn sums_up(x: &Tensor) -> Result<bool> {
    Ok(x.abs()?.sum_all()?.to_scalar::<f32>()?.is_finite())
}
