//! Levels by statistics.

use super::hessians::factor_name;
use super::pass::{GRADIENTS, means};
use super::store::Store;
use crate::Result;
use crate::backend::Backend;
use crate::codec::encode::levels::{Plan, Quantised};
use crate::cost::exp2;
use crate::encoder::TensorSpec;
use crate::model::traced::LINEARS;
use crate::quant::factor::Factor;
use crate::quant::feedback::feedback;
use crate::quant::nearest::{raise, rms};
use crate::quant::rates::Rates;
use crate::quant::{Float, Levels, Steps};
use std::collections::HashMap;

/// Steps of columns are within this factor of their geometric mean, times or divided by it.
const COLUMN_RANGE: f64 = 5.0;
/// So are the squared gradients of rows.
const ROW_RANGE: f64 = 16.0;

/// Quantises tensors by their statistics.
pub(super) struct Quantiser<'a> {
    store: &'a Store,
    backend: Backend,
    /// Mean squared gradients at the outputs, by the weights' names.
    gradients: HashMap<String, Vec<f64>>,
}

impl<'a> Quantiser<'a> {
    pub(super) fn load(store: &'a Store, backend: Backend, tokens: usize) -> Result<Self> {
        let sums = store.load(GRADIENTS)?.unwrap_or_default();
        let weights = sums.keys().filter(|name| name.ends_with(".weight"));
        let gradients = weights.map(|name| Ok((name.clone(), means(&sums, name, tokens)?)));
        Ok(Self {
            store,
            backend,
            gradients: gradients.collect::<Result<_>>()?,
        })
    }

    /// Whether there are statistics of a tensor.
    pub(super) fn takes(&self, spec: &TensorSpec) -> bool {
        let rows = self.gradients.get(&spec.name).map(Vec::len);
        rows == spec.shape.first().copied() && spec.shape.len() == 2 && Float::of(spec.dtype).is_some()
    }

    /// The strength at which steps are about as large as the weights.
    pub(super) fn unit(&self, spec: &TensorSpec, data: &[u8]) -> Result<f64> {
        let (Some(float), Some(factor)) = (Float::of(spec.dtype), self.factor(&spec.name)?) else {
            return Ok(0.0);
        };
        let (rows, columns) = self.shares(&spec.name, &factor);
        let rms = float.read(data).map_or(0.0, |weights| rms(&weights));
        let step = geometric_mean(&rows) * geometric_mean(&columns);
        Ok(((rms + 1e-30) / step).log2())
    }

    /// A tensor of a strength. `None` if the weights are not finite, or no
    /// steps fit.
    pub(super) fn quantise(&self, spec: &TensorSpec, data: &[u8], strength: f64) -> Result<Option<Quantised>> {
        let Some((float, weights)) = Float::of(spec.dtype).and_then(|float| Some((float, float.read(data)?))) else {
            return Ok(None);
        };
        let levels = self.levels(&spec.name, float, &weights, strength)?;
        Ok(levels.and_then(|levels| Quantised::new(self.backend, float, &weights, levels)))
    }

    fn levels(&self, name: &str, float: Float, weights: &[f32], strength: f64) -> Result<Option<Levels>> {
        let Some(factor) = self.factor(name)? else {
            return Ok(None);
        };
        let (rows, columns) = self.shares(name, &factor);
        let mut rows: Vec<f32> = rows.iter().map(|r| *r as f32).collect();
        let columns: Vec<f32> = columns.iter().map(|c| (c * exp2(strength)) as f32).collect();
        raise(weights, &mut rows, &columns);
        let Some(steps) = Steps::near(&rows, &columns) else {
            return Ok(None);
        };
        let feedback = |rates: Option<&Rates>| {
            let levels = feedback(self.backend, weights, float, steps.clone(), &factor, rates);
            levels.map(|(levels, _)| levels)
        };
        // Once for tables that say what levels take, and again with an eye on that.
        let rates = feedback(None).and_then(|levels| Some(Plan::new(self.backend, &levels)?.rates()));
        Ok(rates.and_then(|rates| feedback(Some(&rates))))
    }

    /// What steps are in proportion to: of rows, the root of 1 / s; of columns, `1 / R[j][j]`. So a bit less
    /// in any of them costs the same loss.
    fn shares(&self, name: &str, factor: &Factor) -> (Vec<f64>, Vec<f64>) {
        let inverse: Vec<f64> = factor.diagonal.iter().map(|&d| 1.0 / f64::from(d)).collect();
        let middle = geometric_mean(&inverse);
        let mut columns = vec![0.0; inverse.len()];
        for (&j, inverse) in factor.order.iter().zip(&inverse) {
            columns[j as usize] = inverse.clamp(middle / COLUMN_RANGE, middle * COLUMN_RANGE);
        }
        let squares = self.gradients.get(name).map_or(&[][..], |s| s);
        let middle = geometric_mean(squares);
        let row = |s: &f64| s.clamp(middle / ROW_RANGE, middle * ROW_RANGE).sqrt().recip();
        (squares.iter().map(row).collect(), columns)
    }

    fn factor(&self, name: &str) -> Result<Option<Factor>> {
        match place(name) {
            Some((layer, input)) => self.store.load_factor(&factor_name(layer, input)),
            None => self.store.load_factor(name),
        }
    }
}

fn geometric_mean(values: &[f64]) -> f64 {
    let logs: f64 = values.iter().map(|v| (v + 1e-30).ln()).sum();
    (logs / values.len().max(1) as f64).exp()
}

/// Layer and input of a linear layer's weight.
fn place(name: &str) -> Option<(usize, usize)> {
    let (layer, linear) = name.strip_prefix("model.layers.")?.split_once('.')?;
    let linear = linear.strip_suffix(".weight")?;
    let input = LINEARS.iter().find(|(name, _)| *name == linear)?.1;
    Some((layer.parse().ok()?, input))
}
