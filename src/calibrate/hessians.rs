//! Hessians of the inputs of linear layers, and their factors.

use super::pass::{GRADIENTS, Pass, Sums, means, tokens_name, weight_name};
use crate::model::traced::LINEARS;
use crate::progress::Progress;
use crate::quant::factor::{DAMPING, Factor};
use crate::{Error, Result};
use candle_core::{Device, Tensor};
use rayon::prelude::*;

/// What a layer's inputs are called.
const INPUTS: [&str; 4] = ["attention", "attention's output", "MLP", "MLP's output"];
/// A token weighs at least this part of the mean.
const LEAST_WEIGHT: f64 = 0.1;
/// A token weighs at most so many times the mean.
const MOST_WEIGHT: f64 = 16.0;

/// Parts of the diagonal's mean that are added to it, in turn, until there is a factor.
const MORE_DAMPING: [f64; 3] = [DAMPING, 10.0 * DAMPING, 100.0 * DAMPING];

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
            self.passed(layers * self.tokens.len(), layers - 1)?;
            return self.store.forget(STATES);
        }
        let (done, mut states) = self.states()?;
        self.passed(done * self.tokens.len(), done)?;
        let gradients = self.store.load(GRADIENTS)?.unwrap_or_default();
        for layer in done..layers {
            let weights = self.layer(layer)?;
            let token_weights = self.token_weights(layer, &gradients)?;
            let (mut hessians, mut start) = ([const { Vec::new() }; INPUTS.len()], 0);
            for x in &mut states {
                let tokens = x.dim(0)?;
                let (y, trace) = weights.forward(x, &self.windows(tokens)?)?;
                for ((input, hessian), weights) in trace.inputs.iter().zip(&mut hessians).zip(&token_weights) {
                    let weighted = input.broadcast_mul(&weights.narrow(0, start, tokens)?.unsqueeze(1)?)?;
                    sum_up(hessian, &weighted.t()?.matmul(&weighted)?)?;
                }
                start += tokens;
                *x = y;
                self.passed(tokens, layer)?;
            }
            // What one of them takes is let go of before the next is made, if it has to be.
            let most = if self.portions.factors_together {
                1
            } else {
                INPUTS.len()
            };
            let each = hessians.into_par_iter().zip(INPUTS).enumerate();
            let each = each.with_min_len(most).with_max_len(most);
            each.try_for_each(|(input, (mut hessian, name))| {
                let count = self.tokens.len() as f64;
                hessian.iter_mut().for_each(|h| *h /= count);
                let what = format!("model.layers.{layer}: the inputs of its {name}");
                let factor = factored(&hessian, &what, self.warnings)?;
                self.store.save_factor(&factor_name(layer, input), factor.as_ref())
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

/// The factor of what is worth something, with as much damping as it takes; `None` if nothing is.
pub(super) fn factored(hessian: &[f64], what: &str, warnings: &dyn Progress) -> Result<Option<Factor>> {
    if hessian.iter().all(|&h| h == 0.0) {
        let then = "layers behind it are quantised as without calibration";
        warnings.warn(&format!("{what} are all 0 on this text: {then}"));
        return Ok(None);
    }
    let n = hessian.len().isqrt();
    for damping in MORE_DAMPING {
        if let Some(factor) = Factor::with_damping(hessian, n, damping) {
            if damping > DAMPING {
                let percent = 100.0 * damping;
                let says = format!("{what} have a singular Hessian: {percent} % of its diagonal's mean are added");
                warnings.warn(&says);
            }
            return Ok(Some(factor));
        }
    }
    Err(Error::Compute(format!(
        "{what} are not finite on this text: take another"
    )))
}

/// Adds to a sum in F64, empty at first, where it lies: the largest of a calibration.
fn sum_up(sum: &mut Vec<f64>, more: &Tensor) -> Result<()> {
    let more = more.flatten_all()?.to_vec1::<f32>()?;
    sum.resize(more.len(), 0.0);
    let parts = sum.par_iter_mut().with_min_len(1 << 14).zip(&more);
    parts.for_each(|(sum, more)| *sum += f64::from(*more));
    Ok(())
}

fn mean(values: &[f64]) -> f64 {
    // A layer whose outputs do nothing has no gradients at all.
    (values.iter().sum::<f64>() / values.len().max(1) as f64).max(1e-30)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[derive(Default)]
    struct Warnings(Mutex<Vec<String>>);

    impl Progress for Warnings {
        fn warn(&self, message: &str) {
            self.0.lock().unwrap().push(message.into());
        }
    }

    /// A matrix of ones, less something on its diagonal.
    fn ones(n: usize, less: f64) -> Vec<f64> {
        let at = |i: usize| if i / n == i % n { 1.0 - less } else { 1.0 };
        (0..n * n).map(at).collect()
    }

    #[test]
    fn damping_is_raised_where_it_must_be() {
        let factors = |hessian: &[f64]| {
            let warnings = Warnings::default();
            let factor = factored(hessian, "what", &warnings);
            (factor, warnings.0.into_inner().unwrap())
        };
        // One direction alone is used: the usual damping is enough.
        let (factor, warnings) = factors(&ones(5, 0.0));
        assert!(factor.unwrap().is_some() && warnings.is_empty());
        // Rounding has made eigenvalues negative.
        for (less, percent) in [(0.02, "10 %"), (0.2, "100 %")] {
            let (factor, warnings) = factors(&ones(5, less));
            let factor = factor.unwrap().unwrap();
            assert!(factor.diagonal.iter().all(|d| d.is_finite() && *d > 0.0));
            assert!(
                warnings.len() == 1 && warnings[0].contains(percent) && warnings[0].contains("singular"),
                "{warnings:?}"
            );
        }
        let (factor, warnings) = factors(&[0.0; 16]);
        assert!(factor.unwrap().is_none() && warnings[0].contains("all 0"));
        let (factor, _) = factors(&[1.0, f64::NAN, f64::NAN, 1.0]);
        assert!(factor.unwrap_err().to_string().contains("what are not finite"));
    }
}
