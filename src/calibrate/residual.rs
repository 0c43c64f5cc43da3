//! What errors are worth without gradients: what they do along the residual stream.
//!
//! What a block adds to the stream goes on to the head as it is, besides what later blocks make of it. So an error in
//! it is worth what it is at the head: the expected squared gradient there of the model's own predictions, `sum p w² -
//! (sum p w)²` over the head's rows `w`, through the last norm. That says what rows of the layers that write to
//! the stream are worth, and tokens. Of the layers inside a block nothing is known of rows; an error there is taken
//! to make one of the same relative size in what the block adds.

use super::gradients::EMBEDDING_GRADIENTS;
use super::pass::{GRADIENTS, Pass, Sums, add, append, means, numbers, tokens_name, weight_name};
use crate::Result;
use crate::model::traced::{LINEARS, Norm};
use candle_core::{Device, Tensor};

/// Rows of the head that are squared at a time.
const HEAD_ROWS: usize = 1 << 14;

/// Names of sums: what errors in the stream are worth, by its dimensions and by token; squares of outputs.
const WORTH: &str = "stream";
fn squares_name(weight: &str) -> String {
    format!("{weight}: squares")
}

impl Pass<'_> {
    /// Sums up in place of [`Pass::gradients`], with a forward pass alone.
    pub(super) fn estimates(&self) -> Result<()> {
        let layers = self.config.layers;
        let mut sums = self.store.load(GRADIENTS)?.unwrap_or_default();
        let done = self.batches_done(&sums)?;
        self.passed(layers * self.tokens.len().min(done * self.batch()), 0)?;
        for (number, tokens) in self.batches().enumerate().skip(done) {
            let windows = self.windows(tokens.len())?;
            let mut x = self.embed(tokens)?;
            for layer in 0..layers {
                let (y, trace) = self.layer(layer)?.forward(&x, &windows)?;
                self.check(&y, layer)?;
                for ((linear, _), squares) in LINEARS.iter().zip(trace.output_squares(&y)?) {
                    add(&mut sums, &squares_name(&weight_name(layer, linear)), &squares)?;
                }
                x = y;
                self.passed(tokens.len(), layer)?;
            }
            let worth = self.worth(&x, tokens, &mut sums)?;
            add(&mut sums, WORTH, &worth.sum(0)?)?;
            append(&mut sums, &tokens_name(WORTH), worth.sum(1)?)?;
            if (number + 1) * self.batch() >= self.tokens.len() {
                self.of_weights(&mut sums)?;
            }
            self.save_batch(number, &mut sums)?;
        }
        Ok(())
    }

    /// What an error in the last layer's output is worth: (tokens, hidden size).
    fn worth(&self, x: &Tensor, tokens: &[u32], sums: &mut Sums) -> Result<Tensor> {
        let norm = Norm::load(self.config.hidden, self.config.norm_eps, self.vb.pp("model.norm"))?;
        let head = self.head()?;
        let worth = self.predictions(&norm.forward(x)?, &head, tokens, sums, |_, probabilities| {
            let mean = probabilities.matmul(&head)?;
            let mut squares = mean.zeros_like()?;
            for start in (0..self.config.vocab).step_by(HEAD_ROWS) {
                let rows = HEAD_ROWS.min(self.config.vocab - start);
                let part = head.narrow(0, start, rows)?.sqr()?;
                squares = (squares + probabilities.narrow(1, start, rows)?.contiguous()?.matmul(&part)?)?;
            }
            Ok((squares - mean.sqr()?)?.relu()?)
        })?;
        Ok(norm.backward_squares(x, &worth)?)
    }

    /// From sums of all batches to what rows and tokens of each weight are worth.
    fn of_weights(&self, sums: &mut Sums) -> Result<()> {
        let tokens = self.tokens.len();
        let worth = means(sums, WORTH, tokens)?;
        let by_token = sums[&tokens_name(WORTH)].clone();
        for layer in 0..self.config.layers {
            // Outputs of attention and of the MLP, and what they are worth.
            for (out, inner) in [(3, 0..3), (6, 4..6)] {
                let name = |linear: usize| weight_name(layer, LINEARS[linear].0);
                let squares = means(sums, &squares_name(&name(out)), tokens)?;
                let all: f64 = squares.iter().zip(&worth).map(|(s, w)| s * w).sum();
                sums.insert(name(out), sums[WORTH].clone());
                for linear in inner {
                    let squares: f64 = numbers(&sums[&squares_name(&name(linear))])?.iter().sum();
                    let rows = self.rows(linear);
                    // As a sum over tokens, as the others are.
                    let each = all * tokens as f64 / (squares / tokens as f64).max(1e-30);
                    sums.insert(name(linear), Tensor::new(vec![each; rows], &Device::Cpu)?);
                }
            }
            for (linear, _) in LINEARS {
                let name = weight_name(layer, linear);
                sums.remove(&squares_name(&name));
                sums.insert(tokens_name(&name), by_token.clone());
            }
        }
        sums.insert(EMBEDDING_GRADIENTS.into(), sums[WORTH].clone());
        sums.remove(&tokens_name(WORTH));
        sums.remove(WORTH);
        Ok(())
    }

    /// Outputs of a linear layer inside a block.
    fn rows(&self, linear: usize) -> usize {
        let config = self.config;
        match linear {
            0 => config.heads * config.head_dim,
            1 | 2 => config.kv_heads * config.head_dim,
            _ => config.intermediate,
        }
    }
}
