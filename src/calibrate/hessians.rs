//! Hessians of the inputs of linear layers, and their factors.

use super::pass::{GRADIENTS, Pass, Sums, add, means, tokens_name, weight_name};
use crate::model::traced::LINEARS;
use crate::quant::factor::Factor;
use crate::{Error, Result};
use candle_core::{Device, Tensor};
use rayon::prelude::*;

/// What a layer's inputs are called.
const INPUTS: [&str; 4] = ["attention", "attention's output", "MLP", "MLP's output"];
/// A token weighs at least this part of the mean.
const LEAST_WEIGHT: f64 = 0.1;
/// A token weighs at most so many times the mean.
const MOST_WEIGHT: f64 = 16.0;

/// States before a layer, in the store.
const STATES: &str = "states";
/// The layer that those are before.
const LAYER: &str = "layer";

/// Name of a layer's factor in the store.
pub(super) fn factor_name(layer: usize, input: usize) -> String {
    format!("layer-{layer:04}-{input}")
}

impl Pass<'_> {
    /// Makes the factors that are not in the store yet, layer by layer.
    pub(super) fn hessians(&self) -> Result<()> {
        let layers = self.config.layers;
        let there = |layer: usize| (0..4).all(|input| self.store.has(&factor_name(layer, input)));
        if (0..layers).all(there) {
            return self.passed(layers * self.tokens.len(), layers - 1);
        }
        let (done, mut states) = self.states()?;
        self.passed(done * self.tokens.len(), done)?;
        let gradients = self.store.load(GRADIENTS)?.unwrap_or_default();
        for layer in done..layers {
            let weights = self.layer(layer)?;
            let token_weights = self.token_weights(layer, &gradients)?;
            let (mut sums, mut start) = (Sums::new(), 0);
            for x in &mut states {
                let tokens = x.dim(0)?;
                let (y, trace) = weights.forward(x, &self.windows(tokens)?)?;
                for ((input, name), weights) in trace.inputs.iter().zip(INPUTS).zip(&token_weights) {
                    let weighted = input.broadcast_mul(&weights.narrow(0, start, tokens)?.unsqueeze(1)?)?;
                    add(&mut sums, name, &weighted.t()?.matmul(&weighted)?)?;
                }
                start += tokens;
                *x = y;
                self.passed(tokens, layer)?;
            }
            let each = INPUTS.par_iter().with_max_len(1).enumerate();
            each.try_for_each(|(input, name)| {
                let hessian = means(&sums, name, self.tokens.len())?;
                let factor = Factor::new(&hessian, hessian.len().isqrt()).ok_or_else(|| {
                    let what = "layers are all 0 on this text, or not finite: another text may help";
                    Error::Compute(format!("model.layers.{layer}: the inputs of its {name} {what}"))
                })?;
                self.store.save_factor(&factor_name(layer, input), &factor)
            })?;
            self.save_states(layer + 1, &states)?;
        }
        self.store.forget(STATES)
    }

    /// A layer, and the states before it, batch by batch: those that were saved, or the first.
    fn states(&self) -> Result<(usize, Vec<Tensor>)> {
        if let Some(saved) = self.store.load(STATES)? {
            let batches = (0..).map_while(|i: usize| saved.get(&i.to_string()).cloned());
            if let Some(layer) = saved.get(LAYER) {
                return Ok((layer.to_scalar::<u32>()? as usize, batches.collect()));
            }
        }
        let first = self.batches().map(|tokens| self.embed(tokens));
        Ok((0, first.collect::<Result<_>>()?))
    }

    fn save_states(&self, layer: usize, states: &[Tensor]) -> Result<()> {
        let batches = states.iter().enumerate().map(|(i, x)| (i.to_string(), x.clone()));
        let mut saved: Sums = batches.collect();
        saved.insert(LAYER.into(), Tensor::new(layer as u32, &Device::Cpu)?);
        self.store.save(STATES, &saved)
    }

    /// Roots of what each token weighs in the Hessians of a layer's inputs: the squared gradient at the outputs
    /// of the linear layers that read the input. An error at a token is as bad as the loss feels it.
    fn token_weights(&self, layer: usize, gradients: &Sums) -> Result<Vec<Tensor>> {
        let of_input = |input: usize| {
            let mut all = vec![0.0; self.tokens.len()];
            for (linear, _) in LINEARS.iter().filter(|(_, reads)| *reads == input) {
                let squares = means(gradients, &tokens_name(&weight_name(layer, linear)), 1)?;
                let mean = mean(&squares);
                all.iter_mut().zip(squares).for_each(|(sum, s)| *sum += s / mean);
            }
            let middle = mean(&all);
            all.iter_mut()
                .for_each(|w| *w = LEAST_WEIGHT + (*w / middle).min(MOST_WEIGHT));
            let middle = mean(&all);
            let roots: Vec<f32> = all.iter().map(|w| (w / middle).sqrt() as f32).collect();
            Ok(Tensor::new(roots, &Device::Cpu)?)
        };
        (0..INPUTS.len()).map(of_input).collect()
    }
}

fn mean(values: &[f64]) -> f64 {
    // A layer whose outputs do nothing has no gradients at all.
    (values.iter().sum::<f64>() / values.len().max(1) as f64).max(1e-30)
}
